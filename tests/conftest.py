"""Shared by all tests: fresh kernels, Hypothesis profiles, and skips that must be declared."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
SKIPS = ROOT / "tests" / "skips.txt"

_COMMON = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
# The short form is seeded: the same examples on every machine, so that a red run is a change.
settings.register_profile("test", max_examples=200, derandomize=True, database=None, **_COMMON)
settings.register_profile("soak", max_examples=5_000, **_COMMON)
# Mutants run kernels uncompiled and thousands of times: few examples, the same ones each time.
settings.register_profile("mutants", max_examples=15, derandomize=True, database=None, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))


def declared_skips(text: str) -> Counter[str]:
    """Return reason -> how many skips it may explain; a line is a count and a reason."""
    allowed: Counter[str] = Counter()
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            count, reason = line.split(maxsplit=1)
            allowed[reason.strip()] += int(count)
    return allowed


def undeclared_skips(happened: list[tuple[str, str]], allowed: Counter[str]) -> list[str]:
    """Return one line per skip (test, reason) that no line of the list has room for."""
    room = Counter(allowed)
    over = []
    for test, reason in happened:
        room[reason] -= 1
        if room[reason] < 0:
            over.append(f"{test}: {reason}")
    return over


class SkipsAreDeclared:
    """A run fails if a test skips for a reason, or more often, than tests/skips.txt says."""

    def __init__(self, skips: Path) -> None:
        self.skips = skips
        self.happened: list[tuple[str, str]] = []
        self.over: list[str] = []

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            longrepr = report.longrepr
            reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
            self.happened.append((report.nodeid, reason.removeprefix("Skipped: ")))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        # Two workers report the same module skipped while collecting: it counts once.
        self.happened = sorted(set(self.happened))
        text = self.skips.read_text() if self.skips.exists() else ""
        self.over = undeclared_skips(self.happened, declared_skips(text))
        if self.over and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for test, reason in self.happened:
            terminalreporter.write_line(f"skipped: {test}: {reason}")
        for line in self.over:
            terminalreporter.write_line(
                f"undeclared skip, add it to tests/skips.txt: {line}", red=True
            )


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # once per run, not once per worker
        return
    config.pluginmanager.register(SkipsAreDeclared(SKIPS), "skips-are-declared")
    # The same call `make` does, so that a bare `pytest` never tests yesterday's kernels.
    found = importlib.util.spec_from_file_location(
        "fresh_kernels", ROOT / "tools" / "fresh_kernels.py"
    )
    assert found is not None
    assert found.loader is not None
    fresh = importlib.util.module_from_spec(found)
    found.loader.exec_module(fresh)
    fresh.clear_if_changed()
