"""Commands at full speed through a queue: who sends what, how long each waits, what stops all."""

from __future__ import annotations

import gc
import queue
import random
import resource
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.books import SEED
from benchmarks.ledger_fixture import MILLI, PERP, START_NS, name_of
from crossmargin.domain.book import Print
from crossmargin.engine import commands as c
from crossmargin.engine.ports import Record, Store
from crossmargin.engine.queue import CommandQueue
from crossmargin.engine.replies import Accepted

# Shares of the commands that are judged by a margin check. A fill has two users, each judged.
RISKY = {"order": 0.30, "fill": 0.30, "withdraw": 0.25, "transfer": 0.15}
PRICES_EVERY_S = 1.0
# Commands handed over together, as they come off a socket; they share a future and a wait.
LOT = 8


class Clock:
    """Runs as fast as the wall's, from a stated moment on."""

    def __init__(self, at_ns: int = START_NS) -> None:
        self.offset_ns = at_ns - time.perf_counter_ns()

    def __call__(self) -> int:
        return self.offset_ns + time.perf_counter_ns()


class Traffic:
    """Commands of uniformly random accounts, from a seed."""

    def __init__(
        self, n_accounts: int, prices: c.AcceptPrices, clock: Clock, stem: str = "t"
    ) -> None:
        self.n, self.clock, self.last, self.stem = n_accounts, clock, prices, stem
        self.level = int(prices.marks[PERP].forward * 10)
        self.rng = random.Random(SEED)
        self.n_made = 0
        # What is open: the order every fourth account came with, then what is placed here.
        first = list(range(0, n_accounts, 4))
        self.rng.shuffle(first)
        self.open = deque((account, "import-0") for account in first)

    def risky(self, n: int) -> list[c.AnyCommand]:
        """Return commands that are each judged by margin, in the shares of RISKY."""
        makers = (self._order, self._fill, self._withdraw, self._transfer)
        kinds = self.rng.choices(makers, list(RISKY.values()), k=n)
        return [make(self._key(), self.clock()) for make in kinds]

    def safe(self, n: int) -> list[c.AnyCommand]:
        """Return deposits and cancels by turns: they cannot add risk."""
        makers = (self._deposit, self._cancel)
        return [makers[k % 2](self._key(), self.clock()) for k in range(n)]

    def prices(self) -> c.AcceptPrices:
        """Return the same market again, a hundredth of a percent up or down."""
        now_ns, share = self.clock(), 1.0 + 1e-4 * (self.n_made % 3 - 1)
        prints = {
            name: Print(told.level * share, told.half_width, told.stable_price, told.status)
            for name, told in self.last.prints.items()
        }
        return c.AcceptPrices(
            key=self._key(), issued_ns=now_ns, stamped_ns=now_ns, prints=prints,
            marks=self.last.marks,
        )  # fmt: skip

    def _key(self) -> str:
        self.n_made += 1
        return f"{self.stem}{self.n_made}"

    def _two(self) -> tuple[str, str]:
        one = self.rng.randrange(self.n)
        return name_of(one), name_of((one + self.rng.randrange(1, self.n)) % self.n)

    def _order(self, key: str, now_ns: int) -> c.PlaceOrder:
        account, side = self.rng.randrange(self.n), self.rng.choice((1, -1))
        self.open.append((account, key))
        return c.PlaceOrder(
            key=key, issued_ns=now_ns, account=name_of(account), order=key, instrument=PERP,
            contracts=side * self.rng.randrange(1, 50) * MILLI,
            limit_price=f"{self.level / 10 * self.rng.uniform(0.98, 1.02):.1f}",
        )  # fmt: skip

    def _fill(self, key: str, now_ns: int) -> c.Fill:
        buyer, seller = self._two()
        contracts, price = self.rng.randrange(1, 50), self.level + self.rng.randrange(-50, 50)
        fee = contracts * price // 20  # 5 basis points
        return c.Fill(
            key=key, issued_ns=now_ns, instrument=PERP, contracts=contracts * MILLI,
            price=f"{price / 10:.1f}", buyer=c.Side(buyer, fee=fee), seller=c.Side(seller, fee=fee),
        )  # fmt: skip

    def _withdraw(self, key: str, now_ns: int) -> c.Withdraw:
        account, amount = name_of(self.rng.randrange(self.n)), self.rng.randrange(1, 10**6)
        return c.Withdraw(key=key, issued_ns=now_ns, account=account, asset="USDC", amount=amount)

    def _transfer(self, key: str, now_ns: int) -> c.Transfer:
        account, to = self._two()
        return c.Transfer(
            key=key, issued_ns=now_ns, account=account, asset="USDC", to_account=to,
            amount=self.rng.randrange(1, 10**6),
        )  # fmt: skip

    def _deposit(self, key: str, now_ns: int) -> c.Deposit:
        account, amount = name_of(self.rng.randrange(self.n)), self.rng.randrange(1, 10**6)
        return c.Deposit(key=key, issued_ns=now_ns, account=account, asset="USDC", amount=amount)

    def _cancel(self, key: str, now_ns: int) -> c.CancelOrder:
        account, order = self.open.popleft()
        return c.CancelOrder(key=key, issued_ns=now_ns, account=name_of(account), order=order)


