"""Expected shortfall (spec 5.0): the estimator at its boundaries, its laws, and its twin."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.kernels.tails import expected_shortfall, pools_expected_shortfall, tail_rows
from crossmargin.reference import tails as reference


def even(n):
    return np.full(n, 1.0 / n)


@st.composite
def probabilities(draw, n):
    kind = draw(st.sampled_from(["even", "uneven", "with_zeros"]))
    if kind == "even":
        return even(n)
    low = 0 if kind == "with_zeros" else 1
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parts = rng.integers(low, 10, n).astype(float)
    parts += 0.0 if parts.sum() else 1.0
    return parts / parts.sum()


@st.composite
def tails(draw):
    # Up to 40 rows they are drawn one by one; above that from a seed. 64 is where blocks begin.
    n = draw(st.integers(1, 40) | st.sampled_from([63, 64, 65, 127, 128, 129, 191, 200, 1000]))
    spread = draw(st.sampled_from([1, 4, 10**6]))
    if n <= 40:
        whole = st.integers(-spread, spread)
        losses = np.array(draw(st.lists(whole, min_size=n, max_size=n)), float)
    else:
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        losses = rng.integers(-spread, spread + 1, n).astype(float)
    alpha = draw(st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.975, 0.99, 0.999]))
    return losses, draw(probabilities(n)), alpha


@pytest.mark.parametrize(("n", "alpha"), [(5, 0.5), (70, 0.5), (200, 0.99), (1000, 0.99)])
def test_a_loss_that_is_nan_makes_the_answer_nan_wherever_it_stands(n, alpha):
    for at in range(n):
        losses = np.arange(float(n))
        losses[at] = math.nan
        es, rows, weights = expected_shortfall(losses, even(n), alpha)
        assert math.isnan(es)
        assert len(rows) == len(weights) == 0


def test_losses_that_are_all_nan_are_nan():
    assert math.isnan(expected_shortfall(np.full(1000, math.nan), even(1000), 0.99)[0])


def test_the_worst_loss_is_found_wherever_it_stands():
    for n in (64, 100, 1000):
        for at in range(n):
            losses = np.zeros(n)
            losses[at] = 1.0
            _, rows, _ = expected_shortfall(losses, even(n), 1.0 - 2.0 / n)
            assert rows.tolist() == [at, 0 if at else 1]  # then the lowest of the others


@pytest.mark.parametrize(
    ("probability", "alpha"),
    [
        pytest.param([0.5, 0.4], 0.9, id="sums_to_0.9"),
        pytest.param([1.5, -0.5], 0.9, id="negative"),
        pytest.param([0.5, 0.5], 1.0, id="no_tail"),
        pytest.param([0.5, math.nan], 0.9, id="nan"),
    ],
)
def test_what_is_no_probability_is_a_bug_of_ours(probability, alpha):
    with pytest.raises(AssertionError):
        expected_shortfall(np.zeros(2), np.array(probability), alpha)


@pytest.mark.parametrize(
    ("losses", "probability", "alpha", "want", "rows", "weights"),
    [
        # Ten rows of 0.1, the worst two fill 0.2: (9 + 8) / 2.
        pytest.param(range(10), even(10), 0.8, 8.5, [9, 8], [0.5, 0.5], id="whole_rows"),
        # 0.25 = 0.1 + 0.1 + half of the third: (0.1 * 9 + 0.1 * 8 + 0.05 * 7) / 0.25 = 8.2.
        pytest.param(range(10), even(10), 0.75, 8.2, [9, 8, 7], [0.4, 0.4, 0.2], id="in_part"),
        # The tail is smaller than one row: that row in part, so its own loss.
        pytest.param(range(10), even(10), 0.99, 9.0, [9], [1.0], id="less_than_a_row"),
        pytest.param([3, 3, 3], even(3), 0.5, 3.0, [0, 1], [2 / 3, 1 / 3], id="ties_by_index"),
        pytest.param([-1, -5], even(2), 0.5, -1.0, [0], [1.0], id="a_gain_stays_a_gain"),
        pytest.param([1, 2, 3], even(3), 0.0, 2.0, [2, 1, 0], [1 / 3] * 3, id="alpha_0_is_mean"),
        # 0.3 of 9 and 0.1 of 4: (2.7 + 0.4) / 0.4 = 7.75.
        pytest.param([9, 4, 0], [0.3, 0.3, 0.4], 0.6, 7.75, [0, 1], [0.75, 0.25], id="uneven"),
        pytest.param([9, 4], [0.0, 1.0], 0.5, 4.0, [0, 1], [0.0, 1.0], id="impossible_row"),
    ],
)
def test_the_estimator_at_its_boundaries(losses, probability, alpha, want, rows, weights):
    es, got_rows, got_weights = expected_shortfall(
        np.array(losses, float), np.array(probability), alpha
    )
    assert es == pytest.approx(want, rel=1e-12)
    assert got_rows.tolist() == rows
    assert got_weights == pytest.approx(weights, rel=1e-9)


def test_a_thousand_even_rows_have_a_tail_of_ten():
    # 1 - 0.99 is 0.010000000000000009 in binary: an eleventh row would get 1e-17.
    assert tail_rows(even(1000), 0.99) == 10
    _, rows, weights = expected_shortfall(np.arange(1000.0), even(1000), 0.99)
    assert rows.tolist() == list(range(999, 989, -1))
    assert weights == pytest.approx([0.1] * 10, rel=1e-9)


@given(tails())
def test_es_matches_the_reference(tail):
    losses, probability, alpha = tail
    es, rows, weights = expected_shortfall(losses, probability, alpha)
    want, shares = reference.expected_shortfall(losses.tolist(), probability.tolist(), alpha)
    assert es == pytest.approx(want, rel=1e-12, abs=1e-9)
    assert rows.tolist() == [s for s, _ in shares]
    assert weights == pytest.approx([share for _, share in shares], rel=1e-9, abs=1e-12)


@given(tails(), st.randoms(use_true_random=False))
def test_two_books_together_never_cost_more(tail, random):  # the reason for this estimator
    losses, probability, alpha = tail
    other = np.array([random.uniform(-1e6, 1e6) for _ in losses])
    together = expected_shortfall(losses + other, probability, alpha)[0]
    apart = (
        expected_shortfall(losses, probability, alpha)[0]
        + expected_shortfall(other, probability, alpha)[0]
    )
    # Rounding of sums of 40 numbers up to 2e6 over a tail of 1e-3: 40 * 2e6 * 1e-16 * 1e3.
    assert together <= apart + 1e-5


# Factors so small that products are subnormal have no relative precision to compare.
@given(tails(), st.just(0.0) | st.floats(1e-12, 1e6))
def test_es_grows_in_proportion(tail, factor):  # law 16
    losses, probability, alpha = tail
    es = expected_shortfall(losses, probability, alpha)[0]
    scaled = expected_shortfall(losses * factor, probability, alpha)[0]
    assert scaled == pytest.approx(es * factor, rel=1e-9, abs=1e-6 * factor)


@given(tails(), st.randoms(use_true_random=False))
def test_the_order_of_scenarios_changes_nothing(tail, random):  # law 10
    losses, probability, alpha = tail
    order = list(range(len(losses)))
    random.shuffle(order)
    es = expected_shortfall(losses, probability, alpha)[0]
    shuffled = expected_shortfall(losses[order], probability[order], alpha)[0]
    assert shuffled == pytest.approx(es, rel=1e-9, abs=1e-6)


@st.composite
def books(draw):
    n_items, n_scenarios = draw(st.integers(1, 5)), draw(st.integers(1, 140))
    sizes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    item = rng.integers(0, n_items, starts[-1]).astype(np.int32)
    rows = rng.normal(0.0, 100.0, (n_items, n_scenarios))
    alpha = draw(st.sampled_from([0.0, 0.9, 0.99]))
    return rows, starts, item, rng.normal(0.0, 10.0, starts[-1]), alpha


@given(books())
def test_pools_match_the_reference(book):
    rows, starts, item, quantity, alpha = book
    probability = even(rows.shape[1])
    got = pools_expected_shortfall(rows, starts, item, quantity, probability, alpha)
    for pool, (lo, hi) in enumerate(pairwise(starts)):
        losses = reference.pool_losses(
            rows.tolist(), item[lo:hi].tolist(), quantity[lo:hi].tolist()
        )
        want, _ = reference.expected_shortfall(losses, probability.tolist(), alpha)
        assert got[pool] == pytest.approx(want, rel=1e-12, abs=1e-8)  # sums of up to 1e4


@pytest.mark.parametrize("n_scenarios", [3, 9, 70])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_row_that_is_not_finite_marks_only_its_pool(bad, n_scenarios):
    rows = np.ones((2, n_scenarios))
    rows[0, n_scenarios - 1] = bad
    got = pools_expected_shortfall(
        rows, np.array([0, 2, 3]), np.array([0, 1, 1], np.int32), np.array([0.0, 1.0, 1.0]),
        even(n_scenarios), 0.9,
    )  # fmt: skip
    assert math.isnan(got[0])
    assert got[1] == pytest.approx(-1.0)


def test_infinite_gains_do_not_empty_the_tail():
    es, rows, _ = expected_shortfall(np.full(3, -math.inf), even(3), 0.5)
    assert es == -math.inf
    assert rows.tolist() == [0, 1]


def test_an_infinite_quantity_marks_its_pool():
    got = pools_expected_shortfall(
        np.ones((1, 10)), np.array([0, 1]), np.array([0], np.int32), np.array([math.inf]),
        even(10), 0.9,
    )  # fmt: skip
    assert math.isnan(got[0])


def test_a_holding_in_no_row_is_a_bug_of_ours():
    with pytest.raises(AssertionError):
        pools_expected_shortfall(
            np.ones((1, 10)), np.array([0, 1]), np.array([1], np.int32), np.ones(1), even(10), 0.9
        )


def test_one_and_two_threads_give_the_same_bits():
    rng = np.random.default_rng(7)
    starts = np.concatenate([[0], np.cumsum(rng.poisson(4, 3_000))]).astype(np.int64)
    item = rng.integers(0, 50, starts[-1]).astype(np.int32)
    quantity, rows = rng.normal(size=starts[-1]), rng.normal(size=(50, 200))
    one = pools_expected_shortfall(rows, starts, item, quantity, even(200), 0.99, threads=1)
    two = pools_expected_shortfall(rows, starts, item, quantity, even(200), 0.99, threads=2)
    np.testing.assert_array_equal(one, two)
