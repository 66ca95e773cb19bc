"""Margin of pools by delta netting: `isolated`, `cross_sum` and `cross_correlated` in one pass.

In     holdings sorted by pool; terms of items, assets and underlying slots.
Out    one row of numbers a pool (places `C_*` after the tally of `netting`).
Owns   net per underlying, long options that only reduce, tiers, correlation, hedged part.
Never  nets across pools; charges collateral or loans here: their risk is in the haircuts.
Signs  notionals signed (+ long), charges >= 0, numeraire.
Spec   docs/spec/05-requirement.md, 5.1 and 5.2; choices C14 to C18
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import F64, I32, I64
from crossmargin.kernels.brackets import counted
from crossmargin.kernels.compiled import borrowing, compiled, index
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
    with_tally,
)

# Places of a pool's row after the tally. All at MM unless named; IM follows by the initial factor.
C_SUM, C_CORRELATED, C_FLOOR, C_HEDGED, C_MINIMUM_MM, C_MINIMUM_IM = range(N_TALLY, N_TALLY + 6)
C_ISOLATED_MM, C_ISOLATED_IM = N_TALLY + 6, N_TALLY + 7
N_CROSS = N_TALLY + 8


class Slots(NamedTuple):
    """Terms of every underlying slot, (U,).

    tier_edge, tier_rate (U, T)   marginal tiers of notional at MM (choice C16)
    hedged_rate (U,)              hedged fraction x range
    rho (R, R), group (U,)        correlation of groups of slots, symmetric; the diagonal is that of
                                  two different slots of one group
    rates (7,)                    see R_* : what the rulebook says once for all
    underlying (n_items,)         asset row of each instrument's underlying
    """

    tier_edge: F64
    tier_rate: F64
    hedged_rate: F64
    rho: F64
    group: I32
    rates: F64
    underlying: I32


R_FLOOR, R_MINIMUM_MM, R_MINIMUM_IM, R_FEE, R_INITIAL = 0, 1, 2, 3, 4
N_RATES = 5


class Nets(NamedTuple):
    """Scratch of one thread: exposures of the pool at hand by underlying, in order of touch.

    place (U,) 1 + row of a touched slot in the lists, 0 untouched; the lists are (U,)
    """

    place: I32
    touched: I32
    net: F64
    gross: F64
    long_up: F64
    long_down: F64
    short_units: F64
    counts: I64
    margin: F64


@compiled
def nets(n_slots: int) -> Nets:
    """Return fresh scratch for one thread."""
    return Nets(
        np.zeros(n_slots, np.int32), np.zeros(n_slots, np.int32), np.zeros(n_slots),
        np.zeros(n_slots), np.zeros(n_slots), np.zeros(n_slots), np.zeros(n_slots),
        np.zeros(1, np.int64), np.zeros(n_slots),
    )  # fmt: skip


@borrowing
def _expose(i: int, q: float, items: Items, nets: Nets) -> None:
    """Add a net position of one instrument to its underlying."""
    slot = index(items.slot[i])
    if nets.place[slot] == 0:
        u = index(nets.counts[0])
        nets.touched[u] = slot
        nets.net[u] = nets.gross[u] = nets.long_up[u] = nets.long_down[u] = 0.0
        nets.short_units[u] = 0.0
        nets.counts[0] += 1
        nets.place[slot] = nets.counts[0]
    u = index(nets.place[slot] - 1)
    n = q * items.delta[i]
    is_option = items.kind[i] == CALL or items.kind[i] == PUT
    if is_option and q > 0.0 and not items.futures_like[i]:
        nets.long_up[u] += max(0.0, n)
        nets.long_down[u] += min(0.0, n)
        return
    nets.net[u] += n
    nets.gross[u] += abs(n)
    if is_option and q < 0.0:
        nets.short_units[u] -= q * items.short_unit[i]


@borrowing
def net_positions(
    lo: int, hi: int, holdings: Holdings, items: Items, slots: Slots, alone: bool, nets: Nets,
    row: F64,
) -> None:  # fmt: skip
    """Walk the positions, identical instruments as one; sum fees, and charges standing alone."""
    nets.counts[0] = 0
    row[C_ISOLATED_MM] = row[C_ISOLATED_IM] = 0.0
    fee = 0.0
    h = lo
    while h < hi:
        item = holdings.item[index(h)]
        i = index(item)
        q = 0.0
        while h < hi and holdings.item[index(h)] == item:
            q += holdings.quantity[index(h)]
            h += 1
        if items.kind[i] == ASSET or q == 0.0:
            continue
        _expose(i, q, items, nets)
        notional = abs(q * items.delta[i])
        fee += notional * slots.rates[R_FEE]
        if not alone:
            continue
        if (items.kind[i] != CALL and items.kind[i] != PUT) or (q > 0.0 and items.futures_like[i]):
            u = items.slot[i]
            charge = counted(notional, slots.tier_edge[u], slots.tier_rate[u])
            row[C_ISOLATED_MM] += charge
            row[C_ISOLATED_IM] += charge * slots.rates[R_INITIAL]
        elif q < 0.0:
            row[C_ISOLATED_MM] -= q * items.isolated_mm[i]
            row[C_ISOLATED_IM] -= q * items.isolated_im[i]
    row[T_FEE] = fee


@borrowing
def _correlated(nets: Nets, slots: Slots) -> float:
    """Return K: the worst of three correlation matrices (spec 5.2).

    N' (rho + 11')/2 N = (Q + (sum N)^2)/2 and N' (rho + I)/2 N = (Q + sum N^2)/2, Q = N' rho N.
    """
    pairs = 0.0
    total = 0.0
    squares = 0.0
    for a in range(nets.counts[0]):
        m = nets.margin[index(a)]
        rho = slots.rho[index(slots.group[index(nets.touched[index(a)])])]
        total += m
        squares += m * m
        for b in range(a):
            other = index(slots.group[index(nets.touched[index(b)])])
            pairs += m * rho[other] * nets.margin[index(b)]
    q = squares + 2.0 * pairs  # a slot with itself is 1, and rho is symmetric
    return np.sqrt(max(0.0, max(q, max(0.5 * (q + total * total), 0.5 * (q + squares)))))


@borrowing
def net_underlyings(slots: Slots, nets: Nets, row: F64) -> None:
    """Turn exposures by underlying into the pool's terms (spec 5.2)."""
    for c in range(C_SUM, C_MINIMUM_IM + 1):
        row[c] = 0.0
    initial = slots.rates[R_INITIAL]
    for at in range(nets.counts[0]):
        j = index(at)
        u = index(nets.touched[j])
        nets.place[u] = 0
        low = nets.net[j] + nets.long_down[j]
        high = nets.net[j] + nets.long_up[j]
        net = low if low > 0.0 else (high if high < 0.0 else 0.0)
        gross = nets.gross[j] + abs(net - nets.net[j])
        charge = counted(abs(net), slots.tier_edge[u], slots.tier_rate[u])
        nets.margin[j] = charge if net >= 0.0 else -charge
        row[C_SUM] += charge
        row[C_HEDGED] += 0.5 * (gross - abs(net)) * slots.hedged_rate[u]
        short = nets.short_units[j]
        row[C_MINIMUM_MM] += max(0.0, short * slots.rates[R_MINIMUM_MM] - charge)
        row[C_MINIMUM_IM] += max(0.0, short * slots.rates[R_MINIMUM_IM] - initial * charge)
    row[C_CORRELATED] = _correlated(nets, slots)
    row[C_FLOOR] = slots.rates[R_FLOOR] * row[C_SUM]


