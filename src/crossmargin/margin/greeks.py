"""Greeks of pools per underlying, from the same pricing code as the margin.

In     BookFrame, Market.
Out    `GreeksFrame`: one row per pool and factor it is exposed to.
Owns   units: USD per 1 % move, per vol point, per day.
Never  prices with code of its own.
Signs  signed, + gains when the price, the vol or the clock goes up.
Spec   docs/spec/05-requirement.md, 5.8
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossmargin.base.arrays import F64, I64
from crossmargin.domain.instruments import PayoffCode
from crossmargin.frames.book import BookFrame
from crossmargin.kernels.netting import ASSET
from crossmargin.margin.prepared import Market

PERCENT, VOL_POINT, DAY_YEARS = 0.01, 0.01, 1.0 / 365.0


@dataclass(frozen=True, slots=True)
class GreeksFrame:
    """R rows sorted by pool, then factor; numeraire.

    pool, factor  rows of the book and of the market's factors
    delta         value change for a 1 % rise of the factor
    gamma         change of that delta for a 1 % rise (options; everything else is linear here)
    vega          value change for one vol point; theta for one day
    """

    pool: I64
    factor: I64
    delta: F64
    gamma: F64
    vega: F64
    theta: F64


def unit_greeks(market: Market) -> F64:
    """(4, n_items) delta, gamma, vega, theta of one coin or contract at its first factor."""
    frame, p = market.frame, market.priced
    table, o = frame.instruments, p.options
    inverse = table.payoff == PayoffCode.INVERSE
    with np.errstate(divide="ignore", invalid="ignore"):
        coin = np.where(inverse, p.price[table.settle] / p.forward, p.price[table.settle])
    per = table.contract_size * o.discount * coin
    # The option kernel prices undiscounted; the discount's own decay is r V.
    rate = np.where(np.isfinite(table.rate), table.rate, 0.0)
    columns = np.stack(
        [
            market.items.delta[frame.n_assets :] * PERCENT,
            per * o.gamma * p.forward**2 * p.open_share**2 * PERCENT**2,
            per * o.vega * VOL_POINT,
            per * (o.theta + rate * o.price) * DAY_YEARS,
        ]
    )
    assets = np.zeros((4, frame.n_assets))
    assets[0] = p.price * PERCENT
    return np.concatenate([assets, np.where(np.isfinite(columns), columns, np.nan)], axis=1)


def greeks(book: BookFrame, market: Market) -> GreeksFrame:
    """Return greeks of every pool at every factor its holdings load on."""
    frame = market.frame
    unit = unit_greeks(market)
    pool = np.repeat(np.arange(book.n_pools), np.diff(book.pool_starts))
    asset = np.where(
        market.items.kind[book.item] == ASSET, book.item, market.extras.underlying[book.item]
    )
    starts = frame.assets.load_starts
    sizes = np.diff(starts)[asset]
    holding = np.repeat(np.arange(book.n_holdings), sizes)
    first = np.repeat(starts[asset], sizes)
    load = np.arange(len(holding)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + first
    weight = frame.assets.load_exponent[load] * book.quantity[holding]
    key = pool[holding] * len(frame.factors) + frame.assets.load_factor[load]
    keys, place = np.unique(key, return_inverse=True)
    sums = np.zeros((4, len(keys)))
    for g in range(4):
        np.add.at(sums[g], place, weight * unit[g, book.item[holding]])
    rows, factors = np.divmod(keys, max(1, len(frame.factors)))
    return GreeksFrame(rows, factors, *sums)
