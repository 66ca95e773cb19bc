"""A price history as the table `frames.history.history_from_table` reads back.

In     a `HistoryFrame`.
Out    one row an hour and factor: ts (close of the bar), factor, close, low, high, [vol].
Owns   the way from columns a factor to rows; second sources stay behind.
Never  fills a gap: a missing price is an empty cell.
Signs  prices > 0.
Spec   docs/formats.md
"""

from __future__ import annotations

import numpy as np
import polars as pl

from crossmargin.frames.history import HistoryFrame


def history_table(frame: HistoryFrame) -> pl.DataFrame:
    """Return the long table of a history, hours ascending, factors in their order."""
    n, k = len(frame), len(frame.factors)
    columns = {
        "ts": np.repeat(frame.ts_ns, k), "factor": list(frame.factors) * n,
        "close": frame.close.ravel(), "low": frame.low.ravel(), "high": frame.high.ravel(),
    }  # fmt: skip
    if frame.vol is not None:
        columns["vol"] = frame.vol.ravel()
    made = pl.DataFrame(columns).with_columns(pl.from_epoch("ts", "ns").dt.replace_time_zone("UTC"))
    return made.with_columns(pl.col(pl.Float64).fill_nan(None))
