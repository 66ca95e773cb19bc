"""The architecture as functions: each takes a source root and returns what breaks the rule.

A rule answers with a list of sentences, one for each violation, and an empty list where it holds.
The tests run every rule on the source, and again on a planted violation.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = "crossmargin"

FLOORS = [  # imports point down only; names on one line are strangers
    "apps",
    "api",
    "simulation calibration optimise adapters cluster conformance",
    "engine",
    "liquidation inquiry",
    "methods",
    "margin oracle attest",
    "frames ledger reference",
    "domain kernels",
    "base",
]
FLOOR = {name: -height for height, line in enumerate(FLOORS) for name in line.split()}
# The package's own __init__ re-exports the names of api, so it stands beside it.
ROOT_FLOOR = FLOOR["api"]

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
PARAMETERS_MAX = 6
KERNEL_PARAMETERS_MAX = 12

HEADED = (
    "kernels", "frames", "ledger", "margin", "oracle", "methods", "inquiry", "engine",
    "liquidation",
)  # fmt: skip
HEADINGS = ("In", "Out", "Owns", "Never", "Signs", "Spec")


@dataclass(frozen=True)
class Import:
    """One imported module: by which file, on which line, as which dotted name."""

    path: Path
    line: int
    module: str

    @property
    def target(self) -> str:
        """The top-level name of ours (`margin`), "" for the package itself."""
        return [*self.module.split("."), ""][1]

    @property
    def ours(self) -> bool:
        return self.module.split(".")[0] == PACKAGE


def sources(src: Path, *homes: str) -> list[Path]:
    """Return the modules under src/crossmargin, or those of some top-level names only."""
    found = sorted((src / PACKAGE).rglob("*.py"))
    return [path for path in found if not homes or home(src, path) in homes]


def home(src: Path, path: Path) -> str:
    """Return the top-level name a file belongs to, "" for the package's own __init__."""
    first = path.relative_to(src / PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def dotted(src: Path, path: Path) -> str:
    """Return the module's dotted name."""
    return ".".join(path.relative_to(src).with_suffix("").parts).removesuffix(".__init__")


@cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(src: Path, *homes: str) -> Iterator[Import]:
    """Yield every import, also those inside functions and under TYPE_CHECKING."""
    for path in sources(src, *homes):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(path, node.lineno, alias.name)
            elif isinstance(node, ast.ImportFrom):
                yield from _from_import(src, path, node)
            elif isinstance(node, ast.Call) and _name(node.func).endswith("import_module"):
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield Import(path, node.lineno, first.value)


def _from_import(src: Path, path: Path, node: ast.ImportFrom) -> Iterator[Import]:
    base = node.module or ""
    if node.level:
        package = dotted(src, path).split(".")
        if path.name != "__init__.py":
            package = package[:-1]
        parents = package[: len(package) - node.level + 1]
        base = ".".join([*parents, *([base] if base else [])])
    for alias in node.names:
        # `from crossmargin import margin` and `from crossmargin.methods import cross` name modules
        # too, so the imported name is looked up and counts where it is one.
        full = f"{base}.{alias.name}"
        yield Import(path, node.lineno, full if _is_module(src, full) else base)


def _is_module(src: Path, module: str) -> bool:
    path = src.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def _name(node: ast.expr) -> str:
    """Return `a.b.c` for a dotted expression, "" for anything else."""
    if isinstance(node, ast.Attribute):
        before = _name(node.value)
        return f"{before}.{node.attr}" if before else node.attr
    return node.id if isinstance(node, ast.Name) else ""


# --- floors ---------------------------------------------------------------------------------------


def breaks_floors(src: Path) -> list[str]:
    """Imports point down only; a name without a floor is refused as well."""
    broken = []
    for path in sources(src):
        if (here := home(src, path)) and here not in FLOOR:
            broken.append(f"{path}: {here} stands on no floor")
    for found in imports(src):
        here = home(src, found.path)
        if not found.ours or not found.target or here == found.target:
            continue
        if found.target not in FLOOR:
            broken.append(f"{found.path}:{found.line}: {found.target} stands on no floor")
        elif not FLOOR[found.target] < FLOOR.get(here, ROOT_FLOOR + 1):
            broken.append(f"{found.path}:{found.line}: {here} may not use {found.target}")
    return broken


# --- bans -----------------------------------------------------------------------------------------

KERNELS_MAY = {"numpy", "numba", "math", "__future__", "typing", "collections", "dataclasses"}
# Modules that are about the compiler: its disk cache and threads, and its vector instructions.
COMPILER = ("compiled", "lanes")
COMPILER_MAY = KERNELS_MAY | {"hashlib", "os", "pathlib", "concurrent", "threading", "llvmlite"}
DOMAIN_MAY_NOT = {"numpy", "numba", "scipy", "polars", "pyarrow", "pandas", "pathlib", "os", "io"}
REFERENCE_MAY_NOT = {"numpy", "numba", "scipy", "polars", "pyarrow", "pandas", "sklearn"}
EDGE_ONLY = {"socket", "asyncio", "requests", "urllib", "http", "httpx", "aiohttp", "ssl"}
CLOCKS = {
    "time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
}  # fmt: skip
# May import a method by name: the registry, and the methods themselves.
PICKS_METHODS = f"{PACKAGE}.methods.registry"


def breaks_bans(src: Path) -> list[str]:
    """Imports the table of docs/architecture.md forbids beyond the floors."""
    broken = []
    for found in imports(src):
        reason = _banned(home(src, found.path), found)
        if reason:
            broken.append(f"{found.path}:{found.line}: {reason}")
    return broken


def _banned(here: str, found: Import) -> str:
    top = found.module.split(".")[0]
    if found.ours and found.target == "":
        return "" if here in ("apps", "adapters", "api") else "no module imports the package itself"
    if here == "reference":
        return _banned_in_reference(found, top)
    if here == "kernels":
        if found.ours:
            allowed = found.target in ("base", "kernels")
            return "" if allowed else f"kernels may not use {found.target}"
        may = COMPILER_MAY if found.path.stem in COMPILER else KERNELS_MAY
        return "" if top in may else f"kernels know arrays only, not {top}"
    if top == "numba":
        return "compiled code stands in kernels"
    if here == "domain" and top in DOMAIN_MAY_NOT:
        return f"domain knows no arrays and no files, not {top}"
    if here == "base" and found.ours and found.target != "base":
        return f"base imports nothing of ours, not {found.target}"
    if here == "base" and found.path.stem == "fixed" and top in {"numpy", "decimal"}:
        return f"exact integers need no {top}"
    if here not in ("adapters", "apps", "cluster") and top in EDGE_ONLY:
        return f"only adapters may use {top}"
    if found.ours and found.target == "api" and here not in ("apps", "api", ""):
        return f"nothing below apps may use api, {here} does"
    if here == "inquiry" and found.target == "methods" and found.module != PICKS_METHODS:
        return f"inquiry asks the registry, not {found.module}"
    return _banned_by_row(here, found)


def _banned_in_reference(found: Import, top: str) -> str:
    if found.ours and found.target not in ("base", "domain", "reference"):
        return f"reference may not use {found.target}"
    if found.ours and found.module == f"{PACKAGE}.base.arrays":
        return "reference knows no arrays, not even their names"
    return f"reference is plain Python, without {top}" if top in REFERENCE_MAY_NOT else ""


def _banned_by_row(here: str, found: Import) -> str:
    """The rows of single modules: the auditor, calibration, the zone index."""
    audits = here == "simulation" and found.path.stem in ("auditor", "differences")
    if audits and found.target in ("margin", "methods", "kernels"):
        return f"the auditor is a second opinion, it may not use {found.target}"
    if here == "calibration" and found.target == "engine":
        return "calibration proposes and never adopts, it may not use engine"
    zones = found.module.startswith(f"{PACKAGE}.kernels.zones")
    return "kernels.zones belongs to engine.runtime" if zones and here != "engine" else ""


def reads_the_clock(src: Path) -> list[str]:
    """Time is an argument: only adapters call a wall clock."""
    broken = []
    for path in sources(src):
        if home(src, path) == "adapters":
            continue
        from_time = {
            alias.asname or alias.name
            for node in ast.walk(parsed(path))
            if isinstance(node, ast.ImportFrom) and node.module == "time"
            for alias in node.names
            if alias.name in ("time", "time_ns")
        }
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call):
                name = _name(node.func)
                last_two = ".".join(name.split(".")[-2:])
                if last_two in CLOCKS or name in from_time:
                    broken.append(f"{path}:{node.lineno}: {name}() is a wall clock")
    return broken


