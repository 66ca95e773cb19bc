"""The PostgreSQL schema: what is refused and how, lost connections, a server that dies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from adapters.store.kit import APPENDS, everything, grow, line, numbered, process
from crossmargin.adapters.store import create_store, open_store
from crossmargin.adapters.store.postgres import PostgresStore, create_postgres, parse_address
from crossmargin.base.errors import InputInvalid, LedgerError, StoreConflict, StoreFailed
from postgres import fresh, restarted

TESTS = str(Path(__file__).resolve().parents[2])


@pytest.fixture
def address(postgres: str) -> str:
    return fresh(postgres)


@pytest.fixture
def store(address: str) -> Iterator[PostgresStore]:
    store = create_store(address)
    assert isinstance(store, PostgresStore)
    yield store
    store.close()


@contextmanager
def outside(url: str) -> Iterator[psycopg.Connection]:
    """A connection of somebody else, a superuser."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


# --- settings -------------------------------------------------------------------------------------


def test_the_session_is_serializable_and_waits_for_the_disk(store: PostgresStore) -> None:
    assert store._run("SHOW synchronous_commit") == [("on",)]
    with store._transaction():
        assert store._run("SHOW transaction_isolation") == [("serializable",)]
    assert store._run("SHOW fsync") == [("on",)], "this is a test of durability"


def test_a_reader_is_held_to_reading_by_the_server(address: str, store: PostgresStore) -> None:
    reader = open_store(address, writer=False)
    with pytest.raises(StoreFailed, match="read-only transaction"):
        reader._run("DELETE FROM records")
    reader.close()


def test_a_server_that_does_not_sync_is_refused(postgres: str, address: str) -> None:
    with outside(postgres) as server:
        server.execute("ALTER SYSTEM SET fsync = off")
        server.execute("SELECT pg_reload_conf()")
        try:
            with pytest.raises(InputInvalid, match="fsync = off"):
                _until_refused(address)
        finally:
            server.execute("ALTER SYSTEM RESET fsync")
            server.execute("SELECT pg_reload_conf()")
    _until_accepted(address)


def _until_refused(address: str) -> None:
    for _ in range(100):  # the server reads its settings a moment later
        create_store(address).close()


def _until_accepted(address: str) -> None:
    for _ in range(100):
        with suppress(InputInvalid):
            return create_store(address).close()
    raise AssertionError("the setting stays")


# --- schemas --------------------------------------------------------------------------------------


def test_two_schemas_are_two_journals_with_two_leases(postgres: str, store: PostgresStore) -> None:
    other = create_store(fresh(postgres))
    grow(store, 3)
    grow(other, 1)
    assert (store.last()[0], other.last()[0]) == (3, 1)
    other.close()


def test_the_schema_is_named_by_the_url_or_the_argument(postgres: str, address: str) -> None:
    assert parse_address(postgres).schema == "crossmargin"
    assert parse_address(address).schema == address.rpartition("=")[2]
    assert parse_address(address, "mine").schema == "mine"
    named = create_postgres(postgres, address.rpartition("=")[2])
    grow(named, 1)
    named.close()
    reader = open_store(address, writer=False)
    assert reader.last()[0] == 1
    reader.close()


@pytest.mark.parametrize("name", ["pg_x", "A", "a-b", "1a", "a" * 64, 'a";drop', "ä", "a b"])
def test_a_schema_name_that_needs_quotes_is_refused(name: str) -> None:
    with pytest.raises(InputInvalid, match="small letters"):
        parse_address("postgresql://h/d", name)


def test_a_schema_that_is_not_there_or_not_ours_is_refused(postgres: str, address: str) -> None:
    name = address.rpartition("=")[2]
    for writer in (False, True):
        with pytest.raises(InputInvalid, match="found 'nothing', must hold a journal"):
            open_store(address, writer)
    with outside(postgres) as server:
        server.execute(f"CREATE SCHEMA {name}")
        server.execute(f"CREATE TABLE {name}.songs (title text)")
    with pytest.raises(InputInvalid, match="1 tables and no version"):
        create_store(address)


# --- who may not ----------------------------------------------------------------------------------


# What docs/stores.md grants a writer: no right to change or delete a record is among it.
WRITES = """
GRANT USAGE ON SCHEMA {name} TO clerk;
GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO clerk;
GRANT INSERT ON {name}.records, {name}.snapshots, {name}.snapshot_parts TO clerk;
GRANT DELETE ON {name}.snapshots, {name}.snapshot_parts TO clerk;
GRANT UPDATE ON {name}.writer TO clerk;
"""


def test_a_role_reads_and_writes_with_the_rights_the_handbook_lists(
    postgres: str, store: PostgresStore
) -> None:
    records, name = grow(store, 1), store._address.schema
    store.close()
    clerk = postgres.replace("//postgres:", "//clerk:") + f"&schema={name}"
    with outside(postgres) as server:
        server.execute("CREATE ROLE clerk LOGIN")
        try:
            with pytest.raises(StoreFailed, match=r"permission denied.*grant the role"):
                open_store(clerk, writer=False)
            reads, writes = WRITES[: WRITES.index("GRANT INSERT")], WRITES
            server.execute(reads.format(name=name))
            reader = open_store(clerk, writer=False)
            assert everything(reader) == records
            reader.close()
            with pytest.raises(StoreFailed, match=r"permission denied.*grant the role"):
                open_store(clerk, writer=True)
            server.execute(writes.format(name=name))
            writer = open_store(clerk, writer=True)
            grow(writer, 2)
            writer.save_snapshot(1, records[0].hash, b"s" * 32, [b"part"])
            writer.drop_snapshots(0)
            with pytest.raises(StoreFailed, match="permission denied for table records"):
                writer._run("DELETE FROM records")
            writer.close()
        finally:
            server.execute("DROP OWNED BY clerk; DROP ROLE clerk")


