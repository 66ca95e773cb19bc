"""The loss waterfall: a table by hand, laws, the twin."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.base.errors import InputInvalid, RulebookInvalid
from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import FEES, INSURANCE, ROUNDING
from crossmargin.domain.waterfall_rules import PenaltySplit
from crossmargin.liquidation.adl import POLICIES
from crossmargin.liquidation.waterfall import (
    STEPS,
    Adl,
    Bearer,
    Part,
    Shortfall,
    Waterfall,
    balances,
    waterfall,
)
from crossmargin.reference import waterfall as twin
from liquidation.candidates import columns, made, winner

POOL, SHARED_POOL = ("zoe", "b"), ("zoe", SHARED)
FUND, ROUND, VENUE = (INSURANCE + "A", SHARED), (ROUNDING, SHARED), (FEES, SHARED)
KEEPER = ("keeper", SHARED)
SPLIT = PenaltySplit(500_000, 200_000)
NOTHING = Shortfall(POOL, 0, 0, 0, KEEPER, 0, "A", 0)
HOLDERS = (Bearer(("ann", SHARED), 100), Bearer(("bob", SHARED), 200))
# Three winners with 10 lots each and plenty of room; pro rata takes one third of each.
THREE = columns([winner(name, 10) for name in ("ann", "bob", "cat")])


def adl(
    policy="pro_rata", lots=15, room=(1_000,) * 3, table=THREE, contract="X", weight=1
) -> tuple[Adl, ...]:
    return (Adl(contract, POLICIES[policy], table, room, lots, weight),)


def paid(found: Waterfall) -> dict[str, int]:
    return {step.name: step.paid for step in found.steps if step.paid}


@pytest.mark.parametrize(
    ("change", "by_adl", "want", "left"),
    [
        ({}, (), {}, 0),
        ({"own": 100, "owed": 40}, (), {"own_equity": 40}, 0),
        ({"owed": 40, "draw_room": 40}, (), {"draw": 40}, 0),
        ({"owed": 52, "draw_room": 40, "fund": 100}, (), {"draw": 40, "insurance": 12}, 0),
        ({"own": 10, "owed": 52, "draw_room": 30, "fund": 5}, (),
         {"own_equity": 10, "draw": 30, "insurance": 5, "socialised": 7}, 0),
        ({"owed": 50, "fund": 5}, adl(), {"insurance": 5, "adl": 45}, 0),
        # 15 lots are open, candidates have 30 but room for 2 lots of 3 each: 6 lots, 18 of 45.
        ({"owed": 50, "fund": 5}, adl(room=(6, 6, 6)),
         {"insurance": 5, "adl": 18, "socialised": 27}, 0),
        # The fund is enough: nobody is deleveraged.
        ({"owed": 50, "fund": 50}, adl(), {"insurance": 50}, 0),
        # Holders have 300 in all.
        ({"owed": 1_000}, (), {"socialised": 300}, 700),
    ],
)  # fmt: skip
def test_each_bearer_pays_in_its_turn(change, by_adl, want, left):
    got = waterfall(replace(NOTHING, **change), SPLIT, by_adl, HOLDERS)
    assert tuple(step.name for step in got.steps) == STEPS
    assert paid(got) == want
    assert got.left == left


def test_a_penalty_comes_out_of_what_is_left_and_only_then():
    # 100 - 40 = 60 are left; 17 are asked: down(8.5) to the keeper, down(3.4) fees, 6 insurance.
    got = waterfall(replace(NOTHING, own=100, owed=40, penalty=17), SPLIT, (), ())
    assert balances(got.steps) == {POOL: -17, KEEPER: 8, VENUE: 3, FUND: 6}
    # 5 are left of it: 2, 1, 2.
    got = waterfall(replace(NOTHING, own=45, owed=40, penalty=17), SPLIT, (), ())
    assert balances(got.steps) == {POOL: -5, KEEPER: 2, VENUE: 1, FUND: 2}
    # Exactly nothing left, and a pool that draws: no penalty.
    for own in (40, 39):
        got = waterfall(
            replace(NOTHING, own=own, owed=40, penalty=17, draw_room=9), SPLIT, None, ()
        )
        assert got.step("penalty").parts == ()


def test_a_socialised_loss_is_rounded_up_and_the_rest_kept_by_the_venue():
    # 7 of 300: ann up(7 x 100 / 300) = 3, bob up(4.67) = 5: one unit too much.
    got = waterfall(replace(NOTHING, owed=7), SPLIT, (), HOLDERS)
    assert got.step("socialised").parts == (
        Part(("ann", SHARED), -3), Part(("bob", SHARED), -5), Part(POOL, 7), Part(ROUND, 1),
    )  # fmt: skip


def test_a_deleveraging_leaves_the_pool_exactly_nothing():
    # 47 over 15 lots: 3.13 each; five lots are up(15.67) = 16 from each of three, 1 to rounding.
    got = waterfall(replace(NOTHING, owed=47), SPLIT, adl(), ())
    assert got.closings[0].lots == (5, 5, 5)
    assert got.closings[0].open_lots == 0
    assert got.step("adl").parts == (
        Part(("ann", SHARED), -16), Part(("bob", SHARED), -16), Part(("cat", SHARED), -16),
        Part(POOL, 47), Part(ROUND, 1),
    )  # fmt: skip


def test_lots_nobody_could_take_stay_open_and_are_stated():
    got = waterfall(replace(NOTHING, owed=45), SPLIT, adl(room=(6, 0, 9)), ())
    # 3 a lot: 2 lots, none, 3 lots of 15; 15 of 45 are covered.
    assert (got.closings[0].lots, got.closings[0].open_lots) == ((2, 0, 3), 10)
    assert (got.step("adl").paid, got.left) == (15, 30)


def test_a_hedge_goes_with_its_share_of_the_whole_position():
    # Ann has 10 lots against 20 of another contract, and room for 4: 45 over 15 lots is 3 a lot.
    hedged = columns([winner("ann", 10, hedge=20), winner("bob", 5)])
    got = waterfall(
        replace(NOTHING, owed=45), SPLIT, adl("hedge_aware", room=(12, 99), table=hedged), ()
    )
    # Bob hedges nothing: all 5. Ann 4 of 10, and so 8 of 20.
    assert (got.closings[0].lots, got.closings[0].hedge_lots) == ((4, 5), (8, 0))
    assert (got.closings[0].open_lots, got.left) == (6, 18)


def test_a_policy_that_closes_more_than_is_open_is_refused():
    with pytest.raises(InputInvalid, match=r"adl\.X\.policy"):
        waterfall(replace(NOTHING, owed=45), SPLIT, adl("queue_whole"), ())


@pytest.mark.parametrize("name", ["own", "owed", "penalty", "draw_room", "fund"])
def test_a_shortfall_holds_no_negative_amount(name):
    with pytest.raises(InputInvalid) as error:
        replace(NOTHING, **{name: -1})
    assert error.value.where == f"shortfall.{name}"


def test_a_shared_pool_draws_on_nobody():
    with pytest.raises(InputInvalid, match="draw_room"):
        replace(NOTHING, pool=SHARED_POOL, draw_room=1)


@pytest.mark.parametrize("shares", [(-1, 0), (0, 1_000_001), (600_000, 400_001)])
def test_a_split_of_more_than_all_is_refused(shares):
    with pytest.raises(RulebookInvalid):
        PenaltySplit(*shares)


def test_a_loss_is_shared_over_contracts_by_the_margin_each_needs_alone():
    # 100 by 2 : 1: 66.7 and 33.3, the unit left over to the first. X: 5 lots of 15 from each of
    # three is up(22.3) = 23; Y: bob's 4 lots are all, 33.
    both = adl(weight=2) + adl(lots=4, room=(99,), table=columns([winner("bob", 9)]), contract="Y")
    got = waterfall(replace(NOTHING, owed=100), SPLIT, both, ())
    assert [(c.contract, c.covers, c.lots) for c in got.closings] == [
        ("X", 67, (5, 5, 5)), ("Y", 33, (4,)),
    ]  # fmt: skip
    assert balances(got.steps) == {
        ("ann", SHARED): -23, ("bob", SHARED): -23 - 33, ("cat", SHARED): -23,
        POOL: 100, ROUND: 2,
    }  # fmt: skip


def test_what_one_contracts_winners_cannot_give_is_not_asked_of_anothers():
    both = adl() + adl(lots=4, room=(0,), table=columns([winner("bob", 9)]), contract="Y")
    got = waterfall(replace(NOTHING, owed=100), SPLIT, both, ())
    assert [c.covers for c in got.closings] == [50, 0]
    assert [c.open_lots for c in got.closings] == [0, 4]
    assert got.left == 50


def test_a_contract_whose_share_is_nothing_is_closed_at_its_mark():
    both = adl(weight=10**9) + adl(
        lots=4, room=(0,), table=columns([winner("bob", 9)]), contract="Y"
    )
    got = waterfall(replace(NOTHING, owed=100), SPLIT, both, ())
    assert [(c.covers, c.open_lots) for c in got.closings] == [(100, 0), (0, 0)]
    assert got.closings[1].lots == (4,)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"room": (1, 1)}, "adl.X.room"),
        ({"room": (1, 1, -1)}, "adl.X.room"),
        ({"lots": 0}, "adl.X.lots"),
        ({"weight": 0}, "adl.X.weight"),
    ],
)
def test_a_deleveraging_that_makes_no_sense_is_refused(change, where):
    with pytest.raises(InputInvalid) as error:
        adl(**change)
    assert error.value.where == where


# --- laws -----------------------------------------------------------------------------------------

CUTTING = sorted(set(POLICIES) - {"queue_whole"})


def case(
    seed: int,
) -> tuple[Shortfall, PenaltySplit, tuple[Adl, ...], tuple[Bearer, ...], twin.Case]:
    """Return a waterfall from a seed, and the same for the twin."""
    rng = random.Random(seed)

    def amount() -> int:
        return rng.choice((0, rng.randint(0, 9), rng.randint(0, 10**4), rng.randint(0, 10**22)))

    given_ = Shortfall(POOL, amount(), amount(), amount(), KEEPER, amount(), "A", amount())
    liquidator = rng.randint(0, 10**6)
    split = PenaltySplit(liquidator, rng.randint(0, 10**6 - liquidator))
    contracts = []
    for name in rng.sample("XYZ", rng.choice((0, 1, 1, 2, 3))):
        them = made(rng.randint(0, 2**32), rng.randint(0, 6))
        there = [(w, amount()) for w in them]
        lots, weight = rng.randint(1, 120), rng.choice((1, 1, 7, 10**9))
        contracts.append(twin.Contract(name, lots, weight, rng.choice(CUTTING), there))
    by_adl = tuple(
        Adl(
            x.name, POLICIES[x.policy], columns([w for w, _ in x.winners]),
            tuple(room for _, room in x.winners), x.lots, x.weight,
        )
        for x in contracts
    )  # fmt: skip
    holders = tuple(
        Bearer((name, SHARED), amount()) for name in rng.sample("klmnop", rng.randint(0, 6))
    )
    plain = twin.Case(
        POOL, SHARED_POOL, FUND, VENUE, ROUND, KEEPER, given_.own, given_.owed, given_.penalty,
        (split.liquidator_ppm, split.fees_ppm), given_.draw_room, given_.fund, contracts,
        [(h.holder, h.room) for h in holders],
    )  # fmt: skip
    return given_, split, by_adl, holders, plain


seeds = st.integers(0, 2**32)


@given(seeds)
def test_every_step_conserves_and_so_does_the_whole(seed):
    given_, split, by_adl, holders, _ = case(seed)
    got = waterfall(given_, split, by_adl, holders)
    before = given_.owed
    for step in got.steps:
        assert sum(part.amount for part in step.parts) == 0
        assert step.left == before - step.paid
        assert 0 <= step.paid <= before
        before = step.left
    moved = balances(got.steps)
    penalty = -sum(p.amount for p in got.step("penalty").parts if p.holder == POOL)
    # What the pool has at the end: what it had, less its penalty, or what nobody bore.
    assert given_.own - given_.owed + moved.get(POOL, 0) == (
        max(0, given_.own - given_.owed) - penalty - got.left
    )


@given(seeds)
def test_nobody_pays_more_than_its_step_allows_and_none_before_its_turn(seed):
    given_, split, by_adl, holders, _ = case(seed)
    got = waterfall(given_, split, by_adl, holders)
    steps = {step.name: step for step in got.steps}
    assert steps["draw"].paid <= given_.draw_room
    assert steps["insurance"].paid <= given_.fund
    rooms: dict[tuple[str, str], int] = {}
    for one in by_adl:
        for who, room in zip(one.candidates.holders, one.room, strict=True):
            rooms[who] = rooms.get(who, 0) + room
    gave = balances([steps["adl"]])
    assert all(-gave.get(who, 0) <= room for who, room in rooms.items())
    for one, found in zip(by_adl, got.closings, strict=False):
        assert sum(found.lots) + found.open_lots == one.lots
        assert all(n <= most for n, most in zip(found.lots, one.candidates.lots, strict=True))
    have = dict(holders)
    for part in steps["socialised"].parts:
        if part.holder in have:
            assert -part.amount <= have[part.holder]
    # A later bearer pays only where the one before has nothing left to give.
    if steps["draw"].left:
        assert steps["draw"].paid == given_.draw_room
    if steps["insurance"].left:
        assert steps["insurance"].paid == given_.fund
    if got.left:
        assert steps["socialised"].paid == sum(h.room for h in holders)
    # What is rounded is kept: under a unit a payer.
    for name in ("adl", "socialised"):
        kept = sum(p.amount for p in steps[name].parts if p.holder == ROUND)
        payers = sum(1 for p in steps[name].parts if p.amount < 0)
        # A unit a payer, and one a contract, whose covers are rounded down.
        assert 0 <= kept <= payers + (len(by_adl) if name == "adl" else 0)


@given(seeds)
def test_the_waterfall_agrees_with_its_twin(seed):
    given_, split, by_adl, holders, plain = case(seed)
    got = waterfall(given_, split, by_adl, holders)
    mine = [(step.left, balances([step])) for step in got.steps]
    assert mine == twin.steps(plain)


@given(seeds, st.randoms(use_true_random=False))
def test_the_order_of_holders_and_of_contracts_changes_nothing(seed, rng):
    given_, split, by_adl, holders, _ = case(seed)
    mixed, contracts = list(holders), list(by_adl)
    rng.shuffle(mixed)
    rng.shuffle(contracts)
    assert balances(waterfall(given_, split, by_adl, holders).steps) == balances(
        waterfall(given_, split, tuple(contracts), tuple(mixed)).steps
    )
