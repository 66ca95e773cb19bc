"""(i) The engine: 1,000,000 accounts, durable commands a second, beside double entry in SQL."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.baselines import double_entry
from benchmarks.harness import ROOT, Figure, Result
from benchmarks.ledger_fixture import Journal
from benchmarks.ledger_load import (
    LOT,
    Clock,
    Load,
    Traffic,
    Watched,
    drive,
    pauses,
    raw_per_second,
    resident_bytes,
)
from benchmarks.ledger_restart import restart
from crossmargin.engine.ports import Store
from crossmargin.engine.queue import GROUP_MAX, CommandQueue
from crossmargin.engine.runtime import Engine, quiet_collector
from crossmargin.ledger import journal

TITLE = "durable commands a second at 1,000,000 accounts, against double entry in PostgreSQL"
ROUNDS = 3
IN_FLIGHT, FEW_IN_FLIGHT = 1_024, 64
STORES = ("sqlite", "postgres")
# What is run in every round: the mix, a share of its size, how many commands are in flight.
RUNS = {
    "risky": ("risky", 1.0, IN_FLIGHT), "safe": ("safe", 1.0, IN_FLIGHT),
    "few": ("risky", 0.25, FEW_IN_FLIGHT),
}  # fmt: skip


class Size(NamedTuple):
    """How much of everything."""

    accounts: int
    risky: int
    safe: int
    pgbench_s: int


FULL, QUICK = Size(1_000_000, 40_000, 60_000, 4), Size(100_000, 4_000, 6_000, 1)


def run(quick: bool) -> Result:
    """Measure in a process of its own, and say each figure beside its target."""
    words = [sys.executable, "-m", "benchmarks.bench_i", "quick" if quick else "full"]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    one, eight = found["pgbench_1"], found["pgbench_8"]
    again, (in_all, longest) = found["restart"], found["pauses_ms"]
    figures = []
    for store in STORES:
        risky, safe, few, raw = (found[f"{store}_{what}"] for what in (*RUNS, "raw"))
        figures += [
            Figure(
                f"{store}, margin-checked", risky["per_second"], "commands/s", least=10_000,
                note=waits(risky),
            ),
            Figure(
                f"{store}, to pgbench -c 1", ratio(risky, one), "x double entry", least=5.0,
                note=f"{statistics.median(one):,.0f} transactions/s",
            ),
            Figure(
                f"{store}, to pgbench -c 8", ratio(risky, eight), "x double entry", least=1.0,
                note=f"{statistics.median(eight):,.0f} transactions/s",
            ),
            Figure(
                f"{store}, no risk added", safe["per_second"], "commands/s", least=30_000,
                note=waits(safe),
            ),
            Figure(
                f"{store}, few in flight", few["per_second"], "commands/s",
                note=waits(few, FEW_IN_FLIGHT),
            ),
            Figure(
                f"{store}, bare appends", statistics.median(raw), "records/s",
                note="the same records in the same groups, each group synced",
            ),
        ]  # fmt: skip
    figures += [
        Figure(
            "replay from PostgreSQL", again["records_per_second"], "records/s", least=100_000,
            note=f"{again['records']:,} of these records, every hash checked, the same state",
        ),
        Figure(
            "process start to ready", again["ready_s"], "s from PostgreSQL", most=60.0,
            note=f"{again['state_s']:.1f} s of it load {again['accounts']:,} accounts",
        ),
        Figure(
            "snapshot", found["seconds"]["snapshot"], "s into PostgreSQL",
            note="the writer stands still for it",
        ),
        Figure("memory", found["bytes_an_account"], "bytes an account", note="4 holdings"),
        Figure(
            "longest collection", longest, "ms", note=f"garbage collector: {in_all:.0f} ms in all",
        ),
    ]  # fmt: skip
    return Result(figures, again["state"][:16], found["sizes"], found["seconds"])


def ratio(load: dict[str, Any], baseline: list[float]) -> float:
    """Return the median over the rounds: both sides of a round saw the same machine."""
    rounds = zip(load["rounds"], baseline, strict=True)
    return statistics.median(ours / theirs for ours, theirs in rounds)


def waits(load: dict[str, Any], in_flight: int = IN_FLIGHT) -> str:
    p50, p99, p999 = load["waits_ms"]
    return f"p50 {p50:.1f}, p99 {p99:.1f}, p99.9 {p999:.1f} ms with {in_flight:,} in flight"


# --- in the process that measures -----------------------------------------------------------------


def measure(size: Size) -> dict[str, Any]:
    """Return every number; a new process must replay to the state the engine ends in."""
    from tests.postgres import fresh, server

    from crossmargin.adapters.store import create_store

    clock = time.perf_counter
    started = clock()
    with tempfile.TemporaryDirectory() as folder, server() as url:
        address = fresh(url)
        stores: dict[str, Store] = {
            "sqlite": create_store(Path(folder) / "journal.db"), "postgres": create_store(address),
        }  # fmt: skip
        engine, traffic, bytes_an_account = opened(size, list(stores.values()))
        before = clock()
        engine.snapshot()  # into PostgreSQL
        snapshot_s = clock() - before
        double_entry.fill(url, size.accounts)
        ready = clock()
        runs: dict[str, list[Any]] = {}
        with pauses() as stops:
            for _ in range(ROUNDS):
                one_round(engine, traffic, stores, size, runs)
                baseline_round(url, size, runs)
        ended = clock()
        assert double_entry.is_balanced(url, size.accounts)
        assert all(users + system == 0 for users, system in journal.totals(engine.book).values())
        assert stores["sqlite"].last() == stores["postgres"].last() == (engine.seq, engine.chain)
        for store in stores.values():
            store.close()
        found = restart(address)
    assert found.state == engine.state_hash().hex(), "the state after replay is another"
    told = {
        name: summary(kept) if isinstance(kept[0], Load) else kept for name, kept in runs.items()
    }
    return told | {
        "bytes_an_account": bytes_an_account, "pauses_ms": [sum(stops), max(stops, default=0.0)],
        "restart": asdict(found),
        "sizes": size._asdict() | {"in_flight": IN_FLIGHT, "group": GROUP_MAX, "lot": LOT},
        "seconds": {
            "opening": ready - started, "snapshot": snapshot_s, "rounds": ended - ready,
            "whole": clock() - started,
        },
    }  # fmt: skip


def opened(size: Size, stores: list[Store]) -> tuple[Engine, Traffic, float]:
    """Return a warm engine whose accounts stand in every store, and bytes an account takes."""
    written = Journal(size.accounts)
    for groups in ([written.records], written.openings()):
        for records in groups:
            for store in stores:
                store.append(records)
    before = resident_bytes()
    book = written.book()
    held = resident_bytes() - before
    clock = Clock(written.at_ns)
    engine = Engine(stores[0], clock, book, written.chain)
    # Kernels are compiled or loaded, and everything loaded is out of the collector's sight.
    early = Traffic(size.accounts, written.prices, clock, "early")
    engine.submit([early.prices()])
    engine.what_if(early.risky(200))
    stores[1].append([record for batch in stores[0].read(written.seq) for record in batch])
    engine.store = stores[1]
    quiet_collector()
    return engine, Traffic(size.accounts, written.prices, clock), held / size.accounts


def one_round(
    engine: Engine, traffic: Traffic, stores: dict[str, Store], size: Size,
    runs: dict[str, list[Any]],
) -> None:  # fmt: skip
    """Run both mixes on each store; what one took is then appended, as it came, to the other."""
    for name, other in (STORES, STORES[::-1]):
        engine.store = watched = Watched(stores[name])
        for what, (mix, share, in_flight) in RUNS.items():
            commands = getattr(traffic, mix)(int(share * getattr(size, mix)))
            queue = CommandQueue(engine)
            load = drive(queue, commands, in_flight, traffic.prices)
            queue.stop()
            assert load.refused <= 0.01 * len(commands), f"{load.refused} refused"
            runs.setdefault(f"{name}_{what}", []).append(load)
        raw = raw_per_second(watched, stores[other])
        runs.setdefault(f"{other}_raw", []).append(raw)


def baseline_round(url: str, size: Size, runs: dict[str, list[Any]]) -> None:
    """Run the baseline at one and at eight connections."""
    for clients in (1, 8):
        found = double_entry.per_second(url, size.accounts, clients, size.pgbench_s)
        runs.setdefault(f"pgbench_{clients}", []).append(found)


def summary(loads: list[Load]) -> dict[str, Any]:
    """Return a kind's medians over the rounds; waits: p50, p99, p99.9."""
    rounds = [load.per_second for load in loads]
    waits = [statistics.median(load.wait_ms(p) for load in loads) for p in (50, 99, 99.9)]
    return {"per_second": statistics.median(rounds), "rounds": rounds, "waits_ms": waits}


if __name__ == "__main__":
    print(json.dumps(measure(QUICK if sys.argv[1] == "quick" else FULL)))
