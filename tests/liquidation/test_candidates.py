"""What ranks a position: gain, leverage, what a lot gains from here on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crossmargin.base.errors import InputInvalid
from crossmargin.liquidation.adl import deleverage, regrets
from crossmargin.liquidation.candidates import Positions, Quote, candidates

CT = 10**18
QUOTE = Quote(mark=80.0, later=70.0, size=2.0, lot=CT // 10)


def shorts(contracts, entry, equity, buffer=None) -> Positions:
    n = len(contracts)
    return Positions(
        tuple((f"u{k}", "shared") for k in range(n)), tuple(contracts),
        np.array(entry), np.array(equity), np.array(buffer or [1.0] * n), (0,) * n,
    )  # fmt: skip


def test_two_shorts_by_hand():
    # Entered at 100, mark 80: 20 %. 3 contracts of 2 at 80 are 480 dollars on 240 of equity: 2x.
    got = candidates(shorts([-3 * CT, -CT // 4], [100.0, 64.0], [240.0, 400.0]), QUOTE)
    assert got.lots == (30, 2)  # a quarter of a contract is two lots and a half
    # 64 to 80 against a short: -25 %. 40 dollars on 400.
    assert got.gain_frac == pytest.approx([0.2, -0.25])
    assert got.leverage == pytest.approx([2.0, 0.1])
    # A lot is 0.1 contracts of 2: 16 dollars at 80, and 2 more gained at 70.
    assert got.lot_usd == pytest.approx([16.0, 16.0])
    assert got.lot_gain_usd == pytest.approx([2.0, 2.0])


def test_longs_gain_the_other_way():
    got = candidates(shorts([3 * CT], [64.0], [240.0]), QUOTE)
    assert got.gain_frac == pytest.approx([0.25])
    assert got.lot_gain_usd == pytest.approx([-2.0])


@pytest.mark.parametrize(
    ("entry", "equity", "buffer"),
    [(math.nan, 240.0, 1.0), (0.0, 240.0, 1.0), (100.0, 0.0, 1.0), (100.0, -1.0, 1.0),
     (100.0, math.nan, 1.0), (100.0, 240.0, math.nan)],
)  # fmt: skip
def test_a_bad_number_keeps_the_row_and_closes_none_of_it(entry, equity, buffer):
    table = candidates(shorts([-CT, -CT], [entry, 100.0], [equity, 240.0], [buffer, 1.0]), QUOTE)
    assert table.capacity() == (0, 10)


def test_a_mark_that_is_missing_closes_nobody():
    table = candidates(shorts([-CT], [100.0], [240.0]), Quote(math.nan, math.nan, 2.0, CT))
    assert table.capacity() == (0,)


def test_longs_and_shorts_are_not_one_side():
    with pytest.raises(InputInvalid, match="one side"):
        shorts([CT, -CT], [1.0, 1.0], [1.0, 1.0])


def test_everybody_of_one_contract_regrets_the_same_a_lot():
    table = candidates(shorts([-CT, -3 * CT], [100.0, 90.0], [40.0, 600.0]), QUOTE)
    totals = {
        policy: deleverage(policy, table, 20, (1, 1)).regret_usd
        for policy in ("queue", "pro_rata", "risk_aware_pro_rata", "minimum_regret")
    }
    assert list(totals.values()) == pytest.approx([40.0] * 4)  # 20 lots, 2 dollars each
    # Who bears it differs: a quarter of each, or all of the one with more leverage.
    even = deleverage("pro_rata", table, 20, (1, 1)).lots
    line = deleverage("queue", table, 20, (1, 1)).lots
    assert regrets(table, even).tolist() == pytest.approx([10.0, 30.0])
    assert regrets(table, line).tolist() == pytest.approx([20.0, 20.0])
