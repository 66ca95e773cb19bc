"""Many callers, one writer: commands wait in a bounded queue and are made durable in groups.

In     commands of any thread.
Out    futures of replies, resolved when the group's records are durable.
Owns   group commit, back-pressure, and the graceful stop: what was taken is answered.
Never  decides; takes more than its limit; acknowledges before the store did.
Signs  none.
Spec   docs/spec/10-ledger.md, 10.5
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

import msgspec

from crossmargin.base.errors import Overloaded
from crossmargin.engine.commands import AnyCommand, Batch, understood
from crossmargin.engine.decide import BATCH_MAX
from crossmargin.engine.replies import Reply
from crossmargin.engine.runtime import Engine

WAITING_MAX = 16_384  # commands; more are refused, so that memory and waiting stay bounded
WAITING_BYTES_MAX = 256 * 1024 * 1024  # of their text together
GROUP_MAX = 512  # commands made durable together

_text = msgspec.json.Encoder().encode


class _Asked(NamedTuple):
    commands: Sequence[AnyCommand]
    answer: Future[list[Reply]]
    weight: int  # commands, linked ones each for itself
    size: int  # bytes of their text


class CommandQueue:
    """The only caller of an engine: a thread of its own submits, in order of arrival."""

    def __init__(
        self, engine: Engine, waiting_max: int = WAITING_MAX, group_max: int = GROUP_MAX
    ) -> None:
        """Start the thread."""
        self.engine = engine
        self.waiting_max, self.group_max = waiting_max, group_max
        self._queue: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._waiting = self._bytes = 0
        self._lock = threading.Lock()
        self._failed: BaseException | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="crossmargin-writer", daemon=True)
        self._thread.start()

    def submit(self, commands: Sequence[AnyCommand]) -> Future[list[Reply]]:
        """Queue commands; the future ends when their records are durable, or with what failed.

        Raises Overloaded where the queue is full or stopping, InputInvalid where a field is not of
        its type: then nothing was queued.
        """
        # Here, in the caller's thread: others' commands share a group with these.
        commands = [understood(command) for command in commands]
        weight = sum(map(weight_of, commands))
        asked = _Asked(commands, Future(), weight, sum(len(_text(one)) for one in commands))
        with self._lock:
            if self._failed is not None:
                raise self._failed
            self._refuse_more(asked)
            self._waiting += asked.weight
            self._bytes += asked.size
            self._queue.put(asked)
        return asked.answer

    def _refuse_more(self, asked: _Asked) -> None:
        if self._stopping:
            raise Overloaded("queue", "is stopping", "send to the engine that takes its place")
        most = f"it holds {self.waiting_max} commands of {WAITING_BYTES_MAX} bytes together"
        if asked.weight > self.waiting_max or asked.size > WAITING_BYTES_MAX:
            found = f"was sent {asked.weight} commands of {asked.size} bytes"
            raise Overloaded("queue", found, f"send fewer at once; {most}")
        full = self._waiting + asked.weight > self.waiting_max
        if full or self._bytes + asked.size > WAITING_BYTES_MAX:
            found = f"holds {self._waiting} commands of {self._bytes} bytes"
            raise Overloaded("queue", found, f"send again later; {most}")

    def stop(self) -> None:
        """Take no more, answer what waits, and end the thread; the engine stays open."""
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
            self._queue.put(None)
        self._thread.join()

    @property
    def failed(self) -> BaseException | None:
        """What ended the writer; None while it runs."""
        return self._failed

    def _run(self) -> None:
        over = False
        while not over:
            group, over = self._next_group()
            if group:
                self._answer(group)

    def _next_group(self) -> tuple[list[_Asked], bool]:
        """Wait for one, then take what else is there, up to a group."""
        asked = self._queue.get()
        if asked is None:
            return [], True
        group, size = [asked], asked.weight
        while size < self.group_max:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                break
            if more is None:
                return group, True
            group.append(more)
            size += more.weight
        return group, False

    def _answer(self, group: list[_Asked]) -> None:
        n_taken, n_bytes = sum(a.weight for a in group), sum(a.size for a in group)
        # Who gave up waiting is not looked at; from here on nobody can give up any more.
        group = [asked for asked in group if asked.answer.set_running_or_notify_cancel()]
        commands = [command for asked in group for command in asked.commands]
        replies: list[Reply] = []
        try:
            if self._failed is not None:
                raise self._failed
            replies = self.engine.submit(commands)
        except BaseException as failure:
            self._failed = failure
        # Before anybody is told: who hears an answer finds its room free.
        with self._lock:
            self._waiting -= n_taken
            self._bytes -= n_bytes
        start = 0
        for asked in group:
            if self._failed is not None:
                asked.answer.set_exception(self._failed)
                continue
            asked.answer.set_result(replies[start : start + len(asked.commands)])
            start += len(asked.commands)


def weight_of(command: AnyCommand) -> int:
    """Return how many commands one is: those of a batch are worked out one by one.

    A batch that links none, or too many, is refused as it stands: it is one, or no more than most.
    """
    if not isinstance(command, Batch):
        return 1
    return min(max(len(command.commands), 1), BATCH_MAX)
