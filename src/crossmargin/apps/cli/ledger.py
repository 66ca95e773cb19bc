"""Commands that set a ledger into a market: init, adopt.

In     a store, a market, a rulebook.
Out    records; what was done, in words and in JSON; an exit code.
Owns   the order of the steps: everything is tried before anything is written.
Never  decides: the engine does; computes an amount.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from crossmargin.apps.cli.ledger_stores import AsJson, Text, shown, stamp_text, writing
from crossmargin.apps.cli.outcome import Exit, to_json
from crossmargin.apps.cli.progress import working

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossmargin.apps.cli.ledger_worlds import World
    from crossmargin.domain.book import Head
    from crossmargin.engine.commands import AnyCommand
    from crossmargin.engine.runtime import Engine

Market = Annotated[Path | None, Parameter(group="Inputs")]
RULEBOOK = "prime-24h"


def init(
    store: str,
    *,
    market: Market = None,
    rulebook: Annotated[str, Parameter(group="Inputs")] = RULEBOOK,
    at: Text = None,
    demo: Annotated[bool, Parameter(group="Inputs", negative="")] = False,
    as_json: AsJson = False,
) -> int:
    """Create a ledger: list a market, adopt a rulebook, accept prices and joint scenarios.

    Parameters
    ----------
    store
        A path, sqlite:PATH or postgresql://user@host/database?schema=name.
    market
        JSON file or folder of tables [the generated demo market]; with --at the data folder.
    rulebook
        A shipped rulebook (prime-24h, exchange-4h) or a TOML file.
    at
        The moment to begin at, such as 2026-01-01T00:00Z [a file's own; the demo's is now].
    demo
        Also open the demo's 200 accounts with what they hold, and a lender; demo market only.
    as_json
        Print the answer as JSON.
    """
    from crossmargin import api
    from crossmargin.adapters.store import create_store
    from crossmargin.apps.cli.ledger_sends import bring_in, import_lines
    from crossmargin.apps.cli.ledger_worlds import commands_of, lender_commands, world_of
    from crossmargin.domain.book import Book, Head
    from crossmargin.engine.runtime import Engine
    from crossmargin.ledger.journal import GENESIS

    if demo and market is not None:
        raise api.InputInvalid("--demo", str(market), "stand without --market", "import a book")
    with working("preparing the market", as_json):
        world = world_of(market, api.load_rulebook(rulebook), at)
        at_ns = world.tables.at_ns
        commands = commands_of(world, Head(), at_ns)
        refuse(world, commands, Head(), at_ns)
    opened = create_store(store)
    try:
        engine = Engine(opened, lambda: at_ns, Book(), GENESIS)
        told = {"store": shown(store)} | adopted(engine, world, commands)
        lines = lines_of(told)
        if world.book is not None and demo:
            brought = bring_in(engine, world.book, api.DEFAULT_METHOD, as_json)
            lines += import_lines(brought)
            engine.submit(lender_commands(engine.book, at_ns))
            told |= brought | {"seq": engine.seq, "hash": engine.chain.hex()}
    finally:
        opened.close()
    return answer(told, f"created {shown(store)}", lines, as_json)


def adopt(
    store: str,
    *,
    market: Market = None,
    rulebook: Text = None,
    at: Text = None,
    as_json: AsJson = False,
) -> int:
    """Bring a ledger up to a market: list what is new, adopt a rulebook, accept prices.

    What is no longer in the market stays listed, without new prices. Either all of it is accepted
    or nothing; only prices that are too old are left out.

    Parameters
    ----------
    store
        A ledger.
    market
        JSON file or folder of tables [the generated demo market]; with --at the data folder.
    rulebook
        A shipped rulebook or a TOML file [the one in force].
    at
        The moment of the market [a file's own; the demo's is now].
    as_json
        Print the answer as JSON.
    """
    from crossmargin import api
    from crossmargin.apps.cli.ledger_worlds import commands_of, world_of
    from crossmargin.domain.rulebook import unpacked

    with writing(store, None, as_json) as engine:
        head = engine.book.head
        if rulebook is None and not head.rules:
            raise api.InputInvalid(shown(store), "no rulebook", "have one", "name it by --rulebook")
        rules = unpacked(head.rules) if rulebook is None else api.load_rulebook(rulebook)
        with working("preparing the market", as_json):
            world = world_of(market, rules, at)
            engine.clock = lambda: world.tables.at_ns
            commands = commands_of(world, head, engine.now())
            refuse(world, commands, head, engine.now())
        told = {"store": shown(store)} | adopted(engine, world, commands)
    code = answer(told, f"brought {shown(store)} up to its market", lines_of(told), as_json)
    return code if told["prints"] else Exit.FOUND


def refuse(world: World, commands: Sequence[AnyCommand], head: Head, now_ns: int) -> None:
    """Refuse a market or rulebook before anything of it is in the ledger."""
    from crossmargin.apps.cli.ledger_worlds import refusals
    from crossmargin.base.errors import Finding, MarketInvalid

    found = refusals(commands, head, now_ns)
    if found:
        allowed = "be accepted by the engine (docs/ledger.md lists the reasons)"
        raise MarketInvalid([Finding(world.tables.source, why, allowed) for why in found])


def adopted(engine: Engine, world: World, commands: Sequence[AnyCommand]) -> dict[str, Any]:
    """Send the commands of a world; return what to tell of it."""
    from crossmargin.engine.commands import AcceptPrices
    from crossmargin.engine.replies import Accepted

    replies = engine.submit(commands)
    pairs = zip(commands, replies, strict=True)
    taken = [one for one, reply in pairs if isinstance(reply, Accepted)]
    prints = {
        is_taken: sum(
            len(one.prints) + len(one.marks)
            for one in commands
            if isinstance(one, AcceptPrices) and (one in taken) == is_taken
        )
        for is_taken in (True, False)
    }
    listing = engine.book.head.listing
    assert listing is not None
    return {
        "seq": engine.seq, "hash": engine.chain.hex(),
        "at": stamp_text(engine.book.head.at_ns), "market": world.tables.source,
        "assets": len(listing.assets), "instruments": len(listing.instruments),
        "rulebook": world.rules.name, "rulebook_version": world.rules.version,
        "commands": [type(one).__name__ for one in taken],
        "prints": prints[True], "prints_too_old": prints[False],
    }  # fmt: skip


def lines_of(told: dict[str, Any]) -> list[str]:
    """Return what was adopted, in words."""
    old = f", {told['prints_too_old']:,} are too old" if told["prints_too_old"] else ""
    return [
        f"market {told['market']}: {told['assets']:,} assets, {told['instruments']:,} instruments",
        f"rulebook {told['rulebook']} {told['rulebook_version']}",
        f"{told['prints']:,} prices accepted{old}",
    ]


def answer(told: dict[str, Any], title: str, lines: Sequence[str], as_json: bool) -> int:
    """Print what was done, and the record and hash an auditor may keep."""
    from crossmargin.apps.cli import show

    if as_json:
        print(to_json(told))
    else:
        from rich.markup import escape

        show.put(f"[bold]{escape(title)}[/]", *(f"  {escape(line)}" for line in lines))
        show.put(f"[bright_black]record {told['seq']:,}, {told['hash']}[/]")
    return Exit.OK
