"""Between a feed and an engine: a queue that is full holds lines up and loses none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from crossmargin.adapters.feeds import Feed
from crossmargin.adapters.wire import COMMAND_BYTES_MAX, command_to_json
from crossmargin.apps.cli.pump import LINES_MAX, Pump
from crossmargin.base.errors import Overloaded
from crossmargin.engine import commands as c
from crossmargin.engine import queue
from crossmargin.engine.commands import AnyCommand
from crossmargin.engine.decide import BATCH_MAX
from crossmargin.engine.queue import CommandQueue
from crossmargin.engine.replies import Reply
from engine.memory import Held
from engine.small import T0, Venue, account, venue


class Counting(CommandQueue):
    """A queue that counts what it had no room for, and opens the store's gate at the first."""

    n_refused = 0

    def submit(self, commands: Sequence[AnyCommand]) -> Future[list[Reply]]:
        try:
            return super().submit(commands)
        except Overloaded:
            self.n_refused += 1
            assert isinstance(self.engine.store, Held)
            self.engine.store.gate.set()
            raise


def pumped(
    path: Path, commands: Sequence[AnyCommand], group: int
) -> tuple[Pump, Counting, list[str]]:
    """Pump a file of commands through an engine whose store is held until something is refused."""
    path.write_bytes(b"".join(command_to_json(one) + b"\n" for one in commands))
    made = venue()
    made.do(account("ann"))
    store = Held(made.store.records)
    again = Venue(store)
    counting = Counting(again.engine, LINES_MAX, group)
    written: list[bytes] = []
    feed = Feed(str(path), COMMAND_BYTES_MAX)
    pump = Pump(feed, counting, written.append)
    try:
        store.gate.clear()
        pump.run()
    finally:
        store.gate.set()
        feed.close()
    return pump, counting, [json.loads(line)["type"] for line in b"".join(written).splitlines()]


def test_a_queue_without_room_for_more_bytes_holds_lines_up_and_loses_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A command is about 120 bytes: three fit. The gate stays shut until one does not.
    monkeypatch.setattr(queue, "WAITING_BYTES_MAX", 400)
    pays = [
        c.Deposit(key=f"d{n}", issued_ns=T0, account="ann", asset="USD", amount=1)
        for n in range(40)
    ]  # fmt: skip
    pump, counting, types = pumped(tmp_path / "feed", pays, group=1)
    assert counting.n_refused > 0
    assert (pump.failed, types) == (None, ["accepted"] * 40)


def test_a_batch_of_any_size_is_answered_and_the_feed_goes_on(tmp_path: Path) -> None:
    one = c.Deposit(account="ann", asset="USD", amount=1)
    sizes = (LINES_MAX + 1, 0, BATCH_MAX, 1)
    batches = [
        c.Batch(key=f"b{n}", issued_ns=T0, commands=(one,) * size) for n, size in enumerate(sizes)
    ]
    path = tmp_path / "feed"
    path.write_bytes(b"".join(command_to_json(batch) + b"\n" for batch in batches))
    made = venue()
    made.do(account("ann"))
    written: list[bytes] = []
    feed = Feed(str(path), COMMAND_BYTES_MAX)
    pump = Pump(feed, CommandQueue(made.engine, LINES_MAX), written.append)
    pump.run()
    feed.close()
    types = [json.loads(line)["type"] for line in b"".join(written).splitlines()]
    assert (pump.failed, types) == (None, ["rejected", "rejected", "accepted", "accepted"])
