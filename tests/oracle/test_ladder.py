"""The table of 8.17 says what the engine does: each action at each status, asked of an engine."""

from __future__ import annotations

import pytest

from crossmargin.adapters.quotes import price_commands
from crossmargin.domain.book import Mark, Print
from crossmargin.engine import commands as c
from crossmargin.engine.commands import Side
from crossmargin.engine.replies import Accepted, Rejection
from crossmargin.frames.market import Status
from crossmargin.oracle.actions import LOWEST, Action
from crossmargin.oracle.state import resumed
from engine.small import CT, ETH, USD, Venue, account, holding, order, trade, venue
from oracle.bench import SECOND, Bench

PERP = "ETH-PERP"
COMMANDS = {
    Action.NEW_RISK: trade(PERP, CT, "2000", "ann"),
    Action.WITHDRAW: c.Withdraw(account="ann", asset="USD", amount=1),
    Action.BORROW: c.Borrow(account="ann", asset="ETH", amount=ETH // 100),
    Action.LIQUIDATE: c.Liquidate(
        account="broke", instrument=PERP, contracts=CT, price="2000", buys=False,
        counterparty=Side("@outside"),
    ),
    Action.DEPOSIT: c.Deposit(account="ann", asset="USD", amount=1),
    Action.CANCEL: c.CancelOrder(account="ann", order="o1"),
}  # fmt: skip


def priced(status: str) -> Venue:
    """A venue where ether has this status; ann is long one contract, broke holds ten on nothing."""
    made = venue()
    made.do(account("ann"), holding("ann", {"USD": 10_000 * USD}), account("bob"),
            holding("bob", {"ETH": 10 * ETH}), account("broke"),
            holding("broke", {"USD": 1_500 * USD}, {PERP: (10 * CT, -20_000 * USD)}))  # fmt: skip
    made.do(trade(PERP, CT, "2000", "ann"), order("ann", "o1", CT))
    made.wait(1)
    made.do(c.AcceptPrices(
        stamped_ns=made.engine.now(), prints={"ETH/USD": Print(2_000.0, status=status)},
        marks={PERP: Mark(2_000.0, status=status)},
    ))  # fmt: skip
    return made


def test_a_halt_reaches_the_engine_under_the_stamp_of_the_last_good_price() -> None:
    made = priced("live")
    bench = Bench(classes={"ETH/USD": "ETH"}, at_ns=made.engine.now())
    for prices, status in (([2_000.0] * 3, "live"), ([1_500.0] * 3, "halted")):
        if status == "live":
            bench.settle("ETH/USD", prices)
        else:
            bench.say("ETH/USD", prices, 5.0)
        made.clock.now_ns = bench.at_ns
        [command] = price_commands(bench.fused, 60.0)
        made.do(command)
        told, stamp = made.book.head.prints["ETH/USD"]
        assert (told.status, told.level) == (status, 2_000.0)
    assert stamp == bench.at_ns - 5 * SECOND
    assert made.refused(COMMANDS[Action.LIQUIDATE]).reason == Rejection.POOL_UNPRICED
    # A minute of standing by it, and the engine has the new price.
    for _ in range(12):
        bench.say("ETH/USD", [1_500.0] * 3, 5.0)
    made.clock.now_ns = bench.at_ns
    made.do(*price_commands(bench.fused, 60.0))
    told, _ = made.book.head.prints["ETH/USD"]
    assert (told.status, told.level) == ("degraded", 1_500.0)
    # After a restart the oracle knows what the book knows.
    state = resumed(bench.universe, made.book.head.prints, bench.at_ns + SECOND)
    assert state.level.tolist() == [1_500.0]
    assert float(state.stable[0]) == pytest.approx(float(bench.fused.stable[0]))


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("action", list(COMMANDS))
def test_the_engine_holds_the_line_of_the_table(action: Action, status: Status) -> None:
    [reply] = priced(status.name.lower()).ask(COMMANDS[action])
    if status >= LOWEST[action]:
        assert isinstance(reply, Accepted), reply
    else:
        assert reply.reason == Rejection.POOL_UNPRICED
