"""The same book under several methods: what each asks for, and who gains.

In     totals and per-account requirements by method.
Out    one figure.
Owns   which accounts are named: those whose requirement differs most.
Never  assesses anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossmargin.apps.pictures.danger import short
from crossmargin.apps.pictures.paper import (
    INK,
    METHOD_COLOURS,
    SOFT,
    Caption,
    body,
    figure,
    money,
    plain,
    share,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED_MAX = 14


@dataclass(frozen=True, slots=True)
class Compared:
    """Charges at both levels by method: totals, and (charge IM / equity) of named accounts."""

    total_mm: Mapping[str, float]
    total_im: Mapping[str, float]
    accounts: Sequence[str]
    charge_share: Mapping[str, Sequence[float]]


def colour_of(method: str, place: int) -> str:
    """Return a method's own colour, or one of a few for others."""
    return METHOD_COLOURS.get(method, ("#7d5a8c", "#a3754a", "#4f6d4f")[place % 3])


def draw_compare(compared: Compared, caption: Caption) -> Figure:
    """Draw totals on the left, one dot a method and account on the right."""
    fig = figure(caption, 11.0, 7.0)
    cells = body(fig, 0.95, 0.4, 1.8, 1.15)[0].subgridspec(
        1, 2, width_ratios=(1.0, 1.35), wspace=0.5
    )
    _totals(plain(fig.add_subplot(cells[0])), compared)
    _accounts(plain(fig.add_subplot(cells[1]), "x"), compared)
    return fig


def _totals(axes: Axes, compared: Compared) -> None:
    for place, method in enumerate(compared.total_im):
        im, mm = compared.total_im[method], compared.total_mm[method]
        colour = colour_of(method, place)
        axes.bar([place], [im], width=0.68, color=colour, alpha=0.35)
        axes.bar([place], [mm], width=0.68, color=colour)
        axes.text(place, im, money(im), ha="center", va="bottom", size=8.5, color=INK)
        axes.annotate(
            money(mm), (place, mm), xytext=(0, -4), textcoords="offset points", ha="center",
            va="top", size=8, color="white",
        )  # fmt: skip
    names = [name.replace("_", "\n") for name in compared.total_im]
    axes.set_xticks(range(len(names)), names)
    axes.tick_params(axis="x", labelcolor=INK)
    axes.yaxis.set_major_formatter(money)
    axes.margins(y=0.1)
    axes.set_title("All accounts: MM dark, IM light", size=9.5, color=INK, loc="left", pad=6)


def _accounts(axes: Axes, compared: Compared) -> None:
    n = len(compared.accounts)
    for row in range(n):
        values = [compared.charge_share[m][row] for m in compared.charge_share]
        axes.plot([min(values), max(values)], [row, row], color="#dfe4e9", linewidth=9, zorder=1)
    for place, (method, shares) in enumerate(compared.charge_share.items()):
        # Methods that ask for the same stand beside each other.
        aside = 0.2 * (place - 0.5 * (len(compared.charge_share) - 1))
        axes.scatter(
            list(shares), [row + aside for row in range(n)], s=34, zorder=2,
            color=colour_of(method, place), label=method.replace("_", " "), edgecolors="white",
            linewidths=0.8,
        )  # fmt: skip
    axes.set_yticks(range(n), [short(name) for name in compared.accounts])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(n - 0.4, -0.6)
    axes.xaxis.set_major_formatter(share)
    axes.set_xlabel("all the rules take off equity at IM, share of equity", size=8.5, color=SOFT)
    axes.set_title("Accounts with the widest gap", size=9.5, color=INK, loc="left", pad=6)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.11), ncols=4, frameon=False, fontsize=8,
        labelcolor=INK, handletextpad=0.2, columnspacing=1.2,
    )  # fmt: skip
