"""Mutate kernels and margin; print the share of mutants that tests catch, list the others.

The mutants are mutmut's: its operators, applied through its library. Its runner is not used: it
leaves decorated functions alone, cannot change a compiled kernel while it runs, and starts and
collects pytest anew for each mutant, which for 8,000 of them takes most of a day. Here

- kernels run as plain Python: the decorators that compile them do nothing, and vector
  instructions are given plain words by tests/standins/;
- pytest collects once and runs every test once, noting which functions it enters;
- each mutant is a fork of that process in which one function has other code, and runs the tests
  that enter this function, the quickest first, until one fails.

Hypothesis draws few and fixed examples and does not shrink. Results are kept in mutants/, so that
a run that was stopped goes on: a mutant is run again if its function changed, or if it survived
and a test changed.

python tools/mutants.py [--sample 0] [--only kernels/black76.py,margin] [--tests tests/kernels]
"""

from __future__ import annotations

import argparse
import difflib
import functools
import gc
import hashlib
import importlib
import inspect
import json
import math
import os
import re
import resource
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
import numpy as np
import pytest
from mutmut.mutation.file_mutation import create_mutations, deep_replace

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "crossmargin"
STANDINS = ROOT / "tests" / "standins"
KEPT = ROOT / "mutants" / "results.jsonl"
FAILING = ROOT / "mutants" / "failing.txt"
REPORT = ROOT / "docs" / "mutants.md"
REASONS = STANDINS / "equivalent.txt"
TESTS = (
    "tests/kernels,tests/margin,tests/methods,tests/cases,"
    "tests/twins/test_margin_equals_its_twin.py,tests/twins/test_greeks_equal_their_twin.py"
)

# Whatever turns a function into machine code.
DECORATOR = re.compile(r"^@(?:compiled|inlined|borrowing)\b[ \t]*\n", re.M)
# The rest of these two is the compiler's: it does not run here.
PLAIN_ONLY = {
    "kernels/lanes.py": ("aligned_zeros", "items_within"),
    "kernels/compiled.py": ("run_blocks", "usable_cpus"),
}
CAUGHT = ("killed", "timeout", "crashed")
SURVIVED, KILLED = 0, 1  # exit codes of a fork
SLOW_TEST_S = 8.0  # CPU seconds of a test, profiled, beyond which it is left out
SLOW_S = 10.0  # CPU seconds of tests a mutant may meet; a mutant that takes thrice as long hangs
MEMORY = 6 << 30  # bytes of addresses a fork may ask for
ONLY = "kernels,margin"
Z = 1.959964  # 95 % of a normal distribution lie within

HEAD = """# Mutants of kernels and margin

Written by `make mutants`; the reasons are read from tests/standins/equivalent.txt.

**{total}** {size} ({how}).

A mutant is one small change of one function: another operator, number, argument, word. It is
killed when a test fails, or takes three times as long as it should. The mutants are those of
mutmut, by its own operators; kernels run as plain Python, and the vector instructions of
kernels/lanes.py in words (tests/standins). mutmut's runner is not used: it leaves decorated
functions alone, and it starts and collects pytest anew for each mutant; tools/mutants.py collects
once and forks. Not mutated: what only the compiler runs (kernels/lanes.py but for two functions,
and the decorators of kernels/compiled.py), and what runs at import. Tests that cannot pass on
plain kernels, or take too long on them, are left out and named by the run, so a survivor may still
be caught by `make test`. A mutant counts as a survivor also where no test could tell it from the
code: those have their reason beside them.
"""


@dataclass(frozen=True)
class Mutant:
    """One change of one function: where, what, and the function's source before and after."""

    name: str  # kernels/netting.py:take_holdings:12
    path: str  # kernels/netting.py
    function: str  # take_holdings, or Class.method
    before: str
    change: Callable[[], str]

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.before.encode()).hexdigest()[:16]

    def lines(self) -> tuple[str, str]:
        """Return what stood there and what stands there now."""
        pairs = difflib.ndiff(self.before.splitlines(), self.change().splitlines())
        changed = [x for x in pairs if x[:2] in ("- ", "+ ")]
        return tuple(" ".join(x[2:].strip() for x in changed if x[0] == s) for s in "-+")  # type: ignore[return-value]


# --- what is mutated ------------------------------------------------------------------------------


