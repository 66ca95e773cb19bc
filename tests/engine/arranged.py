"""Venues arranged for one thing to go wrong, each by hand and each small."""

from __future__ import annotations

import msgspec

from crossmargin.domain.book import OrderState
from crossmargin.engine import commands as c
from engine.small import (
    BTC,
    CT,
    ETH,
    SECOND,
    SOON,
    USD,
    USDC,
    Venue,
    account,
    bucket,
    holding,
    listing,
    order,
    prices,
    rulebook,
    trade,
    venue,
)


def bare() -> Venue:
    """Nothing is listed."""
    return Venue()


def unruled() -> Venue:
    """Listed, without a rulebook."""
    made = Venue()
    made.do(listing())
    return made


def unpriced() -> Venue:
    """Listed and ruled; ann has dollars; nothing was ever priced."""
    made = Venue()
    made.do(listing(), c.AdoptRulebook(rules=rulebook().packed()))
    made.do(account("ann", bucket("b", 40)), holding("ann", {"USD": 1_000 * USD}))
    return made


def calm() -> Venue:
    """ann: 1,000 dollars and a bucket; bob: 10 ETH; the others are frozen, mirrored, closed."""
    made = venue()
    made.do(account("ann", bucket("b", 40)), holding("ann", {"USD": 1_000 * USD}))
    made.do(account("bob"), holding("bob", {"ETH": 10 * ETH}))
    made.do(account("fred"), holding("fred", {"USD": 1_000 * USD, "USDC": -USDC}))
    made.do(order("fred", "o", CT, "1"))
    made.do(c.SetStatus(account="fred", status="frozen"))
    made.do(account("mir", mirror=True))
    made.do(account("shut"), c.SetStatus(account="shut", status="closed"))
    return made


def old() -> Venue:
    """`calm`, 61 seconds later: every print is older than 60 s."""
    made = calm()
    made.wait(61)
    return made


def positions() -> Venue:
    """ann: 10,000 dollars, long 2 ETH-PERP at 2,000, three orders; bob: 10,000, short 1."""
    made = venue()
    for name, contracts in (("ann", 2), ("bob", -1)):
        made.do(account(name), holding(
            name, {"USD": 10_000 * USD}, {"ETH-PERP": (contracts * CT, -contracts * 200_000)},
        ))  # fmt: skip
    made.do(order("ann", "buy", 3 * CT), order("ann", "exit", -5 * CT, reduce_only=True))
    made.do(order("bob", "more", -CT, reduce_only=True))
    return made


def lending() -> Venue:
    """ann supplies 1,000 dollars, 20,000 USDC, a BTC; cat owes 900 and 9,000 of them on 100 ETH."""
    made = venue()
    made.do(account("ann"), holding(
        "ann", {"USD": 1_000 * USD, "USDC": 20_000 * USDC, "BTC": BTC}
    ))  # fmt: skip
    made.do(account("cat"), holding(
        "cat", {"ETH": 100 * ETH, "USD": -900 * USD, "USDC": -9_000 * USDC}
    ))  # fmt: skip
    made.do(account("dan"), holding("dan", {"ETH": 100 * ETH}))
    return made


def full() -> Venue:
    """ann has two hundred orders, and two accounts have 64 pools: as many as there may be."""
    made = venue()
    made.do(account("ann"), holding("ann", orders={
        f"o{n}": OrderState("ETH-PERP", CT, "1") for n in range(200)
    }))  # fmt: skip
    made.do(account("bob", *(bucket(f"b{n}", 0) for n in range(63))))
    return made


def expired() -> Venue:
    """ann and bob hold a future that has just expired, settled at 2,100 for bob; ann has a call."""
    made = venue()
    for name in ("ann", "bob", "cat"):
        made.do(account(name), holding(name, {"USDC": 10_000 * USDC, "USD": 10_000 * USD}))
    made.do(trade("ETH-FUT", CT, "2000", "ann", "bob"), order("cat", "late", CT, "1", "ETH-FUT"))
    made.do(trade("ETH-CALL", CT, "40", "ann", "cat"))
    made.wait((SOON - made.engine.now()) / SECOND)
    made.price()
    made.do(c.SettleExpiry(instrument="ETH-FUT", price="2100", holders=(("bob", "shared"),)))
    return made


