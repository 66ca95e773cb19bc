"""How far prices may move before a netted pool's verdict could: a box that is proven, not guessed.

In     a pool, the terms it is margined by, the items it hangs on.
Out    for each of these items how far the log of its level may fall and rise.
Owns   which items a pool hangs on; how a buffer is spent on the sides of a box (spec 9.31, 9.37).
Never  changes a requirement; gives a box to a pool that is under water or without a price.
Signs  widths > 0.
Spec   docs/spec/09-zones.md
"""

from __future__ import annotations

import numpy as np

from crossmargin.base.arrays import F64, I32, I64
from crossmargin.kernels.compiled import borrowing, compiled, index
from crossmargin.kernels.cross import (
    C_CORRELATED,
    C_FLOOR,
    C_HEDGED,
    C_ISOLATED_MM,
    C_MINIMUM_MM,
    C_SUM,
    margin_pool,
)
from crossmargin.kernels.netting import (
    ASSET,
    T_EQUITY,
    T_FEE,
    T_GAINS_MM,
    T_HAIRCUT_MM,
    T_LONG_OPTIONS,
    T_OWES,
    T_SURCHARGE_MM,
    T_UNPRICED,
    Holdings,
    Items,
)
from crossmargin.kernels.slopes import ALONE, SUM, Terms, Ties, Work, slopes_of

# The widest box tried first; a nearer pool gets smaller ones, whose bounds are tighter.
WIDEST, SMALLEST, TRIES = 0.2, 1e-6, 4


@compiled
def buffer_of(row: F64, how: int) -> float:
    """Return buffer_MM of a filled row, in the order in which the frame adds: the same bits."""
    balance = row[T_EQUITY] - row[T_LONG_OPTIONS] - row[T_HAIRCUT_MM]
    balance = balance - row[T_SURCHARGE_MM] - row[T_GAINS_MM]
    if row[T_OWES] == 0.0:
        return max(balance, 0.0)
    if how == ALONE:
        return balance - (row[C_ISOLATED_MM] + row[T_FEE])
    core = row[C_SUM] if how == SUM else max(row[C_CORRELATED], row[C_FLOOR])
    return balance - (core + row[C_HEDGED] + row[C_MINIMUM_MM] + row[T_FEE])


@compiled
def buffer_pool(pool: int, how: int, terms: Terms, work: Work) -> float:
    """Fill the pool's row; return its buffer_MM, NaN where it cannot be priced."""
    margin_pool(
        pool, terms.holdings, terms.items, terms.assets, terms.slots, how == ALONE, work.desk,
        work.nets, work.row,
    )  # fmt: skip
    return buffer_of(work.row, how)


@compiled
def reach_pool(
    pool: int, how: int, buffer: float, entry: I32, terms: Terms, work: Work, fall: F64, rise: F64
) -> float:
    """Write how far each item may fall and rise, logs; return in typical days, NaN: look always.

    Call it right after `buffer_pool` filled the same scratch. entry (E,) the pool's items.
    fall, rise (E,) written. Where rise[0] > 0 on entry it is taken as the size to try first.
    The verdict of MM cannot change while every level stays inside (spec 9.31). inf: it never can.
    """
    lo, hi = terms.holdings.pool_starts[pool], terms.holdings.pool_starts[pool + 1]
    if work.row[T_UNPRICED] > 0.0 or not buffer >= 0.0:
        return np.nan
    if work.row[T_OWES] == 0.0:
        fall[:] = rise[:] = np.inf
        return np.inf
    for e in range(len(entry)):
        if not terms.ties.restless[entry[e]] > 0.0:
            return np.nan
    one_sign = _one_sign(terms, work)
    h = min(WIDEST, rise[0]) if rise[0] > 0.0 else WIDEST
    days = np.nan
    for _ in range(TRIES):
        spare = slopes_of(lo, hi, how, h, one_sign, entry, terms, work)
        days = _widths(buffer - spare, h, entry, terms, work, fall, rise)
        if not days > 0.0:
            return np.nan
        work.size[0] = h
        wanted = work.size[1]
        if h < min(wanted, WIDEST):
            h = min(WIDEST, 2.0 * wanted)  # the box is smaller than the buffer would allow
        elif h > 4.0 * wanted:
            h = max(2.0 * wanted, SMALLEST)  # a smaller one has tighter bounds
        else:
            break
    return days


