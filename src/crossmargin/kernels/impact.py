"""What selling x costs against given depth: a formula, a ladder of orders, a constant product.

In     amounts to sell and the depth they meet, arrays only.
Out    fractions of the mark, money received, amounts paid out.
Owns   the arithmetic of impact; that more than there is has no price.
Never  knows a market, a venue or a fitted number; decides how much is sold.
Signs  amounts, depths, fractions >= 0; NaN where the depth is not known or not enough.
Spec   docs/spec/09-liquidation.md, 9.8 to 9.10
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import F64, guard


class Depth(NamedTuple):
    """What N sales meet, (N,) each.

    half_spread  fraction of the mark paid at once
    scale        Y, pure number; exponent delta, pure number > 0
    sigma_daily  volatility a day, fraction
    adv          traded a day, numeraire > 0
    """

    half_spread: F64
    scale: F64
    exponent: F64
    sigma_daily: F64
    adv: F64


def impact_fracs(notional: F64, depth: Depth) -> F64:
    """Return what each sale moves the price it gets, (N,) fraction of the mark, spread left out.

    notional  (N,)  numeraire, >= 0
    Y sigma_d (x / ADV)^delta (spec 9.8); NaN in: NaN out.
    """
    n = len(notional)
    guard((n,), notional=notional, scale=depth.scale, exponent=depth.exponent)
    guard((n,), sigma_daily=depth.sigma_daily, adv=depth.adv, half_spread=depth.half_spread)
    assert not (notional < 0.0).any()
    share: F64 = (notional / depth.adv) ** depth.exponent
    return depth.scale * depth.sigma_daily * share


def cost_fracs(notional: F64, depth: Depth) -> F64:
    """Return half spread + impact of each sale, (N,) fraction of the mark (spec 9.8)."""
    return depth.half_spread + impact_fracs(notional, depth)


def ladder_proceeds(quantity: F64, price: F64, size: F64) -> F64:
    """Return what selling (or buying) each quantity against one side of a book pays, (N,).

    quantity     (N,)  units, >= 0
    price, size  (L,)  levels, best first; sizes > 0
    returns      sum of price x units taken; NaN where the ladder holds less than the quantity:
                 what nobody bids for has no price, not a zero and not the last one (spec 9.9)
    """
    n_levels = len(price)
    guard((n_levels,), price=price, size=size)
    assert not (quantity < 0.0).any()
    held = np.concatenate([[0.0], np.cumsum(size)])
    money = np.concatenate([[0.0], np.cumsum(price * size)])
    # The level in which each quantity ends; a quantity on an edge ends in the level below it.
    level = np.maximum(np.searchsorted(held, quantity, side="left") - 1, 0)
    inside = quantity <= held[-1]
    level = np.where(inside, level, 0)
    if n_levels == 0:
        return np.where(quantity == 0.0, 0.0, np.nan)
    paid = money[level] + price[level] * (quantity - held[level])
    return np.where(inside, paid, np.nan)


def swap_out(amount: F64, reserve_in: F64, reserve_out: F64, fee_frac: F64) -> F64:
    """Return what a constant-product pool pays out for each amount paid in, (N,) (spec 9.10).

    amount       (N,)  units of the asset sold, >= 0
    reserve_in, reserve_out  (N,)  what the pool holds of both, > 0
    fee_frac     (N,)  kept of what comes in, fraction

    (x + a (1 - f)) (y - out) = x y; the fee stays in the pool, so the product never falls.
    """
    n = len(amount)
    guard((n,), amount=amount, reserve_in=reserve_in, reserve_out=reserve_out, fee_frac=fee_frac)
    assert not (amount < 0.0).any()
    counted = amount * (1.0 - fee_frac)
    return reserve_out * counted / (reserve_in + counted)
