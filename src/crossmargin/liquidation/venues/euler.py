"""The reverse Dutch auction of the Euler vault kit, in exact integers.

In     balances in token wei, prices of 1e18 wei in the unit of account x 1e18, LTVs in 1e4.
Out    what may be repaid at most and what is seized for it; limits on their way down.
Owns   the venue's order of operations and its roundings: every division rounds down.
Never  touches a float; accrues interest; decides who liquidates.
Signs  everything >= 0.
Spec   docs/spec/09-liquidation.md, 9.13
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ONE = 10**18
LTV_ONE = 10**4
SOCIALISED_MIN = 10**6
"""Debts worth less, in the unit of account, are not socialised."""


@dataclass(frozen=True, slots=True)
class Collateral:
    """One collateral of a debt: balance in wei, price x 1e18, liquidation LTV in 1e4."""

    token: str
    balance: int
    price: int
    ltv: int

    @property
    def value(self) -> int:
        return self.balance * self.price // ONE

    @property
    def adjusted(self) -> int:
        return self.value * self.ltv // LTV_ONE


@dataclass(frozen=True, slots=True)
class Debt:
    """What is owed: wei, and the price of 1e18 wei x 1e18."""

    amount: int
    price: int

    @property
    def value(self) -> int:
        return self.amount * self.price // ONE


@dataclass(frozen=True, slots=True)
class Seizure:
    """What one liquidation may do at most: wei repaid and wei of collateral seized for it.

    factor  what the liquidator pays for a unit of value, x 1e18
    """

    repay: int
    seized: int
    factor: int


NOTHING = Seizure(0, 0, ONE)


def adjusted_value(collaterals: Sequence[Collateral]) -> int:
    """Return the value of collateral after liquidation LTVs."""
    return sum(c.adjusted for c in collaterals)


def largest_seizure(
    collaterals: Sequence[Collateral], seized: str, debt: Debt, discount_max: int
) -> Seizure:
    """Return the largest liquidation of one collateral; nothing where the debt is covered.

    discount_max  in 1e4
    """
    liability, adjusted = debt.value, adjusted_value(collaterals)
    if liability == 0 or adjusted > liability:
        return NOTHING
    factor = max(adjusted * ONE // liability, ONE - discount_max * ONE // LTV_ONE)
    (own,) = (c for c in collaterals if c.token == seized)
    repay_value, yield_value = liability, liability * ONE // factor
    if own.value < yield_value:
        repay_value, yield_value = own.value * factor // ONE, own.value
    repay = repay_value * debt.amount // liability
    taken = yield_value * own.balance // own.value if own.value else 0
    return Seizure(repay, taken, factor)


def part_of(largest: Seizure, repay: int) -> Seizure:
    """Return a smaller liquidation: the collateral is seized in proportion to what is repaid."""
    assert 0 <= repay <= largest.repay
    taken = largest.seized * repay // largest.repay if largest.repay else largest.seized
    return Seizure(repay, taken, largest.factor)


def socialised(collaterals: Sequence[Collateral], seized: str, debt: Debt, done: Seizure) -> int:
    """Return the debt spread over the vault's lenders once the last collateral is gone, wei."""
    left = [c.balance - (done.seized if c.token == seized else 0) for c in collaterals]
    if any(left) or debt.value < SOCIALISED_MIN:
        return 0
    return debt.amount - done.repay


@dataclass(frozen=True, slots=True)
class LoanLimit:
    """Borrow LTV, and a liquidation LTV that ramps from `start` to `target`; 1e4, seconds."""

    borrow: int
    start: int
    target: int
    begun: int
    ramp: int

    def liquidation(self, now: int) -> int:
        """Return the liquidation LTV: down in a line, in favour of the borrower; up at once."""
        left = self.begun + self.ramp - now
        if self.target >= self.start or left <= 0:
            return self.target
        return self.target + (self.start - self.target) * left // self.ramp


def changed(limit: LoanLimit, borrow: int, target: int, ramp: int, now: int) -> LoanLimit:
    """Return the limit after a governor's change: the borrow LTV moves at once."""
    assert borrow <= target
    start = limit.liquidation(now)
    assert ramp == 0 or target < start, "only lowering takes time"
    return LoanLimit(borrow, start, target, now, ramp)
