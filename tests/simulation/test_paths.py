"""Bars become ticks: laws over any bars, and days small enough to work out by hand."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.frames.bars import SECOND_NS
from crossmargin.simulation.paths import (
    LONE,
    Clock,
    Order,
    leader,
    stamp_table,
    tick_table,
    tick_volumes,
    widened,
)
from frames.small import bars as made

LOW, HIGH = Order.LOW_FIRST, Order.HIGH_FIRST
HOURS = 2
CLOCK = Clock(0, 60 * HOURS)
LENGTHS = (1, 5, 15, 60)


def ticks(frame, clock, order=LOW, seed=0):
    return tick_table(frame, clock, np.random.default_rng(seed), order)


@st.composite
def prices(draw):
    """Four prices of a bar over ten decades, sometimes flat, sometimes with a lone extreme."""
    level = 10.0 ** draw(st.floats(-4.0, 6.0))
    steps = [draw(st.floats(0.0, 0.5)) * draw(st.sampled_from([0.0, 1.0])) for _ in range(3)]
    low = level * math.exp(-draw(st.sampled_from([0.0, 0.01, 1.0, 5.0])))
    open_, close, high = (level * math.exp(step) for step in steps)
    high = max(open_, close, high) * math.exp(draw(st.sampled_from([0.0, 0.0, 4.0])))
    return open_, high, low, close


@st.composite
def frames(draw):
    """One to five columns of one or two factors; each hour in bars of one length, or missing."""
    columns = []
    for n in range(draw(st.integers(1, 5))):
        rows = []
        for hour in range(HOURS):
            minutes = draw(st.sampled_from((0, *LENGTHS)))
            if minutes:
                own = [draw(prices()) for _ in range(60 // minutes if minutes > 1 else 3)]
                rows += [(60 * hour + minutes * k, 60 * minutes, *bar) for k, bar in enumerate(own)]
        columns.append((f"{'AB'[n % 2]}/USD", f"s{n}", rows))
    columns.sort(key=lambda c: c[0])
    frame = made(*columns)
    kinds = tuple(draw(st.sampled_from(["spot", "spot", "peg"])) for _ in columns)
    volume = np.array([draw(st.floats(0.0, 9.0)) for _ in range(len(frame.open))])
    return replace(frame, kinds=kinds, volume=volume)


@given(frames(), st.sampled_from(Order), st.integers(0, 99))
def test_every_bar_is_kept_to_the_last_bit(frame, order, seed):
    table = ticks(frame, CLOCK, order, seed)
    assert table.shape == (CLOCK.n_ticks, frame.n_columns)
    filled = np.zeros(table.shape, np.bool_)
    for row, column in enumerate(frame.column):
        first = frame.ts_ns[row] // CLOCK.step_ns
        last = first + frame.bar_seconds[row] * SECOND_NS // CLOCK.step_ns
        path = table[first:last, column]
        filled[first:last, column] = True
        assert path[0] == frame.open[row]
        assert path[-1] == frame.close[row]
        assert path.min() == frame.low[row]
        assert path.max() == frame.high[row]
        assert path.min() > 0.0
    assert (np.isfinite(table) == filled).all()  # what nobody saw stays unknown


@given(frames(), st.sampled_from(Order), st.integers(0, 99))
def test_a_seed_gives_the_same_ticks_and_leaves_the_bars_alone(frame, order, seed):
    before = frame.close.copy()
    one, two = (ticks(frame, CLOCK, order, seed) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(before, frame.close)


@given(frames(), st.integers(0, 99))
def test_a_bar_that_leads_touches_its_extremes_in_the_order_asked_for(frame, seed):
    lead = leader(frame)
    rows = np.arange(len(frame.open))[frame.rows(lead)] if lead >= 0 else []
    for order in Order:
        table = ticks(frame, CLOCK, order, seed)
        for row in rows:
            # Where an extreme is the open or the close too, either order may show.
            body = {frame.open[row], frame.close[row]}
            if {frame.low[row], frame.high[row]} & body:
                continue
            first = frame.ts_ns[row] // CLOCK.step_ns
            path = table[first : first + frame.bar_seconds[row] // 3, lead]
            assert (path.argmin() < path.argmax()) == (order is LOW)


def test_a_bar_of_four_ticks_is_its_four_prices():
    frame = made(("A/USD", "x", [(0, 60, 10.0, 12.0, 9.0, 11.0)]))
    clock = Clock(0, 1, 4)
    assert ticks(frame, clock, LOW)[:, 0].tolist() == [10.0, 9.0, 12.0, 11.0]
    assert ticks(frame, clock, HIGH)[:, 0].tolist() == [10.0, 12.0, 9.0, 11.0]


def test_a_longer_bar_follows_the_shorter_ones_inside_of_it():
    """A's two minutes are 100 98 101 100 and 100 90 100 95 (low first, four ticks each). The other
    source's two-minute bar is a tenth of that all over: its low comes at A's low, tick 5, its high
    at A's high, tick 2, its range is A's (10.1 / 9 = 101 / 90) and nothing is left to bend."""
    short = [(0, 60, 100.0, 101.0, 98.0, 100.0), (1, 60, 100.0, 100.0, 90.0, 95.0)]
    frame = made(("A/USD", "x", short), ("A/USD", "y", [(0, 120, 10.0, 10.1, 9.0, 9.5)]))
    table = ticks(frame, Clock(0, 2, 4))
    want = [100.0, 98.0, 101.0, 100.0, 100.0, 90.0, 100.0, 95.0]
    assert table[:, 0].tolist() == want
    np.testing.assert_allclose(table[:, 1], np.array(want) / 10.0, rtol=1e-13)


def test_a_coin_follows_the_leader_scaled_to_its_own_range():
    """B's range in log is twice A's, its prices are 5 (A / 100)^2: so is every tick."""
    short = [(0, 60, 100.0, 101.0, 98.0, 100.0), (1, 60, 100.0, 100.0, 90.0, 95.0)]
    bar = (0, 120, *(5.0 * (p / 100.0) ** 2 for p in (100.0, 101.0, 90.0, 95.0)))
    frame = made(("A/USD", "x", short), ("B/USD", "x", [bar]))
    table = ticks(frame, Clock(0, 2, 4))
    np.testing.assert_allclose(table[:, 1], 5.0 * (table[:, 0] / 100.0) ** 2, rtol=1e-13)


def test_what_a_follower_does_between_its_four_prices():
    """A: 100 98 100 100 | 100 100 104 100. B opens at 1, low e^-0.1, high e^0.3, close e^0.2.

    A's moves times s = 0.4 / log(104 / 98). At A's low B stands at -0.1; from there to the high A
    gains 0.4 / s in all, as B must, so nothing is bent and B rests where A does: -0.1 - s log 0.98.
    """
    short = [(0, 60, 100.0, 100.0, 98.0, 100.0), (1, 60, 100.0, 104.0, 100.0, 100.0)]
    bar = (0, 120, 1.0, math.exp(0.3), math.exp(-0.1), math.exp(0.2))
    frame = made(("A/USD", "x", short), ("B/USD", "x", [bar]))
    table = ticks(frame, Clock(0, 2, 4))
    assert table[:, 0].tolist() == [100.0, 98.0, 100.0, 100.0, 100.0, 100.0, 104.0, 100.0]
    rest = -0.1 - 0.4 / math.log(104.0 / 98.0) * math.log(0.98)
    want = [0.0, -0.1, rest, rest, rest, rest, 0.3, 0.2]
    np.testing.assert_allclose(np.log(table[:, 1]), want, rtol=1e-12, atol=1e-15)


def test_a_peg_follows_its_own_sources_and_no_coin():
    short = [(k, 60, 100.0, 120.0, 80.0, 100.0) for k in range(60)]
    hour = (0, 3_600, 1.0, 1.2, 0.8, 1.0)
    frame = made(*((name, source, rows) for name, source, rows in (
        ("A/USD", "x", short), ("B/USD", "x", [hour]), ("P/USD", "x", [hour]),
        ("P/USD", "y", [hour]),
    )))  # fmt: skip
    frame = replace(frame, kinds=("spot", "spot", "peg", "peg"))
    log = np.log(ticks(frame, Clock(0, 60)))
    # The leader swings in every minute, and a coin with it; the peg goes its own way, both times.
    with_leader = [abs(np.corrcoef(np.diff(log[:, k]), np.diff(log[:, 0]))[0, 1]) for k in (1, 2)]
    assert with_leader[0] > 0.99
    assert with_leader[1] < 0.1
    np.testing.assert_allclose(log[:, 2], log[:, 3], rtol=0.0, atol=1e-12)


def test_the_most_traded_coin_of_the_shortest_bars_leads():
    hour = [(0, 3_600, 1.0, 1.0, 1.0, 1.0)]
    fives = [(5 * k, 300, 1.0, 1.0, 1.0, 1.0) for k in range(12)]
    frame = made(("A/USD", "x", hour), ("B/USD", "x", fives), ("C/USD", "x", fives))
    volume = np.concatenate([[1e9], np.full(12, 1.0), np.full(12, 2.0)])
    frame = replace(frame, volume=volume)
    assert leader(frame) == 2
    assert leader(replace(frame, kinds=("spot", "spot", "peg"))) == 1
    assert leader(replace(frame, kinds=("peg",) * 3)) == -1


def test_a_lone_print_is_one_tick_and_nobody_follows_it():
    """Open and close 3, low 0.0001 (10.3 away in log): one tick; the other source's low is 2.9."""
    assert math.log(3.0 / 0.0001) > LONE
    hour = [(0, 3_600, 3.0, 3.1, 0.0001, 3.0)]
    frame = made(("A/USD", "x", hour), ("A/USD", "y", [(0, 3_600, 3.0, 3.1, 2.9, 3.0)]))
    table = ticks(frame, Clock(0, 60))
    assert (table[:, 0] < 2.9).sum() == 1
    assert table[:, 0].min() == 0.0001
    assert table[:, 1].min() == 2.9
    # A wick of 60 % is traded through: many ticks are far below the body.
    wick = made(("A/USD", "x", [(0, 3_600, 3.0, 3.1, 1.2, 3.0)]))
    assert (ticks(wick, Clock(0, 60))[:, 0] < 2.0).sum() > 100