def calls_print(src: Path) -> list[str]:
    """A library is a guest: only apps write to the terminal."""
    return [
        f"{path}:{node.lineno}: only apps may print"
        for path in sources(src)
        if home(src, path) != "apps"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and _name(node.func) == "print"
    ]


# --- budgets --------------------------------------------------------------------------------------


def sizes(src: Path) -> Iterator[tuple[str, str, int, int]]:
    """Yield (what, kind, measured, allowed) of every module and function."""
    for path in sources(src):
        module = dotted(src, path)
        lines = len(path.read_text(encoding="utf-8").splitlines())
        yield module, "lines", lines, MODULE_LINES_MAX
        yield from _function_sizes(parsed(path), module, home(src, path) == "kernels")


def _function_sizes(
    tree: ast.AST, prefix: str, kernel: bool
) -> Iterator[tuple[str, str, int, int]]:
    for node in ast.iter_child_nodes(tree):
        name = prefix
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{prefix}.{node.name}"
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            yield name, "function_lines", length, FUNCTION_LINES_MAX
            allowed = KERNEL_PARAMETERS_MAX if kernel else PARAMETERS_MAX
            yield name, "parameters", _n_parameters(node.args), allowed
        elif isinstance(node, ast.ClassDef):
            name = f"{prefix}.{node.name}"
        yield from _function_sizes(node, name, kernel)


