"""One account's margin, from start to verdict, as slow plain Python.

In     a `PlainMarket` with its rulebook, a `PlainAccount`.
Out    one `PlainResult` a pool, the shared pool first.
Owns   how the parts add up, what owes nothing, orders, draws and verdicts.
Never  shares a line with the engine: it is the second witness, written from the specification.
Signs  requirements, charges, draws >= 0; buffers signed.
Spec   docs/spec/05-requirement.md, docs/spec/06-verdict.md
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from crossmargin.reference import addons, cross, isolated, portfolio
from crossmargin.reference.collateral import average, charges, market_haircut, schedule
from crossmargin.reference.draws import draw
from crossmargin.reference.orders import books
from crossmargin.reference.plain import (
    UNPRICED,
    Level,
    LevelResult,
    PlainAccount,
    PlainMarket,
    PlainPool,
    PlainResult,
)
from crossmargin.reference.valuation import Valued, price, unpriced, valued
from crossmargin.reference.wrongway import wrong_way

PARTS = (
    "core",
    "hedged",
    "short_option_minimum",
    "size",
    "basis",
    "vega",
    "liquidation_fee",
    "wrong_way",
    "funding",
    "open_orders",
    "draws",
    "im_floor",
    "owes_nothing",
)


@dataclass(frozen=True)
class Core:
    """The first parts of a requirement, its candidates, and what stands behind the binding one."""

    mm: Mapping[str, float]
    im: Mapping[str, float]
    terms: Mapping[str, float]
    scenario: str = ""
    loss: float = math.nan

    @property
    def binding(self) -> str:
        """The largest candidate, the first of equals; "none" where nothing binds."""
        best = max(self.terms, key=lambda name: self.terms[name])
        return best if self.terms[best] > 0.0 else "none"


def assess_account(market: PlainMarket, account: PlainAccount) -> list[PlainResult]:
    """Every pool by itself, then draws on the shared one (spec 1.1)."""
    held = [valued(market, pool.holdings) for pool in account.pools]
    found = []
    for row, pool in enumerate(account.pools):
        others = owner_totals(market, [v for i, v in enumerate(held) if i != row])
        found.append(assess_pool(market, pool, others))
    return draw(account, found)


def owner_totals(market: PlainMarket, pools: list[Valued]) -> dict[str, float]:
    """C8: value of positive net balances by asset; what cannot be priced does not count."""
    totals: dict[str, float] = {}
    for pool in pools:
        for asset, quantity in pool.balance.items():
            value = quantity * price(market, asset)
            if value > 0.0:
                totals[asset] = totals.get(asset, 0.0) + value
    return totals


def assess_pool(market: PlainMarket, pool: PlainPool, others: Mapping[str, float]) -> PlainResult:
    """One pool before draws; `others` is what its owner holds elsewhere."""
    now = valued(market, pool.holdings)
    reasons = unpriced(market, now) + (("set aside",) if pool.set_aside else ())
    if pool.method == "portfolio" and not market.joint:
        reasons += ("joint rows",)  # C59
    if reasons:
        return _unpriced(reasons)
    mm, im, core = levels(market, pool.method, now, others)
    lowest = im.buffer
    for filled in books(market, pool)[1:]:
        _, after, _ = levels(market, pool.method, valued(market, filled), others)
        lowest = min(lowest, after.buffer)
    orders = im.buffer - lowest
    im = replace(
        im,
        requirement=im.requirement + orders,
        parts={**im.parts, "open_orders": orders},
    )
    return PlainResult(
        verdict=UNPRICED,  # set by `draw`, when the pool knows what it may reserve
        equity=now.equity(market),
        collateral_value=collateral_value(market, pool.method, now),
        mm=mm,
        im=im,
        binding_term=core.binding,
        terms=core.terms,
        worst_scenario=core.scenario,
        worst_loss=core.loss,
        owes=now.owes(market),
    )


def levels(
    market: PlainMarket, method: str, pool: Valued, others: Mapping[str, float]
) -> tuple[LevelResult, LevelResult, Core]:
    """Margin balance and requirement at both levels, without orders and draws (5.5, C45)."""
    core = core_of(market, method, pool)
    extra = add_ons(market, method, pool, core)
    f = market.rulebook.margin.initial_factor
    mm = {**core.mm, **extra}
    im = {**core.im, **{name: f * x for name, x in extra.items()}}
    im["funding"] = addons.funding(market, pool)
    im["im_floor"] = max(0.0, math.fsum(mm.values()) - math.fsum(im.values()))
    if not pool.owes(market):
        mm["owes_nothing"] = -math.fsum(mm.values())
        im["owes_nothing"] = -math.fsum(im.values())
    results = []
    for level, parts in (("mm", mm), ("im", im)):
        taken = charges(market, method, pool, totals_with(market, pool, others), level)  # type: ignore[arg-type]
        full = {name: parts.get(name, 0.0) for name in PARTS}
        results.append(
            LevelResult(
                pool.equity(market) - math.fsum(taken.values()),
                math.fsum(full.values()) if pool.owes(market) else 0.0,
                taken,
                full,
            )
        )
    return results[0], results[1], core


def totals_with(market: PlainMarket, pool: Valued, others: Mapping[str, float]) -> dict[str, float]:
    """What the owner holds in all: here, as it stands after any fill, and elsewhere."""
    own = owner_totals(market, [pool])
    return {a: own.get(a, 0.0) + others.get(a, 0.0) for a in {*own, *others}}


def core_of(market: PlainMarket, method: str, pool: Valued) -> Core:
    """Spec 5.1, 5.2 or 5.3."""
    f = market.rulebook.margin.initial_factor
    if method == "portfolio":
        found = portfolio.core(market, pool)
        core = {"core": found.value}
        name = found.binding
        loss = found.loss[name] if found.value > 0.0 else math.nan
        im_core = {"core": f * found.value}
        return Core(core, im_core, found.terms, found.scenario[name], loss)
    if method == "isolated":
        each: list[Level] = ["mm", "im"]
        mm, im = ({"core": isolated.core(market, pool, level)} for level in each)
        return Core(mm, im, {"isolated": mm["core"]})
    correlated = method == "cross_correlated"
    mm_parts, terms = cross.parts(market, pool, "mm", correlated)
    im_parts, _ = cross.parts(market, pool, "im", correlated)
    return Core(mm_parts, im_parts, terms)


def add_ons(market: PlainMarket, method: str, pool: Valued, core: Core) -> dict[str, float]:
    """5.4 at MM, by method."""
    found = {"liquidation_fee": addons.fee_reserve(market, pool)}
    if method == "portfolio":
        found["size"] = addons.size(market, pool)
        found["basis"] = addons.basis(market, pool)
        found["vega"] = addons.vega_term(market, pool)
    elif market.rulebook.margin.wrong_way:
        found["wrong_way"] = wrong_way(market, pool, math.fsum(core.mm.values()))
    return found


def collateral_value(market: PlainMarket, method: str, pool: Valued) -> float:
    """C53: what held assets count for at MM."""
    total = 0.0
    for asset, quantity in pool.balance.items():
        value = quantity * price(market, asset)
        if value > 0.0:
            m = 0.0 if method == "portfolio" else market_haircut(market, asset, "mm")
            total += value * average(schedule(market, asset, "mm"), value) * (1.0 - m)
    return total


def _unpriced(reasons: tuple[str, ...]) -> PlainResult:
    nothing = float("nan")
    level = LevelResult(nothing, nothing, {}, {})
    return PlainResult(UNPRICED, nothing, nothing, level, level, unpriced=reasons)
