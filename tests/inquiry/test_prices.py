"""Spec 7: where a pool is liquidated, against closed forms and against the moved market itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from crossmargin.api.report import Report
from crossmargin.base.errors import InputInvalid
from crossmargin.frames.market import move_factors
from crossmargin.inquiry.prices import SPAN
from crossmargin.margin.joint import JointRows
from crossmargin.methods.registry import assess
from crossmargin.reference.plain import STALE, Holding, PlainMarket
from margin.small import BTC, ETH, FEE, RANGE, held, judged, one, plain_market, two_days
from margin.small import with_factor as bad

R_BTC, R_ETH = RANGE["BTC"] + FEE, RANGE["ETH"] + FEE
KEPT = {"BTC": (1 - 0.14) * (1 - 0.005), "ETH": (1 - 0.18) * (1 - 0.005)}


def report(market: PlainMarket, method: str, rows, joint: JointRows | None = None) -> Report:
    book, frame, there = judged(market, one(method, rows))
    if joint is not None:
        there = replace(there, joint=joint)
        frame = assess(book, there, threads=1)
    return Report(book, there, frame)


def buffer_at(asked: Report, **level: float) -> float:
    """buffer_MM of the first pool with some factors at other levels, by a plain assessment."""
    frame = asked.market.frame
    names = list(frame.factors.names)
    multiplier = np.ones(len(names))
    for asset, price in level.items():
        k = names.index(f"{asset}/USD")
        multiplier[k] = price / frame.factors.level[k]
    moved = replace(asked.market, frame=move_factors(frame, multiplier))
    return float(assess(asked.book, moved, threads=1).buffer_mm[0])


# --- liquidation prices ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["isolated", "cross_sum", "cross_correlated"])
def test_a_linear_perpetual_by_hand(method: str):
    # C + q (F - e) - r |q| F = 0, r = 0.14 + 0.0055, everything within the first tier.
    long = report(plain_market(), method, held(USD=20_000.0, BTC_PERP=1.0))
    below, above = long.liquidation_prices("a", "BTC")
    assert below == pytest.approx((BTC - 20_000.0) / (1.0 - R_BTC), rel=1e-9)
    assert above is None
    short = report(plain_market(), method, held(USD=20_000.0, BTC_PERP=-1.0))
    below, above = short.liquidation_prices("a", "BTC/USD")
    assert below is None
    assert above == pytest.approx((BTC + 20_000.0) / (1.0 + R_BTC), rel=1e-9)


def test_an_inverse_perpetual_by_hand():
    # k (b P + q c P / e - q c) - r q c = 0 with its notional q c in dollars, k what BTC keeps.
    b, qc = 0.5, 20_000.0
    asked = report(plain_market(), "cross_sum", held(BTC=b, BTC_INV=qc / 100.0))
    k = KEPT["BTC"]
    below, above = asked.liquidation_prices("a", "BTC")
    assert below == pytest.approx(qc * (k + R_BTC) / (k * (b + qc / BTC)), rel=1e-9)
    assert above is None


def test_an_eth_backed_loan_by_hand():
    # 10 ETH keep 0.82 x 0.995 of their value; dollars owed have no surcharge.
    asked = report(plain_market(), "cross_correlated", held(ETH=10.0, USD=-12_000.0))
    below, above = asked.liquidation_prices("a", "ETH")
    assert below == pytest.approx(12_000.0 / (KEPT["ETH"] * 10.0), rel=1e-9)
    assert above is None
    # The loan can hold 81.59 % of what backs it: near the 80 % the specification names.
    assert 12_000.0 / (10.0 * below) == pytest.approx(0.8159, abs=1e-9)


def test_a_pool_that_is_under_water_already_is_told_where_it_would_be_safe():
    asked = report(plain_market(), "cross_sum", held(USD=5_000.0, BTC_PERP=1.0))
    below, above = asked.liquidation_prices("a", "BTC")
    assert below is None
    assert above == pytest.approx((BTC - 5_000.0) / (1.0 - R_BTC), rel=1e-9)


@pytest.mark.parametrize(
    ("rows", "factor"),
    [
        (held(ETH=1.0, BTC=2.0), "BTC"),  # owes nothing
        (held(USD=20_000.0, BTC_PERP=1.0), "ETH"),  # has nothing to do with it
        (held(USD=60_000.0, BTC_PERP=1.0), "BTC"),  # could lose it all
        (held(USD=1e9, BTC_PERP=-1.0), "BTC"),  # beyond ten times the price
        ((Holding("ETH", -1.0), Holding("USD", 9_000.0)), "BTC"),  # UNPRICED
    ],
    ids=["owes nothing", "another factor", "cash enough", "out of range", "unpriced"],
)
def test_there_is_no_liquidation_price(rows, factor: str):
    market = bad(plain_market(), "ETH/USD", status=STALE) if rows[0].item == "ETH" else None
    asked = report(market or plain_market(), "cross_sum", rows)
    assert asked.liquidation_prices("a", factor) == (None, None)


@pytest.mark.parametrize("method", ["cross_sum", "portfolio"])
def test_a_short_straddle_has_two_and_the_buffer_changes_sign_across_each(method: str):
    rows = held(USD=30_000.0, ETH_C=-20.0, ETH_P=-20.0)
    asked = report(plain_market(joint=two_days()), method, rows)
    seen = []
    below, above = asked.liquidation_prices("a", "ETH", watch=lambda i, n: seen.append((i, n)))
    assert SPAN[0] * ETH < below < ETH < above < SPAN[1] * ETH
    assert buffer_at(asked, ETH=below * 0.9999) < 0.0 < buffer_at(asked, ETH=below * 1.0001)
    assert buffer_at(asked, ETH=above * 1.0001) < 0.0 < buffer_at(asked, ETH=above * 0.9999)
    # Nearest: nowhere between the two is it under water.
    for price in np.linspace(below * 1.0001, above * 0.9999, 40):
        assert buffer_at(asked, ETH=float(price)) > 0.0
    assert [i for i, _ in seen] == sorted(i for i, _ in seen)


@pytest.mark.parametrize("seed", range(12))
def test_the_buffer_is_zero_at_every_liquidation_price(seed: int):
    rng = np.random.default_rng(seed)
    cash, btc, eth = rng.uniform(5e3, 45e3), rng.uniform(-3.0, 3.0), rng.uniform(-30.0, 30.0)
    asked = report(plain_market(), "cross_sum", held(USD=cash, BTC_PERP=btc, ETH_PERP=eth))
    answers = [(f, p) for f in ("BTC", "ETH") for p in asked.liquidation_prices("a", f)]
    assert any(price is not None for _, price in answers)
    for factor, price in answers:
        if price is not None:
            assert buffer_at(asked, **{factor: price}) == pytest.approx(0.0, abs=1e-4)


def test_a_factor_that_is_not_there_is_refused_with_the_names_there_are():
    asked = report(plain_market(), "cross_sum", held(USD=20_000.0, BTC_PERP=1.0))
    with pytest.raises(InputInvalid, match="BTC/USD"):
        asked.liquidation_prices("a", "DOGE")
    with pytest.raises(InputInvalid, match="shared"):
        asked.liquidation_prices("a", "BTC", pool="bucket")
    with pytest.raises(InputInvalid, match="account of the book"):
        asked.liquidation_prices("nobody", "BTC")


# --- beta, frontier, most likely ------------------------------------------------------------------


def gaussian(sigma: list[float], rho: float, n: int = 4_000) -> JointRows:
    """Joint log moves of BTC, ETH, SOL and a peg that stands still, correlated alike."""
    cov = np.full((3, 3), rho)
    np.fill_diagonal(cov, 1.0)
    root = np.linalg.cholesky(cov) * np.array(sigma)[:, None]
    logs = np.random.default_rng(1).normal(size=(n, 3)) @ root.T
    moves = np.expm1(np.concatenate([logs, np.zeros((n, 1))], axis=1))
    return JointRows(
        tuple(map(str, range(n))), moves, np.zeros_like(moves), np.full(n, 1 / n),
        np.zeros(moves.shape, np.bool_), (), n,
    )  # fmt: skip


def test_a_beta_move_of_bitcoin_alone_is_its_liquidation_price():
    joint = gaussian([0.04, 0.05, 0.06], 0.7)
    asked = report(plain_market(), "cross_sum", held(USD=20_000.0, BTC_PERP=1.0), joint)
    below, above = asked.beta_liquidation("a")
    assert below == pytest.approx((BTC - 20_000.0) / (1.0 - R_BTC) / BTC - 1.0, rel=1e-9)
    assert above is None


def test_a_beta_move_takes_ether_along_by_its_beta():
    joint = gaussian([0.04, 0.05, 0.06], 0.7)
    asked = report(plain_market(), "cross_sum", held(USD=8_000.0, ETH_PERP=10.0), joint)
    logs = np.log1p(joint.factor_moves)
    beta = np.cov(logs[:, 0], logs[:, 1])[0, 1] / np.var(logs[:, 0], ddof=1)
    level = (20_000.0 - 8_000.0) / 10.0 / (1.0 - R_ETH)  # C + q (F - e) = r q F
    below, _ = asked.beta_liquidation("a")
    assert math.log1p(below) == pytest.approx(math.log(level / ETH) / beta, rel=1e-9)


def test_every_cell_of_a_frontier_is_the_pool_in_the_moved_market():
    asked = report(
        plain_market(joint=two_days()), "portfolio", held(USD=2e4, BTC_PERP=0.5, ETH_P=-9.0)
    )
    found = asked.frontier("a", ("BTC", "ETH"), points=5)
    assert (found.factor_x, found.factor_y) == ("BTC/USD", "ETH/USD")
    assert found.x[2] == pytest.approx(BTC)
    assert found.x[0] == pytest.approx(0.4 * BTC)
    assert found.y[-1] == pytest.approx(ETH / 0.4)
    for j, y in enumerate(found.y):
        for i, x in enumerate(found.x):
            want = buffer_at(asked, BTC=float(x), ETH=float(y))
            assert found.buffer[j, i] == pytest.approx(want, rel=1e-9, abs=1e-6)


def test_the_most_likely_move_of_one_factor_is_its_liquidation_price():
    joint = gaussian([0.04, 0.05, 0.06], 0.7)
    asked = report(plain_market(), "cross_sum", held(USD=10_000.0, BTC_PERP=1.0), joint)
    found = asked.most_likely_move("a")
    log_move = math.log((BTC - 10_000.0) / (1.0 - R_BTC) / BTC)
    sigma = math.sqrt(LedoitWolf().fit(np.log1p(joint.factor_moves[:, :1])).covariance_[0, 0])
    assert found.distance == pytest.approx(abs(log_move) / sigma, rel=1e-3)
    assert found.move["BTC/USD"] == pytest.approx(math.expm1(log_move), rel=1e-3)
    assert found.buffer == pytest.approx(0.0, abs=1.0)


def test_near_the_edge_the_most_likely_move_is_the_linear_closed_form():
    # Long 1 BTC and 25 ETH with a buffer of 200 on 100,000 of exposure: there exp is a line.
    # b^2 / (g' Sigma g), g_k = (1 - r_k) q_k F_k.
    charge = BTC * R_BTC + 25.0 * ETH * R_ETH
    joint = gaussian([0.04, 0.05, 0.06], 0.7)
    rows = held(USD=charge + 200.0, BTC_PERP=1.0, ETH_PERP=25.0)
    asked = report(plain_market(), "cross_sum", rows, joint)
    sigma = LedoitWolf().fit(np.log1p(joint.factor_moves[:, :2])).covariance_
    g = np.array([(1.0 - R_BTC) * BTC, (1.0 - R_ETH) * 25.0 * ETH])
    found = asked.most_likely_move("a")
    assert found.distance == pytest.approx(math.sqrt(200.0**2 / (g @ sigma @ g)), rel=5e-3)
    assert found.buffer == pytest.approx(0.0, abs=1.0)
    want = -200.0 * (sigma @ g) / (g @ sigma @ g)
    assert found.move["BTC/USD"] == pytest.approx(want[0], rel=1e-2)
    assert found.move["ETH/USD"] == pytest.approx(want[1], rel=1e-2)


def test_no_other_move_to_the_edge_is_more_likely():
    joint = gaussian([0.04, 0.05, 0.06], 0.5)
    rows = held(USD=32_000.0, BTC_PERP=1.0, ETH_PERP=-30.0, ETH_C=-10.0)
    asked = report(plain_market(), "cross_sum", rows, joint)
    found = asked.most_likely_move("a")
    sigma = LedoitWolf().fit(np.log1p(joint.factor_moves[:, :2])).covariance_
    root = np.linalg.cholesky(sigma)

    def at(u: np.ndarray) -> float:
        move = np.exp(root @ u)
        return buffer_at(asked, BTC=BTC * move[0], ETH=ETH * move[1])

    z = np.log1p([found.move["BTC/USD"], found.move["ETH/USD"]])
    assert found.distance == pytest.approx(math.sqrt(z @ np.linalg.solve(sigma, z)), rel=1e-6)
    assert at(np.linalg.solve(root, z)) == pytest.approx(0.0, abs=2.0)
    # Walk out in 48 directions to just short of that distance: none has reached the edge.
    for angle in np.linspace(0.0, 2.0 * math.pi, 48, endpoint=False):
        way = np.array([math.cos(angle), math.sin(angle)])
        for share in (0.25, 0.5, 0.75, 0.995):
            assert at(share * found.distance * way) > 0.0


def test_without_joint_rows_or_a_price_there_is_no_most_likely_move():
    assert report(plain_market(), "cross_sum", held(USD=1.0, BTC=1)).most_likely_move("a") is None
    market = bad(plain_market(), "ETH/USD", status=STALE)
    joint = gaussian([0.04, 0.05, 0.06], 0.5, 50)
    asked = report(market, "cross_sum", held(USD=9_000.0, ETH=-1.0), joint)
    assert asked.most_likely_move("a") is None


def test_a_pool_nothing_can_liquidate_has_no_most_likely_move():
    joint = gaussian([0.04, 0.05, 0.06], 0.5, 50)
    assert report(plain_market(), "cross_sum", held(BTC=1.0), joint).most_likely_move("a") is None
    assert report(plain_market(), "cross_sum", held(USD=5.0), joint).most_likely_move("a") is None
