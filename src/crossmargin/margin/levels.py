"""What detection watches: one level an item, and what each item's price hangs on.

In     Market.
Out    levels of all items now; `Ties` for the reach kernels.
Owns   what the level of an item is: an asset's price, a position's basis; how restless it is.
Never  decides how far a level may go; knows a pool.
Signs  levels > 0; 0 where an item has none, and then no box is proven for it.
Spec   docs/spec/09-zones.md, 9.32
"""

from __future__ import annotations

import numpy as np

from crossmargin.base.arrays import B1, F64
from crossmargin.domain.instruments import KindCode
from crossmargin.kernels.slopes import Ties
from crossmargin.margin.prepared import Market

# Log move of a basis in a typical day. It spends a pool's budget among levels, and decides nothing.
BASIS_RESTLESS = 0.001
# So restless is at least a level that hardly moves, so that its share of a budget is not nothing.
RESTLESS_MIN = 0.0001


def levels(market: Market) -> F64:
    """(n_items,) the level of every item now; 0 where it has none."""
    table, p = market.frame.instruments, market.priced
    with np.errstate(divide="ignore", invalid="ignore"):
        basis = p.forward * p.price[table.quote] / p.price[table.underlying]
    found = np.concatenate([p.price, basis])
    return np.where(np.isfinite(found) & _watched(market), found, 0.0)


def ties(market: Market) -> Ties:
    """Return what every item's price is made of, and how restless its level is."""
    table = market.frame.instruments
    rows = np.arange(market.frame.n_assets, dtype=np.int32)
    own = np.concatenate([_restless_assets(market), np.full(len(table), BASIS_RESTLESS)])
    restless = np.where(_watched(market), np.maximum(own, RESTLESS_MIN), np.nan)
    return Ties(
        np.concatenate([rows, table.underlying]), np.concatenate([rows, table.quote]), restless,
        np.array([min(0.0, float(market.slots.rho.min(initial=0.0)))]),
    )  # fmt: skip


def _watched(market: Market) -> B1:
    """(n_items,) items for which a box can be proven: good prices, no options, nothing averaged."""
    table, items = market.frame.instruments, market.items
    linear = (table.kind < KindCode.CALL) & ~(table.averaged_share > 0.0)
    return np.concatenate([np.ones(market.frame.n_assets, np.bool_), linear]) & ~items.bad


def _restless_assets(market: Market) -> F64:
    """(N,) log move of each asset's price in a typical day, its factors taken as independent."""
    assets, sigma = market.frame.assets, market.view.factor_sigma
    owner = np.repeat(np.arange(len(assets)), np.diff(assets.load_starts))
    square = (assets.load_exponent * sigma[assets.load_factor]) ** 2
    return np.sqrt(np.bincount(owner, weights=square, minlength=len(assets)))
