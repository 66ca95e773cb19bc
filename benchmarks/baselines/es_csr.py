"""Expected shortfall as SciPy does it best: sparse times dense, then np.partition, in chunks."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from benchmarks.books import PoolBook
from benchmarks.harness import in_chunks


def expected_shortfall(rows: np.ndarray, book: PoolBook, n_tail: int) -> np.ndarray:
    """Return the mean of each pool's `n_tail` worst losses."""
    holdings = sparse.csr_matrix(
        (book.quantity, book.item, book.pool_starts), shape=(book.n_pools, len(rows))
    )

    def chunk(lo: int, hi: int) -> np.ndarray:
        pnl = holdings[lo:hi] @ rows
        pnl.partition(n_tail - 1, axis=1)
        return -pnl[:, :n_tail].mean(axis=1)

    return np.concatenate(in_chunks(chunk, book.n_pools))
