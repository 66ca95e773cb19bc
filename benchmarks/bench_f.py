"""(f) How cost grows: nanoseconds a holding at 100,000 and at 10,000,000 pools."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from benchmarks.harness import ROUNDS, THREADS, Figure, Result, outputs_hash
from benchmarks.whole import wide, wide_book
from crossmargin.frames.book import BookFrame
from crossmargin.margin.prepared import Market
from crossmargin.methods.registry import assess

TITLE = "cross margin at 100,000 and at 10,000,000 pools"
REPEATS = 20  # of the small book in one round: both sides of a round take about as long
UNIT = "x the cost a holding"
# Of glibc's mallopt: what is given back to the system, how many blocks are mapped apart; and what
# both are at first.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
TRIMMED, MAPPED = 128 * 1024, 65_536


def run(quick: bool) -> Result:
    """Return the ratio of costs; the sizes take turns, the median of the rounds counts.

    Both sides are warm, their memory too: a small book's columns lie in memory the process has, a
    large one's would be given back and asked for again each time, and what the machine takes for
    fresh memory would be measured. That figure is shown as well, without a target.
    """
    market = wide()
    few = wide_book(market, 100_000)
    many = wide_book(market, 1_000_000 if quick else 10_000_000)
    back = _growth(few, many, market)
    with _memory_kept():
        assess(many, market, threads=THREADS)
        kept = _growth(few, many, market)
    frame = assess(many, market, threads=THREADS)
    return Result(
        [
            Figure("growth, memory given back", back.ratio, UNIT, note=back.note),
            Figure("growth", kept.ratio, UNIT, most=1.3, note=kept.note),
        ],
        outputs_hash(frame.mm, frame.im),
        {"pools": many.n_pools, "holdings": many.n_holdings},
        {"few": kept.few * few.n_holdings / 1e9, "many": kept.many * many.n_holdings / 1e9},
    )


class Growth(NamedTuple):
    """Nanoseconds a holding of both books, and what they were measured on."""

    few: float
    many: float
    sizes: tuple[int, int]

    @property
    def ratio(self) -> float:
        return self.many / self.few

    @property
    def note(self) -> str:
        small, large = self.sizes
        return f"{self.few:.1f} ns a holding at {small:,}, {self.many:.1f} at {large:,}"


def _growth(few: BookFrame, many: BookFrame, market: Market) -> Growth:
    few_s, many_s = [], []
    for _ in range(ROUNDS):
        few_s.append(statistics.median(_seconds(few, market) for _ in range(REPEATS)))
        many_s.append(_seconds(many, market))
    small = statistics.median(few_s) / few.n_holdings * 1e9
    large = statistics.median(many_s) / many.n_holdings * 1e9
    return Growth(small, large, (few.n_pools, many.n_pools))


def _seconds(book: BookFrame, market: Market) -> float:
    started = time.perf_counter()
    assess(book, market, threads=THREADS)
    return time.perf_counter() - started


@contextmanager
def _memory_kept() -> Iterator[None]:
    """Have this process keep the memory it takes, where the C library can be told so."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(MMAP_MAX, 0)
    library.mallopt(TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        library.mallopt(MMAP_MAX, MAPPED)
        library.mallopt(TRIM_THRESHOLD, TRIMMED)
        library.malloc_trim(0)
