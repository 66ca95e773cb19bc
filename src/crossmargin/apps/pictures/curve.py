"""Buffers against the price of one factor, and where the account is liquidated.

In     levels of the factor, buffers at both levels, today's level, up to two answers.
Out    one figure.
Owns   the shading of the range in which the pool is not liquidated.
Never  searches for a root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossmargin.apps.pictures.paper import (
    BAD,
    GOOD,
    INK,
    MARK,
    SOFT,
    Caption,
    body,
    figure,
    money,
    plain,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Curve:
    """Buffers of one pool over levels of one factor; NaN where the pool is unpriced."""

    factor: str
    levels: Sequence[float]
    buffer_mm: Sequence[float]
    buffer_im: Sequence[float]
    now: float
    below: float | None
    above: float | None


def draw_curve(curve: Curve, caption: Caption) -> Figure:
    """Draw both buffers; the shaded range is where the pool is not liquidated."""
    fig = figure(caption, 10.0, 6.0)
    axes = plain(fig.add_subplot(body(fig, 1.0, 0.5, 1.55)[0]))
    levels = list(curve.levels)
    axes.plot(levels, list(curve.buffer_mm), color=MARK, linewidth=2.0, label="buffer at MM")
    axes.plot(
        levels, list(curve.buffer_im), color=MARK, linewidth=1.3, linestyle=(0, (5, 2)),
        alpha=0.75, label="buffer at IM",
    )  # fmt: skip
    axes.axhline(0.0, color=INK, linewidth=1.0)
    safe = [value >= 0.0 for value in curve.buffer_mm]
    axes.fill_between(
        levels, 0.0, 1.0, where=safe, transform=axes.get_xaxis_transform(), color=GOOD, alpha=0.08,
        linewidth=0,
    )  # fmt: skip
    crossed = "liquidated" if safe[len(safe) // 2] else "restored"
    axes.set_xlim(levels[0], levels[-1])
    axes.margins(y=0.12)
    _mark(axes, curve.now, f"now {curve.now:,.6g}", INK, levels)
    for level in (curve.below, curve.above):
        if level is not None and levels[0] <= level <= levels[-1]:
            move = level / curve.now - 1.0
            _mark(axes, level, f"{crossed} at {level:,.6g} ({move:+.1%})", BAD, levels)
            axes.plot([level], [0.0], "o", color=BAD, markersize=6)
    axes.xaxis.set_major_formatter(_level)
    axes.yaxis.set_major_formatter(money)
    axes.set_xlabel(curve.factor, size=9, color=SOFT)
    axes.legend(loc="best", frameon=False, fontsize=8.5, labelcolor=INK)
    return fig


def _mark(axes: Axes, level: float, words: str, colour: str, levels: Sequence[float]) -> None:
    axes.axvline(level, color=colour, linewidth=1.0, linestyle=(0, (2, 2)))
    right = level > 0.5 * (levels[0] + levels[-1])
    # Today's words stand at the top, liquidation's at the bottom, so that they never meet.
    top = colour == INK
    axes.annotate(
        words, (level, 0.985 if top else 0.03), xycoords=("data", "axes fraction"),
        xytext=(-5 if right else 5, 0), textcoords="offset points",
        ha="right" if right else "left", va="top" if top else "bottom", size=8.5, color=colour,
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5},
    )  # fmt: skip


def _level(value: float, _position: object = None) -> str:
    return f"{value:,.6g}"
