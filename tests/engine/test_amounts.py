"""What fills, fees, funding, interest, yield and expiry post, to the last unit.

Each line names the exact amount first, then who is charged (up) and who is credited (down).
"""

from __future__ import annotations

from typing import Any

import pytest

from crossmargin.engine import commands as c
from engine.small import (
    BTC,
    CT,
    ETH,
    SECOND,
    SOON,
    TOK,
    USD,
    USDC,
    WEI,
    Side,
    Venue,
    account,
    holding,
    trade,
    venue,
)  # fmt: skip
from engine.tally import assert_entries_balance, assert_sound, entries

YEAR_S = 365 * 86_400
RICH = {
    "USD": 10**9 * USD, "USDC": 10**9 * USDC, "BTC": 10**5 * BTC, "ETH": 10**6 * ETH,
    "TOK": 10**14 * TOK, "WEI": 10**14 * WEI,
}  # fmt: skip


@pytest.fixture
def rich() -> Venue:
    """Two accounts that can afford anything here."""
    made = venue()
    for name in ("ann", "bob"):
        made.do(account(name), holding(name, RICH))
    return made


def changes(of: Venue, name: str) -> dict[str, int]:
    """What an account's balances are above what it came with."""
    now = of.book.find(name).pools["shared"].balances
    return {a: now.get(a, 0) - had for a, had in RICH.items() if now.get(a, 0) != had}


def checked(of: Venue) -> None:
    assert_sound(of.book)
    assert_entries_balance(entries(of.store), of.book.head.listing.terms)


def rounding(of: Venue) -> dict[str, int]:
    found = of.book.find("@rounding")
    return dict(found.pools["shared"].balances) if found else {}


# --- derivatives ----------------------------------------------------------------------------------

