"""Rules of the loss waterfall: where a penalty goes.

In     numbers of the rulebook.
Out    a frozen section that cannot be built wrong.
Owns   the shares of a penalty and their bounds.
Never  says how large a penalty is.
Signs  shares are whole parts of a million, >= 0, because what they share out is exact.
Spec   docs/spec/09-waterfall.md (9.64)
"""

from __future__ import annotations

from crossmargin.base.errors import RulebookInvalid
from crossmargin.domain.parts import Part, check

MILLION = 1_000_000


class PenaltySplit(Part, frozen=True):
    """What the liquidator and the venue get of a penalty; the tier's insurance gets the rest."""

    liquidator_ppm: int
    fees_ppm: int

    def __post_init__(self) -> None:
        check("waterfall.liquidator_ppm", self.liquidator_ppm, 0, MILLION)
        check("waterfall.fees_ppm", self.fees_ppm, 0, MILLION)
        if self.liquidator_ppm + self.fees_ppm > MILLION:
            raise RulebookInvalid(
                "waterfall.fees_ppm",
                self.fees_ppm,
                f"be at most {MILLION - self.liquidator_ppm}, what the liquidator leaves",
            )
