"""Price paths of auctions and ramps, and the prices that leave a pool exactly nothing.

In     depth under water, elapsed time, limits; equity and weights of positions.
Out    discounts, waiting times, factors, P&L from the mark.
Owns   the arithmetic of auctions, ramps and bankruptcy prices.
Never  knows a market or a venue; decides who bids.
Signs  discounts, depths, times >= 0; P&L signed (+ gain of the pool); NaN in: NaN out.
Spec   docs/spec/09-liquidation.md, 9.11 to 9.14
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import F64, I64, guard, guard_starts


class Path(NamedTuple):
    """How the discount of N Dutch auctions grows, (N,) each.

    start      fraction at the first second of a pool exactly at its requirement
    per_depth  fraction more for each unit of 1 - health
    per_s      fraction more a second
    most       largest discount, < 1: the price never reaches zero
    """

    start: F64
    per_depth: F64
    per_s: F64
    most: F64


def discounts(depth: F64, elapsed_s: F64, path: Path) -> F64:
    """Return the discount of each auction, (N,) fraction of the mark (spec 9.11).

    depth      (N,)  1 - health, counted from 0: a pool above water has none
    elapsed_s  (N,)  seconds since the auction began, >= 0
    """
    guard((len(depth),), depth=depth, elapsed_s=elapsed_s, most=path.most)
    assert not (elapsed_s < 0.0).any()
    assert not (path.most >= 1.0).any()
    grown = path.start + path.per_depth * np.maximum(depth, 0.0) + path.per_s * elapsed_s
    return np.minimum(path.most, grown)


def clearing_s(depth: F64, wanted: F64, path: Path) -> F64:
    """Return the first second at which each discount is at least `wanted`; inf where it never is.

    wanted  (N,)  the discount that pays a liquidator's costs, fraction
    """
    open_at = discounts(depth, np.zeros(len(depth)), path)
    with np.errstate(divide="ignore", invalid="ignore"):
        wait = (wanted - open_at) / path.per_s
    wait = np.where(path.per_s > 0.0, wait, np.inf)
    reached = np.where(wanted <= open_at, 0.0, np.where(wanted <= path.most, wait, np.inf))
    return np.where(np.isfinite(wanted) & np.isfinite(depth), reached, np.nan)


def settles(bid: F64, mark: F64, path: Path) -> F64:
    """Return 1 where a bid can settle, else 0, (N,): never at zero, never below the floor.

    The floor is the largest discount the path allows: mark x (1 - most) (spec 9.12).
    """
    good = (bid > 0.0) & (bid >= mark * (1.0 - path.most))
    return np.where(good, 1.0, 0.0)


def reverse_dutch(adjusted: F64, liability: F64, most: F64) -> F64:
    """Return the factor of value a liquidator pays, (N,): max(health, 1 - most), at most 1.

    adjusted   (N,)  collateral value after loan-to-value limits, numeraire
    liability  (N,)  what is owed, numeraire > 0
    most       (N,)  largest discount, fraction

    No time enters: the price falls only as the violation deepens (spec 9.13).
    """
    guard((len(adjusted),), adjusted=adjusted, liability=liability, most=most)
    health = adjusted / liability
    return np.minimum(1.0, np.maximum(health, 1.0 - most))


def ramped(start: F64, target: F64, elapsed_s: F64, ramp_s: F64) -> F64:
    """Return a limit on its way from `start` to `target`, (N,): down in a line, up at once."""
    guard((len(start),), start=start, target=target, elapsed_s=elapsed_s, ramp_s=ramp_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(ramp_s > 0.0, np.clip(1.0 - elapsed_s / ramp_s, 0.0, 1.0), 0.0)
    return np.where(target < start, target + (start - target) * left, target)


def bankruptcy_pnl(equity: F64, weight: F64, pool_starts: I64) -> F64:
    """Return the P&L from the mark at which each position of a pool is taken over, (P,).

    equity       (A,)     what the pool has at the marks, numeraire, signed
    weight       (P,)     stand-alone isolated MM of each position, numeraire, >= 0
    pool_starts  (A + 1,) positions of each pool

    -E m_j / sum m (spec 9.14): the pool's positions together lose exactly E. NaN where a pool has
    no weight at all: nothing says how its equity would be shared.
    """
    guard_starts(pool_starts, len(weight))
    guard((len(pool_starts) - 1,), equity=equity)
    pool = np.repeat(np.arange(len(equity)), np.diff(pool_starts))
    total = np.bincount(pool, weights=weight, minlength=len(equity))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = weight / total[pool]
    return -equity[pool] * share


def price_of_pnl(mark: F64, pnl_quote: F64, inverse: F64) -> F64:
    """Return the price at which one unit makes `pnl_quote` from the mark, (P,), signed.

    mark       (P,)  quote units
    pnl_quote  (P,)  P&L divided by (quantity x P&L per contract and unit of mark), quote units for
                     linear, 1 / quote units for inverse positions
    inverse    (P,)  1 where the payoff is 1/F - 1/b, else 0

    An inverse position has no finite price past 1/b <= 0: NaN there, the money stands beside it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        other = 1.0 / mark - pnl_quote
        inverted = np.where(other > 0.0, 1.0 / other, np.nan)
    return np.where(inverse > 0.0, inverted, mark + pnl_quote)
