"""Bars that make sense, and columns taken out of them."""

from __future__ import annotations

import numpy as np
import pytest

from crossmargin.frames.bars import SECOND_NS, bar_faults
from frames.small import bars, flat


@pytest.mark.parametrize(
    "rows",
    [
        [flat(0, 300), flat(4)],  # overlap
        [flat(1, 0), flat(1, 0)],  # one stamp twice
        [flat(1), flat(0)],  # backwards
        [(0, 60, 1.0, 2.0, 1.5, 1.5)],  # open below the low
        [(0, 60, 1.0, 0.9, 0.5, 0.9)],  # open above the high
        [flat(0, price=0.0)],
        [flat(0, price=np.nan)],
        [flat(0, price=np.inf)],
    ],
)
def test_what_is_no_series_of_bars_is_a_bug(rows):
    with pytest.raises(AssertionError):
        bars(("A/USD", "x", rows))


def test_two_columns_may_meet_at_any_stamps():
    frame = bars(("A/USD", "x", [flat(9)]), ("A/USD", "y", [flat(3)]), ("B/USD", "x", [flat(0)]))
    assert frame.first_columns() == [0, 2]
    assert frame.column.tolist() == [0, 1, 2]
    assert frame.picked([2, 1]).ts_ns.tolist() == [0, 3 * 60 * SECOND_NS]
    assert frame.picked([]).n_columns == 0


def test_a_nan_is_a_fault():
    one, nan = np.ones(1), np.full(1, np.nan)
    assert not bar_faults(one, one, one, one)[0]
    for at in range(4):
        assert bar_faults(*(nan if n == at else one for n in range(4)))[0]
