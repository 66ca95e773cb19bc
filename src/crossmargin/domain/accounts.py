"""Accounts as people write them: balances, positions, orders, pools with draw limits.

In     names, decimal strings and integers.
Out    frozen values; `frames.compile` turns any number of them into columns.
Owns   the shape of an account: one shared pool and any number of ring-fenced buckets (spec 1.1).
Never  knows a price, a requirement or a verdict; holds a float amount.
Signs  balance > 0 is owned, < 0 is a loan; position quantity > 0 is long.
Spec   docs/spec/01-what-exists.md
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from crossmargin.base.errors import InputInvalid

SHARED = "shared"

# An exact decimal number: "1.25", 3 or Decimal. A float is refused where money is owed.
if TYPE_CHECKING:
    Number = str | int | Decimal
else:
    # A decoder makes a Decimal of text and number alike, from its digits and never through float.
    Number = Decimal


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`quantity` signed contracts; `entry_price` in quote units, not needed for premium options."""

    instrument: str
    quantity: Number
    entry_price: Number | None = None


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An open order: signed contracts at a limit in quote units."""

    instrument: str
    quantity: Number
    limit_price: Number
    reduce_only: bool = False


class Pool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What margin is computed for. `draw_limit` None merges the bucket into the shared pool.

    draw_limit  numeraire units the bucket may draw on the shared pool; 0 is fully ring-fenced
    drawn       what it has drawn and not paid back
    last_draw   the reservation at MM of the last priced moment (kept while unpriced)
    """

    pool: str = SHARED
    method: str | None = None
    balances: dict[str, Number] = {}
    positions: tuple[Position, ...] = ()
    orders: tuple[Order, ...] = ()
    draw_limit: Number | None = None
    drawn: Number = 0
    last_draw: Number = 0


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One account. The common case names no pools: balances and positions are the shared pool's."""

    account: str
    balances: dict[str, Number] = {}
    positions: tuple[Position, ...] = ()
    orders: tuple[Order, ...] = ()
    method: str | None = None
    pools: tuple[Pool, ...] = ()

    def __post_init__(self) -> None:
        names = [p.pool for p in self.pools]
        if len(set(names)) != len(names):
            raise InputInvalid(
                f"account.{self.account}.pools", names, "pool names must differ", "rename one"
            )
        if SHARED in names and (self.balances or self.positions or self.orders):
            raise InputInvalid(
                f"account.{self.account}",
                f"both top-level holdings and a pool named {SHARED!r}",
                "holdings of the shared pool stand in one place",
                f"move them into the pool {SHARED!r}",
            )

    def all_pools(self) -> tuple[Pool, ...]:
        """The shared pool first, whether or not it was written down, then buckets in order."""
        if any(p.pool == SHARED for p in self.pools):
            shared = [p for p in self.pools if p.pool == SHARED]
            return (*shared, *(p for p in self.pools if p.pool != SHARED))
        shared_pool = Pool(SHARED, self.method, self.balances, self.positions, self.orders)
        return (shared_pool, *self.pools)
