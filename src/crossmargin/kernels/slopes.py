"""Bounds of the slope of a netted pool's buffer over a box of prices.

In     a pool as `margin_pool` left it; what each item's price hangs on.
Out    for each item the pool hangs on, the least and largest d buffer_MM / d log level in the box.
Owns   the bounds of spec 9.33 to 9.36, and the terms and scratch that reach kernels share.
Never  is tight where it can be plain: a slope too steep costs time, not truth.
Signs  numeraire.
Spec   docs/spec/09-zones.md

The level of an asset is its price, that of a position its basis: mark x quote / underlying. So a
coin hedged by its future hangs on the coin by what is left, and on the basis by its size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import F64, I32
from crossmargin.kernels.compiled import borrowing, compiled, index
from crossmargin.kernels.cross import N_CROSS, R_FEE, Nets, Slots, nets
from crossmargin.kernels.netting import (
    ASSET,
    N_TALLY,
    Assets,
    Desk,
    Holdings,
    Items,
    desk,
    unsettled,
    with_tally,
)

SUM, CORRELATED, ALONE = 0, 1, 2
# Of everything a pool holds and owes, so much is left for the rounding of sums.
ROUNDING = 1e-9


class Ties(NamedTuple):
    """What an item's price is made of, (n_items,).

    underlying, quote   asset rows of instruments
    restless            log move of the level in a typical day, > 0; NaN where no box is proven
    rho_low (1,)        the smallest correlation of two underlyings
    """

    underlying: I32
    quote: I32
    restless: F64
    rho_low: F64


class Terms(NamedTuple):
    """Everything a netted pool is margined and reached by."""

    holdings: Holdings
    items: Items
    assets: Assets
    slots: Slots
    ties: Ties


class Work(NamedTuple):
    """Scratch of one thread.

    low, high (n_items,)   bounds of the slope of the buffer; own_low, own_high of one balance's
    gross (n_items,)       on assets: notionals that settle in it
    size (2,)              log width of the box proven last; the width its buffer would allow
    """

    desk: Desk
    nets: Nets
    row: F64
    low: F64
    high: F64
    own_low: F64
    own_high: F64
    gross: F64
    size: F64


@compiled
def work_of(n_assets: int, n_factors: int, n_slots: int, n_items: int) -> Work:
    """Return fresh scratch for one thread."""
    row = np.zeros(N_CROSS)
    return Work(
        with_tally(desk(n_assets, n_factors), row[:N_TALLY]), nets(n_slots), row,
        np.zeros(n_items), np.zeros(n_items), np.zeros(n_items), np.zeros(n_items),
        np.zeros(n_items), np.zeros(2),
    )  # fmt: skip


@compiled
def slopes_of(lo: int, hi: int, how: int, h: float, one_sign: bool, entry: I32, terms: Terms,
            work: Work) -> float:  # fmt: skip
    """Bound the slope of the buffer along every entry over |log move| <= h; return the rounding."""
    items, assets, grow = terms.items, terms.assets, np.exp(4.0 * h)
    for e in range(len(entry)):
        i = index(entry[e])
        work.low[i] = work.high[i] = work.gross[i] = 0.0
    size = 0.0
    r = lo
    while r < hi:
        i, q, pnl = terms.holdings.item[index(r)], 0.0, 0.0
        while r < hi and terms.holdings.item[index(r)] == i:
            piece = terms.holdings.quantity[index(r)]
            q += piece
            if items.kind[index(i)] != ASSET and piece != 0.0:
                pnl += unsettled(items, i, piece, terms.holdings.entry[index(r)])
            r += 1
        if items.kind[index(i)] == ASSET or q == 0.0:
            continue
        n = q * items.delta[index(i)]
        size += abs(n)
        work.gross[index(items.settle[index(i)])] += abs(n)
        _charge_slopes(i, n, grow, how, one_sign, terms, work)
        _gain_slopes(i, n, pnl, h, terms, work)
    for at in range(work.desk.counts[0]):
        size += abs(
            work.desk.balance[index(at)] * assets.price[index(work.desk.touched[index(at)])]
        )
        _balance_slopes(at, lo, hi, h, entry, terms, work)
    return ROUNDING * size


@borrowing
def _add(low: F64, high: F64, at: int, one: float, two: float) -> None:
    i = index(at)
    low[i] += min(one, two)
    high[i] += max(one, two)


@borrowing
def _kept(low: float, high: float, a: int, assets: Assets, most: bool) -> float:
    """The largest or smallest marginal rate at which an asset counts between two values."""
    rate = -np.inf if most else np.inf
    below = 0.0
    for at in range(assets.edge_starts[index(a)], assets.edge_starts[index(a + 1)]):
        j = index(at)
        if below <= high and assets.edge[j] >= low:
            rate = max(rate, assets.keep_mm[j]) if most else min(rate, assets.keep_mm[j])
        below = assets.edge[j]
    return rate * (1.0 - assets.market_mm[index(a)])


@borrowing
def _counted(low: float, high: float, a: int, assets: Assets, most: bool) -> float:
    """The same of a balance that may be owed in part of the interval: a debt costs its whole."""
    rate = -np.inf if most else np.inf
    if high >= 0.0:
        rate = _kept(max(0.0, low), high, a, assets, most)
    if low < 0.0:
        owed = 1.0 + assets.surcharge_mm[index(a)]
        rate = max(rate, owed) if most else min(rate, owed)
    return rate


@borrowing
def _tier_rate(notional: float, slot: int, slots: Slots) -> float:
    """The largest marginal rate of the tiers that a notional of this size touches."""
    worst = 0.0
    for t in range(slots.tier_edge.shape[1]):
        worst = max(worst, slots.tier_rate[index(slot), index(t)])
        if notional <= slots.tier_edge[index(slot), index(t)]:
            break
    return worst


@borrowing
def _charge_slopes(i: int, n: float, grow: float, how: int, one_sign: bool, terms: Terms,
                   work: Work) -> None:  # fmt: skip
    """Take off what the requirement can follow one position: tiers, hedged part, fee (9.35)."""
    items, slots, held = terms.items, terms.slots, work.nets
    slot = items.slot[index(i)]
    gross, unhedged = 0.0, False
    for at in range(held.counts[0]):
        j = index(at)
        if held.touched[j] == slot:
            gross = held.gross[j]
            unhedged = abs(abs(held.net[j]) - gross) <= ROUNDING * gross
    fee = slots.rates[R_FEE]
    rate = _tier_rate(gross * grow, slot, slots) + slots.hedged_rate[index(slot)] + fee
    most = rate * abs(n) * grow
    # Where nothing nets, more notional is never charged less; elsewhere both can be.
    one_way = how == ALONE or (unhedged and (how == SUM or one_sign))
    least = fee * abs(n) / grow if one_way else -most
    # notional = size x mark x settle, an inverse one size x settle / mark
    toward = -1.0 if items.inverse[index(i)] else 1.0
    u, q, s = terms.ties.underlying[index(i)], terms.ties.quote[index(i)], items.settle[index(i)]
    by_u = toward + (1.0 if s == u else 0.0)
    by_q = -toward + (1.0 if s == q else 0.0)
    _add(work.low, work.high, i, -toward * most, -toward * least)
    _add(work.low, work.high, u, -by_u * most, -by_u * least)
    _add(work.low, work.high, q, -by_q * most, -by_q * least)
    if s not in (u, q):
        _add(work.low, work.high, s, -most, -least)


@borrowing
def _mark_slopes(i: int, n: float, grow: float, terms: Terms, low: F64, high: F64) -> None:
    """Add what one position's P&L follows: its basis, its underlying, and against it its quote."""
    small, large = n / grow, n * grow
    _add(low, high, i, small, large)
    _add(low, high, terms.ties.underlying[index(i)], small, large)
    _add(low, high, terms.ties.quote[index(i)], -small, -large)