@dataclass(frozen=True)
class Load:
    """One run: commands accepted a second, and the waits of all from submission to reply."""

    per_second: float
    refused: int
    waits_ms: np.ndarray

    def wait_ms(self, percent: float) -> float:
        return float(np.percentile(self.waits_ms, percent))


def drive(
    target: CommandQueue, commands: Sequence[c.AnyCommand], in_flight: int,
    prices: Callable[[], c.AcceptPrices],
) -> Load:  # fmt: skip
    """Send commands in lots of LOT, never more than `in_flight` unanswered; prices every second.

    A reply comes when the record is durable. The sender runs in the caller's thread, so it takes
    its share of the process's time, as whoever reads commands from a socket would.
    """
    slots: queue.SimpleQueue[None] = queue.SimpleQueue()
    for _ in range(in_flight // LOT):
        slots.put(None)
    waits: list[float] = []
    refused: list[object] = []
    clock = time.perf_counter

    def send(lot: Sequence[c.AnyCommand]) -> None:
        slots.get()
        sent = clock()

        def answered(future) -> None:
            waits.append(clock() - sent)
            refused.extend(reply for reply in future.result() if type(reply) is not Accepted)
            slots.put(None)

        target.submit(lot).add_done_callback(answered)

    started, priced = clock(), -PRICES_EVERY_S
    for first in range(0, len(commands), LOT):
        if clock() - priced > PRICES_EVERY_S:
            priced = clock()
            send((prices(),))
        send(commands[first : first + LOT])
    for _ in range(in_flight // LOT):
        slots.get()
    seconds = clock() - started
    return Load((len(commands) - len(refused)) / seconds, len(refused), 1e3 * np.array(waits))


class Watched:
    """A store that also notes how many records each append held: the groups of a run."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.groups: list[int] = []

    def append(self, records: Sequence[Record]) -> None:
        self.inner.append(records)
        self.groups.append(len(records))

    def __getattr__(self, name: str):
        return getattr(self.inner, name)


def raw_per_second(source: Watched, target: Store) -> float:
    """Append what a run appended, in the same groups, each synced: what a store alone can do."""
    after, _ = target.last()
    records = iter([record for batch in source.read(after) for record in batch])
    groups = [list(islice(records, size)) for size in source.groups]
    started = time.perf_counter()
    for group in groups:
        target.append(group)
    return sum(source.groups) / (time.perf_counter() - started)


def resident_bytes() -> int:
    """Return the memory this process holds now, after everything unused was collected."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@contextmanager
def pauses() -> Iterator[list[float]]:
    """Note how long each garbage collection stops everything, in ms."""
    found, started = [], [0.0]

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            started[0] = time.perf_counter()
        else:
            found.append(1e3 * (time.perf_counter() - started[0]))

    gc.callbacks.append(note)
    try:
        yield found
    finally:
        gc.callbacks.remove(note)
