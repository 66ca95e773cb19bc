"""What a pool's rows net to, bracket by bracket and tier by tier, through the pool kernels."""

from __future__ import annotations

import pytest

from crossmargin.reference.plain import Holding
from margin.small import answer, held, one, part, plain_market, two_days
from margin.table import table

MARKET = plain_market(joint=two_days())


@pytest.mark.parametrize(
    ("value", "want"),
    table("""
    id                  value        want
    first_edge        5000000     5000000   # an edge belongs to the bracket below it
    past_it           5000001   5000000.9
    second_edge      10000000     9500000
    eleven_million   11000000    10300000   # 5M + 0.9 x 5M + 0.8 x 1M: the specification's own
    """),
)
def test_brackets_are_marginal(value, want):
    # `portfolio` charges the liquidity part alone (spec 3.2).
    frame = answer(MARKET, one("portfolio", held(USDT=float(value))))
    assert frame.collateral_value[0] == pytest.approx(float(want), rel=1e-12)
    assert frame.haircut_mm[0] == pytest.approx(float(value) - float(want), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(
    ("btc", "want"),
    table("""
    id          btc     want
    first_edge   10    70000   # 500,000 is 1 % of ADV: 0.14 x 500,000
    second       20   157500   # + 0.14 x 1.25 x 500,000
    second_edge  50   420000   # + 0.14 x 1.25 x 1,500,000 more
    third        60   525000   # + 0.14 x 1.5 x 500,000
    short       -60   525000
    """),
)
def test_tiers_are_marginal_in_the_net_notional(btc, want):
    for method in ("isolated", "cross_sum", "cross_correlated"):
        frame = answer(MARKET, one(method, held(USD=1e7, BTC_PERP=float(btc))))
        assert part(frame, "core", "mm") == pytest.approx(float(want))


@pytest.mark.parametrize(
    ("instrument", "quantity", "entry", "want"),
    table("""
    id           instrument  quantity  entry   want
    linear_gain  BTC-PERP           2  45000  10000   # 2 x (50,000 - 45,000)
    linear_loss  BTC-PERP          -2  45000 -10000
    inverse_gain BTC-INV          200  40000   5000   # 20,000 x (1/40,000 - 1/50,000) = 0.1 BTC
    inverse_loss BTC-INV         -200  40000  -5000
    """),
)
def test_unsettled_gains_are_held_in_the_settlement_asset(instrument, quantity, entry, want):
    row = Holding(instrument, float(quantity), float(entry))
    frame = answer(MARKET, one("cross_sum", (*held(USD=1e6), row)))
    assert frame.equity[0] - 1e6 == pytest.approx(float(want))
    if instrument == "BTC-PERP":  # dollars: no haircut, no surcharge
        assert frame.collateral_value[0] == pytest.approx(1e6 + float(want))
    elif float(want) > 0.0:  # 0.1 BTC is held, with bitcoin's haircut
        assert frame.haircut_mm[0] == pytest.approx(5_000.0 * (1.0 - 0.86 * 0.995))
    else:  # 0.1 BTC is owed, with bitcoin's surcharge
        assert frame.surcharge_mm[0] == pytest.approx(5_000.0 * (1.14 * 1.005 - 1.0))


def test_a_hedge_keeps_its_hedged_part_and_a_long_option_only_reduces():
    # 10 ETH long and 10 short of another tenor: net 0, gross 40,000, hedged part 20,000.
    frame = answer(MARKET, one("cross_sum", held(USD=1e5, ETH_PERP=10.0, ETH_FUT=-10.0)))
    assert part(frame, "core", "mm") == 0.0
    assert part(frame, "hedged", "mm") == pytest.approx(20_000.0 * 0.1 * 0.18)
    short = answer(MARKET, one("cross_sum", held(USD=1e5, ETH_PERP=-10.0)))
    covered = answer(MARKET, one("cross_sum", held(USD=1e5, ETH_PERP=-10.0, ETH_C=5.0)))
    too_much = answer(MARKET, one("cross_sum", held(USD=1e5, ETH_PERP=-10.0, ETH_C=500.0)))
    wrong_side = answer(MARKET, one("cross_sum", held(USD=1e5, ETH_PERP=-10.0, ETH_P=5.0)))
    core = [part(f, "core", "mm") for f in (short, covered, too_much, wrong_side)]
    assert core[0] == pytest.approx(20_000.0 * 0.18)
    assert 0.0 < core[1] < core[0]
    assert core[2] == 0.0  # the point nearest 0, never past it
    assert core[3] == core[0]  # a long put adds nothing to a short
