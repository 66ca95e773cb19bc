"""Margin of pools by scenario: joint tail, named stress, one-factor scans, and the add-ons.

In     holdings sorted by pool; terms; unit P&L rows of every item, prepared once per market.
Out    one row of numbers a pool (places `P_*` after the tally of `netting`).
Owns   the pool's risk array: counted collateral, debts and positions times unit rows, in row order.
Never  revalues anything: rows are ready; nets across pools; picks levels or verdicts.
Signs  rows are P&L (+ gain); terms and losses >= 0, numeraire; scenario codes -1 where none.
Spec   docs/spec/05-requirement.md, 5.3 and 5.4; choices C18 to C23
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import B1, F64, I32, I64
from crossmargin.kernels.compiled import borrowing, compiled
from crossmargin.kernels.netting import (
    ASSET,
    CALL,
    N_TALLY,
    PUT,
    T_FEE,
    T_OWES,
    T_UNPRICED,
    Assets,
    Desk,
    Holdings,
    Items,
    desk,
    take_balances,
    take_holdings,
    take_uncertainty,
    unsettled,
)
from crossmargin.kernels.tails import pool_row, tail_mean

# Places of a pool's row after the tally, all at MM.
P_TAIL, P_STRESS, P_SCAN_MAX, P_SCAN_SUM = range(N_TALLY, N_TALLY + 4)
P_TAIL_CODE, P_STRESS_CODE, P_SCAN_CODE = range(N_TALLY + 4, N_TALLY + 7)
P_TAIL_LOSS, P_SIZE, P_BASIS, P_VEGA, P_MINIMUM = range(N_TALLY + 7, N_TALLY + 12)
N_PORTFOLIO = N_TALLY + 12


class Rows(NamedTuple):
    """Unit P&L of every item, numeraire per coin or contract, and what each scenario weighs.

    full (n_items, S)    joint rows first, then named stress
    probability (J,)     of the joint rows; weight (S - J,) of the stress rows
    expires (n_items,)   settles within the margin period (choice C23)
    grid_starts (n_items + 1,); grid_factor (D,), grid_rows (D, G)   one-factor scans
    grid_weight (K, G)   weight of each grid scenario of each factor
    tail_rows (1,)       rows a joint tail can have at most
    """

    full: F64
    probability: F64
    weight: F64
    expires: B1
    grid_starts: I64
    grid_factor: I32
    grid_rows: F64
    grid_weight: F64
    tail_rows: I64


class Extras(NamedTuple):
    """Terms of the add-ons by item, (n_items,), and by tenor, (T,).

    underlying          asset row; factor: the underlying's first factor; -1 on assets
    range_, half_spread, impact   size add-on: impact x n^exponent is Y sigma (n / ADV)^delta
    vega_point, vega_up numeraire per contract for one vol point, and for the up-shock of its tenor
    exponent (n_items,) of the underlying on its first factor (C52)
    tenor (n_items,)    tenor row, -1 on assets; tenor_factor (T,), tenor_rate (T,) m_T
    rates (4,)          E_*: fee, impact exponent, vega weight, short-option minimum; tail alpha
    """

    underlying: I32
    factor: I32
    range_: F64
    half_spread: F64
    impact: F64
    vega_point: F64
    vega_up: F64
    exponent: F64
    tenor: I32
    tenor_factor: I32
    tenor_rate: F64
    rates: F64


E_FEE, E_EXPONENT, E_VEGA, E_MINIMUM, E_ALPHA = 0, 1, 2, 3, 4
N_EXTRAS = 5


class Bench(NamedTuple):
    """Scratch of one thread.

    risk, settled (S,)   the pool's risk array with and without legs about to settle
    losses (J,)          joint losses; tail_row, tail_loss, tail_weight: the worst of them
    place (K,)           1 + row of a touched factor in grid, 0 untouched; factors (K,) the list
    grid (K, G); by_factor (K, 7): places B_*
    tenor_delta, tenor_vega (T,), tenors (T,) touched list, seen (T,)
    leg_item, leg_quantity (L,)  what the risk array sums: counted collateral, debts, positions
    counts (3,)          how many factors, tenors and legs
    """

    risk: F64
    settled: F64
    losses: F64
    tail_row: I64
    tail_loss: F64
    tail_weight: F64
    place: I64
    factors: I32
    grid: F64
    by_factor: F64
    tenor_delta: F64
    tenor_vega: F64
    tenors: I32
    seen: B1
    leg_item: I32
    leg_quantity: F64
    counts: I64


B_SPOT, B_GROSS, B_NET, B_RATED, B_SHORT, B_VEGA_ABS, B_VEGA_NET = range(7)


@compiled
def bench(rows: Rows, n_tenors: int, n_legs: int) -> Bench:
    """Return fresh scratch for one thread and pools of at most `n_legs` legs."""
    n_factors, n_grid = rows.grid_weight.shape
    n_full, n_tail = rows.full.shape[1], rows.tail_rows[0]
    return Bench(
        np.zeros(n_full), np.zeros(n_full), np.zeros(len(rows.probability)),
        np.zeros(n_tail, np.int64), np.zeros(n_tail), np.zeros(n_tail),
        np.zeros(n_factors, np.int64), np.zeros(n_factors, np.int32),
        np.zeros((n_factors, n_grid)), np.zeros((n_factors, 7)),
        np.zeros(n_tenors), np.zeros(n_tenors), np.zeros(n_tenors, np.int32),
        np.zeros(n_tenors, np.bool_), np.zeros(n_legs, np.int32), np.zeros(n_legs),
        np.zeros(3, np.int64),
    )  # fmt: skip


@borrowing
def _factor_place(k: int, bench: Bench) -> int:
    if bench.place[k] == 0:
        at = bench.counts[0]
        bench.factors[at] = k
        bench.grid[at, :] = 0.0
        bench.by_factor[at, :] = 0.0
        bench.counts[0] += 1
        bench.place[k] = at + 1
    return bench.place[k] - 1


@borrowing
def _take_leg(i: int, x: float, rows: Rows, bench: Bench) -> None:
    """List x units of item i as a leg of the risk array and add them to the one-factor scans."""
    n = bench.counts[2]
    bench.leg_item[n] = i
    bench.leg_quantity[n] = x
    bench.counts[2] = n + 1
    for d in range(rows.grid_starts[i], rows.grid_starts[i + 1]):
        line = bench.grid[_factor_place(rows.grid_factor[d], bench)]
        unit = rows.grid_rows[d]
        for g in range(len(line)):
            line[g] += x * unit[g]


@borrowing
def _take_position(i: int, q: float, items: Items, extras: Extras, bench: Bench, row: F64) -> None:
    """Book one net instrument position into size, fee, tenor and short-option terms."""
    n = q * items.delta[i]
    is_option = items.kind[i] == CALL or items.kind[i] == PUT
    row[T_FEE] += abs(n) * extras.rates[E_FEE]
    size = abs(n)
    tenor = extras.tenor[i]
    if not bench.seen[tenor]:
        bench.seen[tenor] = True
        bench.tenors[bench.counts[1]] = tenor
        bench.counts[1] += 1
        bench.tenor_delta[tenor] = bench.tenor_vega[tenor] = 0.0
    bench.tenor_delta[tenor] += n * extras.exponent[i]
    if is_option:
        size += abs(q * extras.vega_point[i])
        bench.tenor_vega[tenor] += q * extras.vega_up[i]
        if q < 0.0:
            at = _factor_place(extras.factor[i], bench)
            bench.by_factor[at, B_SHORT] -= q * items.short_unit[i]
    cost = extras.half_spread[i] + extras.impact[i] * size ** extras.rates[E_EXPONENT]
    row[P_SIZE] += size * min(extras.range_[i], cost)


@borrowing
def _take_legs(
    pool: int, soon: bool, holdings: Holdings, items: Items, rows: Rows, bench: Bench
) -> None:
    """List the positions that settle within the margin period, or those that do not."""
    for h in range(holdings.pool_starts[pool], holdings.pool_starts[pool + 1]):
        i = holdings.item[h]
        if items.kind[i] != ASSET and holdings.quantity[h] != 0.0 and rows.expires[i] == soon:
            _take_leg(i, holdings.quantity[h], rows, bench)


@borrowing
def risk_array(
    pool: int, holdings: Holdings, items: Items, assets: Assets, rows: Rows, desk: Desk,
    bench: Bench,
) -> bool:  # fmt: skip
    """Fill bench.risk and the scans; bench.settled too where the answer is True (spec 5.7)."""
    for j in range(desk.counts[0]):
        a = desk.touched[j]
        if desk.counted[j] == 0.0:
            continue
        _take_leg(a, desk.counted[j], rows, bench)
        for load in range(assets.load_starts[a], assets.load_starts[a + 1]):
            at = _factor_place(assets.load_factor[load], bench)
            value = desk.counted[j] * assets.price[a] * assets.load_exponent[load]
            bench.by_factor[at, B_SPOT] += value
    _take_legs(pool, False, holdings, items, rows, bench)
    n_late = bench.counts[2]
    _take_legs(pool, True, holdings, items, rows, bench)
    n_legs = bench.counts[2]
    pool_row(bench.risk, rows.full, bench.leg_item, bench.leg_quantity, 0, n_legs)
    if n_late < n_legs:
        pool_row(bench.settled, rows.full, bench.leg_item, bench.leg_quantity, 0, n_late)
    return n_late < n_legs


@borrowing
def _tail(risk: F64, rows: Rows, extras: Extras, bench: Bench, row: F64) -> None:
    """Joint tail and named stress of one risk array; keep the worse (spec 5.3)."""
    n_joint = len(rows.probability)
    for s in range(n_joint):
        bench.losses[s] = -risk[s]
    if n_joint > 0:
        tail, _ = tail_mean(
            bench.losses, rows.probability, extras.rates[E_ALPHA], bench.tail_row,
            bench.tail_loss, bench.tail_weight,
        )  # fmt: skip
        if tail > row[P_TAIL]:
            row[P_TAIL], row[P_TAIL_CODE] = tail, bench.tail_row[0]
            row[P_TAIL_LOSS] = bench.tail_loss[0]
    for s in range(n_joint, len(risk)):
        loss = -risk[s] * rows.weight[s - n_joint]
        if loss > row[P_STRESS]:
            row[P_STRESS], row[P_STRESS_CODE] = loss, s


@borrowing
def _scans(rows: Rows, extras: Extras, bench: Bench, row: F64) -> None:
    """Worst weighted loss of each factor's scan, short options floored (spec 5.3)."""
    n_full = len(bench.risk)
    n_grid = rows.grid_weight.shape[1]
    for at in range(bench.counts[0]):
        k = bench.factors[at]
        bench.place[k] = 0
        scan = 0.0
        code = -1
        for g in range(n_grid):
            loss = -bench.grid[at, g] * rows.grid_weight[k, g]
            if loss > scan:
                scan, code = loss, n_full + k * n_grid + g
        minimum = bench.by_factor[at, B_SHORT] * extras.rates[E_MINIMUM]
        row[P_MINIMUM] += max(0.0, minimum - scan)
        scan = max(scan, minimum)
        row[P_SCAN_SUM] += scan
        if scan > row[P_SCAN_MAX]:
            row[P_SCAN_MAX], row[P_SCAN_CODE] = scan, code


