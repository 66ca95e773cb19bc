"""Spec 5.8: greeks are what equity does when the price, the vol or the clock moves a little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.frames.book import BookFrame
from crossmargin.frames.market import MarketFrame, move_factors
from crossmargin.margin.greeks import greeks
from crossmargin.margin.prepared import Market
from crossmargin.methods.registry import assess
from margin.small import held, judged, one, plain_market, two_days
from strategies import World, good_worlds
from twins.bridge import book_frame
from twins.rows import prepare

OPTIONS = ("ETH_C", "ETH_P", "ETH_C_USDT", "ETH_C_INV", "ETH_P_F")
EVERYTHING = ("BTC_PERP", "ETH_USDT", "BTC_INV", "ETH_FUT", *OPTIONS)


def equity(book: BookFrame, market: Market, frame: MarketFrame) -> np.ndarray:
    return assess(book, replace(market, frame=frame), threads=1).equity


def of_pool(book: BookFrame, market: Market, name: str) -> dict[str, float]:
    found = greeks(book, market)
    names = market.frame.factors.names
    column = getattr(found, name)
    return {names[k]: float(column[i]) for i, k in enumerate(found.factor) if found.pool[i] == 0}


@given(good_worlds(), st.integers(0, 2**32 - 1))
def test_delta_is_the_slope_of_equity_through_move_factors(world: World, seed: int):
    market = prepare(world.market)
    book = book_frame(world.market, world.accounts)
    found = greeks(book, market)
    # One direction in which all factors move at once: the slope there is delta times direction.
    way = np.random.default_rng(seed).normal(0.0, 1.0, len(market.frame.factors))
    want, size = np.zeros(book.n_pools), np.ones(book.n_pools)
    np.add.at(want, found.pool, found.delta * way[found.factor])
    np.add.at(size, found.pool, np.abs(found.delta * way[found.factor]))
    step = 1e-5
    rise, fall = (
        equity(book, market, move_factors(market.frame, np.exp(by * way))) for by in (step, -step)
    )
    slope = (rise - fall) / (2.0 * step) * 0.01
    known = np.isfinite(slope)  # a pool that was set aside has no equity
    # Rounding of equity over the step, and the third derivative of options near expiry.
    assert (np.abs(slope - want) <= 1e-4 * size)[known].all()


@pytest.mark.parametrize("option", OPTIONS)
def test_gamma_is_the_second_difference_of_equity(option: str):
    book, _, market = judged(plain_market(), one("cross_sum", held(USD=1e6, **{option: 50.0})))
    step = 1e-3
    levels = []
    for by in (1.0 - step, 1.0, 1.0 + step):
        multiplier = np.where([n == "ETH/USD" for n in market.frame.factors.names], by, 1.0)
        levels.append(equity(book, market, move_factors(market.frame, multiplier))[0])
    second = (levels[0] - 2.0 * levels[1] + levels[2]) / step**2 * 0.01**2
    # The fourth derivative: (step / (sigma sqrt T))^2 of it, about 4e-5.
    assert of_pool(book, market, "gamma")["ETH/USD"] == pytest.approx(second, rel=1e-3)


@pytest.mark.parametrize("option", OPTIONS)
def test_vega_is_what_one_vol_point_makes(option: str):
    book, _, market = judged(plain_market(), one("cross_sum", held(USD=1e6, **{option: -50.0})))
    table = market.frame.instruments
    up, down = (
        equity(book, market, replace(market.frame, instruments=replace(table, iv=table.iv + by)))[0]
        for by in (0.005, -0.005)
    )
    assert of_pool(book, market, "vega")["ETH/USD"] == pytest.approx(up - down, rel=1e-4)


@pytest.mark.parametrize("option", OPTIONS[:4])
def test_theta_is_what_a_day_takes(option: str):
    book, _, market = judged(plain_market(), one("cross_sum", held(USD=1e6, **{option: 50.0})))
    hour_ns = 3_600 * 10**9
    later, sooner = (
        equity(book, market, replace(market.frame, at_ns=market.frame.at_ns + by))[0]
        for by in (hour_ns, -hour_ns)
    )
    a_day = (later - sooner) / 2.0 * 24.0
    assert a_day < 0.0
    assert of_pool(book, market, "theta")["ETH/USD"] == pytest.approx(a_day, rel=1e-4)


def test_a_perpetual_has_no_gamma_vega_or_theta():
    book, _, market = judged(plain_market(), one("cross_sum", held(USD=1e6, BTC_INV=50.0)))
    for name in ("gamma", "vega", "theta"):
        assert set(of_pool(book, market, name).values()) == {0.0}


def test_greeks_of_two_halves_sum_to_those_of_the_whole():
    rows = held(USD=1e6, **dict.fromkeys(EVERYTHING, 3.0))
    plain = plain_market(joint=two_days())
    whole, _, market = judged(plain, one("portfolio", rows))
    half = book_frame(
        plain, [one("portfolio", [replace(r, quantity=r.quantity / 2) for r in rows])]
    )
    for name in ("delta", "gamma", "vega", "theta"):
        a, b = of_pool(whole, market, name), of_pool(half, market, name)
        assert a.keys() == b.keys()
        for factor, value in a.items():
            assert value == pytest.approx(2.0 * b[factor], rel=1e-12)
