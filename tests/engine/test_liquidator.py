"""The loop from verdicts to records: who is sold, how far, who pays, and who is left alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from crossmargin.base.errors import StoreFailed
from crossmargin.domain.book import Mark, OrderState, Print
from crossmargin.engine import commands as c
from crossmargin.engine.liquidator import Liquidator, Turn
from crossmargin.kernels.watch import SAFE
from engine.memory import MemoryStore
from engine.small import (
    CT,
    ETH,
    USD,
    USDC,
    Venue,
    account,
    bucket,
    holding,
    prices,
    venue,
)
from engine.sold import long, selling, turned, verdicts


def state_of(made: Venue, name: str, pool: str = "shared") -> Any:
    return made.book.find(name).pools[pool]


def commands_of(found: Turn, name: str, pool: str = "shared") -> list[str]:
    """The kinds of a deed's commands, in order."""
    deed = found.of(name, pool)
    return [type(one).__name__ for one in deed.proposal.batch.commands]


# --- who is sold, and how far ---------------------------------------------------------------------


def test_a_long_under_water_is_reduced_to_the_target_and_one_lot_less_would_not_do():
    made = selling()
    made.do(*long("liq", 1_500), *long("safe", 10_000))
    found = turned(made)
    # E 1,500; health 1.1 needs 0.1 x 2,000 x q <= 1,500 / 1.1: q <= 6.8181; lots of 0.001.
    assert made.position("liq", "ETH-PERP") == (6_818 * 10**15, -1_363_600)
    assert made.balance("liq", "USD") == 1_500 * USD
    assert found.of("liq").is_done
    assert found.of("liq").proposal.outcome == "restored"
    assert made.position("safe", "ETH-PERP") == (10 * CT, -2_000_000)
    assert verdicts(made) == {"liq/shared": SAFE, "safe/shared": SAFE}
    assert turned(made).deeds == (), "who is not under water is not looked at twice"


def test_the_boundary_belongs_to_the_pool():
    made = selling()
    # Needs 10 x 2,000 x 0.1 = 2,000.
    made.do(*long("edge", 2_000), *long("cent", 1_999))
    found = turned(made)
    assert [deed.proposal.owner[0] for deed in found.deeds] == ["cent"]


def test_open_orders_go_first_and_the_pool_may_be_frozen():
    made = selling()
    made.do(account("rick"), holding(
        "rick", {"USD": 1_500 * USD}, {"ETH-PERP": (10 * CT, -2_000_000)},
        orders={"o": OrderState("ETH-PERP", -CT, "2500")},
    ), c.SetStatus(account="rick", status="frozen"))  # fmt: skip
    found = turned(made)
    assert commands_of(found, "rick") == ["CancelOrder", "Liquidate"]
    assert not state_of(made, "rick").orders


def test_collateral_is_sold_for_what_is_owed():
    made = selling()
    made.do(account("spot"), holding("spot", {"ETH": ETH, "USD": -1_850 * USD}))
    found = turned(made)
    # E 150, MM counts 0.9 of ETH: Q = 0.1 x 2,000 e = 200 e; 150 / 200 e >= 1.1: e <= 0.68181.
    # 0.319 is sold for 638 dollars: 150 / (200 x 0.681) = 1.1013; 0.318 would leave 1.0997.
    assert made.balance("spot", "ETH") == 681 * 10**15
    # Impact of 10^-5 dollars is rounded against the pool: a cent.
    assert made.balance("spot", "USD") == (-1_850 + 638) * USD - 1
    assert commands_of(found, "spot") == ["Liquidate"]
    assert verdicts(made) == {"spot/shared": SAFE}


