"""The book: every balance, position, order and parameter in force, as the journal left them.

In     nothing; `ledger.apply` folds events into it.
Out    plain mutable records a snapshot can be written from.
Owns   the shape of the state: system accounts, accounts, pools, positions, orders, indexes, prints.
Never  decides, values or rounds; holds a float where money is owed.
Signs  balance > 0 owned, < 0 owed; contracts > 0 long; cost > 0 owed to the pool, < 0 by the pool.
Spec   docs/spec/10-ledger.md
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from crossmargin.domain.accounts import SHARED

# System accounts open with this, so that no user's name can be one.
SYSTEM = "@"
OUTSIDE, FEES, ROUNDING, CLEARING, INTEREST = (
    "@outside", "@fees", "@rounding", "@clearing", "@interest",
)  # fmt: skip
INSURANCE = "@insurance/"

# Every contract count is an integer of 10^-18 contracts: exact for any lot a venue trades.
CONTRACT_DECIMALS = 18
# Draw limits and reservations: integers of 10^-6 units of the numeraire.
MONEY_DECIMALS = 6
# Interest and funding indexes: integers of 10^-18.
INDEX_ONE = 10**18
# How long a used key is remembered at least.
KEY_WINDOW_NS = 600 * 1_000_000_000


class Status(IntEnum):
    """What an account may do. Closed ones keep their name for ever."""

    OPEN = 0
    FROZEN = 1  # may pay in, repay and cancel; may not pay out or take risk
    CLOSED = 2
    MIRROR = 3  # of an account at another venue: only observed


# Plain numbers: a member of an enum is looked up and compared ten times as slowly.
OPEN, MIRROR = int(Status.OPEN), int(Status.MIRROR)


class PositionState(msgspec.Struct, array_like=True, gc=False):
    """One position: contracts (10^-18), cost (smallest units of the settlement asset).

    cost           minus what the contracts were worth at entry: MtM = worth at mark + cost
    funding_index  the instrument's index up to which funding is settled
    """

    contracts: int
    cost: int
    funding_index: int = 0


class OrderState(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An open order; `contracts` signed and still open, `limit_price` decimal text, quote units."""

    instrument: str
    contracts: int
    limit_price: str
    reduce_only: bool = False


class PoolState(msgspec.Struct, array_like=True, gc=False):
    """What margin is computed for.

    draw_limit  10^-6 numeraire; None: the bucket merges into the shared pool (spec 1.1)
    drawn, last_draw   10^-6 numeraire
    sold_ns     when it was last sold out of, if its plan had rounds to come (9.112); 0: none
    debt_index  asset -> index of its lending up to which interest was charged, negative balances
    """

    method: str
    draw_limit: int | None = None
    drawn: int = 0
    last_draw: int = 0
    balances: dict[str, int] = msgspec.field(default_factory=dict)
    positions: dict[str, PositionState] = msgspec.field(default_factory=dict)
    orders: dict[str, OrderState] = msgspec.field(default_factory=dict)
    debt_index: dict[str, int] = msgspec.field(default_factory=dict)
    sold_ns: int = 0

    def copy(self) -> PoolState:
        """Return an independent copy."""
        positions = self.positions and {
            name: PositionState(held.contracts, held.cost, held.funding_index)
            for name, held in self.positions.items()
        }
        orders, debts = self.orders, self.debt_index
        # Most pools have no order and no debt: an empty dict is made faster than it is copied.
        return PoolState(
            self.method, self.draw_limit, self.drawn, self.last_draw, self.balances.copy(),
            positions or {}, orders.copy() if orders else {}, debts.copy() if debts else {},
            self.sold_ns,
        )  # fmt: skip


class AccountState(msgspec.Struct, array_like=True, gc=False):
    """One account: the shared pool first, then buckets in draw order."""

    status: int
    pools: dict[str, PoolState]

    def copy(self) -> AccountState:
        """Return an independent copy."""
        return AccountState(self.status, {name: pool.copy() for name, pool in self.pools.items()})


class LendingState(msgspec.Struct, array_like=True, gc=False):
    """One asset's totals over all user pools, and its interest index.

    debt, supplied  sums of negative (as > 0) and positive balances, smallest units
    index           10^-18; a debt grows with it; stamped_ns: up to when it was advanced
    """

    debt: int = 0
    supplied: int = 0
    index: int = INDEX_ONE
    stamped_ns: int = 0