@borrowing
def _tenor_terms(extras: Extras, bench: Bench, row: F64) -> None:
    """Basis and vega: what tenors of one underlying do not share (spec 5.4, C20, C21)."""
    for j in range(bench.counts[1]):
        t = bench.tenors[j]
        bench.seen[t] = False
        by = bench.by_factor[_factor_place(extras.tenor_factor[t], bench)]
        by[B_GROSS] += abs(bench.tenor_delta[t])
        by[B_NET] += bench.tenor_delta[t]
        by[B_RATED] += abs(bench.tenor_delta[t]) * extras.tenor_rate[t]
        by[B_VEGA_ABS] += abs(bench.tenor_vega[t])
        by[B_VEGA_NET] += bench.tenor_vega[t]
    for at in range(bench.counts[0]):
        by = bench.by_factor[at]
        gross = by[B_GROSS] + abs(by[B_SPOT])
        if gross > 0.0 and by[B_RATED] > 0.0:
            row[P_BASIS] += (1.0 - abs(by[B_NET] + by[B_SPOT]) / gross) * by[B_RATED]
        row[P_VEGA] += extras.rates[E_VEGA] * (by[B_VEGA_ABS] - abs(by[B_VEGA_NET]))


@borrowing
def scan_pool(
    pool: int, holdings: Holdings, items: Items, extras: Extras, assets: Assets, rows: Rows,
    desk: Desk, bench: Bench, row: F64,
) -> None:  # fmt: skip
    """Fill the portfolio terms of one priced pool."""
    bench.counts[:] = 0
    row[N_TALLY:] = 0.0
    row[P_TAIL_CODE] = row[P_STRESS_CODE] = row[P_SCAN_CODE] = -1.0
    two = risk_array(pool, holdings, items, assets, rows, desk, bench)
    h, hi = holdings.pool_starts[pool], holdings.pool_starts[pool + 1]
    while h < hi:
        i = holdings.item[h]
        q = 0.0
        while h < hi and holdings.item[h] == i:
            q += holdings.quantity[h]
            h += 1
        if items.kind[i] != ASSET and q != 0.0:
            _take_position(i, q, items, extras, bench, row)
    _tail(bench.risk, rows, extras, bench, row)
    if two:
        _tail(bench.settled, rows, extras, bench, row)
    _tenor_terms(extras, bench, row)
    _scans(rows, extras, bench, row)


