"""A journal as Parquet tables: every posting and move with its part, daily ends, accounts, prices.

In     a store, up to which record; a folder that is new or empty.
Out    one Parquet file a table, whole or not there; how many rows each has.
Owns   the tables and their columns (docs/ledger.md); exact amounts as decimal128(38, 0) or text.
Never  puts an amount that is owed through a float; values anything.
Signs  as Posting and Move; amounts in smallest units, contracts in 10^-18.
Spec   docs/ledger.md
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from crossmargin.base.errors import InputInvalid
from crossmargin.base.fixed import AMOUNT_DIGITS_MAX
from crossmargin.domain.book import CONTRACT_DECIMALS, SYSTEM, Book, Status, Terms
from crossmargin.engine.history import Step, walk
from crossmargin.engine.ports import Store
from crossmargin.engine.runtime import Watch
from crossmargin.engine.statements import PLAIN, Role, role_of
from crossmargin.ledger import events as e
from crossmargin.ledger import journal
from crossmargin.ledger.events import moves_of, postings_of

DAY_NS = 86_400 * 1_000_000_000
# Rows of a table held before they are written as a group of the file.
GROUP_ROWS = 100_000

EXACT = "exact"
TEXT, WHOLE, STAMP = pa.string(), pa.int64(), pa.timestamp("ns", "UTC")
_PLACE = {"seq": WHOLE, "at": STAMP, "day": pa.date32(), "event": pa.int32()}
_POOL = {"account": TEXT, "pool": TEXT}
_DECIMALS = pa.int16()
TABLES: dict[str, dict[str, Any]] = {
    "entries": {
        "seq": WHOLE, "at": STAMP, "key": TEXT, "fingerprint": TEXT, "hash": TEXT,
        "events": pa.int32(),
    },
    "events": {**_PLACE, "kind": TEXT, "item": TEXT, "details": TEXT},
    "postings": {
        **_PLACE, "posting": pa.int32(), "role": TEXT, **_POOL, "asset": TEXT,
        "decimals": _DECIMALS, "amount": EXACT,
    },
    "moves": {
        **_PLACE, "move": pa.int32(), "role": TEXT, **_POOL, "instrument": TEXT,
        "contracts": EXACT, "settle": TEXT, "decimals": _DECIMALS, "cost": EXACT,
    },
    "balances_daily": {
        "day": pa.date32(), **_POOL, "asset": TEXT, "decimals": _DECIMALS, "amount": EXACT,
    },
    "positions_daily": {
        "day": pa.date32(), **_POOL, "instrument": TEXT, "contracts": EXACT, "settle": TEXT,
        "decimals": _DECIMALS, "cost": EXACT,
    },
    "accounts": {
        **_POOL, "system": pa.bool_(), "status": TEXT, "method": TEXT, "draw_limit": EXACT,
        "drawn": EXACT, "last_draw": EXACT,
    },
    "prices": {
        "seq": WHOLE, "at": STAMP, "day": pa.date32(), "stamped": STAMP, "kind": TEXT, "name": TEXT,
        "price": pa.float64(), "status": TEXT,
    },
    "items": {
        "item": TEXT, "kind": TEXT, "decimals": _DECIMALS, "payoff": TEXT, "style": TEXT,
        "underlying": TEXT, "quote": TEXT, "settle": TEXT, "size": TEXT, "quanto_rate": TEXT,
        "strike": TEXT, "expiry": STAMP,
    },
}  # fmt: skip
# Of an event's own fields these stand in tables of their own, or are a whole market.
_ELSEWHERE = frozenset((
    "postings", "moves", "listing", "rules", "scenarios", "prints", "marks",
))  # fmt: skip


class Exported(NamedTuple):
    """The book at the end, its chain hash, and rows by table."""

    book: Book
    chain: bytes
    rows: dict[str, int]


def export(
    store: Store, folder: Path, upto: int | None = None, watch: Watch | None = None,
    as_text: bool = False,
) -> Exported:  # fmt: skip
    """Write the journal up to a record; every hash is checked on the way.

    as_text  amounts as decimal text: any number of digits
    """
    book, chain = Book(), journal.GENESIS
    with _new(folder) as part, _Tables(part, as_text) as tables:
        days = _Days(book, tables)
        for step in walk(store, book, upto=upto, watch=watch):
            days.turn(step.entry.at_ns)
            _write(step, book, tables, days)
            chain = step.record.hash
        days.end()
        _write_accounts(book, tables)
        _write_items(book, tables)
    return Exported(book, chain, tables.rows)


def _write(step: Step, book: Book, tables: _Tables, days: _Days) -> None:
    """Write one record; the book stands as it was before."""
    seq, entry = step.record.seq, step.entry
    listing = book.head.listing
    terms = {} if listing is None else listing.terms
    decimals = {} if listing is None else listing.decimals
    tables.add("entries", seq, entry.at_ns, entry.key, entry.fingerprint, step.record.hash.hex(),
               len(entry.events))  # fmt: skip
    for n, event in enumerate(entry.events):
        where = (seq, entry.at_ns, entry.at_ns // DAY_NS, n)
        tables.add("events", *where, type(event).__name__, _item(event), _details(event))
        for k, posting in enumerate(postings_of(event)):
            tables.add(
                "postings", *where, k, str(role_of(event, k, terms)), posting.account,
                posting.pool, posting.asset, decimals[posting.asset], posting.amount,
            )  # fmt: skip
            days.balances[posting.account, posting.pool, posting.asset] = None
        for k, move in enumerate(moves_of(event)):
            settle = terms[move.instrument].settle
            tables.add(
                "moves", *where, k, str(PLAIN.get(type(event), Role.TRADE)), move.account,
                move.pool, move.instrument, move.contracts, settle, decimals[settle], move.cost,
            )  # fmt: skip
            days.positions[move.account, move.pool, move.instrument] = None
        if isinstance(event, e.PricesAccepted):
            _write_prices(event, seq, entry.at_ns, tables)


def _item(event: e.Event) -> str | None:
    """Return the asset or instrument an event is about, where it is about one."""
    found = (getattr(event, name, None) for name in ("instrument", "asset", "item"))
    return next((str(name) for name in found if name is not None), None)


def _details(event: e.Event) -> str:
    own = {name: getattr(event, name) for name in event.__struct_fields__ if name not in _ELSEWHERE}
    return msgspec.json.encode(own).decode()


def _write_prices(event: e.PricesAccepted, seq: int, at_ns: int, tables: _Tables) -> None:
    where = (seq, at_ns, at_ns // DAY_NS, event.stamped_ns)
    for name, told in event.prints.items():
        tables.add("prices", *where, "factor", name, told.level, told.status)
    for name, mark in event.marks.items():
        tables.add("prices", *where, "mark", name, mark.forward, mark.status)


def _write_accounts(book: Book, tables: _Tables) -> None:
    for name, account in book.accounts.items():
        for pool, held in account.pools.items():
            tables.add(
                "accounts", name, pool, name[0] == SYSTEM, Status(account.status).name.lower(),
                held.method, held.draw_limit, held.drawn, held.last_draw,
            )  # fmt: skip


def _write_items(book: Book, tables: _Tables) -> None:
    listing = book.head.listing
    if listing is None:
        return
    for asset, decimals in listing.decimals.items():
        tables.add("items", asset, "asset", decimals, *(None,) * 9)
    for name, own in listing.terms.items():
        tables.add("items", name, own.kind, CONTRACT_DECIMALS, own.payoff, *_terms(own))


def _terms(own: Terms) -> tuple[object, ...]:
    option, quanto = own.is_option, own.payoff == "quanto"
    return (
        own.style if option else None, own.underlying, own.quote, own.settle, own.size,
        own.quanto_rate if quanto else None, own.strike if option else None, own.expiry_ns or None,
    )  # fmt: skip


class _Days:
    """Ends of days: what a day changed is written when the next one begins."""

    def __init__(self, book: Book, tables: _Tables) -> None:
        self.book, self.tables = book, tables
        self.day = 0
        # Ordered sets: rows stand in the order in which they first changed.
        self.balances: dict[tuple[str, str, str], None] = {}
        self.positions: dict[tuple[str, str, str], None] = {}

    def turn(self, at_ns: int) -> None:
        """Write the day before, when a record is of another; the book stands at its end."""
        if at_ns // DAY_NS != self.day:
            self.end()
            self.day = at_ns // DAY_NS

    def end(self) -> None:
        """Write what the day changed as it ended; what is gone is a row of 0."""
        listing = self.book.head.listing
        for account, pool, asset in self.balances:
            assert listing is not None
            amount = self.book.balance(account, pool, asset)
            self.tables.add(
                "balances_daily", self.day, account, pool, asset, listing.decimals[asset], amount
            )
        for account, pool, instrument in self.positions:
            assert listing is not None
            own = self.book.accounts[account].pools[pool].positions.get(instrument)
            settle = listing.terms[instrument].settle
            self.tables.add(
                "positions_daily", self.day, account, pool, instrument,
                own.contracts if own else 0, settle, listing.decimals[settle],
                own.cost if own else 0,
            )  # fmt: skip
        self.balances.clear()
        self.positions.clear()


# --- files ----------------------------------------------------------------------------------------


class _Tables:
    """The tables being written: rows are kept until there are enough for a group."""

    def __init__(self, folder: Path, as_text: bool) -> None:
        self.folder, self.as_text = folder, as_text
        exact = pa.string() if as_text else pa.decimal128(AMOUNT_DIGITS_MAX, 0)
        self.schemas = {
            name: pa.schema([(k, exact if kind is EXACT else kind) for k, kind in columns.items()])
            for name, columns in TABLES.items()
        }
        self.kept: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
        self.rows = dict.fromkeys(TABLES, 0)
        self.writers: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> _Tables:
        self.writers = {
            name: pq.ParquetWriter(self.folder / f"{name}.parquet", schema, compression="zstd")
            for name, schema in self.schemas.items()
        }
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for name, writer in self.writers.items():
            if kind is None:
                self._flush(name)
            writer.close()

    def add(self, name: str, *row: Any) -> None:
        """Add a row."""
        kept = self.kept[name]
        kept.append(row)
        if len(kept) >= GROUP_ROWS:
            self._flush(name)

    def _flush(self, name: str) -> None:
        kept = self.kept[name]
        if not kept:
            return
        columns = [
            self._column(f"{name}.{key}", values, TABLES[name][key], field.type)
            for (key, values), field in zip(
                zip(TABLES[name], zip(*kept, strict=True), strict=True), self.schemas[name],
                strict=True,
            )
        ]  # fmt: skip
        self.writers[name].write_table(pa.table(columns, schema=self.schemas[name]))
        self.rows[name] += len(kept)
        kept.clear()

    def _column(self, where: str, values: Any, kind: Any, made: pa.DataType) -> pa.Array:
        if kind is EXACT and self.as_text:
            values = [None if value is None else str(value) for value in values]
        elif kind is EXACT:
            widest = max((abs(value) for value in values if value is not None), default=0)
            if widest >= 10**AMOUNT_DIGITS_MAX:
                raise InputInvalid(
                    where, f"an amount of {len(str(widest))} digits",
                    f"have at most {AMOUNT_DIGITS_MAX}", "export with --text",
                )  # fmt: skip
        return pa.array(values, type=made)


@contextmanager
def _new(folder: Path) -> Iterator[Path]:
    """A folder that gets its name when everything in it is written."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputInvalid(str(folder), "something", "be a new or empty folder", "name another")
    parent = folder.resolve().parent
    if not parent.is_dir():
        raise InputInvalid(str(folder), "no folder above it", "stand in a folder that is there")
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=parent))
    try:
        yield part
        part.chmod(0o755)
        os.replace(part, folder.resolve())
    finally:
        shutil.rmtree(part, ignore_errors=True)
