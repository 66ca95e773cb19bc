"""What margin lets happen: withdrawals at their boundary, risk that falls, draws, accruals due."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crossmargin.base.errors import InputInvalid
from crossmargin.domain.book import OrderState, Print
from crossmargin.engine import commands as c
from crossmargin.engine.replies import Accepted, Rejection
from crossmargin.frames.ledgered import book_frame
from crossmargin.margin.requirement import RequirementFrame, Verdict
from crossmargin.methods.registry import assess
from engine.arranged import calm, failing, lending, positions
from engine.small import (
    CT,
    ETH,
    MONEY,
    TOK,
    USD,
    USDC,
    Side,
    Venue,
    account,
    bucket,
    holding,
    order,
    trade,
    venue,
)

YEAR_S = 365 * 86_400


def quote(made: Venue, name: str, asset: str, pool: str = "shared") -> int | None:
    """How many units may leave, as the engine quotes it."""
    return made.engine.free_of(name, pool, asset)


def judged(made: Venue, name: str) -> RequirementFrame:
    """What margin says of an account now."""
    setting = made.engine.setting(made.engine.now())
    assert setting.market is not None
    assert setting.items is not None
    return assess(book_frame([(name, made.book.find(name))], made.book, setting.items),
                  setting.market)  # fmt: skip


def take(name: str, asset: str, amount: int, pool: str = "shared") -> c.Withdraw:
    return c.Withdraw(account=name, asset=asset, amount=amount, pool=pool)


# --- withdrawals ----------------------------------------------------------------------------------


def against_a_loan() -> Venue:
    """ann: 10 ETH against 8,750 dollars; 5 ETH count 5 x 2,000 x 0.875 = 8,750."""
    made = venue()
    made.do(account("ann"), holding("ann", {"ETH": 10 * ETH, "USD": -8_750 * USD}))
    return made


def in_tokens() -> Venue:
    """ann: 1,000 tokens of no decimals against 437.50 dollars: 500 count 437.5."""
    made = venue()
    made.do(account("ann"), holding("ann", {"TOK": 1_000 * TOK, "USD": -43_750}))
    return made


def with_a_loss() -> Venue:
    """ann: 1,000 dollars, long 2 at 2,100: 200 lost, 500 needed."""
    made = venue()
    made.do(account("ann"), holding("ann", {"USD": 1_000 * USD}, {"ETH-PERP": (2 * CT, -420_000)}))
    return made


def with_a_gain() -> Venue:
    """ann: 100 dollars, long 2 at 1,000: 2,000 gained and not settled."""
    made = venue()
    made.do(account("ann"), holding("ann", {"USD": 100 * USD}, {"ETH-PERP": (2 * CT, -200_000)}))
    return made


def with_wants() -> Venue:
    """ann: 100 dollars; her bucket needs 25 at IM and has 0: it wants 25 (spec 1.12)."""
    made = venue()
    made.do(account("ann", bucket("b", 40)), holding("ann", {"USD": 100 * USD}))
    made.do(holding("ann", positions={"ETH-PERP": (CT // 10, -20_000)}, pool="b"))
    return made


FREE: list[tuple[Any, str, int]] = [
    (positions, "USD", 875_000),  # 10,000 - 0.125 x (2 + 3 ordered) x 2,000
    (against_a_loan, "ETH", 5 * ETH),
    (in_tokens, "TOK", 500),
    (with_a_loss, "USD", 30_000),  # 1,000 - 200 - 500
    (with_a_gain, "USD", 10_000),  # the gain cannot leave before it is settled
    (with_wants, "USD", 7_500),  # 100 - 25
    (calm, "USD", 100_000),
]


@pytest.mark.parametrize(("arranged", "asset", "free"), FREE)
def test_what_is_free_leaves_and_a_unit_more_does_not(arranged: Any, asset: str, free: int) -> None:
    made = arranged()
    told = quote(made, "ann", asset)
    # Floats carry 53 bits: of 18 decimals the last few are the rounding of a buffer.
    fine = asset != "ETH"
    assert told == free if fine else free - free // 10**13 <= told <= free
    more = free + 1 if fine else free + free // 10**13
    found = made.refused(take("ann", asset, more))
    settled = made.balance("ann", asset)
    if more > settled:
        assert found.reason == Rejection.BALANCE_SHORT
    else:
        assert found.reason == Rejection.MARGIN_SHORT
    made.do(take("ann", asset, told))
    assert quote(made, "ann", asset) <= (0 if fine else free // 10**13)


@pytest.mark.parametrize(("arranged", "amount", "asked", "free"), [
    # 10,000 dollars, 5 contracts held or ordered need 0.125 x 5 x 2,000: 8,750 are left
    (positions, 900_000, 9_000 * MONEY, 8_750 * MONEY),
    # 1,000 dollars, 200 lost, 500 needed: 300 are left
    (with_a_loss, 30_001, 300 * MONEY + 10_000, 300 * MONEY),
    # 75 of 100 dollars are left when the bucket's want of 25 is granted
    (with_wants, 8_000, 80 * MONEY, 75 * MONEY),
])  # fmt: skip
def test_a_withdrawal_short_of_margin_says_what_it_takes_and_what_there_is(
    arranged: Any, amount: int, asked: int, free: int
) -> None:
    found = arranged().refused(take("ann", "USD", amount))
    assert found.reason == Rejection.MARGIN_SHORT
    assert found.where == "ann/shared"
    # Floats: the last 10^-6 may be rounded away from the pool on either fact.
    assert asked <= found.asked <= asked + 1
    assert free - 1 <= found.free <= free


@pytest.mark.parametrize(("names", "where"), [
    (("eve", "shared", "USD"), "account"), (("@fees", "shared", "USD"), "account"),
    (("ann", "b", "USD"), "pool"), (("ann", "shared", "DOGE"), "asset"),
])  # fmt: skip
def test_a_quote_for_a_name_that_is_not_known_says_which(
    names: tuple[str, str, str], where: str
) -> None:
    made = venue()
    made.do(account("ann"))
    with pytest.raises(InputInvalid, match=where):
        made.engine.free_of(*names)


def test_what_is_free_is_not_known_while_a_price_is_bad_and_changes_nothing() -> None:
    made = venue()
    made.do(account("ann"), holding("ann", {"ETH": 10 * ETH, "USDC": -1_000 * USDC}))
    made.wait(1)
    halted = {"USDC/USD": Print(1.0, status="halted")}
    made.do(c.AcceptPrices(stamped_ns=made.engine.now(), prints=halted))
    before = made.engine.state_hash()
    assert quote(made, "ann", "ETH") is None
    assert made.refused(take("ann", "ETH", 1)).reason == Rejection.POOL_UNPRICED
    assert made.engine.state_hash() == before


def test_what_a_mirror_has_free_knows_of_no_accruals() -> None:
    made = venue()
    made.do(account("mir", mirror=True))
    made.do(c.Observe(account="mir", source="elsewhere", balances={"USD": 1_000 * USD},
                      positions={"ETH-PERP": (2 * CT, -400_000)}))  # fmt: skip
    made.do(c.AdvanceFunding(instrument="ETH-PERP", rate="0.01", price="2000"))
    # 0.125 x 4,000 are needed of 1,000; its own venue charges it, so the 40 due here are not.
    assert quote(made, "mir", "USD") == 500 * USD


def test_a_pool_that_is_short_quotes_nothing_and_nothing_leaves() -> None:
    made = failing()
    assert quote(made, "liq", "USD") == 0
    found = made.refused(take("liq", "USD", 1))
    assert (found.reason, found.asked) == (Rejection.MARGIN_SHORT, MONEY // 100)
    assert found.free < 0


@pytest.mark.parametrize("target", ["", "eve"], ids=["withdrawn", "transferred"])
def test_what_counts_nothing_stays_too_while_a_pool_is_short(target: str) -> None:
    # The tokens have a bad price and count nothing at IM: without them the buffer is the same.
    made = failing()
    made.do(c.Deposit(account="liq", asset="TOK", amount=500), account("eve"))
    made.wait(1)
    halted = {"TOK/USD": Print(1.0, status="halted")}
    made.do(c.AcceptPrices(stamped_ns=made.engine.now(), prints=halted))
    move = c.Transfer(account="liq", asset="TOK", amount=500, to_account=target)
    found = made.refused(move if target else take("liq", "TOK", 500))
    # By a token the buffer is what it was: nothing is taken off it, and it is below zero.
    assert (found.reason, found.asked) == (Rejection.MARGIN_SHORT, 0)
    assert found.free < 0


def test_a_loan_too_small_for_a_float_is_refused_while_a_pool_is_short() -> None:
    made = short_of_im()
    made.do(account("eve"), holding("eve", {"ETH": ETH}))
    loan = c.Borrow(account="ann", asset="ETH", amount=1)
    assert made.refused(loan).reason == Rejection.MARGIN_SHORT


def test_what_owes_nothing_leaves_whole_whatever_prices_do() -> None:
    made = calm()
    made.wait(10**6)  # every print is stale
    made.do(take("bob", "ETH", 10 * ETH))
    assert made.book.find("bob").pools["shared"].balances == {}


def test_a_transfer_is_as_strict_as_a_withdrawal() -> None:
    made = positions()
    move = c.Transfer(account="ann", asset="USD", amount=875_001, to_account="bob")
    assert made.refused(move).reason == Rejection.MARGIN_SHORT
    made.do(c.Transfer(account="ann", asset="USD", amount=875_000, to_account="bob"))


def test_funding_received_but_not_charged_counts_and_is_settled_before_it_leaves() -> None:
    made = with_a_loss()
    made.do(c.AdvanceFunding(instrument="ETH-PERP", rate="-0.01", price="2000"))
    # 2 x 20 dollars are due to ann: 1,040 - 200 - 500
    assert quote(made, "ann", "USD") == 34_000
    assert made.refused(take("ann", "USD", 34_001)).reason == Rejection.MARGIN_SHORT
    made.do(take("ann", "USD", 34_000))
    assert made.balance("ann", "USD") == 104_000 - 34_000


# --- risk that falls is never blocked -------------------------------------------------------------


def short_of_im() -> Venue:
    """ann: 2,200 dollars, long 10: 2,000 needed at MM, 2,500 at IM. bob: rich, short 10."""
    made = venue()
    made.do(
        account("ann"), holding("ann", {"USD": 2_200 * USD}, {"ETH-PERP": (10 * CT, -2 * 10**6)})
    )
    made.do(
        account("bob"), holding("bob", {"USD": 10**6 * USD}, {"ETH-PERP": (-10 * CT, 2 * 10**6)})
    )
    return made


RISK = [
    # id, command, accepted
    ("sells_one", trade("ETH-PERP", CT, "2000", "bob", "ann"), True),
    ("buys_a_unit", trade("ETH-PERP", 10**12, "2000", "ann", "bob"), False),
    # loses 25 to free 0.125 x 200: as short as before
    ("sells_at_a_loss_that_frees_as_much", trade("ETH-PERP", CT, "1750", "bob", "ann"), True),
    ("sells_at_a_loss_that_frees_less", trade("ETH-PERP", CT, "1749.99", "bob", "ann"), False),
    ("turns_to_as_much", trade("ETH-PERP", 20 * CT, "2000", "bob", "ann"), True),
    ("turns_to_more", trade("ETH-PERP", 20 * CT + 10**12, "2000", "bob", "ann"), False),
    ("orders_to_sell", order("ann", "o", -CT), True),
    ("orders_to_sell_everything_twice", order("ann", "o", -20 * CT), True),
    ("orders_to_sell_more", order("ann", "o", -20 * CT - 10**12), False),
    ("orders_to_buy", order("ann", "o", CT), False),
    ("orders_to_buy_reduce_only", order("ann", "o", CT, reduce_only=True), True),
    ("pays_in", c.Deposit(account="ann", asset="USD", amount=1), True),
    ("withdraws", take("ann", "USD", 1), False),
    ("spends_on_coins", trade("ETH/USD", CT, "2000", "ann", "bob"), False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "accepted"), [row[1:] for row in RISK], ids=[row[0] for row in RISK]
)
def test_below_im_only_what_does_not_add_risk_passes(command: Any, accepted: bool) -> None:
    [reply] = short_of_im().ask(command)
    assert isinstance(reply, Accepted) == accepted, reply


def test_both_sides_of_a_fill_are_judged() -> None:
    made = short_of_im()
    found = made.refused(trade("ETH-PERP", CT, "2000", "ann", "bob"))
    # -300 before: 2,200 - 2,500; 250 more are needed
    assert (found.reason, found.asked, found.free, found.where) == (
        Rejection.MARGIN_SHORT, 250 * MONEY, -300 * MONEY, "ann/shared",
    )  # fmt: skip


# --- orders reserve at IM -------------------------------------------------------------------------


def test_orders_reserve_what_they_would_need_filled() -> None:
    made = calm()  # ann: 1,000 dollars, 4 contracts at IM
    made.do(order("ann", "one", 3 * CT))
    found = made.refused(order("ann", "two", 2 * CT))
    # 1,000 - 0.125 x 3 x 2,000 = 250 are left; 0.125 x 2 x 2,000 = 500 asked
    assert (found.asked, found.free) == (500 * MONEY, 250 * MONEY)
    made.do(order("ann", "two", CT))
    made.do(order("ann", "sell", -4 * CT))  # the other way: the worse of both is reserved
    assert made.refused(take("ann", "USD", 1)).reason == Rejection.MARGIN_SHORT
    made.do(c.CancelOrder(account="ann"))
    made.do(take("ann", "USD", 100_000))


def test_an_order_s_loss_against_the_mark_counts_and_a_gain_does_not() -> None:
    made = calm()
    # 2 bought at 2,250 lose 500 and need 500
    made.do(order("ann", "dear", 2 * CT, "2250"))
    assert quote(made, "ann", "USD") == 0
    made.do(c.CancelOrder(account="ann"), order("ann", "cheap", 2 * CT, "1000"))
    assert quote(made, "ann", "USD") == 50_000


def test_a_filled_order_reserves_no_more_than_its_position() -> None:
    made = calm()
    made.do(order("ann", "o", 4 * CT))
    for contracts in (CT, 3 * CT):
        made.do(trade("ETH-PERP", contracts, "2000", Side("ann", order="o")))
    assert made.book.find("ann").pools["shared"].orders == {}
    assert made.position("ann", "ETH-PERP") == (4 * CT, -800_000)
    assert quote(made, "ann", "USD") == 0


def test_a_partly_filled_order_keeps_its_place_and_its_terms() -> None:
    made = calm()
    made.do(order("ann", "one", 2 * CT), order("ann", "two", CT))
    made.do(trade("ETH-PERP", CT // 2, "2000", Side("ann", order="one")))
    assert made.book.find("ann").pools["shared"].orders == {
        "one": OrderState("ETH-PERP", 15 * CT // 10, "2000"),
        "two": OrderState("ETH-PERP", CT, "2000"),
    }  # fmt: skip
    assert list(made.book.find("ann").pools["shared"].orders) == ["one", "two"]


def test_the_order_a_forced_sale_fills_falls() -> None:
    made = failing()
    made.do(order("safe", "bid", 3 * CT))
    made.do(c.Liquidate(account="liq", instrument="ETH-PERP", contracts=CT, price="2000",
                        buys=False, counterparty=Side("safe", order="bid")))  # fmt: skip
    assert made.book.find("safe").pools["shared"].orders["bid"].contracts == 2 * CT
    assert made.position("liq", "ETH-PERP") == (9 * CT, -1_800_000)
    assert made.position("safe", "ETH-PERP") == (-3 * CT, 600_000)


# --- draw limits, the examples of METHOD 1.1 ------------------------------------------------------


def drawn(cash: int, limit: int | None = 40) -> Venue:
    """S: 100 dollars, long 300 dollars' worth (MM 30). Bucket: `cash` dollars, 500 (MM 50)."""
    made = venue()
    made.do(account("ann", bucket("b", limit)))
    made.do(holding("ann", {"USD": 100 * USD}, {"ETH-PERP": (15 * CT // 100, -30_000)}))
    made.do(holding("ann", {"USD": cash * USD}, {"ETH-PERP": (25 * CT // 100, -50_000)}, pool="b"))
    return made


@pytest.mark.parametrize(
    ("cash", "draw", "shows", "verdict"),
    [
        (20, 30, 60, "REDUCE_ONLY"),  # y = 30: fine, S shows 60 of 100; IM 62.5 wants 42.5 > 40
        (10, 40, 70, "REDUCE_ONLY"),  # y = 40 = d: fine
        (9, 40, 70, "LIQUIDATABLE"),  # D = 41 > 40
        (50, 0, 30, "HEALTHY"),  # needs nothing at MM; IM 62.5 - 50 = 12.5 of S's 62.5
        (63, 0, 30, "HEALTHY"),
    ],
)
def test_a_bucket_reserves_what_it_needs_up_to_its_limit(
    cash: int, draw: int, shows: int, verdict: str
) -> None:
    found = judged(drawn(cash), "ann")
    assert found.draw_mm[1] == draw
    # S reports requirement + reservations, and is untouched by them.
    assert found.mm[0] == pytest.approx(shows)
    assert Verdict(found.verdict[0]) >= Verdict.REDUCE_ONLY
    assert Verdict(found.verdict[1]) == Verdict[verdict]


def ended(cash: int) -> Venue:
    """S has 100 dollars and nothing open; its bucket is empty and owes."""
    made = venue()
    made.do(account("ann", bucket("b", 40)), holding("ann", {"USD": 100 * USD}))
    made.do(holding("ann", {"USD": cash * USD}, pool="b"))
    return made


def pay(amount: int) -> c.Draw:
    return c.Draw(account="ann", pool="b", asset="USD", amount=amount)


def test_a_bucket_that_ends_at_minus_5_is_paid_5_and_35_are_left_to_draw() -> None:
    made = ended(-5)
    assert made.refused(pay(501)).reason == Rejection.DRAW_TOO_LARGE
    made.do(pay(5 * USD))
    held = made.book.find("ann").pools
    assert (held["shared"].balances, held["b"].balances) == ({"USD": 95 * USD}, {})
    assert held["b"].draw_limit - held["b"].drawn == 35 * MONEY


def test_a_bucket_that_ends_at_minus_52_is_paid_40_and_12_go_to_the_waterfall() -> None:
    made = ended(-52)
    made.do(c.FundInsurance(tier="A", asset="USD", amount=5 * USD))
    made.do(account("bob"), holding("bob", {"USD": 3_000}), account("cat"),
            holding("cat", {"USD": 1_000}))  # fmt: skip
    made.do(pay(40 * USD))
    assert made.refused(pay(1)).reason == Rejection.DRAW_TOO_LARGE
    assert made.balance("ann", "USD", "b") == -12 * USD
    made.do(c.PayInsurance(account="ann", pool="b", tier="A", asset="USD", amount=5 * USD))
    # 7 dollars over balances of 30 and 10: 5.25 and 1.75
    made.do(c.Socialise(account="ann", pool="b", asset="USD", amount=7 * USD,
                        holders=(("bob", "shared"), ("cat", "shared"))))  # fmt: skip
    assert (made.balance("bob", "USD"), made.balance("cat", "USD")) == (3_000 - 525, 1_000 - 175)
    assert made.balance("ann", "USD", "b") == 0
    assert made.balance("ann", "USD") == 60 * USD


def test_socialised_shares_are_rounded_up_and_the_rest_is_kept() -> None:
    made = ended(-52)
    made.do(pay(40 * USD))
    made.do(account("bob"), holding("bob", {"USD": 1_000}), account("cat"),
            holding("cat", {"USD": 2_000}))  # fmt: skip
    # 100 cents over 1,000 and 2,000: 33.3 up 34, 66.7 up 67; 1 to @rounding
    made.do(c.Socialise(account="ann", pool="b", asset="USD", amount=100,
                        holders=(("bob", "shared"), ("cat", "shared"))))  # fmt: skip
    assert (made.balance("bob", "USD"), made.balance("cat", "USD")) == (966, 1_933)
    assert made.balance("@rounding", "USD") == 1


def test_paying_back_lets_a_bucket_draw_again() -> None:
    made = ended(-52)
    made.do(pay(40 * USD), c.Deposit(account="ann", pool="b", asset="USD", amount=32 * USD))
    back = c.Transfer(account="ann", pool="b", asset="USD", amount=15 * USD, pays_back=True)
    made.do(back)  # 20 - 15 stay; 40 - 15 drawn
    assert made.book.find("ann").pools["b"].drawn == 25 * MONEY
    made.do(c.Deposit(account="ann", pool="b", asset="USDC", amount=100 * USDC))
    made.price(USDC=0.5)
    # 30 USDC at 0.5: 15 dollars; 100 would be 50, of which 10 were still drawn
    made.do(c.Transfer(account="ann", pool="b", asset="USDC", amount=30 * USDC, pays_back=True))
    assert made.book.find("ann").pools["b"].drawn == 10 * MONEY
    made.do(c.Transfer(account="ann", pool="b", asset="USDC", amount=70 * USDC, pays_back=True))
    assert made.book.find("ann").pools["b"].drawn == 0


def test_wanted_draws_keep_money_in_the_shared_pool_even_where_less_is_granted() -> None:
    # The bucket wants min(62.5 - 20, 40) = 40 at IM; S has 100 - 37.5 = 62.5: 22.5 may leave.
    made = drawn(20)
    assert quote(made, "ann", "USD") == 2_250
    assert made.refused(take("ann", "USD", 2_251)).reason == Rejection.MARGIN_SHORT
    # New risk too: 22.5 / 0.125 = 180 dollars' worth, 0.09 contracts
    assert made.refused(trade("ETH-PERP", CT // 10, "2000", "ann")).reason == Rejection.MARGIN_SHORT
    made.do(trade("ETH-PERP", 9 * CT // 100, "2000", "ann"))


def test_a_bucket_s_new_risk_is_judged_with_its_draw() -> None:
    made = drawn(50)  # D = 12.5 of 40: 27.5 are left, 220 dollars' worth, 0.11 contracts
    buy = {"instrument": "ETH-PERP", "price": "2000", "seller": Side("@outside")}
    more = c.Fill(contracts=12 * CT // 100, buyer=Side("ann", "b"), **buy)
    assert made.refused(more).where == "ann/b"
    made.do(c.Fill(contracts=11 * CT // 100, buyer=Side("ann", "b"), **buy))
    assert made.balance("ann", "USD") == 100 * USD, "a draw is a reservation: no money moves"


@pytest.mark.parametrize("strict", [True, False])
def test_a_bucket_covered_exactly_by_its_draw_is_not_refused_by_rounding(strict: bool) -> None:
    # D = 0.125 x 333.3 - 0.1... : sums that floats do not hold exactly, covered by 10^9 (C58)
    made = venue()
    made.do(account("ann", bucket("b", 1_000)), holding("ann", {"USD": 10**6 * USD}))
    made.do(holding("ann", {"USD": 1_003}, {"ETH-PERP": (123_456_789 * 10**9, -24_700)}, pool="b"))
    if strict:
        made.do(take("ann", "USD", 1, "b"))
    else:
        made.do(c.Fill(instrument="ETH-PERP", contracts=10**12, price="2000",
                       buyer=Side("ann", "b"), seller=Side("@outside")))  # fmt: skip


def test_a_merged_bucket_is_judged_with_its_shared_pool() -> None:
    made = drawn(20, limit=None)
    # 120 dollars against 0.125 x 800 = 100
    assert quote(made, "ann", "USD") == 2_000
    found = made.refused(take("ann", "USD", 2_001))
    assert (found.reason, found.free) == (Rejection.MARGIN_SHORT, 20 * MONEY)
    made.do(take("ann", "USD", 2_000, "b"))


@pytest.mark.parametrize("asked", [
    c.PayInsurance(account="ann", pool="m", tier="A", asset="USD", amount=5 * USD),
    c.Socialise(account="ann", pool="m", asset="USD", amount=5 * USD,
                holders=(("bob", "shared"),)),
], ids=["insured", "socialised"])  # fmt: skip
def test_nobody_pays_for_a_merged_bucket_while_what_it_merges_with_has_something(
    asked: Any,
) -> None:
    made = venue()
    made.do(account("ann", bucket("m", None), bucket("n", None)), account("bob"))
    made.do(holding("ann", {"USD": -100 * USD}, pool="m"), holding("bob", {"USD": 100 * USD}))
    if isinstance(asked, c.PayInsurance):
        made.do(c.FundInsurance(tier="A", asset="USD", amount=10 * USD))
    made.do(c.Deposit(account="ann", pool="n", asset="USD", amount=1_000 * USD))
    found = made.refused(asked)
    assert (found.reason, found.where) == (Rejection.POOL_NOT_EMPTY, "ann/n")
    made.do(c.Transfer(account="ann", pool="n", asset="USD", amount=900 * USD, to_account="bob"))
    assert made.refused(asked).reason == Rejection.POOL_NOT_EMPTY  # 100 are left: all it owes
    made.do(c.Transfer(account="ann", pool="n", asset="USD", amount=100 * USD, to_pool="m"))
    assert made.refused(asked).reason == Rejection.NOTHING_OWED


def test_a_merged_bucket_whose_whole_account_is_empty_is_insured() -> None:
    made = venue()
    made.do(account("ann", bucket("m", None)), c.FundInsurance(tier="A", asset="USD", amount=USD))
    made.do(holding("ann", {"USD": -USD}, pool="m"))
    made.do(c.PayInsurance(account="ann", pool="m", tier="A", asset="USD", amount=USD))
    assert made.balance("ann", "USD", "m") == 0


def test_orders_of_an_account_are_bounded_together() -> None:
    made = venue()
    made.do(account("ann", *(bucket(f"b{n}", None) for n in range(6))))
    many = {f"o{n}": OrderState("ETH-PERP", CT, "1") for n in range(200)}
    for n in range(4):
        made.do(holding("ann", orders=many, pool=f"b{n}"))
    most = dict(list(many.items())[:199])
    made.do(holding("ann", orders=most, pool="b4"))  # 999 are open
    found = made.refused(holding("ann", orders=dict(list(many.items())[:2]), pool="b5"))
    assert (found.reason, found.asked, found.free) == (Rejection.TOO_MANY, 1_001, 1_000)
    made.do(order("ann", "last", -CT, pool="b5", reduce_only=True))
    found = made.refused(order("ann", "over", -CT, reduce_only=True))
    assert (found.reason, found.asked, found.free) == (Rejection.TOO_MANY, 1_001, 1_000)
    made.do(c.CancelOrder(account="ann", pool="b5", order="last"))
    made.do(order("ann", "over", -CT, reduce_only=True))


def test_a_pool_opened_in_the_same_batch_stood_nowhere_before() -> None:
    # The shared pool is short by 300. A new bucket, short by 25, is not better than that.
    made = short_of_im()
    found = made.refused(c.Batch(commands=(
        c.OpenPool(account="ann", pool=bucket("new", 0)),
        c.Fill(instrument="ETH-PERP", contracts=CT // 10, price="2000", buyer=Side("ann", "new"),
               seller=Side("@outside")),
    )))  # fmt: skip
    assert (found.reason, found.where) == (Rejection.MARGIN_SHORT, "ann/new")


def test_reservations_are_kept_for_when_the_price_is_missing() -> None:
    made = drawn(20)
    made.do(c.ReserveDraws(account="ann"))
    assert made.book.find("ann").pools["b"].last_draw == 30 * MONEY
    assert made.refused(c.ReserveDraws(account="ann")).reason == Rejection.NOTHING_DUE
    made.price(ETH=2_100.0)
    # Bucket: 20 + 25 gained - 52.5 needed: 7.5
    made.do(c.ReserveDraws(account="ann"))
    assert made.book.find("ann").pools["b"].last_draw == 7_500_000


# --- prices ---------------------------------------------------------------------------------------


def test_stale_prices_stop_new_risk_and_withdrawals_of_what_they_carry() -> None:
    made = positions()
    made.wait(60)
    made.do(take("ann", "USD", 1))  # 60 s old is not older than 60 s
    made.clock.now_ns += 1
    for command in (take("ann", "USD", 1), trade("ETH-PERP", CT, "2000", "ann"),
                    trade("ETH-PERP", CT, "2000", "@outside", "ann")):  # fmt: skip
        assert made.refused(command).reason == Rejection.POOL_UNPRICED
    made.do(c.Deposit(account="ann", asset="USD", amount=1), c.CancelOrder(account="ann"))
    made.price()
    made.do(take("ann", "USD", 1))


@pytest.mark.parametrize("word", ["halted", "stale", "missing"])
def test_bad_prices_liquidate_nobody(word: str) -> None:
    made = failing()
    whole = made.engine.book.head
    told, _ = whole.prints["ETH/USD"]
    mark, _ = whole.marks["ETH-PERP"]
    made.wait(1)
    made.do(c.AcceptPrices(
        stamped_ns=made.engine.now(),
        prints={"ETH/USD": type(told)(told.level, status=word)},
        marks={"ETH-PERP": type(mark)(mark.forward, status=word)},
    ))  # fmt: skip
    found = made.refused(c.Liquidate(
        account="broke", instrument="ETH-PERP", contracts=CT, price="2000", buys=False,
        counterparty=Side("@outside")))  # fmt: skip
    assert found.reason == Rejection.POOL_UNPRICED


def test_an_expired_option_leaves_its_pool_able_to_act() -> None:
    made = venue()
    made.do(account("ann"), holding("ann", {"USDC": 10**5 * USDC}))
    made.do(trade("ETH-CALL", CT, "10", "@outside", "ann"), trade("ETH-FUT", CT, "2000", "ann"))
    made.wait(2 * 3_600)
    made.price(ETH=2_100.0)
    for command in (take("ann", "USDC", 1), trade("ETH-PERP", CT, "2100", "ann")):
        [reply] = made.ask(command)
        assert isinstance(reply, Accepted) or reply.reason == Rejection.POOL_UNPRICED
    for name in ("ETH-CALL", "ETH-FUT"):
        made.do(c.SettleExpiry(instrument=name, price="2100", holders=(("ann", "shared"),)))
    # 100,000 + 10 premium - 100 for the call + 100 for the future, less a unit if it left
    assert made.balance("ann", "USDC") in (100_010 * USDC, 100_010 * USDC - 1)
    made.do(trade("ETH-PERP", CT, "2100", "ann"))


# --- what is due counts before it is charged ------------------------------------------------------


def indebted() -> Venue:
    """dan: long 1 ETH-PERP and an inverse, owing 500 dollars and 5,000 USDC on 10 ETH."""
    made = lending()
    made.do(account("eve"), holding(
        "eve", {"ETH": 10 * ETH, "USD": -50 * USD, "USDC": -500 * USDC},
        {"ETH-PERP": (CT, -190_000), "BTC-INV": (-7 * CT, -1_300_000)},
    ))  # fmt: skip
    made.wait(40)
    for _ in range(3):
        made.do(c.AdvanceFunding(instrument="ETH-PERP", rate="0.01", price="2000"))
        made.do(c.AdvanceFunding(instrument="BTC-INV", rate="0.0333", price="49000"))
        made.wait(5)
        made.do(c.AdvanceInterest(asset="USD"), c.AdvanceInterest(asset="USDC"))
    return made


def test_charging_what_is_due_changes_no_number_of_margin() -> None:
    made = indebted()
    before = judged(made, "eve")
    made.do(c.ChargeAccruals(holders=(("eve", "shared"),)))
    after = judged(made, "eve")
    for name in ("equity", "buffer_mm", "buffer_im", "mm", "im"):
        # A charge is rounded up and a credit down: at most a cent of each of two, and 10^-8 BTC.
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), atol=0.025, rtol=0)


def test_what_is_due_takes_the_freedom_it_will_cost() -> None:
    made = with_a_loss()  # 300 dollars are free
    made.do(c.AdvanceFunding(instrument="ETH-PERP", rate="0.01", price="2000"))  # 2 x 20 due
    assert quote(made, "ann", "USD") == 26_000
    made.do(c.ChargeAccruals(holders=(("ann", "shared"),)))
    assert quote(made, "ann", "USD") == 26_000


def test_funding_alone_can_make_a_pool_liquidatable() -> None:
    made = venue()
    made.do(account("ann"), holding("ann", {"USD": 210 * USD}, {"ETH-PERP": (CT, -200_000)}))
    step = c.Liquidate(account="ann", instrument="ETH-PERP", contracts=CT, price="2000",
                       buys=False, counterparty=Side("@outside"))  # fmt: skip
    assert made.refused(step).reason == Rejection.NOT_LIQUIDATABLE
    made.do(c.AdvanceFunding(instrument="ETH-PERP", rate="0.006", price="2000"))  # 12 dollars
    assert Verdict(judged(made, "ann").verdict[0]) == Verdict.LIQUIDATABLE  # 198 < 200
    made.do(step)


def test_interest_alone_can_make_a_pool_liquidatable() -> None:
    made = lending()
    # 1 ETH counts 1,800 at MM against 1,799 USDC; u = 10,799 / 20,000: 10 % and a little a year
    made.do(account("eve"), holding("eve", {"ETH": ETH, "USDC": -1_799 * USDC}))
    assert Verdict(judged(made, "eve").verdict[0]) == Verdict.REDUCE_ONLY
    made.wait(5 * 86_400)
    made.do(c.AdvanceInterest(asset="USDC"))
    made.price()
    assert Verdict(judged(made, "eve").verdict[0]) == Verdict.LIQUIDATABLE
    assert made.balance("eve", "USDC") == -1_799 * USDC


def test_a_dust_position_does_not_save_a_pool_from_being_sold_out() -> None:
    # One unit of an inverse costs nothing after rounding: its entry is no price, and no shield.
    made = venue()
    made.do(account("liq"), holding("liq", {"USD": 1_500 * USD}, {
        "ETH-PERP": (10 * CT, -2_000_000), "BTC-INV": (1, 0)}))  # fmt: skip
    assert Verdict(judged(made, "liq").verdict[0]) == Verdict.LIQUIDATABLE
    made.do(c.Liquidate(account="liq", instrument="ETH-PERP", contracts=CT, price="2000",
                        buys=False, counterparty=Side("@outside")))  # fmt: skip


def test_a_price_of_almost_nothing_is_no_price() -> None:
    made = calm()
    for command in (
        trade("BTC-INV", CT, "1e-300", "@outside", "ann"),
        c.AdvanceFunding(instrument="BTC-INV", rate="0.01", price="1e-300"),
        order("ann", "o", CT, "1e-999"),
    ):
        assert made.refused(command).reason == Rejection.PRICE_INVALID
