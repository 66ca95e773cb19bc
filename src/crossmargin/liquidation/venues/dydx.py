"""Liquidation and deleveraging of dYdX v4, in exact integers of quantums.

In     quote and base quantums, exact prices, parameters in parts per million.
Out    requirements, bankruptcy and fillable prices, insurance deltas, both sides of an ADL.
Owns   the venue's roundings: requirements up, shares of the equity down, notionals towards zero.
Never  touches a float; picks who is deleveraged.
Signs  quantums and notionals signed (+ long); requirements >= 0; quote deltas + received.
Spec   docs/spec/09-liquidation.md, 9.14, 9.17
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from crossmargin.base.errors import InputInvalid
from crossmargin.base.fixed import scale_down, scale_up

MILLION = 10**6


@dataclass(frozen=True, slots=True)
class Terms:
    """One market: exact quote quantums of one base quantum, IM and maintenance fraction in ppm."""

    price: Fraction
    initial_ppm: int
    fraction_ppm: int


@dataclass(frozen=True, slots=True)
class Position:
    """A position by market name, base quantums, + long."""

    market: str
    quantums: int


@dataclass(frozen=True, slots=True)
class Account:
    """Quote quantums and positions."""

    quote: int
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class Risk:
    """Net collateral, IM and MM of an account, quote quantums."""

    net: int
    initial: int
    maintenance: int

    @property
    def liquidatable(self) -> bool:
        return self.maintenance > 0 and self.maintenance > self.net


@dataclass(frozen=True, slots=True)
class Caps:
    """Open-interest caps in quote quantums; upper 0: the requirement does not scale."""

    lower: int
    upper: int


Markets = dict[str, Terms]


def notional_of(quantums: int, terms: Terms) -> int:
    """Return the signed notional, rounded towards zero."""
    exact = abs(quantums) * terms.price
    size = exact.numerator // exact.denominator
    return size if quantums >= 0 else -size


def initial_ppm(base_ppm: int, open_interest: int, caps: Caps) -> int:
    """Return the initial margin fraction, rising in a line to 1 between the caps."""
    if caps.upper <= 0 or open_interest <= caps.lower:
        return base_ppm
    if open_interest >= caps.upper:
        return MILLION
    gone = (MILLION - base_ppm) * (open_interest - caps.lower)
    return base_ppm + gone // (caps.upper - caps.lower)


def maintenance_ppm(base_ppm: int, fraction_ppm: int) -> int:
    """Return the maintenance fraction, rounded down as the venue does; amounts round up."""
    return scale_down(base_ppm, fraction_ppm, MILLION)


def requirements(notional: int, terms: Terms, scaled_ppm: int) -> tuple[int, int]:
    """Return IM and MM of a notional; MM never scales with open interest."""
    size = abs(notional)
    initial = scale_up(size, scaled_ppm, MILLION)
    base = scale_up(size, terms.initial_ppm, MILLION)
    return initial, scale_up(base, terms.fraction_ppm, MILLION)


def risk_of(account: Account, markets: Markets) -> Risk:
    """Return net collateral and requirements of an account, without open-interest scaling."""
    net, initial, maintenance = account.quote, 0, 0
    for position in account.positions:
        terms = markets[position.market]
        notional = notional_of(position.quantums, terms)
        im, mm = requirements(notional, terms, terms.initial_ppm)
        net, initial, maintenance = net + notional, initial + im, maintenance + mm
    return Risk(net, initial, maintenance)


def held(account: Account, market: str) -> int:
    """Return the quantums of a market in an account."""
    return sum(p.quantums for p in account.positions if p.market == market)


def refuse_growing(account: Account, market: str, delta: int) -> int:
    """Return the position, or refuse a change that does not shrink it."""
    size = held(account, market)
    if size == 0 or size * delta >= 0 or abs(delta) > abs(size):
        raise InputInvalid(
            "delta_quantums", delta, f"shrink the position of {size}", "liquidate towards zero"
        )
    return size


def closing(account: Account, market: str, delta: int, markets: Markets) -> tuple[int, int]:
    """Return (change of notional, MM released) when `delta` of a position is closed."""
    size, terms = held(account, market), markets[market]
    before, after = notional_of(size, terms), notional_of(size + delta, terms)
    mm_before = requirements(before, terms, terms.initial_ppm)[1]
    mm_after = requirements(after, terms, terms.initial_ppm)[1]
    return after - before, mm_before - mm_after


def bankruptcy_quote(account: Account, market: str, delta: int, markets: Markets) -> int:
    """Return the quote quantums an account receives (+) for `delta` at its bankruptcy price.

    -dNC - floor(TNC |dMMR| / TMMR): the equity is shared over positions by maintenance margin.
    """
    refuse_growing(account, market, delta)
    change, released = closing(account, market, delta, markets)
    risk = risk_of(account, markets)
    share = risk.net * released // risk.maintenance if risk.maintenance else 0
    return -change - share


def fillable_price(
    account: Account, market: str, delta: int, markets: Markets, adjustment_ppm: int,
    spread_ppm: int,
) -> Fraction:  # fmt: skip
    """Return the worst price a liquidation order may fill at, quote quantums a base quantum.

    adjustment_ppm  how fast the price runs to its end as health falls; spread_ppm its end, as a
                    share of the position's maintenance margin
    """
    size = refuse_growing(account, market, delta)
    risk = risk_of(account, markets)
    notional, released = closing(account, market, -size, markets)
    depth = 1 - Fraction(risk.net, risk.maintenance)
    rate = min(Fraction(1), max(Fraction(0), Fraction(adjustment_ppm, MILLION) * depth))
    return (-notional - rate * Fraction(spread_ppm, MILLION) * released) / size


def insurance_delta(quote: int, bankruptcy: int, fee_max_ppm: int) -> int:
    """Return what a fill pays into the insurance fund (+) or takes out of it (-).

    quote       quote quantums the liquidated account received (+) or paid (-) in the fill
    bankruptcy  the same at its bankruptcy price
    """
    delta = quote - bankruptcy
    if delta <= 0:
        return delta
    return min(abs(quote) * fee_max_ppm // MILLION, delta)


def is_allowed(old: Risk, new: Risk) -> bool:
    """Return whether an account may go from old to new while it stays undercollateralised."""
    if new.maintenance > old.maintenance:
        return False
    if old.maintenance == 0 or new.maintenance == 0:
        return old.maintenance == new.maintenance == 0 and new.net > old.net
    return new.net * old.maintenance >= old.net * new.maintenance


def after_fill(account: Account, market: str, delta: int, quote: int) -> Account:
    """Return the account after `delta` base quantums for `quote` quote quantums."""
    positions = tuple(
        Position(p.market, p.quantums + (delta if p.market == market else 0))
        for p in account.positions
    )
    return Account(account.quote + quote, tuple(p for p in positions if p.quantums))


def deleveraged(
    accounts: Sequence[Account], market: str, delta: int, markets: Markets
) -> tuple[Account, Account]:
    """Return the liquidated and the offsetting account after `delta` changes hands.

    Both close at the bankruptcy price of the first. Refused where either side would grow, or would
    be left neither at its initial margin nor less risky than it was.
    """
    liquidated, offsetting = accounts
    refuse_growing(liquidated, market, delta)
    refuse_growing(offsetting, market, -delta)
    quote = bankruptcy_quote(liquidated, market, delta, markets)
    answer = []
    for side, change, paid in ((liquidated, delta, quote), (offsetting, -delta, -quote)):
        after = after_fill(side, market, change, paid)
        old, new = risk_of(side, markets), risk_of(after, markets)
        if new.net < new.initial and not is_allowed(old, new):
            raise InputInvalid(
                "deleveraging", new.net, f"leave at least {new.initial} or less risk than before",
                "bankruptcy prices do not overlap: offset another account",
            )  # fmt: skip
        answer.append(after)
    return answer[0], answer[1]
