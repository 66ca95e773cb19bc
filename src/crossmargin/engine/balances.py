"""What stands in a book: balances with interest due, positions with funding due, sums.

In     a book.
Out    rows of whole numbers; what every asset and instrument sums to over all holders.
Owns   which accruals are due and not yet charged, as a charge of now would round them.
Never  values anything; changes the book.
Signs  amounts and contracts as the book's; due > 0 is owed by the pool.
Spec   docs/spec/10-ledger.md, 10.1, 10.8 to 10.10
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from crossmargin.base.fixed import scale_down, scale_up
from crossmargin.domain.book import SYSTEM, AccountState, Book, PoolState, Status
from crossmargin.ledger import exactly
from crossmargin.ledger.exactly import Ratio

USERS = "users"


class Balance(NamedTuple):
    """A balance in smallest units; due: interest of a debt up to the index of now."""

    account: str
    pool: str
    asset: str
    amount: int
    due: int


class Position(NamedTuple):
    """Contracts (10^-18), cost and funding due in smallest units of the settlement asset."""

    account: str
    pool: str
    instrument: str
    contracts: int
    cost: int
    settle: str
    due: int


def balances(book: Book, accounts: Iterable[str] | None = None) -> Iterator[Balance]:
    """Yield the balances of accounts, of all where none are named."""
    for name, pool_name, held, accrues in _pools(book, accounts):
        for asset, amount in held.balances.items():
            own = held.debt_index.get(asset)
            due = 0
            if own is not None and accrues:
                index = book.head.lending[asset].index
                due = _charged(exactly.interest_due(-amount, index, own))
            yield Balance(name, pool_name, asset, amount, due)


def positions(book: Book, accounts: Iterable[str] | None = None) -> Iterator[Position]:
    """Yield the positions of accounts, of all where none are named."""
    listing = book.head.listing
    for name, pool_name, held, accrues in _pools(book, accounts):
        for instrument, own in held.positions.items():
            assert listing is not None
            index = book.head.funding.get(instrument, 0)
            due = 0
            if accrues:
                due = _charged(exactly.funding_due(own.contracts, index, own.funding_index))
            yield Position(
                name, pool_name, instrument, own.contracts, own.cost,
                listing.terms[instrument].settle, due,
            )  # fmt: skip


def sums(book: Book) -> dict[str, dict[str, int]]:
    """Return asset or instrument -> holder -> what it holds; each sums to zero (L5).

    Users are one holder; costs of positions count as money of their settlement asset.
    """
    found: dict[str, dict[str, int]] = {}

    def add(item: str, account: str, amount: int) -> None:
        holder = account if account[0] == SYSTEM else USERS
        held = found.setdefault(item, {USERS: 0})
        held[holder] = held.get(holder, 0) + amount

    for balance in balances(book):
        add(balance.asset, balance.account, balance.amount)
    for position in positions(book):
        add(position.settle, position.account, position.cost)
        add(position.instrument, position.account, position.contracts)
    return dict(sorted(found.items()))


def _pools(
    book: Book, accounts: Iterable[str] | None
) -> Iterator[tuple[str, str, PoolState, bool]]:
    """Yield (account, pool, its state, whether it accrues here)."""
    for name in book.accounts if accounts is None else accounts:
        found: AccountState | None = book.find(name)
        if found is not None:
            accrues = found.status != Status.MIRROR and name[0] != SYSTEM
            for pool, held in found.pools.items():
                yield name, pool, held, accrues


def _charged(due: Ratio) -> int:
    """Return an exact due as a charge would post it: what is paid up, what is got down."""
    num, den = due
    return scale_up(num, 1, den) if num >= 0 else -scale_down(-num, 1, den)
