"""Percolator's waterfall: the published numbers, their loss of value, and ours beside it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.domain.accounts import SHARED
from crossmargin.domain.waterfall_rules import PenaltySplit
from crossmargin.liquidation.venues.percolator import (
    Totals,
    User,
    as_coded,
    conserving,
    materialise,
)
from crossmargin.liquidation.waterfall import Bearer, Shortfall, socialise, waterfall

# Figures of crates/model_safety/src/crisis/haircut.rs, test_full_waterfall_with_equity_haircut.
FULL = Totals(1_000_000, 200_000, 100_000, 500_000, 200_000)


def test_the_peer_cuts_what_the_fund_has_paid():
    got = as_coded(FULL)
    # 1.3M owed, 0.7M there. Burned 100k, drawn 200k; then 1.2M owed, 0.5M counted: 700/1,200.
    assert (got.burned, got.drawn, got.cut_frac) == (100_000, 200_000, Fraction(7, 12))
    assert got.lost == 200_000


def test_the_conserving_rule_cuts_what_is_missing():
    got = conserving(FULL)
    # 1.2M owed, 0.7M there: 500/1,200 = 41.67 %.
    assert (got.burned, got.drawn, got.cut_frac) == (100_000, 200_000, Fraction(5, 12))
    assert got.lost == 0
    assert got.solvent


def test_our_waterfall_cuts_the_same_as_the_conserving_rule():
    # 800k of 1.3M are not backed by collateral: insurance 200k, warming gains 100k, equity 500k.
    fund = Shortfall(("venue", "all"), 0, 800_000, 0, ("k", SHARED), 0, "A", FULL.insurance)
    first = waterfall(fund, PenaltySplit(0, 0), (), (Bearer(("gains", SHARED), FULL.warming),))
    then = socialise(fund.pool, first.left, (Bearer(("users", SHARED), FULL.equity),))
    assert (first.step("insurance").paid, first.step("socialised").paid) == (200_000, 100_000)
    assert Fraction(then.paid, FULL.equity) == conserving(FULL).cut_frac


amount = st.integers(0, 10**15)


@given(amount, amount, amount, amount, amount)
def test_conservation_tells_the_two_apart(principal, realized, warming, collateral, insurance):
    start = Totals(principal, realized, warming, collateral, insurance)
    fair, peer = conserving(start), as_coded(start)
    assert fair.lost == 0
    assert fair.solvent
    # The peer loses the draw again, as far as there is equity to take it from.
    assert peer.lost == min(peer.drawn, start.equity - fair.cut_frac * start.equity)
    assert peer.cut_frac >= fair.cut_frac


@given(amount, amount, amount, amount, amount)
def test_what_was_there_is_there_afterwards(principal, realized, warming, collateral, insurance):
    start = Totals(principal, realized, warming, collateral, insurance)
    after = conserving(start).after
    assert after.collateral + after.insurance == collateral + insurance


@pytest.mark.parametrize(
    ("user", "scales", "vesting", "principal_first", "want"),
    [
        # Half of 1.5M goes: 500k of realized first, then 250k of principal.
        (User(1_000_000, 500_000, 0), ("1/2", "1"), (0, 4_500), False, User(750_000, 0, 0)),
        (User(1_000_000, 500_000, 0), ("1/2", "1"), (0, 4_500), True, User(250_000, 500_000, 0)),
        # A third of the slots: 100k of 300k vest.
        (User(0, 0, 400_000), ("1", "3/4"), (1_500, 4_500), False, User(0, 100_000, 200_000)),
        (User(0, 0, 400_000), ("1", "1"), (9_000, 4_500), False, User(0, 400_000, 0)),
        # 3 x 2/3 = 2, and 1 x 2/3 down to 0.
        (User(3, 0, 1), ("2/3", "2/3"), (0, 1), False, User(2, 0, 0)),
    ],
)
def test_a_user_is_settled_when_it_is_met(user, scales, vesting, principal_first, want):
    equity, warming = (Fraction(scale) for scale in scales)
    assert materialise(user, equity, warming, vesting, principal_first) == want
