"""(d) Revaluation: 2,000 options, 64 scenarios."""

from __future__ import annotations

import numpy as np

from benchmarks.baselines import revalue_numpy, revalue_quantlib
from benchmarks.books import SEED
from benchmarks.harness import THREADS, Figure, Result, alternate, outputs_hash
from crossmargin.kernels.black76 import Options, revalue

TITLE = "2,000 options x 64 scenarios revalued, against NumPy and QuantLib"
N_OPTIONS, N_SCENARIOS, N_UNDERLYINGS = 2_000, 64, 20


def run(quick: bool) -> Result:
    """Return both ratios; the quick run is the same one, it takes a second."""
    options, underlying, log_mult, sigma = option_book()
    moves = log_mult[underlying]
    (ours_s, numpy_s, quantlib_s), (ours, theirs, quantlib) = alternate(
        lambda: revalue(options, underlying, log_mult, sigma, threads=THREADS),
        lambda: revalue_numpy.revalue(*options, moves, sigma),
        lambda: revalue_quantlib.revalue(*options, moves, sigma),
    )
    largest = np.maximum(options.forward[:, None] * np.exp(moves), options.strike[:, None])
    # 1e-9 relative wherever the price exceeds 1e-12 of the forward.
    assert (np.abs(ours - theirs) <= 1e-9 * np.maximum(theirs, 1e-12 * largest)).all()
    # QuantLib's normal distribution is itself off by up to 2e-12 in its tail (tests/kernels).
    assert (np.abs(ours - quantlib) <= 1e-9 * quantlib + 4e-12 * largest).all()
    cells = ours.size
    note = f"{ours_s * 1e3:.2f} ms, {cells / ours_s / 1e6:.0f} M prices a second"
    figures = [
        Figure("numpy", numpy_s / ours_s, "x NumPy with ndtr", least=1.5, note=note),
        Figure("quantlib", quantlib_s / ours_s, "x blackFormula", least=20.0),
    ]
    sizes = {"options": N_OPTIONS, "scenarios": N_SCENARIOS, "cells": cells}
    seconds = {"ours": ours_s, "numpy": numpy_s, "quantlib": quantlib_s}
    return Result(figures, outputs_hash(ours), sizes, seconds)


def option_book() -> tuple[Options, np.ndarray, np.ndarray, np.ndarray]:
    """Return options, the underlying of each, log moves (U, S) and shocked vols (N, S)."""
    rng = np.random.default_rng(SEED)
    forward = np.exp(rng.uniform(0.0, 11.0, N_UNDERLYINGS))
    underlying = rng.integers(0, N_UNDERLYINGS, N_OPTIONS)
    t_years = rng.choice([1, 7, 30, 90, 365], N_OPTIONS) / 365.0
    sigma = rng.uniform(0.4, 1.2, N_OPTIONS)
    spread = sigma * np.sqrt(t_years)
    strike = forward[underlying] * np.exp(spread * rng.normal(0.0, 1.5, N_OPTIONS))
    log_mult = rng.normal(0.0, 0.15, (N_UNDERLYINGS, N_SCENARIOS))
    shocked = sigma[:, None] * rng.choice([0.75, 1.0, 1.45], (1, N_SCENARIOS))
    options = Options(
        forward[underlying], strike, t_years, np.exp(-0.04 * t_years), rng.random(N_OPTIONS) < 0.5
    )
    return options, underlying, log_mult, shocked
