"""`ledger statement`: what changed an account's balances and positions, line by line.

In     a store, an account, a span of time.
Out    a table, JSON, CSV, a picture; an exit code.
Owns   the running balance: it opens as the ledger stood and closes as the ledger stands.
Never  writes a store; puts an amount through a float.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from crossmargin.apps.cli.ledger_looks import Top, Units, plain, titled
from crossmargin.apps.cli.ledger_stores import AsJson, Text, moment, reading, shown, stamp_text
from crossmargin.apps.cli.outcome import Exit, said, to_json
from crossmargin.apps.cli.progress import searching

if TYPE_CHECKING:
    from crossmargin.domain.book import Book
    from crossmargin.engine.ports import Store
    from crossmargin.engine.statements import Line

LINE_COLUMNS = (
    "seq", "at", "role", "what", "account", "pool", "item", "change", "balance", "cost",
    "cost_balance",
)  # fmt: skip


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Asked:
    """Whose statement it is, and what of it."""

    account: Annotated[str, Parameter(group="Inputs")]
    """Such as alice or @fees."""
    pool: Text = None
    """One pool [all]."""
    asset: Text = None
    """One asset, or one instrument [all]."""

    def wanted(self, account: str, pool: str) -> bool:
        """Return whether a pool's lines belong to the statement."""
        return account == self.account and self.pool in (None, pool)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, both ends included."""

    from_: Annotated[str | None, Parameter(name="--from", group="Inputs")] = None
    """Records stamped at or after this moment [the first]."""
    to: Text = None
    """Records stamped at or before this moment [the newest]."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Files:
    """Where else the statement is put."""

    csv: Annotated[Path | None, Parameter(group="Output")] = None
    """Also write all lines into this CSV file."""
    picture: Annotated[Path | None, Parameter(group="Output")] = None
    """Also draw the balances over time into this PNG file."""


def statement(
    store: str,
    *,
    asked: Asked,
    span: Span = Span(),
    last: Top = 50,
    files: Files = Files(),
    as_json: AsJson = False,
) -> int:
    """Show line by line what changed an account's balances and positions, and what they became.

    Parameters
    ----------
    store
        A ledger; a running engine may hold it.
    last
        How many lines are printed, the newest; JSON and CSV hold all of them.
    as_json
        Print the answer as JSON.
    """
    with reading(store) as opened:
        told = _statement(opened, asked, span, as_json)
    lines = told["lines"]
    if files.csv is not None:
        write_csv(lines, files.csv)
        said(files.csv)
    if files.picture is not None:
        from crossmargin.apps.pictures.paper import save
        from crossmargin.apps.pictures.statement import statement_picture

        said(save(statement_picture(told, shown(store)), files.picture))
    if as_json:
        print(to_json({"store": shown(store), **told}))
    else:
        _show_statement(told, last)
    return Exit.OK


def _statement(store: Store, asked: Asked, span: Span, quiet: bool) -> dict[str, Any]:
    """Return opening balances, every line with what it led to, and closing balances."""
    from crossmargin.api import InputInvalid
    from crossmargin.engine.history import seq_at, walk
    from crossmargin.engine.runtime import restored
    from crossmargin.engine.statements import lines_of

    start, end = span.from_, span.to
    before = 0 if start is None else seq_at(store, moment(start, "--from") - 1)
    upto = store.last()[0] if end is None else seq_at(store, moment(end, "--to"))
    upto = max(before, upto)
    with searching("replaying", quiet) as watch:
        book, chain = restored(store, before, watch)
        running = held_by(book, asked)
        opening = dict(running)
        found: list[tuple[Line, Held]] = []
        for step in walk(store, book, chain, upto, watch):
            listing = book.head.listing
            terms = {} if listing is None else listing.terms
            for line in lines_of(step.entry, step.record.seq, terms, asked.wanted):
                if asked.asset in (None, line.item):
                    place = (line.pool, line.item)
                    had = running.get(place, (0, 0))
                    running[place] = (had[0] + line.change, had[1] + (line.cost or 0))
                    found.append((line, running[place]))
    if book.find(asked.account) is None:
        raise InputInvalid("--account", asked.account, "be an account of this ledger by then")
    closing = {place: held for place, held in running.items() if any(held)}
    # Every line was added up by itself; the book was folded from the same records by the engine.
    assert closing == held_by(book, asked), "a statement ends where the book stands"
    units = Units(book.head)
    units.check(asked.asset)
    return {
        "account": asked.account, "seq": book.head.seq, "at": stamp_text(book.head.at_ns),
        "opening": _standing(opening, units), "lines": [_row(*one, units) for one in found],
        "closing": _standing(closing, units),
    }  # fmt: skip


Held = tuple[int, int]


def held_by(book: Book, asked: Asked) -> dict[tuple[str, str], Held]:
    """Return (pool, item) -> (amount or contracts, cost) of what a statement is about."""
    found = book.find(asked.account)
    held: dict[tuple[str, str], Held] = {}
    for pool, state in () if found is None else found.pools.items():
        if asked.pool in (None, pool):
            held |= {(pool, name): (amount, 0) for name, amount in state.balances.items()}
            held |= {
                (pool, name): (own.contracts, own.cost) for name, own in state.positions.items()
            }
    return {place: own for place, own in held.items() if asked.asset in (None, place[1])}


def _standing(held: Mapping[tuple[str, str], Held], units: Units) -> list[dict[str, Any]]:
    return [
        {"pool": pool, "item": item, "balance": units.text(item, amount),
         "cost_balance": units.cost(item, cost)}
        for (pool, item), (amount, cost) in held.items()
    ]  # fmt: skip


def _row(line: Line, held: Held, units: Units) -> dict[str, Any]:
    is_move = line.cost is not None
    return {
        "seq": line.seq, "at": stamp_text(line.at_ns), "role": str(line.role), "what": line.what,
        "account": line.account, "pool": line.pool, "item": line.item,
        "change": units.text(line.item, line.change), "balance": units.text(line.item, held[0]),
        "cost": units.cost(line.item, line.cost or 0) if is_move else None,
        "cost_balance": units.cost(line.item, held[1]) if is_move else None,
    }  # fmt: skip


def write_csv(lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write lines as CSV, amounts as the text they are."""
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, LINE_COLUMNS)
        writer.writeheader()
        writer.writerows(lines)


def _show_statement(told: Mapping[str, Any], last: int) -> None:
    from crossmargin.apps.cli import show

    lines = told["lines"]
    rows = [
        ("", "", "opening", x["pool"], x["item"], "", x["balance"], x["cost_balance"] or "")
        for x in told["opening"]
    ] if len(lines) <= last else []  # fmt: skip
    rows += [
        (str(x["seq"]), x["at"][:19].replace("T", " "), x["what"], x["pool"], x["item"],
         x["change"], x["balance"],
         x["cost_balance"] or "") for x in lines[-last:]
    ]  # fmt: skip
    columns = ("record", "at", "what", "pool", "item", "change", "balance", "cost")
    title = titled(f"{told['account']}, lines", lines, last)
    show.put(show.table(title, columns, plain(rows), 5))
    show.put(f"[bright_black]closes as the book stands after record {told['seq']:,}[/]")
