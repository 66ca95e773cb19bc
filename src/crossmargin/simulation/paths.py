"""From bars to ticks: every column of a `BarFrame` on one clock.

In     a BarFrame, a clock, a Generator, and which extreme comes first.
Out    (T, K) prices, stamps and volumes: one row a tick, one column a factor and source.
Owns   how a bar is filled, who follows whom, and how a day gets more factors than it had.
Never  leaves a bar: its first tick is the open, its extremes are touched exactly, its last tick is
       the close. Fills an hour nobody saw: its ticks are NaN.
Signs  prices > 0.
Spec   docs/generator.md, "From bars to ticks"

The shortest bars with the most turnover lead: a random bridge goes through their open, extremes and
close. Everything else follows: the sources of a factor its first column, other coins the leader. A
follower's shape is its leader's, scaled to its own range and bent through its own four prices, so
coins fall in the same second and two sources of one coin differ by no more than they did. Pegs and
bases lead themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

import numpy as np

from crossmargin.base.arrays import B1, F64, I64
from crossmargin.frames.bars import SECOND_NS, BarFrame
from crossmargin.frames.history import HOUR_NS

# A driftless walk of n steps spans sqrt(8 / pi) sigma sqrt(n) on average (Feller 1951).
SPAN = 1.5957691216057308
# An extreme this far from open and close, in log, is a print of one tick and no path leads to it:
# SUI's wick of 10 October 2025 is 1.8 away and was traded through, LINK's 0.0001 is 10 away.
LONE = 2.0
CHUNK_TICKS = 262_144  # ticks in flight: 2 MB an array


class Order(StrEnum):
    """Which extreme a leading bar touches first."""

    LOW_FIRST = "low_first"
    HIGH_FIRST = "high_first"


@dataclass(frozen=True, slots=True)
class Clock:
    """Ticks at equal steps from start_ns on; a minute has a whole number of them."""

    start_ns: int
    n_minutes: int
    ticks_a_minute: int = 20

    @property
    def n_ticks(self) -> int:
        return self.n_minutes * self.ticks_a_minute

    @property
    def step_ns(self) -> int:
        return 60 * SECOND_NS // self.ticks_a_minute

    @property
    def at_ns(self) -> I64:
        """(T,) stamp of each tick."""
        return self.start_ns + self.step_ns * np.arange(self.n_ticks, dtype=np.int64)


def tick_table(bars: BarFrame, clock: Clock, rng: np.random.Generator, order: Order) -> F64:
    """Return (T, K) the price of every column at every tick; NaN where it had none.

    Only bars that lie wholly inside the clock are filled. A print holds until the next one.
    """
    price = np.full((bars.n_columns, clock.n_ticks), np.nan)
    _hold_prints(bars, clock, price)
    lone: list[tuple[I64, F64]] = []
    for rows, guides, n in _batches(bars, clock):
        batch = _Batch(bars, clock, rows, n)
        alone = batch.follow(price, guides)
        batch.lead(alone, rng, order)
        filled, strays = batch.filled()
        price.ravel()[batch.ticks] = filled
        lone += strays
    # Stray prints come last, so that nothing follows them.
    for stray, values in lone:
        price.ravel()[stray] = values
    return np.ascontiguousarray(price.T)


def stamp_table(bars: BarFrame, clock: Clock) -> I64:
    """Return (T, K) when each tick's price was seen: its own time, or its print's; -1 for none."""
    stamp = np.full((bars.n_columns, clock.n_ticks), -1, np.int64)
    at_ns = clock.at_ns
    for _, ticks, _ in _spans(bars, clock):
        stamp.ravel()[ticks] = at_ns[ticks % clock.n_ticks]
    for column, held, row in _prints(bars, clock):
        stamp[column, held] = bars.ts_ns[row]
    return np.ascontiguousarray(stamp.T)


def tick_volumes(bars: BarFrame, clock: Clock) -> F64:
    """Return (T, K) units of the base by tick: a bar's volume in equal parts, NaN unknown."""
    volume = np.full((bars.n_columns, clock.n_ticks), np.nan)
    for rows, ticks, n in _spans(bars, clock):
        volume.ravel()[ticks] = np.repeat(bars.volume[rows] / n, n).reshape(-1, n)
    return np.ascontiguousarray(volume.T)


