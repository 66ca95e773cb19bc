"""(j) A journal of 10,000,000 records: how fast it is replayed, how soon a new process is ready."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness import ROOT, Figure, Result

TITLE = "restart on a journal of 10,000,000 records and 1,000,000 accounts"
# Records, their log before it is folded into the file, and a state; measured, then rounded up.
BYTES_A_RECORD, BYTES_AN_ACCOUNT = 500, 2_500


class Size(NamedTuple):
    """How many accounts, records, and how many of these after the newest state."""

    accounts: int
    records: int
    after: int


FULL, QUICK = Size(1_000_000, 10_000_000, 1_000_000), Size(20_000, 200_000, 50_000)


def run(quick: bool) -> Result:
    """Write the journal in one process and open it in another; both must see the same state."""
    from benchmarks.ledger_restart import restart

    size = QUICK if quick else FULL
    with tempfile.TemporaryDirectory(prefix="journal") as folder:
        refuse_full_disk(folder, size)
        path = Path(folder) / "journal.db"
        words = [sys.executable, "-m", "benchmarks.bench_j", str(path), *map(str, size)]
        done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        written = json.loads(done.stdout.splitlines()[-1])
        found = restart(str(path))
    assert found.state == written["state"], "the state after replay is not the one written"
    assert found.answer == "Accepted"
    assert found.records == size.after
    figures = [
        Figure(
            "process start to ready", found.ready_s, "s", most=60.0,
            note=f"{found.state_s:.1f} s of it load {found.accounts:,} accounts",
        ),
        Figure(
            "replay", found.records_per_second, "records/s", least=100_000,
            note=f"{found.records:,} records read from the file, every hash checked",
        ),
        Figure("journal", written["bytes"] / 1e9, "GB on disk", note=sized(written)),
        Figure(
            "written", written["records_per_second"], "records/s",
            note="by a writer that decides nothing; synced every 25,000",
        ),
        Figure("memory", found.bytes_an_account, "bytes an account", note="4 holdings, loaded"),
    ]  # fmt: skip
    seconds = {"write": written["seconds"], "ready": found.ready_s, "state": found.state_s}
    return Result(figures, found.state[:16], size._asdict() | {"events": 1}, seconds)


def sized(written: dict[str, Any]) -> str:
    each = written["body_bytes"] / written["records"]
    return f"{each:.0f} bytes a record, state of {written['state_bytes'] / 1e6:.0f} MB included"


def refuse_full_disk(folder: str, size: Size) -> None:
    """Stop before a disk is filled that others need."""
    need = BYTES_A_RECORD * size.records + BYTES_AN_ACCOUNT * size.accounts
    free = shutil.disk_usage(folder).free
    if free < need + 2 * 10**9:
        raise SystemExit(
            f"bench: {folder} has {free / 1e9:.1f} GB free, the journal needs {need / 1e9:.1f} GB "
            "and 2 GB beside it; set TMPDIR to a larger disk"
        )


# --- in the process that writes -------------------------------------------------------------------


def write(path: Path, size: Size) -> dict[str, Any]:
    """Write the journal with a state in it; return the state at its end, and what it took."""
    from benchmarks.ledger_fixture import Journal, snapshot
    from crossmargin.adapters.store import create_store

    started = time.perf_counter()
    store, written = create_store(path), Journal(size.accounts)
    store.append(written.records)
    n_bytes = sum(len(record.body) for record in written.records)
    for records in written.openings():
        store.append(records)
        n_bytes += sum(len(record.body) for record in records)
    seconds = 0.0
    for upto in (size.records - size.after, size.records):
        began, n_trades = time.perf_counter(), upto - written.seq
        for records in written.trades(n_trades):
            store.append(records)
            n_bytes += sum(len(record.body) for record in records)
        seconds += time.perf_counter() - began
        state, parts = snapshot(written.book())
        if upto < size.records:
            store.save_snapshot(written.seq, written.chain, state, parts)
            state_bytes = sum(map(len, parts))
    store.close()
    return {
        "state": state.hex(), "bytes": path.stat().st_size, "state_bytes": state_bytes,
        "body_bytes": n_bytes, "records": written.seq,
        "records_per_second": size.records / seconds, "seconds": time.perf_counter() - started,
    }  # fmt: skip


if __name__ == "__main__":
    gc.disable()  # many objects, no cycle
    print(json.dumps(write(Path(sys.argv[1]), Size(*map(int, sys.argv[2:])))))
