"""L2 and L17 through the questions a trader asks: the quote says what the deed would meet.

The deed is judged by the slow twin, on a book it makes itself, so that nothing is shared with the
quote but the account and the market.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

import strategies as s
from crossmargin.frames.compile import from_smallest_units
from crossmargin.inquiry.amounts import free_to_withdraw
from crossmargin.inquiry.desk import Desk, desk_for
from crossmargin.inquiry.whatif import Trade, after
from crossmargin.margin.prepared import Market
from crossmargin.methods.registry import assess
from crossmargin.reference import orders
from crossmargin.reference.plain import (
    UNPRICED,
    Holding,
    PlainAccount,
    PlainMarket,
    PlainOrder,
    PlainPool,
)
from crossmargin.reference.valuation import discount, forward, is_bad, option_price, years
from laws.test_laws import alone
from strategies import World, good_worlds
from twins.bridge import book_frame
from twins.rows import frame_rows, prepare, scale_of, twin_rows

TOL = 1e-9


@given(good_worlds(), st.sampled_from(s.METHODS))
def test_l2_all_of_a_pool_that_owes_nothing_may_leave(world: World, method: str) -> None:
    rng = random.Random(world.seed)
    rows = s.merged(world.market, s.savings(rng, world.market, 1e6))
    account = alone(PlainPool("shared", method, rows))
    market = prepare(world.market)
    book = book_frame(world.market, [account])
    for row in rows:
        if row.item in world.market.assets:
            desk = desk_for(book, market, 0, "shared", row.item)
            assert coins_free(desk, row.item) == row.quantity


@given(good_worlds(), st.integers(0, 2**31))
def test_l17_what_is_free_may_leave_and_a_little_more_may_not(world: World, seed: int) -> None:
    rng = random.Random(seed)
    market = prepare(world.market)
    for i, account in enumerate(world.accounts):
        account = PlainAccount(account.account, account.pools[:1])  # alone: no wanted draws
        book = book_frame(world.market, [account])
        held = [r for r in account.pools[0].holdings if r.item in s.ASSETS and r.quantity > 0.0]
        if not held:
            continue
        row = rng.choice(held)
        free = coins_free(desk_for(book, market, 0, "shared", row.item), row.item)
        assert 0.0 <= free <= row.quantity, i
        left = withdrawn(world.market, account, row.item, free)
        before = twin_rows(world.market, [account])[0]
        if before["verdict"] == UNPRICED or before["buffer_im"] < 0.0:
            assert free == 0.0
            continue
        slack = 1e-6 * scale_of(before)
        assert left >= -slack
        # Two rows of an asset may sum to a hair below a whole unit; the unit they miss stays.
        if row.quantity - free > unit_of(row.item, market):
            more = min(row.quantity, free * (1.0 + 1e-5) + 1e-5 * row.quantity)
            assert withdrawn(world.market, account, row.item, more) <= slack


def coins_free(desk: Desk, asset: str) -> float:
    """What may leave, in coins: the answer is in smallest units."""
    row = desk.market.frame.assets.names.index(asset)
    decimals = int(desk.market.frame.assets.decimals[row])
    return from_smallest_units(free_to_withdraw(desk, asset), decimals)


def unit_of(asset: str, market: Market) -> float:
    """The smallest unit of an asset, in coins."""
    assets = market.frame.assets
    return 10.0 ** -int(assets.decimals[assets.names.index(asset)])


def withdrawn(market: PlainMarket, account: PlainAccount, asset: str, amount: float) -> float:
    """The twin's buffer_IM once an amount is gone."""
    pool = account.pools[0]
    held = s.merged(market, [*pool.holdings, Holding(asset, -amount)])
    return twin_rows(market, [replace(account, pools=(replace(pool, holdings=held),))])[0][
        "buffer_im"
    ]


@given(good_worlds(), st.integers(0, 2**31))
def test_l17_what_if_a_trade_is_the_book_after_the_trade(world: World, seed: int) -> None:
    rng = random.Random(seed)
    market = prepare(world.market)
    for i, account in enumerate(world.accounts):
        at = rng.randrange(len(account.pools))
        order = s.order(rng, world.market, 1e5)
        if is_bad(world.market, order.instrument):
            continue
        price = mark(world.market, order.instrument)
        done = with_fill(world.market, account, at, replace(order, limit_price=price))
        desk = desk_for(
            book_frame(world.market, world.accounts), market, i, account.pools[at].pool,
            order.instrument,
        )  # fmt: skip
        quoted = after(desk, [Trade(order.instrument, order.quantity, price)], [])
        quote = frame_rows(assess(quoted, desk.market, threads=1, parts=True))
        deed = twin_rows(world.market, [done])
        for got, want in zip(quote, deed, strict=True):
            assert got["verdict"] == want["verdict"]
            if want["verdict"] != UNPRICED:
                for key in ("equity", "margin_balance_im", "mm", "im", "buffer_mm", "buffer_im"):
                    assert abs(got[key] - want[key]) <= TOL * scale_of(want), key


def with_fill(
    market: PlainMarket, account: PlainAccount, at: int, order: PlainOrder
) -> PlainAccount:
    pools = list(account.pools)
    rows = (*pools[at].holdings, *orders.fill(market, order))
    pools[at] = replace(pools[at], holdings=rows)
    return replace(account, pools=tuple(pools))


def mark(market: PlainMarket, name: str) -> float:
    """Where nothing is lost or gained against the mark."""
    terms = market.instruments[name]
    f = forward(terms)
    if not terms.is_option:
        return f
    t = years(market, terms)
    value = option_price(terms, f, terms.iv, t) * (discount(terms, t) if terms.pays_premium else 1)
    return value if value > 0.0 else math.ulp(0.0)