FILLS = [
    # id, instrument, contracts, price, buyer's cost, seller's cost, asset, rounding
    # 2 x 2,000 x 10^2 = 400,000
    ("linear", "ETH-PERP", 2 * CT, "2000", -400_000, 400_000, "USD", 0),
    # 0.333 x 1,999.99 x 10^2 = 66,599.667
    ("linear_rounds", "ETH-PERP", 333 * CT // 1000, "1999.99", -66_600, 66_599, "USD", 1),
    # 10^-18 x 2,000 x 10^2 = 2 x 10^-13
    ("one_unit", "ETH-PERP", 1, "2000", -1, 0, "USD", 1),
    # 7 x 0.001 x 50,000.0000001 x 10^6 = 350,000,000.0007
    ("six_decimals", "BTC-PERP", 7 * CT, "50000.0000001", -350_000_001, 350_000_000, "USDC", 1),
    # 1 x 100 / 30,000 x 10^8 = 333,333.33: a long is credited, a short charged
    ("inverse", "BTC-INV", CT, "30000", 333_333, -333_334, "BTC", 1),
    # 2 x 100 / 40,000 x 10^8 = 500,000
    ("inverse_whole", "BTC-INV", 2 * CT, "40000", 500_000, -500_000, "BTC", 0),
    # 1 x 1,999.9999 x 10^-5 x 10^8 = 1,999,999.9
    ("quanto", "ETH-QUANTO", CT, "1999.9999", -2_000_000, 1_999_999, "BTC", 1),
    # 1 x 10.0000005 x 10^6 = 10,000,000.5
    ("futures_style", "ETH-CALL-F", CT, "10.0000005", -10_000_001, 10_000_000, "USDC", 1),
    # 10^12 x (1 + 10^-18) x 10^18
    ("trillion", "TOK-WEI", 10**12 * CT, "1.000000000000000001", -(10**30) - 10**12,
     10**30 + 10**12, "WEI", 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "contracts", "price", "bought", "sold", "asset", "rest"), [row[1:] for row in FILLS],
    ids=[row[0] for row in FILLS],
)  # fmt: skip
def test_a_fill_costs_the_buyer_up_and_pays_the_seller_down(
    rich: Venue, name: str, contracts: int, price: str, bought: int, sold: int, asset: str,
    rest: int,
) -> None:  # fmt: skip
    rich.do(trade(name, contracts, price, "ann", "bob"))
    assert rich.position("ann", name) == (contracts, bought)
    assert rich.position("bob", name) == (-contracts, sold)
    assert changes(rich, "ann") == changes(rich, "bob") == {}
    assert rounding(rich) == ({asset: rest} if rest else {})
    checked(rich)


CASH_FILLS = [
    # id, instrument, contracts, price, buyer, seller, rounding
    # a premium: 0.1 x 12.3456789 x 10^6 = 1,234,567.89
    ("premium", "ETH-CALL", CT // 10, "12.3456789", {"USDC": -1_234_568}, {"USDC": 1_234_567},
     {"USDC": 1}),
    # in coins: 3 x 0.1 x 0.0123456789 x 10^8 = 370,370.367
    ("inverse_premium", "BTC-CALL-INV", 3 * CT, "0.0123456789", {"BTC": -370_371},
     {"BTC": 370_370}, {"BTC": 1}),
    # base 2 x 10^18, quote 2 x 2,000 x 10^2
    ("spot", "ETH/USD", 2 * CT, "2000", {"ETH": 2 * ETH, "USD": -400_000},
     {"ETH": -2 * ETH, "USD": 400_000}, {}),
    # base 1 unit, quote 2 x 10^-13
    ("spot_unit", "ETH/USD", 1, "2000", {"ETH": 1, "USD": -1}, {"ETH": -1}, {"USD": 1}),
    # base 3.000000001 x 0.5 x 10^8 = 150,000,000.05, quote 1.5000000005 x 50,000 x 10^6
    ("spot_base_rounds", "BTC/USDC", 3_000_000_001 * 10**9, "50000",
     {"BTC": 150_000_000, "USDC": -75_000_000_025}, {"BTC": -150_000_001, "USDC": 75_000_000_025},
     {"BTC": 1}),
    # no decimals: base 2.5, quote 2.5 x 1.01 x 10^2 = 252.5
    ("spot_both_round", "TOK/USD", 25 * CT // 10, "1.01", {"TOK": 2, "USD": -253},
     {"TOK": -3, "USD": 252}, {"TOK": 1, "USD": 1}),
    # 10^12 tokens of 18 decimals against tokens of none, + 1 unit: quote 10^12 + 10^-18
    ("trillion", "WEI/TOK", 10**30 + 1, "1", {"WEI": 10**30 + 1, "TOK": -(10**12) - 1},
     {"WEI": -(10**30) - 1, "TOK": 10**12}, {"TOK": 1}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "contracts", "price", "buyer", "seller", "rest"), [row[1:] for row in CASH_FILLS],
    ids=[row[0] for row in CASH_FILLS],
)  # fmt: skip
def test_cash_changes_hands_and_what_is_rounded_is_kept(
    rich: Venue, name: str, contracts: int, price: str, buyer: dict[str, int],
    seller: dict[str, int], rest: dict[str, int],
) -> None:  # fmt: skip
    rich.do(trade(name, contracts, price, "ann", "bob"))
    assert (changes(rich, "ann"), changes(rich, "bob")) == (buyer, seller)
    assert rounding(rich) == rest
    option = name in ("ETH-CALL", "BTC-CALL-INV")
    assert rich.position("ann", name) == ((contracts, 0) if option else None)
    checked(rich)


@pytest.mark.parametrize(
    ("name", "asset"),
    [("ETH-PERP", "USD"), ("BTC-INV", "BTC"), ("ETH-CALL", "USDC"), ("ETH/USD", "USD")],
)
def test_fees_and_rebates_are_in_the_settlement_asset_or_the_quote(
    rich: Venue, name: str, asset: str
) -> None:
    rich.do(trade(name, CT, "40000", Side("ann", fee=7), Side("bob", fee=-3)))
    fee = {who: changes(rich, who).get(asset, 0) for who in ("ann", "bob")}
    other = venue()
    for who in ("ann", "bob"):
        other.do(account(who), holding(who, RICH))
    other.do(trade(name, CT, "40000", "ann", "bob"))
    bare = {who: changes(other, who).get(asset, 0) for who in ("ann", "bob")}
    assert {who: fee[who] - bare[who] for who in fee} == {"ann": -7, "bob": 3}
    assert rich.balance("@fees", asset) == 4  # 7 - 3
    checked(rich)


def test_outside_pays_its_fee_too_and_does_not_realise(rich: Venue) -> None:
    rich.do(trade("ETH-PERP", 2 * CT, "2000", "ann", Side("@outside", fee=5)))
    rich.do(trade("ETH-PERP", CT, "2100", "@outside", "ann"))
    assert rich.balance("@fees", "USD") == 5
    # Outside sold 2 for 400,000 and bought 1 for 210,000: its cost is their sum, nothing is cash.
    assert rich.position("@outside", "ETH-PERP") == (-CT, 400_000 - 210_000)
    assert rich.balance("@outside", "USD") == -2 * RICH["USD"] - 5
    checked(rich)


# --- realising ------------------------------------------------------------------------------------

STORIES: list[tuple[str, str, list[tuple[int, str]], tuple[int, int] | None, int, str]] = [
    # id, instrument, trades (contracts, price), position, realised, asset
    ("adds", "ETH-PERP", [(CT, "2000"), (CT, "2100")], (2 * CT, -410_000), 0, "USD"),
    # 3 bought at 2,000 cost 600,000; 1 sold at 2,500 for 250,000: 250,000 - 200,000
    ("sells_some", "ETH-PERP", [(3 * CT, "2000"), (-CT, "2500")], (2 * CT, -400_000), 50_000,
     "USD"),
    ("closes", "ETH-PERP", [(2 * CT, "2000"), (-2 * CT, "2500")], None, 100_000, "USD"),
    # 1 at 2,000 turned by -3 at 2,200: 660,000, of which 440,000 is the new short's
    ("turns", "ETH-PERP", [(CT, "2000"), (-3 * CT, "2200")], (-2 * CT, 440_000), 20_000, "USD"),
    ("short_loses", "ETH-PERP", [(-2 * CT, "2000"), (2 * CT, "2500")], None, -100_000, "USD"),
    # cost -100 (3 x 0.333333 up to 1); sells 1 at 0.40: keep = -100 x 2/3 up = -66, 40 - 34 = 6
    ("gain_down", "ETH-PERP", [(3 * CT, "0.333333"), (-CT, "0.40")], (2 * CT, -66), 6, "USD"),
    # sold 3 for 99.9999 down 99; buys 1 for 0.40: keep = 99 x 2/3 = 66, 99 - 40 - 66 = -7
    ("loss_up", "ETH-PERP", [(-3 * CT, "0.333333"), (CT, "0.40")], (-2 * CT, 66), -7, "USD"),
    # long inverse: +100 / 40,000 = 250,000, closed at 50,000 for 200,000: gains 50,000
    ("inverse", "BTC-INV", [(CT, "40000"), (-CT, "50000")], None, 50_000, "BTC"),
    ("inverse_falls", "BTC-INV", [(CT, "50000"), (-CT, "40000")], None, -50_000, "BTC"),
    # quanto: (2,100 - 2,000) x 10^-5 x 10^8 = 100,000
    ("quanto", "ETH-QUANTO", [(CT, "2000"), (-CT, "2100")], None, 100_000, "BTC"),
    ("futures_style", "ETH-CALL-F", [(CT, "10"), (-CT, "12.5")], None, 2_500_000, "USDC"),
    # 10^12 contracts up by a unit each
    ("trillion", "TOK-WEI", [(10**30, "1"), (-(10**30), "1.000000000000000001")], None, 10**12,
     "WEI"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "trades", "position", "realised", "asset"), [row[1:] for row in STORIES],
    ids=[row[0] for row in STORIES],
)  # fmt: skip
def test_trading_against_a_position_makes_cash_of_its_share(
    rich: Venue, name: str, trades: list[tuple[int, str]], position: tuple[int, int] | None,
    realised: int, asset: str,
) -> None:  # fmt: skip
    for contracts, price in trades:
        sides = ("ann", "@outside") if contracts > 0 else ("@outside", "ann")
        rich.do(trade(name, abs(contracts), price, *sides))
    assert rich.position("ann", name) == position
    assert changes(rich, "ann") == ({asset: realised} if realised else {})
    checked(rich)


def test_selling_a_position_bit_by_bit_loses_no_unit(rich: Venue) -> None:
    # 7 contracts at 1 / 3 dollar are 233.33 cents, up 234; each is sold at the same price down 33.
    rich.do(trade("ETH-PERP", 7 * CT, "0.333333333333333333", "ann"))
    for _ in range(7):
        rich.do(trade("ETH-PERP", CT, "0.333333333333333333", "@outside", "ann"))
    assert rich.position("ann", "ETH-PERP") is None
    assert changes(rich, "ann") == {"USD": 7 * 33 - 234}
    checked(rich)


# --- funding --------------------------------------------------------------------------------------

FUNDING = [
    # id, instrument, rate, price, contracts, ann (long), bob (short), @clearing, @rounding, asset
    # 0.0001 x 2,000 x 10^2 = 20 a contract, 1.5 contracts: 30
    ("whole", "ETH-PERP", "0.0001", "2000", 15 * CT // 10, -30, 30, 0, 0, "USD"),
    # 0.333 contracts: 6.66; the long pays 7 (clearing 6, rounding 1), the short gets 6
    ("rounds", "ETH-PERP", "0.0001", "2000", 333 * CT // 1000, -7, 6, 0, 1, "USD"),
    ("negative", "ETH-PERP", "-0.0001", "2000", 333 * CT // 1000, 6, -7, 0, 1, "USD"),
    # 0.0001 x 100 / 30,000 x 10^8 = 33.33 a contract; 3 contracts: 100 and a little
    ("inverse", "BTC-INV", "0.0001", "30000", 3 * CT, -101, 100, 0, 1, "BTC"),
    # -33.33..333 a contract: 99.99..9: the long gets 99, the short pays 100 (clearing 99)
    ("inverse_negative", "BTC-INV", "-0.0001", "30000", 3 * CT, 99, -100, 0, 1, "BTC"),
    # 0.01 x 2,000 x 10^-5 x 10^8 = 20,000
    ("quanto", "ETH-QUANTO", "0.01", "2000", CT, -20_000, 20_000, 0, 0, "BTC"),
    # 1 % of 10^30 + 10^12
    ("trillion", "TOK-WEI", "0.01", "1.000000000000000001", 10**30, -(10**28) - 10**10,
     10**28 + 10**10, 0, 0, "WEI"),
    # 10^-18 contracts owe 2 x 10^-17: a unit
    ("dust", "ETH-PERP", "0.0001", "2000", 1, -1, 0, 0, 1, "USD"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "rate", "price", "contracts", "long", "short", "clearing", "rest", "asset"),
    [row[1:] for row in FUNDING], ids=[row[0] for row in FUNDING],
)  # fmt: skip
def test_funding_is_paid_up_and_received_down(
    rich: Venue, name: str, rate: str, price: str, contracts: int, long: int, short: int,
    clearing: int, rest: int, asset: str,
) -> None:  # fmt: skip
    rich.do(trade(name, contracts, "1", "ann", "bob"))
    before = rounding(rich).get(asset, 0)
    rich.do(c.AdvanceFunding(instrument=name, rate=rate, price=price))
    assert changes(rich, "ann") == changes(rich, "bob") == {}, "due, and not charged yet"
    rich.do(c.ChargeAccruals(holders=(("ann", "shared"), ("bob", "shared"))))
    paid = {who: changes(rich, who).get(asset, 0) for who in ("ann", "bob")}
    assert paid == {"ann": long, "bob": short}
    assert rich.balance("@clearing", asset) == clearing
    assert rounding(rich).get(asset, 0) - before == rest
    checked(rich)
    assert rich.refused(c.ChargeAccruals(holders=(("ann", "shared"),))).reason == "nothing_due"


def test_a_position_owes_only_what_the_index_rose_while_it_was_held(rich: Venue) -> None:
    rich.do(c.AdvanceFunding(instrument="ETH-PERP", rate="0.01", price="2000"))
    rich.do(trade("ETH-PERP", CT, "2000", "ann", "bob"))
    rich.do(c.AdvanceFunding(instrument="ETH-PERP", rate="0.0001", price="2000"))  # 20 cents
    rich.do(c.AdvanceFunding(instrument="ETH-PERP", rate="0.0003", price="1000"))  # 30 cents
    # A trade settles what is due on the contracts held before it.
    rich.do(trade("ETH-PERP", CT, "2000", "ann", "@outside"))
    rich.do(c.AdvanceFunding(instrument="ETH-PERP", rate="0.0001", price="2000"))
    rich.do(c.ChargeAccruals(holders=(("ann", "shared"),)))
    assert changes(rich, "ann") == {"USD": -50 - 2 * 20}
    rich.do(trade("ETH-PERP", 2 * CT, "2000", "@outside", "ann"))
    rich.do(c.AdvanceFunding(instrument="ETH-PERP", rate="1", price="2000"))
    assert rich.refused(c.ChargeAccruals(holders=(("ann", "shared"),))).reason == "nothing_due"
    checked(rich)


# --- interest -------------------------------------------------------------------------------------


def lenders(**debt: int) -> Venue:
    """ann owes; bob supplies 1,000 dollars and 1,000 USDC."""
    made = venue()
    made.do(account("ann"), account("bob"), holding("bob", {"USD": 1_000 * USD, "USDC": 10**9}))
    made.do(holding("ann", {"ETH": 10**6 * ETH, **debt}))
    return made


def test_a_year_at_half_utilisation_costs_three_and_a_half_percent() -> None:
    made = lenders(USD=-500 * USD)
    made.wait(YEAR_S)
    made.do(c.AdvanceInterest(asset="USD"))
    # 0.01 + 0.04 x 0.5 / 0.8 = 0.035; 50,000 x 0.035 = 1,750
    assert made.book.head.lending["USD"].index == 10**18 + 35 * 10**15
    assert made.balance("ann", "USD") == -50_000
    made.do(c.ChargeAccruals(holders=(("ann", "shared"),)))
    assert made.balance("ann", "USD") == -51_750
    assert made.balance("@interest", "USD") == 1_750
    checked(made)


def test_a_second_costs_one_unit_and_rounding_keeps_it() -> None:
    made = lenders(USD=-500 * USD)
    made.wait(1)
    made.do(c.AdvanceInterest(asset="USD"))
    # 0.035 x 10^18 / 31,536,000 = 1,109,842,719.4 up; 50,000 x that / 10^18 = 5.5 x 10^-5
    assert made.book.head.lending["USD"].index == 10**18 + 1_109_842_720
    made.do(c.Deposit(account="ann", asset="BTC", amount=1))
    assert made.balance("ann", "USD") == -50_001, "whatever posts to a pool settles it first"
    assert (made.balance("@interest", "USD"), rounding(made)) == (0, {"USD": 1})
    checked(made)


def test_interest_compounds_on_what_was_charged() -> None:
    made = lenders(USDC=-500 * USDC)  # u = 0.5 = kink: 10 % a year
    made.wait(YEAR_S)
    made.do(c.AdvanceInterest(asset="USDC"), c.ChargeAccruals(holders=(("ann", "shared"),)))
    assert made.balance("ann", "USDC") == -550 * USDC
    made.wait(YEAR_S)
    made.do(c.AdvanceInterest(asset="USDC"), c.ChargeAccruals(holders=(("ann", "shared"),)))
    # u = 0.55: 0.1 + 1.0 x 0.05 / 0.5 = 0.2; index 1.1 + 1.1 x 0.2 = 1.32; 550 x 0.22 / 1.1 = 110
    assert made.book.head.lending["USDC"].index == 132 * 10**16
    assert made.balance("ann", "USDC") == -660 * USDC
    checked(made)


def test_a_debt_grows_from_the_index_it_began_at_and_ends_without_one() -> None:
    made = lenders(USDC=-500 * USDC)
    made.wait(YEAR_S)
    made.do(c.AdvanceInterest(asset="USDC"))  # index 1.1
    made.do(account("cat"), holding("cat", {"ETH": 10**6 * ETH, "USDC": -100 * USDC}))
    assert made.book.find("cat").pools["shared"].debt_index == {"USDC": 11 * 10**17}
    reply = made.refused(c.Repay(account="ann", asset="USDC", amount=550 * USDC + 1))
    assert (reply.reason, reply.asked, reply.free) == (
        "repay_exceeds_debt", 550 * USDC + 1, 550 * USDC,
    )  # fmt: skip
    made.do(c.Repay(account="ann", asset="USDC", amount=550 * USDC))
    assert made.book.find("ann").pools["shared"].debt_index == {}
    assert made.balance("@interest", "USDC") == 50 * USDC
    checked(made)


def test_interest_is_charged_before_a_funding_credit_pays_the_debt() -> None:
    # Funding first would lift the balance to nothing, and the interest would be gone.
    made = lenders(USDC=-500 * USDC)
    made.do(trade("BTC-PERP", CT, "50000", "@outside", "ann"))
    made.wait(YEAR_S)
    made.do(c.AdvanceInterest(asset="USDC"))  # 50 due
    # 1 ct x 0.001 x 50,000 x rate 1 x 10 = 500 USDC to the short
    for _ in range(10):
        made.do(c.AdvanceFunding(instrument="BTC-PERP", rate="1", price="50000"))
    made.do(c.ChargeAccruals(holders=(("ann", "shared"),)))
    assert made.balance("ann", "USDC") == -50 * USDC  # -500 - 50 + 500
    assert made.balance("@interest", "USDC") == 50 * USDC
    kinds = [type(event).__name__ for event in entries(made.store)[-1].events]
    assert kinds == ["InterestCharged", "FundingPaid"]
    checked(made)


# --- yield ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "ann", "bob", "paid"),
    [
        # 1 % of 333 and 250: 3.33 and 2.5; source 5.83
        ("0.01", 3, 2, 6),
        ("10", 3330, 2500, 5830),
        ("0.004", 1, 1, 3),  # 1.332 and 1; source 2.332
        ("0.003004", 1, 0, 2),  # 1.0003 and 0.751; source 1.7513
    ],
)
def test_yield_is_paid_up_and_received_down(rate: str, ann: int, bob: int, paid: int) -> None:
    made = venue()
    for name, tokens in (("ann", 333), ("bob", 250), ("cat", -50), ("dan", 0)):
        made.do(account(name), holding(name, {"TOK": tokens, "USD": 10**6}))
    outside = made.balance("@outside", "TOK")
    holders = tuple((name, "shared") for name in ("ann", "bob", "cat", "dan"))
    made.do(c.AccrueYield(asset="TOK", rate=rate, holders=holders, reference="staking"))
    assert made.balance("ann", "TOK") == 333 + ann
    assert made.balance("bob", "TOK") == 250 + bob
    assert made.balance("cat", "TOK") == -50, "a debt earns nothing"
    assert made.balance("@outside", "TOK") == outside - paid
    assert rounding(made) == ({"TOK": paid - ann - bob} if paid - ann - bob else {})
    checked(made)


def test_yield_may_come_out_of_interest() -> None:
    made = lenders(USD=-500 * USD)
    made.wait(YEAR_S)
    made.do(c.AdvanceInterest(asset="USD"), c.ChargeAccruals(holders=(("ann", "shared"),)))
    made.do(c.AccrueYield(asset="USD", rate="0.0175", holders=(("bob", "shared"),),
                          source="@interest"))  # fmt: skip
    assert made.balance("bob", "USD") == 101_750  # 100,000 x 0.0175
    assert made.balance("@interest", "USD") == 0
    checked(made)


# --- expiry ---------------------------------------------------------------------------------------

ENDS: list[tuple[str, str, int, str, str, int, int, int, str]] = [
    # id, instrument, contracts, entry, settlement, ann (long), bob (short), @rounding, asset
    # cost 2 x 2,000 x 10^6; ends at 2,100: +200 to ann, -200 to bob
    ("future", "ETH-FUT", 2 * CT, "2000", "2100", 200 * USDC, -200 * USDC, 0, "USDC"),
    # 1/3 ct: 666,666,666.7 units. At entry ann -667, bob +666, rounding 1; at the same price at the
    # end ann +666, bob -667, and each leaves 1 to rounding: the third is what @clearing is short
    ("rounds", "ETH-FUT", CT // 3, "2000.0000001", "2000.0000001", -1, -1, 3, "USDC"),
    # inverse: +500,000 at 40,000; ends at 50,000: -400,000: ann +100,000
    ("inverse", "BTC-INV-FUT", 2 * CT, "40000", "50000", 100_000, -100_000, 0, "BTC"),
    # 100 / 30,000 x 10^8 = 333,333.33: ann +333,333, ends -333,333.33 down -333,334: -1
    ("inverse_rounds", "BTC-INV-FUT", CT, "30000", "30000", -1, -1, 3, "BTC"),
    ("call_in", "ETH-CALL", 3 * CT, "0.0000001", "2100.5", 301_500_000, -301_500_000, 0, "USDC"),
    ("call_out", "ETH-CALL", 3 * CT, "0.0000001", "1999", 0, 0, 0, "USDC"),
    ("put_at_zero", "ETH-PUT", CT, "0.0000001", "0", 2_000 * USDC, -2_000 * USDC, 0, "USDC"),
    # cost 10; ends at 2,012 - 2,000 = 12
    ("futures_style", "ETH-CALL-F", CT, "10", "2012", 2 * USDC, -2 * USDC, 0, "USDC"),
    # 0.1 x 10,000 / 60,000 x 10^8 = 1,666,666.67: ann down, bob minus up, 1 each to rounding
    ("inverse_call", "BTC-CALL-INV", CT, "0.000000001", "60000", 1_666_666, -1_666_667, 2, "BTC"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "contracts", "entry", "at", "long", "short", "rest", "asset"),
    [row[1:] for row in ENDS], ids=[row[0] for row in ENDS],
)  # fmt: skip
def test_an_expired_instrument_ends_in_cash_for_both_sides(
    rich: Venue, name: str, contracts: int, entry: str, at: str, long: int, short: int, rest: int,
    asset: str,
) -> None:  # fmt: skip
    premium = name in ("ETH-CALL", "ETH-PUT", "BTC-CALL-INV")
    rich.do(trade(name, contracts, entry, "ann", "bob"))
    # A premium was paid at the fill: a unit, which the buyer is charged and nobody gets.
    paid = changes(rich, "ann").get(asset, 0) if premium else 0
    before = rounding(rich).get(asset, 0) if premium else 0
    rich.wait((SOON - rich.engine.now()) / SECOND)
    for who in ("ann", "bob"):
        rich.do(c.SettleExpiry(instrument=name, price=at, holders=((who, "shared"),)))
    got = {who: changes(rich, who).get(asset, 0) for who in ("ann", "bob")}
    assert got == {"ann": long + paid, "bob": short}
    assert rich.position("ann", name) is rich.position("bob", name) is None
    assert rounding(rich).get(asset, 0) - before == rest
    # Both its sides are rounded up: where v is no whole number it ends a unit short.
    left = rich.position("@clearing", name)
    assert left == ((0, -1) if long + short else None)
    checked(rich)


def test_outside_s_side_of_an_expired_instrument_stays_against_clearing(rich: Venue) -> None:
    rich.do(trade("ETH-FUT", CT, "2000", "ann"))
    rich.wait(3_600)
    holders = (("ann", "shared"), ("bob", "shared"))
    rich.do(c.SettleExpiry(instrument="ETH-FUT", price="2100", holders=holders))
    assert changes(rich, "ann") == {"USDC": 100 * USDC}
    assert rich.position("@outside", "ETH-FUT") == (-CT, 2_000 * USDC)
    assert rich.position("@clearing", "ETH-FUT") == (CT, -2_100 * USDC)
    checked(rich)


def test_settlement_prices_are_compared_as_numbers(rich: Venue) -> None:
    for who in ("ann", "bob"):
        rich.do(trade("ETH-FUT", CT, "2000", who))
    rich.wait(3_600)
    one: Any = c.SettleExpiry(instrument="ETH-FUT", price="2100.0", holders=(("ann", "shared"),))
    rich.do(one)
    rich.do(c.SettleExpiry(instrument="ETH-FUT", price="2.1e3", holders=(("bob", "shared"),)))
    checked(rich)
