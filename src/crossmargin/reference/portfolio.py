"""The core of `portfolio`: expected shortfall, stress and scans over everything (spec 5.3).

In     a valued pool and the market with its scenario sets.
Out    the candidates of core R, the binding one, its worst scenario and loss.
Owns   counted quantities, legs that expire within the horizon, the short-option floor of a scan.
Never  charges a market haircut: collateral moves inside the scenarios.
Signs  losses > 0 lose; core R >= 0.
Spec   docs/spec/04-scenarios.md, docs/spec/05-requirement.md
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from crossmargin.reference.addons import short_minimum
from crossmargin.reference.collateral import phi
from crossmargin.reference.plain import HOUR_NS, PlainMarket
from crossmargin.reference.scenarios import grid, joint, stress
from crossmargin.reference.tails import expected_shortfall
from crossmargin.reference.valuation import (
    Scenario,
    Valued,
    first_factor,
    price,
    unit_pnl,
)


@dataclass(frozen=True)
class Core:
    """Candidates by name and the scenario behind each; `scans` by factor."""

    terms: Mapping[str, float]
    scenario: Mapping[str, str]
    loss: Mapping[str, float]
    scans: Mapping[str, float]

    @property
    def binding(self) -> str:
        return max(self.terms, key=lambda name: self.terms[name])

    @property
    def value(self) -> float:
        return max(0.0, max(self.terms.values()))


def core(market: PlainMarket, pool: Valued) -> Core:
    """5.3: max of ES of the joint losses, worst stress, worst scan, kappa x sum of scans."""
    quantities = counted_quantities(market, pool)
    shorter = without_expiring(market, quantities)
    rules = market.rulebook.margin
    es, es_name, es_loss = _worse(
        *(joint_es(market, q, rules.alpha) for q in (quantities, shorter))
    )
    st, st_name, _ = _worse(*(worst(market, q, stress(market)) for q in (quantities, shorter)))
    scans = {}
    behind = {}
    minimum = minimum_by_factor(market, pool)
    for factor in touched(market, quantities):
        value, behind[factor], _ = worst(market, quantities, grid(market, factor))
        scans[factor] = max(0.0, value, minimum.get(factor, 0.0))
    top = max(scans, key=lambda f: scans[f]) if scans else ""
    top_name, top_scan = behind.get(top, ""), scans.get(top, 0.0)
    return Core(
        terms={
            "joint_es": max(0.0, es),
            "stress": max(0.0, st),
            "worst_scan": scans.get(top, 0.0),
            "scan_sum": rules.kappa * math.fsum(scans.values()),
        },
        scenario={
            "joint_es": es_name,
            "stress": st_name,
            "worst_scan": top_name,
            "scan_sum": top_name,
        },
        loss={"joint_es": es_loss, "stress": st, "worst_scan": top_scan, "scan_sum": top_scan},
        scans=scans,
    )


def _worse(
    one: tuple[float, str, float], two: tuple[float, str, float]
) -> tuple[float, str, float]:
    return two if two[0] > one[0] else one


def counted_quantities(market: PlainMarket, pool: Valued) -> dict[str, float]:
    """3.2: phi beta of what is held, all of what is owed, positions in full."""
    found = {}
    for asset, quantity in pool.balance.items():
        value = quantity * price(market, asset)
        found[asset] = quantity * (phi(market, asset, value) if value > 0.0 else 1.0)
    for name, held in pool.position.items():
        found[name] = held.quantity
    return found


def without_expiring(market: PlainMarket, quantities: dict[str, float]) -> dict[str, float]:
    """C23: without the legs that expire inside the horizon."""
    end = market.at_ns + market.rulebook.margin.mpor_hours * HOUR_NS
    return {
        item: q
        for item, q in quantities.items()
        if item in market.assets or not 0 < market.instruments[item].expiry_ns <= end
    }


def pnl(market: PlainMarket, quantities: dict[str, float], scenario: Scenario) -> float:
    return math.fsum(q * unit_pnl(market, item, scenario) for item, q in quantities.items())


def worst(
    market: PlainMarket, quantities: dict[str, float], scenarios: list[Scenario]
) -> tuple[float, str, float]:
    """(worst weight x loss, the scenario, its unweighted loss); the unshocked one gives 0."""
    found = (0.0, "", 0.0)
    for scenario in scenarios:
        loss = -pnl(market, quantities, scenario)
        if scenario.weight * loss > found[0]:
            found = (scenario.weight * loss, scenario.name, loss)
    return found


def joint_es(
    market: PlainMarket, quantities: dict[str, float], alpha: float
) -> tuple[float, str, float]:
    """5.0: expected shortfall of the joint losses, and the worst of them."""
    rows = joint(market)
    losses = [-pnl(market, quantities, scenario) for _, scenario in rows]
    if not losses:
        return 0.0, "", 0.0
    es, tail = expected_shortfall(losses, [p for p, _ in rows], alpha)
    worst_row = tail[0][0]
    return es, rows[worst_row][1].name, losses[worst_row]


def touched(market: PlainMarket, quantities: dict[str, float]) -> list[str]:
    """Every factor that something in the pool depends on, in the market's order."""
    assets = set()
    for item in quantities:
        if item in market.assets:
            assets.add(item)
        else:
            terms = market.instruments[item]
            assets |= {terms.underlying, terms.quote, terms.settle}
    loaded = {f for asset in assets for f, _ in market.assets[asset].loads}
    return [f for f in market.factors if f in loaded]


def minimum_by_factor(market: PlainMarket, pool: Valued) -> dict[str, float]:
    """C18: inside the scan of the underlying's first factor, at MM."""
    found: dict[str, float] = {}
    for asset, som in short_minimum(market, pool, "mm").items():
        lead = first_factor(market, asset)
        found[lead] = found.get(lead, 0.0) + som
    return found