def leader(bars: BarFrame) -> int:
    """Return the column others follow, or -1: the most traded coin of the shortest bars."""
    best, found = (0.0, 0.0), -1
    for k in range(bars.n_columns):
        rows = bars.rows(k)
        seconds = bars.bar_seconds[rows]
        if bars.kinds[k] != "spot" or not len(seconds) or not seconds.min() > 0:
            continue
        turnover = float(np.nansum(bars.volume[rows] * bars.close[rows]))
        rank = (-float(seconds.min()), turnover)
        if found < 0 or rank > best:
            best, found = rank, k
    return found


def widened(bars: BarFrame, n_factors: int, rng: np.random.Generator) -> BarFrame:
    """Return the first column of every factor, and as many mixed coins as are missing.

    A mixed coin takes each hour from a coin drawn anew, at the hour it happened, and goes on where
    it stood: real bars, the crash at its own time, a day that no coin had.
    """
    own = bars.picked(bars.first_columns())
    more = n_factors - own.n_columns
    assert more >= 0, f"the day has {own.n_columns} factors already"
    donors = [k for k in range(own.n_columns) if own.kinds[k] == "spot"]
    hours = [_hours_of(own, k) for k in donors]
    first, last = min(min(h) for h in hours), max(max(h) for h in hours)
    parts = []
    for _ in range(more):
        mixed: list[tuple[slice, float]] = []
        level = 0.0
        for hour in range(first, last + 1):
            having = [h[hour] for h in hours if hour in h]
            if not having:
                continue
            rows = having[int(rng.integers(len(having)))]
            level = level or float(own.open[rows.start])
            factor = level / float(own.open[rows.start])
            mixed.append((rows, factor))
            level = factor * float(own.close[rows.stop - 1])
        parts.append(mixed)
    return _joined(own, parts)


def _hours_of(bars: BarFrame, column: int) -> dict[int, slice]:
    """Hour -> the column's rows in it."""
    rows = bars.rows(column)
    hour = bars.ts_ns[rows] // HOUR_NS
    edges = np.flatnonzero(np.diff(hour, prepend=hour[0] - 1, append=hour[-1] + 1))
    return {
        int(hour[a]): slice(rows.start + a, rows.start + b) for a, b in pairwise(edges.tolist())
    }


def _joined(own: BarFrame, parts: list[list[tuple[slice, float]]]) -> BarFrame:
    pieces = [piece for mixed in parts for piece in mixed]
    rows = np.concatenate([np.arange(s.start, s.stop) for s, _ in pieces] or [np.zeros(0, int)])
    times = np.repeat([f for _, f in pieces], [s.stop - s.start for s, _ in pieces])
    size = [sum(s.stop - s.start for s, _ in mixed) for mixed in parts]
    n = len(parts)

    def add(column: F64, scale: F64 | float) -> F64:
        added: F64 = np.concatenate([column, column[rows] * scale])
        return added

    return replace(
        own,
        factors=(*own.factors, *(f"MIX{j:03d}/USD" for j in range(n))),
        sources=(*own.sources, *("mixed",) * n), kinds=(*own.kinds, *("spot",) * n),
        classes=(*own.classes, *("altcoin",) * n),
        starts=np.concatenate([own.starts, own.starts[-1] + np.cumsum(size, dtype=np.int64)]),
        ts_ns=np.concatenate([own.ts_ns, own.ts_ns[rows]]),
        bar_seconds=np.concatenate([own.bar_seconds, own.bar_seconds[rows]]),
        open=add(own.open, times), high=add(own.high, times), low=add(own.low, times),
        close=add(own.close, times),
        volume=add(own.volume, 1.0 / times if n else 1.0),  # the same turnover in USD
    )  # fmt: skip


# --- which rows go together -----------------------------------------------------------------------


def _inside(bars: BarFrame, clock: Clock) -> B1:
    """(N,) bars (no prints) that lie wholly inside the clock."""
    first = bars.ts_ns - clock.start_ns
    last = first + bars.bar_seconds * SECOND_NS
    span = clock.n_ticks * clock.step_ns
    return (bars.bar_seconds > 0) & (first >= 0) & (last <= span)


def _spans(bars: BarFrame, clock: Clock) -> Iterator[tuple[I64, I64, int]]:
    """Yield (rows, flat ticks (B, n) of the (K, T) table, n) by length of bars, in chunks."""
    inside = np.flatnonzero(_inside(bars, clock))
    yield from _cut(bars, clock, inside)


