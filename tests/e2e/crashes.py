"""Kills at random moments, and what a ledger must look like after each.

One venue in one store. Every round starts `crossmargin run`, sends again what the last kill left
unanswered, sends new commands until enough are acknowledged, and kills it by SIGKILL at a moment
drawn uniformly, with hundreds of commands under way. Then the store is opened and looked at.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile

from crossmargin.adapters.clocks import wall_clock
from crossmargin.adapters.store import create_store, open_store
from crossmargin.engine.commands import AnyCommand, Batch, Deposit
from crossmargin.engine.replies import Accepted
from crossmargin.engine.runtime import Engine
from crossmargin.engine.verify import verify
from crossmargin.ledger import journal
from e2e import venue
from e2e.running import Line, Running

# Several groups are under way at any moment, and snapshots are taken between them.
UNDER_WAY = 1_000
OPTIONS = ("--group", "64", "--snapshot-every", "2000")
# The moment of a kill is uniform over this: many groups, and a snapshot or two.
SPAN_S = (0.1, 0.6)
# Senders are late to read their answers by this, two of three: then many records wait for theirs.
LATE_S = (0.0, 0.02, 0.02)


@dataclass(frozen=True)
class Kill:
    """One kill: where it fell, and how the engine did before it.

    acknowledged    commands accepted in this round
    unanswered      commands under way that nobody had an answer to
    unacknowledged  records of theirs that were durable all the same
    """

    acknowledged: int
    unanswered: int
    unacknowledged: int
    start_s: float
    answers_per_s: float

    @property
    def between(self) -> bool:
        """Return whether it fell between a write and its acknowledgement."""
        return self.unacknowledged > 0


@dataclass
class Campaign:
    """A store, everything ever acknowledged about it, and what is to be sent again."""

    store: str
    seed: int
    rounds: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    pending: dict[str, bytes] = field(default_factory=dict)
    deposits: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    journal: dict[str, int] = field(default_factory=dict)

    @classmethod
    def begin(cls, store: str, seed: int) -> Campaign:
        """Create the venue in an empty place."""
        campaign = cls(store, seed)
        engine = Engine.open(create_store(store), wall_clock)
        commands = list(venue.opening())
        for command, reply in zip(commands, engine.submit(commands), strict=True):
            assert isinstance(reply, Accepted), (command, reply)
            campaign.acknowledged[command.key] = reply.seq
        engine.close()
        return campaign

    def kill(self, at_least: int) -> Kill:
        """Run a round that ends in a kill after at least so many acknowledgements."""
        began = time.monotonic()
        with Running(self.store, *OPTIONS) as running:
            start_s = time.monotonic() - began
            began = time.monotonic()
            self._send_again(running)
            commands = self.commands()
            running.send(takewhile(lambda _: running.accepted < at_least, commands), UNDER_WAY)
            rate = len(running.replies) / (time.monotonic() - began)
            running.pause_s = LATE_S[self.rounds % len(LATE_S)]
            moment = random.Random(f"{self.seed}/{self.rounds}").uniform(*SPAN_S)
            # A process of its own: threads of this one would choose a moment that suits them.
            kill = f"sleep {moment:.6f}; kill -9 {running.process.pid}"
            with subprocess.Popen(["sh", "-c", kill]):
                running.send(commands, UNDER_WAY)
            assert running.ended() == -signal.SIGKILL, running.said()
        return self.look(running, start_s, rate)

    def finish(self) -> Line:
        """Send again, stop gracefully, look at everything once more; return the closing line."""
        with Running(self.store, *OPTIONS) as running:
            self._send_again(running)
            assert running.stop() == 0, running.said()
        self.look(running)
        assert not self.pending
        return running.summary()

    def commands(self) -> Iterator[AnyCommand]:
        """Yield commands for ever; remember what deposits there are among them."""
        self.rounds += 1
        for command in venue.commands(f"{self.seed}/{self.rounds}", f"r{self.rounds}"):
            inner = command.commands if isinstance(command, Batch) else (command,)
            paid_in = [(c.account, c.amount) for c in inner if isinstance(c, Deposit)]
            if paid_in:
                self.deposits[command.key] = paid_in
            yield command

    def _send_again(self, running: Running) -> None:
        """Send what has no answer, as it was; what had happened is answered, not done again."""
        running.write(self.pending)
        assert running.answered(), running.said()
        for key in self.pending:
            told = running.replies[key]
            if key in self.journal:
                found = (told["type"], told["seq"], told["repeated"])
                assert found == ("accepted", self.journal[key], True)
            else:
                assert not told.get("repeated"), told
        self.pending = {}

    def look(self, running: Running, start_s: float = 0.0, rate: float = 0.0) -> Kill:
        """Open the store after an end, however it came, and hold it against what was answered."""
        answers = {told["key"]: told for told in running.replies.values()}
        assert {told["type"] for told in answers.values()} <= {"accepted", "rejected", "unknown"}
        fresh = {key: told["seq"] for key, told in answers.items() if told["type"] == "accepted"}
        self.acknowledged |= fresh
        self.refused |= {key for key, told in answers.items() if told["type"] == "rejected"}
        decided = self.acknowledged.keys() | self.refused
        self.pending = {key: line for key, line in running.sent.items() if key not in decided}
        engine = Engine.open(open_store(self.store, writer=True), wall_clock)
        try:
            self._read_journal(engine)
            self._check(engine)
        finally:
            engine.close()
        unacknowledged = engine.seq - max(self.acknowledged.values())
        return Kill(len(fresh), len(self.pending), unacknowledged, start_s, rate)

    def _read_journal(self, engine: Engine) -> None:
        """Note the keys of new records; a key that made two records is a command done twice."""
        for records in engine.store.read(len(self.journal)):
            for record in records:
                entry = journal.decode(record.body, record.seq)
                assert entry.key not in self.journal, f"{entry.key} happened twice"
                self.journal[entry.key] = record.seq

    def _check(self, engine: Engine) -> None:
        for key, seq in self.acknowledged.items():
            assert self.journal.get(key) == seq, f"{key} was acknowledged in {seq} and is lost"
        assert not self.refused & self.journal.keys(), "refused and done all the same"
        # Every hash, every event's sums and the sums of all holders, every snapshot of the engine
        # that was killed; and the state of snapshot and rest is that of replay from record 1.
        verified = verify(engine.store)
        assert verified.wrong == ()
        assert verified.seq == engine.seq == len(self.journal)
        assert verified.state_hash == engine.state_hash()
        paid_in = dict.fromkeys(map(venue.name, range(venue.ACCOUNTS)), 0)
        for key in self.deposits.keys() & self.journal.keys():
            for account, amount in self.deposits[key]:
                paid_in[account] += amount
        for account, amount in paid_in.items():
            held = engine.book.accounts[account].pools["shared"].balances.get(venue.PROOF, 0)
            assert held == amount, f"{account} was paid {amount} and holds {held}"
