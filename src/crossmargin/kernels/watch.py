"""Watch netted pools tick by tick: look at those a move endangers, and at no other.

In     levels of all items; pools, the terms they are margined by, the trigger index.
Out    the verdict of MM of every pool, kept up to date; the pools whose verdict changed.
Owns   when a pool is looked at: where a trigger fired, and on every tick while it is hot.
Never  differs from looking at every pool: the same kernel judges, so the same bits (law L8).
Signs  as `netting`.
Spec   docs/spec/09-zones.md, 9.38 to 9.40
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import B1, F64, I8, I32, I64
from crossmargin.kernels.compiled import compiled
from crossmargin.kernels.netting import T_EQUITY
from crossmargin.kernels.reach import buffer_pool, reach_pool
from crossmargin.kernels.slopes import Terms, Work
from crossmargin.kernels.zones import Zones, crossed, set_high, set_low, silence

SAFE, UNDER, BANKRUPT, UNPRICED = 0, 1, 2, 3
# A box that lasts less than so many typical days is not worth its triggers: the pool stays hot.
# A tick of three seconds moves a price by 0.006 typical days.
DAYS_MIN = 0.02
# So much of the way to a new trigger an old one must be off to stay.
KEEP = 0.5


class Watch(NamedTuple):
    """What is known of A pools.

    how, verdict (A,)     how a pool is margined (SUM, CORRELATED, ALONE); SAFE .. UNPRICED
    hot (A,)              the pools that are looked at on every tick, n_hot of them at the front
    place (A,)            where in that list a pool stands, -1 where it does not
    cool (A,)             buffer from which a hot pool gets a box again
    size (A,)             size of box to try first, 0 where none was found yet
    share (E, 2)          width of a box per unit of buffer, to either side: what a proof allows
    edge (E, 2)           the levels between which that proof holds
    picked (A,), found (A,)   scratch of a tick
    fall, rise (L,)       scratch of one pool: L is the most items a pool hangs on
    counts (3,)           n_hot; pools looked at, ever; boxes that may still be made in this tick
    """

    how: I8
    verdict: I8
    hot: I32
    place: I32
    cool: F64
    size: F64
    share: F64
    edge: F64
    picked: B1
    found: I64
    fall: F64
    rise: F64
    counts: I64


N_HOT, N_LOOKED, N_LEFT = 0, 1, 2
# A tick makes boxes for one pool in so many, and the rest waits, hot: a day on which everything
# moves at once costs little more than looking at every pool.
BOX_SHARE, BOXES_MIN = 128, 64


def watch(how: I8, z: Zones) -> Watch:
    """Return a watch over pools of which nothing is known yet."""
    n, longest = len(how), int(np.diff(z.entry_starts).max(initial=0))
    return Watch(
        how, np.full(n, UNPRICED, np.int8), np.zeros(n, np.int32), np.full(n, -1, np.int32),
        np.zeros(n), np.zeros(n), np.zeros((len(z.item), 2)), np.zeros((len(z.item), 2)),
        np.zeros(n, np.bool_), np.zeros(n, np.int64), np.zeros(longest),
        np.zeros(longest), np.zeros(3, np.int64),
    )  # fmt: skip


@compiled
def move_items(level: F64, terms: Terms) -> None:
    """Write prices, marks and delta notionals that follow from levels, in place; no options.

    level  (n_items,) prices of assets, then the basis of each instrument
    """
    items, price, n = terms.items, terms.assets.price, len(terms.assets.price)
    for a in range(n):
        price[a] = level[a]
    for i in range(n, len(level)):
        if not terms.ties.restless[i] > 0.0:
            continue
        mark = level[i] * price[terms.ties.underlying[i]] / price[terms.ties.quote[i]]
        items.mark[i] = mark
        unit = items.scale[i] / mark if items.inverse[i] else items.scale[i] * mark
        items.delta[i] = unit * price[items.settle[i]]


@compiled
def verdict_of(buffer: float, equity: float) -> int:
    """Return the verdict of MM; what is not known is UNPRICED (spec 6)."""
    if np.isfinite(buffer) and np.isfinite(equity):
        if equity >= 0.0:
            return SAFE if buffer >= 0.0 else UNDER
        return BANKRUPT
    return UNPRICED


@compiled
def _warm(pool: int, buffer: float, z: Zones, w: Watch) -> None:
    """Keep a pool hot; it asks for a box again once its buffer has doubled."""
    w.size[pool] = 0.0
    w.cool[pool] = 2.0 * buffer if buffer > 0.0 else 0.0
    if w.place[pool] < 0:
        silence(z, pool)
        w.place[pool] = w.counts[N_HOT]
        w.hot[w.counts[N_HOT]] = pool
        w.counts[N_HOT] += 1


@compiled
def _cold(pool: int, w: Watch) -> None:
    at = w.place[pool]
    if at >= 0:
        last = w.hot[w.counts[N_HOT] - 1]
        w.hot[at], w.place[last] = last, at
        w.place[pool] = -1
        w.counts[N_HOT] -= 1


@compiled
def _arm(
    pool: int, buffer: float, level: F64, terms: Terms, work: Work, z: Zones, w: Watch
) -> None:  # fmt: skip
    """Give a pool, whose row `work` holds, a box around the levels of now; or keep it hot."""
    first, last = z.entry_starts[pool], z.entry_starts[pool + 1]
    fall, rise = w.fall[: last - first], w.rise[: last - first]
    entry = z.item[first:last]
    rise[0] = w.size[pool]
    days = reach_pool(pool, w.how[pool], buffer, entry, terms, work, fall, rise)
    if not days > DAYS_MIN:
        _warm(pool, buffer, z, w)
        return
    _cold(pool, w)
    h = work.size[0]
    w.size[pool] = h if days < np.inf else 0.0
    for e in range(last - first):
        at, here = level[entry[e]], first + e
        w.share[here, 0], w.share[here, 1] = fall[e] / buffer, rise[e] / buffer
        w.edge[here, 0], w.edge[here, 1] = at * np.exp(-h), at * np.exp(h)
        if days == np.inf:
            w.share[here, :] = np.inf
            w.edge[here, 0], w.edge[here, 1] = -np.inf, np.inf
    _spend(pool, buffer, level, z, w)


@compiled
def _spend(pool: int, buffer: float, level: F64, z: Zones, w: Watch) -> bool:
    """Set triggers as wide as this buffer allows, inside the old proof; False where it is used up.

    exp(-f) <= 1 - f + f f / 2 and 1 + f <= exp(f): both sides lie inside the box.
    """
    first, last = z.entry_starts[pool], z.entry_starts[pool + 1]
    room = 0.5 * w.size[pool]
    for here in range(first, last):
        at = level[z.item[here]]
        f, r = w.share[here, 0] * buffer, w.share[here, 1] * buffer
        low = max(w.edge[here, 0], at * (1.0 - f + 0.5 * f * f)) if f < 1.0 else w.edge[here, 0]
        high = min(w.edge[here, 1], at * (1.0 + r))
        # A side that only the proof bounds may come close to its edge before a new one is asked.
        if at * (1.0 - KEEP * min(f, room)) < low or high < at * (1.0 + KEEP * min(r, room)):
            return False
        # A trigger that stands inside the new box, and not too near, is left where it is.
        if not low <= -z.trigger[here, 0] <= at * (1.0 - KEEP * min(1.0, f)):
            set_low(z, here, low)
        if not at * (1.0 + KEEP * r) <= z.trigger[here, 1] <= high:
            set_high(z, here, high)
    return True


@compiled
def _look(
    pool: int, level: F64, terms: Terms, work: Work, z: Zones, w: Watch, changed: I64, n: int
) -> int:  # fmt: skip
    """Judge one pool anew; list it where its verdict changed. Return how many are listed."""
    w.counts[N_LOOKED] += 1
    buffer = buffer_pool(pool, w.how[pool], terms, work)
    verdict = verdict_of(buffer, work.row[T_EQUITY])
    armed = w.place[pool] < 0
    if armed and w.size[pool] > 0.0 and buffer > 0.0 and _spend(pool, buffer, level, z, w):
        pass
    elif armed or (buffer >= w.cool[pool] and buffer >= 0.0):
        if w.counts[N_LEFT] > 0:
            w.counts[N_LEFT] -= 1
            _arm(pool, buffer, level, terms, work, z, w)
        else:
            _warm(pool, buffer, z, w)
            w.cool[pool] = 0.0
    if verdict != w.verdict[pool]:
        w.verdict[pool] = verdict
        changed[n] = pool
        n += 1
    return n


@compiled
def look_at(
    pools: I64, level: F64, terms: Terms, work: Work, z: Zones, w: Watch, changed: I64
) -> int:  # fmt: skip
    """Judge these pools anew and arm them; return how many are listed in `changed`, (A,)."""
    n = 0
    w.counts[N_LEFT] = len(pools)
    for pool in pools:
        w.size[pool] = 0.0  # what it holds may be new: an old proof says nothing of it
        n = _look(pool, level, terms, work, z, w, changed, n)
    return n


@compiled
def tick(level: F64, terms: Terms, work: Work, z: Zones, w: Watch, changed: I64) -> int:
    """Take new levels in; return how many pools' verdicts changed, listed in `changed`, (A,).

    level  (n_items,) prices and bases of now, which stand in the terms already
    """
    w.counts[N_LEFT] = max(BOXES_MIN, len(w.verdict) // BOX_SHARE)
    n_found = crossed(z, level, w.picked, w.found)
    n = 0
    for j in range(n_found):
        w.picked[w.found[j]] = False
        n = _look(w.found[j], level, terms, work, z, w, changed, n)
    j = w.counts[N_HOT] - 1
    while j >= 0:  # backwards: who cools down is replaced by the last, which was looked at
        n = _look(w.hot[j], level, terms, work, z, w, changed, n)
        j -= 1
    return n


@compiled
def ticks(
    levels: F64, hand_over: bool, terms: Terms, work: Work, z: Zones, w: Watch, changed: I64,
    out: I64,
) -> None:  # fmt: skip
    """Take ticks in one after another; out (T, 2): verdicts changed and pools looked at of each.

    hand_over  a pool that went under is somebody else's from then on, and keeps that verdict
    """
    for t in range(len(levels)):
        move_items(levels[t], terms)
        before = w.counts[N_LOOKED]
        out[t, 0] = tick(levels[t], terms, work, z, w, changed)
        out[t, 1] = w.counts[N_LOOKED] - before
        if hand_over:
            for j in range(out[t, 0]):
                if w.verdict[changed[j]] in (UNDER, BANKRUPT):
                    silence(z, changed[j])
                    _cold(changed[j], w)
