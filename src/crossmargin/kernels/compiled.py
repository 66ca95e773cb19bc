"""Compiling kernels and running them over blocks of rows: the one place that knows numba.

In     a plain function over arrays; a batch of rows that stand alone.
Out    the same function compiled; preallocated arrays, filled.
Owns   the compiler's flags, the cache on disk, the number of threads.
Never  knows what a row means; uses fast-math or numba's own threading layers.
Signs  none.
Spec   docs/architecture.md, "Kernels and threads"

Numba's threading layers end a process that forks, or that calls them from two Python threads, so
none is used. Compiled kernels release the GIL, and `run_blocks` cuts a batch into blocks of rows
for a short-lived pool of ordinary threads. Each output row is written by one call, and block
edges depend on the batch alone, so the bits are the same for any number of threads.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

FLAGS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def compiled(kernel: Kernel) -> Kernel:
    """Return `kernel` compiled on first call, cached on disk where a folder can be written."""
    return _compiled(kernel, FLAGS)


def inlined(kernel: Kernel) -> Kernel:
    """Return a scalar function that dissolves into the kernels that call it.

    A loop that calls a function is not vectorised; a loop that has swallowed it can be.
    """
    return _compiled(kernel, FLAGS | {"forceinline": True})


def borrowing(kernel: Kernel) -> Kernel:
    """Return a function that dissolves into the kernels that call it and owns no array.

    It counts no references to the arrays it is handed, and so may neither make an array nor copy
    one slice into another; what calls it keeps them alive. Counting is two atomic operations for
    every column touched: in a pool of eight holdings, most of the time, and all of what two
    threads could gain.
    """
    return _compiled(kernel, FLAGS | {"forceinline": True, "_nrt": False})


def usable_cpus() -> int:
    """Return how many CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_blocks(
    kernel: Callable[..., None],
    n_rows: int,
    block: int,
    threads: int | None,
    *arguments: Any,
) -> None:
    """Run `kernel(lo, hi, *arguments)` once for every block of rows [lo, hi) of [0, n_rows).

    block    rows in a block; a batch of one block stays on the calling thread
    threads  at most so many at once; None: as many as there are usable CPUs

    The kernel writes rows [lo, hi) of its output arrays and no others.
    """
    assert block >= 1
    assert threads is None or threads >= 1
    edges = range(0, n_rows, block)
    workers = min(usable_cpus() if threads is None else threads, len(edges))

    def run(lo: int) -> None:
        kernel(lo, min(lo + block, n_rows), *arguments)

    if workers <= 1:
        for lo in edges:
            run(lo)
        return
    # The first call compiles; numba would make the other threads wait for it anyway.
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(run, edges):
            pass


def _compiled(kernel: Kernel, flags: dict[str, Any]) -> Kernel:
    try:
        dispatcher = numba.njit(cache=True, **flags)(kernel)
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written: compile every time.
        return numba.njit(**flags)(kernel)
    _stamp_with_the_family(dispatcher)
    return dispatcher


def _stamp_with_the_family(dispatcher: Any) -> None:
    """Make the cached machine code of one kernel stale when any file beside it changes.

    Numba stamps a cache entry with the kernel's own file only: after an edit of black76.py a
    cached kernel in another file would go on calling the old formula, and say nothing.
    """
    dispatcher._cache._cache_file._source_stamp = FAMILY


def _family_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


FAMILY = _family_digest()


@inlined
def index(i: int) -> int:
    """Return a row number as one that cannot be negative: numba then leaves out its wrap-around.

    To index with, not to count with: unsigned and signed integers add up to a float.
    """
    return np.uintp(i)  # type: ignore[return-value]
