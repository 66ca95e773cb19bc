"""A day of a ledger from Python: opened, paid into, traded, asked, and replayed to the same state.

python examples/ledger_story.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from msgspec.structs import replace

import crossmargin as cm
from crossmargin.adapters.store import open_store
from crossmargin.base.fixed import format_amount
from crossmargin.domain.book import Book
from crossmargin.engine.balances import sums
from crossmargin.engine.history import walk
from crossmargin.engine.opening import listing_command, prices_commands
from crossmargin.engine.statements import lines_of
from crossmargin.engine.verify import Verified, verify
from crossmargin.simulation.worlds import world

AT = 1_767_225_600_000_000_000  # 2026-01-01T00:00Z: the engine's clock is an argument
USDC, ETH, CONTRACT = 10**6, 10**18, 10**18  # smallest units
c = cm.commands


def opening() -> list[c.Command]:
    """Return the commands that put a ledger into the generated market."""
    tables = world(7, AT).tables
    rules = cm.load_rulebook("prime-24h")
    market = cm.market_from_tables(tables, rulebook=rules).frame
    return [
        listing_command(tables, "list", AT),
        c.AdoptRulebook(key="rules", issued_ns=AT, rules=rules.packed()),
        *prices_commands(market, "prices", AT),
    ]


def day() -> list[c.Command]:
    """Return what alice asks for. A key each: sent twice, a command happens once."""
    alice, outside = c.Side(account="alice", fee=USDC // 2), c.Side(account="@outside")
    asked = [
        c.OpenAccount(account="alice"),
        c.Deposit(account="alice", asset="USDC", amount=20_000 * USDC, reference="wire 1"),
        c.Deposit(account="alice", asset="ETH", amount=5 * ETH),
        c.Fill(
            instrument="ETH-PERP", contracts=3 * CONTRACT, price="3000.5",
            buyer=alice, seller=outside,
        ),
        c.AdvanceFunding(instrument="ETH-PERP", rate="0.0001", price="3000"),
        c.Withdraw(account="alice", asset="USDC", amount=5_000 * USDC),
        c.Withdraw(account="alice", asset="USDC", amount=50_000 * USDC),
    ]  # fmt: skip
    return [replace(one, key=f"day-{n}", issued_ns=AT) for n, one in enumerate(asked)]


def main() -> Verified:
    """Live through the day, then believe nothing but the journal."""
    path = Path(tempfile.mkdtemp()) / "book.ledger"
    engine = cm.open_engine(path, create=True, clock=lambda: AT)
    engine.submit(opening())
    for command, reply in zip(day(), engine.submit(day()), strict=True):
        if isinstance(reply, cm.Rejected):
            print(
                f"{type(command).__name__}: {reply.reason}, asked {reply.asked}, free {reply.free}"
            )
    again = engine.submit(day())
    print(f"sent again: {sum(isinstance(r, cm.Accepted) and r.repeated for r in again)} repeated")
    state = engine.state_hash()
    engine.close()

    store = open_store(path, writer=False)
    book = Book()
    for step in walk(store, book):  # every hash is checked on the way
        terms = book.head.listing.terms if book.head.listing else {}
        for line in lines_of(step.entry, step.record.seq, terms, lambda name, _: name == "alice"):
            decimals = 18 if line.cost is not None else book.head.listing.decimals[line.item]
            print(f"{line.seq:>4}  {line.what:<32} {format_amount(line.change, decimals):>9} "
                  f"{line.item}")  # fmt: skip
    print("USDC of all holders:", sums(book)["USDC"])
    found = verify(store)
    store.close()
    assert not found.wrong
    assert found.state_hash == state, "replay ends in the state the engine stood in"
    print(f"record {found.seq}, {found.chain.hex()}")
    return found


if __name__ == "__main__":
    main()
