"""Between a feed and an engine: lines become commands, replies become lines, in order.

In     lines of a feed, the queue before an engine.
Out    one line for each line taken, written when what it says is durable.
Owns   the order of replies; back-pressure: how much is under way before reading waits.
Never  decides; says of a command that was not answered more than that it is unknown.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import msgspec

from crossmargin.adapters.feeds import Feed, Line
from crossmargin.adapters.wire import COMMAND_BYTES_MAX, command_from_json, reply_to_json
from crossmargin.base.errors import InputInvalid, Overloaded
from crossmargin.engine.commands import AnyCommand
from crossmargin.engine.decide import BATCH_MAX
from crossmargin.engine.queue import CommandQueue, weight_of
from crossmargin.engine.replies import Accepted, Reply

# Lines and bytes taken and not answered yet: beyond either, reading waits. A batch counts as many
# lines as it links commands. What the queue has no room for waits until it is empty; it has room
# for any lot then, because a lot holds few lines and bytes.
LINES_MAX = 8_192
BYTES_MAX = 64 * 1024 * 1024
LOT_BYTES_MAX = BYTES_MAX // 4

Write = Callable[[bytes], None]


class _Lot(NamedTuple):
    """Lines taken together; a slot is an answer that is known already, or None: the next reply."""

    slots: list[bytes | None]
    commands: list[AnyCommand]
    weight: int
    n_bytes: int
    answer: Future[list[Reply]]


class Pump:
    """Takes a feed's lines in the calling thread and writes the answers in one of its own."""

    def __init__(self, feed: Feed, commands: CommandQueue, write: Write) -> None:
        """Start nothing yet."""
        self.feed, self.commands, self.write = feed, commands, write
        self.counts: Counter[str] = Counter()
        self.failed: BaseException | None = None
        self.lost: OSError | None = None
        self._room = _Room()
        self._lots: queue.SimpleQueue[_Lot | None] = queue.SimpleQueue()

    def run(self) -> None:
        """Take lines until the feed ends or is stopped; return when all that were are answered.

        Where the engine failed on the way, or the output was lost, the feed was stopped: `failed`
        and `lost` say why.
        """
        answering = threading.Thread(target=self._answer_all, name="crossmargin-answers")
        answering.daemon = True
        answering.start()
        try:
            for lines in self.feed:
                for lot in self._lots_of(lines):
                    self._room.enter(lot.weight, lot.n_bytes)
                    self._ask(lot)
        finally:
            self.commands.stop()
            self._lots.put(None)
            answering.join()

    def _lots_of(self, lines: Sequence[Line]) -> Iterator[_Lot]:
        """Yield lines as lots of about one group, none above what the queue holds."""
        size = min(self.commands.group_max, LINES_MAX - BATCH_MAX)
        lot = _Lot([], [], 0, 0, Future())
        for line in lines:
            if not line.n_bytes or line.text.isspace():
                continue
            weight = 1
            try:
                command = command_of(line)
                weight = weight_of(command)
                lot.commands.append(command)
                lot.slots.append(None)
            except InputInvalid as invalid:
                lot.slots.append(invalid_line(line, invalid))
            lot = lot._replace(weight=lot.weight + weight, n_bytes=lot.n_bytes + line.n_bytes)
            if lot.weight >= size or lot.n_bytes >= LOT_BYTES_MAX:
                yield lot
                lot = _Lot([], [], 0, 0, Future())
        if lot.slots:
            yield lot

    def _ask(self, lot: _Lot) -> None:
        answer = lot.answer
        if not lot.commands:
            answer.set_result([])
        else:
            try:
                answer = self._submitted(lot)
            except BaseException as refused:
                # The engine has stopped: these were taken, so they are answered as unknown.
                answer.set_exception(refused)
        self._lots.put(lot._replace(answer=answer))

    def _submitted(self, lot: _Lot) -> Future[list[Reply]]:
        try:
            return self.commands.submit(lot.commands)
        except Overloaded:
            # The queue counts commands written out in full, which may be more than was sent.
            self._room.wait_alone(lot.weight)
            return self.commands.submit(lot.commands)

    # --- in the thread that answers ---------------------------------------------------------------

    def _answer_all(self) -> None:
        while (lot := self._lots.get()) is not None:
            told = self._told(lot)
            if self.lost is None:
                self._write(told)
            if self.lost is not None:
                self.counts["undelivered"] += len(told)
            self._room.leave(lot.weight, lot.n_bytes)

    def _write(self, told: list[bytes]) -> None:
        try:
            self.write(b"".join(line + b"\n" for line in told))
        except OSError as lost:
            # Nobody hears the answers any more: take no more commands.
            self.lost = lost
            self.feed.stop()

    def _told(self, lot: _Lot) -> list[bytes]:
        try:
            replies = iter(lot.answer.result())
        except BaseException as failure:
            self.failed = self.failed or failure
            self.feed.stop()
            self.counts["unknown"] += len(lot.commands)
            answers = iter([_line("unknown", key=command.key) for command in lot.commands])
        else:
            pairs = zip(lot.commands, replies, strict=True)
            answers = iter([self._counted(reply, command.key) for command, reply in pairs])
        self.counts["invalid"] += len(lot.slots) - len(lot.commands)
        self.counts["lines"] += len(lot.slots)
        return [next(answers) if slot is None else slot for slot in lot.slots]

    def _counted(self, reply: Reply, key: str) -> bytes:
        if isinstance(reply, Accepted):
            self.counts["repeated" if reply.repeated else "accepted"] += 1
        else:
            self.counts["rejected"] += 1
        return reply_to_json(reply, key)


class _Room:
    """How much is under way. One lot always finds room, so that none waits for ever."""

    def __init__(self) -> None:
        """Start with nothing under way."""
        self._lines = self._bytes = 0
        self._changed = threading.Condition()

    def enter(self, lines: int, n_bytes: int) -> None:
        """Wait until there is room, and take it."""

        def fits() -> bool:
            fuller = self._lines + lines > LINES_MAX or self._bytes + n_bytes > BYTES_MAX
            return not self._lines or not fuller

        with self._changed:
            self._changed.wait_for(fits)
            self._lines += lines
            self._bytes += n_bytes

    def wait_alone(self, lines: int) -> None:
        """Wait until nothing is under way but one lot of so many lines."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines == lines)

    def leave(self, lines: int, n_bytes: int) -> None:
        """Give room back."""
        with self._changed:
            self._lines -= lines
            self._bytes -= n_bytes
            self._changed.notify()


class _Keyed(msgspec.Struct):
    key: str = ""


def command_of(line: Line) -> AnyCommand:
    """Return the command of a line; InputInvalid where it is none, or longer than one may be."""
    where = f"line {line.number}"
    if line.n_bytes > COMMAND_BYTES_MAX:
        found, allowed = f"{line.n_bytes} bytes", f"have at most {COMMAND_BYTES_MAX}"
        raise InputInvalid(where, found, allowed, "split the command")
    return command_from_json(line.text, where)


def invalid_line(line: Line, invalid: InputInvalid) -> bytes:
    """Return the answer to a line that is no command, with its key where one can be read."""
    try:
        key = msgspec.json.decode(line.text, type=_Keyed).key
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        key = ""
    return _line(
        "invalid", **({"key": key} if key else {}), where=invalid.where,
        found=str(invalid.found), allowed=invalid.allowed, remedy=invalid.remedy,
    )  # fmt: skip


def _line(kind: str, **facts: object) -> bytes:
    return msgspec.json.encode({"type": kind, **facts})
