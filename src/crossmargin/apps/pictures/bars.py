"""Bars side by side: an account before and after a deed, and its greeks by factor.

In     names and values.
Out    figures.
Owns   which bars stand together.
Never  computes a margin number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossmargin.apps.pictures.danger import short
from crossmargin.apps.pictures.paper import (
    BAD,
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

BEFORE, AFTER = "#a9b4bf", MARK
FACTORS_MAX = 12


@dataclass(frozen=True, slots=True)
class Changed:
    """What the rules say before and after; None where the pool is unpriced."""

    names: Sequence[str]
    before: Sequence[float | None]
    after: Sequence[float | None]


def draw_changed(changed: Changed, caption: Caption) -> Figure:
    """Draw two bars for every name; buffers below zero are what a deed must not leave behind."""
    fig = figure(caption, 10.0, 6.0)
    axes = plain(fig.add_subplot(body(fig, 0.95, 0.4, 1.5)[0]))
    for shift, colour, label, values in (
        (-0.19, BEFORE, "before", changed.before),
        (0.19, AFTER, "after", changed.after),
    ):
        heights = [0.0 if value is None else value for value in values]
        places = [place + shift for place in range(len(heights))]
        axes.bar(places, heights, width=0.36, color=colour, label=label)
        for place, height, value in zip(places, heights, values, strict=True):
            axes.annotate(
                "-" if value is None else money(value), (place, height),
                xytext=(0, 3 if height >= 0.0 else -3), textcoords="offset points", ha="center",
                va="bottom" if height >= 0.0 else "top", size=8, color=INK,
            )  # fmt: skip
    axes.axhline(0.0, color=INK, linewidth=1.0)
    axes.margins(y=0.12)
    axes.set_xticks(range(len(changed.names)), [name.replace("_", "\n") for name in changed.names])
    axes.tick_params(axis="x", labelcolor=INK)
    axes.yaxis.set_major_formatter(money)
    axes.legend(loc="best", frameon=False, fontsize=8.5, labelcolor=INK)
    return fig


def draw_greeks(
    factors: Sequence[str], greeks: Mapping[str, Sequence[float | None]], caption: Caption
) -> Figure:
    """Draw one panel a greek, one bar a factor."""
    shown = list(factors)[:FACTORS_MAX]
    fig = figure(caption, 11.0, 2.9 + max(1.2, 0.34 * len(shown)))
    cells = body(fig, 1.5, 0.4, 1.45, 1.2)[0].subgridspec(1, len(greeks), wspace=0.16)
    for column, (name, values) in enumerate(greeks.items()):
        axes = plain(fig.add_subplot(cells[column]), "x")
        _panel(axes, name, [value or 0.0 for value in values][: len(shown)])
        axes.set_yticks(range(len(shown)), [short(factor) for factor in shown])
        axes.tick_params(axis="y", labelcolor=INK, labelleft=column == 0)
        axes.set_ylim(len(shown) - 0.4, -0.6)
    return fig


def _panel(axes: Axes, name: str, values: Sequence[float]) -> None:
    colours = [MARK if value >= 0.0 else BAD for value in values]
    axes.barh(range(len(values)), list(values), height=0.6, color=colours)
    reach = max((abs(value) for value in values), default=0.0) or 1.0
    for place, value in enumerate(values):
        right = value >= 0.0
        axes.annotate(
            money(value), (value, place), xytext=(4 if right else -4, 0),
            textcoords="offset points", ha="left" if right else "right", va="center", size=8,
            color=SOFT,
        )  # fmt: skip
    axes.axvline(0.0, color=INK, linewidth=0.9)
    axes.set_xlim(-1.7 * reach, 1.7 * reach)
    axes.set_xticks([])
    axes.set_title(name, size=9.5, color=INK, loc="left", pad=6)
