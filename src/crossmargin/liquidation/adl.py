"""Auto-deleveraging: whose winning positions are closed against a bankrupt pool's, and how far.

In     candidates as columns, how many lots must go.
Out    lots closed of each row; an Outcome that says what that costs whom.
Owns   the policies, their order and their ties.
Never  sets the price of a closing; moves money; closes more than a row has.
Signs  lots >= 0, exact integers; values and gains in USD are estimates, for ranking and reports.
Spec   docs/spec/09-waterfall.md, (9.70) to (9.79)

Every lot of a call covers the same, because one contract is closed at one price. So all policies
close the same number of lots, and differ only in whose.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

import numpy as np

from crossmargin.base.arrays import F64
from crossmargin.base.errors import InputInvalid
from crossmargin.base.fixed import scale_up

Holder = tuple[str, str]
Lots = tuple[int, ...]
# Leverage weighs in whole parts of a million: shares are exact.
LEVERAGE_ONE = 1_000_000
# Beyond it equity is a rounding error of the account, and ranks nobody.
LEVERAGE_MAX = 1e9


@dataclass(frozen=True, slots=True)
class Candidates:
    """Positions opposite to the bankrupt's, one row each; N rows in any order.

    holders      (N,) account and pool, each once; ties go to the lowest
    lots         (N,) what may be closed, exact, >= 0
    gain_frac    (N,) unrealised gain over the value at entry
    leverage     (N,) notional over equity
    buffer_usd   (N,) maintenance buffer; who is under water is liquidated, not deleveraged
    lot_usd      (N,) value of one lot at its mark
    lot_gain_usd (N,) what one lot gains from here on: expected before, known afterwards
    hedge_lots   (N,) lots of the leg this position hedges, exact; 0 where there is none
    """

    holders: tuple[Holder, ...]
    lots: Lots
    gain_frac: F64
    leverage: F64
    buffer_usd: F64
    lot_usd: F64
    lot_gain_usd: F64
    hedge_lots: Lots

    def __post_init__(self) -> None:
        n = len(self.holders)
        columns = (
            self.lots, self.gain_frac, self.leverage, self.buffer_usd, self.lot_usd,
            self.lot_gain_usd, self.hedge_lots,
        )  # fmt: skip
        if any(len(column) != n for column in columns):
            found = sorted({len(column) for column in columns})
            raise InputInvalid("candidates", found, f"have {n} rows in every column")
        if len(set(self.holders)) != n:
            raise InputInvalid("candidates.holders", n, "name each account and pool once")
        for name, exact in (("lots", self.lots), ("hedge_lots", self.hedge_lots)):
            if (low := min(exact, default=0)) < 0:
                raise InputInvalid(f"candidates.{name}", low, "be 0 or more")

    def capacity(self) -> Lots:
        """Return what each row may be closed by: nothing where a number it is ranked by is bad."""
        good = (
            np.isfinite(self.gain_frac)
            & ((self.leverage >= 0.0) & (self.leverage <= LEVERAGE_MAX))
            & (self.buffer_usd >= 0.0)
        )
        return tuple(n if ok else 0 for n, ok in zip(self.lots, good, strict=True))


Policy = Callable[[Candidates, int], Lots]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy did.

    lots           of each row;  hedge_lots: of the leg it hedges, closed beside it
    missing        lots that nobody could give up
    overshoot      what was covered beyond the loss, smallest units, up
    closed_usd     value closed at mark;  regret_usd: what it would have gained afterwards
    touched        rows closed in part or whole;  parted: of these, hedged ones that keep one leg
    worst_frac     largest share of a row's capacity that went
    set_aside      rows with lots that could not be ranked, or are under water themselves
    """

    policy: str
    lots: Lots
    hedge_lots: Lots
    missing: int
    overshoot: int
    closed_usd: float
    regret_usd: float
    touched: int
    parted: int
    worst_frac: float
    set_aside: int


def deleverage(policy: str, given: Candidates, loss: int, lot_covers: tuple[int, int]) -> Outcome:
    """Close as many lots as cover a loss and say what came of it.

    loss        smallest units, >= 0
    lot_covers  what a lot gives up at the price of the closing, num / den smallest units, > 0
    """
    num, den = lot_covers
    assert loss >= 0
    assert num > 0
    assert den > 0
    if policy not in POLICIES:
        raise InputInvalid("policy", policy, f"be one of {', '.join(POLICIES)}")
    need = scale_up(loss, den, num)
    lots = POLICIES[policy](given, need)
    caps = given.capacity()
    hedges = hedge_closings(given, lots) if policy == "hedge_aware" else (0,) * len(lots)
    closed = np.array(lots, dtype=np.float64)
    parts = [n / cap for n, cap in zip(lots, caps, strict=True) if n]
    hit = [k for k, n in enumerate(lots) if n]
    return Outcome(
        policy, lots, hedges,
        missing=max(0, need - sum(lots)),
        overshoot=max(0, scale_up(sum(lots), num, den) - loss),
        closed_usd=float(closed[hit] @ given.lot_usd[hit]),
        regret_usd=float(regrets(given, lots).sum()),
        touched=len(hit),
        parted=sum(1 for k in hit if given.hedge_lots[k] and not hedges[k]),
        worst_frac=max(parts, default=0.0),
        set_aside=sum(1 for n, cap in zip(given.lots, caps, strict=True) if n and not cap),
    )  # fmt: skip


