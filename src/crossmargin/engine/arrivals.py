"""What of an opening book is still to be brought in, so that an import may be run again.

In     a book, the commands of `engine.opening.account_commands`.
Out    a `Plan`: what to send, which accounts are here already, which hold something else.
Owns   when an account counts as brought in; the order that lets many be decided together.
Never  sends anything; touches an account that holds something else.
Signs  as the commands.
Spec   docs/spec/10-ledger.md, 10.22
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from crossmargin.domain.book import AccountState, Book, Listing, PoolState
from crossmargin.engine.commands import ImportAccount, OpenAccount
from crossmargin.engine.market import LISTED_NS, tables_of
from crossmargin.frames.listing import compile_market
from crossmargin.frames.market import MarketFrame

Arriving = OpenAccount | ImportAccount


@dataclass(slots=True)
class Plan:
    """Accounts of an opening book. `todo` holds what is left to send, account by account."""

    todo: list[list[Arriving]] = field(default_factory=list)
    here: list[str] = field(default_factory=list)
    differ: list[tuple[str, str]] = field(default_factory=list)

    def groups(self, size: int) -> Iterator[list[Arriving]]:
        """Yield what to send: openings of some accounts, then what these hold.

        Commands that name one account wait for each other, so an account's own stand far apart.
        """
        for start in range(0, len(self.todo), size):
            some = self.todo[start : start + size]
            every = [one for parts in some for one in parts]
            for kind in (OpenAccount, ImportAccount):
                group = [one for one in every if isinstance(one, kind)]
                if group:
                    yield group


def plan(book: Book, commands: Iterable[Arriving]) -> Plan:
    """Return what is left to do of an opening book."""
    accounts: dict[str, list[Arriving]] = {}
    for command in commands:
        accounts.setdefault(command.account, []).append(command)
    made = Plan()
    for name, parts in accounts.items():
        found = book.find(name)
        if found is None:
            made.todo.append(parts)
            continue
        difference = _differs(found, parts)
        if difference:
            made.differ.append((name, difference))
            continue
        left = [one for one in parts if isinstance(one, ImportAccount) and _is_bare(found, one)]
        if left:
            made.todo.append(list(left))
        else:
            made.here.append(name)
    return made


def _differs(found: AccountState, parts: list[Arriving]) -> str:
    """Return what keeps an account from being what the book says, "" where nothing does."""
    for one in parts:
        if isinstance(one, OpenAccount):
            for terms in one.pools:
                asked = (terms.method, terms.draw_limit)
                pool = found.pools.get(terms.pool)
                if pool is None or (pool.method, pool.draw_limit) != asked:
                    return f"pool {terms.pool} is open on other terms"
        elif not _is_bare(found, one) and not _holds(found.pools[one.pool], one):
            return f"pool {one.pool} holds something else"
    return ""


def _is_bare(found: AccountState, one: ImportAccount) -> bool:
    pool = found.pools[one.pool]
    return not (pool.balances or pool.positions or pool.orders)


def _holds(pool: PoolState, one: ImportAccount) -> bool:
    held = {name: (own.contracts, own.cost) for name, own in pool.positions.items()}
    return (
        pool.balances == one.balances
        and held == one.positions
        and pool.orders == one.orders
        and (pool.drawn, pool.last_draw) == (one.drawn, one.last_draw)
    )


def frame_of(listing: Listing) -> MarketFrame:
    """Return a listing as columns: the market an opening book is read against, prices or none."""
    return compile_market(tables_of(listing, LISTED_NS), 1e9, strict=False)[0]
