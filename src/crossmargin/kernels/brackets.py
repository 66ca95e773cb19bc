"""Marginal brackets: what counts of a held value, and what a notional is charged.

In     values and notionals; schedules as edges and fractions.
Out    counted values, charges.
Owns   the arithmetic of brackets, for collateral and for margin tiers alike.
Never  knows what a schedule belongs to, or at which level it applies.
Signs  values and notionals >= 0; counted values and charges >= 0.
Spec   docs/spec/03-collateral.md (3.1), docs/spec/05-requirement.md (5.1, 5.2)

Bracket j of a schedule covers values in (edges[j - 1], edges[j]]; it begins at 0, the last edge
is infinity, and only the part of a value that lies in a bracket gets its fraction.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import F64, I64, guard, guard_starts
from crossmargin.kernels.compiled import borrowing, compiled, index, run_blocks

BLOCK = 8192  # values per call


class Schedules(NamedTuple):
    """K schedules, one after another.

    starts     (K + 1,)  first bracket of each schedule; every schedule has one at least
    edges_usd  (B,)      upper edge of each bracket, ascending in a schedule, the last infinite
    fracs      (B,)      fraction of the bracket that counts, or is charged
    """

    starts: I64
    edges_usd: F64
    fracs: F64


@borrowing
def counted(value_usd: float, edges_usd: F64, fracs: F64) -> float:
    """Return the part of one held value that counts, USD.

    value_usd         >= 0; NaN in: NaN out
    edges_usd, fracs  (B,)  one schedule

    Spec 3.1: USDT 0-5M at 1.00, 5-10M at 0.90, above at 0.80: 11M counts as
    5 + 0.9 x 5 + 0.8 x 1 = 10.3M.
    """
    return counted_between(value_usd, 0, len(edges_usd), edges_usd, fracs)


@borrowing
def counted_between(value_usd: float, lo: int, hi: int, edges_usd: F64, fracs: F64) -> float:
    """Return `counted` under brackets [lo, hi) of longer columns: one schedule among many."""
    total_usd, below_usd = 0.0, 0.0
    for at in range(lo, hi):
        j = index(at)
        # False for NaN, which so falls through to the end.
        if value_usd <= edges_usd[j]:
            return total_usd + fracs[j] * (value_usd - below_usd)
        total_usd += fracs[j] * (edges_usd[j] - below_usd)
        below_usd = edges_usd[j]
    return math.nan  # above the last edge: an open schedule prices nothing


@compiled
def charge(notional_usd: float, edges_usd: F64, rates: F64) -> float:
    """Return the charge T(|notional|) of marginal tiers, USD: `counted` with rates. Spec 5.1."""
    return counted(abs(notional_usd), edges_usd, rates)


def counted_values(
    value_usd: F64, schedule: I64, schedules: Schedules, threads: int | None = None
) -> F64:
    """Return the counted part of each value (N,), USD, each under its own schedule.

    value_usd  (N,)  >= 0; NaN in: NaN out
    schedule   (N,)  which schedule; -1 for none: NaN, since an unknown rule is not a zero
    """
    n_values = len(value_usd)
    guard((n_values,), value_usd=value_usd, schedule=schedule)
    _guard_schedules(schedules)
    assert (schedule < len(schedules.starts) - 1).all()
    assert not (value_usd < 0.0).any()

    counted_usd = np.empty(n_values)
    run_blocks(
        _counted_block, n_values, BLOCK, threads, value_usd, schedule, schedules, counted_usd
    )
    return counted_usd


def charges(
    notional_usd: F64, schedule: I64, schedules: Schedules, threads: int | None = None
) -> F64:
    """Return the charge on each |notional| (N,), USD; arguments as in `counted_values`."""
    return counted_values(np.abs(notional_usd), schedule, schedules, threads)


@compiled
def counted_under(value_usd: float, schedule: int, schedules: Schedules) -> float:
    """Return the counted part of one value under one of many schedules; see `counted_values`."""
    if schedule < 0:
        return math.nan
    first, stop = schedules.starts[schedule], schedules.starts[schedule + 1]
    return counted_between(value_usd, first, stop, schedules.edges_usd, schedules.fracs)


@compiled
def _counted_block(
    lo: int, hi: int, value_usd: F64, schedule: I64, schedules: Schedules, counted_usd: F64
) -> None:
    for i in range(lo, hi):
        counted_usd[i] = counted_under(value_usd[i], schedule[i], schedules)


def _guard_schedules(schedules: Schedules) -> None:
    n_brackets = len(schedules.edges_usd)
    guard((n_brackets,), edges_usd=schedules.edges_usd, fracs=schedules.fracs)
    guard_starts(schedules.starts, n_brackets)
    assert (np.diff(schedules.starts) >= 1).all(), "every schedule has a bracket"
    assert np.isposinf(schedules.edges_usd[schedules.starts[1:] - 1]).all()
