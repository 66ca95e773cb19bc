"""Plans of simple pools against the step rule in plain Python, which tries every lot."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from crossmargin.liquidation.plan import Options, plan
from crossmargin.liquidation.policies import SIMPLE
from crossmargin.liquidation.steps import Plan
from crossmargin.margin.prepared import prepare
from crossmargin.reference import liquidation as twin
from crossmargin.reference.plain import Holding, PlainMarket, PlainPool
from liquidation.small import executed, with_execution
from margin.small import held, one, plain_market, two_days
from twins.bridge import book_frame, joint_frame, market_frame

# Lots of 0.1 BTC, 1 ETH, 10 SOL: a few dozen at most, which the twin tries one by one.
RULES = {"lot_value": 9_000.0, "rounds_max": 4}
METHODS = ("isolated", "cross_sum", "cross_correlated", "portfolio")
PRICES = {"BTC": 50_000.0, "ETH": 2_000.0, "SOL": 100.0, "USDT": 1.0, "USD": 1.0}
# No two markets alike, so that each policy has its own order; SOL is dear to sell.
ADV = {"BTC": 5e7, "ETH": 3e7, "SOL": 8e6, "USDT": 9e7}
SPREAD = {"ETH": 0.0005, "SOL": 0.01}
PERPS = {"BTC-PERP": 50_000.0, "ETH-PERP": 2_000.0, "SOL-PERP": 100.0}


def small_market() -> PlainMarket:
    plain = plain_market(joint=two_days(-0.15, 0.10))
    assets = {
        name: replace(asset, adv=ADV.get(name, asset.adv), half_spread=SPREAD.get(name, math.nan))
        for name, asset in plain.assets.items()
    }
    rules = with_execution(plain.rulebook, **RULES)
    return replace(plain, assets=assets, rulebook=rules)


MARKET = small_market()
ENGINE = prepare(market_frame(MARKET), MARKET.rulebook, joint_frame(MARKET), 1)


def planned(pool: PlainPool, policy: str) -> Plan:
    book = book_frame(MARKET, [one(pool.method, pool.holdings)])
    return plan(book, ENGINE, 0, Options(policy))


@st.composite
def short_pools(draw: st.DrawFn) -> PlainPool:
    """One or two positions, collateral and maybe a debt, a little or much under water."""
    rows: dict[str, float] = {}
    size = draw(st.floats(2e4, 4e5))
    for name in draw(st.lists(st.sampled_from(sorted(PERPS)), max_size=2, unique=True)):
        side = draw(st.sampled_from((-1.0, 1.0)))
        rows[name] = side * round(size * draw(st.floats(0.1, 1.0)) / PERPS[name], 3)
    for name in draw(st.lists(st.sampled_from(("BTC", "ETH", "SOL", "USDT")), max_size=2,
                              unique=True)):  # fmt: skip
        rows[name] = round(size * draw(st.floats(0.05, 1.0)) / PRICES[name], 6)
    if draw(st.booleans()):
        debt = draw(st.sampled_from(("USDT", "ETH")))
        if debt not in rows:
            rows[debt] = -round(size * draw(st.floats(0.05, 0.6)) / PRICES[debt], 6)
    method = draw(st.sampled_from(METHODS))
    pool = PlainPool("shared", method, holdings_of(rows))
    now = twin.numbers(MARKET, pool)
    assume(math.isfinite(now.health))
    charge = now.equity / now.health if now.health else 0.0
    assume(charge > 100.0)
    # Cash moves equity one for one: put health where it is short, without making it bankrupt.
    wanted = draw(st.floats(0.3, 0.99)) * charge
    cash = round(wanted - now.equity, 2)
    return PlainPool("shared", method, holdings_of({**rows, "USD": cash}))


def holdings_of(rows: dict[str, float]) -> tuple[Holding, ...]:
    return held(**{name.replace("-", "_"): q for name, q in rows.items() if q})


# 53 lots would be eaten whole by a penalty cut to what is left: equity 2e-13, made by rounding.
EATEN = PlainPool("shared", "isolated", holdings_of({"USDT": -52_737.5, "USD": 53_108.04}))


@settings(max_examples=25, deadline=None)
@given(short_pools(), st.sampled_from(SIMPLE))
@example(EATEN, "volatile_first")
def test_plans_are_the_steps_of_the_twin(pool: PlainPool, policy: str) -> None:
    want, after = twin.steps(MARKET, pool, policy)
    got = planned(pool, policy)
    assume(got.outcome != "none")
    names = ENGINE.frame.item_names
    mine = [
        (names[s.fills[0].item], names[s.fills[0].cash_item] if s.kind == "swap" else "", s.turn,
         s.lots)
        for s in executed(got)
    ]  # fmt: skip
    assert mine == [(s.deal.give, s.deal.take, s.turn, s.lots) for s in want]
    for step, other in zip(executed(got), want, strict=True):
        assert step.cost.total == pytest.approx(other.cost, rel=1e-9, abs=1e-9)
        assert step.after.buffer == pytest.approx(other.buffer, rel=1e-9, abs=1e-5)
    target = MARKET.rulebook.liquidation.target_health
    end = twin.numbers(MARKET, after)
    assert (got.outcome == "restored") == (end.health >= target)


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from(sorted(PERPS)), min_size=1, max_size=3, unique=True),
    st.lists(st.floats(-5e5, 5e5), min_size=4, max_size=4),
)
def test_bankruptcy_prices_are_the_twins_and_leave_nothing(names, values) -> None:
    rows = {n: round(v / PERPS[n], 4) for n, v in zip(names, values, strict=False)}
    assume(all(abs(q) > 1e-3 for q in rows.values()))
    pool = PlainPool("shared", "cross_sum", holdings_of({**rows, "USD": -round(abs(values[3]), 2)}))
    assume(twin.numbers(MARKET, pool).equity < 0.0)
    want = twin.bankruptcy_prices(MARKET, pool)
    got = planned(pool, "liquid_first")
    assert got.outcome == "adl"
    fills = {ENGINE.frame.item_names[f.item]: f for f in got.steps[-1].fills}
    left = -round(abs(values[3]), 2)
    for name, price in want.items():
        assert fills[name].price == pytest.approx(price, rel=1e-9)
        # Entered at the mark, so closing at the price pays q (price - mark).
        left += rows[name] * (price - PERPS[name])
    assert left == pytest.approx(0.0, abs=1e-6)


def test_the_twin_knows_a_case_by_hand() -> None:
    # 2 BTC long at 50,000 with 10,000 of money: equity 10,000. isolated MM: range 0.14 to 500,000
    # (1 % of 50 million a day), so 14,000, and 0.0055 x 100,000 = 550 of fees: 10,000 / 14,550.
    pool = PlainPool("shared", "isolated", held(BTC_PERP=2.0, USD=10_000.0))
    now = twin.numbers(MARKET, pool)
    assert now.health == pytest.approx(10_000.0 / 14_550.0)
    # One contract stands for 50,000: its requirement alone is 14,000 of 14,000, so it loses all:
    # 50,000 - 10,000 / 2 = 45,000.
    assert twin.bankruptcy_prices(MARKET, pool) == {"BTC-PERP": pytest.approx(45_000.0)}
    assert np.isclose(twin.lot_of(MARKET, "BTC-PERP"), 0.1)
