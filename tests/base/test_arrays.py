"""Shape guards: a wrong shape is a bug of ours and is named."""

from __future__ import annotations

import numpy as np
import pytest

from crossmargin.base.arrays import guard, guard_starts


def test_a_wrong_shape_is_named() -> None:
    with pytest.raises(AssertionError, match=r"im_usd: shape \(2,\), must be \(3,\)"):
        guard((3,), equity_usd=np.zeros(3), im_usd=np.zeros(2))
    with pytest.raises(AssertionError, match="pnl_usd"):
        guard((None, 4), pnl_usd=np.zeros(4))


def test_any_length_fits_where_none_is_asked() -> None:
    guard((None, 4), pnl_usd=np.zeros((0, 4)), other_usd=np.zeros((9, 4)))
    guard((), one=np.array(1.0))


@pytest.mark.parametrize(
    ("starts", "n_rows"),
    [([], 0), ([1, 2], 2), ([0, 2], 3), ([0, 3, 2, 4], 4), ([[0, 1]], 1)],
    ids=["none", "first_not_0", "last_not_rows", "falls", "two_axes"],
)
def test_starts_that_do_not_cut_the_rows_are_a_bug(starts: list[int], n_rows: int) -> None:
    with pytest.raises(AssertionError):
        guard_starts(np.array(starts, dtype=np.int64), n_rows)


def test_empty_runs_are_fine() -> None:
    guard_starts(np.array([0, 0, 2, 2]), 2)
    guard_starts(np.array([0]), 0)
