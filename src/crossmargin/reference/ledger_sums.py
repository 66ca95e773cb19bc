"""Exact arithmetic of the second witness: worth, fills, realising, interest, decimal text.

In     integers, exact fractions, decimal text, a contract's terms.
Out    integers of smallest units.
Owns   every rounding of spec 10, in fractions from end to end.
Never  touches a float, except to read one as the decimal it is written as.
Signs  as the book: what a pool gets is > 0.
Spec   docs/spec/10-ledger.md (10.3 to 10.11)
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from crossmargin.domain.lending import LendingTerms
from crossmargin.reference.ledger_book import ONE, YEAR_NS, Contract

# Decimal text as docs/formats.md words it: sign, digits, one point, exponent of three digits.
_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
TEXT_CHARS_MAX = 40


def up(x: Fraction) -> int:
    """Towards plus infinity: what is charged."""
    return math.ceil(x)


def down(x: Fraction) -> int:
    """Towards minus infinity: what is credited."""
    return math.floor(x)


def decimal(text: object) -> Fraction | None:
    """Return decimal text as a number; None where it is none, or too long."""
    if not isinstance(text, str) or len(text) > TEXT_CHARS_MAX or not _DECIMAL.fullmatch(text):
        return None
    return Fraction(text)


def unit_of(decimals: int) -> int:
    """Smallest units of one coin."""
    return int("1" + "0" * decimals)


def written(x: float) -> Fraction:
    """A rulebook's or listing's number is the exact decimal it is written as (10.9)."""
    return Fraction(repr(float(x)))


# --- worth and fills ------------------------------------------------------------------------------


def worth(terms: Contract, contracts: int, price: Fraction, decimals: int) -> Fraction:
    """10.3: what so many 10^-18 contracts are worth, > 0 for contracts > 0, smallest units."""
    n = Fraction(abs(contracts), ONE)
    unit = unit_of(decimals)
    if terms.payoff == "inverse" and not terms.is_option:
        return n * terms.size / price * unit
    per = terms.quanto if terms.payoff == "quanto" else Fraction(1)
    return n * terms.size * per * price * unit


@dataclass(frozen=True)
class Legs:
    """What both sides of a fill get: cash by asset and cost, before anything is realised."""

    buyer: dict[str, int]
    seller: dict[str, int]
    buyer_cost: int = 0
    seller_cost: int = 0
    moves: bool = True


def legs(terms: Contract, contracts: int, price: Fraction, units: dict[str, int]) -> Legs:
    """10.5; `units`: decimals by asset. What the sides do not share goes to @rounding."""
    if terms.is_spot:
        n = Fraction(contracts, ONE) * terms.size
        base = n * unit_of(units[terms.underlying])
        quote = n * price * unit_of(units[terms.quote])
        return Legs(
            {terms.underlying: down(base), terms.quote: -up(quote)},
            {terms.underlying: -up(base), terms.quote: down(quote)},
            moves=False,
        )
    if terms.pays_premium:
        paid = Fraction(contracts, ONE) * terms.size * price * unit_of(units[terms.settle])
        return Legs({terms.settle: -up(paid)}, {terms.settle: down(paid)})
    value = worth(terms, contracts, price, units[terms.settle])
    if terms.payoff == "inverse":
        return Legs({}, {}, down(value), -up(value))
    return Legs({}, {}, -up(value), down(value))


def realised(position: tuple[int, int], trade: tuple[int, int]) -> int:
    """10.6: the settled cash a trade (dq, dk) makes of a position (q, k); 0 where it adds."""
    (q, k), (dq, dk) = position, trade
    if q == 0 or (q > 0) == (dq > 0):
        return 0
    left, size = abs(q), abs(dq)
    if size < left:
        keep = up(Fraction(k * (left - size), left))
    elif size == left:
        keep = 0
    else:
        keep = up(Fraction(dk * (size - left), size))
    return k + dk - keep


def ending(terms: Contract, contracts: int, price: Fraction, decimals: int) -> Fraction:
    """10.11: what a position ends as, signed for its holder, smallest units."""
    n = Fraction(contracts, ONE)
    unit = unit_of(decimals)
    if not terms.is_option:
        value = worth(terms, contracts, price, decimals)
        long = contracts > 0
        return value if long != (terms.payoff == "inverse") else -value
    gap = price - terms.strike if terms.kind == "call" else terms.strike - price
    inside = max(Fraction(0), gap)
    if terms.payoff == "inverse":
        inside = inside / price if price else Fraction(0)
    return n * terms.size * inside * unit


# --- accruals -------------------------------------------------------------------------------------


def funding_due(contracts: int, behind: int) -> Fraction:
    """10.8: what a position owes for an index that moved by `behind`; < 0 is owed to it."""
    return Fraction(contracts * behind, ONE * ONE)


def interest_due(debt: int, own: int, now: int) -> Fraction:
    """10.9: what a debt (> 0) owes for an index that went from own to now."""
    return Fraction(debt * (now - own), own)


def utilisation(debt: int, supplied: int) -> int:
    """10.9: u in 10^-18."""
    if debt == 0:
        return 0
    if supplied == 0:
        return ONE
    return min(ONE, debt * ONE // supplied)


def borrow_rate(terms: LendingTerms, u: int) -> int:
    """10.9: the rate a year in 10^-18 at utilisation u."""
    base, low, high, kink = (
        written(x) * ONE for x in (terms.base, terms.slope_low, terms.slope_high, terms.kink)
    )
    if u <= kink:
        return up(base + up(low * u / kink))
    return up(base + low + up(high * (u - kink) / (ONE - kink)))


def grown(index: int, rate: int, dt_ns: int) -> int:
    """10.9: the index after dt."""
    return index + up(Fraction(index * rate * dt_ns, ONE * YEAR_NS))
