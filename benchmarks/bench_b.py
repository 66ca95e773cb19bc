"""(b) The scan: 1,000,000 pools, 64 scenarios, down to worst loss and scenario."""

from __future__ import annotations

import numpy as np

from benchmarks.baselines import scan_csr
from benchmarks.books import pool_book, unit_rows
from benchmarks.harness import THREADS, Figure, Result, alternate, assert_close, outputs_hash
from crossmargin.kernels.scan import scan

TITLE = "64-scenario scan to worst loss and scenario, against CSR @ dense + argmin"
N_SCENARIOS = 64
DGEMM = 2_000  # rows and columns


def run(quick: bool) -> Result:
    """Return ratio and share of DGEMM at 2,000 instruments; at 512 and 8,000 for information."""
    n_pools = 100_000 if quick else 1_000_000
    figures, hashes, seconds = [], [], {}
    for n_items in (2_000, 512, 8_000):
        ours_s, theirs_s, dgemm_rate, n_holdings, output = _measure(n_pools, n_items)
        judged = n_items == 2_000
        share = 2.0 * n_holdings * N_SCENARIOS / ours_s / dgemm_rate
        figures += [
            Figure(
                f"scan, {n_items:,} instruments", theirs_s / ours_s, "x CSR + argmin",
                least=3.0 if judged else None,
                note=f"{ours_s * 1e3:.0f} ms, {ours_s / n_holdings * 1e9:.2f} ns a holding",
            ),
            Figure(
                f"rate, {n_items:,} instruments", 100.0 * share, "% of DGEMM",
                least=15.0 if judged else None,
                note=f"DGEMM {dgemm_rate / 1e9:.0f} Gflop/s in the same rounds",
            ),
        ]  # fmt: skip
        hashes.append(output)
        seconds |= {f"ours_{n_items}": ours_s, f"csr_{n_items}": theirs_s}
    sizes = {"pools": n_pools, "holdings": n_holdings, "scenarios": N_SCENARIOS}
    return Result(figures, "-".join(hashes), sizes, seconds)


def _measure(n_pools: int, n_items: int) -> tuple[float, float, float, int, str]:
    book, rows = pool_book(n_pools, n_items), unit_rows(n_items, N_SCENARIOS)
    weight = np.ones(N_SCENARIOS)
    weight[-8:] = 0.5  # tails of the grid
    square = np.random.default_rng(0).normal(size=(DGEMM, DGEMM))
    medians, outputs = alternate(
        lambda: scan(rows, weight, *book, threads=THREADS),
        lambda: scan_csr.scan(rows, weight, book),
        lambda: square @ square,
    )
    (loss, index), (their_loss, their_index), _ = outputs
    assert_close(loss, their_loss)
    assert (index == their_index).all()
    rate = 2.0 * DGEMM**3 / medians[2]
    return medians[0], medians[1], rate, len(book.item), outputs_hash(loss, index)
