"""Many callers, one writer: what is taken is answered, what cannot be taken is refused at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any

import pytest

from crossmargin.base.errors import Overloaded, StoreFailed
from crossmargin.engine import commands as c
from crossmargin.engine import queue
from crossmargin.engine.queue import CommandQueue
from crossmargin.engine.replies import Accepted, Rejection, Reply
from engine.memory import SOON_S, Held, MemoryStore
from engine.small import T0, Venue, account, venue
from engine.tally import assert_sound


def pay(key: str, amount: int = 1) -> c.Deposit:
    return c.Deposit(key=key, issued_ns=T0, account="ann", asset="USD", amount=amount)


@contextmanager
def running(**options: int) -> Iterator[tuple[CommandQueue, Held, Venue]]:
    made = venue()
    made.do(account("ann"))
    store = Held(made.store.records)
    again = Venue(store)
    made_queue = CommandQueue(again.engine, **options)
    try:
        yield made_queue, store, again
    finally:
        store.gate.set()
        made_queue.stop()


def blocked(made: CommandQueue, store: Held) -> Future[list[Reply]]:
    """Close the gate and let the writer wait at it with one command."""
    store.gate.clear()
    store.waited.clear()
    first = made.submit([pay("first")])
    assert store.waited.wait(SOON_S)
    return first


def test_a_command_is_answered_when_it_is_durable() -> None:
    with running() as (made, store, again):
        first = blocked(made, store)
        assert not first.done()
        store.gate.set()
        [reply] = first.result(SOON_S)
        assert isinstance(reply, Accepted)
        assert store.records[-1].seq == reply.seq == again.engine.seq


def test_commands_of_many_are_made_durable_together_in_order() -> None:
    with running(group_max=8) as (made, store, _):
        first = blocked(made, store)
        others = [made.submit([pay(f"{n}-a"), pay(f"{n}-b")]) for n in range(5)]
        store.gate.set()
        seqs = [reply.seq for f in (first, *others) for reply in f.result(SOON_S)]
        assert seqs == list(range(seqs[0], seqs[0] + 11))
        # one alone, then as many whole calls as reach 8 commands, then the rest
        assert store.sizes == [1, 8, 2]


def test_a_call_larger_than_a_group_is_still_one_call() -> None:
    with running(group_max=2) as (made, store, _):
        assert len(made.submit([pay(str(n)) for n in range(7)]).result(SOON_S)) == 7
        assert store.sizes == [7]


def test_more_than_may_wait_is_refused_and_nothing_of_it_happens() -> None:
    with running(waiting_max=4) as (made, store, again):
        first = blocked(made, store)
        second = made.submit([pay("a"), pay("b")])
        with pytest.raises(Overloaded, match="holds 3 commands"):
            made.submit([pay("c"), pay("d")])
        third = made.submit([pay("e")])  # one still fits
        with pytest.raises(Overloaded, match="send again later"):
            made.submit([pay("f")])
        store.gate.set()
        wait([first, second, third], SOON_S)
        assert made.submit([pay("f")]).result(SOON_S)
        assert again.balance("ann", "USD") == 5


def test_a_batch_counts_as_the_commands_it_links() -> None:
    linked = c.Batch(key="b", issued_ns=T0, commands=tuple(
        c.Deposit(account="ann", asset="USD", amount=1) for _ in range(3)
    ))  # fmt: skip
    with running(waiting_max=4) as (made, store, _):
        first = blocked(made, store)
        second = made.submit([pay("a")])
        with pytest.raises(Overloaded, match=r"holds 2 commands .* send again later"):
            made.submit([linked])
        with pytest.raises(Overloaded, match=r"was sent 6 commands .* send fewer at once"):
            made.submit([linked, linked])
        store.gate.set()
        wait([first, second], SOON_S)
        assert made.submit([linked]).result(SOON_S)


def linking(n: int, key: str = "b") -> c.Batch:
    one = c.Deposit(account="ann", asset="USD", amount=1)
    return c.Batch(key=key, issued_ns=T0, commands=(one,) * n)


def test_a_batch_that_cannot_happen_is_answered_and_not_overload() -> None:
    # 257 is more than may be linked: refused as it stands, so it takes no more room than 256.
    with running(waiting_max=256) as (made, _, _):
        [reply] = made.submit([linking(10_000)]).result(SOON_S)
        assert getattr(reply, "reason", None) == Rejection.BATCH_INVALID


def test_batches_that_link_nothing_fill_the_queue_too() -> None:
    with running(waiting_max=4) as (made, store, _):
        blocked(made, store)
        made.submit([linking(0, f"b{n}") for n in range(3)])
        with pytest.raises(Overloaded, match="holds 4 commands"):
            made.submit([linking(0)])


def test_who_hears_an_answer_finds_its_room_free() -> None:
    with running(waiting_max=1) as (made, store, _):
        first, again = blocked(made, store), []
        first.add_done_callback(lambda _: again.append(made.submit([pay("second")])))
        store.gate.set()
        first.result(SOON_S)
        made.stop()
        assert [reply for future in again for reply in future.result(SOON_S)]


def test_what_waits_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "WAITING_BYTES_MAX", 1_000)
    told = c.Deposit(key="x", issued_ns=T0, account="ann", asset="USD", amount=1,
                     reference="r" * 600)  # fmt: skip
    with running() as (made, store, _):
        first = blocked(made, store)
        second = made.submit([told])
        with pytest.raises(Overloaded, match="send again later"):
            made.submit([told])
        with pytest.raises(Overloaded, match="send fewer at once"):
            made.submit([told, told])
        store.gate.set()
        wait([first, second], SOON_S)
        assert made.submit([told]).result(SOON_S)


def test_stopping_answers_what_was_taken_and_takes_no_more() -> None:
    with running() as (made, store, again):
        first = blocked(made, store)
        others = [made.submit([pay(str(n))]) for n in range(20)]
        stopper = threading.Thread(target=made.stop)
        stopper.start()
        while not made._stopping:
            threading.Event().wait(0.001)
        with pytest.raises(Overloaded, match="is stopping"):
            made.submit([pay("late")])
        store.gate.set()
        stopper.join(SOON_S)
        assert all(future.done() for future in (first, *others))
        assert again.balance("ann", "USD") == 21
        made.stop()  # again: nothing happens
        assert not again.engine.halted


def test_a_store_that_fails_fails_everyone_who_waits_and_whoever_comes() -> None:
    with running() as (made, store, again):
        first = blocked(made, store)
        others = [made.submit([pay(str(n))]) for n in range(3)]
        store.fail_at = store.n_appends + 1
        store.gate.set()
        for future in (first, *others):
            with pytest.raises(StoreFailed, match="disk is full"):
                future.result(SOON_S)
        with pytest.raises(StoreFailed):
            made.submit([pay("late")])
        assert isinstance(made.failed, StoreFailed)
        assert again.engine.halted


def test_a_waiter_that_gives_up_does_not_stop_the_others() -> None:
    with running() as (made, store, again):
        first = blocked(made, store)
        gone, kept = made.submit([pay("a")]), made.submit([pay("b")])
        gone.cancel()
        store.gate.set()
        wait([first, kept], SOON_S)
        assert kept.done()
        # What was queued may happen or not; who asks again with the same key is told.
        [told] = made.submit([pay("a")]).result(SOON_S)
        assert isinstance(told, Accepted)
        assert again.balance("ann", "USD") == 3


def test_several_threads_lose_nothing_and_happen_once() -> None:
    n_threads, n_each = 8, 40
    with running(waiting_max=64) as (made, store, again):
        found: list[Reply] = []
        lock = threading.Lock()

        def work(number: int) -> None:
            for n in range(n_each):
                while True:
                    try:
                        # Every key is sent by two threads.
                        future = made.submit([pay(f"{number // 2}-{n}")])
                        break
                    except Overloaded:
                        threading.Event().wait(0.001)
                with lock:
                    found.extend(future.result(SOON_S))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON_S)
        accepted: list[Any] = [reply for reply in found if isinstance(reply, Accepted)]
        assert len(accepted) == n_threads * n_each
        assert sum(reply.repeated for reply in accepted) == n_threads * n_each // 2
        assert again.balance("ann", "USD") == n_threads * n_each // 2
        assert_sound(again.book)
        assert len(Venue(MemoryStore(store.records)).book.keys) == len(again.book.keys)


def test_refusals_come_back_beside_what_was_accepted() -> None:
    with running() as (made, _, _):
        replies = made.submit([pay("a"), pay("b", 0), pay("a", 2)]).result(SOON_S)
        assert isinstance(replies[0], Accepted)
        assert [reply.reason for reply in replies[1:]] == [
            Rejection.AMOUNT_NOT_POSITIVE, Rejection.KEY_REUSED,
        ]  # fmt: skip


def test_nothing_asked_is_nothing_answered() -> None:
    with running() as (made, store, _):
        assert made.submit([]).result(SOON_S) == []
        assert store.sizes == []
