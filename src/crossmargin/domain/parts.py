"""What every section of the rulebook is made of: a frozen part, and one check of a number.

In     numbers.
Out    `Part`, the base of all sections; `check`, which refuses what lies outside its bounds.
Owns   how a section refuses: the key, what was found, what is allowed.
Never  knows a parameter.
Signs  none.
Spec   docs/spec/16-defaults.md
"""

from __future__ import annotations

import msgspec

from crossmargin.base.errors import RulebookInvalid


def check(key: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside [low, high]; NaN fails every comparison and is refused."""
    if not low <= value <= high:
        raise RulebookInvalid(key, value, f"must lie in [{low:g}, {high:g}]")


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A section of the rulebook."""
