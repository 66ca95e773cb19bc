"""Mutate kernels and margin with mutmut; print the share killed and list the survivors.

mutmut leaves decorated functions alone, and a compiled kernel could not be mutated while it runs.
So it works on a copy of the project in which the kernels' decorators are gone: the same functions
as plain Python, slower and mutable. What cannot be written so (vector instructions) is given plain
words by tests/standins/, appended to the copied module. Tests run there with few and fixed
Hypothesis examples.

python tools/mutants.py [--only kernels/black76.py,margin] [--tests tests/kernels] [--least 85]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "mutants"
COPIED = ("src", "tests", "tools", "docs", "examples", "pyproject.toml", "README.md", "LICENSE")
# `@compiled`, `@inlined`, `@njit(...)`: whatever turns a function into machine code.
DECORATOR = re.compile(r"^@(?:compiled|inlined|(?:numba\.)?n?jit)\b(?:\([^()]*\))?[ \t]*\n", re.M)
STANDINS = ROOT / "tests" / "standins"
CAUGHT = ("killed", "timeout", "suspicious", "segfault", "caught_by_type_check")


def plain(source: str) -> str:
    """Return kernel source without the decorators that compile it."""
    return DECORATOR.sub("", source)


def settings(only: list[str], tests: list[str]) -> str:
    """Return mutmut's section of pyproject.toml."""
    patterns = [f"src/crossmargin/{name}{'' if name.endswith('.py') else '/*'}" for name in only]
    copied = [name for name in COPIED if name not in ("src", "tests", "pyproject.toml")]
    return "\n".join([
        "", "[tool.mutmut]", 'source_paths = ["src"]', f"only_mutate = {json.dumps(patterns)}",
        'do_not_mutate = ["*/kernels/compiled.py", "*/kernels/lanes.py"]',
        f"also_copy = {json.dumps(copied)}",
        f"pytest_add_cli_args_test_selection = {json.dumps(tests)}",
        'pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:xdist", "--maxfail=1"]',
        "mutate_only_covered_lines = false", "timeout_multiplier = 10.0", "",
    ])  # fmt: skip


def prepare(only: list[str], tests: list[str]) -> None:
    """Copy the project to WORK, kernels as plain Python."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    forget = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc", ".hypothesis")
    for name in COPIED:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, WORK / name, ignore=forget)
        elif path.exists():
            shutil.copy2(path, WORK / name)
    for path in (WORK / "src" / "crossmargin" / "kernels").rglob("*.py"):
        path.write_text(plain(path.read_text()))
    for words in STANDINS.rglob("*.py"):
        with (WORK / "src" / "crossmargin" / words.relative_to(STANDINS)).open("a") as module:
            module.write(f"\n\n{words.read_text()}")
    with (WORK / "pyproject.toml").open("a") as config:
        config.write(settings(only, tests))


def mutmut(*words: str, show: bool) -> str:
    """Run mutmut in WORK and return what it printed."""
    environment = {**os.environ, "HYPOTHESIS_PROFILE": "mutants", "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *words], cwd=WORK, env=environment, text=True,
        stdout=None if show else subprocess.PIPE, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"mutmut {' '.join(words)}: exit code {done.returncode}")
    return done.stdout or ""


def main(arguments: list[str]) -> int:
    """Run it; return 1 where fewer are killed than asked for."""
    parser = argparse.ArgumentParser(description="Mutation test of kernels and margin.")
    parser.add_argument("--only", default="kernels,margin", help="files or folders, with commas")
    parser.add_argument("--tests", default="tests/kernels,tests/margin,tests/methods")
    parser.add_argument("--least", type=float, default=85.0, help="per cent to be killed")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    tests = [name for name in options.tests.split(",") if (ROOT / name).exists()]
    if not tests:
        sys.exit(f"No rule to make target: none of {options.tests} exists")

    prepare(options.only.split(","), tests)
    mutmut("run", "--max-children", str(options.jobs), show=True)
    found = re.findall(r"^\s*(\S+): (.+)$", mutmut("results", "--all", "true", show=False), re.M)
    status = {name: word.strip().replace(" ", "_") for name, word in found}
    survivors = sorted(name for name, word in status.items() if word not in CAUGHT)
    for name in survivors:
        print(f"survivor: {name} ({status[name]})")
    killed = len(status) - len(survivors)
    share = 100.0 * killed / max(1, len(status))
    print(f"killed: {share:.1f} % ({killed} of {len(status)})")
    return 0 if share >= options.least else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