def silent(kernel: Callable[..., object]) -> Callable[..., object]:
    """Return a kernel that divides by zero without a word, as compiled code does."""

    @functools.wraps(kernel)
    def run(*arguments: object) -> object:
        with np.errstate(all="ignore"):
            return kernel(*arguments)

    return run


def make_plain() -> None:
    """Let kernels be plain Python from here on; nothing may have imported one before."""
    compiler = importlib.import_module("crossmargin.kernels.compiled")
    compiler.compiled = silent
    compiler.inlined = compiler.borrowing = lambda kernel: kernel
    for words in STANDINS.rglob("*.py"):
        name = ".".join(words.relative_to(STANDINS).with_suffix("").parts)
        module = importlib.import_module(f"crossmargin.{name}")
        exec(compile(words.read_text(), str(words), "exec"), vars(module))


def functions(module: cst.Module) -> Iterator[tuple[str, cst.FunctionDef]]:
    """Yield the top-level functions and the methods of a module, by name."""
    for node in module.body:
        if isinstance(node, cst.FunctionDef):
            yield node.name.value, node
        elif isinstance(node, cst.ClassDef) and isinstance(node.body, cst.IndentedBlock):
            for child in node.body.body:
                if isinstance(child, cst.FunctionDef):
                    yield f"{node.name.value}.{child.name.value}", child


def mutants_of(path: Path) -> list[Mutant]:
    """Return every mutant of a file, in the order of its text."""
    where = path.relative_to(PACKAGE).as_posix()
    module, mutations, _, _ = create_mutations(str(path), DECORATOR.sub("", path.read_text()))
    found = []
    for name, node in functions(module):
        if where in PLAIN_ONLY and name not in PLAIN_ONLY[where]:
            continue
        before = module.code_for_node(node)
        own = [m for m in mutations if m.contained_by_top_level_function is node]
        for i, mutation in enumerate(own):

            def change(node: cst.FunctionDef = node, m: object = mutation) -> str:
                changed = deep_replace(node, m.original_node, m.mutated_node)  # type: ignore[attr-defined]
                return module.code_for_node(changed)  # type: ignore[arg-type]

            found.append(Mutant(f"{where}:{name}:{i}", where, name, before, change))
    return found


def function_of(mutant: Mutant) -> types.FunctionType:
    """Return the function object a mutant changes; everyone who imported it holds this one."""
    module = importlib.import_module("crossmargin." + mutant.path[:-3].replace("/", "."))
    owner, _, name = mutant.function.rpartition(".")
    found = vars(getattr(module, owner) if owner else module)[name]
    found = inspect.unwrap(getattr(found, "__func__", found))
    assert isinstance(found, types.FunctionType), mutant.name
    return found


def apply(mutant: Mutant) -> None:
    """Give a function its mutated code."""
    old = function_of(mutant)
    text = "from __future__ import annotations\n" + re.sub(
        r"^@\w+\n", "", _dedented(mutant.change()), flags=re.M
    )
    names = dict(old.__globals__)
    exec(compile(text, f"<{mutant.name}>", "exec"), names)
    new = names[mutant.function.rpartition(".")[2]]
    old.__code__, old.__defaults__, old.__kwdefaults__ = (
        new.__code__, new.__defaults__, new.__kwdefaults__,
    )  # fmt: skip


def _dedented(source: str) -> str:
    lines = source.strip("\n").splitlines()
    first = next(line for line in lines if line.strip() and not line.lstrip().startswith("#"))
    indent = len(first) - len(first.lstrip())
    return "\n".join(line[indent:] if line[:indent].isspace() else line for line in lines)


def drawn(mutants: list[Mutant], sample: int, seed: int) -> list[Mutant]:
    """Return `sample` mutants (0: all), drawn by seed and name, in the order of the text."""
    if not 0 < sample < len(mutants):
        return mutants
    rank = {m.name: hashlib.sha256(f"{seed}:{m.name}".encode()).digest() for m in mutants}
    chosen = set(sorted(rank, key=rank.__getitem__)[:sample])
    return [m for m in mutants if m.name in chosen]


# --- running them ---------------------------------------------------------------------------------