def failing() -> Venue:
    """Pools in trouble at ETH 2,000.

    liq    long 10 at 2,000 (needs 2,000 at MM) with 1,500: LIQUIDATABLE; an ETH of debt, none held
    rick   the same with an order open
    broke  long 10 at 2,500 with 1,000: equity -4,000, BANKRUPT
    spot   1 ETH against 1,850 dollars of debt: MM counts 1,800: LIQUIDATABLE
    safe   10,000 dollars, short 4 ETH-PERP at 2,000
    """
    made = venue()
    long = {"ETH-PERP": (10 * CT, -2_000_000)}
    made.do(account("liq"), holding("liq", {"USD": 1_500 * USD}, long))
    rest = {"o": OrderState("ETH-PERP", -CT, "2500")}
    made.do(account("rick"), holding("rick", {"USD": 1_500 * USD}, long, orders=rest))
    made.do(account("broke"), holding("broke", {"USD": 1_000 * USD},
                                      {"ETH-PERP": (10 * CT, -2_500_000)}))  # fmt: skip
    made.do(account("spot"), holding("spot", {"ETH": ETH, "USD": -1_850 * USD}))
    made.do(
        account("safe"), holding("safe", {"USD": 10_000 * USD}, {"ETH-PERP": (-4 * CT, 800_000)})
    )
    return made


def empty() -> Venue:
    """Buckets that are empty but for what they owe, and who may have to pay.

    ann    100 dollars; bucket b (limit 40) owes 52 dollars
    bob    nothing; bucket b (limit 40) owes 52 dollars: nobody draws for it
    cat    shared owes 30 BTC
    dan    100 dollars and 20 BTC
    eve    100 dollars against 95 TOK of debt; bucket b (limit 40) owes 52 dollars
    tier A holds 10 dollars
    """
    made = venue()
    made.do(account("ann", bucket("b", 40)), holding("ann", {"USD": 100 * USD}))
    made.do(holding("ann", {"USD": -52 * USD}, pool="b"))
    made.do(account("bob", bucket("b", 40)), holding("bob", {"USD": -52 * USD}, pool="b"))
    made.do(account("cat"), holding("cat", {"BTC": -30 * BTC}))
    made.do(account("dan"), holding("dan", {"USD": 100 * USD, "BTC": 20 * BTC}))
    made.do(account("eve", bucket("b", 40)), holding("eve", {"USD": 100 * USD, "TOK": -95}))
    made.do(holding("eve", {"USD": -52 * USD}, pool="b"))
    made.do(c.FundInsurance(tier="A", asset="USD", amount=10 * USD))
    return made


def mirrored() -> Venue:
    """A mirror that was seen with 5 dollars and a position."""
    made = venue()
    made.do(account("mir", mirror=True))
    made.do(c.Observe(account="mir", source="venue x", balances={"USD": 500},
                      positions={"ETH-PERP": (CT, -200_000)}))  # fmt: skip
    return made


def printed() -> Venue:
    """Prints of T0 and of 30 seconds later."""
    made = venue()
    made.wait(30)
    made.do(prices(made.engine.now()))
    made.wait(10)
    return made


def half_old() -> Venue:
    """ann: 1,000 dollars; bob is long BTC-PERP, whose last print is older than 60 s."""
    made = venue()
    made.do(account("ann"), holding("ann", {"USD": 1_000 * USD}))
    made.do(account("bob"), holding("bob", {"USDC": 10**6 * USDC}, {"BTC-PERP": (CT, -50 * USDC)}))
    made.wait(50)
    whole = prices(made.engine.now())
    made.do(msgspec.structs.replace(
        whole, prints={n: x for n, x in whole.prints.items() if n != "BTC/USD"},
        marks={n: x for n, x in whole.marks.items() if not n.startswith("BTC")},
    ))  # fmt: skip
    made.wait(20)
    return made


ARRANGED = {
    made.__name__: made
    for made in (
        bare, unruled, unpriced, calm, old, positions, lending, full, expired, failing, empty,
        mirrored, printed, half_old,
    )
}  # fmt: skip
