"""A history written to a table reads back as it was."""

from __future__ import annotations

import numpy as np
import pytest

from crossmargin.frames.history import HOUR_NS, HistoryFrame, history_from_table
from crossmargin.frames.recorded import history_table

AT_NS = 1_767_096_000 * 10**9


@pytest.mark.parametrize("vol", [False, True])
def test_a_history_survives_the_round_trip(vol: bool):
    rng = np.random.default_rng(1)
    close = np.exp(rng.normal(0.0, 0.01, (5, 3)).cumsum(axis=0))
    close[2, 1] = np.nan
    want = HistoryFrame(
        AT_NS + HOUR_NS * np.arange(5), ("BTC/USD", "ETH/USD", "stETH/ETH"), close, close * 0.99,
        close * 1.01, vol=np.abs(close) * 0.5 if vol else None,
    )  # fmt: skip
    got = history_from_table(history_table(want))
    assert got.factors == want.factors
    for name in ("ts_ns", "close", "low", "high", "vol"):
        a, b = getattr(got, name), getattr(want, name)
        assert (a is None) == (b is None), name
        if b is not None:
            np.testing.assert_array_equal(a, b)
