"""House rules are tests: each runs on the source, and again on a planted violation."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from house import rules

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
EXCEPTIONS = Path(__file__).with_name("exceptions.toml")
EXPORTED = Path(__file__).with_name("exported.txt")


def project_files(root: Path) -> list[str]:
    """Return what git tracks or would; in a copy without git, every file outside hidden folders."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:
        return listed.stdout.splitlines()
    found = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    return [str(path) for path in found if not any(part.startswith(".") for part in path.parts)]


def exported(api: Path) -> list[str]:
    """Return `__all__` of a module without importing it."""
    for node in ast.parse(api.read_text()).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "__all__":
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            assert node.value is not None
            return list(ast.literal_eval(node.value))
    return []


# --- the source -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [
        rules.breaks_floors,
        rules.breaks_bans,
        rules.reads_the_clock,
        rules.calls_print,
        rules.lacks_header,
        rules.lacks_docstring,
        rules.is_a_second_version,
    ],
    ids=lambda rule: rule.__name__,
)
def test_source_keeps_the_rule(rule: Callable[[Path], list[str]]) -> None:
    assert rule(SRC) == []


def test_source_keeps_its_budgets() -> None:
    assert rules.breaks_budgets(SRC, rules.read_exceptions(EXCEPTIONS)) == []


def test_no_text_names_a_machine() -> None:
    assert rules.names_a_machine(ROOT, project_files(ROOT)) == []


def test_public_names_are_the_listed_ones() -> None:
    api = SRC / "crossmargin" / "api" / "__init__.py"
    listed = [line for line in EXPORTED.read_text().split("\n") if line and line[0] != "#"]
    assert listed == sorted(listed), f"{EXPORTED.name} is not sorted"
    assert sorted(exported(api)) == listed


def test_every_floor_is_a_name_once() -> None:
    names = [name for line in rules.FLOORS for name in line.split()]
    assert len(names) == len(set(names))


# --- the rules, seen red --------------------------------------------------------------------------


