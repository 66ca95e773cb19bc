"""What the oracle remembers: the last quote of each source, and what became of each price.

In     names, classes and rules; after a restart the prints of a book.
Out    a frozen `OracleState`; every `fuse` makes the next one.
Owns   the universe (which rows there are, their limits) and the shape of the memory.
Never  decides; reads a clock: `at_ns` is the moment of the last `fuse`.
Signs  levels > 0, NaN where there was none; stamps UTC ns, 0 where there was none.
Spec   docs/spec/08-oracle.md, 8.4, 8.15
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from crossmargin.base.arrays import F64, I8, I64
from crossmargin.base.errors import InputInvalid
from crossmargin.domain.book import Print
from crossmargin.domain.oracle_rules import Oracle, Sources
from crossmargin.frames.market import Status
from crossmargin.frames.terms import STATUS

# A group of sources that state redemption values: no vote on the price.
REDEEMS = -1


class Side(IntEnum):
    """Where a price stands against what passed within the breaker's window (8.10)."""

    WITHIN = 0
    DOWN = 1
    UP = 2
    ALONE = 3  # nothing passed within the window: there is nothing to compare with


@dataclass(frozen=True, slots=True)
class Universe:
    """What is fused from what; F factors, S sources, G groups of sources that count as one.

    deviation, breaker  (F,) limits of the factor's class, fractions
    growth              (F,) the most a rate may grow a year; NaN where the factor is no rate
    group               (S,) row of `groups`, REDEEMS where the source has no vote
    """

    factors: tuple[str, ...]
    classes: tuple[str, ...]
    sources: tuple[str, ...]
    groups: tuple[str, ...]
    rules: Oracle
    deviation: F64
    breaker: F64
    growth: F64
    group: I64

    @property
    def says(self) -> Sources:
        """The rules of fusing."""
        assert self.rules.sources is not None
        return self.rules.sources


@dataclass(frozen=True, slots=True)
class Trail:
    """Levels by factor and moment, in the order of the moments; N rows."""

    factor: I64
    at_ns: I64
    level: F64

    def since(self, from_ns: int) -> Trail:
        """Return the rows from a moment on."""
        first = int(np.searchsorted(self.at_ns, from_ns))
        return Trail(self.factor[first:], self.at_ns[first:], self.level[first:])

    def with_rows(self, rows: I64, at_ns: int, level: F64) -> Trail:
        """Return it with one more level of some factors."""
        return Trail(
            np.append(self.factor, rows), np.append(self.at_ns, np.full(len(rows), at_ns)),
            np.append(self.level, level[rows]),
        )  # fmt: skip

    def of(self, row: int) -> tuple[I64, F64]:
        """Return one factor's moments and levels."""
        mine = self.factor == row
        return self.at_ns[mine], self.level[mine]


@dataclass(frozen=True, slots=True)
class OracleState:
    """The oracle between two moments.

    price, stamp_ns, sequence, volume, confidence  (F, S) the newest quote taken; sequence -1: none
    level, half_width, stable  (F,) of the last price that passed; level_ns (F,) its quotes' stamp
    passed_ns   (F,) when a price passed last; since_ns (F,) since when prices passed without a gap
    side        (F,) `Side` at the last fuse; side_ns (F,) since when
    passed      prices that passed within the breaker's window
    rates       about one reading a day of each factor with a growth cap
    """

    universe: Universe
    at_ns: int
    price: F64
    stamp_ns: I64
    sequence: I64
    volume: F64
    confidence: F64
    level: F64
    half_width: F64
    stable: F64
    level_ns: I64
    passed_ns: I64
    since_ns: I64
    side: I8
    side_ns: I64
    passed: Trail
    rates: Trail


def universe_of(
    factors: Mapping[str, str], sources: Sequence[str], rules: Oracle
) -> Universe:  # fmt: skip
    """Return the rows of an oracle.

    factors  factor -> risk class; sources  every source that may be heard
    """
    says = rules.sources
    if says is None:
        raise InputInvalid(
            "oracle.sources", None, "be a section of the rulebook", "this one fuses no quotes"
        )
    member = {source: name for name, members in says.groups.items() for source in members}
    named = [member.get(source, source) for source in sources if source not in says.redeems]
    groups = tuple(dict.fromkeys(named))
    place = {name: row for row, name in enumerate(groups)}
    limits = [says.limits_of(risk_class) for risk_class in factors.values()]
    return Universe(
        tuple(factors), tuple(factors.values()), tuple(sources), groups, rules,
        np.array([limit.deviation for limit in limits]),
        np.array([limit.breaker for limit in limits]),
        np.array([says.growth.get(factor, np.nan) for factor in factors]),
        np.array([REDEEMS if source in says.redeems else place[member.get(source, source)]
                  for source in sources], np.int64),
    )  # fmt: skip


def started(universe: Universe) -> OracleState:
    """Return an oracle that has heard nothing."""
    shape = f, _ = len(universe.factors), len(universe.sources)
    none, never = np.full(f, np.nan), np.zeros(f, np.int64)
    blank = np.full(shape, np.nan)
    empty = Trail(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return OracleState(
        universe, 0, blank, np.zeros(shape, np.int64), np.full(shape, -1, np.int64), blank, blank,
        none, np.zeros(f), none, never, never, never, np.zeros(f, np.int8), never, empty, empty,
    )  # fmt: skip


def resumed(
    universe: Universe, prints: Mapping[str, tuple[Print, int]], at_ns: int
) -> OracleState:  # fmt: skip
    """Return the oracle a book's last prints allow after a restart (8.15).

    Levels, half-widths and slow prices come back; what a window held does not. A print that had
    passed is one price to compare with while it is young enough; nothing is LIVE before a whole
    window has passed again. A print from after `at_ns` is not believed.
    """
    state = started(universe)
    level, width, stable = state.level.copy(), state.half_width.copy(), state.stable.copy()
    level_ns, good = state.level_ns.copy(), np.zeros(len(level), np.bool_)
    for row, name in enumerate(universe.factors):
        found = prints.get(name)
        if found is None or found[1] > at_ns:
            continue
        told, level_ns[row] = found
        level[row], width[row] = told.level, told.half_width
        stable[row] = told.level if told.stable_price is None else told.stable_price
        good[row] = STATUS[told.status] >= Status.DEGRADED
    rows = np.flatnonzero(good)
    rows = rows[np.argsort(level_ns[rows], kind="stable")]
    trail = Trail(rows, level_ns[rows], level[rows])
    rated = np.isfinite(universe.growth[trail.factor])
    return replace(
        state, at_ns=at_ns, level=level, half_width=width, stable=stable, level_ns=level_ns,
        passed=trail,
        rates=Trail(trail.factor[rated], trail.at_ns[rated], trail.level[rated]),
    )  # fmt: skip


def under(state: OracleState, universe: Universe) -> OracleState:
    """Return the same memory under other rules; the rows stay what they are."""
    assert universe.factors == state.universe.factors
    assert universe.sources == state.universe.sources
    return replace(state, universe=universe)