def _cut(bars: BarFrame, clock: Clock, picked: I64) -> Iterator[tuple[I64, I64, int]]:
    for seconds in np.unique(bars.bar_seconds[picked]).tolist():
        n = _ticks_of(seconds, clock)
        rows = picked[bars.bar_seconds[picked] == seconds]
        for start in range(0, len(rows), max(CHUNK_TICKS // n, 1)):
            some = rows[start : start + max(CHUNK_TICKS // n, 1)]
            yield some, _flat_ticks(bars, clock, some, n), n


def _ticks_of(seconds: int, clock: Clock) -> int:
    n = seconds * SECOND_NS // clock.step_ns
    assert n * clock.step_ns == seconds * SECOND_NS, "a bar has a whole number of ticks"
    assert n >= 4, "open, low, high and close need a tick each"
    return n


def _flat_ticks(bars: BarFrame, clock: Clock, rows: I64, n: int) -> I64:
    first = (bars.ts_ns[rows] - clock.start_ns) // clock.step_ns
    assert (first * clock.step_ns == bars.ts_ns[rows] - clock.start_ns).all(), "off the clock"
    base: I64 = bars.column[rows] * clock.n_ticks + first
    return base[:, None] + np.arange(n)


def _batches(bars: BarFrame, clock: Clock) -> Iterator[tuple[I64, I64, int]]:
    """Yield (rows, (B, 2) columns to follow, n), leaders before followers; -1 follows nobody.

    Short bars come first: a long one follows what is known inside of it.
    """
    k = bars.n_columns
    lead = leader(bars)
    firsts = np.array([bars.factors.index(f) for f in bars.factors], np.int64)
    spot = np.array([kind == "spot" for kind in bars.kinds], np.bool_)
    guides = np.full((k, 2), -1, np.int64)
    guides[spot, 1] = lead
    guides[:, 0] = np.where(firsts == np.arange(k), -1, firsts)
    turn = np.where(firsts == np.arange(k), 1, 2)
    if lead >= 0:
        turn[lead], guides[lead] = 0, -1
    column, inside = bars.column, _inside(bars, clock)
    for seconds in np.unique(bars.bar_seconds[inside]).tolist():
        same = inside & (bars.bar_seconds == seconds)
        for rank in range(3):
            rows = np.flatnonzero(same & (turn[column] == rank))
            for some, _, n in _cut(bars, clock, rows):
                yield some, guides[column[some]], n


def _prints(bars: BarFrame, clock: Clock) -> Iterator[tuple[int, slice, int]]:
    """Yield (column, ticks, row): from when to when a print is the last word of its column."""
    at_ns = clock.at_ns
    for k in range(bars.n_columns):
        rows = bars.rows(k)
        if rows.stop > rows.start and not bars.bar_seconds[rows].any():
            edges = np.searchsorted(at_ns, bars.ts_ns[rows], side="left")
            ends = np.append(edges[1:], clock.n_ticks)
            for row, (a, b) in enumerate(zip(edges.tolist(), ends.tolist(), strict=True)):
                if a < b:
                    yield k, slice(a, b), rows.start + row


def _hold_prints(bars: BarFrame, clock: Clock, price: F64) -> None:
    for column, ticks, row in _prints(bars, clock):
        price[column, ticks] = bars.close[row]


# --- one batch of bars of one length --------------------------------------------------------------


class _Batch:
    """B bars of n ticks: their four prices, and the ticks they fill."""

    def __init__(self, bars: BarFrame, clock: Clock, rows: I64, n: int) -> None:
        self.n, self.n_ticks = n, clock.n_ticks
        self.ticks = _flat_ticks(bars, clock, rows, n)
        self.first = self.ticks[:, 0] % clock.n_ticks
        self.shape = np.empty(self.ticks.shape)
        self.low_at, self.high_at = np.empty((2, len(rows)), np.int64)
        self.open, self.close = bars.open[rows], bars.close[rows]
        self.low, self.high = bars.low[rows], bars.high[rows]
        body_low = np.minimum(self.open, self.close)
        body_high = np.maximum(self.open, self.close)
        self.lone_low = np.log(body_low / self.low) > LONE
        self.lone_high = np.log(self.high / body_high) > LONE
        self.floor = np.where(self.lone_low, body_low, self.low)
        self.ceiling = np.where(self.lone_high, body_high, self.high)
        self.span = np.log(self.ceiling / self.floor)

    def follow(self, price: F64, guides: I64) -> I64:
        """Shape each bar like its first guide that is known inside of it; return the bars left."""
        alone = np.arange(len(self.first))
        for choice in range(2):
            rows = alone[guides[alone, choice] >= 0]
            base = guides[rows, choice] * self.n_ticks + self.first[rows]
            seen = price.ravel()[base[:, None] + np.arange(self.n)]
            known = np.isfinite(seen).all(axis=1)
            rows, log = rows[known], np.log(seen[known])
            low_at, high_at = log.argmin(axis=1), log.argmax(axis=1)
            wide = np.ptp(log, axis=1)
            scale = np.divide(self.span[rows], wide, out=np.zeros(len(rows)), where=wide > 0.0)
            self.shape[rows] = log * scale[:, None]
            self.low_at[rows], self.high_at[rows] = self._apart(low_at, high_at)
            alone = np.setdiff1d(alone, rows)
        return alone

    def lead(self, alone: I64, rng: np.random.Generator, order: Order) -> None:
        """Shape the bars that follow nobody: a walk, and the ticks at which they turn.

        The ticks are drawn once for each stretch of the clock, so that bars of one length that
        lead themselves turn together.
        """
        n = self.n
        u = rng.random((self.n_ticks // n + 1, 2))[self.first[alone] // n]
        one = 1 + (u[:, 0] * (n - 2)).astype(np.int64)
        two = 1 + (u[:, 1] * (n - 3)).astype(np.int64)
        two += two >= one
        ends = np.minimum(one, two), np.maximum(one, two)
        low_at, high_at = ends if order is Order.LOW_FIRST else ends[::-1]
        self.low_at[alone], self.high_at[alone] = low_at, high_at
        step = self.span[alone] / (SPAN * np.sqrt(n))
        walk = rng.standard_normal((len(alone), n)) * step[:, None]
        self.shape[alone] = np.cumsum(walk, axis=1)

    def _apart(self, low_at: I64, high_at: I64) -> tuple[I64, I64]:
        """Keep the first and last tick for open and close, and one tick for each extreme."""
        low_at, high_at = (np.clip(at, 1, self.n - 2) for at in (low_at, high_at))
        step = np.where(low_at < self.n - 2, 1, -1)
        return low_at, np.where(low_at == high_at, high_at + step, high_at)

    def filled(self) -> tuple[F64, list[tuple[I64, F64]]]:
        """Return ((B, n) prices, stray prints): the shape bent through the four prices.

        Bending adds a line between each two of them; what would leave the bar is mirrored back.
        """
        shape, low_at, high_at = self.shape, self.low_at, self.high_at
        bar = np.arange(len(shape))
        low_first = low_at < high_at
        first, second = np.minimum(low_at, high_at), np.maximum(low_at, high_at)
        at = np.stack([np.zeros_like(first), first, second, np.full_like(first, self.n - 1)])
        floor, ceiling = np.log(self.floor), np.log(self.ceiling)
        through = np.stack([
            np.log(self.open), np.where(low_first, floor, ceiling),
            np.where(low_first, ceiling, floor), np.log(self.close),
        ])  # fmt: skip
        gap = through - shape[bar, at]
        slope = np.diff(gap, axis=0) / np.diff(at, axis=0)
        t = np.arange(self.n)
        x = shape + gap[0][:, None] + slope[0][:, None] * np.minimum(t, first[:, None])
        x += slope[1][:, None] * np.clip(t - first[:, None], 0, (second - first)[:, None])
        x += slope[2][:, None] * np.maximum(t - second[:, None], 0)
        low, high = floor[:, None], ceiling[:, None]
        x = low + np.abs(x - low)
        x = high - np.abs(high - x)
        # Whatever the mirrors and the last bit of exp did: nothing outside of the bar.
        price = np.clip(np.exp(x, out=x), self.floor[:, None], self.ceiling[:, None])
        price[:, 0], price[:, -1] = self.open, self.close
        price[bar, low_at], price[bar, high_at] = self.floor, self.ceiling
        strays = [
            (self.ticks[bar[lone], at_tick[lone]], extreme[lone])
            for lone, at_tick, extreme in (
                (self.lone_low, low_at, self.low), (self.lone_high, high_at, self.high),
            )
            if lone.any()
        ]  # fmt: skip
        return price, strays
