"""Scan as SciPy does it best: sparse holdings times dense rows, then argmin, chunk by chunk."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from benchmarks.books import PoolBook
from benchmarks.harness import in_chunks


def scan(rows: np.ndarray, weight: np.ndarray, book: PoolBook) -> tuple[np.ndarray, np.ndarray]:
    """Return the worst weighted loss of each pool and its scenario."""
    weighted = rows * weight
    holdings = sparse.csr_matrix(
        (book.quantity, book.item, book.pool_starts), shape=(book.n_pools, len(rows))
    )

    def chunk(lo: int, hi: int) -> tuple[np.ndarray, np.ndarray]:
        pnl = holdings[lo:hi] @ weighted
        worst = pnl.argmin(axis=1)
        loss = np.maximum(0.0, -pnl[np.arange(hi - lo), worst])
        return loss, np.where(loss > 0.0, worst, -1)

    parts = in_chunks(chunk, book.n_pools)
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
