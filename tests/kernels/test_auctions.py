"""Auction paths, ramps and bankruptcy prices by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.kernels.auctions import (
    Path,
    bankruptcy_pnl,
    clearing_s,
    discounts,
    price_of_pnl,
    ramped,
    reverse_dutch,
    settles,
)


def of(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def path(n: int = 1, start=0.01, per_depth=0.5, per_s=0.001, most=0.2) -> Path:
    return Path(*(np.full(n, float(x)) for x in (start, per_depth, per_s, most)))


def test_a_discount_grows_with_depth_and_with_time_up_to_its_most() -> None:
    # 1 % + 0.5 x 4 % under water = 3 %; after 30 s 6 %; never more than 20 %.
    got = discounts(of(0.04, 0.04, 0.04, -0.5), of(0.0, 30.0, 1e6, 0.0), path(4))
    assert got == pytest.approx([0.03, 0.06, 0.20, 0.01])


def test_the_wait_is_until_costs_are_paid() -> None:
    got = clearing_s(of(0.04, 0.04, 0.04, np.nan), of(0.02, 0.05, 0.21, 0.05), path(4))
    assert got[:2] == pytest.approx([0.0, 20.0])  # 3 % at once; 5 % after 2 % / 0.1 % a second
    assert got[2] == np.inf  # wants more than there ever is
    assert np.isnan(got[3])
    assert clearing_s(of(0.0), of(0.05), path(per_s=0.0))[0] == np.inf


@pytest.mark.parametrize(
    ("bid", "good"),
    [(0.0, 0.0), (-1.0, 0.0), (79.999, 0.0), (80.0, 1.0), (100.0, 1.0), (np.nan, 0.0)],
)
def test_a_zero_bid_cannot_settle(bid: float, good: float) -> None:
    assert settles(of(bid), of(100.0), path())[0] == good


def test_a_mark_of_nothing_settles_nothing() -> None:
    assert settles(of(0.0), of(0.0), path())[0] == 0.0


def test_the_reverse_auction_pays_health_down_to_its_limit() -> None:
    got = reverse_dutch(of(50.0, 49.0, 10.0), of(50.0, 50.0, 50.0), of(0.2, 0.2, 0.2))
    assert got == pytest.approx([1.0, 0.98, 0.8])


def test_a_limit_falls_in_a_line_and_rises_at_once() -> None:
    start, target = of(0.9, 0.9, 0.9, 0.5, 0.9), of(0.4, 0.4, 0.4, 0.8, 0.4)
    elapsed, whole = of(0.0, 200.0, 2000.0, 0.0, 0.0), of(1000.0, 1000.0, 1000.0, 100.0, 0.0)
    got = ramped(start, target, elapsed, whole)
    assert got == pytest.approx([0.9, 0.8, 0.4, 0.8, 0.4])


def test_equity_is_shared_by_stand_alone_requirement() -> None:
    # 10 left, requirements 20 and 30: the positions lose 4 and 6; the second pool owes 5.
    got = bankruptcy_pnl(of(10.0, -5.0), of(20.0, 30.0, 7.0), np.array([0, 2, 3]))
    assert got.tolist() == [-4.0, -6.0, 5.0]
    assert np.isnan(bankruptcy_pnl(of(1.0), of(0.0), np.array([0, 1]))[0])


def test_bankruptcy_prices_by_hand() -> None:
    # Long 2 at 100 with 10 to lose: 95. Short 2: q c = -2, so 105. Inverse long of 1,000 USD at
    # 50,000: 0.02 coins; 0.004 of them lost: 1/b = 1/50,000 + 0.004/1,000 = 0.000024, b = 41,667.
    pnl = of(-10.0 / 2.0, -10.0 / -2.0, -0.004 / 1000.0)
    got = price_of_pnl(of(100.0, 100.0, 50_000.0), pnl, of(0.0, 0.0, 1.0))
    assert got == pytest.approx([95.0, 105.0, 1.0 / 0.000024])
    # An inverse short of 1,000 that would have to lose more than 0.02 coins has no such price.
    assert np.isnan(price_of_pnl(of(50_000.0), of(-0.021 / -1000.0), of(1.0))[0])


@given(st.floats(1e-3, 1e9), st.floats(0.0, 2e9), st.floats(0.0, 1.0))
def test_a_liquidator_never_pays_more_than_value_nor_less_than_the_limit(
    liability: float, adjusted: float, most: float
) -> None:
    factor = reverse_dutch(of(adjusted), of(liability), of(most))[0]
    assert 1.0 - most <= factor <= 1.0
