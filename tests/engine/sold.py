"""The small venue under rules by which it sells, and a turn of the loop with what always holds."""

from __future__ import annotations

from typing import Any

import msgspec

from crossmargin.domain.liquidation_rules import Auction, Backstop, Execution, Selling
from crossmargin.engine import commands as c
from crossmargin.engine.liquidator import Liquidator, Turn
from crossmargin.engine.lookout import Lookout
from crossmargin.frames.ledgered import book_frame
from engine.memory import MemoryStore
from engine.small import CT, USD, Venue, account, holding, rulebook, rules_table, venue
from engine.tally import assert_sound

EXECUTION = Execution(
    policy="best_relief_per_cost", round_s=3_600.0, rounds_max=6, lot_value=10.0,
    auction=Auction(0.0, 1.0, 1e-4, 0.2, 0.005), backstop=Backstop(1e9, 1e9),
    markets={"default": Selling("order_book", 1.0, 0.5, 0.01)},
)  # fmt: skip


def selling(margin: dict[str, float] | None = None, coin: dict[str, float] | None = None) -> Venue:
    """The venue, under rules by which it sells; entries of margin and of coins replaced."""
    table = rules_table()
    classes = {**table["classes"], "coin": {**table["classes"]["coin"], **(coin or {})}}
    part = {**table["liquidation"], "execution": msgspec.to_builtins(EXECUTION)}
    whole = {**table["margin"], **(margin or {})}
    made = venue()
    rules = rulebook(liquidation=part, margin=whole, classes=classes)
    made.do(c.AdoptRulebook(rules=rules.packed()))
    return made


def long(name: str, dollars: int, entry: int = 2_000, contracts: int = 10) -> list[Any]:
    """An account long so many ETH-PERP, entered at a price, with so many dollars."""
    cost = -contracts * entry * USD
    return [
        account(name),
        holding(name, {"USD": dollars * USD}, {"ETH-PERP": (contracts * CT, cost)}),
    ]


def turned(made: Venue, liquidator: Liquidator | None = None) -> Turn:
    """A turn, after which the books sum to zero and replay gives the same state."""
    found = (liquidator or Liquidator()).turn(made.engine)
    assert_sound(made.book)
    again = Venue(MemoryStore(made.store.records), made.clock.now_ns)
    assert again.engine.state_hash() == made.engine.state_hash()
    return found


def verdicts(made: Venue) -> dict[str, int]:
    """Verdict of MM of every shared pool, each margined by brute force."""
    setting = made.engine.setting(made.engine.now())
    users = [(n, a) for n, a in made.book.accounts.items() if n[0] != "@"]
    frame = book_frame(users, made.book, setting.items)
    seen = Lookout(frame, setting.market).verdict
    return {
        f"{frame.account_names[a]}/{frame.pool_names[row]}": int(seen[row])
        for row, a in enumerate(frame.account_of_pool().tolist())
    }
