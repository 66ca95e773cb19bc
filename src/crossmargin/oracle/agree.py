"""What independent sources agree on: reference, who is kept, price, half-width, quorum.

In     one vote of each group of sources for each factor.
Out    an `Agreed`, NaN where there is no quorum.
Owns   the order group, reference, drop, weigh (8.6 to 8.9).
Never  remembers: what a price may do after the last one is the business of `guards`.
Signs  prices > 0, NaN no vote; volumes >= 0, NaN unknown; half-width a fraction.
Spec   docs/spec/08-oracle.md, 8.6 to 8.9
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossmargin.base.arrays import B1, F64, I64
from crossmargin.oracle.quotes import SECOND_NS
from crossmargin.oracle.state import REDEEMS, OracleState, Universe

# An edge written in decimals belongs to the kept side: 0.99 is not further than 1 % from 1.
EDGE = 1e-12


@dataclass(frozen=True, slots=True)
class Votes:
    """One row a factor, one column a group; stamp 0 and price NaN where it says nothing.

    redemption  (F,) equal-weight median of fresh redemption values, NaN where there is none
    fresh       (F, S) which sources' last quotes are young enough
    """

    price: F64
    volume: F64
    confidence: F64
    stamp_ns: I64
    redemption: F64
    fresh: B1


@dataclass(frozen=True, slots=True)
class Agreed:
    """What the quorum says; NaN where there is none.

    reference  (F,) equal-weight median of all votes; kept (F, G) near enough to it; n_kept (F,)
    level      (F,) weighted median of the kept; half_width (F,); stamp_ns (F,) spec 8.9
    """

    reference: F64
    kept: B1
    n_kept: I64
    level: F64
    half_width: F64
    stamp_ns: I64


def votes(state: OracleState, at_ns: int) -> Votes:
    """Return the votes of the sources whose last quotes are not stale; a group has one (8.6)."""
    universe = state.universe
    oldest = at_ns - int(universe.rules.stale_s * SECOND_NS)
    fresh = (state.sequence >= 0) & (state.stamp_ns >= oldest)
    price = np.where(fresh, state.price, np.nan)
    f, g = len(universe.factors), len(universe.groups)
    level, volume, confidence = (np.full((f, g), np.nan) for _ in range(3))
    stamp = np.zeros((f, g), np.int64)
    for row in range(g):
        mine = universe.group == row
        there = fresh[:, mine]
        some = there.any(axis=1)
        level[:, row] = middle(price[:, mine])
        # They read one pool: what was traded there is not the sum, and the oldest read dates it.
        volume[:, row] = _largest(np.where(there, state.volume[:, mine], np.nan))
        confidence[:, row] = _largest(np.where(there, state.confidence[:, mine], np.nan))
        oldest_read = np.where(there, state.stamp_ns[:, mine], np.iinfo(np.int64).max).min(axis=1)
        stamp[:, row] = np.where(some, oldest_read, 0)
    redemption = middle(price[:, universe.group == REDEEMS])
    return Votes(level, volume, confidence, stamp, redemption, fresh)


def agree(universe: Universe, heard: Votes, at_ns: int) -> Agreed:
    """Return what the sources agree on."""
    says, price = universe.says, heard.price
    reference = middle(price)
    with np.errstate(invalid="ignore"):
        away = np.abs(price - reference[:, None])
        kept = away <= ((universe.deviation + EDGE) * reference)[:, None]
    n_kept = kept.sum(axis=1)
    near = middle(np.where(kept, price, np.nan))
    level = weighted_middle(price, weights(heard.volume, kept), near)
    quorum = n_kept >= says.quorum_degraded
    need = np.where(n_kept >= says.quorum_live, says.quorum_live, says.quorum_degraded)
    return Agreed(
        reference, kept, n_kept, np.where(quorum, level, np.nan),
        np.where(quorum, _half_width(universe, heard, kept, level), np.nan),
        np.where(quorum, np.minimum(_stamp(heard.stamp_ns, kept, need), at_ns), 0),
    )  # fmt: skip


def weights(volume: F64, kept: B1) -> F64:
    """Return (F, G) the weight of each kept vote, 0 of the others (8.8).

    Volume, capped at the lower median of the stated volumes; a source that states none counts as
    the least of those that do; where nobody counts for anything, all count the same.
    """
    stated = np.where(kept, volume, np.nan)
    known = np.isfinite(stated)
    n = known.sum(axis=1)
    ordered = np.sort(np.where(known, stated, np.inf), axis=1)
    some = n > 0
    at = np.where(some, (n - 1) // 2, 0)[:, None]
    if not volume.shape[1]:
        return np.zeros(volume.shape)
    cap = np.where(some, np.take_along_axis(ordered, at, axis=1)[:, 0], 1.0)
    least = np.where(some, ordered[:, 0], 1.0)
    weight = np.minimum(np.where(known, stated, least[:, None]), cap[:, None])
    weight = np.where(kept, weight, 0.0)
    nothing = ~(weight.sum(axis=1) > 0.0)
    return np.where(nothing[:, None], kept.astype(np.float64), weight)


def weighted_middle(price: F64, weight: F64, near: F64) -> F64:
    """Return (F,) the weighted median of each row; NaN where nothing has a weight.

    Where two halves tie, every point between them is a median: the one nearest to `near`, the
    plain median, is taken, so that equal weights give just that and nobody decides a tie alone.
    """
    if not price.shape[1]:
        return np.full(len(price), np.nan)
    counts = weight > 0.0
    first = np.where(counts, price, np.inf)
    # Equal prices by weight: the sums run in the same order whatever row a source has.
    order = np.lexsort((weight, first), axis=1)
    first = np.take_along_axis(first, order, axis=1)
    below = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    half = 0.5 * below[:, -1:]
    low = np.argmax(below >= half * (1.0 - EDGE), axis=1)[:, None]
    high = np.argmax(below > half * (1.0 + EDGE), axis=1)[:, None]
    low_price = np.take_along_axis(first, low, axis=1)[:, 0]
    high_price = np.take_along_axis(first, high, axis=1)[:, 0]
    found = np.minimum(np.maximum(near, low_price), high_price)
    return np.where(counts.any(axis=1), found, np.nan)


def middle(price: F64) -> F64:
    """Return (F,) the equal-weight median of each row's numbers; NaN where there is none."""
    if not price.shape[1]:
        return np.full(len(price), np.nan)
    ordered = np.sort(price, axis=1)  # NaN last
    n = np.isfinite(price).sum(axis=1)
    low = np.maximum(n - 1, 0) // 2
    low_price = np.take_along_axis(ordered, low[:, None], axis=1)[:, 0]
    high_price = np.take_along_axis(
        ordered, np.minimum(n // 2, price.shape[1] - 1)[:, None], axis=1
    )
    return np.where(n > 0, 0.5 * (low_price + high_price[:, 0]), np.nan)


def _half_width(universe: Universe, heard: Votes, kept: B1, level: F64) -> F64:
    """max(half the range of the kept, the widest confidence stated), capped (8.9)."""
    if not kept.shape[1]:
        return np.full(len(level), np.nan)
    high = np.where(kept, heard.price, -np.inf).max(axis=1)
    low = np.where(kept, heard.price, np.inf).min(axis=1)
    stated = np.where(kept & np.isfinite(heard.confidence), heard.confidence, 0.0).max(axis=1)
    with np.errstate(invalid="ignore"):
        wide = np.maximum(0.5 * (high - low) / level, stated)
    capped: F64 = np.minimum(wide, universe.rules.half_width_max)
    return capped


def _stamp(stamp_ns: I64, kept: B1, need: I64) -> I64:
    """The moment at which a quorum of the kept had spoken: the `need`-th newest stamp."""
    newest_first = -np.sort(-np.where(kept, stamp_ns, 0), axis=1)
    if not newest_first.shape[1]:
        return np.zeros(len(need), np.int64)
    at = np.minimum(need - 1, newest_first.shape[1] - 1)[:, None]
    stamp: I64 = np.take_along_axis(newest_first, at, axis=1)[:, 0]
    return stamp


def _largest(value: F64) -> F64:
    """The largest number of each row, NaN where there is none."""
    found: F64 = np.fmax.reduce(value, axis=1, initial=np.nan)
    return found
