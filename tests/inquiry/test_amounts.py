"""Spec 7: how much may leave, and how large an order may be: exactly to the boundary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossmargin.api.report import Report
from crossmargin.frames.book import BookFrame
from crossmargin.margin.prepared import Market
from crossmargin.methods.registry import assess
from crossmargin.reference.plain import (
    STALE,
    Holding,
    PlainAccount,
    PlainMarket,
    PlainOrder,
    PlainPool,
)
from margin.small import BTC, FEE, INITIAL, RANGE, held, judged, one, plain_market, two_days
from margin.small import with_factor as bad
from strategies import METHODS
from twins.bridge import book_frame

UNIT = 1e-8  # the bridge gives every asset eight decimals
A_BTC = BTC * (RANGE["BTC"] + FEE) * INITIAL  # IM of one BTC-PERP: 9,093.75


def report(market: PlainMarket, account: PlainAccount) -> Report:
    book, frame, there = judged(market, account)
    return Report(book, there, frame)


def allowed(book: BookFrame, market: Market, pool: int) -> bool:
    """Spec 1.1 and 7, read off the frame: HEALTHY, and the shared pool carries what is wanted."""
    frame = assess(book, market, threads=1)
    if pool == 0 and book.n_pools > 1:
        own = frame.margin_balance_im[0] - (frame.im[0] - frame.draw_im[1:].sum())
        return bool(own - frame.draw_wanted_im[0] >= -1e-9)
    return bool(frame.buffer_im[pool] >= 0.0)


def less(account: PlainAccount, pool: int, asset: str, amount: float) -> PlainAccount:
    """The account with an amount taken from a pool, as one row an asset."""
    rows = [
        replace(r, quantity=r.quantity - amount) if r.item == asset else r
        for r in account.pools[pool].holdings
    ]
    pools = list(account.pools)
    pools[pool] = replace(pools[pool], holdings=tuple(rows))
    return replace(account, pools=tuple(pools))


def at_the_boundary(market: PlainMarket, account: PlainAccount, asset: str, pool: int = 0) -> int:
    """Check that what is said to be free is, with all that is smaller, and no unit more."""
    asked = report(market, account)
    name = account.pools[pool].pool
    units = asked.free_to_withdraw("a", asset, name)
    coins = units / 1e8

    def after(amount: float) -> bool:
        return allowed(book_frame(market, [less(account, pool, asset, amount)]), asked.market, pool)

    assert after(coins)
    assert all(after(coins * share) for share in np.linspace(0.0, 1.0, 23))
    settled = sum(r.quantity for r in account.pools[pool].holdings if r.item == asset)
    if coins < settled - 0.5 * UNIT:
        # The boundary itself may fall on either side of a unit by rounding; past it, never.
        assert not after((units + 2) / 1e8)
    return units


@pytest.mark.parametrize("method", METHODS)
def test_what_is_free_is_free_to_the_last_unit(method: str):
    market = plain_market(joint=two_days())
    rows = held(USD=20_000.0, ETH=5.0, BTC_PERP=1.0, ETH_P=-3.0)
    for asset in ("USD", "ETH"):
        assert at_the_boundary(market, one(method, rows), asset) > 0


def test_cash_beyond_the_initial_margin_is_free():
    asked = report(plain_market(), one("cross_sum", held(USD=20_000.0, BTC_PERP=1.0)))
    # 10,906.25, or a unit less: 0.14 and 0.0055 are no binary fractions.
    assert asked.free_to_withdraw("a", "USD") == pytest.approx((20_000.0 - A_BTC) / UNIT, abs=1)


def test_who_owes_nothing_may_take_everything():
    asked = report(plain_market(), one("cross_sum", held(USD=123.45678901, ETH=0.1, ETH_C=1.0)))
    assert asked.free_to_withdraw("a", "USD") == 12_345_678_901
    assert asked.free_to_withdraw("a", "ETH") == 10_000_000


def test_unsettled_gains_do_not_leave_and_unsettled_losses_stay_behind():
    gain = (Holding("BTC-PERP", 1.0, BTC - 20_000.0),)
    asked = report(plain_market(), one("cross_sum", held(USD=1_000.0) + gain))
    assert asked.free_to_withdraw("a", "USD") == 100_000_000_000  # the settled balance, all of it
    loss = (Holding("BTC-PERP", 1.0, BTC + 5_000.0),)
    asked = report(plain_market(), one("cross_sum", held(USD=20_000.0) + loss))
    assert asked.free_to_withdraw("a", "USD") == pytest.approx((15_000.0 - A_BTC) / UNIT, abs=1)


@pytest.mark.parametrize(
    "rows",
    [
        held(USD=9_000.0, BTC_PERP=1.0),  # below IM
        held(ETH=-1.0, BTC=1.0),  # holds no USD
        held(USD=-5.0, BTC=1.0),  # owes USD
        held(USD=5_000.0, ETH=-1.0),  # UNPRICED: the price of its debt is bad
    ],
    ids=["below im", "none held", "owed", "unpriced"],
)
def test_nothing_is_free(rows):
    market = bad(plain_market(), "ETH/USD", status=STALE)
    assert report(market, one("cross_sum", rows)).free_to_withdraw("a", "USD") == 0


def test_open_orders_hold_back_what_their_fill_would_take():
    orders = (PlainOrder("BTC-PERP", 1.0, BTC),)
    asked = report(plain_market(), one("cross_sum", held(USD=20_000.0, BTC_PERP=1.0), orders))
    want = 20_000.0 - 2.0 * A_BTC - 0.0005 * BTC
    assert asked.free_to_withdraw("a", "USD") == pytest.approx(want / UNIT, abs=2)


def ringed(shared_cash: float, bucket_cash: float, limit: float) -> PlainAccount:
    """IM of the shared pool 9,093.75, of the bucket 909.375."""
    return PlainAccount(
        "a",
        (
            PlainPool("shared", "cross_sum", held(USD=shared_cash, BTC_PERP=1.0)),
            PlainPool("b", "cross_sum", held(USD=bucket_cash, BTC_PERP=0.1), draw_limit=limit),
        ),
    )


def test_the_shared_pool_keeps_what_its_buckets_want():
    # The bucket wants 909.375 - 400 = 509.375 of the shared pool's 906.25.
    units = at_the_boundary(plain_market(), ringed(10_000.0, 400.0, 600.0), "USD")
    assert units * UNIT == pytest.approx(906.25 - 509.375, abs=2 * UNIT)
    # It wants what its limit leaves, though nothing of it can be granted: nothing is free.
    asked = report(plain_market(), ringed(10_000.0, -100.0, 950.0))
    assert asked.free_to_withdraw("a", "USD") == 0


def test_a_bucket_may_be_emptied_as_far_as_its_draw_reaches():
    # D_IM may grow to min(600, 906.25): 400 - x >= 909.375 - 600.
    account = ringed(10_000.0, 400.0, 600.0)
    units = at_the_boundary(plain_market(), account, "USD", pool=1)
    assert units * UNIT == pytest.approx(400.0 - 309.375, abs=2 * UNIT)


# --- largest order --------------------------------------------------------------------------------


def lowest(market: PlainMarket, account: PlainAccount, order: PlainOrder | None) -> float:
    pool = account.pools[0]
    orders = (*pool.orders, order) if order else pool.orders
    asked = replace(account, pools=(replace(pool, orders=orders), *account.pools[1:]))
    return float(judged(market, asked)[1].buffer_im[0])


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("method", METHODS)
def test_the_largest_order_is_accepted_and_a_little_more_is_refused(method: str, side: int):
    market = plain_market(joint=two_days())
    account = one(method, held(USD=40_000.0, ETH_PERP=20.0))
    size = report(market, account).largest_order("a", "ETH-PERP", side)
    assert size > 0.0
    limit = 2_000.0
    assert lowest(market, account, PlainOrder("ETH-PERP", side * size, limit)) >= -1e-7
    more = PlainOrder("ETH-PERP", side * size * (1.0 + 1e-9), limit)
    assert lowest(market, account, more) < 1e-7
    assert lowest(market, account, PlainOrder("ETH-PERP", side * size * 1.001, limit)) < 0.0


def test_the_largest_order_of_a_perpetual_by_hand():
    asked = report(plain_market(), one("cross_sum", held(USD=10_000.0)))
    # 10,000 = q x 50,000 x (1.25 x (0.14 + 0.0055) + 0.0005)
    want = 10_000.0 / (A_BTC + 25.0)
    assert asked.largest_order("a", "BTC-PERP", 1) == pytest.approx(want, rel=1e-9)
    assert asked.largest_order("a", "BTC-PERP", -1) == pytest.approx(want, rel=1e-9)
    # Bidding 100 above the mark loses 100 a contract when it fills.
    dear = asked.largest_order("a", "BTC-PERP", 1, BTC + 100.0)
    assert dear == pytest.approx(10_000.0 / (A_BTC + 125.0), rel=1e-9)


def test_who_may_not_take_new_risk_may_still_close():
    # Below IM by 93.75: buying adds risk; selling what is long lowers nothing up to twice it.
    asked = report(plain_market(), one("cross_sum", held(USD=9_000.0, BTC_PERP=1.0)))
    assert asked.largest_order("a", "BTC-PERP", 1) == 0.0
    closing = asked.largest_order("a", "BTC-PERP", -1)
    # Turned to the short side it must not be worse than now: A (q - 1) + 25 q <= A.
    assert closing == pytest.approx(2.0 * A_BTC / (A_BTC + 25.0), rel=1e-9)


def test_an_unpriced_pool_takes_no_order():
    market = bad(plain_market(), "ETH/USD", status=STALE)
    asked = report(market, one("cross_sum", held(USD=1e6, ETH=-1.0)))
    assert asked.largest_order("a", "BTC-PERP", 1) == 0.0
