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
import polars as pl

from crossmargin.base.arrays import B1, F64, I64, guard
from crossmargin.base.errors import MarketInvalid
from crossmargin.frames.findings import Column, Reads, Rule, audit, conform, named, read

HOUR_NS = 3_600 * 1_000_000_000
FIELDS = ("close", "low", "high")


class RefusedPrint(NamedTuple):
    """One print that was set aside: factor, stamp of its bar's close, which field, what it said."""

    factor: str
    ts_ns: int
    field: str
    price: float

    def __str__(self) -> str:
        at = np.datetime64(self.ts_ns, "ns").astype("datetime64[m]")
        return f"{self.factor} {self.field} {self.price:g}, bar closed {at}Z"


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


COLUMNS = {
    "ts": Column(Reads.STAMP, True), "factor": Column(Reads.TEXT, True),
    "close": Column(Reads.NUMBER, True), "low": Column(Reads.NUMBER),
    "high": Column(Reads.NUMBER), "vol": Column(Reads.NUMBER),
}  # fmt: skip


def history_from_table(table: pl.DataFrame, source: str = "history") -> HistoryFrame:
    """Return the history of a long table: ts (bar CLOSE), factor, close, [low, high, vol].

    A price that is absent or not above zero is missing; low and high stand at the close where
    they are absent. A stamp that cannot be read, or two rows of one factor and stamp, raise.
    """
    rows = conform(table, COLUMNS, source)
    _, faults = audit(
        rows,
        [
            named("factor"),
            Rule("ts", read("ts") > 0, "be a UTC stamp after 1970"),
            Rule("ts", ~pl.struct("factor", "#ts").is_duplicated(), "differ for each factor",
                 "keep one row"),
        ],
        source, "factor",
    )  # fmt: skip
    if faults:
        raise MarketInvalid(faults)
    stamps, factors = rows["#ts"].unique().sort(), rows["factor"].unique().sort()
    row = np.searchsorted(stamps.to_numpy(), rows["#ts"].to_numpy())
    column = rows["factor"].replace_strict(
        factors, pl.int_range(len(factors), eager=True), return_dtype=pl.Int64
    )

    def wide(name: str) -> F64:
        values = rows[f"#{name}"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        out = np.full((len(stamps), len(factors)), np.nan)
        out[row, column.to_numpy()] = np.where(np.isfinite(values) & (values > 0.0), values, np.nan)
        return out

    close, low, high, vol = (wide(name) for name in ("close", "low", "high", "vol"))
    return HistoryFrame(
        stamps.cast(pl.Int64).to_numpy(), tuple(factors.to_list()), close,
        np.where(np.isfinite(low), low, close), np.where(np.isfinite(high), high, close),
        vol=vol if np.isfinite(vol).any() else None,
    )  # fmt: skip


def history_to_table(history: HistoryFrame) -> pl.DataFrame:
    """Return the history as the long table `history_from_table` reads, without missing closes.

    The second source is not part of a table: write a cleaned history.
    """
    row, column = np.nonzero(np.isfinite(history.close))
    names = pl.Series(history.factors, dtype=pl.String)
    columns = {
        "ts": pl.Series(history.ts_ns[row]).cast(pl.Datetime("ns", "UTC")),
        "factor": names.gather(column),
        **{name: getattr(history, name)[row, column] for name in FIELDS},
    }
    if history.vol is not None:
        columns["vol"] = history.vol[row, column]
    return pl.DataFrame(columns).with_columns(pl.col(pl.Float64).fill_nan(None))


def clean(
    history: HistoryFrame, outlier: float, neighbours: float
) -> tuple[HistoryFrame, tuple[RefusedPrint, ...]]:
    """Return the history with refused prints set to NaN, and the list of them (spec 4.2).

    outlier     a print is judged beyond this distance, fraction, from both neighbours' closes
    neighbours  closes this near to each other, fraction, say that nothing moved

    Neighbours are the nearest closes before and after the bar. At either end of a factor's life
    one of them is missing: the bar's own close stands in for a low or a high, and a close that
    has one neighbour only is kept. A listing hour trades at any price until somebody has one: its
    low and high are judged by its own and the next close, whether those agree or not.
    Prints of the second source are judged the same way, by the first, and listed as `second low`.
    """
    around = _neighbour_closes(history.close)
    limits = (outlier, neighbours)
    traded = _next_bar_reaches(history)
    close_bad = refused_prints(history.close, around, _second(history, 0), limits) & ~traded
    close = np.where(close_bad, np.nan, history.close)
    ends = tuple(np.where(np.isfinite(side), side, history.close) for side in around)
    wide = (ends[0], ends[1])
    listing = ~np.isfinite(around[0])
    bad = {"close": close_bad}
    for field, name in enumerate(FIELDS[1:], 1):
        price = getattr(history, name)
        # A bar that also closed out there was no lone print.
        own = half_as_far(close, price, wide)
        bad[name] = refused_prints(price, wide, _second(history, field), limits, listing) & ~own
    refused = [r for name in FIELDS for r in _listed(history, name, bad[name])]
    if history.confirm is not None:
        for field, name in enumerate(FIELDS):
            second = history.confirm[field]
            wrong = refused_prints(second, wide, getattr(history, name), limits)
            refused += _listed(history, f"second {name}", wrong, second)
    refused.sort(key=lambda r: (r.ts_ns, r.factor, r.field))
    low, high = (np.where(bad[f], np.nan, getattr(history, f)) for f in FIELDS[1:])
    return replace(history, close=close, low=low, high=high), tuple(refused)


def refused_prints(
    price: F64,
    around: tuple[F64, F64],
    second: F64 | None,
    limits: tuple[float, float],
    listing: B1 | None = None,
) -> B1:
    """Return (N, K) True where a print is refused.

    price   (N, K) prints; around: the closes (N, K) before and after; second: the same print
            of a second source, NaN where there is none
    limits  (outlier, neighbours), fractions
    listing (N, K) True in a factor's first hour, where the neighbours need not agree

    Refused is a print beyond `outlier` from both neighbours which no second source confirms,
    where the neighbours agree - or where a second source was there and saw nothing like it: in
    the hour of a crash neighbours do not agree, and a print of 0.0001 must go all the same.
    NaN refuses nothing: every comparison states what must hold for a refusal.
    """
    outlier, neighbours = limits
    far = (price < (1.0 - outlier) * np.minimum(*around)) | (
        price > (1.0 + outlier) * np.maximum(*around)
    )
    agree = np.abs(around[1] / around[0] - 1.0) <= neighbours
    if listing is not None:
        agree |= listing
    if second is None:
        return far & agree
    confirmed = half_as_far(second, price, around)
    return far & ~confirmed & (agree | np.isfinite(second))


def half_as_far(witness: F64, price: F64, around: tuple[F64, F64]) -> B1:
    """(N, K) True where the witness left the neighbours on the print's side, half as far in log."""
    low, high = np.minimum(*around), np.maximum(*around)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = np.log(low / witness) >= 0.5 * np.log(low / price)
        above = np.log(witness / high) >= 0.5 * np.log(price / high)
    return np.asarray(((price < low) & below) | ((price > high) & above))


def _next_bar_reaches(history: HistoryFrame) -> B1:
    """(N, K) True where the next hour traded within 5 % of this close: it was a real price."""
    reached = np.zeros(history.close.shape, dtype=np.bool_)
    close, low, high = history.close[:-1], history.low[1:], history.high[1:]
    reached[:-1] = (low <= 1.05 * close) & (high >= 0.95 * close)
    return reached


def _second(history: HistoryFrame, field: int) -> F64 | None:
    return None if history.confirm is None else history.confirm[field]


def _listed(
    history: HistoryFrame, name: str, bad: B1, price: F64 | None = None
) -> list[RefusedPrint]:
    values = getattr(history, name) if price is None else price
    return [
        RefusedPrint(history.factors[k], int(history.ts_ns[n]), name, float(values[n, k]))
        for n, k in zip(*np.nonzero(bad), strict=True)
    ]


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
