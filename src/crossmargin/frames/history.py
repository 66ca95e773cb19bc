"""Point-in-time prices: hourly closes, lows and highs of every factor, and which prints to refuse.

In     hourly bars, one column a factor; each row stamped with the close of its bar.
Out    a frozen `HistoryFrame`; a row is visible from its stamp on, never earlier.
Owns   what was visible when, and the rule that refuses a print (spec 4.2).
Never  fills a gap: a missing or refused price is NaN; looks at a row after the stamp asked for.
Signs  prices > 0.
Spec   docs/spec/04-scenarios.md
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import B1, F64, I64, guard

HOUR_NS = 3_600 * 1_000_000_000
FIELDS = ("close", "low", "high")


class RefusedPrint(NamedTuple):
    """One print that was set aside: factor, stamp of its bar's close, which field, what it said."""

    factor: str
    ts_ns: int
    field: str
    price: float


@dataclass(frozen=True, slots=True)
class HistoryFrame:
    """N hours, K factors. NaN is missing.

    ts_ns             (N,) ascending, bar CLOSE, UTC nanoseconds
    close, low, high  (N, K) level of the factor
    confirm           (3, N, K) close, low, high of a second source, or None
    vol               (N, K) 30-day at-the-money volatility of the factor's surface, or None
    """

    ts_ns: I64
    factors: tuple[str, ...]
    close: F64
    low: F64
    high: F64
    confirm: F64 | None = None
    vol: F64 | None = None

    def __post_init__(self) -> None:
        n, k = len(self.ts_ns), len(self.factors)
        guard((n, k), close=self.close, low=self.low, high=self.high)
        if self.confirm is not None:
            guard((3, n, k), confirm=self.confirm)
        if self.vol is not None:
            guard((n, k), vol=self.vol)
        assert (np.diff(self.ts_ns) > 0).all(), "stamps must ascend"

    def __len__(self) -> int:
        return len(self.ts_ns)

    def rows(self, start: int, stop: int) -> HistoryFrame:
        """Return rows start .. stop - 1."""
        cut = slice(start, stop)
        return replace(
            self, ts_ns=self.ts_ns[cut], close=self.close[cut], low=self.low[cut],
            high=self.high[cut],
            confirm=None if self.confirm is None else self.confirm[:, cut],
            vol=None if self.vol is None else self.vol[cut],
        )  # fmt: skip

    def as_of(self, at_ns: int) -> HistoryFrame:
        """Return only what was visible at `at_ns`: bars that had closed by then."""
        return self.rows(0, int(np.searchsorted(self.ts_ns, at_ns, side="right")))

    def between(self, from_ns: int, to_ns: int) -> HistoryFrame:
        """Return the bars that closed after `from_ns` and not after `to_ns`."""
        return self.as_of(to_ns).rows(
            int(np.searchsorted(self.ts_ns, from_ns, side="right")), len(self)
        )


def clean(
    history: HistoryFrame, outlier: float, neighbours: float
) -> tuple[HistoryFrame, tuple[RefusedPrint, ...]]:
    """Return the history with refused prints set to NaN, and the list of them (spec 4.2).

    outlier     refuse beyond this distance, fraction, from both neighbours' closes ...
    neighbours  ... where those lie within this fraction of each other and nobody confirms.

    Neighbours are the nearest closes before and after the bar. At either end of a factor's life
    one of them is missing: the bar's own close stands in for a low or a high (a listing hour's
    high is judged), and a close that has one neighbour only is kept.
    """
    before, after = _neighbour_closes(history.close)
    cleaned: dict[str, F64] = {}
    refused: list[RefusedPrint] = []
    for row, name in enumerate(FIELDS):
        price = getattr(history, name)
        left, right = before, after
        if name != "close":
            left = np.where(np.isfinite(before), before, history.close)
            right = np.where(np.isfinite(after), after, history.close)
        second = None if history.confirm is None else history.confirm[row]
        bad = refused_prints(price, (left, right), second, (outlier, neighbours))
        cleaned[name] = np.where(bad, np.nan, price) if bad.any() else price
        refused += [
            RefusedPrint(history.factors[k], int(history.ts_ns[n]), name, float(price[n, k]))
            for n, k in zip(*np.nonzero(bad), strict=True)
        ]
    refused.sort(key=lambda r: (r.ts_ns, r.factor, r.field))
    return replace(
        history, close=cleaned["close"], low=cleaned["low"], high=cleaned["high"]
    ), tuple(refused)


def refused_prints(
    price: F64, around: tuple[F64, F64], second: F64 | None, limits: tuple[float, float]
) -> B1:
    """Return (N, K) True where a print is refused.

    price   (N, K) prints; around: the closes (N, K) before and after; second: the same print
            of a second source, NaN where there is none
    limits  (outlier, neighbours), fractions

    A second source confirms where its own print lies as far out on the same side. NaN refuses
    nothing: every comparison states what must hold for a refusal.
    """
    outlier, neighbours = limits
    low_side, high_side = _far_out(price, around, outlier)
    near = np.abs(around[1] / around[0] - 1.0) <= neighbours
    if second is not None:
        low_too, high_too = _far_out(second, around, outlier)
        low_side, high_side = low_side & ~low_too, high_side & ~high_too
    return near & (low_side | high_side)


def _far_out(price: F64, around: tuple[F64, F64], outlier: float) -> tuple[B1, B1]:
    floor = (1.0 - outlier) * np.minimum(*around)
    ceiling = (1.0 + outlier) * np.maximum(*around)
    return price < floor, price > ceiling


def _neighbour_closes(close: F64) -> tuple[F64, F64]:
    """(N, K) nearest finite close before and after each row, NaN where there is none."""
    return _last_before(close), _last_before(close[::-1])[::-1]


def _last_before(close: F64) -> F64:
    n, k = close.shape
    row = np.where(np.isfinite(close), np.arange(n)[:, None], -1)
    last = np.maximum.accumulate(row, axis=0)
    out = np.full((n, k), np.nan)
    if n > 1:
        seen = last[:-1]
        picked = np.take_along_axis(close, np.maximum(seen, 0), axis=0)
        out[1:] = np.where(seen >= 0, picked, np.nan)
    return out