class Runner:
    """A pytest plugin that runs each test once, then each mutant before the tests it concerns."""

    def __init__(self, mutants: list[Mutant], kept: Kept, jobs: int) -> None:
        self.mutants, self.kept, self.jobs = mutants, kept, jobs
        self.tests_of: dict[types.CodeType, list[tuple[float, int]]] = {}
        self.items: list[pytest.Item] = []
        self.unfit: list[str] = []
        self.started = time.monotonic()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        from hypothesis import Phase, settings

        few = settings.get_profile("mutants")
        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutants, unshrunk", parent=few, phases=phases, max_examples=6)
        settings.load_profile("mutants, unshrunk")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = session.items
        print(f"{len(self.items)} tests", flush=True)
        wanted = {function_of(m).__code__ for m in self.mutants}
        for i, item in enumerate(self.items):
            self.try_plain(i, item, wanted)
        for tests in self.tests_of.values():
            tests.sort()
        n_fit = len(self.items) - len(self.unfit)
        print(f"\n{n_fit} tests pass on plain kernels, {len(self.unfit)} do not and are left out")
        for name in self.unfit:
            print(f"left out: {name}")
        gc.collect()
        gc.freeze()
        self.run_all()
        return True

    def try_plain(self, i: int, item: pytest.Item, wanted: set[types.CodeType]) -> None:
        """Run one test on the code as it is, and note what it enters and what it takes."""
        entered: set[types.CodeType] = set()

        def note(frame: types.FrameType, event: str, _: object) -> None:
            if event == "call":
                entered.add(frame.f_code)

        began = time.process_time()
        signal.signal(signal.SIGPROF, too_slow)
        signal.setitimer(signal.ITIMER_PROF, SLOW_TEST_S)
        threading.setprofile(note)
        sys.setprofile(note)
        try:
            passed = fate(item, None)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            signal.setitimer(signal.ITIMER_PROF, 0.0)
        took = time.process_time() - began
        if not passed:
            self.unfit.append(f"{item.nodeid} ({took:.1f} s)")
            return
        for code in entered & wanted:
            self.tests_of.setdefault(code, []).append((took, i))

    def fail_in_a_fork(self) -> set[int]:
        """Run all tests in a fork without a mutant; return those that fail: they would seem to
        catch everything."""
        fit = sorted({t for tests in self.tests_of.values() for t in tests})
        FAILING.unlink(missing_ok=True)
        takes = sum(took for took, _ in fit)
        _, code = os.waitpid(fork(None, [self.items[i] for _, i in fit], takes), 0)
        assert word(code) in ("survived", "killed"), word(code)
        failing = set(FAILING.read_text().splitlines()) if FAILING.exists() else set()
        return {i for _, i in fit if self.items[i].nodeid in failing}

    def leave_out(self, out: set[int]) -> None:
        """Ask these tests no more."""
        for i in sorted(out):
            print(f"left out, fails in a fork: {self.items[i].nodeid}")
        for code, tests in self.tests_of.items():
            self.tests_of[code] = [(took, i) for took, i in tests if i not in out]

    def tests_for(self, mutant: Mutant) -> tuple[list[pytest.Item], float]:
        """Return the tests that enter the mutated function, quickest first, and what they take."""
        chosen, total = [], 0.0
        for took, i in self.tests_of.get(function_of(mutant).__code__, []):
            total += took
            if chosen and total > SLOW_S:
                break
            chosen.append(self.items[i])
        return chosen, total

    def run_all(self) -> None:
        """Run the mutants that are not known yet, `jobs` at a time."""
        self.leave_out(self.fail_in_a_fork())
        waiting = [m for m in self.mutants if not self.kept.knows(m)]
        print(f"{len(self.mutants)} mutants, {len(waiting)} to run", flush=True)
        running: dict[int, tuple[Mutant, float, float]] = {}
        done, told = 0, time.monotonic()
        while waiting or running:
            while waiting and len(running) < self.jobs:
                mutant = waiting.pop()
                tests, takes = self.tests_for(mutant)
                running[fork(mutant, tests, takes)] = (mutant, time.monotonic(), takes)
            time.sleep(0.005)
            for pid, (mutant, since, takes) in list(running.items()):
                ended, code = os.waitpid(pid, os.WNOHANG)
                waited = time.monotonic() - since
                if not ended and waited > 120 + 30 * takes:
                    os.kill(pid, signal.SIGKILL)  # waits for something: no verdict of a test
                elif ended:
                    del running[pid]
                    self.kept.add(mutant, word(code), waited)
                    done += 1
            if time.monotonic() - told > 30:
                told = time.monotonic()
                print(
                    f"{done} done, {len(waiting)} to go, {self.kept.line(self.mutants)}", flush=True
                )


