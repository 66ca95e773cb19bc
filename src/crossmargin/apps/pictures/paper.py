"""The paper every picture is drawn on: title, units, source and date, one sentence of reading.

In     a `Caption`, a size in inches.
Out    a matplotlib figure with its text set, and files.
Owns   fonts, colours, how money is written on an axis, where the words stand.
Never  touches pyplot, whose global state is not ours; computes a margin number.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, FAINT = "#1f2933", "#5b6875", "#d5dbe1"
GOOD, BAD, MARK = "#2f7f79", "#b5412b", "#1d4e89"
VERDICT_COLOURS = {
    "UNPRICED": "#8d99a6",
    "BANKRUPT": "#4a2c57",
    "LIQUIDATABLE": "#c0392b",
    "REDUCE_ONLY": "#e0a030",
    "HEALTHY": "#3a8f86",
}
METHOD_COLOURS = {
    "isolated": "#8d99a6",
    "cross_sum": "#d08c3f",
    "cross_correlated": "#5b8bb5",
    "portfolio": "#2f7f79",
}
# Two hues that are told apart without red and green: loss is rust, gain is blue.
LOSS_TO_GAIN = ("#8f2d1b", "#d98064", "#f7f5f2", "#7fa8cc", "#1d4e89")
DOTS_PER_INCH = 150
READING_COLUMNS = 118


@dataclass(frozen=True, slots=True)
class Caption:
    """The words on a picture. `source` names where the numbers come from and their date."""

    title: str
    units: str
    source: str
    reading: str


def figure(caption: Caption, width: float = 10.0, height: float = 6.0) -> Figure:
    """Return an empty figure with its words set; axes go into `body(...)`."""
    from matplotlib.figure import Figure as NewFigure

    fig = NewFigure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white")
    inch = 1.0 / height
    left = 0.45 / width
    fig.text(left, 1 - 0.42 * inch, caption.title, size=14, weight="bold", color=INK)
    fig.text(left, 1 - 0.68 * inch, caption.units, size=9.5, color=SOFT)
    columns = int(READING_COLUMNS * width / 10.0)
    reading = textwrap.wrap(caption.reading, columns)
    fig.text(
        left, (0.36 + 0.19 * len(reading)) * inch, "\n".join(reading), size=9.5, color=INK,
        va="top", linespacing=1.35,
    )  # fmt: skip
    source = textwrap.shorten(caption.source, int(columns * 1.25), placeholder=" ...")
    fig.text(left, 0.14 * inch, source, size=7.5, color=SOFT)
    return fig


def body(
    fig: Figure, left: float = 0.9, right: float = 0.4, bottom: float = 1.35, top: float = 0.95
) -> Any:
    """Return a grid spec of one cell inside the words; margins in inches."""
    width, height = fig.get_size_inches()
    return fig.add_gridspec(
        1, 1, left=left / width, right=1 - right / width, bottom=bottom / height,
        top=1 - top / height,
    )  # fmt: skip


def plain(axes: Axes, grid: str = "y") -> Axes:
    """Strip an axes of its box, colour its text, and draw a faint grid along one direction."""
    for side in ("top", "right", "left" if grid == "y" else "bottom"):
        axes.spines[side].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
    axes.tick_params(colors=SOFT, labelsize=8.5, length=0)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=FAINT, linewidth=0.7)  # type: ignore[arg-type]
    axes.xaxis.label.set_color(SOFT)
    axes.yaxis.label.set_color(SOFT)
    return axes


def money(value: float, _position: object = None) -> str:
    """Return an amount short enough for an axis: 1.2M, -340k, 15."""
    size = abs(value)
    for unit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= 0.9995 * unit:
            text = f"{value / unit:.3g}" if size < 999.5 * unit else f"{value / unit:.0f}"
            return text + letter
    return f"{value:.3g}" if size else "0"


def share(value: float, _position: object = None) -> str:
    """Return a fraction as a percentage with as many digits as it needs."""
    return f"{100 * value:,.0f} %" if abs(value) >= 1.0 else f"{100 * value:.3g} %"


def save(fig: Figure, path: Path) -> Path:
    """Write the figure as PNG; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without this the file's text would hold the version of matplotlib, and differ by machine.
    fig.savefig(path, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return path


def loss_to_gain() -> Any:
    """Return the colour map of signed money: rust below zero, blue above."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("loss_to_gain", LOSS_TO_GAIN)


def plotly_colours() -> Sequence[tuple[float, str]]:
    """Return the same colours as plotly wants them."""
    last = len(LOSS_TO_GAIN) - 1
    return [(place / last, colour) for place, colour in enumerate(LOSS_TO_GAIN)]
