"""A long day: after fifty thousand commands every unit is where the commands said it went."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from crossmargin.engine import commands as c
from crossmargin.engine.replies import Accepted
from crossmargin.engine.runtime import Engine
from engine.memory import MemoryStore
from engine.small import Side, Venue, account, bucket, venue
from engine.streams import UNIT, Stream
from engine.tally import assert_sound

TRADERS = tuple(f"t{n}" for n in range(200))
KINDS = {
    "deposit": 14, "withdraw": 16, "borrow": 10, "repay": 6, "transfer": 10, "fill": 30, "order": 8,
    "cancel": 5, "charge": 2, "yield": 1, "fund": 1, "liquidate": 2, "open": 1, "status": 1,
}  # fmt: skip


class Day(Stream):
    """A stream in which nothing crosses the venue's border but deposits and withdrawals."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, world=False, names=TRADERS)
        self.kinds, self.weights = list(KINDS), list(KINDS.values())

    def _side(self) -> Side:
        return Side(self._name(), "shared", self.rng.choice((0, 0, 1, 25, -3)))

    def _yield(self) -> Any:
        return c.AccrueYield(
            asset=self._asset(), rate="0.001", holders=self._holders(), source="@interest"
        )

    def _pool(self, name: str) -> str:
        return "b" if name in TRADERS[::10] and self.rng.random() < 0.3 else "shared"


class Tally:
    """What came in less what went out, from commands and answers alone."""

    IN, OUT = (c.Deposit, c.Repay, c.FundInsurance), (c.Withdraw, c.Borrow)

    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()

    def count(self, command: Any, reply: Any) -> None:
        happened = isinstance(reply, Accepted) and not reply.repeated
        self.answers[type(command).__name__ if happened else "not"] += 1
        inner = command.commands if isinstance(command, c.Batch) else (command,)
        for one in inner if happened else ():
            if isinstance(one, self.IN):
                self.sums[one.asset] += one.amount
            elif isinstance(one, self.OUT):
                self.sums[one.asset] -= one.amount


def opened(tally: Tally) -> Venue:
    """Two hundred accounts that paid in, some of 18 decimals by the trillion."""
    made = venue()
    for n, name in enumerate(TRADERS):
        commands: list[Any] = [account(name, *((bucket("b", 500),) if n % 10 == 0 else ()))]
        for asset, coins in (("USD", 20_000), ("USDC", 20_000), ("ETH", 20), ("WEI", 10**12)):
            amount = coins * UNIT[asset] + n
            commands.append(c.Deposit(account=name, asset=asset, amount=amount))
        for command, reply in zip(commands, made.ask(*commands), strict=True):
            tally.count(command, reply)
    return made


def lived(n_commands: int, seed: int) -> tuple[Venue, Tally]:
    tally, day = Tally(), Day(seed)
    made = opened(tally)
    for start in range(0, n_commands, 500):
        world = [
            day._prices(made.engine.now()),
            c.AdvanceFunding(instrument="ETH-PERP", rate="0.00012", price="1999.9"),
            c.AdvanceInterest(asset="USD"), c.AdvanceInterest(asset="USDC"),
        ]  # fmt: skip
        made.ask(*world)
        commands = day.take(min(500, n_commands - start), made.engine.now())
        for command, reply in zip(commands, made.engine.submit(commands), strict=True):
            tally.count(command, reply)
        made.wait(20)
    return made, tally


def inside(made: Venue) -> Counter[str]:
    """What every account but @outside holds, unsettled costs too."""
    found: Counter[str] = Counter()
    terms = made.book.head.listing.terms
    for name, held in made.book.accounts.items():
        if name == "@outside":
            continue
        for pool in held.pools.values():
            for asset, amount in pool.balances.items():
                found[asset] += amount
            for instrument, position in pool.positions.items():
                found[terms[instrument].settle] += position.cost
    return found


def assert_whole(made: Venue, tally: Tally) -> None:
    found = inside(made)
    for asset in UNIT:
        assert found[asset] == tally.sums[asset], asset
        assert made.balance("@outside", asset) == -tally.sums[asset], asset
    assert tally.sums["WEI"] > 10**12 * UNIT["WEI"], "tokens by the trillion, to the last of 10^-18"
    assert_sound(made.book)


def test_fifty_thousand_commands_lose_no_unit() -> None:
    made, tally = lived(50_000, seed=5)
    assert_whole(made, tally)
    # It was no empty day: a third of the commands happened, each kind among them.
    assert sum(tally.answers.values()) - tally.answers["not"] > 16_000
    assert {"Deposit", "Withdraw", "Borrow", "Repay", "Transfer", "Fill", "PlaceOrder", "Batch",
            "ChargeAccruals", "AccrueYield"} <= set(tally.answers)  # fmt: skip
    again = Engine.open(MemoryStore(made.store.records), made.clock)
    assert again.state_hash() == made.engine.state_hash()


@pytest.mark.soak
def test_a_million_commands_lose_no_unit(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.perf_counter()
    made, tally = lived(1_000_000, seed=6)
    took = time.perf_counter() - began
    assert_whole(made, tally)
    with capsys.disabled():
        print(f"\n1,000,000 commands, {made.engine.seq:,} records, {1e6 / took:,.0f} commands/s")