class Terms(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the ledger must know of an instrument; sizes, strike and rate are decimal text."""

    kind: str
    payoff: str
    style: str
    underlying: str
    quote: str
    settle: str
    size: str
    quanto_rate: str
    expiry_ns: int
    strike: str

    @property
    def is_option(self) -> bool:
        return self.kind in ("call", "put")

    @property
    def pays_premium(self) -> bool:
        """Money moves at trade and no cost is kept: premium-style options."""
        return self.is_option and self.style == "premium"


Cell = str | float | None
Rows = tuple[dict[str, Cell], ...]


class Listing(msgspec.Struct, frozen=True):
    """A market as docs/formats.md writes it; `decimals` and `terms` are what the ledger reads."""

    numeraire: str
    source: str
    factors: Rows
    assets: Rows
    instruments: Rows
    decimals: dict[str, int]
    terms: dict[str, Terms]


class Print(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An accepted level of a factor, and how good it is (spec 8)."""

    level: float
    half_width: float = 0.0
    stable_price: float | None = None
    status: str = "live"


class Mark(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An accepted mark of an instrument: forward in quote units, volatility and rate a year."""

    forward: float
    iv: float | None = None
    rate: float | None = None
    status: str = "live"
    averaged: float | None = None
    averaged_share: float | None = None
    funding_rate: float | None = None


class Scenarios(msgspec.Struct, frozen=True):
    """Joint rows (spec 4.2) as they were adopted: moves by row, factor after factor."""

    factors: tuple[str, ...]
    names: tuple[str, ...]
    factor_moves: bytes
    vol_moves: bytes
    probability: bytes
    flagged: bytes
    asked: int


class Key(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An idempotency key that was used: the record it made, when, and for which command."""

    seq: int
    at_ns: int
    fingerprint: str


class Head(msgspec.Struct):
    """Everything of a book but its accounts and keys: what is small.

    rules           the rulebook in force, packed (`domain.rulebook.unpacked`); empty: none yet
    prints, marks   name -> (value, stamp of the print in UTC ns)
    settled         expired instrument -> the price it settles at
    version         counts what changes the prepared market: listing, rules, scenarios, prints
    """

    seq: int = 0
    at_ns: int = 0
    version: int = 0
    listing: Listing | None = None
    rules: bytes = b""
    scenarios: Scenarios | None = None
    prints: dict[str, tuple[Print, int]] = msgspec.field(default_factory=dict)
    marks: dict[str, tuple[Mark, int]] = msgspec.field(default_factory=dict)
    venue_totals: dict[str, float] = msgspec.field(default_factory=dict)
    lending: dict[str, LendingState] = msgspec.field(default_factory=dict)
    funding: dict[str, int] = msgspec.field(default_factory=dict)
    settled: dict[str, str] = msgspec.field(default_factory=dict)


class Book:
    """All of it. `own` is for whoever changes an account, `find` for whoever looks."""

    __slots__ = ("accounts", "head", "keys", "keys_before", "lending")

    def __init__(self, head: Head | None = None) -> None:
        """Start empty, or from a snapshot's head."""
        self.head = head or Head()
        self.lending = self.head.lending
        self.accounts: dict[str, AccountState] = {}
        # Keys of this window of time and of the one before: two drops instead of a search.
        self.keys: dict[str, Key] = {}
        self.keys_before: dict[str, Key] = {}

    def used(self, key: str) -> Key | None:
        """Return what a key was used for within the window; None where it was not."""
        return self.keys.get(key) or self.keys_before.get(key)

    def remember(self, key: str, use: Key) -> None:
        """Keep a key; keys of the window before last are forgotten."""
        windows = use.at_ns // KEY_WINDOW_NS - self.head.at_ns // KEY_WINDOW_NS
        if windows:
            self.keys_before = self.keys if windows == 1 else {}
            self.keys = {}
        if key:
            self.keys[key] = use

    def find(self, account: str) -> AccountState | None:
        """Return an account to look at; None where there is none."""
        return self.accounts.get(account)

    def own(self, account: str) -> AccountState:
        """Return an account to change; a system account is made when it is first used."""
        found = self.accounts.get(account)
        if found is None:
            assert account[0] == SYSTEM, account
            found = self.accounts[account] = AccountState(OPEN, {SHARED: PoolState("")})
        return found

    def lent(self, asset: str) -> LendingState:
        """Return an asset's lending totals to change."""
        found = self.lending.get(asset)
        if found is None:
            found = self.lending[asset] = LendingState()
        return found

    def settle(self, instrument: str, price: str) -> None:
        """Fix the price an expired instrument ends at."""
        self.head.settled[instrument] = price

    def balance(self, account: str, pool: str, asset: str) -> int:
        """Return a balance in smallest units, 0 where nothing stands."""
        found = self.find(account)
        held = found.pools.get(pool) if found is not None else None
        return held.balances.get(asset, 0) if held is not None else 0


class Fork(Book):
    """A book in which changes stay: accounts are copied when first owned, the base is not touched.

    System accounts start from nothing here and hold what was changed; `balance` adds the base.
    Of the head only lending is copied: commands that change more are decided on their own.
    """

    __slots__ = ("base",)

    def __init__(self, base: Book) -> None:
        """Fork a book."""
        self.base = base
        self.head = base.head
        self.accounts = {}
        self.keys, self.keys_before = base.keys, base.keys_before
        self.lending = {}

    def find(self, account: str) -> AccountState | None:
        """Return an account as it stands here."""
        found = self.accounts.get(account)
        if found is None or account[0] == SYSTEM:
            return self.base.accounts.get(account)
        return found

    def own(self, account: str) -> AccountState:
        """Return this fork's own copy."""
        found = self.accounts.get(account)
        if found is not None:
            return found
        if account[0] == SYSTEM:
            made = AccountState(OPEN, {SHARED: PoolState("")})
        else:
            made = self.base.accounts[account].copy()
        self.accounts[account] = made
        return made

    def lent(self, asset: str) -> LendingState:
        """Return this fork's own copy of an asset's totals."""
        found = self.lending.get(asset)
        if found is None:
            # Looking must not change the base, not even by an empty entry.
            below = self.base.head.lending.get(asset) or LendingState()
            found = LendingState(below.debt, below.supplied, below.index, below.stamped_ns)
            self.lending[asset] = found
        return found

    def settle(self, instrument: str, price: str) -> None:
        """Fix a price here: the base's head is left as it is."""
        settled = {**self.head.settled, instrument: price}
        self.head = msgspec.structs.replace(self.head, settled=settled)

    def balance(self, account: str, pool: str, asset: str) -> int:
        """Return a balance as it stands here."""
        if account[:1] != SYSTEM:
            return Book.balance(self, account, pool, asset)
        own = self.accounts.get(account)
        change = own.pools[SHARED].balances.get(asset, 0) if own is not None else 0
        return self.base.balance(account, pool, asset) + change
