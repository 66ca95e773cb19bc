"""From commands to events or refusals: pure, the same answer for the same book and setting.

In     a book, a setting, commands in order.
Out    an outcome for each of the first commands, as many as can be decided together.
Owns   the envelope (keys, stamps), which commands share a wave, the order of the tests.
Never  changes the book, reads a clock, writes a record.
Signs  as commands and events.
Spec   docs/spec/10-ledger.md, 10.12 to 10.16
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from crossmargin.domain.book import KEY_WINDOW_NS, Book
from crossmargin.engine import commands as c
from crossmargin.engine import losses, mirrors, money, trading, world
from crossmargin.engine.checks import Pressure, refuse_balances, refuse_margins, refuse_totals
from crossmargin.engine.commands import WORLD, AnyCommand, Command
from crossmargin.engine.market import Setting
from crossmargin.engine.replies import Accepted, Rejected, Rejection, first_of
from crossmargin.engine.workspace import Refused, Workspace, is_id
from crossmargin.ledger.events import Event

# Commands decided together: enough to share the cost of margin, few enough to answer soon.
WAVE_MAX = 2_048
BATCH_MAX = 256
SKEW_NS = 5 * 1_000_000_000
# Less than keys are remembered, by more than a sender's clock may be ahead: a command that is
# young enough to be looked at cannot have been forgotten.
AGE_MAX_NS = 590 * 1_000_000_000

_fingerprint = msgspec.json.Encoder(order="deterministic").encode


class Decided(NamedTuple):
    """A command that happens: its events, and the fingerprint its key is remembered with."""

    events: tuple[Event, ...]
    fingerprint: str


Outcome = Decided | Rejected | Accepted
Drafting = Callable[[Any, Workspace], None]

DRAFTS: dict[type, Drafting] = {
    c.OpenAccount: money.open_account, c.OpenPool: money.open_pool, c.SetStatus: money.set_status,
    c.Deposit: money.deposit, c.Withdraw: money.withdraw, c.Borrow: money.borrow,
    c.Repay: money.repay, c.Transfer: money.transfer, c.AccrueYield: money.accrue_yield,
    c.ChargeAccruals: money.charge_accruals, c.Fill: trading.fill,
    c.PlaceOrder: trading.place_order, c.CancelOrder: trading.cancel_order,
    c.ReserveDraws: trading.reserve_draws, c.SettleExpiry: trading.settle_expiry,
    c.Liquidate: losses.liquidate, c.Draw: losses.draw, c.FundInsurance: losses.fund_insurance,
    c.PayInsurance: losses.pay_insurance, c.Deleverage: losses.deleverage,
    c.Socialise: losses.socialise, c.Observe: mirrors.observe,
    c.ImportAccount: mirrors.import_account,
}  # fmt: skip
WORLD_DRAFTS: dict[type, Callable[[Any, Book, Setting], Event]] = {
    c.ListMarket: world.list_market, c.AdoptRulebook: world.adopt_rulebook,
    c.AdoptScenarios: world.adopt_scenarios, c.AcceptPrices: world.accept_prices,
    c.AdoptVenueTotals: world.adopt_totals, c.AdvanceFunding: world.advance_funding,
    c.AdvanceInterest: world.advance_interest,
}  # fmt: skip
# These read what others of a wave may change: funds, settlement prices, many holders.
ALONE = frozenset(
    (c.FundInsurance, c.PayInsurance, c.Socialise, c.SettleExpiry, c.AccrueYield, c.Liquidate)
)


def decide(book: Book, setting: Setting, commands: Sequence[AnyCommand]) -> list[Outcome]:
    """Return outcomes of the first commands, at least one: those that do not wait for another.

    The caller applies them and asks again with the rest. A command waits for an earlier one that
    names the same account or key, that changes what all share, or that may use up what it needs
    of an asset's cash, cap or utilisation: so the answers are those of one after the other.
    """
    wave = _Wave(book, setting)
    for command in commands[:WAVE_MAX]:
        if not wave.take(command):
            break
    return wave.outcomes()


class _Wave:
    """Commands being worked out side by side, none of which touches another's accounts."""

    def __init__(self, book: Book, setting: Setting) -> None:
        self.book, self.setting = book, setting
        self.found: list[Workspace | Outcome] = []
        self.prints: list[str] = []
        self.names: set[str] = set()
        self.keys: set[str] = set()
        self.pressure = Pressure()
        self.closed = False

    def take(self, command: AnyCommand) -> bool:
        """Work a command out; False where it must wait for the next wave."""
        alone = type(command) in WORLD or _is_alone(command)
        if self.closed or (alone and self.found):
            return False
        if command.key in self.keys:
            return False
        early = envelope(command, self.book, self.setting.now_ns)
        if early is not None:
            self._add(early, "")
            return True
        names = set(named(command))
        if not names.isdisjoint(self.names):
            return False
        found = self._work_out(command)
        if found is None:
            return False
        self.names |= names
        self.keys.add(command.key)
        self._add(found, fingerprint(command))
        self.closed = alone
        return True

    def _add(self, found: Workspace | Outcome, print_: str) -> None:
        self.found.append(found)
        self.prints.append(print_)

    def _work_out(self, command: AnyCommand) -> Workspace | Outcome | None:
        """Return a workspace to judge, an answer, or None: wait for what others leave."""
        if type(command) in WORLD:
            try:
                event = WORLD_DRAFTS[type(command)](command, self.book, self.setting)
            except Refused as refused:
                return refused.reply
            return Decided((event,), fingerprint(command))
        linked = command.commands if isinstance(command, c.Batch) else ()
        work = Workspace(self.book, self.setting, linked=bool(linked))
        try:
            for one in linked or (command,):
                DRAFTS[type(one)](one, work)
        except Refused as refused:
            return refused.reply
        losses.judge_forced(work)
        found = refuse_balances(work)
        if found is not None:
            return found
        found = refuse_totals(work, self.book, self.pressure)
        if found is not None:
            # With nothing before it the refusal is its own; else ask again after the others.
            return found if not self.found else None
        self.pressure.add(work, self.book)
        return work

    def outcomes(self) -> list[Outcome]:
        """Judge the margin of all at once and return every answer."""
        works = [found for found in self.found if isinstance(found, Workspace)]
        refusals = iter(refuse_margins(works, self.book))
        answers: list[Outcome] = []
        for found, print_ in zip(self.found, self.prints, strict=True):
            if isinstance(found, Workspace):
                refused = first_of(found.late, next(refusals))
                answers.append(refused or Decided(tuple(found.events), print_))
            else:
                answers.append(found)
        return answers


