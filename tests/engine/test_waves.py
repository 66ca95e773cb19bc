"""Deciding many commands at once is deciding them one after the other; deciding changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.engine import commands as c
from crossmargin.engine import decide as deciding
from crossmargin.engine.decide import Decided, decide
from crossmargin.engine.replies import Accepted, Rejected, Rejection
from engine.arranged import ARRANGED
from engine.small import USD, USDC, Venue, account, trade, venue
from engine.streams import Stream, busy
from engine.tally import assert_entries_balance, assert_sound, entries

SEEDS = st.integers(0, 2**32 - 1)
SHARE = settings().max_examples // 200 or 1


@given(SEEDS)
def test_many_at_once_are_answered_as_one_after_the_other(seed: int) -> None:
    check_waves(seed, ("cross_sum",))


@settings(max_examples=50 * SHARE)
@given(SEEDS)
def test_pools_of_every_method_are_judged_together_as_apart(seed: int) -> None:
    check_waves(seed, ("portfolio", "cross_correlated", "isolated", "cross_sum"))


def check_waves(seed: int, methods: tuple[str, ...]) -> None:
    together, apart, stream = busy(methods), busy(methods), Stream(seed)
    for _ in range(3):
        commands = stream.take(25, together.engine.now())
        one = together.engine.submit(commands)
        other = [reply for command in commands for reply in apart.engine.submit([command])]
        assert one == other
        assert together.store.records == apart.store.records
        assert together.engine.state_hash() == apart.engine.state_hash()
        later = stream.rng.choice((0, 1, 7, 100, 4_000))
        together.wait(later)
        apart.wait(later)
    assert_sound(together.book)
    assert_entries_balance(entries(together.store), together.book.head.listing.terms)


@given(SEEDS)
def test_deciding_changes_nothing_and_answers_the_same_again(seed: int) -> None:
    made, stream = busy(), Stream(seed)
    made.ask(*stream.take(10, made.engine.now()))
    commands = stream.take(25, made.engine.now())
    setting = made.engine.setting(made.engine.now())
    before = made.engine.state_hash()
    first = decide(made.book, setting, commands)
    assert made.engine.state_hash() == before
    assert decide(made.book, setting, commands) == first
    assert 1 <= len(first) <= len(commands)
    made.engine.what_if(commands)
    assert made.engine.state_hash() == before


def test_a_wave_of_strangers_is_decided_whole() -> None:
    made = venue()
    names = [f"a{n}" for n in range(50)]
    made.do(*(account(name) for name in names))
    pays = [made.stamped(c.Deposit(account=n, asset="USD", amount=100)) for n in names]
    assert len(decide(made.book, made.engine.setting(made.engine.now()), pays)) == 50


def test_a_wave_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "WAVE_MAX", 3)
    made = ARRANGED["calm"]()
    pays = [made.stamped(c.Deposit(account=n, asset="USD", amount=1)) for n in ("ann", "bob")] * 3
    assert len(decide(made.book, made.engine.setting(made.engine.now()), pays)) <= 3
    assert len(made.engine.submit(pays)) == 6


def pair(first: Any, second: Any) -> tuple[Venue, list[Any]]:
    """lending() asked two commands in one call, and how many of them one wave decided."""
    made = ARRANGED["lending"]()
    commands = [made.stamped(first), made.stamped(second)]
    n = len(decide(made.book, made.engine.setting(made.engine.now()), commands))
    return made, [n, *made.engine.submit(commands)]


def borrow(name: str, amount: int, asset: str = "USDC") -> c.Borrow:
    return c.Borrow(account=name, asset=asset, amount=amount)


def test_two_that_share_a_cap_wait_where_it_would_not_hold_both() -> None:
    # 9,000 of 10,000 USDC are owed: 500 and 500 are decided side by side, 501 and 500 are not.
    _, [n, *replies] = pair(borrow("dan", 500 * USDC), borrow("cat", 500 * USDC))
    assert (n, [type(r) for r in replies]) == (2, [Accepted, Accepted])
    _, [n, first, second] = pair(borrow("dan", 501 * USDC), borrow("cat", 500 * USDC))
    assert (n, type(first)) == (1, Accepted)
    assert second == Rejected(Rejection.BORROW_CAP, 500 * USDC, 499 * USDC, "USDC")


def test_two_that_share_cash_wait_where_it_would_not_hold_both() -> None:
    # 100 dollars are not lent out, and 950 may be owed at most
    take = c.Withdraw(account="ann", asset="USD", amount=60 * USD)
    _, [n, first, second] = pair(take, borrow("dan", 41 * USD, "USD"))
    assert (n, type(first)) == (1, Accepted)
    assert second == Rejected(Rejection.CASH_SHORT, 41 * USD, 40 * USD, "USD")


def test_what_an_earlier_one_pays_in_is_there_for_a_later_one() -> None:
    pay = c.Deposit(account="ann", asset="USDC", amount=100_000 * USDC)
    repay = c.Repay(account="cat", asset="USDC", amount=9_000 * USDC)
    _, [n, *replies] = pair(repay, borrow("dan", 10_000 * USDC))
    assert (n, [type(r) for r in replies]) == (1, [Accepted, Accepted])
    _, [_, first, second] = pair(pay, borrow("dan", 1_001 * USDC))
    assert type(first) is Accepted
    assert second.reason == Rejection.BORROW_CAP


def test_one_key_twice_in_a_call_has_one_effect() -> None:
    made = ARRANGED["calm"]()
    pay = made.stamped(c.Deposit(account="ann", asset="USD", amount=5))
    other = made.stamped(c.Deposit(account="bob", asset="USD", amount=5)).__class__(
        key=pay.key, issued_ns=pay.issued_ns, account="bob", asset="USD", amount=5
    )
    first, second, third = made.engine.submit([pay, pay, other])
    assert isinstance(first, Accepted)
    assert second == Accepted(first.seq, True)
    assert third == Rejected(Rejection.KEY_REUSED, where=pay.key)
    assert made.balance("ann", "USD") == 100_005


def test_a_refused_key_may_be_used_by_the_next_in_the_same_call() -> None:
    made = ARRANGED["calm"]()
    bad = made.stamped(c.Deposit(account="ann", asset="USD", amount=0))
    good = c.Deposit(key=bad.key, issued_ns=bad.issued_ns, account="ann", asset="USD", amount=1)
    first, second = made.engine.submit([bad, good])
    assert (type(first), type(second)) == (Rejected, Accepted)


def test_settlement_prices_of_an_undone_batch_are_forgotten() -> None:
    made = ARRANGED["expired"]()
    holders = (("ann", "shared"),)
    two = c.Batch(commands=(
        c.SettleExpiry(instrument="ETH-CALL", price="2100", holders=holders),
        c.Withdraw(account="ann", asset="USD", amount=10**9),
    ))  # fmt: skip
    assert made.refused(two).reason == Rejection.BALANCE_SHORT
    made.engine.what_if([made.stamped(c.SettleExpiry(
        instrument="ETH-FUT", price="2100", holders=holders))])  # fmt: skip
    assert set(made.book.head.settled) == {"ETH-FUT"}
    prices_differ = c.Batch(commands=(
        c.SettleExpiry(instrument="ETH-FUT", price="2100", holders=holders),
        c.SettleExpiry(instrument="ETH-FUT", price="2101", holders=(("bob", "shared"),)),
    ))  # fmt: skip
    assert made.refused(prices_differ).reason == Rejection.PRICE_DIFFERS


def test_what_would_be_answered_is_answered() -> None:
    made = ARRANGED["positions"]()
    commands = [
        made.stamped(x)
        for x in (
            c.Withdraw(account="ann", asset="USD", amount=875_000),
            c.Withdraw(account="ann", asset="USD", amount=875_001),
            trade("ETH-PERP", 3 * 10**18, "2000", "bob", "ann"),
        )
    ]
    told = made.engine.what_if(commands)
    for command, want in zip(commands, told, strict=True):
        fresh = ARRANGED["positions"]()
        [got] = fresh.engine.submit([command])
        assert got == want


@given(SEEDS)
def test_what_the_quote_says_the_deed_accepts(seed: int) -> None:
    made, stream = busy(), Stream(seed)
    made.ask(*stream.take(20, made.engine.now()))
    commands = stream.take(4, made.engine.now())
    told = made.engine.what_if(commands)[0]
    assert made.engine.submit(commands[:1])[0] == told


def test_decided_carries_the_events_and_the_print_of_its_command() -> None:
    made = ARRANGED["calm"]()
    command = made.stamped(c.Deposit(account="ann", asset="USD", amount=1))
    [found] = decide(made.book, made.engine.setting(made.engine.now()), [command])
    assert isinstance(found, Decided)
    assert found.fingerprint == deciding.fingerprint(command)
    assert len(found.events) == 1
