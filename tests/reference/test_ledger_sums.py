"""The second witness's arithmetic against numbers worked by hand from spec 10."""

from __future__ import annotations

from fractions import Fraction

import pytest

from crossmargin.domain.lending import LendingTerms
from crossmargin.reference import ledger_sums as sums
from crossmargin.reference.ledger_book import ONE, YEAR_NS, Contract

HALF = ONE // 2
UNITS = {"USD": 2, "USDC": 6, "BTC": 8, "ETH": 18, "ALT": 0}


def contract(
    kind: str, payoff: str = "linear", style: str = "premium", settle: str = "USDC", **more: object
) -> Contract:
    size, strike, quanto = (Fraction(str(more.get(k, d))) for k, d in
                            (("size", 1), ("strike", 0), ("quanto", 0)))  # fmt: skip
    return Contract(
        kind, payoff, style, str(more.get("underlying", "BTC")), "USDC", settle, size, quanto, 0,
        strike,
    )  # fmt: skip


PERP = contract("perpetual", size="0.1")
INVERSE = contract("perpetual", "inverse", settle="BTC", size=100)
QUANTO = contract("perpetual", "quanto", settle="ALT", quanto="0.002")
CALL = contract("call", strike=60_000)
PUT_INVERSE = contract("put", "inverse", settle="BTC", size="0.1", strike=50_000)
SPOT = contract("spot", underlying="BTC")


@pytest.mark.parametrize(
    ("terms", "contracts", "price", "decimals", "want"),
    [
        (PERP, 3 * ONE, "60000.5", 6, 18_000_150_000),  # 3 x 0.1 x 60,000.5 x 10^6
        (INVERSE, 3 * ONE, 60_000, 8, Fraction(30_000_000_000, 60_000)),  # 3 x 100 / 60,000 x 10^8
        (QUANTO, 2 * ONE, 60_000, 0, 240),  # 2 x 0.002 x 60,000
        (PERP, -HALF, 60_000, 6, 3_000_000_000),  # the size: 0.5 x 0.1 x 60,000 x 10^6
    ],
)
def test_worth_of_contracts(
    terms: Contract, contracts: int, price: object, decimals: int, want: object
) -> None:
    assert sums.worth(terms, contracts, Fraction(str(price)), decimals) == want


def test_a_linear_fill_charges_the_buyer_up_and_credits_the_seller_down() -> None:
    # 1 contract of 0.1 at 0.000015 USDC: worth 1.5 units.
    found = sums.legs(PERP, ONE, Fraction("0.000015"), UNITS)
    assert (found.buyer_cost, found.seller_cost) == (-2, 1)
    assert found.buyer == found.seller == {}


def test_an_inverse_fill_credits_the_buyer_down_and_charges_the_seller_up() -> None:
    # 100 / 30,000 BTC = 333,333.3 units.
    found = sums.legs(INVERSE, ONE, Fraction(30_000), UNITS)
    assert (found.buyer_cost, found.seller_cost) == (333_333, -333_334)


def test_a_premium_is_paid_at_once_and_nothing_is_carried() -> None:
    # 0.5 x 12.3456785 USDC = 6,172,839.25 units.
    found = sums.legs(CALL, HALF, Fraction("12.3456785"), UNITS)
    assert (found.buyer, found.seller) == ({"USDC": -6_172_840}, {"USDC": 6_172_839})
    assert (found.buyer_cost, found.seller_cost) == (0, 0)


def test_a_spot_fill_swaps_base_for_quote() -> None:
    # 10^-9 BTC = 0.1 units of 10^-8; at 60,000 it costs 60 units of USDC.
    found = sums.legs(SPOT, 10**9, Fraction(60_000), UNITS)
    assert (found.buyer, found.seller) == ({"BTC": 0, "USDC": -60}, {"BTC": -1, "USDC": 60})
    assert not found.moves


