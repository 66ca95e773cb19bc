"""The past of a store: its records one after the other, every hash checked, the book beside them.

In     a store, a book to start from (an empty one: from the first record).
Out    records with their entries; the record that stood at a moment.
Owns   how a journal is walked by whoever asks about the past: statements, verification, exports.
Never  decides; changes a store.
Signs  seq counts from 1; stamps are UTC nanoseconds.
Spec   docs/spec/10-ledger.md, 10.5
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from crossmargin.base.errors import JournalBroken
from crossmargin.domain.book import Book
from crossmargin.engine.ports import Record, Store
from crossmargin.engine.runtime import Watch
from crossmargin.ledger import journal
from crossmargin.ledger.apply import apply_entry
from crossmargin.ledger.events import Entry

# What folding an entry raises that no engine of ours can have written.
_FOREIGN = (KeyError, AttributeError, AssertionError, IndexError, TypeError, ValueError)


class Step(NamedTuple):
    """A record and what it says; `book` stands as it was before, until the next step is asked."""

    record: Record
    entry: Entry


def walk(
    store: Store,
    book: Book,
    chain: bytes = journal.GENESIS,
    upto: int | None = None,
    watch: Watch | None = None,
) -> Iterator[Step]:
    """Yield the records after the book's, oldest first, and fold each into it afterwards.

    chain  the hash after the record the book stands at
    Raises JournalBroken, which names the first record that cannot be believed.
    """
    last = store.last()[0]
    upto = last if upto is None else min(upto, last)
    start = book.head.seq
    for batch in store.read(start, upto):
        for record in batch:
            entry = _believed(record, book, chain)
            chain = record.hash
            yield Step(record, entry)
            _fold(entry, record.seq, book)
        if watch is not None:
            watch(book.head.seq - start, upto - start)
    if book.head.seq != upto:
        raise JournalBroken("journal", book.head.seq + 1, "is missing; the journal ends before it")


def seq_at(store: Store, at_ns: int) -> int:
    """Return the newest record stamped at or before a moment; 0 where there is none."""
    low, high = 0, store.last()[0]
    while low < high:
        middle = (low + high + 1) // 2
        if _stamp(store, middle) <= at_ns:
            low = middle
        else:
            high = middle - 1
    return low


def _stamp(store: Store, seq: int) -> int:
    for batch in store.read(seq - 1, seq):
        for record in batch:
            return journal.decode(record.body, seq).at_ns
    raise JournalBroken("journal", seq, "is missing")


def _believed(record: Record, book: Book, chain: bytes) -> Entry:
    """Return the entry of a record that follows from the ones before it."""
    seq = book.head.seq + 1
    if record.seq != seq:
        raise JournalBroken("journal", seq, f"is missing; record {record.seq} stands in its place")
    if journal.chained(chain, seq, record.body) != record.hash:
        raise JournalBroken("journal", seq, "does not follow from the records before it")
    entry = journal.decode(record.body, seq)
    if entry.at_ns < book.head.at_ns:
        raise JournalBroken("journal", seq, "is stamped before the record before it")
    return entry


def _fold(entry: Entry, seq: int, book: Book) -> None:
    try:
        apply_entry(entry, seq, book)
    except _FOREIGN as foreign:
        said = f"{type(foreign).__name__}: {foreign}"
        raise JournalBroken("journal", seq, f"cannot be applied ({said})") from None
