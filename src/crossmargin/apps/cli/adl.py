"""`crossmargin adl`: 10 October 2025 deleveraged by several policies, beside what was published.

In     the data folder.
Out    a report as tables or as JSON.
Owns   the order in which things are shown.
Never  closes anything; reads an environment variable.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from crossmargin.apps.cli.outcome import Exit, complain, to_json
from crossmargin.apps.cli.progress import working

if TYPE_CHECKING:
    from crossmargin.adapters.real_losses import AdlReport


def adl(*, shared: Path, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Compare deleveraging policies on Hyperliquid's accounts of 10 October 2025.

    Parameters
    ----------
    shared
        The data folder.
    json
        Print the answer as JSON.
    """
    if not (shared / "data").is_dir():
        return complain(f"{shared}: must be the data folder: a folder that holds data/")
    from crossmargin.adapters.real_losses import adl_report

    with working("deleveraging", json):
        report = adl_report(shared)
    if json:
        print(to_json(asdict(report)))
    else:
        _show(report)
    return Exit.OK


def _show(report: AdlReport) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title="By policy, USD")
    for name in ("loss", "rounds", "policy"):
        table.add_column(name)
    for name in ("closed", "gains taken", "overshoot", "accounts", "largest share"):
        table.add_column(name, justify="right")
    for line in report.lines:
        table.add_row(
            f"{line.loss} {line.loss_usd / 1e6:.1f}M", str(line.rounds), line.policy,
            f"{line.closed_usd:,.0f}", f"{line.taken_usd:,.0f}", f"{line.overshoot_usd:,.2f}",
            f"{line.accounts:,}", f"{line.worst_frac:.2%}",
        )  # fmt: skip
    console.print(table)
    for title, figures in (("Published", report.published), ("Measured", report.measured)):
        shown = Table("figure", title=title)
        shown.add_column("value", justify="right")
        for name, value in figures.items():
            shown.add_row(name, f"{value:,.0f}")
        console.print(shown)
    for note in report.notes:
        console.print(f"  {note}", highlight=False)
