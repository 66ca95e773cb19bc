"""Spec 3.6, 5.4, 5.6, 5.7, 8: what is charged beside the core, each by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossmargin.margin.requirement import Verdict
from crossmargin.reference.plain import (
    MISSING,
    STALE,
    Holding,
    JointRow,
    PlainAccount,
    PlainOrder,
    PlainPool,
)
from margin.small import (
    BTC,
    FEE,
    INITIAL,
    RANGE,
    answer,
    held,
    one,
    part,
    plain_market,
    two_days,
    with_factor,
    with_instrument,
)
from margin.table import table

TAKER = 0.0005
A_BTC = BTC * (RANGE["BTC"] + FEE) * INITIAL  # IM of one BTC-PERP: 9,093.75


# --- open orders (5.6) ----------------------------------------------------------------------------


def reserve(holdings, *orders: PlainOrder, **edits: object) -> float:
    """What open orders take at IM; the account has a million dollars."""
    market = plain_market()
    for name, changes in edits.items():
        market = with_instrument(market, name.replace("_", "-"), **changes)
    frame = answer(market, one("cross_sum", held(USD=1e6) + holdings, orders))
    assert part(frame, "open_orders", "mm") == 0.0  # orders are cancelled before liquidation
    return part(frame, "open_orders", "im")


def order(name: str, quantity: float, limit: float, reduce_only: bool = False) -> PlainOrder:
    return PlainOrder(name, quantity, limit, reduce_only)


@pytest.mark.parametrize(
    ("held_btc", "quantity", "limit", "want"),
    table("""
    id                 held_btc  quantity  limit     want
    nothing_asked             0         0  50000        0
    buys_at_the_mark          0         2  50000  18237.5  # 2 x 9,093.75 + fee 2 x 50,000 x 0.0005
    buys_at_a_loss            0         2  50100  18437.5  # + 2 x 100 over the mark
    a_gain_counts_not         0         2  49000  18237.5
    sells_at_a_loss           0        -2  49900  18437.5
    closes_a_short           -2         2  50000        0  # it lowers nothing
    turns_a_short            -1         2  50000       50  # same size, other side: the fee is left
    turns_it_further         -1         3  50000  9168.75  # 9,093.75 + 75
    """),
)
def test_an_order_reserves_what_its_fill_would_take(held_btc, quantity, limit, want):
    rows = held(BTC_PERP=float(held_btc)) if float(held_btc) else ()
    orders = [order("BTC-PERP", float(quantity), float(limit))] if float(quantity) else []
    assert reserve(rows, *orders) == pytest.approx(float(want))


def test_the_worse_side_counts_and_orders_of_one_side_add_up():
    up = [order("BTC-PERP", 1.0, BTC), order("ETH-PERP", 10.0, 2_000.0)]
    down = [order("BTC-PERP", -1.5, BTC)]
    ten_eth = 20_000.0 * ((RANGE["ETH"] + FEE) * INITIAL + TAKER)
    a_btc = A_BTC + BTC * TAKER
    assert reserve((), *up) == pytest.approx(a_btc + ten_eth)
    assert reserve((), *down) == pytest.approx(1.5 * a_btc)
    assert reserve((), *up, *down) == pytest.approx(max(a_btc + ten_eth, 1.5 * a_btc))


def test_a_reduce_only_order_reserves_nothing():
    assert reserve((), order("BTC-PERP", 2.0, 99_000.0, True)) == 0.0


@pytest.mark.parametrize("status", [MISSING, STALE])
def test_an_order_in_a_bad_price_cannot_fill(status: int):
    assert reserve((), order("BTC-PERP", 2.0, BTC), BTC_PERP={"status": status}) == 0.0


def test_a_spot_order_swaps_dollars_for_a_haircut():
    # 10 ETH = 20,000: haircut at IM 1 - (1 - 1.25 x 0.18)(1 - 0.01), and the fee.
    lost = 20_000.0 * (1.0 - (1.0 - INITIAL * RANGE["ETH"]) * (1.0 - 0.01))
    want = lost + 20_000.0 * TAKER
    assert reserve((), order("ETH/USD-SPOT", 10.0, 2_000.0)) == pytest.approx(want)
    # Selling what is there frees its haircut: nothing is reserved.
    assert reserve(held(ETH=10.0), order("ETH/USD-SPOT", -10.0, 2_000.0)) == 0.0


def test_a_bought_premium_option_reserves_its_premium_and_fee():
    frame = answer(plain_market(), one("cross_sum", held(USD=1e6, ETH_C=1.0)))
    value = float(frame.long_options[0])  # what one call is worth; long options count nothing here
    assert frame.mm[0] == 0.0  # a long option owes nothing
    paid = value + 30.0  # the limit is worse than the value
    got = reserve((), order("ETH-C", 1.0, paid))
    assert paid < got < paid + 2_000.0 * TAKER  # the fee is on the delta notional, below 2,000


def test_a_pool_that_owes_nothing_is_charged_for_the_order_that_would_make_it_owe():
    frame = answer(plain_market(), one("cross_sum", held(USD=9_000.0), [order("BTC-PERP", 1, BTC)]))
    assert frame.mm[0] == 0.0
    assert frame.im[0] == pytest.approx(A_BTC + 25.0)
    assert Verdict(frame.verdict[0]) is Verdict.REDUCE_ONLY


# --- funding and expiry (5.7) ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "rate", "cap", "want"),
    table("""
    id                 quantity     rate    cap  want
    long_pays                 2   0.0001  0.003   300  # 0.003 x 2 x 50,000
    short_receives           -2   0.0001  0.003     0
    short_pays               -2  -0.0001  0.003   300
    long_receives             2  -0.0001  0.003     0
    rate_unknown              2      nan  0.003   300  # either side may pay
    rate_unknown_short       -2      nan  0.003   300
    rate_is_zero              2        0  0.003     0
    no_cap                    2   0.0001    nan     0
    """),
)
def test_funding_is_charged_at_im_where_the_pool_would_pay(quantity, rate, cap, want):
    market = with_instrument(
        plain_market(), "BTC-PERP", funding_rate=float(rate), funding_cap=float(cap)
    )
    for method in ("isolated", "cross_sum", "cross_correlated"):
        frame = answer(market, one(method, held(USD=1e6, BTC_PERP=float(quantity))))
        assert part(frame, "funding", "im") == pytest.approx(float(want))
        assert part(frame, "funding", "mm") == 0.0


def test_a_leg_that_expires_within_the_margin_period_cannot_be_relied_on():
    # Long 100 ETH outright against a short that settles in half a day: hedged in every joint row,
    # open once the short is gone. The worst half day loses 10 %: ES 0.95 of it is 20,000.
    plain = plain_market(joint=two_days(), stress_weight=0.0, kappa=0.0)
    later = answer(plain, one("portfolio", held(USD=1e6, ETH_PERP=100.0, ETH_FUT=-100.0)))
    sooner = answer(plain, one("portfolio", held(USD=1e6, ETH_PERP=100.0, ETH_SOON=-100.0)))
    assert part(later, "core", "mm") == pytest.approx(0.0, abs=1e-6)
    assert part(sooner, "core", "mm") == pytest.approx(20_000.0)


def test_inside_a_settlement_average_only_the_open_part_moves():
    market = with_instrument(plain_market(), "ETH-FUT", averaged=2_000.0, averaged_share=0.75)
    frame = answer(market, one("cross_sum", held(USD=1e6, ETH_FUT=40.0)))
    # 40 x 2,000 x 0.25 = 20,000 of delta notional.
    assert frame.mm[0] == pytest.approx(20_000.0 * (RANGE["ETH"] + FEE))


# --- wrong-way (C26, C42) -------------------------------------------------------------------------


def test_wrong_way_charges_the_joint_tail_beyond_haircuts_and_core():
    # 60 ETH against a long of 10 BTC on a day when both fall 60 %: lost 0.6 x (120,000 + 500,000).
    joint = (
        JointRow("crash", 0.5, {"BTC/USD": -0.6, "ETH/USD": -0.6}, {}),
        JointRow("calm", 0.5, {}, {}),
    )
    rows = held(ETH=60.0, BTC_PERP=10.0)
    off = answer(plain_market(joint=joint), one("cross_sum", rows))
    on = answer(plain_market(joint=joint, wrong_way=True), one("cross_sum", rows))
    # ES 0.95 is the crash: 372,000. Covered: haircut's market part 0.18 x 120,000 and the core.
    core = 500_000.0 * RANGE["BTC"]
    want = 372_000.0 - 0.18 * 120_000.0 - core
    assert part(off, "core", "mm") == pytest.approx(core)
    assert part(on, "wrong_way", "mm") == pytest.approx(want)
    assert part(on, "wrong_way", "im") == pytest.approx(INITIAL * want)
    assert on.mm[0] - off.mm[0] == pytest.approx(want)
    portfolio = answer(plain_market(joint=joint, wrong_way=True), one("portfolio", rows))
    assert part(portfolio, "wrong_way", "mm") == 0.0  # never there: the scenarios hold it already


def test_wrong_way_without_joint_rows_is_unpriced_and_not_zero():
    frame = answer(plain_market(wrong_way=True), one("cross_sum", held(USD=1e6, BTC_PERP=1.0)))
    assert np.isnan(frame.mm[0])
    assert Verdict(frame.verdict[0]) is Verdict.UNPRICED


# --- price uncertainty (8, C12) -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "half_width", "stable", "age", "want"),
    table("""
    id                    quantity  half_width  stable  age    want
    calm                         2           0   50000    0       0
    long_takes_the_low           2       0.004   50000    0     400  # 100,000 x 0.004
    short_takes_the_high        -2       0.004   50000    0     400
    stable_below_hurts_long      2           0   49000    0    2000  # 1 - 49/50
    stable_below_spares_short   -2           0   49000    0       0
    stable_above_hurts_short    -2           0   51000    0    2000
    both_widths_multiply        -2       0.004   51000    0    2408  # 1.02 x 1.004 - 1
    wide_is_capped               2         0.2   50000    0    5000  # at 5 %
    old_prices_are_wider         2           0   50000  864     600  # 2 x 0.03 x sqrt(0.01) = 0.6 %
    """),
)
def test_price_uncertainty_is_charged_once_at_im_on_the_net(
    quantity, half_width, stable, age, want
):
    market = with_factor(
        plain_market(joint=two_days()), "BTC/USD", half_width=float(half_width),
        stable_price=float(stable), age_s=float(age),
    )  # fmt: skip
    rows = held(USD=1e6, BTC_PERP=float(quantity) + 1.0)
    hedge = (Holding("BTC-PERP", -1.0, BTC),)  # only the net counts
    for method in ("isolated", "cross_sum", "cross_correlated", "portfolio"):
        frame = answer(market, one(method, rows + hedge))
        assert frame.uncertainty[0] == pytest.approx(float(want), abs=1e-6)
        assert frame.margin_balance_mm[0] == pytest.approx(1e6)


def test_a_pool_that_owes_nothing_takes_no_price_uncertainty():
    market = with_factor(plain_market(), "BTC/USD", half_width=0.05)
    frame = answer(market, one("cross_sum", held(BTC=2.0)))
    assert frame.uncertainty[0] == 0.0
    assert Verdict(frame.verdict[0]) is Verdict.HEALTHY


# --- owner totals and venue brackets (3.6) --------------------------------------------------------


def counted_im(market, *pools: PlainPool) -> float:
    """What the first pool's ETH counts for at IM, as a fraction of its value without market part.

    The pools owe one dollar each so that a haircut matters.
    """
    frame = answer(market, PlainAccount("a", pools))
    value = pools[0].holdings[0].quantity * 2_000.0
    return (value - float(frame.haircut_im[0])) / value / (1.0 - INITIAL * RANGE["ETH"])


def eth_pool(name: str, eth: float, **more: float) -> PlainPool:
    return PlainPool(name, "cross_sum", held(ETH=eth) + held(BTC=-0.0001), **more)


def test_at_im_an_asset_counts_by_the_owners_whole_holding():
    # Brackets at IM: 1 M at 0.99, 1-5 M at 1 - 0.05. 400 ETH = 0.8 M; with 600 more 2.0 M:
    # (0.99 + 1.0 x 0.95) / 2.
    alone = eth_pool("shared", 400.0)
    other = eth_pool("b", 600.0, draw_limit=0.0)
    assert counted_im(plain_market(), alone) == pytest.approx(0.99)
    assert counted_im(plain_market(), alone, other) == pytest.approx((0.99 + 0.95) / 2.0)
    # A debt elsewhere takes nothing off the total, and MM looks at the own pool alone.
    debt = PlainPool("b", "cross_sum", held(USD=1e6, ETH=-300.0), draw_limit=0.0)
    assert counted_im(plain_market(), alone, debt) == pytest.approx(0.99)
    frames = [answer(plain_market(), PlainAccount("a", p)) for p in ((alone,), (alone, other))]
    assert frames[0].haircut_mm[0] == frames[1].haircut_mm[0]


def test_a_venue_bracket_bounds_what_counts_and_the_lowest_fraction_rules():
    # USDT's venue schedule at IM: 1e8 at 0.995, above at 0.6. 3e8 held: (0.995 + 2 x 0.6) / 3.
    def haircut(total: float) -> float:
        plain = plain_market()
        usdt = replace(plain.assets["USDT"], venue_total=total)
        plain = replace(plain, assets={**plain.assets, "USDT": usdt})
        frame = answer(plain, one("portfolio", held(USDT=1e6, BTC=-0.0001)))
        assert np.isnan(frame.equity[0])  # no joint rows
        frame = answer(plain, one("cross_sum", held(USDT=1e6, BTC=-0.0001)))
        return 1.0 - float(frame.haircut_im[0]) / 1e6

    keep = 1.0 - INITIAL * 0.02  # the stablecoin's market part at IM
    assert haircut(float("nan")) == pytest.approx(0.995 * keep)
    assert haircut(5e7) == pytest.approx(0.995 * keep)
    assert haircut(3e8) == pytest.approx((0.995 + 2.0 * 0.6) / 3.0 * keep)