@borrowing
def _gain_slopes(i: int, n: float, pnl: float, h: float, terms: Terms, work: Work) -> None:
    """Take off what held-back gains can follow one position, both ways (spec 3.4, 9.36)."""
    back = 1.0 - terms.assets.gain_mm[index(terms.items.tier[index(i)])]
    if back <= 0.0:
        return
    s = terms.items.settle[index(i)]
    value = abs(pnl * terms.assets.price[index(s)])
    size = abs(n) * np.exp(4.0 * h) * back
    whole = (value + 3.0 * h * abs(n) * np.exp(4.0 * h)) * np.exp(h) * back
    _add(work.low, work.high, i, -size, size)
    _add(work.low, work.high, terms.ties.underlying[index(i)], -size, size)
    _add(work.low, work.high, terms.ties.quote[index(i)], -size, size)
    _add(work.low, work.high, s, -whole, whole)


@borrowing
def _balance_slopes(j: int, lo: int, hi: int, h: float, entry: I32, terms: Terms, work: Work
                    ) -> None:  # fmt: skip
    """Add what one net balance's counted value follows (spec 9.33, 9.34).

    Whatever settles in the asset shares its marginal rate, so positions net before the rate does.
    """
    items, assets = terms.items, terms.assets
    a, balance = work.desk.touched[index(j)], work.desk.balance[index(j)]
    value, gross = balance * assets.price[index(a)], work.gross[index(a)]
    apart = np.exp(h) * (abs(value) + 3.0 * h * np.exp(4.0 * h) * gross) - abs(value)
    if value == 0.0 and gross == 0.0:
        return
    if gross == 0.0:
        # Only its price moves it, so its sign stays, and it stays a holding or a debt.
        first, last = value / np.exp(h), value * np.exp(h)
        most = _counted(min(first, last), max(first, last), a, assets, True)
        least = _counted(min(first, last), max(first, last), a, assets, False)
        _add(work.low, work.high, a, min(first * least, last * least, first * most, last * most),
             max(first * least, last * least, first * most, last * most))  # fmt: skip
        return
    most = _counted(value - apart, value + apart, a, assets, True)
    least = _counted(value - apart, value + apart, a, assets, False)
    for e in range(len(entry)):
        work.own_low[index(entry[e])] = work.own_high[index(entry[e])] = 0.0
    _add(work.own_low, work.own_high, a, value - apart, value + apart)
    grow = np.exp(4.0 * h)
    r = lo
    while r < hi:
        i, q = terms.holdings.item[index(r)], 0.0
        while r < hi and terms.holdings.item[index(r)] == i:
            q += terms.holdings.quantity[index(r)]
            r += 1
        if items.kind[index(i)] != ASSET and items.settle[index(i)] == a and q != 0.0:
            n = q * items.delta[index(i)]
            _mark_slopes(i, n, grow, terms, work.own_low, work.own_high)
    for e in range(len(entry)):
        i = index(entry[e])
        one, two = work.own_low[i], work.own_high[i]
        low = min(one * least, one * most)
        high = max(two * least, two * most)
        work.low[i] += low
        work.high[i] += high
