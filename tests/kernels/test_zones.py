"""The trigger index against a list that is searched whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.kernels import zones as z


def built(rng: np.random.Generator, n_pools: int, n_items: int) -> z.Zones:
    sizes = rng.integers(0, 5, n_pools)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    item = np.concatenate(
        [np.zeros(0), *(rng.choice(n_items, s, replace=False) for s in sizes)]
    ).astype(np.int32)
    return z.zones(starts, item, n_items)


def arm(index: z.Zones, pool: int, level: np.ndarray, rng: np.random.Generator) -> None:
    for entry in range(index.entry_starts[pool], index.entry_starts[pool + 1]):
        at, width = level[index.item[entry]], rng.exponential(0.5, 2)
        z.set_low(index, entry, at - width[0])
        z.set_high(index, entry, at + width[1])


def fired(index: z.Zones, level: np.ndarray) -> set[int]:
    """The twin: every entry is asked."""
    return {
        int(index.pool[e])
        for e in range(len(index.item))
        if -index.trigger[e, z.LOW] >= level[index.item[e]]
        or index.trigger[e, z.HIGH] <= level[index.item[e]]
    }


@given(st.integers(0, 2**32 - 1))
def test_what_fires_is_what_a_search_of_every_trigger_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_pools, n_items = int(rng.integers(1, 60)), 6
    index, level = built(rng, n_pools, n_items), np.zeros(n_items)
    picked, out = np.zeros(n_pools, np.bool_), np.zeros(n_pools, np.int64)
    for pool in range(n_pools):
        arm(index, pool, level, rng)
    for _ in range(60):
        level = level + rng.normal(0, 0.1, n_items) * (rng.random(n_items) < 0.7)
        if rng.random() < 0.05:
            level = level + rng.normal(0, 3.0, n_items)
        wanted = fired(index, level)
        n = z.crossed(index, level, picked, out)
        assert set(out[:n].tolist()) == wanted
        assert len(wanted) == n, "each once"
        picked[out[:n]] = False
        for pool in out[:n]:
            if rng.random() < 0.1:
                z.silence(index, pool)
            else:
                arm(index, pool, level, rng)
        if rng.random() < 0.3:
            arm(index, int(rng.integers(n_pools)), level, rng)


def test_a_trigger_fires_at_its_level_and_not_before() -> None:
    index = z.zones(np.array([0, 1]), np.array([0], np.int32), 1)
    z.set_low(index, 0, 9.0)
    z.set_high(index, 0, 11.0)
    picked, out = np.zeros(1, np.bool_), np.zeros(1, np.int64)
    for level in (10.0, 9.0000001, 10.9999999):
        assert z.crossed(index, np.array([level]), picked, out) == 0
    assert z.crossed(index, np.array([11.0]), picked, out) == 1
    picked[:] = False
    # The side that fired is off until it is set again; the other is still on.
    assert z.crossed(index, np.array([12.0]), picked, out) == 0
    assert z.crossed(index, np.array([9.0]), picked, out) == 1


def test_an_infinite_trigger_never_fires_and_a_silenced_pool_neither() -> None:
    index = z.zones(np.array([0, 1, 2]), np.array([0, 0], np.int32), 1)
    z.set_low(index, 0, -np.inf)
    z.set_high(index, 0, np.inf)
    z.set_low(index, 1, 9.0)
    z.silence(index, 1)
    picked, out = np.zeros(2, np.bool_), np.zeros(2, np.int64)
    for level in (1e-300, 1e300):
        assert z.crossed(index, np.array([level]), picked, out) == 0


@pytest.mark.parametrize("n", [1, 5, 500])
def test_an_item_nobody_hangs_on_costs_nothing(n: int) -> None:
    index = z.zones(np.zeros(2, np.int64), np.zeros(0, np.int32), n)
    assert z.crossed(index, np.zeros(n), np.zeros(1, np.bool_), np.zeros(1, np.int64)) == 0