def regrets(given: Candidates, lots: Lots) -> F64:
    """Return what the lots closed of each row would have gained afterwards; 0 where none were."""
    closed = np.array(lots, dtype=np.float64)
    return np.where(closed > 0.0, closed * given.lot_gain_usd, 0.0)


# --- policies -------------------------------------------------------------------------------------


def queue(given: Candidates, need: int) -> Lots:
    """Close the highest of gain times leverage first, each as far as it goes (9.72)."""
    return _fill(given.capacity(), _queued(given), need)


def queue_whole(given: Candidates, need: int) -> Lots:
    """Close whole positions in the order of the queue until enough is closed (9.73)."""
    caps, left = given.capacity(), need
    out = [0] * len(caps)
    for row in _queued(given):
        if left <= 0:
            break
        out[row] = caps[row]
        left -= caps[row]
    return tuple(out)


def pro_rata(given: Candidates, need: int) -> Lots:
    """Close the same share of every position, to a lot (9.74)."""
    caps = given.capacity()
    return _shares(caps, caps, need, given.holders)


def risk_aware_pro_rata(given: Candidates, need: int) -> Lots:
    """Close shares in proportion to leverage, none beyond the whole (9.75)."""
    caps = given.capacity()
    # Who has next to no leverage still stands behind the last lot.
    weights = tuple(
        cap * max(1, round(lev * LEVERAGE_ONE)) if cap else 0
        for cap, lev in zip(caps, given.leverage.tolist(), strict=True)
    )
    return _shares(weights, caps, need, given.holders)


def minimum_regret(given: Candidates, need: int) -> Lots:
    """Close what gains least from here on; among equals the same share (9.76)."""
    caps, left = given.capacity(), need
    # What is not known might be the most.
    gains = [g if math.isfinite(g) else math.inf for g in given.lot_gain_usd.tolist()]
    out = [0] * len(caps)
    by_gain = sorted((row for row, cap in enumerate(caps) if cap), key=gains.__getitem__)
    for _, level in groupby(by_gain, key=gains.__getitem__):
        rows = list(level)
        among = tuple(caps[row] for row in rows)
        shares = _shares(among, among, left, tuple(given.holders[row] for row in rows))
        for row, n in zip(rows, shares, strict=True):
            out[row] = n
        left -= sum(shares)
        if left <= 0:
            break
    return tuple(out)


def hedge_aware(given: Candidates, need: int) -> Lots:
    """Close what hedges nothing first; then hedged pairs, both legs by the same share (9.77)."""
    caps = given.capacity()
    free = tuple(cap if not h else 0 for cap, h in zip(caps, given.hedge_lots, strict=True))
    first = _shares(free, free, need, given.holders)
    paired = tuple(cap - f for cap, f in zip(caps, free, strict=True))
    then = _shares(paired, paired, need - sum(first), given.holders)
    return tuple(a + b for a, b in zip(first, then, strict=True))


def hedge_closings(given: Candidates, lots: Lots) -> Lots:
    """Return the lots of each row's other leg that go with it: the same share, up, both or none."""
    return tuple(
        scale_up(hedge, n, have) if n else 0
        for hedge, n, have in zip(given.hedge_lots, lots, given.lots, strict=True)
    )


POLICIES: dict[str, Policy] = {
    "queue": queue,
    "queue_whole": queue_whole,
    "pro_rata": pro_rata,
    "risk_aware_pro_rata": risk_aware_pro_rata,
    "minimum_regret": minimum_regret,
    "hedge_aware": hedge_aware,
}


# --- order and shares -----------------------------------------------------------------------------


def score(gain_frac: F64, leverage: F64) -> F64:
    """Return the venues' rank: gain x leverage of a winner, gain / leverage of a loser (9.72)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        return np.where(gain_frac > 0.0, gain_frac * leverage, gain_frac / leverage)


def _queued(given: Candidates) -> list[int]:
    """Return rows, first the one closed first; a rank that is no number stands last."""
    ranks = score(given.gain_frac, given.leverage).tolist()
    key = [-math.inf if math.isnan(r) else r for r in ranks]
    return sorted(range(len(key)), key=lambda row: (-key[row], given.holders[row]))


def _fill(caps: Lots, order: list[int], need: int) -> Lots:
    out, left = [0] * len(caps), max(0, need)
    for row in order:
        out[row] = min(caps[row], left)
        left -= out[row]
    return tuple(out)


def _shares(weights: Lots, caps: Lots, need: int, holders: tuple[Holder, ...]) -> Lots:
    """Return need shared by weight, none above its cap; what is left over by largest remainder.

    Rows that the shares would overfill are filled in the order in which a rising level meets
    their caps; the rest shares what is left. Exact: no row is off its share by a whole lot.
    """
    need = min(max(0, need), sum(caps))
    rows = [row for row, cap in enumerate(caps) if cap]
    out, total, left = [0] * len(caps), sum(weights[row] for row in rows), need
    if any(need * weights[row] >= caps[row] * total for row in rows):
        rows.sort(key=lambda row: Fraction(caps[row], weights[row]))
    filled = 0
    for row in rows:
        if left * weights[row] < caps[row] * total:
            break
        out[row] = caps[row]
        left -= caps[row]
        total -= weights[row]
        filled += 1
    rest = rows[filled:]
    for row in rest:
        out[row] = left * weights[row] // total
    over = left - sum(out[row] for row in rest)
    rest.sort(key=lambda row: (-(left * weights[row] % total), holders[row]))
    for row in rest[:over]:
        out[row] += 1
    return tuple(out)
