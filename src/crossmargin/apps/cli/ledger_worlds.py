"""Markets and rulebooks on their way into a ledger: what init and adopt send.

In     a market (demo, file, data folder), the name of a rulebook.
Out    a `World`, the commands that make a ledger stand in it.
Owns   at which moment a market is taken to be; which steps a ledger that is there already needs.
Never  decides what may be listed or accepted; writes a store.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from crossmargin.apps.cli.ledger_stores import AHEAD_NS, past, stamp_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossmargin.api import BookTables, HistoryFrame, MarketFrame, MarketTables, Rulebook
    from crossmargin.domain.book import Book, Head, Rows
    from crossmargin.engine.commands import AnyCommand, ListMarket

HOUR_NS = 3_600 * 1_000_000_000
# Those of `crossmargin margin` and the other commands that answer for the demo.
DEMO_ACCOUNTS, DEMO_SEED = 200, 7
LENDER = "lender-001"
# Columns that come anew with every print; a listing is not made again for them.
PRICES = frozenset((
    "level", "half_width", "stable_price", "age_s", "status", "forward", "iv", "rate", "averaged",
    "averaged_share", "funding_rate",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class World:
    """A market with its history and rules; `book` is the demo's, where it is the demo's market."""

    tables: MarketTables
    frame: MarketFrame
    history: HistoryFrame | None
    rules: Rulebook
    book: BookTables | None = None


def world_of(market: Path | None, rules: Rulebook, at: str | None) -> World:
    """Return a market under its rules: a file's at its own moment, the demo's at --at or now."""
    from crossmargin import api
    from crossmargin.adapters.clocks import wall_clock
    from crossmargin.adapters.files import load_market
    from crossmargin.adapters.real_market import real_market

    book, history = None, None
    if market is None:
        tables, history, book = _demo(wall_clock() if at is None else past(at))
    elif at is not None:
        if not (market / "data").is_dir():
            raise api.InputInvalid(
                "--market", str(market), "be the data folder where --at is given"
            )
        tables, history = real_market(market, past(at))
    else:
        tables = load_market(market)
        if tables.at_ns > wall_clock() + AHEAD_NS:
            raise api.InputInvalid(
                f"{market}: at", stamp_text(tables.at_ns), "not lie in the future",
                "a ledger's time never runs back",
            )  # fmt: skip
    source = api.market_from_tables(tables, history, rules, strict=True)
    return World(tables, source.frame, source.history, rules, book)


def _demo(at_ns: int) -> tuple[MarketTables, HistoryFrame, BookTables]:
    """Return the generated market of the hour, its prices stamped as of the moment asked for."""
    from crossmargin.simulation.books import book
    from crossmargin.simulation.worlds import world

    made = world(DEMO_SEED, at_ns // HOUR_NS * HOUR_NS)
    accounts = book(DEMO_SEED, made, DEMO_ACCOUNTS)
    return replace(made.tables, at_ns=at_ns), made.history, accounts


def lender_commands(book: Book, now_ns: int) -> list[AnyCommand]:
    """Return the commands of an account that supplies twice what the demo's borrowers owe.

    The generated accounts owe more than they hold: without a lender no coin could leave.
    """
    from crossmargin.engine import commands as c

    key = f"lender-{book.head.seq}"
    found: list[AnyCommand] = [c.OpenAccount(key=key, issued_ns=now_ns, account=LENDER)]
    for asset, lent in book.head.lending.items():
        if lent.debt:
            found.append(
                c.Deposit(
                    key=f"{key}-{asset}", issued_ns=now_ns, account=LENDER, asset=asset,
                    amount=2 * lent.debt, reference="supplied to borrowers",
                )
            )  # fmt: skip
    return found


def commands_of(world: World, head: Head, now_ns: int) -> list[AnyCommand]:
    """Return the commands by which a ledger comes to stand in a world; what it has is left out."""
    from crossmargin.engine import commands as c
    from crossmargin.engine.market import scenarios_of
    from crossmargin.engine.opening import listing_command, prices_commands
    from crossmargin.margin.joint import joint_rows

    stem = f"adopt-{head.seq}-{now_ns:x}"
    found: list[AnyCommand] = []
    listing = merged(listing_command(world.tables, f"{stem}-market", now_ns), head)
    if not _is_listed(listing, head):
        found.append(listing)
    packed = world.rules.packed()
    if packed != head.rules:
        found.append(c.AdoptRulebook(key=f"{stem}-rules", issued_ns=now_ns, rules=packed))
    found += prices_commands(world.frame, f"{stem}-prices", now_ns)
    if world.history is not None:
        rules = world.rules
        joint = joint_rows(world.history, world.frame, rules.joint, rules.margin.mpor_hours)
        if joint is not None:
            scenarios = scenarios_of(joint, world.frame)
            key = f"{stem}-scenarios"
            found.append(c.AdoptScenarios(key=key, issued_ns=now_ns, scenarios=scenarios))
    return found


def merged(listing: ListMarket, head: Head) -> ListMarket:
    """Return a listing with what was listed before and is no longer in the market: it stays."""
    from msgspec.structs import replace as with_

    old = head.listing
    if old is None:
        return listing

    def both(new: Rows, before: Rows, name: str) -> Rows:
        there = {row[name] for row in new}
        return (*new, *(row for row in before if row[name] not in there))

    return with_(
        listing,
        factors=both(listing.factors, old.factors, "factor"),
        assets=both(listing.assets, old.assets, "asset"),
        instruments=both(listing.instruments, old.instruments, "instrument"),
    )


def _is_listed(listing: ListMarket, head: Head) -> bool:
    old = head.listing

    def bare(rows: Rows) -> list[dict[str, object]]:
        return [{k: v for k, v in row.items() if k not in PRICES} for row in rows]

    return old is not None and all(
        bare(new) == bare(before)
        for new, before in (
            (listing.factors, old.factors), (listing.assets, old.assets),
            (listing.instruments, old.instruments),
        )
    )  # fmt: skip


def refusals(commands: Sequence[AnyCommand], head: Head, now_ns: int) -> list[str]:
    """Return why commands would be refused by a ledger in this state, prices that are old left out.

    They are tried on a book nobody keeps, so that a ledger is changed by all of them or by none.
    """
    from copy import deepcopy

    from crossmargin.domain.book import Book
    from crossmargin.engine.replies import Rejected, Rejection
    from crossmargin.engine.runtime import Engine
    from crossmargin.ledger.journal import GENESIS

    engine = Engine(_Nowhere(), lambda: now_ns, Book(deepcopy(head)), GENESIS)  # type: ignore[arg-type]
    replies = engine.submit(commands)
    # Without a listing or rulebook everything after it is refused too: that says nothing new.
    follows = (Rejection.PRICE_STALE, Rejection.NOT_LISTED, Rejection.NO_RULEBOOK)
    return [
        f"{type(command).__name__}: {reply.reason}" + (f", {reply.where}" if reply.where else "")
        for command, reply in zip(commands, replies, strict=True)
        if isinstance(reply, Rejected) and reply.reason not in follows
    ]


class _Nowhere:
    """A store that keeps nothing."""

    def append(self, records: Sequence[object]) -> None:
        """Forget them."""
