"""Fused prices as prints of a book.

In     a `FusedFrame`.
Out    prints by the stamp they carry, ready to be accepted by the engine.
Owns   what of a fused price a print can carry, and which prices are worth sending.
Never  sends a price that is missing, or one so old that the engine would refuse all beside it.
Signs  as `domain.book.Print`.
Spec   docs/spec/08-oracle.md, 8.15
"""

from __future__ import annotations

import math

from crossmargin.domain.book import Print
from crossmargin.frames.market import Status
from crossmargin.oracle.fuse import FusedFrame
from crossmargin.oracle.quotes import SECOND_NS

# A print's slow price lies strictly within ten times its level; LUNA fell further in an hour.
STABLE_RATIO_MAX = 10.0


def prints_of(fused: FusedFrame, stale_s: float) -> list[tuple[int, dict[str, Print]]]:
    """Return (stamp, factor -> print), oldest stamp first.

    A price carries the stamp at which its quorum had spoken, so the latency term of IM counts the
    age of the quotes and not that of the arithmetic. A price whose stamp is older than `stale_s`
    is not sent: the engine knows that what it has is stale.
    """
    oldest = fused.at_ns - int(stale_s * SECOND_NS)
    found: dict[int, dict[str, Print]] = {}
    for row, name in enumerate(fused.factors):
        status, stamp = Status(int(fused.status[row])), int(fused.stamp_ns[row])
        if status == Status.MISSING or stamp < oldest:
            continue
        level = float(fused.level[row])
        found.setdefault(stamp, {})[name] = Print(
            level, float(fused.half_width[row]), carried(float(fused.stable[row]), level),
            status.name.lower(),
        )  # fmt: skip
    return sorted(found.items())


def carried(stable: float, level: float) -> float:
    """Return the slow price as near as a print of this level can carry it."""
    low = math.nextafter(level / STABLE_RATIO_MAX, math.inf)
    high = math.nextafter(level * STABLE_RATIO_MAX, 0.0)
    # Products round: one step inside is what the engine compares with.
    while not 0.1 * level < low:
        low = math.nextafter(low, math.inf)
    return min(max(stable, low), high)
