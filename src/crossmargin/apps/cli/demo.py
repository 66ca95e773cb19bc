"""The demo: the main job on the embedded book and market, shown and drawn.

In     a seed, a folder for pictures.
Out    the margin report, one explanation, the comparison of methods, pictures and pages.
Owns   which accounts are shown.
Never  needs a file or a network.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from crossmargin.apps.cli.account import show_explanation, worst_of
from crossmargin.apps.cli.books import (
    METHODS,
    compared,
    draw_comparison,
    draw_stress,
    show_comparison,
    show_margin,
)
from crossmargin.apps.cli.options import AT_LEAST_0, Inputs, load
from crossmargin.apps.cli.outcome import Exit
from crossmargin.apps.cli.progress import searching, working

if TYPE_CHECKING:
    from crossmargin.api import Explanation, Report
    from crossmargin.apps.efficiency import Comparison

STRANGLE, PAIR = "short-strangle-001", "pair-trader-001"
FIRST = "-001"  # every shape of account has one
Seed = Annotated[int, Parameter(validator=AT_LEAST_0)]
POOLS_SHOWN = 12
ACCOUNTS_SHOWN = 8


def demo(*, out: Path = Path("crossmargin-demo"), seed: Seed = 7) -> int:
    """Run the main job on a generated book and market, and draw it.

    Parameters
    ----------
    out
        Folder for the pictures.
    seed
        Another seed, another market and book.
    """
    from crossmargin.apps.cli import show

    report = load(Inputs(seed=seed))
    show.put("[bold]1. Margin report[/]")
    show_margin(report, report.sorted_by_danger(), POOLS_SHOWN)
    account, pool = worst_of(report)
    why = report.explain(account, pool)
    show.put("", "[bold]2. Why the most endangered account stands where it stands[/]")
    table = report.to_polars()
    row = table.filter((table["account"] == account) & (table["pool"] == pool)).row(0, named=True)
    show_explanation(report, why, row)
    found = compared(report, METHODS, quiet=False)
    show.put("", "[bold]3. The same book under four methods[/]")
    show_comparison(report, found, ACCOUNTS_SHOWN)
    with working("drawing"):
        files = draw(report, why, found, out)
    show.put("", f"[bold]4. Pictures[/] in {out}/")
    show.put(*(f"   {path.name}" for path in files))
    return Exit.OK


def draw(report: Report, why: Explanation, found: Comparison, out: Path) -> list[Path]:
    """Draw every picture of the demo; return the files."""
    from crossmargin.apps.pictures import answers
    from crossmargin.apps.pictures.html import frontier_page
    from crossmargin.apps.pictures.maps import draw_frontier
    from crossmargin.apps.pictures.paper import save

    files = [
        save(answers.margin_picture(report), out / "margin.png"),
        save(answers.explain_picture(report, why), out / "explain.png"),
    ]
    files += draw_comparison(report, found, out / "compare.png", out / "compare.html")
    names, pnl = report.stress()
    table = report.to_polars().with_row_index("row")
    firsts = table.filter(table["account"].str.ends_with(FIRST) & ~table["unpriced"])
    rows = firsts.filter(firsts["pool"] == "shared")["row"].to_list()
    files += draw_stress(report, rows, names, pnl, (out / "stress.png", out / "stress.html"))
    with searching("liquidation price of ETH/USD") as watch:
        prices = report.liquidation_prices(STRANGLE, "ETH/USD", watch=watch)
    picture = answers.price_picture(report, STRANGLE, "ETH/USD", prices)
    files.append(save(picture, out / "liquidation-price.png"))
    with searching("frontier") as watch:
        grid = report.frontier(PAIR, ("ETH/USD", "BTC/USD"), watch=watch)
    values, caption = answers.frontier_values(report, PAIR, "shared", grid)
    files.append(save(draw_frontier(values, caption), out / "frontier.png"))
    files.append(frontier_page(values, caption, out / "frontier.html"))
    return sorted(files)
