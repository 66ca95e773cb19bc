"""The second witness's own book: accounts, indexes and prints in shapes of its own.

In     nothing; the rules of `reference.ledger*` change it, one command at a time.
Out    balances, positions and totals anyone may look at, and the way back from any change.
Owns   how a change is taken back: copies of accounts, and undo steps for all else.
Never  shares a line with the ledger or the engine: it is written from the specification.
Signs  cash > 0 owned, < 0 owed; contracts > 0 long; cost as spec 10.1.
Spec   docs/spec/10-ledger.md
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from crossmargin.domain.rulebook import Rulebook

OUTSIDE, FEES, ROUNDING, CLEARING, INTEREST = (
    "@outside", "@fees", "@rounding", "@clearing", "@interest",
)  # fmt: skip
SHARED = "shared"
OPEN, FROZEN, CLOSED, MIRROR = "open", "frozen", "closed", "mirror"
ONE = 10**18
MONEY = 10**6
SECOND_NS = 10**9
YEAR_NS = 365 * 86_400 * SECOND_NS
WINDOW_NS = 600 * SECOND_NS

Row = dict[str, Any]


class Refused(Exception):
    """A command is refused. Facts: an integer, or None where the specification names none.

    within  how far from a fact of the margin's another's floats may lie
    """

    def __init__(
        self, reason: str, asked: int | None = None, free: int | None = None, within: int = 0
    ) -> None:
        """Carry the reason and what it is measured by."""
        super().__init__(reason, asked, free)
        self.reason, self.asked, self.free, self.within = reason, asked, free, within


@dataclass
class Position:
    """contracts 10^-18; cost in smallest units; index: funding is settled up to here."""

    contracts: int
    cost: int
    index: int = 0


@dataclass(frozen=True)
class Order:
    """contracts signed, still open; limit: decimal text."""

    instrument: str
    contracts: int
    limit: str
    reduce_only: bool


@dataclass
class Pool:
    """limit None merges the bucket into the shared pool; drawn, kept: 10^-6 numeraire.

    debts  asset -> interest index up to which a negative balance was charged
    """

    method: str
    limit: int | None = None
    drawn: int = 0
    kept: int = 0
    cash: dict[str, int] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    debts: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Pool:
        """Return an independent copy."""
        held = {n: Position(p.contracts, p.cost, p.index) for n, p in self.positions.items()}
        return replace(
            self, cash=dict(self.cash), positions=held, orders=dict(self.orders),
            debts=dict(self.debts),
        )  # fmt: skip

    def is_empty(self) -> bool:
        """Nothing owned, owed, held or asked for."""
        return not (self.positions or self.orders or any(self.cash.values()))


@dataclass
class Account:
    """`version` names one state of it: two equal versions are one state."""

    status: str
    pools: dict[str, Pool]
    version: int = 0

    def copy(self) -> Account:
        """Return an independent copy."""
        pools = {name: pool.copy() for name, pool in self.pools.items()}
        return Account(self.status, pools, self.version)


@dataclass(frozen=True)
class Contract:
    """What the ledger must know of an instrument; numbers exact."""

    kind: str
    payoff: str
    style: str
    underlying: str
    quote: str
    settle: str
    size: Fraction
    quanto: Fraction
    expiry_ns: int
    strike: Fraction

    @property
    def is_option(self) -> bool:
        return self.kind in ("call", "put")

    @property
    def is_spot(self) -> bool:
        return self.kind == "spot"

    @property
    def pays_premium(self) -> bool:
        return self.is_option and self.style == "premium"


@dataclass
class Lent:
    """Interest index of an asset, and up to when it was advanced."""

    index: int = ONE
    stamped_ns: int = 0


@dataclass(frozen=True)
class Used:
    """What a key was used for: the record, its time, the command itself."""

    seq: int
    at_ns: int
    command: object


@dataclass
class Book:
    """All of it. `world` counts what changes prices, rules or indexes."""

    seq: int = 0
    at_ns: int = 0
    world: int = 0
    numeraire: str = ""
    factors: dict[str, Row] = field(default_factory=dict)
    assets: dict[str, Row] = field(default_factory=dict)
    instruments: dict[str, Row] = field(default_factory=dict)
    contracts: dict[str, Contract] = field(default_factory=dict)
    rules: Rulebook | None = None
    scenarios: Any = None
    prints: dict[str, tuple[Any, int]] = field(default_factory=dict)
    marks: dict[str, tuple[Any, int]] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)
    lent: dict[str, Lent] = field(default_factory=dict)
    funding: dict[str, int] = field(default_factory=dict)
    settled: dict[str, Fraction] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    keys: dict[str, Used] = field(default_factory=dict)
    clean: dict[str, Account | None] = field(default_factory=dict)
    undo: list[Callable[[], object]] = field(default_factory=list)
    versions: int = 0

    # --- changes that can be taken back -----------------------------------------------------------

    def touch(self, name: str) -> Account:
        """Return an account to change; how it was is kept until the command is decided."""
        if name not in self.clean:
            found = self.accounts.get(name)
            self.clean[name] = found
            if found is None:
                assert name[0] == "@", name
                self.accounts[name] = Account(OPEN, {SHARED: Pool("")})
            else:
                self.accounts[name] = found.copy()
        found = self.accounts[name]
        self.versions += 1
        found.version = self.versions
        return found

    def assign(self, table: dict[Any, Any], key: object, value: object) -> None:
        """Set one entry of a table so that it can be taken back."""
        missing = object()
        before = table.get(key, missing)

        def back() -> None:
            if before is missing:
                del table[key]
            else:
                table[key] = before

        self.undo.append(back)
        table[key] = value

    def forget_changes(self) -> set[str]:
        """The command happened: return which accounts it changed."""
        changed = set(self.clean)
        self.clean.clear()
        self.undo.clear()
        return changed

    def take_back(self) -> None:
        """The command did not happen: everything is as it was."""
        for name, before in self.clean.items():
            if before is None:
                del self.accounts[name]
            else:
                self.accounts[name] = before
        for step in reversed(self.undo):
            step()
        self.clean.clear()
        self.undo.clear()

    def as_before(self, name: str) -> Account | None:
        """Return an account as it stood before the command in hand."""
        return self.clean[name] if name in self.clean else self.accounts.get(name)

    # --- money and positions ----------------------------------------------------------------------

    def post(self, account: str, pool: str, asset: str, amount: int) -> None:
        """Change one balance (10.1); a debt that begins does so at the index of now (10.9)."""
        if not amount:
            return
        held = self.touch(account).pools[pool]
        before = held.cash.get(asset, 0)
        after = before + amount
        if after:
            held.cash[asset] = after
        else:
            del held.cash[asset]
        if account[0] == "@" or self.accounts[account].status == MIRROR:
            return
        if after >= 0:
            held.debts.pop(asset, None)
        elif before >= 0:
            held.debts[asset] = self.lent[asset].index

    def move(self, account: str, pool: str, instrument: str, change: tuple[int, int]) -> None:
        """Change one position by (contracts, cost); a new one starts at the index of now (10.8)."""
        held = self.touch(account).pools[pool].positions
        found = held.get(instrument) or Position(0, 0, self.funding.get(instrument, 0))
        found.contracts += change[0]
        found.cost += change[1]
        if found.contracts or found.cost:
            held[instrument] = found
        else:
            held.pop(instrument, None)

    def cash(self, account: str, pool: str, asset: str) -> int:
        """Return a balance, 0 where nothing stands."""
        found = self.accounts.get(account)
        return found.pools[pool].cash.get(asset, 0) if found is not None else 0

    def lending(self, asset: str, before: bool = False) -> tuple[int, int]:
        """Return (debt, supplied) of an asset over user pools; mirrors hold theirs elsewhere.

        before  as it was before the command in hand
        """
        debt = supplied = 0
        for name, now in self.accounts.items():
            account = self.clean.get(name, now) if before else now
            if account is None or name[0] == "@" or account.status == MIRROR:
                continue
            for pool in account.pools.values():
                amount = pool.cash.get(asset, 0)
                if amount < 0:
                    debt -= amount
                else:
                    supplied += amount
        return debt, supplied

    def decimals(self, asset: str) -> int:
        """Return how many decimals an asset's smallest unit has."""
        return int(self.assets[asset]["decimals"])

    def sums(self) -> dict[str, int]:
        """Return what every asset and instrument sums to over all holders: 0 each (L5)."""
        found: dict[str, int] = {}
        for account in self.accounts.values():
            for pool in account.pools.values():
                for asset, amount in pool.cash.items():
                    found[asset] = found.get(asset, 0) + amount
                for name, held in pool.positions.items():
                    settle = self.contracts[name].settle
                    found[settle] = found.get(settle, 0) + held.cost
                    found[name] = found.get(name, 0) + held.contracts
        return found
