"""Fits on the books, trades and quotes of the data folder."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from crossmargin.adapters import real_depth
from crossmargin.calibration.impact import Sample, fit_impact, walked

pytestmark = pytest.mark.real


def test_books_of_many_venues_have_a_slope(shared: Path) -> None:
    found = []
    rows = sorted(real_depth.ladders(shared, 30), key=lambda ladder: ladder.market)
    for market, own in groupby(rows, key=lambda ladder: ladder.market):
        fit = fit_impact(market, [walked(x.block, x.price, x.size, x.mid) for x in own])
        if fit is not None:
            found.append(fit)
    assert len(found) > 40
    for fit in found:
        assert 0.0 < fit.half_spread < 0.02, fit.market
    # Books give the cost of taking what stands there: between a root and a line for most. A book of
    # a few levels tells nothing of a slope, and says so by its error.
    sure = [fit for fit in found if fit.exponent_se < 0.1]
    assert len(sure) > 25
    for fit in sure:
        assert 0.3 < fit.exponent < 1.5, fit.market
    assert 0.5 < np.median([fit.exponent for fit in sure]) < 1.0


def test_quotes_show_a_root_and_sweeps_of_a_quiet_market_nothing(shared: Path) -> None:
    quotes, sweeps = (
        {f.market: f for f in fits(source(shared))}
        for source in (real_depth.quotes, real_depth.sweeps)
    )
    # Pools of the constant product kind quote about a root over four orders of magnitude.
    for pair in ("WETH to USDC", "USDC to WETH", "WBTC to USDC", "USDC to WBTC"):
        assert quotes[pair].exponent == pytest.approx(0.5, abs=0.15)
        assert quotes[pair].exponent_se < 0.1
    # Ten quiet minutes of a market a tick wide: an order that walks pays a tick, whatever its size.
    # They measure no exponent, and must not be taken for one.
    assert len(sweeps) == 4
    assert all(abs(fit.exponent) < 0.4 for fit in sweeps.values())


def fits(points):
    """A fit a market."""
    for market, own in groupby(sorted(points, key=lambda p: p.market), key=lambda p: p.market):
        fit = fit_impact(market, [Sample(p.block, p.notional, p.impact, np.nan) for p in own])
        if fit is not None:
            yield fit
