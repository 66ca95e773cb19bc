"""Commands that look at a whole ledger: balance, verify.

In     a store, whose balances, a record or moment.
Out    tables, JSON; an exit code.
Owns   how exact amounts are written: plain decimal text of coins, every digit.
Never  writes a store; puts an amount through a float.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from crossmargin.apps.cli.ledger_stores import (
    AsJson,
    Text,
    When,
    book_at,
    reading,
    shown,
    stamp_text,
)
from crossmargin.apps.cli.options import AT_LEAST_1
from crossmargin.apps.cli.outcome import Exit, to_json
from crossmargin.apps.cli.progress import searching

if TYPE_CHECKING:
    from crossmargin.domain.book import Head

CONTRACT_DECIMALS = 18
HOLDERS = ("users", "@outside", "@fees", "@rounding", "@interest", "@clearing")
Top = Annotated[int, Parameter(group="Output", validator=AT_LEAST_1)]


def balance(
    store: str,
    *,
    account: Text = None,
    asset: Text = None,
    when: When = When(),  # noqa: B008 - frozen
    top: Top = 20,
    as_json: AsJson = False,
) -> int:
    """Show what stands in a ledger, now or after an earlier record, and what it all sums to.

    Parameters
    ----------
    store
        A ledger; a running engine may hold it.
    account
        One account, such as alice or @fees [all].
    asset
        One asset, or one instrument [all].
    top
        How many rows of a table are printed; JSON holds all of them.
    as_json
        Print the answer as JSON.
    """
    from crossmargin.api import InputInvalid
    from crossmargin.engine.balances import balances, positions, sums

    with reading(store) as opened:
        book = book_at(opened, when, as_json)
    if account is not None and book.find(account) is None:
        raise InputInvalid("--account", account, "be an account of this ledger at that record")
    units = Units(book.head)
    units.check(asset)
    names = None if account is None else [account]
    held = [units.balance(one) for one in balances(book, names) if asset in (None, one.asset)]
    open_ = [
        units.position(one) for one in positions(book, names)
        if asset in (None, one.instrument, one.settle)
    ]  # fmt: skip
    totals = {
        item: {name: units.text(item, amount) for name, amount in holders.items()}
        | {"sum": units.text(item, sum(holders.values()))}
        for item, holders in sums(book).items()
        if asset in (None, item)
    }
    told = {
        "store": shown(store), "seq": book.head.seq, "at": stamp_text(book.head.at_ns),
        "accounts": sum(name[0] != "@" for name in book.accounts),
        "balances": held, "positions": open_, "sums": totals, "settles": list(units.decimals),
    }  # fmt: skip
    if as_json:
        del told["settles"]
        print(to_json(told))
    else:
        _show_balances(told, top)
    return Exit.OK


class Units:
    """How many decimals an asset or instrument has; amounts as text of coins or contracts."""

    def __init__(self, head: Head) -> None:
        self.listing = head.listing
        self.decimals = {} if self.listing is None else self.listing.decimals

    def check(self, item: str | None) -> None:
        """Refuse an item that was never listed."""
        from crossmargin.api import InputInvalid

        known = self.listing is not None and (
            item in self.decimals or item in self.listing.terms or item is None
        )
        if not known and item is not None:
            raise InputInvalid("--asset", item, "be an asset or instrument of the ledger")

    def text(self, item: str, amount: int) -> str:
        """Return an amount of an asset in coins, of an instrument in contracts; every digit."""
        from crossmargin.base.fixed import format_amount

        return format_amount(amount, self.decimals.get(item, CONTRACT_DECIMALS))

    def cost(self, item: str, cost: int) -> str | None:
        """Return the cost of a position in coins of its settlement asset; None for an asset."""
        if self.listing is None or item in self.decimals:
            return None
        return self.text(self.listing.terms[item].settle, cost)

    def balance(self, one: Any) -> dict[str, str]:
        """Return a balance as text."""
        return {
            "account": one.account, "pool": one.pool, "asset": one.asset,
            "amount": self.text(one.asset, one.amount),
            "interest_due": self.text(one.asset, one.due),
        }  # fmt: skip

    def position(self, one: Any) -> dict[str, str]:
        """Return a position as text."""
        return {
            "account": one.account, "pool": one.pool, "instrument": one.instrument,
            "contracts": self.text(one.instrument, one.contracts), "settle": one.settle,
            "cost": self.text(one.settle, one.cost),
            "funding_due": self.text(one.settle, one.due),
        }  # fmt: skip


def _show_balances(told: Mapping[str, Any], top: int) -> None:
    from crossmargin.apps.cli import show

    held, open_ = told["balances"], told["positions"]
    rows: list[tuple[str, ...]] = [
        (x["account"], x["pool"], x["asset"], x["amount"], x["interest_due"]) for x in held
    ]
    columns: tuple[str, ...] = ("account", "pool", "asset", "balance", "interest due")
    show.put(show.table(titled("Balances", rows, top), columns, plain(rows[:top]), 3))
    if open_:
        rows = [
            (x["account"], x["pool"], x["instrument"], x["contracts"], x["cost"], x["funding_due"],
             x["settle"]) for x in open_
        ]  # fmt: skip
        columns = ("account", "pool", "instrument", "contracts", "cost", "funding due", "note: in")
        show.put(show.table(titled("Positions", rows, top), columns, plain(rows[:top]), 3))
    _show_sums(told["sums"], told["settles"])
    where = f"record {told['seq']:,} of {told['at']}, {show.count(told['accounts'], 'account')}"
    show.put(f"[bright_black]{where}[/]")


def _show_sums(sums: Mapping[str, Mapping[str, str]], settles: Sequence[str]) -> None:
    """Print what all holders of each asset have together; instruments are counted."""
    from rich.markup import escape

    from crossmargin.apps.cli import show

    used = dict.fromkeys(name for held in sums.values() for name in held if name != "sum")
    named = [name for name in HOLDERS if name in used]
    others = [name for name in used if name not in HOLDERS]
    rows = [
        (item, *(sums[item].get(name, "0") for name in (*named, *others)), sums[item]["sum"])
        for item in sums
        if item in settles
    ]
    title = "What all holders have, costs of positions with it: each asset sums to 0"
    show.put(show.table(title, ("asset", *named, *others, "sum"), plain(rows)))
    odd = [item for item in sums if sums[item]["sum"] != "0"]
    counted = len(sums) - len(rows)
    if counted:
        show.put(f"{show.count(counted, 'instrument')} sum to 0 contracts as well")
    if odd:
        show.put(
            f"[bold red]do not sum to 0: {escape(', '.join(odd))}[/]; run crossmargin ledger verify"
        )


def plain(rows: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return rows whose text a terminal shows as it stands: a name may hold brackets."""
    from rich.markup import escape

    return [tuple(map(escape, row)) for row in rows]


