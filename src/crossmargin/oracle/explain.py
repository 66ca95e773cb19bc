"""Why a price is what it is: each source, what it said, what became of it.

In     a state and the frame fused from it.
Out    one `Told` a source, and the causes in words.
Owns   the words.
Never  computes a price.
Signs  distances signed, fractions of the reference.
Spec   docs/spec/08-oracle.md, 8.4 to 8.14
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossmargin.base.arrays import B1
from crossmargin.oracle.agree import votes, weights
from crossmargin.oracle.fuse import Fate, FusedFrame
from crossmargin.oracle.guards import Cause
from crossmargin.oracle.quotes import SECOND_NS, Refusal
from crossmargin.oracle.state import REDEEMS, OracleState

CAUSES = {
    Cause.NO_QUORUM: "fewer independent sources than a price needs",
    Cause.FEW_SOURCES: "fewer independent sources than LIVE needs",
    Cause.MOVED: "beyond the breaker and not confirmed yet",
    Cause.CONFIRMED: "beyond the breaker, and the quorum has stood by it",
    Cause.NO_WINDOW: "no price has passed within the breaker's window",
    Cause.SHORT_WINDOW: "prices have not passed for a whole window yet",
    Cause.CAPPED: "the rate is above its growth cap, and counted at the cap",
    Cause.CAP_UNPROVEN: "no reading is old enough to measure the growth cap against",
    Cause.CAP_REFUTED: "the rate has outgrown its cap for a day: the cap is wrong",
    Cause.REDEMPTION_GAP: "market price and redemption value are too far apart",
}
FATES = {
    Fate.SILENT: "has said nothing that was taken",
    Fate.STALE: "stale",
    Fate.FAR: "dropped: too far from the reference",
    Fate.BESIDE: "redemption value, beside the price",
    Fate.KEPT: "kept",
}
REFUSALS = {
    Refusal.NOT_FINITE: "no finite number",
    Refusal.NOT_POSITIVE: "not above zero",
    Refusal.OUT_OF_RANGE: "no price: too small or too large",
    Refusal.UNSOUND: "volume or confidence negative, infinite or too large",
    Refusal.FROM_FUTURE: "stamped ahead of the clock",
    Refusal.STALE: "stale when it came",
    Refusal.OUT_OF_SEQUENCE: "not newer than what the source said before",
}


@dataclass(frozen=True, slots=True)
class Told:
    """One source of one price. group: whom it counts with; weight: of its group's vote."""

    source: str
    group: str
    fate: Fate
    price: float
    off: float
    age_s: float
    volume: float
    weight: float


def told(state: OracleState, fused: FusedFrame, factor: str) -> list[Told]:
    """Return what became of every source of a factor, in the order of the sources.

    state  the one `fuse` returned together with the frame
    """
    assert state.at_ns == fused.at_ns
    universe, row = state.universe, state.universe.factors.index(factor)
    heard = votes(state, state.at_ns)
    reference = float(fused.reference[row])
    kept = fused.fate == Fate.KEPT
    answer = []
    share = weights(heard.volume, _kept_groups(state, kept))[row]
    for s, source in enumerate(universe.sources):
        group = int(universe.group[s])
        price = float(state.price[row, s])
        name = "" if group == REDEEMS else universe.groups[group]
        counts = group != REDEEMS and bool(kept[row, s])
        age_s = (state.at_ns - int(state.stamp_ns[row, s])) / SECOND_NS
        answer.append(
            Told(
                source, name, Fate(int(fused.fate[row, s])), price, price / reference - 1.0, age_s,
                float(state.volume[row, s]), float(share[group]) if counts else 0.0,
            )
        )  # fmt: skip
    return answer


def causes(cause: int) -> list[str]:
    """Return the reasons for a status in words, none for LIVE."""
    return [words for bit, words in CAUSES.items() if cause & bit]


def _kept_groups(state: OracleState, kept: B1) -> B1:
    universe = state.universe
    found = np.zeros((len(universe.factors), len(universe.groups)), np.bool_)
    for s, group in enumerate(universe.group):
        if group != REDEEMS:
            found[:, group] |= kept[:, s]
    return found
