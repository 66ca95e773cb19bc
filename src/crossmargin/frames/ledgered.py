"""Accounts of the ledger as columns: the door from exact integers to floats.

In     accounts of a `domain.book.Book`, the market's item rows.
Out    a `BookFrame` whose pools are theirs, accruals that are due counted in.
Owns   how an amount, a cost and an index become a quantity and an entry price.
Never  rounds an amount; decides anything; changes an account.
Signs  as BookFrame.
Spec   docs/spec/10-ledger.md, 10.10; docs/spec/01-what-exists.md 1.1
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crossmargin.domain.book import (
    CONTRACT_DECIMALS,
    INDEX_ONE,
    MIRROR,
    MONEY_DECIMALS,
    AccountState,
    Book,
    PoolState,
    Terms,
)
from crossmargin.frames.book import BookFrame
from crossmargin.frames.market import MarketFrame

_CONTRACT = 10.0**CONTRACT_DECIMALS
_MONEY = 10.0**MONEY_DECIMALS
# A contract unit times an index unit, as the ratio of due funding to settlement units.
_DUE = 10.0 ** (CONTRACT_DECIMALS + 18)
assert INDEX_ONE == 10**18


class _Contract(NamedTuple):
    """A held instrument: its row, settlement asset, and how a cost reads as an entry price."""

    row: int
    settle: str
    has_entry: bool
    inverse: bool
    size: float  # underlying (linear), quote (inverse), settlement (quanto) units a contract


@dataclass(frozen=True, slots=True)
class Items:
    """A listing's rows by name, ready for many small books; `methods` are their codes."""

    assets: dict[str, tuple[int, float]]
    contracts: dict[str, _Contract]
    methods: dict[str, int]


def items_of(market: MarketFrame, terms: dict[str, Terms], methods: Sequence[str]) -> Items:
    """Return the item rows of a market for `book_frame`."""
    assets = {
        name: (row, 10.0 ** int(market.assets.decimals[row]))
        for row, name in enumerate(market.assets.names)
    }
    n = len(assets)
    contracts = {}
    for row, name in enumerate(market.instruments.names):
        own = terms[name]
        size = float(own.size) * (float(own.quanto_rate) if own.payoff == "quanto" else 1.0)
        inverse = own.payoff == "inverse"
        contracts[name] = _Contract(n + row, own.settle, not own.pays_premium, inverse, size)
    return Items(assets, contracts, {name: code for code, name in enumerate(methods)})


def book_frame(accounts: Iterable[tuple[str, AccountState]], book: Book, items: Items) -> BookFrame:
    """Return accounts as a book; `book` is asked for the indexes of now alone.

    A bucket without a draw limit merges into the shared pool, as in every other input.
    """
    rows = _Rows(book, items)
    for name, account in accounts:
        rows.add(name, account)
    return rows.frame()


