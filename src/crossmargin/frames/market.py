"""The market as columns: factors, assets, instruments, their prices and how good they are.

In     arrays from `frames.listing` (which checks them) or from a generator.
Out    a frozen `MarketFrame`; asset prices follow from factor levels, never beside them.
Owns   the item space: row i < n_assets is an asset, row n_assets + j is instrument j.
Never  fetches, decides, or fills a gap; a missing price is NaN with status MISSING.
Signs  prices and sizes > 0; half-widths, ages, spreads >= 0; NaN means "not known".
Spec   docs/spec/01-what-exists.md, docs/spec/08-oracle.md
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np

from crossmargin.base.arrays import F64, I8, I32, I64

YEAR_NS = 365 * 86_400 * 1_000_000_000  # ACT/365 by seconds (spec 2.2)


class Status(IntEnum):
    """How good a price is, worst first. Below DEGRADED is bad (spec 2.5, 8)."""

    MISSING = 0
    HALTED = 1
    STALE = 2
    DEGRADED = 3
    LIVE = 4


@dataclass(frozen=True, slots=True)
class FactorTable:
    """One row per risk factor; K rows.

    level         (K,) numeraire (spot, peg) or ratio (basis, bridge); last good where bad
    status        (K,) `Status`
    half_width    (K,) fraction of level; stable_price (K,) level of the slow price (spec 8)
    age_s         (K,) seconds since the newest print
    sigma_daily   (K,) volatility a day, fraction; NaN: the rulebook's class value is used
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    classes: tuple[str, ...]
    level: F64
    status: I8
    half_width: F64
    stable_price: F64
    age_s: F64
    sigma_daily: F64

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class AssetTable:
    """One row per asset; N rows. price = scale x prod level[factor] ^ exponent (CSR in load_*).

    load_starts   (N + 1,); load_factor, load_exponent (L,)
    adv, half_spread  (N,) numeraire a day and fraction; NaN: the rulebook's class value is used
    venue_total   (N,) numeraire value the venue holds in all, NaN where not known (spec 3.6)
    """

    names: tuple[str, ...]
    asset_classes: tuple[str, ...]
    decimals: I64
    scale: F64
    load_starts: I64
    load_factor: I32
    load_exponent: F64
    adv: F64
    half_spread: F64
    venue_total: F64

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class InstrumentTable:
    """One row per instrument; M rows. Asset references are asset rows.

    kind, payoff, style  (M,) codes of domain.instruments (style 0 premium, 1 futures)
    forward       (M,) quote units: mark price of futures and perpetuals, forward of options;
                  inside a settlement average the price of the part still open
    iv, rate      (M,) options: annual volatility and rate, fractions; NaN elsewhere
    status        (M,) `Status` of the instrument's own mark
    averaged      (M,) settlement average so far; averaged_share (M,) in [0, 1] (spec 5.7)
    funding_rate, funding_cap  (M,) fraction of notional an interval; NaN where none
    adv, half_spread  (M,) as for assets
    """

    names: tuple[str, ...]
    kind: I8
    payoff: I8
    style: I8
    underlying: I32
    quote: I32
    settle: I32
    contract_size: F64
    quanto_rate: F64
    expiry_ns: I64
    strike: F64
    forward: F64
    iv: F64
    rate: F64
    status: I8
    averaged: F64
    averaged_share: F64
    funding_rate: F64
    funding_cap: F64
    adv: F64
    half_spread: F64

    def __len__(self) -> int:
        return len(self.names)

    def effective_forward(self) -> F64:
        """(M,) average so far x elapsed share + the open part (spec 5.7)."""
        fixed = np.where(self.averaged_share > 0.0, self.averaged * self.averaged_share, 0.0)
        return fixed + self.forward * (1.0 - self.averaged_share)


@dataclass(frozen=True, slots=True)
class MarketFrame:
    """A market at one moment. `source` says in words where the numbers come from."""

    at_ns: int
    numeraire: str
    source: str
    factors: FactorTable
    assets: AssetTable
    instruments: InstrumentTable

    @property
    def n_assets(self) -> int:
        return len(self.assets)

    @property
    def n_items(self) -> int:
        return len(self.assets) + len(self.instruments)

    @property
    def item_names(self) -> tuple[str, ...]:
        return self.assets.names + self.instruments.names

    def t_years(self) -> F64:
        """(M,) years to expiry, ACT/365, 0 where past or not dated."""
        left = (self.instruments.expiry_ns - self.at_ns) / YEAR_NS
        return np.where(self.instruments.expiry_ns > 0, np.maximum(left, 0.0), 0.0)


