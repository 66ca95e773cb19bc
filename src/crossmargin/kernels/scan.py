"""Scan: the worst weighted loss of every pool over a grid of scenarios.

In     unit P&L rows (instrument x scenario), weights, holdings sorted by pool.
Out    one loss per pool and the scenario that causes it.
Owns   nothing but the order of aggregation: holding, then pool. Nothing nets across pools.
Never  materialises pools x scenarios; decides what a pool may do with the number.
Signs  P&L is signed (+ gain). Losses are >= 0.
Spec   docs/spec/05-requirement.md (5.3)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import F64, I32, I64, guard
from crossmargin.kernels.compiled import compiled, run_blocks
from crossmargin.kernels.lanes import (
    LANES,
    aligned_zeros,
    items_within,
    worst_8,
    worst_32,
    worst_64,
)

BLOCK = 16_384  # pools per call: long enough to forget the call (4,096 costs a fifth more)


class LossRows(NamedTuple):
    """Unit rows turned into weighted losses, ready for any number of scans.

    loss_usd  (I, S up to a multiple of 8)  weight x -P&L of one unit; columns past S are 0
    taint     (I,)  0, or NaN where a row holds a number that is not finite
    """

    loss_usd: F64
    taint: F64


def scan(
    rows_usd: F64,
    weight: F64,
    pool_starts: I64,
    item: I32,
    quantity: F64,
    threads: int | None = None,
) -> tuple[F64, I64]:
    """Return each pool's worst weighted loss and the scenario that causes it.

    I instruments, S scenarios, H holdings sorted by pool, A pools.

    rows_usd     (I, S)    USD, + gain: one unit, shocked value minus mark
    weight       (S,)      in [0, 1], multiplies the loss
    pool_starts  (A + 1,)  first holding of each pool; pool_starts[A] == H
    item         (H,)      row of `rows_usd` the holding is in
    quantity     (H,)      units, + long
    returns      (A,) loss, USD, >= 0; (A,) scenario, the lowest on ties, -1 where nothing is lost

    A pool that touches a number that is not finite has loss NaN and scenario -1.
    Spec 5.3: scan_a = max(0, max_s weight_s x -sum_{h in a} quantity_h rows_{item_h, s}).
    """
    return scan_prepared(loss_rows(rows_usd, weight), pool_starts, item, quantity, threads)


def scan_prepared(
    rows: LossRows, pool_starts: I64, item: I32, quantity: F64, threads: int | None = None
) -> tuple[F64, I64]:
    """Return what `scan` returns, for rows that were prepared once per market."""
    n_holdings, n_pools = len(item), len(pool_starts) - 1
    guard((n_holdings,), item=item, quantity=quantity)
    assert pool_starts[0] == 0
    assert pool_starts[-1] == n_holdings
    loss_usd = np.empty(n_pools)
    index = np.empty(n_pools, dtype=np.int64)
    run_blocks(
        _scan_block, n_pools, BLOCK, threads,
        rows, pool_starts, item, quantity, loss_usd, index,
    )  # fmt: skip
    return loss_usd, index


def loss_rows(rows_usd: F64, weight: F64) -> LossRows:
    """Return unit P&L rows (I, S), USD, + gain, as weighted losses for `scan_prepared`.

    weight  (S,) in [0, 1]. It is put on the row of one unit here, not on the sum of a pool there:
    the same number up to rounding, and one multiplication per instrument instead of per pool.
    """
    n_items, n_scenarios = rows_usd.shape
    guard((n_scenarios,), weight=weight)
    assert ((weight >= 0.0) & (weight <= 1.0)).all()
    loss_usd = aligned_zeros(n_items, -(-n_scenarios // LANES) * LANES)
    np.multiply(rows_usd, -weight, out=loss_usd[:, :n_scenarios])
    taint = np.where(np.isfinite(rows_usd).all(axis=1), 0.0, math.nan)
    return LossRows(loss_usd, taint)


@compiled
def _scan_block(
    lo: int, hi: int, rows: LossRows, pool_starts: I64, item: I32, quantity: F64,
    loss_usd: F64, index: I64,
) -> None:  # fmt: skip
    """Fill rows [lo, hi) of loss_usd and index; arguments as in `scan`."""
    n_columns = rows.loss_usd.shape[1]
    assert items_within(item, pool_starts[lo], pool_starts[hi], len(rows.loss_usd))
    for pool in range(lo, hi):
        start, stop = pool_starts[pool], pool_starts[pool + 1]
        assert start <= stop
        worst, at, doubt = 0.0, -1, 0.0
        column = 0
        while column < n_columns:
            if column + 64 <= n_columns:
                top, where, doubt = worst_64(
                    rows.loss_usd, item, quantity, start, stop, column, rows.taint
                )
                column += 64
            elif column + 32 <= n_columns:
                top, where, doubt = worst_32(
                    rows.loss_usd, item, quantity, start, stop, column, rows.taint
                )
                column += 32
            else:
                top, where, doubt = worst_8(
                    rows.loss_usd, item, quantity, start, stop, column, rows.taint
                )
                column += 8
            if top > worst:
                worst, at = top, where
        # 0 x a finite quantity is 0; anything else in the sum leaves NaN.
        loss_usd[pool] = worst if doubt == 0.0 else math.nan
        index[pool] = at if doubt == 0.0 else -1
