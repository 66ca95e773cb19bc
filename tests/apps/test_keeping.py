"""The engine of `run`: warm before its first command, snapshots as records go by."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossmargin.adapters.store import open_store
from crossmargin.adapters.store.tables import TableStore
from crossmargin.apps.cli.keeping import KeepingEngine, warm
from crossmargin.engine.commands import Deposit
from crossmargin.engine.replies import Accepted
from e2e import venue
from e2e.crashes import Campaign


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TableStore]:
    """The venue in a SQLite file, open for writing."""
    place = Campaign.begin(str(tmp_path / "journal.db"), seed=1).store
    store = open_store(place, writer=True)
    yield store
    store.close()


def deposit(engine: KeepingEngine, n: int) -> int:
    """Submit n deposits, one a group, and return how many were accepted."""
    first = engine.seq
    for k in range(first, first + n):
        command = Deposit(
            key=f"d-{k}", issued_ns=time.time_ns(), account=venue.name(0), asset="USDC", amount=1
        )
        [reply] = engine.submit([command])
        assert isinstance(reply, Accepted)
    return engine.seq - first


def kept(engine: KeepingEngine) -> list[int]:
    return [head.seq for head in engine.store.snapshots()]


def test_a_snapshot_is_kept_every_so_many_records(store: TableStore) -> None:
    engine = KeepingEngine.open(store, time.time_ns)
    start = engine.seq
    engine.keep(10, pytest.fail)
    # None is there yet, so the first is due at once: before the group, not after it.
    deposit(engine, 1)
    assert kept(engine) == [start]
    deposit(engine, 9)
    assert kept(engine) == [start]
    deposit(engine, 1)
    assert kept(engine) == [start, start + 10]
    assert engine.keep_last() is None, "one record is replayed sooner than a snapshot is read"
    deposit(engine, 9)
    assert engine.keep_last() == start + 20
    assert kept(engine) == [start, start + 10, start + 20]


def test_counting_goes_on_from_the_newest_snapshot(store: TableStore) -> None:
    first = KeepingEngine.open(store, time.time_ns)
    first.snapshot()
    again = KeepingEngine.open(store, time.time_ns)
    again.keep(10, pytest.fail)
    assert again.kept == first.seq
    deposit(again, 5)
    assert kept(again) == [first.seq]


def test_a_snapshot_that_fails_is_told_and_the_journal_goes_on(store: TableStore) -> None:
    engine = KeepingEngine.open(store, time.time_ns)
    start, told = engine.seq, []
    engine.keep(10, told.append)
    store._run("ALTER TABLE snapshot_parts RENAME TO elsewhere")
    assert deposit(engine, 15) == 15
    store._run("ALTER TABLE elsewhere RENAME TO snapshot_parts")
    # It is tried again after as many records, not at every group.
    assert [text.split(":")[0] for text in told] == [
        f"no snapshot after record {start}", f"no snapshot after record {start + 10}",
    ]  # fmt: skip
    assert deposit(engine, 10) == 10
    assert kept(engine) == [start + 20]


def test_warming_up_changes_nothing(store: TableStore) -> None:
    engine = KeepingEngine.open(store, time.time_ns)
    before = engine.state_hash(), engine.seq, store.last()
    warm(engine)
    assert (engine.state_hash(), engine.seq, store.last()) == before


def test_an_empty_ledger_is_warm(tmp_path: Path) -> None:
    from crossmargin.adapters.store import create_store

    engine = KeepingEngine.open(create_store(tmp_path / "empty.db"), time.time_ns)
    warm(engine)
    assert engine.seq == 0
    engine.close()