def test_a_debt_in_coins_is_bought_with_what_a_sale_brings_although_money_is_owed_too():
    made = selling()
    # E 5,000 - 2,500 - 2,000 = 500; Q = 0.1 x 5,000 + 0.1 x 2,000. A token sold for ether frees
    # 0.2: 1,230 of them, in lots of 10, leave Q = 377 + 77 = 454 and 500 / 454 = 1.1013; 1,220
    # leave 456.
    made.do(account("two"), holding("two", {"TOK": 5_000, "USD": -2_500 * USD, "ETH": -ETH}))
    found = turned(made)
    assert commands_of(found, "two") == ["Liquidate", "Liquidate"]
    assert made.balance("two", "TOK") == 3_770
    # 1,230 dollars buy 0.615 ether, but for an impact of less than a cent a leg.
    assert abs(made.balance("two", "ETH") + 385 * 10**15) < 10**13
    assert abs(made.balance("two", "USD") + 2_500 * USD) <= 2
    assert verdicts(made) == {"two/shared": SAFE}


def test_costs_are_the_plans_fee_to_the_fees_and_penalty_to_the_tiers_fund():
    made = selling({"taker_fee": 0.001, "penalty": 0.005})
    made.do(*long("liq", 1_500))
    turned(made)
    left = made.position("liq", "ETH-PERP")[0]
    sold = (10 * CT - left) * 2_000 // CT  # dollars, whole: lots of 0.001 are 2 dollars
    # Fee 0.1 % and penalty 0.5 % of what is sold, each rounded down to a cent.
    assert made.balance("@fees", "USD") == sold * USD // 1_000
    assert made.balance("@insurance/A", "USD") == sold * USD * 5 // 1_000
    gone = 1_500 * USD - made.balance("liq", "USD")
    assert gone == sold * USD * 6 // 1_000 or gone == sold * USD * 6 // 1_000 + 1


def test_steps_go_on_past_the_water_line_until_the_target():
    # A round takes 1 % of 400,000 dollars of each market: 2 contracts.
    made = selling(coin={"adv": 400_000.0})
    made.do(account("liq"), holding("liq", {"USD": 1_700 * USD}, {
        "ETH-PERP": (5 * CT, -1_000_000), "ETH-FUT": (5 * CT, -10_000 * USDC),
    }))  # fmt: skip
    found = turned(made)
    # 8 left need 1,600: above water, health 1.06; 1,700 / 1.1 / 200 = 7.7272 may stay.
    assert commands_of(found, "liq") == ["Liquidate", "Liquidate"]
    left = sum(held.contracts for held in state_of(made, "liq").positions.values())
    assert left == 7_727 * 10**15
    assert found.of("liq").proposal.outcome == "restored"


def test_opposite_legs_close_against_each_other():
    made = selling({"hedged_fraction": 0.5})
    made.do(account("ann"), holding("ann", {"USD": 600 * USD}, {
        "ETH-PERP": (10 * CT, -2_000_000), "ETH-FUT": (-10 * CT, 20_000 * USDC),
    }))  # fmt: skip
    found = turned(made)
    # Each pair of contracts needs 0.5 x 0.1 x 2,000 = 100: 600 / 1.1 / 100 = 5.4545 may stay.
    assert commands_of(found, "ann") == ["Liquidate", "Liquidate"]
    assert made.position("ann", "ETH-PERP")[0] == 5_454 * 10**15
    assert made.position("ann", "ETH-FUT")[0] == -5_454 * 10**15


# --- the end --------------------------------------------------------------------------------------


def test_a_bankrupt_pool_is_closed_at_the_mark_and_insurance_pays_its_debt():
    made = selling()
    made.do(*long("broke", 1_000, 2_500), *long("safe", 10_000),
            c.FundInsurance(tier="A", asset="USD", amount=5_000 * USD))  # fmt: skip
    found = turned(made)
    # 1,000 - 10 x 500 = -4,000: the fund has 5,000.
    assert commands_of(found, "broke") == ["Liquidate", "PayInsurance"]
    assert (state_of(made, "broke").positions, state_of(made, "broke").balances) == ({}, {})
    assert made.balance("@insurance/A", "USD") == 1_000 * USD
    assert made.balance("safe", "USD") == 10_000 * USD


