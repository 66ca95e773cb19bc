"""The trigger index: which pools a move of prices brings to the edge of what was proven for them.

In     per pool the items its number hangs on; per such entry a lower and an upper trigger.
Out    the pools whose triggers a new set of levels has crossed.
Owns   one heap for each item and side; edits its arrays in place, and is the one kernel that does.
Never  knows what a level or a pool is; forgets an entry; allocates after it was built.
Signs  levels of any sign; no NaN.
Spec   docs/spec/09-zones.md

The heaps know triggers that are never beyond the true ones: a trigger that moves away costs
nothing until the level comes to where it stood, and one that comes nearer is sifted up at once.
Setting a trigger so costs a few memory reads, and a tick that crosses nothing one comparison for
each item and side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import B1, F64, I32, I64
from crossmargin.kernels.compiled import compiled

LOW, HIGH = 0, 1
WAYS = 4  # children of a node: half the depth of a binary heap, and they share a cache line


class Zones(NamedTuple):
    """E entries of A pools over I items; entries of a pool stand together.

    entry_starts (A + 1,); item, pool (E,)  which item and whose an entry is
    trigger (E, 2)         side LOW holds minus the level, so that both sides fire at >=
    kept, heap (2, E)      trigger as the heap knows it, and whose; item i stands at
                           heap_starts[i] : heap_starts[i + 1], (I + 1,)
    place (E, 2)           where in the heap an entry stands
    top (I, 2)             kept trigger at the top of each heap, inf where there is none
    """

    entry_starts: I64
    item: I32
    pool: I32
    trigger: F64
    kept: F64
    heap_starts: I64
    heap: I32
    place: I32
    top: F64


def zones(entry_starts: I64, item: I32, n_items: int) -> Zones:
    """Return an index in which nothing fires yet.

    entry_starts  (A + 1,); item (E,) rows of entries, each once a pool
    """
    n = len(item)
    assert entry_starts[0] == 0
    assert entry_starts[-1] == n
    assert n < np.iinfo(np.int32).max
    order = np.argsort(item, kind="stable").astype(np.int32)
    heap_starts = np.zeros(n_items + 1, np.int64)
    np.cumsum(np.bincount(item, minlength=n_items), out=heap_starts[1:])
    place = np.empty(n, np.int32)
    place[order] = np.arange(n, dtype=np.int32)
    pool = np.repeat(np.arange(len(entry_starts) - 1, dtype=np.int32), np.diff(entry_starts))
    return Zones(
        entry_starts, item, pool, np.full((n, 2), np.inf), np.full((2, n), np.inf),
        heap_starts, np.stack([order, order]), np.stack([place, place], axis=1),
        np.full((n_items, 2), np.inf),
    )  # fmt: skip


@compiled
def _rise(z: Zones, side: int, entry: int, key: float) -> None:
    """Move an entry whose kept trigger fell to `key` up to its place."""
    item = z.item[entry]
    first = z.heap_starts[item]
    at = z.place[entry, side] - first
    while at > 0:
        up = (at - 1) // WAYS
        if z.kept[side, first + up] <= key:
            break
        _put(z, side, first + at, z.heap[side, first + up], z.kept[side, first + up])
        at = up
    _put(z, side, first + at, entry, key)
    if at == 0:
        z.top[item, side] = key


@compiled
def _put(z: Zones, side: int, at: int, entry: int, key: float) -> None:
    z.heap[side, at], z.kept[side, at] = entry, key
    z.place[entry, side] = at


@compiled
def _sink(z: Zones, side: int, item: int, key: float) -> None:
    """Move the top entry, whose kept trigger rose to `key`, down to its place."""
    first = z.heap_starts[item]
    n = z.heap_starts[item + 1] - first
    entry = z.heap[side, first]
    at = 0
    while WAYS * at + 1 < n:
        child = WAYS * at + 1
        best = child
        for c in range(child + 1, min(child + WAYS, n)):
            if z.kept[side, first + c] < z.kept[side, first + best]:
                best = c
        if z.kept[side, first + best] >= key:
            break
        _put(z, side, first + at, z.heap[side, first + best], z.kept[side, first + best])
        at = best
    _put(z, side, first + at, entry, key)
    z.top[item, side] = z.kept[side, first]


@compiled
def set_low(z: Zones, entry: int, low: float) -> None:
    """Let an entry fire at a level <= low; -inf never does."""
    z.trigger[entry, LOW] = -low
    if -low < z.kept[LOW, z.place[entry, LOW]]:
        _rise(z, LOW, entry, -low)


@compiled
def set_high(z: Zones, entry: int, high: float) -> None:
    """Let an entry fire at a level >= high; inf never does."""
    z.trigger[entry, HIGH] = high
    if high < z.kept[HIGH, z.place[entry, HIGH]]:
        _rise(z, HIGH, entry, high)


@compiled
def silence(z: Zones, pool: int) -> None:
    """Let none of a pool's entries fire: somebody looks at it anyway."""
    for entry in range(z.entry_starts[pool], z.entry_starts[pool + 1]):
        z.trigger[entry, LOW] = z.trigger[entry, HIGH] = np.inf


@compiled
def crossed(z: Zones, level: F64, picked: B1, out: I64) -> int:
    """List the pools with a trigger that these levels have crossed, each once; return how many.

    level   (I,) the level of every item now, no NaN
    picked  (A,) scratch, all False; True of the listed ones afterwards: whoever asked wipes it
    out     (A,) filled from the front, in the order of items and sides

    A trigger that fired is taken off until it is set again.
    """
    n = 0
    for item in range(len(level)):
        for side in range(2):
            value = -level[item] if side == LOW else level[item]
            while z.top[item, side] <= value:
                entry = z.heap[side, z.heap_starts[item]]
                if z.trigger[entry, side] <= value:
                    pool = z.pool[entry]
                    if not picked[pool]:
                        picked[pool] = True
                        out[n] = pool
                        n += 1
                    z.trigger[entry, side] = np.inf
                _sink(z, side, item, z.trigger[entry, side])
    return n
