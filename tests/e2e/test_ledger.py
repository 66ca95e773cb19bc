"""The walk-through of docs/ledger.md as a reader types it, and the example from Python."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from e2e.test_examples import load

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ledger.md").read_text()


def test_the_walk_through_runs_as_printed(tmp_path: Path) -> None:
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S))
    assert script.count("crossmargin ledger") >= 10
    # The command that stands beside this Python, as it does in a reader's environment.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PATH": path}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (printed,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.M | re.S)
    for line in printed.splitlines():
        assert without_stamp(line) in [without_stamp(x) for x in done.stdout.splitlines()], line
    assert '"reason":"balance_short"' in done.stdout
    assert "1 account: 1 imported" in done.stdout
    assert "sound" in done.stdout
    for name in ("alice.csv", "alice.png", "monday.backup", "tables/postings.parquet"):
        assert (tmp_path / name).stat().st_size > 0, name


def without_stamp(line: str) -> list[str]:
    """Return the words of a line of a statement, but for when it was."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "", line).split()


def test_the_example_ends_in_the_state_it_replays_to(capsys) -> None:
    found = load("ledger_story").main()
    said = capsys.readouterr().out
    # 20,000 - 0.5 fee - 0.9 funding of 3 contracts - 5,000: the second withdrawal is refused.
    assert "balance_short, asked 50000000000, free 14998600000" in said
    assert "sent again: 6 repeated" in said
    assert found.wrong == ()
