"""Rules of liquidation: how a pool under water is sold.

In     numbers of the rulebook.
Out    frozen sections that cannot be built wrong.
Owns   which parameters liquidation has and their bounds.
Never  decides what is sold.
Signs  fractions are of 1.
Spec   docs/spec/16-defaults.md
"""

from __future__ import annotations

from crossmargin.domain.parts import Part, check


class Liquidation(Part, frozen=True):
    """What explain and the linter need of liquidation (spec 9)."""

    target_health: float
    dust: float
    bonus: float

    def __post_init__(self) -> None:
        check("liquidation.target_health", self.target_health, 1.0, 10.0)
        check("liquidation.dust", self.dust, 0.0, 1e9)
        check("liquidation.bonus", self.bonus, 0.0, 0.5)
