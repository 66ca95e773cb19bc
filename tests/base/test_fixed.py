"""Exact integers: refusals first, then boundaries, then laws."""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.base.errors import InputInvalid
from crossmargin.base.fixed import (
    AMOUNT_DIGITS_MAX,
    DECIMALS_MAX,
    format_amount,
    parse_amount,
    scale_down,
    scale_up,
)

DECIMALS = st.integers(0, DECIMALS_MAX)
AMOUNTS = st.integers(-(10**AMOUNT_DIGITS_MAX - 1), 10**AMOUNT_DIGITS_MAX - 1)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("NaN", "finite decimal number"),
        ("nan", "finite decimal number"),
        ("inf", "finite decimal number"),
        ("-Infinity", "finite decimal number"),
        ("", "finite decimal number"),
        (" 1", "finite decimal number"),
        ("1\n", "finite decimal number"),
        ("1,000", "finite decimal number"),
        ("1_000", "finite decimal number"),
        ("0x10", "finite decimal number"),
        (".5", "finite decimal number"),
        ("5.", "finite decimal number"),
        ("--1", "finite decimal number"),
        ("\u0661", "finite decimal number"),  # an Arabic-Indic one: int() would read it
        ("1e1000000000", "finite decimal number"),  # an exponent that would fill the memory
        ("1e999", "38 digits"),
        ("1" + "0" * 36, "38 digits"),  # 37 digits + 6 decimals
        ("9" * 33, "38 digits"),
        ("0" * 129, "128 characters"),
        ("1.0000001", "6 decimals"),
        ("1e-7", "6 decimals"),
    ],
)
def test_text_that_is_no_exact_amount_is_refused(text: str, allowed: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        parse_amount(text, 6, "row 7: amount")
    assert caught.value.where == "row 7: amount"
    assert caught.value.found == text
    assert allowed in caught.value.allowed


@pytest.mark.parametrize(
    ("text", "decimals", "want"),
    [
        ("0", 0, 0),
        ("-0", 6, 0),
        ("1", 6, 1_000_000),
        ("+1.5", 6, 1_500_000),
        ("-1.5", 6, -1_500_000),
        ("0.000001", 6, 1),
        ("1.0000010", 6, 1_000_001),  # a zero past the last decimal drops nothing
        ("0.0000000", 6, 0),
        ("1e3", 0, 1000),
        ("1.25E2", 0, 125),
        ("1200e-2", 0, 12),
        ("5e-6", 6, 5),
        ("0e999", 6, 0),
        ("9" * 38, 0, 10**38 - 1),
        ("00012", 2, 1200),
        ("100e-3", 0, None),  # 0.1 of a unit that has no decimals
        ("10e-3", 0, None),
    ],
)
def test_amount_at_each_boundary(text: str, decimals: int, want: int | None) -> None:
    if want is None:
        with pytest.raises(InputInvalid):
            parse_amount(text, decimals)
    else:
        assert parse_amount(text, decimals) == want


@given(AMOUNTS, DECIMALS)
def test_what_is_written_reads_back_the_same(amount: int, decimals: int) -> None:
    assert parse_amount(format_amount(amount, decimals), decimals) == amount


@given(AMOUNTS, DECIMALS)
def test_text_has_the_value_of_the_amount(amount: int, decimals: int) -> None:
    assert Fraction(format_amount(amount, decimals)) == Fraction(amount, 10**decimals)


@given(AMOUNTS, DECIMALS)
def test_text_in_scientific_form_is_the_same_amount(amount: int, decimals: int) -> None:
    value = Decimal(amount).scaleb(-decimals, Context(prec=60))
    assert parse_amount(f"{value:e}", decimals) == amount


@given(st.text(max_size=40), DECIMALS)
def test_any_text_is_an_amount_or_one_clear_refusal(text: str, decimals: int) -> None:
    try:
        amount = parse_amount(text, decimals)
    except InputInvalid:
        return
    assert Fraction(text) == Fraction(amount, 10**decimals)


@given(AMOUNTS, st.integers(-(10**20), 10**20), st.integers(1, 10**20))
def test_scaling_rounds_down_for_credit_and_up_for_charge(amount: int, num: int, den: int) -> None:
    exact = Fraction(amount * num, den)
    assert scale_down(amount, num, den) == floor(exact)
    assert scale_up(amount, num, den) == ceil(exact)


def test_scaling_names_its_favour_on_a_debt_too() -> None:
    # -7 * 1 / 2 = -3.5: a debt credited is -4, a debt charged is -3.
    assert scale_down(-7, 1, 2) == -4
    assert scale_up(-7, 1, 2) == -3


def test_scaling_by_a_denominator_that_is_not_positive_is_a_bug() -> None:
    for scale in (scale_down, scale_up):
        for den in (0, -1):
            with pytest.raises(AssertionError):
                scale(1, 1, den)
