"""A library is a guest: threads, forks and fresh processes all get the same bits."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import crossmargin as cm
from crossmargin.frames.edits import copies
from guest.book import book, digest, market

TESTS = Path(__file__).resolve().parents[1]
HANGS_S = 120  # a child that waits for ever is a failure, not a wait

# What a script of a user does: a call of its own, then workers that make the same call. Only a
# fresh interpreter shows it, because the test runner has threads and a history of its own.
SCRIPT = """
import multiprocessing, sys
sys.path.insert(0, {tests!r})
from guest.book import book, digest, market

def columns(_):
    return digest(FRAME, MARKET)

def tables(_):
    there = market()
    return digest(book(there), there)

if __name__ in ("__main__", "__mp_main__"):
    MARKET = market() if "{method}" == "fork" or __name__ == "__main__" else None
    FRAME = book(MARKET) if MARKET else None
if __name__ == "__main__":
    want = digest(FRAME, MARKET)
    with multiprocessing.get_context("{method}").Pool(2) as pool:
        got = pool.map_async({asked}, range(3)).get({limit})
    print("same" if got == [want] * 3 else (want, got))
"""


def answer_of(method: str, asked: str, folder: Path) -> str:
    """Run the script in a fresh interpreter; return the last line it printed."""
    script = folder / "script.py"
    script.write_text(SCRIPT.format(tests=str(TESTS), method=method, asked=asked, limit=HANGS_S))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=2 * HANGS_S
    )
    return (done.stdout + done.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("method", "asked"), [("fork", "columns"), ("spawn", "tables"), ("forkserver", "tables")]
)
def test_a_process_started_after_a_call_gives_the_same_bits(
    method: str, asked: str, tmp_path: Path
) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    assert answer_of(method, asked, tmp_path) == "same"


def test_a_fork_that_reads_tables_is_refused_with_a_remedy_and_does_not_hang(
    tmp_path: Path,
) -> None:
    said = answer_of("fork", "tables", tmp_path)
    assert "forkserver" in said
    assert "InputInvalid" in said


def test_eight_threads_with_one_book_give_the_bits_of_one() -> None:
    there = market()
    frame = book(there)
    want = digest(frame, there)
    fresh = market()  # nothing of it is prepared yet: the threads race to do it
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: digest(frame, fresh), range(8)))
    assert got == [want] * 8


def test_eight_threads_with_eight_books_give_the_bits_of_each_alone() -> None:
    there = market()
    frames = [book(there, 1.0 + i / 8.0) for i in range(8)]
    want = [digest(frame, there) for frame in frames]
    assert len(set(want)) == 8
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda frame: digest(frame, there), frames))
    assert got == want


def test_the_number_of_threads_of_a_call_changes_no_bit() -> None:
    there = market()
    frame = book(there)
    many = copies(frame, 10_000)  # a block is 16,384 pools: three of them
    one, two = (cm.assess(many, there, threads=n).frame for n in (1, 2))
    assert len(one) == 40_000
    for name in ("equity", "mm", "im", "buffer_mm", "buffer_im", "health"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name
