"""One seed's life of an engine: owners, venue, careless senders, crashes; the auditor beside it.

In     a seed, a number of commands, a rulebook, where some of the journals lie on disk.
Out    an `Outcome`: a tally, and the step at which engine and witness first differ.
Owns   the schedule: who asks when, when the clock jumps, when the process dies.
Never  tells the auditor what is coming; uses anything but its seed.
Signs  stamps are UTC nanoseconds.
Spec   docs/spec/10-ledger.md, docs/spec/15-laws.md (L5, L6, L9, L13, L14)
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from crossmargin.base.errors import JournalBroken, StoreFailed
from crossmargin.domain.book import AccountState
from crossmargin.domain.rulebook import Rulebook
from crossmargin.engine.commands import (
    WORLD,
    AdoptRulebook,
    AdoptScenarios,
    AnyCommand,
    Batch,
    Deposit,
    OpenAccount,
)
from crossmargin.engine.ports import Record, Store
from crossmargin.engine.runtime import Engine, restored
from crossmargin.ledger import journal
from crossmargin.simulation.agents import METHODS, Owners, View
from crossmargin.simulation.arena import SECOND_NS, START_NS, Arena
from crossmargin.simulation.auditor import Auditor, Tally
from crossmargin.simulation.buckets import Buckets
from crossmargin.simulation.careless import Careless
from crossmargin.simulation.differences import Disagreement, same_keys
from crossmargin.simulation.faults import Crash, FaultyStore, MemoryStore, altered, tampered
from crossmargin.simulation.pressed import Pressed
from crossmargin.simulation.venue import Venue

Stores = Callable[[int], Store]
"""Opens (again) the store of a seed that lies on disk."""

GROUPS = (1, 1, 2, 4, 8, 12, 20, 30)
# In every so many seeds the journal lies in a real file.
ON_DISK_EVERY = 8
# In every so many seeds pools may be margined by `portfolio`, over so many joint rows.
PORTFOLIO_EVERY, JOINT_ROWS = 12, 100
FAULT_RATE = 0.03
# So often a withdrawal that margin refuses is followed by the question what may leave.
FREE_RATE = 1 / 6
# Of an exception nobody expected, so many frames and its message are told.
FRAMES = 4
BAD_STATUS = ("halted", "stale", "missing", "degraded")


@dataclass(frozen=True)
class Options:
    """What a run is made of, but for its seed."""

    steps: int
    rulebook: Rulebook
    stores: Stores | None = None
    faults: float = FAULT_RATE


@dataclass(frozen=True)
class Outcome:
    """How one seed ended. failure: the first difference in words, "" where there was none."""

    seed: int
    tally: Tally
    failure: str = ""


def run(seed: int, options: Options) -> Outcome:
    """Live one seed to its end, or to the first difference between engine and witness."""
    life = Life(seed, options)
    tally, failure = life.auditor.tally, ""
    try:
        life.begin()
        while tally.commands < options.steps:
            life.group()
        life.end()
    except Disagreement as found:
        failure = f"step {tally.commands}: {found}"
    except Exception as broken:  # whatever it is: no command may make the engine raise
        told = "".join(traceback.format_exception(broken)[-FRAMES:])
        failure = f"step {tally.commands}: {type(broken).__name__} raised\n{told}"
    finally:
        life.inner.close()
    return Outcome(seed, tally, failure)


class Life:
    """The engine of one seed, and everybody around it."""

    def __init__(self, seed: int, options: Options) -> None:
        """Draw the venue; nothing is listed yet."""
        self.seed, self.options = seed, options
        self.rng = random.Random(seed)
        rare = seed % PORTFOLIO_EVERY == PORTFOLIO_EVERY - 1
        methods = (*METHODS, "portfolio") if rare else METHODS
        self.joint = JOINT_ROWS if rare else 6
        self.arena = Arena(self.rng, options.rulebook)
        self.auditor = Auditor()
        witness = self.auditor.witness
        self.view = View(self.rng, self.arena, witness.book, methods)
        self.owners = Owners(self.view)
        self.venue = Venue(self.view, witness, self.owners)
        self.careless = Careless(self.view)
        self.buckets = Buckets(self.view, witness)
        self.pressed = Pressed(self.view)
        self.clock = START_NS
        self.printed = 0
        # At first every command is dressed soundly: a venue that never opens tests nothing.
        self.sound = True
        self.sent: list[AnyCommand] = []
        self.n_keys = 0
        self.inner = self._inner()
        self.engine = self._open()

    def _inner(self) -> Store:
        stores = self.options.stores
        if stores is not None and self.seed % ON_DISK_EVERY == 0:
            return stores(self.seed)
        return MemoryStore()

    def _open(self) -> Engine:
        store = FaultyStore(self.inner, self.rng, self.options.faults)
        return Engine.open(store, lambda: self.clock)

    # --- beginning and end ------------------------------------------------------------------------

    def begin(self) -> None:
        """What comes too early, then the listing, rules, prices, and the first accounts."""
        early = Deposit(account="u1", asset="USD", amount=1)
        rules = AdoptRulebook(rules=self.arena.rulebook.packed())
        self.submit([early, rules, self.arena.listing(), early, rules])
        self.submit([AdoptScenarios(scenarios=self.arena.scenarios(self.joint)), self.prices()])
        opened: list[AnyCommand] = [self.owners.open() for _ in range(self.rng.randint(4, 9))]
        self.submit(opened)
        self.submit([self.owners.deposit() for _ in range(2 * len(opened))])
        rich = OpenAccount(account="lender")
        paid = [
            Deposit(account="lender", asset=asset, amount=self.view.units(asset, 400_000.0))
            for asset in ("USDC", "ETH", "BTC", "USD")
        ]
        self.submit([rich, *paid])
        self.sound = False

    def end(self) -> None:
        """Everything once more: both books, replay from the start, from a state, and a forgery."""
        mine = self.auditor.witness.book
        self.auditor.compare(self.engine.book, mine.accounts)
        self.replays()
        self.inner.save_snapshot(
            self.engine.seq, self.engine.chain, self.engine.state_hash(),
            journal.snapshot_parts(self.engine.book),
        )  # fmt: skip
        self.replays()
        records = [record for batch in self.inner.read() for record in batch]
        what, forged = tampered(records, self.rng)
        self.refused("tampered", what, MemoryStore(forged))
        state = MemoryStore(records)
        parts = list(journal.snapshot_parts(self.engine.book))
        told = journal.parts_hash(parts)
        state.save_snapshot(self.engine.seq, self.engine.chain, told, altered(parts, self.rng))
        self.refused("tampered state", "a byte of a kept state", state)

    def refused(self, kind: str, what: str, store: Store) -> None:
        """A store nobody may believe does not open."""
        try:
            Engine.open(store, lambda: self.clock)
        except JournalBroken:
            self.auditor.tally.faults[kind] += 1
        else:
            raise Disagreement("a forged store", "opened", f"must be refused: {what}")

    def replays(self) -> None:
        """L6: the journal folds into the same state, from the first record and from a state."""
        told = self.engine.state_hash()
        for whole in (True, False):
            book, chain = restored(self.inner, whole=whole)
            found = journal.state_hash(book)
            if found != told or chain != self.engine.chain:
                words = "from the first record" if whole else "from a state"
                raise Disagreement(f"replay {words}", told.hex(), found.hex())
            same_keys(book, self.auditor.witness)
            self.auditor.tally.replays += 1

    # --- a group of commands ----------------------------------------------------------------------

    def group(self) -> None:
        """Let time pass, then let somebody send something."""
        self.tick()
        self.disturb()
        self.venue.alarm = max(0, self.venue.alarm - 1)
        if self.rng.random() < (0.5 if self.venue.alarm else 0.08):
            found = self.venue.sweep(self.clock)[: GROUPS[-1]]
        else:
            found = [self.one() for _ in range(self.rng.choice(GROUPS))]
        draw = self.rng.random()
        if draw < 0.01:
            found = self.careless.drain(self.now())
        elif draw < 0.04:
            found = self.careless.rush()
        elif draw < 0.09:
            found = self.buckets.next(self.now())
        elif draw < 0.11:
            found = self.pressed.next()
        elif draw < 0.125:
            found = self.careless.sells_out()
        elif draw < 0.20:
            found += [self.medley() for _ in range(self.rng.randint(1, 3))]
        if found:
            self.submit(found)

    def now(self) -> int:
        """The engine's time."""
        return self.auditor.witness.time(self.clock)

    def tick(self) -> None:
        """Mostly moments; now and then an hour, or backwards. Prices follow, mostly."""
        rng = self.rng
        draw = rng.random()
        if draw < 0.1:
            seconds = 0.0
        elif draw < 0.75:
            seconds = rng.uniform(0.05, 4.0)
        elif draw < 0.92:
            seconds = rng.uniform(4.0, 20.0)
        elif draw < 0.95:
            seconds = -rng.uniform(1.0, 40.0)
        elif draw < 0.98:
            seconds = rng.uniform(20.0, 90.0)
        else:
            seconds = rng.uniform(300.0, 5_000.0)
        self.clock += int(seconds * SECOND_NS)
        if self.arena.walk(seconds):
            self.venue.alarm = 8
        late = self.now() - self.printed > 12 * SECOND_NS
        if rng.random() < (0.85 if late or self.venue.alarm else 0.2):
            self.submit([self.prices()])

    def prices(self) -> AnyCommand:
        """Prints of now."""
        self.printed = self.now()
        status = self.rng.choice(BAD_STATUS) if self.rng.random() < 0.05 else "live"
        told = self.arena.prints(self.printed, status)
        return told if self.sound else self.arena.part_of(told)

    def disturb(self) -> None:
        """Throw derived state away, keep a state, start again: no answer may change."""
        draw = self.rng.random()
        if draw < 0.03:
            self.engine.forget()
            self.auditor.tally.faults["forgot"] += 1
        elif draw < 0.07:
            try:
                self.engine.snapshot(keep=2)
                self.auditor.tally.faults["snapshot"] += 1
            except Crash as crash:
                self.recover([], self.engine.seq, str(crash))
        elif draw < 0.08:
            self.recover([], self.engine.seq, "restart")
        elif draw < 0.09:
            self.auditor.witness.desk.forget()
        elif draw < 0.10:
            self.replays()

    def one(self) -> AnyCommand:
        """One command of somebody's, now and then spoiled."""
        draw = self.rng.random()
        if draw < 0.04:
            return self.careless.next(self.now())
        thaw = self.venue.thaw() if draw < 0.05 else None
        if thaw is not None:
            return thaw
        found = self.owners.next() if draw < 0.74 else self.venue.routine()
        return self.careless.spoil(found) if self.rng.random() < 0.12 else found

    def medley(self) -> Batch:
        """A linked batch of whatever anybody might ask, mostly not the world's."""
        found = [self.one() for _ in range(self.rng.randint(2, 5))]
        if self.rng.random() < 0.5:
            found = self.venue.sweep(self.clock)[:3] or found
        return Batch(commands=tuple(flat(found)))  # type: ignore[arg-type]

    # --- sending ----------------------------------------------------------------------------------

    def submit(self, group: Sequence[AnyCommand]) -> None:
        """Send a group until it is answered, whatever dies on the way, and audit the answer."""
        sent = self.dressed(group)
        if self.rng.random() < 0.03:
            self.ask_first(sent)
        while True:
            seq, clock = self.engine.seq, self.clock
            try:
                replies = self.engine.submit(sent)
            except (Crash, StoreFailed) as failed:
                word = failed.args[0] if isinstance(failed, Crash) else "full"
                self.recover(sent, seq, str(word))
                if not self.sound and self.rng.random() < 0.3:
                    self.rng.shuffle(sent)
                continue
            self.auditor.check(sent, replies, clock, self.engine.book)
            self.ask_free()
            break
        self.sent = (self.sent + sent)[-80:]

    def ask_first(self, sent: Sequence[AnyCommand]) -> None:
        """What-if answers each alone, and changes nothing."""
        before = self.engine.state_hash()
        self.auditor.check_alone(sent, self.engine.what_if(sent), self.clock)
        if self.engine.state_hash() != before:
            raise Disagreement("what-if changed the state", before.hex(), "the same hash")

    def ask_free(self) -> None:
        """What may leave where margin refused a withdrawal, of some; asking changes nothing."""
        for where in self.auditor.short_of_margin():
            if self.rng.random() < FREE_RATE:
                before = self._seen(where[0])
                free = self.engine.free_of(*where)
                if self._seen(where[0]) != before:
                    raise Disagreement("a question changed the state", where, "nothing")
                self.auditor.check_free(where, free, self.clock)

    def _seen(self, account: str) -> tuple[int, bytes, AccountState]:
        engine = self.engine
        return engine.seq, engine.chain, engine.book.accounts[account].copy()

    def recover(self, sent: Sequence[AnyCommand], seq: int, word: str) -> None:
        """Start again from what is durable; learn which of the unanswered commands happened."""
        self.auditor.tally.faults[word] += 1
        stores = self.options.stores
        if stores is not None and self.seed % ON_DISK_EVERY == 0:
            self.inner.close()
            self.inner = stores(self.seed)
        self.engine = self._open()
        book = self.engine.book
        happened: dict[str, int] = {}
        for batch in self.inner.read(seq):
            happened |= {key_of(record): record.seq for record in batch}
        if happened:
            self.auditor.learn(sent, happened, self.clock, book)
        self.auditor.compare(book, self.auditor.witness.book.accounts)
        same_keys(book, self.auditor.witness)

    def dressed(self, group: Sequence[AnyCommand]) -> list[AnyCommand]:
        """Give each command its key and stamp; some are sent again, some in disguise."""
        found: list[AnyCommand] = []
        taken: set[str] = set()
        for command in group:
            found.append(self._dressed(command, taken))
            taken.add(found[-1].key)
        return found

    def _dressed(self, command: AnyCommand, taken: set[str]) -> AnyCommand:
        rng = self.rng
        draw = 1.0 if self.sound else rng.random()
        old = rng.choice(self.sent) if self.sent else None
        if old is not None and old.key not in taken:
            if draw < 0.03:
                return old
            if draw < 0.045:
                return msgspec.structs.replace(command, key=old.key, issued_ns=old.issued_ns)
        self.n_keys += 1
        key, issued = f"{self.seed}-{self.n_keys}", self.clock - rng.randint(0, SECOND_NS)
        if 0.05 < draw < 0.055:
            key = rng.choice(("", "k" * 65, "schlüssel", "new\nline"))
        elif draw < 0.063:
            issued = self.now() - rng.choice((589, 590, 591, 10_000)) * SECOND_NS
        elif draw < 0.07:
            issued = self.now() + rng.choice((4, 5, 6, 600)) * SECOND_NS
        return msgspec.structs.replace(command, key=key, issued_ns=issued)


def flat(commands: Iterable[AnyCommand]) -> Iterator[AnyCommand]:
    """Yield commands, those inside of batches for the batches; of the world's, none."""
    for command in commands:
        if isinstance(command, Batch):
            yield from flat(command.commands)
        elif type(command) not in WORLD:
            yield command


def key_of(record: Record) -> str:
    """The key of the command that made a record."""
    return journal.decode(record.body, record.seq).key
