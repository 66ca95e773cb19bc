"""The SQLite file: what is no journal, disks that refuse, settings that make it durable."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from adapters.store import media
from adapters.store.kit import everything, grow, numbered
from crossmargin.adapters.store import create_store, open_store, sqlite
from crossmargin.base.errors import FileUnreadable, InputInvalid, StoreBusy, StoreFailed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of three records, closed."""
    path = tmp_path / "journal.db"
    store = create_store(path)
    grow(store, 3)
    store.close()
    return path


def test_a_commit_is_on_the_disk_when_it_returns(path: Path) -> None:
    store = open_store(path, writer=True)
    assert store._run("PRAGMA journal_mode") == [("wal",)]
    assert store._run("PRAGMA synchronous") == [(2,)]  # 2 = FULL: the log is synced at each commit
    store.close()


@pytest.mark.parametrize("name", ["a b.db", "50%.db", "#1?.db", "é.db", "x:y.db", "-"])
def test_any_name_of_a_file_will_do(tmp_path: Path, name: str) -> None:
    store = create_store(tmp_path / name)
    grow(store, 1)
    store.close()
    assert sorted(os.listdir(tmp_path)) == sorted([name, f"{name}.lock"])
    reader = open_store(f"sqlite:{tmp_path / name}", writer=False)
    assert reader.last()[0] == 1
    reader.close()


def test_two_names_of_one_file_are_one_lease(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    store = open_store(path, writer=True)
    with pytest.raises(StoreBusy):
        open_store(link, writer=True)
    store.close()


def not_there(path: Path) -> Path:
    return path.with_name("other.db")


def text(path: Path) -> Path:
    path.write_text("seq,hash,body\n" * 100)
    return path


def sql(path: Path, *statements: str) -> Path:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path


NO_JOURNALS = {
    "missing": (not_there, "found 'nothing', must be a journal; create it first"),
    "folder": (lambda path: path.parent, "name the file in this folder"),
    "text": (text, "found 'another format', must be a journal"),
    "empty": (
        lambda path: (path.write_bytes(b""), path)[1],
        "found 'nothing', must hold a journal; create it first",
    ),
    "another_program": (
        lambda path: sql(not_there(path), "CREATE TABLE songs (title)"),
        "found '1 tables and no version'",
    ),
    "newer": (
        lambda path: sql(path, "UPDATE alembic_version SET version_num = '0999'"),
        "found 'schema 0999', must be schema 0001 or older; install a newer crossmargin",
    ),
}


@pytest.mark.parametrize("case", NO_JOURNALS)
@pytest.mark.parametrize("writer", [False, True])
def test_what_is_no_journal_is_refused_and_left_alone(path: Path, case: str, writer: bool) -> None:
    make, says = NO_JOURNALS[case]
    made = make(path)
    before = made.read_bytes() if made.is_file() else None
    with pytest.raises(InputInvalid) as refused:
        open_store(made, writer)
    assert says in str(refused.value)
    assert str(made) in refused.value.where
    assert (made.read_bytes() if made.is_file() else None) == before


def test_a_new_journal_wants_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="cannot be created"):
        create_store(tmp_path / "no" / "journal.db")
    with pytest.raises(FileUnreadable, match="name the file in this folder"):
        create_store(tmp_path)


def test_a_file_another_program_locks_is_refused_after_a_while_and_free_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "WAIT_S", 0.05)
    store = open_store(path, writer=True)
    before = everything(store)
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreFailed, match="another program locks the file"):
        grow(store, 1)
    assert everything(store) == before
    stranger.execute("ROLLBACK")
    stranger.close()
    assert grow(store, 1)[0].seq == 4
    store.close()


def test_a_damaged_page_is_an_error_and_no_record(path: Path) -> None:
    store = open_store(path, writer=True)
    for _ in range(20):
        grow(store, 500)
    store.close()
    with path.open("r+b") as file:
        file.seek(20 * 4096)
        file.write(b"\xff" * 4096 * 10)
    reader = open_store(path, writer=False)
    with pytest.raises(StoreFailed, match="restore from a backup"):
        everything(reader)
    reader.close()


# --- disks that refuse ----------------------------------------------------------------------------

FULL_MEDIA = ["limit", *(["tmpfs"] if media.can_mount() else [])]
FILL = """
filler = os.path.join(folder, "filler")
if medium == "tmpfs":
    mount("-t", "tmpfs", "-o", "size=16m", "tmpfs", folder)
    with open(filler, "wb") as file:
        file.write(bytes(15 << 20))
store = create_store(path)
if medium == "limit":
    limit(600_000)
acknowledged = 0
def fill():
    global acknowledged
    while True:
        acknowledged = grow(store, 200)[-1].seq
refused("append", fill)
said["acknowledged"], said["last"] = acknowledged, store.last()[0]
"""
ROOM = """
os.remove(filler) if medium == "tmpfs" else limit(resource.RLIM_INFINITY)
"""
READ = """
with contextlib.closing(open_store(path, writer=False)) as reader:
    said["read"] = everything(reader) == numbered(acknowledged)
"""


