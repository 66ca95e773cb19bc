"""A journal in a schema of a PostgreSQL database: the store of production.

In     `postgresql://user@host/database?schema=name`; libpq's parameters and environment hold.
Out    a Store; StoreFailed when the server refuses or is lost, StoreConflict for a fenced writer.
Owns   the session's settings; the lease of the schema; what the server's errors mean.
Never  shows a password; connects again by itself: what a lost commit did is for the caller to see.
Signs  seq counts from 1, without a gap.
Spec   docs/stores.md
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from crossmargin.adapters.store import schema
from crossmargin.adapters.store.lease import release_after_fork
from crossmargin.adapters.store.tables import TableStore
from crossmargin.base.errors import InputInvalid, StoreBusy, StoreConflict, StoreFailed
from crossmargin.engine.ports import Record

if TYPE_CHECKING:
    import psycopg

SCHEMA = "crossmargin"
_SCHEMA_NAME = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
# The server needs a moment to notice that a writer was killed; its heir waits this long.
LEASE_WAIT = "1s"
# A server or a client that vanished without a word is noticed after 10 + 3 * 5 s, not after hours.
SESSION = {
    "synchronous_commit": "on",
    "lock_timeout": "10s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    # Until statistics exist the planner would sort all that follows for every page of a read: five
    # times slower than walking the index, which is what every query here wants.
    "enable_bitmapscan": "off",
    "enable_sort": "off",
}
CONNECTION = {
    "application_name": "crossmargin",
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
# SQLSTATE, as far as it is written here -> what to do about it.
REMEDIES = {
    "08": "start the server or correct the address, then open the journal again",
    "25006": "connect to the primary server with a role that may write",
    "28": "correct the user or the password",
    "3D": "create the database, or correct its name",
    "42501": "grant the role what docs/stores.md lists",
    "53100": "free disk space on the server and try again",
    "55P03": "another session locks the tables: end it and try again",
    "57": "open the journal again and look at its last seq",
}


class Address(NamedTuple):
    """A parsed URL: what libpq needs, whose schema, and how to show it without its password."""

    parameters: dict[str, Any]
    schema: str
    shown: str


class _Socket:
    """The connection's socket, as far as a fork shares it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Watch over an open connection."""
        self._connection = connection

    def release(self) -> None:
        """Close this process's copy: the server must see the parent's end."""
        if not self._connection.closed:
            with open(os.devnull, "rb") as nothing:
                # The number stays taken, so that the connection never meets another file there.
                os.dup2(nothing.fileno(), self._connection.fileno())


