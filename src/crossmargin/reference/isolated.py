"""The requirement of `isolated`: every instrument by itself (spec 5.1).

In     a valued pool and the market.
Out    parts before `margin` adds what all methods share; no binding term.
Owns   tiers on notional, short calls and puts with their own out-of-the-money relief.
Never  nets anything but identical instruments.
Signs  requirements >= 0.
Spec   docs/spec/05-requirement.md
"""

from __future__ import annotations

from crossmargin.reference.addons import deltas, tiered
from crossmargin.reference.plain import Level, PlainInstrument, PlainMarket
from crossmargin.reference.valuation import Valued, price


def core(market: PlainMarket, pool: Valued, level: Level) -> float:
    """C17: the sum of stand-alone requirements."""
    scale = 1.0 if level == "mm" else market.rulebook.margin.initial_factor
    total = 0.0
    for name, notional in deltas(market, pool).items():
        terms, quantity = market.instruments[name], pool.position[name].quantity
        if terms.is_option and quantity < 0.0:
            total += short_option(market, terms, -quantity, level)
        elif not terms.pays_premium:
            total += scale * tiered(market, terms.underlying, notional)
    return total


def short_option(
    market: PlainMarket, terms: PlainInstrument, contracts: float, level: Level
) -> float:
    """C47: a share of the underlying, less what is out of the money; a put at most its strike."""
    rules = market.rulebook.margin
    spot = price(market, terms.underlying)
    strike = terms.strike * price(market, terms.quote)
    out = max(0.0, strike - spot if terms.kind == "call" else spot - strike)
    rate = rules.isolated_short_option_mm
    if level == "im":
        rate = rules.isolated_short_option_im - out / spot
        rate = max(rate, rules.isolated_short_option_im_floor)
    units = contracts * terms.contract_size
    charge = rate * spot * units
    return min(charge, strike * units) if terms.kind == "put" else charge
