"""Backup and restore, from each kind of store into each, at a point in time, and damaged."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.store import media
from adapters.store.kit import GENESIS, chain, everything, grow, numbered
from crossmargin.adapters.store import copies, create_store, open_store, tables
from crossmargin.adapters.store.copies import backup, restore, verify
from crossmargin.adapters.store.tables import TableStore
from crossmargin.base.errors import FileUnreadable, InputInvalid, JournalBroken
from crossmargin.engine.ports import Record
from postgres import fresh


@pytest.fixture(params=["sqlite", "postgres"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a second store that does not exist yet."""
    if request.param == "sqlite":
        return str(tmp_path / "elsewhere.db")
    return fresh(request.getfixturevalue("postgres"))


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, list[Record]]:
    """A backup of ten records in blocks of three, and the records."""
    store = create_store(tmp_path / "saved.db")
    records = grow(store, 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "BATCH_RECORDS_MAX", 3)
        path = backup(store, tmp_path / "saved.backup")
    store.close()
    return path, records


def test_a_backup_of_either_store_restores_into_either(
    store: TableStore, elsewhere: str, tmp_path: Path
) -> None:
    records = chain([b"", b"\x00", os.urandom(1 << 20), *(b"body %d" % n for n in range(500))])
    store.append(records)
    store.save_snapshot(2, records[1].hash, b"s" * 32, [b"part"])
    path = backup(store, tmp_path / "a.backup")
    assert restore(path, elsewhere) == store.last() == (503, records[-1].hash)
    copy = open_store(elsewhere, writer=True)
    assert everything(copy) == records
    assert copy.snapshots() == [], "a backup holds records alone"
    # Both stores give the same file, so a copy can be compared byte by byte.
    assert backup(copy, tmp_path / "b.backup").read_bytes() == path.read_bytes()
    assert grow(copy, 1)[0].seq == 504
    copy.close()


def test_a_backup_taken_while_a_writer_goes_on_is_the_journal_at_its_start(
    address: str, store: TableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BATCH_RECORDS_MAX", 3)
    records = grow(store, 10)
    reader = open_store(address, writer=False)
    seen = []

    def writes(done: int, of: int) -> None:
        seen.append((done, of))
        grow(store, 2)

    path = backup(reader, tmp_path, writes)
    assert seen == [(3, 10), (6, 10), (9, 10), (10, 10)]
    assert path.name == f"journal-000000000010-{records[-1].hash.hex()[:8]}.backup"
    assert verify(path).last_seq == 10
    assert restore(path, tmp_path / "copy.db") == (10, records[-1].hash)
    assert reader.last()[0] == 18
    reader.close()


@pytest.mark.parametrize("upto", [0, 1, 3, 4, 9, 10])  # blocks end at 3, 6, 9, 10
def test_a_restore_ends_at_the_record_that_was_asked_for(
    saved: tuple[Path, list[Record]], elsewhere: str, upto: int
) -> None:
    path, records = saved
    seen = []
    got = restore(path, elsewhere, upto, lambda done, of: seen.append((done, of)))
    assert got == (upto, records[upto - 1].hash if upto else GENESIS)
    assert seen[-1] == (upto, upto)
    copy = open_store(elsewhere, writer=False)
    assert everything(copy) == records[:upto]
    copy.close()


@pytest.mark.parametrize("upto", [-1, 11])
def test_a_record_the_backup_does_not_hold_cannot_be_asked_for(
    saved: tuple[Path, list[Record]], tmp_path: Path, upto: int
) -> None:
    with pytest.raises(InputInvalid, match="lie between 0 and 10"):
        restore(saved[0], tmp_path / "copy.db", upto)
    assert not (tmp_path / "copy.db").exists()


def test_an_empty_journal_has_a_backup_too(
    store: TableStore, elsewhere: str, tmp_path: Path
) -> None:
    assert restore(backup(store, tmp_path), elsewhere) == (0, GENESIS)


def test_a_restore_needs_an_empty_store(saved: tuple[Path, list[Record]], store: TableStore,
                                        address: str) -> None:  # fmt: skip
    grow(store, 1)
    store.close()
    with pytest.raises(InputInvalid, match="found 'a journal of 1 records', must be new or empty"):
        restore(saved[0], address)
    again = open_store(address, writer=False)
    assert everything(again) == numbered(1)
    again.close()


def test_a_backup_never_takes_the_place_of_another_file(
    saved: tuple[Path, list[Record]], store: TableStore
) -> None:
    before = saved[0].read_bytes()
    with pytest.raises(InputInvalid, match="be a new file or a folder"):
        backup(store, saved[0])
    assert saved[0].read_bytes() == before


# --- damage ---------------------------------------------------------------------------------------


def test_a_change_of_any_byte_is_found(saved: tuple[Path, list[Record]], tmp_path: Path) -> None:
    path, _ = saved
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(FileUnreadable):
            restore(path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists(), "nothing was written"


def test_a_missing_end_or_an_added_byte_is_found(saved: tuple[Path, list[Record]]) -> None:
    path, _ = saved
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(FileUnreadable):
            verify(path)
    path.write_bytes(whole + b"\x00")
    with pytest.raises(FileUnreadable, match="cut short or altered"):
        verify(path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.with_name("other"), "No such file or directory"),
        (lambda path: path.parent, "Is a directory"),
        (lambda path: path.with_name("saved.db"), "open with the head of a backup"),
    ],
    ids=["missing", "folder", "journal"],
)
def test_what_is_no_backup_is_refused(
    saved: tuple[Path, list[Record]], make: Callable[[Path], Path], says: str, tmp_path: Path
) -> None:
    with pytest.raises(FileUnreadable, match=says):
        restore(make(saved[0]), tmp_path / "copy.db")