@compiled
def portfolio_pools(
    lo: int, hi: int, holdings: Holdings, items: Items, extras: Extras, assets: Assets,
    rows: Rows, out: F64,
) -> None:  # fmt: skip
    """Fill out[:, : hi - lo] for pools [lo, hi): one column a pool, (N_PORTFOLIO, ..), numeraire.

    NaN in every place but T_UNPRICED where a pool cannot be priced (spec 2.5).
    """
    own = desk(len(assets.price), len(assets.down))
    most = 0
    for pool in range(lo, hi):
        most = max(most, holdings.pool_starts[pool + 1] - holdings.pool_starts[pool])
    # A position can add an asset its pool does not hold: the one it settles in.
    own_bench = bench(rows, len(extras.tenor_rate), 2 * most + 1)
    row = np.zeros(N_PORTFOLIO)
    for pool in range(lo, hi):
        first, last = holdings.pool_starts[pool], holdings.pool_starts[pool + 1]
        take_holdings(first, last, holdings, items, assets, own)
        take_balances(holdings.account[pool], assets, own)
        if assets.uncertain[0] and own.tally[T_OWES] > 0.0:  # C60
            take_uncertainty(first, last, holdings, items, assets, own, extras.underlying)
        if own.tally[T_UNPRICED] > 0.0:
            row[:] = np.nan
            row[T_UNPRICED] = 1.0
        else:
            row[:N_TALLY] = own.tally
            scan_pool(pool, holdings, items, extras, assets, rows, own, own_bench, row)
        for c in range(N_PORTFOLIO):
            out[c, pool - lo] = row[c]


