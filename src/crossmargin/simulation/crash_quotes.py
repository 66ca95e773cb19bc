"""What the oracle hears of a bad day: every column's tick as the quote of a source.

In     a BarFrame, its ticks and their stamps, the oracle's rules.
Out    the universe of its factors and sources; a `QuoteFrame` for a tick.
Owns   that a source speaks when it has seen something new, and says when it saw it.
Never  drops a bad price: refusing it is the oracle's.
Signs  prices > 0.
Spec   docs/generator.md, "From bars to ticks"; docs/spec/08-oracle.md
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crossmargin.base.arrays import F64, I64
from crossmargin.domain.oracle_rules import Oracle
from crossmargin.frames.bars import BarFrame
from crossmargin.oracle.quotes import QuoteFrame
from crossmargin.oracle.state import Universe, universe_of


def crash_universe(bars: BarFrame, rules: Oracle) -> Universe:
    """Return the oracle's rows for a day: its factors by class, its sources in order of columns."""
    classes = dict(zip(bars.factors, bars.classes, strict=True))
    return universe_of(classes, tuple(dict.fromkeys(bars.sources)), rules)


def echoed(bars: BarFrame, n: int) -> BarFrame:
    """Return the day with every factor heard from at least n sources.

    What fewer venues saw is said again by echoes of the first: as if others had agreed with it. A
    day of which one venue is on record has no quorum otherwise, and nothing could be sold on it.
    """
    columns: list[int] = []
    sources: list[str] = []
    for factor in dict.fromkeys(bars.factors):
        own = [k for k in range(bars.n_columns) if bars.factors[k] == factor]
        more = range(max(0, n - len(own)))
        columns += own + [own[0] for _ in more]
        sources += [bars.sources[k] for k in own] + [f"echo_{k + 1}" for k in more]
    return replace(bars.picked(columns), sources=tuple(sources))


def repeated_prints(bars: BarFrame, price: F64, stamp_ns: I64, at_ns: I64) -> I64:
    """Return (T, K) stamps under which a print stands until the next one, as it does on a chain."""
    prints = np.array([not bars.bar_seconds[bars.rows(k)].any() for k in range(bars.n_columns)])
    stands = prints & np.isfinite(price)
    return np.where(stands, at_ns[:, None], stamp_ns)


def quotes_between(
    bars: BarFrame, universe: Universe, price: F64, stamp_ns: I64, since: int, tick: int
) -> QuoteFrame:  # fmt: skip
    """Return what is new at a tick to who heard `since` last; -1: who heard nothing yet.

    price, stamp_ns  (T, K) of `paths.tick_table` and `paths.stamp_table`
    A source's count of its quotes is the stamp itself: it rises with each.
    """
    seen = stamp_ns[tick]
    fresh = seen >= 0
    if since >= 0:
        fresh &= seen > stamp_ns[since]
    rows = np.flatnonzero(fresh)
    place = {name: row for row, name in enumerate(universe.factors)}
    source = {name: row for row, name in enumerate(universe.sources)}
    unstated = np.full(len(rows), np.nan)
    return QuoteFrame(
        np.array([place[bars.factors[k]] for k in rows], np.int64),
        np.array([source[bars.sources[k]] for k in rows], np.int64),
        price[tick, rows], seen[rows], seen[rows], unstated, unstated,
    )  # fmt: skip
