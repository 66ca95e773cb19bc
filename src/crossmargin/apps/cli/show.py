"""Answers as people read them in a terminal: tables, trees, a line about where numbers come from.

In     rows, trees, headers.
Out    rich renderables on stdout.
Owns   how a number is written, which colour a verdict has.
Never  computes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.tree import Tree

    from crossmargin.api import Finding, Node

PIPE_COLUMNS = 150  # where stdout is no terminal, nothing says how wide it is
FINDINGS_SHOWN = 10
STYLES = {
    "UNPRICED": "bright_black",
    "BANKRUPT": "bold magenta",
    "LIQUIDATABLE": "bold red",
    "REDUCE_ONLY": "yellow",
    "HEALTHY": "green",
}


def console() -> Console:
    """Return the console answers go to."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS, highlight=False)


def put(*parts: RenderableType) -> None:
    """Print parts of an answer."""
    out = console()
    for part in parts:
        out.print(part)


def amount(value: float | None) -> str:
    """Return an amount with as many digits as its size deserves; a dash where there is none."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf" if value > 0.0 else "-inf"
    size = abs(value)
    return (
        f"{value:,.0f}" if size >= 1_000.0 else f"{value:,.2f}" if size >= 0.01 else f"{value:.2g}"
    )


def ratio(value: float | None) -> str:
    """Return a health or ratio with two places."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf" if value > 0.0 else "-inf"
    return f"{value:,.2f}" if abs(value) < 1_000.0 else f"{value:,.0f}"


def percent(value: float | None) -> str:
    """Return a fraction as a percentage."""
    return "-" if value is None or math.isnan(value) else f"{100.0 * value:,.1f} %"


def count(n: int, thing: str) -> str:
    """Return how many of a thing there are."""
    return f"{n:,} {thing}" + ("" if n == 1 else "s")


def verdict(name: str) -> str:
    """Return a verdict in its colour."""
    return f"[{STYLES[name]}]{name}[/]"


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1
) -> RenderableType:
    """Return a titled table; the first `left` columns are words, the rest are numbers."""
    from rich import box
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(columns):
        word = place < left or name.startswith(("worst", "binds", "note", "verdict"))
        made.add_column(name, justify="left" if word else "right", no_wrap=place < left)
    for row in rows:
        made.add_row(*row)
    # A title of the table's own would be folded to the table's width.
    return Group(f"[bold]{escape(title)}[/]", made)


def origin(header: Mapping[str, Any]) -> str:
    """Return where the numbers come from, in one line."""
    refused = header.get("refused_prints") or []
    tail = f" · {count(len(refused), 'refused print')}" if refused else ""
    return (
        f"{header['source']}, {header['at']} · rulebook {header['rulebook']} of "
        f"{header['rulebook_date']} ({header['rulebook_digest'][:8]}) · horizon "
        f"{header['horizon_hours']:g} h · {header['joint_rows']:,} joint scenarios · amounts in "
        f"{header['numeraire']}{tail}"
    )


def tree(node: Node) -> Tree:
    """Return the tree with its values aligned in one column."""
    from rich.markup import escape
    from rich.tree import Tree as RichTree

    nodes = list(node.walk())
    wide = max(len(one.name) + 4 * depth for depth, one in nodes)
    digits = max(len(_exact(one.value)) for _, one in nodes)

    def label(one: Node, depth: int) -> str:
        value = _exact(one.value)
        colour = "red" if one.value < 0.0 else "default"
        gap = " " * (wide - 4 * depth - len(one.name) + 2 + digits - len(value))
        name = escape(one.name)
        name = f"[bold]{name}[/]" if depth < 2 else name
        note = f"  [bright_black]{escape(one.note)}[/]" if one.note else ""
        return f"{name}{gap}[{colour}]{value}[/]{note}"

    def grow(into: RichTree, one: Node, depth: int) -> None:
        for child in one.children:
            grow(into.add(label(child, depth)), child, depth + 1)

    root = RichTree(label(node, 0), guide_style="bright_black")
    grow(root, node, 1)
    return root


def findings(found: Sequence[Finding]) -> list[str]:
    """Return the first findings as lines, and how many more there are."""
    from rich.markup import escape

    lines = [f"[yellow]set aside[/] {escape(str(one))}" for one in found[:FINDINGS_SHOWN]]
    if len(found) > FINDINGS_SHOWN:
        lines.append(f"... and {len(found) - FINDINGS_SHOWN} more; --json lists them all")
    return lines


def _exact(value: float) -> str:
    """Return an amount to the cent, so that a reader can add the tree up."""
    return "-" if math.isnan(value) else f"{value:,.2f}"
