"""What the named stress events did, measured on the data folder (spec 4.4).

In     the data folder; which days an event took and what lost its peg in it.
Out    one EventMoves an event: t0, the move of every named factor, the prints set aside.
Owns   the list of events, how t0 is found, and the rounding that goes into the rulebook.
Never  names a factor that did not trade at t0: the rulebook's class percentile stands in for it.
Signs  moves are relative, - down.
Spec   docs/real-data.md section 3

One window of at most 24 hours an event, the same for all factors: t0 is the hour from which the
median coin fell furthest within 24 hours. A coin moves from its close at t0 to its lowest
confirmed low in the window. What lost its peg moves from par to the low of its own worst hour
within the event's days.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from crossmargin.adapters.real_history import real_history
from crossmargin.adapters.real_market import market_class
from crossmargin.base.arrays import F64
from crossmargin.domain.rulebook import Joint
from crossmargin.frames.history import HOUR_NS, HistoryFrame, RefusedPrint, clean

WINDOW_HOURS = 24
# Coins that stand in the rulebook by name where they traded: the majors, and altcoins with depth.
COINS = (
    "BTC", "ETH", "SOL", "XRP", "BNB", "ADA", "LTC", "BCH", "LINK", "AVAX", "DOT", "DOGE",
    "AAVE", "ATOM", "CRV", "ETC", "FIL", "MATIC", "NEAR", "SUI", "TRX", "UNI",
)  # fmt: skip
# A move of -1 does not exist; the rulebook takes -0.99999 at most.
MOVE_MIN = -0.9999


@dataclass(frozen=True, slots=True)
class Event:
    """A named event: its days, what lost its peg, which coins failed in it, known from when."""

    name: str
    first: str
    last: str
    known_from: str
    depegged: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


EVENTS = (
    Event("12 Mar 2020", "2020-03-11T00:00Z", "2020-03-14T00:00Z", "2020-03-14T00:00Z"),
    Event("19 May 2021", "2021-05-18T00:00Z", "2021-05-20T00:00Z", "2021-05-20T00:00Z"),
    Event("LUNA and UST, May 2022", "2022-05-09T00:00Z", "2022-05-13T00:00Z", "2022-05-13T00:00Z",
          ("UST/USD",), ("LUNA",)),
    Event("stETH, Jun 2022", "2022-06-10T00:00Z", "2022-06-20T00:00Z", "2022-06-20T00:00Z",
          ("stETH/ETH",)),
    Event("FTX, Nov 2022", "2022-11-06T00:00Z", "2022-11-15T00:00Z", "2022-11-15T00:00Z",
          (), ("FTT",)),
    Event("USDC, Mar 2023", "2023-03-09T00:00Z", "2023-03-14T00:00Z", "2023-03-14T00:00Z",
          ("USDC/USD",)),
    Event("10 Oct 2025", "2025-10-09T00:00Z", "2025-10-12T00:00Z", "2025-10-12T00:00Z",
          ("USDe/USD",)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EventMoves:
    """What one event did. refused: prints of its days that were set aside, any factor."""

    name: str
    known_from: str
    t0_ns: int
    moves: dict[str, float]
    refused: tuple[RefusedPrint, ...]


def stress_events(shared: Path, rules: Joint) -> list[EventMoves]:
    """Return the moves of every named event, measured now."""
    return [event_moves(shared, event, rules) for event in EVENTS]


def event_moves(shared: Path, event: Event, rules: Joint, to_close: bool = False) -> EventMoves:
    """Return one event's moves; a print is refused by the same rule as in joint scenarios.

    to_close  measure to the lowest close instead of the lowest low: for comparison only
    """
    first, last = _stamp(event.first), _stamp(event.last)
    days = (last - first) // (24 * HOUR_NS) + 3
    seen, refused = clean(real_history(shared, last, days), rules.outlier, rules.neighbours)
    window = seen.between(first - HOUR_NS, last)
    if to_close:
        window = replace(window, low=window.close)
    coins = [f"{coin}/USD" for coin in (*COINS, *event.failed)]
    column = {factor: k for k, factor in enumerate(window.factors)}
    falls = {f: _falls(window, column[f]) for f in coins if f in column}
    table = np.column_stack([falls[f] for f in sorted(falls)])
    starts = np.flatnonzero(np.isfinite(table).any(axis=1))
    t0 = int(starts[np.nanmedian(table[starts], axis=1).argmin()])
    moves = {f: float(falls[f][t0]) for f in coins if f in falls and np.isfinite(falls[f][t0])}
    for factor in event.depegged:
        moves[factor] = _from_par(window, factor)
    return EventMoves(
        event.name, event.known_from, int(window.ts_ns[t0]),
        {f: max(MOVE_MIN, m) for f, m in moves.items()},
        tuple(r for r in refused if first < r.ts_ns <= last),
    )  # fmt: skip


def rounded(moves: dict[str, float]) -> dict[str, float]:
    """Return the figures as they stand in the rulebook: a tenth of a percent, LUNA's to 1e-4."""
    return {f: round(m, 3 if m > -0.999 else 4) for f, m in moves.items()}


def class_moves(moves: dict[str, float], percentile: float) -> dict[str, float]:
    """Return per rulebook class the percentile of the losses measured for its factors (C33).

    Classes of one factor (BTC, ETH) name themselves. Stablecoins are left out: only the one that
    broke is measured, and the others stayed near par while it did.
    """
    losses: dict[str, list[float]] = {}
    for factor, move in moves.items():
        risk_class = market_class(factor)[1]
        if risk_class not in ("BTC", "ETH", "stablecoin"):
            losses.setdefault(risk_class, []).append(-move)
    return {c: round(-float(np.percentile(v, percentile)), 3) for c, v in sorted(losses.items())}


def as_toml(event: EventMoves, percentile: float) -> str:
    """Return the event as it stands in the rulebook's TOML."""
    classes = class_moves(rounded(event.moves), percentile)
    others = ", ".join(f"{c} = {m:g}" for c, m in classes.items())
    moves = ", ".join(f'"{f}" = {m:g}' for f, m in rounded(event.moves).items())
    start = datetime.fromtimestamp(event.t0_ns / 1e9, UTC)
    known = event.known_from.replace("Z", ":00Z")
    return (
        f"[[stress.events]]                  # t0 {start:%Y-%m-%dT%H:%MZ}\n"
        f'name = "{event.name}"\nknown_from = {known}\nmoves = {{ {moves} }}\n'
        f"class_moves = {{ {others} }}\n"
    )


def _falls(window: HistoryFrame, column: int) -> F64:
    """(N,) lowest low within 24 hours after each hour over that hour's close, less one."""
    close, low = window.close[:, column], window.low[:, column]
    out = np.full(len(close), np.nan)
    for start in range(len(close)):
        ahead = low[start + 1 : start + 1 + WINDOW_HOURS]
        if np.isfinite(close[start]) and np.isfinite(ahead).any():
            out[start] = np.nanmin(ahead) / close[start] - 1.0
    return out


def _from_par(window: HistoryFrame, factor: str) -> float:
    """Lowest confirmed low of the event's days, less par."""
    return float(np.nanmin(window.low[:, window.factors.index(factor)])) - 1.0


def _stamp(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9
