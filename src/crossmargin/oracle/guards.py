"""What an agreed price may do after the one before: growth cap, breaker, slow price, status.

In     a state, what the sources agree on now, the moment.
Out    what passes and why not more, columns over factors.
Owns   8.10 to 8.14: cap of rates, breaker, slow price, redemption gap, the status of a price.
Never  asks a source; lets a NaN pass a comparison.
Signs  levels > 0; a cause is a bit.
Spec   docs/spec/08-oracle.md, 8.10 to 8.14
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np

from crossmargin.base.arrays import B1, F64, I8, I64
from crossmargin.frames.market import Status
from crossmargin.oracle.agree import EDGE, Agreed
from crossmargin.oracle.quotes import SECOND_NS
from crossmargin.oracle.state import OracleState, Side

DAY_NS = 86_400 * SECOND_NS
YEAR_NS = 365 * DAY_NS
HOUR_NS = 3_600 * SECOND_NS


class Cause(IntFlag):
    """Why a price is not LIVE."""

    NONE = 0
    NO_QUORUM = 1  # fewer independent sources than DEGRADED needs
    FEW_SOURCES = 2  # fewer than LIVE needs
    MOVED = 4  # beyond the breaker, not confirmed yet
    CONFIRMED = 8  # beyond the breaker, and the quorum has stood by it
    NO_WINDOW = 16  # nothing passed within the breaker's window: as if it had moved
    SHORT_WINDOW = 32  # prices have not passed for a whole window yet
    CAPPED = 64  # a rate above its growth cap, taken at the cap
    CAP_UNPROVEN = 128  # no reading old enough to measure the cap against
    CAP_REFUTED = 256  # the rate grew faster than the cap for a day: the cap is wrong, not the rate
    REDEMPTION_GAP = 512  # market price and redemption value are too far apart


HALTS = Cause.NO_QUORUM | Cause.MOVED | Cause.CAP_REFUTED


@dataclass(frozen=True, slots=True)
class Watched:
    """What the breaker says of each factor (8.10, 8.11); side_ns: since when it says so."""

    side: I8
    side_ns: I64
    halted: B1
    cause: I64


def capped(state: OracleState, level: F64, at_ns: int) -> tuple[F64, I64]:
    """Return (F,) the level at most at its growth cap, and causes (8.12).

    The cap runs from one reading: ratio and stamp of the same row. Measured growth runs from that
    reading to the newest one that is a day old, so a jump is capped at once and refutes the cap
    only when it has lasted for a day.
    """
    growth, rates = state.universe.growth, state.rates
    cause = np.zeros(len(level), np.int64)
    level = level.copy()
    window_ns = int(state.universe.says.growth_window_days * DAY_NS)
    for row in np.flatnonzero(np.isfinite(growth) & np.isfinite(level)):
        stamps, ratios = rates.of(int(row))
        base = int(np.searchsorted(stamps, at_ns - window_ns, "right")) - 1
        head = int(np.searchsorted(stamps, at_ns - DAY_NS, "right")) - 1
        cap = float(growth[row])
        if base < 0 or head <= base:
            cause[row] |= Cause.CAP_UNPROVEN
        else:
            years = float(stamps[head] - stamps[base]) / YEAR_NS
            if not ratios[head] / ratios[base] - 1.0 <= cap * years * (1.0 + EDGE) + EDGE:
                cause[row] |= Cause.CAP_REFUTED
        if len(stamps):
            first = max(base, 0)
            years = float(at_ns - stamps[first]) / YEAR_NS
            limit = float(ratios[first]) * (1.0 + cap * years)
            if not level[row] <= limit * (1.0 + EDGE):
                level[row] = limit
                cause[row] |= Cause.CAPPED
    return level, cause


def watched(state: OracleState, level: F64, at_ns: int) -> Watched:
    """Return what the breaker says of an agreed level; NaN levels say nothing and reset it."""
    universe, says = state.universe, state.universe.says
    f, known = len(level), np.isfinite(level)
    window = state.passed.since(at_ns - int(says.breaker_window_s * SECOND_NS))
    high, low = np.full(f, -np.inf), np.full(f, np.inf)
    np.maximum.at(high, window.factor, window.level)
    np.minimum.at(low, window.factor, window.level)
    with np.errstate(invalid="ignore"):
        down = level < high * (1.0 - universe.breaker) * (1.0 - EDGE)
        up = level > low * (1.0 + universe.breaker) * (1.0 + EDGE)
    alone = known & ~np.isfinite(high)
    # A side that still holds stays: a fall that goes on is the same fall.
    still = ((state.side == Side.DOWN) & down) | ((state.side == Side.UP) & up)
    side = np.select(
        [~known, alone, still, down, up],
        [Side.WITHIN, Side.ALONE, state.side, Side.DOWN, Side.UP], Side.WITHIN,
    ).astype(np.int8)  # fmt: skip
    gap = at_ns - state.at_ns > int(universe.rules.stale_s * SECOND_NS)
    same = (side == state.side) & (not gap)
    side_ns = np.where(same, state.side_ns, at_ns)
    beyond = side != Side.WITHIN
    halted = beyond & (at_ns - side_ns < int(says.confirm_s * SECOND_NS))
    cause = np.select(
        [side == Side.ALONE, halted, beyond], [Cause.NO_WINDOW, Cause.MOVED, Cause.CONFIRMED], 0
    )
    cause = np.where(halted, cause | Cause.MOVED, cause)
    return Watched(side, side_ns, halted, cause.astype(np.int64))


def passing_since(state: OracleState, passed: B1, at_ns: int) -> I64:
    """Return (F,) since when prices have passed without a gap longer than a price may be old."""
    oldest = at_ns - int(state.universe.rules.stale_s * SECOND_NS)
    goes_on = passed & (state.passed_ns >= oldest) & (state.passed_ns > 0)
    return np.where(goes_on, state.since_ns, np.where(passed, at_ns, state.since_ns))


def slow(state: OracleState, level: F64, passed: B1, at_ns: int) -> F64:
    """Return (F,) the slow price after this moment (8.13).

    It moves by at most a factor (1 + rate) an hour either way, and only with a price that passes:
    a step counts for at most as long as a price may be old.
    """
    universe = state.universe
    step_ns = min(at_ns - state.at_ns, int(universe.rules.stale_s * SECOND_NS))
    reach = (1.0 + universe.says.stable_per_hour) ** (step_ns / HOUR_NS)
    with np.errstate(invalid="ignore"):
        moved = np.minimum(np.maximum(level, state.stable / reach), state.stable * reach)
    moved = np.where(np.isfinite(state.stable), moved, level)
    return np.where(passed, moved, state.stable)


def counted(state: OracleState, agreed: Agreed) -> I64:
    """Return (F,) the causes the number of sources gives (8.9)."""
    says = state.universe.says
    few = np.where(agreed.n_kept < says.quorum_live, Cause.FEW_SOURCES, Cause.NONE)
    none = agreed.n_kept < says.quorum_degraded
    return np.where(none, Cause.NO_QUORUM, few).astype(np.int64)


def statuses(cause: I64, level: F64) -> I8:
    """Return (F,) `Status`: LIVE needs no cause at all, and a level there never was is MISSING."""
    halted = (cause & int(HALTS)) != 0
    found = np.select([~np.isfinite(level), halted, cause != 0],
                      [Status.MISSING, Status.HALTED, Status.DEGRADED], Status.LIVE)  # fmt: skip
    return found.astype(np.int8)