def test_a_bucket_draws_first_then_funds_pay_then_holders_share():
    made = selling()
    made.do(account("ann", bucket("b", 40)), holding("ann", {"USD": 100 * USD}), holding(
        "ann", {"USD": 100 * USD}, {"ETH-PERP": (CT, -2_152 * USD)}, pool="b"
    ), account("dan"), holding("dan", {"USD": 900 * USD}),
       c.FundInsurance(tier="B", asset="USD", amount=5 * USD))  # fmt: skip
    found = turned(made)
    # 100 - 152 = -52: the shared pool pays 40, tier B 5, holders of 60 + 900 dollars 7 together.
    assert commands_of(found, "ann", "b")[0] == "Liquidate"
    assert state_of(made, "ann", "b").balances == {}
    assert state_of(made, "ann", "b").drawn == 40 * 10**6
    assert made.balance("@insurance/B", "USD") == 0
    paid = 60 * USD - made.balance("ann", "USD"), 900 * USD - made.balance("dan", "USD")
    # 700 cents x 60 / 960 = 43.75, x 900 / 960 = 656.25: each up.
    assert paid == (44, 657)


def test_winners_give_up_what_funds_cannot_pay():
    made = selling()
    made.do(*long("broke", 1_000, 2_500), account("won"), holding(
        "won", {"USD": 3_000 * USD}, {"ETH-PERP": (-30 * CT, 30 * 2_500 * USD)}
    ), c.FundInsurance(tier="A", asset="USD", amount=1_000 * USD))  # fmt: skip
    found = turned(made)
    # -4,000 of which the fund pays 1,000: 10 contracts close 300 dollars above the mark of 2,000.
    [order] = [o for o in found.of("broke").proposal.batch.commands if isinstance(o, c.Deleverage)]
    assert (order.price, order.contracts) == ("2300.001", 10 * CT)
    assert made.position("won", "ETH-PERP")[0] == -20 * CT
    assert state_of(made, "broke").balances == {}
    # 10 x (2,500 - 2,300.001) of gain stay with the winner.
    assert made.balance("won", "USD") == 3_000 * USD + 199_999
    assert made.balance("@insurance/A", "USD") in (0, 1)


def test_what_no_sale_helps_is_taken_over_at_the_bankruptcy_price():
    # Half a spread of 12 % is more than the 10 % that selling frees.
    made = selling(coin={"half_spread": 0.12})
    made.do(*long("liq", 1_500))
    found = turned(made)
    assert found.of("liq").proposal.outcome == "takeover"
    # E 1,500 over 10 contracts: 150 below the mark, and nothing is left, nothing owed.
    [order] = found.of("liq").proposal.batch.commands
    assert float(order.price) == pytest.approx(1_850.0, abs=1e-9)
    assert (state_of(made, "liq").positions, state_of(made, "liq").balances) == ({}, {})


# --- who is left alone ----------------------------------------------------------------------------


def bad_print(made: Venue, status: str) -> None:
    """New prices, that of ether of a status."""
    whole = prices(made.engine.now())
    ether = {n: Print(x.level, status=status) for n, x in whole.prints.items() if "ETH" in n}
    marks = {n: Mark(m.forward, m.iv, status=status) for n, m in whole.marks.items() if "ETH" in n}
    made.do(msgspec.structs.replace(
        whole, prints={**whole.prints, **ether}, marks={**whole.marks, **marks}
    ))  # fmt: skip


def troubled(fund: int = 4_000) -> Venue:
    """One pool of each kind of trouble, all in ether; broke owes 4,000, the fund has so many."""
    made = selling()
    made.do(c.FundInsurance(tier="A", asset="USD", amount=fund * USD))
    made.do(*long("liq", 1_500), *long("broke", 1_000, 2_500))
    made.do(account("spot"), holding("spot", {"ETH": ETH, "USD": -1_850 * USD}))
    return made


@pytest.mark.parametrize("status", ["halted", "stale", "missing"])
def test_nobody_is_touched_over_a_price_that_is_bad(status):
    made = troubled()
    made.wait(1)
    bad_print(made, status)
    before = made.engine.state_hash()
    found = turned(made)
    assert made.engine.state_hash() == before
    assert [deed.proposal.owner[0] for deed in found.deeds] in (["spot"], [])
    assert all(not deed.is_done and "bad prices" in deed.whys[0] for deed in found.deeds)


