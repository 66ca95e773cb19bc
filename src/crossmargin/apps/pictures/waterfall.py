"""One account explained as a staircase: from equity down to what is left.

In     steps: a name and a signed amount; totals stand on the floor.
Out    one figure.
Owns   where each bar starts and what is written on it.
Never  adds up anything but the steps it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossmargin.apps.pictures.paper import (
    BAD,
    FAINT,
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
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Step:
    """`amount` is added to the level so far; a total restates it and starts at zero."""

    name: str
    amount: float
    total: bool = False


def draw_waterfall(steps: Sequence[Step], caption: Caption) -> Figure:
    """Draw the staircase left to right; totals in blue, what is taken in rust."""
    fig = figure(caption, 11.0, 6.2)
    axes = plain(fig.add_subplot(body(fig, 0.95, 0.4, 1.8)[0]))
    level = 0.0
    tops: list[tuple[float, float]] = []
    for place, step in enumerate(steps):
        start, end = (0.0, step.amount) if step.total else (level, level + step.amount)
        colour = MARK if step.total else (GOOD if step.amount >= 0.0 else BAD)
        axes.bar([place], [end - start], bottom=[start], width=0.66, color=colour)
        if place:
            axes.plot([place - 0.67, place + 0.33], [level, level], color=SOFT, linewidth=0.7)
        level = end
        tops.append((min(start, end), max(start, end)))
    span = max(top for _, top in tops) - min(0.0, *(low for low, _ in tops)) or 1.0
    for place, (step, (low, top)) in enumerate(zip(steps, tops, strict=True)):
        below = step.amount < 0.0 and step.total
        at, align = (low - 0.015 * span, "top") if below else (top + 0.012 * span, "bottom")
        sign = "+" if step.amount > 0.0 and not step.total else ""
        axes.text(place, at, sign + money(step.amount), ha="center", va=align, size=8.5, color=INK)
    axes.axhline(0.0, color=FAINT if level >= 0 else INK, linewidth=1.0)
    low = min(0.0, *(low for low, _ in tops))
    axes.set_ylim(low - (0.1 * span if low < 0.0 else 0.0), low + 1.12 * span)
    axes.set_xticks(
        range(len(steps)), [s.name.replace("_", " ") for s in steps], rotation=32, ha="right",
        rotation_mode="anchor",
    )  # fmt: skip
    axes.tick_params(axis="x", labelcolor=INK)
    axes.yaxis.set_major_formatter(money)
    return fig
