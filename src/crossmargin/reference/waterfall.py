"""The second witness on who bears a loss: the waterfall and the deleveraging policies.

In     plain tuples and dicts of integers.
Out    balances after every step; lots closed of every candidate.
Owns   a reading of docs/spec/09-waterfall.md that shares no code with the first.
Never  is fast: lots are handed out one at a time where that says the rule best.
Signs  integers of smallest units and of lots, >= 0; a balance carries its own sign.
Spec   docs/spec/09-waterfall.md
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

Holder = tuple[str, str]
Ledger = dict[Holder, int]


def up(x: Fraction) -> int:
    """Round up."""
    return math.ceil(x)


# --- deleveraging ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Winner:
    """One candidate (9.70)."""

    holder: Holder
    lots: int
    gain: float
    leverage: float
    buffer: float
    lot_gain: float
    hedge: int

    @property
    def able(self) -> int:
        """(9.71): nothing of one that cannot be ranked or is under water."""
        ranked = math.isfinite(self.gain) and 0 <= self.leverage <= 10**9
        return self.lots if ranked and self.buffer >= 0 else 0

    @property
    def score(self) -> float:
        """(9.72)."""
        if self.gain > 0:
            return self.gain * self.leverage
        if self.leverage:
            return self.gain / self.leverage
        return -math.inf


def closed(policy: str, winners: list[Winner], need: int) -> list[int]:
    """Return the lots each one loses under a policy."""
    able = [w.able for w in winners]
    if policy in ("queue", "queue_whole"):
        return _line(winners, able, need, whole=policy == "queue_whole")
    if policy == "pro_rata":
        return _level(winners, able, able, need)
    if policy == "risk_aware_pro_rata":
        weights = [
            a * max(1, round(w.leverage * 10**6)) if a else 0
            for a, w in zip(able, winners, strict=True)
        ]
        return _level(winners, weights, able, need)
    if policy == "minimum_regret":
        return _by_class(winners, able, need, [_known(w.lot_gain) for w in winners])
    assert policy == "hedge_aware"
    return _by_class(winners, able, need, [float(w.hedge > 0) for w in winners])


def _known(gain: float) -> float:
    return gain if math.isfinite(gain) else math.inf


def _line(winners: list[Winner], able: list[int], need: int, whole: bool) -> list[int]:
    """One lot (or one position) at a time from the head of the line."""
    out = [0] * len(able)
    while sum(out) < need:
        waiting = [k for k in range(len(able)) if out[k] < able[k]]
        if not waiting:
            break
        head = min(waiting, key=lambda k: (-winners[k].score, winners[k].holder))
        out[head] += able[head] if whole else 1
    return out


def _level(winners: list[Winner], weights: list[int], able: list[int], need: int) -> list[int]:
    """Shares by weight, capped; what is capped is shared by the others, until none is above."""
    need = min(need, sum(able))
    full: set[int] = set()
    while True:
        rest = [k for k in range(len(able)) if able[k] and k not in full]
        left = need - sum(able[k] for k in full)
        total = sum(weights[k] for k in rest)
        exact = {k: Fraction(left * weights[k], total) for k in rest}
        over = {k for k in rest if exact[k] >= able[k]}
        if not over:
            break
        full |= over
    out = [able[k] if k in full else math.floor(exact.get(k, 0)) for k in range(len(able))]
    while sum(out) < need:
        low = [k for k in rest if out[k] == math.floor(exact[k])]
        k = min(low, key=lambda k: (math.floor(exact[k]) - exact[k], winners[k].holder))
        out[k] += 1
    return out


def _by_class(winners: list[Winner], able: list[int], need: int, classes: list[float]) -> list[int]:
    """Class after class, the lowest first, pro rata within."""
    out = [0] * len(able)
    for level in sorted(set(classes)):
        there = [a if c == level else 0 for a, c in zip(able, classes, strict=True)]
        for k, n in enumerate(_level(winners, there, there, need - sum(out))):
            out[k] += n
    return out


# --- the waterfall --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contract:
    """What the pool has open of one contract, and who may be closed against it, with their room."""

    name: str
    lots: int
    weight: int
    policy: str
    winners: list[tuple[Winner, int]]


@dataclass
class Case:
    """A pool after its sale, with all who may be asked (9.60)."""

    pool: Holder
    shared: Holder
    fund: Holder
    fees: Holder
    rounding: Holder
    liquidator: Holder
    own: int
    owed: int
    penalty: int
    split: tuple[int, int]
    draw_room: int
    in_fund: int
    contracts: list[Contract]
    holders: list[tuple[Holder, int]]
    moved: list[Ledger] = field(default_factory=list)
    left: int = 0


def steps(case: Case) -> list[tuple[int, Ledger]]:
    """Return what is owed after each step of (9.61), and who got or gave what in it."""
    out: list[tuple[int, Ledger]] = []
    case.left = max(0, case.owed - case.own)
    out.append((case.left, {}))
    out.append(_pay(case, case.shared, case.draw_room))
    penalty = min(case.penalty, max(0, case.own - case.owed))
    a, b = (math.floor(penalty * Fraction(part, 10**6)) for part in case.split)
    insured = penalty - a - b
    moved = {case.pool: -penalty, case.liquidator: a, case.fees: b, case.fund: insured}
    out.append((case.left, {who: x for who, x in moved.items() if x}))
    out.append(_pay(case, case.fund, case.in_fund))
    out.append(_adl(case))
    out.append(_socialised(case))
    return out


def _pay(case: Case, who: Holder, room: int) -> tuple[int, Ledger]:
    paid = min(room, case.left)
    case.left -= paid
    return case.left, ({who: -paid, case.pool: paid} if paid else {})


def _adl(case: Case) -> tuple[int, Ledger]:
    """(9.65), (9.66)."""
    if not case.left or not case.contracts:
        return case.left, {}
    moved: Ledger = {}
    got = 0
    for contract, due in zip(case.contracts, _dues(case), strict=True):
        each = Fraction(due, contract.lots)
        able = []
        for winner, room in contract.winners:
            lots = min(winner.lots, math.floor(room / each)) if due else winner.lots
            able.append(Winner(winner.holder, lots, winner.gain, winner.leverage, winner.buffer,
                               winner.lot_gain, winner.hedge))  # fmt: skip
        lost = closed(contract.policy, able, contract.lots)
        for winner, n in zip(able, lost, strict=True):
            if gives := up(n * each):
                moved[winner.holder] = moved.get(winner.holder, 0) - gives
        got += math.floor(sum(lost) * each)
    given = -sum(moved.values())
    if got:
        moved[case.pool] = got
    if given - got:
        moved[case.rounding] = given - got
    case.left -= got
    return case.left, moved


def _dues(case: Case) -> list[int]:
    """Units handed out one at a time, each to whoever is furthest below its exact share."""
    total = sum(contract.weight for contract in case.contracts)
    exact = [Fraction(case.left * contract.weight, total) for contract in case.contracts]
    out = [math.floor(x) for x in exact]
    while sum(out) < case.left:
        behind = [k for k in range(len(out)) if out[k] <= exact[k]]
        k = min(behind, key=lambda k: (out[k] - exact[k], case.contracts[k].name))
        out[k] += 1
    return out


def _socialised(case: Case) -> tuple[int, Ledger]:
    """(9.67)."""
    total = sum(balance for _, balance in case.holders)
    amount = min(case.left, total)
    if not amount:
        return case.left, {}
    moved: Ledger = {}
    for who, balance in case.holders:
        if share := min(balance, up(Fraction(amount * balance, total))):
            moved[who] = -share
    rest = -sum(moved.values()) - amount
    moved[case.pool] = amount
    if rest:
        moved[case.rounding] = rest
    case.left -= amount
    return case.left, moved


def cut_by_factor(balances: list[int], losses: list[int]) -> list[Fraction]:
    """Return what (9.68) leaves of balances without any rounding."""
    backing, kept = Fraction(sum(balances)), Fraction(1)
    for loss in losses:
        kept *= (backing - loss) / backing if backing else 1
        backing -= loss
    return [balance * kept for balance in balances]
