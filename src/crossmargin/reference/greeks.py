"""Greeks of a pool: USD per 1 %, per vol point and per day, by factor (spec 5.8).

In     a valued pool and the market.
Out    delta, gamma, vega and theta, each a mapping of factor to numeraire.
Owns   units: delta and gamma per 1 % move, vega per point (0.01), theta per day.
Never  prices with other formulas than valuation does.
Signs  + gains; theta of a long option is negative.
Spec   docs/spec/05-requirement.md
"""

from __future__ import annotations

from crossmargin.reference import black
from crossmargin.reference.collateral import exposure
from crossmargin.reference.plain import PlainInstrument, PlainMarket
from crossmargin.reference.valuation import (
    Valued,
    discount,
    forward,
    open_part,
    option_unit,
    price,
    value_asset,
    vega,
    years,
)

NAMES = ("delta", "gamma", "vega", "theta")


def greeks(market: PlainMarket, pool: Valued) -> dict[str, dict[str, float]]:
    """Delta is d E / d ln level: unsettled P&L held in a coin moves with the coin (2.1)."""
    found: dict[str, dict[str, float]] = {name: {} for name in NAMES}
    everything = exposure(market, pool, bad_too=True)
    found["delta"] = {factor: 0.01 * amount for factor, amount in everything.items()}
    for name, held in pool.position.items():
        terms, q = market.instruments[name], held.quantity
        unit = {
            "gamma": gamma_notional(market, terms) * 0.01 * 0.01,
            "vega": 0.01 * vega(market, terms),
            "theta": theta(market, terms) / 365.0,
        }
        for factor, exponent in market.assets[terms.underlying].loads:
            for greek, amount in unit.items():
                table = found[greek]
                table[factor] = table.get(factor, 0.0) + exponent * q * amount
    return found


def gamma_notional(market: PlainMarket, terms: PlainInstrument) -> float:
    """d (delta notional) / d ln price - delta notional: F^2 d2V/dF2 at the open part, numeraire."""
    if not terms.is_option:
        return 0.0
    f, t = forward(terms), years(market, terms)
    curve = black.gamma(f, terms.strike, terms.iv, t) * f * f * discount(terms, t)
    coins = terms.contract_size * curve / (f if terms.payoff == "inverse" else 1.0)
    return coins * price(market, value_asset(terms)) * open_part(terms) ** 2


def theta(market: PlainMarket, terms: PlainInstrument) -> float:
    """Value change per year of time passing, forward and volatility unchanged."""
    if not terms.is_option:
        return 0.0
    f, t = forward(terms), years(market, terms)
    rate = 0.0 if terms.rate != terms.rate else terms.rate
    decay = black.theta(f, terms.strike, terms.iv, t) * discount(terms, t) * terms.contract_size
    coins = decay / (f if terms.payoff == "inverse" else 1.0)
    coins += rate * option_unit(terms, f, terms.iv, t)
    return coins * price(market, value_asset(terms))
