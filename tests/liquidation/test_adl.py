"""Deleveraging policies: tables by hand first, then laws, then the twin."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.base.errors import InputInvalid
from crossmargin.liquidation.adl import (
    POLICIES,
    Candidates,
    deleverage,
    hedge_closings,
    queue_whole,
    score,
)
from crossmargin.reference import waterfall as twin
from liquidation.candidates import columns, winner, winners

# Ann gains 50 % at 2x: score 1.0. Bob 20 % at 10x: 2.0. Cat loses 10 % at 5x: -0.02. Dan gains
# 100 % at 0.5x: 0.5. So the queue is bob, ann, dan, cat.
FOUR = [
    winner("ann", 10, 0.5, 2.0, lot_gain=3.0),
    winner("bob", 20, 0.2, 10.0, lot_gain=1.0, hedge=5),
    winner("cat", 30, -0.1, 5.0, lot_gain=-1.0),
    winner("dan", 40, 1.0, 0.5, lot_gain=1.0, hedge=80),
]


@pytest.mark.parametrize(
    ("policy", "need", "want"),
    [
        ("queue", 0, (0, 0, 0, 0)),
        ("queue", 20, (0, 20, 0, 0)),
        ("queue", 25, (5, 20, 0, 0)),
        ("queue", 75, (10, 20, 5, 40)),
        ("queue", 101, (10, 20, 30, 40)),
        ("queue_whole", 1, (0, 20, 0, 0)),  # a whole position for one lot
        ("queue_whole", 20, (0, 20, 0, 0)),
        ("queue_whole", 21, (10, 20, 0, 0)),
        ("pro_rata", 10, (1, 2, 3, 4)),
        # 15 %: 1.5, 3.0, 4.5, 6.0; the lot left over goes to the largest remainder, ann by name.
        ("pro_rata", 15, (2, 3, 4, 6)),
        ("pro_rata", 101, (10, 20, 30, 40)),
        # Weights 10x2 : 20x10 : 30x5 : 40x0.5 = 20 : 200 : 150 : 20 of 390.
        ("risk_aware_pro_rata", 39, (2, 20, 15, 2)),
        # 60: bob's 30.77 is cut to 20; of 190 the rest of 40 is 4.21, 31.58, 4.21: cat's is cut to
        # 30; 10 are left for 20 : 20.
        ("risk_aware_pro_rata", 60, (5, 20, 30, 5)),
        ("minimum_regret", 30, (0, 0, 30, 0)),
        # Bob and dan gain the same: 6 of 60 lots, a tenth of each.
        ("minimum_regret", 36, (0, 2, 30, 4)),
        ("minimum_regret", 95, (5, 20, 30, 40)),
        # Ann and cat hedge nothing: 10 : 30.
        ("hedge_aware", 20, (5, 0, 15, 0)),
        ("hedge_aware", 46, (10, 2, 30, 4)),
    ],
)
def test_each_policy_on_four_candidates(policy, need, want):
    assert POLICIES[policy](columns(FOUR), need) == want


def test_both_legs_of_a_hedge_go_by_the_same_share_or_none():
    lots = POLICIES["hedge_aware"](columns(FOUR), 46)
    # Bob loses 2 of 20 lots: 5 x 0.1 = 0.5, up 1. Dan 4 of 40: 80 x 0.1 = 8.
    assert hedge_closings(columns(FOUR), lots) == (0, 1, 0, 8)


def test_a_venue_that_parts_hedges_is_told_so():
    # 95 lots by the queue take bob and dan, who hedge, and leave each with one leg.
    told = deleverage("queue", columns(FOUR), 950, (10, 1))
    kept = deleverage("hedge_aware", columns(FOUR), 950, (10, 1))
    assert (told.parted, kept.parted) == (2, 0)


def test_an_outcome_adds_up_by_hand():
    # 249 units at 10 a lot: 25 lots, 1 unit beyond the loss. Queue: bob 20, ann 5.
    got = deleverage("queue", columns(FOUR), 249, (10, 1))
    assert got.lots == (5, 20, 0, 0)
    assert (got.missing, got.overshoot, got.touched) == (0, 1, 2)
    assert got.closed_usd == 250.0  # 25 lots of 10 USD
    assert got.regret_usd == 5 * 3.0 + 20 * 1.0
    assert got.worst_frac == 1.0


def test_whole_positions_overshoot_by_what_nobody_needed():
    got = deleverage("queue_whole", columns(FOUR), 10, (10, 1))
    assert (sum(got.lots), got.overshoot) == (20, 190)


def test_what_nobody_could_give_up_is_missing():
    got = deleverage("pro_rata", columns(FOUR), 1_015, (10, 1))
    assert (sum(got.lots), got.missing, got.overshoot) == (100, 2, 0)


@pytest.mark.parametrize(
    "bad",
    [
        winner("eve", 10, gain=math.nan),
        winner("eve", 10, gain=math.inf),
        winner("eve", 10, leverage=math.nan),
        winner("eve", 10, leverage=math.inf),
        winner("eve", 10, leverage=1e300),
        winner("eve", 10, leverage=-1.0),  # equity below zero
        winner("eve", 10, buffer=-0.01),
        winner("eve", 10, buffer=math.nan),
    ],
)
@pytest.mark.parametrize("policy", POLICIES)
def test_who_cannot_be_ranked_or_is_under_water_is_set_aside(policy, bad):
    got = deleverage(policy, columns([bad, winner("ann", 5)]), 100, (10, 1))
    assert got.lots == (0, 5)
    assert (got.set_aside, got.missing) == (1, 5)


def test_a_gain_that_is_not_known_goes_last_and_makes_regret_unknown():
    two = columns([winner("ann", 5, lot_gain=math.nan), winner("bob", 5, lot_gain=9.0)])
    assert deleverage("minimum_regret", two, 5, (1, 1)).lots == (0, 5)
    assert math.isnan(deleverage("minimum_regret", two, 6, (1, 1)).regret_usd)


def test_losers_stand_behind_winners_and_the_less_levered_loser_first_to_lose_more():
    # Gain x leverage for a winner; for a loser gain / leverage, so high leverage ranks higher.
    got = score(np.array([0.1, -0.1, -0.1, 0.0]), np.array([2.0, 2.0, 4.0, 3.0]))
    assert got.tolist() == [0.2, -0.05, -0.025, 0.0]


def test_equal_candidates_are_taken_by_name():
    three = columns([winner(name, 1) for name in "cab"])
    assert [POLICIES[p](three, 1) for p in ("queue", "pro_rata", "risk_aware_pro_rata")] == [
        (0, 1, 0)
    ] * 3


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"lots": (1,)}, "candidates"),
        ({"lots": (1, -1)}, "candidates.lots"),
        ({"hedge_lots": (0, -1)}, "candidates.hedge_lots"),
        ({"holders": (("a", "s"), ("a", "s"))}, "candidates.holders"),
    ],
)
def test_columns_that_make_no_table_are_refused(change, where):
    good = columns([winner("a", 1), winner("b", 1)])
    fields = {name: getattr(good, name) for name in Candidates.__slots__}
    with pytest.raises(InputInvalid) as error:
        Candidates(**{**fields, **change})
    assert error.value.where == where


def test_an_unknown_policy_is_refused_with_those_there_are():
    with pytest.raises(InputInvalid) as error:
        deleverage("fair", columns(FOUR), 1, (1, 1))
    assert "pro_rata" in str(error.value)


def test_shares_are_exact_where_floats_are_not():
    # 10^24 lots against 1: a float of the first swallows the second.
    big = columns([winner("ann", 10**24), winner("bob", 1)])
    assert POLICIES["pro_rata"](big, 10**24) == (10**24 - 1, 1)
    assert sum(POLICIES["risk_aware_pro_rata"](big, 10**24 + 1)) == 10**24 + 1


def test_leverage_weighs_as_it_is():
    two = columns([winner("ann", 10**15, leverage=1.0), winner("bob", 10**15, leverage=2.0)])
    assert POLICIES["risk_aware_pro_rata"](two, 3 * 10**14) == (10**14, 2 * 10**14)


# --- laws -----------------------------------------------------------------------------------------

needs = st.integers(0, 250)
policies = st.sampled_from(sorted(POLICIES))


@given(policies, winners(), needs)
def test_nobody_loses_more_than_it_has_and_no_lot_is_closed_for_nothing(policy, them, need):
    table = columns(them)
    lots = POLICIES[policy](table, need)
    caps = table.capacity()
    assert all(0 <= n <= cap for n, cap in zip(lots, caps, strict=True))
    if policy != "queue_whole":
        assert sum(lots) == min(need, sum(caps))
    else:
        biggest = max(caps, default=0)
        assert min(need, sum(caps)) <= sum(lots) < need + max(1, biggest)


@given(policies, winners(), needs, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(policy, them, need, rng):
    mixed = them.copy()
    rng.shuffle(mixed)
    before = dict(zip((w.holder for w in them), POLICIES[policy](columns(them), need), strict=True))
    after = dict(
        zip((w.holder for w in mixed), POLICIES[policy](columns(mixed), need), strict=True)
    )
    assert before == after


@given(winners(), needs)
def test_pro_rata_takes_the_same_share_of_all_to_a_lot(them, need):
    table = columns(them)
    caps = table.capacity()
    total = sum(caps)
    share = Fraction(min(need, total), total) if total else Fraction(0)
    for n, cap in zip(POLICIES["pro_rata"](table, need), caps, strict=True):
        assert abs(n - share * cap) < 1


@given(winners(), needs)
def test_risk_aware_takes_no_smaller_share_of_more_leverage(them, need):
    table = columns(them)
    caps, lots = table.capacity(), POLICIES["risk_aware_pro_rata"](table, need)
    rows = [k for k in range(len(caps)) if caps[k]]
    for low in rows:
        for high in rows:
            if table.leverage[low] <= table.leverage[high]:
                # Each is off its exact share by less than a lot.
                slack = Fraction(1, caps[low]) + Fraction(1, caps[high])
                assert Fraction(lots[low], caps[low]) < Fraction(lots[high], caps[high]) + slack


@given(winners(), needs)
def test_no_policy_regrets_less_than_minimum_regret(them, need):
    known = [w for w in them if math.isfinite(w.lot_gain)]
    table = columns(known)
    least = deleverage("minimum_regret", table, need, (1, 1)).regret_usd
    for policy in POLICIES:
        if policy != "queue_whole":  # closes more, of what may well be better gone
            assert least <= deleverage(policy, table, need, (1, 1)).regret_usd + 1e-9


@given(winners(), needs)
def test_hedged_legs_go_together_and_only_after_all_that_hedge_nothing(them, need):
    table = columns(them)
    got = deleverage("hedge_aware", table, need, (1, 1))
    caps = table.capacity()
    assert got.parted == 0
    for n, hedge, other in zip(got.lots, table.hedge_lots, got.hedge_lots, strict=True):
        assert (other > 0) == (n > 0 and hedge > 0)
        assert other <= hedge
    if any(got.hedge_lots):
        free = [k for k, hedge in enumerate(table.hedge_lots) if not hedge]
        assert all(got.lots[k] == caps[k] for k in free)


@given(policies, winners(), st.integers(0, 10_000), st.integers(1, 50), st.integers(1, 7))
def test_overshoot_is_less_than_a_lot(policy, them, loss, num, den):
    got = deleverage(policy, columns(them), loss, (num, den))
    covered = Fraction(sum(got.lots) * num, den)
    if not got.missing and policy != "queue_whole":
        assert loss <= covered < loss + Fraction(num, den)
    assert got.overshoot == max(0, math.ceil(covered) - loss)


@given(policies, winners(), needs)
def test_policies_agree_with_their_twin(policy, them, need):
    assert list(POLICIES[policy](columns(them), need)) == twin.closed(policy, them, need)


def test_five_thousand_candidates_are_quick():
    rng = np.random.default_rng(1)
    many = [
        winner(f"u{k:05}", int(rng.integers(1, 10**12)), float(rng.random()),
               float(rng.random() * 20), lot_gain=float(rng.normal()))
        for k in range(5_000)
    ]  # fmt: skip
    table = columns(many)
    total = sum(table.capacity())
    for policy in POLICIES:
        assert sum(POLICIES[policy](table, total // 3)) >= total // 3


def test_whole_positions_are_never_cut():
    lots = queue_whole(columns(FOUR), 37)
    assert all(n in (0, w.lots) for n, w in zip(lots, FOUR, strict=True))
