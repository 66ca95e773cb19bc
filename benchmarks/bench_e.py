"""(e) Memory of the whole path: what `assess` needs above its inputs, cross and portfolio."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.harness import ROOT, THREADS, Figure, Result, outputs_hash, peak_bytes
from benchmarks.whole import N_JOINT, market_and_book
from crossmargin import api

TITLE = "peak resident memory of assess above its inputs, 1,000,000 pools"
METHODS = ("cross_correlated", "portfolio")


def run(quick: bool) -> Result:
    """Measure each method in a process of its own: no other bench's memory is in the way."""
    figures, hashes, sizes = [], [], {}
    for method in METHODS:
        words = [sys.executable, "-m", "benchmarks.bench_e", method, "quick" if quick else "full"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        per_holding = found["bytes"] / found["holdings"]
        note = f"{found['bytes'] / 1e6:.0f} MB, {found['holdings']:,} holdings"
        figures.append(Figure(method, per_holding, "bytes a holding", most=40.0, note=note))
        hashes.append(found["outputs"])
        sizes = {"pools": found["pools"], "holdings": found["holdings"], "joint": N_JOINT}
    return Result(figures, "-".join(hashes), sizes)


def measure(method: str, quick: bool) -> dict[str, object]:
    """Return the rise of resident memory while a report is made and its main columns are read.

    Inputs are the book's columns and the prepared market; the unit rows of the joint scenarios
    are part of it. A small book was assessed before, so that compiled code is loaded.
    """
    joint = N_JOINT if method == "portfolio" else 0
    market, book = market_and_book(100_000 if quick else 1_000_000, joint, method)
    small = market_and_book(1_000, joint, method)[1]
    report = api.assess(small, market, threads=THREADS)
    numbers = [report]

    def whole() -> None:
        frame = api.assess(book, market, threads=THREADS).frame
        numbers[:] = [frame, frame.buffer_mm, frame.buffer_im, frame.verdict]

    above = peak_bytes(whole)
    frame = numbers[0]
    return {
        "bytes": above, "holdings": book.n_holdings, "pools": book.n_pools,
        "outputs": outputs_hash(frame.mm, frame.im, frame.equity),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2] == "quick")))
