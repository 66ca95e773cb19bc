"""Bars and prints of one stretch of time: what several sources saw of every factor.

In     arrays from an adapter or a generator.
Out    a frozen `BarFrame`; a print is a bar of no length.
Owns   the order of rows (factor, source, time) and what one bar must satisfy.
Never  decides which source is right: a bad print stays in, whoever fuses quotes refuses it.
Signs  prices > 0; volumes >= 0 or NaN where the source states none.
Spec   docs/real-data.md, "Bad days, bar by bar"
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossmargin.base.arrays import B1, F64, I64

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class BarFrame:
    """K columns, one a factor and source, of N bars in all.

    factors, sources   (K,) names of each column; a factor's columns stand together, the most
                   trusted source first
    kinds, classes (K,) of the factor, in words of the market's factor table
    starts         (K + 1,) rows of each column, oldest first
    ts_ns          (N,) the bar's OPEN: it was known at ts_ns + bar_seconds
    bar_seconds    (N,) 0 for a print, which has open = high = low = close
    open, high, low, close   (N,) price; volume (N,) units of the base, NaN where unknown
    """

    factors: tuple[str, ...]
    sources: tuple[str, ...]
    kinds: tuple[str, ...]
    classes: tuple[str, ...]
    starts: I64
    ts_ns: I64
    bar_seconds: I64
    open: F64
    high: F64
    low: F64
    close: F64
    volume: F64

    def __post_init__(self) -> None:
        for names in (self.sources, self.kinds, self.classes, self.starts[:-1]):
            assert len(names) == len(self.factors)
        assert self.starts[0] == 0
        assert self.starts[-1] == len(self.ts_ns)
        inner = self.column[1:] == self.column[:-1]
        ends = self.ts_ns + self.bar_seconds * SECOND_NS
        assert (self.ts_ns[1:] >= ends[:-1])[inner].all(), "bars of one column overlap"
        assert (np.diff(self.ts_ns) > 0)[inner].all(), "a column's stamps increase"
        # Written as what must hold: a NaN price fails.
        assert (self.low > 0.0).all()
        assert (self.high < np.inf).all()
        for price in (self.open, self.close):
            assert ((self.low <= price) & (price <= self.high)).all()

    @property
    def n_columns(self) -> int:
        return len(self.factors)

    @property
    def column(self) -> I64:
        """(N,) column of each row."""
        return np.repeat(np.arange(self.n_columns), np.diff(self.starts))

    def rows(self, column: int) -> slice:
        return slice(int(self.starts[column]), int(self.starts[column + 1]))

    def picked(self, columns: Sequence[int]) -> BarFrame:
        """Return these columns alone, in this order."""
        size = np.diff(self.starts)[list(columns)]
        spans = [np.arange(self.starts[k], self.starts[k + 1]) for k in columns]
        row = np.concatenate(spans) if spans else np.zeros(0, np.int64)
        return replace(
            self,
            factors=tuple(self.factors[k] for k in columns),
            sources=tuple(self.sources[k] for k in columns),
            kinds=tuple(self.kinds[k] for k in columns),
            classes=tuple(self.classes[k] for k in columns),
            starts=np.concatenate([[0], np.cumsum(size)]).astype(np.int64),
            ts_ns=self.ts_ns[row], bar_seconds=self.bar_seconds[row], open=self.open[row],
            high=self.high[row], low=self.low[row], close=self.close[row],
            volume=self.volume[row],
        )  # fmt: skip

    def first_columns(self) -> list[int]:
        """Return the first column of every factor: its most trusted source."""
        return [k for k in range(self.n_columns) if self.factors[k] not in self.factors[:k]]


def bar_faults(open_: F64, high: F64, low: F64, close: F64) -> B1:
    """Return (N,) True where four prices make no bar: not finite, not positive, out of order."""
    fine = (low > 0.0) & (high < np.inf)
    for price in (open_, close):
        fine &= (low <= price) & (price <= high)
    return ~fine
