"""The auditor: predicts every reply of an engine from a book of its own, and compares both books.

In     commands, the replies they got, the clock they were decided at, the engine's book.
Out    a tally; `Disagreement` at the first difference, with the facts of both sides.
Owns   what counts as the same answer, and what is compared after every step (L5, L9, L13, L14).
Never  asks margin, methods or kernels: it is a second opinion, built on `reference`.
Signs  none.
Spec   docs/spec/10-ledger.md, docs/spec/15-laws.md
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from crossmargin.domain.book import Book as EngineBook
from crossmargin.engine.commands import (
    AnyCommand,
    Borrow,
    Deleverage,
    Fill,
    Liquidate,
    PlaceOrder,
    Withdraw,
)
from crossmargin.engine.replies import Accepted, Rejected, Reply
from crossmargin.reference.ledger import Expected, Witness
from crossmargin.reference.ledger_book import SECOND_NS, SHARED, Refused
from crossmargin.reference.ledger_case import Case
from crossmargin.simulation.differences import (
    Disagreement,
    equal,
    nonzero,
    same_account,
    users,
)

Where = tuple[str, str, str]
"""Account, pool, asset."""
# Reasons whose asked and free spec 10 names; margin_short is compared apart.
FACTS = frozenset({"balance_short", "order_overfilled", "borrow_cap", "fund_short"})
# Everything is compared this often; in between, what the last commands touched.
WHOLE_EVERY = 16


@dataclass
class Tally:
    """What was asked and answered; `boundary` are answers that floats leave open, `free` are
    questions what may leave."""

    commands: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    boundary: int = 0
    compared: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    replays: int = 0
    free: int = 0

    def add(self, other: Tally) -> None:
        """Take another run's counts in."""
        self.commands += other.commands
        self.accepted += other.accepted
        self.rejected += other.rejected
        self.repeated += other.repeated
        self.boundary += other.boundary
        self.compared += other.compared
        self.faults += other.faults
        self.replays += other.replays
        self.free += other.free


