"""What the engine needs of the outside: a store that keeps records, a clock.

In     records, snapshot parts.
Out    the same bytes in the same order, after a crash too.
Owns   the promises: `append` returns only when durable, all records or none; one writer at a time.
Never  says what is in a record: bodies are bytes to a store.
Signs  seq counts from 1, without a gap; stamps are UTC nanoseconds.
Spec   docs/spec/10-ledger.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

Clock = Callable[[], int]
"""Wall time, UTC nanoseconds; the engine never lets its own time run backwards."""


class Record(NamedTuple):
    """One accepted command: its place, the chain hash (32 bytes) up to it, its encoded entry."""

    seq: int
    hash: bytes
    body: bytes


class SnapshotHead(NamedTuple):
    """A stored state: after which record, that record's hash, the hash of the state itself."""

    seq: int
    hash: bytes
    state_hash: bytes
    n_parts: int


class Store(Protocol):
    """Where a journal lives. Every method raises StoreFailed when the medium does.

    A store is opened for reading by anyone, for writing by the one holder of the lease; a second
    writer is refused with StoreBusy, and a writer that was replaced gets StoreConflict.

    A write that raised left nothing behind, with one exception: where the connection or the disk
    was lost while it was being kept, nobody can tell. Such a store refuses every later call; its
    owner opens it again and looks at `last`. Threads may share a store: calls take turns.
    """

    where: str
    """The store as messages name it, without a password."""

    def last(self) -> tuple[int, bytes]:
        """Return (seq, hash) of the newest record, (0, GENESIS) of an empty store."""
        ...

    def append(self, records: Sequence[Record]) -> None:
        """Write all records or none, durably; seq must go on from `last`."""
        ...

    def read(self, after: int = 0, upto: int | None = None) -> Iterator[list[Record]]:
        """Yield records in batches, in order of seq, with after < seq <= upto."""
        ...

    def save_snapshot(
        self, seq: int, chain: bytes, state_hash: bytes, parts: Iterable[bytes]
    ) -> None:
        """Keep a state beside the journal; it is visible only when it is whole.

        chain is the hash of record seq; a store that holds another there raises StoreConflict. A
        second state of the same record takes the place of the first.
        """
        ...

    def snapshots(self) -> list[SnapshotHead]:
        """Return the whole snapshots, oldest first."""
        ...

    def load_snapshot(self, seq: int) -> Iterator[bytes]:
        """Yield the parts of one snapshot in order."""
        ...

    def drop_snapshots(self, keep: int) -> None:
        """Drop all but the newest `keep` snapshots; records are never dropped."""
        ...

    def close(self) -> None:
        """Give up the lease and the handles."""
        ...
