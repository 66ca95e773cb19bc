"""Twenty-four simulated hours with sources that lie and a store that dies: docs/soak-day.md.

    python tools/soak_day.py --seeds 3 --accounts 200

Every seed is lived twice, with a store that keeps everything and with one that dies in the middle
of its work, and then judged from its journal alone: was every forced sale due, at prices that were
good? What it prints is written to docs/soak-day.md. A seed that is done is kept in
docs/soak-day.json and not lived again at the same source.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from crossmargin.adapters.files import load_rulebook  # noqa: E402
from crossmargin.engine.runtime import Engine  # noqa: E402
from crossmargin.simulation.explained import explained, unbalanced  # noqa: E402
from crossmargin.simulation.faults import FaultyStore, MemoryStore  # noqa: E402
from crossmargin.simulation.long_day import MINUTES_A_DAY, long_day, spoil  # noqa: E402
from crossmargin.simulation.paths import Clock  # noqa: E402
from crossmargin.simulation.replay import Day, Setup  # noqa: E402

START = 1_775_001_600 * 10**9  # 2026-04-01, when the shipped rulebook is in force
TICKS = 4
LOG, PAGE = ROOT / "docs" / "soak-day.json", ROOT / "docs" / "soak-day.md"
COLUMNS = (
    "seed", "hours", "ticks", "quote faults", "halted or stale", "forced sales", "unexplained",
    "deaths", "same book after all deaths", "replayed alike", "sums", "records",
)  # fmt: skip


def lived(seed: int, hours: int, accounts: int, rate: float) -> tuple[Day, MemoryStore, int]:
    """Live a day; rate: of appends in which the store dies."""
    inner = MemoryStore()
    store = FaultyStore(inner, random.Random(seed), 0.0)
    clock = Clock(START, 60 * hours, TICKS)
    faults: Counter[str] = Counter()

    def spoiled(price: Any, stamp: Any) -> Any:
        price, stamp, counts = spoil(price, stamp, seed, 300.0, MINUTES_A_DAY * TICKS)
        faults.update(counts)
        return price, stamp

    setup = Setup(
        load_rulebook("prime-24h"), accounts, seed, clock, every=240, store=store, spoiled=spoiled
    )
    day = Day(long_day(seed, START, hours), setup)
    store.rate = rate
    for tick in range(clock.n_ticks):
        day.tick(tick)
        if tick % 240 == 0 and sys.stderr.isatty():
            print(f"\r  {tick // 240:2d} h", end="", file=sys.stderr, flush=True)
    store.rate = 0.0
    return day, inner, sum(faults.values())


def judged(seed: int, hours: int, accounts: int) -> dict[str, Any]:
    """Return one seed's row."""
    whole, kept, faults = lived(seed, hours, accounts, 0.0)
    broken, again, _ = lived(seed, hours, accounts, 0.02)
    verdicts = explained(kept)
    verdicts.wrong += explained(again).wrong
    opened = Engine.open(again, lambda: 0)
    words = Counter(word for row in whole.out.status for word in row)
    bad = words["halted"] + words["stale"] + words["missing"]
    for line in verdicts.wrong[:5]:
        print(f"  {line}")
    return dict(zip(COLUMNS, (
        seed, hours, len(whole.out.at_ns), faults, bad, verdicts.sales, len(verdicts.wrong),
        broken.out.deaths, again.last() == kept.last(),
        opened.state_hash() == broken.engine.state_hash(),
        "zero" if not unbalanced(broken.engine.book) else "NOT ZERO", kept.last()[0],
    ), strict=True))  # fmt: skip


def page(rows: list[dict[str, Any]], commit: str) -> str:
    head = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"
    body = "".join(f"| {' | '.join(str(row[c]) for c in COLUMNS)} |\n" for row in rows)
    return (
        "# Twenty-four hours with faults\n\n"
        "Written by `make soak-day`. A walk with jumps and a fall by a third, five coins of four "
        "sources each, under `prime-24h`; sources go mad, silent, late or freeze, two lie alike, "
        "all fall silent; the store dies before or after it kept a record, or is full, in one "
        "append of fifty. Every forced sale is judged from the journal alone: the pool was under "
        "water at the prices recorded before it, and what was sold had a price that was LIVE or "
        f"DEGRADED and not stale.\n\nLived at {commit}.\n\n{head}{body}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--accounts", type=int, default=200)
    given = parser.parse_args()
    source = subprocess.run(["git", "rev-parse", "HEAD:src"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.strip()  # fmt: skip
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.strip()  # fmt: skip
    known = json.loads(LOG.read_text()) if LOG.exists() else {}
    rows = known.get("rows", []) if known.get("source") == source else []
    rows = [row for row in rows if row["hours"] == given.hours]
    for seed in range(given.seeds):
        if seed not in {row["seed"] for row in rows}:
            began = time.monotonic()
            rows.append(judged(seed, given.hours, given.accounts))
            print(f"seed {seed}: {time.monotonic() - began:.0f} s", file=sys.stderr)
            LOG.write_text(json.dumps({"source": source, "rows": rows}, indent=1) + "\n")
    PAGE.write_text(page(rows, commit))
    sales, wrong = (sum(row[c] for row in rows) for c in ("forced sales", "unexplained"))
    sound = all(row["replayed alike"] and row["sums"] == "zero" for row in rows)
    print(f"{len(rows)} days, {sales:,} forced sales, {wrong} unexplained, "
          f"{'nothing lost' if sound else 'SOMETHING LOST'}")  # fmt: skip
    return 0 if sound and not wrong and sales else 1


if __name__ == "__main__":
    sys.exit(main())
