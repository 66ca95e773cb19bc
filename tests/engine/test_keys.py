"""One key, one effect (L14): repeats, reuse, 590 seconds at their edges, clocks that run back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.domain.book import KEY_WINDOW_NS
from crossmargin.engine import commands as c
from crossmargin.engine.replies import Accepted, Rejected, Rejection
from crossmargin.engine.runtime import Engine
from engine.arranged import calm
from engine.small import CT, SECOND, T0, USD, Venue, order, trade, venue

WINDOW = KEY_WINDOW_NS
# The first window that begins after T0, and the one after that.
W1 = (T0 // WINDOW + 1) * WINDOW


def pay(key: str, issued_ns: int, amount: int = 1) -> c.Deposit:
    return c.Deposit(key=key, issued_ns=issued_ns, account="ann", asset="USD", amount=amount)


def at(made: Venue, now_ns: int) -> Venue:
    made.clock.now_ns = now_ns
    return made


def test_a_command_sent_again_is_answered_as_before_and_happens_once() -> None:
    made = calm()
    first = made.engine.submit([pay("a", T0)])
    assert made.engine.submit([pay("a", T0)] * 3) == [Accepted(first[0].seq, True)] * 3
    assert made.balance("ann", "USD") == 100_001


@pytest.mark.parametrize(
    "changed",
    [
        c.Deposit(key="a", issued_ns=T0, account="ann", asset="USD", amount=2),
        c.Deposit(key="a", issued_ns=T0, account="ann", asset="USD", amount=1, reference="x"),
        c.Deposit(key="a", issued_ns=T0 + 1, account="ann", asset="USD", amount=1),
        c.Deposit(key="a", issued_ns=T0, account="bob", asset="USD", amount=1),
        c.Withdraw(key="a", issued_ns=T0, account="ann", asset="USD", amount=1),
        c.Batch(key="a", issued_ns=T0, commands=(
            c.Deposit(account="ann", asset="USD", amount=1),)),
    ],
    ids=["amount", "reference", "stamp", "account", "kind", "batch"],
)  # fmt: skip
def test_same_means_equal_in_every_field(changed: Any) -> None:
    # The stamp too: a sender that stamps anew on each try would outrun the memory of keys.
    made = calm()
    made.engine.submit([pay("a", T0)])
    assert made.engine.submit([changed]) == [Rejected(Rejection.KEY_REUSED, where="a")]


def test_every_kind_of_command_has_its_key_remembered() -> None:
    made = calm()
    made.wait(1)
    for n, command in enumerate((
        order("ann", "o", CT), c.CancelOrder(account="ann"), trade("ETH-PERP", CT, "2000", "ann"),
        c.AdvanceFunding(instrument="ETH-PERP", rate="0.01", price="2000"),
        c.ChargeAccruals(holders=(("ann", "shared"),)), c.AdvanceInterest(asset="USD"),
        c.SetStatus(account="bob", status="frozen"),
        c.Batch(commands=(c.Deposit(account="ann", asset="USD", amount=1),)),
    )):  # fmt: skip
        one = made.stamped(command).__class__(**{
            **{f: getattr(command, f) for f in command.__struct_fields__},
            "key": f"key {n}", "issued_ns": made.engine.now()})  # fmt: skip
        [first] = made.engine.submit([one])
        assert isinstance(first, Accepted), (command, first)
        assert made.engine.submit([one]) == [Accepted(first.seq, True)]


def test_a_refused_command_leaves_its_key_free() -> None:
    made = calm()
    assert made.engine.submit([pay("a", T0, 0)])[0].reason == Rejection.AMOUNT_NOT_POSITIVE
    assert isinstance(made.engine.submit([pay("a", T0, 1)])[0], Accepted)


AGES = [
    # nanoseconds from issue to arrival, answer
    (0, None),
    (590 * SECOND, None),
    (590 * SECOND + 1, Rejection.COMMAND_EXPIRED),
    (-5 * SECOND, None),
    (-5 * SECOND - 1, Rejection.COMMAND_FROM_FUTURE),
]


@pytest.mark.parametrize(("age", "reason"), AGES)
def test_a_command_may_be_590_s_old_and_5_s_ahead(age: int, reason: Rejection | None) -> None:
    [reply] = calm().engine.submit([pay("a", T0 - age)])
    assert (reply.reason if isinstance(reply, Rejected) else None) == reason


def test_a_used_key_is_known_whatever_its_stamp() -> None:
    made = calm()
    [first] = made.engine.submit([pay("a", T0)])
    made.wait(599)  # too old to happen, and told that it happened
    assert made.engine.submit([pay("a", T0)]) == [Accepted(first.seq, True)]


def test_keys_of_this_window_and_the_one_before_are_known() -> None:
    made = at(calm(), W1)
    made.engine.submit([pay("a", W1)])
    for later in (WINDOW - 1, WINDOW, 2 * WINDOW - 1):
        at(made, W1 + later)
        assert isinstance(made.engine.submit([pay("a", W1)])[0], Accepted)
        made.engine.submit([pay(f"b{later}", W1 + later)])
    assert made.balance("ann", "USD") == 100_000 + 1 + 3
    at(made, W1 + 2 * WINDOW)
    assert made.engine.submit([pay("a", W1)])[0].reason == Rejection.COMMAND_EXPIRED
    assert isinstance(made.engine.submit([pay("a", W1 + 2 * WINDOW)])[0], Accepted), "a free key"


@pytest.mark.parametrize("between", [True, False], ids=["with_records_between", "in_silence"])
def test_what_is_forgotten_depends_on_time_and_not_on_what_came_between(between: bool) -> None:
    made = at(calm(), W1)
    made.engine.submit([pay("a", W1)])
    if between:
        for n in range(1, 5):
            at(made, W1 + n * WINDOW // 2)
            made.engine.submit([pay(f"b{n}", made.clock.now_ns)])
    at(made, W1 + 2 * WINDOW)
    again = pay("a", W1 + 2 * WINDOW, amount=7)
    assert isinstance(made.engine.submit([again])[0], Accepted)


def test_a_command_issued_ahead_at_the_end_of_a_window_cannot_happen_twice() -> None:
    # Arrives in the last nanosecond of a window, stamped 5 s ahead; forgotten 600 s and 1 ns later,
    # when its stamp is 595 s old: more than 590.
    made = at(calm(), W1 + WINDOW - 1)
    one = pay("a", W1 + WINDOW - 1 + 5 * SECOND)
    assert isinstance(made.engine.submit([one])[0], Accepted)
    at(made, W1 + 2 * WINDOW)
    made.engine.submit([pay("tick", W1 + 2 * WINDOW)])
    [reply] = made.engine.submit([one])
    assert isinstance(reply, Accepted) == (made.book.used("a") is not None)
    assert made.balance("ann", "USD") == 100_000 + 2


@given(
    st.integers(0, 2 * WINDOW),
    st.integers(-5 * SECOND, 590 * SECOND),
    st.lists(st.integers(1, 400 * SECOND), min_size=1, max_size=8),
)
def test_however_often_and_late_it_is_sent_it_happens_once(
    start: int, age: int, waits: list[int]
) -> None:
    made = at(calm(), T0 + start)
    one = pay("a", made.clock.now_ns - age, amount=1_000)
    assert isinstance(made.engine.submit([one])[0], Accepted)
    for n, wait in enumerate(waits):
        made.clock.now_ns += wait
        if n % 2:
            made.engine.submit([pay(f"b{n}", made.clock.now_ns)])
        made.engine.submit([one])
    assert made.balance("ann", "USD") == 100_000 + 1_000 + len(waits) // 2


# --- time -----------------------------------------------------------------------------------------


def test_the_engine_s_time_never_runs_back() -> None:
    made = calm()
    made.wait(100)
    made.engine.submit([pay("a", made.engine.now())])
    made.clock.now_ns -= 50 * SECOND
    assert made.engine.now() == T0 + 100 * SECOND
    # Stamped by the clock that ran back: 50 s old to the engine, and no older.
    made.engine.submit([pay("b", made.clock.now_ns)])
    stamps = [made.book.used(key).at_ns for key in "ab"]
    assert stamps == [T0 + 100 * SECOND] * 2
    made.clock.now_ns -= 10_000 * SECOND
    assert made.engine.submit([pay("c", made.clock.now_ns)])[0].reason == Rejection.COMMAND_EXPIRED
    assert made.engine.submit([pay("a", T0 + 100 * SECOND)])[0].repeated


def test_a_clock_that_runs_back_brings_no_stale_price_to_life() -> None:
    made = calm()
    made.wait(61)
    made.engine.submit([pay("a", made.engine.now())])
    made.clock.now_ns = T0
    assert made.refused(trade("ETH-PERP", CT, "2000", "ann")).reason == Rejection.POOL_UNPRICED


def test_an_engine_opened_again_knows_its_keys_and_its_time() -> None:
    made = calm()
    made.wait(100)
    made.engine.submit([pay("a", made.engine.now())])
    made.clock.now_ns = T0
    for snapshot in (False, True):
        if snapshot:
            made.engine.snapshot()
        again = Engine.open(made.store, made.clock)
        assert again.now() == T0 + 100 * SECOND
        assert again.submit([pay("a", T0 + 100 * SECOND)])[0].repeated


# --- batches --------------------------------------------------------------------------------------


def batch(*commands: Any) -> c.Batch:
    return c.Batch(commands=commands)


def take(amount: int, asset: str = "USD") -> c.Withdraw:
    return c.Withdraw(account="ann", asset=asset, amount=amount)


def add(amount: int, asset: str = "USD") -> c.Deposit:
    return c.Deposit(account="ann", asset=asset, amount=amount)


def test_a_batch_is_one_record_of_all_its_events() -> None:
    made = calm()
    made.do(batch(add(5), add(7), order("ann", "o", CT)))
    assert made.balance("ann", "USD") == 100_012
    assert made.engine.seq == len(made.store.records)
    made.refused(batch(add(5), add(7), order("ann", "o", CT)))
    assert made.balance("ann", "USD") == 100_012


BATCHES = [
    # id, batch, accepted: ann has 1,000 dollars
    ("sound_only_at_the_end", batch(take(100_500), add(600)), True),
    ("unsound_at_the_end", batch(add(600), take(100_601)), False),
    ("sound_before_unsound", batch(take(1), take(100_000)), False),
    ("fills_before_it_pays_in", batch(trade("ETH-PERP", 5 * CT, "2000", "ann"), add(25_000)), True),
    ("fills_and_pays_in_a_cent_less",
     batch(trade("ETH-PERP", 5 * CT, "2000", "ann"), add(24_999)), False),
    ("buys_and_sells_again", batch(trade("ETH-PERP", 50 * CT, "2000", "ann"),
                                   trade("ETH-PERP", 50 * CT, "2000", "@outside", "ann")), True),
    ("orders_and_cancels", batch(order("ann", "o", 50 * CT), c.CancelOrder(account="ann")), True),
    ("one_unknown_name", batch(add(5), c.Deposit(account="eve", asset="USD", amount=1)), False),
    ("through_another_and_back", batch(
        c.Transfer(account="ann", asset="USD", amount=100_000, to_account="bob"),
        trade("ETH-PERP", CT, "2000", "ann"),
        c.Transfer(account="bob", asset="USD", amount=100_000, to_account="ann")), True),
    ("through_a_frozen_account", batch(
        c.SetStatus(account="bob", status="frozen"),
        c.Transfer(account="bob", asset="ETH", amount=1, to_account="ann")), False),
    ("an_account_from_nothing", batch(
        c.OpenAccount(account="eve"), c.Deposit(account="eve", asset="USD", amount=500 * USD),
        trade("ETH-PERP", CT, "2000", "eve")), True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "accepted"), [row[1:] for row in BATCHES], ids=[row[0] for row in BATCHES]
)
def test_a_batch_is_judged_on_its_end_and_happens_whole_or_not(
    command: Any, accepted: bool
) -> None:
    made = calm()
    if accepted:
        made.do(command)
    else:
        made.refused(command)  # leaves the state as it was


def test_a_batch_that_only_helps_is_never_blocked() -> None:
    made = venue()
    made.do(*(c.OpenAccount(account=name) for name in ("ann", "bob")))
    made.do(c.ImportAccount(account="ann", balances={"USD": 100 * USD},
                            positions={"ETH-PERP": (10 * CT, -2_000_000)}))  # fmt: skip
    made.do(batch(trade("ETH-PERP", CT, "2000", "@outside", "ann"), add(1),
                  trade("ETH-PERP", CT, "2000", "@outside", "ann")))  # fmt: skip
    # Risk that rises and falls by more: what counts is the end.
    made.do(batch(trade("ETH-PERP", CT, "2000", "ann"),
                  trade("ETH-PERP", 2 * CT, "2000", "@outside", "ann")))  # fmt: skip
    made.refused(batch(trade("ETH-PERP", 2 * CT, "2000", "@outside", "ann"), take(1)))


def test_a_deposit_in_a_batch_gets_no_pool_judged() -> None:
    made = calm()
    made.wait(61)  # prices are stale
    made.do(batch(add(5), c.Deposit(account="bob", asset="ETH", amount=1)))


def test_a_linked_batch_is_strict_where_one_of_it_is() -> None:
    made = venue()
    made.do(c.OpenAccount(account="ann"), c.ImportAccount(
        account="ann", balances={"USD": 100 * USD},
        positions={"ETH-PERP": (10 * CT, -2_000_000)}))  # fmt: skip
    sale = trade("ETH-PERP", CT, "2000", "@outside", "ann")
    for commands in ((sale, take(1)), (take(1), sale)):
        reply = made.refused(batch(*commands))
        assert reply.reason == Rejection.MARGIN_SHORT
        assert reply.free < 0
    made.do(sale)
