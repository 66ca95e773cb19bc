"""`--help` answers at once: nothing heavy is imported for it."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

HEAVY = ("numba", "numpy", "polars", "pyarrow", "matplotlib", "plotly", "scipy", "sklearn")
CALL = "from crossmargin.apps.cli import main; main({words!r})"
SECONDS = 0.5


def timed(words: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", CALL.format(words=words)], check=True, capture_output=True
    )
    return time.perf_counter() - started


def test_help_is_quick() -> None:
    # The best of some: another process on the machine is not what is measured.
    best = min(timed(["--help"]) for _ in range(5))
    print(f"help: {best:.2f} s")
    assert best < SECONDS


@pytest.mark.parametrize("words", [["--help"], ["margin", "--help"], ["rulebook", "lint", "-h"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\nfrom crossmargin.apps.cli.program import run\n"
        f"assert run({words!r}) == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def test_help_names_every_command() -> None:
    code = "from crossmargin.apps.cli.program import run; run(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    for name in ("margin", "explain", "whatif", "liquidation-price", "liquidate", "frontier",
                 "compare", "stress", "oracle", "greeks", "rulebook", "demo", "real"):  # fmt: skip
        assert f"│ {name} " in done.stdout