class Auditor:
    """Hears every command, believes what was accepted, denies what was not."""

    def __init__(self) -> None:
        """Start with an empty book, like the engine."""
        self.witness = Witness()
        self.tally = Tally()
        self._groups = 0
        self._short: list[Where] = []

    # --- replies ----------------------------------------------------------------------------------

    def check(
        self, commands: Sequence[AnyCommand], replies: Sequence[Reply], clock_ns: int,
        book: EngineBook,
    ) -> None:  # fmt: skip
        """Compare the replies of one group with what they must be, then both books."""
        changed: set[str] = set()
        for command, reply in zip(commands, replies, strict=True):
            changed |= self._one(command, reply, clock_ns)
        try:
            self._compare(book, changed)
        except Disagreement as found:
            pairs = zip(commands, replies, strict=True)
            found.command = [c for c, reply in pairs if isinstance(reply, Accepted)]
            raise

    def check_alone(
        self, commands: Sequence[AnyCommand], replies: Sequence[Reply], clock_ns: int
    ) -> None:
        """Compare what-if answers: each command alone, and nothing happens."""
        for command, reply in zip(commands, replies, strict=True):
            expected = self.witness.hear(command, clock_ns)
            try:
                self._same(command, reply, expected, clock_ns, self.witness.book.seq + 1)
            finally:
                self.witness.deny()

    def learn(
        self, commands: Sequence[AnyCommand], happened: Mapping[str, int], clock_ns: int,
        book: EngineBook,
    ) -> None:  # fmt: skip
        """Take in a group whose replies were lost: only which keys became records is known."""
        for place, command in enumerate(commands):
            used = self.witness.used(command.key, self.witness.time(clock_ns)) is not None
            expected = self.witness.hear(command, clock_ns)
            self.witness.deny()
            sound = expected.refused is None and expected.repeated is None
            again = any(later.key == command.key for later in commands[place + 1 :])
            if command.key in happened and not used and (sound or not again):
                self._one(command, Accepted(happened[command.key]), clock_ns)
            elif sound and not expected.doubts:
                raise Disagreement("sound, but no record of it", "nothing", "accepted", command)
        self._compare(book, set(self.witness.book.accounts))

    def _one(self, command: AnyCommand, reply: Reply, clock_ns: int) -> set[str]:
        tally, witness = self.tally, self.witness
        tally.commands += 1
        expected = witness.hear(command, clock_ns)
        self._same(command, reply, expected, clock_ns, witness.book.seq + 1)
        if not isinstance(reply, Accepted):
            tally.rejected[str(reply.reason)] += 1
            witness.deny()
            if expected.short is not None and reply.reason == "margin_short":
                self._short.append(expected.short)
            return set()
        if reply.repeated:
            tally.repeated += 1
            witness.deny()
            return set()
        tally.accepted[type(command).__name__] += 1
        for one in getattr(command, "commands", ()):
            tally.accepted[f"{type(one).__name__} (linked)"] += 1
        changed = witness.believe(command, reply.seq, clock_ns)
        self._is_priced(command, clock_ns)
        return changed

    def _same(
        self, command: AnyCommand, reply: Reply, expected: Expected, clock_ns: int, seq: int
    ) -> None:
        if isinstance(reply, Accepted):
            said: object = reply
            if expected.repeated is not None:
                right = reply == Accepted(expected.repeated, True)
            else:
                right = expected.refused is None and reply == Accepted(seq)
            if right and expected.doubts:
                self.tally.boundary += 1
        else:
            said = (str(reply.reason), reply.asked, reply.free, reply.where)
            exact = not expected.in_batch
            right = expected.refused is not None and _agrees(reply, expected.refused, exact)
            doubts = (doubt.refused for doubt in expected.doubts)
            if not right and any(_agrees(reply, doubt, exact) for doubt in doubts):
                self.tally.boundary += 1
                right = True
            right = right and expected.repeated is None
        if not right:
            raise Disagreement(f"answer at {clock_ns}", said, _told(expected), command)

    def short_of_margin(self) -> list[Where]:
        """Return whose withdrawals margin refused since this was last asked, if they still are."""
        accounts, found = self.witness.book.accounts, self._short
        self._short = []
        return [w for w in found if w[0] in accounts and w[1] in accounts[w[0]].pools]

    def check_free(self, where: Where, free: int | None, clock_ns: int) -> None:
        """10.16: what is said to be free may leave, and a hair more may not."""
        witness = self.witness
        self.tally.free += 1
        account, pool, asset = where
        now = witness.time(clock_ns)
        standing = witness.desk.standing(account, witness.book.accounts[account], now)
        if free is None or not standing.is_priced(pool):
            if free is not None or standing.is_priced(pool):
                words = "priced" if standing.is_priced(pool) else "unpriced"
                raise Disagreement("free of a pool", free, words, where)
            return
        Case(witness.book, witness.desk, now).accrue(account, pool)
        held = witness.book.cash(account, pool, asset)
        witness.book.take_back()
        if not 0 <= free <= max(0, held):
            raise Disagreement("free of a withdrawal", free, f"at most the {held} there", where)
        if free and witness.may_leave(where, free, clock_ns) is False:
            raise Disagreement("free may not leave", free, "less", where)
        more = free + witness.hair(where, clock_ns)
        if more <= held and witness.may_leave(where, more, clock_ns):
            raise Disagreement("more than free may leave", free, f"at least {more}", where)

    # --- laws that need no prediction -------------------------------------------------------------

    def _is_priced(self, command: AnyCommand, clock_ns: int) -> None:
        """L9, L13: nothing leaves, and nobody is sold, over a price that is bad or old."""
        for whom, pool in judged(command):
            bad = list(self.bad_items(whom, pool, clock_ns))
            if bad:
                raise Disagreement("over bad prices", "accepted", f"bad: {bad}", command)

    def bad_items(self, account: str, pool: str, clock_ns: int) -> Iterable[str]:
        """Yield what a pool owes or holds in contracts whose print is missing, bad or old."""
        book = self.witness.book
        assert book.rules is not None
        oldest = self.witness.time(clock_ns) - int(book.rules.oracle.stale_s * SECOND_NS)

        def bad(table: Mapping[str, tuple[Any, int]], name: str) -> bool:
            told, stamp = table.get(name, (None, 0))
            return told is None or stamp < oldest or told.status not in ("live", "degraded")

        pools = book.accounts[account].pools
        own = pools[pool]
        merged = [p for n, p in pools.items() if n == SHARED or p.limit is None]
        for held in [own] if own.limit is not None else merged:
            for name in held.positions:
                if bad(book.marks, name):
                    yield name
        if len(merged) > 1 and own.limit is None:
            return  # a debt of one may be another's balance: the witness nets, this law does not
        for asset, amount in own.cash.items():
            loads = (book.assets[asset].get("loads") or "").split("*")
            if amount < 0 and any(bad(book.prints, f.partition("^")[0]) for f in loads if f):
                yield asset

    # --- books ------------------------------------------------------------------------------------

    def _compare(self, book: EngineBook, changed: set[str]) -> None:
        self._groups += 1
        whole = self._groups % WHOLE_EVERY == 0
        self.compare(book, set(self.witness.book.accounts) if whole else changed)

    def compare(self, book: EngineBook, names: Iterable[str]) -> None:
        """Compare accounts by name, and everything that is no account."""
        mine = self.witness.book
        self.tally.compared += 1
        equal("sequence", book.head.seq, mine.seq)
        equal("time of the last record", book.head.at_ns, mine.at_ns)
        equal("accounts there are", users(book.accounts), users(mine.accounts))
        for name in names:
            found = book.accounts.get(name)
            if found is None:
                raise Disagreement(f"account {name}", "not there", mine.accounts[name])
            same_account(name, found, mine.accounts[name])
        for asset, lent in mine.lent.items():
            found_lent = book.lent(asset)
            have = (found_lent.debt, found_lent.supplied, found_lent.index, found_lent.stamped_ns)
            equal(f"lending of {asset}", have, (*mine.lending(asset), lent.index, lent.stamped_ns))
        equal("funding indexes", nonzero(book.head.funding), nonzero(mine.funding))
        settled = {name: Fraction(text) for name, text in book.head.settled.items()}
        equal("settled at", settled, mine.settled)
        equal("prints", book.head.prints, mine.prints)
        equal("marks", book.head.marks, mine.marks)
        equal("venue totals", book.head.venue_totals, mine.totals)
        self._sums(book)

    def _sums(self, book: EngineBook) -> None:
        """L5 in both books: every asset and every instrument sums to nothing."""
        off = {item: x for item, x in self.witness.book.sums().items() if x}
        equal("L5 in the witness's book", {}, off)
        assert book.head.listing is not None or not book.accounts
        sums: dict[str, int] = {}
        for account in book.accounts.values():
            for pool in account.pools.values():
                for asset, amount in pool.balances.items():
                    sums[asset] = sums.get(asset, 0) + amount
                for name, held in pool.positions.items():
                    settle = self.witness.book.contracts[name].settle
                    sums[settle] = sums.get(settle, 0) + held.cost
                    sums[name] = sums.get(name, 0) + held.contracts
        equal("L5 in the engine's book", {item: x for item, x in sums.items() if x}, {})


