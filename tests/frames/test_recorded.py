"""A history written to a table reads back as it was; what is no price is missing."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from crossmargin.base.errors import MarketInvalid
from crossmargin.frames.history import HOUR_NS, HistoryFrame
from crossmargin.frames.recorded import compile_history, history_table

AT_NS = 1_767_096_000 * 10**9


def history(confirm: bool = False, vol: bool = False) -> HistoryFrame:
    rng = np.random.default_rng(1)
    close = np.exp(rng.normal(0.0, 0.01, (5, 3)).cumsum(axis=0))
    close[2, 1] = np.nan
    return HistoryFrame(
        AT_NS + HOUR_NS * np.arange(5), ("BTC/USD", "ETH/USD", "stETH/ETH"), close, close * 0.99,
        close * 1.01, np.stack([close, close * 0.98, close * 1.02]) if confirm else None,
        np.abs(close) * 0.5 if vol else None,
    )  # fmt: skip


@pytest.mark.parametrize("confirm", [False, True])
@pytest.mark.parametrize("vol", [False, True])
def test_a_history_survives_the_round_trip(confirm: bool, vol: bool):
    want = history(confirm, vol)
    got, findings = compile_history(history_table(want), "history")
    assert findings == []
    assert got.factors == want.factors
    for name in ("ts_ns", "close", "low", "high", "confirm", "vol"):
        a, b = getattr(got, name), getattr(want, name)
        assert (a is None) == (b is None), name
        if b is not None:
            np.testing.assert_array_equal(a, b)


def test_closes_alone_have_no_wick():
    table = pl.DataFrame({"ts": ["2025-12-30T12:00Z"], "factor": ["BTC/USD"], "close": [1.0]})
    got, _ = compile_history(table, "history")
    assert got.low.tolist() == got.high.tolist() == [[1.0]]


@pytest.mark.parametrize("price", [-1.0, 0.0, float("nan"), float("inf")])
def test_what_is_no_price_is_missing_and_named(price: float):
    table = pl.DataFrame({"ts": [AT_NS] * 2, "factor": ["A/USD", "B/USD"], "close": [price, 2.0]})
    got, findings = compile_history(table, "history")
    assert np.isnan(got.close[0, 0])
    assert got.close[0, 1] == 2.0
    assert len(findings) == 1


def test_one_hour_listed_twice_is_refused():
    table = pl.DataFrame({"ts": [AT_NS] * 2, "factor": ["A/USD"] * 2, "close": [1.0, 2.0]})
    with pytest.raises(MarketInvalid, match="once"):
        compile_history(table, "history")
