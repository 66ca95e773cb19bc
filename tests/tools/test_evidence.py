"""The evidence table says pass only where a figure was printed and meets its target."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load() -> ModuleType:
    found = importlib.util.spec_from_file_location("evidence", ROOT / "tools" / "evidence.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["evidence"] = module  # dataclasses look their module up
    found.loader.exec_module(module)
    return module


evidence = load()


def row(**facts: object) -> object:
    return evidence.Row(
        **{"id": "3a", "line": "l", "command": "make bench", "target": "t", **facts}
    )


@pytest.mark.parametrize(
    ("facts", "code", "output", "verdict", "figure"),
    [
        ({}, 0, "", "pass", "exit code 0"),
        ({}, 1, "", "short", "exit code 1"),
        ({"figure": r"([\d.]+) x", "least": 8}, 0, "9.4 x", "pass", "9.4"),
        ({"figure": r"([\d.]+) x", "least": 8}, 0, "8 x", "pass", "8"),  # the bound is met
        ({"figure": r"([\d.]+) x", "least": 8}, 0, "7.99 x", "short", "7.99"),
        ({"figure": r"([\d.]+) x", "least": 8}, 0, "1 x\n9 x", "pass", "9"),  # the last one counts
        ({"figure": r"([\d.]+) x", "least": 8}, 1, "9.4 x", "short", "9.4"),  # printed, but failed
        ({"figure": r"([\d.]+) x", "least": 8}, 0, "", "short", "exit code 0"),  # not printed
        ({"figure": r"([a-z.]+) x", "least": 8}, 0, "nan x", "short", "nan"),
        ({"figure": r"([\d.]+) ms", "most": 2}, 0, "1.5 ms", "pass", "1.5"),
        ({"figure": r"([\d.]+) ms", "most": 2}, 0, "2.5 ms", "short", "2.5"),
        ({"figure": r"(\d[\d,]*) rows", "least": 1200}, 0, "1,239 rows", "pass", "1,239"),
        ({"figure": "a (b)|c (d)"}, 0, "c d", "pass", "d"),
        ({}, 2, "make: *** No rule to make target 'bench'.", "open", ""),
        ({}, 1, "python: No module named benchmarks", "open", ""),
        ({"command": "python -m pytest tests/laws"}, 4, "file not found", "open", ""),
        ({"command": "python -m pytest -k x"}, 5, "no tests ran", "open", ""),
        ({"command": "python -m pytest tests/laws"}, 1, "1 failed", "short", "exit code 1"),
    ],
)
def test_a_run_is_judged_by_its_figure(
    facts: dict[str, object], code: int, output: str, verdict: str, figure: str
) -> None:
    got = evidence.judge(row(**facts), code, output, "abc1234", 1.0)
    assert (got.verdict, got.figure) == (verdict, figure)


def test_a_row_not_run_keeps_its_figure_and_commit(tmp_path: Path) -> None:
    rows = [row(id="1a"), row(id="1b")]
    known = {"1a": evidence.Outcome("pass", "9 x", "abc1234"), "gone": evidence.Outcome()}
    evidence.save(tmp_path, rows, known)
    assert evidence.load_known(tmp_path / "evidence.json") == {"1a": known["1a"]}
    text = (tmp_path / "evidence.md").read_text()
    assert "| 1a | l | `make bench` | t | 9 x | pass | abc1234 |" in text
    assert "| 1b | l | `make bench` | t | - | **open** | - |" in text
    assert "1 pass, 0 short, 1 open." in text


@pytest.mark.parametrize(
    ("only", "extra", "want"),
    [
        ([], set(), ["1a"]),
        ([], {"bench"}, ["1a", "3a"]),
        (["3"], set(), ["3a"]),  # naming a row asks for what it needs
        (["1a", "3"], set(), ["1a", "3a"]),
    ],
)
def test_rows_are_chosen(only: list[str], extra: set[str], want: list[str]) -> None:
    rows = [row(id="1a"), row(id="3a", needs="bench")]
    assert [picked.id for picked in evidence.chosen(rows, only, extra)] == want


def test_the_list_is_well_formed_and_its_page_is_current() -> None:
    docs = ROOT / "docs"
    rows = evidence.read_rows((docs / "evidence.toml").read_text())
    known = evidence.load_known(docs / "evidence.json")
    assert (docs / "evidence.md").read_text() == evidence.page(rows, known), "run make evidence"


@pytest.mark.parametrize(
    "text",
    [
        '[[row]]\nid="1"\nline="l"\ncommand="c"\ntarget="t"\nmin=1',
        '[[row]]\nid="1"\nline="l"\ncommand="c"\ntarget="t"\nneeds="luck"',
        '[[row]]\nid="1"\nline="l"\ncommand="c"\ntarget="t"\n' * 2,
    ],
    ids=["unknown_key", "unknown_need", "id_twice"],
)
def test_a_malformed_list_is_refused(text: str) -> None:
    with pytest.raises(SystemExit):
        evidence.read_rows(text)
