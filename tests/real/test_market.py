"""A market at any hour, and nothing in it that happened later."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from crossmargin.adapters import real_history
from crossmargin.adapters.real_market import STALE_S, real_market
from crossmargin.apps.cli.real import stamp
from crossmargin.frames.listing import compile_market
from crossmargin.margin.joint import joint_rows

pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    ("at", "alive", "gone"),
    [
        ("2022-05-12T12:00Z", ["LUNA/USD", "UST/USD", "stETH/ETH", "BTC/USD"], ["LUNA2/USD"]),
        ("2022-06-13T12:00Z", ["BTC/USD", "stETH/ETH", "USDC/USD", "FTT/USD"], ["LUNA/USD"]),
        ("2025-10-10T21:00Z", ["BTC/USD", "SUI/USD", "USDe/USD", "WBTC/BTC"], ["FTT/USD"]),
    ],
)
def test_a_market_holds_what_was_alive_then(shared, rules, at, alive, gone):
    tables, history = real_market(shared, stamp(at))
    market, findings = compile_market(tables, STALE_S)
    assert findings == []
    assert set(alive) <= set(market.factors.names)
    assert not set(gone) & set(market.factors.names)
    assert "no option chain" in market.source
    joint = joint_rows(history, market, rules.joint, rules.margin.mpor_hours)
    assert len(joint) == rules.joint.rows
    assert not joint.flagged[:, market.factors.names.index("BTC/USD")].any()


def test_known_prices_at_a_known_hour(shared):
    # Binance closes of the bar 11:00 to 12:00 on 2022-06-13; Chainlink's stETH/ETH of that hour.
    factors = real_market(shared, stamp("2022-06-13T12:00Z"))[0].factors
    level = dict(factors.select("factor", "level").iter_rows())
    assert level["BTC/USD"] == pytest.approx(23_729.43)
    assert level["ETH/USD"] == pytest.approx(1_209.23)
    assert level["stETH/ETH"] == pytest.approx(0.940975)


@pytest.mark.parametrize(
    ("at", "options"),
    [
        ("2026-02-05T22:00Z", True),  # a chain at 21:29
        ("2026-01-16T03:00Z", True),  # the chain of 15:34 is 11.4 h old
        ("2026-01-16T04:00Z", False),  # 12.4 h
    ],
)
def test_a_chain_counts_for_twelve_hours_and_then_there_are_no_options(shared, at, options):
    tables, _ = real_market(shared, stamp(at))
    kinds = set(tables.instruments["kind"])
    assert ({"call", "put"} <= kinds) == options
    assert ("no option chain" in tables.source) != options


@pytest.mark.parametrize("at", ["2022-06-13T12:00Z", "2025-10-10T21:00Z", "2026-02-05T22:00Z"])
def test_nothing_after_the_stamp_is_read(shared, rules, at, monkeypatch):
    at_ns = stamp(at)
    before = real_market(shared, at_ns)
    scan = pl.scan_parquet

    def another_future(path, **options):
        """Every price of every file that was not known at the stamp is another one."""
        rows = scan(path, **options)
        schema = rows.collect_schema()
        numbers = [n for n, kind in schema.items() if kind.is_float()]
        # A bar that opened in the last hour had not closed; an hour bar's stamp is its open.
        later = pl.col("ts").dt.epoch("ns") > at_ns
        return rows.with_columns(pl.when(later).then(pl.col(n) * 7.3).otherwise(n) for n in numbers)

    monkeypatch.setattr(real_history.pl, "scan_parquet", another_future)
    after = real_market(shared, at_ns)
    for name in ("factors", "assets", "instruments"):
        assert getattr(before[0], name).equals(getattr(after[0], name), null_equal=True), name
    np.testing.assert_array_equal(before[1].close, after[1].close)
    np.testing.assert_array_equal(before[1].low, after[1].low)
    market, _ = compile_market(before[0], STALE_S, strict=False)
    rows = [joint_rows(h, market, rules.joint, 24.0) for h in (before[1], after[1])]
    np.testing.assert_array_equal(rows[0].factor_moves, rows[1].factor_moves)


def test_a_stamp_outside_the_data_is_refused(shared):
    with pytest.raises(Exception, match="2017-08-17"):
        real_market(shared, stamp("2010-01-01T00:00Z"))
