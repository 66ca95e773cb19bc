"""(a) Cross margin: 1,000,000 pools, four-step brackets and tiers, correlated underlyings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.baselines import cross_numpy
from benchmarks.baselines.cross_numpy import Answer
from benchmarks.harness import THREADS, Figure, Result, alternate, assert_close, outputs_hash
from benchmarks.whole import market_and_book
from crossmargin.margin.requirement import Verdict, verdicts
from crossmargin.methods.registry import assess

TITLE = "cross margin with brackets and tiers, against NumPy"


def run(quick: bool) -> Result:
    """Return the ratio, every output compared, and what the book looks like."""
    market, book = market_and_book(100_000 if quick else 1_000_000)
    (ours_s, numpy_s), (ours, theirs) = alternate(
        answer(book, market), lambda: cross_numpy.assess(book, market)
    )
    for name, mine, other in zip(Answer._fields, ours, theirs, strict=True):
        # A buffer or a balance is a difference of larger numbers: 1e-9 of those where it is small.
        size = np.abs(theirs.equity) + np.abs(theirs.im) + np.abs(theirs.collateral_value)
        floor = 0.0 if name in ("mm", "im", "collateral_value") else size
        assert_close(mine, other, floor)
    states = np.bincount(verdicts(ours.equity, ours.buffer_im, ours.buffer_mm), minlength=5)
    shares = ", ".join(
        f"{100.0 * states[v] / len(ours.mm):.0f} % {v.name}" for v in Verdict if states[v]
    )
    per_holding = ours_s / book.n_holdings * 1e9
    figures = [
        Figure(
            "cross", numpy_s / ours_s, "x NumPy", least=8.0,
            note=f"{ours_s * 1e3:.0f} ms, {per_holding:.1f} ns a holding; {shares}",
        )
    ]  # fmt: skip
    sizes = {"pools": book.n_pools, "holdings": book.n_holdings, "items": market.frame.n_items}
    seconds = {"ours": ours_s, "numpy": numpy_s}
    return Result(figures, outputs_hash(*ours), sizes, seconds)


def answer(book, market) -> Callable[[], Answer]:
    """Return the call that is timed: assess, and every output read."""

    def ours() -> Answer:
        frame = assess(book, market, threads=THREADS)
        return Answer(*(getattr(frame, name) for name in Answer._fields))

    return ours
