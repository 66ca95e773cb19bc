"""Vol surfaces: what is missing stays missing, pillars are met, between them lines are lines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.kernels.surface import (
    Surfaces,
    shocked_vols,
    surface_vols,
    term_scales,
)

DAY = 1.0 / 365.0


def surfaces(*each):
    """Each surface: a list of (years, [(log_strike, vol), ...])."""
    expiries = [expiry for surface in each for expiry in surface]
    knots = [knot for _, smile in expiries for knot in smile]
    return Surfaces(
        np.cumsum([0, *map(len, each)]).astype(np.int64),
        np.array([years for years, _ in expiries], float),
        np.cumsum([0, *(len(smile) for _, smile in expiries)]).astype(np.int64),
        np.array([k for k, _ in knots], float),
        np.array([vol for _, vol in knots], float),
    )


TWO = surfaces([(0.25, [(-0.1, 0.8), (0.0, 0.6), (0.2, 0.5)]), (1.0, [(0.0, 0.4)])], [])


def vol(surface, t, k, of=TWO):
    return surface_vols(of, np.array([surface]), np.array([t]), np.array([k]))[0]


@pytest.mark.parametrize(
    ("surface", "t", "k"),
    [
        pytest.param(-1, 0.5, 0.0, id="no_surface"),
        pytest.param(1, 0.5, 0.0, id="surface_without_expiry"),
        pytest.param(0, math.nan, 0.0, id="no_time"),
        pytest.param(0, 0.5, math.nan, id="no_moneyness"),
    ],
)
def test_nothing_is_invented(surface, t, k):
    assert math.isnan(vol(surface, t, k))


@pytest.mark.parametrize(
    ("t", "k", "known"),
    [
        (0.25, 0.1, False),  # between a known knot and the missing one
        (0.5, 0.1, False),
        (0.25, -0.05, True),  # does not touch it
        (0.25, 0.0, True),  # on a known knot
        (1.0, 0.1, True),  # on the other expiry
        (2.0, 0.1, True),
    ],
)
def test_a_missing_pillar_is_missing_where_it_is_used(t, k, known):
    holed = surfaces([(0.25, [(-0.1, 0.8), (0.0, 0.6), (0.2, math.nan)]), (1.0, [(0.0, 0.4)])])
    assert math.isfinite(vol(0, t, k, holed)) == known


def test_an_expiry_without_knots_is_missing():
    bare = surfaces([(0.25, []), (1.0, [(0.0, 0.4)])])
    assert math.isnan(vol(0, 0.5, 0.0, bare))
    assert vol(0, 1.0, 0.0, bare) == 0.4


def test_a_surface_that_does_not_exist_is_a_bug_of_ours():
    with pytest.raises(AssertionError):
        vol(2, 0.5, 0.0)


@pytest.mark.parametrize(
    ("t", "k", "want"),
    [
        pytest.param(0.25, -0.1, 0.8, id="a_pillar"),
        pytest.param(0.25, 0.2, 0.5, id="the_last_knot"),
        pytest.param(1.0, 0.0, 0.4, id="the_last_expiry"),
        pytest.param(0.25, -0.05, 0.7, id="half_way_across"),  # (0.8 + 0.6) / 2
        pytest.param(0.25, 0.15, 0.525, id="three_quarters_across"),  # 0.25 * 0.6 + 0.75 * 0.5
        pytest.param(0.25, -9.0, 0.8, id="flat_left"),
        pytest.param(0.25, 9.0, 0.5, id="flat_right"),
        pytest.param(0.0, 0.0, 0.6, id="flat_before"),
        pytest.param(5.0, 0.0, 0.4, id="flat_after"),
        # Variances 0.36 * 0.25 = 0.09 and 0.16 * 1 = 0.16; at 0.5 a third of the way:
        # 0.09 + 0.07 / 3 = 0.34 / 3, over 0.5.
        pytest.param(0.5, 0.0, math.sqrt(0.34 / 3 / 0.5), id="between_expiries"),
    ],
)
def test_vols_at_and_between_pillars(t, k, want):
    assert vol(0, t, k) == pytest.approx(want, rel=1e-14)


@given(st.floats(0.25, 1.0), st.floats(0.25, 1.0))
def test_total_variance_is_a_line_between_expiries(one, two):
    def variance(t):
        return vol(0, t, 0.0) ** 2 * t

    middle = variance(0.5 * (one + two))
    assert middle == pytest.approx(0.5 * (variance(one) + variance(two)), rel=1e-12)


@given(st.floats(0.0, 3.0), st.floats(-0.5, 0.5))
def test_a_vol_lies_between_those_of_the_pillars(t, k):
    # Squared it is a mean of theirs, with weights (1 - share) t_1 / t and share t_2 / t.
    assert 0.4 - 1e-12 <= vol(0, t, k) <= 0.8 + 1e-12


@pytest.mark.parametrize(
    ("days", "want"),
    [
        (0.0, 30.0**0.30),  # shorter than a day is a day
        (1.0, 30.0**0.30),
        (15.0, 2.0**0.30),
        (30.0, 1.0),
        (60.0, 0.5**0.13),  # the other power from 30 days on
        (365.0, (30.0 / 365.0) ** 0.13),
        (math.nan, math.nan),
    ],
)
def test_the_term_scale(days, want):
    got = term_scales(np.array([days * DAY]), 30 * DAY, 0.30, 0.13)[0]
    assert got == pytest.approx(want, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("sigma", "scale", "move", "want"),
    [
        pytest.param(0.60, 1.0, 0.45, 0.87, id="up"),  # 0.60 * 1.45
        pytest.param(0.60, 2.0, 0.45, 1.14, id="up_short"),  # 0.60 * (1 + 0.9)
        pytest.param(0.20, 1.0, 0.45, 0.45, id="up_to_the_floor"),  # 0.29 < 0.45
        pytest.param(0.20, 1.0, 0.0, 0.20, id="same_ignores_the_floor"),
        pytest.param(0.60, 1.0, -0.25, 0.45, id="down"),  # 0.60 * 0.75
        pytest.param(0.20, 1.0, -0.25, 0.15, id="down_ignores_the_floor"),
        pytest.param(0.60, 9.0, -0.25, 0.0, id="never_below_zero"),
        pytest.param(math.nan, 1.0, 0.45, math.nan, id="missing_stays_missing"),
        pytest.param(0.60, math.nan, -0.25, math.nan, id="missing_time"),
    ],
)
def test_a_shocked_vol(sigma, scale, move, want):
    got = shocked_vols(
        np.array([sigma]), np.array([scale]), np.array([move, 0.0]), np.array([0.45])
    )
    assert got[0, 0] == pytest.approx(want, rel=1e-12, abs=1e-15, nan_ok=True)


def test_moves_of_each_option_are_taken_row_by_row():
    moves = np.array([[0.45, 0.0], [0.0, -0.25]])
    got = shocked_vols(np.array([1.0, 2.0]), np.ones(2), moves, np.zeros(2))
    np.testing.assert_allclose(got, [[1.45, 1.0], [2.0, 1.5]], rtol=1e-15)


def test_one_and_two_threads_give_the_same_bits():
    rng = np.random.default_rng(3)
    t, k = rng.uniform(0.0, 2.0, 20_000), rng.normal(0.0, 0.2, 20_000)
    which = np.zeros(20_000, np.int64)
    one, two = (surface_vols(TWO, which, t, k, threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