def resealed(path: Path, head: dict[str, object] | None = None) -> None:
    """Give a file a digest that agrees with it, as someone who alters it on purpose would."""
    body = path.read_bytes()[:-32]
    if head is not None:
        body = json.dumps(head).encode() + body[body.index(b"\n") :]
    path.write_bytes(body + hashlib.sha256(body).digest())


def test_a_backup_of_a_newer_format_is_refused(saved: tuple[Path, list[Record]]) -> None:
    path, _ = saved
    resealed(path, {"crossmargin_backup": 2, "last_seq": 10, "last_hash": "00"})
    with pytest.raises(FileUnreadable, match="found 'format 2', must be format 1"):
        verify(path)


@pytest.mark.parametrize(
    "blocks",
    [b"", b"\x00" * 7, b"\x00\x00\x00\x04\x00\x00\x00\x09junk", copies._BLOCK.pack(2**32 - 1, 9)],
    ids=["none", "cut", "junk", "longer_than_the_file"],
)
def test_blocks_that_were_never_a_backup_are_refused(
    saved: tuple[Path, list[Record]], tmp_path: Path, blocks: bytes
) -> None:
    path, _ = saved
    head = path.read_bytes().partition(b"\n")[0]
    path.write_bytes(head + b"\n" + blocks + bytes(32))
    resealed(path)
    with pytest.raises(FileUnreadable, match="blocks that cannot be read"):
        restore(path, tmp_path / "copy.db")