def _n_parameters(args: ast.arguments) -> int:
    named = [arg.arg for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs]]
    return len([name for name in named if name not in ("self", "cls")])


def breaks_budgets(src: Path, exceptions: dict[str, dict[str, object]]) -> list[str]:
    """Nothing is larger than its budget, or than the exception it is listed with.

    An exception is a ratchet: one that is no longer needed, or allows more than is used, is broken
    too, so that what shrank stays small.
    """
    broken = []
    used: set[tuple[str, str]] = set()
    for what, kind, measured, allowed in sizes(src):
        listed = exceptions.get(what, {})
        limit = listed.get(kind, allowed)
        assert isinstance(limit, int)
        if measured > limit:
            broken.append(f"{what}: {kind} {measured}, allowed {limit}")
        if kind in listed and measured > allowed:
            used.add((what, kind))
    for what, listed in exceptions.items():
        if not str(listed.get("reason", "")).strip():
            broken.append(f"{what}: an exception needs a reason")
        broken += [
            f"{what}: the exception for {kind} is not needed any more"
            for kind in listed
            if kind != "reason" and (what, kind) not in used
        ]
    return broken


def read_exceptions(path: Path) -> dict[str, dict[str, object]]:
    """Return what is excepted: dotted name -> budget kind -> limit, with its reason."""
    return tomllib.loads(path.read_text())


# --- headers and names ----------------------------------------------------------------------------


def lacks_header(src: Path) -> list[str]:
    """Every module of the risk path says In, Out, Owns, Never, Signs, Spec before anything else."""
    broken = []
    for path in sources(src, *HEADED):
        if path.name == "__init__.py":
            continue
        doc = ast.get_docstring(parsed(path)) or ""
        starts = {line.split()[0].rstrip(":") for line in doc.splitlines() if line.strip()}
        missing = [heading for heading in HEADINGS if heading not in starts]
        if missing:
            broken.append(f"{path}: its docstring lacks {', '.join(missing)}")
    return broken


def lacks_docstring(src: Path) -> list[str]:
    """Every module says in a sentence what it is."""
    return [f"{path}: no docstring" for path in sources(src) if not ast.get_docstring(parsed(path))]


def is_a_second_version(src: Path) -> list[str]:
    """No `scan_v2`, `scan2_new` or `types.py` that knots others together."""
    broken = []
    for path in sources(src):
        stem = path.stem
        if stem in ("types", "typing", "utils", "util", "helpers", "common", "misc"):
            broken.append(f"{path}: a module is named for what it owns, not {stem}")
        if stem.endswith(("_new", "_old", "_v1", "_v2", "_v3", "_2", "_copy", "_backup")):
            broken.append(f"{path}: a second version replaces the first")
    return broken


# --- project text ---------------------------------------------------------------------------------

# Put together here so that this file does not hold what it forbids.
MACHINE_PATHS = tuple("/" + name for name in ("work/", "root/", "tmp/", "home/"))
PROJECT_TEXT = (
    ".py", ".toml", ".md", ".txt", ".json", ".sh", ".ipynb", ".cfg", ".ini", ".yml", ".yaml",
    ".csv", ".html", "Makefile", "run", ".gitignore",
)  # fmt: skip


def names_a_machine(root: Path, files: list[str]) -> list[str]:
    """No text of the project holds an absolute path of the machine it was written on."""
    broken = []
    for name in files:
        path = root / name
        if not name.endswith(PROJECT_TEXT) or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            for marker in MACHINE_PATHS:
                at = line.find(marker)
                # A path inside a longer one (`data/tmp/`) is not absolute.
                if at >= 0 and not (at and (line[at - 1].isalnum() or line[at - 1] in "._-})$")):
                    broken.append(f"{name}:{number}: names {marker}")
    return broken
