"""Stores as commands of the ledger open them, and the moments they are asked about.

In     the address of a store, a stamp of the command line.
Out    an open store or engine, closed again; a book of now or of an earlier record.
Owns   what --at and --at-seq mean; when a snapshot is worth keeping.
Never  creates a store; computes an amount.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from crossmargin.apps.cli.options import AT_LEAST_0
from crossmargin.apps.cli.progress import searching

if TYPE_CHECKING:
    from crossmargin.domain.book import Book
    from crossmargin.engine.ports import Store
    from crossmargin.engine.runtime import Engine

AsJson = Annotated[bool, Parameter(name="--json", negative="", group="Output")]
Seq = Annotated[int | None, Parameter(group="Inputs", validator=AT_LEAST_0)]
Text = Annotated[str | None, Parameter(group="Inputs")]
# About a tenth of a second of replay.
WORTH_A_SNAPSHOT = 10_000
# How far a stated moment may lie ahead: the clocks of two machines differ.
AHEAD_NS = 5 * 1_000_000_000
SECOND_NS = 1_000_000_000


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class When:
    """Which record a question is about."""

    at_seq: Seq = None
    """As it stood after this record."""
    at: Text = None
    """As it stood at this moment, such as 2026-01-31T12:00Z."""


def shown(store: str) -> str:
    """Return a store's address without the password it may hold."""
    return re.sub(r"(password=)[^&]*|(://[^/@:]*:)[^@/]*(?=@)", r"\1\2***", store)


@contextmanager
def reading(where: str) -> Iterator[Store]:
    """Open a store to look at; a writer may hold it at the same time."""
    from crossmargin.adapters.store import open_store

    store = open_store(where, writer=False)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def writing(where: str, at: str | None, quiet: bool) -> Iterator[Engine]:
    """Open the engine of a store; its clock is the wall's, or stands at a stated moment."""
    from crossmargin.adapters.clocks import WallClock
    from crossmargin.adapters.store import open_store
    from crossmargin.engine.runtime import Engine

    stated = None if at is None else past(at)
    store = open_store(where, writer=True)
    try:
        with searching("replaying", quiet) as watch:
            engine = Engine.open(store, WallClock() if stated is None else lambda: stated, watch)
        yield engine
        keep_state(engine)
    finally:
        store.close()


def keep_state(engine: Engine) -> None:
    """Keep a snapshot where opening without one would take a moment."""
    heads = engine.store.snapshots()
    if engine.seq - (heads[-1].seq if heads else 0) >= WORTH_A_SNAPSHOT:
        engine.snapshot()


def moment(text: str, option: str = "--at") -> int:
    """Return a stamp of the command line as UTC nanoseconds; refuse what is none."""
    from crossmargin.base.errors import InputInvalid
    from crossmargin.frames.findings import stamp_ns

    at_ns = stamp_ns(text)
    if at_ns < 0:
        raise InputInvalid(option, text, "be a UTC stamp", "write it like 2026-01-31T12:00Z")
    return at_ns


def past(text: str) -> int:
    """Return a stated moment to act at: the ledger's time never runs back from it."""
    from crossmargin.adapters.clocks import wall_clock
    from crossmargin.base.errors import InputInvalid

    at_ns = moment(text)
    if at_ns > wall_clock() + AHEAD_NS:
        raise InputInvalid("--at", text, "not lie in the future", "a ledger's time never runs back")
    return at_ns


def book_at(store: Store, when: When, quiet: bool) -> Book:
    """Return the book after a record, at a moment, or of now."""
    from crossmargin.engine.runtime import restored

    upto = seq_of(store, when.at_seq, when.at)
    with searching("replaying", quiet) as watch:
        return restored(store, upto, watch)[0]


def seq_of(store: Store, at_seq: int | None, at: str | None, option: str = "--at-seq") -> int:
    """Return the record a question is about: a number, the newest of a moment, the newest."""
    from crossmargin.base.errors import InputInvalid
    from crossmargin.engine.history import seq_at

    last = store.last()[0]
    if at_seq is not None and at is not None:
        raise InputInvalid("--at", at, "stand alone", "leave --at-seq out")
    if at is not None:
        return seq_at(store, moment(at))
    if at_seq is not None and at_seq > last:
        raise InputInvalid(option, at_seq, f"be at most {last}, the newest record")
    return last if at_seq is None else at_seq


def stamp_text(at_ns: int) -> str:
    """Return a moment as people and parsers read it, every digit kept; a dash for none."""
    if not at_ns:
        return "-"
    whole, rest = divmod(at_ns, SECOND_NS)
    tail = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}{tail}Z"