@borrowing
def _one_sign(terms: Terms, work: Work) -> bool:
    """Do all underlyings lie on one side, none correlated negatively? Then none hedges another."""
    ups = downs = 0
    for at in range(work.nets.counts[0]):
        ups += work.nets.net[index(at)] > 0.0
        downs += work.nets.net[index(at)] < 0.0
    return (ups == 0 or downs == 0) and (ups + downs <= 1 or terms.ties.rho_low[0] >= 0.0)


@borrowing
def _widths(budget: float, h: float, entry: I32, terms: Terms, work: Work, fall: F64, rise: F64
            ) -> float:  # fmt: skip
    """Spend the budget on all entries so that each lasts the same number of typical days."""
    spend = 0.0
    for e in range(len(entry)):
        i = index(entry[e])
        spend += terms.ties.restless[i] * max(0.0, max(work.high[i], -work.low[i]))
    if not budget > 0.0:
        return np.nan
    days = budget / spend if spend > 0.0 else np.inf
    work.size[1] = 0.0
    for e in range(len(entry)):
        i = index(entry[e])
        down, up = max(0.0, work.high[i]), max(0.0, -work.low[i])
        share = days * terms.ties.restless[i] * max(down, up) if max(down, up) > 0.0 else 0.0
        fall[e] = min(h, share / down) if down > 0.0 else h
        rise[e] = min(h, share / up) if up > 0.0 else h
        if max(down, up) > 0.0:
            work.size[1] = max(work.size[1], share / max(down, up))
    return days


@compiled
def count_entries(lo: int, hi: int, holdings: Holdings, items: Items, ties: Ties, out: I64) -> None:
    """Count the items each pool of [lo, hi) hangs on into out[pool + 1], (A + 1,)."""
    found = np.empty(4 * _longest(lo, hi, holdings) + 4, np.int32)
    for pool in range(lo, hi):
        out[pool + 1] = _entries(pool, holdings, items, ties, found)


@compiled
def fill_entries(
    lo: int, hi: int, holdings: Holdings, items: Items, ties: Ties, starts: I64, out: I32
) -> None:
    """Write the items each pool of [lo, hi) hangs on to out[starts[pool] : starts[pool + 1]]."""
    found = np.empty(4 * _longest(lo, hi, holdings) + 4, np.int32)
    for pool in range(lo, hi):
        n = _entries(pool, holdings, items, ties, found)
        out[starts[pool] : starts[pool] + n] = found[:n]


@compiled
def _longest(lo: int, hi: int, holdings: Holdings) -> int:
    longest = 0
    for pool in range(lo, hi):
        longest = max(longest, holdings.pool_starts[pool + 1] - holdings.pool_starts[pool])
    return longest


@compiled
def _entries(pool: int, holdings: Holdings, items: Items, ties: Ties, found: I32) -> int:
    """List a pool's items: what it holds, and what prices and settles that; each once."""
    n = 0
    for h in range(holdings.pool_starts[pool], holdings.pool_starts[pool + 1]):
        i = holdings.item[h]
        n = _once(i, found, n)
        if items.kind[i] != ASSET:
            n = _once(ties.underlying[i], found, n)
            n = _once(ties.quote[i], found, n)
            n = _once(items.settle[i], found, n)
    return n


@compiled
def _once(i: int, found: I32, n: int) -> int:
    for e in range(n):
        if found[e] == i:
            return n
    found[n] = i
    return n + 1