@borrowing
def full_pnl(pool: int, holdings: Holdings, items: Items, rows: Rows, first: int, pnl: F64) -> None:
    """Fill pnl with one pool's P&L at full quantities in scenarios first, first + 1, ...

    Unsettled P&L is held in its settlement asset and moves with it.
    """
    pnl[:] = 0.0
    for h in range(holdings.pool_starts[pool], holdings.pool_starts[pool + 1]):
        i, q = holdings.item[h], holdings.quantity[h]
        unit = rows.full[i]
        for s in range(len(pnl)):
            pnl[s] += q * unit[first + s]
        if items.kind[i] != ASSET and items.futures_like[i]:
            coins = unsettled(items, i, q, holdings.entry[h])
            unit = rows.full[items.settle[i]]
            for s in range(len(pnl)):
                pnl[s] += coins * unit[first + s]


@compiled
def full_tail(
    lo: int, hi: int, holdings: Holdings, items: Items, rows: Rows, alpha: float, out: F64
) -> None:
    """Fill out (hi - lo,) with the joint ES of everything at full quantities (spec 5.4)."""
    losses = np.zeros(len(rows.probability))
    n_tail = rows.tail_rows[0]
    row, worst, share = np.zeros(n_tail, np.int64), np.zeros(n_tail), np.zeros(n_tail)
    for pool in range(lo, hi):
        full_pnl(pool, holdings, items, rows, 0, losses)
        losses *= -1.0
        out[pool - lo], _ = tail_mean(losses, rows.probability, alpha, row, worst, share)


@compiled
def stress_pnl(lo: int, hi: int, holdings: Holdings, items: Items, rows: Rows, out: F64) -> None:
    """Fill out[lo:hi] (A, S - J) with P&L at full quantities in every named stress scenario.

    NaN in a pool whose holdings have no price.
    """
    for pool in range(lo, hi):
        full_pnl(pool, holdings, items, rows, len(rows.probability), out[pool])
