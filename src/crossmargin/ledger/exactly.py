"""Exact arithmetic of the ledger: what contracts are worth, what funding and interest are due.

In     integers, decimal text, terms.
Out    exact ratios (num, den), den > 0, and integers where a rule names the rounding.
Owns   the formulas of spec 10.1 to 10.3.
Never  touches a float; rounds without a name.
Signs  worth of a long is > 0 for linear and quanto, < 0 for inverse; due > 0 is owed by the pool.
Spec   docs/spec/10-ledger.md
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

from crossmargin.base.fixed import scale_down, scale_up
from crossmargin.domain.book import CONTRACT_DECIMALS, INDEX_ONE, LendingState, Terms
from crossmargin.domain.lending import LendingTerms

CONTRACT = 10**CONTRACT_DECIMALS
YEAR_NS = 365 * 86_400 * 1_000_000_000
PRICE_CHARS_MAX = 40
PRICE_MAX = 10**15
# What is counted in 10^-18 is priced in no less: an inverse cost at a smaller price is no float.
PRICE_MIN_DIGITS = 18

_DECIMAL = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
Ratio = tuple[int, int]


@lru_cache(maxsize=65_536)
def ratio(text: str) -> Ratio | None:
    """Return decimal text as an exact fraction; None where it is no plain finite decimal."""
    if len(text) > PRICE_CHARS_MAX or _DECIMAL.fullmatch(text) is None:
        return None
    return Decimal(text).as_integer_ratio()


def price(text: str, zero: bool = False) -> Ratio | None:
    """Return a price as a fraction; None where it is none, or out of [10^-18, 10^15)."""
    found = ratio(text)
    if found is None or not 0 <= found[0] < PRICE_MAX * found[1]:
        return None
    if not found[0]:
        return found if zero else None
    return found if found[0] * 10**PRICE_MIN_DIGITS >= found[1] else None


def worth(terms: Terms, contracts: int, at: Ratio, decimals: int) -> Ratio:
    """Return what `contracts` (10^-18, >= 0) are worth, settlement units, without sign (10.3)."""
    size = ratio(terms.size)
    assert size is not None
    num, den = contracts * size[0] * 10**decimals, size[1] * CONTRACT
    if terms.payoff == "inverse" and not terms.is_option:
        return num * at[1], den * at[0]
    num, den = num * at[0], den * at[1]
    if terms.payoff == "quanto":
        rate = ratio(terms.quanto_rate)
        assert rate is not None
        num, den = num * rate[0], den * rate[1]
    return num, den


def base_units(terms: Terms, contracts: int, decimals: int) -> Ratio:
    """Return the base asset's units of a spot pair's contracts."""
    size = ratio(terms.size)
    assert size is not None
    return contracts * size[0] * 10**decimals, size[1] * CONTRACT


def final_value(terms: Terms, contracts: int, at: Ratio, decimals: int) -> Ratio:
    """Return the signed settlement value of signed contracts at expiry (10.11)."""
    if not terms.is_option:
        num, den = worth(terms, abs(contracts), at, decimals) if at[0] else (0, 1)
        long = -1 if terms.payoff == "inverse" else 1
        return (num if contracts > 0 else -num) * long, den
    strike = ratio(terms.strike)
    assert strike is not None
    # Intrinsic value as a fraction of quote units.
    gain = at[0] * strike[1] - strike[0] * at[1]
    inner = (max(0, gain if terms.kind == "call" else -gain), at[1] * strike[1])
    num, den = worth(terms, abs(contracts), inner, decimals)
    if terms.payoff == "inverse":
        num, den = (num * at[1], den * at[0]) if at[0] else (0, 1)
    return num if contracts > 0 else -num, den


def funding_step(terms: Terms, rate: Ratio, at: Ratio, decimals: int) -> int:
    """Return by how much a funding index rises: settlement units a contract, 10^-18 (10.8)."""
    num, den = worth(terms, CONTRACT, at, decimals)
    return scale_up(rate[0] * num * INDEX_ONE, 1, rate[1] * den)


def funding_due(contracts: int, index: int, own: int) -> Ratio:
    """Return what a position owes since its own index; < 0 where it is owed."""
    return contracts * (index - own), CONTRACT * INDEX_ONE


def interest_due(debt: int, index: int, own: int) -> Ratio:
    """Return the interest on a debt (> 0) since its own index."""
    return debt * (index - own), own


def borrow_rate(lent: LendingState, terms: LendingTerms) -> int:
    """Return the rate a year, 10^-18, at the utilisation of now (10.9)."""
    one = INDEX_ONE
    if not lent.debt:
        used = 0
    elif not lent.supplied:
        used = one
    else:
        used = min(one, scale_down(lent.debt, one, lent.supplied))
    base, low, kink, high = (
        scaled(x) for x in (terms.base, terms.slope_low, terms.kink, terms.slope_high)
    )
    if used <= kink:
        return base + scale_up(low, used, kink)
    return base + low + scale_up(high, used - kink, one - kink)


def interest_step(index: int, rate: int, elapsed_ns: int) -> int:
    """Return by how much an interest index rises over `elapsed_ns`."""
    return scale_up(index, rate * elapsed_ns, INDEX_ONE * YEAR_NS)


@lru_cache(maxsize=1_024)
def scaled(value: float) -> int:
    """Return a rulebook's number x 10^18: the decimal it was written as, exactly, rounded down."""
    num, den = Decimal(repr(value)).as_integer_ratio()
    return scale_down(num, INDEX_ONE, den)


def keep_of(contracts: int, cost: int, by: int, by_cost: int) -> int:
    """Return the cost that stays after a position is traded by (by, by_cost) (10.6)."""
    if not contracts or (contracts > 0) == (by > 0):
        return cost + by_cost
    held, traded = abs(contracts), abs(by)
    if traded < held:
        return scale_up(cost, held - traded, held)
    return scale_up(by_cost, traded - held, traded) if traded > held else 0