def titled(word: str, rows: Sequence[object], top: int) -> str:
    shown = f", {top:,} shown" if len(rows) > top else ""
    return f"{word}: {len(rows):,}{shown}"


# --- verify ---------------------------------------------------------------------------------------


def verify(store: str, *, noted: Text = None, as_json: AsJson = False) -> int:
    """Replay a ledger from its first record and check everything; ends with 1 where it is broken.

    Every hash follows from the one before it, every event's postings sum to zero, no stamp runs
    backwards, each snapshot is the state of replay, and all holders together sum to zero.

    Parameters
    ----------
    store
        A ledger; a running engine may hold it.
    noted
        RECORD:HASH as an earlier answer showed it: finds an end that was cut off, a remade journal.
    as_json
        Print the answer as JSON.
    """
    from crossmargin.engine.verify import verify as verified

    pair = None if noted is None else _noted(noted)
    with reading(store) as opened, searching("verifying", as_json) as watch:
        found = verified(opened, pair, watch)
    told = {
        "store": shown(store), "sound": not found.wrong, "seq": found.seq,
        "hash": found.chain.hex(), "at": stamp_text(found.at_ns), "events": found.events,
        "snapshots": found.snapshots, "state_hash": found.state_hash.hex(),
        "wrong": [{"record": one.seq, "found": one.found} for one in found.wrong],
    }  # fmt: skip
    if as_json:
        print(to_json(told))
        return Exit.FOUND if found.wrong else Exit.OK
    from rich.markup import escape

    from crossmargin.apps.cli import show

    counted = f"{show.count(found.seq, 'record')}, {show.count(found.events, 'event')}, "
    counted += show.count(found.snapshots, "snapshot")
    for one in found.wrong:
        show.put(f"[bold red]record {one.seq:,}[/] {escape(one.found)}")
    if found.wrong:
        show.put("believed up to there: " + counted)
    else:
        show.put(f"[green]sound[/]: {counted}; every hash follows, every asset sums to 0")
    show.put(f"[bright_black]record {found.seq:,}, {found.chain.hex()}[/]")
    return Exit.FOUND if found.wrong else Exit.OK


def _noted(text: str) -> tuple[int, bytes]:
    from crossmargin.api import InputInvalid

    seq, _, digest = text.partition(":")
    try:
        pair = (int(seq), bytes.fromhex(digest))
    except ValueError:
        pair = (-1, b"")
    if pair[0] < 0 or len(pair[1]) != 32:
        raise InputInvalid("--noted", text, "be RECORD:HASH", "as init, import and verify print it")
    return pair
