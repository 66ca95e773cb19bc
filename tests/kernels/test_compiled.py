"""Running kernels: every row once, any number of threads, after a fork, and never a stale one."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import crossmargin
from crossmargin.kernels.compiled import compiled, run_blocks, usable_cpus
from crossmargin.kernels.scan import scan

KERNELS = Path(crossmargin.__file__).parent / "kernels"


def count_up(lo, hi, out):
    out[lo:hi] += 1


@pytest.mark.parametrize("n_rows", [0, 1, 9, 10, 11, 95])
@pytest.mark.parametrize("threads", [None, 1, 2, 7])
def test_every_row_is_written_once(n_rows, threads):
    out = np.zeros(n_rows, dtype=int)
    run_blocks(count_up, n_rows, 10, threads, out)
    assert out.tolist() == [1] * n_rows


@pytest.mark.parametrize(
    ("n_rows", "threads", "stays"), [(10, 4, True), (11, 1, True), (11, 2, False)]
)
def test_small_batches_stay_on_the_calling_thread(n_rows, threads, stays):
    seen = []
    run_blocks(lambda lo, hi: seen.append(threading.get_ident()), n_rows, 10, threads)
    assert (set(seen) == {threading.get_ident()}) == stays


@pytest.mark.parametrize(("block", "threads"), [(0, 1), (10, 0)])
def test_no_block_or_no_thread_is_a_bug_of_ours(block, threads):
    with pytest.raises(AssertionError):
        run_blocks(count_up, 10, block, threads, np.zeros(10))


def test_a_failure_in_a_block_reaches_the_caller():
    def fail(lo, hi):
        assert lo < 20, "the third block"

    with pytest.raises(AssertionError, match="third"):
        run_blocks(fail, 40, 10, 2)


def test_usable_cpus_are_those_of_this_process():
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)


def a_scan(threads=2):
    rng = np.random.default_rng(11)
    starts = np.arange(0, 30_001, 3)
    return scan(
        rng.normal(size=(40, 64)), np.ones(64), starts,
        rng.integers(0, 40, 30_000).astype(np.int32), rng.normal(size=30_000), threads,
    )  # fmt: skip


def send_scan(pipe):
    pipe.send(a_scan())
    pipe.close()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_process_gets_the_parents_answer(method):
    want = a_scan()
    context = multiprocessing.get_context(method)
    mine, theirs = context.Pipe(duplex=False)
    child = context.Process(target=send_scan, args=(theirs,))
    child.start()
    assert mine.poll(60), "the child never answered"
    np.testing.assert_array_equal(mine.recv(), want)
    child.join(10)
    assert child.exitcode == 0


def test_eight_threads_at_once_get_one_answer():
    want, got = a_scan(threads=1), [None] * 8

    def work(i):
        got[i] = a_scan()

    crowd = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    for answer in got:
        np.testing.assert_array_equal(answer, want)


ANSWER = """
from crossmargin.kernels.caller import answer
print(answer(1.0), len(answer.stats.cache_hits))
"""


@pytest.fixture
def copy(tmp_path):
    """A package of two kernels, one calling the other, run in fresh interpreters."""
    home = tmp_path / "crossmargin" / "kernels"
    home.mkdir(parents=True)
    (tmp_path / "crossmargin" / "__init__.py").touch()
    (home / "__init__.py").touch()
    shutil.copy(KERNELS / "compiled.py", home)
    (home / "caller.py").write_text(
        "from crossmargin.kernels.callee import part\n"
        "from crossmargin.kernels.compiled import compiled\n"
        "@compiled\ndef answer(x):\n    return part(x)\n"
    )
    return tmp_path


def answer_of(copy, number, cache=None):
    if number is not None:
        (copy / "crossmargin" / "kernels" / "callee.py").write_text(
            "from crossmargin.kernels.compiled import inlined\n"
            f"@inlined\ndef part(x):\n    return x + {number}.0\n"
        )
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= cache or {}
    run = subprocess.run(
        [sys.executable, "-c", ANSWER], env=environment, text=True, capture_output=True, check=True
    )
    value, hits = run.stdout.split()
    return float(value), int(hits)


def test_a_kernel_is_cached_and_forgotten_when_a_neighbour_changes(copy):
    assert answer_of(copy, 1) == (2.0, 0)
    assert answer_of(copy, None) == (2.0, 1)
    # numba alone would look at caller.py, find it unchanged, and answer 2.0 again.
    assert answer_of(copy, 5) == (6.0, 0)


def test_without_a_folder_to_cache_in_kernels_still_compile(copy):
    # A file where the cache's folder would have to be: nothing below it can be written, not even
    # by an administrator. The same for the package's own folder and the user's.
    blocker = copy / "blocker"
    blocker.touch()
    (copy / "crossmargin" / "kernels" / "__pycache__").touch()
    home = {"HOME": str(blocker), "XDG_CACHE_HOME": str(blocker), "IPYTHONDIR": str(blocker)}
    assert answer_of(copy, 3, home) == (4.0, 0)


def test_a_kernel_keeps_its_name_and_words():
    @compiled
    def named(x):
        """Say something."""
        return x

    assert named.__name__ == "named"
    assert named.__doc__ == "Say something."
