"""Plans by hand: each case says in its comment what must come out, and why."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import pytest

from crossmargin.base.errors import InputInvalid, RulebookInvalid
from crossmargin.domain.liquidation_rules import Auction, Backstop, Selling
from crossmargin.liquidation.plan import Options, plan, plans
from crossmargin.liquidation.steps import Plan
from crossmargin.margin.prepared import Market, prepare
from crossmargin.reference.plain import (
    HALTED,
    Holding,
    PlainAccount,
    PlainMarket,
    PlainOrder,
    PlainPool,
)
from liquidation.small import executed, with_execution
from margin.small import held, one, plain_market, with_factor
from twins.bridge import book_frame, joint_frame, market_frame


def rules_of(plain: PlainMarket, **numbers: object) -> PlainMarket:
    """The small market with rules of execution; lots of 0.1 BTC and 1 ETH."""
    return replace(plain, rulebook=with_execution(plain.rulebook, **{"lot_value": 9e3, **numbers}))


def engine(plain: PlainMarket) -> Market:
    return prepare(market_frame(plain), plain.rulebook, joint_frame(plain), 1)


def planned(
    plain: PlainMarket, account: PlainAccount, policy: str = "best_relief_per_cost", pool: int = 0,
    **options: object,
) -> tuple[Plan, tuple[str, ...]]:  # fmt: skip
    market = engine(plain)
    found = plan(book_frame(plain, [account]), market, pool, Options(policy, **options))
    return found, market.frame.item_names


MARKET = rules_of(plain_market())


def test_a_long_is_reduced_to_the_target_and_no_lot_further() -> None:
    # 2 BTC long, 10,000 of money. Q = 0.14 x 100,000 + 0.0055 x 100,000 = 14,550: health 0.687.
    # Each lot of 0.1 frees 727.5 of Q. Selling x BTC costs 50,000 x (half spread 0.0008 + fee and
    # penalty 0.0055 + 0.03 sqrt(x / 1,000)). Health 1.1 at x BTC left of 2 - x:
    # 11 lots: Q 0.9 x 7,275 = 6,547.5; cost 55,000 x (0.0063 + 0.03 x 0.033166) = 401.2; E 9,598.8:
    # 1.466. 8 lots: Q 8,730; cost 40,000 x (0.0063 + 0.03 x 0.028284) = 285.9: 9,714.1 / 8,730 =
    # 1.1127. 7 lots: Q 9,457.5; cost 35,000 x (0.0063 + 0.03 x 0.026458) = 248.3: 1.0311.
    found, names = planned(MARKET, one("isolated", held(BTC_PERP=2.0, USD=10_000.0)))
    (step,) = found.steps
    assert (step.kind, step.lots, found.outcome) == ("reduce", 8, "restored")
    assert names[step.fills[0].item] == "BTC-PERP"
    assert step.fills[0].quantity == pytest.approx(-0.8)
    slip = 40_000.0 * (0.0008 + 0.03 * math.sqrt(0.0008))
    assert step.cost.half_spread + step.cost.impact == pytest.approx(slip)
    assert step.cost.fee == pytest.approx(20.0)  # 0.05 % of 40,000
    assert step.cost.penalty == pytest.approx(200.0)
    # 0.8 BTC lose the slip: 50,000 less slip / 0.8.
    assert step.fills[0].price == pytest.approx(50_000.0 - slip / 0.8)
    assert step.fills[0].cash == pytest.approx(-slip - 220.0)
    assert found.start.health == pytest.approx(10_000.0 / 14_550.0)
    assert found.end.health == pytest.approx((10_000.0 - slip - 220.0) / 8_730.0)
    assert found.cost == pytest.approx(slip + 220.0)


def test_a_short_pays_above_the_mark() -> None:
    found, _ = planned(MARKET, one("isolated", held(BTC_PERP=-2.0, USD=10_000.0)))
    fill = found.steps[0].fills[0]
    assert fill.quantity == pytest.approx(0.8)
    assert fill.price > 50_000.0


def test_a_closed_position_settles_its_share_of_profit() -> None:
    # Entered at 48,000: 2 BTC make 4,000, so 6,000 of money is the same equity of 10,000; 0.8 of 2
    # settles 40 % of it.
    rows = (*held(USD=6_000.0), Holding("BTC-PERP", 2.0, 48_000.0))
    found, _ = planned(MARKET, one("isolated", rows))
    (step,) = found.steps
    assert step.lots == 8
    assert step.fills[0].cash == pytest.approx(0.4 * 4_000.0 - step.cost.total)


def test_the_guard_refuses_a_toxic_spiral() -> None:
    """Selling that costs more than it frees is no way out: the fund takes the pool instead.

    ETH is held for a debt of dollars. Its haircut is 1 - 0.82 x 0.995 = 18.41 % of what is sold. At
    a half spread of 25 % every sale takes more off equity (0.25 + 0.0055) than it takes off Q, so
    buffer_MM would fall with each step and the next step would be larger: the spiral.
    """
    rows = held(ETH=100.0, USD=-170_000.0)
    toxic = with_half_spread(MARKET, "ETH", 0.25)
    found, _ = planned(toxic, one("cross_sum", rows))
    assert executed(found) == []
    assert found.outcome == "takeover"
    assert found.bad_debt == 0.0
    # The same pool where a sale costs 0.63 % and impact is repaired.
    calm, _ = planned(MARKET, one("cross_sum", rows), "volatile_first")
    assert executed(calm)[0].kind == "swap"
    assert calm.outcome == "restored"


def test_the_guard_weighs_exactly_what_is_freed_against_what_it_costs() -> None:
    # Freed 0.1841 of what is sold. Cost: half spread h + fee 0.0005 + penalty 0.005, no impact with
    # sigma 0. The edge is h = 0.1786: just below it a step helps, just above none does.
    still = with_factor(MARKET, "ETH/USD", sigma_daily=0.0)
    rows = one("cross_sum", held(ETH=100.0, USD=-170_000.0))
    below, _ = planned(with_half_spread(still, "ETH", 0.1785), rows)
    above, _ = planned(with_half_spread(still, "ETH", 0.1787), rows)
    assert executed(below)
    assert not executed(above)


def test_no_step_eats_the_last_of_a_pools_equity() -> None:
    # As above at h = 0.1787: 87 lots would cost more than the 30,000 there are, and a penalty cut
    # to what is left would make them "help". A pool that has something is not made to owe.
    still = with_factor(MARKET, "ETH/USD", sigma_daily=0.0)
    rows = one("cross_sum", held(ETH=100.0, USD=-170_000.0))
    found, _ = planned(with_half_spread(still, "ETH", 0.1787), rows)
    assert (found.outcome, found.bad_debt) == ("takeover", 0.0)


def with_half_spread(plain: PlainMarket, asset: str, half_spread: float) -> PlainMarket:
    changed = replace(plain.assets[asset], half_spread=half_spread)
    return replace(plain, assets={**plain.assets, asset: changed})


def test_orders_are_cancelled_first_and_opposite_legs_close_together() -> None:
    # 40 ETH-PERP long against 30 ETH-FUT short: the pair closes before anything else is sold.
    rows = held(ETH_PERP=40.0, ETH_FUT=-30.0, USD=3_000.0)
    order = PlainOrder("BTC-PERP", 1.0, 49_000.0)
    found, names = planned(MARKET, one("cross_sum", rows, [order]))
    assert [s.kind for s in found.steps][:2] == ["cancel", "net"]
    legs = found.steps[1].fills
    assert {names[f.item] for f in legs} == {"ETH-PERP", "ETH-FUT"}
    assert legs[0].quantity == pytest.approx(-legs[1].quantity)
    assert found.steps[0].after == found.steps[0].before == found.start


def test_a_round_uses_a_market_once_and_the_next_comes_later() -> None:
    # 1 % of 50 million a day is 500,000: 10 BTC a round, of 60.
    rows = held(BTC_PERP=60.0, USD=400_000.0)
    found, _ = planned(MARKET, one("isolated", rows))
    assert [s.turn for s in executed(found)] == list(range(len(executed(found))))
    assert all(abs(s.fills[0].quantity) <= 10.0 + 1e-9 for s in executed(found))
    one_round, _ = planned(rules_of(plain_market(), rounds_max=1), one("isolated", rows))
    assert len(executed(one_round)) == 1


def test_dust_is_closed() -> None:
    # 1.001 BTC on 1,000: after nine lots Q is 0.101 x 7,275 = 734.8 against some 680, so the tenth
    # must go; the 0.001 left would be 50, below the 100 of dust, and goes with it.
    rows = held(BTC_PERP=1.001, USD=1_000.0)
    found, _ = planned(MARKET, one("isolated", rows))
    (step,) = executed(found)
    assert step.fills[0].quantity == pytest.approx(-1.001)


def test_nothing_is_traded_in_a_factor_that_is_halted() -> None:
    # ETH held at its last good price: 100 x 2,000. It counts at MM, and is not sold while bad.
    halted = with_factor(MARKET, "ETH/USD", status=HALTED)
    rows = held(ETH=100.0, BTC=1.0, USD=-215_000.0)
    found, names = planned(halted, one("cross_sum", rows))
    assert found.outcome != "none"
    assert {names[f.item] for s in found.steps for f in s.fills} <= {"BTC", "USD"}
    # Without the BTC there is nothing to sell but the halted coin: wait for its price.
    left, _ = planned(halted, one("cross_sum", held(ETH=100.0, USD=-170_000.0)))
    assert (left.outcome, left.steps) == ("wait", ())


def test_a_bad_position_or_debt_is_unpriced_and_no_plan_is_made() -> None:
    halted = with_factor(MARKET, "ETH/USD", status=HALTED)
    for rows in (held(ETH_PERP=10.0, USD=100.0), held(ETH=-10.0, USD=20_001.0)):
        found, _ = planned(halted, one("cross_sum", rows))
        assert (found.outcome, found.steps) == ("none", ())


def test_a_healthy_pool_is_left_alone_and_one_on_its_way_goes_on() -> None:
    # Health 15,000 / 14,550 = 1.03: not liquidatable; in liquidation since before, it goes on.
    account = one("isolated", held(BTC_PERP=2.0, USD=15_000.0))
    assert planned(MARKET, account)[0].outcome == "none"
    found, _ = planned(MARKET, account, in_liquidation=True)
    assert found.outcome == "restored"
    assert executed(found)


def test_a_bankrupt_pool_goes_to_adl_at_prices_that_leave_nothing() -> None:
    # 2 BTC long, 1,000 owed: equity -1,000; taken over at 50,000 + 1,000 / 2 = 50,500.
    found, names = planned(MARKET, one("isolated", held(BTC_PERP=2.0, USD=-1_000.0)))
    (step,) = found.steps
    assert (found.outcome, step.kind, found.bad_debt) == ("adl", "adl", 1_000.0)
    (fill,) = step.fills
    assert (names[fill.item], fill.quantity) == ("BTC-PERP", -2.0)
    assert fill.price == pytest.approx(50_500.0)
    assert fill.cash == pytest.approx(1_000.0)
    assert found.end.equity == pytest.approx(0.0)


def test_the_fund_takes_what_it_may_and_adl_the_rest() -> None:
    # Loss allowed; notional 100,000 of which the fund takes 25,000: a quarter.
    some = rules_of(plain_market(), backstop=Backstop(notional_max=25_000.0, loss_max=2_000.0))
    found, _ = planned(some, one("isolated", held(BTC_PERP=2.0, USD=-1_000.0)))
    fund, rest = found.steps
    assert [fund.kind, rest.kind, found.outcome] == ["takeover", "adl", "adl"]
    assert fund.fills[0].quantity == pytest.approx(-0.5)
    assert rest.fills[0].quantity == pytest.approx(-1.5)
    assert fund.fills[0].cash + rest.fills[0].cash == pytest.approx(1_000.0)


def test_a_bucket_that_owes_is_filled_by_its_shared_pool_first() -> None:
    # Bucket at -52 with a limit of 40 on a shared pool of 100: 40 is S's, 12 is left for the taker:
    # 1 SOL-PERP long at 100 is taken over at 112, and -40 stays for S to pay.
    shared = PlainPool("shared", "isolated", held(USD=100.0))
    bucket = PlainPool("b", "isolated", held(SOL_PERP=1.0, USD=-52.0), draw_limit=40.0)
    found, _ = planned(MARKET, PlainAccount("a", (shared, bucket)), pool=1)
    (step,) = found.steps
    assert found.outcome == "adl"
    assert found.bad_debt == pytest.approx(12.0)
    assert step.fills[0].price == pytest.approx(112.0)


def test_what_buckets_reserve_does_not_count_in_the_shared_pools_plan() -> None:
    # The bucket wants all it can get; S alone decides over S: it is repaired to 1.1 of its own Q.
    shared = PlainPool("shared", "isolated", held(BTC_PERP=2.0, USD=10_000.0))
    bucket = PlainPool("b", "isolated", held(ETH_PERP=50.0, USD=1_000.0), draw_limit=1e6)
    found, _ = planned(MARKET, PlainAccount("a", (shared, bucket)))
    alone, _ = planned(MARKET, one("isolated", held(BTC_PERP=2.0, USD=10_000.0)))
    assert found.steps[0].lots == alone.steps[0].lots == 8
    assert found.end.health == pytest.approx(alone.end.health)


@pytest.mark.parametrize(
    ("mechanism", "cost"),
    [
        # x = 40,000: an order book as above, 0.0008 + 0.03 sqrt(0.0008) = 0.16485 %.
        (Selling("order_book", 1.0, 0.5, 0.01), 0.0008 + 0.03 * math.sqrt(0.0008)),
        # A pool of 50 million a side, fee 0.3 %: out = 5e7 x 39,880 / 50,039,880.
        (Selling("amm", 1.0, 0.5, 0.01, 1.0, 0.003), 1.0 - 5e7 * 0.997 / 50_039_880.0),
    ],
)
def test_each_mechanism_costs_what_it_says(mechanism: Selling, cost: float) -> None:
    plain = rules_of(plain_market(), markets={"default": mechanism})
    found, _ = planned(plain, one("isolated", held(BTC_PERP=2.0, USD=10_000.0)))
    step = executed(found)[0]
    assert step.lots == 8
    assert step.cost.half_spread + step.cost.impact == pytest.approx(40_000.0 * cost)
    assert step.mechanism == mechanism.mechanism


def test_an_auction_opens_with_the_depth_and_never_sells_below_its_floor() -> None:
    # Health 0.6873, depth 0.3127: opens at 0.1 x 0.3127 = 3.13 %, more than a liquidator wants.
    path = Auction(start=0.0, per_depth=0.1, per_s=0.0, most=0.2, margin=0.005)
    markets = {"default": Selling("auction", 1.0, 0.5, 0.01)}
    plain = rules_of(plain_market(), markets=markets, auction=path)
    found, _ = planned(plain, one("isolated", held(BTC_PERP=2.0, USD=10_000.0)))
    step = executed(found)[0]
    depth = 1.0 - 10_000.0 / 14_550.0
    sold = -step.fills[0].quantity * 50_000.0
    assert step.cost.half_spread + step.cost.impact == pytest.approx(sold * 0.1 * depth)
    # Where the floor is above what a liquidator wants, nobody comes: no step, the fund takes over.
    low = msgspec.structs.replace(path, most=0.004)
    none = rules_of(plain_market(), markets=markets, auction=low)
    left, _ = planned(none, one("isolated", held(BTC_PERP=2.0, USD=10_000.0)))
    assert (left.outcome, executed(left)) == ("takeover", [])


def test_a_rulebook_without_execution_and_an_unknown_policy_are_refused() -> None:
    account = one("isolated", held(BTC_PERP=2.0, USD=10_000.0))
    with pytest.raises(RulebookInvalid, match=r"liquidation\.execution"):
        planned(plain_market(), account)
    with pytest.raises(InputInvalid, match="best_relief_per_cost"):
        planned(MARKET, account, "quickest")


def test_the_rulebooks_policy_is_used_where_none_is_named_and_all_short_pools_are_planned() -> None:
    accounts = [
        one("isolated", held(BTC_PERP=2.0, USD=10_000.0)),
        one("isolated", held(BTC_PERP=2.0, USD=50_000.0)),
        one("isolated", held(BTC_PERP=-2.0, USD=9_000.0)),
    ]
    named = [replace(a, account=f"a{i}") for i, a in enumerate(accounts)]
    found = plans(book_frame(MARKET, named), engine(MARKET))
    assert [p.account for p in found] == ["a0", "a2"]
    assert {p.policy for p in found} == {"best_relief_per_cost"}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"mechanism": "amm"}, "amm_depth"),
        ({"impact_exponent": 0.0}, "impact_exponent"),
        ({"adv_share": 0.0}, "adv_share"),
    ],
)
def test_rules_that_cannot_be_are_refused(change: dict[str, object], key: str) -> None:
    numbers = {
        "mechanism": "order_book", "impact_scale": 1.0, "impact_exponent": 0.5, "adv_share": 0.01,
    }  # fmt: skip
    with pytest.raises(RulebookInvalid, match=key):
        Selling(**{**numbers, **change})
    with pytest.raises(RulebookInvalid, match="most"):
        Auction(0.0, 1.0, 0.0, 1.0, 0.0)  # a discount of 1 would let a bid of nothing settle
