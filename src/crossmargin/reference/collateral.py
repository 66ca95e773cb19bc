"""What a pool's assets count for: haircuts, surcharges, unsettled gains, price uncertainty.

In     a valued pool, its owner's totals, the market with its rulebook.
Out    the named charges between equity and margin balance, at both levels.
Owns   marginal brackets, the minimum of own, owner's and venue's share at IM, phi.
Never  decides a requirement; applies a product where the method says minimum.
Signs  charges >= 0.
Spec   docs/spec/03-collateral.md
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

from crossmargin.domain.rulebook import Bracket, RiskClass
from crossmargin.reference.brackets import counted as counted_in
from crossmargin.reference.plain import Level, PlainMarket
from crossmargin.reference.valuation import Valued, delta_notional, first_factor, is_bad, price

Schedule = list[tuple[float, float]]
"""Marginal brackets: (upper edge in the numeraire, fraction counted inside)."""
# Answers about the rows of a market that are kept: a few markets of a few dozen rows.
KEPT = 1_024


def charges(
    market: PlainMarket, method: str, pool: Valued, totals: Mapping[str, float], level: Level
) -> dict[str, float]:
    """3.3 to 3.5, C7 to C12: everything between equity and margin balance, by name."""
    moved_inside = method == "portfolio"  # 3.2: the market part lives in the scenarios
    haircut = surcharge = 0.0
    for asset, quantity in pool.balance.items():
        value = quantity * price(market, asset)
        if value >= 0.0:
            haircut += held_loss(market, asset, value, (totals, level, moved_inside))
        else:
            m = 0.0 if moved_inside else market_surcharge(market, asset, level)
            q = liquidity_surcharge(market, asset, level)
            surcharge += -value * ((1.0 + m) * (1.0 + q) - 1.0)
    long_options = (
        0.0 if moved_inside else math.fsum(max(0.0, v) for v in pool.option_value.values())
    )
    return {
        "haircut": haircut,
        "surcharge": surcharge,
        "long_options": long_options,
        "unsettled_gains": gains(market, pool, level),
        "price_uncertainty": uncertainty(market, pool) if level == "im" else 0.0,
    }


def held_loss(
    market: PlainMarket, asset: str, value: float, how: tuple[Mapping[str, float], Level, bool]
) -> float:
    """C7, C4: value minus what it counts; all of it at IM while the price is bad."""
    totals, level, moved_inside = how
    if level == "im" and is_bad(market, asset):
        return value
    m = 0.0 if moved_inside else market_haircut(market, asset, level)
    return value - counted(market, asset, value, totals, level) * (1.0 - m)


def counted(
    market: PlainMarket, asset: str, value: float, totals: Mapping[str, float], level: Level
) -> float:
    """3.6, C8: own brackets at MM; at IM the least of own, owner's and venue's average share."""
    own = schedule(market, asset, level)
    shares = [average(own, value)]
    if level == "im":
        shares.append(average(own, max(value, totals.get(asset, 0.0))))
        rules = market.rulebook.assets.get(asset)
        total = market.assets[asset].venue_total
        if rules and rules.venue_liquidity is not None and math.isfinite(total):
            shares.append(average(brackets(rules.venue_liquidity, level), max(value, total)))
    return value * min(shares)


def phi(market: PlainMarket, asset: str, value: float) -> float:
    """3.2, C9: the counted fraction of what scenarios move: own brackets at MM."""
    return average(schedule(market, asset, "mm"), value)


def average(steps: Schedule, value: float) -> float:
    """Counted value under marginal brackets over held value; the first fraction at nothing."""
    if value <= 0.0:
        return steps[0][1]
    return counted_in(value, steps) / value


def brackets(rows: tuple[Bracket, ...], level: Level) -> Schedule:
    return [(b.up_to, 1.0 - (b.mm if level == "mm" else b.im)) for b in rows]


@lru_cache(maxsize=KEPT)
def schedule(market: PlainMarket, asset: str, level: Level) -> Schedule:
    """C6: the classes' schedules multiplied on merged edges, or the asset's own."""
    rules = market.rulebook.assets.get(asset)
    if rules is not None and rules.liquidity is not None:
        return brackets(rules.liquidity, level)
    parts = [
        (brackets(risk_class(market, f).liquidity, level), exponent)
        for f, exponent in market.assets[asset].loads
    ]
    edges = sorted({up_to for steps, _ in parts for up_to, _ in steps} | {math.inf})
    merged = []
    for edge in edges:
        fraction = 1.0
        for steps, exponent in parts:
            fraction *= next(x for up_to, x in steps if edge <= up_to) ** exponent
        merged.append((edge, fraction))
    return merged


def risk_class(market: PlainMarket, factor: str) -> RiskClass:
    return market.rulebook.classes[market.factors[factor].risk_class]


@lru_cache(maxsize=KEPT)
def market_haircut(market: PlainMarket, asset: str, level: Level) -> float:
    """C5: 1 - product of (1 - range) ^ exponent; at IM f times that, capped."""
    kept = 1.0
    for factor, exponent in market.assets[asset].loads:
        kept *= (1.0 - risk_class(market, factor).range) ** exponent
    rules = market.rulebook.margin
    if level == "mm":
        return 1.0 - kept
    return min(rules.initial_factor * (1.0 - kept), rules.market_haircut_max)


@lru_cache(maxsize=KEPT)
def market_surcharge(market: PlainMarket, asset: str, level: Level) -> float:
    """C5: product of (1 + range) ^ exponent - 1; at IM f times that."""
    grown = 1.0
    for factor, exponent in market.assets[asset].loads:
        grown *= (1.0 + risk_class(market, factor).range) ** exponent
    return (grown - 1.0) * (1.0 if level == "mm" else market.rulebook.margin.initial_factor)


@lru_cache(maxsize=KEPT)
def liquidity_surcharge(market: PlainMarket, asset: str, level: Level) -> float:
    """C6: product of (1 + q) ^ exponent - 1, flat; the asset's own where it has one."""
    key = f"surcharge_liquidity_{level}"
    rules = market.rulebook.assets.get(asset)
    own = getattr(rules, key) if rules is not None else None
    if own is not None:
        return float(own)
    grown = 1.0
    for factor, exponent in market.assets[asset].loads:
        grown *= (1.0 + getattr(risk_class(market, factor), key)) ** exponent
    return grown - 1.0


