"""A whole book at a glance: how health is spread, and who stands nearest to the line.

In     rows of a report (health, verdict, account, pool, equity, buffer_mm), sorted by danger.
Out    one figure.
Owns   the bins of health and how many accounts are named.
Never  decides a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossmargin.apps.pictures.paper import (
    INK,
    SOFT,
    VERDICT_COLOURS,
    Caption,
    body,
    figure,
    money,
    plain,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED_MAX = 14
EDGES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
NAMES = (
    "owes", "0", "0.25", "0.5", "0.75", "0.9", "1", "1.1", "1.25", "1.5", "2", "3", "5", "10+",
    "no charge",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One pool as the picture needs it; health may be infinite, None where unpriced."""

    name: str
    verdict: str
    health: float | None
    buffer_mm: float | None


def draw_danger(rows: Sequence[Row], caption: Caption) -> Figure:
    """Draw the spread of health on the left and the most dangerous pools on the right."""
    fig = figure(caption, 11.0, 6.6)
    cells = body(fig, 0.8, 0.5, 1.75, 1.15)[0].subgridspec(
        1, 2, width_ratios=(1.15, 1.0), wspace=0.62
    )
    _spread(plain(fig.add_subplot(cells[0])), rows)
    _nearest(plain(fig.add_subplot(cells[1]), "x"), rows[:NAMED_MAX])
    return fig


def bin_of(health: float) -> int:
    """Return the bar a health belongs to: 0 owes more than it has, last: nothing is charged."""
    if health < 0.0:
        return 0
    if math.isinf(health):
        return len(NAMES) - 1
    return sum(1 for edge in EDGES if health >= edge)


def _spread(axes: Axes, rows: Sequence[Row]) -> None:
    counts = {verdict: [0] * len(NAMES) for verdict in reversed(VERDICT_COLOURS)}
    for row in rows:
        if row.health is not None:
            counts[row.verdict][bin_of(row.health)] += 1
    base = [0] * len(NAMES)
    for verdict, bars in counts.items():
        n = sum(bars)
        if n:
            axes.bar(
                range(len(NAMES)), bars, bottom=base, width=0.86, align="center",
                color=VERDICT_COLOURS[verdict], label=f"{verdict} {n:,}",
            )  # fmt: skip
        base = [a + b for a, b in zip(base, bars, strict=True)]
    unpriced = sum(1 for row in rows if row.health is None)
    if unpriced:
        label = f"UNPRICED {unpriced:,}"
        axes.bar([0], [0], color=VERDICT_COLOURS["UNPRICED"], label=label)
    axes.set_xticks(range(len(NAMES)), NAMES, rotation=55, ha="right", rotation_mode="anchor")
    axes.axvline(5.5, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    top = max(base) * 1.12 if any(base) else 1.0
    axes.set_ylim(0, top)
    axes.text(5.3, top * 0.985, "liquidatable", ha="right", va="top", size=8, color=SOFT)
    axes.text(5.7, top * 0.985, "safe at MM", ha="left", va="top", size=8, color=SOFT)
    axes.set_xlabel("health from ... (lower edge of the bar)", size=8.5, color=SOFT)
    axes.set_ylabel("pools", size=8.5, color=SOFT)
    axes.legend(
        loc="upper left", bbox_to_anchor=(0.0, 0.93), frameon=False, fontsize=8, labelcolor=INK
    )


def _nearest(axes: Axes, rows: Sequence[Row]) -> None:
    shown = [row for row in rows if row.health is not None][:NAMED_MAX]
    values = [max(-0.5, min(row.health or 0.0, 2.0)) for row in shown]
    colours = [VERDICT_COLOURS[row.verdict] for row in shown]
    axes.barh(range(len(shown)), values, color=colours, height=0.72)
    axes.axvline(1.0, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.axvline(0.0, color=SOFT, linewidth=0.8)
    right = max([1.25, *values]) + 0.3
    for place, row in enumerate(shown):
        text = "" if row.buffer_mm is None else money(row.buffer_mm)
        axes.text(right, place, text, ha="right", va="center", size=8, color=SOFT)
    axes.set_yticks(range(len(shown)), [short(row.name) for row in shown])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.invert_yaxis()
    low = min([0.0, *values])
    axes.set_xlim(low - (0.05 if low < 0.0 else 0.0), right)
    axes.set_xlabel("health (right: buffer at MM)", size=8.5, color=SOFT)
    axes.set_title("Most in danger", size=9.5, color=INK, loc="left", pad=6)


def short(name: str, length: int = 24) -> str:
    """Return a name that fits beside a bar."""
    return name if len(name) <= length else name[: length - 1] + "…"
