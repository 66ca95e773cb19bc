"""What a plan is made of: frozen steps in book units, and how they read.

In     what `plan` found.
Out    `Plan`, `Step`, `Fill`; rows and text.
Owns   the shape other code relies on: item rows, signed quantities, coins, expected costs.
Never  computes a margin number; changes after it is made.
Signs  fills signed (+ the pool gets); costs >= 0, numeraire; buffers signed.
Spec   docs/spec/09-liquidation.md, 9.1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fill:
    """One change of a pool: an item, and what is paid for it.

    item, quantity  row of the market's items and its signed change: contracts or coins
    price           expected: quote units for instruments, numeraire for assets; NaN where an
                    inverse position has no finite one
    cash_item, cash asset row the money is in, and coins received (+) or paid (-), costs deducted
    """

    item: int
    quantity: float
    price: float
    cash_item: int
    cash: float


@dataclass(frozen=True, slots=True)
class Expected:
    """What a step is expected to cost the pool, numeraire.

    discount is what a takeover costs: the distance from the marks to the bankruptcy prices; it is
    negative where the taker pays.
    """

    half_spread: float = 0.0
    impact: float = 0.0
    fee: float = 0.0
    penalty: float = 0.0
    discount: float = 0.0

    @property
    def total(self) -> float:
        return self.half_spread + self.impact + self.fee + self.penalty + self.discount


@dataclass(frozen=True, slots=True)
class State:
    """Equity, buffer_MM and health of the pool, by its own method."""

    equity: float
    buffer: float
    health: float


@dataclass(frozen=True, slots=True)
class Step:
    """One step; kind "cancel", "net", "reduce", "swap", "takeover" or "adl".

    turn  which round of the plan, from 0: it comes so many round_s after the start
    lots  how many lots of the first fill's item
    """

    kind: str
    turn: int
    mechanism: str
    fills: tuple[Fill, ...]
    lots: int
    cost: Expected
    before: State
    after: State
    why: str


@dataclass(frozen=True, slots=True)
class Compared:
    """What one policy came to where `optimal` looked at all of them."""

    policy: str
    outcome: str
    cost: float
    bad_debt: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with one pool, and what it should come to.

    outcome  "none" it is not liquidatable; "restored" health reaches the target; "eased" no step
             helps any more and buffer_MM is not negative; "takeover", "adl" the rest is taken at
             bankruptcy prices; "wait" the rest has bad prices
    bound    no plan that restores the pool in these markets can cost less: the solver's dual
             objective (`optimal` alone; NaN where there is none)
    compared what each simple policy and the convex programme came to (`optimal` alone)
    bad_debt what is left for insurance and ADL, numeraire, >= 0
    """

    account: str
    pool: str
    method: str
    policy: str
    target: float
    round_s: float
    start: State
    steps: tuple[Step, ...]
    outcome: str
    bad_debt: float
    bound: float = float("nan")
    compared: tuple[Compared, ...] = ()

    @property
    def cost(self) -> float:
        """What all steps cost the pool, numeraire."""
        return sum(step.cost.total for step in self.steps)

    @property
    def impact(self) -> float:
        """Half spreads and impact of all steps, numeraire."""
        return sum(step.cost.half_spread + step.cost.impact for step in self.steps)

    @property
    def end(self) -> State:
        """The pool after the last step."""
        return self.steps[-1].after if self.steps else self.start

    def to_dict(self, item_names: Sequence[str]) -> dict[str, Any]:
        """Return everything as plain values, items by name."""
        return {
            "account": self.account, "pool": self.pool, "method": self.method,
            "policy": self.policy, "target_health": self.target, "outcome": self.outcome,
            "start": state_dict(self.start), "end": state_dict(self.end), "cost": self.cost,
            "impact": self.impact, "bad_debt": self.bad_debt, "bound": self.bound,
            "compared": [
                {"policy": c.policy, "outcome": c.outcome, "cost": c.cost, "bad_debt": c.bad_debt}
                for c in self.compared
            ],
            "steps": [step_dict(step, self.round_s, item_names) for step in self.steps],
        }  # fmt: skip


def state_dict(state: State) -> dict[str, float]:
    """Return a state as plain values."""
    return {"equity": state.equity, "buffer_mm": state.buffer, "health": state.health}


def step_dict(step: Step, round_s: float, item_names: Sequence[str]) -> dict[str, Any]:
    """Return a step as plain values, items by name."""
    fills = [
        {
            "item": item_names[fill.item], "quantity": fill.quantity, "price": fill.price,
            "cash_asset": item_names[fill.cash_item], "cash": fill.cash,
        }
        for fill in step.fills
    ]  # fmt: skip
    cost = step.cost
    return {
        "kind": step.kind, "after_s": step.turn * round_s, "mechanism": step.mechanism,
        "lots": step.lots, "fills": fills, "half_spread": cost.half_spread, "impact": cost.impact,
        "fee": cost.fee, "penalty": cost.penalty, "discount": cost.discount, "cost": cost.total,
        "before": state_dict(step.before), "after": state_dict(step.after), "why": step.why,
    }  # fmt: skip
