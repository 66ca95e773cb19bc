"""A waterfall worked out and carried out: the engine's balances are the ones it stated."""

from __future__ import annotations

import random

import numpy as np
import pytest
from msgspec.structs import replace

from crossmargin.base.errors import InputInvalid
from crossmargin.domain.accounts import SHARED
from crossmargin.domain.waterfall_rules import PenaltySplit
from crossmargin.engine import commands as c
from crossmargin.engine.replies import Rejected, Rejection
from crossmargin.engine.rescue import Open, closing_price, deleverages, payments
from crossmargin.liquidation.adl import POLICIES, Candidates
from crossmargin.liquidation.waterfall import Adl, Bearer, Shortfall, balances, waterfall
from engine.small import CT, USD, Venue, account, bucket, holding, venue

SPLIT = PenaltySplit(0, 0)


def empty(owed: int, draw_room: int = 0, fund: int = 0, pool=("ann", "b")) -> Shortfall:
    return Shortfall(pool, 0, owed, 0, ("keeper", SHARED), draw_room, "A", fund)


def users(made: Venue) -> dict[tuple[str, str], int]:
    """Dollars of every pool that holds or owes some."""
    out = {}
    for name in ("ann", "bob", "cat", "dan", "sunk", "@insurance/A", "@rounding"):
        found = made.book.find(name)
        for pool in found.pools if found is not None and name[0] != "@" else (SHARED,):
            if amount := made.balance(name, "USD", pool):
                out[(name, pool)] = amount
    return out


def test_a_bucket_that_ends_at_minus_52_is_paid_as_the_waterfall_says():
    made = venue()
    made.do(account("ann", bucket("b", 40)), holding("ann", {"USD": 100 * USD}))
    made.do(holding("ann", {"USD": -52 * USD}, pool="b"))
    made.do(account("bob"), holding("bob", {"USD": 1_001}), account("cat"),
            holding("cat", {"USD": 2_000}))  # fmt: skip
    made.do(c.FundInsurance(tier="A", asset="USD", amount=5 * USD))
    have = (Bearer(("bob", SHARED), 1_001), Bearer(("cat", SHARED), 2_000))
    found = waterfall(empty(52 * USD, 40 * USD, 5 * USD), SPLIT, (), have)
    before = users(made)
    orders = payments(found, "USD")
    assert [type(order).__name__ for order in orders] == ["Draw", "PayInsurance", "Socialise"]
    made.do(*orders)
    after = users(made)
    moved = {who: after.get(who, 0) - before.get(who, 0) for who in {*before, *after}}
    assert {who: x for who, x in moved.items() if x} == balances(found.steps)
    assert found.left == 0


@pytest.mark.parametrize("seed", range(40))
def test_what_a_waterfall_says_is_what_the_engine_does(seed):
    rng = random.Random(seed)
    cents = [rng.choice((0, 1, rng.randint(0, 20_000))) for _ in range(6)]
    there, fund, limit = cents[0], cents[1], rng.randint(1, 150)
    owed = rng.randint(1, 20_000)
    made = venue()
    made.do(account("ann", bucket("b", limit)))
    if there:
        made.do(holding("ann", {"USD": there}))
    made.do(holding("ann", {"USD": -owed}, pool="b"))
    if fund:
        made.do(c.FundInsurance(tier="A", asset="USD", amount=fund))
    have = []
    for name, amount in zip(("bob", "cat", "dan"), cents[2:5], strict=True):
        made.do(account(name))
        if amount:
            made.do(holding(name, {"USD": amount}))
        have.append(Bearer((name, SHARED), amount))
    # t of (1.14): what the bucket lacks, its limit, what the shared pool has; all in cents here.
    room = min(owed, limit * USD, there)
    found = waterfall(empty(owed, room, fund), SPLIT, (), tuple(have))
    before = users(made)
    for order in payments(found, "USD"):
        [reply] = made.ask(order)
        if isinstance(reply, Rejected):
            # The engine's t is a float, rounded down: all of it may take two draws.
            assert (reply.reason, reply.asked - reply.free) == (Rejection.DRAW_TOO_LARGE, 1)
            made.do(replace(order, amount=order.amount - 1), replace(order, amount=1))
    after = users(made)
    moved = {who: after.get(who, 0) - before.get(who, 0) for who in {*before, *after}}
    assert {who: x for who, x in moved.items() if x} == balances(found.steps)
    assert made.balance("ann", "USD", "b") == -found.left


