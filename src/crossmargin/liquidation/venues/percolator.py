"""Percolator's loss waterfall as it is coded, and the same one without its loss of value.

In     totals of a venue: what its users are owed, what is there to pay them.
Out    what each step took; totals afterwards; a user's balance after a lazy settlement.
Owns   the peer's rule, its defect included.
Never  is used by a method of ours: it stands here to be measured against.
Signs  integers of quote units, >= 0; scales are exact fractions of 1.
Spec   docs/spec/09-waterfall.md, (9.80)

The peer lowers the insurance fund by what it draws and raises nothing by it, so its deficit grows
back by the draw, and users pay it again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from crossmargin.base.fixed import scale_down


@dataclass(frozen=True, slots=True)
class Totals:
    """principal, realized and warming are owed to users; collateral and insurance are there."""

    principal: int
    realized: int
    warming: int
    collateral: int
    insurance: int

    @property
    def equity(self) -> int:
        """What users are owed beside gains that still warm."""
        return self.principal + self.realized

    @property
    def deficit(self) -> int:
        """What is owed beyond what is there."""
        return max(0, self.equity + self.warming - self.collateral - self.insurance)


@dataclass(frozen=True, slots=True)
class Resolved:
    """burned: gains; drawn: insurance; cut: users' equity; lost: value that went nowhere."""

    burned: int
    drawn: int
    cut_frac: Fraction
    after: Totals
    lost: Fraction

    @property
    def solvent(self) -> bool:
        """Nothing is owed beyond what is there, to a unit of rounding."""
        return self.after.deficit <= 1


def as_coded(start: Totals) -> Resolved:
    """Return the peer's answer: the draw is not added to the collateral."""
    return _resolve(start, credited=False)


def conserving(start: Totals) -> Resolved:
    """Return the answer that credits what it draws: burned + cut = deficit, exactly."""
    return _resolve(start, credited=True)


def _resolve(start: Totals, credited: bool) -> Resolved:
    burned = min(start.deficit, start.warming)
    now = replace(start, warming=start.warming - burned)
    drawn = min(now.deficit, now.insurance)
    now = replace(
        now,
        insurance=now.insurance - drawn,
        collateral=now.collateral + (drawn if credited else 0),
    )
    share = min(Fraction(1), Fraction(now.deficit, now.equity)) if now.equity else Fraction(0)
    keep = 1 - share
    # Cuts are rounded against the user, each column on its own.
    after = replace(
        now,
        principal=scale_down(now.principal, keep.numerator, keep.denominator),
        realized=scale_down(now.realized, keep.numerator, keep.denominator),
    )
    lost = burned + share * now.equity - start.deficit
    return Resolved(burned, drawn, share, after, lost)


@dataclass(frozen=True, slots=True)
class User:
    """One user's balances, as they were when last settled."""

    principal: int
    realized: int
    warming: int


def materialise(
    user: User, equity_scale: Fraction, warming_scale: Fraction, vesting: tuple[int, int],
    principal_first: bool,
) -> User:  # fmt: skip
    """Settle a user lazily: its share of cuts, then what has vested of its gains since.

    vesting  slots since the last settlement, slots until all of a gain is vested
    """
    keep = (user.principal + user.realized) * equity_scale.numerator // equity_scale.denominator
    cut = user.principal + user.realized - keep
    first = user.principal if principal_first else user.realized
    taken = min(first, cut)
    from_principal = taken if principal_first else cut - taken
    warming = user.warming * warming_scale.numerator // warming_scale.denominator
    slots, whole = vesting
    vested = warming * min(slots, whole) // whole
    return User(
        user.principal - from_principal,
        user.realized - (cut - from_principal) + vested,
        warming - vested,
    )
