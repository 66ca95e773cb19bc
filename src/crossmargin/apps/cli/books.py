"""Commands about a whole book: margin, compare, stress.

In     a book, a market, a rulebook.
Out    tables, JSON, pictures, report files; an exit code.
Owns   what of a report is shown and in which order.
Never  computes a margin number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from crossmargin.apps.cli.options import Inputs, Outputs, Pages, Top, load
from crossmargin.apps.cli.outcome import Exit, said, to_json
from crossmargin.apps.cli.progress import each, working

if TYPE_CHECKING:
    import polars as pl

    from crossmargin.api import Report
    from crossmargin.apps.efficiency import Comparison
    from crossmargin.base.arrays import F64

METHODS = ("isolated", "cross_sum", "cross_correlated", "portfolio")
VERDICTS = ("UNPRICED", "BANKRUPT", "LIQUIDATABLE", "REDUCE_ONLY", "HEALTHY")
Limit = Literal["UNPRICED", "BANKRUPT", "LIQUIDATABLE", "REDUCE_ONLY"]
ACCOUNTS_SHOWN = 20


def margin(
    *,
    inputs: Inputs = Inputs(),  # noqa: B008 - frozen
    outputs: Outputs = Outputs(),  # noqa: B008
    top: Top = 20,
    out: Annotated[Path | None, Parameter(group="Output")] = None,
    fail_on: Annotated[Limit | None, Parameter(group="Output")] = None,
) -> int:
    """Report every pool's equity, requirement and verdict, most endangered first.

    Parameters
    ----------
    top
        How many pools are printed; JSON and report files hold all of them.
    out
        Also write the whole report, as .parquet, .csv or .arrow.
    fail_on
        Exit with 1 if a pool has this verdict or a worse one.
    """
    report = load(inputs, outputs.json)
    table = report.sorted_by_danger()
    if out is not None:
        from crossmargin.adapters.files import write_table

        write_table(table, out)
        said(out)
    if outputs.picture is not None:
        from crossmargin.apps.pictures.answers import margin_picture
        from crossmargin.apps.pictures.paper import save

        said(save(margin_picture(report), outputs.picture))
    if outputs.json:
        answer = {
            **report.header(),
            "verdicts": report.verdicts(),
            "rows": table.to_dicts(),
            "findings": [str(found) for found in report.findings],
        }
        print(to_json(answer))
    else:
        show_margin(report, table, top)
    return code_of(report, fail_on)


def code_of(report: Report, fail_on: str | None = None) -> int:
    """Return the exit code of a report: a verdict asked for, else whether all has an answer."""
    counts = report.verdicts()
    if fail_on is not None and any(
        counts[name] for name in VERDICTS[: VERDICTS.index(fail_on) + 1]
    ):
        return Exit.FOUND
    return Exit.UNPRICED if counts["UNPRICED"] or report.findings else Exit.OK


def show_margin(report: Report, table: pl.DataFrame, top: int) -> None:
    """Print the report: where from, how many of each verdict, the most endangered pools."""
    from crossmargin.apps.cli import show

    rows = [
        (
            row["account"], row["pool"], row["method"], show.verdict(row["verdict"]),
            show.ratio(row["health"]), show.amount(row["equity"]), show.amount(row["mm"]),
            show.amount(row["im"]), show.amount(row["buffer_mm"]), show.amount(row["buffer_im"]),
            binding(row),
        )
        for row in table.head(top).iter_rows(named=True)
    ]  # fmt: skip
    shown = f", the {len(rows)} most endangered" if len(rows) < len(table) else ""
    columns = ("account", "pool", "method", "verdict", "health", "equity", "MM", "IM",
               "buffer MM", "buffer IM", "binds")  # fmt: skip
    title = f"{show.count(len(table), 'pool')} of "
    title += f"{show.count(report.book.n_accounts, 'account')}{shown}"
    counts = report.verdicts()
    summary = "  ".join(f"{show.verdict(v)} {counts[v]:,}" for v in VERDICTS if counts[v])
    show.put(show.table(title, columns, rows, 3), summary, *show.findings(report.findings))
    show.put(f"[bright_black]{show.origin(report.header())}[/]")


def binding(row: Mapping[str, Any]) -> str:
    """Return which term binds, with the scenario that does."""
    term = str(row["binding_term"]).replace("_", " ")
    if term == "none":
        return "-"
    return term if row["worst_scenario"] is None else f"{term}: {row['worst_scenario']}"


# --- compare --------------------------------------------------------------------------------------


def compare(
    *,
    methods: Annotated[str, Parameter(group="Inputs")] = ",".join(METHODS),
    inputs: Inputs = Inputs(),  # noqa: B008
    outputs: Pages = Pages(),  # noqa: B008
    top: Top = ACCOUNTS_SHOWN,
) -> int:
    """Assess the same book under several methods: requirement and capital efficiency.

    Capital tied up is equity less the IM buffer: everything the rules take off equity, wherever a
    method books it. Freed is the share of it given back against the first method named.

    Parameters
    ----------
    methods
        Comma-separated; the first is what the others are measured against.
    top
        How many accounts are printed, widest gap first; JSON holds all of them.
    """
    report = load(inputs, outputs.json)
    found = compared(report, methods.split(","), outputs.json)
    if outputs.picture is not None or outputs.html is not None:
        for path in draw_comparison(report, found, outputs.picture, outputs.html):
            said(path)
    if outputs.json:
        answer = {
            **report.header(), "methods": found.methods, "total": found.total.to_dicts(),
            "accounts": found.accounts.to_dicts(), "pools_left_out": found.left_out,
        }  # fmt: skip
        print(to_json(answer))
    else:
        show_comparison(report, found, top)
    return Exit.UNPRICED if found.left_out else Exit.OK


def compared(report: Report, methods: Sequence[str], quiet: bool) -> Comparison:
    """Return the comparison, a bar while it runs."""
    from crossmargin.api import InputInvalid
    from crossmargin.apps.efficiency import comparison

    names = list(dict.fromkeys(name.strip() for name in methods if name.strip()))
    if not names:
        raise InputInvalid("--methods", "", f"be names out of {', '.join(METHODS)}")
    return comparison(
        {name: report.compare([name])[name] for name in each(names, "assessing", quiet)}
    )


def show_comparison(report: Report, found: Comparison, top: int = ACCOUNTS_SHOWN) -> None:
    """Print totals by method, then the accounts for which the method matters most."""
    from crossmargin.apps.cli import show

    totals = [
        (
            row["method"], *(show.amount(row[c]) for c in ("mm", "im", "tied_mm", "tied_im")),
            show.percent(row["tied_im"] / row["equity"] if row["equity"] > 0.0 else None),
            show.percent(row["freed"]),
        )
        for row in found.total.iter_rows(named=True)
    ]  # fmt: skip
    columns = ("method", "MM", "IM", "tied up at MM", "tied up at IM", "of equity", "freed")
    show.put(show.table("Whole book under each method", columns, totals))
    tied, freed = found.by_account("tied_im"), found.by_account("freed")
    spread = tied.select(found.methods).to_numpy()
    order = (spread.min(axis=1) - spread.max(axis=1)).argsort(kind="stable")[:top]
    rows = []
    for row in order.tolist():
        cells = [show.amount(tied[name][row]) for name in found.methods]
        best = [freed[name][row] for name in found.methods if freed[name][row] is not None]
        rows.append((str(tied["account"][row]), *cells, show.percent(max(best) if best else None)))
    shown = f"{len(rows)} of {len(tied):,} accounts, widest gap first: tied up at IM"
    show.put(show.table(shown, ("account", *found.methods, "most freed"), rows))
    if found.left_out:
        show.put(f"left out, without a number somewhere: {found.left_out} of {len(report):,} pools")
    show.put(f"[bright_black]{show.origin(report.header())}[/]")


def draw_comparison(
    report: Report, found: Comparison, picture: Path | None, page: Path | None
) -> list[Path]:
    """Draw the comparison as PNG, page or both; return the files."""
    from crossmargin.apps.pictures.answers import compare_values
    from crossmargin.apps.pictures.compare import draw_compare
    from crossmargin.apps.pictures.html import compare_page
    from crossmargin.apps.pictures.paper import save

    values, caption = compare_values(report, found)
    files = []
    if picture is not None:
        files.append(save(draw_compare(values, caption), picture))
    if page is not None:
        files.append(compare_page(values, caption, page))
    return files


# --- stress ---------------------------------------------------------------------------------------


def stress(
    *accounts: str,
    inputs: Inputs = Inputs(),  # noqa: B008
    outputs: Pages = Pages(),  # noqa: B008
    top: Top = 16,
) -> int:
    """Revalue the book in every named stress scenario; heat map of who loses what.

    Parameters
    ----------
    accounts
        Accounts of the heat map; none: those whose worst scenario costs them most of their equity.
    top
        How many pools the heat map holds where no account is named.
    """
    report = load(inputs, outputs.json)
    with working("revaluing the book in every scenario", outputs.json):
        names, pnl = report.stress()
    rows = stressed_rows(report, accounts, pnl, top)
    if outputs.picture is not None or outputs.html is not None:
        for path in draw_stress(report, rows, names, pnl, (outputs.picture, outputs.html)):
            said(path)
    if outputs.json:
        table = report.to_polars()
        picked = range(len(table)) if not accounts else rows
        pools = [
            {"account": table["account"][a], "pool": table["pool"][a], "pnl": pnl[a]}
            for a in picked
        ]
        print(to_json({**report.header(), "scenarios": names, "pools": pools}))
    else:
        show_stress(report, rows, names, pnl)
    return code_of(report)


def stressed_rows(report: Report, accounts: Sequence[str], pnl: F64, top: int) -> list[int]:
    """Return the pools of the named accounts, or those hit hardest for their equity."""
    import numpy as np

    from crossmargin.api import InputInvalid

    table = report.to_polars()
    if accounts:
        known = set(table["account"])
        for name in accounts:
            if name not in known:
                raise InputInvalid("account", name, "must be an account of the book")
        wanted = set(accounts)
        return [row for row, name in enumerate(table["account"]) if name in wanted]
    equity = report.frame.equity
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(equity > 0.0, pnl.min(axis=1, initial=0.0) / equity, 0.0)
    share = np.where(np.isfinite(share), share, 0.0)
    return [int(row) for row in np.argsort(share, kind="stable")[:top]]


def show_stress(report: Report, rows: Sequence[int], names: Sequence[str], pnl: F64) -> None:
    """Print one row a scenario: what the book makes, who is wiped out, the worst pool shown."""
    import numpy as np

    from crossmargin.apps.cli import show
    from crossmargin.apps.pictures.answers import place_of

    equity = report.frame.equity
    whole = np.nansum(pnl, axis=0)
    lines = []
    for s in np.argsort(whole, kind="stable").tolist():
        gone = int(np.sum((equity > 0.0) & (equity + pnl[:, s] < 0.0)))
        worst = int(np.argmin(np.nan_to_num(pnl[:, s])))
        owner = report.book.account_names[int(report.book.account_of_pool()[worst])]
        place = place_of(owner, report.book.pool_names[worst])
        lines.append(
            (names[s], show.amount(float(whole[s])), f"{gone:,}", place,
             show.amount(float(pnl[worst, s])))
        )  # fmt: skip
    columns = ("scenario", "P&L of the book", "pools wiped out", "worst pool", "its P&L")
    show.put(show.table(f"{len(names)} stress scenarios, worst first", columns, lines))
    show.put(f"[bright_black]{show.origin(report.header())}[/]")


def draw_stress(
    report: Report, rows: Sequence[int], names: Sequence[str], pnl: F64,
    paths: tuple[Path | None, Path | None],
) -> list[Path]:  # fmt: skip
    """Draw the heat map as PNG, page or both; return the files."""
    from crossmargin.apps.pictures.answers import stress_values
    from crossmargin.apps.pictures.html import losses_page
    from crossmargin.apps.pictures.maps import draw_losses
    from crossmargin.apps.pictures.paper import save

    values, caption = stress_values(report, rows, names, pnl)
    picture, page = paths
    files = []
    if picture is not None:
        files.append(save(draw_losses(values, caption), picture))
    if page is not None:
        files.append(losses_page(values, caption, page))
    return files