class _Rows:
    """Columns being filled, one account after the other."""

    def __init__(self, book: Book, items: Items) -> None:
        self.book, self.items = book, items
        self.accrues = True
        self.names: list[str] = []
        self.pools: list[str] = []
        self.n_pools: list[int] = []
        self.terms: list[tuple[int, float, float, float]] = []
        # Rows of all pools; within a pool they are put in order by `frame`.
        self.item: list[int] = []
        self.quantity: list[float] = []
        self.entry: list[float] = []
        self.n_held: list[int] = []
        self.orders: list[tuple[int, float, float, bool]] = []
        self.n_orders: list[int] = []

    def add(self, name: str, account: AccountState) -> None:
        self.names.append(name)
        pools = account.pools
        # What a mirror owes was seen at its venue: our indexes say nothing of it.
        self.accrues = account.status != MIRROR
        if len(pools) == 1:
            for pool_name, pool in pools.items():
                self._pool(pool_name, pool, ())
            self.n_pools.append(1)
            return
        first, *rest = pools.items()
        merged = [pool for _, pool in rest if pool.draw_limit is None]
        self._pool(*first, merged)
        own = [(n, pool) for n, pool in rest if pool.draw_limit is not None]
        for pool_name, pool in own:
            self._pool(pool_name, pool, ())
        self.n_pools.append(1 + len(own))

    def _pool(self, name: str, pool: PoolState, merged: Sequence[PoolState]) -> None:
        self.pools.append(name)
        limit = np.inf if pool.draw_limit is None else pool.draw_limit / _MONEY
        code = self.items.methods[pool.method]
        self.terms.append((code, limit, pool.drawn / _MONEY, pool.last_draw / _MONEY))
        before, placed = len(self.item), len(self.orders)
        due: dict[str, float] = {}
        for part in (pool, *merged) if merged else (pool,):
            if part.positions:
                self._positions(part, due)
            for order in part.orders.values():
                row = self.items.contracts[order.instrument].row
                self.orders.append(
                    (row, order.contracts / _CONTRACT, float(order.limit_price), order.reduce_only)
                )
        assets = self.items.assets
        for asset, amount in self._balances(pool, merged, due).items():
            if amount:
                row, unit = assets[asset]
                self.item.append(row)
                self.quantity.append(amount / unit)
                self.entry.append(np.nan)
        self.n_held.append(len(self.item) - before)
        self.n_orders.append(len(self.orders) - placed)

    def _positions(self, pool: PoolState, due: dict[str, float]) -> None:
        """Add a pool's positions, and to `due` what funding will take off their asset."""
        items, funding = self.items, self.book.head.funding
        for instrument, held in pool.positions.items():
            contract = items.contracts[instrument]
            settle = contract.settle
            index = funding.get(instrument, 0)
            if index != held.funding_index and self.accrues:
                owed = held.contracts * (index - held.funding_index) / _DUE
                due[settle] = due.get(settle, 0.0) + owed
            quantity = held.contracts / _CONTRACT
            self.item.append(contract.row)
            self.quantity.append(quantity)
            self.entry.append(_entry(contract, quantity, held.cost, items.assets[settle][1]))

    def _balances(
        self, pool: PoolState, merged: Sequence[PoolState], due: dict[str, float]
    ) -> Mapping[str, float]:
        """Return balances in smallest units: parts together, with what is due on them."""
        if not (merged or due or pool.debt_index):
            return pool.balances
        together: dict[str, float] = {}
        for part in (pool, *merged):
            for asset, amount in part.balances.items():
                grown: float = amount
                if amount < 0:
                    index = self.book.lent(asset).index
                    own = part.debt_index.get(asset, index)
                    if own != index:
                        grown = amount * index / own
                together[asset] = together.get(asset, 0) + grown
        for asset, owed in due.items():
            together[asset] = together.get(asset, 0) - owed
        return together

    def frame(self) -> BookFrame:
        code, limit, drawn, last = (np.array(c) for c in zip(*self.terms, strict=True))
        item = np.array(self.item, np.int32)
        # By pool, then by item row; equal ones stay as they came.
        order = np.lexsort((item, np.repeat(np.arange(len(self.pools)), self.n_held)))
        orders = np.array(self.orders, np.float64).reshape(len(self.orders), 4)
        return BookFrame(
            account_names=self.names, pool_names=self.pools, account_starts=_starts(self.n_pools),
            method=code.astype(np.int8), method_names=tuple(self.items.methods),
            draw_limit=limit, drawn=drawn, last_draw=last,
            set_aside=np.zeros(len(self.pools), np.bool_), pool_starts=_starts(self.n_held),
            item=item[order], quantity=np.array(self.quantity, np.float64)[order],
            entry_price=np.array(self.entry, np.float64)[order],
            order_starts=_starts(self.n_orders),
            order_item=orders[:, 0].astype(np.int32),
            order_quantity=np.ascontiguousarray(orders[:, 1]),
            order_limit=np.ascontiguousarray(orders[:, 2]),
            order_reduce_only=orders[:, 3] != 0.0, exact=True,
        )  # fmt: skip


def _entry(contract: _Contract, quantity: float, cost: int, unit: float) -> float:
    """Return the entry price at which cost + worth is 0; NaN where there is none."""
    if not contract.has_entry:
        return np.nan
    if contract.inverse:
        # Worth nothing at entry, as dust is after rounding: 1 / entry is 0.
        return quantity * contract.size * unit / cost if cost else np.inf
    return -cost / unit / (quantity * contract.size)


def _starts(sizes: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
