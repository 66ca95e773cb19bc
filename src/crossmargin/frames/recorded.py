"""Price history as a table and as a HistoryFrame: the history.parquet of a market folder.

In     one row an hour and factor: ts (close of the bar), factor, close, and what else is known.
Out    a `HistoryFrame`, with one finding for each price that cannot be one; or the table of one.
Owns   the columns of a history table.
Never  refuses a print for its size (the joint scenarios do, with their own rule), or fills a gap.
Signs  prices > 0.
Spec   docs/spec/04-scenarios.md, docs/formats.md
"""

from __future__ import annotations

import numpy as np
import polars as pl

from crossmargin.base.arrays import F64
from crossmargin.base.errors import Finding, MarketInvalid
from crossmargin.frames.findings import (
    Column,
    Reads,
    Rule,
    above_zero,
    audit,
    conform,
    named,
    read,
    unique,
)
from crossmargin.frames.history import FIELDS, HistoryFrame
from crossmargin.frames.terms import IV_MAX, PRICE_MAX

CONFIRM = tuple(f"confirm_{field}" for field in FIELDS)
HISTORY_COLUMNS = {
    "ts": Column(Reads.STAMP, True), "factor": Column(Reads.TEXT, True),
    "close": Column(Reads.NUMBER, True), "low": Column(Reads.NUMBER),
    "high": Column(Reads.NUMBER), "vol": Column(Reads.NUMBER),
    **dict.fromkeys(CONFIRM, Column(Reads.NUMBER)),
}  # fmt: skip


def compile_history(table: pl.DataFrame, source: str) -> tuple[HistoryFrame, list[Finding]]:
    """Return the history as columns; a price that is none is missing, and says so.

    Where low and high are not recorded at all they are the close: a series of closes has no wick.
    """
    rows = conform(table, HISTORY_COLUMNS, source)
    stamped = Rule("ts", read("ts") > 0, "be a stamp such as 2025-10-10T21:00Z")
    _, faults = audit(rows, [stamped, named("factor"), unique("ts", "factor")], source, "factor")
    if faults:
        raise MarketInvalid(faults)
    prices = (*FIELDS, *CONFIRM)
    rules = [
        Rule(name, read(name).is_null() | above_zero(name, PRICE_MAX), "be a price > 0, or empty")
        for name in prices
    ]
    vol = Rule("vol", read("vol").is_null() | above_zero("vol", IV_MAX), "be a fraction > 0")
    _, findings = audit(rows, [*rules, vol], source, "factor")
    stamps, hour = np.unique(rows["#ts"].to_numpy(), return_inverse=True)
    factors = rows["factor"].unique(maintain_order=True)
    place = factors.to_frame("factor").with_row_index("#k")
    column = rows.join(place, on="factor", how="left", maintain_order="left")["#k"].to_numpy()
    shape = (len(stamps), len(factors))

    def wide(name: str, high: float) -> F64:
        values = rows[f"#{name}"].fill_null(float("nan")).to_numpy()
        good = (values > 0.0) & (values <= high)  # NaN and infinities fail
        made = np.full(shape, np.nan)
        made[hour[good], column[good]] = values[good]
        return made

    def given(name: str) -> bool:
        return name in table.columns

    close = wide("close", PRICE_MAX)
    frame = HistoryFrame(
        ts_ns=stamps.astype(np.int64), factors=tuple(factors), close=close,
        low=wide("low", PRICE_MAX) if given("low") else close,
        high=wide("high", PRICE_MAX) if given("high") else close,
        confirm=np.stack([wide(name, PRICE_MAX) for name in CONFIRM])
        if any(given(name) for name in CONFIRM) else None,
        vol=wide("vol", IV_MAX) if given("vol") else None,
    )  # fmt: skip
    return frame, findings


def history_table(frame: HistoryFrame) -> pl.DataFrame:
    """Return the table `compile_history` reads back as the same frame."""
    n, k = len(frame), len(frame.factors)
    columns = {
        "ts": np.repeat(frame.ts_ns, k), "factor": list(frame.factors) * n,
        "close": frame.close.ravel(), "low": frame.low.ravel(), "high": frame.high.ravel(),
    }  # fmt: skip
    if frame.confirm is not None:
        columns |= {name: frame.confirm[i].ravel() for i, name in enumerate(CONFIRM)}
    if frame.vol is not None:
        columns["vol"] = frame.vol.ravel()
    made = pl.DataFrame(columns).with_columns(pl.from_epoch("ts", "ns").dt.replace_time_zone("UTC"))
    return made.with_columns(pl.col(pl.Float64).fill_nan(None))