@pytest.fixture
def planted(tmp_path: Path) -> Callable[[str, str], Path]:
    """Return a function that writes one module into an empty source and gives its root."""

    def plant(module: str, text: str) -> Path:
        for home in ["", *(set(rules.FLOOR) - {"api"})]:
            folder = tmp_path / rules.PACKAGE / home
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "__init__.py").write_text('"""A package."""\n')
        (tmp_path / rules.PACKAGE / "api.py").write_text('"""Names."""\n')
        for name in ("kernels.scan", "methods.cross", "methods.registry", "base.arrays"):
            path = tmp_path.joinpath(rules.PACKAGE, *name.split(".")).with_suffix(".py")
            path.write_text('"""In Out.\n\nIn\nOut\nOwns\nNever\nSigns\nSpec\n"""\n')
        path = tmp_path.joinpath(rules.PACKAGE, *module.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return tmp_path

    return plant


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("margin.up", "import crossmargin.methods"),
        ("margin.up", "from crossmargin import methods"),
        ("margin.up", "from crossmargin.methods.cross import assess"),
        ("margin.up", "from ..methods import cross"),
        ("margin.up", "def f():\n    from crossmargin.api import assess"),
        ("margin.up", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
                      "    from crossmargin.engine import decide"),
        ("margin.up", "from importlib import import_module\nimport_module('crossmargin.api')"),
        ("frames.sideways", "import crossmargin.reference"),
        ("domain.sideways", "from crossmargin.kernels import scan"),
        ("adapters.sideways", "import crossmargin.simulation"),
        ("margin.nowhere", "import crossmargin.somewhere"),
        ("somewhere.new", "X = 1"),
        ("base.up", "import crossmargin.domain"),
    ],
)  # fmt: skip
def test_a_planted_upward_import_is_found(
    planted: Callable[[str, str], Path], module: str, text: str
) -> None:
    assert len(rules.breaks_floors(planted(module, text))) == 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("margin.down", "from crossmargin.kernels.scan import worst"),
        ("margin.down", "from . import neighbour\nfrom .neighbour import x"),
        ("apps.down", "from crossmargin import api, __version__"),
        ("apps.down", "import crossmargin"),
        ("inquiry.down", "from crossmargin.methods import registry"),
        ("methods.down", "from .cross import assess"),
    ],
)
def test_an_import_that_points_down_is_fine(
    planted: Callable[[str, str], Path], module: str, text: str
) -> None:
    src = planted(module, text)
    assert rules.breaks_floors(src) == []
    assert rules.breaks_bans(src) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("reference.ban", "import numpy as np"),
        ("reference.ban", "from crossmargin.kernels.scan import worst"),
        ("reference.ban", "from crossmargin.base.arrays import F64"),
        ("reference.ban", "from crossmargin.base import arrays"),
        ("kernels.ban", "from crossmargin.domain import assets"),
        ("kernels.ban", "import polars"),
        ("kernels.ban", "def f():\n    import logging"),
        ("kernels.ban", "from pathlib import Path"),
        ("margin.ban", "from numba import njit"),
        ("domain.ban", "import numpy"),
        ("domain.ban", "from pathlib import Path"),
        ("margin.ban", "import socket"),
        ("inquiry.ban", "import asyncio"),
        ("frames.ban", "from urllib.request import urlopen"),
        ("methods.ban", "import requests"),
        ("simulation.ban", "import crossmargin.api"),
        ("inquiry.ban", "from crossmargin.methods.cross import assess"),
        ("inquiry.ban", "from crossmargin.methods import cross"),
        ("simulation.auditor", "import crossmargin.margin"),
        ("simulation.differences", "import crossmargin.kernels"),
        ("calibration.ban", "import crossmargin.engine"),
        ("margin.ban", "import crossmargin.kernels.zones"),
        ("margin.ban", "import crossmargin"),
        ("base.fixed", "import numpy"),
        ("base.ban", "import crossmargin.domain"),
    ],
)
def test_a_planted_banned_import_is_found(
    planted: Callable[[str, str], Path], module: str, text: str
) -> None:
    assert len(rules.breaks_bans(planted(module, text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import time\nt = time.time()",
        "import time\nt = time.time_ns()",
        "from time import time as now\nt = now()",
        "from datetime import datetime\nt = datetime.now()",
        "import datetime\nt = datetime.datetime.now(datetime.UTC)",
        "import datetime as dt\nt = dt.date.today()",
    ],
)
@pytest.mark.parametrize(("home", "n_found"), [("margin", 1), ("apps", 1), ("adapters", 0)])
def test_a_planted_clock_is_found_except_in_adapters(
    planted: Callable[[str, str], Path], text: str, home: str, n_found: int
) -> None:
    assert len(rules.reads_the_clock(planted(f"{home}.clock", text))) == n_found


def test_a_stopwatch_is_no_clock(planted: Callable[[str, str], Path]) -> None:
    assert rules.reads_the_clock(planted("margin.fine", "import time\ntime.perf_counter()")) == []


def test_a_planted_print_is_found(planted: Callable[[str, str], Path]) -> None:
    assert len(rules.calls_print(planted("margin.loud", "print(1)"))) == 1


@pytest.mark.parametrize(
    ("module", "text", "kind"),
    [
        ("margin.big", "X = 1\n" * 401, "lines 401"),
        ("margin.big", "def f():\n" + "    x = 1\n" * 70, "function_lines 71"),
        ("margin.big", "class C:\n  def f(self):\n" + "    x = 1\n" * 70, "function_lines 71"),
        ("margin.big", "def f(a, b, c, d, e, f, g): ...", "parameters 7"),
        ("margin.big", "def f(a, /, b, c, d, e, *, f, g): ...", "parameters 7"),
        ("kernels.big", f"def f({', '.join(f'a{n}' for n in range(13))}): ...", "parameters 13"),
    ],
)
def test_a_planted_giant_is_found_unless_listed_with_a_reason(
    planted: Callable[[str, str], Path], module: str, text: str, kind: str
) -> None:
    src = planted(module, text)
    broken = rules.breaks_budgets(src, {})
    assert len(broken) == 1
    assert kind in broken[0]
    what, (name, size) = broken[0].split(":")[0], kind.split()
    assert rules.breaks_budgets(src, {what: {name: int(size), "reason": "a table"}}) == []
    assert len(rules.breaks_budgets(src, {what: {name: int(size)}})) == 1, "no reason given"


def test_sizes_at_the_budget_are_fine_and_an_idle_exception_is_not(
    planted: Callable[[str, str], Path],
) -> None:
    text = "def f(self, a, b, c, d, e, g):\n" + "    x = 1\n" * 69 + "X = 1\n" * 330
    src = planted("margin.full", text)  # 400 lines, 70 of them one function, six parameters
    assert rules.breaks_budgets(src, {}) == []
    idle = {"crossmargin.margin.full": {"lines": 500, "reason": "was larger once"}}
    assert len(rules.breaks_budgets(src, idle)) == 1


@pytest.mark.parametrize("missing", rules.HEADINGS)
def test_a_header_without_one_heading_is_found(
    planted: Callable[[str, str], Path], missing: str
) -> None:
    lines = [f"{heading} x" for heading in rules.HEADINGS if heading != missing]
    text = '"""Scan.\n\n' + "\n".join(lines) + '\n"""\n'
    broken = rules.lacks_header(planted("margin.scan", text))
    assert len(broken) == 1
    assert missing in broken[0]


def test_a_module_without_a_docstring_is_found(planted: Callable[[str, str], Path]) -> None:
    assert len(rules.lacks_docstring(planted("base.bare", "X = 1\n"))) == 1


@pytest.mark.parametrize("name", ["scan_v2", "scan_new", "utils", "types"])
def test_a_second_version_or_a_drawer_is_found(
    planted: Callable[[str, str], Path], name: str
) -> None:
    assert len(rules.is_a_second_version(planted(f"margin.{name}", '"""X."""\n'))) == 1


def test_a_text_that_names_a_machine_is_found(tmp_path: Path) -> None:
    for number, path in enumerate(rules.MACHINE_PATHS):
        (tmp_path / f"bad{number}.md").write_text(f"one\nsee `{path}x` there\n")
        (tmp_path / f"good{number}.md").write_text(f"see data{path}x and ./a{path}\n")
    names = sorted(path.name for path in tmp_path.iterdir())
    broken = rules.names_a_machine(tmp_path, names)
    assert [line.split(":")[0] for line in broken] == [n for n in names if n.startswith("bad")]
    assert ":2: " in broken[0]


def test_exported_names_are_read_without_an_import(tmp_path: Path) -> None:
    api = tmp_path / "api.py"
    api.write_text("__all__: list[str] = ['assess', 'Book']\nraise RuntimeError\n")
    assert exported(api) == ["assess", "Book"]