@pytest.mark.parametrize(
    ("position", "trade", "want"),
    [
        ((10, -100), (5, -60), 0),  # adds
        ((10, -100), (-4, 50), -100 + 50 + 60),  # keep = -100 x 6 / 10 = -60
        ((10, -100), (-3, 40), -100 + 40 + 70),  # keep = -70 exactly
        ((3, -100), (-1, 40), -100 + 40 + 66),  # keep = up(-100 x 2 / 3) = up(-66.67) = -66
        ((10, -100), (-10, 130), 30),  # all of it
        ((10, -100), (-15, 180), -100 + 180 - 60),  # keep = 180 x 5 / 15 = 60 for the new short
        ((-10, 100), (15, -180), 100 - 180 + 60),
        ((0, 0), (5, -60), 0),
    ],
)
def test_realised_cash(position: tuple[int, int], trade: tuple[int, int], want: int) -> None:
    assert sums.realised(position, trade) == want


@pytest.mark.parametrize(
    ("terms", "contracts", "price", "decimals", "want"),
    [
        (PERP, -2 * ONE, 50_000, 6, -10_000_000_000),  # a short is owed less: -2 x 0.1 x 50,000
        (INVERSE, ONE, 50_000, 8, -200_000),  # a long of an inverse: minus 100 / 50,000
        (CALL, 2 * ONE, 61_000, 6, 2_000_000_000),  # 2 x (61,000 - 60,000)
        (CALL, 2 * ONE, 59_000, 6, 0),
        (PUT_INVERSE, ONE, 40_000, 8, 2_500_000),  # 0.1 x 10,000 / 40,000 BTC
        (PUT_INVERSE, ONE, 0, 8, 0),  # nothing is worth anything in a coin that costs nothing
    ],
)
def test_what_an_expired_position_ends_as(
    terms: Contract, contracts: int, price: int, decimals: int, want: int
) -> None:
    assert sums.ending(terms, contracts, Fraction(price), decimals) == want


def test_funding_and_interest_that_are_due() -> None:
    # 2 contracts, 3.5 units each: 2 x 10^18 x 3.5 x 10^18 / 10^36.
    assert sums.funding_due(2 * ONE, 35 * ONE // 10) == 7
    assert sums.funding_due(-2 * ONE, 35 * ONE // 10) == -7
    # 1,000 owed from 1.00 to 1.05, and from 1.05 to 1.10: 1,000 x 0.05 / 1.05 = 47.6...
    assert sums.interest_due(1_000, ONE, 105 * ONE // 100) == 50
    assert sums.up(sums.interest_due(1_000, 105 * ONE // 100, 110 * ONE // 100)) == 48


@pytest.mark.parametrize(
    ("debt", "supplied", "want"),
    [
        (0, 0, 0), (0, 5, 0), (5, 0, ONE), (5, 10, HALF), (11, 10, ONE),
        (1, 3, 333_333_333_333_333_333),
    ],
)  # fmt: skip
def test_utilisation(debt: int, supplied: int, want: int) -> None:
    assert sums.utilisation(debt, supplied) == want


@pytest.mark.parametrize(
    ("u", "want"),
    [
        (0, "0.02"),
        (2 * ONE // 5, "0.045"),  # half-way to the kink: 0.02 + 0.05 / 2
        (4 * ONE // 5, "0.07"),
        (9 * ONE // 10, "0.445"),  # half-way beyond: 0.07 + 0.75 / 2
        (ONE, "0.82"),
    ],
)
def test_borrow_rate_on_both_sides_of_the_kink(u: int, want: str) -> None:
    terms = LendingTerms(1e6, 0.02, 0.05, 0.8, 0.75)
    assert sums.borrow_rate(terms, u) == Fraction(want) * ONE


def test_an_index_grows_by_rate_and_time_rounded_up() -> None:
    assert sums.grown(ONE, ONE // 10, YEAR_NS) == 11 * ONE // 10
    # 1 ns at 10 %: 10^18 x 0.1 / (365 x 86,400 x 10^9) = 3.17
    assert sums.grown(ONE, ONE // 10, 1) == ONE + 4


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1.50", Fraction(3, 2)), ("-2e3", Fraction(-2_000)), ("+7", Fraction(7)), ("", None),
        ("nan", None), ("1,0", None), (" 1", None), ("1" * 41, None), ("1.", None), (7, None),
        ("1e1000", None), ("٣", None),
    ],
)  # fmt: skip
def test_decimal_text(text: object, want: Fraction | None) -> None:
    assert sums.decimal(text) == want


def test_a_rulebook_number_is_the_decimal_it_is_written_as() -> None:
    assert sums.written(0.95) == Fraction(95, 100)
    assert sums.written(1e-05) == Fraction(1, 100_000)
