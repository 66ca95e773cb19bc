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
    delta         value change for a 1 % rise of the factor, d E / d ln level (C61)
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
    """(4, n_items) delta, gamma, vega, theta of one contract at its underlying; of one coin."""
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


def _held_in_coins(book: BookFrame, market: Market) -> tuple[I64, F64]:
    """Return the holdings whose worth stands in another coin, and their delta to it (C61).

    Unsettled P&L moves with its settlement asset, a linear option's value with its quote.
    """
    items, price = market.items, market.priced.price
    i, q = book.item, book.quantity
    with np.errstate(divide="ignore", invalid="ignore"):
        linear = items.mark[i] - book.entry_price
        inverse = 1.0 / book.entry_price - 1.0 / items.mark[i]
    pnl = q * items.scale[i] * np.where(items.inverse[i], inverse, linear) * price[items.settle[i]]
    worth = np.where(items.futures_like[i], pnl, q * items.unit_value[i])
    rows = np.flatnonzero(items.futures_like[i] | items.quote_exposed[i])
    return rows, worth[rows] * PERCENT


def greeks(book: BookFrame, market: Market) -> GreeksFrame:
    """Return greeks of every pool at every factor its holdings load on."""
    frame, items = market.frame, market.items
    unit = unit_greeks(market)
    moves = np.where(items.kind[book.item] == ASSET, book.item,
                     market.extras.underlying[book.item])  # fmt: skip
    coins, worth = _held_in_coins(book, market)
    own = book.quantity * unit[:, book.item]
    held = np.zeros((4, len(coins)))
    held[0] = worth
    amount = np.concatenate([own, held], axis=1)
    pool = np.repeat(np.arange(book.n_pools), np.diff(book.pool_starts))
    pool = np.concatenate([pool, pool[coins]])
    asset = np.concatenate([moves, items.settle[book.item[coins]]])

    starts = frame.assets.load_starts
    sizes = np.diff(starts)[asset]
    row = np.repeat(np.arange(len(asset)), sizes)
    first = np.repeat(starts[asset], sizes)
    load = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + first
    key = pool[row] * len(frame.factors) + frame.assets.load_factor[load]
    keys, place = np.unique(key, return_inverse=True)
    sums = np.zeros((4, len(keys)))
    for g in range(4):
        np.add.at(sums[g], place, frame.assets.load_exponent[load] * amount[g, row])
    rows, factors = np.divmod(keys, max(1, len(frame.factors)))
    return GreeksFrame(rows, factors, *sums)
