"""One report of the demo for all tests of the command line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crossmargin import api
from crossmargin.apps.cli import account, books, demo, prices
from crossmargin.apps.cli.program import run

ACCOUNTS = 40


@pytest.fixture(scope="session")
def report() -> api.Report:
    return api.assess(*api.demo(7, ACCOUNTS), strict=False)


@pytest.fixture
def command(
    report: api.Report, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command on the report that is there already; return code, stdout, stderr."""

    def load(*_: object, **__: object) -> api.Report:
        return report

    for module in (account, books, demo, prices):
        monkeypatch.setattr(module, "load", load)

    def call(*words: str) -> tuple[int, str, str]:
        code = run(list(words))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call
