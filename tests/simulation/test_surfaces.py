"""The generated option surface cannot be arbitraged, and follows the volatility of its world."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.frames.market import YEAR_NS
from crossmargin.simulation.surfaces import (
    SMILES,
    atm_variance,
    carry,
    date_code,
    expiries,
    strike_ladder,
    total_variance,
)
from crossmargin.simulation.worlds import World, world

AT_NS = 1_767_096_000 * 10**9  # 2025-12-30T12:00Z
HOUR_NS = 3_600 * 10**9
DAY_NS = 24 * HOUR_NS
sigmas = st.floats(0.005, 0.12)
coins = st.sampled_from(sorted(SMILES))


@pytest.fixture(scope="module")
def generated() -> World:
    return world(11, AT_NS, days=420)


@given(coins, sigmas)
def test_total_variance_rises_with_time_at_every_strike(coin, sigma_daily):
    smile = SMILES[coin]
    years = np.array([1, 3, 7, 14, 30, 60, 90, 180, 365]) / 365.0
    thetas = atm_variance(years, sigma_daily, smile)
    k = np.linspace(-2.0, 2.0, 81)
    w = np.array([total_variance(float(theta), k, smile) for theta in thetas])
    assert (np.diff(w, axis=0) > 0.0).all()


@given(coins, sigmas, st.sampled_from([1, 7, 30, 90, 365]))
def test_the_density_a_smile_implies_is_nowhere_negative(coin, sigma_daily, days):
    smile = SMILES[coin]
    theta = float(atm_variance(np.array([days / 365.0]), sigma_daily, smile)[0])
    k = np.linspace(-8.0, 8.0, 4_001) * np.sqrt(theta)
    w = total_variance(theta, k, smile)
    first, second = np.gradient(w, k), np.gradient(np.gradient(w, k), k)
    # Gatheral's g(k); differences are poor at the two ends, which are left out.
    g = (1 - k * first / (2 * w)) ** 2 - first**2 / 4 * (1 / w + 0.25) + second / 2
    assert (g[5:-5] > 0.0).all()


@pytest.mark.parametrize("smile", SMILES.values(), ids=SMILES)
def test_parameters_meet_the_no_arbitrage_bounds(smile):
    # eta^2 (1 + |rho|): BTC 0.76^2 * 1.235 = 0.71, ETH 0.73^2 * 1.19 = 0.63; both <= 4
    assert smile.eta**2 * (1.0 + abs(smile.rho)) <= 4.0
    # eta sqrt(theta) (1 + |rho|) <= 4 up to theta = 1.5^2 * 2 years, volatility 150 %
    assert smile.eta * np.sqrt(4.5) * (1.0 + abs(smile.rho)) <= 4.0


def test_at_the_money_the_smile_is_the_term_structure():
    for smile in SMILES.values():
        assert total_variance(0.04, np.zeros(1), smile)[0] == pytest.approx(0.04, rel=1e-12)


def test_a_wilder_month_makes_dearer_options():
    years = np.array([7.0, 30.0, 365.0]) / 365.0
    calm, wild = (atm_variance(years, s, SMILES["BTC"]) for s in (0.02, 0.05))
    assert (wild > calm).all()
    # at 30 days: ln vol = -0.051 + 0.784 ln(0.05 * sqrt(365)) = -0.087, vol 0.917
    assert np.sqrt(wild[1] / years[1]) == pytest.approx(0.917, abs=0.001)


@given(st.integers(1_500_000_000, 2_500_000_000))
def test_expiries_are_eight_ascending_mornings_to_come(second):
    at_ns = second * 10**9
    dates = expiries(at_ns)
    assert len(dates) == 8
    assert list(dates) == sorted(set(dates))
    assert dates[0] >= at_ns + 4 * HOUR_NS
    assert dates[-1] <= at_ns + 430 * DAY_NS
    assert all(d % DAY_NS == 8 * HOUR_NS for d in dates)


@given(st.floats(1e-3, 1e6), st.floats(1e-5, 1.0))
@settings(max_examples=100)
def test_strikes_are_positive_ascending_and_hold_the_forward(forward, theta):
    strikes = strike_ladder(forward, theta)
    assert (strikes > 0.0).all()
    assert (np.diff(strikes) > 0.0).all()
    assert strikes[0] < forward < strikes[-1]
    # Below the money of a wide ladder, neighbours round to one strike.
    assert 12 <= len(strikes) <= 21


def test_every_strike_has_its_call_and_its_put(generated):
    rows = generated.tables.instruments.filter(pl.col("kind").is_in(["call", "put"]))
    keys = ["underlying", "style", "expiry", "strike"]
    kinds = rows.group_by(keys).agg(pl.col("kind").n_unique(), pl.len())
    assert (kinds["kind"] == 2).all()
    assert (kinds["len"] == 2).all()
    vols = rows.group_by(keys).agg(pl.col("iv").n_unique())
    assert (vols["iv"] == 1).all()


def test_names_are_unique_and_dated_as_venues_date_them(generated):
    names = generated.tables.instruments["instrument"]
    assert names.n_unique() == len(names)
    assert date_code(AT_NS) == "30DEC25"


def test_forwards_of_one_date_agree_whatever_is_written_on_them(generated):
    rows = generated.tables.instruments.filter(
        (pl.col("underlying") == "BTC")
        & (pl.col("settle") == "BTC")
        & pl.col("expiry").is_not_null()
    )
    spread = rows.group_by("expiry").agg(pl.col("forward").max() / pl.col("forward").min())
    np.testing.assert_allclose(spread["forward"].to_numpy(), 1.0, rtol=1e-12)


def test_the_carry_curve_runs_from_two_to_nearly_five_percent():
    assert carry(0.0, 0.0) == pytest.approx(0.020)
    # 0.048 - 0.028 exp(-4) at one year
    assert carry(1.0, 0.0) == pytest.approx(0.048 - 0.028 * np.exp(-4.0))
    assert YEAR_NS == 365 * DAY_NS
