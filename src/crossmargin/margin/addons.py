"""What each underlying, tenor and position adds: tiers, correlation, size, basis, vega, fees.

In     MarketFrame, Rulebook, ClassView, Priced, Items.
Out    `Slots` for the cross kernels and `Extras` for the portfolio kernels.
Owns   tier edges in numeraire, the correlation of underlyings, tenors and their basis rates.
Never  nets; a term that needs a pool is summed by the kernels.
Signs  rates, edges, ranges >= 0; vega per contract signed with the option (+ long).
Spec   docs/spec/05-requirement.md, 5.2 and 5.4; choices C14 to C22
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from crossmargin.base.arrays import F64, I32, I64
from crossmargin.domain.instruments import KindCode, PayoffCode
from crossmargin.domain.rulebook import Rulebook
from crossmargin.frames.market import MarketFrame
from crossmargin.kernels.cross import (
    N_RATES,
    R_FEE,
    R_FLOOR,
    R_INITIAL,
    R_MINIMUM_IM,
    R_MINIMUM_MM,
    Slots,
)
from crossmargin.kernels.portfolio import (
    E_ALPHA,
    E_EXPONENT,
    E_FEE,
    E_MINIMUM,
    E_VEGA,
    N_EXTRAS,
    Extras,
)
from crossmargin.margin.classes import ClassView
from crossmargin.margin.scenarios import shocked_vols
from crossmargin.margin.valuation import Priced

VOL_POINT = 0.01


def correlation(market: MarketFrame, rulebook: Rulebook, view: ClassView) -> tuple[F64, I32]:
    """Return the correlation of groups of underlyings (R, R), and each slot's group (U,) (C14).

    Slots that the rules cannot tell apart share a group: 2,000 underlyings are 4 million pairs, and
    a dozen groups. The diagonal is the correlation of two different slots of one group.
    """
    rules = rulebook.correlation
    factor = view.first_factor[view.slot_asset]
    named = {name for key in rules.pairs for name in key.split(":")}
    shared = Counter(factor.tolist())
    keys = []
    for k in factor.tolist():
        name, risk_class = market.factors.names[k], market.factors.classes[k]
        alone = name in named or shared[k] > 1
        keys.append((name if alone else "", risk_class))
    groups = sorted(set(keys))

    def rho(a: tuple[str, str], b: tuple[str, str]) -> float:
        if a[0] and a[0] == b[0]:
            return rules.same_factor
        by_class = rules.pairs.get(":".join(sorted((a[1], b[1]))), rules.default)
        return rules.pairs.get(":".join(sorted((a[0], b[0]))), by_class)

    table = np.array([[rho(a, b) for b in groups] for a in groups]).reshape(
        len(groups), len(groups)
    )
    row = {key: g for g, key in enumerate(groups)}
    return table, np.array([row[key] for key in keys], dtype=np.int32)


def correlation_of(slots: Slots, rows: I64) -> F64:
    """Return the correlation matrix of these slots, ones on the diagonal."""
    group = slots.group[rows]
    rho: F64 = slots.rho[np.ix_(group, group)]
    np.fill_diagonal(rho, 1.0)
    return rho


def _underlying_rows(market: MarketFrame) -> I32:
    return np.concatenate(
        [np.full(market.n_assets, -1, np.int32), market.instruments.underlying]
    ).astype(np.int32)


def slots(market: MarketFrame, rulebook: Rulebook, view: ClassView) -> Slots:
    """Return the terms of every underlying slot for the cross methods."""
    m = rulebook.margin
    rho, group = correlation(market, rulebook, view)
    span = view.market_mm[view.slot_asset]
    edges = np.array([t.up_to_adv for t in rulebook.tiers])
    multipliers = np.array([t.multiplier for t in rulebook.tiers])
    rates = np.zeros(N_RATES)
    rates[R_FLOOR], rates[R_INITIAL] = m.cross_floor, m.initial_factor
    rates[R_MINIMUM_MM], rates[R_MINIMUM_IM] = m.short_option_minimum_mm, m.short_option_minimum_im
    rates[R_FEE] = m.taker_fee + m.penalty
    return Slots(
        tier_edge=np.ascontiguousarray(view.adv[view.slot_asset][:, None] * edges),
        tier_rate=np.ascontiguousarray(span[:, None] * multipliers),
        hedged_rate=span * m.hedged_fraction,
        rho=rho,
        group=group,
        rates=rates,
        underlying=_underlying_rows(market),
    )


def _tenors(market: MarketFrame, rulebook: Rulebook, view: ClassView) -> tuple[I32, I32, F64]:
    """Return tenor of each instrument (M,), and factor (T,) and basis rate (T,) of each tenor."""
    table = market.instruments
    factor = view.first_factor[table.underlying].astype(np.int64)
    keys = np.stack([factor, np.where(table.expiry_ns > 0, table.expiry_ns, 0)])
    unique, tenor = np.unique(keys, axis=1, return_inverse=True)
    tenor_factor = unique[0].astype(np.int32)
    years = np.maximum(0.0, (unique[1] - market.at_ns) / 31_536e12)
    perpetual = rulebook.margin.basis_perpetual
    dated = np.maximum(perpetual, view.factor_basis[tenor_factor] * years)
    return (
        tenor.reshape(-1).astype(np.int32),
        tenor_factor,
        np.where(unique[1] > 0, dated, perpetual),
    )


def _vega(market: MarketFrame, rulebook: Rulebook, view: ClassView, p: Priced) -> tuple[F64, F64]:
    """(M,) numeraire per contract for one vol point, and for the up-shock of its tenor (C21)."""
    table, o = market.instruments, p.options
    with np.errstate(divide="ignore", invalid="ignore"):
        coin = np.where(table.payoff == PayoffCode.INVERSE, o.vega / p.forward, o.vega)
    per_vol = table.contract_size * o.discount * coin * p.price[table.settle]
    rows = np.arange(len(table))
    up = shocked_vols(market, rulebook, view, rows, np.ones((len(table), 1)))[:, 0] - table.iv
    is_option = table.kind >= KindCode.CALL
    return (
        np.where(is_option, per_vol * VOL_POINT, 0.0),
        np.where(is_option, per_vol * up, 0.0),
    )


def extras(market: MarketFrame, rulebook: Rulebook, view: ClassView, p: Priced) -> Extras:
    """Return the terms of the portfolio add-ons for every item."""
    n, table, m = market.n_assets, market.instruments, rulebook.margin
    underlying = table.underlying
    factor = view.first_factor[underlying]
    adv = np.where(np.isfinite(table.adv), table.adv, view.adv[underlying])
    spread = np.where(
        np.isfinite(table.half_spread), table.half_spread, view.half_spread[underlying]
    )
    impact = m.impact_scale * view.factor_sigma[factor] / adv**m.impact_exponent
    tenor, tenor_factor, tenor_rate = _tenors(market, rulebook, view)
    point, up = _vega(market, rulebook, view, p)
    rates = np.zeros(N_EXTRAS)
    rates[E_FEE], rates[E_EXPONENT] = m.taker_fee + m.penalty, m.impact_exponent
    rates[E_VEGA], rates[E_MINIMUM] = m.vega_offset * m.vega_weight, m.short_option_minimum_mm
    rates[E_ALPHA] = m.alpha
    none, zeros = np.full(n, -1, np.int32), np.zeros(n)
    first = market.assets.load_starts[underlying]
    exponent = np.where(factor >= 0, market.assets.load_exponent[first], 1.0)
    return Extras(
        underlying=_underlying_rows(market),
        factor=np.concatenate([none, factor]).astype(np.int32),
        range_=np.concatenate([zeros, view.market_mm[underlying]]),
        half_spread=np.concatenate([zeros, spread]),
        impact=np.concatenate([zeros, impact]),
        vega_point=np.concatenate([zeros, point]),
        vega_up=np.concatenate([zeros, up]),
        exponent=np.concatenate([zeros, exponent]),
        tenor=np.concatenate([none, tenor]).astype(np.int32),
        tenor_factor=tenor_factor,
        tenor_rate=tenor_rate,
        rates=rates,
    )  # fmt: skip
