"""The second witness of the ledger: a slow book that says what each command must be answered.

In     commands of any class that has the fields of spec 10.4, the time, what was answered.
Out    `Expected`: accepted or the reason and its facts, with the doubts floats leave.
Owns   the envelope: keys, stamps, batches; which rule belongs to which command.
Never  imports a command or the ledger: it reads fields by name.
Signs  none.
Spec   docs/spec/10-ledger.md (10.12, 10.13)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crossmargin.reference import ledger_elsewhere as elsewhere
from crossmargin.reference import ledger_losses as losses
from crossmargin.reference import ledger_money as money
from crossmargin.reference import ledger_trades as trades
from crossmargin.reference import ledger_world as world
from crossmargin.reference.ledger_book import SECOND_NS, WINDOW_NS, Book, Refused, Used
from crossmargin.reference.ledger_case import Case, Doubt, is_key
from crossmargin.reference.ledger_margin import NEAR, Desk
from crossmargin.reference.valuation import price

Rule = Callable[[Case, Any], None]
EXPIRES_NS = 590 * SECOND_NS
EARLY_NS = 5 * SECOND_NS
BATCH_MAX = 256

SINGLE: dict[str, Rule] = {
    "OpenAccount": money.open_account, "OpenPool": money.open_pool,
    "SetStatus": money.set_status, "Deposit": money.deposit, "Withdraw": money.withdraw,
    "Borrow": money.borrow, "Repay": money.repay, "Transfer": money.transfer,
    "AccrueYield": money.accrue_yield, "Fill": trades.fill, "PlaceOrder": trades.place_order,
    "CancelOrder": trades.cancel_order, "ReserveDraws": money.reserve_draws,
    "ChargeAccruals": money.charge_accruals, "SettleExpiry": trades.settle_expiry,
    "Liquidate": losses.liquidate, "Draw": losses.draw, "FundInsurance": losses.fund_insurance,
    "PayInsurance": losses.pay_insurance, "Deleverage": losses.deleverage,
    "Socialise": losses.socialise, "Observe": elsewhere.observe,
    "ImportAccount": elsewhere.import_account,
}  # fmt: skip
WORLD: dict[str, Rule] = {
    "ListMarket": world.list_market, "AdoptRulebook": world.adopt_rulebook,
    "AdoptScenarios": world.adopt_scenarios, "AcceptPrices": world.accept_prices,
    "AdoptVenueTotals": world.adopt_venue_totals, "AdvanceFunding": world.advance_funding,
    "AdvanceInterest": world.advance_interest,
}  # fmt: skip


@dataclass(frozen=True)
class Expected:
    """What the answer must be.

    refused   the reason that certainly holds, None where it must be accepted but for doubts
    doubts    refusals that are as right as going on: a number lies at its boundary
    repeated  the record the command made when it was first sent
    in_batch  facts of a batch's refusal belong to one of its commands
    short     (account, pool, asset) of a withdrawal that margin refuses
    """

    refused: Refused | None = None
    doubts: tuple[Doubt, ...] = ()
    repeated: int | None = None
    in_batch: bool = False
    short: tuple[str, str, str] | None = None


class Witness:
    """A book and the rules. `hear` says what a command must be answered; `believe` or `deny` ends
    it the way it was answered."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.book = Book()
        self.desk = Desk(self.book)

    def time(self, clock_ns: int) -> int:
        """10.12: the engine's time never runs backwards."""
        return max(clock_ns, self.book.at_ns)

    def hear(self, command: Any, clock_ns: int) -> Expected:
        """Return what must be answered; the book holds the change until `believe` or `deny`."""
        now = self.time(clock_ns)
        is_batch = type(command).__name__ == "Batch"
        case = Case(self.book, self.desk, now, is_batch)
        try:
            repeated = self._envelope(command, now)
            if repeated is not None:
                return Expected(repeated=repeated)
            self._decide(case, command)
            case.settle()
        except Refused as refused:
            return Expected(refused, tuple(case.doubts), None, is_batch, case.short)
        return Expected(None, tuple(case.doubts), None, is_batch, case.short)

    def _envelope(self, command: Any, now: int) -> int | None:
        """10.12: return the record of a key that was used for this very command."""
        if not is_key(command.key):
            raise Refused("key_invalid")
        used = self.used(command.key, now)
        if used is not None:
            if used.command == command:
                return used.seq
            raise Refused("key_reused")
        if now - command.issued_ns > EXPIRES_NS:
            raise Refused("command_expired")
        if command.issued_ns - now > EARLY_NS:
            raise Refused("command_from_future")
        return None

    def used(self, key: str, now: int) -> Used | None:
        """What a key was used for, in this window of time or the one before."""
        found = self.book.keys.get(key)
        if found is None or now // WINDOW_NS - found.at_ns // WINDOW_NS > 1:
            return None
        return found

    def _decide(self, case: Case, command: Any) -> None:
        kind = type(command).__name__
        if kind == "Batch":
            self._batch(case, command)
            return
        self._world_is_there(kind)
        (SINGLE.get(kind) or WORLD[kind])(case, command)

    def _batch(self, case: Case, command: Any) -> None:
        inside = command.commands
        if not 0 < len(inside) <= BATCH_MAX:
            raise Refused("batch_invalid")
        if any(one.key or type(one).__name__ not in SINGLE for one in inside):
            raise Refused("batch_invalid")
        for one in inside:
            self._world_is_there(type(one).__name__)
            SINGLE[type(one).__name__](case, one)

    def _world_is_there(self, kind: str) -> None:
        if kind != "ListMarket" and not self.book.assets:
            raise Refused("not_listed")
        if kind not in ("ListMarket", "AdoptRulebook") and self.book.rules is None:
            raise Refused("no_rulebook")

    # --- how it ended -----------------------------------------------------------------------------

    def believe(self, command: Any, seq: int, clock_ns: int) -> set[str]:
        """It was accepted as record seq: return the accounts it changed."""
        book = self.book
        now = self.time(clock_ns)
        changed = book.forget_changes()
        book.seq, book.at_ns = seq, now
        book.keys[command.key] = Used(seq, now, command)
        return changed

    def deny(self) -> None:
        """It was refused, or was a repeat: nothing happened."""
        self.book.take_back()

    def may_leave(self, case: tuple[str, str, str], amount: int, clock_ns: int) -> bool | None:
        """Would margin let this amount leave? None where it is too near, or not known."""
        account, pool, asset = case
        book = self.book
        # What is due is settled first, and rounded against the pool, as when it does leave.
        Case(book, self.desk, self.time(clock_ns)).accrue(account, pool)
        book.post(account, pool, asset, -amount)
        standing = self.desk.standing(account, book.accounts[account], self.time(clock_ns))
        allowed = standing.allowance(pool)
        answer = None if allowed is None else allowed.holds()
        book.take_back()
        return answer

    def hair(self, case: tuple[str, str, str], clock_ns: int) -> int:
        """How many units more than free must not leave, whatever floats do to the last digits."""
        account, pool, asset = case
        now = self.time(clock_ns)
        standing = self.desk.standing(account, self.book.accounts[account], now)
        market = self.desk.market(now)
        coins = 4.0 * NEAR * standing.scale(pool) / price(market, asset)
        return int(coins * 10.0 ** self.book.decimals(asset)) + 1
