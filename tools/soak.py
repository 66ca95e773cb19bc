"""Run every law with 5,000 examples, one after the other, and write down what happened.

A law that passed on these very sources is not run again, so a run that was stopped goes on where
it was. The log is docs/soak.json, the page docs/soak.md; both belong into a commit.

    python tools/soak.py [--jobs 2] [--only WORD] [--again]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOG = ROOT / "docs" / "soak.json"
PAGE = ROOT / "docs" / "soak.md"
EXAMPLES = 5_000
# Imports point down, so a margin law cannot depend on these (tests/house holds the floors).
STRANGERS = tuple(
    f"src/crossmargin/{room}"
    for room in (
        "engine", "ledger", "apps", "simulation", "adapters/store", "adapters/wire",
        "adapters/feeds", "adapters/clocks", "reference/ledger", "frames/ledgered",
        "frames/prints", "domain/book",
    )
)  # fmt: skip
WHERE = ("tests/laws", "tests/twins/test_margin_equals_its_twin.py")


@dataclass(frozen=True)
class Result:
    """One law: did it hold, over how many examples, on which sources, for how long."""

    law: str
    held: bool
    examples: int
    seconds: float
    commit: str
    sources: str


def sources_digest(law: str) -> str:
    """Return one digest of everything a law's answer depends on."""
    digest = hashlib.sha256()
    rooms = ("src", "tests/laws", "tests/twins", "tests/strategies.py")
    files = [
        path
        for room in rooms
        for path in ([ROOT / room] if (ROOT / room).is_file() else (ROOT / room).rglob("*"))
        if ("ledger" in law or "ledger" not in path.name) and path.suffix in {".py", ".toml"}
    ]
    for path in sorted(files):
        name = str(path.relative_to(ROOT))
        if "ledger" in law or not name.startswith(STRANGERS):
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def laws(word: str) -> list[str]:
    """Return the node ids of all laws whose name contains `word`."""
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *WHERE],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [line for line in listed.splitlines() if "::" in line and word in line]


def commit() -> str:
    """Return the commit the tree stands on."""
    answer = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    return answer.stdout.strip() or "none"


def run(law: str, sources: str) -> Result:
    """Run one law in a process of its own; its output is shown only where it fails."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", law],
        cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"HYPOTHESIS_PROFILE": "soak"},
    )  # fmt: skip
    seconds = round(time.monotonic() - started, 1)
    held = done.returncode == 0 and re.search(r"\b1 passed", done.stdout) is not None
    if not held:
        print(done.stdout[-6_000:], flush=True)
    return Result(law, held, EXAMPLES, seconds, commit(), sources)


def write(results: dict[str, Result]) -> None:
    """Write log and page."""
    rows = sorted(results.values(), key=lambda r: r.law)
    LOG.write_text(json.dumps([asdict(r) for r in rows], indent=1) + "\n")
    lines = [
        "# Soak: the laws with 5,000 examples each",
        "",
        "Written by `make soak`, which goes on where it was stopped: a law that held on the same",
        "sources is not run again.",
        "",
        "| law | held | examples | seconds | commit |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{r.law.split('::')[1]}` | {'yes' if r.held else '**no**'} | {r.examples:,} "
        f"| {r.seconds:,.0f} | {r.commit} |"
        for r in rows
    ]
    PAGE.write_text("\n".join(lines) + "\n")


def main() -> int:
    """Run what has not held on these sources yet; 1 where a law broke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--again", action="store_true", help="also laws that have held already")
    ask = parser.parse_args()
    known = {r["law"]: Result(**r) for r in json.loads(LOG.read_text())} if LOG.exists() else {}
    listed = laws(ask.only)
    sources = {law: sources_digest(law) for law in listed}
    todo = [
        law
        for law in listed
        if ask.again
        or law not in known
        or not known[law].held
        or known[law].sources != sources[law]
    ]
    print(f"soak: {len(listed)} laws, {len(listed) - len(todo)} held already", flush=True)
    with ThreadPoolExecutor(ask.jobs) as pool:
        for n, result in enumerate(pool.map(lambda law: run(law, sources[law]), todo), 1):
            known[result.law] = result
            write(known)
            word = "held" if result.held else "BROKE"
            print(f"{n}/{len(todo)} {word} {result.law} {result.seconds:.0f} s", flush=True)
    held = sum(known[law].held and known[law].sources == sources[law] for law in listed)
    print(f"soak: {held} of {len(listed)} laws held over {EXAMPLES:,} examples each")
    return 0 if held == len(listed) else 1


if __name__ == "__main__":
    sys.exit(main())
