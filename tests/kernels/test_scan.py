"""Scan: worst weighted loss per pool. Refusals and missing numbers first, then laws."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.kernels.scan import loss_rows, scan
from crossmargin.reference.tails import pool_losses, worst_loss


@st.composite
def books(draw):
    """Whole numbers, so that sums are exact and a tie is a tie. S crosses 8, 32 and 64."""
    n_items, n_scenarios = draw(st.integers(1, 6)), draw(st.integers(1, 150))
    sizes = draw(st.lists(st.integers(0, 20), min_size=1, max_size=12))
    seed = draw(st.integers(0, 2**32 - 1))
    spread = draw(st.sampled_from([1, 3, 1000]))  # 1: nearly every maximum is a tie
    rng = np.random.default_rng(seed)
    rows = rng.integers(-spread, spread + 1, (n_items, n_scenarios)).astype(float)
    weight = rng.choice([0.0, 0.5, 1.0], n_scenarios)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    item = rng.integers(0, n_items, starts[-1]).astype(np.int32)
    quantity = rng.integers(-5, 6, starts[-1]).astype(float)
    return rows, weight, starts, item, quantity


def one_pool(rows, weight, item, quantity):
    starts = np.array([0, len(item)])
    loss, index = scan(
        np.array(rows, float), np.array(weight, float), starts,
        np.array(item, np.int32), np.array(quantity, float),
    )  # fmt: skip
    return loss[0], index[0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_row_that_is_not_finite_is_never_a_healthy_number(bad):
    loss, index = one_pool([[1.0, bad], [-1.0, -1.0]], [1, 1], [0, 1], [1.0, 1.0])
    assert math.isnan(loss)
    assert index == -1


def test_a_bad_row_at_quantity_zero_still_marks_its_pool():
    assert math.isnan(one_pool([[math.nan, 1.0]], [1, 1], [0], [0.0])[0])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_quantity_that_is_not_finite_marks_its_pool(bad):
    assert math.isnan(one_pool([[-1.0, 1.0]], [1, 1], [0], [bad])[0])


def test_a_bad_row_marks_only_the_pools_that_hold_it():
    rows = np.array([[math.nan, 1.0], [-2.0, 3.0]])
    loss, index = scan(
        rows, np.ones(2), np.array([0, 1, 2]), np.array([0, 1], np.int32), np.ones(2)
    )
    assert math.isnan(loss[0])
    assert (loss[1], index[1]) == (2.0, 0)


@pytest.mark.parametrize("item", [-1, 2])
def test_a_holding_in_no_row_is_a_bug_of_ours(item):
    with pytest.raises(AssertionError):
        one_pool([[1.0], [1.0]], [1], [item], [1.0])


def test_a_weight_above_one_is_a_bug_of_ours():
    with pytest.raises(AssertionError):
        loss_rows(np.ones((1, 1)), np.array([1.01]))


@pytest.mark.parametrize(
    ("rows", "weight", "quantity", "want"),
    [
        pytest.param([[5.0, 7.0]], [1, 1], 2.0, (0.0, -1), id="only_gains"),
        pytest.param([[5.0, 7.0]], [1, 1], -2.0, (14.0, 1), id="short_loses"),  # 2 * 7
        pytest.param([[0.0, 0.0]], [1, 1], 9.0, (0.0, -1), id="nothing_moves"),
        pytest.param([[-3.0, -3.0]], [1, 1], 1.0, (3.0, 0), id="tie_lowest_index"),
        pytest.param([[-10.0, -4.0]], [0.3, 1], 1.0, (4.0, 1), id="weight"),  # 0.3 * 10 = 3 < 4
        pytest.param([[-10.0, -1.0]], [0.0, 1], 1.0, (1.0, 1), id="weight_zero"),
    ],
)
def test_the_worst_weighted_loss(rows, weight, quantity, want):
    assert one_pool(rows, weight, [0], [quantity]) == want


def test_a_pool_that_holds_nothing_loses_nothing():
    assert one_pool([[-1.0, -2.0]], [1, 1], [], []) == (0.0, -1)


def test_no_pools_are_no_rows():
    loss, index = scan(
        np.ones((1, 3)), np.ones(3), np.array([0]), np.empty(0, np.int32), np.empty(0)
    )
    assert len(loss) == len(index) == 0


@pytest.mark.parametrize("n_scenarios", [1, 7, 8, 9, 31, 33, 36, 63, 64, 65, 96, 104, 129])
def test_the_worst_scenario_is_found_wherever_it_stands(n_scenarios):
    for at in range(n_scenarios):
        row = np.zeros((1, n_scenarios))
        row[0, at] = -1.0
        assert one_pool(row, np.ones(n_scenarios), [0], [2.0]) == (2.0, at)


@given(books())
def test_scan_matches_the_reference(book):
    rows, weight, starts, item, quantity = book
    loss, index = scan(rows, weight, starts, item, quantity)
    for pool, (lo, hi) in enumerate(pairwise(starts)):
        losses = pool_losses(rows.tolist(), item[lo:hi].tolist(), quantity[lo:hi].tolist())
        # Whole numbers and halves: both sides are exact, so the index must agree on ties too.
        assert (loss[pool], index[pool]) == worst_loss(losses, weight.tolist())


@given(books(), st.integers(0, 7))
def test_more_scenarios_never_lower_the_scan(book, cut):  # law 12
    rows, weight, starts, item, quantity = book
    fewer = max(1, rows.shape[1] - cut)
    some, _ = scan(rows[:, :fewer], weight[:fewer], starts, item, quantity)
    all_of_them, _ = scan(rows, weight, starts, item, quantity)
    assert (all_of_them >= some).all()


@given(books())
def test_the_order_of_holdings_changes_nothing(book):  # law 10; whole numbers, so exactly
    rows, weight, starts, item, quantity = book
    order = np.concatenate([np.arange(lo, hi)[::-1] for lo, hi in pairwise(starts)]).astype(
        np.int64
    )
    got = scan(rows, weight, starts, item[order], quantity[order])
    np.testing.assert_array_equal(got, scan(rows, weight, starts, item, quantity))


def test_one_and_two_threads_give_the_same_bits():
    rng = np.random.default_rng(7)
    starts = np.concatenate([[0], np.cumsum(rng.poisson(4, 10_000))]).astype(np.int64)
    item = rng.integers(0, 50, starts[-1]).astype(np.int32)
    quantity, rows = rng.normal(size=starts[-1]), rng.normal(size=(50, 100))
    one = scan(rows, np.ones(100), starts, item, quantity, threads=1)
    two = scan(rows, np.ones(100), starts, item, quantity, threads=2)
    np.testing.assert_array_equal(one, two)
