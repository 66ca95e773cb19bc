"""Books made from books: rows added, accounts repeated, balances changed.

In     a BookFrame and the rows or changes.
Out    a new BookFrame; the one given is never touched.
Owns   how rows are put back in order.
Never  decides whether an edit is allowed, or what it is worth.
Signs  as BookFrame.
Spec   docs/spec/07-inquiry.md
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crossmargin.base.arrays import F64, I32, I64
from crossmargin.frames.book import BookFrame


@dataclass(frozen=True, slots=True)
class Fills:
    """Rows that filled orders add: pool (R,), item, quantity, entry price."""

    pool: I64
    item: I32
    quantity: F64
    entry: F64


def with_fills(book: BookFrame, fills: Fills) -> BookFrame:
    """Return the book with rows added, sorted by pool and item; its orders are gone."""
    pool = np.repeat(np.arange(book.n_pools), np.diff(book.pool_starts))
    pool = np.concatenate([pool, fills.pool])
    item = np.concatenate([book.item, fills.item])
    order = np.lexsort((item, pool))
    counts = np.bincount(pool, minlength=book.n_pools)
    return replace(
        book,
        pool_starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        item=item[order].astype(np.int32),
        quantity=np.concatenate([book.quantity, fills.quantity])[order],
        entry_price=np.concatenate([book.entry_price, fills.entry])[order],
        order_starts=np.zeros(book.n_pools + 1, np.int64),
        order_item=np.zeros(0, np.int32), order_quantity=np.zeros(0), order_limit=np.zeros(0),
        order_reduce_only=np.zeros(0, np.bool_),
    )  # fmt: skip


def copies(book: BookFrame, n: int) -> BookFrame:
    """Return n copies of a book as separate accounts, in order."""

    def tiled(starts: I64) -> I64:
        sizes = np.tile(np.diff(starts), n)
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    return replace(
        book,
        account_names=[*book.account_names] * n, pool_names=[*book.pool_names] * n,
        account_starts=tiled(book.account_starts), method=np.tile(book.method, n),
        draw_limit=np.tile(book.draw_limit, n), drawn=np.tile(book.drawn, n),
        last_draw=np.tile(book.last_draw, n), set_aside=np.tile(book.set_aside, n),
        pool_starts=tiled(book.pool_starts), item=np.tile(book.item, n),
        quantity=np.tile(book.quantity, n), entry_price=np.tile(book.entry_price, n),
        order_starts=tiled(book.order_starts), order_item=np.tile(book.order_item, n),
        order_quantity=np.tile(book.order_quantity, n), order_limit=np.tile(book.order_limit, n),
        order_reduce_only=np.tile(book.order_reduce_only, n),
    )  # fmt: skip


def with_changes(book: BookFrame, pool: I64, item: I64, change: F64) -> BookFrame:
    """Return the book with asset balances changed; one row a change, added where none stands."""
    rows = Fills(pool, item.astype(np.int32), change, np.full(len(pool), np.nan))
    return with_orders_of(with_fills(book, rows), book)


def with_orders_of(book: BookFrame, other: BookFrame) -> BookFrame:
    """Return the book with the other book's open orders."""
    return replace(
        book, order_starts=other.order_starts, order_item=other.order_item,
        order_quantity=other.order_quantity, order_limit=other.order_limit,
        order_reduce_only=other.order_reduce_only,
    )  # fmt: skip
