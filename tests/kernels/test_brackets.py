"""Marginal brackets: the edges first, then the laws that make them marginal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.kernels.brackets import Schedules, charge, charges, counted, counted_values
from crossmargin.reference import brackets as reference

M = 1e6
USDT = np.array([5 * M, 10 * M, math.inf]), np.array([1.0, 0.9, 0.8])


@st.composite
def schedules(draw):
    n = draw(st.integers(0, 5))
    edges = sorted(draw(st.lists(st.integers(1, 1000), min_size=n, max_size=n, unique=True)))
    fracs = draw(st.lists(st.integers(0, 100), min_size=n + 1, max_size=n + 1))
    return np.array([*edges, math.inf], float), np.array(fracs) / 100.0


def many(*parts):
    starts = np.cumsum([0, *(len(edges) for edges, _ in parts)])
    edges, fracs = (np.concatenate([part[j] for part in parts]) for j in (0, 1))
    return Schedules(starts.astype(np.int64), edges, fracs)


def test_a_missing_value_counts_as_missing():
    assert math.isnan(counted(math.nan, *USDT))
    got = counted_values(np.array([math.nan, 1.0]), np.zeros(2, np.int64), many(USDT))
    assert math.isnan(got[0])
    assert got[1] == 1.0


def test_a_value_without_a_schedule_counts_as_missing():
    got = counted_values(np.array([1.0, 1.0]), np.array([-1, 0]), many(USDT))
    assert math.isnan(got[0])
    assert got[1] == 1.0


def test_above_the_last_edge_of_an_open_schedule_nothing_is_known():
    assert math.isnan(counted(11.0, np.array([10.0]), np.array([1.0])))


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(Schedules(np.array([0, 1]), np.array([10.0]), np.ones(1)), id="open"),
        pytest.param(Schedules(np.array([0, 0, 3]), *USDT), id="empty"),
        pytest.param(Schedules(np.array([0, 2]), *USDT), id="starts_end_early"),
        pytest.param(Schedules(np.array([0, 3]), USDT[0], np.ones(2)), id="fracs_short"),
    ],
)
def test_a_broken_schedule_is_a_bug_of_ours(broken):
    with pytest.raises(AssertionError):
        counted_values(np.ones(1), np.zeros(1, np.int64), broken)


def test_a_negative_value_or_an_unknown_schedule_is_a_bug_of_ours():
    with pytest.raises(AssertionError):
        counted_values(np.array([-1.0]), np.zeros(1, np.int64), many(USDT))
    with pytest.raises(AssertionError):
        counted_values(np.ones(1), np.ones(1, np.int64), many(USDT))


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (0.0, 0.0),
        (5 * M, 5 * M),  # an edge belongs to the bracket below it
        (5 * M + 10.0, 5 * M + 9.0),  # + 0.9 * 10
        (10 * M, 9.5 * M),  # 5 + 0.9 * 5
        (11 * M, 10.3 * M),  # 5 + 0.9 * 5 + 0.8 * 1: the method's own example
    ],
)
def test_usdt_counts_by_bracket(value, want):
    assert counted(value, *USDT) == pytest.approx(want, rel=1e-15)


def test_a_cap_is_a_last_bracket_that_counts_zero():
    capped = np.array([5 * M, math.inf]), np.array([1.0, 0.0])
    assert counted(1e12, *capped) == 5 * M


def test_tiers_charge_long_and_short_alike():
    tiers = np.array([100.0, math.inf]), np.array([0.1, 0.2])
    assert charge(150.0, *tiers) == charge(-150.0, *tiers) == 20.0  # 0.1 * 100 + 0.2 * 50
    got = charges(np.array([150.0, -150.0]), np.zeros(2, np.int64), many(tiers))
    assert got.tolist() == [20.0, 20.0]


@given(st.lists(schedules(), min_size=1, max_size=4), st.data())
def test_many_schedules_match_the_reference(parts, data):
    which = data.draw(st.lists(st.integers(0, len(parts) - 1), min_size=1, max_size=20))
    # Whole numbers meet the edges; the others do not.
    number = st.integers(0, 1200) | st.floats(0.0, 1200.0)
    values = data.draw(st.lists(number, min_size=len(which), max_size=len(which)))
    got = counted_values(np.array(values, float), np.array(which), many(*parts))
    for i, j in enumerate(which):
        want = reference.counted(float(values[i]), list(zip(*parts[j], strict=True)))
        assert got[i] == pytest.approx(want, rel=1e-12, abs=1e-12)
        assert counted(float(values[i]), *parts[j]) == got[i]


@given(schedules(), st.floats(0.0, 2000.0), st.floats(0.0, 2000.0))
def test_more_never_counts_less(schedule, value, more):
    # 1e-9: sums of six parts of up to 1,000 each.
    assert counted(value + more, *schedule) >= counted(value, *schedule) - 1e-9


@given(schedules(), st.floats(0.0, 2000.0), st.floats(0.0, 2000.0))
def test_falling_fractions_make_concentration_cost(schedule, value, other):
    edges, fracs = schedule[0], np.sort(schedule[1])[::-1]
    together = counted(value + other, edges, fracs)
    assert together <= counted(value, edges, fracs) + counted(other, edges, fracs) + 1e-9


def test_one_and_two_threads_give_the_same_bits():
    values = np.random.default_rng(2).uniform(0.0, 20 * M, 40_000)
    which = np.zeros(40_000, np.int64)
    one, two = (counted_values(values, which, many(USDT), threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
