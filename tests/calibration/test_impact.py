"""The fit of impact: exact laws come back exactly, noisy ones within their standard error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.calibration.impact import Sample, fit_impact, walked


def law(block: int, exponent: float, scale: float, noise=None) -> Sample:
    x = np.geomspace(1e3, 1e6, 20)
    y = scale * x**exponent
    return Sample(block, x, y if noise is None else y * np.exp(noise), 0.0004)


@given(st.floats(0.2, 1.5), st.floats(1e-8, 1e-3))
@settings(max_examples=30)
def test_an_exact_law_comes_back(exponent: float, scale: float) -> None:
    fit = fit_impact("m", [law(b, exponent, scale) for b in range(6)])
    assert fit is not None
    assert fit.exponent == pytest.approx(exponent, rel=1e-9)
    assert fit.coefficient == pytest.approx(scale, rel=1e-6)
    assert fit.exponent_se == pytest.approx(0.0, abs=1e-9)
    assert fit.half_spread == 0.0004


def test_the_scale_is_the_formulas() -> None:
    # Y 1.5, sigma 4 %, ADV 1e8, delta 0.5: coefficient 1.5 x 0.04 / 1e4 = 6e-6.
    fit = fit_impact("m", [law(b, 0.5, 6e-6) for b in range(6)])
    assert fit is not None
    assert fit.scale(1e8, 0.04) == pytest.approx(1.5)


def test_a_noisy_law_lies_within_its_error_and_the_error_is_of_blocks() -> None:
    rng = np.random.default_rng(7)
    # Each block has a slope of its own, 0.6 on average, sd 0.1: 40 of them, so 0.016.
    slopes = 0.6 + 0.1 * rng.standard_normal(40)
    samples = [law(b, s, 1e-5, 0.05 * rng.standard_normal(20)) for b, s in enumerate(slopes)]
    fit = fit_impact("m", samples)
    assert fit is not None
    assert fit.n_blocks == 40
    assert fit.exponent_se == pytest.approx(0.1 / np.sqrt(40), rel=0.35)
    assert abs(fit.exponent - 0.6) < 4.0 * fit.exponent_se
    # Seconds of one minute are one observation: repeating samples inside blocks adds no certainty.
    again = fit_impact("m", samples * 10)
    assert again is not None
    assert again.exponent_se == pytest.approx(fit.exponent_se, rel=1e-6)


def test_few_blocks_are_one_regression_as_polyfit_does_it() -> None:
    rng = np.random.default_rng(3)
    samples = [law(b, 0.5, 1e-5, 0.1 * rng.standard_normal(20)) for b in range(2)]
    fit = fit_impact("m", samples)
    x = np.log(np.concatenate([s.notional for s in samples]))
    y = np.log(np.concatenate([s.impact for s in samples]))
    (slope, _), cov = np.polyfit(x, y, 1, cov=True)
    assert fit is not None
    assert fit.exponent == pytest.approx(slope)
    assert fit.exponent_se == pytest.approx(float(np.sqrt(cov[0, 0])), rel=1e-6)


def test_what_cannot_tell_a_slope_is_no_fit() -> None:
    flat = Sample(0, np.full(20, 1e3), np.full(20, 1e-4), np.nan)
    none = Sample(1, np.geomspace(1e3, 1e6, 20), np.zeros(20), np.nan)
    assert fit_impact("m", []) is None
    assert fit_impact("m", [flat, none]) is None


def test_a_walked_ladder_by_hand() -> None:
    # Mid 100; asks 101 x 1 and 103 x 3. All four cost 101 + 309 = 410: 102.5 on average, 1.5 past
    # the best: 1.5 % of the mid; half spread 1 %.
    got = walked(5, np.array([101.0, 103.0]), np.array([1.0, 3.0]), 100.0)
    assert got.block == 5
    assert got.half_spread == pytest.approx(0.01)
    assert got.impact[0] == pytest.approx(0.0)
    assert got.impact[-1] == pytest.approx(0.015)
    assert got.notional[-1] == pytest.approx(400.0)
