"""Accounts written by hand, as the same tables a file of a million would be.

In     `domain.accounts.Account` values, from JSON or Python.
Out    `BookTables`, each row with its path inside the account for the error messages.
Owns   the way from a nested account to flat rows.
Never  checks anything: `frames.compile` does, once for every kind of input.
Signs  as written.
Spec   docs/spec/01-what-exists.md
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from crossmargin.domain.accounts import Account, Pool
from crossmargin.frames.compile import HOLDING_COLUMNS, ORDER_COLUMNS, BookTables
from crossmargin.frames.pools import POOL_COLUMNS

Row = dict[str, str | None]


def tables_from_accounts(accounts: Sequence[Account], source: str = "accounts") -> BookTables:
    """Return the accounts as tables; every number travels as its decimal text."""
    holdings: list[Row] = []
    pools: list[Row] = []
    orders: list[Row] = []
    for number, account in enumerate(accounts):
        listed = {pool.pool: row for row, pool in enumerate(account.pools)}
        for pool in account.all_pools():
            path = f"accounts[{number}]"
            if pool.pool in listed:
                path += f".pools[{listed[pool.pool]}]"
            key: Row = {"account": account.account, "pool": pool.pool}
            holdings += (key | row for row in _held(pool, path))
            orders += (key | row for row in _placed(pool, path))
            # Also the plain shared pool: an account that holds nothing is still answered.
            pools.append(key | _terms(pool, path))
    return BookTables(
        _table(holdings, list(HOLDING_COLUMNS)),
        _table(pools, list(POOL_COLUMNS)),
        _table(orders, list(ORDER_COLUMNS)),
        source,
    )


def _held(pool: Pool, path: str) -> Iterator[Row]:
    for asset, balance in pool.balances.items():
        yield {
            "item": asset, "quantity": str(balance), "slot": "balances",
            "where": f"{path}.balances.{asset}",
        }  # fmt: skip
    for row, position in enumerate(pool.positions):
        yield {
            "item": position.instrument, "quantity": str(position.quantity),
            "entry_price": _text(position.entry_price), "slot": "positions",
            "where": f"{path}.positions[{row}]",
        }  # fmt: skip


def _placed(pool: Pool, path: str) -> Iterator[Row]:
    for row, order in enumerate(pool.orders):
        yield {
            "item": order.instrument, "quantity": str(order.quantity),
            "limit_price": str(order.limit_price), "reduce_only": str(order.reduce_only).lower(),
            "where": f"{path}.orders[{row}]",
        }  # fmt: skip


def _terms(pool: Pool, path: str) -> Row:
    return {
        "method": pool.method, "draw_limit": _text(pool.draw_limit), "drawn": str(pool.drawn),
        "last_draw": str(pool.last_draw), "where": path,
    }  # fmt: skip


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _table(rows: list[Row], columns: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {name: [row.get(name) for row in rows] for name in columns},
        schema=dict.fromkeys(columns, pl.String),
    )
