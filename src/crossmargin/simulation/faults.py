"""A store that fails on purpose, and one that lives in memory: what a crash leaves behind.

In     records and snapshots; a plan of faults drawn from a seed.
Out    the same bytes, or `Crash` at the moment a process would have died, or StoreFailed.
Owns   what is durable when: a crash before the durable point leaves nothing of a call, one after
       it leaves all of it.
Never  loses what it acknowledged.
Signs  seq counts from 1.
Spec   docs/spec/10-ledger.md (10.21)
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from crossmargin.base.errors import StoreFailed
from crossmargin.engine.ports import Record, SnapshotHead, Store

GENESIS = bytes(32)


class Crash(BaseException):
    """The process died here. Not an Exception: nothing may catch it and go on."""


class MemoryStore:
    """A journal in a list; what is in it is durable."""

    where = "memory"

    def __init__(self, records: Sequence[Record] = ()) -> None:
        """Start from records, or empty."""
        self.records: list[Record] = list(records)
        self.states: dict[int, tuple[SnapshotHead, list[bytes]]] = {}

    def last(self) -> tuple[int, bytes]:
        """Return (seq, hash) of the newest record."""
        return (self.records[-1].seq, self.records[-1].hash) if self.records else (0, GENESIS)

    def append(self, records: Sequence[Record]) -> None:
        """Keep all."""
        assert not records or records[0].seq == len(self.records) + 1
        self.records.extend(records)

    def read(self, after: int = 0, upto: int | None = None) -> Iterator[list[Record]]:
        """Yield records in batches."""
        end = len(self.records) if upto is None else upto
        for start in range(after, end, 1_000):
            yield self.records[start : min(start + 1_000, end)]

    def save_snapshot(
        self, seq: int, chain: bytes, state_hash: bytes, parts: Iterable[bytes]
    ) -> None:
        """Keep a state."""
        kept = list(parts)
        self.states[seq] = (SnapshotHead(seq, chain, state_hash, len(kept)), kept)

    def snapshots(self) -> list[SnapshotHead]:
        """Return all, oldest first."""
        return [self.states[seq][0] for seq in sorted(self.states)]

    def load_snapshot(self, seq: int) -> Iterator[bytes]:
        """Yield one's parts."""
        yield from self.states[seq][1]

    def drop_snapshots(self, keep: int) -> None:
        """Drop all but the newest."""
        for seq in sorted(self.states)[:-keep]:
            del self.states[seq]

    def close(self) -> None:
        """Nothing to give up."""


class FaultyStore:
    """Another store behind faults: a crash before or after the durable point, a full disk."""

    def __init__(self, inner: Store, rng: random.Random, rate: float) -> None:
        """Fail in `rate` of the appends."""
        self.inner, self.rng, self.rate = inner, rng, rate
        self.where = inner.where

    def append(self, records: Sequence[Record]) -> None:
        """Append, or die on the way."""
        if self.rng.random() >= self.rate:
            self.inner.append(records)
            return
        kind = self.rng.choice(("before", "after", "after", "full"))
        if kind == "full":
            raise StoreFailed("simulated disk", "no space left", "make room")
        if kind == "after":
            self.inner.append(records)
        raise Crash(kind)

    def save_snapshot(
        self, seq: int, chain: bytes, state_hash: bytes, parts: Iterable[bytes]
    ) -> None:
        """Keep a state, or die before it is whole."""
        if self.rng.random() < self.rate:
            raise Crash("snapshot")
        self.inner.save_snapshot(seq, chain, state_hash, parts)

    def last(self) -> tuple[int, bytes]:
        """As the inner store."""
        return self.inner.last()

    def read(self, after: int = 0, upto: int | None = None) -> Iterator[list[Record]]:
        """As the inner store."""
        return self.inner.read(after, upto)

    def snapshots(self) -> list[SnapshotHead]:
        """As the inner store."""
        return self.inner.snapshots()

    def load_snapshot(self, seq: int) -> Iterator[bytes]:
        """As the inner store."""
        return self.inner.load_snapshot(seq)

    def drop_snapshots(self, keep: int) -> None:
        """As the inner store."""
        self.inner.drop_snapshots(keep)

    def close(self) -> None:
        """As the inner store."""
        self.inner.close()


def altered(parts: Sequence[bytes], rng: random.Random) -> list[bytes]:
    """Return a state's parts with one bit of one of them another."""
    found = list(parts)
    at = rng.randrange(len(found))
    part = bytearray(found[at])
    part[rng.randrange(len(part))] ^= 1 << rng.randrange(8)
    found[at] = bytes(part)
    return found


def tampered(records: Sequence[Record], rng: random.Random) -> tuple[str, list[Record]]:
    """Return a journal nobody may believe, and in words what was done to it."""
    found = list(records)
    at = rng.randrange(len(found))
    kind = rng.choice(("torn", "flipped", "dropped", "swapped", "forged"))
    old = found[at]
    if kind == "torn":
        found[at] = old._replace(body=old.body[: rng.randrange(len(old.body))])
    elif kind == "flipped":
        body = bytearray(old.body)
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        found[at] = old._replace(body=bytes(body))
    elif kind == "dropped" and at < len(found) - 1:
        del found[at]
    elif kind == "swapped" and at < len(found) - 1:
        one, two = found[at], found[at + 1]
        found[at], found[at + 1] = two._replace(seq=one.seq), one._replace(seq=two.seq)
    else:
        kind = "forged"
        found[at] = old._replace(hash=bytes(32))
    return f"{kind} at {old.seq}", found
