"""Averages over a window that refuse until the window has really passed.

In     moments and levels of one factor, in order; the window's length.
Out    the average, or NaN and the reason.
Owns   what covers a window: something at or before its start, and no gap longer than a price lives.
Never  answers with the newest price because there is no other: that is how a 30-minute average
       returned spot (Inverse, April 2022).
Signs  levels > 0, volumes >= 0.
Spec   docs/spec/08-oracle.md, 8.16
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from crossmargin.base.arrays import F64, I64
from crossmargin.oracle.quotes import SECOND_NS


class Lack(StrEnum):
    """Why a window has no average."""

    NONE = ""
    NOT_PASSED = "the window has not passed since the first price"
    GAP = "prices are missing for longer than one may be old"
    NO_VOLUME = "nothing was traded in the window"


@dataclass(frozen=True, slots=True)
class Average:
    """An average and what it lacks; NaN exactly where it lacks something."""

    level: float
    lack: Lack


@dataclass(frozen=True, slots=True)
class Window:
    """How long the window is, and how long one price may stand for what comes after it."""

    length_s: float
    gap_s: float


def twap(at_ns: I64, level: F64, now_ns: int, window: Window) -> Average:
    """Return the time-weighted average over the window that ends now: a level holds until the next.

    at_ns, level  (N,) in the order of the moments
    """
    start, lack = _covered(at_ns, now_ns, window)
    if lack:
        return Average(float("nan"), lack)
    moments = np.maximum(at_ns[start:], now_ns - int(window.length_s * SECOND_NS))
    held = np.diff(np.append(moments, now_ns)).astype(np.float64)
    return Average(float((level[start:] * held).sum() / held.sum()), Lack.NONE)


def vwap(at_ns: I64, level: F64, volume: F64, now_ns: int, window: Window) -> Average:
    """Return the volume-weighted average of what was traded in the window that ends now.

    at_ns, level, volume  (N,) trades, or prices and what was traded at them since the one before
    """
    _, lack = _covered(at_ns, now_ns, window)
    inside = at_ns > now_ns - int(window.length_s * SECOND_NS)
    traded = float(volume[inside].sum())
    if not lack and not traded > 0.0:
        lack = Lack.NO_VOLUME
    if lack:
        return Average(float("nan"), lack)
    return Average(float((level[inside] * volume[inside]).sum() / traded), Lack.NONE)


def _covered(at_ns: I64, now_ns: int, window: Window) -> tuple[int, Lack]:
    """The last row at or before the window's start, and what the window lacks."""
    assert (np.diff(at_ns) >= 0).all()
    start = int(np.searchsorted(at_ns, now_ns - int(window.length_s * SECOND_NS), "right")) - 1
    if start < 0:
        return 0, Lack.NOT_PASSED
    steps = np.diff(np.append(at_ns[start:], now_ns))
    return start, Lack.GAP if (steps > int(window.gap_s * SECOND_NS)).any() else Lack.NONE
