"""Bars written down by hand."""

from __future__ import annotations

import numpy as np

from crossmargin.frames.bars import SECOND_NS, BarFrame


def bars(*columns):
    """Columns (factor, source, [(minute, seconds, open, high, low, close)])."""
    rows = np.array([row for _, _, own in columns for row in own], np.float64).reshape(-1, 6)
    starts = np.concatenate([[0], np.cumsum([len(own) for _, _, own in columns])])
    return BarFrame(
        factors=tuple(c[0] for c in columns), sources=tuple(c[1] for c in columns),
        kinds=("spot",) * len(columns), classes=("altcoin",) * len(columns),
        starts=starts.astype(np.int64), ts_ns=(rows[:, 0] * 60 * SECOND_NS).astype(np.int64),
        bar_seconds=rows[:, 1].astype(np.int64), open=rows[:, 2], high=rows[:, 3], low=rows[:, 4],
        close=rows[:, 5], volume=np.full(len(rows), np.nan),
    )  # fmt: skip


def flat(minute, seconds=60, price=1.0):
    return (minute, seconds, price, price, price, price)
