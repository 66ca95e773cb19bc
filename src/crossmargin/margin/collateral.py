"""How much of what is held counts, and what a debt costs beyond its value.

In     MarketFrame, Rulebook, ClassView; whether the market part is charged here.
Out    `Assets` for the pool kernels; owners' totals over their pools.
Owns   composition of haircuts over factors, bracket schedules, price uncertainty widths.
Never  moves a price: what the market may do is the scenarios' part in `portfolio`.
Signs  haircuts, surcharges >= 0; fractions kept in [0, 1].
Spec   docs/spec/03-collateral.md, docs/spec/08-oracle.md; choices C4 to C9, C12
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import F64, I32, I64
from crossmargin.domain.rulebook import Bracket, Rulebook
from crossmargin.frames.book import BookFrame
from crossmargin.frames.market import MarketFrame
from crossmargin.kernels.netting import N_TIERS, Assets, Holdings, Items
from crossmargin.kernels.owners import owner_totals
from crossmargin.margin.classes import ClassView, class_of
from crossmargin.margin.valuation import Priced

Schedule = list[tuple[float, float, float]]
"""Marginal brackets: up to, fraction kept at MM, fraction kept at IM."""


def _schedule(brackets: Sequence[Bracket]) -> Schedule:
    return [(b.up_to, 1.0 - b.mm, 1.0 - b.im) for b in brackets]


def _merged(parts: list[tuple[Schedule, float]]) -> Schedule:
    """Return the product of schedules raised to their exponents, on merged edges (choice C6)."""
    edges = sorted({edge for schedule, _ in parts for edge, _, _ in schedule}) or [np.inf]
    merged: Schedule = []
    for edge in edges:
        mm = im = 1.0
        for schedule, exponent in parts:
            _, keep_mm, keep_im = next(row for row in schedule if row[0] >= edge)
            mm *= keep_mm**exponent
            im *= keep_im**exponent
        merged.append((edge, mm, im))
    return merged


def schedule_of(market: MarketFrame, rulebook: Rulebook, asset: int) -> Schedule:
    """Return an asset's liquidity schedule: its own, else its factors' classes'."""
    assets = market.assets
    own = rulebook.assets.get(assets.names[asset])
    if own is not None and own.liquidity is not None:
        return _schedule(own.liquidity)
    loads = range(assets.load_starts[asset], assets.load_starts[asset + 1])
    return _merged(
        [
            (
                _schedule(
                    class_of(rulebook, market.factors.classes[assets.load_factor[j]]).liquidity
                ),
                float(assets.load_exponent[j]),
            )
            for j in loads
        ]
    )


def _surcharges(market: MarketFrame, rulebook: Rulebook, view: ClassView) -> tuple[F64, F64]:
    """(N,) liquidity part of the debt surcharge at MM and IM (choice C6)."""
    assets = market.assets
    mm, im = np.ones(len(assets)), np.ones(len(assets))
    for a, name in enumerate(assets.names):
        for j in range(assets.load_starts[a], assets.load_starts[a + 1]):
            c = class_of(rulebook, market.factors.classes[assets.load_factor[j]])
            mm[a] *= (1.0 + c.surcharge_liquidity_mm) ** assets.load_exponent[j]
            im[a] *= (1.0 + c.surcharge_liquidity_im) ** assets.load_exponent[j]
        own = rulebook.assets.get(name)
        if own is not None and own.surcharge_liquidity_mm is not None:
            mm[a] = 1.0 + own.surcharge_liquidity_mm
        if own is not None and own.surcharge_liquidity_im is not None:
            im[a] = 1.0 + own.surcharge_liquidity_im
    return mm - 1.0, np.maximum(im, mm) - 1.0


def _venue_brackets(market: MarketFrame, rulebook: Rulebook) -> tuple[I64, F64, F64]:
    """(starts, edge, fraction kept at IM) of venues' brackets; no rows where there is no limit.

    A limit needs brackets and a known total (spec 3.11, C43).
    """
    sizes, rows = [], []
    for a, name in enumerate(market.assets.names):
        own = rulebook.assets.get(name)
        found: Schedule = []
        if own is not None and own.venue_liquidity is not None:
            known = bool(np.isfinite(market.assets.venue_total[a]))
            found = _schedule(own.venue_liquidity) if known else []
        sizes.append(len(found))
        rows += [(edge, keep_im) for edge, _, keep_im in found]
    flat = np.array(rows, np.float64).reshape(-1, 2)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return starts, flat[:, 0].copy(), flat[:, 1].copy()


def uncertainty(market: MarketFrame, rulebook: Rulebook, view: ClassView) -> tuple[F64, F64]:
    """(K,) fractions the price may really be below and above the fused one (spec 8, C12)."""
    factors = market.factors
    if not rulebook.oracle.price_uncertainty:
        return np.zeros(len(factors)), np.zeros(len(factors))
    width = np.minimum(factors.half_width, rulebook.oracle.half_width_max)
    width = width + 2.0 * view.factor_sigma * np.sqrt(factors.age_s / 86_400.0)
    price, stable = factors.level, factors.stable_price
    with np.errstate(invalid="ignore", divide="ignore"):
        down = np.maximum(0.0, 1.0 - np.minimum(price, stable) / price * (1.0 - width))
        up = np.maximum(0.0, np.maximum(price, stable) / price * (1.0 + width) - 1.0)
    # A width that is not known is the widest the rules know, never none. (A factor without a price
    # has no exposure that could be charged: its pools are set aside.)
    known = np.isfinite(down) & np.isfinite(up)
    widest = rulebook.oracle.half_width_max
    return np.where(known, down, widest), np.where(known, up, widest)


