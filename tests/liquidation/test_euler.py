"""The reverse Dutch auction against the venue's own test vectors, and by hand."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from crossmargin.kernels.auctions import ramped, reverse_dutch
from crossmargin.liquidation.venues.euler import (
    ONE,
    Collateral,
    Debt,
    LoanLimit,
    adjusted_value,
    changed,
    largest_seizure,
    part_of,
    socialised,
)


def test_liquidations_of_the_venue_are_reproduced(vectors) -> None:
    cases = vectors("euler_evk/liquidation.json")
    looked_at = [found for case in cases for found in [judged(case)] if found]
    assert len(cases) == len(looked_at) == 24


def judged(case) -> set[str]:
    """Assert every expected number of a case; return which there were."""
    given, want, room = case["inputs"], case["expected"], case.get("tolerance", {})
    collaterals = [
        Collateral(c["token"], c["balance"], c["price_e18"], c["liquidation_ltv"])
        for c in given["collaterals"]
    ]
    debt = Debt(given["debt"], given["debt_price_e18"])
    seized = given["liquidated_collateral"]
    most = largest_seizure(collaterals, seized, debt, given["max_liquidation_discount"])
    got = numbers(case, collaterals, debt, most)
    for name, value in want.items():
        assert got[name] == pytest.approx(value, rel=0.0, abs=room.get(name, 0)), (case["id"], name)
    health = adjusted_value(collaterals) / debt.value if debt.value else 1.0
    if most.repay:  # the float kernel walks the same path, to its own rounding
        arrays = (np.array([x]) for x in (health, 1.0, given["max_liquidation_discount"] / 1e4))
        assert reverse_dutch(*arrays)[0] == pytest.approx(most.factor / ONE, abs=1e-12)
    return set(want)


def numbers(case, collaterals, debt, most) -> dict[str, object]:
    given = case["inputs"]
    seized = given["liquidated_collateral"]
    borrow = sum(
        Collateral(c["token"], c["balance"], c["price_e18"], c["borrow_ltv"]).adjusted
        for c in given["collaterals"]
    )
    (own,) = (c for c in collaterals if c.token == seized)
    value = debt.value or 1
    spread = socialised(collaterals, seized, debt, most)
    repaid_value = most.repay * debt.price / ONE
    seized_value = most.seized * own.price / ONE
    health = adjusted_value(collaterals) / value
    part = part_of(most, given.get("desired_repay", 0)) if most.repay else most
    return {
        "max_repay": most.repay,
        "max_yield": most.seized,
        "health_score": health,
        "borrow_health_score": borrow / value,
        "collateral_value": adjusted_value(collaterals),
        "repay": part.repay,
        "yield_fraction": part.seized / most.seized if most.seized else 0.0,
        "liability_value": debt.value,
        "remaining_liability_value": Debt(debt.amount - most.repay, debt.price).value,
        "socialised": spread > 0,
        "socialised_debt": spread,
        "debt_after": debt.amount - most.repay - spread,
        "discount": 1.0 - health,
        "repay_over_yield_value": repaid_value / seized_value if seized_value else 0.0,
        "repay_over_yield_equals_health": bool(
            seized_value and abs(repaid_value / seized_value - health) < 1e-9
        ),
    }


def test_loan_limits_ramp_as_the_venue_says(vectors) -> None:
    cases = vectors("euler_evk/ltv_ramp.json")
    for case in cases:
        given, want = case["inputs"], case["expected"]
        first = given["initial_liquidation_ltv"]
        limit = LoanLimit(first, first, first, 0, 0)
        if want.get("error"):
            with pytest.raises(AssertionError):
                reduce(change, given["changes"], limit)
            continue
        for step in given["changes"]:
            limit = change(limit, step)
        assert limit.liquidation(given["now"]) == want["liquidation_ltv"], case["id"]
        assert limit.borrow == want["borrow_ltv"], case["id"]
        arrays = (limit.start, limit.target, given["now"] - limit.begun, limit.ramp)
        kernel = ramped(*(np.array([float(x)]) for x in arrays))[0]
        assert int(kernel + 1e-9) == want["liquidation_ltv"], case["id"]
    assert cases


def change(limit: LoanLimit, step) -> LoanLimit:
    return changed(limit, step["borrow_ltv"], step["liquidation_ltv"], step["ramp"], step["at"])


def test_a_deeper_hole_pays_a_larger_bonus_up_to_the_limit() -> None:
    # 100 tokens at 0.8, LTV 0.5: 40 count. Owed 40, 50, 80: health 1, 0.8, 0.5; at least 0.75.
    own = [Collateral("A", 100 * ONE, ONE * 8 // 10, 5000)]
    for owed, factor in ((40, 100), (50, 80), (80, 75)):
        found = largest_seizure(own, "A", Debt(owed * ONE, ONE), 2500)
        assert found.factor == factor * ONE // 100
    assert largest_seizure(own, "A", Debt(39 * ONE, ONE), 2500).repay == 0
