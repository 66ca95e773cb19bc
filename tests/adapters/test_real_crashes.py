"""Which bars an hour is taken from, and what is refused before any file is read."""

from __future__ import annotations

import polars as pl
import pytest

from crossmargin.adapters import real_crashes as crashes
from crossmargin.base.errors import FileUnreadable, InputInvalid
from crossmargin.frames.history import HOUR_NS

MINUTE = HOUR_NS // 60


def candles(*rows):
    """Flat candles (factor, source, minute of the day, seconds, price)."""
    made = [
        (factor, source, minute * MINUTE, *(price,) * 4, 1.0, seconds)
        for factor, source, minute, seconds, price in rows
    ]
    schema = dict.fromkeys(crashes.COLUMNS, pl.Float64)
    schema |= {"factor": pl.String, "source": pl.String, "ts_ns": pl.Int64, "bar_seconds": pl.Int64}
    return pl.DataFrame(made, schema=schema, orient="row")


def test_a_day_that_is_not_listed_is_refused_with_the_nearest_name():
    with pytest.raises(InputInvalid) as refused:
        crashes.crash_day("2022-05-lunar")
    assert "2022-05-luna" in refused.value.remedy


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(FileUnreadable) as refused:
        crashes.crash_bars(tmp_path, "2020-03-12")
    assert refused.value.where.startswith(str(tmp_path))


def test_an_hour_is_taken_from_its_finest_whole_bars_and_lengths_never_mix():
    quarter = [("BTC/USD", "s", 15 * n, 900, 2.0) for n in range(4)]
    fives = [("BTC/USD", "s", 5 * n, 300, 3.0) for n in range(11)]  # 11 of 12: not whole
    hours = [("BTC/USD", "s", 60 * n, 3_600, 1.0) for n in range(3)]
    late = [("BTC/USD", "s", 120 + 5 * n, 300, 4.0) for n in range(12)]
    kept = crashes._finest(candles(*hours, *quarter, *fives, *late))
    got = kept.sort("ts_ns").select(pl.col("ts_ns") // MINUTE, "bar_seconds").rows()
    # Hour 0: quarters, for a five is missing; hour 1: nothing finer; hour 2: twelve fives.
    assert got == [
        *((15 * n, 900) for n in range(4)), (60, 3_600), *((120 + 5 * n, 300) for n in range(12)),
    ]  # fmt: skip


def test_half_an_hour_of_bars_is_kept_where_nothing_covers_the_hour():
    kept = crashes._finest(
        candles(("USDC/USD", "dex", 0, 900, 1.0), ("USDC/USD", "dex", 30, 900, 1.0))
    )
    assert len(kept) == 2


def test_of_prints_before_the_day_only_the_last_is_kept():
    told = candles(*(("A/USD", "x", 10 * n, 0, 1.0 + n) for n in range(5)))
    kept = crashes._from_the_last_before(told, 20 * MINUTE)
    assert kept["close"].to_list() == [3.0, 4.0, 5.0]


def test_a_wrapped_coin_is_a_ratio_that_holds_its_open_and_close():
    base = candles(("BTC/USD", "binance_spot", 0, 3_600, 100.0))
    own = candles(("WBTC/USD", "binance_spot", 0, 3_600, 99.0))
    # WBTC alone traded at 50 once; BTC's low was 80: 50 / 80 = 0.625.
    own = own.with_columns(low=pl.lit(50.0))
    base = base.with_columns(low=pl.lit(80.0))
    [row] = crashes._over_base(pl.concat([base, own])).rows(named=True)
    assert row["factor"] == "WBTC/BTC"
    assert (row["open"], row["close"], row["high"]) == (0.99, 0.99, 0.99)
    assert row["low"] == 0.625
