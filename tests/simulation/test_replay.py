"""A day lived again: what differs between two lives is the rulebook, and sales press on prices."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from crossmargin.adapters.files import load_rulebook
from crossmargin.simulation.crash_quotes import echoed, repeated_prints
from crossmargin.simulation.incidents import changed
from crossmargin.simulation.paths import Clock
from crossmargin.simulation.replay import Day, Setup, _Pressure, live
from engine.tally import assert_sound
from frames.small import bars as made

START = 1_775_000_000 // 60 * 60 * 10**9  # 2026-03-31, when the shipped rulebook is in force
MINUTES, MAD = 18, 12
LEVELS = {"BTC/USD": 50_000.0, "ETH/USD": 2_000.0}
SHIPPED = load_rulebook("prime-24h")
BARE = changed(SHIPPED, {"oracle.sources": None, "oracle.price_uncertainty": False})


def day(mad=False, fall=0.0):
    """Three sources, a bar a minute; source x says ETH at a tenth for a minute; a fall."""
    columns = []
    for factor, level in LEVELS.items():
        for source in ("x", "y", "z"):
            rows = []
            for minute in range(MINUTES):
                first, last = (
                    level * (1.0 - fall * max(0.0, minute + k - MAD) / (MINUTES - MAD))
                    for k in (0, 1)
                )
                hit = mad and minute == MAD and source == "x" and factor == "ETH/USD"
                low = 0.1 * last if hit else min(first, last)
                rows.append((minute, 60, first, max(first, last), low, last))
            columns.append((factor, source, rows))
    frame = made(*columns)
    return replace(
        frame, ts_ns=frame.ts_ns + START, kinds=("spot",) * 6,
        classes=tuple("BTC" if f == "BTC/USD" else "ETH" for f in frame.factors),
        volume=np.ones(len(frame.ts_ns)),
    )  # fmt: skip


def setup(rules=SHIPPED, **given):
    return Setup(rules, 30, 1, Clock(START, MINUTES, 4), **given)


@cache
def lived(mad, fall, bare):
    return live(day(mad, fall), setup(BARE if bare else SHIPPED))


def test_a_price_one_source_makes_up_sells_out_nobody_where_sources_are_fused():
    protected, bare = lived(True, 0.0, False), lived(True, 0.0, True)
    assert bare.raw[:, 1].min() == pytest.approx(200.0, rel=0.01), "both saw a tenth of 2,000"
    assert protected.sales == []
    assert any(sale.item.startswith("ETH") for sale in bare.sales)
    assert np.nanmin(protected.fused[:, 1]) > 1_999.0


def test_a_true_fall_passes_and_sells():
    protected = lived(False, 0.3, False)
    assert protected.sales
    # A bar's last tick is its close: 2,000 less the whole fall; sales press it further down.
    assert protected.fused[-1, 1] <= 2_000.0 * 0.7 + 1e-6
    for sale in protected.sales:
        tick = int((sale.at_ns - START) // (15 * 10**9))
        row = protected.status[tick][("BTC/USD", "ETH/USD").index(f"{sale.item[:3]}/USD")]
        assert row in ("live", "degraded"), "nothing trades at a price that is halted"


def test_every_look_counts_every_account_and_the_totals_are_the_steps():
    out = lived(False, 0.3, False)
    assert all(sum(bands) == 30 for bands in out.health)
    sold = sum(sale.usd for sale in out.sales if sale.kind in ("sold", "bought back"))
    assert out.sold.sum() == pytest.approx(sold)
    assert (out.shared >= 0.0).all()


def test_the_same_seed_lives_the_same_day_and_nothing_is_lost():
    one = Day(day(False, 0.3), setup())
    for tick in range(one.setup.clock.n_ticks):
        one.tick(tick)
    assert_sound(one.engine.book)
    assert one.ended().sales == lived(False, 0.3, False).sales


def test_what_is_sold_presses_by_the_law_of_impact_and_lets_go():
    pressure = _Pressure(setup(lasting=0.5, half_life_s=15.0), ("BTC/USD",))
    pressure.scale, pressure.sigma = np.array([1.0]), np.array([0.04])
    pressure.exponent, pressure.adv = np.array([0.5]), np.array([1e9])
    pressure.press("BTC/USD", 1e7)
    # 0.5 x 1 x 0.04 x (1e7 / 1e9)^0.5 = 0.002, down for a sale
    assert pressure.moved() == pytest.approx([-0.002])
    # A tick later, 15 s, half of it presses still: 0.002 x 0.5^0.5
    assert pressure.moved() == pytest.approx([-0.002 * math.sqrt(0.5)])
    pressure.press("BTC/USD", -2 * 1e7)
    assert pressure.moved()[0] > 0.0, "buying presses up"


def test_nothing_moves_prices_where_nothing_lasts():
    calm = live(day(False, 0.3), setup(lasting=0.0))
    true = Day(day(False, 0.3), setup()).price
    assert calm.sales
    np.testing.assert_array_equal(calm.raw, true[:, [0, 3]])
    assert (lived(False, 0.3, False).raw <= calm.raw + 1e-9).any()


def test_echoes_say_what_the_first_source_says_and_only_where_few_do():
    bars = day().picked([0, 3, 4, 5])  # BTC from x alone, ETH from three
    out = echoed(bars, 3)
    assert out.factors == ("BTC/USD",) * 3 + ("ETH/USD",) * 3
    assert out.sources == ("x", "echo_1", "echo_2", "x", "y", "z")
    assert out.close[out.rows(2)].tolist() == bars.close[bars.rows(0)].tolist()


def test_a_print_stands_until_the_next_and_a_bar_does_not():
    bars = made(
        ("BTC/USD", "x", [(0, 60, 1.0, 1.0, 1.0, 1.0)]),
        ("ETH/USD", "y", [(0, 0, 2.0, 2.0, 2.0, 2.0)]),
    )
    price = np.array([[1.0, np.nan], [1.0, 2.0]])
    stamp = np.array([[5, -1], [5, 6]])
    assert repeated_prints(bars, price, stamp, np.array([10, 20])).tolist() == [[5, -1], [5, 20]]