SECRET = "hun/ter2@:?#"
ESCAPED = "hun%2Fter2%40%3A%3F%23"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://clerk:{ESCAPED}@127.0.0.1:1/books",
        f"postgresql://clerk@127.0.0.1:1/books?password={ESCAPED}",
        f"postgresql://clerk:{SECRET}@127.0.0.1:1/books",
        f"postgres://clerk:{SECRET}@127.0.0.1:1/books?schema=x",
        f"postgresql://clerk:{ESCAPED}@127.0.0.1:1/books?sslmod=on",
        f"postgresql://clerk:{ESCAPED}@127.0.0.1:port/books",
        f"postgresql://clerk:{ESCAPED}@127.0.0.1:1/books?schema=A",
    ],
)
@pytest.mark.parametrize("act", [create_store, lambda url: open_store(url, writer=False)])
def test_a_password_is_in_no_error(url: str, act) -> None:
    with pytest.raises((LedgerError, InputInvalid)) as refused:
        act(url)
    error: BaseException | None = refused.value
    while error is not None:  # a traceback shows the causes too
        for form in (SECRET, ESCAPED, "hun", "ter2"):
            assert form not in f"{error} {error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_store_is_shown_by_user_host_and_schema() -> None:
    url = f"postgresql://clerk:{ESCAPED}@db.example:5433/books?schema=main&sslmode=require"
    assert parse_address(url).shown == "postgresql://clerk@db.example:5433/books?schema=main"


def test_a_server_that_is_not_there_is_a_failed_store() -> None:
    with pytest.raises(StoreFailed, match=r"127\.0\.0\.1.*start the server or correct the address"):
        open_store("postgresql://clerk@127.0.0.1:1/books", writer=False)


def test_a_database_that_is_not_there_is_named(postgres: str) -> None:
    with pytest.raises(StoreFailed, match='database "nowhere" does not exist'):
        open_store(postgres.replace("/postgres?", "/nowhere?"), writer=False)


def test_without_the_library_the_remedy_is_to_install_it() -> None:
    program = """
import sys
sys.modules["psycopg"] = None
from crossmargin.adapters.store import open_store
open_store("postgresql://h/d", writer=False)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "must have psycopg installed; pip install 'crossmargin[postgres]'" in done.stderr


# --- lost connections -----------------------------------------------------------------------------


def test_a_lost_connection_ends_the_store_and_names_the_doubt(
    postgres: str, address: str, store: PostgresStore
) -> None:
    records = grow(store, 2)
    (pid,) = store._run("SELECT pg_backend_pid()")[0]
    with outside(postgres) as server:
        server.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    with pytest.raises(StoreFailed, match="whether the change under way was kept is not known"):
        grow(store, 1)
    with pytest.raises(StoreFailed, match="lost its connection; open it again"):
        store.append(numbered(1, 2, records[-1].hash))
    again = open_store(address, writer=True)
    assert again.last() == (2, records[-1].hash)
    assert grow(again, 1)[0].seq == 3
    again.close()


def test_an_append_that_waits_for_another_session_is_given_up(
    postgres: str, store: PostgresStore
) -> None:
    before = grow(store, 2)
    store._run("SET lock_timeout = '50ms'")
    with outside(postgres) as server, server.transaction():
        server.execute(f"LOCK TABLE {store._address.schema}.records")
        with pytest.raises(StoreFailed, match="another session locks the tables"):
            grow(store, 1)
    assert everything(store) == before
    assert grow(store, 1)[0].seq == 3


def test_a_writer_overtaken_inside_its_transaction_is_refused(
    postgres: str, store: PostgresStore
) -> None:
    before = grow(store, 1)
    other = f"{store._address.schema}.writer"
    with outside(postgres) as server:

        def overtaken() -> None:
            with store._transaction():
                store._run("SELECT 1")  # the transaction has its view of the world from here on
                server.execute(f"UPDATE {other} SET epoch = epoch + 1")
                store._run("SELECT epoch FROM writer" + store.locking)

        with pytest.raises(StoreConflict, match="could not serialize"):
            overtaken()
    assert everything(store) == before


@pytest.mark.parametrize("n_acknowledged", [1, 5])
def test_a_server_that_dies_keeps_what_was_acknowledged(
    postgres: str, address: str, n_acknowledged: int
) -> None:
    create_store(address).close()
    with process(APPENDS, address, TESTS) as writer:
        for _ in range(1 + n_acknowledged):
            acknowledged = int(line(writer))
        restarted()
        assert writer.stdout is not None
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
        assert writer.wait() != 0, "the writer ended with the error"
    again = open_store(address, writer=True)
    last, _ = again.last()
    assert last in (acknowledged, acknowledged + 100)
    assert everything(again) == numbered(last)
    again.close()
