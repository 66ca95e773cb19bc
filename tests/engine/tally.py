"""A second look at a book: sums made again from its accounts, with nothing of the engine's own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from crossmargin.ledger.apply import imbalance
from crossmargin.ledger.events import Entry
from crossmargin.ledger.journal import decode
from engine.memory import MemoryStore


def sums(book: Any) -> dict[str, int]:
    """Asset or instrument -> the sum over every account of the book, costs counted as money."""
    found: dict[str, int] = defaultdict(int)
    terms = book.head.listing.terms
    for held in book.accounts.values():
        for pool in held.pools.values():
            for asset, amount in pool.balances.items():
                found[asset] += amount
            for name, position in pool.positions.items():
                found[name] += position.contracts
                found[terms[name].settle] += position.cost
    return found


def assert_sound(book: Any) -> None:
    """Everything sums to zero, and what is kept beside the accounts says what they say."""
    assert not {item: left for item, left in sums(book).items() if left}
    debt: dict[str, int] = defaultdict(int)
    supplied: dict[str, int] = defaultdict(int)
    for name, held in book.accounts.items():
        for pool in held.pools.values():
            assert 0 not in pool.balances.values(), "a balance of nothing is not kept"
            assert all(p.contracts or p.cost for p in pool.positions.values())
            owing = {a for a, amount in pool.balances.items() if amount < 0}
            if name[0] == "@" or held.status == 3:
                assert not pool.debt_index, "neither the venue nor a mirror owes interest here"
                continue
            assert set(pool.debt_index) == owing, (name, pool)
            for asset, amount in pool.balances.items():
                (debt if amount < 0 else supplied)[asset] += abs(amount)
    for asset, lent in book.head.lending.items():
        assert (lent.debt, lent.supplied) == (debt[asset], supplied[asset]), asset


def entries(store: MemoryStore) -> list[Entry]:
    """The records of a store, read."""
    return [decode(record.body, record.seq) for record in store.records]


def assert_entries_balance(found: Iterable[Entry], terms: Any) -> None:
    """Every record's postings and moves sum to zero, asset by asset and event by event."""
    for entry in found:
        for event in entry.events:
            assert imbalance([event], terms) == {}, event