def envelope(command: AnyCommand, book: Book, now_ns: int) -> Rejected | Accepted | None:
    """Return what key and stamp say of a command: refused, done already, or None to go on."""
    key = command.key
    if not is_id(key):
        return Rejected(Rejection.KEY_INVALID, where=key[:80])
    used = book.used(key)
    # By the engine's time, not by the last record's: then it does not matter what came between.
    if used is not None and now_ns // KEY_WINDOW_NS - used.at_ns // KEY_WINDOW_NS <= 1:
        if used.fingerprint == fingerprint(command):
            return Accepted(used.seq, True)
        return Rejected(Rejection.KEY_REUSED, where=key)
    age = now_ns - command.issued_ns
    if age > AGE_MAX_NS:
        return Rejected(Rejection.COMMAND_EXPIRED, command.issued_ns, now_ns - AGE_MAX_NS)
    if age < -SKEW_NS:
        return Rejected(Rejection.COMMAND_FROM_FUTURE, command.issued_ns, now_ns + SKEW_NS)
    if isinstance(command, c.Batch) and not _is_batch(command):
        return Rejected(Rejection.BATCH_INVALID, len(command.commands), BATCH_MAX)
    if book.head.listing is None and type(command) is not c.ListMarket:
        return Rejected(Rejection.NOT_LISTED)
    if not book.head.rules and type(command) not in (c.ListMarket, c.AdoptRulebook):
        return Rejected(Rejection.NO_RULEBOOK)
    return None


def _is_batch(batch: c.Batch) -> bool:
    inner = batch.commands
    return 0 < len(inner) <= BATCH_MAX and all(type(o) in DRAFTS and not o.key for o in inner)


def fingerprint(command: Command) -> str:
    """Return what tells a command from another under the same key: all of it."""
    return hashlib.blake2b(_fingerprint(command), digest_size=8).hexdigest()


def _is_alone(command: AnyCommand) -> bool:
    if isinstance(command, c.Batch):
        return any(type(one) in ALONE for one in command.commands)
    return type(command) in ALONE


def named(command: Any) -> Iterable[str]:
    """Yield the accounts a command names."""
    kind = type(command)
    if kind is c.Batch:
        for one in command.commands:
            yield from named(one)
    elif kind is c.Fill:
        yield from (s.account for s in (command.buyer, command.seller) if s.account[:1] != "@")
    elif kind is c.Transfer:
        yield command.account
        yield command.to_account or command.account
    elif kind is c.Deleverage:
        yield from (command.bankrupt[0], command.counterparty[0])
    elif kind is c.ChargeAccruals:
        yield from (account for account, _ in command.holders)
    elif kind not in WORLD and kind not in ALONE:
        yield command.account
