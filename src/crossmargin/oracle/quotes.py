"""Quotes as columns, and why one was not taken.

In     rows of quotes whose factors and sources are rows of a `Universe`.
Out    a frozen `QuoteFrame`; one `Refusal` for each of its rows.
Owns   what a quote is and the order in which it is refused.
Never  reads a clock; drops a quote without a reason.
Signs  prices > 0; volumes and confidences >= 0, NaN where the source states none.
Spec   docs/spec/08-oracle.md, 8.4, 8.5
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np

from crossmargin.base.arrays import B1, F64, I8, I64
from crossmargin.frames.terms import PRICE_MAX, SIZE_MAX

SECOND_NS = 1_000_000_000
# The least level a print may have (the engine's LEVEL_MIN): quotients leave the range of floats.
PRICE_MIN = 1e-18


class Refusal(IntEnum):
    """Why a quote was not taken, in the order of the tests: the first that applies."""

    TAKEN = 0
    NOT_FINITE = 1
    NOT_POSITIVE = 2
    OUT_OF_RANGE = 3  # no price the engine could hold
    UNSOUND = 4  # a volume or confidence that is negative, infinite or too large
    FROM_FUTURE = 5
    STALE = 6
    OUT_OF_SEQUENCE = 7  # not newer than what the source said before


@dataclass(frozen=True, slots=True)
class QuoteFrame:
    """Quotes in the order in which they arrived; Q rows.

    factor, source  (Q,) rows of the universe
    price           (Q,) numeraire or ratio
    stamp_ns        (Q,) when the source saw it, UTC; sequence (Q,) the source's own count
    volume          (Q,) traded lately, numeraire a day; NaN not stated
    confidence      (Q,) the source's own half-width, fraction of the price; NaN not stated
    """

    factor: I64
    source: I64
    price: F64
    stamp_ns: I64
    sequence: I64
    volume: F64
    confidence: F64

    def __len__(self) -> int:
        return len(self.price)

    def __getitem__(self, rows: slice | B1 | I64) -> QuoteFrame:
        """Return some of the rows."""
        return QuoteFrame(*(getattr(self, field.name)[rows] for field in fields(self)))


def no_quotes() -> QuoteFrame:
    """Return a frame without rows: time passes, nobody says anything."""
    numbers, whole = np.zeros(0), np.zeros(0, np.int64)
    return QuoteFrame(whole, whole, numbers, whole, whole, numbers, numbers)


def refusals(quotes: QuoteFrame, at_ns: int, future_s: float, stale_s: float) -> I8:
    """Return (Q,) the first reason each quote alone gives to refuse it (8.4); 0 where none.

    Every test says what must hold, so that a NaN fails it.
    """
    price, stamp = quotes.price, quotes.stamp_ns
    with np.errstate(invalid="ignore"):
        in_range = (price >= PRICE_MIN) & (price < PRICE_MAX)
        sound = _unstated_or_within(quotes.volume, SIZE_MAX)
        sound &= _unstated_or_within(quotes.confidence, 1.0)
    tests = (
        (np.isfinite(price), Refusal.NOT_FINITE),
        (np.nan_to_num(price) > 0.0, Refusal.NOT_POSITIVE),
        (in_range, Refusal.OUT_OF_RANGE),
        (sound, Refusal.UNSOUND),
        (stamp <= at_ns + int(future_s * SECOND_NS), Refusal.FROM_FUTURE),
        (stamp >= at_ns - int(stale_s * SECOND_NS), Refusal.STALE),
    )
    found = [~holds for holds, _ in tests]
    return np.select(found, [reason for _, reason in tests], Refusal.TAKEN).astype(np.int8)


def _unstated_or_within(value: F64, high: float) -> B1:
    return np.isnan(value) | ((value >= 0.0) & (value <= high))
