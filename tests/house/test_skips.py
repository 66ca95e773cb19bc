"""A skip that is not declared fails the run: seen red in a run of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"

RUN = """
import importlib.util, pathlib, sys, pytest
spec = importlib.util.spec_from_file_location("shared_conftest", sys.argv[1])
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
plugin = shared.SkipsAreDeclared(pathlib.Path("skips.txt"))
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "test_it.py"], plugins=[plugin]))
"""
SKIPPING = """
import pytest
@pytest.mark.parametrize("n", [1, 2])
def test_skips(n):
    pytest.skip("no folder with real data")
@pytest.mark.skipif(True, reason="not on this system")
def test_marked(): ...
def test_runs(): ...
"""


def run(folder: Path, skips: str, test: str = SKIPPING) -> subprocess.CompletedProcess[str]:
    (folder / "skips.txt").write_text(skips)
    (folder / "test_it.py").write_text(test)
    (folder / "pytest.ini").write_text("[pytest]\n")
    quiet = {**os.environ, "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-c", RUN, str(CONFTEST)]
    return subprocess.run(
        command, cwd=folder, env=quiet, capture_output=True, text=True, check=False
    )


DECLARED = "2 no folder with real data\n# a comment\n1 not on this system\n"


@pytest.mark.parametrize(
    ("skips", "code", "complaints"),
    [
        (DECLARED, 0, 0),
        (DECLARED.replace("2 ", "3 "), 0, 0),  # fewer skips than allowed is fine
        (DECLARED.replace("2 ", "1 "), 1, 1),  # one more than allowed
        ("1 not on this system", 1, 2),
        ("", 1, 3),
    ],
    ids=["declared", "fewer", "one_more", "other_reason", "nothing_declared"],
)
def test_an_undeclared_skip_fails_the_run(
    tmp_path: Path, skips: str, code: int, complaints: int
) -> None:
    done = run(tmp_path, skips)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout.count("undeclared skip") == complaints
    assert "1 passed, 3 skipped" in done.stdout.splitlines()[-1]


def test_a_skipped_module_counts_too(tmp_path: Path) -> None:
    test = "import pytest\npytest.skip('no engine', allow_module_level=True)\n"
    done = run(tmp_path, "", test + "def test_x(): ...\n")
    assert "undeclared skip" in done.stdout
    assert done.returncode != 0
