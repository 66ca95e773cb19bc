"""The book as columns: holdings and orders of every pool, sorted by account, pool and item.

In     arrays from `frames.compile`, which checked them.
Out    a frozen `BookFrame`; a million pools or one, there is no other shape.
Owns   the order of rows: accounts contiguous, the shared pool first, holdings by item row.
Never  nets, values, or drops a row.
Signs  quantity > 0 owned or long, < 0 owed or short; limits and draws >= 0.
Spec   docs/spec/01-what-exists.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossmargin.base.arrays import B1, F64, I8, I32, I64


@dataclass(frozen=True, slots=True)
class BookFrame:
    """A pools, C accounts, H holdings, O orders.

    account_names   (C,) and pool_names (A,): any sequence of text
    account_starts  (C + 1,) pools of each account, the shared pool first, then in draw order
    method          (A,) index into method_names
    draw_limit      (A,) numeraire, inf on shared pools; drawn, last_draw (A,) (spec 1.1)
    set_aside       (A,) True where a row of the pool was refused: the pool is UNPRICED
    pool_starts     (A + 1,) holdings of each pool
    item            (H,) row in the market's item space; quantity (H,) coins or signed contracts
    entry_price     (H,) quote units; NaN for assets and premium options
    order_starts    (A + 1,); order_item, order_quantity, order_limit, order_reduce_only (O,)
    exact           amounts came as integers or decimals, not as floats
    """

    account_names: Sequence[str]
    pool_names: Sequence[str]
    account_starts: I64
    method: I8
    method_names: tuple[str, ...]
    draw_limit: F64
    drawn: F64
    last_draw: F64
    set_aside: B1
    pool_starts: I64
    item: I32
    quantity: F64
    entry_price: F64
    order_starts: I64
    order_item: I32
    order_quantity: F64
    order_limit: F64
    order_reduce_only: B1
    exact: bool

    @property
    def n_pools(self) -> int:
        return len(self.pool_starts) - 1

    @property
    def n_accounts(self) -> int:
        return len(self.account_starts) - 1

    @property
    def n_holdings(self) -> int:
        return len(self.item)

    def account_of_pool(self) -> I64:
        """(A,) account row of each pool."""
        if self.n_accounts == self.n_pools:  # every account holds its shared pool, so one each
            return np.arange(self.n_pools)
        return np.repeat(np.arange(self.n_accounts), np.diff(self.account_starts))


def segment_rows(starts: I64, picked: I64) -> tuple[I64, I64]:
    """Return (rows, new_starts) of the picked segments, in the picked order."""
    sizes = starts[picked + 1] - starts[picked]
    new_starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    rows = np.arange(new_starts[-1]) + np.repeat(starts[picked] - new_starts[:-1], sizes)
    return rows, new_starts


def plain_book(
    pool_starts: I64, item: I32, quantity: F64, entry_price: F64, method: str
) -> BookFrame:
    """Return a book of one shared pool an account, no orders: for generators and batches.

    Names are row numbers. Marked inexact: the quantities came as floats.
    """
    n = len(pool_starts) - 1
    none = np.zeros(0)
    return BookFrame(
        account_names=RowNames(n), pool_names=Repeated("shared", n),
        account_starts=np.arange(n + 1), method=np.zeros(n, np.int8), method_names=(method,),
        draw_limit=np.full(n, np.inf), drawn=np.zeros(n), last_draw=np.zeros(n),
        set_aside=np.zeros(n, np.bool_), pool_starts=pool_starts, item=item, quantity=quantity,
        entry_price=entry_price, order_starts=np.zeros(n + 1, np.int64),
        order_item=np.zeros(0, np.int32), order_quantity=none, order_limit=none,
        order_reduce_only=np.zeros(0, np.bool_), exact=False,
    )  # fmt: skip


def select_pools(book: BookFrame, picked: I64) -> BookFrame:
    """Return a book of these pools, each its own account: for explain and mixed methods."""
    rows, pool_starts = segment_rows(book.pool_starts, picked)
    order_rows, order_starts = segment_rows(book.order_starts, picked)
    owner = book.account_of_pool()[picked]
    return replace(
        book,
        account_names=[book.account_names[int(c)] for c in owner],
        pool_names=[book.pool_names[int(a)] for a in picked],
        account_starts=np.arange(len(picked) + 1),
        method=book.method[picked], draw_limit=book.draw_limit[picked],
        drawn=book.drawn[picked], last_draw=book.last_draw[picked],
        set_aside=book.set_aside[picked], pool_starts=pool_starts, item=book.item[rows],
        quantity=book.quantity[rows], entry_price=book.entry_price[rows],
        order_starts=order_starts, order_item=book.order_item[order_rows],
        order_quantity=book.order_quantity[order_rows], order_limit=book.order_limit[order_rows],
        order_reduce_only=book.order_reduce_only[order_rows],
    )  # fmt: skip


def with_method(book: BookFrame, method: str) -> BookFrame:
    """Return the same book with every pool under one method."""
    return replace(book, method=np.zeros(book.n_pools, np.int8), method_names=(method,))


@dataclass(frozen=True, slots=True)
class RowNames(Sequence[str]):
    """Row numbers as names, made when asked: a million names cost nothing."""

    n: int

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, row: int) -> str:  # type: ignore[override]
        if not 0 <= row < self.n:
            raise IndexError(row)
        return str(row)


@dataclass(frozen=True, slots=True)
class Repeated(Sequence[str]):
    """One name for every row."""

    name: str
    n: int

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, row: int) -> str:  # type: ignore[override]
        if not 0 <= row < self.n:
            raise IndexError(row)
        return self.name
