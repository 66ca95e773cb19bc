"""The journal: entries as bytes, chained by hash; states as bytes, hashed; replay.

In     entries or records; a book.
Out    records, a book, hashes; JournalBroken that names the first record not to be believed.
Owns   the encoding of entries and snapshots, the chain rule, what replay checks.
Never  decides, touches a disk, or skips a record it cannot read.
Signs  seq counts from 1.
Spec   docs/spec/10-ledger.md
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from crossmargin.base.errors import JournalBroken
from crossmargin.domain.book import SYSTEM, AccountState, Book, Head, Key
from crossmargin.ledger.apply import apply_entry
from crossmargin.ledger.events import (
    SCHEMA,
    Entry,
    MarketListed,
    PricesAccepted,
    VenueTotalsAdopted,
)

GENESIS = bytes(32)
# Accounts in one part of a snapshot: a few megabytes.
PART_ACCOUNTS = 20_000

# Events that hold numbers which are no integers.
NUMBERED = (MarketListed, PricesAccepted, VenueTotalsAdopted)

_encode = msgspec.json.Encoder().encode
_decoders: dict[int, Callable[[bytes], Entry]] = {SCHEMA: msgspec.json.Decoder(Entry).decode}
"""One decoder a schema version ever released. A version's events stay readable for ever."""


def chained(previous: bytes, seq: int, body: bytes) -> bytes:
    """Return the chain hash of a record: it depends on every byte before it, and on its place."""
    return hashlib.sha256(previous + seq.to_bytes(8, "big") + body).digest()


def encode(entry: Entry) -> bytes:
    """Return the bytes of an entry: the same entry, the same bytes, on every machine."""
    return _encode(entry)


def decode(body: bytes, seq: int, where: str = "journal") -> Entry:
    """Return the entry of a record's bytes, of whichever released schema."""
    try:
        opening = body[: body.index(b",")]
        read = _decoders[int(opening[1:])]
        return read(body)
    except (ValueError, KeyError, msgspec.MsgspecError) as unreadable:
        said = str(unreadable) or type(unreadable).__name__
        raise JournalBroken(
            where, seq, f"cannot be read ({said})",
            "it was altered, or a newer crossmargin wrote it: install that, or restore a backup",
        ) from None  # fmt: skip


def replay(
    records: Iterable[tuple[int, bytes, bytes]], book: Book, chain: bytes, where: str = "journal"
) -> bytes:
    """Fold records into a book, every hash checked; return the chain hash after the last.

    chain  the hash after record `book.head.seq`, GENESIS for an empty book
    """
    seq = book.head.seq
    sha, read = hashlib.sha256, _decoders[SCHEMA]
    opening = b"[%d," % SCHEMA
    for number, stored, body in records:
        seq += 1
        if number != seq:
            raise JournalBroken(where, seq, f"is missing; record {number} stands in its place")
        chain = sha(chain + seq.to_bytes(8, "big") + body).digest()
        if chain != stored:
            raise JournalBroken(where, seq, "does not follow from the records before it")
        try:
            # The common case without the search for its version.
            entry = read(body) if body.startswith(opening) else decode(body, seq, where)
            apply_entry(entry, seq, book)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            decode(body, seq, where)  # says what is wrong with it
        except (LookupError, AttributeError, TypeError, AssertionError) as wrong:
            # A chain made anew over a record of somebody's invention.
            said = f"{type(wrong).__name__} {wrong}"[:80]
            raise JournalBroken(where, seq, f"cannot have happened ({said})") from None
    return chain


# --- states ---------------------------------------------------------------------------------------


class _Part(msgspec.Struct, array_like=True):
    """Some accounts and some keys of a snapshot, in the book's order."""

    accounts: dict[str, AccountState]
    keys: dict[str, Key]
    keys_before: dict[str, Key]


def snapshot_parts(book: Book) -> Iterator[bytes]:
    """Yield a state as bytes: the head, then accounts and keys in parts."""
    yield _encode(book.head)
    for some in _cut(list(book.accounts)):
        yield _encode(_Part({name: book.accounts[name] for name in some}, {}, {}))
    for some in _cut(list(book.keys)):
        yield _encode(_Part({}, {name: book.keys[name] for name in some}, {}))
    for some in _cut(list(book.keys_before)):
        yield _encode(_Part({}, {}, {name: book.keys_before[name] for name in some}))


def book_from_parts(parts: Iterable[bytes], seq: int, wanted: bytes) -> Book:
    """Return the state a snapshot after record `seq` holds; `wanted` is the hash it must have."""
    digest = hashlib.sha256()

    def hashed() -> Iterator[bytes]:
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)
            yield part

    rest = hashed()
    read = msgspec.json.Decoder(_Part).decode
    book = Book()
    try:
        book = Book(msgspec.json.decode(next(rest), type=Head))
        for part in rest:
            found = read(part)
            book.accounts.update(found.accounts)
            book.keys.update(found.keys)
            book.keys_before.update(found.keys_before)
    except (StopIteration, ValueError, msgspec.MsgspecError):
        digest.update(b"unreadable")
    if digest.digest() != wanted or book.head.seq != seq:
        raise JournalBroken(
            "snapshot", seq, "the state kept after it was altered or cut short",
            "run `crossmargin ledger rebuild`: the journal makes it again",
        )  # fmt: skip
    return book


def state_hash(book: Book) -> bytes:
    """Return a hash of everything a decision can depend on: of the bytes a snapshot would hold.

    Order counts, and follows from the journal: pools stand in draw order, debts and positions in
    the order in which their accruals are settled.
    """
    return parts_hash(snapshot_parts(book))


def parts_hash(parts: Iterable[bytes]) -> bytes:
    """Return the hash of a snapshot's parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def totals(book: Book) -> dict[str, tuple[int, int]]:
    """Return asset -> (sum over users, sum over system accounts), costs of positions included.

    The two sum to zero: nothing is created or lost (L5).
    """
    assert book.head.listing is not None
    terms = book.head.listing.terms
    found: dict[str, list[int]] = {}
    for name, held in book.accounts.items():
        side = 1 if name[0] == SYSTEM else 0
        for pool in held.pools.values():
            for asset, amount in pool.balances.items():
                found.setdefault(asset, [0, 0])[side] += amount
            for instrument, position in pool.positions.items():
                found.setdefault(terms[instrument].settle, [0, 0])[side] += position.cost
                found.setdefault(instrument, [0, 0])[side] += position.contracts
    return {item: (users, system) for item, (users, system) in sorted(found.items())}


def _cut(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), PART_ACCOUNTS):
        yield names[start : start + PART_ACCOUNTS]
