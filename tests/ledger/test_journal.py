"""The journal: every tampering is found and located, replay is bit-identical, old journals read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.base.errors import JournalBroken
from crossmargin.domain.book import Book
from crossmargin.engine.ports import Record
from crossmargin.ledger import events, journal
from crossmargin.ledger.apply import imbalance
from engine.memory import MemoryStore
from engine.small import Venue
from engine.streams import Stream, busy
from engine.tally import assert_sound

FIXTURE = Path(__file__).parents[1] / "fixtures" / "journal_v1.jsonl"


def fixture_records() -> tuple[list[Record], dict[str, Any]]:
    """The committed journal of schema version 1, and what its replay has to end in."""
    *rows, end = map(json.loads, FIXTURE.read_text().splitlines())
    return [Record(r["seq"], bytes.fromhex(r["hash"]), r["body"].encode()) for r in rows], end


def replayed(records: list[Record]) -> Book:
    book = Book()
    journal.replay(records, book, journal.GENESIS)
    return book


RECORDS = fixture_records()[0]
N = len(RECORDS)


# --- the committed journal ------------------------------------------------------------------------


def test_a_journal_of_version_1_replays_to_the_state_it_had() -> None:
    records, end = fixture_records()
    book = replayed(records)
    assert journal.state_hash(book).hex() == end["state_hash"]
    assert {item: str(held) for item, (held, _) in journal.totals(book).items()} == end["users"]
    assert_sound(book)


def test_the_committed_journal_holds_every_kind_of_event() -> None:
    seen = {type(e) for r in RECORDS for e in journal.decode(r.body, r.seq).events}
    assert seen == set(events.Event.__subclasses__())


def test_a_record_read_and_written_again_is_the_same_bytes() -> None:
    # True of the newest version only: what is written is of the newest.
    for record in RECORDS:
        assert journal.encode(journal.decode(record.body, record.seq)) == record.body


def test_every_record_of_it_sums_to_zero() -> None:
    terms = replayed(RECORDS).head.listing.terms
    for record in RECORDS:
        assert imbalance(journal.decode(record.body, record.seq).events, terms) == {}


def test_an_engine_goes_on_where_the_committed_journal_ends() -> None:
    made = Venue(MemoryStore(RECORDS))
    assert made.engine.seq == N
    made.price()
    assert made.engine.seq == N + 1


# --- the chain ------------------------------------------------------------------------------------


def test_the_chain_is_sha_256_over_hash_place_and_body() -> None:
    before = bytes(32)
    for record in RECORDS:
        place = record.seq.to_bytes(8, "big")
        before = hashlib.sha256(before + place + record.body).digest()
        assert record.hash == before == journal.chained(*_before(record.seq), record.body)


def _before(seq: int) -> tuple[bytes, int]:
    return (RECORDS[seq - 2].hash if seq > 1 else journal.GENESIS), seq


def broken(records: list[Record]) -> JournalBroken:
    with pytest.raises(JournalBroken) as found:
        replayed(records)
    return found.value


@given(st.integers(0, N - 1), st.data())
def test_a_changed_byte_is_found_at_its_record(place: int, data: st.DataObject) -> None:
    records = list(RECORDS)
    seq, stored, body = records[place]
    at = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(body)
    changed[at] ^= data.draw(st.integers(1, 255))
    records[place] = Record(seq, stored, bytes(changed))
    assert broken(records).seq == seq


@given(st.integers(0, N - 1), st.data())
def test_a_cut_record_is_found_at_its_place(place: int, data: st.DataObject) -> None:
    records = list(RECORDS)
    seq, stored, body = records[place]
    records[place] = Record(seq, stored, body[: data.draw(st.integers(0, len(body) - 1))])
    assert broken(records).seq == seq


@given(st.integers(0, N - 1), st.integers(0, 31), st.integers(1, 255))
def test_a_changed_hash_is_found_at_its_record(place: int, at: int, by: int) -> None:
    records = list(RECORDS)
    seq, stored, body = records[place]
    changed = bytearray(stored)
    changed[at] ^= by
    records[place] = Record(seq, bytes(changed), body)
    assert broken(records).seq == seq


@given(st.integers(0, N - 2))
def test_a_missing_record_is_found_where_it_is_missing(place: int) -> None:
    found = broken(RECORDS[:place] + RECORDS[place + 1 :])
    assert found.seq == place + 1
    assert f"record {place + 2} stands in its place" in str(found)


@given(st.integers(0, N - 1))
def test_a_record_twice_is_found_where_it_stands_again(place: int) -> None:
    assert broken(RECORDS[: place + 1] + RECORDS[place:]).seq == place + 2


@given(st.integers(0, N - 1), st.integers(0, N - 1))
def test_records_in_another_order_are_found_at_the_first(one: int, other: int) -> None:
    if one == other:
        return
    records = list(RECORDS)
    records[one], records[other] = records[other], records[one]
    assert broken(records).seq == min(one, other) + 1


@given(st.integers(0, N - 2))
def test_records_renumbered_over_a_gap_do_not_follow(place: int) -> None:
    # Somebody takes one out and closes the rows behind it.
    rest = [Record(r.seq - 1, r.hash, r.body) for r in RECORDS[place + 1 :]]
    assert broken(RECORDS[:place] + rest).seq == place + 1


def forged(place: int, body: bytes) -> list[Record]:
    """The journal with one body replaced and the chain made anew from there."""
    records: list[Record] = []
    chain = journal.GENESIS
    for record in RECORDS:
        own = body if record.seq == place + 1 else record.body
        chain = journal.chained(chain, record.seq, own)
        records.append(Record(record.seq, chain, own))
    return records


UNREADABLE = [
    # id, body, what is said
    ("nothing", b"", "cannot be read"),
    ("no_json", b"[1,xx", "cannot be read"),
    ("not_unicode", b'[1,1,"\xff","",[]]', "cannot be read"),
    ("a_float_stamp", b'[1,1.5,"k","f",[]]', "cannot be read"),
    ("short", b'[1,1,"k"]', "cannot be read"),
    ("an_unknown_event", b'[1,1,"k","f",[["Minted",1]]]', "newer crossmargin"),
    ("a_newer_schema", b'[2,1,"k","f",[]]', "newer crossmargin"),
    ("no_schema", b'["k",1]', "cannot be read"),
    ("an_amount_of_half", b'[1,1,"k","f",[["Deposited","",[["ann","shared","USD",0.5]]]]]',
     "cannot be read"),
    ("an_account_of_nobody", b'[1,1,"k","f",[["Deposited","",[["eve?","shared","USD",5]]]]]',
     "cannot have happened"),
    ("a_pool_of_nobody", b'[1,1,"k","f",[["Deposited","",[["ann","zzz","USD",5]]]]]',
     "cannot have happened"),
    ("an_order_that_is_not_open", b'[1,1,"k","f",[["OrderCancelled","ann","shared","nil",""]]]',
     "cannot have happened"),
    ("funding_of_no_index", b'[1,1,"k","f",[["FundingPaid","NIL",[["ann","shared"]],[]]]]',
     "cannot have happened"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "said"), [row[1:] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE]
)
def test_a_forged_record_with_a_chain_of_its_own_is_no_traceback(body: bytes, said: str) -> None:
    found = broken(forged(30, body))
    assert found.seq == 31
    assert said in str(found)


def test_an_error_names_the_journal_it_was_found_in() -> None:
    with pytest.raises(JournalBroken, match=r"^sqlite:x\.db: record 2: is missing"):
        journal.replay([RECORDS[0], RECORDS[2]], Book(), journal.GENESIS, "sqlite:x.db")


# --- states ---------------------------------------------------------------------------------------


def parts(book: Book) -> list[bytes]:
    return list(journal.snapshot_parts(book))


@given(st.integers(1, N))
def test_a_state_read_again_is_the_same_state_and_goes_on_alike(place: int) -> None:
    book = replayed(RECORDS[:place])
    again = journal.book_from_parts(parts(book), place, journal.state_hash(book))
    assert journal.state_hash(again) == journal.state_hash(book)
    journal.replay(RECORDS[place:], again, RECORDS[place - 1].hash)
    assert journal.state_hash(again) == journal.state_hash(replayed(RECORDS))


def test_a_state_is_kept_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PART_ACCOUNTS", 3)
    book = replayed(RECORDS)
    many = parts(book)
    assert len(many) == 1 + sum(
        -(-len(x) // 3) for x in (book.accounts, book.keys, book.keys_before)
    )
    again = journal.book_from_parts(many, N, journal.parts_hash(many))
    assert parts(again) == many


SPOILED: list[tuple[str, Callable[[list[bytes]], list[bytes]]]] = [
    ("cut", lambda x: x[:-1]),
    ("none", lambda x: []),
    ("twice", lambda x: [*x, x[-1]]),
    ("swapped", lambda x: [x[1], x[0], *x[2:]]),
    ("a_balance", lambda x: [p.replace(b'"USD":', b'"USD":1', 1) for p in x]),
    ("no_json", lambda x: [x[0], b"xx", *x[2:]]),
    ("half", lambda x: [*x[:-1], x[-1][: len(x[-1]) // 2]]),
]


@pytest.mark.parametrize("spoil", [row[1] for row in SPOILED], ids=[row[0] for row in SPOILED])
def test_a_state_that_is_not_what_was_kept_is_refused(
    spoil: Callable[[list[bytes]], list[bytes]],
) -> None:
    book = replayed(RECORDS)
    with pytest.raises(JournalBroken, match="altered or cut short") as found:
        journal.book_from_parts(spoil(parts(book)), N, journal.state_hash(book))
    assert found.value.seq == N


def test_a_state_of_another_record_is_refused() -> None:
    book = replayed(RECORDS)
    with pytest.raises(JournalBroken):
        journal.book_from_parts(parts(book), N - 1, journal.state_hash(book))


def test_the_state_hash_sees_every_field_a_decision_depends_on() -> None:
    book = replayed(RECORDS)
    seen = {journal.state_hash(book)}

    def differs() -> None:
        found = journal.state_hash(book)
        assert found not in seen
        seen.add(found)

    pool = book.accounts["ann"].pools["shared"]
    pool.balances["USD"] += 1
    differs()
    pool.balances = dict(reversed(pool.balances.items()))
    differs()
    pool.positions["ETH-PERP"].funding_index += 1
    differs()
    book.accounts["eve"].pools["b"].drawn += 1
    differs()
    book.head.lending["USD"].index += 1
    differs()
    book.head.prints["BTC/USD"] = (book.head.prints["BTC/USD"][0], 1)
    differs()
    book.keys.popitem()
    differs()
    book.head.settled["X"] = "1"
    differs()
    book.head.at_ns += 1
    differs()


@given(st.integers(0, 2**32 - 1))
def test_replay_of_what_an_engine_wrote_ends_in_its_state(seed: int) -> None:
    made, stream = busy(), Stream(seed)
    for _ in range(2):
        made.ask(*stream.take(15, made.engine.now()))
        made.wait(stream.rng.choice((1, 700)))
    assert journal.state_hash(replayed(made.store.records)) == made.engine.state_hash()


def test_numbers_past_64_bits_stand_in_the_journal_whole() -> None:
    entry = events.Entry(1, 5, "k", "f", (events.Deposited("", (
        events.Posting("a", "shared", "WEI", 10**40 + 1),)),))  # fmt: skip
    assert b'"WEI",10000000000000000000000000000000000000001' in journal.encode(entry)
    assert journal.decode(journal.encode(entry), 1) == entry
    assert msgspec.structs.asdict(entry)["at_ns"] == 5