def test_the_handbook_reads_a_backup_without_this_package(
    saved: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    path, records = saved
    handbook = Path(__file__).resolve().parents[3] / "docs" / "stores.md"
    program = handbook.read_text().partition("```python\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, check=True
    )
    assert done.stdout.splitlines() == [b"%d %r" % (one.seq, one.body) for one in records]


def forged(path: Path, records: list[Record]) -> None:
    """Write a backup of any records, with a digest that agrees."""
    head = copies.BackupHead(copies.FORMAT, len(records), records[-1].hash.hex())
    with copies._written(path) as file:
        file.write(copies.msgspec.json.encode(head) + b"\n")
        file.write(copies._packed(records[:4]) + copies._packed(records[4:]))
        file.write(copies._BLOCK.pack(0, 0))


def altered_body(records: list[Record]) -> list[Record]:
    return [*records[:6], records[6]._replace(body=b"body 8"), *records[7:]]


def left_out(records: list[Record]) -> list[Record]:
    return [*records[:6], *records[7:]]


def swapped(records: list[Record]) -> list[Record]:
    return [*records[:6], records[7], records[6], *records[8:]]


@pytest.mark.parametrize("alter", [altered_body, left_out, swapped])
def test_a_record_that_does_not_follow_is_named_and_the_store_stays_shut(
    saved: tuple[Path, list[Record]], elsewhere: str, tmp_path: Path, alter
) -> None:
    path = tmp_path / "forged.backup"
    forged(path, alter(saved[1]))
    with pytest.raises(JournalBroken) as broken:
        restore(path, elsewhere)
    assert broken.value.seq == 7
    for writer in (False, True):
        with pytest.raises(InputInvalid, match="a restore that did not finish"):
            open_store(elsewhere, writer)
    with pytest.raises(InputInvalid, match="drop it and restore again"):
        restore(saved[0], elsewhere)


@pytest.mark.parametrize(
    ("last_seq", "says"),
    [(11, "record 11: is missing"), (10, "record 10: is another than the head")],
)
def test_a_head_that_promises_other_records_than_follow_is_found(
    saved: tuple[Path, list[Record]], tmp_path: Path, last_seq: int, says: str
) -> None:
    path, _ = saved
    resealed(path, {"crossmargin_backup": 1, "last_seq": last_seq, "last_hash": "00"})
    with pytest.raises(JournalBroken, match=says):
        restore(path, tmp_path / "copy.db")
    with pytest.raises(InputInvalid, match="a restore that did not finish"):
        open_store(tmp_path / "copy.db", writer=True)


def test_a_backup_of_a_broken_journal_names_the_record_and_leaves_no_file(
    store: TableStore, tmp_path: Path
) -> None:
    records = grow(store, 10)
    store._run("UPDATE records SET body = ? WHERE seq = 7", (b"altered",))
    folder = tmp_path / "backups"
    folder.mkdir()
    with pytest.raises(JournalBroken) as broken:
        backup(store, folder)
    assert broken.value.seq == 7
    store._run("UPDATE records SET body = ? WHERE seq = 7", (records[6].body,))
    store._run("DELETE FROM records WHERE seq = 4")
    with pytest.raises(JournalBroken, match="record 4: is missing; record 5"):
        backup(store, folder)
    assert os.listdir(folder) == []


def test_a_backup_broken_off_leaves_no_file(store: TableStore, tmp_path: Path) -> None:
    grow(store, 3)
    folder = tmp_path / "backups"
    folder.mkdir()

    def breaks_off(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(store, folder, breaks_off)
    assert os.listdir(folder) == []


FULL = """
from crossmargin.adapters.store.copies import backup
if medium == "tmpfs":
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", folder)
os.mkdir(os.path.join(folder, "backups"))
store = create_store(path)
from adapters.store.kit import chain
store.append(chain([os.urandom(600_000)]))
store.close()
store = open_store(path, writer=False)
if medium == "limit":
    limit(100_000)
refused("backup", lambda: backup(store, os.path.join(folder, "backups")))
refused("restore_into", lambda: backup(store, os.path.join(folder, "none", "a.backup")))
said["left"] = os.listdir(os.path.join(folder, "backups"))
"""


@pytest.mark.parametrize("medium", ["limit", *(["tmpfs"] if media.can_mount() else [])])
def test_a_backup_that_finds_no_room_is_refused_and_leaves_no_file(
    tmp_path: Path, medium: str
) -> None:
    said = media.run(FULL, tmp_path, medium)
    assert said["backup"][0] == "StoreFailed"
    assert "No space left" in said["backup"][1] or "File too large" in said["backup"][1]
    assert "No such file or directory" in said["restore_into"][1]
    assert said["left"] == []
