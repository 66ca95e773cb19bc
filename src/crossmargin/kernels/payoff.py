"""Unit P&L of every item under every scenario: linear, inverse, quanto, options, assets.

In     terms of items; price multipliers of their assets; shocked vol and time of options.
Out    rows of numeraire P&L per coin or contract.
Owns   full revaluation: shocked value minus value now, in the settlement asset's shocked price.
Never  guesses a vol, adds a charge, or knows what a scenario is called.
Signs  P&L signed (+ gain of one long unit); multipliers > 0.
Spec   docs/spec/04-scenarios.md, 4.1; choices C2, C27 to C31
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import F64, I8, I32, I64
from crossmargin.kernels.black76 import value_row
from crossmargin.kernels.compiled import compiled
from crossmargin.kernels.netting import ASSET, CALL, PUT
from crossmargin.kernels.surface import shocked_vol

LINEAR, INVERSE, QUANTO = 0, 1, 2


class Contracts(NamedTuple):
    """Terms of every item, (n_items,), assets first.

    kind, payoff, style   codes; style 1 is futures-style
    underlying, settle    asset rows
    size        contract size, times the quanto rate where quanto
    forward     the part of the forward still open, times its share; fixed the part that is not
    strike, sigma, t_years, rate   options
    now         numeraire value of one unit now: price of an asset, unit value of an option;
                discounted mark in quote of a futures-style option
    settle_price numeraire price of the settlement asset
    """

    kind: I8
    payoff: I8
    style: I8
    underlying: I32
    settle: I32
    size: F64
    forward: F64
    fixed: F64
    strike: F64
    sigma: F64
    t_years: F64
    rate: F64
    now: F64
    settle_price: F64


class Loads(NamedTuple):
    """Factors of assets: starts (N + 1,), factor and exponent (L,)."""

    starts: I64
    factor: I32
    exponent: F64


class Moved(NamedTuple):
    """Price multiplier of the underlying under every scenario, and its log; (S,)."""

    log: F64
    mult: F64


@compiled
def _move(asset: int, loads: Loads, log_moves: F64, only: int, log: F64, out: F64) -> None:
    """Write an asset's price multiplier under every scenario, and its log.

    log_moves (S, K) of all factors; or, where only >= 0, (S, 1) of that factor alone.
    """
    n = len(log_moves)
    for s in range(n):
        log[s] = 0.0
    for j in range(loads.starts[asset], loads.starts[asset + 1]):
        k = loads.factor[j]
        column = k if only < 0 else 0
        if only >= 0 and k != only:
            continue
        for s in range(n):
            log[s] += log_moves[s, column] * loads.exponent[j]
    for s in range(n):
        out[s] = np.exp(log[s])


@compiled
def _future_row(i: int, c: Contracts, mult: F64, settle: F64, out: F64) -> None:
    now = c.fixed[i] + c.forward[i]
    for s in range(len(out)):
        then = c.fixed[i] + c.forward[i] * mult[s]
        change = 1.0 / now - 1.0 / then if c.payoff[i] == INVERSE else then - now
        out[s] = c.size[i] * change * c.settle_price[i] * settle[s]


@compiled
def _option_row(
    i: int, c: Contracts, moved: Moved, settle: F64, sigma: F64, years: float, out: F64
) -> None:
    """Revalue an option with `years` left; `moved` is overwritten by the moves of F_eff."""
    forward = c.fixed[i] + c.forward[i]
    discount = np.exp(-c.rate[i] * years)
    mult = moved.mult
    if c.fixed[i] != 0.0:
        for s in range(len(out)):
            mult[s] = (c.fixed[i] + c.forward[i] * mult[s]) / forward
            moved.log[s] = np.log(mult[s])
    value_row(forward, c.strike[i], years, 1.0, c.kind[i] == CALL, moved.log, mult, sigma, out)
    if c.style[i] == 1:
        # Unsettled P&L: only the change counts, free of the entry (C40). `now` is D V in quote.
        for s in range(len(out)):
            change = discount * out[s] - c.now[i]
            out[s] = c.size[i] * change * c.settle_price[i] * settle[s]
        return
    for s in range(len(out)):
        coin = out[s] / (forward * mult[s]) if c.payoff[i] == INVERSE else out[s]
        out[s] = c.size[i] * discount * coin * c.settle_price[i] * settle[s] - c.now[i]


@compiled
def _row(
    i: int, contracts: Contracts, loads: Loads, log_moves: F64, only: int, sigma: F64,
    years: float, out: F64,
) -> None:  # fmt: skip
    kind = contracts.kind[i]
    n = len(out)
    moved = Moved(np.empty(n), np.empty(n))
    _move(contracts.underlying[i], loads, log_moves, only, moved.log, moved.mult)
    if kind == ASSET:
        for s in range(n):
            out[s] = contracts.now[i] * (moved.mult[s] - 1.0)
        return
    settle = np.empty(n)
    _move(contracts.settle[i], loads, log_moves, only, settle, settle)
    if kind in (CALL, PUT):
        _option_row(i, contracts, moved, settle, sigma, years, out)
    else:
        _future_row(i, contracts, moved.mult, settle, out)


@compiled
def joint_unit_rows(
    lo: int, hi: int, contracts: Contracts, loads: Loads, log_moves: F64, vol_moves: F64,
    vol_factor: I32, vol_scale: F64, out: F64,
) -> None:  # fmt: skip
    """Fill out[lo:hi]: (n_items, S) unit P&L where every factor moves at once.

    log_moves, vol_moves  (S, K): log price move; relative 30-day vol move of the surface of k
    vol_factor (n_items,) factor whose surface an option is on; vol_scale (n_items,) term scale
    """
    n = len(log_moves)
    sigma = np.empty(n)
    for i in range(lo, hi):
        if contracts.kind[i] == CALL or contracts.kind[i] == PUT:
            for s in range(n):
                move = vol_moves[s, vol_factor[i]]
                sigma[s] = shocked_vol(contracts.sigma[i], vol_scale[i], move, 0.0)
        _row(i, contracts, loads, log_moves, -1, sigma, contracts.t_years[i], out[i])


@compiled
def grid_unit_rows(
    lo: int, hi: int, contracts: Contracts, loads: Loads, owner: I32, factor: I32,
    log_moves: F64, sigmas: F64, decay_years: F64, out: F64,
) -> None:  # fmt: skip
    """Fill out[lo:hi]: (D, G) unit P&L where one factor moves alone; the last row is time decay.

    owner, factor (D,)  item and factor of each row of the scan
    log_moves (K, G)    log price move of each factor's grid
    sigmas (D, G)       shocked vol of the item in that grid (its own vol where not its surface)
    decay_years (D,)    time the last grid scenario takes off, 0 where not the item's surface
    """
    n = log_moves.shape[1]
    last = np.empty((1, 1))
    for d in range(lo, hi):
        i, k = owner[d], factor[d]
        moves = log_moves[k].reshape(n, 1)
        years = contracts.t_years[i]
        _row(i, contracts, loads, moves, k, sigmas[d], years, out[d])
        if decay_years[d] > 0.0:
            last[0, 0] = log_moves[k, n - 1]
            left = max(0.0, years - decay_years[d])
            _row(i, contracts, loads, last, k, sigmas[d, n - 1 :], left, out[d, n - 1 :])