@borrowing
def margin_pool(
    pool: int, holdings: Holdings, items: Items, assets: Assets, slots: Slots, alone: bool,
    desk: Desk, nets: Nets, row: F64,
) -> None:  # fmt: skip
    """Fill one pool's row: tally (desk.tally is the front of `row`), then cross terms."""
    lo, hi = holdings.pool_starts[pool], holdings.pool_starts[pool + 1]
    take_holdings(lo, hi, holdings, items, assets, desk)
    take_balances(holdings.account[pool], assets, desk)
    if assets.uncertain[0] and desk.tally[T_OWES] > 0.0:  # C60
        take_uncertainty(lo, hi, holdings, items, assets, desk, slots.underlying)
    if desk.tally[T_UNPRICED] > 0.0:
        row[:] = np.nan
        row[T_UNPRICED] = 1.0
        return
    net_positions(lo, hi, holdings, items, slots, alone, nets, row)
    net_underlyings(slots, nets, row)


@compiled
def net_margins(
    pool: int, holdings: Holdings, items: Items, slots: Slots, slot: I32, margin: F64
) -> int:
    """List one pool's signed margins by underlying slot for explain; return how many there are."""
    own, row = nets(len(slots.hedged_rate)), np.zeros(N_CROSS)
    lo, hi = holdings.pool_starts[pool], holdings.pool_starts[pool + 1]
    net_positions(lo, hi, holdings, items, slots, False, own, row)
    net_underlyings(slots, own, row)
    for j in range(own.counts[0]):
        slot[j] = own.touched[j]
        margin[j] = own.margin[j]
    return own.counts[0]


@compiled
def cross_pools(
    lo: int, hi: int, holdings: Holdings, items: Items, assets: Assets, slots: Slots,
    alone: bool, out: F64,
) -> None:  # fmt: skip
    """Fill out[:, : hi - lo] for pools [lo, hi): one column a pool, (N_CROSS, ..), numeraire.

    alone  also charge every instrument as if it stood alone: `isolated` asks, and costs a third
    NaN in every place but T_UNPRICED where a pool cannot be priced (spec 2.5).
    """
    row = np.zeros(N_CROSS)
    own = with_tally(desk(len(assets.price), len(assets.down)), row[:N_TALLY])
    own_nets = nets(len(slots.hedged_rate))
    for pool in range(lo, hi):
        margin_pool(pool, holdings, items, assets, slots, alone, own, own_nets, row)
        for c in range(N_CROSS):
            out[c, pool - lo] = row[c]
