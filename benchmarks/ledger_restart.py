"""A process that opens a journal and says when it is ready for commands.

`restart` starts it and takes the time from before the interpreter to the moment it has answered
a first question: the newest state is loaded, every record after it replayed with its hash
checked, the market prepared, the kernels loaded.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass

from benchmarks.harness import ROOT


@dataclass(frozen=True)
class Restart:
    """What a restart took. Rates count reading from the store."""

    ready_s: float
    state_s: float
    accounts: int
    records: int
    records_per_second: float
    bytes_an_account: float
    state: str
    answer: str


def restart(address: str) -> Restart:
    """Open a journal in a new process and return what it took."""
    started = time.perf_counter()
    words = [sys.executable, "-m", "benchmarks.ledger_restart", address]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        ready_s = time.perf_counter() - started
        rest = process.stdout.readline()
    assert process.returncode == 0, f"opening {address} ended with {process.returncode}"
    return Restart(ready_s=ready_s, **json.loads(line), **json.loads(rest))


def main(address: str) -> None:
    """Open, answer one question, say so; then say what state that was."""
    from crossmargin.adapters.store import open_store
    from crossmargin.engine import commands as c
    from crossmargin.engine.runtime import Engine

    store = open_store(address, writer=True)
    last = store.last()[0]
    state = store.snapshots()[-1].seq
    at: list[tuple[float, int]] = []
    began, held = time.perf_counter(), resident()
    loaded: list[int] = []

    def watch(done: int, all_of_them: int) -> None:
        if not at:
            loaded.append(resident())
        at.append((time.perf_counter(), done))

    # Time stands still: the prices of the journal are as old as they were when it was written.
    engine = Engine.open(store, lambda: 0, watch)
    account = next(name for name in engine.book.accounts if name[0] != "@")
    ask = c.Withdraw(key="first", issued_ns=engine.now(), account=account, asset="USDC", amount=1)
    [answer] = engine.what_if([ask])
    (first_s, first), (last_s, done) = at[0], at[-1]
    n_accounts = len(engine.book.accounts)
    told = {
        "state_s": first_s - began, "accounts": n_accounts, "records": last - state,
        "records_per_second": (done - first) / (last_s - first_s),
        "bytes_an_account": (loaded[0] - held) / n_accounts, "answer": type(answer).__name__,
    }  # fmt: skip
    print(json.dumps(told), flush=True)
    print(json.dumps({"state": engine.state_hash().hex()}), flush=True)
    engine.close()


def resident() -> int:
    from benchmarks.ledger_load import resident_bytes

    return resident_bytes()


if __name__ == "__main__":
    main(sys.argv[1])
