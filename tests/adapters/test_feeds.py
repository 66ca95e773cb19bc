"""Feeds: lines whole, in order, however they arrive; what is too long is counted and not kept."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.adapters.feeds import CHUNK_BYTES, Feed
from crossmargin.base.errors import FileUnreadable

LINE_MAX = 100


def lines_of(path: Path, line_max: int = LINE_MAX) -> list[tuple[int, bytes, int]]:
    """Return every line a feed yields, as plain tuples."""
    feed = Feed(str(path), line_max)
    try:
        return [tuple(line) for lines in feed for line in lines]
    finally:
        feed.close()


@pytest.mark.parametrize(
    ("data", "want"),
    [
        (b"", []),
        (b"a", [(1, b"a", 1)]),  # the end of a feed ends a line
        (b"a\n", [(1, b"a", 1)]),
        (b"a\nb", [(1, b"a", 1), (2, b"b", 1)]),
        (b"\n\na\n", [(1, b"", 0), (2, b"", 0), (3, b"a", 1)]),  # blank lines count
        (b"a\r\n", [(1, b"a\r", 2)]),  # a carriage return is blank to JSON
        (b"x" * 100 + b"\n", [(1, b"x" * 100, 100)]),
        (b"x" * 101 + b"\ny", [(1, b"", 101), (2, b"y", 1)]),  # one more than is kept
        (b"x" * 101, [(1, b"", 101)]),
    ],
)
def test_a_feed_ends_lines_where_they_end(tmp_path: Path, data: bytes, want: list[object]) -> None:
    path = tmp_path / "feed"
    path.write_bytes(data)
    assert lines_of(path) == want


@given(st.lists(st.integers(0, CHUNK_BYTES + 50), max_size=6), st.booleans())
def test_a_line_over_the_border_of_two_reads_is_one_line(sizes: list[int], ended: bool) -> None:
    lines = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    handle, other = os.pipe()
    sender = threading.Thread(target=send, args=(other, data))
    sender.start()
    found = lines_of(Path(f"/dev/fd/{handle}"), line_max=CHUNK_BYTES)
    sender.join()
    os.close(handle)
    # As Python cuts it: no line after a last end, no line in nothing.
    want = data.split(b"\n")
    want = want[:-1] if want[-1] == b"" else want
    kept = [line if len(line) <= CHUNK_BYTES else b"" for line in want]
    numbers = range(1, len(want) + 1)
    assert found == list(zip(numbers, kept, map(len, want), strict=True))


def send(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
    os.close(handle)


def test_a_stop_ends_a_feed_that_waits_and_drops_the_line_that_was_begun() -> None:
    handle, other = os.pipe()
    feed = Feed(f"/dev/fd/{handle}", LINE_MAX)
    os.write(other, b"one\ntwo\nthr")
    lines = iter(feed)
    assert [line.text for line in next(lines)] == [b"one", b"two"]
    threading.Timer(0.1, feed.stop).start()
    with pytest.raises(StopIteration):
        next(lines)
    feed.stop()  # a second one is no harm
    feed.close()
    os.close(handle)
    os.close(other)


def test_a_stop_before_the_first_line_takes_none(tmp_path: Path) -> None:
    path = tmp_path / "feed"
    path.write_bytes(b"one\n")
    feed = Feed(str(path), LINE_MAX)
    feed.stop()
    assert list(feed) == []
    feed.close()


@pytest.mark.parametrize(
    ("name", "found"), [("none", "No such file"), (".", "a folder"), ("x" * 300, "too long")]
)
def test_what_is_no_feed_is_refused(tmp_path: Path, name: str, found: str) -> None:
    with pytest.raises(FileUnreadable, match=found):
        Feed(str(tmp_path / name), LINE_MAX)
