"""`crossmargin run` in a process of its own, and a sender that keeps many commands under way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from crossmargin.adapters.wire import command_to_json
from crossmargin.engine.commands import AnyCommand

Line = dict[str, Any]
# Lines written at once: the sender's own cost must not be what is measured.
AT_ONCE = 32
# Answers come through a pipe of one page, so that a sender who reads them late holds them up.
PIPE_BYTES = 4096


class Running:
    """One process: what was sent to it, what it answered. It is killed where the block ends."""

    def __init__(self, store: str, *options: str) -> None:
        """Start it and wait until it is ready, or over: then `ready` is empty."""
        self.sent: dict[str, bytes] = {}
        self.replies: dict[str, Line] = {}
        self.invalid: list[Line] = []
        self.accepted = 0
        # How long the sender waits before it reads more answers.
        self.pause_s = 0.0
        self._changed = threading.Condition()
        self._rest = b""
        self._over = False
        program = [sys.executable, "-m", "crossmargin.apps.cli", "run", "--store", store, *options]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._said = ""
        self.process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            bufsize=0, pipesize=PIPE_BYTES,
        )  # fmt: skip
        first = self._read_lines()
        self.ready: Line = first[0] if first else {}
        self._take(first[1:])
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.ended()

    # --- sending ----------------------------------------------------------------------------------

    @property
    def waiting(self) -> list[str]:
        """Return the keys that were sent and not answered, in the order they were sent."""
        return [key for key in list(self.sent) if key not in self.replies]

    def send(self, commands: Iterable[AnyCommand], at_most: int = 1_000) -> None:
        """Send commands, about so many under way; return when all are sent or it is over."""
        rest = iter(commands)
        while lot := list(islice(rest, AT_ONCE)):
            self._wait(lambda: len(self.sent) - len(self.replies) < at_most)
            if self._over:
                return
            self.write({command.key: command_to_json(command) for command in lot})

    def write(self, lines: dict[str, bytes]) -> None:
        """Send lines by key as they are; a process that is gone takes none."""
        self.sent |= lines
        self.write_raw(b"".join(line + b"\n" for line in lines.values()))

    def write_raw(self, data: bytes) -> None:
        """Send bytes."""
        assert self.process.stdin is not None
        try:
            while data:
                data = data[self.process.stdin.write(data) :]
        except (BrokenPipeError, ValueError):
            pass

    def answered(self) -> bool:
        """Wait until everything that was sent is answered; False where it ended before."""
        self._wait(lambda: len(self.replies) == len(self.sent))
        return not self.waiting

    # --- ending -----------------------------------------------------------------------------------

    def end(self) -> int:
        """Close its input, wait for its end and return its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.ended()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for its end and return its exit code; negative: the signal's."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for an end somebody else brings, and for the last answers."""
        code = self.process.wait()
        self._reader.join()
        if not self._errors.closed:
            self._errors.seek(0)
            self._said = self._errors.read().decode()
            self._errors.close()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        return code

    def said(self) -> list[str]:
        """Return the lines it wrote to stderr, except the closing one; once it is over."""
        return [line for line in self._said.splitlines() if not line.startswith("{")]

    def summary(self) -> Line:
        """Return its closing line; once it is over."""
        [closing] = [line for line in self._said.splitlines() if line.startswith("{")]
        line: Line = json.loads(closing)
        return line

    # --- reading ----------------------------------------------------------------------------------

    def _wait(self, true: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._over or true())

    def _read(self) -> None:
        while lines := self._read_lines():
            self._take(lines)
            time.sleep(self.pause_s)
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _read_lines(self) -> list[Line]:
        """Return the next lines; none at the end. A line a kill cut short was no answer."""
        assert self.process.stdout is not None
        lines: list[Line] = []
        while not lines:
            data = os.read(self.process.stdout.fileno(), 64 * 1024)
            if not data:
                break
            *whole, self._rest = (self._rest + data).split(b"\n")
            lines = [json.loads(line) for line in whole]
        return lines

    def _take(self, lines: list[Line]) -> None:
        with self._changed:
            for told in lines:
                if told.get("key") in self.sent:
                    self.replies[told["key"]] = told
                    self.accepted += told["type"] == "accepted"
                else:
                    self.invalid.append(told)
            self._changed.notify_all()