class PostgresStore(TableStore):
    """Store over one schema. The lease is an advisory lock, the fence a row every append locks."""

    locking = " FOR UPDATE"

    def __init__(self, address: Address, writer: bool, create: bool = False) -> None:
        """Connect; a writer takes the lease and brings the tables up to date."""
        super().__init__(address.shown, writer)
        self._address = address
        self._connection: psycopg.Connection[Any] | None = None
        try:
            with self._medium():
                self._connection = self._connected(autocommit=True)
                if not writer:
                    self._run("SET default_transaction_read_only = on")
                else:
                    self._refuse_forgetful_server()
                    self._socket = _Socket(self._connection)
                    release_after_fork(self._socket)
                    self._take_lease()
                if self._must_upgrade(create):
                    schema.upgrade("postgresql+psycopg", self._connected)
                self._refuse_half_restored()
                if writer:
                    self._take_over()
                    self._connection.isolation_level = _psycopg().IsolationLevel.SERIALIZABLE
        except BaseException:
            self._disconnect()
            raise

    def _connected(self, autocommit: bool = False) -> psycopg.Connection[Any]:
        connection: psycopg.Connection[Any] = _psycopg().connect(
            **self._address.parameters, autocommit=autocommit
        )
        return connection

    def _refuse_forgetful_server(self) -> None:
        if self._run("SHOW fsync")[0][0] != "on":
            raise InputInvalid(
                self.where, "fsync = off", "be a server that survives a power cut",
                "set fsync = on in postgresql.conf and reload it",
            )  # fmt: skip

    def _take_lease(self) -> None:
        # One lock space is shared by a database, so the key must name the schema.
        digest = hashlib.sha256(b"crossmargin writer of " + self._address.schema.encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        try:
            with self._transaction():
                self._run(f"SET LOCAL lock_timeout = '{LEASE_WAIT}'")
                self._run("SELECT pg_advisory_lock(?)", (key,))
        except StoreFailed as failed:
            if getattr(failed.__cause__, "sqlstate", None) != "55P03":
                raise
            raise StoreBusy(
                self.where, f"{self._holder()} is writing it",
                "stop that process, or open the journal for reading",
            ) from None  # fmt: skip

    def _holder(self) -> str:
        with suppress(StoreFailed):
            return str(self._run("SELECT holder FROM writer")[0][0]) or "another process"
        return "another process"

    def _must_upgrade(self, create: bool) -> bool:
        name = self._address.schema
        if create and not self._run("SELECT 1 FROM pg_namespace WHERE nspname = ?", (name,)):
            self._run(f"CREATE SCHEMA {name}")
        rows = self._run("SELECT tablename FROM pg_tables WHERE schemaname = ?", (name,))
        ours = (schema.TABLE,) in rows
        versions = self._run(f"SELECT * FROM {name}.{schema.TABLE}") if ours else []
        stored = versions[0][0] if versions else None
        how = "create" if create else "write" if self.writer else "read"
        return schema.is_behind(self.where, stored, len(rows), how)

    def _run(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        assert self._connection is not None
        with self._medium():
            done = self._connection.execute(sql.replace("?", "%b"), values, binary=True)
            return done.fetchall() if done.description else []

    def _insert(self, records: Sequence[Record]) -> None:
        assert self._connection is not None
        with (
            self._connection.cursor() as cursor,
            cursor.copy("COPY records (seq, hash, body) FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types(["int8", "bytea", "bytea"])
            for record in records:
                copy.write_row(record)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        assert self._connection is not None
        with self._medium(), self._connection.transaction():
            yield

    @contextmanager
    def _medium(self) -> Iterator[None]:
        """Turn the server's errors into ours."""
        psycopg = _psycopg()
        try:
            yield
        except (psycopg.errors.SerializationFailure, psycopg.errors.UniqueViolation) as refused:
            raise StoreConflict(
                self.where, f"another writer came between ({self._said(refused)})",
                "stop this writer and start again from the store",
            ) from refused  # fmt: skip
        except psycopg.Error as refused:
            state, found = refused.sqlstate or "08", self._said(refused)
            if self._connection is not None and self._connection.closed:
                self._unusable = "has lost its connection"
                found += "; whether the change under way was kept is not known"
                state = "57"
            remedies = (do for known, do in REMEDIES.items() if state.startswith(known))
            raise StoreFailed(self.where, found, next(remedies, REMEDIES["57"])) from refused

    def _said(self, refused: Exception) -> str:
        diag = getattr(refused, "diag", None)
        said = " ".join(str((diag and diag.message_primary) or refused).split())
        password = self._address.parameters.get("password")
        return said.replace(password, "***") if password else said

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()


def open_postgres(url: str, writer: bool, schema_name: str | None = None) -> PostgresStore:
    """Open a journal that is there."""
    return PostgresStore(parse_address(url, schema_name), writer)


def create_postgres(url: str, schema_name: str | None = None) -> PostgresStore:
    """Create the schema where there is none, and the tables; open it for writing."""
    return PostgresStore(parse_address(url, schema_name), writer=True, create=True)


def parse_address(url: str, schema_name: str | None = None) -> Address:
    """Return what a URL says; `schema_name` goes before the URL's own `schema`."""
    psycopg = _psycopg()
    front, _, query = url.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    named = [value for name, value in pairs if name == "schema"]
    schema_name = schema_name or (named[-1] if named else SCHEMA)
    if not _SCHEMA_NAME.fullmatch(schema_name):
        raise InputInvalid(
            "postgresql: schema", schema_name,
            "be 1 to 63 small letters, digits and _, not pg_... and no digit first",
        )  # fmt: skip
    rest = urlencode([pair for pair in pairs if pair[0] != "schema"], quote_via=quote)
    try:
        given = psycopg.conninfo.conninfo_to_dict(f"{front}?{rest}" if rest else front)
    except psycopg.Error:
        # The library's message may quote the very part that holds the password.
        raise InputInvalid(
            "store", "a postgresql:// URL that cannot be read",
            "be postgresql://user:password@host:port/database?schema=name",
            "write reserved characters of the password as %XX",
        ) from None  # fmt: skip
    settings = "".join(f" -c {name}={value}" for name, value in SESSION.items())
    options = f"{given.get('options') or ''} -c search_path={schema_name}{settings}".strip()
    shown = _shown(given, schema_name)
    return Address({**CONNECTION, **given, "options": options}, schema_name, shown)


def _shown(given: dict[str, Any], schema_name: str) -> str:
    user = f"{given['user']}@" if "user" in given else ""
    # A folder of a Unix socket holds slashes, which are no part of a host in a URL.
    host = quote(str(given.get("host", "")), safe=",")
    port = f":{given['port']}" if "port" in given else ""
    return f"postgresql://{user}{host}{port}/{given.get('dbname', '')}?schema={schema_name}"


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError:
        raise InputInvalid(
            "store", "no library for PostgreSQL", "have psycopg installed",
            "pip install 'crossmargin[postgres]'",
        ) from None  # fmt: skip
    return psycopg
