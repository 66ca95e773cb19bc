"""`crossmargin run`: the engine of a store in the foreground, commands in, replies out.

In     a store, a feed of commands as JSON lines.
Out    a ready line, then one line for each line of the feed; a closing summary; an exit code.
Owns   the order of a start and of a stop; what the summary says.
Never  decides; starts again by itself after the store failed.
"""

from __future__ import annotations

import gc
import json as text
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from crossmargin.apps.cli.ledger_stores import AsJson, stamp_text
from crossmargin.apps.cli.options import AT_LEAST_1
from crossmargin.apps.cli.outcome import Exit, forget, tell
from crossmargin.apps.cli.progress import searching, working

if TYPE_CHECKING:
    from crossmargin.adapters.feeds import Feed
    from crossmargin.apps.cli.keeping import KeepingEngine
    from crossmargin.apps.cli.pump import Pump

# What becomes of lines, in the summary's order; blank ones are not counted.
COUNTED = ("lines", "accepted", "repeated", "rejected", "invalid", "unknown", "undelivered")

Number = Annotated[int, Parameter(group="Engine", validator=AT_LEAST_1)]


def run_engine(
    *,
    store: Annotated[str, Parameter(group="Inputs")],
    feed: Annotated[str, Parameter(group="Inputs", allow_leading_hyphen=True)] = "-",
    snapshot_every: Number = 1_000_000,
    group: Number = 512,
    liquidate: Annotated[bool, Parameter(group="Engine", negative="")] = False,
    as_json: AsJson = False,
) -> int:
    """Run the engine of a store: commands in as JSON lines, replies out, until the feed ends.

    Parameters
    ----------
    store
        A ledger: path, sqlite:PATH or postgresql://user@host/database?schema=name.
    feed
        Where commands come from: a file, a FIFO, or - for standard input.
    snapshot_every
        Keep the state beside the journal after so many records.
    group
        Commands made durable together at most.
    liquidate
        After each group that brought prices, sell out pools under water; a line for each.
    as_json
        Print the closing summary as the last line on stdout, not on stderr.
    """
    from crossmargin.adapters.feeds import Feed
    from crossmargin.adapters.wire import COMMAND_BYTES_MAX
    from crossmargin.base.errors import LedgerError

    lines = Feed(feed, COMMAND_BYTES_MAX)
    try:
        engine = _opened(store, snapshot_every, as_json, liquidate)
        try:
            return _run(engine, lines, group, as_json)
        finally:
            engine.close()
    except LedgerError as refused:
        _complain(str(refused))
        return Exit.UNANSWERED
    finally:
        lines.close()


def _opened(where: str, snapshot_every: int, quiet: bool, liquidate: bool) -> KeepingEngine:
    """Return the engine of a store, warm, with everything loaded out of the collector's sight."""
    from crossmargin.adapters.clocks import WallClock
    from crossmargin.adapters.store import open_store
    from crossmargin.apps.cli.keeping import KeepingEngine, warm
    from crossmargin.apps.cli.selling import SellingEngine
    from crossmargin.engine.runtime import quiet_collector

    store = open_store(where, writer=True)
    try:
        with searching("replaying", quiet) as watch:
            kind = SellingEngine if liquidate else KeepingEngine
            engine = kind.open(store, WallClock(), watch)
        assert isinstance(engine, KeepingEngine)
        if isinstance(engine, SellingEngine):
            engine.sell(_write, _complain)
        engine.keep(snapshot_every, _complain)
        with working("warming up", quiet, compiles=True):
            warm(engine)
    except BaseException:
        store.close()
        raise
    quiet_collector()
    return engine


def _run(engine: KeepingEngine, feed: Feed, group: int, json: bool) -> int:
    """Pump the feed through the engine until it ends; return the exit code."""
    from crossmargin.apps.cli.pump import LINES_MAX, Pump
    from crossmargin.base.errors import LedgerError
    from crossmargin.engine.queue import CommandQueue

    pump = Pump(feed, CommandQueue(engine, LINES_MAX, group), _write)
    at = stamp_text(engine.now())
    with _pauses() as pauses, _stopped_by_signals(feed):
        _write(_line("ready", {"seq": engine.seq, "store": engine.store.where, "at": at}))
        started = time.perf_counter()
        pump.run()
        seconds = time.perf_counter() - started
    snapshot = engine.keep_last()
    summary = {
        # Where the store failed, only the store knows its newest record.
        "seq": None if engine.halted else engine.seq, "snapshot": snapshot,
        **{word: pump.counts[word] for word in COUNTED}, "seconds": round(seconds, 3),
        "gc_pause_ms_max": round(pauses[0] * 1e3, 3),
        "memory_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }  # fmt: skip
    _close(pump, _line("closed", summary), json)
    if pump.failed is not None and not isinstance(pump.failed, LedgerError):
        raise pump.failed
    return Exit.UNANSWERED if pump.failed or pump.lost else Exit.OK


def _close(pump: Pump, summary: bytes, json: bool) -> None:
    """Say what failed, and the summary."""
    if pump.failed is not None:
        n = pump.counts["unknown"]
        _complain(f"{pump.failed} ({n} commands are not answered: send them again as they were)")
    if pump.lost is not None:
        n = pump.counts["undelivered"]
        _complain(f"stdout: {pump.lost}; {n} replies were not delivered, ask by their keys")
        forget(sys.stdout)
    if json and pump.lost is None:
        _write(summary)
    else:
        tell(summary.decode().rstrip())


@contextmanager
def _stopped_by_signals(feed: Feed) -> Iterator[None]:
    """Let the first SIGTERM or SIGINT end the feed; the second does what it always did."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, handler in kept.items():
            signal.signal(number, handler)

    def stop(number: int, frame: object) -> None:
        restore()
        feed.stop()

    for number in kept:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()


@contextmanager
def _pauses() -> Iterator[list[float]]:
    """Yield a cell with the longest time a collection of garbage held everything up, seconds."""
    pauses = [0.0]
    began = 0.0

    def note(phase: str, info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.perf_counter()
        else:
            pauses[0] = max(pauses[0], time.perf_counter() - began)

    gc.callbacks.append(note)
    try:
        yield pauses
    finally:
        gc.callbacks.remove(note)


def _line(kind: str, facts: Mapping[str, object]) -> bytes:
    return text.dumps({"type": kind, **facts}, ensure_ascii=False).encode() + b"\n"


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _complain(message: str) -> None:
    tell(f"error: {message}")
