"""Spec 5.2: the correlation of underlyings, and K as the worst of three matrices."""

from __future__ import annotations

import numpy as np
import pytest

from crossmargin.margin.addons import correlation_of
from crossmargin.margin.requirement import PARTS
from margin.small import FEE, INITIAL, RANGE, answer, held, judged, one, part, plain_market
from margin.table import table

# Signed margins of BTC, ETH, SOL by rows of the three correlation matrices of the test rulebook:
# BTC/USD:ETH/USD 0.85 as a pair, btc:major 0.7 and eth:major 0.75 by class.
RHO = np.array([[1.0, 0.85, 0.7], [0.85, 1.0, 0.75], [0.7, 0.75, 1.0]])
NAMES = ("BTC", "ETH", "SOL")
PRICE = np.array([50_000.0, 2_000.0, 100.0])


def three(rho: np.ndarray) -> list[np.ndarray]:
    return [(rho + np.ones((3, 3))) / 2, rho, (rho + np.eye(3)) / 2]


def test_pairs_of_factors_come_before_pairs_of_classes_and_those_before_the_default():
    _, _, market = judged(plain_market(), one("cross_sum", held(USD=1.0)))
    view = market.view
    rho = correlation_of(market.slots, np.arange(len(view.slot_asset)))
    at = {market.frame.assets.names[a]: u for u, a in enumerate(view.slot_asset)}
    assert rho[at["BTC"], at["ETH"]] == 0.85  # the pair, though btc:eth says 0.80
    assert rho[at["BTC"], at["SOL"]] == 0.7
    assert rho[at["ETH"], at["SOL"]] == 0.75
    np.testing.assert_array_equal(rho, rho.T)
    np.testing.assert_array_equal(np.diag(rho), 1.0)
    assert np.linalg.eigvalsh(rho).min() > 0.0


@pytest.mark.parametrize(
    ("btc", "eth", "sol", "worst"),
    table("""
    id          btc   eth    sol  worst
    one_alone     1     0      0      0   # all three matrices say N itself
    basket        1    20    300      0   # high correlation is stress for a basket
    short_basket -1   -20   -300      0
    pair          1   -20      0      2   # and low for a pair
    butterfly     1   -40    300      2
    """),
)
def test_k_is_the_worst_of_three_matrices(btc, eth, sol, worst):
    q = np.array([float(btc), float(eth), float(sol)])
    rates = np.array([RANGE[n] for n in NAMES])
    n = q * PRICE * rates  # every notional is below 1 % of ADV (500,000): the first tier
    by_numpy = [np.sqrt(n @ r @ n) for r in three(RHO)]
    assert int(np.argmax(np.round(by_numpy, 6))) == int(worst)
    want = max(*by_numpy, 0.5 * np.abs(n).sum())  # or half the sum, the floor
    plain = plain_market(cross_floor=0.5)
    rows = held(USD=1e6, BTC_PERP=q[0], ETH_PERP=q[1], SOL_PERP=q[2])
    frame = answer(plain, one("cross_correlated", rows))
    assert part(frame, "core", "mm") == pytest.approx(want, rel=1e-12)
    assert part(frame, "core", "im") == pytest.approx(INITIAL * want, rel=1e-12)
    fee = FEE * np.abs(q * PRICE).sum()
    assert frame.mm[0] == pytest.approx(want + fee, rel=1e-12)
    summed = answer(plain, one("cross_sum", rows))
    assert part(summed, "core", "mm") == pytest.approx(np.abs(n).sum(), rel=1e-12)


def test_k_is_numpys_over_random_books():
    rng = np.random.default_rng(3)
    quantity = rng.normal(0.0, 1.0, (200, 3)) * (5.0, 100.0, 2_000.0)
    n = quantity * PRICE
    edges, rates = np.array([0.01, 0.05, 0.2]) * 5e7, np.array([1.0, 1.25, 1.5, 2.0])
    steps = np.diff(np.minimum(np.abs(n)[..., None], [0.0, *edges, np.inf]), axis=-1)
    signed = np.sign(n) * (steps @ rates) * [RANGE[name] for name in NAMES]
    k = np.max([np.sqrt(np.einsum("pi,ij,pj->p", signed, r, signed)) for r in three(RHO)], axis=0)
    books = [held(BTC_PERP=a, ETH_PERP=b, SOL_PERP=c) for a, b, c in quantity]
    plain = plain_market(cross_floor=0.0)
    core = PARTS.index("core")
    for method, want in (("cross_correlated", k), ("cross_sum", np.abs(signed).sum(axis=1))):
        frame = answer(plain, *(one(method, rows) for rows in books))
        np.testing.assert_allclose(frame.parts_mm[core], want, rtol=1e-11)
