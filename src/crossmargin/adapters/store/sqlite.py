"""A journal in one SQLite file: WAL, every append synced before it returns.

In     a path.
Out    a Store; FileUnreadable for a file that is no journal, StoreFailed when the disk refuses.
Owns   the settings that make a commit durable; what SQLite's errors mean to the writer.
Never  opens a file that is not there, unless asked to create one.
Signs  seq counts from 1, without a gap.
Spec   docs/stores.md
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crossmargin.adapters.store import schema
from crossmargin.adapters.store.lease import FileLease
from crossmargin.adapters.store.tables import TableStore
from crossmargin.base.errors import FileUnreadable, StoreFailed
from crossmargin.engine.ports import Record

# How long a commit waits for a stranger (a backup tool, a shell) that holds the file.
WAIT_S = 5.0

# SQLite's name of an error, as far as it is written here -> what to do about it.
REMEDIES = {
    "SQLITE_FULL": "free disk space and try again",
    "SQLITE_READONLY": "make the file and its folder writable",
    "SQLITE_CANTOPEN": "make the file and its folder readable and writable",
    "SQLITE_BUSY": "another program locks the file: close it and try again",
    "SQLITE_IOERR_FSYNC": "distrust the disk: open the journal again and look at its last seq",
    "SQLITE_IOERR": "look after the disk, then open the journal again",
    "SQLITE_CORRUPT": "restore from a backup",
}


class SqliteStore(TableStore):
    """Store over one SQLite file, with PATH-wal and PATH-shm beside it while it is open."""

    def __init__(self, path: Path, writer: bool, create: bool = False) -> None:
        """Open a file that is there; a writer takes the lease and brings the schema up to date."""
        super().__init__(str(path), writer)
        # Two names of one file are one journal and one lease.
        path = Path(os.path.realpath(path))
        self._connection: sqlite3.Connection | None = None
        self._lease = FileLease(path) if writer else None
        try:
            with self._medium():
                self._connection = (
                    _connected(path, "mode=rw") if writer else _connected_for_reading(path)
                )
                behind = self._must_upgrade(create)
                if writer:
                    # Only now: another program's database was refused before it was changed.
                    _make_durable(self._connection, str(path))
                if behind:
                    schema.upgrade("sqlite", lambda: _connected(path, "mode=rw"))
                self._refuse_half_restored()
                if writer:
                    self._take_over()
        except BaseException:
            self._disconnect()
            raise

    def _must_upgrade(self, create: bool) -> bool:
        names = {row[0] for row in self._run("SELECT name FROM sqlite_master WHERE type = 'table'")}
        versions = self._run("SELECT * FROM alembic_version") if schema.TABLE in names else []
        stored = versions[0][0] if versions else None
        how = "create" if create else "write" if self.writer else "read"
        return schema.is_behind(self.where, stored, len(names), how)

    def _run(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        assert self._connection is not None
        with self._medium():
            return self._connection.execute(sql, values).fetchall()

    def _insert(self, records: Sequence[Record]) -> None:
        assert self._connection is not None
        self._connection.executemany("INSERT INTO records VALUES (?, ?, ?)", records)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        connection = self._connection
        assert connection is not None
        with self._medium():
            # IMMEDIATE: nothing that is read inside can change before the commit.
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                connection.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled it back already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _medium(self) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except sqlite3.Error as refused:
            name = getattr(refused, "sqlite_errorname", "")
            if name == "SQLITE_NOTADB":
                raise FileUnreadable(
                    self.where, "another format", "be a journal", "name a SQLite journal"
                ) from None
            if name == "SQLITE_IOERR_FSYNC":
                # Whether the pages reached the disk cannot be learned by asking again.
                self._unusable = "could not be synced to its disk"
            remedies = (do for known, do in REMEDIES.items() if name.startswith(known))
            raise StoreFailed(
                self.where, f"{refused} ({name})" if name else str(refused),
                next(remedies, "open the journal again"),
            ) from refused  # fmt: skip

    def _disconnect(self) -> None:
        if self._connection is not None:
            # A last checkpoint that fails is made up for by the next one to open the file.
            with suppress(sqlite3.Error):
                self._connection.close()
        if self._lease is not None:
            self._lease.release()


def open_sqlite(path: Path, writer: bool) -> SqliteStore:
    """Open a journal that is there."""
    if not path.exists():
        raise FileUnreadable(str(path), "nothing", "be a journal", "create it first")
    _refuse_folder(path)
    return SqliteStore(path, writer)


def create_sqlite(path: Path) -> SqliteStore:
    """Create a journal and open it for writing; a file that holds no table yet will do."""
    _refuse_folder(path)
    try:
        if not path.exists():
            path.open("xb").close()
            sync_folder(path.parent)
    except OSError as refused:
        raise StoreFailed(
            str(path), f"cannot be created ({refused.strerror})",
            "name a file in a folder that is there and may be written",
        ) from None  # fmt: skip
    return SqliteStore(path, writer=True, create=True)


def _refuse_folder(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise FileUnreadable(str(path), "no file", "be a journal", "name the file in this folder")


def _make_durable(connection: sqlite3.Connection, where: str) -> None:
    """See to it that a commit returns when it is on the disk, and readers never wait."""
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreFailed(where, f"SQLite keeps journal mode {mode} there", "use a local disk")
    connection.execute("PRAGMA synchronous = FULL")


def _connected_for_reading(path: Path) -> sqlite3.Connection:
    connection = _connected(path, "mode=ro")
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchall()
    except sqlite3.OperationalError as refused:
        connection.close()
        if refused.sqlite_errorname != "SQLITE_CANTOPEN" or not _rests(path):
            raise
        # Without room for an index of the log, a file without a log can be read as it stands.
        connection = _connected(path, "mode=ro&immutable=1")
    return connection


def _rests(path: Path) -> bool:
    """Return whether the file is on a read-only medium and no log is beside it."""
    log = path.with_name(path.name + "-wal")
    read_only = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    return read_only and not (log.exists() and log.stat().st_size)


def _connected(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.as_uri()}?{how}", uri=True, isolation_level=None, timeout=WAIT_S,
        check_same_thread=False,
    )  # fmt: skip


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
