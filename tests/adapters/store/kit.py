"""Records for the tests of stores, and processes that write and die."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from crossmargin.adapters.store.tables import TableStore
from crossmargin.engine.ports import Record

GENESIS = bytes(32)


def chain(bodies: list[bytes], after: int = 0, previous: bytes = GENESIS) -> list[Record]:
    """Return bodies as records; the rule is written out here once more, from the specification."""
    records = []
    for seq, body in enumerate(bodies, after + 1):
        previous = hashlib.sha256(previous + seq.to_bytes(8, "big") + body).digest()
        records.append(Record(seq, previous, body))
    return records


def numbered(n: int, after: int = 0, previous: bytes = GENESIS) -> list[Record]:
    """Return n records whose bodies say their seq."""
    return chain([b"body %d" % (after + k + 1) for k in range(n)], after, previous)


def grow(store: TableStore, n: int) -> list[Record]:
    """Append n records behind the last one and return them."""
    seq, previous = store.last()
    records = numbered(n, seq, previous)
    store.append(records)
    return records


def everything(store: TableStore, after: int = 0, upto: int | None = None) -> list[Record]:
    """Return what `read` yields, in one list."""
    return [record for batch in store.read(after, upto) for record in batch]


# A writer of its own process: it says what it has done, a line each, and does what it is told.
OPENS = """
import sys
from crossmargin.adapters.store import open_store
store = open_store(sys.argv[1], writer=True)
print(store.last()[0], flush=True)
"""
HOLDS = OPENS + "sys.stdin.readline()\n"
FORKS = (
    OPENS
    + """
import os, time
if not os.fork():
    print(os.getpid(), flush=True)
time.sleep(600)
"""
)
APPENDS = (
    OPENS
    + """
sys.path.insert(0, sys.argv[2])
from adapters.store.kit import grow
while True:
    print(grow(store, 100)[-1].seq, flush=True)
"""
)


@contextmanager
def process(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program in a process of its own; kill it at the end if it still runs."""
    running = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield running
    finally:
        kill(running)
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.close()
        running.stdout.close()


def kill(running: subprocess.Popen[str]) -> None:
    """Kill it the hard way (SIGKILL) and wait until it is gone."""
    running.kill()
    running.wait()


def line(running: subprocess.Popen[str]) -> str:
    """Return the next line it writes."""
    assert running.stdout is not None
    return running.stdout.readline().strip()
