"""Greeks: the twin against finite differences of its equity, the engine against the twin."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given

from crossmargin.margin.greeks import greeks as engine_greeks
from crossmargin.reference.greeks import NAMES, greeks
from crossmargin.reference.plain import PlainMarket
from crossmargin.reference.valuation import multiplier, valued
from strategies import World, good_worlds
from twins.bridge import book_frame
from twins.rows import pools_of, prepare

STEP = 1e-5


def bumped(market: PlainMarket, factor: str, by: float) -> PlainMarket:
    """One factor up by a fraction, every curve with its underlying."""
    moves = {factor: by}
    f = market.factors[factor]
    instruments = {
        n: replace(t, forward=t.forward * multiplier(market, t.underlying, moves))
        for n, t in market.instruments.items()
    }
    factors = {**market.factors, factor: replace(f, level=f.level * (1.0 + by))}
    return replace(market, factors=factors, instruments=instruments)


@given(good_worlds())
def test_the_twins_delta_is_the_slope_of_equity(world: World) -> None:
    market = world.market
    for pool in pools_of(world.accounts):
        now = valued(market, pool.holdings)
        size = math.fsum(abs(v) for v in greeks(market, now)["delta"].values()) + 1.0
        for factor, delta in greeks(market, now)["delta"].items():
            up = valued(bumped(market, factor, STEP), pool.holdings)
            down = valued(bumped(market, factor, -STEP), pool.holdings)
            rise = up.equity(bumped(market, factor, STEP))
            fall = down.equity(bumped(market, factor, -STEP))
            slope = (rise - fall) / (2.0 * STEP) * 0.01
            # Rounding of equity over the step, and the third derivative of options near expiry.
            assert abs(slope - delta) <= 1e-4 * size


@given(good_worlds())
def test_the_engines_greeks_are_the_twins(world: World) -> None:
    frame = engine_greeks(book_frame(world.market, world.accounts), prepare(world.market))
    names = tuple(world.market.factors)
    got = {
        (int(pool), names[int(factor)]): i
        for i, (pool, factor) in enumerate(zip(frame.pool, frame.factor, strict=True))
    }
    for at, pool in enumerate(pools_of(world.accounts)):
        want = greeks(world.market, valued(world.market, pool.holdings))
        for greek in NAMES:
            column = getattr(frame, greek)
            size = math.fsum(abs(v) for v in want[greek].values()) + 1e-6
            for factor, amount in want[greek].items():
                row = got.get((at, factor))
                found = 0.0 if row is None else float(column[row])
                assert abs(found - amount) <= 1e-9 * size, (greek, factor, pool)
