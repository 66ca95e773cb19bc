"""Many quotes to one price with status and half-width: the oracle's one step.

In     a state, quotes in the order in which they arrived, the moment.
Out    the next state and a `FusedFrame` that says where every number comes from.
Owns   the order of the rules (8.4 to 8.14) and what is remembered.
Never  reads a socket or a clock; changes the state it was given.
Signs  levels > 0, NaN where there never was one; half-widths fractions.
Spec   docs/spec/08-oracle.md
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from crossmargin.base.arrays import B1, F64, I8, I64
from crossmargin.oracle import guards
from crossmargin.oracle.agree import EDGE, Agreed, Votes, agree, votes
from crossmargin.oracle.guards import DAY_NS, HALTS, Cause
from crossmargin.oracle.quotes import SECOND_NS, QuoteFrame, Refusal, refusals
from crossmargin.oracle.state import REDEEMS, OracleState, Trail


class Fate(IntEnum):
    """What became of a source's last quote."""

    SILENT = 0  # it never said anything that was taken
    STALE = 1
    FAR = 2  # further from the reference than its class allows
    BESIDE = 3  # a redemption value: compared with the price, no part of it
    KEPT = 4


@dataclass(frozen=True, slots=True)
class FusedFrame:
    """Prices of one moment; F factors, S sources, G groups, Q quotes of this step.

    level, half_width, stable, stamp_ns  (F,) as a print carries them: of the last price that passed
    status      (F,) `Status`; cause (F,) bits of `Cause`
    agreed      (F,) what the quorum says now, whether it passed or not; NaN without a quorum
    reference   (F,) equal-weight median of the votes; n_kept (F,) independent sources kept
    redemption  (F,) redemption value; gap (F,) redemption / price - 1; NaN where nobody states one
    fate        (F, S) `Fate` of each source; refused (Q,) `Refusal` of each quote
    """

    at_ns: int
    factors: tuple[str, ...]
    level: F64
    half_width: F64
    stable: F64
    stamp_ns: I64
    status: I8
    cause: I64
    agreed: F64
    reference: F64
    n_kept: I64
    redemption: F64
    gap: F64
    fate: I8
    refused: I8

    def __len__(self) -> int:
        return len(self.factors)


def fuse(state: OracleState, quotes: QuoteFrame, at_ns: int) -> tuple[OracleState, FusedFrame]:
    """Return the oracle after these quotes at this moment, and its prices. Pure.

    Moments never run back: whoever calls owns the clock.
    """
    assert at_ns >= state.at_ns, f"{at_ns} is before {state.at_ns}"
    heard_state, refused = heard(state, quotes, at_ns)
    votes_now = votes(heard_state, at_ns)
    agreed = agree(state.universe, votes_now, at_ns)
    level, cause = guards.capped(state, agreed.level, at_ns)
    watch = guards.watched(state, level, at_ns)
    cause |= watch.cause | guards.counted(state, agreed)
    passed = np.isfinite(level) & ((cause & int(HALTS)) == 0)
    since = guards.passing_since(state, passed, at_ns)
    window_ns = int(state.universe.says.breaker_window_s * SECOND_NS)
    cause |= np.where(passed & (at_ns - since < window_ns), Cause.SHORT_WINDOW, 0)
    gap, wide = _redemption(state, votes_now, level)
    cause |= np.where(wide, Cause.REDEMPTION_GAP, 0)
    after = replace(
        heard_state, at_ns=at_ns,
        level=np.where(passed, level, state.level),
        half_width=np.where(passed, _widened(state, agreed, gap), state.half_width),
        stable=guards.slow(state, level, passed, at_ns),
        # A source that comes back late must not make a price older than it was.
        level_ns=np.where(passed, np.maximum(agreed.stamp_ns, state.level_ns), state.level_ns),
        passed_ns=np.where(passed, at_ns, state.passed_ns), since_ns=since,
        side=watch.side, side_ns=watch.side_ns,
        passed=_passed(state, level, passed, at_ns), rates=_rates(state, agreed.level, at_ns),
    )  # fmt: skip
    fused = FusedFrame(
        at_ns, state.universe.factors, after.level, after.half_width, after.stable, after.level_ns,
        guards.statuses(cause, after.level), cause, agreed.level, agreed.reference, agreed.n_kept,
        votes_now.redemption, gap, _fates(heard_state, votes_now, agreed), refused,
    )  # fmt: skip
    return after, fused