def test_a_print_holds_until_the_next_and_says_when_it_was_seen():
    frame = made(("F/USD", "feed", [(0, 0, 1.0, 1.0, 1.0, 1.0), (2, 0, 2.0, 2.0, 2.0, 2.0)]))
    clock = Clock(-60 * SECOND_NS, 4, 4)
    nan = np.nan
    want = [nan] * 4 + [1.0] * 8 + [2.0] * 4
    np.testing.assert_array_equal(ticks(frame, clock)[:, 0], want)
    seen = stamp_table(frame, clock)[:, 0]
    assert seen.tolist() == [-1] * 4 + [0] * 8 + [120 * SECOND_NS] * 4
    # The last print before the clock starts is in force at its first tick.
    late = Clock(60 * SECOND_NS, 2, 4)
    np.testing.assert_array_equal(ticks(frame, late)[:, 0], [1.0] * 4 + [2.0] * 4)


def test_bars_are_stamped_by_their_ticks_and_share_their_volume():
    frame = replace(
        made(("A/USD", "x", [(0, 60, 1.0, 1.0, 1.0, 1.0), (2, 60, 1.0, 1.0, 1.0, 1.0)])),
        volume=np.array([8.0, np.nan]),
    )
    clock = Clock(0, 3, 4)
    nan = np.nan
    np.testing.assert_array_equal(tick_volumes(frame, clock)[:, 0], [2.0] * 4 + [nan] * 8)
    stamps = stamp_table(frame, clock)[:, 0]
    assert stamps.tolist() == [*clock.at_ns[:4], -1, -1, -1, -1, *clock.at_ns[8:]]


