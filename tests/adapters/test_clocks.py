"""A clock that is set far ahead stamps nothing; one that is kept in time is believed."""

from __future__ import annotations

import time

import pytest

from crossmargin.adapters.clocks import JUMP_MAX_NS, WallClock, steady_clock, wall_clock
from crossmargin.base.errors import ClockJumped
from crossmargin.engine import commands as c
from crossmargin.engine.queue import CommandQueue
from crossmargin.engine.replies import Accepted
from crossmargin.engine.runtime import Engine
from engine.arranged import calm
from engine.small import T0, USD

SECOND = 1_000_000_000
YEAR = 365 * 86_400 * SECOND


class Hands:
    """Two clocks moved by hand: the one of the wall, and the one nobody sets."""

    def __init__(self, wall: int = T0) -> None:
        self.wall, self.steady = wall, 5 * SECOND

    def clock(self) -> WallClock:
        return WallClock(lambda: self.wall, lambda: self.steady)

    def wait(self, ns: int) -> None:
        self.wall, self.steady = self.wall + ns, self.steady + ns


def test_time_that_passes_is_no_jump_however_long() -> None:
    hands = Hands()
    clock = hands.clock()
    for ns in (0, 1, SECOND, YEAR):
        hands.wait(ns)
        assert clock() == hands.wall


@pytest.mark.parametrize(("ahead", "believed"), [
    (JUMP_MAX_NS, True), (JUMP_MAX_NS + 1, False), (10 * YEAR, False),
    (-1, True), (-10 * YEAR, True),
])  # fmt: skip
def test_a_clock_may_be_set_so_far_ahead_at_once(ahead: int, believed: bool) -> None:
    hands = Hands()
    clock = hands.clock()
    hands.wait(SECOND)
    hands.wall += ahead
    if believed:
        assert clock() == hands.wall
    else:
        with pytest.raises(ClockJumped, match="ahead at once"):
            clock()


def test_a_clock_that_jumped_stays_refused_until_it_is_set_right() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.wall += YEAR
    for _ in range(2):
        hands.wait(SECOND)
        with pytest.raises(ClockJumped):
            clock()
    hands.wall -= YEAR
    assert clock() == hands.wall


def test_after_a_step_back_the_way_forward_is_measured_from_there() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.wall -= YEAR
    clock()
    hands.wall += YEAR
    with pytest.raises(ClockJumped):
        clock()


def test_the_clocks_of_this_machine_agree() -> None:
    clock = WallClock()
    before = time.time_ns()
    assert before <= clock() <= wall_clock()
    assert steady_clock() <= steady_clock()


def test_nothing_is_written_at_a_time_that_jumped_and_the_ledger_goes_on_after_it() -> None:
    made = calm()
    store, n_records = made.store, len(made.store.records)
    hands = Hands(made.engine.now())
    queue = CommandQueue(Engine(store, hands.clock(), made.book, made.engine.chain))
    pay = c.Deposit(key="d1", issued_ns=hands.wall, account="ann", asset="USD", amount=USD)
    hands.wall += 10 * YEAR
    with pytest.raises(ClockJumped):
        queue.submit([pay]).result(10)
    queue.stop()
    assert len(store.records) == n_records
    hands.wall -= 10 * YEAR
    again = Engine.open(store, hands.clock())
    assert again.submit([pay]) == [Accepted(n_records + 1)]
