"""Where a command's time goes, and how it grows. `python -m benchmarks.ledger_profile`.

Not part of a bench: docs/benchmarks.md prints what it said. The store is a list, so that the
engine's own work is seen; a figure is the tenth percentile of many groups, because a busy machine
only ever adds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.ledger_fixture import Journal
from benchmarks.ledger_load import Clock, Traffic
from crossmargin.engine import checks, decide
from crossmargin.engine.commands import understood
from crossmargin.engine.runtime import Engine, quiet_collector
from crossmargin.engine.workspace import Workspace
from crossmargin.ledger import journal
from crossmargin.ledger.apply import apply_entry
from crossmargin.ledger.events import SCHEMA, Entry
from crossmargin.simulation.faults import MemoryStore

GROUP, GROUPS = 512, 30
KINDS = ("withdraw", "order", "transfer", "fill", "deposit", "cancel")
STEPS = ("types", "envelope", "fingerprint", "work out", "totals", "margin", "record", "apply")


class Nowhere(MemoryStore):
    """Keeps nothing: only the engine's own work is seen."""

    def append(self, records: Sequence[Any]) -> None:
        """Forget them."""


def made(n_accounts: int, extra: int = 0) -> tuple[Engine, Traffic]:
    """Return an engine over accounts of four holdings and `extra` more, prices in."""
    written = Journal(n_accounts)
    for _ in written.openings():
        pass
    book, clock = written.book(), Clock(written.at_ns)
    names = [name for name in book.head.listing.decimals if name not in ("BTC", "ETH", "USDC")]
    for name, held in book.accounts.items():
        if name[0] != "@":
            # As a holding is: read from bytes, each account with numbers of its own.
            own = {asset: 10**9 + n for n, asset in enumerate(names[:extra])}
            held.pools["shared"].balances.update(own)
    engine = Engine(Nowhere(), clock, book, written.chain)
    traffic = Traffic(n_accounts, written.prices, clock)
    engine.submit([traffic.prices()])
    engine.submit(traffic.risky(2_000))
    quiet_collector()
    return engine, traffic


def steps(engine: Engine, commands: Sequence[Any], took: dict[str, list[float]]) -> None:
    """Do what the engine does with a group, step by step, and note what each took."""
    clock, marks = time.perf_counter, []
    book, now_ns = engine.book, engine.now()
    setting = engine.setting(now_ns)
    marks.append(clock())
    commands = [understood(command) for command in commands]
    marks.append(clock())
    for command in commands:
        assert decide.envelope(command, book, now_ns) is None
        set(decide.named(command))
    marks.append(clock())
    prints = [decide.fingerprint(command) for command in commands]
    marks.append(clock())
    works = []
    for command in commands:
        work = Workspace(book, setting, linked=False)
        decide.DRAFTS[type(command)](command, work)
        works.append(work)
    marks.append(clock())
    pressure = checks.Pressure()
    for work in works:
        assert checks.refuse_balances(work) is None
        assert checks.refuse_totals(work, book, pressure) is None
        pressure.add(work, book)
    marks.append(clock())
    checks.refuse_margins(works, book)
    marks.append(clock())
    entries = [
        Entry(SCHEMA, now_ns, command.key, print_, tuple(work.events))
        for command, print_, work in zip(commands, prints, works, strict=True)
    ]
    chain = engine.chain
    for seq, entry in enumerate(entries, engine.seq + 1):
        chain = journal.chained(chain, seq, journal.encode(entry))
    marks.append(clock())
    for seq, entry in enumerate(entries, engine.seq + 1):
        apply_entry(entry, seq, book)
    marks.append(clock())
    engine.chain = chain
    for step, one, two in zip(STEPS, marks, marks[1:], strict=False):
        took.setdefault(step, []).append((two - one) / len(commands) * 1e6)


def apart(commands: Sequence[Any], size: int) -> list[list[Any]]:
    """Return groups in which no account is named twice, as a wave is."""
    groups: list[list[Any]] = [[]]
    names: set[str] = set()
    for command in commands:
        own = set(decide.named(command))
        if names & own:
            continue
        if len(groups[-1]) == size:
            groups.append([])
            names = set()
        names |= own
        groups[-1].append(command)
    return groups[:-1]


def submitted(engine: Engine, commands: Sequence[Any], size: int) -> float:
    """Return microseconds a command in groups of a size."""
    took = []
    for start in range(0, len(commands) - size + 1, size):
        began = time.perf_counter()
        engine.submit(commands[start : start + size])
        took.append((time.perf_counter() - began) / size * 1e6)
    return float(np.percentile(took, 10))


def main(n_accounts: int) -> None:
    """Print three tables."""
    engine, traffic = made(n_accounts)
    print(f"us a command by step, {n_accounts:,} accounts, groups of {GROUP}")
    print(f"{'':<10}" + "".join(f"{step:>13}" for step in STEPS))
    makers: dict[str, Callable[..., Any]] = {kind: getattr(traffic, f"_{kind}") for kind in KINDS}
    for kind, make in makers.items():
        some = [make(traffic._key(), traffic.clock()) for _ in range(GROUP * GROUPS)]
        took: dict[str, list[float]] = {}
        for group in apart(some, GROUP):
            steps(engine, group, took)
        row = [float(np.percentile(took[step], 10)) for step in STEPS]
        print(f"{kind:<10}" + "".join(f"{us:>13.2f}" for us in row) + f"{sum(row):>10.1f}")
    print("us a margin-checked command by group size")
    for size in (1, 8, 64, 256, 512, 1024, 2048):
        us = submitted(engine, traffic.risky(max(20 * size, 400)), size)
        print(f"{size:>8} {us:>8.1f}", flush=True)
    for title, sizes in (
        ("by accounts", [(n, 0) for n in (1_000, 10_000, 100_000)]),
        ("by holdings", [(10_000, extra) for extra in (0, 4, 12)]),
    ):
        print(f"us a margin-checked command {title}, groups of {GROUP}")
        for n, extra in sizes:
            engine, traffic = made(n, extra)
            us = submitted(engine, traffic.risky(GROUP * GROUPS), GROUP)
            print(f"{n:>8} accounts, {4 + extra:>2} holdings {us:>8.1f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1_000_000)
