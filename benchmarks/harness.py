"""What every bench shares: alternating medians, peak memory, output hashes, the machine.

A bench is a module `bench_<letter>.py` with

    TITLE = "scan of 64 scenarios against CSR @ dense + argmin"
    def run(quick: bool) -> Result: ...

Its baselines are readable files in `baselines/`. Both sides use THREADS threads, are warm, and
return their outputs, which are compared before a ratio is believed.
"""

from __future__ import annotations

import gc
import hashlib
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
THREADS = 2
ROUNDS = 5
CHUNK = 4096  # pools a baseline handles at once


@dataclass(frozen=True)
class Figure:
    """One number with its target: `name  12.3 x of what  (target >= 3)`.

    least, most  the target; none: printed for information
    """

    name: str
    value: float
    unit: str
    least: float | None = None
    most: float | None = None
    note: str = ""

    @property
    def met(self) -> bool:
        """Written so that NaN misses."""
        above = self.least is None or self.value >= self.least
        below = self.most is None or self.value <= self.most
        return above and below

    @property
    def target(self) -> str:
        if self.least is not None:
            return f">= {self.least:g}"
        return f"<= {self.most:g}" if self.most is not None else ""


@dataclass(frozen=True)
class Result:
    """Everything a bench has to say; `outputs` is a hash, so two runs can be compared."""

    figures: list[Figure]
    outputs: str
    sizes: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        return all(figure.met for figure in self.figures)

    def as_json(self) -> dict[str, Any]:
        figures = [asdict(f) | {"met": f.met} for f in self.figures]
        return asdict(self) | {"figures": figures, "met": self.met}


REST_S = 0.25


def alternate(*sides: Callable[[], Any], rounds: int = ROUNDS) -> tuple[list[float], list[Any]]:
    """Return the median seconds of each side and what each returned.

    Sides take turns, so that a slow minute of the machine hits all of them. Before each timed call
    stands a rest, in which threads of the other side stop spinning (a BLAS library's wait for
    work on a busy core for about 0.1 s after each product), and an untimed call of the same
    side: compiled, and its caches filled with its own data.
    """
    seconds: list[list[float]] = [[] for _ in sides]
    outputs: list[Any] = [None] * len(sides)
    for _ in range(rounds):
        for j, side in enumerate(sides):
            outputs[j] = None
            time.sleep(REST_S)
            side()
            started = time.perf_counter()
            outputs[j] = side()
            seconds[j].append(time.perf_counter() - started)
    return [statistics.median(times) for times in seconds], outputs


def in_chunks(work: Callable[[int, int], Any], n_rows: int, chunk: int = CHUNK) -> list[Any]:
    """Return [work(lo, hi), ...] over chunks of rows, THREADS at once: a baseline's threads."""

    def one(lo: int) -> Any:
        return work(lo, min(lo + chunk, n_rows))

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(0, n_rows, chunk)))


def peak_bytes(work: Callable[[], Any]) -> int:
    """Return by how much resident memory rose above what it was before `work`, at the worst."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    kept = work()
    peak = _status("VmHWM")
    del kept
    return max(0, peak - before)


def outputs_hash(*arrays: np.ndarray) -> str:
    """Return a hash of the bits of all outputs."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def assert_close(ours: np.ndarray, theirs: np.ndarray, floor: Any = 0.0) -> None:
    """Stop the bench unless all outputs are equal to 1e-9, relative or of `floor` where smaller."""
    assert ours.shape == theirs.shape
    bound = 1e-9 * np.maximum(np.abs(theirs), floor)
    off = ~(np.abs(ours - theirs) <= bound)
    assert not off.any(), f"{off.sum():,} of {off.size:,} outputs differ by more than 1e-9"


def machine() -> dict[str, Any]:
    """Return what a reader needs to judge a number of ours."""
    packages = ("numpy", "numba", "scipy", "polars", "QuantLib", "crossmargin")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": THREADS,
        "memory_gb": round(_meminfo("MemTotal") / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": dict(_versions(packages)),
    }


def commit() -> str:
    """Return the commit being measured, with a + where the tree differs from it."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    # What a run writes itself does not make the tree differ.
    changed = git(
        "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results"
    )
    return (git("rev-parse", "--short", "HEAD") or "none") + ("+" if changed else "")


def _versions(packages: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for package in packages:
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue


def _status(name: str) -> int:
    return _kilobytes(Path("/proc/self/status"), name)


def _meminfo(name: str) -> int:
    return _kilobytes(Path("/proc/meminfo"), name)


def _kilobytes(path: Path, name: str) -> int:
    line = next(line for line in path.read_text().splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
