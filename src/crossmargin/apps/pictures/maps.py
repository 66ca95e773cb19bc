"""Two maps: buffers over two factors (frontier), and losses over pools and scenarios (stress).

In     grids of numbers with the names of their rows and columns.
Out    figures.
Owns   the colours' middle at zero, which cells are written out.
Never  revalues anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.apps.pictures.danger import short
from crossmargin.apps.pictures.paper import (
    INK,
    SOFT,
    Caption,
    body,
    figure,
    loss_to_gain,
    money,
    plain,
    share,
)
from crossmargin.base.arrays import F64

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Frontier:
    """Buffer at MM over relative moves of two factors: (Y, X), numeraire."""

    account: str
    factor_x: str
    factor_y: str
    moves_x: F64
    moves_y: F64
    buffer_mm: F64


@dataclass(frozen=True, slots=True)
class Losses:
    """Loss of every pool in every scenario as a fraction of its equity: (pools, scenarios)."""

    pools: Sequence[str]
    scenarios: Sequence[str]
    share: F64


def draw_frontier(map_: Frontier, caption: Caption) -> Figure:
    """Draw the buffer as colour, its zero line thick: beyond it the pool is liquidated."""
    from matplotlib.ticker import MaxNLocator

    fig = figure(caption, 9.0, 7.4)
    cells = body(fig, 1.0, 0.95, 1.45)
    axes = plain(fig.add_subplot(cells[0]), "")
    buffer = map_.buffer_mm
    reach = float(np.nanpercentile(np.abs(buffer), 96)) or 1.0
    x, y = map_.moves_x, map_.moves_y
    shown = axes.contourf(
        x, y, np.clip(buffer, -reach, reach), levels=np.linspace(-reach, reach, 25),
        cmap=loss_to_gain(),
    )  # fmt: skip
    if np.nanmin(buffer) < 0.0 < np.nanmax(buffer):
        line = axes.contour(x, y, buffer, levels=[0.0], colors=[INK], linewidths=[2.2])
        axes.clabel(line, fmt={0.0: "liquidated beyond"}, fontsize=8.5, inline=True)
    axes.plot([0.0], [0.0], "+", color=INK, markersize=13, markeredgewidth=2)
    axes.annotate("now", (0.0, 0.0), xytext=(7, 6), textcoords="offset points", size=9, color=INK)
    axes.xaxis.set_major_formatter(share)
    axes.yaxis.set_major_formatter(share)
    axes.set_xlabel(f"move of {map_.factor_x}", size=9, color=SOFT)
    axes.set_ylabel(f"move of {map_.factor_y}", size=9, color=SOFT)
    bar = fig.colorbar(shown, ax=axes, pad=0.02, fraction=0.045, format=money)
    bar.locator = MaxNLocator(9)
    bar.update_ticks()
    bar.ax.tick_params(labelsize=8, colors=SOFT, length=0)
    bar.outline.set_visible(False)
    bar.set_label("buffer at MM", size=8.5, color=SOFT)
    return fig


def draw_losses(losses: Losses, caption: Caption) -> Figure:
    """Draw a heat map, a row a scenario; every cell says its P&L in percent of equity."""
    n_pools, n_scenarios = losses.share.shape
    head = 0.3 + 0.058 * max((len(short(name)) for name in losses.pools), default=10)
    fig = figure(caption, max(8.5, 4.1 + 0.52 * n_pools), 2.55 + head + 0.27 * n_scenarios)
    width, height = fig.get_size_inches()
    axes = fig.add_axes((2.75 / width, 1.3 / height, 1 - 4.0 / width, 1 - (2.35 + head) / height))
    cells = losses.share.T
    axes.imshow(-cells, cmap=loss_to_gain(), vmin=-1.0, vmax=1.0, aspect="auto")
    _write_cells(axes, cells)
    axes.set_yticks(range(n_scenarios), [short(name, 36) for name in losses.scenarios])
    names = [short(name) for name in losses.pools]
    axes.set_xticks(range(n_pools), names, rotation=52, ha="left", rotation_mode="anchor")
    axes.xaxis.set_ticks_position("top")
    axes.tick_params(colors=INK, labelsize=8, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xticks(np.arange(n_pools + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n_scenarios + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.6)
    axes.tick_params(which="minor", length=0, top=False)
    return fig


def _write_cells(axes: Axes, values: F64) -> None:
    for row, column in np.ndindex(values.shape):
        value = -float(values[row, column])
        if not np.isfinite(value):
            text = "-"
        elif abs(value) >= 9.995:
            text = "> 999" if value > 0 else "< -999"
        else:
            text = f"{round(100 * value):d}"
        colour = "white" if abs(value) > 0.62 else INK
        axes.text(column, row, text, ha="center", va="center", size=7.5, color=colour)