def heard(state: OracleState, quotes: QuoteFrame, at_ns: int) -> tuple[OracleState, I8]:
    """Return the state with the quotes that were taken, and (Q,) why each other was not (8.4).

    A source counts its quotes of a factor upwards, and its stamps do not run back.
    """
    rules, says = state.universe.rules, state.universe.says
    found = refusals(quotes, at_ns, says.future_s, rules.stale_s)
    price, volume, confidence = (a.copy() for a in (state.price, state.volume, state.confidence))
    stamp, sequence = state.stamp_ns.copy(), state.sequence.copy()
    for row in np.flatnonzero(found == Refusal.TAKEN):
        at = quotes.factor[row], quotes.source[row]
        if quotes.sequence[row] <= sequence[at] or quotes.stamp_ns[row] < stamp[at]:
            found[row] = Refusal.OUT_OF_SEQUENCE
            continue
        price[at], volume[at] = quotes.price[row], quotes.volume[row]
        confidence[at] = quotes.confidence[row]
        stamp[at], sequence[at] = quotes.stamp_ns[row], quotes.sequence[row]
    taken = replace(
        state, price=price, volume=volume, confidence=confidence, stamp_ns=stamp, sequence=sequence
    )
    return taken, found


def _redemption(state: OracleState, heard_now: Votes, level: F64) -> tuple[F64, B1]:
    """Return redemption / price - 1, and whether the two are too far apart (8.14)."""
    gap = heard_now.redemption / level - 1.0
    with np.errstate(invalid="ignore"):
        return gap, np.abs(gap) > state.universe.says.redemption_gap + EDGE


def _widened(state: OracleState, agreed: Agreed, gap: F64) -> F64:
    """The half-width reaches the redemption value too, as far as the cap lets it (8.14)."""
    wide = np.fmax(agreed.half_width, np.abs(gap))
    return np.minimum(wide, state.universe.rules.half_width_max)


def _passed(state: OracleState, level: F64, passed: B1, at_ns: int) -> Trail:
    kept = state.passed.since(at_ns - int(state.universe.says.breaker_window_s * SECOND_NS))
    return kept.with_rows(np.flatnonzero(passed), at_ns, level)


def _rates(state: OracleState, level: F64, at_ns: int) -> Trail:
    """One reading a day of every rate, as the sources say it and not as it was capped."""
    universe = state.universe
    days = universe.says.growth_window_days + 2.0
    kept = state.rates.since(at_ns - int(days * DAY_NS))
    last = np.zeros(len(level), np.int64)
    np.maximum.at(last, kept.factor, kept.at_ns)
    due = np.isfinite(universe.growth) & np.isfinite(level) & (at_ns - last >= DAY_NS)
    return kept.with_rows(np.flatnonzero(due), at_ns, level)


def _fates(state: OracleState, heard_now: Votes, agreed: Agreed) -> I8:
    group = state.universe.group
    spoke = state.sequence >= 0
    kept = np.zeros(spoke.shape, np.bool_)
    voting = group != REDEEMS
    kept[:, voting] = agreed.kept[:, group[voting]]
    found = np.select(
        [~spoke, ~heard_now.fresh, np.broadcast_to(~voting, spoke.shape), kept],
        [Fate.SILENT, Fate.STALE, Fate.BESIDE, Fate.KEPT], Fate.FAR,
    )  # fmt: skip
    return found.astype(np.int8)
