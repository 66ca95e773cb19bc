"""The loss waterfall: who bears what a pool owes once it is sold out, and in which order.

In     what the pool has, owes and may be helped by; a penalty's split; candidates; holders.
Out    a Waterfall: one Step a bearer, in order, each with parts that sum to zero; what is left.
Owns   the order, what a step may take at most, where what is rounded goes.
Never  prices anything; posts: `engine.rescue` turns the steps into commands.
Signs  integers of smallest units of one asset. A part's amount > 0 is received.
Spec   docs/spec/09-waterfall.md, (9.60) to (9.69)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from crossmargin.base.errors import InputInvalid
from crossmargin.base.fixed import scale_down, scale_up
from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import FEES, INSURANCE, ROUNDING
from crossmargin.domain.waterfall_rules import MILLION, PenaltySplit
from crossmargin.liquidation.adl import Candidates, Holder, Lots, Policy, hedge_closings

# The order is the rule (9.61).
STEPS = ("own_equity", "draw", "penalty", "insurance", "adl", "socialised")


class Part(NamedTuple):
    """A holder's balance changes by `amount`."""

    holder: Holder
    amount: int


class Bearer(NamedTuple):
    """Who may be made to pay, and at most what."""

    holder: Holder
    room: int


@dataclass(frozen=True, slots=True)
class Step:
    """One bearer's turn. paid: what it takes off the debt; left: what is owed after it."""

    name: str
    paid: int
    left: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A pool after its sale. Its balance is own - owed.

    own         what it has left;  owed: what it owes
    penalty     what the rules ask for the sale, liquidator: who sold it
    draw_room   what its shared pool may still pay for it, t of (1.14)
    tier, fund  whose insurance, and how much that has
    """

    pool: Holder
    own: int
    owed: int
    penalty: int
    liquidator: Holder
    draw_room: int
    tier: str
    fund: int

    def __post_init__(self) -> None:
        for name in ("own", "owed", "penalty", "draw_room", "fund"):
            if (found := getattr(self, name)) < 0:
                raise InputInvalid(f"shortfall.{name}", found, "be 0 or more")
        if self.pool[1] == SHARED and self.draw_room:
            raise InputInvalid(
                "shortfall.draw_room", self.draw_room, "be 0 for a shared pool",
                "it has nobody to draw on",
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Adl:
    """Close a pool's open lots of one contract against candidates.

    room    (N,) what each candidate may give up at most, smallest units: its gain, say
    lots    what the pool has open;  weight: the margin it would need alone, in any one unit
    """

    contract: str
    policy: Policy
    candidates: Candidates
    room: tuple[int, ...]
    lots: int
    weight: int

    def __post_init__(self) -> None:
        if len(self.room) != len(self.candidates.holders):
            raise InputInvalid(
                f"adl.{self.contract}.room", len(self.room),
                f"have {len(self.candidates.holders)} rows",
            )  # fmt: skip
        if min(self.room, default=0) < 0:
            raise InputInvalid(f"adl.{self.contract}.room", min(self.room), "be 0 or more")
        for name in ("lots", "weight"):
            if (found := getattr(self, name)) <= 0:
                raise InputInvalid(f"adl.{self.contract}.{name}", found, "be more than 0")


@dataclass(frozen=True, slots=True)
class Closings:
    """What was closed of one contract.

    covers      what the contract's closings take off the debt
    lots        closed of each candidate;  hedge_lots: of the legs they hedge
    open_lots   what the pool still has open
    """

    contract: str
    covers: int
    lots: Lots
    hedge_lots: Lots
    open_lots: int


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The steps in order. left: what nobody bore; closings: of each contract, where any were."""

    shortfall: Shortfall
    steps: tuple[Step, ...]
    closings: tuple[Closings, ...]

    @property
    def left(self) -> int:
        """What is still owed after the last step."""
        return self.steps[-1].left

    def step(self, name: str) -> Step:
        """Return a step by its name."""
        return self.steps[STEPS.index(name)]


def waterfall(
    given: Shortfall, split: PenaltySplit, adl: tuple[Adl, ...], holders: tuple[Bearer, ...]
) -> Waterfall:
    """Return who bears a shortfall, step by step (9.61)."""
    own = min(given.own, given.owed)
    # One balance: what it has and what it owes are netted, and nothing moves.
    steps = [Step("own_equity", own, given.owed - own, ())]
    shared = (given.pool[0], SHARED)
    steps.append(_help("draw", Bearer(shared, given.draw_room), given, steps[-1].left))
    steps.append(Step("penalty", 0, steps[-1].left, penalise(given, split)))
    # A penalty just paid in is no help: where there is one, nothing is owed.
    fund: Holder = (INSURANCE + given.tier, SHARED)
    steps.append(_help("insurance", Bearer(fund, given.fund), given, steps[-1].left))
    step, closings = deleverage(given.pool, steps[-1].left, adl)
    steps.append(step)
    steps.append(socialise(given.pool, steps[-1].left, holders))
    return Waterfall(given, tuple(steps), closings)


