"""Expected shortfall: the mean of the worst rows of a joint scenario set.

In     losses of one pool, or unit P&L rows and the holdings of many pools; probabilities.
Out    ES per pool; on request the rows of the tail and how much of each counts.
Owns   which rows are the tail: loss descending, then index ascending, the last row in part.
Never  materialises pools x scenarios; interpolates a quantile; floors a gain at zero.
Signs  P&L is signed (+ gain). ES is a loss: positive where the tail loses.
Spec   docs/spec/05-requirement.md (5.0)
"""

from __future__ import annotations

import math

import numpy as np

from crossmargin.base.arrays import F64, I32, I64, guard
from crossmargin.kernels.compiled import compiled, inlined, run_blocks
from crossmargin.kernels.lanes import (
    accumulate_8,
    accumulate_64,
    items_within,
    largest_64,
    lowest_bit,
    not_below_64,
)

BLOCK = 512  # pools per call

# Probability left over by rounding: 1,000 rows of 0.001 must fill 1 - 0.99 with ten rows, not
# with ten and 1e-17 of an eleventh. Relative to the tail, so ES moves by less than 1e-12 of a loss.
ROUNDING = 1e-12
NO_BITS, ONE_BIT = np.uint64(0), np.uint64(1)
EXPONENT = 0x7FF0000000000000  # the exponent bits of a double


def expected_shortfall(loss_usd: F64, probability: F64, alpha: float) -> tuple[float, I64, F64]:
    """Return the ES of one pool, the rows of its tail and how much of each counts.

    loss_usd     (S,)  USD, + loss
    probability  (S,)  >= 0, sums to 1
    alpha              in [0, 1)
    returns      ES, USD, signed; (M,) rows, worst first; (M,) their weights, which sum to 1

    A loss that is NaN makes the ES NaN and the tail empty.
    Spec 5.0: (1 / (1 - alpha)) x sum of p x loss over the worst rows until their probability
    reaches 1 - alpha, the last row in part; ties by row index.
    """
    n_tail = tail_rows(probability, alpha)
    guard((len(probability),), loss_usd=loss_usd)
    row, tail_usd = np.empty(n_tail, dtype=np.int64), np.empty(n_tail)
    weight = np.empty(n_tail)
    es_usd, n_rows = tail_mean(loss_usd, probability, alpha, row, tail_usd, weight)
    return es_usd, row[:n_rows], weight[:n_rows]


def pools_expected_shortfall(
    rows_usd: F64,
    pool_starts: I64,
    item: I32,
    quantity: F64,
    probability: F64,
    alpha: float,
    threads: int | None = None,
) -> F64:
    """Return the ES of each pool, from unit rows and holdings.

    I instruments, S scenarios, H holdings sorted by pool, A pools.

    rows_usd     (I, S)    USD, + gain: one unit, shocked value minus mark
    pool_starts  (A + 1,)  first holding of each pool; pool_starts[A] == H
    item         (H,)      row of `rows_usd` the holding is in
    quantity     (H,)      units, + long
    probability  (S,)      >= 0, sums to 1
    alpha                  in [0, 1)
    returns      (A,)      USD, signed, + loss; NaN where the pool touches a number not finite

    Spec 5.0, losses l_s = -sum_{h in a} quantity_h rows_{item_h, s}.
    """
    n_holdings, n_pools = len(item), len(pool_starts) - 1
    guard((n_holdings,), item=item, quantity=quantity)
    guard((len(probability),), row_usd=rows_usd[0])
    assert pool_starts[0] == 0
    assert pool_starts[-1] == n_holdings
    n_tail = tail_rows(probability, alpha)

    es_usd = np.empty(n_pools)
    run_blocks(
        _es_block, n_pools, BLOCK, threads,
        np.ascontiguousarray(rows_usd), pool_starts, item, quantity,
        probability, alpha, n_tail, es_usd,
    )  # fmt: skip
    return es_usd


def tail_rows(probability: F64, alpha: float) -> int:
    """Return how many rows a tail can have at most: scratch for `tail_mean`.

    The longest tail is the one made of the least probable rows.
    """
    assert 0.0 <= alpha < 1.0
    assert (probability >= 0.0).all()
    assert abs(probability.sum() - 1.0) < 1e-9
    reached = np.sort(probability).cumsum()
    short = int((reached < (1.0 - alpha) * (1.0 - ROUNDING)).sum())
    return min(short + 1, len(probability))


@compiled
def tail_mean(
    loss_usd: F64, probability: F64, alpha: float, row: I64, tail_usd: F64, weight: F64
) -> tuple[float, int]:
    """Return the ES of one pool, USD, and the number of rows in its tail.

    loss_usd, probability    (S,)  as in `expected_shortfall`
    row, tail_usd, weight    (M,)  scratch of `tail_rows` length; on return the tail, worst first:
                             index, loss, and the share of ES each row has (sums to 1)

    A loss that is NaN: (NaN, 0).
    """
    n_scenarios, n_tail, n_kept = len(loss_usd), len(row), 0
    threshold = _reached_by(loss_usd, n_tail)
    for first in range(0, n_scenarios, 64):
        # The last 64 step back to end at the edge; `seen` of them were looked at before.
        column = max(0, min(first, n_scenarios - 64))
        seen = first - column
        left = _candidates(loss_usd, column, threshold) >> np.uint64(seen)
        while left != NO_BITS:
            s = first + lowest_bit(left)
            left &= left - ONE_BIT
            if math.isnan(loss_usd[s]):
                return math.nan, 0
            if n_kept < n_tail:
                n_kept += 1
            elif loss_usd[s] <= threshold:
                continue
            _insert(loss_usd[s], s, row, tail_usd, n_kept)
            if n_kept == n_tail:
                threshold = tail_usd[n_tail - 1]
    return _partial_mean(probability, 1.0 - alpha, row, tail_usd, weight, n_kept)


