"""Expected shortfall with dense holdings: BLAS for the sums, np.partition for the tail."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from benchmarks.books import PoolBook
from benchmarks.harness import CHUNK, in_chunks


def expected_shortfall(rows: np.ndarray, book: PoolBook, n_tail: int) -> np.ndarray:
    """Return the mean of each pool's `n_tail` worst losses."""
    holdings = sparse.csr_matrix(
        (book.quantity, book.item, book.pool_starts), shape=(book.n_pools, len(rows))
    )
    result = np.empty(book.n_pools)
    for lo in range(0, book.n_pools, CHUNK):
        dense = holdings[lo : lo + CHUNK].toarray()
        pnl = dense @ rows  # BLAS uses all the threads itself

        def part(first: int, stop: int, pnl: np.ndarray = pnl, lo: int = lo) -> None:
            some = pnl[first:stop]
            some.partition(n_tail - 1, axis=1)
            result[lo + first : lo + stop] = -some[:, :n_tail].mean(axis=1)

        in_chunks(part, len(pnl), chunk=CHUNK // 2)
    return result