class TooSlow(BaseException):
    """A test takes too long on plain kernels."""


def too_slow(*_: object) -> None:
    raise TooSlow


def fate(item: pytest.Item, following: pytest.Item | None) -> bool:
    """Run one test; tell whether it passed."""
    from _pytest.runner import runtestprotocol

    return all(report.passed for report in runtestprotocol(item, log=False, nextitem=following))


def fork(mutant: Mutant | None, tests: list[pytest.Item], takes: float) -> int:
    """Start a process in which the mutant, or none, meets its tests; return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        limit = math.ceil(5 + 3 * takes)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        if mutant is not None:
            apply(mutant)
        code = SURVIVED
        for test, following in zip(tests, [*tests[1:], None], strict=True):
            if not fate(test, following):
                code = KILLED
                if mutant is not None:
                    break
                with FAILING.open("a") as out:
                    out.write(f"{test.nodeid}\n")
    except BaseException:
        code = 3 if code == 3 else KILLED
    finally:
        os._exit(code)


def word(status: int) -> str:
    """Return how a fork ended, in a word."""
    if os.WIFSIGNALED(status):
        sent = os.WTERMSIG(status)
        return {signal.SIGXCPU: "timeout", signal.SIGKILL: "stuck"}.get(sent, "crashed")
    return {SURVIVED: "survived", KILLED: "killed"}.get(os.WEXITSTATUS(status), "invalid")


class Kept:
    """Results on disk, one line each; the last line about a mutant counts."""

    def __init__(self, path: Path, tests: list[str], fresh: bool) -> None:
        self.path = path
        texts = [
            p for t in tests for p in sorted((ROOT / t).rglob("*")) if p.suffix in (".py", ".toml")
        ]
        self.tests = hashlib.sha256(b"".join(p.read_bytes() for p in texts)).hexdigest()[:16]
        self.rows: dict[str, dict[str, object]] = {}
        path.parent.mkdir(exist_ok=True)
        if fresh:
            path.unlink(missing_ok=True)
        if path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                self.rows[row["name"]] = row

    def knows(self, mutant: Mutant) -> bool:
        row = self.rows.get(mutant.name)
        if row is None or row["digest"] != mutant.digest:
            return False
        if row["status"] == "stuck":  # nothing was learned
            return False
        return row["status"] in CAUGHT or row["tests"] == self.tests

    def add(self, mutant: Mutant, status: str, seconds: float) -> None:
        row = {
            "name": mutant.name, "digest": mutant.digest, "tests": self.tests, "status": status,
            "seconds": round(seconds, 2),
        }  # fmt: skip
        self.rows[mutant.name] = row
        with self.path.open("a") as out:
            out.write(json.dumps(row) + "\n")

    def status(self, mutant: Mutant) -> str:
        return str(self.rows[mutant.name]["status"]) if mutant.name in self.rows else "not run"

    def count(self, mutants: list[Mutant]) -> tuple[int, int]:
        """Return how many were caught, of how many that ran."""
        words = [self.status(m) for m in mutants]
        ran = [w for w in words if w not in ("not run", "invalid")]
        return sum(w in CAUGHT for w in ran), len(ran)

    def line(self, mutants: list[Mutant]) -> str:
        caught, ran = self.count(mutants)
        return f"{100.0 * caught / max(1, ran):.1f} % ({caught} of {ran})"


# --- what came of it ------------------------------------------------------------------------------


def interval(caught: int, ran: int, population: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share, for a sample drawn from a finite population."""
    if ran == 0 or ran == population:
        return (caught / max(1, ran),) * 2
    # Drawing without replacement narrows the interval as a larger sample would.
    n = ran * (population - 1) / (population - ran)
    p = caught / ran
    middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return middle - half, middle + half


def extent(caught: int, ran: int, population: int, seed: int) -> str:
    """Say how many mutants ran, and what a sample lets one expect of all."""
    if ran == population:
        return f"all {population} mutants ran"
    low, high = (100.0 * x for x in interval(caught, ran, population))
    drawn_by = f"{ran} of {population} mutants ran, drawn with seed {seed}"
    return f"{drawn_by}; of all, {low:.1f} to {high:.1f} % are killed (95 % interval)"


