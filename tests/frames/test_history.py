"""What was visible when, and which prints are refused (METHOD 4.2)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.frames.history import FIELDS, HOUR_NS, HistoryFrame, clean

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
    # APT listed at 100 for a moment and closed the hour at 8.
    _, prints = clean(bars([8.0, 8.1], high=[100.0, 8.2]), 0.20, 0.10)
    assert [(p.field, p.price) for p in prints] == [("high", 100.0)]


prices = st.lists(st.one_of(st.just(NAN), st.floats(1.0, 200.0)), min_size=1, max_size=12)


@given(prices, st.data())
def test_clean_matches_plain_loops(close, data):
    n = len(close)
    draw = st.lists(st.one_of(st.just(NAN), st.floats(1.0, 200.0)), min_size=n, max_size=n)
    low, high = data.draw(draw), data.draw(draw)
    second = data.draw(st.one_of(st.none(), st.tuples(draw, draw, draw)))
    _, prints = clean(bars(close, low, high, second), 0.20, 0.10)
    got = {(p.field, p.ts_ns // HOUR_NS - 1) for p in prints}
    assert got == set(slow_refused(close, (close, low, high), second))


def slow_refused(close, fields, second):
    for row, name in enumerate(FIELDS):
        for n, price in enumerate(fields[row]):
            before = [c for c in close[:n] if c == c]
            after = [c for c in close[n + 1 :] if c == c]
            own = [] if name == "close" else [close[n]]
            left = before[-1:] or own
            right = after[:1] or own
            if not left or not right:
                continue
            a, b = left[0], right[0]
            if not abs(b / a - 1) <= 0.10:
                continue

            def low_side(x, a=a, b=b):
                return x < 0.8 * a and x < 0.8 * b

            def high_side(x, a=a, b=b):
                return x > 1.2 * a and x > 1.2 * b

            for far in (low_side, high_side):
                if far(price) and not (second is not None and far(second[row][n])):
                    yield name, n
