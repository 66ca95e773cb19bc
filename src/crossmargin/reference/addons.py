"""Charges that stand beside the core, each by name (spec 5.4).

In     a valued pool and the market.
Out    one number a charge at MM, or at the level asked where the levels have own rates.
Owns   marginal size tiers, size, basis, vega, fee, funding, short-option minimum.
Never  nets across underlyings; scales MM to IM (`margin` does, C24).
Signs  charges >= 0.
Spec   docs/spec/05-requirement.md
"""

from __future__ import annotations

import math

from crossmargin.reference.collateral import market_haircut, phi, risk_class, sigma_daily
from crossmargin.reference.plain import Level, PlainInstrument, PlainMarket
from crossmargin.reference.valuation import (
    Valued,
    delta_notional,
    first_factor,
    price,
    shocked_vol,
    vega,
    years,
)


def underlying_range(market: PlainMarket, asset: str) -> float:
    """C15: range_k of an underlying is its market haircut at MM."""
    return market_haircut(market, asset, "mm")


def asset_adv(market: PlainMarket, asset: str) -> float:
    """The market's, else the class's; without a factor there is nothing to be large in."""
    own = market.assets[asset].adv
    lead = first_factor(market, asset)
    return own if not math.isnan(own) or not lead else risk_class(market, lead).adv


def tiered(market: PlainMarket, asset: str, notional: float) -> float:
    """C16: T(|notional|) at MM, marginal tiers of the underlying's range."""
    reach, adv = underlying_range(market, asset), asset_adv(market, asset)
    total, low = 0.0, 0.0
    for tier in market.rulebook.tiers:
        high = tier.up_to_adv * adv
        total += max(0.0, min(abs(notional), high) - low) * reach * tier.multiplier
        low = high
    return total


def deltas(market: PlainMarket, pool: Valued) -> dict[str, float]:
    """Signed delta notional of every position."""
    return {
        name: held.quantity * delta_notional(market, market.instruments[name])
        for name, held in pool.position.items()
    }


def fee_reserve(market: PlainMarket, pool: Valued) -> float:
    """C22: what closing costs in fee and penalty."""
    rules = market.rulebook.margin
    gross = math.fsum(abs(n) for n in deltas(market, pool).values())
    return gross * (rules.taker_fee + rules.penalty)


def funding(market: PlainMarket, pool: Valued) -> float:
    """C23: one interval at the cap where the pool would pay, or where nobody knows."""
    total = 0.0
    for name, notional in deltas(market, pool).items():
        terms, quantity = market.instruments[name], pool.position[name].quantity
        pays = math.isnan(terms.funding_rate) or quantity * terms.funding_rate > 0.0
        if not math.isnan(terms.funding_cap) and pays:
            total += terms.funding_cap * abs(notional)
    return total


def short_minimum(market: PlainMarket, pool: Valued, level: Level) -> dict[str, float]:
    """C18: by underlying asset, on short contracts, netted per identical instrument only."""
    rules = market.rulebook.margin
    rate = rules.short_option_minimum_mm if level == "mm" else rules.short_option_minimum_im
    found: dict[str, float] = {}
    for name, held in pool.position.items():
        terms = market.instruments[name]
        if terms.is_option and held.quantity < 0.0:
            spot = price(market, terms.underlying)
            charge = rate * spot * -held.quantity * terms.contract_size
            found[terms.underlying] = found.get(terms.underlying, 0.0) + charge
    return found


def size(market: PlainMarket, pool: Valued) -> float:
    """C19: the cost of working positions out of the market, capped at a full range."""
    rules = market.rulebook.margin
    total = 0.0
    for name, notional in deltas(market, pool).items():
        terms = market.instruments[name]
        point = 0.01 * vega(market, terms) * pool.position[name].quantity
        n = abs(notional) + abs(point)
        adv, half_spread = depth(market, terms)
        sigma = sigma_daily(market, first_factor(market, terms.underlying))
        impact = rules.impact_scale * sigma * (n / adv) ** rules.impact_exponent
        total += n * min(underlying_range(market, terms.underlying), half_spread + impact)
    return total


def depth(market: PlainMarket, terms: PlainInstrument) -> tuple[float, float]:
    """(ADV, half spread): the instrument's, else the underlying's, else the class's."""
    asset = market.assets[terms.underlying]
    rules = risk_class(market, first_factor(market, terms.underlying))
    adv = [x for x in (terms.adv, asset.adv, rules.adv) if not math.isnan(x)]
    spread = [x for x in (terms.half_spread, asset.half_spread, rules.half_spread) if x == x]
    return adv[0], spread[0]


def basis(market: PlainMarket, pool: Valued) -> float:
    """C20, C52: what a hedge across tenors keeps of each tenor's own move."""
    rules = market.rulebook.margin
    tenor: dict[str, dict[int, float]] = {}
    charge: dict[tuple[str, int], float] = {}
    for name, notional in deltas(market, pool).items():
        terms = market.instruments[name]
        lead, exponent = market.assets[terms.underlying].loads[0]
        annual = risk_class(market, lead).basis_annual
        by_date = tenor.setdefault(lead, {})
        by_date[terms.expiry_ns] = by_date.get(terms.expiry_ns, 0.0) + exponent * notional
        own = annual * years(market, terms) if terms.expiry_ns > 0 else 0.0
        charge[lead, terms.expiry_ns] = max(rules.basis_perpetual, own)
    total = 0.0
    for factor, by_date in tenor.items():
        spot = spot_exposure(market, pool, factor)
        gross = abs(spot) + math.fsum(abs(x) for x in by_date.values())
        net = spot + math.fsum(by_date.values())
        if gross > 0.0:
            kept = math.fsum(charge[factor, t] * abs(x) for t, x in by_date.items())
            total += (1.0 - abs(net) / gross) * kept
    return total


def spot_exposure(market: PlainMarket, pool: Valued, factor: str) -> float:
    """C20: assets and loans at counted quantity, exponent x value."""
    total = 0.0
    for asset, quantity in pool.balance.items():
        value = quantity * price(market, asset)
        share = phi(market, asset, value) if value > 0.0 else 1.0
        total += math.fsum(e * value * share for f, e in market.assets[asset].loads if f == factor)
    return total


def vega_term(market: PlainMarket, pool: Valued) -> float:
    """C21: volatility hedged across expiries is not hedged."""
    found: dict[str, dict[int, float]] = {}
    for name, held in pool.position.items():
        terms = market.instruments[name]
        if terms.is_option:
            lead = first_factor(market, terms.underlying)
            up = shocked_vol(market, terms, "up") - terms.iv
            by_date = found.setdefault(lead, {})
            v = held.quantity * vega(market, terms) * up
            by_date[terms.expiry_ns] = by_date.get(terms.expiry_ns, 0.0) + v
    rules = market.rulebook.margin
    gap = math.fsum(
        math.fsum(abs(v) for v in by_date.values()) - abs(math.fsum(by_date.values()))
        for by_date in found.values()
    )
    return rules.vega_offset * rules.vega_weight * max(0.0, gap)
