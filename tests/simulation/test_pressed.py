"""Groups that press a fund or a pool to its last unit come up as they were meant, both ways."""

from __future__ import annotations

from collections import Counter

import pytest

from crossmargin.adapters.files import load_rulebook
from crossmargin.domain.book import Key
from crossmargin.engine import commands as c
from crossmargin.simulation.differences import Disagreement, same_keys
from crossmargin.simulation.simulator import Life, Options

RULES = load_rulebook("prime-24h")


@pytest.fixture
def life() -> Life:
    made = Life(3, Options(100, RULES, faults=0.0))
    made.begin()
    return made


def test_a_fund_is_asked_for_all_of_it_in_one_batch_and_sometimes_for_a_unit_more(
    life: Life,
) -> None:
    life.sound = True  # no key is spoiled: what is told is the fund's answer
    answers: Counter[str] = Counter()
    for _ in range(40):
        *made, batch = life.pressed.fund()
        assert isinstance(batch, c.Batch)
        assert sum(isinstance(one, c.PayInsurance | c.Socialise) for one in batch.commands) >= 2
        before = life.auditor.tally.rejected["fund_short"]
        life.submit([*made, batch])
        answers["short" if life.auditor.tally.rejected["fund_short"] > before else "paid"] += 1
    assert answers["short"] >= 5
    assert answers["paid"] >= 5


def test_a_hedge_is_opened_whole_and_its_legs_are_refused_or_let_go(life: Life) -> None:
    life.sound = True
    tally = life.auditor.tally
    for _ in range(40):
        opened = [one for one in life.pressed.hedge() if isinstance(one, c.Batch)]
        assert all(
            {type(one) for one in batch.commands} <= {c.Fill, c.PayInsurance, c.Socialise,
                                                      c.FundInsurance}
            for batch in opened
        )  # fmt: skip
        life.submit(life.pressed.hedge())
    assert tally.accepted["Fill (linked)"] >= 10
    assert tally.rejected["margin_short"] >= 10


def test_a_key_lost_or_moved_to_another_record_is_a_difference(life: Life) -> None:
    book = life.engine.book
    same_keys(book, life.auditor.witness)
    key, used = next(iter(book.keys.items()))
    book.keys[key] = Key(used.seq + 1, used.at_ns, used.fingerprint)
    with pytest.raises(Disagreement, match="keys remembered"):
        same_keys(book, life.auditor.witness)
    del book.keys[key]
    with pytest.raises(Disagreement, match="keys remembered"):
        same_keys(book, life.auditor.witness)