@inlined
def _reached_by(loss_usd: F64, n_rows: int) -> float:
    """Return a number that at least n_rows losses reach: a first threshold, -inf at worst.

    The losses are dealt in blocks of 64 to n_rows groups; each group has one at its maximum, so
    the smallest of these maxima will do. Near twice n_rows losses reach it, and only they are
    looked at one by one.
    """
    n_blocks = len(loss_usd) // 64
    if n_blocks < n_rows:
        return -math.inf
    threshold = math.inf
    for group in range(n_rows):
        largest = -math.inf
        for block in range(group, n_blocks, n_rows):
            largest = max(largest, largest_64(loss_usd, 64 * block))
        threshold = min(threshold, largest)
    return threshold


@inlined
def _candidates(loss_usd: F64, column: int, threshold: float) -> np.uint64:
    """Return a bit for each of up to 64 losses from `column` on that is not below threshold."""
    if len(loss_usd) >= 64:
        return not_below_64(loss_usd, column, threshold)
    bits = NO_BITS
    for j in range(len(loss_usd)):
        if not loss_usd[j] < threshold:
            bits |= ONE_BIT << np.uint64(j)
    return bits


@inlined
def _insert(loss_usd: float, s: int, row: I64, tail_usd: F64, n_kept: int) -> None:
    """Put row s in its place among n_kept sorted ones; the last of them is free or falls out."""
    place = n_kept - 1
    # Strictly less: of two equal losses the one with the lower index stays in front.
    while place > 0 and tail_usd[place - 1] < loss_usd:
        tail_usd[place] = tail_usd[place - 1]
        row[place] = row[place - 1]
        place -= 1
    tail_usd[place] = loss_usd
    row[place] = s


@inlined
def _partial_mean(
    probability: F64, mass: float, row: I64, tail_usd: F64, weight: F64, n_kept: int
) -> tuple[float, int]:
    """Return sum of weight x loss and the rows used; fills weight, whose sum is 1."""
    left, mean, n_used = mass, 0.0, 0
    while n_used < n_kept and left > ROUNDING * mass:
        part = min(probability[row[n_used]], left)
        left -= part
        weight[n_used] = part / mass
        mean += weight[n_used] * tail_usd[n_used]
        n_used += 1
    return mean, n_used


@compiled
def _es_block(
    lo: int, hi: int, rows_usd: F64, pool_starts: I64, item: I32, quantity: F64,
    probability: F64, alpha: float, n_tail: int, es_usd: F64,
) -> None:  # fmt: skip
    """Fill rows [lo, hi) of es_usd; arguments as in `pools_expected_shortfall`."""
    n_scenarios = rows_usd.shape[1]
    assert items_within(item, pool_starts[lo], pool_starts[hi], len(rows_usd))
    loss_usd = np.empty(n_scenarios)
    row, tail_usd, weight = np.empty(n_tail, np.int64), np.empty(n_tail), np.empty(n_tail)
    for pool in range(lo, hi):
        start, stop = pool_starts[pool], pool_starts[pool + 1]
        assert start <= stop
        pool_row(loss_usd, rows_usd, item, quantity, start, stop)
        if negate(loss_usd):
            es_usd[pool], _ = tail_mean(loss_usd, probability, alpha, row, tail_usd, weight)
        else:
            es_usd[pool] = math.nan


@inlined
def negate(row: F64) -> bool:
    """Change the sign of row (S,) in place; tell whether all of it is finite."""
    highest = np.int64(0)
    for s in range(len(row)):
        row[s] = -row[s]
        # The exponent bits, all set in infinities and NaN. A largest integer can be found in
        # vector registers; a sum of floats, which must keep its order, cannot.
        highest = max(highest, np.int64(np.float64(row[s]).view(np.int64) & EXPONENT))
    return highest != EXPONENT


@inlined
def pool_row(out: F64, rows: F64, item: I32, quantity: F64, start: int, stop: int) -> None:
    """Fill out (S,) with the sum over holdings [start, stop) of quantity x row (I, S).

    Blocks of 64 columns, then of 8; the last block of a size steps back to end at the edge and
    writes some columns again, with the same number.
    """
    n_columns = len(out)
    if n_columns >= 64:
        for column in range(0, n_columns, 64):
            accumulate_64(out, rows, item, quantity, start, stop, min(column, n_columns - 64))
    elif n_columns >= 8:
        for column in range(0, n_columns, 8):
            accumulate_8(out, rows, item, quantity, start, stop, min(column, n_columns - 8))
    else:
        for column in range(n_columns):
            out[column] = 0.0
            for holding in range(start, stop):
                out[column] += quantity[holding] * rows[item[holding], column]
