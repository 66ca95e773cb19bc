"""Linked batches: what one command of a batch leaves is not taken for what another one did."""

from __future__ import annotations

from typing import Any

import pytest

from crossmargin.engine import commands as c
from crossmargin.engine.replies import Rejected, Rejection
from engine.arranged import failing
from engine.small import (
    CT,
    ETH,
    MONEY,
    USD,
    USDC,
    Side,
    Venue,
    account,
    bucket,
    holding,
    trade,
    venue,
)


@pytest.mark.parametrize("limit", [None, 40])
def test_what_leaves_a_bucket_opened_in_the_same_batch_is_refused_and_nothing_breaks(
    limit: int | None,
) -> None:
    # 10 ETH at 2,000 count 0.875 of that: 17,500; 80 ETH-PERP need 0.125 x 160,000 = 20,000.
    made = venue()
    made.do(account("ann"), holding("ann", {"ETH": 10 * ETH}))
    reply = made.refused(c.Batch(commands=(
        c.OpenPool(account="ann", pool=bucket("b", limit)),
        c.Transfer(account="ann", asset="ETH", amount=ETH, to_pool="b"),
        trade("ETH-PERP", 80 * CT, "2000", Side("ann", "b")),
        c.Withdraw(account="ann", pool="b", asset="ETH", amount=ETH // 2),
    )))  # fmt: skip
    assert reply.reason == Rejection.MARGIN_SHORT


PAYS = c.Deposit(account="ann", asset="USD", amount=1)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("idle", [
    c.ChargeAccruals(holders=(("ann", "shared"),)), c.ReserveDraws(account="ann"),
])  # fmt: skip
def test_nothing_due_is_refused_wherever_in_a_batch_it_stands(idle: Any, first: bool) -> None:
    made = venue()
    made.do(account("ann", bucket("b", 40)), holding("ann", {"USD": 100 * USD}))
    commands = (idle, PAYS) if first else (PAYS, idle)
    assert made.refused(c.Batch(commands=commands)).reason == Rejection.NOTHING_DUE


def test_a_merged_bucket_opened_in_a_batch_stands_where_its_shared_pool_stood() -> None:
    # 1,000 dollars against 10 ETH-PERP: 0.125 x 20,000 = 2,500, short by 1,500. Two sold in the
    # new bucket leave 8 of them, short by 1,000: less than before.
    made = venue()
    made.do(
        account("ann"), holding("ann", {"USD": 1_000 * USD}, {"ETH-PERP": (10 * CT, -2_000_000)})
    )
    opens = c.OpenPool(account="ann", pool=bucket("m", None))
    more = trade("ETH-PERP", CT, "2000", Side("ann", "m"))
    found = made.refused(c.Batch(commands=(opens, more)))
    # The eleventh takes 0.125 x 2,000 off a buffer of -1,500.
    assert (found.reason, found.asked, found.free, found.where) == (
        Rejection.MARGIN_SHORT, 250 * MONEY, -1_500 * MONEY, "ann/shared",
    )  # fmt: skip
    less = trade("ETH-PERP", 2 * CT, "2000", "@outside", Side("ann", "m"))
    made.do(c.Batch(commands=(opens, less)))
    assert made.book.find("ann").pools["m"].positions["ETH-PERP"].contracts == -2 * CT


def test_a_batch_short_in_many_pools_tells_of_the_first() -> None:
    made = short_in(8)
    reply = made.refused(c.Batch(commands=tuple(
        c.Withdraw(account="ann", pool=f"b{n}", asset="USD", amount=90 * USD) for n in range(8)
    )))  # fmt: skip
    # 100 dollars and 0.4 ETH-PERP: 0.125 x 800 = 100 are needed, so nothing is free.
    assert reply == Rejected(Rejection.MARGIN_SHORT, 90 * MONEY, 0, "ann/b0")


def short_in(n_buckets: int) -> Venue:
    made = venue()
    names = [f"b{n}" for n in range(n_buckets)]
    made.do(account("ann", *(bucket(name, 0) for name in names)))
    for name in names:
        perp = {"ETH-PERP": (4 * CT // 10, -80_000)}
        made.do(holding("ann", {"USD": 100 * USD}, perp, pool=name))
    return made


def sale(account: str, contracts: int, price: str = "2000", **more: Any) -> c.Liquidate:
    return c.Liquidate(
        account=account, contracts=contracts, price=price, counterparty=Side("@outside"),
        **{"instrument": "ETH-PERP", "buys": False, **more},
    )  # fmt: skip


def test_a_batch_that_sells_out_of_a_pool_may_go_on_until_it_has_reached_its_target():
    # 1,500 dollars, long 10 at 2,000: 7 left need 1,400, health 1.07; 6.8 need 1,360, 1.103.
    first, second, third = 3 * CT, CT * 2 // 10, 1
    made = failing()
    made.do(sale("liq", first))
    assert made.refused(sale("liq", second)).reason == Rejection.NOT_LIQUIDATABLE, "not by itself"
    made = failing()
    many = c.Batch(commands=(sale("liq", first), sale("liq", second), sale("liq", third)))
    assert made.refused(many).reason == Rejection.NOT_LIQUIDATABLE, "the third is past the target"
    made.do(c.Batch(commands=many.commands[:2]))
    assert made.position("liq", "ETH-PERP")[0] == 68 * CT // 10


def hedged() -> Venue:
    """150 dollars; long 10 ETH-PERP, short 9 ETH-FUT at the mark: net 1 needs 200, 10 and 9 more.

    A hair under the 10 % of one contract.
    """
    made = venue()
    made.do(account("ann"), holding("ann", {"USD": 150 * USD}, {
        "ETH-PERP": (10 * CT, -2_000_000), "ETH-FUT": (-9 * CT, 18_000 * USDC),
    }))  # fmt: skip
    return made


def test_legs_of_a_hedge_are_judged_together():
    legs = (sale("ann", 10 * CT), sale("ann", 9 * CT, instrument="ETH-FUT", buys=True))
    made = hedged()
    assert made.refused(legs[0]).reason == Rejection.NOT_RAISING, "9 short alone need 1,800"
    made.do(c.Batch(commands=legs))
    assert not made.book.find("ann").pools["shared"].positions


def test_money_that_comes_in_between_is_no_merit_of_the_sale():
    # 9 at 1,700 lose 2,700 and free 1,800.
    given = c.Deposit(account="liq", asset="USD", amount=5_000 * USD)
    refused = failing().refused(c.Batch(commands=(sale("liq", 9 * CT, "1700"), given)))
    assert refused.reason == Rejection.NOT_RAISING
