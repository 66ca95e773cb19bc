"""One command before the second witness: names, tests that wait for the end, who is judged.

In     the book, the time, the command; answers of the margin twin.
Out    `Refused`, or a changed book and the doubts that remain (numbers too near to a boundary).
Owns   the order of tests (10.13, 10.15, 10.16): what is tested now and what at the end.
Never  knows a command by name.
Signs  asked and free as the specification words them.
Spec   docs/spec/10-ledger.md (10.13 to 10.16)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from crossmargin.reference.ledger_book import (
    CLOSED,
    FROZEN,
    MIRROR,
    MONEY,
    OUTSIDE,
    SHARED,
    Account,
    Book,
    Contract,
    Pool,
    Refused,
)
from crossmargin.reference.ledger_margin import NEAR, Allowance, Desk, Standing, sign
from crossmargin.reference.ledger_sums import (
    decimal,
    down,
    funding_due,
    interest_due,
    unit_of,
    up,
    written,
)

COINS_DIGITS, CONTRACT_DIGITS, MONEY_DIGITS = 18, 18, 6
PRICE_LOW, PRICE_END = Fraction(1, 10**18), 10**15
NAME_CHARS, KEY_CHARS = 128, 64
HOLDERS_MAX = 1_000
# The reasons that wait for the final state, in the order in which they are given.
AFTERWARDS = (
    "balance_short", "cash_short", "borrow_not_offered", "borrow_cap", "utilisation",
    "pool_unpriced", "not_liquidatable", "not_bankrupt", "draw_too_large", "not_raising",
    "margin_short",
)  # fmt: skip
Does = Literal["owner", "venue", "observer", "status"]
Truth = bool | None


@dataclass
class Judged:
    """A pool that is judged at the end: as new risk, or strictly for an amount that left."""

    asset: str = ""
    payer: str = ""  # which of its merged pools pays; "" where nothing leaves
    strict: bool = False
    unsure: bool = False  # an equal sum of floats does not say that nothing changed


@dataclass(frozen=True)
class Doubt:
    """A test too near to its boundary to tell: either answer is right."""

    refused: Refused


@dataclass
class Case:
    """What one command, or one batch, has come to."""

    book: Book
    desk: Desk
    now_ns: int
    in_batch: bool = False
    waiting: list[Callable[[], Iterable[tuple[Truth, Refused]]]] = field(default_factory=list)
    late: list[tuple[Truth, Refused]] = field(default_factory=list)
    judged: dict[tuple[str, str], Judged] = field(default_factory=dict)
    # Pools that were sold out of: by how much each sale moved buffer_MM, and what it is small to.
    forced: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)
    # A withdrawal refused for margin: (account, pool, asset), to try what it says is free.
    short: tuple[str, str, str] | None = None

    # --- now, or at the end -----------------------------------------------------------------------

    def claim(self, truth: Truth, refused: Refused) -> None:
        """State what must hold, now."""
        if truth is None:
            self.doubts.append(Doubt(refused))
        elif not truth:
            raise refused

    def later(self, test: Callable[[], Iterable[tuple[Truth, Refused]]]) -> None:
        """State what must hold of the final state: pairs of (does it, else why not)."""
        self.waiting.append(test)

    def settle(self) -> None:
        """Judge the final state: the first reason of `AFTERWARDS` that does not hold."""
        found = [pair for test in self.waiting for pair in test()]
        self._first(found)
        rest = list(self.late)
        for steps in self.forced.values():
            gained, scale = math.fsum(step for step, _ in steps), max(s for _, s in steps)
            rest.append((sign(gained, scale), Refused("not_raising")))
        for (account, pool), how in self.judged.items():
            rest += self._margin(account, pool, how)
        self._first(rest)

    def _first(self, pairs: list[tuple[Truth, Refused]]) -> None:
        for truth, refused in sorted(pairs, key=lambda p: AFTERWARDS.index(p[1].reason)):
            self.claim(truth, refused)

    # --- margin -----------------------------------------------------------------------------------

    def before(self, name: str) -> Standing | None:
        """The account as it stood before the command; None for one that was not there."""
        account = self.book.as_before(name)
        return None if account is None else self.desk.standing(name, account, self.now_ns)

    def after(self, name: str) -> Standing:
        """The account as it stands now."""
        return self.desk.standing(name, self.book.accounts[name], self.now_ns)

    def takes_risk(
        self, account: str, pool: str, strict: bool = False, unsure: bool = False
    ) -> None:
        """10.16: judge this pool at the end, as new risk. Outside is nobody's pool.

        unsure  it changes sums of floats, or so little of them that it may not show
        """
        if account != OUTSIDE:
            where = self.margined(account, pool)
            how = self.judged.setdefault(where, Judged())
            how.strict |= strict
            how.unsure |= unsure

    def pays_out(self, account: str, pool: str, asset: str) -> None:
        """10.16: judge this pool at the end, strictly."""
        where = self.margined(account, pool)
        self.judged[where] = Judged(asset, pool, True)

    def margined(self, account: str, pool: str) -> tuple[str, str]:
        """1.1: account and pool whose margin is this pool's."""
        held = self.book.accounts[account].pools[pool]
        return account, SHARED if held.limit is None else pool

    def _margin(self, account: str, pool: str, how: Judged) -> list[tuple[Truth, Refused]]:
        after = self.after(account).allowance(pool)
        if after is None:
            return [(False, Refused("pool_unpriced"))]
        enough = after.holds()
        if how.payer:
            self.short = (account, how.payer, how.asset)
        if enough is True:
            return []
        standing = self.before(account)
        was = standing.allowance(pool) if standing is not None and pool in standing.rows else None
        kept = False if how.strict else after.keeps(was)
        if kept and how.unsure and was is not None and after.value == was.value:
            kept = None  # another order of summing may show what this one has lost
        truth = True if kept is True else (None if kept is None or enough is None else False)
        return [(truth, _short(after, was))]

    # --- names ------------------------------------------------------------------------------------

    def account(self, name: str, does: Does, pays: bool = False) -> Account:
        """10.13: an account that may do this. pays: what a frozen owner may not."""
        found = self.book.accounts.get(name)
        if found is None or name[:1] == "@":
            raise Refused("account_unknown")
        if found.status == CLOSED:
            raise Refused("account_closed")
        if found.status == FROZEN and pays:
            raise Refused("account_frozen")
        mirrored = found.status == MIRROR
        if does != "status" and mirrored != (does == "observer"):
            raise Refused("account_is_mirror")
        return found

    def merged(self, name: str, pool: str) -> list[Pool]:
        """1.1: what is margined as one with a pool: itself, or the shared pool with its buckets."""
        pools = self.book.accounts[name].pools
        if self.margined(name, pool)[1] != SHARED:
            return [pools[pool]]
        return [held for other, held in pools.items() if self.margined(name, other)[1] == SHARED]

    def pool(self, name: str, pool: str, does: Does, pays: bool = False) -> Pool:
        """An account's pool, after its account."""
        found = self.account(name, does, pays).pools.get(pool)
        if found is None:
            raise Refused("pool_unknown")
        return found

    def holders(self, listed: Sequence[Any]) -> list[tuple[str, str]]:
        """Pools a venue's command names; each once."""
        if not 1 <= len(listed) <= HOLDERS_MAX:
            raise Refused("too_many", len(listed), HOLDERS_MAX)
        found = [(account, pool) for account, pool in listed]
        for account, pool in found:
            self.pool(account, pool, "venue")
        if any(where in found[:place] for place, where in enumerate(found)):
            raise Refused("same_pool")
        return found

    def asset(self, name: str) -> str:
        """A listed asset."""
        if name not in self.book.assets:
            raise Refused("asset_unknown")
        return name

    def instrument(self, name: str) -> Contract:
        """A listed instrument."""
        found = self.book.contracts.get(name)
        if found is None:
            raise Refused("instrument_unknown")
        return found

    def tradable(self, name: str) -> Contract:
        """A listed instrument that has not expired."""
        found = self.instrument(name)
        if 0 < found.expiry_ns <= self.now_ns:
            raise Refused("instrument_expired")
        return found

    # --- numbers ----------------------------------------------------------------------------------

    def amount(self, amount: int, decimals: int) -> int:
        """10.14: 0 < amount <= 10^18 coins of so many decimals."""
        if amount <= 0:
            raise Refused("amount_not_positive", amount)
        return self.size(amount, decimals)

    def size(self, amount: int, decimals: int) -> int:
        """10.14: at most 10^18 coins in size, for what may be negative."""
        most = unit_of(COINS_DIGITS + decimals)
        if abs(amount) > most:
            raise Refused("amount_too_large", amount, most)
        return amount

    def coins(self, amount: int, asset: str) -> int:
        """An amount of an asset."""
        return self.amount(amount, self.book.decimals(asset))

    def price(self, text: object, zero: bool = False) -> Fraction:
        """10.14: decimal text, 10^-18 <= p < 10^15; a settlement price may be 0."""
        found = decimal(text)
        if found is None or not (PRICE_LOW <= found < PRICE_END or (zero and found == 0)):
            raise Refused("price_invalid")
        return found

    def rate(self, text: object, low: int, high: int) -> Fraction:
        """10.14: decimal text within bounds."""
        found = decimal(text)
        if found is None or not low <= found <= high:
            raise Refused("rate_invalid")
        return found

    # --- what several commands do -----------------------------------------------------------------

    def accrue(self, account: str, pool: str) -> bool:
        """10.10: settle what is due, interest and then funding; True where there was something."""
        book = self.book
        if account[0] == "@" or book.accounts[account].status == MIRROR:
            return False
        held = book.accounts[account].pools[pool]
        debts = [a for a, own in held.debts.items() if own != book.lent[a].index]
        moved = [n for n, p in held.positions.items() if p.index != book.funding.get(n, 0)]
        if not (debts or moved):
            return False
        held = book.touch(account).pools[pool]
        for asset in debts:
            index = book.lent[asset].index
            due = interest_due(-held.cash[asset], held.debts[asset], index)
            book.post(account, pool, asset, -up(due))
            book.post("@interest", SHARED, asset, down(due))
            book.post("@rounding", SHARED, asset, up(due) - down(due))
            held.debts[asset] = index
        for name in moved:
            position, settle = held.positions[name], book.contracts[name].settle
            index = book.funding[name]
            due = funding_due(position.contracts, index - position.index)
            pays, gets = (up(due), down(due)) if due > 0 else (-down(-due), -down(-due))
            book.post(account, pool, settle, -pays)
            book.post("@clearing", SHARED, settle, gets)
            book.post("@rounding", SHARED, settle, pays - gets)
            position.index = index
        return True

    def short_of_cash(self, asset: str, amount: int) -> None:
        """10.15: what is lent out cannot leave a second time."""

        def test() -> Iterable[tuple[Truth, Refused]]:
            debt, supplied = self.book.lending(asset)
            free = supplied - debt
            yield free >= 0, Refused("cash_short", amount, max(0, free + amount))

        self.later(test)

    def borrows(self, account: str, pool: str, asset: str, amount: int = 0) -> None:
        """10.15: a borrow of an amount, or a spot fill that leaves a user deeper in debt."""
        book = self.book
        if account == OUTSIDE:
            return
        was = book.cash(account, pool, asset)
        owed, _ = book.lending(asset, before=True)

        def test() -> Iterable[tuple[Truth, Refused]]:
            deeper = min(0, was) - min(0, book.cash(account, pool, asset))
            debt, supplied = book.lending(asset)
            if debt <= owed or (not amount and deeper <= 0):
                return
            assert book.rules is not None
            terms = book.rules.lending.get(asset)
            if terms is None:
                yield False, Refused("borrow_not_offered")
                return
            cap = down(written(terms.cap) * unit_of(book.decimals(asset)))
            yield debt <= cap, Refused("borrow_cap", amount or deeper, max(0, cap - owed))
            most = written(terms.utilisation_max) * supplied
            yield debt <= most, Refused("utilisation")

        self.later(test)


