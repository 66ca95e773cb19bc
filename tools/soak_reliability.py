"""Ten thousand lives of the engine, in blocks, written down as they end.

Seeds that were lived on these very sources are not lived again, so a run that was stopped goes on
where it was. The log is docs/reliability.json, the page docs/reliability.md; both belong into a
commit.

    python tools/soak_reliability.py [--seeds 10000] [--steps 500] [--jobs 2]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from crossmargin.apps.cli.simulate import lived
from crossmargin.simulation.auditor import Tally

ROOT = Path(__file__).resolve().parents[1]
LOG = ROOT / "docs" / "reliability.json"
PAGE = ROOT / "docs" / "reliability.md"
# What an answer of the engine, or of its witness, can depend on.
ROOMS = (
    "base", "domain", "kernels", "frames", "ledger", "reference", "margin", "methods", "inquiry",
    "engine", "simulation", "rulebooks", "adapters/store",
)  # fmt: skip
# Seeds between two lines of the log.
BLOCK = 500


@dataclass
class Log:
    """What was lived on one state of the sources. done: seeds 0 .. done - 1 ended alike."""

    sources: str
    steps: int
    commit: str = ""
    done: int = 0
    seconds: float = 0.0
    failure: str = ""
    carried: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    accepted: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)

    def add(self, tally: Tally) -> None:
        """Take a block's counts in."""
        for name in ("commands", "repeated", "boundary", "compared", "replays"):
            self.counts[name] = self.counts.get(name, 0) + getattr(tally, name)
        for name in ("accepted", "rejected", "faults"):
            setattr(self, name, dict(Counter(getattr(self, name)) + getattr(tally, name)))


def sources_digest() -> str:
    """Return one digest of everything an answer can depend on."""
    digest = hashlib.sha256()
    home = ROOT / "src" / "crossmargin"
    for room in ROOMS:
        for path in sorted((home / room).rglob("*")):
            if path.suffix in {".py", ".toml"}:
                digest.update(str(path.relative_to(home)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def commit() -> str:
    """Return the commit the tree stands on."""
    answer = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    return answer.stdout.strip() or "none"


def opened(sources: str, steps: int, carry: str) -> Log:
    """Return the log of these sources, or a new one.

    carry  why lives of other sources still count: said on the page, with the commit of each
    """
    if LOG.exists():
        known = Log(**json.loads(LOG.read_text()))
        if (known.sources, known.steps) == (sources, steps) and not known.failure:
            return known
        if carry and known.steps == steps:
            known.carried.append(f"to {known.done - 1:,} at {known.commit}, before: {carry}")
            known.sources, known.failure = sources, ""
            return known
    return Log(sources, steps)


def write(log: Log) -> None:
    """Write log and page."""
    LOG.write_text(json.dumps(asdict(log), indent=1, sort_keys=True) + "\n")
    counts = log.counts
    many = sum(n for kind, n in log.accepted.items() if "(" not in kind)
    lines = [
        "# Reliability: lives of the engine",
        "",
        "Written by `tools/soak_reliability.py`, which goes on where it was stopped. A seed is a",
        "life of one engine: owners, careless and hostile senders, a venue, prices that jump, a",
        "process that dies between any two writes. A second book, written from the specification",
        "alone, predicts every reply; both books are compared after every group of commands.",
        "",
        "| | |",
        "| --- | --- |",
        f"| seeds, commands each | 0 to {log.done - 1:,}, {log.steps:,} |",
        f"| commands answered | {counts.get('commands', 0):,} |",
        f"| accepted, refused, sent again | {many:,}, {sum(log.rejected.values()):,}, "
        f"{counts.get('repeated', 0):,} |",
        f"| differences between engine and witness | {'**1**' if log.failure else 'none'} |",
        f"| answers at a boundary that floats leave open | {counts.get('boundary', 0):,} |",
        f"| comparisons of both books, replays | {counts.get('compared', 0):,}, "
        f"{counts.get('replays', 0):,} |",
        f"| time, commit | {log.seconds / 60:,.0f} min, {log.commit} |",
        "",
    ]
    if log.carried:
        lines += ["Seeds lived before a change that could not have changed them:", ""]
        lines += [*(f"- {line}" for line in log.carried), ""]
    if log.failure:
        lines += ["```text", log.failure, "```", ""]
    for title, table in (
        ("Faults met", log.faults), ("Commands accepted", log.accepted),
        ("Reasons of refusal", log.rejected),
    ):  # fmt: skip
        lines += [f"## {title}", "", *_columns(table), ""]
    PAGE.write_text("\n".join(lines).rstrip() + "\n")


def _columns(table: Mapping[str, int]) -> list[str]:
    cells = [f"{name} | {n:,}" for name, n in sorted(table.items(), key=lambda p: (-p[1], p[0]))]
    rows = [cells[at : at + 3] for at in range(0, len(cells), 3)]
    head = ["| | | | | | |", "| --- | ---: | --- | ---: | --- | ---: |"]
    return head + ["| " + " | ".join(row + [" | "] * (3 - len(row))) + " |" for row in rows]


def main() -> int:
    """Live what has not been lived on these sources yet; 1 where engine and witness differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--carry", default="", help="why seeds lived on other sources still count")
    ask = parser.parse_args()
    log = opened(sources_digest(), ask.steps, ask.carry)
    print(f"reliability: {log.done:,} of {ask.seeds:,} seeds held already", flush=True)
    while log.done < ask.seeds and not log.failure:
        if sources_digest() != log.sources:
            print("reliability: the sources changed: start again", flush=True)
            return 2
        block, started = range(log.done, min(log.done + BLOCK, ask.seeds)), time.monotonic()
        for outcome in lived(block, ask.steps, ask.jobs):
            log.add(outcome.tally)
            if outcome.failure:
                log.failure = f"seed {outcome.seed}, {outcome.failure}"
                break
        else:
            log.done = block.stop
        log.seconds += round(time.monotonic() - started, 1)
        log.commit = commit()
        write(log)
        print(f"{log.done:,}/{ask.seeds:,} seeds, {log.seconds:,.0f} s", flush=True)
    print("reliability: " + (log.failure or f"{log.done:,} seeds, engine and witness agree"))
    return 1 if log.failure else 0


if __name__ == "__main__":
    sys.exit(main())
