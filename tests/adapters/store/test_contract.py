"""What every store promises, the same tests for each kind."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from adapters.store.kit import GENESIS, chain, everything, grow, numbered
from crossmargin.adapters.store import create_store, open_store, tables
from crossmargin.adapters.store.sqlite import SqliteStore
from crossmargin.adapters.store.tables import TableStore
from crossmargin.base.errors import InputInvalid, StoreBusy, StoreConflict, StoreFailed
from crossmargin.engine.ports import Record, SnapshotHead

# --- records --------------------------------------------------------------------------------------


def test_an_empty_store_ends_at_genesis_and_yields_nothing(store: TableStore) -> None:
    assert store.last() == (0, GENESIS)
    assert list(store.read()) == []
    assert store.snapshots() == []


def test_what_was_appended_is_read_back_after_reopening(address: str, store: TableStore) -> None:
    first, second = grow(store, 3), grow(store, 2)
    store.close()
    again = open_store(address, writer=False)
    assert everything(again) == first + second
    assert again.last() == (5, second[-1].hash)
    again.close()


BODIES = [b"", b"\x00", b"\x00a\x00", bytes(range(256)), b"%s ? \\x00 ''", os.urandom(1 << 20)]


def test_bodies_are_bytes_of_any_kind_and_size(store: TableStore) -> None:
    records = chain(BODIES)
    store.append(records)
    assert everything(store) == records


@pytest.mark.parametrize(
    ("after", "upto", "want"),
    [
        (0, None, [1, 2, 3, 4, 5]),
        (0, 5, [1, 2, 3, 4, 5]),
        (0, 99, [1, 2, 3, 4, 5]),
        (2, None, [3, 4, 5]),
        (2, 4, [3, 4]),  # after < seq <= upto
        (2, 2, []),
        (3, 2, []),
        (5, None, []),
        (99, None, []),
    ],
)
def test_read_yields_the_records_between(
    store: TableStore, after: int, upto: int | None, want: list[int]
) -> None:
    grow(store, 5)
    assert [record.seq for record in everything(store, after, upto)] == want


def test_a_batch_is_bounded_by_records_and_by_bytes(
    store: TableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BATCH_RECORDS_MAX", 4)
    monkeypatch.setattr(tables, "BATCH_BYTES_MAX", 100)
    # Pages look four records ahead: 4 of 10 bytes fit; 100 // 40 = 2 of the large ones; one record
    # larger than the bound is a batch of its own.
    records = chain([bytes(10)] * 4 + [bytes(40)] * 4 + [bytes(300)] * 2)
    store.append(records)
    assert [len(batch) for batch in store.read()] == [4, 2, 1, 1, 1, 1]
    assert everything(store) == records


def test_appending_nothing_changes_nothing(store: TableStore) -> None:
    store.append([])
    assert store.last() == (0, GENESIS)


@pytest.mark.parametrize(
    "seqs",
    [[3], [5], [1], [0], [-1], [4, 6], [4, 4], [4, 3], [4, 5, 7]],
    ids=["again", "gap", "first", "zero", "negative", "hole", "twice", "back", "late_hole"],
)
def test_a_seq_that_does_not_go_on_is_refused_whole(store: TableStore, seqs: list[int]) -> None:
    before = grow(store, 3)
    with pytest.raises(StoreConflict, match="is next"):
        store.append([Record(seq, GENESIS, b"wrong") for seq in seqs])
    assert everything(store) == before
    assert grow(store, 1)[0].seq == 4, "the store goes on after a refusal"


def test_a_batch_with_a_record_the_database_refuses_leaves_nothing(store: TableStore) -> None:
    before = grow(store, 3)
    good = numbered(1, 3, before[-1].hash)[0]
    with pytest.raises(StoreFailed):
        store.append([good, Record(5, None, b"no hash")])  # type: ignore[arg-type]
    assert store.last() == (3, before[-1].hash)
    store.append([good])
    assert everything(store) == [*before, good]


def test_a_reader_cannot_write(address: str, store: TableStore) -> None:
    grow(store, 1)
    reader = open_store(address, writer=False)
    for write in (
        lambda: grow(reader, 1),
        lambda: reader.save_snapshot(0, GENESIS, GENESIS, []),
        lambda: reader.drop_snapshots(0),
    ):
        with pytest.raises(StoreFailed, match="reading only"):
            write()
    reader.close()


def test_a_reader_beside_the_writer_sees_each_append_when_it_returns(
    address: str, store: TableStore
) -> None:
    reader = open_store(address, writer=False)
    for _ in range(3):
        grow(store, 2)
        assert reader.last() == store.last()
        assert everything(reader) == everything(store)
    batches = reader.read()
    next(batches)
    grow(store, 1)
    assert [record.seq for record in next(batches)] == [7], "an open read holds nothing back"
    reader.close()


def test_a_closed_store_refuses_everything_and_closes_again(store: TableStore) -> None:
    grow(store, 1)
    store.close()
    store.close()
    for use in (store.last, store.snapshots, lambda: list(store.read()), lambda: grow(store, 1)):
        with pytest.raises(StoreFailed, match="is closed"):
            use()


# --- snapshots ------------------------------------------------------------------------------------


def test_a_snapshot_is_read_back_part_by_part(address: str, store: TableStore) -> None:
    records = grow(store, 4)
    parts = [b"one", b"", b"\x00two\x00", os.urandom(3 << 20), os.urandom(3 << 20)]
    store.save_snapshot(0, GENESIS, b"s" * 32, [])
    store.save_snapshot(4, records[3].hash, b"t" * 32, iter(parts))
    reader = open_store(address, writer=False)
    assert reader.snapshots() == [
        SnapshotHead(0, GENESIS, b"s" * 32, 0),
        SnapshotHead(4, records[3].hash, b"t" * 32, 5),
    ]
    assert list(reader.load_snapshot(4)) == parts
    assert list(reader.load_snapshot(0)) == []
    reader.close()


def broken_off(n_whole: int) -> Iterator[bytes]:
    for _ in range(n_whole):
        yield os.urandom(3 << 20)  # two of them are a pack: what comes before is committed
    raise RuntimeError("broken off")


@pytest.mark.parametrize("n_whole", [0, 1, 5])
def test_a_snapshot_broken_off_is_never_seen(address: str, store: TableStore, n_whole: int) -> None:
    records = grow(store, 2)
    store.save_snapshot(1, records[0].hash, b"s" * 32, [b"old"])
    with pytest.raises(RuntimeError, match="broken off"):
        store.save_snapshot(2, records[1].hash, b"t" * 32, broken_off(n_whole))
    reader = open_store(address, writer=False)
    for seen_by in (store, reader):
        assert [head.seq for head in seen_by.snapshots()] == [1]
        assert list(seen_by.load_snapshot(1)) == [b"old"]
        with pytest.raises(StoreFailed, match="snapshot 2: there is no such"):
            list(seen_by.load_snapshot(2))
    reader.close()
    store.save_snapshot(2, records[1].hash, b"t" * 32, [b"new"])
    assert list(store.load_snapshot(2)) == [b"new"]
    assert n_parts(store) == 2, "what was left behind is cleared by the next save"


def n_parts(store: TableStore) -> int:
    return int(store._run("SELECT count(*) FROM snapshot_parts")[0][0])


def test_appends_go_on_while_a_snapshot_is_saved(store: TableStore) -> None:
    records = grow(store, 2)

    def slow() -> Iterator[bytes]:
        for _ in range(3):
            yield os.urandom(5 << 20)
            grow(store, 1)

    store.save_snapshot(2, records[1].hash, b"s" * 32, slow())
    assert store.last()[0] == 5
    assert [len(part) for part in store.load_snapshot(2)] == [5 << 20] * 3


def test_a_second_snapshot_of_one_record_takes_the_place_of_the_first(store: TableStore) -> None:
    records = grow(store, 1)
    store.save_snapshot(1, records[0].hash, b"s" * 32, [b"first", b"and more"])
    with pytest.raises(RuntimeError):
        store.save_snapshot(1, records[0].hash, b"t" * 32, broken_off(1))
    assert list(store.load_snapshot(1)) == [b"first", b"and more"]
    store.save_snapshot(1, records[0].hash, b"t" * 32, [b"second"])
    assert store.snapshots() == [SnapshotHead(1, records[0].hash, b"t" * 32, 1)]
    assert list(store.load_snapshot(1)) == [b"second"]


@pytest.mark.parametrize(
    ("seq", "hash_of", "found"),
    [(2, 1, "has another hash"), (0, 1, "has another hash"), (9, 3, "is not in the store")],
)
def test_a_snapshot_of_another_journal_is_refused(
    store: TableStore, seq: int, hash_of: int, found: str
) -> None:
    records = grow(store, 3)
    with pytest.raises(StoreConflict, match=found):
        store.save_snapshot(seq, records[hash_of - 1].hash, b"s" * 32, [b"part"])
    assert store.snapshots() == []


@pytest.mark.parametrize(("keep", "left"), [(0, []), (1, [3]), (2, [2, 3]), (3, [1, 2, 3])])
def test_the_newest_snapshots_are_kept_and_every_record(
    store: TableStore, keep: int, left: list[int]
) -> None:
    records = grow(store, 3)
    for record in records:
        store.save_snapshot(record.seq, record.hash, b"s" * 32, [b"a", b"b"])
    store.drop_snapshots(keep)
    assert [head.seq for head in store.snapshots()] == left
    assert n_parts(store) == 2 * len(left)
    assert everything(store) == records


def test_dropping_spares_a_snapshot_that_is_being_saved(store: TableStore) -> None:
    records = grow(store, 1)

    def parts() -> Iterator[bytes]:
        yield os.urandom(5 << 20)
        store.drop_snapshots(0)
        yield b"last"

    store.save_snapshot(1, records[0].hash, b"s" * 32, parts())
    assert [len(part) for part in store.load_snapshot(1)] == [5 << 20, 4]


# --- who may write --------------------------------------------------------------------------------


def test_a_second_writer_is_refused_until_the_first_closes(address: str, store: TableStore) -> None:
    with pytest.raises(StoreBusy, match=str(os.getpid())) as refused:
        open_store(address, writer=True)
    assert "open the journal for reading" in refused.value.remedy
    with pytest.raises(StoreBusy):
        create_store(address)
    grow(store, 1)
    store.close()
    second = open_store(address, writer=True)
    assert grow(second, 1)[0].seq == 2
    second.close()


def lose_lease(store: TableStore) -> None:
    """What a tidy operator or a connection pooler can do to a lease."""
    if isinstance(store, SqliteStore):
        os.unlink(store.where + ".lock")
    else:
        store._run("SELECT pg_advisory_unlock_all()")


def test_a_writer_that_was_replaced_can_never_write_again(address: str, store: TableStore) -> None:
    records = grow(store, 2)
    lose_lease(store)
    heir = open_store(address, writer=True)
    for write in (
        lambda: grow(store, 1),
        lambda: store.save_snapshot(2, records[1].hash, b"s" * 32, [b"part"]),
        lambda: store.drop_snapshots(0),
    ):
        with pytest.raises(StoreConflict, match="writer 1 was replaced by writer 2"):
            write()
    records += grow(heir, 1)
    with pytest.raises(StoreConflict):
        store.append(numbered(1, 3, records[-1].hash))
    assert everything(heir) == records
    assert heir.snapshots() == []
    heir.close()


def test_a_writer_replaced_while_it_saves_a_snapshot_does_not_finish_it(
    address: str, store: TableStore
) -> None:
    records = grow(store, 1)
    heirs = []

    def parts() -> Iterator[bytes]:
        yield os.urandom(5 << 20)
        lose_lease(store)
        heirs.append(open_store(address, writer=True))
        yield b"last"

    with pytest.raises(StoreConflict):
        store.save_snapshot(1, records[0].hash, b"s" * 32, parts())
    assert heirs[0].snapshots() == []
    heirs[0].close()


def test_a_thread_never_sees_what_another_has_not_committed(store: TableStore) -> None:
    records = grow(store, 10)
    doomed = numbered(2_000, 10, records[-1].hash)
    doomed[-1] = Record(2_010, None, b"the database refuses it")  # type: ignore[arg-type]
    stop = threading.Event()
    seen = set()

    def look() -> None:
        while not stop.is_set():
            seen.add((store.last()[0], len(everything(store))))

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(20):
        with pytest.raises(StoreFailed):
            store.append(doomed)
    stop.set()
    reader.join()
    assert seen == {(10, 10)}
    assert grow(store, 1)[0].seq == 11


def test_a_store_is_created_over_an_empty_one_and_not_over_records(
    address: str, store: TableStore
) -> None:
    store.close()
    store = create_store(address)
    grow(store, 2)
    store.close()
    with pytest.raises(InputInvalid, match="a journal of 2 records"):
        create_store(address)
    # The refusal gave the lease back.
    open_store(address, writer=True).close()


def test_a_store_that_is_being_restored_cannot_be_opened(address: str, store: TableStore) -> None:
    store.mark_restoring(True)
    grow(store, 1)
    store.close()
    for writer in (False, True):
        with pytest.raises(InputInvalid, match="a restore that did not finish"):
            open_store(address, writer)
