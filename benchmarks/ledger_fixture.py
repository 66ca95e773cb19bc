"""A journal of any length, written at speed: valid, chained, replayable, its state known.

The engine makes the first records (listing, rules, prices). Everything after is written here, by
the rules of docs/spec/10-ledger.md, without deciding it; what it makes of the book is kept as
columns, so that a snapshot can be taken anywhere without a replay. A test holds the bytes against
those the engine writes for the same commands, and the state against a replay.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from benchmarks.books import SEED
from crossmargin.adapters.files import load_rulebook
from crossmargin.domain.book import (
    FEES,
    KEY_WINDOW_NS,
    OUTSIDE,
    AccountState,
    Book,
    Key,
    OrderState,
    PoolState,
    PositionState,
    Print,
)
from crossmargin.engine.commands import AcceptPrices, AdoptRulebook
from crossmargin.engine.opening import listing_command, prices_commands
from crossmargin.engine.ports import Record
from crossmargin.engine.runtime import Engine, restored
from crossmargin.frames.listing import compile_market
from crossmargin.ledger import events as e
from crossmargin.ledger import journal
from crossmargin.ledger.apply import apply
from crossmargin.ledger.events import SCHEMA, Entry, Move, Posting
from crossmargin.simulation.faults import MemoryStore
from crossmargin.simulation.worlds import world

METHOD = "cross_correlated"
PERP = "BTC-PERP"
ASSETS = ("BTC", "ETH", "USDC")  # in the order of names, as an import posts them
START_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00Z
# A thousand records a second of the journal's own time, prices every half minute of it.
STEP_NS = 1_000_000
PRICES_EVERY = 30_000
CHUNK = 25_000
KINDS = ("deposit", "withdraw", "transfer", "order", "cancel", "fill")
SHARES = (0.20, 0.15, 0.10, 0.15, 0.15, 0.25)
MILLI = 10**15  # a thousandth of a contract


def venue(clock) -> tuple[Engine, AcceptPrices]:
    """Return an engine that lists 20 assets and 758 instruments, and the command that priced it."""
    tables = world(SEED, START_NS, days=40).tables
    frame, _ = compile_market(tables, 1e9)
    engine = Engine.open(MemoryStore(), clock)
    now_ns = engine.now()
    parts = prices_commands(frame, "part", now_ns)
    prices = AcceptPrices(
        key="prices", issued_ns=now_ns, stamped_ns=now_ns,
        prints={name: told for part in parts for name, told in part.prints.items()},
        marks={name: told for part in parts for name, told in part.marks.items()},
    )  # fmt: skip
    rules = AdoptRulebook(key="rules", issued_ns=now_ns, rules=load_rulebook("prime-24h").packed())
    replies = engine.submit([listing_command(tables, "listing", now_ns), rules, prices])
    assert [type(reply).__name__ for reply in replies] == ["Accepted"] * 3, replies
    return engine, prices


def name_of(account: int) -> str:
    return f"u{account:07d}"


@dataclass
class Columns:
    """What every account holds, an entry each: smallest units; ETH in tenths of a coin.

    contracts  thousandths, long where the account is even
    cost       as PositionState
    """

    btc: list[int]
    eth: list[int]
    usdc: list[int]
    contracts: list[int]
    cost: list[int]

    @classmethod
    def draw(cls, n: int, level: int) -> Columns:
        """Return n accounts: 10,000 to 100,000 USDC, some coins, a position long or short."""
        rng = np.random.default_rng(SEED)
        contracts = np.where(np.arange(n) % 2, -1, 1) * rng.integers(10, 1_000, n)
        columns = (
            rng.integers(10**6, 10**8, n), rng.integers(1, 20, n),
            rng.integers(10**10, 10**11, n), contracts, -contracts * level * 100,
        )  # fmt: skip
        return cls(*(column.tolist() for column in columns))

    def rows(self, low: int = 0, high: int | None = None) -> Iterator[tuple[int, ...]]:
        """Yield (btc, eth, usdc, contracts, cost) of accounts low to high, in units of a book."""
        columns = (self.btc, self.eth, self.usdc, self.contracts, self.cost)
        for btc, eth, usdc, contracts, cost in zip(*(c[low:high] for c in columns), strict=True):
            yield btc, eth * 10**17, usdc, contracts * MILLI, cost


@dataclass
class Journal:
    """A journal being written; `chunks` hand records out in order of seq.

    level  price of the perpetual in tenths
    """

    n_accounts: int
    per_record: int = 100
    records: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert self.n_accounts % 2 == 0, "as many long as short"
        engine, self.prices = venue(lambda: START_NS + STEP_NS)
        self.records = list(engine.store.records)
        self.seq, self.chain, self.at_ns = engine.seq, engine.chain, engine.book.head.at_ns
        self.level = int(self.prices.marks[PERP].forward * 10)
        self.now = Columns.draw(self.n_accounts, self.level)
        self.names = [name_of(account) for account in range(self.n_accounts)]
        self.fees = self.n_prices = 0
        self.last_prices = e.PricesAccepted(
            self.prices.stamped_ns, self.prices.prints, self.prices.marks
        )
        self.rng = np.random.default_rng(SEED + 1)
        self.placed: deque[tuple[int, str, OrderState]] = deque()

    def recorded(self, made: Iterable[tuple[e.Event, ...]]) -> list[Record]:
        """Return a record for the events of each command, chained to those before."""
        records = []
        for events in made:
            self.seq += 1
            self.at_ns += STEP_NS
            seq = self.seq
            entry = Entry(SCHEMA, self.at_ns, f"k{seq}", f"{seq:016x}", events)
            body = journal.encode(entry)
            self.chain = journal.chained(self.chain, seq, body)
            records.append(Record(seq, self.chain, body))
        return records

    def openings(self) -> Iterator[list[Record]]:
        """Yield records that open every account, `per_record` of them in a batch."""
        for first in range(0, self.n_accounts, self.per_record * 50):
            last = min(first + self.per_record * 50, self.n_accounts)
            yield self.recorded(
                tuple(self._opened(low, min(low + self.per_record, last)))
                for low in range(first, last, self.per_record)
            )

    def _opened(self, low: int, high: int) -> Iterator[e.Event]:
        terms = (e.PoolTerms("shared", METHOD),)
        for account, row in enumerate(self.now.rows(low, high), low):
            (*held, contracts, cost), name = row, self.names[account]
            amounts = zip(ASSETS, held, strict=True)
            yield e.AccountOpened(name, terms)
            yield e.Imported(
                name, "shared",
                tuple(p for asset, amount in amounts for p in paid_in(name, asset, amount)),
                (
                    Move(name, "shared", PERP, contracts, cost),
                    Move(OUTSIDE, "shared", PERP, -contracts, -cost),
                ),
                self.first_orders(account), 0, 0,
            )  # fmt: skip

    def first_orders(self, account: int) -> dict[str, OrderState]:
        """Return what is open from the start: an order of every fourth account."""
        if account % 4:
            return {}
        side = 1 if account % 8 else -1
        limit = f"{self.level / 10 * (1 - side * 0.01):.1f}"
        return {"import-0": OrderState(PERP, side * 5 * MILLI, limit)}

    def trades(self, n: int) -> Iterator[list[Record]]:
        """Yield n records of the stated mix over uniformly random accounts."""
        while n > 0:
            size = min(n, CHUNK)
            yield self.recorded(self._events(size))
            n -= size

    def _events(self, size: int) -> Iterator[tuple[e.Event]]:
        draw, n = self.rng.integers, self.n_accounts
        kinds = self.rng.choice(len(KINDS), size, p=SHARES).tolist()
        rows = zip(
            kinds, draw(0, n, size).tolist(), draw(1, n, size).tolist(),
            draw(1, 10**6, size).tolist(), draw(1, 50, size).tolist(),
            (self.level + draw(-50, 50, size)).tolist(),
            strict=True,
        )  # fmt: skip
        makers = [getattr(self, f"_{kind}") for kind in KINDS]
        for kind, account, away, amount, contracts, price in rows:
            if (self.seq + 1) % PRICES_EVERY:
                yield (makers[kind](account, away, amount, contracts, price),)
            else:
                yield (self._priced(),)

    # --- one event each: what it says, and what it makes of the columns ---------------------------

    def _priced(self) -> e.Event:
        """The same market, a hundredth of a percent up or down."""
        self.n_prices += 1
        share = 1.0 + 1e-4 * (self.n_prices % 3 - 1)
        stamp = self.at_ns + STEP_NS
        prints = {
            name: Print(told.level * share, told.half_width, told.stable_price, told.status)
            for name, told in self.prices.prints.items()
        }
        self.last_prices = e.PricesAccepted(stamp, prints, self.prices.marks)
        return self.last_prices

    def _deposit(self, account: int, away: int, amount: int, contracts: int, price: int):
        self.now.usdc[account] += amount
        own, outside = paid_in(self.names[account], "USDC", amount)
        return e.Deposited("", (outside, own))

    def _withdraw(self, account: int, away: int, amount: int, contracts: int, price: int):
        self.now.usdc[account] -= amount
        return e.Withdrawn("", paid_in(self.names[account], "USDC", -amount))

    def _transfer(self, account: int, away: int, amount: int, contracts: int, price: int):
        to = (account + away) % self.n_accounts
        self.now.usdc[account] -= amount
        self.now.usdc[to] += amount
        return e.Transferred((
            Posting(self.names[account], "shared", "USDC", -amount),
            Posting(self.names[to], "shared", "USDC", amount),
        ))  # fmt: skip

    def _order(self, account: int, away: int, amount: int, contracts: int, price: int):
        side = -1 if away % 2 else 1
        order = OrderState(PERP, side * contracts * MILLI, f"{price / 10:.1f}")
        name = f"o{self.seq + 1}"
        self.placed.append((account, name, order))
        return e.OrderPlaced(
            self.names[account], "shared", name, PERP, order.contracts, order.limit_price, False
        )

    def _cancel(self, account: int, away: int, amount: int, contracts: int, price: int):
        if not self.placed:
            return self._order(account, away, amount, contracts, price)
        account, name, _ = self.placed.popleft()
        return e.OrderCancelled(self.names[account], "shared", name, "")

    def _fill(self, account: int, away: int, amount: int, contracts: int, price: int):
        """A long buys of a short: both positions grow, so nothing is realised."""
        buyer, seller = account // 2 * 2, (account + away) % self.n_accounts // 2 * 2 + 1
        worth = contracts * price * 100  # 10^-3 x 10^-1 x 10^6: exact
        fee, now = worth // 2_000, self.now
        for side, sign in ((buyer, 1), (seller, -1)):
            now.contracts[side] += sign * contracts
            now.cost[side] -= sign * worth
            now.usdc[side] -= fee
        self.fees += 2 * fee
        bought, sold, by = self.names[buyer], self.names[seller], contracts * MILLI
        return e.Filled(
            PERP, f"{price / 10:.1f}", (*fee_of(bought, fee), *fee_of(sold, fee)),
            (Move(bought, "shared", PERP, by, -worth), Move(sold, "shared", PERP, -by, worth)),
        )  # fmt: skip

    # --- the state --------------------------------------------------------------------------------

    def book(self) -> Book:
        """Return the book after the last record, made of columns and not of records."""
        book, _ = restored(MemoryStore(self.records))
        orders: dict[int, dict[str, OrderState]] = {}
        for account, name, order in self.placed:
            orders.setdefault(account, self.first_orders(account))[name] = order
        for account, (*held, contracts, cost) in enumerate(self.now.rows()):
            pool = PoolState(
                METHOD, balances=dict(zip(ASSETS, held, strict=True)),
                positions={PERP: PositionState(contracts, cost)},
                orders=orders.get(account) or self.first_orders(account),
            )  # fmt: skip
            book.accounts[self.names[account]] = AccountState(0, {"shared": pool})
            if account == 0:
                book.own(OUTSIDE)
        self._fill_shared(book)
        return book

    def _fill_shared(self, book: Book) -> None:
        """Set what is no user's: system accounts, totals, prices, keys, the moment."""
        now, outside = self.now, book.own(OUTSIDE).pools["shared"]
        held = (sum(now.btc), sum(now.eth) * 10**17, sum(now.usdc))
        for asset, total in zip(ASSETS, held, strict=True):
            book.lent(asset).supplied = total
            fees = self.fees if asset == "USDC" else 0
            outside.balances[asset] = -total - fees
        contracts, cost = sum(now.contracts) * MILLI, sum(now.cost)
        if contracts or cost:
            outside.positions[PERP] = PositionState(-contracts, -cost)
        if self.fees:
            book.own(FEES).pools["shared"].balances["USDC"] = self.fees
        apply(self.last_prices, book)
        head = book.head
        head.version += self.n_prices - 1
        self._fill_keys(book)
        head.seq, head.at_ns = self.seq, self.at_ns

    def _fill_keys(self, book: Book) -> None:
        """Remember the keys of this window of time and of the one before."""
        made, this = len(self.records), self.at_ns // KEY_WINDOW_NS
        early = {} if this > 1 + START_NS // KEY_WINDOW_NS else book.keys
        windows: tuple[dict[str, Key], dict[str, Key]] = ({}, {})
        windows[this - START_NS // KEY_WINDOW_NS if early else 0].update(early)
        first = ((this - 1) * KEY_WINDOW_NS - START_NS) // STEP_NS + made - 1
        for seq in range(max(made + 1, first), self.seq + 1):
            at_ns = START_NS + STEP_NS * (seq - made + 1)
            windows[this - at_ns // KEY_WINDOW_NS][f"k{seq}"] = Key(seq, at_ns, f"{seq:016x}")
        book.keys, book.keys_before = windows


def paid_in(name: str, asset: str, amount: int) -> tuple[Posting, Posting]:
    """Return postings of an amount that comes from outside, or goes there where it is < 0."""
    return Posting(name, "shared", asset, amount), Posting(OUTSIDE, "shared", asset, -amount)


def fee_of(name: str, fee: int) -> tuple[Posting, ...]:
    if not fee:
        return ()
    return Posting(name, "shared", "USDC", -fee), Posting(FEES, "shared", "USDC", fee)


def snapshot(book: Book) -> tuple[bytes, list[bytes]]:
    """Return a state's hash and its parts."""
    parts = list(journal.snapshot_parts(book))
    return journal.parts_hash(parts), parts