def report(mutants: list[Mutant], kept: Kept, size: str) -> str:
    """Return docs/mutants.md: shares, then every survivor, with the reason where one is known."""
    rows = ["| file | mutants | killed | share |", "| --- | ---: | ---: | ---: |"]
    paths = sorted({m.path for m in mutants})
    for path in paths:
        caught, ran = kept.count([m for m in mutants if m.path == path])
        rows.append(f"| {path} | {ran} | {caught} | {100.0 * caught / max(1, ran):.1f} % |")
    by_path = []
    for path in paths:
        left = [m for m in mutants if m.path == path and kept.status(m) not in CAUGHT]
        if left:
            by_path += [f"\n### {path}: {len(left)}\n"]
        for m in left:
            before, after = (line.replace("`", "'") for line in m.lines())
            why = reason(m)
            name = m.name.removeprefix(f"{path}:") + (
                "" if kept.status(m) == "survived" else f", {kept.status(m)}"
            )
            by_path.append(f"- {name}: `{before}` → `{after}`" + (f" *{why}*" if why else ""))
    ends = [kept.status(m) for m in mutants]
    how = ", ".join(f"{ends.count(w)} {w}" for w in sorted(set(ends)))
    head = HEAD.format(total="killed: " + kept.line(mutants), size=size, how=how)
    return "\n".join([head, *rows, "\n## Survivors", *by_path, ""])


def reasons() -> list[tuple[str, re.Pattern[str], str]]:
    """Return (start of a mutant's name, pattern of its lines, why no test can tell it)."""
    rows = REASONS.read_text().splitlines() if REASONS.exists() else []
    cells = [[c.strip() for c in r.split(" | ")] for r in rows if r.strip() and r[0] != "#"]
    return [(name, re.compile(part), why) for name, part, why in cells]


def reason(mutant: Mutant) -> str:
    """Return why no test can tell a survivor from the code, where that is known."""
    lines = " → ".join(mutant.lines())
    found = (w for n, part, w in reasons() if mutant.name.startswith(n) and part.search(lines))
    return next(found, "")


def main(arguments: list[str]) -> int:
    """Run it; return 1 where fewer are caught than asked for."""
    parser = argparse.ArgumentParser(description="Mutation test of kernels and margin.")
    parser.add_argument("--only", default=ONLY, help="files or folders, with commas")
    parser.add_argument("--tests", default=TESTS, help="folders or files, with commas")
    parser.add_argument("--least", type=float, default=85.0, help="per cent to be caught")
    parser.add_argument("--sample", type=int, default=1500, help="how many mutants; 0: all")
    parser.add_argument("--seed", type=int, default=3, help="of the sample")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    options = parser.parse_args(arguments)

    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT / "src"))  # also where another checkout is the installed one
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    make_plain()
    places = [PACKAGE / name for name in options.only.split(",")]
    paths = [
        p for place in places for p in ([place] if place.is_file() else sorted(place.glob("*.py")))
    ]
    every = [m for path in paths for m in mutants_of(path)]
    mutants = drawn(every, options.sample, options.seed)
    tests = [name for name in options.tests.split(",") if (ROOT / name).exists()]
    kept = Kept(KEPT, tests, options.fresh)
    runner = Runner(mutants, kept, options.jobs)
    quiet = ["-q", "-s", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist"]
    pytest.main([*quiet, *tests], plugins=[runner])

    for m in mutants:
        if kept.status(m) not in CAUGHT:
            before, after = m.lines()
            print(f"survivor: {m.name} ({kept.status(m)})\n    - {before}\n    + {after}")
    for path in sorted({m.path for m in mutants}):
        print(f"{path}: {kept.line([m for m in mutants if m.path == path])}")
    caught, ran = kept.count(mutants)
    print(extent(caught, ran, len(every), options.seed))
    if options.only == ONLY and options.tests == TESTS and ran:
        REPORT.write_text(report(mutants, kept, extent(caught, ran, len(every), options.seed)))
        print(f"survivors: {REPORT.relative_to(ROOT)}")
    print(f"took {time.monotonic() - runner.started:.0f} s")
    print(f"killed: {kept.line(mutants)}")  # the one line that says so
    return 0 if ran == len(mutants) and caught >= options.least / 100.0 * ran else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
