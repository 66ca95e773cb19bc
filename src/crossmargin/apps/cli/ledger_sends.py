"""Commands that send commands to a ledger: import, submit.

In     a store, a book to bring in, lines of commands.
Out    records; what was done, or a reply for each line; an exit code.
Owns   how an import goes on after an interruption; what a line without key and stamp is given.
Never  decides: the engine does; computes an amount.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from crossmargin.apps.cli.ledger_stores import AsJson, Text, shown, stamp_text, writing
from crossmargin.apps.cli.outcome import Exit, tell
from crossmargin.apps.cli.progress import searching, working

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossmargin.adapters.feeds import Line
    from crossmargin.api import BookTables
    from crossmargin.engine.commands import AnyCommand
    from crossmargin.engine.runtime import Engine

# Accounts sent together: made durable as one group, a step of the bar.
ACCOUNTS_AT_ONCE = 512
# Lines made durable together, where they are there together.
LINES_AT_ONCE = 512
LISTED = 10


def import_book(
    store: str,
    *,
    book: Annotated[Path, Parameter(group="Inputs")],
    method: Text = None,
    at: Text = None,
    as_json: AsJson = False,
) -> int:
    """Bring in opening balances; again after an interruption, it goes on where it stood.

    The whole book is checked first, and nothing is brought in where a row is wrong. Accounts that
    hold what the book says are passed over; accounts that hold something else are left as they
    are, listed, and the command ends with 1.

    Parameters
    ----------
    store
        A ledger with a market.
    book
        JSON, Parquet, CSV or Arrow file, or folder of tables: what margin --book reads.
    method
        For pools that name none [cross_correlated].
    at
        Act as of this moment of the past [now]; never before the newest record.
    as_json
        Print the answer as JSON.
    """
    from crossmargin import api
    from crossmargin.apps.cli.ledger import answer
    from crossmargin.methods.registry import method_named

    default = method_named(method or api.DEFAULT_METHOD).name
    with working("reading the book", as_json):
        tables = api.load_book(book)
    with writing(store, at, as_json) as engine:
        told: dict[str, Any] = {"store": shown(store), "book": tables.source}
        told |= bring_in(engine, tables, default, as_json)
        answer(told, f"imported {tables.source} into {shown(store)}", import_lines(told), as_json)
    return Exit.FOUND if told["differ"] or told["rejected"] else Exit.OK


def bring_in(engine: Engine, tables: BookTables, method: str, quiet: bool) -> dict[str, Any]:
    """Send what is left of an opening book, and return how it went."""
    from crossmargin.api import InputInvalid
    from crossmargin.engine.arrivals import frame_of, plan
    from crossmargin.engine.opening import account_commands
    from crossmargin.engine.replies import Rejected
    from crossmargin.frames.compile import compile_book
    from crossmargin.methods.registry import METHODS

    listing = engine.book.head.listing
    if listing is None:
        raise InputInvalid("ledger", "no market", "have one", "run `crossmargin ledger adopt`")
    with working("checking the book", quiet):
        market = frame_of(listing)
        compile_book(tables, market, method, tuple(METHODS), strict=True)
        now_ns = engine.now()
        stem = f"import-{engine.seq}-{now_ns:x}"
        found = plan(engine.book, account_commands(tables, market, method, stem, now_ns))
    rejected: dict[str, str] = {}
    sent, n_commands = 0, sum(map(len, found.todo))
    with searching("importing", quiet) as watch:
        for group in found.groups(ACCOUNTS_AT_ONCE):
            for command, reply in zip(group, engine.submit(group), strict=True):
                if isinstance(reply, Rejected):
                    where = f" ({reply.where})" if reply.where else ""
                    rejected.setdefault(command.account, f"{reply.reason}{where}")
            sent += len(group)
            watch(sent, n_commands)
    return {
        "accounts": len(found.todo) + len(found.here) + len(found.differ),
        "imported": len(found.todo) - len(rejected), "already_here": len(found.here),
        "differ": dict(found.differ), "rejected": rejected, "seq": engine.seq,
        "hash": engine.chain.hex(), "at": stamp_text(engine.book.head.at_ns),
    }  # fmt: skip


def import_lines(told: dict[str, Any]) -> list[str]:
    """Return how an import went, in words."""
    from crossmargin.apps.cli.show import count

    lines = [f"{count(told['accounts'], 'account')}: {told['imported']:,} imported"]
    if told["already_here"]:
        lines[0] += f", {told['already_here']:,} are here already"
    for word in ("differ", "rejected"):
        named = list(told[word].items())
        lines += [f"{name}: left as it is, {why}" for name, why in named[:LISTED]]
        if len(named) > LISTED:
            lines.append(f"... and {len(named) - LISTED:,} more; --json lists them all")
    return lines


# --- submit ---------------------------------------------------------------------------------------


def submit(
    store: str, commands: Annotated[str, Parameter(allow_leading_hyphen=True)], *, at: Text = None
) -> int:
    """Send commands, one JSON document a line, and print a reply for each, a line of JSON.

    A command without a key is given one, a command without issued_ns the time it was read at: such
    a command must not be sent twice. Ends with 1 where a command was rejected, with 2 where a line
    is no command; the lines after it are read all the same.

    Parameters
    ----------
    store
        A ledger.
    commands
        A file of lines, or - for standard input.
    at
        Act as of this moment of the past [now]; never before the newest record.
    """
    from crossmargin.adapters.feeds import Feed
    from crossmargin.adapters.wire import COMMAND_BYTES_MAX

    counts: Counter[str] = Counter()
    feed = Feed(commands, COMMAND_BYTES_MAX)
    try:
        with writing(store, at, quiet=False) as engine:
            for lines in feed:
                for start in range(0, len(lines), LINES_AT_ONCE):
                    for kind, told in _answered(engine, lines[start : start + LINES_AT_ONCE]):
                        counts[kind] += 1
                        sys.stdout.buffer.write(told + b"\n")
                    sys.stdout.buffer.flush()
            said = f"record {engine.seq:,} at {stamp_text(engine.book.head.at_ns)}"
    finally:
        feed.close()
    tell(", ".join([*(f"{n:,} {word}" for word, n in counts.items()), said]))
    return Exit.BAD_INPUT if counts["invalid"] else Exit.FOUND if counts["rejected"] else Exit.OK


def _answered(engine: Engine, lines: Sequence[Line]) -> list[tuple[str, bytes]]:
    """Return (kind, reply) of each line that is not blank; what was accepted is durable."""
    from crossmargin.adapters.wire import reply_to_json
    from crossmargin.apps.cli.pump import command_of, invalid_line
    from crossmargin.base.errors import InputInvalid
    from crossmargin.engine.replies import Accepted

    answers: list[tuple[str, bytes]] = []
    sent: list[tuple[int, AnyCommand]] = []
    for line in lines:
        if not line.n_bytes or line.text.isspace():
            continue
        try:
            command = _stamped(command_of(line), line.number, engine)
        except InputInvalid as invalid:
            answers.append(("invalid", invalid_line(line, invalid)))
        else:
            sent.append((len(answers), command))
            answers.append(("", b""))
    replies = engine.submit([command for _, command in sent])
    for (place, command), reply in zip(sent, replies, strict=True):
        kind = "accepted" if isinstance(reply, Accepted) else "rejected"
        answers[place] = (kind, reply_to_json(reply, command.key))
    return answers


def _stamped(command: AnyCommand, number: int, engine: Engine) -> AnyCommand:
    """Return a command with a key and a stamp of ours, where it came without."""
    from msgspec.structs import replace

    now_ns = engine.now()
    return replace(
        command,
        key=command.key or f"submit-{engine.seq}-{number}-{now_ns:x}",
        issued_ns=command.issued_ns or now_ns,
    )
