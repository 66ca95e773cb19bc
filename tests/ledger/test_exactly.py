"""Exact arithmetic: each number with the fraction it comes from."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.domain.book import INDEX_ONE, LendingState, Terms
from crossmargin.domain.lending import LendingTerms
from crossmargin.ledger import exactly

CT = 10**18


def terms(
    kind: str = "perpetual", payoff: str = "linear", size: str = "1", quanto: str = "0",
    strike: str = "0", style: str = "premium",
) -> Terms:  # fmt: skip
    return Terms(kind, payoff, style, "ETH", "USD", "USD", size, quanto, 0, strike)


# --- text -----------------------------------------------------------------------------------------

TEXTS = [
    ("0.1", Fraction(1, 10)),  # not the float 0.1000000000000000055
    ("2000", Fraction(2000)),
    ("+2000", Fraction(2000)),
    ("1e3", Fraction(1000)),
    ("25E-4", Fraction(1, 400)),
    ("007", Fraction(7)),
    ("999999999999999.999999999999999999999999", 10**15 - Fraction(1, 10**24)),  # 40 characters
    ("0." + "0" * 17 + "1" + "0" * 20, Fraction(1, 10**18)),  # the least
]


@pytest.mark.parametrize(("text", "want"), TEXTS)
def test_decimal_text_is_read_exactly(text: str, want: Fraction) -> None:
    found = exactly.ratio(text)
    assert found is not None
    assert Fraction(*found) == want
    assert exactly.price(text) == found


NO_NUMBERS = [
    "", " ", "1 ", " 1", "1,000", "1_000", "nan", "NaN", "inf", "-inf", "Infinity", "0x10", ".5",
    "5.", "1e", "1e1000", "1e+0x", "--1", "1.2.3", "\u0661", "１", "1\n", "1" * 41, "1e3e3", "True",
]  # fmt: skip


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_plain_decimal_is_no_number(text: str) -> None:
    assert exactly.ratio(text) is None
    assert exactly.price(text, zero=True) is None


@pytest.mark.parametrize(
    ("text", "is_price", "may_settle"),
    [
        ("0", False, True),
        ("0.00", False, True),
        ("-0", False, True),
        ("-1", False, False),
        ("-1e-9", False, False),
        ("1e15", False, False),  # 0 < p < 10^15
        ("999999999999999.9", True, True),
        ("1e999", False, False),
        ("1e-18", True, True),  # 10^-18 <= p
        ("9.9e-19", False, False),
        ("1e-999", False, False),
    ],
)
def test_a_price_lies_between_a_quintillionth_and_a_quadrillion(
    text: str, is_price: bool, may_settle: bool
) -> None:
    assert (exactly.price(text) is not None) == is_price
    assert (exactly.price(text, zero=True) is not None) == may_settle


# --- worth ----------------------------------------------------------------------------------------

WORTHS = [
    # id, terms, contracts, price, decimals, worth
    # 1.5 ct x 0.001 x 50,000.5 x 10^2 = 7,500.075
    ("linear_2", terms(size="0.001"), 15 * CT // 10, "50000.5", 2, Fraction("7500.075")),
    # 3 ct x 2.5 x 10^0 = 7.5
    ("linear_0", terms(), 3 * CT, "2.5", 0, Fraction("7.5")),
    # 7 ct x 0.001 x 50,000.0000001 x 10^6 = 350,000,000.0007
    ("linear_6", terms(size="0.001"), 7 * CT, "50000.0000001", 6, Fraction("350000000.0007")),
    # 10^-18 ct x 2,000 x 10^2 = 2 x 10^-13
    ("one_unit", terms(), 1, "2000", 2, Fraction(2, 10**13)),
    # 10^12 ct x (1 + 10^-18) x 10^18 = 10^30 + 10^12: past 64 bits, and past what a float holds
    ("trillion", terms(), 10**12 * CT, "1.000000000000000001", 18, 10**30 + 10**12),
    # 2 ct x 1 x 10^-5 BTC a dollar x 2,000 x 10^8 = 4,000,000
    ("quanto_8", terms(payoff="quanto", quanto="1e-05"), 2 * CT, "2000", 8, 4_000_000),
    # 3 ct x 100 / 30,000 x 10^8 = 1,000,000
    ("inverse_8", terms(payoff="inverse", size="100.0"), 3 * CT, "30000", 8, 1_000_000),
    # 1 ct x 100 / 3 x 10^8 = 10^10 / 3
    ("inverse_third", terms(payoff="inverse", size="100.0"), CT, "3", 8, Fraction(10**10, 3)),
    # an inverse option's price is in coins: 3 ct x 0.1 x 0.0123456789 x 10^8 = 370,370.367
    ("inverse_call", terms("call", "inverse", "0.1"), 3 * CT, "0.0123456789", 8,
     Fraction("370370.367")),
    # 0.1 ct x 12.3456789 x 10^6 = 1,234,567.89
    ("premium", terms("call", strike="2000.0"), CT // 10, "12.3456789", 6, Fraction("1234567.89")),
    ("futures", terms("put", strike="2000.0", style="futures"), CT // 10, "12.3456789", 6,
     Fraction("1234567.89")),
    ("none", terms(), 0, "2000", 2, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("own", "contracts", "price", "decimals", "want"), [row[1:] for row in WORTHS],
    ids=[row[0] for row in WORTHS],
)  # fmt: skip
def test_worth_is_the_exact_fraction(
    own: Terms, contracts: int, price: str, decimals: int, want: Fraction | int
) -> None:
    at = exactly.price(price)
    assert at is not None
    assert Fraction(*exactly.worth(own, contracts, at, decimals)) == want


def test_base_units_of_a_pair_are_exact() -> None:
    # 3.000000001 ct x 0.5 x 10^8 = 150,000,000.05
    pair = terms("spot", size="0.5")
    assert Fraction(*exactly.base_units(pair, 3_000_000_001 * 10**9, 8)) == Fraction("150000000.05")


# --- expiry ---------------------------------------------------------------------------------------

CALL, PUT = terms("call", strike="2000.0"), terms("put", strike="2000.0")
INVERSE_CALL = terms("call", "inverse", "0.1", strike="50000.0")
FINALS = [
    # 1.5 ct x 2,100 x 10^2 = 315,000, to a long
    ("future", terms("future"), 15 * CT // 10, "2100", 2, 315_000),
    ("short_future", terms("future"), -15 * CT // 10, "2100", 2, -315_000),
    ("future_at_zero", terms("future"), CT, "0", 2, 0),
    # an inverse long is worth minus 2 ct x 100 / 40,000 x 10^8 = -500,000
    ("inverse_future", terms("future", "inverse", "100.0"), 2 * CT, "40000", 8, -500_000),
    ("short_inverse", terms("future", "inverse", "100.0"), -2 * CT, "40000", 8, 500_000),
    # 2,100.5 - 2,000 = 100.5; x 3 ct x 10^6 = 301,500,000
    ("call_in", CALL, 3 * CT, "2100.5", 6, 301_500_000),
    ("call_at", CALL, 3 * CT, "2000", 6, 0),
    ("call_out", CALL, 3 * CT, "1999.99", 6, 0),
    ("short_call", CALL, -3 * CT, "2100.5", 6, -301_500_000),
    # 2,000 - 1,500 = 500; a put at price 0 is worth its strike
    ("put_in", PUT, CT, "1500", 6, 500 * 10**6),
    ("put_at_zero", PUT, CT, "0", 6, 2_000 * 10**6),
    ("put_out", PUT, CT, "2000.01", 6, 0),
    # (60,000 - 50,000) / 60,000 x 0.1 x 10^8 = 10^7 / 6
    ("inverse_call_in", INVERSE_CALL, CT, "60000", 8, Fraction(10**7, 6)),
    ("inverse_put_at_zero", terms("put", "inverse", "0.1", strike="50000.0"), CT, "0", 8, 0),
    ("premium_and_futures_end_alike", terms("call", strike="2000.0", style="futures"), 3 * CT,
     "2100.5", 6, 301_500_000),
]  # fmt: skip


@pytest.mark.parametrize(
    ("own", "contracts", "price", "decimals", "want"), [row[1:] for row in FINALS],
    ids=[row[0] for row in FINALS],
)  # fmt: skip
def test_final_value_is_signed_for_the_holder(
    own: Terms, contracts: int, price: str, decimals: int, want: Fraction | int
) -> None:
    at = exactly.price(price, zero=True)
    assert at is not None
    assert Fraction(*exactly.final_value(own, contracts, at, decimals)) == want


# --- funding and interest -------------------------------------------------------------------------

FUNDINGS = [
    # 0.0001 x 2,000 x 10^2 = 20 units a contract
    ("linear", terms(), "0.0001", "2000", 2, 20 * INDEX_ONE),
    ("negative", terms(), "-0.0001", "2000", 2, -20 * INDEX_ONE),
    # 0.0001 x 100 / 30,000 x 10^8 = 33 1/3 units, x 10^18 up
    ("inverse", terms(payoff="inverse", size="100.0"), "0.0001", "30000", 8,
     33_333_333_333_333_333_334),
    # the credit is smaller, not larger: up means towards plus infinity
    ("inverse_negative", terms(payoff="inverse", size="100.0"), "-0.0001", "30000", 8,
     -33_333_333_333_333_333_333),
    # 0.01 x 2,000 x 10^-5 x 10^8 = 20,000
    ("quanto", terms(payoff="quanto", quanto="1e-05"), "0.01", "2000", 8, 20_000 * INDEX_ONE),
    ("nil", terms(), "0", "2000", 2, 0),
    # 10^-18 x 0.01 x 10^0 is less than an index unit: 1
    ("least", terms(), "1e-18", "0.01", 0, 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("own", "rate", "price", "decimals", "want"), [row[1:] for row in FUNDINGS],
    ids=[row[0] for row in FUNDINGS],
)  # fmt: skip
def test_a_funding_index_rises_by_what_one_contract_pays(
    own: Terms, rate: str, price: str, decimals: int, want: int
) -> None:
    told, at = exactly.ratio(rate), exactly.price(price)
    assert told is not None
    assert at is not None
    assert exactly.funding_step(own, told, at, decimals) == want


def test_funding_due_is_contracts_times_index() -> None:
    # 0.333 ct x 20 units = 6.66
    assert Fraction(*exactly.funding_due(333 * CT // 1000, 20 * INDEX_ONE, 0)) == Fraction("6.66")
    assert Fraction(*exactly.funding_due(-CT, 25 * INDEX_ONE, 5 * INDEX_ONE)) == -20


LENT = LendingTerms(cap=1e6, base=0.01, slope_low=0.04, kink=0.8, slope_high=0.6)
RATES = [
    # debt, supplied, rate x 10^18
    (0, 0, 10**16),  # nothing owed: base 0.01
    (0, 100, 10**16),
    (40, 100, 3 * 10**16),  # 0.01 + 0.04 x 0.4 / 0.8 = 0.03
    (80, 100, 5 * 10**16),  # the kink: 0.01 + 0.04
    (90, 100, 35 * 10**16),  # 0.05 + 0.6 x 0.1 / 0.2 = 0.35
    (100, 100, 65 * 10**16),  # 0.05 + 0.6
    (300, 100, 65 * 10**16),  # never beyond 1
    (1, 0, 65 * 10**16),  # owed, nothing supplied: 1
    # u = 1/3 down = 0.333333333333333333; 0.04 u / 0.8 = 0.01666666666666666665
    (1, 3, 10**16 + 16_666_666_666_666_667),
]


@pytest.mark.parametrize(("debt", "supplied", "want"), RATES)
def test_the_borrow_rate_bends_at_the_kink(debt: int, supplied: int, want: int) -> None:
    assert exactly.borrow_rate(LendingState(debt, supplied), LENT) == want


def test_an_index_grows_by_its_rate_and_time_rounded_up() -> None:
    year = 365 * 86_400 * 10**9
    assert exactly.interest_step(INDEX_ONE, 35 * 10**15, year) == 35 * 10**15
    # 0.035 x 10^18 / 31,536,000 s = 1,109,842,719.4...
    assert exactly.interest_step(INDEX_ONE, 35 * 10**15, 10**9) == 1_109_842_720
    assert exactly.interest_step(INDEX_ONE, 35 * 10**15, 0) == 0
    # on an index of 2 twice as much
    assert exactly.interest_step(2 * INDEX_ONE, 35 * 10**15, year) == 70 * 10**15


def test_a_rulebook_s_number_is_the_decimal_it_was_written_as() -> None:
    assert exactly.scaled(0.1) == 10**17  # the float is a little more
    assert exactly.scaled(0.07) == 7 * 10**16
    assert exactly.scaled(1e-20) == 0


# --- realising ------------------------------------------------------------------------------------

KEEPS = [
    # id, position, trade, keep: realised = cost + trade's cost - keep
    ("adds", (2, -400), (1, -210), -610),
    ("adds_short", (-2, 400), (-1, 190), 590),
    ("opens", (0, 0), (3, -600), -600),
    ("sells_one_of_three", (3, -600), (-1, 250), -400),  # realised -600 + 250 + 400 = 50
    # -100 x 2/3 = -66.67, up -66; realised -100 + 40 + 66 = 6 where 6.67 was made
    ("gain_is_credited_down", (3, -100), (-1, 40), -66),
    # 100 x 2/3 = 66.67, up 67; realised 100 - 40 - 67 = -7 where 6.67 was lost
    ("loss_is_charged_up", (-3, 100), (1, -40), 67),
    ("closes", (2, -400), (-2, 500), 0),
    ("closes_short", (-2, 400), (2, -500), 0),
    ("turns", (1, -200), (-3, 660), 440),  # 660 x 2/3 = 440; realised -200 + 660 - 440 = 20
    ("turns_uneven", (1, -200), (-3, 662), 442),  # 441.33 up
    ("turns_up", (-1, 200), (3, -662), -441),  # -441.33 up
    ("inverse_reduces", (3, 100), (-1, -40), 67),  # a long inverse is owed its cost
    ("dust_of_no_cost", (3, 0), (-1, 5), 0),
]


@pytest.mark.parametrize(
    ("position", "by", "keep"), [row[1:] for row in KEEPS], ids=[row[0] for row in KEEPS]
)
def test_a_trade_keeps_the_cost_of_what_is_left(
    position: tuple[int, int], by: tuple[int, int], keep: int
) -> None:
    assert exactly.keep_of(*position, *by) == keep


SIZE = st.integers(-(10**40), 10**40)


@given(SIZE.filter(bool), SIZE, SIZE.filter(bool), SIZE)
def test_what_stays_is_its_exact_share_rounded_up_by_less_than_a_unit(
    contracts: int, cost: int, by: int, by_cost: int
) -> None:
    keep = exactly.keep_of(contracts, cost, by, by_cost)
    if (contracts > 0) == (by > 0):
        assert keep == cost + by_cost, "what adds realises nothing"
        return
    left = abs(contracts + by)
    whole, of = (cost, contracts) if abs(by) < abs(contracts) else (by_cost, by)
    exact = Fraction(whole * left, abs(of))
    # Rounded up is in the venue's favour: the pool realises cost + by_cost - keep.
    assert 0 <= keep - exact < 1
    if exact:
        assert keep == 0 or (keep > 0) == (whole > 0), "the rest keeps the sign of its side"
    else:
        assert keep == 0, "a closed position keeps no cost"