def asset_terms(
    market: MarketFrame, rulebook: Rulebook, view: ClassView, p: Priced, *, market_part: bool
) -> Assets:
    """Return the terms of every asset; `market_part` False for `portfolio` (spec 3.2)."""
    m, assets = rulebook.margin, market.assets
    schedules = [schedule_of(market, rulebook, a) for a in range(len(assets))]
    sizes = np.array([len(s) for s in schedules], dtype=np.int64)
    flat = np.array([row for s in schedules for row in s]).reshape(-1, 3)
    part = 1.0 if market_part else 0.0
    market_mm, debt_mm = view.market_mm * part, view.debt_mm * part
    liquid_mm, liquid_im = _surcharges(market, rulebook, view)
    down, up = uncertainty(market, rulebook, view)
    venue = _venue_brackets(market, rulebook)
    tiers = [rulebook.gain_tiers[name] for name in sorted(rulebook.gain_tiers)]
    weights = np.ones((2, N_TIERS))
    for t, tier in enumerate(tiers[:N_TIERS]):
        weights[:, t] = tier.mm, tier.im
    return Assets(
        price=p.price, bad=p.asset_bad,
        edge_starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        edge=flat[:, 0].copy(), keep_mm=flat[:, 1].copy(), keep_im=flat[:, 2].copy(),
        market_mm=market_mm,
        market_im=np.maximum(
            market_mm, np.minimum(m.initial_factor * market_mm, m.market_haircut_max * part)
        ),
        surcharge_mm=(1.0 + debt_mm) * (1.0 + liquid_mm) - 1.0,
        surcharge_im=(1.0 + m.initial_factor * debt_mm) * (1.0 + liquid_im) - 1.0,
        debt_market=debt_mm,
        venue_total=assets.venue_total, venue_starts=venue[0], venue_edge=venue[1],
        venue_kept=venue[2],
        owner_starts=np.zeros(1, np.int64), owner_asset=np.zeros(0, np.int32),
        owner_value=np.zeros(0),
        load_starts=assets.load_starts, load_factor=assets.load_factor,
        load_exponent=assets.load_exponent,
        down=down, up=up, uncertain=np.array([bool((down > 0.0).any() or (up > 0.0).any())]),
        gain_mm=weights[0].copy(), gain_im=weights[1].copy(),
    )  # fmt: skip


class Owners(NamedTuple):
    """What owners with several pools hold of each asset: starts (C + 1,), asset and value (T,)."""

    starts: I64
    asset: I32
    value: F64


def owners_if(
    assets: Assets, items: Items, pools: tuple[Holdings, Holdings], account: I64, owners: Owners
) -> Owners:
    """Return each pool's own view of its owner's totals if it held other rows (choice C57).

    pools    the same pools as they are and as they would be, row by row
    account  (A,) owner row of each pool, into `owners`
    returns  totals by pool: the owner's other pools as they are, this one as it would be
    """
    n, size = len(account), len(assets.price)
    rows = np.arange(n, dtype=np.int64)
    counts, parts = np.zeros(n, np.int64), []
    block = max(1, 4_000_000 // max(1, size))
    for lo in range(0, n, block):
        here = rows[lo : lo + block]
        now, then = np.zeros((len(here), size)), np.zeros((len(here), size))
        starts = np.arange(n + 1, dtype=np.int64)
        owner_totals(0, len(here), starts, here, pools[0], items, now)
        owner_totals(0, len(here), starts, here, pools[1], items, then)
        value = (then - now) * assets.price
        for j, p in enumerate(here):
            own = slice(owners.starts[account[p]], owners.starts[account[p] + 1])
            value[j, owners.asset[own]] += owners.value[own]
            if own.start == own.stop:
                value[j] = 0.0  # the owner has this one pool: no totals are kept
        row, asset = np.nonzero(value > 0.0)
        counts[here] = np.bincount(row, minlength=len(here))
        parts.append((asset, value[row, asset]))
    return Owners(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.concatenate([a for a, _ in parts]).astype(np.int32),
        np.concatenate([v for _, v in parts]),
    )


def owners_of(assets: Assets, book: BookFrame, holdings: Holdings, items: Items) -> Owners:
    """Return owners' totals over their pools, numeraire (spec 3.6, choice C8)."""
    pools = np.diff(book.account_starts)
    many = np.flatnonzero(pools > 1)
    counts = np.zeros(book.n_accounts, np.int64)
    parts: list[tuple[I64, F64]] = []
    block = max(1, 4_000_000 // max(1, len(assets.price)))
    for lo in range(0, len(many), block):
        picked = many[lo : lo + block]
        coins = np.zeros((len(picked), len(assets.price)))
        owner_totals(0, len(picked), book.account_starts, picked, holdings, items, coins)
        row, asset = np.nonzero(coins)
        counts[picked] = np.bincount(row, minlength=len(picked))
        parts.append((asset, coins[row, asset] * assets.price[asset]))
    none = (np.zeros(0, np.int64), np.zeros(0))
    return Owners(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.concatenate([a for a, _ in parts] or [none[0]]).astype(np.int32),
        np.concatenate([v for _, v in parts] or [none[1]]),
    )
