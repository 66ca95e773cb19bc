"""What was visible when, and which prints are refused (METHOD 4.2)."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.base.errors import MarketInvalid
from crossmargin.frames.history import (
    FIELDS,
    HOUR_NS,
    HistoryFrame,
    clean,
    history_from_table,
    history_to_table,
)

NAN = float("nan")


def bars(close, low=None, high=None, confirm=None):
    close = np.array(close, dtype=float)[:, None]
    low = close if low is None else np.array(low, dtype=float)[:, None]
    high = close if high is None else np.array(high, dtype=float)[:, None]
    if confirm is not None:
        confirm = np.array(confirm, dtype=float)[:, :, None]
    ts = HOUR_NS * np.arange(1, len(close) + 1)
    return HistoryFrame(ts, ("X/USD",), close, low, high, confirm)


def test_a_bar_is_visible_from_its_close_on():
    history = bars([1, 2, 3])
    assert len(history.as_of(2 * HOUR_NS - 1)) == 1
    assert len(history.as_of(2 * HOUR_NS)) == 2
    assert len(history.as_of(0)) == 0


def test_between_is_open_on_the_left_and_closed_on_the_right():
    assert bars([1, 2, 3]).between(HOUR_NS, 2 * HOUR_NS).close.tolist() == [[2.0]]


@pytest.mark.parametrize(
    ("close", "refused"),
    [
        ([100, 79, 100], True),  # 21 % below both neighbours, which are equal
        ([100, 81, 100], False),  # 19 %
        ([100, 80, 100], False),  # exactly 20 % is not beyond
        ([100, 121, 100], True),
        ([100, 50, 89], False),  # the neighbours lie 11 % apart: a market that moved
        ([100, 50, 91], True),  # 9 % apart, and 50 lies beyond 20 % of both
        ([100, 50, NAN, 100], True),  # the nearest close counts, a gap does not hide a print
        ([100, 50], False),  # no neighbour after: kept
        ([50, 100], False),
    ],
)
def test_a_close_is_refused_only_between_agreeing_neighbours(close, refused):
    cleaned, prints = clean(bars(close), 0.20, 0.10)
    assert [p.price for p in prints if p.field == "close"] == ([close[1]] if refused else [])
    assert np.isnan(cleaned.close[1, 0]) == refused


def test_a_wick_is_refused_and_the_close_beside_it_kept():
    history = bars([3.0, 3.0, 3.0], low=[2.9, 0.0001, 2.9])
    cleaned, prints = clean(history, 0.20, 0.10)
    assert prints == (("X/USD", 2 * HOUR_NS, "low", 0.0001),)
    assert cleaned.low[:, 0].tolist()[::2] == [2.9, 2.9]
    assert np.isnan(cleaned.low[1, 0])
    assert (cleaned.close == history.close).all()


def test_a_second_source_with_the_same_wick_confirms_it():
    second = [[3, 3, 3], [2.9, 1.0, 2.9], [3, 3, 3]]
    _, prints = clean(bars([3, 3, 3], low=[2.9, 0.8, 2.9], confirm=second), 0.20, 0.10)
    assert prints == ()


def test_a_second_source_without_the_wick_does_not():
    second = [[3, 3, 3], [2.9, 2.9, 2.9], [3, 3, 3]]
    _, prints = clean(bars([3, 3, 3], low=[2.9, 0.8, 2.9], confirm=second), 0.20, 0.10)
    assert [p.field for p in prints] == ["low"]


def test_a_listing_hours_high_is_judged_by_its_own_close():
    # APT traded at 100 in its first hour, which closed at 8.49; the next closed at 7.48.
    _, prints = clean(bars([8.49, 7.48], high=[100.0, 8.59]), 0.20, 0.10)
    assert [(p.field, p.price) for p in prints] == [("high", 100.0)]


def test_a_close_the_next_hour_trades_at_was_a_real_price():
    # LUNA, 9 May 2022: 41.5, 30.3, 38.6; the next hour opened at 30.3.
    _, prints = clean(bars([41.5, 30.3, 38.6], [39.8, 30.0, 26.5], [47.1, 42.7, 39.3]), 0.20, 0.10)
    assert prints == ()


def test_in_a_crash_hour_a_second_source_that_saw_nothing_is_enough():
    # LINK, 12 March 2020: neighbours 3.06 and 2.35 do not agree; the perpetual's low was 1.81.
    second = [[3.07, 2.45, 2.29], [3.06, 1.81, 2.13], [3.2, 3.09, 2.59]]
    history = bars([3.06, 2.47, 2.35], [3.06, 0.0001, 2.0], [3.2, 3.08, 2.6], second)
    _, prints = clean(history, 0.20, 0.10)
    assert [(p.field, p.price) for p in prints] == [("low", 0.0001)]


def test_a_wild_print_of_the_second_source_is_named_too():
    # ETH perpetual, 13 March 2020: a high of 323 while spot saw 120.
    second = [[96, 111, 124], [94, 84, 110], [112, 323, 140]]
    history = bars([96, 111, 124], [94, 86, 110], [112, 120, 138], second)
    _, prints = clean(history, 0.20, 0.10)
    assert [(p.field, p.price) for p in prints] == [("second high", 323.0)]


def test_a_long_table_becomes_a_history():
    table = pl.DataFrame(
        {"ts": ["1970-01-01T01:00Z", "1970-01-01T02:00Z", "1970-01-01T02:00Z"],
         "factor": ["B", "B", "A"], "close": [1.0, -2.0, 3.0], "low": [0.5, None, None]}
    )  # fmt: skip
    got = history_from_table(table)
    assert got.factors == ("A", "B")
    assert (got.ts_ns // HOUR_NS).tolist() == [1, 2]
    np.testing.assert_equal(got.close, [[NAN, 1.0], [3.0, NAN]])  # a price is above zero
    np.testing.assert_equal(got.low, [[NAN, 0.5], [3.0, NAN]])
    assert got.vol is None


def test_a_history_written_and_read_is_the_same():
    history = bars([8.0, NAN, 7.0], low=[7.5, NAN, NAN], high=[9.0, NAN, 8.0])
    got = history_from_table(history_to_table(history))
    assert got.ts_ns.tolist() == [HOUR_NS, 3 * HOUR_NS]  # an hour nobody traded has no row
    assert got.close[:, 0].tolist() == [8.0, 7.0]
    assert got.low[:, 0].tolist() == [7.5, 7.0]


@pytest.mark.parametrize("stamps", [["soon", "1970-01-02"], ["1970-01-02", "1970-01-02"]])
def test_a_table_with_an_unreadable_or_repeated_stamp_is_refused(stamps):
    table = pl.DataFrame({"ts": stamps, "factor": ["A", "A"], "close": [1.0, 2.0]})
    with pytest.raises(MarketInvalid, match="ts"):
        history_from_table(table)


prices = st.lists(st.one_of(st.just(NAN), st.floats(1.0, 200.0)), min_size=1, max_size=12)


@given(prices, st.data())
def test_clean_matches_plain_loops(close, data):
    n = len(close)
    draw = st.lists(st.one_of(st.just(NAN), st.floats(1.0, 200.0)), min_size=n, max_size=n)
    low, high = data.draw(draw), data.draw(draw)
    second = data.draw(st.one_of(st.none(), st.tuples(draw, draw, draw)))
    _, prints = clean(bars(close, low, high, second), 0.20, 0.10)
    got = {(p.field, p.ts_ns // HOUR_NS - 1) for p in prints if "second" not in p.field}
    assert got == set(slow_refused((close, low, high), second))


def slow_refused(fields, second):
    """The rule in words, one print at a time."""
    close, low, high = fields
    bad_closes = set()
    for name, prices in zip(FIELDS, fields, strict=True):
        for n, price in enumerate(prices):
            own = [c for c in close[n : n + 1] if name != "close" and c == c]
            left = [c for c in close[:n] if c == c][-1:] or own
            right = [c for c in close[n + 1 :] if c == c][:1] or own
            if not left or not right:
                continue
            lo, hi = min(left[0], right[0]), max(left[0], right[0])
            if not (price < 0.8 * lo or price > 1.2 * hi):
                continue
            edge = lo if price < lo else hi
            way = math.log(price / edge)
            seen = [NAN] if second is None else [second[FIELDS.index(name)][n]]
            if any(w == w and math.log(w / edge) / way >= 0.5 for w in seen):
                continue
            listing = name != "close" and not any(c == c for c in close[:n])
            agree = listing or abs(right[0] / left[0] - 1) <= 0.10
            if not agree and not any(w == w for w in seen):
                continue
            if name == "close":
                after = n + 1 < len(close)
                if after and low[n + 1] <= 1.05 * price and high[n + 1] >= 0.95 * price:
                    continue
                bad_closes.add(n)
            elif n not in bad_closes and math.log(close[n] / edge) / way >= 0.5:
                continue
            yield name, n
