"""Socialised loss by one factor: by hand, against the explicit cut, and what rounding leaves."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.base.errors import InputInvalid
from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import ROUNDING
from crossmargin.liquidation.factor import (
    LOW,
    Settled,
    add,
    lose,
    newcomer,
    residue,
    settle,
    started,
)
from crossmargin.liquidation.waterfall import Bearer, socialise
from crossmargin.reference.waterfall import cut_by_factor


def opened(amounts: list[int]):
    factor, held = started(), []
    for amount in amounts:
        one, factor = add(newcomer(factor), factor, amount)
        held.append(one)
    return factor, held


def test_two_losses_by_hand():
    # 100 and 300 lose 100 of 400: three quarters. Then 90 of 300: 0.75 x 0.7 = 0.525.
    factor, (ann, bob) = opened([100, 300])
    factor = lose(factor, 100)
    assert [settle(h, factor).amount for h in (ann, bob)] == [75, 225]
    factor = lose(factor, 90)
    assert [settle(h, factor).amount for h in (ann, bob)] == [52, 157]  # 52.5 and 157.5, down
    assert residue(factor, [ann, bob]) == 1


def test_who_comes_after_a_loss_does_not_bear_it():
    factor, (ann,) = opened([100])
    factor = lose(factor, 50)
    bob, factor = add(newcomer(factor), factor, 100)
    factor = lose(factor, 30)  # a fifth of 150
    assert [settle(h, factor).amount for h in (ann, bob)] == [40, 80]


def test_when_all_is_lost_an_epoch_ends_and_the_next_starts_whole():
    factor, (ann,) = opened([100])
    factor = lose(factor, 100)
    assert settle(ann, factor).amount == 0
    bob, factor = add(newcomer(factor), factor, 70)
    assert settle(bob, lose(factor, 7)).amount == 63
    assert settle(ann, factor).amount == 0


def test_a_factor_worn_down_to_nothing_keeps_its_digits():
    # Forty losses of 90 %: 10^-40 is far under one 10^27th.
    factor, (ann,) = opened([7 * 10**60])
    for _ in range(40):
        factor = lose(factor, factor.backing - factor.backing // 10)
        assert factor.value >= LOW
    assert factor.shift >= 1
    got = settle(ann, factor).amount
    assert 0 <= 7 * 10**20 - got <= 100  # eighteen digits of 7 x 10^20


def test_a_loss_of_nearly_everything_costs_no_digits():
    # Of 3 x 10^40 all but 30,001 units is lost, twice a third of it is one holder's.
    factor, (ann, bob) = opened([10**40, 2 * 10**40])
    factor = lose(factor, factor.backing - 30_001)
    assert [settle(h, factor).amount for h in (ann, bob)] == [10_000, 20_000]  # 10,000.3, 20,000.7


@pytest.mark.parametrize("amount", [-1, 101])
def test_no_more_is_lost_than_there_is(amount):
    with pytest.raises(InputInvalid):
        lose(started(100), amount)


def test_nobody_takes_out_more_than_is_left_of_it():
    factor, (ann, _) = opened([100, 100])
    factor = lose(factor, 100)
    with pytest.raises(InputInvalid):
        add(ann, factor, -51)
    after, rest = add(ann, factor, -50)
    assert (after.amount, rest.backing) == (0, 50)


amounts = st.lists(st.integers(0, 10**24), min_size=1, max_size=8)


@given(amounts, st.integers(0, 10**9))
def test_one_loss_is_the_explicit_cut_to_a_unit(held, share):
    total = sum(held)
    loss = total * share // 10**9
    factor, settled = opened(held)
    after = [settle(h, lose(factor, loss)).amount for h in settled]
    names = [(f"h{k}", SHARED) for k in range(len(held))]
    step = socialise(
        ("z", "b"), loss, tuple(Bearer(n, x) for n, x in zip(names, held, strict=True))
    )
    cut = dict(step.parts)
    for name, amount, got in zip(names, held, after, strict=True):
        # The factor is down to 27 digits, the balance to a unit: at most one below.
        assert 0 <= amount + cut.get(name, 0) - got <= 1
    assert 0 <= residue(lose(factor, loss), settled) <= 2 * len(held)


@given(
    st.lists(st.integers(0, 10**18), min_size=1, max_size=8),
    st.lists(st.integers(0, 10**9 - 1), min_size=1, max_size=12),
)
def test_many_losses_are_the_explicit_cuts_to_a_few_units(held, shares):
    factor, settled = opened(held)
    explicit = {(f"h{k}", SHARED): x for k, x in enumerate(held)}
    kept = 0
    for share in shares:
        loss = sum(explicit.values()) * share // 10**9
        factor = lose(factor, loss)
        step = socialise(("z", "b"), loss, tuple(Bearer(h, x) for h, x in explicit.items()))
        for part in step.parts:
            if part.holder in explicit:
                explicit[part.holder] += part.amount
            elif part.holder[0] == ROUNDING:
                kept += part.amount
    # Money is where it was put: what cuts kept for rounding, the factor keeps as its residue.
    assert sum(explicit.values()) + kept == factor.backing
    off = len(shares) * (len(held) + 1)
    for h, x in zip(settled, explicit.values(), strict=True):
        assert abs(settle(h, factor).amount - x) <= off
    assert abs(residue(factor, settled) - kept) <= off * len(held)


# So large that a unit of the factor is many of the balance: a factor rounded up would show.
huge = st.lists(st.integers(0, 10**40), min_size=1, max_size=8)


@given(huge, st.lists(st.integers(0, 10**9), max_size=12))
def test_any_number_of_losses_is_the_exact_product_rounded_down(held, shares):
    factor, settled = opened(held)
    losses = []
    for share in shares:
        losses.append(factor.backing * share // 10**9)
        factor = lose(factor, losses[-1])
    exact = cut_by_factor(held, losses)
    for h, want in zip(settled, exact, strict=True):
        got = settle(h, factor).amount
        # Each loss costs the factor its 27th digit (18th where it is worn), and a whole unit once.
        assert got <= want
        assert want - got <= 1 + want * len(losses) / 10**17


@given(st.integers(0, 2**32))
def test_whatever_comes_and_goes_no_more_is_owed_than_is_there(seed):
    rng = random.Random(seed)
    factor, held = started(), {}
    paid_in = lost = paid_out = 0
    for _ in range(30):
        name = rng.choice("abcd")
        one: Settled = held.get(name, newcomer(factor))
        deed = rng.random()
        if deed < 0.4:
            amount = rng.randint(0, 10 ** rng.randint(0, 20))
            held[name], factor = add(one, factor, amount)
            paid_in += amount
        elif deed < 0.6:
            amount = rng.randint(0, settle(one, factor).amount)
            held[name], factor = add(one, factor, -amount)
            paid_out += amount
        elif deed < 0.8:
            held[name] = settle(one, factor)
        else:
            whole = rng.random() < 0.1
            amount = factor.backing if whole else rng.randint(0, factor.backing)
            factor = lose(factor, amount)
            lost += amount
        assert factor.backing == paid_in - paid_out - lost
        assert residue(factor, list(held.values())) >= 0
    total = sum(settle(h, factor).amount for h in held.values())
    assert total + residue(factor, list(held.values())) == factor.backing


@given(amounts)
def test_settling_often_costs_no_more_than_a_unit_each_time(held):
    factor, settled = opened(held)
    often = settled
    for _ in range(5):
        factor = lose(factor, factor.backing // 3)
        often = [settle(h, factor) for h in often]
    for a, b in zip(settled, often, strict=True):
        once = settle(a, factor).amount
        assert 0 <= once - b.amount <= 5 + math.ceil(once / 10**17)
