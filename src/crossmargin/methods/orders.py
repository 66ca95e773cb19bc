"""Open orders as books: what a pool would hold if its orders filled.

In     BookFrame, Market.
Out    three readings of the book: as it is, all that raise delta, all that lower it.
Owns   which order raises or lowers, at which price it fills, what it costs.
Never  decides whether an order is accepted.
Signs  order quantity signed (+ buy); fees lower the settlement balance.
Spec   docs/spec/05-requirement.md, 5.6; choices C36, C44, C50
"""

from __future__ import annotations

import numpy as np

from crossmargin.base.arrays import B1
from crossmargin.domain.instruments import KindCode, PayoffCode
from crossmargin.frames.book import BookFrame
from crossmargin.frames.edits import Fills, with_fills
from crossmargin.margin.prepared import Market


def fills_of(book: BookFrame, market: Market, chosen: B1) -> Fills:
    """Return the rows that the chosen orders add when they fill (choice C36)."""
    pool = np.repeat(np.arange(book.n_pools), np.diff(book.order_starts))[chosen]
    item, quantity = book.order_item[chosen], book.order_quantity[chosen]
    limit = book.order_limit[chosen]
    table, n = market.frame.instruments, market.frame.n_assets
    row = item - n
    p = market.priced
    premium = p.options.is_option[row] & (table.style[row] == 0)
    spot = table.kind[row] == KindCode.SPOT
    mark = np.where(p.options.is_option[row], p.options.price[row], p.forward[row])
    mark = np.where(premium, mark * p.options.discount[row], mark)
    # A loss against the mark counts, a gain does not (spec 5.6).
    worse = np.where(quantity > 0.0, np.maximum(limit, mark), np.minimum(limit, mark))
    size = table.contract_size[row]
    settle = table.settle[row]
    with np.errstate(divide="ignore", invalid="ignore"):
        per_coin = np.where(table.payoff[row] == PayoffCode.INVERSE, p.forward[row], 1.0)
        paid = np.where(premium | spot, quantity * size * worse / per_coin, 0.0)
        notional = np.abs(quantity) * np.where(
            spot, size * p.price[table.underlying[row]], np.abs(market.items.delta[item])
        )
        fee = market.rulebook.margin.taker_fee * notional / p.price[settle]
    kept = ~spot
    return Fills(
        np.concatenate([pool[kept], pool[spot], pool]),
        np.concatenate([item[kept], table.underlying[row][spot], settle]).astype(np.int32),
        np.concatenate([quantity[kept], (quantity * size)[spot], -(paid + fee)]),
        np.concatenate([worse[kept], np.full(int(spot.sum()) + len(pool), np.nan)]),
    )


def order_books(book: BookFrame, market: Market) -> tuple[BookFrame, BookFrame]:
    """Return the book with all orders filled that raise delta, and with all that lower it."""
    n = market.frame.n_assets
    row = book.order_item - n
    table = market.frame.instruments
    live = ~book.order_reduce_only & ~market.items.bad[book.order_item]
    sign = np.where(table.kind[row] == KindCode.PUT, -1.0, 1.0) * book.order_quantity
    up, down = live & (sign > 0.0), live & (sign < 0.0)
    return with_fills(book, fills_of(book, market, up)), with_fills(
        book, fills_of(book, market, down)
    )
