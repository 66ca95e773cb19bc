"""Groups aimed at buckets: each situation comes up, as it was meant, in a venue that lives."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from crossmargin.adapters.files import load_rulebook
from crossmargin.engine import commands as c
from crossmargin.simulation.simulator import Life, Options

RULES = load_rulebook("prime-24h")


@pytest.fixture(scope="module")
def life() -> Life:
    made = Life(3, Options(100, RULES, faults=0.0))
    made.begin()
    for _ in range(8):
        made.group()
    return made


def test_a_batch_opens_a_bucket_first_and_takes_every_kind_of_risk_in_it(life: Life) -> None:
    kinds: Counter[str] = Counter()
    for _ in range(200):
        batch = life.buckets.risked("u1")
        opens, *rest = batch.commands
        assert isinstance(opens, c.OpenPool)
        kinds[
            f"limit {'none' if opens.pool.draw_limit is None else min(opens.pool.draw_limit, 1)}"
        ] += 1
        kinds.update(type(one).__name__ for one in rest)
        risks: list[Any] = [one for one in rest if not isinstance(one, c.Deposit)]
        assert risks
        for one in risks:
            pools = (one.buyer.pool, one.seller.pool) if isinstance(one, c.Fill) else (one.pool,)
            assert opens.pool.pool in pools
    wanted = (
        "limit none",
        "limit 0",
        "limit 1",
        "Fill",
        "PlaceOrder",
        "Borrow",
        "Withdraw",
        "Deposit",
    )
    assert [name for name in wanted if kinds[name] < 10] == []


def test_whoever_comes_under_water_has_less_than_nothing_left(life: Life) -> None:
    brought = life.buckets._under_water()
    life.submit(brought)
    assert brought[0].account in life.buckets.owners(life.now(), -1e9, -1.0)


def test_a_shell_is_empty_but_for_its_debts_or_not(life: Life) -> None:
    kinds: Counter[str] = Counter()
    for _ in range(60):
        group = life.buckets.shell()
        assert isinstance(group[0], c.OpenAccount)
        assert isinstance(group[1], c.ImportAccount)
        assert group[1].pool == "merged"
        assert all(amount < 0 for amount in group[1].balances.values())
        kinds["rescue"] += any(isinstance(one, c.PayInsurance | c.Socialise) for one in group)
        kinds["beside"] += any(isinstance(one, c.Deposit) for one in group)
    assert kinds["rescue"] == 60
    assert 0 < kinds["beside"] < 60
