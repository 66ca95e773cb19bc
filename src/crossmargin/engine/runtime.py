"""The engine: the one object that changes. Commands in, records out, answers when they are durable.

In     commands, a store, a clock.
Out    replies; records appended in groups; snapshots.
Owns   the book and the order of records; that nothing is acknowledged before it is durable.
Never  holds a rule of finance; answers after the store failed it: then it is opened again.
Signs  stamps are UTC nanoseconds and never run backwards.
Spec   docs/spec/10-ledger.md, 10.5; docs/architecture.md
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from crossmargin.base.errors import InputInvalid, JournalBroken, StoreFailed
from crossmargin.domain.book import SYSTEM, Book
from crossmargin.engine.commands import AnyCommand, understood
from crossmargin.engine.decide import WAVE_MAX, Decided, decide
from crossmargin.engine.market import Setting, Settings
from crossmargin.engine.ports import Clock, Record, Store
from crossmargin.engine.quotes import free_of
from crossmargin.engine.replies import Accepted, Reply
from crossmargin.ledger import journal
from crossmargin.ledger.apply import apply_entry, imbalance
from crossmargin.ledger.events import SCHEMA, Entry

# Objects made and not yet freed between two looks of the garbage collector: Python's own are 700.
COLLECT_EVERY = 20_000

Watch = Callable[[int, int], None]
"""Called with (records done, all) while a journal is replayed."""


class Engine:
    """One writer over one store. Not for several threads: `engine.queue` serves those."""

    def __init__(self, store: Store, clock: Clock, book: Book, chain: bytes) -> None:
        """Take over a book that equals the store's; `Engine.open` makes one."""
        self.store, self.clock = store, clock
        self.book, self.chain = book, chain
        self.halted = False
        self._settings = Settings()

    @classmethod
    def open(cls, store: Store, clock: Clock, watch: Watch | None = None) -> Engine:
        """Return the engine of a store: its newest snapshot, and every record after it."""
        book, chain = restored(store, watch=watch)
        return cls(store, clock, book, chain)

    @property
    def seq(self) -> int:
        """The newest record."""
        return self.book.head.seq

    def submit(self, commands: Sequence[AnyCommand]) -> list[Reply]:
        """Decide commands in order and return a reply each; what was accepted is durable.

        Raises InputInvalid where a field is not of its type: then nothing of the call happened.
        Raises StoreFailed, StoreConflict or StoreBusy where the store does: then no command of
        this call is acknowledged, and the engine is halted until it is opened again.
        """
        self._check_running()
        commands = [understood(command) for command in commands]
        before = self.seq
        try:
            replies, records = self._decide_all(commands)
        except BaseException:
            # The book may be ahead of the store now, and what went wrong is no answer of ours.
            self.halted = self.seq != before
            raise
        self._keep(records)
        return replies

    def _decide_all(self, commands: Sequence[AnyCommand]) -> tuple[list[Reply], list[Record]]:
        """Let commands happen in the book, wave after wave; the store knows nothing of it yet."""
        now_ns = self.now()
        replies: list[Reply] = []
        records: list[Record] = []
        while len(replies) < len(commands):
            rest = commands[len(replies) : len(replies) + WAVE_MAX]
            outcomes = decide(self.book, self.setting(now_ns), rest)
            for command, outcome in zip(rest, outcomes, strict=False):
                if isinstance(outcome, Decided):
                    record = self._happen(command.key, outcome, now_ns)
                    records.append(record)
                    replies.append(Accepted(record.seq))
                else:
                    replies.append(outcome)
        return replies, records

    def what_if(self, commands: Sequence[AnyCommand]) -> list[Reply]:
        """Return what `submit` would answer to each command alone, now; nothing happens."""
        self._check_running()
        setting = self.setting(self.now())
        replies: list[Reply] = []
        for command in map(understood, commands):
            [outcome] = decide(self.book, setting, [command])
            accepted = Accepted(self.seq + 1)
            replies.append(accepted if isinstance(outcome, Decided) else outcome)
        return replies

    def free_of(self, account: str, pool: str, asset: str) -> int | None:
        """Return how many units of an asset margin lets leave a pool now; None: not known.

        A search over copies of the account, for those who ask beside the writer: 3 ms for a small
        one, 0.1 s for 64 pools with 1,000 orders. A deed of that amount is accepted if the venue
        has the cash. Raises InputInvalid for a name that is not known.
        """
        self._check_running()
        found, listing = self.book.find(account), self.book.head.listing
        if account[:1] == SYSTEM or found is None:
            raise InputInvalid("account", account, "be an account of this ledger")
        if pool not in found.pools:
            raise InputInvalid("pool", pool, f"be one of {list(found.pools)}")
        if listing is None or asset not in listing.decimals:
            raise InputInvalid("asset", asset, "be a listed asset")
        return free_of(self.book, account, pool, asset, self.setting(self.now()))

    def now(self) -> int:
        """Return the engine's time: the clock's, but never before the newest record's."""
        return max(self.clock(), self.book.head.at_ns)

    def setting(self, now_ns: int) -> Setting:
        """Return market and rules as of a moment."""
        return self._settings.at(self.book.head, now_ns)

    def forget(self) -> None:
        """Drop everything derived; it is made again from the book when next asked for."""
        self._settings = Settings()

    def state_hash(self) -> bytes:
        """Return the hash of the state; replay of the store ends in the same."""
        return journal.state_hash(self.book)

    def snapshot(self, keep: int = 3) -> int:
        """Keep the state beside the journal; return the record it stands after."""
        self._check_running()
        # All in memory, 0.3 kB an account: the writer stands still, so it is encoded only once.
        parts = list(journal.snapshot_parts(self.book))
        self.store.save_snapshot(self.seq, self.chain, journal.parts_hash(parts), parts)
        self.store.drop_snapshots(keep)
        return self.seq

    def close(self) -> None:
        """Give the store back."""
        self.halted = True
        self.store.close()

    def _happen(self, key: str, decided: Decided, now_ns: int) -> Record:
        """Past this line the command happens: chain its record and fold it into the book."""
        listing = self.book.head.listing
        # L5 of every record before it is one: a unit out of nothing is a bug, and it stops here.
        assert not (left := imbalance(decided.events, listing.terms if listing else {})), left
        entry = Entry(SCHEMA, now_ns, key, decided.fingerprint, decided.events)  # type: ignore[arg-type]
        body = journal.encode(entry)
        seq = self.book.head.seq + 1
        chain = journal.chained(self.chain, seq, body)
        if isinstance(decided.events[0], journal.NUMBERED):
            # What is kept must be what replay reads: a 2 of Python's may come back as 2.0.
            entry = journal.decode(body, seq)
        apply_entry(entry, seq, self.book)
        self.chain = chain  # last: the chain never runs ahead of the book
        return Record(seq, chain, body)

    def _keep(self, records: list[Record]) -> None:
        if not records:
            return
        try:
            self.store.append(records)
        except BaseException:
            # The book is ahead of the store now: the store is right, this engine is over.
            self.halted = True
            raise

    def _check_running(self) -> None:
        if self.halted:
            raise StoreFailed(
                "engine", "it was closed, or a write failed and it stopped", "open it again"
            )


