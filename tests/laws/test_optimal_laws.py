"""The policy `optimal`: never dearer than a simple policy, and no plan goes below its bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from crossmargin.liquidation.plan import Options, plan
from crossmargin.margin.requirement import Verdict
from crossmargin.methods.registry import assess
from liquidation.small import executed, market_and_book
from strategies import World, worlds

pytest.importorskip("cvxpy", reason="no solver: crossmargin[liquidation] is not installed")
pytest.importorskip("clarabel", reason="no solver: crossmargin[liquidation] is not installed")

RANK = ("none", "restored", "eased", "wait", "takeover", "adl")


@settings(max_examples=8, deadline=None)
@given(worlds(n_accounts=2))
def test_optimal_is_never_dearer_and_nothing_is_below_the_bound(world: World) -> None:
    market, book = market_and_book(world)
    short = np.flatnonzero(assess(book, market, threads=1).verdict == Verdict.LIQUIDATABLE)
    for a in short.tolist():
        best = plan(book, market, a, Options("optimal"))
        ranks = [(RANK.index(c.outcome), c.bad_debt, c.cost) for c in best.compared]
        assert len(ranks) == 6
        assert (RANK.index(best.outcome), best.bad_debt, best.cost) == min(ranks)
        for step in executed(best):
            assert step.after.buffer > step.before.buffer
        if math.isnan(best.bound):
            continue
        for c in best.compared:
            if c.outcome == "restored":
                # The solver's own tolerance, relative to the pool's money.
                room = 1e-5 * c.cost + 1e-6 * (1.0 + abs(best.start.equity))
                assert best.bound <= c.cost + room
