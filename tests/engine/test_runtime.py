"""The one object that changes: what it acknowledges is kept, what it derives may be thrown away."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.base.errors import JournalBroken, StoreFailed
from crossmargin.engine import commands as c
from crossmargin.engine import money, runtime
from crossmargin.engine.decide import decide
from crossmargin.engine.replies import Accepted
from crossmargin.engine.runtime import Engine, restored
from crossmargin.ledger import journal
from engine.arranged import calm, positions
from engine.memory import GENESIS, HandClock, MemoryStore
from engine.small import CT, T0, USD, Venue, account, trade
from engine.streams import Stream, busy
from engine.tally import assert_sound

SEEDS = st.integers(0, 2**32 - 1)
# A whole venue is made for each example: a part of the profile's number, in every profile.
SHARE = settings().max_examples // 200 or 1


def pay(amount: int = 1, name: str = "ann") -> c.Deposit:
    return c.Deposit(account=name, asset="USD", amount=amount)


# --- derived state --------------------------------------------------------------------------------


@settings(max_examples=25 * SHARE)
@given(SEEDS, st.lists(st.booleans(), min_size=12, max_size=12))
def test_forgetting_what_is_derived_at_any_moment_changes_no_answer(
    seed: int, moments: list[bool]
) -> None:
    kept, forgetful, stream = busy(), busy(), Stream(seed)
    for forget in moments:
        commands = stream.take(4, kept.engine.now())
        if forget:
            forgetful.engine.forget()
        assert kept.engine.submit(commands) == forgetful.engine.submit(commands)
        later = stream.rng.choice((0, 1, 30, 61))
        kept.wait(later)
        forgetful.wait(later)
    assert kept.engine.state_hash() == forgetful.engine.state_hash()


@settings(max_examples=60 * SHARE)
@given(SEEDS, st.integers(0, 30))
def test_an_engine_opened_again_in_between_answers_as_one_that_ran_on(seed: int, cut: int) -> None:
    ran, stream = busy(), Stream(seed)
    commands = stream.take(30, ran.engine.now())
    want = ran.engine.submit(commands)
    cut_off = busy()
    first = cut_off.engine.submit(commands[:cut])
    if cut % 2:
        cut_off.engine.snapshot()
    again = Engine.open(cut_off.store, cut_off.clock)
    assert first + again.submit(commands[cut:]) == want
    assert again.state_hash() == ran.engine.state_hash()
    assert again.chain == ran.engine.chain


def test_a_market_is_made_again_when_a_price_turns_stale_between_two_commands() -> None:
    made = calm()
    made.do(trade("ETH-PERP", CT, "2000", "ann"))
    made.wait(61)
    assert made.refused(trade("ETH-PERP", CT, "2000", "ann")).reason == "pool_unpriced"
    made.price()
    made.do(trade("ETH-PERP", CT, "2000", "ann"))


def test_a_clock_that_runs_back_before_any_record_finds_the_market_it_had() -> None:
    made = calm()
    made.wait(61)
    assert made.refused(trade("ETH-PERP", CT, "2000", "ann")).reason == "pool_unpriced"
    # No record holds the time, so it is T0 + 1 s again, and every print is a second old.
    made.wait(-60)
    made.do(trade("ETH-PERP", CT, "2000", "ann"))


# --- durability -----------------------------------------------------------------------------------


class Early(MemoryStore):
    """Fails at the given append."""


def test_a_store_that_fails_halts_the_engine_and_what_was_durable_is_there_again() -> None:
    made = calm()
    durable = made.engine.state_hash()
    made.store.fail_at = made.store.n_appends + 1
    with pytest.raises(StoreFailed, match="disk is full"):
        made.ask(pay(5), pay(7))
    assert made.engine.halted
    for use in (lambda: made.ask(pay()), made.engine.snapshot):
        with pytest.raises(StoreFailed, match="open it again"):
            use()
    again = Engine.open(made.store, made.clock)
    assert again.state_hash() == durable
    assert again.book.balance("ann", "shared", "USD") == 100_000


def test_a_command_that_was_not_acknowledged_may_be_sent_again() -> None:
    made = calm()
    one = made.stamped(pay(5))
    made.store.fail_at = made.store.n_appends + 1
    with pytest.raises(StoreFailed):
        made.engine.submit([one])
    again = Engine.open(made.store, made.clock)
    [reply] = again.submit([one])
    assert reply == Accepted(again.seq)
    assert again.submit([one]) == [Accepted(again.seq, True)]
    assert again.book.balance("ann", "shared", "USD") == 100_005


def test_an_error_after_something_happened_halts_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = calm()
    calls = iter((False, True))

    def failing(*arguments: Any) -> Any:
        if next(calls):
            raise ZeroDivisionError
        return decide(*arguments)

    monkeypatch.setattr(runtime, "decide", failing)
    durable = len(made.store.records)
    with pytest.raises(ZeroDivisionError):
        made.ask(pay(5), pay(7))  # two waves: both name ann
    assert made.engine.halted
    assert len(made.store.records) == durable


def test_an_error_before_anything_happened_leaves_the_engine_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = calm()

    def failing(*arguments: Any) -> Any:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(runtime, "decide", failing)
        with pytest.raises(ZeroDivisionError):
            made.ask(pay())
    assert not made.engine.halted
    made.do(pay())


def test_money_out_of_nothing_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    made = calm()
    before = made.engine.state_hash(), len(made.store.records)

    def one_too_many(*ends: Any) -> Any:
        paid, got = pair(*ends)
        return paid, msgspec.structs.replace(got, amount=got.amount + 1)

    pair = money._pair
    with monkeypatch.context() as patched:
        patched.setattr(money, "_pair", one_too_many)
        with pytest.raises(AssertionError, match="USD"):
            made.ask(pay())
    assert (made.engine.state_hash(), len(made.store.records)) == before
    made.do(pay())


def test_a_record_that_could_not_be_made_leaves_the_chain_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = calm()

    def failing(*arguments: Any) -> Any:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(journal, "decode", failing)  # what prices are read back with
        with pytest.raises(ZeroDivisionError):
            made.price()
    made.do(pay())
    assert Engine.open(made.store, made.clock).state_hash() == made.engine.state_hash()


def test_refusals_alone_write_nothing() -> None:
    made = calm()
    before = made.store.n_appends
    made.ask(pay(0), pay(-1))
    assert made.store.n_appends == before


def test_a_call_is_one_append() -> None:
    made = calm()
    before = made.store.n_appends
    made.ask(*(pay(n) for n in range(1, 40)))
    assert made.store.n_appends == before + 1
    assert made.engine.submit([]) == []
    assert made.store.n_appends == before + 1


def test_a_closed_engine_gives_its_store_back_and_answers_no_more() -> None:
    made = calm()
    made.engine.close()
    assert made.store.closed
    with pytest.raises(StoreFailed, match="closed"):
        made.ask(pay())
    with pytest.raises(StoreFailed, match="closed"):
        made.engine.what_if([made.stamped(pay())])


# --- snapshots ------------------------------------------------------------------------------------


def grown(n: int = 6) -> Venue:
    made = calm()
    for k in range(n):
        made.do(pay(k + 1))
        if k % 2:
            made.engine.snapshot()
    return made


def test_a_snapshot_and_the_rest_is_the_whole_journal() -> None:
    made = grown()
    made.do(pay(100), account("eve"))
    book, chain = restored(made.store)
    whole, whole_chain = restored(made.store, whole=True)
    assert journal.state_hash(book) == journal.state_hash(whole) == made.engine.state_hash()
    assert chain == whole_chain == made.engine.chain
    assert_sound(whole)


@settings(max_examples=60 * SHARE)
@given(SEEDS)
def test_after_any_history_a_snapshot_and_the_rest_is_the_whole_journal(seed: int) -> None:
    made, stream = busy(), Stream(seed)
    for _ in range(3):
        made.ask(*stream.take(8, made.engine.now()))
        made.wait(stream.rng.choice((1, 400)))
        if stream.rng.random() < 0.5:
            made.engine.snapshot()
    found = [journal.state_hash(restored(made.store, whole=w)[0]) for w in (False, True)]
    assert found == [made.engine.state_hash()] * 2


def test_the_state_of_an_earlier_record_can_be_had() -> None:
    made = grown()
    for seq in range(len(made.store.records) + 1):
        book, chain = restored(made.store, upto=seq)
        assert book.head.seq == seq
        assert chain == (made.store.records[seq - 1].hash if seq else GENESIS)
        again, _ = restored(made.store, upto=seq, whole=True)
        assert journal.state_hash(book) == journal.state_hash(again)
    assert restored(made.store, upto=10**9)[0].head.seq == len(made.store.records)


def test_only_the_newest_snapshots_are_kept() -> None:
    made = grown(10)
    assert len(made.store.snapshots()) == 3
    assert made.engine.snapshot(keep=1) == made.engine.seq
    assert [head.seq for head in made.store.snapshots()] == [made.engine.seq]


def test_an_empty_store_opens_as_an_empty_book() -> None:
    engine = Engine.open(MemoryStore(), HandClock(T0))
    assert (engine.seq, engine.chain, engine.now()) == (0, GENESIS, T0)


def test_opening_tells_how_far_it_is() -> None:
    made = grown(0)
    store = MemoryStore(made.store.records)
    told: list[tuple[int, int]] = []
    Engine.open(store, made.clock, watch=lambda done, n: told.append((done, n)))
    n = len(store.records)
    assert told[-1] == (n, n)


# --- journals that are not whole ------------------------------------------------------------------


def opened(store: MemoryStore) -> JournalBroken:
    with pytest.raises(JournalBroken) as found:
        Engine.open(store, HandClock(T0))
    return found.value


def test_a_journal_cut_off_behind_its_newest_state_is_not_opened() -> None:
    # The newest snapshot stands after a record that is gone: what was acknowledged is lost.
    made = grown()
    del made.store.records[-1]
    found = opened(made.store)
    assert found.seq == len(made.store.records) + 1
    assert "is missing" in str(found)


def test_a_journal_that_ends_before_its_own_end_is_not_opened() -> None:
    made = calm()
    made.store.last = lambda: (made.store.records[-1].seq + 1, GENESIS)  # type: ignore[method-assign]
    assert opened(made.store).seq == len(made.store.records) + 1


def test_a_journal_that_goes_another_way_than_its_newest_state_is_not_opened() -> None:
    made = grown()
    other = calm()
    for k in range(6):
        other.do(pay(k + 2))
    other.store.kept = made.store.kept
    found = opened(other.store)
    assert found.seq == len(other.store.records)
    other.do(pay(1))
    assert opened(other.store).seq == len(other.store.records)


@pytest.mark.parametrize("spoil", ["part", "hash", "state_hash"])
def test_a_spoiled_snapshot_is_not_opened_and_the_journal_still_is(spoil: str) -> None:
    made = grown()
    seq = max(made.store.kept)
    head, parts = made.store.kept[seq]
    if spoil == "part":
        parts[1] = parts[1].replace(b'"USD":', b'"USD":9', 1)
    else:
        head = head._replace(**{spoil: bytes(32)})
    made.store.kept[seq] = (head, parts)
    assert opened(made.store).seq == seq
    book, _ = restored(made.store, whole=True)
    assert journal.state_hash(book) == made.engine.state_hash()


def test_what_if_asks_each_alone_and_keeps_nothing() -> None:
    made = positions()
    before = made.engine.state_hash()
    take = made.stamped(c.Withdraw(account="ann", asset="USD", amount=8_750 * USD))
    told = made.engine.what_if([take, take])
    assert told == [Accepted(made.engine.seq + 1)] * 2
    assert made.engine.state_hash() == before
    assert made.book.used(take.key) is None
