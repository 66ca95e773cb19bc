"""Where one command is worked out: a fork of the book, its events, what must hold at the end.

In     a book, a setting.
Out    events, and asks: what is judged on the final state.
Owns   looking names up, the refusals that follow from names and numbers, settling accruals first.
Never  touches the book it was given; judges margin.
Signs  amounts > 0; postings as `ledger.events`.
Spec   docs/spec/10-ledger.md, 10.4, 10.10, 10.13 to 10.15
"""

from __future__ import annotations

from typing import NoReturn

from crossmargin.base.fixed import scale_down, scale_up
from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import (
    CLEARING,
    INTEREST,
    OPEN,
    ROUNDING,
    SYSTEM,
    AccountState,
    Book,
    Fork,
    PoolState,
    Status,
    Terms,
)
from crossmargin.engine.market import Setting
from crossmargin.engine.replies import Rejected, Rejection, first_of
from crossmargin.ledger import exactly
from crossmargin.ledger.apply import apply
from crossmargin.ledger.events import Event, FundingPaid, InterestCharged, Posting
from crossmargin.ledger.exactly import Ratio

# Coins or contracts of one command: the bound every other input has too.
COIN_DIGITS_MAX = 18
HOLDERS_MAX = 1_000
NAME_CHARS_MAX = 128
ID_CHARS_MAX = 64
WHERE_CHARS_MAX = 300  # of a refusal: an account, a pool and what separates them fit in


class Refused(Exception):
    """Ends the working out of a command; `reply` says why."""

    def __init__(self, reply: Rejected) -> None:
        self.reply = reply


def refuse(
    reason: Rejection, where: str = "", asked: int | None = None, free: int | None = None
) -> NoReturn:
    """Refuse the command being worked out; what it names is told, as much as names it."""
    raise Refused(Rejected(reason, asked, free, where[:WHERE_CHARS_MAX]))


class Workspace:
    """One command, or one linked batch, being worked out."""

    __slots__ = (
        "balances", "book", "borrows", "cash", "events", "forced", "late", "linked", "margins",
        "setting",
    )  # fmt: skip

    def __init__(self, base: Book, setting: Setting, linked: bool = True) -> None:
        """Fork the book; linked: other commands are worked out here after one that ends."""
        self.book = Fork(base)
        self.setting = setting
        self.linked = linked
        self.events: list[Event] = []
        self.balances: dict[tuple[str, str, str], tuple[int, int]] = {}
        self.cash: dict[str, int] = {}
        self.borrows: dict[str, int] = {}
        self.margins: dict[tuple[str, str], bool] = {}
        # Pools that were sold out of: what that did to buffer_MM so far, and of what last.
        self.forced: dict[tuple[str, str], tuple[float, str]] = {}
        self.late: Rejected | None = None

    def emit(self, event: Event) -> None:
        """Write an event and let it happen here."""
        self.events.append(event)
        apply(event, self.book)

    def emit_unasked(self, event: Event) -> None:
        """Write an event of a command that asks for nothing, takes nothing and ends with it.

        Only a linked command would look at what it did here: alone it happens in the book only.
        """
        self.events.append(event)
        if self.linked:
            apply(event, self.book)

    # --- names ---------------------------------------------------------------------------------

    def account(self, name: str, frozen_may: bool = False) -> AccountState:
        """Return a user's account, or refuse it for its name or status."""
        found = self.book.find(name) if name[:1] != SYSTEM else None
        if found is None:
            refuse(Rejection.ACCOUNT_UNKNOWN, name)
        status = found.status
        if status != OPEN:
            if status == Status.CLOSED:
                refuse(Rejection.ACCOUNT_CLOSED, name)
            if status == Status.MIRROR:
                refuse(Rejection.ACCOUNT_IS_MIRROR, name)
            if not frozen_may:
                refuse(Rejection.ACCOUNT_FROZEN, name)
        return found

    def pool(self, account: str, pool: str, frozen_may: bool = False) -> PoolState:
        """Return a user's pool to look at."""
        found = self.account(account, frozen_may).pools.get(pool)
        if found is None:
            refuse(Rejection.POOL_UNKNOWN, f"{account}/{pool}")
        return found

    def held(self, account: str, pool: str) -> PoolState:
        """Return a pool that is known to exist, as it stands now."""
        found = self.book.find(account)
        assert found is not None
        return found.pools[pool]

    def margined_with(self, account: str, pool: str) -> list[tuple[str, PoolState]]:
        """Return a pool that is known to exist and what merges with it (1.1), by name."""
        found = self.book.find(account)
        assert found is not None
        if found.pools[pool].draw_limit is not None:
            return [(pool, found.pools[pool])]
        return [(name, part) for name, part in found.pools.items() if part.draw_limit is None]

    def decimals(self, asset: str) -> int:
        """Return an asset's decimals, or refuse its name."""
        found = self.setting.decimals.get(asset)
        if found is None:
            refuse(Rejection.ASSET_UNKNOWN, asset)
        return found

    def terms(self, instrument: str) -> Terms:
        """Return an instrument's terms, or refuse its name."""
        found = self.setting.terms.get(instrument)
        if found is None:
            refuse(Rejection.INSTRUMENT_UNKNOWN, instrument)
        return found

    def traded(self, instrument: str) -> Terms:
        """Return the terms of an instrument that has not expired."""
        found = self.terms(instrument)
        if found.expiry_ns and found.expiry_ns <= self.setting.now_ns:
            refuse(Rejection.INSTRUMENT_EXPIRED, instrument)
        return found

    def holders(self, holders: tuple[tuple[str, str], ...]) -> None:
        """Refuse a list of pools that is empty, too long, repeats one or names an unknown one."""
        if not 0 < len(holders) <= HOLDERS_MAX:
            refuse(Rejection.TOO_MANY, "holders", len(holders), HOLDERS_MAX)
        for account, pool in holders:
            self.pool(account, pool, frozen_may=True)
        if len(set(holders)) < len(holders):
            refuse(Rejection.SAME_POOL, "holders")

    # --- accruals ------------------------------------------------------------------------------

    def accrue(self, account: str, pool: str) -> None:
        """Settle what a pool owes or is owed up to the indexes of now (10.10)."""
        held = self.held(account, pool)
        if held.debt_index:
            self._charge_interest(account, pool)
        funding = self.book.head.funding
        for name, position in held.positions.items():
            if position.funding_index != funding.get(name, 0):
                self._settle_funding(account, pool)
                break

    def _charge_interest(self, account: str, pool: str) -> None:
        for asset, own in list(self.held(account, pool).debt_index.items()):
            index = self.book.lent(asset).index
            if own != index:
                owed = -self.held(account, pool).balances[asset]
                due = exactly.interest_due(owed, index, own)
                postings = self.due(account, pool, asset, due, INTEREST)
                self.emit(InterestCharged(asset, ((account, pool),), postings))

    def _settle_funding(self, account: str, pool: str) -> None:
        funding = self.book.head.funding
        stale = [
            (name, held.contracts, held.funding_index)
            for name, held in self.held(account, pool).positions.items()
            if held.funding_index != funding.get(name, 0)
        ]
        for name, contracts, own in stale:
            due = exactly.funding_due(contracts, funding[name], own)
            settle = self.setting.terms[name].settle
            postings = self.due(account, pool, settle, due, CLEARING)
            self.emit(FundingPaid(name, ((account, pool),), postings))

    def due(
        self, account: str, pool: str, asset: str, exact: Ratio, system: str
    ) -> tuple[Posting, ...]:
        """Return postings by which a pool pays an exact amount, or gets it where it is < 0."""
        num, den = exact
        if num >= 0:
            return split(((account, pool), (system, SHARED)), asset, exact)
        got = scale_down(-num, 1, den)
        if not got:
            return ()
        return (Posting(account, pool, asset, got), Posting(system, SHARED, asset, -got))

    # --- asks ----------------------------------------------------------------------------------

    def refuse_late(
        self, reason: Rejection, where: str = "", asked: int | None = None, free: int | None = None
    ) -> None:
        """Refuse the command where nothing that is tested earlier does: go on working it out."""
        self.late = first_of(self.late, Rejected(reason, asked, free, where))

    def ask_margin(self, account: str, pool: str, strict: bool = False) -> None:
        """Have a user's pool judged at the end; strict: its buffer may not end below zero.

        A bucket that merges is no pool of its own: its shared pool is judged (1.1).
        """
        if account[0] != SYSTEM:
            where = self.margined(account, pool)
            self.margins[where] = self.margins.get(where, False) or strict

    def margined(self, account: str, pool: str) -> tuple[str, str]:
        """Return the pool whose margin is a pool's: itself, or the shared one it merges into."""
        merges = self.held(account, pool).draw_limit is None
        return (account, SHARED if merges else pool)

    def ask_balance(self, account: str, pool: str, asset: str, asked: int) -> None:
        """Have a balance stay at zero or above."""
        free = max(0, self.book.balance(account, pool, asset))
        self.balances.setdefault((account, pool, asset), (asked, free))