@contextmanager
def uncollected() -> Iterator[None]:
    """Stop the garbage collector for a while: a replay makes millions of objects and no cycle."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@uncollected()
def restored(
    store: Store, upto: int | None = None, watch: Watch | None = None, whole: bool = False
) -> tuple[Book, bytes]:
    """Return the book of a store and its chain hash, every hash checked on the way.

    upto   a record to stop after: the state of that moment
    whole  from the first record, without a snapshot: what `verify` does
    """
    book, chain = Book(), journal.GENESIS
    last, tip = store.last()
    upto = last if upto is None else min(upto, last)
    kept = store.snapshots()
    if kept and kept[-1].seq > last:
        found = f"is missing; a state was kept after record {kept[-1].seq}"
        raise JournalBroken("journal", last + 1, found)
    heads = [] if whole else [head for head in kept if head.seq <= upto]
    if heads:
        newest = heads[-1]
        parts = store.load_snapshot(newest.seq)
        book = journal.book_from_parts(parts, newest.seq, newest.state_hash)
        chain = newest.hash
    start = book.head.seq
    for batch in store.read(start, upto):
        chain = journal.replay(batch, book, chain)
        if watch is not None:
            watch(book.head.seq - start, upto - start)
    if book.head.seq < upto:
        raise JournalBroken("journal", book.head.seq + 1, f"is missing; the newest is {last}")
    if upto == last and chain != tip:
        raise JournalBroken("journal", last, "is not the one the newest state was kept after")
    return book, chain


def quiet_collector() -> None:
    """Have the garbage collector leave alone what is loaded, and look less often at what comes.

    For a process that serves an engine, once it is open: it changes the whole process. Nothing of
    a book can be part of a cycle and a command leaves none behind, so there is little to find;
    left as it is, looking for it takes a tenth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 10, 10)
