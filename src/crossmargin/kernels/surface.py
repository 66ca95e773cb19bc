"""Vol surfaces: a vol at any time and moneyness, and what a scenario makes of it.

In     pillars (expiries, knots of log-moneyness, vols); 30-day vol moves.
Out    vols per query; shocked vols.
Owns   interpolation, the term scale, the floor under an up-shocked vol.
Never  invents a surface: a query whose pillars are missing is NaN. Fits nothing.
Signs  vols and times are >= 0, moves are relative (+ up).
Spec   docs/spec/04-scenarios.md (4.1, 4.3), docs/spec/00-choices.md (C29)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import F64, I64, guard, guard_starts
from crossmargin.kernels.compiled import compiled, inlined, run_blocks

BLOCK = 4096  # queries per call
DAY_YEARS = 1.0 / 365.0


class Surfaces(NamedTuple):
    """U surfaces of E expiries in all, with M knots in all.

    expiry_starts      (U + 1,)  first expiry of each surface
    expiry_years       (E,)      ACT/365, > 0, ascending within a surface
    knot_starts        (E + 1,)  first knot of each expiry
    knot_log_strike    (M,)      ln(strike / forward of that expiry), ascending within an expiry
    knot_vol           (M,)      per root year; NaN where not known
    """

    expiry_starts: I64
    expiry_years: F64
    knot_starts: I64
    knot_log_strike: F64
    knot_vol: F64


def surface_vols(
    surfaces: Surfaces, surface: I64, t_years: F64, log_strike: F64, threads: int | None = None
) -> F64:
    """Return the vol of each query (N,), per root year.

    surface     (N,)  which surface, -1 for none
    t_years     (N,)  >= 0
    log_strike  (N,)  ln(strike / forward)

    Between expiries total variance is linear in time at equal log_strike; before the first and
    after the last the vol is flat. Across log_strike the vol is linear, flat outside the knots.
    NaN where there is no surface, no expiry, no knot, or a pillar that is used is NaN. Spec 4.1.
    """
    n_queries = len(surface)
    guard((n_queries,), surface=surface, t_years=t_years, log_strike=log_strike)
    guard_starts(surfaces.expiry_starts, len(surfaces.expiry_years))
    guard_starts(surfaces.knot_starts, len(surfaces.knot_vol))
    guard((len(surfaces.expiry_years) + 1,), knot_starts=surfaces.knot_starts)
    assert (surface < len(surfaces.expiry_starts) - 1).all()

    vol = np.empty(n_queries)
    run_blocks(_vols_block, n_queries, BLOCK, threads, surfaces, surface, t_years, log_strike, vol)
    return vol


@compiled
def _vols_block(
    lo: int, hi: int, surfaces: Surfaces, surface: I64, t_years: F64, log_strike: F64, vol: F64
) -> None:
    for i in range(lo, hi):
        if surface[i] < 0 or math.isnan(t_years[i]) or math.isnan(log_strike[i]):
            vol[i] = math.nan
        else:
            vol[i] = surface_vol(surfaces, surface[i], t_years[i], log_strike[i])


@compiled
def surface_vol(surfaces: Surfaces, surface: int, t_years: float, log_strike: float) -> float:
    """Return the vol of one query; see `surface_vols`."""
    first, stop = surfaces.expiry_starts[surface], surfaces.expiry_starts[surface + 1]
    if first == stop:
        return math.nan
    times = surfaces.expiry_years[first:stop]
    after = first + np.searchsorted(times, t_years)
    if after == stop:
        return _smile_vol(surfaces, stop - 1, log_strike)
    vol_after = _smile_vol(surfaces, after, log_strike)
    if after == first or surfaces.expiry_years[after] == t_years:
        return vol_after
    vol_before = _smile_vol(surfaces, after - 1, log_strike)
    t_before, t_after = surfaces.expiry_years[after - 1], surfaces.expiry_years[after]
    share = (t_years - t_before) / (t_after - t_before)
    variance = (1.0 - share) * vol_before**2 * t_before + share * vol_after**2 * t_after
    return math.sqrt(variance / t_years)


@compiled
def _smile_vol(surfaces: Surfaces, expiry: int, log_strike: float) -> float:
    first, stop = surfaces.knot_starts[expiry], surfaces.knot_starts[expiry + 1]
    if first == stop:
        return math.nan
    after = first + np.searchsorted(surfaces.knot_log_strike[first:stop], log_strike)
    if after == stop:
        return surfaces.knot_vol[stop - 1]
    if after == first or surfaces.knot_log_strike[after] == log_strike:
        return surfaces.knot_vol[after]
    k_before, k_after = surfaces.knot_log_strike[after - 1], surfaces.knot_log_strike[after]
    share = (log_strike - k_before) / (k_after - k_before)
    return (1.0 - share) * surfaces.knot_vol[after - 1] + share * surfaces.knot_vol[after]


@inlined
def term_scale(t_years: float, term_years: float, p_short: float, p_long: float) -> float:
    """Return (term / max(T, 1 d))^p: how a vol move quoted at `term` reaches another tenor.

    p = p_short below the term (30 days in the shipped rules), p_long from there on. NaN in: NaN
    out. Spec 4.3.
    """
    t = DAY_YEARS if t_years < DAY_YEARS else t_years
    return (term_years / t) ** (p_short if t < term_years else p_long)


@inlined
def shocked_vol(sigma: float, scale: float, move: float, floor: float) -> float:
    """Return max(0, sigma (1 + move x scale)); after a move up, at least `floor`.

    move   relative, of the 30-day vol: 0.45 is up 45 %
    floor  per root year; 0 for joint and stress rows, which have none

    The floor never lowers a vol, and no move leaves the vol as it is. NaN in: NaN out. Spec 4.3.
    """
    shocked = sigma * (1.0 + move * scale)
    lowest = floor if move > 0.0 else 0.0
    # Written so that NaN, which is not below anything, stays.
    return lowest if shocked < lowest else shocked


def term_scales(t_years: F64, term_years: float, p_short: float, p_long: float) -> F64:
    """Return `term_scale` of each time (N,)."""
    scale = np.empty(len(t_years))
    _term_scales(t_years, term_years, p_short, p_long, scale)
    return scale


def shocked_vols(sigma: F64, scale: F64, move: F64, floor: F64) -> F64:
    """Return the vol of each option in every scenario, (N, S), per root year.

    sigma, scale, floor  (N,)    today's vol, its `term_scale`, its floor after a move up
    move                 (N, S)  relative move of the 30-day vol of its surface; or (S,) for all
    """
    moves = np.broadcast_to(move, (len(sigma), move.shape[-1]))
    guard((len(sigma),), sigma=sigma, scale=scale, floor=floor)
    vol = np.empty(moves.shape)
    _shocked_vols(sigma, scale, moves, floor, vol)
    return vol


@compiled
def _term_scales(t_years: F64, term_years: float, p_short: float, p_long: float, out: F64) -> None:
    for i in range(len(out)):
        out[i] = term_scale(t_years[i], term_years, p_short, p_long)


@compiled
def _shocked_vols(sigma: F64, scale: F64, move: F64, floor: F64, out: F64) -> None:
    for i in range(len(out)):
        for s in range(out.shape[1]):
            out[i, s] = shocked_vol(sigma[i], scale[i], move[i, s], floor[i])
