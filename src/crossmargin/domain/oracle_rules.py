"""Rules of the oracle: how many quotes become one price.

In     numbers of the rulebook.
Out    frozen sections that cannot be built wrong.
Owns   which parameters the oracle has and their bounds.
Never  knows a price.
Signs  fractions are of 1.
Spec   docs/spec/08-price-uncertainty.md
"""

from __future__ import annotations

from crossmargin.domain.parts import Part, check


class Oracle(Part, frozen=True):
    """Price status and uncertainty as the margin path needs them (spec 8)."""

    stale_s: float
    half_width_max: float
    price_uncertainty: bool

    def __post_init__(self) -> None:
        check("oracle.stale_s", self.stale_s, 0.1, 1e7)
        check("oracle.half_width_max", self.half_width_max, 0.0, 1.0)
