"""The books of the laws are measured: what they hold, how they stand, what size costs."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from crossmargin.reference import margin
from laws.test_laws import all_under, alone, flat_rules, merged_pool, with_rules
from strategies import KIND_OF, kinds_in, near_boundary, world
from twins.rows import engine_rows, pools_of

VERDICTS = ("UNPRICED", "BANKRUPT", "LIQUIDATABLE", "REDUCE_ONLY", "HEALTHY")
SEEDS = range(400)


def test_every_kind_verdict_and_boundary_is_common_enough(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kinds: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    binding: Counter[str] = Counter()
    methods: Counter[str] = Counter()
    near = n = 0
    for seed in SEEDS:
        w = world(seed)
        for account in w.accounts:
            results = margin.assess_account(w.market, account)
            for pool, result in zip(account.pools, results, strict=True):
                n += 1
                kinds.update(kinds_in(w.market, pool))
                verdicts[VERDICTS[result.verdict]] += 1
                methods[pool.method] += 1
                binding[result.binding_term] += 1
                near += near_boundary(result)
    with capsys.disabled():
        print(f"\ngenerator, {n} pools of {len(SEEDS)} worlds")
        for title, table in (("kind", kinds), ("verdict", verdicts), ("method", methods),
                             ("binding term", binding)):  # fmt: skip
            shares = ", ".join(f"{k or '-'} {v / n:.1%}" for k, v in table.most_common())
            print(f"  {title}: {shares}")
        print(f"  within 5 % of a boundary: {near / n:.1%}")
    assert {k for k in kinds if kinds[k] >= 0.10 * n} >= {*KIND_OF.values(), "loan"}
    assert all(verdicts[v] >= 0.03 * n for v in VERDICTS)
    assert near >= 0.20 * n


def test_size_cost_of_merging_comes_from_brackets_and_tiers_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """L3's other half: schedules are meant to break sub-additivity; by how much is reported.

    Cost = charge of the merged pool minus the sum of the charges apart, over that sum. Loans of one
    pool against the same asset in another would hide it, so only assets held and perpetuals count.
    """
    cost = {"as they are": [0.0, 0.0], "flat": [0.0, 0.0]}
    for seed in range(40):
        w = world(seed, bad=0.0)
        for name, rules in (
            ("as they are", w.market.rulebook),
            ("flat", flat_rules(w.market.rulebook)),
        ):
            market = with_rules(w.market, rules)
            apart = []
            for account in all_under(w, "cross_sum"):
                pool = account.pools[0]
                rows = tuple(
                    r for r in pool.holdings if r.item in market.assets and r.quantity > 0.0
                )
                apart.append(alone(type(pool)("shared", "cross_sum", rows)))
            together = alone(merged_pool(market, [a.pools[0] for a in apart]))
            rows_of = engine_rows(market, [*apart, together])
            charge = [r["equity"] - r["margin_balance_mm"] for r in rows_of]
            cost[name][0] += charge[-1] - math.fsum(charge[:-1])
            cost[name][1] += math.fsum(charge[:-1])
    share = {name: extra / base for name, (extra, base) in cost.items()}
    with capsys.disabled():
        steep, flat = share["as they are"], share["flat"]
        print(f"\nsize cost of merging: {steep:+.2%} with brackets, {flat:+.1e} without")
    assert share["as they are"] > 0.001
    assert abs(share["flat"]) < 1e-12
    assert pools_of(world(0).accounts)