def assert_full(said: dict[str, Any], attempt: str) -> None:
    kind, text = said[attempt]
    assert kind == "StoreFailed"
    assert "disk" in text


@pytest.mark.parametrize("medium", FULL_MEDIA)
def test_a_store_on_a_full_disk_goes_on_when_there_is_room(tmp_path: Path, medium: str) -> None:
    goes_on = """
refused("again", lambda: grow(store, 200))
def snapshot():
    store.save_snapshot(*store.last(), b"s" * 32, [bytes(3_000_000), bytes(3_000_000)])
refused("snapshot", snapshot)
said["last_again"], said["snapshots"] = store.last()[0], len(store.snapshots())
"""
    room = ROOM + "said['next'] = grow(store, 200)[0].seq; snapshot()"
    said = media.run(FILL + goes_on + READ + room, tmp_path, medium)
    for attempt in ("append", "again", "snapshot"):
        assert_full(said, attempt)
    assert said["acknowledged"] >= 200, "something went in before it was full"
    assert said["last"] == said["last_again"] == said["acknowledged"]
    assert said["snapshots"] == 0
    assert said["read"]
    assert said["next"] == said["acknowledged"] + 1


@pytest.mark.parametrize("medium", FULL_MEDIA)
def test_a_full_disk_costs_nothing_that_was_acknowledged(tmp_path: Path, medium: str) -> None:
    reopen = """
store = open_store(path, writer=True)
said["next"] = grow(store, 200)[0].seq
"""
    said = media.run(FILL + "store.close()" + READ + ROOM + reopen, tmp_path, medium)
    assert_full(said, "append")
    assert said["read"], "the disk is still full"
    assert said["next"] == said["acknowledged"] + 1


READ_ONLY_MEDIA = ["permissions", *(["tmpfs"] if media.can_mount() else [])]
READ_ONLY = """
if medium == "tmpfs":
    mount("-t", "tmpfs", "-o", "size=16m", "tmpfs", folder)
with contextlib.closing(create_store(path)) as store:
    acknowledged = grow(store, 200)[-1].seq
if medium == "tmpfs":
    mount("-o", "remount,bind,ro", folder)
else:
    os.chmod(path, 0o444)
    os.chmod(folder, 0o555)
    if os.geteuid() == 0:  # root writes where it may not
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
refused("write", lambda: open_store(path, writer=True))
refused("create", lambda: create_store(os.path.join(folder, "new.db")))
refused("read_it", lambda: open_store(path, writer=False).close())
"""


@pytest.mark.parametrize("medium", READ_ONLY_MEDIA)
def test_a_journal_on_a_read_only_medium_cannot_be_written(medium: str) -> None:
    with media.reachable_folder() as folder:
        said = media.run(READ_ONLY + (READ if medium == "tmpfs" else ""), folder, medium)
        folder.chmod(0o755)
    for attempt in ("write", "create"):
        kind, text = said[attempt]
        assert kind == "StoreFailed"
        assert "folder writable" in text or "may be written" in text
    if medium == "tmpfs":
        assert said["read"], "where nobody can write, a file at rest is read as it stands"
    else:
        # A writer could come at any time, and SQLite's readers need its index beside the file.
        assert said["read_it"][0] == "StoreFailed"
        assert "make the file and its folder" in said["read_it"][1]


def test_a_disk_that_fails_to_sync_ends_the_store(tmp_path: Path) -> None:
    said = media.run(
        """
store = create_store(path)
acknowledged = grow(store, 200)[-1].seq
from adapters.store.media import syncs_fail
syncs_fail()
refused("append", lambda: grow(store, 200))
refused("after", lambda: grow(store, 200))
refused("last", store.last)
""",
        tmp_path,
        "none",
    )
    assert "SQLITE_IOERR_FSYNC" in said["append"][1]
    for attempt in ("after", "last"):
        assert said[attempt][0] == "StoreFailed"
        assert "could not be synced to its disk; open it again" in said[attempt][1]
    again = open_store(tmp_path / "journal.db", writer=True)
    # The append was not acknowledged, and whether it is there was left open.
    assert again.last()[0] in (200, 400)
    assert everything(again) == numbered(again.last()[0])
    again.close()