def asset_multiplier(assets: AssetTable, factor_multiplier: F64) -> F64:
    """Return every asset's price multiplier; (..., K) factor multipliers -> (..., N).

    A move of factor k by (1 + m) moves the asset by (1 + m)^exponent (spec 1, 2.4).
    """
    log_mult = np.log(factor_multiplier)[..., assets.load_factor] * assets.load_exponent
    total = np.zeros((*factor_multiplier.shape[:-1], len(assets)))
    owner = np.repeat(np.arange(len(assets)), np.diff(assets.load_starts))
    for column in range(log_mult.shape[-1]):
        total[..., owner[column]] += log_mult[..., column]
    return np.exp(total)


def asset_prices(market: MarketFrame) -> F64:
    """(N,) numeraire price of every asset, last good where bad, NaN where never known."""
    return market.assets.scale * asset_multiplier(market.assets, market.factors.level)


def asset_status(market: MarketFrame) -> I8:
    """(N,) the worst status among an asset's factors; the numeraire (no factor) is LIVE."""
    assets = market.assets
    status = np.full(len(assets), Status.LIVE, dtype=np.int8)
    owner = np.repeat(np.arange(len(assets)), np.diff(assets.load_starts))
    np.minimum.at(status, owner, market.factors.status[assets.load_factor])
    return status


def select_instruments(market: MarketFrame, rows: I64) -> MarketFrame:
    """Return the market with only these instrument rows, in this order; assets stay."""
    table = market.instruments
    picked = {f.name: getattr(table, f.name)[rows] for f in fields(table) if f.name != "names"}
    names = tuple(table.names[r] for r in rows)
    return replace(market, instruments=InstrumentTable(names=names, **picked))


def move_factors(market: MarketFrame, factor_multiplier: F64) -> MarketFrame:
    """Return the market with factors moved; every curve moves with its underlying (spec 7).

    factor_multiplier  (K,) > 0
    """
    mult = asset_multiplier(market.assets, factor_multiplier)
    table = market.instruments
    factors = replace(
        market.factors,
        level=market.factors.level * factor_multiplier,
        stable_price=market.factors.stable_price * factor_multiplier,
    )
    # Only the underlying moves a forward (spec 4.1): a peg moves what the quote is worth, once.
    forward = table.forward * mult[table.underlying] if len(table) else table.forward
    return replace(market, factors=factors, instruments=replace(table, forward=forward))


def restrict(market: MarketFrame, asset_rows: I64, instrument_rows: I64) -> MarketFrame:
    """Return the market with only these assets and instruments, and the factors they need.

    Every asset an instrument refers to must be among `asset_rows`; rows keep the given order.
    """
    assets, factors = market.assets, market.factors
    sizes = np.diff(assets.load_starts)[asset_rows]
    load_starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    loads = np.arange(load_starts[-1]) + np.repeat(
        assets.load_starts[asset_rows] - load_starts[:-1], sizes
    )
    used = np.unique(assets.load_factor[loads])
    new_factor = np.full(len(factors), -1, np.int32)
    new_factor[used] = np.arange(len(used))
    new_asset = np.full(len(assets), -1, np.int32)
    new_asset[asset_rows] = np.arange(len(asset_rows))
    picked = select_instruments(market, instrument_rows).instruments
    return replace(
        market,
        factors=_pick(factors, used, ("names", "kinds", "classes")),
        assets=replace(
            _pick(assets, asset_rows, ("names", "asset_classes"), ("load",)),
            load_starts=load_starts,
            load_factor=new_factor[assets.load_factor[loads]],
            load_exponent=assets.load_exponent[loads],
        ),
        instruments=replace(
            picked,
            underlying=new_asset[picked.underlying],
            quote=new_asset[picked.quote],
            settle=new_asset[picked.settle],
        ),
    )


Table = TypeVar("Table", FactorTable, AssetTable)


def _pick(table: Table, rows: I64, texts: tuple[str, ...], but: tuple[str, ...] = ()) -> Table:
    columns: dict[str, Any] = {}
    for f in fields(table):
        column = getattr(table, f.name)
        if f.name in texts:
            columns[f.name] = tuple(column[r] for r in rows)
        elif not (but and f.name.startswith(but)):
            columns[f.name] = column[rows]
    return replace(table, **columns)
