"""Compile every kernel now, visibly, so that no first answer has to wait for it.

    python -m crossmargin.apps.warmup

In     nothing: a small generated book is assessed under every method.
Out    one line a kernel family on stdout; compiled code in numba's cache.
Owns   which families there are and what makes each compile.
Never  changes an answer; a cache that cannot be written only makes the next start slower.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossmargin.frames.book import BookFrame
    from crossmargin.margin.prepared import Market

AT_NS = 1_767_225_600 * 1_000_000_000  # 2026-01-01T00:00Z: any whole hour will do
DAYS = 60  # enough history for joint scenarios, and little enough to be made at once
ACCOUNTS = 40  # every shape of account once, so every kind of instrument
SHAPES = 24  # the first ones, one of each shape


@dataclass(frozen=True)
class Small:
    """A small book and its market, made once."""

    @cached_property
    def both(self) -> tuple[BookFrame, Market]:
        from crossmargin.adapters.files import load_rulebook
        from crossmargin.frames.compile import compile_book
        from crossmargin.frames.listing import compile_market
        from crossmargin.margin.joint import joint_rows
        from crossmargin.margin.prepared import prepare
        from crossmargin.methods.registry import DEFAULT_METHOD, METHODS
        from crossmargin.simulation.books import book
        from crossmargin.simulation.worlds import world

        rules = load_rulebook("prime-24h")
        small = world(7, AT_NS, DAYS)
        frame, _ = compile_market(small.tables, rules.oracle.stale_s, strict=False)
        joint = joint_rows(small.history, frame, rules.joint, rules.margin.mpor_hours)
        held, _ = compile_book(
            book(7, small, ACCOUNTS), frame, DEFAULT_METHOD, tuple(METHODS), strict=False
        )
        return held, prepare(frame, rules, joint, threads=1)


def families(small: Small) -> dict[str, Callable[[], object]]:
    """Return name -> what makes that family of kernels compile, callees before callers."""

    def options() -> object:
        return small.both[1].priced

    def scan() -> object:
        return small.both[1].rows

    def under(method: str) -> None:
        from crossmargin.frames.book import with_method
        from crossmargin.methods.registry import assess

        book, market = small.both
        assess(with_method(book, method), market, threads=1, parts=True)

    def cross() -> None:
        for method in ("isolated", "cross_sum", "cross_correlated"):
            under(method)

    def questions() -> None:
        from crossmargin.api.report import Report
        from crossmargin.methods.registry import assess

        book, market = small.both
        for report in Report(book, market, assess(book, market, threads=1)).compare().values():
            for account in report.to_polars()["account"].unique(maintain_order=True).head(SHAPES):
                report.explain(account)
        report.stress()
        report.greeks()

    return {
        "options": options,
        "scan": scan,
        "cross": cross,
        "portfolio": partial(under, "portfolio"),
        "questions": questions,
    }


def warm(run: Callable[[], object]) -> str:
    """Run one family and say how long it took, and whether anything had to be compiled."""
    before, started = compilations(), time.monotonic()
    run()
    took = time.monotonic() - started
    done = compilations() - before
    return f"{done} compiled in {took:.1f} s" if done else f"found in the cache, {took:.1f} s"


def compilations() -> int:
    """Return how many kernels this process compiled instead of reading them from the cache."""
    found = 0
    for name, module in list(sys.modules.items()):
        if name.startswith("crossmargin.kernels."):
            for value in vars(module).values():
                # A compiled function counts its own misses; imported twice, it counts once.
                if getattr(value, "__module__", "") == name and hasattr(value, "stats"):
                    found += sum(value.stats.cache_misses.values())
    return found


def main() -> int:
    """Warm every family, one line each; a spinner runs while one compiles."""
    from crossmargin.apps.cli.progress import working

    small = Small()
    for name, run in families(small).items():
        if sys.stderr.isatty():
            with working(f"compiling kernels: {name}"):
                line = warm(run)
            print(f"kernels {name}: {line}", flush=True)
        else:  # make, CI: the name stands there while one waits
            print(f"kernels {name}: ", end="", flush=True)
            print(warm(run), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
