"""Marginal brackets in exact words: each part of a value gets the fraction of its bracket.

In     a value; (upper edge, fraction) pairs, ascending, the last edge infinite.
Out    what counts of it, or what it is charged.
Owns   the sum over brackets.
Never  knows whose schedule it is.
Signs  all >= 0.
Spec   docs/spec/03-collateral.md (3.1)
"""

from __future__ import annotations

from collections.abc import Sequence


def counted(value: float, schedule: Sequence[tuple[float, float]]) -> float:
    """Return sum over brackets of fraction x the part of `value` inside (lower, upper]."""
    total, lower = 0.0, 0.0
    for upper, fraction in schedule:
        inside = min(value, upper) - lower
        if inside > 0.0:
            total += fraction * inside
        lower = upper
    return total
