"""Verification: a journal and its snapshots, believed only after every byte was followed.

In     a store; a record and hash that were noted earlier.
Out    `Verified`: what was checked, and everything that is wrong, the first record first.
Owns   which checks make a ledger sound.
Never  repairs; uses a snapshot to save time.
Signs  none.
Spec   docs/spec/10-ledger.md, 10.1, 10.5; laws L5 and L6
"""

from __future__ import annotations

from typing import NamedTuple

from crossmargin.base.errors import JournalBroken, StoreFailed
from crossmargin.domain.book import Book
from crossmargin.engine.history import walk
from crossmargin.engine.ports import SnapshotHead, Store
from crossmargin.engine.runtime import Watch
from crossmargin.ledger import journal
from crossmargin.ledger.apply import imbalance
from crossmargin.ledger.events import Entry


class Wrong(NamedTuple):
    """A thing that is wrong, at a record."""

    seq: int
    found: str


class Verified(NamedTuple):
    """What a verification saw: up to which record, how much, and what is wrong (empty: nothing)."""

    seq: int
    chain: bytes
    at_ns: int
    events: int
    snapshots: int
    state_hash: bytes
    wrong: tuple[Wrong, ...]


def verify(
    store: Store, noted: tuple[int, bytes] | None = None, watch: Watch | None = None
) -> Verified:
    """Replay everything from record 1 and hold it against what must be true of it.

    Every hash follows from the one before, every event's postings sum to zero, stamps do not run
    backwards, each snapshot is the state replay has after its record, and all holders together
    sum to zero at the end. Replay stops at the first record that cannot be believed.

    noted  a record and its hash as someone outside wrote them down: finds a cut or remade journal
    """
    found = _Checks(store, noted)
    try:
        for step in walk(store, found.book, watch=watch):
            found.after()
            found.entry(step.record.seq, step.entry)
            found.chain = step.record.hash
        found.after()
        found.end()
    except JournalBroken as broken:
        found.wrong.append(Wrong(broken.seq, broken.found.removeprefix(f"record {broken.seq}: ")))
    head = found.book.head
    return Verified(
        head.seq, found.chain, head.at_ns, found.events, found.snapshots,
        journal.state_hash(found.book), tuple(found.wrong),
    )  # fmt: skip


class _Checks:
    """What is checked on the way; `book` and `chain` stand after the newest believed record."""

    def __init__(self, store: Store, noted: tuple[int, bytes] | None) -> None:
        self.store, self.noted = store, noted
        self.heads = {head.seq: head for head in store.snapshots()}
        self.book, self.chain = Book(), journal.GENESIS
        self.events = self.snapshots = 0
        self.wrong: list[Wrong] = []

    def entry(self, seq: int, entry: Entry) -> None:
        """Check what one record says, before it happens."""
        listing = self.book.head.listing
        terms = listing.terms if listing is not None else {}
        for event in entry.events:
            self.events += 1
            try:
                left = imbalance([event], terms)
            except KeyError as unknown:
                raise JournalBroken("journal", seq, f"names {unknown}, not listed") from None
            if left:
                raise JournalBroken("journal", seq, f"creates or loses {left}")

    def after(self) -> None:
        """Check what was kept of the state the book is in now."""
        seq = self.book.head.seq
        if self.noted is not None and self.noted[0] == seq and self.noted[1] != self.chain:
            said = f"has hash {self.chain.hex()}, not the one that was noted: it was remade"
            self.wrong.append(Wrong(seq, said))
        if seq in self.heads:
            self._snapshot(self.heads.pop(seq))

    def _snapshot(self, head: SnapshotHead) -> None:
        self.snapshots += 1
        replayed = journal.state_hash(self.book)
        if head.hash != self.chain:
            self.wrong.append(Wrong(head.seq, "has a snapshot of another journal"))
        elif head.state_hash != replayed:
            self.wrong.append(Wrong(head.seq, "has a snapshot that is not the state of replay"))
        elif self._kept(head.seq) != replayed:
            self.wrong.append(Wrong(head.seq, "has a snapshot whose bytes were altered"))

    def _kept(self, seq: int) -> bytes:
        try:
            return journal.parts_hash(self.store.load_snapshot(seq))
        except StoreFailed:
            # A part of it is gone, or the medium cannot read it: it is as good as altered.
            return b""

    def end(self) -> None:
        """Check what can be said when all was seen."""
        last, tip = self.store.last()
        if self.book.head.seq == last and self.chain != tip:
            self.wrong.append(Wrong(last, "is not the one the newest state was kept after"))
        self.wrong += [
            Wrong(seq, "has a snapshot and is not in the journal: its end was cut off")
            for seq in sorted(self.heads)
        ]
        if self.noted is not None and self.noted[0] > self.book.head.seq:
            self.wrong.append(Wrong(self.noted[0], "was noted and is gone: the end was cut off"))
        if self.book.head.listing is not None:
            for item, (users, system) in journal.totals(self.book).items():
                if users + system:
                    said = f"leaves {item} at {users + system} over all holders, not at 0"
                    self.wrong.append(Wrong(self.book.head.seq, said))