def judged(command: AnyCommand) -> list[tuple[str, str]]:
    """Pools whose margin a command needs: none of them may be UNPRICED when it is accepted."""
    if isinstance(command, Deleverage):
        return [command.bankrupt]
    if isinstance(command, Withdraw | Borrow | Liquidate):
        return [(command.account, command.pool)]
    if isinstance(command, PlaceOrder) and not command.reduce_only:
        return [(command.account, command.pool)]
    if isinstance(command, Fill):
        sides = (command.buyer, command.seller)
        return [(side.account, side.pool) for side in sides if side.account[0] != "@"]
    return []


def _told(expected: Expected) -> object:
    if expected.repeated is not None:
        return f"repeated, record {expected.repeated}"
    doubts = [doubt.refused.args for doubt in expected.doubts]
    refused = "accepted" if expected.refused is None else expected.refused.args
    return (refused, "or", *doubts) if doubts else refused


def _agrees(reply: Rejected, refused: Refused, exact: bool) -> bool:
    """The same reason, and where the specification names facts the same facts.

    exact  False: a linked batch, whose facts may be those of any of its commands
    """
    reason = str(reply.reason)
    if reason != refused.reason or not exact:
        return reason == refused.reason
    if reason in FACTS:
        return (reply.asked, reply.free) == (refused.asked, refused.free)
    if reason == "margin_short":
        pairs = ((reply.asked, refused.asked), (reply.free, refused.free))
        return all(_near(one, two, refused.within) for one, two in pairs)
    return True


def _near(one: int | None, two: int | None, within: int) -> bool:
    """Two facts that floats made; None on the witness's side is checked in another way."""
    return two is None or (one is not None and abs(one - two) <= within)
