"""(f) How cost grows: nanoseconds a holding at 100,000 and at 10,000,000 pools."""

from __future__ import annotations

import statistics
import time

from benchmarks.harness import ROUNDS, THREADS, Figure, Result, outputs_hash
from benchmarks.whole import wide, wide_book
from crossmargin.frames.book import BookFrame
from crossmargin.margin.prepared import Market
from crossmargin.methods.registry import assess

TITLE = "cross margin at 100,000 and at 10,000,000 pools"
REPEATS = 20  # of the small book in one round: both sides of a round take about as long


def run(quick: bool) -> Result:
    """Return the ratio of costs; the sizes take turns, the median of the rounds counts."""
    market = wide()
    few = wide_book(market, 100_000)
    many = wide_book(market, 1_000_000 if quick else 10_000_000)
    few_s, many_s = [], []
    for _ in range(ROUNDS):
        few_s.append(statistics.median(_seconds(few, market) for _ in range(REPEATS)))
        many_s.append(_seconds(many, market))
    small = statistics.median(few_s) / few.n_holdings * 1e9
    large = statistics.median(many_s) / many.n_holdings * 1e9
    note = f"{small:.1f} ns a holding at {few.n_pools:,}, {large:.1f} at {many.n_pools:,}"
    frame = assess(many, market, threads=THREADS)
    return Result(
        [Figure("growth", large / small, "x the cost a holding", most=1.3, note=note)],
        outputs_hash(frame.mm, frame.im),
        {"pools": many.n_pools, "holdings": many.n_holdings},
        {"few": statistics.median(few_s), "many": statistics.median(many_s)},
    )


def _seconds(book: BookFrame, market: Market) -> float:
    started = time.perf_counter()
    assess(book, market, threads=THREADS)
    return time.perf_counter() - started