def gains(market: PlainMarket, pool: Valued, level: Level) -> float:
    """3.4, C10: unsettled gains, net within a tier, at what they do not count."""
    net: dict[str, float] = {}
    for name, value in pool.mtm.items():
        factor = first_factor(market, market.instruments[name].underlying)
        tier = risk_class(market, factor).gain_tier
        net[tier] = net.get(tier, 0.0) + value
    weights = market.rulebook.gain_tiers
    return math.fsum(
        (1.0 - (weights[tier].mm if level == "mm" else weights[tier].im)) * max(0.0, value)
        for tier, value in net.items()
    )


def exposure(market: PlainMarket, pool: Valued, bad_too: bool = False) -> dict[str, float]:
    """C12, C51, C56: d E / d ln level of every factor, everything in full."""
    delta: dict[str, float] = {}

    def add(asset: str, amount: float) -> None:
        for factor, exponent in market.assets[asset].loads:
            delta[factor] = delta.get(factor, 0.0) + exponent * amount

    for asset, quantity in pool.balance.items():
        if bad_too or not is_bad(market, asset):  # C56
            add(asset, quantity * price(market, asset))
    for name, held in pool.position.items():
        terms = market.instruments[name]
        add(terms.underlying, held.quantity * delta_notional(market, terms))
        if terms.pays_premium and terms.payoff == "linear":
            add(terms.quote, pool.option_value[name])
    return delta


def uncertainty(market: PlainMarket, pool: Valued) -> float:
    """C12: what the net exposure loses at the unkind end of each price's range."""
    if not market.rulebook.oracle.price_uncertainty or not pool.owes(market):  # C60
        return 0.0
    total = 0.0
    for name, delta in exposure(market, pool).items():
        factor = market.factors[name]
        stable = factor.level if math.isnan(factor.stable_price) else factor.stable_price
        sigma = sigma_daily(market, name)
        width = min(factor.half_width, market.rulebook.oracle.half_width_max)
        width += 2.0 * sigma * math.sqrt(factor.age_s / 86_400.0)
        low = min(factor.level, stable) * (1.0 - width)
        high = max(factor.level, stable) * (1.0 + width)
        down, up = (factor.level - low) / factor.level, (high - factor.level) / factor.level
        total += max(0.0, delta * down, -delta * up)
    return total


def sigma_daily(market: PlainMarket, factor: str) -> float:
    own = market.factors[factor].sigma_daily
    return risk_class(market, factor).sigma_daily if math.isnan(own) else own
