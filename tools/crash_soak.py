"""Kill the engine 100 times over each kind of store, and write down where the kills fell.

Ten kills over one ledger are a batch, with a seed of its own. A batch that held on these very
sources is not run again, so a run that was stopped goes on where it was. The log is
docs/crashes.json, the table at the end of docs/crashes.md; both belong into a commit.

    python tools/crash_soak.py [--kills 100] [--acknowledged 5000] [--store sqlite] [--again]
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOG = ROOT / "docs" / "crashes.json"
PAGE = ROOT / "docs" / "crashes.md"
HEADING = "## Log\n"
STORES = ("sqlite", "postgres")
BATCH = 10
# What keeps records safe. Margin decides which commands are accepted, not what becomes of them.
SOURCES = (
    "src/crossmargin/engine", "src/crossmargin/ledger", "src/crossmargin/adapters/store",
    "src/crossmargin/adapters/feeds.py", "src/crossmargin/adapters/wire.py",
    "src/crossmargin/apps/cli/run.py", "src/crossmargin/apps/cli/pump.py",
    "src/crossmargin/apps/cli/keeping.py", "src/crossmargin/domain/book.py",
    "tests/e2e/crashes.py", "tests/e2e/running.py", "tests/e2e/venue.py",
)  # fmt: skip
sys.path.insert(0, str(ROOT / "tests"))


@dataclass(frozen=True)
class Result:
    """One batch of kills over one ledger. `broke` says what was wrong; empty: it held."""

    store: str
    seed: int
    kills: int
    acknowledged_min: int
    acknowledged: int
    unanswered: int
    between: int
    start_s: float
    answers_per_s: float
    seconds: float
    commit: str
    sources: str
    broke: str = ""


def sources_digest() -> str:
    """Return one digest of everything that keeps records safe, and of this test of it."""
    digest = hashlib.sha256()
    for room in SOURCES:
        path = ROOT / room
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def commit() -> str:
    """Return the commit the tree stands on."""
    answer = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    return answer.stdout.strip() or "none"


@contextlib.contextmanager
def place(store: str) -> Iterator[str]:
    """Yield the address of a store that is not there yet."""
    if store == "postgres":
        from postgres import fresh, server

        with server() as url:
            yield fresh(url)
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield str(Path(folder) / "journal.db")


def run(store: str, seed: int, n_kills: int, at_least: int, sources: str) -> Result:
    """Kill one ledger's engine so many times; a broken promise ends the batch."""
    from e2e.crashes import Campaign, Kill

    started = time.monotonic()
    kills: list[Kill] = []
    broke = ""
    try:
        with place(store) as where:
            campaign = Campaign.begin(where, seed)
            for number in range(1, n_kills + 1):
                kills.append(campaign.kill(at_least))
                print(f"  {store} {seed}.{number}: {kills[-1]}", flush=True)
            campaign.finish()
    except AssertionError as broken:
        broke = str(broken)[:500] or "AssertionError"
        print(f"  {store} {seed}: BROKE {broke}", flush=True)
    return Result(
        store, seed, len(kills), at_least, sum(kill.acknowledged for kill in kills),
        sum(kill.unanswered for kill in kills), sum(kill.between for kill in kills),
        round(_median([kill.start_s for kill in kills]), 2),
        round(_median([kill.answers_per_s for kill in kills])),
        round(time.monotonic() - started, 1), commit(), sources, broke,
    )  # fmt: skip


def _median(values: list[float]) -> float:
    return statistics.median(values) if values else 0.0


def write(results: list[Result]) -> None:
    """Write log and table."""
    LOG.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    rows = [
        HEADING,
        "A row is a ledger: its kills, the commands acknowledged to it, those under way when its",
        "engines were killed, the kills between a write and its acknowledgement.",
        "",
        "| store | seed | kills | acknowledged | unanswered | between | start | answers/s | held "
        "| commit |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for r in results:
        held = f"**no**: {r.broke}" if r.broke else "yes"
        rows.append(
            f"| {r.store} | {r.seed} | {r.kills} | {r.acknowledged:,} | {r.unanswered:,} "
            f"| {r.between} | {r.start_s:.1f} s | {r.answers_per_s:,.0f} | {held} | {r.commit} |"
        )
    for store in STORES:
        of = [r for r in results if r.store == store]
        kills, between = sum(r.kills for r in of), sum(r.between for r in of)
        if kills:
            rows += [
                "",
                f"{store}: {kills} kills, {sum(r.acknowledged for r in of):,} commands "
                f"acknowledged, {between / kills:.0%} of the kills between a write and its "
                f"acknowledgement, {sum(bool(r.broke) for r in of)} ledgers broken.",
            ]
    before, _, _ = PAGE.read_text().partition(HEADING)
    PAGE.write_text(before + "\n".join(rows) + "\n")


def main() -> int:
    """Run the batches that have not held on these sources yet; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="for each kind of store")
    parser.add_argument("--acknowledged", type=int, default=5_000, help="before each kill")
    parser.add_argument("--store", choices=STORES, action="append", help="only this kind")
    parser.add_argument("--again", action="store_true", help="also batches that have held already")
    ask = parser.parse_args()
    sources = sources_digest()
    known = [Result(**r) for r in json.loads(LOG.read_text())] if LOG.exists() else []
    fresh = [r for r in known if r.sources == sources and not r.broke and not ask.again]
    done = {
        (r.store, r.seed): r
        for r in fresh
        if r.kills == BATCH and r.acknowledged_min >= ask.acknowledged
    }
    wanted = [
        (store, seed)
        for seed in range(1, -(-ask.kills // BATCH) + 1)
        for store in ask.store or STORES
    ]
    print(
        f"kills: {len(wanted)} batches, {len(done.keys() & set(wanted))} held already", flush=True
    )
    for store, seed in wanted:
        if (store, seed) not in done:
            done[store, seed] = run(store, seed, BATCH, ask.acknowledged, sources)
            write(sorted(done.values(), key=lambda r: (STORES.index(r.store), r.seed)))
    results = [done[key] for key in wanted]
    kills, between = sum(r.kills for r in results), sum(r.between for r in results)
    held = sum(not r.broke for r in results)
    print(
        f"crash soak: {held} of {len(results)} ledgers held over {kills} kills, {between} of them "
        "between a write and its acknowledgement"
    )
    return 0 if held == len(results) and 3 * between >= kills else 1


if __name__ == "__main__":
    sys.exit(main())
