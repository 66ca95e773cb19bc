"""Lines from outside: standard input, a file or a FIFO, until they end or somebody says stop.

In     the name of a feed.
Out    lines, as many at once as are there.
Owns   waiting for a line and for the stop at the same time; how much of a line is kept.
Never  reads ahead of whoever takes the lines; knows what a line means.
Signs  lines are counted from 1.
Spec   docs/command-line.md
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from crossmargin.base.errors import FileUnreadable

STDIN = "-"
# A pipe hands out no more at once.
CHUNK_BYTES = 64 * 1024


class Line(NamedTuple):
    """One line without its end. `text` is empty where the line was longer than the feed keeps."""

    number: int
    text: bytes
    n_bytes: int


class Feed:
    """A feed that is open. `stop` may be called from a signal handler and from any thread."""

    def __init__(self, where: str, line_max: int) -> None:
        """Open a feed; `-` is standard input. A FIFO nobody writes to yet is waited for later.

        line_max  bytes of a line that are kept
        """
        self.where, self.line_max = where, line_max
        self._handle = 0 if where == STDIN else _opened(where)
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._number = 0
        self._parts: list[bytes] = []
        self._n_bytes = 0

    def __iter__(self) -> Iterator[list[Line]]:
        """Yield the lines that are there, at least one, until the end of the feed or the stop.

        A last line without its end counts at the end of the feed. After a stop it does not: its
        sender was not done with it.
        """
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        poll.register(self._handle, select.POLLIN)
        while self._woken not in dict(poll.poll()):
            data = self._read()
            lines = self._cut(data)
            if not data and self._n_bytes:
                lines.append(self._line())
            if lines:
                yield lines
            if not data:
                return

    def stop(self) -> None:
        """End the feed before its next line."""
        os.write(self._wake, b"!")

    def close(self) -> None:
        """Give up the handles; standard input stays open."""
        for handle in (self._woken, self._wake, self._handle):
            if handle > 2:
                os.close(handle)

    def _read(self) -> bytes:
        try:
            return os.read(self._handle, CHUNK_BYTES)
        except OSError as refused:
            raise FileUnreadable(
                self.where, refused.strerror, "be readable to its end", "look after its sender"
            ) from None

    def _cut(self, data: bytes) -> list[Line]:
        *ended, begun = data.split(b"\n")
        lines = []
        for piece in ended:
            self._keep(piece)
            lines.append(self._line())
        self._keep(begun)
        return lines

    def _keep(self, piece: bytes) -> None:
        self._n_bytes += len(piece)
        if self._n_bytes > self.line_max:
            self._parts.clear()
        elif piece:
            self._parts.append(piece)

    def _line(self) -> Line:
        self._number += 1
        line = Line(self._number, b"".join(self._parts), self._n_bytes)
        self._parts.clear()
        self._n_bytes = 0
        return line


def _opened(where: str) -> int:
    try:
        # Without O_NONBLOCK a FIFO would hold the opening up until its first writer comes.
        handle = os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        mode = os.fstat(handle).st_mode
    except OSError as refused:
        raise FileUnreadable(
            where, refused.strerror, "be a file, a FIFO, or - for standard input", "name another"
        ) from None
    if stat.S_ISDIR(mode):
        os.close(handle)
        raise FileUnreadable(
            where, "a folder", "be a file or a FIFO", f"name a file in {Path(where).name}"
        )
    return handle
