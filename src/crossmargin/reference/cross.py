"""The requirement of `cross`: net exposures by underlying, correlated or summed (spec 5.2).

In     a valued pool and the market.
Out    core, hedged and short-option parts, and which form of the core binds.
Owns   long options as reducers, the hedged part, the three correlation matrices, the floor.
Never  counts collateral or loans in an exposure: their risk is in haircut and surcharge.
Signs  requirements >= 0; exposures signed.
Spec   docs/spec/05-requirement.md
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from crossmargin.reference.addons import deltas, short_minimum, tiered, underlying_range
from crossmargin.reference.plain import Level, PlainMarket
from crossmargin.reference.valuation import Valued, first_factor


@dataclass(frozen=True)
class Exposure:
    """One underlying: net delta notional after the reducers, and everything behind it."""

    net: float
    gross: float

    @property
    def hedged(self) -> float:
        return max(0.0, (self.gross - abs(self.net)) / 2.0)


def exposures(market: PlainMarket, pool: Valued) -> dict[str, Exposure]:
    """5.2: the point nearest 0 in [n + d-, n + d+], d the deltas of long premium options."""
    net: dict[str, float] = {}
    gross: dict[str, float] = {}
    up: dict[str, float] = {}
    down: dict[str, float] = {}
    for name, notional in deltas(market, pool).items():
        terms, quantity = market.instruments[name], pool.position[name].quantity
        k = terms.underlying
        for table in (net, gross, up, down):
            table.setdefault(k, 0.0)
        if terms.pays_premium and quantity > 0.0:
            side = up if notional > 0.0 else down
            side[k] += notional
        else:
            net[k] += notional
            gross[k] += abs(notional)
    found = {}
    for k, n in net.items():
        nearest = min(max(0.0, n + down[k]), n + up[k])
        found[k] = Exposure(nearest, gross[k] + abs(nearest - n))
    return found


def parts(
    market: PlainMarket, pool: Valued, level: Level, correlated: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Named parts and the candidates of the core."""
    scale = 1.0 if level == "mm" else market.rulebook.margin.initial_factor
    rules = market.rulebook.margin
    found = exposures(market, pool)
    charge = {k: math.copysign(scale * tiered(market, k, x.net), x.net) for k, x in found.items()}
    total = math.fsum(abs(n) for n in charge.values())
    if correlated:
        terms = {
            "correlated": correlated_sum(market, charge),
            "floor": rules.cross_floor * total,
        }
    else:
        terms = {"sum": total}
    hedged = math.fsum(
        x.hedged * rules.hedged_fraction * underlying_range(market, k) * scale
        for k, x in found.items()
    )
    minimum = math.fsum(
        max(0.0, som - abs(charge.get(k, 0.0)))
        for k, som in short_minimum(market, pool, level).items()
    )
    return {
        "core": max(terms.values()),
        "hedged": hedged,
        "short_option_minimum": minimum,
    }, terms


def correlated_sum(market: PlainMarket, charge: dict[str, float]) -> float:
    """5.2: the worst of correlations pulled to one, as they are, and pulled to none."""
    names = sorted(charge)
    worst = 0.0
    for pull in ("one", "none", "zero"):
        total = 0.0
        for a in names:
            for b in names:
                rho = 1.0 if a == b else correlation(market, a, b)
                if pull == "one":
                    rho = (rho + 1.0) / 2.0
                elif pull == "zero":
                    rho = (rho + (1.0 if a == b else 0.0)) / 2.0
                total += charge[a] * rho * charge[b]
        worst = max(worst, total)
    return math.sqrt(worst)


@lru_cache(maxsize=1_024)
def correlation(market: PlainMarket, a: str, b: str) -> float:
    """C14: the pair of first factors, else of their classes, else the default."""
    rules = market.rulebook.correlation
    one, two = first_factor(market, a), first_factor(market, b)
    if one == two:
        return rules.same_factor
    classes = (market.factors[one].risk_class, market.factors[two].risk_class)
    for pair in ((one, two), classes):
        key = ":".join(sorted(pair))
        if key in rules.pairs:
            return rules.pairs[key]
    return rules.default
