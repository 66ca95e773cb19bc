"""Numbers at the ends of what is accepted: every command after them still has an answer."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from crossmargin.domain.book import Mark, Print
from crossmargin.engine import commands as c
from crossmargin.engine.replies import Accepted, Rejected
from crossmargin.ledger.events import PoolTerms
from engine.small import (
    CT,
    ETH,
    FACTORS,
    USD,
    USDC,
    Side,
    Venue,
    holding,
    scenarios,
    trade,
    venue,
)
from engine.tally import assert_sound

METHODS = ("isolated", "cross_sum", "cross_correlated", "portfolio")
MOST = 10**18  # coins a command may name


def everyone(made: Venue) -> None:
    """An account of each method, with a bucket, an option, a debt and orders."""
    for method in METHODS:
        made.do(c.OpenAccount(account=method, pools=(
            PoolTerms("shared", method), PoolTerms("b", method, 10**9))))  # fmt: skip
        made.do(holding(method, {"USD": 10_000 * USD, "ETH": ETH, "USDC": -5 * USDC},
                        {"ETH-PERP": (CT, -200_000), "BTC-INV": (-CT, -200_000),
                         "ETH-CALL": (-CT, 0), "ETH-QUANTO": (CT, -2_000_000)}))  # fmt: skip
        made.do(holding(method, {"USD": 50 * USD}, {"ETH-PUT": (CT, 0), "ETH-FUT": (
            CT, -2_000 * USDC)}, pool="b"))  # fmt: skip


def asked(made: Venue) -> None:
    """One of each command that looks at margin; answers may be of either kind."""
    for method in METHODS:
        replies = made.ask(
            c.Withdraw(account=method, asset="USD", amount=100),
            c.Borrow(account=method, asset="USDC", amount=100),
            trade("ETH-PERP", CT, "2000", method), trade("ETH-CALL", CT, "20", "@outside", method),
            trade("ETH/USD", CT // 10, "2000", method),
            c.PlaceOrder(account=method, order="o", instrument="BTC-PERP", contracts=CT,
                         limit_price="1e-18"),
            c.PlaceOrder(account=method, order="p", instrument="BTC-INV", contracts=-CT,
                         limit_price="999999999999999"),
            c.ReserveDraws(account=method), c.CancelOrder(account=method),
            c.Liquidate(account=method, instrument="ETH-PERP", contracts=CT // 2, price="2000",
                        buys=False, counterparty=Side("@outside")),
            c.Draw(account=method, pool="b", asset="USD", amount=1),
            c.Transfer(account=method, asset="USD", amount=1, to_pool="b"),
            c.Deposit(account=method, asset="USD", amount=1),
        )  # fmt: skip
        assert all(isinstance(reply, Accepted | Rejected) for reply in replies)
        assert isinstance(replies[-1], Accepted), "nobody is kept from paying in"
    assert_sound(made.book)


LEVELS = (5e-324, 1e-300, 1e-18, 1.0, 9.9e14)
WIDE = [(0.0, None), (1.0, None), (0.05, 9.99), (0.05, 0.11)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("joint", [(-0.999999, -0.999999), (1e6, 1e6), (0.0, 0.0)])
def test_any_price_that_is_accepted_can_be_margined(
    level: float, joint: tuple[float, float]
) -> None:
    made = venue()
    made.do(scenarios(*joint))
    everyone(made)
    for n, (name, (width, stable)) in enumerate(itertools.product(FACTORS, WIDE)):
        made.wait(1)
        told = Print(level, width, None if stable is None else level * stable)
        made.ask(c.AcceptPrices(stamped_ns=made.engine.now(), prints={name: told}))
        if n % 4 == 0:
            asked(made)
    asked(made)


@pytest.mark.parametrize(
    "mark",
    [
        Mark(5e-324, 5e-324), Mark(1e-18, 10.0), Mark(9.9e14, 10.0), Mark(2_000.0, 5e-324),
        Mark(2_000.0, 10.0, 1.0), Mark(2_000.0, 10.0, -1.0), Mark(2_000.0, 0.5, None, "degraded"),
        Mark(2_000.0, 0.5, 0.0, "live", 9.9e14, 1.0), Mark(2_000.0, 0.5, 0.0, "live", 5e-324, 1.0),
        Mark(2_000.0, 0.5, 0.0, "live", 2_000.0, 5e-324), Mark(2_000.0, None), Mark(2_000.0, 1.0,
        funding_rate=1.0), Mark(2_000.0, 1.0, funding_rate=-1.0),
    ],
)  # fmt: skip
def test_any_mark_that_is_accepted_can_be_margined(mark: Mark) -> None:
    made = venue()
    made.do(scenarios(0.1, 0.1))
    everyone(made)
    for name in ("ETH-PERP", "ETH-CALL", "ETH-PUT", "ETH-FUT", "BTC-INV"):
        made.wait(1)
        made.ask(c.AcceptPrices(stamped_ns=made.engine.now(), prints={}, marks={name: mark}))
    asked(made)
    made.wait(3_600)  # the dated ones expire
    made.price()
    asked(made)


HELD: dict[str, dict[str, Any]] = {
    "rich": {"balances": {"USD": MOST * USD, "ETH": MOST * ETH, "TOK": MOST}},
    "poor": {"balances": {"USD": -MOST * USD, "ETH": -MOST * ETH}},
    "long": {"balances": {"USD": USD}, "positions": {"ETH-PERP": (MOST * CT, -MOST * USD)}},
    "short": {"balances": {"USD": USD}, "positions": {"ETH-PERP": (-MOST * CT, MOST * USD),
                                                      "BTC-INV": (MOST * CT, 1)}},
    "options": {"balances": {"USD": USD}, "positions": {"ETH-CALL": (-MOST * CT, 0),
                                                        "ETH-PUT": (1, 0)}},
    "dust": {"balances": {"WEI": 1}, "positions": {"ETH-PERP": (1, -1), "BTC-INV": (1, 0),
                                                   "ETH-CALL": (-1, 0), "ETH-CALL-F": (1, 10**9)}},
    "odd_cost": {"balances": {"USD": USD}, "positions": {"BTC-INV": (1, -MOST), "ETH-PERP": (
        -1, -MOST * USD), "ETH-QUANTO": (1, MOST)}},
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("held", HELD)
def test_any_holding_that_is_accepted_can_be_margined(held: str, method: str) -> None:
    made = venue()
    made.do(scenarios(-0.5, 0.5))
    made.do(c.OpenAccount(account=method, pools=(
        PoolTerms("shared", method), PoolTerms("b", method, MOST * 10**6))))  # fmt: skip
    made.do(holding(method, **HELD[held]), holding(method, **HELD[held], pool="b"))
    replies = made.ask(
        c.Withdraw(account=method, asset="USD", amount=1),
        c.Withdraw(account=method, asset="ETH", amount=1),
        trade("ETH-PERP", CT, "2000", method), trade("ETH-PERP", CT, "2000", "@outside", method),
        trade("BTC-INV", MOST * CT, "1e-18", method), trade("ETH/USD", MOST * CT, "1", method),
        c.AdvanceFunding(instrument="ETH-PERP", rate="1", price="999999999999999"),
        c.AdvanceFunding(instrument="BTC-INV", rate="1", price="1e-18"),
        c.ReserveDraws(account=method), c.ChargeAccruals(holders=((method, "shared"),)),
        c.Withdraw(account=method, asset="USD", amount=1),
        c.Liquidate(account=method, instrument="ETH-PERP", contracts=1, price="1e-18",
                    buys=held == "short", counterparty=Side("@outside"), penalty=MOST * USD),
        c.Deposit(account=method, asset="USD", amount=MOST * USD),
    )  # fmt: skip
    assert all(isinstance(reply, Accepted | Rejected) for reply in replies)
    assert_sound(made.book)


def test_a_debt_whose_unit_is_worth_more_than_the_limit_is_the_funds_to_pay() -> None:
    # A satoshi is worth 500 x 10^-6 dollars at 50,000, and a hair more as a product of floats,
    # which is charged as 501. The bucket may draw 500.
    made = venue()
    made.do(c.OpenAccount(account="ann", pools=(
        PoolTerms("shared", "cross_sum"), PoolTerms("b", "cross_sum", 500))))  # fmt: skip
    made.do(holding("ann", {"USD": 100 * USD, "BTC": 1}), holding("ann", {"BTC": -2}, pool="b"))
    made.do(c.FundInsurance(tier="A", asset="BTC", amount=2))
    pays = c.PayInsurance(account="ann", pool="b", tier="A", asset="BTC", amount=1)
    draws = c.Draw(account="ann", pool="b", asset="BTC", amount=1)
    refused, accepted = made.ask(draws, pays)
    assert (refused.reason, refused.asked, refused.free) == ("draw_too_large", 501, 500)
    assert isinstance(accepted, Accepted)
    # With a limit of one unit more the shared pool pays first.
    made.do(c.OpenAccount(account="bob", pools=(
        PoolTerms("shared", "cross_sum"), PoolTerms("b", "cross_sum", 501))))  # fmt: skip
    made.do(holding("bob", {"USD": 100 * USD, "BTC": 1}), holding("bob", {"BTC": -2}, pool="b"))
    first = c.PayInsurance(account="bob", pool="b", tier="A", asset="BTC", amount=1)
    refused, accepted = made.ask(first, c.Draw(account="bob", pool="b", asset="BTC", amount=1))
    assert (refused.reason, refused.free) == ("draw_first", 501)
    assert isinstance(accepted, Accepted)


def test_dollars_alone_can_be_margined_by_scenarios_that_move_nothing() -> None:
    made = venue()
    made.do(scenarios(-0.5, 0.5))
    made.do(c.OpenAccount(account="ann", pools=(PoolTerms("shared", "portfolio"),)))
    made.do(holding("ann", {"USD": 100 * USD}))
    assert made.engine.free_of("ann", "shared", "USD") == 100 * USD
    more = made.ask(c.Withdraw(account="ann", asset="USD", amount=100 * USD + 1))[0]
    assert more.reason == "balance_short"
