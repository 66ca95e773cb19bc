"""Unit rows against the market itself: moved, revalued, and the difference of equity taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossmargin.frames.market import move_factors
from crossmargin.margin.prepared import Market
from crossmargin.methods.registry import assess
from crossmargin.reference.plain import Holding, JointRow
from margin.small import INSTRUMENTS, held, judged, one, plain_market, with_instrument

FACTORS = ("BTC/USD", "ETH/USD", "SOL/USD", "USDT/USD")
MOVES = (
    {"BTC/USD": -0.3, "ETH/USD": -0.4, "SOL/USD": -0.5, "USDT/USD": -0.1},
    {"BTC/USD": 0.2, "ETH/USD": 0.9, "SOL/USD": 2.0},
    {"USDT/USD": -0.2},
    {},
)
NAMES = tuple(i.instrument for i in INSTRUMENTS if i.kind != "spot")


def moved(market: Market, moves: dict[str, float]) -> Market:
    names = market.frame.factors.names
    multiplier = np.array([1.0 + moves.get(name, 0.0) for name in names])
    return replace(market, frame=move_factors(market.frame, multiplier))


def marked(market: Market, name: str) -> float:
    row = market.frame.instruments.names.index(name)
    if market.priced.options.is_option[row]:
        return float(market.priced.options.price[row])
    return float(market.priced.forward[row])


@pytest.mark.parametrize("name", [*NAMES, "BTC", "USDT"])
def test_a_unit_row_is_the_change_of_equity_in_the_moved_market(name: str):
    plain = plain_market(joint=[JointRow(str(i), 0.25, m, {}) for i, m in enumerate(MOVES)])
    plain = with_instrument(plain, "ETH-FUT", averaged=2_100.0, averaged_share=0.4)
    _, _, market = judged(plain, one("portfolio", held(USD=1.0)))
    entry = marked(market, name) if name in NAMES else float("nan")
    book, frame, market = judged(plain, one("portfolio", (Holding(name, 3.0, entry),)))
    unit = market.rows.full[market.frame.item_names.index(name)]
    for s, moves in enumerate(MOVES):
        after = assess(book, moved(market, moves), threads=1).equity[0]
        want = (after - frame.equity[0]) / 3.0
        assert unit[s] == pytest.approx(want, rel=1e-10, abs=1e-9), moves


def test_the_unshocked_scenario_makes_nothing():
    plain = plain_market(joint=[JointRow("calm", 1.0, {}, {})])
    _, _, market = judged(plain, one("portfolio", held(USD=1.0)))
    np.testing.assert_allclose(market.rows.full[:, 0], 0.0, atol=1e-10)


def test_a_vol_move_reaches_an_option_by_the_scale_of_its_term():
    # 30 days out the scale is 1: a 30-day vol move of 50 % makes 0.6 into 0.9.
    plain = plain_market(joint=[JointRow("vol", 1.0, {}, {"ETH/USD": 0.5})])
    wild = with_instrument(plain, "ETH-C", iv=0.9)
    _, calm, market = judged(plain, one("portfolio", held(ETH_C=1.0)))
    _, after, _ = judged(wild, one("portfolio", held(ETH_C=1.0)))
    unit = market.rows.full[market.frame.item_names.index("ETH-C"), 0]
    assert unit == pytest.approx(float(after.equity[0] - calm.equity[0]), rel=1e-12)


def test_a_grid_row_moves_one_factor_alone():
    _, _, market = judged(plain_market(joint=[JointRow("x", 1.0, {}, {})]), one("portfolio", ()))
    rows, frame = market.rows, market.frame
    item = frame.item_names.index("ETH-USDT")  # depends on ETH/USD and, settled there, on USDT/USD
    span = slice(rows.grid_starts[item], rows.grid_starts[item + 1])
    assert {frame.factors.names[k] for k in rows.grid_factor[span]} == {"ETH/USD", "USDT/USD"}
    for k, line in zip(rows.grid_factor[span], rows.grid_rows[span], strict=True):
        moves = market.scenarios.grid_moves[k]
        # The mark is the entry of a unit row, so a peg's move alone makes nothing.
        want = 2_000.0 * moves if frame.factors.names[k] == "ETH/USD" else np.zeros(len(moves))
        np.testing.assert_allclose(line, want, rtol=1e-12, atol=1e-9)
