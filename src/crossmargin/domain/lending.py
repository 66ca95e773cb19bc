"""Terms on which one asset is lent: cap, and a borrow rate that follows utilisation.

In     numbers of the rulebook.
Out    a frozen `LendingTerms` that cannot be built wrong.
Owns   which parameters lending has and their bounds.
Never  knows how much is lent.
Signs  rates are fractions a year, >= 0; cap in coins.
Spec   docs/spec/10-ledger.md
"""

from __future__ import annotations

import msgspec

from crossmargin.base.errors import RulebookInvalid


class LendingTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rate: base + slope_low u / kink up to the kink, then + slope_high (u - kink) / (1 - kink).

    cap              coins that may be owed in all; a breach after a fall liquidates nobody
    utilisation_max  new borrow must leave debt / supplied at most here
    """

    cap: float
    base: float
    slope_low: float
    kink: float
    slope_high: float
    utilisation_max: float = 0.95

    def __post_init__(self) -> None:
        for key, low, high in (
            ("cap", 0.0, 1e18), ("base", 0.0, 10.0), ("slope_low", 0.0, 10.0),
            ("kink", 0.01, 0.99), ("slope_high", 0.0, 100.0), ("utilisation_max", 0.0, 1.0),
        ):  # fmt: skip
            value = getattr(self, key)
            if not low <= value <= high:
                raise RulebookInvalid(f"lending.{key}", value, f"must lie in [{low:g}, {high:g}]")