def split(
    ends: tuple[tuple[str, str], tuple[str, str]], asset: str, exact: Ratio
) -> tuple[Posting, ...]:
    """Return postings of an exact amount from one holder to another: up, down, and the rest."""
    num, den = exact
    paid, got = scale_up(num, 1, den), scale_down(num, 1, den)
    (payer, payer_pool), (payee, payee_pool) = ends
    postings = []
    if paid:
        postings.append(Posting(payer, payer_pool, asset, -paid))
    if got:
        postings.append(Posting(payee, payee_pool, asset, got))
    if paid != got:
        postings.append(Posting(ROUNDING, SHARED, asset, paid - got))
    return tuple(postings)


def amount_of(amount: int, decimals: int, where: str = "amount") -> int:
    """Return an amount that can be one, or refuse it."""
    if amount <= 0:
        refuse(Rejection.AMOUNT_NOT_POSITIVE, where, amount)
    most = most_of(decimals)
    if amount > most:
        refuse(Rejection.AMOUNT_TOO_LARGE, where, amount, most)
    return amount


def most_of(decimals: int) -> int:
    """Return the largest amount, 10^18 coins: beside more, a float no longer sees a debt."""
    most: int = 10 ** (COIN_DIGITS_MAX + decimals)
    return most


def price_of(text: str, zero: bool = False) -> Ratio:
    """Return a price that can be one, or refuse it."""
    found = exactly.price(text, zero)
    if found is None:
        refuse(Rejection.PRICE_INVALID, text[: exactly.PRICE_CHARS_MAX])
    return found


def is_name(text: str, chars_max: int = NAME_CHARS_MAX) -> bool:
    """Return whether text can name an account or pool: printable ASCII, no blanks, no system."""
    return (
        0 < len(text) <= chars_max
        and text.isascii()
        and text.isprintable()
        and (" " not in text and text[0] != SYSTEM)
    )


def is_id(text: str) -> bool:
    """Return whether text can be a key or an order's id."""
    return 0 < len(text) <= ID_CHARS_MAX and text.isascii() and text.isprintable()
