"""`ledger free`: what may leave an account's pools, for all that margin says.

In     a store, an account, a record or moment.
Out    a table, JSON; an exit code.
Owns   at which time is asked: now, or that of an earlier record.
Never  writes a store; asks the writer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crossmargin.apps.cli.ledger_looks import Units, plain
from crossmargin.apps.cli.ledger_stores import (
    AsJson,
    Text,
    When,
    book_at,
    reading,
    shown,
    stamp_text,
)
from crossmargin.apps.cli.outcome import Exit, to_json
from crossmargin.apps.cli.progress import working

if TYPE_CHECKING:
    from crossmargin.domain.book import Book


def free(
    store: str,
    account: str,
    *,
    asset: Text = None,
    when: When = When(),  # noqa: B008 - frozen
    as_json: AsJson = False,
) -> int:
    """Show how much of each balance margin lets leave its pool; `unpriced` where it is not known.

    Asked of a copy of the ledger, so a running engine is not held up. Now, prices must not be
    older than the rulebook allows; of an earlier record its own time is asked.

    Parameters
    ----------
    store
        A ledger; a running engine may hold it.
    account
        The account, such as alice.
    asset
        One asset [all].
    as_json
        Print the answer as JSON; `free` is null where it is not known.
    """
    from crossmargin.adapters.clocks import wall_clock
    from crossmargin.api import InputInvalid

    with reading(store) as opened:
        book = book_at(opened, when, as_json)
    if account[:1] == "@" or book.find(account) is None:
        raise InputInvalid("ACCOUNT", account, "be an account of this ledger at that record")
    units = Units(book.head)
    units.check(asset)
    past = when.at is not None or when.at_seq is not None
    now_ns = book.head.at_ns if past else max(wall_clock(), book.head.at_ns)
    with working("asking", as_json, compiles=True):
        rows = _rows(book, (account, asset), now_ns, units)
    told = {
        "store": shown(store), "seq": book.head.seq, "at": stamp_text(now_ns), "account": account,
        "free": rows,
    }  # fmt: skip
    if as_json:
        print(to_json(told))
    else:
        _show(told)
    return Exit.OK


def _rows(
    book: Book, asked: tuple[str, str | None], now_ns: int, units: Units
) -> list[dict[str, str | None]]:
    """Return pool, asset, balance and what is free of it, of every positive balance."""
    from crossmargin.engine.market import Settings
    from crossmargin.engine.quotes import free_of

    account, only = asked
    setting = Settings().at(book.head, now_ns)
    found = book.find(account)
    assert found is not None
    held = [
        (pool, asset, amount)
        for pool, state in found.pools.items()
        for asset, amount in state.balances.items()
        if amount > 0 and only in (None, asset)
    ]
    rows: list[dict[str, str | None]] = []
    for pool, asset, amount in held:
        free_units = free_of(book, account, pool, asset, setting)
        text = None if free_units is None else units.text(asset, free_units)
        row = {"pool": pool, "asset": asset, "balance": units.text(asset, amount), "free": text}
        rows.append(row)
    return rows


def _show(told: dict[str, Any]) -> None:
    from rich.markup import escape

    from crossmargin.apps.cli import show

    rows = [
        (x["pool"], x["asset"], x["balance"], "unpriced" if x["free"] is None else x["free"])
        for x in told["free"]
    ]
    title = f"What may leave {escape(told['account'])}"
    show.put(show.table(title, ("pool", "asset", "balance", "free"), plain(rows), 2))
    show.put(f"[bright_black]record {told['seq']:,}, asked as of {told['at']}[/]")