def _short(after: Allowance, was: Allowance | None) -> Refused:
    """10.16: asked what it takes off the buffer, free the buffer before; 10^-6 numeraire."""
    if was is None:
        return Refused("margin_short")
    asked, free = (was.value - after.value) * MONEY, was.value * MONEY
    whole = [round(x) if math.isfinite(x) else None for x in (asked, free)]
    within = 2 + round(NEAR * max(after.scale, was.scale, abs(after.value)) * MONEY)
    return Refused("margin_short", whole[0], whole[1], within)


def is_name(text: object) -> bool:
    """10.13: 1 to 128 printable ASCII characters without blanks, not opening with @."""
    return isinstance(text, str) and 0 < len(text) <= NAME_CHARS and text[0] != "@" and all(
        "!" <= c <= "~" for c in text
    )  # fmt: skip


def is_key(text: object) -> bool:
    """10.12, 10.17: 1 to 64 printable ASCII characters; a blank is printable."""
    return isinstance(text, str) and 0 < len(text) <= KEY_CHARS and all(
        " " <= c <= "~" for c in text
    )  # fmt: skip


def near_money(one: int, two: int) -> bool:
    """Are two amounts of 10^-6 numeraire the same but for how floats round?"""
    return abs(one - two) <= 2 + 1e-9 * max(abs(one), abs(two))