def test_degraded_prices_do_sell():
    made = troubled()
    made.wait(1)
    bad_print(made, "degraded")
    assert all(deed.is_done for deed in turned(made).deeds)


def test_a_restart_with_old_prices_touches_nobody_and_fresh_ones_go_on():
    made = troubled()
    later = Venue(MemoryStore(made.store.records), made.clock.now_ns)
    later.wait(61)
    before = later.engine.state_hash()
    turned(later)
    assert later.engine.state_hash() == before
    later.price()
    assert len([deed for deed in turned(later).deeds if deed.is_done]) == 3


def test_mirrors_are_not_ours_to_sell():
    made = selling()
    made.do(account("mir", mirror=True), c.Observe(
        account="mir", source="x", balances={"USD": 100}, positions={"ETH-PERP": (CT, -200_000)}
    ))  # fmt: skip
    assert turned(made).deeds == ()


def test_without_rules_of_execution_a_turn_says_so():
    made = venue()
    made.do(*long("liq", 1_500))
    [deed] = turned(made).deeds
    assert not deed.is_done
    assert "liquidation.execution" in deed.whys[0]


def test_what_no_pair_sells_is_said_and_stays():
    made = selling()
    # Nothing trades WEI for dollars: 2,000 WEI at a dollar count 1,800 against 1,850.
    made.do(account("odd"), holding("odd", {"WEI": 2_000 * 10**18, "USD": -1_850 * USD}))
    [deed] = turned(made).deeds
    assert not deed.is_done
    assert "no spot pair trades WEI for USD" in deed.whys[0]


# --- rounds, keys, crashes ------------------------------------------------------------------------


def test_a_round_takes_its_share_of_a_days_volume_and_the_next_waits():
    made = selling(coin={"adv": 200_000.0})
    made.do(*long("liq", 1_500))
    liquidator = Liquidator()
    found = turned(made, liquidator)
    # 1 % of 200,000 dollars a round is one contract of 2,000; nine need 1,800.
    assert made.position("liq", "ETH-PERP")[0] == 9 * CT
    assert found.in_liquidation == (("liq", "shared"),)
    made.wait(10)
    made.price()
    for one in (liquidator, Liquidator()):  # a loop that was just started knows as much
        later = turned(made, one)
        [deed] = later.deeds
        assert not deed.is_done and "next round" in deed.whys[0]
        assert later.in_liquidation == (("liq", "shared"),)
    assert made.position("liq", "ETH-PERP")[0] == 9 * CT
    made.wait(3_600)
    made.price()
    turned(made, liquidator)
    assert made.position("liq", "ETH-PERP")[0] == 8 * CT


def test_the_same_journal_gives_the_same_commands_to_the_bit():
    one, other = troubled(), troubled()
    first, second = Liquidator().turn(one.engine), Liquidator().turn(other.engine)
    assert first == second
    assert one.engine.chain == other.engine.chain
    keys = [deed.proposal.batch.key for deed in first.deeds]
    assert len(set(keys)) == len(keys) and all(len(key) <= 64 for key in keys)


@pytest.mark.parametrize("fail_at", [1, 2, 3])
def test_a_crash_between_two_appends_ends_where_an_undisturbed_turn_does(fail_at):
    def arranged(fail_at: int) -> Venue:
        # Two owe 4,000 each and the fund has 6,000: the rest is the holders' to share.
        made = troubled(6_000)
        made.do(*long("worse", 1_000, 2_500), account("dan"), holding("dan", {"USD": 900 * USD}))
        made.store.n_appends, made.store.fail_at = 0, fail_at
        return made

    whole, broken = arranged(0), arranged(fail_at)
    turned(whole)
    assert whole.store.n_appends > fail_at
    with pytest.raises(StoreFailed):
        Liquidator().turn(broken.engine)
    resumed = Venue(MemoryStore(broken.store.records), broken.clock.now_ns)
    turned(resumed)
    for name in ("liq", "broke", "worse", "spot"):
        assert resumed.book.find(name) == whole.book.find(name)
    assert resumed.balance("@insurance/A", "USD") == whole.balance("@insurance/A", "USD")
