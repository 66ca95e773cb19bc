"""Balances of one account over time, a step for every line of its statement.

In     what `ledger statement` tells: opening balances, lines, closing balances.
Out    one figure, a panel an asset or instrument.
Owns   which items are drawn, and how a step looks.
Never  adds anything up: a line says what its balance became.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

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

PANELS_MAX = 6
# More dots than this would hide the line they stand on.
DOTS_MAX = 80

DAY_S = 86_400.0

Place = tuple[str, str]


def statement_picture(told: Mapping[str, Any], source: str) -> Figure:
    """Draw the items with the most lines, one panel each, over the same time."""
    lines = told["lines"]
    busiest = Counter((line["pool"], line["item"]) for line in lines).most_common(PANELS_MAX)
    places = [place for place, _ in busiest]
    fig = figure(_caption(told, places, source), 10.0, 2.75 + 1.25 * max(1, len(places)))
    cells = body(fig, 1.0, 1.1, 1.55, 1.1)[0].subgridspec(max(1, len(places)), 1, hspace=0.32)
    opening = {(x["pool"], x["item"]): float(x["balance"]) for x in told["opening"]}
    first: Axes | None = None
    for row, place in enumerate(places):
        axes = plain(fig.add_subplot(cells[row], sharex=first))
        first = first or axes
        mine = [line for line in lines if (line["pool"], line["item"]) == place]
        _panel(axes, place, mine, opening.get(place, 0.0), _when(told["at"]))
        axes.tick_params(labelbottom=row == len(places) - 1)
    return fig


def _panel(
    axes: Axes, place: Place, lines: Sequence[Mapping[str, Any]], opening: float, end: float
) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    when = [_when(line["at"]) for line in lines]
    values = [float(line["balance"]) for line in lines]
    # The step before the first line shows where the statement opens.
    times, steps = [when[0], *when, end], [opening, *values, values[-1]]
    axes.plot(times, steps, drawstyle="steps-post", color=MARK, linewidth=1.6)
    axes.fill_between(times, steps, 0.0, step="post", color=MARK, alpha=0.08, linewidth=0)
    if len(lines) <= DOTS_MAX:
        fell = [float(line["change"]) < 0.0 for line in lines]
        colours = [BAD if down else MARK for down in fell]
        axes.scatter(when, values, s=11, color=colours, zorder=3)
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.margins(y=0.18)
    axes.yaxis.set_major_formatter(money)
    axes.locator_params(axis="y", nbins=3)
    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.annotate(
        f"{values[-1]:,.8g}", (1.0, values[-1]), xycoords=("axes fraction", "data"),
        xytext=(6, 0), textcoords="offset points", va="center", size=8.5, color=INK,
        annotation_clip=False,
    )  # fmt: skip
    pool, item = place
    title = item if pool == "shared" else f"{item}, pool {pool}"
    axes.set_title(title, size=9.5, color=SOFT, loc="left", pad=4)
    # The line at zero is the ground; the box's own would be a second one.
    axes.spines["bottom"].set_visible(False)


def _caption(told: Mapping[str, Any], places: Sequence[Place], source: str) -> Caption:
    lines = told["lines"]
    items = {(line["pool"], line["item"]) for line in lines}
    reading = f"{len(lines):,} lines move {len(items):,} balances and positions"
    if lines:
        reading += f" from {lines[0]['at'][:16]} to {lines[-1]['at'][:16]}"
    if len(items) > len(places):
        reading += f"; the {len(places)} with the most lines are drawn"
    reading += ". A rust dot is a line that took something away."
    return Caption(
        f"{told['account']}: what came, what went, what stands",
        "coins of an asset, contracts of an instrument; UTC",
        f"ledger {source}, record {told['seq']:,}, {told['at']}",
        reading,
    )


def _when(text: str) -> float:
    """Return a stamp as days, which is what an axis of dates counts; a screen has no nanoseconds.

    The stamps themselves are no numbers to the drawing library's types.
    """
    at = datetime.fromisoformat(text[:19] + "+00:00")
    return (at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() / DAY_S
