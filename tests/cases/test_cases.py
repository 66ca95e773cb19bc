"""Worked accounts: every expected number is a formula in exact fractions, then asked of the engine.

The .toml files beside this one hold the cases. `formulas` and `expect` are evaluated without
importing crossmargin; only then are the engine and its slow twin asked for the same numbers.
"""

from __future__ import annotations

import math
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest

from cases.formulas import evaluate

HERE = Path(__file__).parent
RTOL = 1e-9  # the engine works in float64; the longest sum here has some thirty terms
VERDICTS = ("UNPRICED", "BANKRUPT", "LIQUIDATABLE", "REDUCE_ONLY", "HEALTHY")


def read_cases() -> list[dict[str, object]]:
    found = []
    for path in sorted(HERE.glob("*.toml")):
        if path.stem != "rulebook":
            found += [{**c, "file": path.stem} for c in tomllib.loads(path.read_text())["case"]]
    return found


CASES = read_cases()


def expected(case: dict[str, object]) -> list[dict[str, object]]:
    """One table a pool: name -> exact fraction, or a word, inf or a verdict."""
    names = {k: Fraction(str(v)) for k, v in case.get("inputs", {}).items()}
    for name, text in case.get("formulas", {}).items():
        names[name] = evaluate(text, names)
    tables = []
    for pool in case["pools"]:
        table: dict[str, object] = {}
        for key, text in pool.get("expect", {}).items():
            word = text in VERDICTS or text in ("inf", "-inf") or key == "binding"
            table[key] = text if word else evaluate(text, names)
        tables.append(table)
    return tables


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 25
    titles = [c["title"] for c in CASES]
    assert len(set(titles)) == len(titles)
    assert all(pool.get("expect") for c in CASES for pool in c["pools"])


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['file']}: {c['title']}")
def test_the_engine_and_the_twin_say_what_the_formulas_say(case: dict[str, object]) -> None:
    want = expected(case)  # before anything of crossmargin is imported by this case
    from cases.build import rows_of

    for who, rows in rows_of(case).items():
        for pool, row, table in zip(case["pools"], rows, want, strict=True):
            for key, value in table.items():
                check(f"{who}, {pool.get('pool', 'shared')}.{key}", row[key], value)


def check(where: str, got: object, want: object) -> None:
    if isinstance(want, str) and want in VERDICTS:
        assert VERDICTS[int(got)] == want, where
    elif isinstance(want, str) and want in ("inf", "-inf"):
        assert got == float(want), where
    elif isinstance(want, str):
        assert got == want, where
    else:
        number = float(want)
        assert math.isclose(got, number, rel_tol=RTOL, abs_tol=1e-9), f"{where}: {got} != {number}"