def open_eth(buys: bool = False) -> Open:
    made = venue()
    terms = made.book.head.listing.terms["ETH-PERP"]
    return Open("ETH-PERP", terms, "2000", CT // 100, buys, 2)


@pytest.mark.parametrize(
    ("buys", "lots", "covers", "want"),
    [
        # 100 lots of 0.01 are one contract: 50 dollars more are 50 a contract.
        (False, 100, 5_000, "2050"),
        (True, 100, 5_000, "1950"),
        # 1 cent over 3 contracts: a third of a cent, for the pool.
        (False, 300, 1, "2000.003333333333333334"),
        (True, 300, 1, "1999.996666666666666666"),
        (False, 1, 0, "2000"),
    ],
)
def test_the_price_covers_what_it_must_and_rounds_for_the_pool(buys, lots, covers, want):
    assert closing_price(open_eth(buys), lots, covers) == want


def test_no_price_below_zero_covers_a_loss():
    with pytest.raises(InputInvalid, match="socialise the rest"):
        closing_price(open_eth(buys=True), 1, 2_001)


def test_an_inverse_contract_and_a_mark_that_is_none_are_refused():
    made = venue()
    terms = made.book.head.listing.terms["BTC-INV"]
    with pytest.raises(InputInvalid, match="linear"):
        closing_price(Open("BTC-INV", terms, "50000", CT, False, 2), 1, 1)
    with pytest.raises(InputInvalid, match="mark"):
        closing_price(Open("ETH-PERP", terms, "soon", CT, False, 2), 1, 1)


def sunk_venue(short_pool: bool) -> tuple[Venue, Candidates, Shortfall]:
    """sunk: 1 contract entered at 2,000 with 50.00 dollars, down 100: E = -50.00.

    Ann, bob, cat: 1, 2 and 3 contracts on the other side with plenty of money.
    """
    made, sign = venue(), -1 if short_pool else 1
    made.do(account("sunk"), holding("sunk", {"USD": 50 * USD},
                                     {"ETH-PERP": (sign * CT, -sign * 2_000 * USD)}))  # fmt: skip
    for k, name in enumerate(("ann", "bob", "cat"), 1):
        other = {"ETH-PERP": (-sign * k * CT, sign * k * 2_000 * USD)}
        made.do(account(name), holding(name, {"USD": 5_000 * USD}, other))
    made.price(ETH=2_000.0 - sign * 100.0)
    them = Candidates(
        tuple((name, SHARED) for name in ("ann", "bob", "cat")), (100, 200, 300),
        np.full(3, 0.05), np.array([0.4, 0.8, 1.2]), np.full(3, 1e3), np.full(3, 19.0),
        np.zeros(3), (0, 0, 0),
    )  # fmt: skip
    return made, them, empty(50 * USD, pool=("sunk", SHARED))


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - {"queue_whole"}))
@pytest.mark.parametrize("short_pool", [False, True])
def test_a_deleveraging_leaves_the_bankrupt_nothing_and_owing_nothing(policy, short_pool):
    made, them, gone = sunk_venue(short_pool)
    # Each may give up its gain: 100 a contract.
    room = (100 * USD, 200 * USD, 300 * USD)
    found = waterfall(gone, SPLIT, (Adl("ETH-PERP", POLICIES[policy], them, room, 100, 1),), ())
    assert found.left == 0
    terms = made.book.head.listing.terms["ETH-PERP"]
    mark = "2100" if short_pool else "1900"
    opened = Open("ETH-PERP", terms, mark, CT // 100, short_pool, 2)
    made.do(*deleverages(gone.pool, found.closings[0], opened, them))
    assert made.position("sunk", "ETH-PERP") is None
    # Each of up to three fills may round a cent against the pool.
    assert -3 <= made.balance("sunk", "USD") <= 0
    if made.balance("sunk", "USD"):
        rest = waterfall(
            empty(-made.balance("sunk", "USD"), pool=gone.pool), SPLIT, (),
            (Bearer(("cat", SHARED), made.balance("cat", "USD")),),
        )  # fmt: skip
        made.do(*payments(rest, "USD"))
    assert made.balance("sunk", "USD") == 0


def test_insurance_first_and_candidates_for_the_rest():
    made, them, gone = sunk_venue(short_pool=False)
    made.do(c.FundInsurance(tier="A", asset="USD", amount=20 * USD))
    found = waterfall(
        empty(50 * USD, fund=20 * USD, pool=gone.pool), SPLIT,
        (Adl("ETH-PERP", POLICIES["queue"], them, (100 * USD,) * 3, 100, 1),), (),
    )  # fmt: skip
    # 30 of 50 by 100 lots: 0.30 a lot, 30 a contract on top of 1,900.
    terms = made.book.head.listing.terms["ETH-PERP"]
    opened = Open("ETH-PERP", terms, "1900", CT // 100, False, 2)
    orders = deleverages(gone.pool, found.closings[0], opened, them)
    assert [(o.counterparty[0], o.price, o.contracts) for o in orders] == [("cat", "1930", CT)]
    made.do(*orders)
    assert made.balance("sunk", "USD") == -20 * USD
    made.do(*payments(found, "USD"))
    assert made.balance("sunk", "USD") == 0
    assert made.balance("@insurance/A", "USD") == 0


def test_more_holders_than_a_command_names_are_asked_by_several():
    have = tuple(Bearer((f"h{k:04}", SHARED), 10) for k in range(2_500))
    found = waterfall(empty(12_345), SPLIT, (), have)
    orders = payments(found, "USD")
    assert [len(order.holders) for order in orders] == [1_000, 1_000, 500]
    assert sum(order.amount for order in orders) == 12_345


def test_a_waterfall_in_which_nobody_pays_asks_for_nothing():
    found = waterfall(empty(0), SPLIT, (), ())
    assert payments(found, "USD") == ()
    assert found.closings == ()