def _help(name: str, bearer: Bearer, given: Shortfall, left: int) -> Step:
    """One bearer pays into the pool, as far as it may and as is owed."""
    paid = min(bearer.room, left)
    parts = (Part(bearer.holder, -paid), Part(given.pool, paid)) if paid else ()
    return Step(name, paid, left - paid, parts)


def penalise(given: Shortfall, split: PenaltySplit) -> tuple[Part, ...]:
    """Return the parts of a penalty: out of positive equity left, and nothing else (9.64)."""
    penalty = min(given.penalty, max(0, given.own - given.owed))
    if not penalty:
        return ()
    liquidator = scale_down(penalty, split.liquidator_ppm, MILLION)
    fees = scale_down(penalty, split.fees_ppm, MILLION)
    parts = (
        Part(given.pool, -penalty),
        Part(given.liquidator, liquidator),
        Part((FEES, SHARED), fees),
        Part((INSURANCE + given.tier, SHARED), penalty - liquidator - fees),
    )
    return tuple(part for part in parts if part.amount)


def deleverage(pool: Holder, left: int, adl: tuple[Adl, ...]) -> tuple[Step, tuple[Closings, ...]]:
    """Close the pool's contracts so that together they cover what is left (9.65, 9.66)."""
    if not left or not adl:
        return Step("adl", 0, left, ()), ()
    parts: list[Part] = []
    closings = []
    for one, due in zip(adl, _split(left, adl), strict=True):
        found, given = _close(one, due)
        parts += given
        closings.append(found)
    covered = sum(found.covers for found in closings)
    if covered:
        parts.append(Part(pool, covered))
    if rest := -sum(part.amount for part in parts):
        parts.append(Part((ROUNDING, SHARED), rest))
    return Step("adl", covered, left - covered, tuple(parts)), tuple(closings)


def _split(left: int, adl: tuple[Adl, ...]) -> list[int]:
    """Return what each contract covers: by weight, the units left over by largest remainder."""
    total = sum(one.weight for one in adl)
    dues = [scale_down(left, one.weight, total) for one in adl]
    order = sorted(
        range(len(adl)), key=lambda k: (-(left * adl[k].weight % total), adl[k].contract)
    )
    for k in order[: left - sum(dues)]:
        dues[k] += 1
    return dues


def _close(adl: Adl, due: int) -> tuple[Closings, list[Part]]:
    """Close one contract. Each of its N lots covers due / N.

    A candidate gives that up for every lot it loses, up; the pool is credited down.
    """
    n, whole = adl.lots, adl.candidates
    able = tuple(
        min(lots, room * n // due) if due else lots
        for lots, room in zip(whole.lots, adl.room, strict=True)
    )
    # Hedges keep their proportion to the whole position, not to what it may lose.
    kept = tuple(
        scale_up(hedge, some, lots) if lots else 0
        for hedge, some, lots in zip(whole.hedge_lots, able, whole.lots, strict=True)
    )
    among = replace(whole, lots=able, hedge_lots=kept)
    closed = adl.policy(among, n)
    total = sum(closed)
    if total > n:
        raise InputInvalid(
            f"adl.{adl.contract}.policy", total, f"close at most {n} lots, what the pool has open",
            "take a policy that cuts positions",
        )  # fmt: skip
    gives = [scale_up(due, lots, n) for lots in closed]
    parts = [Part(h, -x) for h, x in zip(among.holders, gives, strict=True) if x]
    covers = scale_down(due, total, n)
    hedges = hedge_closings(among, closed)
    return Closings(adl.contract, covers, closed, hedges, n - total), parts


def socialise(pool: Holder, left: int, holders: tuple[Bearer, ...]) -> Step:
    """Let holders pay what is left, pro rata to their balances (9.67)."""
    total = sum(holder.room for holder in holders)
    amount = min(left, total)
    if not amount:
        return Step("socialised", 0, left, ())
    shares = [min(h.room, scale_up(amount, h.room, total)) for h in holders]
    parts = [Part(h.holder, -x) for h, x in zip(holders, shares, strict=True) if x]
    parts.append(Part(pool, amount))
    if rest := sum(shares) - amount:
        parts.append(Part((ROUNDING, SHARED), rest))
    return Step("socialised", amount, left - amount, tuple(parts))


def balances(steps: Iterable[Step]) -> dict[Holder, int]:
    """Return by how much each holder's balance changes over steps; the values sum to zero."""
    out: dict[Holder, int] = {}
    for step in steps:
        for part in step.parts:
            out[part.holder] = out.get(part.holder, 0) + part.amount
    return out
