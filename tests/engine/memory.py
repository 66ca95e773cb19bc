"""A store in memory, a clock that is set by hand, and a store that fails when told to."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

from crossmargin.base.errors import StoreFailed
from crossmargin.engine.ports import Record, SnapshotHead

GENESIS = bytes(32)
BATCH = 100
SOON_S = 20.0  # far more than any wait of a test takes


class HandClock:
    """Time stands still until it is moved."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns


class MemoryStore:
    """What `engine.ports.Store` promises, for as long as the process lives.

    fail_at  the append (1, 2, ...) that fails, keeping nothing
    """

    def __init__(self, records: Iterable[Record] = (), fail_at: int = 0) -> None:
        self.records = list(records)
        self.kept: dict[int, tuple[SnapshotHead, list[bytes]]] = {}
        self.fail_at, self.n_appends = fail_at, 0
        self.closed = False

    def last(self) -> tuple[int, bytes]:
        return (self.records[-1].seq, self.records[-1].hash) if self.records else (0, GENESIS)

    def append(self, records: Sequence[Record]) -> None:
        self.n_appends += 1
        if self.n_appends == self.fail_at:
            raise StoreFailed("memory", "the disk is full", "make room")
        assert [r.seq for r in records] == [self.last()[0] + 1 + n for n in range(len(records))], (
            "records go on from the last"
        )
        self.records += records

    def read(self, after: int = 0, upto: int | None = None) -> Iterator[list[Record]]:
        found = [r for r in self.records if after < r.seq and (upto is None or r.seq <= upto)]
        for start in range(0, len(found), BATCH):
            yield found[start : start + BATCH]

    def save_snapshot(
        self, seq: int, chain: bytes, state_hash: bytes, parts: Iterable[bytes]
    ) -> None:
        whole = list(parts)
        self.kept[seq] = (SnapshotHead(seq, chain, state_hash, len(whole)), whole)

    def snapshots(self) -> list[SnapshotHead]:
        return [head for _, (head, _) in sorted(self.kept.items())]

    def load_snapshot(self, seq: int) -> Iterator[bytes]:
        yield from self.kept[seq][1]

    def drop_snapshots(self, keep: int) -> None:
        for seq in sorted(self.kept)[: max(0, len(self.kept) - keep)]:
            del self.kept[seq]

    def close(self) -> None:
        self.closed = True


class Held(MemoryStore):
    """A store that lets nothing pass until its gate is open, and tells that somebody waits."""

    def __init__(self, records: Sequence[Record] = ()) -> None:
        super().__init__(records)
        self.gate, self.waited = threading.Event(), threading.Event()
        self.sizes: list[int] = []
        self.gate.set()

    def append(self, records: Sequence[Record]) -> None:
        self.waited.set()
        assert self.gate.wait(SOON_S)
        self.sizes.append(len(records))
        super().append(records)
