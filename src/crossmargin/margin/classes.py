"""The rulebook's classes laid over a market's factors, assets and underlyings.

In     MarketFrame and Rulebook.
Out    `ClassView`: per factor and asset the class numbers, and which slot an underlying has.
Owns   "first factor", "class of an asset", and the market value else the class value.
Never  fills a missing price; invents a class: an unknown one is refused by name.
Signs  ranges, spreads, volumes >= 0; fractions of 1.
Spec   docs/spec/16-defaults.md; choices C5, C10, C14, C19
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossmargin.base.arrays import F64, I32
from crossmargin.base.errors import RulebookInvalid
from crossmargin.domain.rulebook import RiskClass, Rulebook
from crossmargin.frames.market import MarketFrame

NUMERAIRE_CLASS = "fiat"


@dataclass(frozen=True, slots=True)
class ClassView:
    """K factors, N assets, M instruments, U underlying slots.

    factor_range, factor_sigma, factor_basis, factor_vol_floor  (K,)
    first_factor  (N,) factor row, -1 for the numeraire; asset_class (N,) rulebook class names
    market_mm, debt_mm  (N,) market part of the haircut and of the surcharge at MM (C5)
    adv, half_spread    (N,) the market's, else the class's
    slot  (M,) underlying slot of each instrument; slot_asset (U,) asset row of each slot
    """

    factor_range: F64
    factor_sigma: F64
    factor_basis: F64
    factor_vol_floor: F64
    first_factor: I32
    asset_class: tuple[str, ...]
    market_mm: F64
    debt_mm: F64
    adv: F64
    half_spread: F64
    slot: I32
    slot_asset: I32


def class_of(rulebook: Rulebook, name: str) -> RiskClass:
    """Return the class, or refuse by name."""
    if name not in rulebook.classes:
        raise RulebookInvalid(f"classes.{name}", "absent", "the market uses this class; add it")
    return rulebook.classes[name]


def _where_known(stated: F64, otherwise: list[float]) -> F64:
    return np.where(np.isfinite(stated), stated, np.array(otherwise, dtype=np.float64))


def class_view(market: MarketFrame, rulebook: Rulebook) -> ClassView:
    """Return the class numbers of every factor and asset of the market."""
    factors, assets, table = market.factors, market.assets, market.instruments
    of_factor = [class_of(rulebook, name) for name in factors.classes]
    starts = assets.load_starts
    has = np.diff(starts) > 0
    first = np.full(len(assets), -1, np.int32)
    first[has] = assets.load_factor[starts[:-1][has]]
    names = tuple(NUMERAIRE_CLASS if k < 0 else factors.classes[k] for k in first)
    of_asset = [class_of(rulebook, name) for name in names]

    factor_range = np.array([c.range for c in of_factor])
    owner = np.repeat(np.arange(len(assets)), np.diff(starts))
    log_keep, log_debt = np.zeros(len(assets)), np.zeros(len(assets))
    np.add.at(log_keep, owner, assets.load_exponent * np.log1p(-factor_range)[assets.load_factor])
    np.add.at(log_debt, owner, assets.load_exponent * np.log1p(factor_range)[assets.load_factor])
    slot_asset, slot = np.unique(table.underlying, return_inverse=True)
    return ClassView(
        factor_range=factor_range,
        factor_sigma=_where_known(factors.sigma_daily, [c.sigma_daily for c in of_factor]),
        factor_basis=np.array([c.basis_annual for c in of_factor]),
        factor_vol_floor=np.array([c.vol_floor for c in of_factor]),
        first_factor=first,
        asset_class=names,
        market_mm=-np.expm1(log_keep),
        debt_mm=np.expm1(log_debt),
        adv=_where_known(assets.adv, [c.adv for c in of_asset]),
        half_spread=_where_known(assets.half_spread, [c.half_spread for c in of_asset]),
        slot=slot.astype(np.int32),
        slot_asset=slot_asset.astype(np.int32),
    )