def test_bars_that_reach_out_of_the_clock_are_left_out():
    frame = made(("A/USD", "x", [(0, 60, 1.0, 1.0, 1.0, 1.0), (1, 120, 2.0, 2.0, 2.0, 2.0)]))
    assert np.isnan(ticks(frame, Clock(0, 2))[20:, 0]).all()


def test_a_clock_that_cuts_no_bar_into_ticks_is_a_bug():
    frame = made(("A/USD", "x", [(0, 60, 1.0, 1.0, 1.0, 1.0)]))
    with pytest.raises(AssertionError, match="a tick each"):
        ticks(frame, Clock(0, 1, 3))
    with pytest.raises(AssertionError, match="off the clock"):
        ticks(frame, Clock(-SECOND_NS, 2))


def day(n_coins, minutes):
    """A day of coins that fall by a third around noon, in bars of so many minutes."""
    rng = np.random.default_rng(5)
    columns = []
    for k in range(n_coins):
        log = np.cumsum(rng.normal(0.0, 0.002, 1_440 // minutes + 1))
        log -= 0.4 / (1.0 + np.exp(-(np.arange(len(log)) * minutes - 720.0) / 20.0))
        edge = (k + 1.0) * np.exp(log)
        low = np.minimum(edge[:-1], edge[1:]) * np.exp(-rng.exponential(0.002, len(log) - 1))
        high = np.maximum(edge[:-1], edge[1:]) * np.exp(rng.exponential(0.002, len(log) - 1))
        rows = zip(edge[:-1], high, low, edge[1:], strict=True)
        columns.append(
            (
                f"C{k:03d}/USD",
                "x",
                [(minutes * n, 60 * minutes, *row) for n, row in enumerate(rows)],
            )
        )
    frame = made(*columns)
    return replace(frame, volume=np.ones(len(frame.open)))


def test_mixed_coins_are_real_hours_at_their_own_time():
    own = day(5, 15)
    wide = widened(own, 9, np.random.default_rng(3))
    assert wide.factors[5:] == tuple(f"MIX{j:03d}/USD" for j in range(4))
    again = widened(own, 9, np.random.default_rng(3))
    np.testing.assert_array_equal(wide.close, again.close)
    for k in range(5, 9):
        rows = wide.rows(k)
        np.testing.assert_array_equal(wide.ts_ns[rows], own.ts_ns[own.rows(0)])
        shape = (wide.close[rows] / wide.open[rows]).reshape(24, 4)
        donors = np.stack(
            [(own.close[own.rows(d)] / own.open[own.rows(d)]).reshape(24, 4) for d in range(5)]
        )
        # Each hour is some coin's that hour, and not all of them one coin's.
        fits = np.isclose(shape, donors, rtol=1e-12).all(axis=2)
        assert fits.any(axis=0).all()
        assert not fits.all(axis=1).any()
        # An hour begins where the one before it ended.
        close, open_ = wide.close[rows][3:-1:4], wide.open[rows][4::4]
        np.testing.assert_allclose(close, open_, rtol=1e-12)
    assert widened(own, 5, np.random.default_rng(0)).factors == own.factors


def test_a_day_of_128_factors_takes_less_than_two_seconds():
    wide = widened(day(40, 15), 128, np.random.default_rng(1))
    clock = Clock(0, 1_440)
    started = time.process_time()
    table = ticks(wide, clock)
    assert time.process_time() - started < 2.0
    assert table.shape == (28_800, 128)
    assert np.isfinite(table).all()
