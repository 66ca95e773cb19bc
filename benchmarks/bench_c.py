"""(c) Expected shortfall: 100,000 pools, 1,000 joint scenarios."""

from __future__ import annotations

import numpy as np

from benchmarks.baselines import es_csr, es_dense
from benchmarks.books import pool_book, unit_rows
from benchmarks.harness import (
    THREADS,
    Figure,
    Result,
    alternate,
    assert_close,
    outputs_hash,
    peak_bytes,
)
from crossmargin.kernels.tails import pools_expected_shortfall

TITLE = "1,000 joint scenarios to expected shortfall, against sparse and dense products"
N_SCENARIOS, N_ITEMS, N_TAIL, ALPHA = 1_000, 2_000, 10, 0.99


def run(quick: bool) -> Result:
    """Return both ratios and the peak memory of ours above its inputs."""
    n_pools = 10_000 if quick else 100_000
    book, rows = pool_book(n_pools, N_ITEMS), unit_rows(N_ITEMS, N_SCENARIOS)
    probability = np.full(N_SCENARIOS, 1.0 / N_SCENARIOS)

    def ours() -> np.ndarray:
        return pools_expected_shortfall(rows, *book, probability, ALPHA, threads=THREADS)

    ours()
    peak = peak_bytes(ours)
    (ours_s, csr_s, dense_s), (es, csr, dense) = alternate(
        ours,
        lambda: es_csr.expected_shortfall(rows, book, N_TAIL),
        lambda: es_dense.expected_shortfall(rows, book, N_TAIL),
    )
    assert_close(es, csr)
    assert_close(es, dense)
    note = f"{ours_s * 1e3:.0f} ms, {ours_s / n_pools * 1e6:.2f} us a pool"
    figures = [
        Figure("sparse", csr_s / ours_s, "x CSR + partition", least=1.5, note=note),
        Figure("dense", dense_s / ours_s, "x matmul + partition", least=5.0),
        Figure("memory", peak / 1e9, "GB above inputs", most=1.0),
    ]
    sizes = {"pools": n_pools, "holdings": len(book.item), "scenarios": N_SCENARIOS}
    seconds = {"ours": ours_s, "csr": csr_s, "dense": dense_s}
    return Result(figures, outputs_hash(es), sizes, seconds)
