"""The book every pool bench runs on: fixed seed, Poisson(8) holdings a pool, at least one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SEED = 20_251_010


class PoolBook(NamedTuple):
    """Holdings sorted by pool: starts (A + 1,), item (H,), quantity (H,) + long."""

    pool_starts: np.ndarray
    item: np.ndarray
    quantity: np.ndarray

    @property
    def n_pools(self) -> int:
        return len(self.pool_starts) - 1


def pool_book(n_pools: int, n_items: int) -> PoolBook:
    """Return A pools over I instruments; instruments are equally likely: the worst for a cache."""
    rng = np.random.default_rng(SEED)
    sizes = np.maximum(1, rng.poisson(8, n_pools))
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    item = rng.integers(0, n_items, starts[-1], dtype=np.int32)
    return PoolBook(starts, item, rng.normal(0.0, 10.0, starts[-1]))


def unit_rows(n_items: int, n_scenarios: int) -> np.ndarray:
    """Return unit P&L rows (I, S), USD: one common move, one of its own, a price for scale."""
    rng = np.random.default_rng(SEED + 1)
    price = np.exp(rng.normal(3.0, 2.0, (n_items, 1)))
    common, own = rng.normal(size=(1, n_scenarios)), rng.normal(size=(n_items, n_scenarios))
    return price * np.expm1(0.05 * common + 0.04 * own)
