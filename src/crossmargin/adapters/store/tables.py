"""A store as tables of a SQL database: what SQLite and PostgreSQL have in common.

In     records, snapshot parts.
Out    the same bytes in the same order; StoreFailed, StoreConflict.
Owns   the queries; the fence before every change; when a snapshot becomes visible.
Never  looks into a body; changes or drops a record.
Signs  seq counts from 1, without a gap.
Spec   docs/stores.md, docs/spec/10-ledger.md
"""

from __future__ import annotations

import os
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from crossmargin.base.errors import InputInvalid, StoreConflict, StoreFailed
from crossmargin.engine.ports import Record, SnapshotHead
from crossmargin.ledger.journal import GENESIS

# A batch of `read` ends at whichever comes first; a single larger record is a batch of its own.
BATCH_RECORDS_MAX = 10_000
BATCH_BYTES_MAX = 32 * 1024 * 1024
# Snapshot parts are committed in packs of about this size, so that an append never waits long.
PACK_BYTES = 4 * 1024 * 1024


class TableStore(ABC):
    """The Store protocol over four operations of a database. Threads take turns."""

    locking = ""
    """How a SELECT keeps its row from others until the transaction ends."""

    def __init__(self, where: str, writer: bool) -> None:
        """Name the store; the database's own constructor connects."""
        self.where, self.writer = where, writer
        self._turn = threading.RLock()
        self._pid = os.getpid()
        self._epoch = 0
        self._saving: set[int] = set()
        self._unusable = ""

    @abstractmethod
    def _run(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with `?` for each value; return its rows."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[None]:
        """Commit durably at the end, roll back on any exception."""

    @abstractmethod
    def _insert(self, records: Sequence[Record]) -> None:
        """Insert into table records, inside a transaction."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Give up the connection and the lease; never raises."""

    # --- records ----------------------------------------------------------------------------------

    def last(self) -> tuple[int, bytes]:
        """Return (seq, hash) of the newest record, (0, GENESIS) of an empty store."""
        with self._reading():
            rows = self._run("SELECT seq, hash FROM records ORDER BY seq DESC LIMIT 1")
        return (rows[0][0], rows[0][1]) if rows else (0, GENESIS)

    def append(self, records: Sequence[Record]) -> None:
        """Write all records or none, durably; seq must go on from `last`."""
        if not records:
            return
        with self._changing() as last:
            for seq, record in enumerate(records, last + 1):
                if record.seq != seq:
                    raise StoreConflict(
                        self.where, f"record {record.seq} came where {seq} is next",
                        "stop this writer and start again from the store",
                    )  # fmt: skip
            self._insert(records)

    def read(self, after: int = 0, upto: int | None = None) -> Iterator[list[Record]]:
        """Yield records in batches, in order of seq, with after < seq <= upto.

        Each batch is a query of its own: nothing stays open between batches, so a slow reader holds
        nothing back, and a record is never changed, so the batches fit together.
        """
        upto = 2**63 - 1 if upto is None else upto
        while after < upto:
            n_records = self._n_records_of_a_batch(after)
            with self._reading():
                rows = self._run(
                    "SELECT seq, hash, body FROM records WHERE seq > ? AND seq <= ? "
                    "ORDER BY seq LIMIT ?", (after, upto, n_records),
                )  # fmt: skip
            if not rows:
                return
            yield [Record._make(row) for row in rows]
            after = rows[-1][0]

    def _n_records_of_a_batch(self, after: int) -> int:
        with self._reading():
            rows = self._run(
                "SELECT max(length(body)) FROM (SELECT body FROM records WHERE seq > ? "
                "ORDER BY seq LIMIT ?) AS page", (after, BATCH_RECORDS_MAX),
            )  # fmt: skip
        largest = rows[0][0] or 1
        return max(1, min(BATCH_RECORDS_MAX, BATCH_BYTES_MAX // largest))

    # --- snapshots --------------------------------------------------------------------------------

    def save_snapshot(
        self, seq: int, chain: bytes, state_hash: bytes, parts: Iterable[bytes]
    ) -> None:
        """Keep a state beside the journal; it is visible only when it is whole.

        Parts are committed as they come and count for nothing until the head is: an append may
        stand between two parts, and what a crash leaves behind is cleared by the next save.
        """
        number = self._begin_snapshot(seq, chain)
        try:
            n_parts = 0
            for pack in _packs(parts):
                with self._changing():
                    for body in pack:
                        self._run(
                            "INSERT INTO snapshot_parts (number, part, body) VALUES (?, ?, ?)",
                            (number, n_parts, body),
                        )
                        n_parts += 1
            with self._changing():
                self._run("DELETE FROM snapshots WHERE seq = ?", (seq,))
                self._run(
                    "INSERT INTO snapshots (seq, hash, state_hash, n_parts, number) "
                    "VALUES (?, ?, ?, ?, ?)", (seq, chain, state_hash, n_parts, number),
                )  # fmt: skip
        finally:
            self._saving.discard(number)

    def _begin_snapshot(self, seq: int, chain: bytes) -> int:
        with self._changing():
            rows = self._run("SELECT hash FROM records WHERE seq = ?", (seq,))
            stored = GENESIS if seq == 0 else rows[0][0] if rows else None
            if stored != chain:
                found = "has another hash" if stored else "is not in the store"
                raise StoreConflict(
                    self.where, f"the snapshot follows record {seq}, which {found}",
                    "stop this writer and start again from the store",
                )  # fmt: skip
            self._clear_parts()
            # Above every number in use, also those of saves that go on in another thread.
            rows = self._run("SELECT coalesce(max(number), 0) FROM snapshot_parts")
            number: int = max(rows[0][0], *self._saving, 0) + 1
            self._saving.add(number)
        return number

    def snapshots(self) -> list[SnapshotHead]:
        """Return the whole snapshots, oldest first."""
        with self._reading():
            rows = self._run("SELECT seq, hash, state_hash, n_parts FROM snapshots ORDER BY seq")
        return [SnapshotHead._make(row) for row in rows]

    def load_snapshot(self, seq: int) -> Iterator[bytes]:
        """Yield the parts of one snapshot in order."""
        with self._reading():
            rows = self._run("SELECT number, n_parts FROM snapshots WHERE seq = ?", (seq,))
        if not rows:
            raise self._no_snapshot(seq, "there is no such snapshot")
        number, n_parts = rows[0]
        for part in range(n_parts):
            with self._reading():
                rows = self._run(
                    "SELECT body FROM snapshot_parts WHERE number = ? AND part = ?", (number, part)
                )
            if not rows:
                raise self._no_snapshot(seq, f"part {part} of {n_parts} is gone")
            yield rows[0][0]

    def _no_snapshot(self, seq: int, found: str) -> StoreFailed:
        return StoreFailed(
            f"{self.where}: snapshot {seq}", found, "take an older one, or replay from the start"
        )

    def drop_snapshots(self, keep: int) -> None:
        """Drop all but the newest `keep` snapshots; records are never dropped."""
        with self._changing():
            self._run(
                "DELETE FROM snapshots WHERE seq NOT IN "
                "(SELECT seq FROM snapshots ORDER BY seq DESC LIMIT ?)", (keep,),
            )  # fmt: skip
            self._clear_parts()

    def _clear_parts(self) -> None:
        """Delete the parts that no head and no save in progress stands for."""
        rows = self._run(
            "SELECT DISTINCT number FROM snapshot_parts "
            "WHERE number NOT IN (SELECT number FROM snapshots)"
        )
        for (number,) in rows:
            if number not in self._saving:
                self._run("DELETE FROM snapshot_parts WHERE number = ?", (number,))

    # --- lease and use ----------------------------------------------------------------------------

    def close(self) -> None:
        """Give up the lease and the handles; closing twice is fine."""
        with self._turn:
            if self._unusable != "is closed":
                self._unusable = "is closed"
                # A fork's copy must not say goodbye to the database in the parent's name.
                if os.getpid() == self._pid:
                    self._disconnect()

    def _take_over(self) -> None:
        """Raise the epoch: from here on every older writer is fenced off."""
        with self._transaction():
            self._run(
                "UPDATE writer SET epoch = epoch + 1, holder = ?",
                (f"process {os.getpid()} on {socket.gethostname()}",),
            )
            self._epoch = self._run("SELECT epoch FROM writer")[0][0]

    def _refuse_half_restored(self) -> None:
        if self._run("SELECT restoring FROM writer")[0][0]:
            raise InputInvalid(
                self.where, "a restore that did not finish", "hold a whole journal",
                "drop it and restore again",
            )  # fmt: skip

    def mark_restoring(self, restoring: bool) -> None:
        """Say whether a restore is under way; a store so marked cannot be opened."""
        with self._changing():
            self._run("UPDATE writer SET restoring = ?", (int(restoring),))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._turn:
            self._refuse_unusable()
            yield

    @contextmanager
    def _changing(self) -> Iterator[int]:
        """A transaction of the present writer; yields the seq of the newest record."""
        with self._turn:
            self._refuse_unusable()
            if not self.writer:
                raise StoreFailed(self.where, "is open for reading only", "open it for writing")
            with self._transaction():
                epoch, last = self._run(
                    "SELECT epoch, (SELECT max(seq) FROM records) FROM writer" + self.locking
                )[0]
                if epoch != self._epoch:
                    raise StoreConflict(
                        self.where, f"writer {self._epoch} was replaced by writer {epoch}",
                        "stop this writer and start again from the store",
                    )  # fmt: skip
                yield last or 0

    def _refuse_unusable(self) -> None:
        if self._unusable:
            raise StoreFailed(self.where, self._unusable, "open it again and look at its last seq")
        if os.getpid() != self._pid:
            raise StoreFailed(
                self.where, f"was opened by process {self._pid} and came here by a fork",
                "open it again in this process",
            )  # fmt: skip


def _packs(parts: Iterable[bytes]) -> Iterator[list[bytes]]:
    pack: list[bytes] = []
    size = 0
    for part in parts:
        pack.append(part)
        size += len(part)
        if size >= PACK_BYTES:
            yield pack
            pack, size = [], 0
    if pack:
        yield pack
