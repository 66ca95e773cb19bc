"""The days that were bad, in their finest bars; figures from the catalogue of the data folder."""

from __future__ import annotations

import numpy as np
import pytest

from crossmargin.adapters.real_crashes import CRASH_DAYS, crash_bars, crash_day
from crossmargin.frames.history import HOUR_NS
from crossmargin.frames.market import Status
from crossmargin.oracle.fuse import fuse
from crossmargin.oracle.state import started
from crossmargin.simulation.crash_quotes import crash_universe, quotes_between
from crossmargin.simulation.paths import Clock, Order, stamp_table, tick_table

pytestmark = pytest.mark.real


def column(bars, factor, source):
    [k] = [
        k for k in range(bars.n_columns) if (bars.factors[k], bars.sources[k]) == (factor, source)
    ]
    return bars.rows(k)


@pytest.mark.parametrize("day", [day.name for day in CRASH_DAYS])
def test_a_named_day_covers_its_hours_from_several_sources(shared, day):
    bars, span = crash_bars(shared, day), crash_day(day)
    rows = column(bars, "BTC/USD", "binance_spot")
    assert int(bars.bar_seconds[rows].sum()) == 86_400
    assert (np.diff(bars.ts_ns[rows]) == bars.bar_seconds[rows][:-1] * 10**9).all()
    assert bars.ts_ns[rows][0] == span.start_ns
    # Every bar had closed by the end of the day; prints may be from before it.
    assert (bars.ts_ns + bars.bar_seconds * 10**9 <= span.end_ns).all()
    assert ((bars.ts_ns >= span.start_ns) | (bars.bar_seconds == 0)).all()
    sources = [s for f, s in zip(bars.factors, bars.sources, strict=True) if f == "BTC/USD"]
    assert len(sources) >= 3


def test_known_lows_and_bad_prints_are_in(shared):
    """Catalogue: LINK 0.0001 on 2020-03-12 at 10:00; USDC 3.99 on 2022-05-11; stETH/ETH, USDC and
    USDe lows of their days; WBTC at 35,000 on 2025-10-10, when BTC's spot low was 102,000."""
    bars = crash_bars(shared, "2020-03-12")
    rows = column(bars, "LINK/USD", "binance_spot")
    low = rows.start + int(bars.low[rows].argmin())
    assert bars.low[low] == pytest.approx(0.0001)
    assert bars.ts_ns[low] == crash_day("2020-03-12").start_ns + 10 * HOUR_NS
    # The perpetual of the same hour saw nothing of it.
    assert bars.low[column(bars, "LINK/USD", "binance_perp")].min() > 1.0
    luna = crash_bars(shared, "2022-05-luna")
    assert luna.high[column(luna, "USDC/USD", "binance_spot")].max() == pytest.approx(3.99)
    assert luna.low[column(luna, "UST/USD", "binance_spot")].min() == pytest.approx(0.225)
    usdc = crash_bars(shared, "2023-03-usdc")
    assert usdc.low[column(usdc, "USDC/USD", "uniswap")].min() == pytest.approx(0.8726, abs=1e-4)
    assert usdc.low[column(usdc, "USDC/USD", "binance_spot")].min() == pytest.approx(0.882)
    last = crash_bars(shared, "2025-10-10")
    assert last.low[column(last, "USDe/USD", "binance_spot")].min() == pytest.approx(0.65)
    assert last.low[column(last, "USDe/USD", "uniswap")].min() > 0.99
    assert last.low[column(last, "WBTC/BTC", "binance_spot")].min() == pytest.approx(35 / 102)


def test_each_factor_has_its_finest_bars_first(shared):
    bars = crash_bars(shared, "2025-10-10")
    finest = {
        bars.factors[k]: int(bars.bar_seconds[bars.rows(k)].min()) for k in bars.first_columns()
    }
    # Catalogue: USDe by minutes, SOL and DOGE perpetuals by five, BTC by fifteen, SUI by the hour.
    want = {"USDe/USD": 60, "SOL/USD": 300, "DOGE/USD": 300, "BTC/USD": 900, "SUI/USD": 3_600}
    assert {f: finest[f] for f in want} == want


def test_the_oracle_keeps_a_price_through_the_worst_hours_and_refuses_the_worst_print(
    shared, rules
):
    """12 March 2020: LINK's spot print of 0.0001 is no price at any tick, and BTC's fall goes
    through: three sources of Binance agree within 2 % for all but a tenth of the day."""
    day = crash_day("2020-03-12")
    bars = crash_bars(shared, day.name)
    bars = bars.picked([k for k, f in enumerate(bars.factors) if f in ("BTC/USD", "LINK/USD")])
    clock = Clock(day.start_ns, 1_440)
    price = tick_table(bars, clock, np.random.default_rng(1), Order.LOW_FIRST)
    stamp, universe = stamp_table(bars, clock), crash_universe(bars, rules.oracle)
    state, since, live, levels = started(universe), -1, [], []
    for tick in range(0, clock.n_ticks, 10):
        quotes = quotes_between(bars, universe, price, stamp, since, tick)
        state, fused = fuse(state, quotes, int(clock.at_ns[tick]))
        live.append(fused.status >= Status.DEGRADED)
        levels.append(fused.level)
        since = tick
    lows = dict(zip(universe.factors, np.nanmin(levels, axis=0), strict=True))
    # Lows of the perpetual and of spot that day: 1.75 and, beside the print, 1.80; BTC 4,410.
    assert lows["LINK/USD"] > 1.7
    assert 4_347.0 < lows["BTC/USD"] < 4_600.0
    assert (np.array(live).mean(axis=0) > 0.9).all()
