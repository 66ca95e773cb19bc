"""Socialised loss in O(1): one factor for all holders of an asset, settled when each is met.

In     balances with the factor they were last settled at, losses.
Out    a new factor; balances after their share; what rounding left over.
Owns   the factor, its scale and its rounding.
Never  walks over holders; lets one have more than the explicit cut would leave it.
Signs  amounts are integers of smallest units, >= 0.
Spec   docs/spec/09-waterfall.md, (9.68)

The sum of what holders are owed never exceeds `backing`: the factor is rounded down, and so is
every settled balance. What the last holder leaves behind is the residue, and goes to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

from crossmargin.base.errors import InputInvalid
from crossmargin.base.fixed import scale_down

ONE = 10**27
# Below this the factor is scaled up again, so that it keeps 18 digits or more.
LOW = 10**18


@dataclass(frozen=True, slots=True)
class Factor:
    """What a balance has become since it was 1: value / ONE^(1 + shift), within an epoch.

    epoch    rises when everything was lost: balances of older epochs are nothing
    backing  what all holders together are owed at most, smallest units
    """

    value: int
    shift: int
    epoch: int
    backing: int


@dataclass(frozen=True, slots=True)
class Settled:
    """A holder's balance as it was at a factor."""

    amount: int
    value: int
    shift: int
    epoch: int


def started(backing: int = 0) -> Factor:
    """Return the factor of a pot that has lost nothing."""
    return Factor(ONE, 0, 0, backing)


def lose(factor: Factor, amount: int) -> Factor:
    """Spread a loss over all holders; O(1)."""
    if not 0 <= amount <= factor.backing:
        raise InputInvalid("loss", amount, f"lie in [0, {factor.backing}], what backs the holders")
    if not amount:
        return factor
    backing = factor.backing - amount
    if not backing:
        return Factor(ONE, 0, factor.epoch + 1, 0)
    value, shift = factor.value, factor.shift
    # Scaled up before it is rounded: a loss of nearly everything costs no digits.
    while value * backing < LOW * factor.backing:
        value, shift = value * ONE, shift + 1
    return Factor(scale_down(value, backing, factor.backing), shift, factor.epoch, backing)


def settle(held: Settled, factor: Factor) -> Settled:
    """Return a balance brought up to the factor of now, rounded down."""
    amount = 0
    if held.epoch == factor.epoch and held.amount:
        steps = factor.shift - held.shift
        assert steps >= 0
        amount = scale_down(held.amount, factor.value, held.value * ONE**steps)
    return Settled(amount, factor.value, factor.shift, factor.epoch)


def add(held: Settled, factor: Factor, amount: int) -> tuple[Settled, Factor]:
    """Settle a holder and change its balance: in (> 0) or out (< 0)."""
    now = settle(held, factor)
    if now.amount + amount < 0:
        raise InputInvalid("amount", amount, f"be at least {-now.amount}, what there is")
    after = Settled(now.amount + amount, now.value, now.shift, now.epoch)
    return after, Factor(factor.value, factor.shift, factor.epoch, factor.backing + amount)


def newcomer(factor: Factor) -> Settled:
    """Return the balance of who holds nothing yet."""
    return Settled(0, factor.value, factor.shift, factor.epoch)


def residue(factor: Factor, held: list[Settled]) -> int:
    """Return what rounding left over once every holder is settled: it goes to rounding."""
    return factor.backing - sum(settle(one, factor).amount for one in held)
