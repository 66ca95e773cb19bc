"""What the oracle hears of a bad day."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crossmargin.adapters.files import load_rulebook
from crossmargin.frames.market import Status
from crossmargin.oracle.fuse import fuse
from crossmargin.oracle.state import started
from crossmargin.simulation.crash_quotes import crash_universe, quotes_between
from crossmargin.simulation.paths import Clock, Order, stamp_table, tick_table
from frames.small import bars as made

NAN = np.nan


def heard(frame, price, stamp, since, tick):
    """(factor, source, price, stamp) of each quote, by name."""
    universe = crash_universe(frame, load_rulebook("prime-24h").oracle)
    quotes = quotes_between(frame, universe, price, stamp, since, tick)
    return [
        (universe.factors[f], universe.sources[s], p, t)
        for f, s, p, t in zip(
            quotes.factor, quotes.source, quotes.price.tolist(), quotes.stamp_ns.tolist(),
            strict=True,
        )
    ]  # fmt: skip


def test_a_source_speaks_when_it_has_seen_something_new():
    frame = made(("A/USD", "book", []), ("A/USD", "feed", []), ("B/USD", "book", []))
    price = np.array([[1.0, 2.0, NAN], [1.1, 2.0, 3.0], [1e-4, 2.5, 3.1]])
    stamp = np.array([[0, 0, -1], [3, 0, 3], [6, 6, 6]])
    assert heard(frame, price, stamp, -1, 0) == [
        ("A/USD", "book", 1.0, 0), ("A/USD", "feed", 2.0, 0),
    ]  # fmt: skip
    # The feed's print is the one of before; B has begun.
    assert heard(frame, price, stamp, 0, 1) == [
        ("A/USD", "book", 1.1, 3),
        ("B/USD", "book", 3.0, 3),
    ]
    # A bad price is said like any other; from tick 0 on everything is new.
    assert [row[2] for row in heard(frame, price, stamp, 0, 2)] == [1e-4, 2.5, 3.1]


def test_an_hour_of_three_sources_is_live_and_a_lone_print_is_nobodys_price():
    """Three sources around 3, one with a print of 0.0001: it is dropped, the price stays."""
    hour = [(0, 3_600, 3.0, 3.003, 2.997, 3.0)]
    bad = [(0, 3_600, 3.0, 3.003, 0.0001, 3.0)]
    frame = made(*(("A/USD", source, rows) for source, rows in (
        ("x", hour), ("y", bad), ("z", hour),
    )))  # fmt: skip
    frame, clock = replace(frame, volume=np.ones(3)), Clock(10**18, 60)
    frame = replace(frame, ts_ns=frame.ts_ns + clock.start_ns)
    price = tick_table(frame, clock, np.random.default_rng(0), Order.LOW_FIRST)
    stamp = stamp_table(frame, clock)
    assert price.min() == 0.0001
    universe = crash_universe(frame, load_rulebook("prime-24h").oracle)
    state, since, levels, status = started(universe), -1, [], []
    for tick in range(clock.n_ticks):
        quotes = quotes_between(frame, universe, price, stamp, since, tick)
        state, fused = fuse(state, quotes, int(clock.at_ns[tick]))
        levels.append(fused.level[0])
        status.append(fused.status[0])
        since = tick
    known = np.array(levels)[np.isfinite(levels)]
    assert known.min() >= 2.997
    # One minute until the first price is confirmed, five more until a window has passed.
    assert status[0] == Status.MISSING
    late = np.array(status[7 * 20 :])
    # While one of three lies far away two are left, and that is one tick.
    assert (late == Status.DEGRADED).sum() == 1
    assert (late == Status.LIVE).sum() == len(late) - 1
