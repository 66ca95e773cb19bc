"""Commands and replies as JSON lines: what crosses a pipe, a socket or a file.

In     bytes of one command.
Out    a command, or a reply as bytes.
Owns   the shape on the wire: amounts are whole JSON numbers or their text; replies write text.
Never  lets a number pass through a float where money is owed; lets a foreign exception out.
Signs  as `engine.commands`.
Spec   docs/spec/10-ledger.md; docs/ledger.md
"""

from __future__ import annotations

import re

import msgspec

from crossmargin.base.errors import InputInvalid
from crossmargin.engine.commands import AnyCommand, Command
from crossmargin.engine.replies import Accepted, Rejected, Reply

# A listing with thousands of instruments fits.
COMMAND_BYTES_MAX = 16 * 1024 * 1024
SAID_CHARS_MAX = 160

# Fields that hold whole numbers, and maps of them.
_OF_INTEGERS = frozenset(("balances", "positions"))
# What is written as a list: where a pool's limit stands, and an order's contracts.
_PLACES = {"pool": 2, "pools": 2, "orders": 1}
_INTEGERS = _OF_INTEGERS | {
    "amount", "contracts", "fee", "penalty", "issued_ns", "stamped_ns", "drawn", "last_draw",
    "draw_limit", "asked", "free", "seq",
}  # fmt: skip
_INTEGER = re.compile(r"-?[0-9]{1,60}")
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)

_decode = msgspec.json.Decoder(AnyCommand).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


def command_from_json(line: bytes, where: str = "command") -> AnyCommand:
    """Return the command of one JSON document; anything else is one InputInvalid."""
    if len(line) > COMMAND_BYTES_MAX:
        raise InputInvalid(
            where, f"{len(line)} bytes", f"have at most {COMMAND_BYTES_MAX}", "split the command"
        )
    try:
        command: AnyCommand = _decode(line)
    except _UNREADABLE as unreadable:
        found = _with_text_numbers(line)
        if found is not None:
            return found
        said = str(unreadable)[:SAID_CHARS_MAX] or type(unreadable).__name__
        raise InputInvalid(
            where, line[:40].decode("utf-8", "replace"), f"be a command ({said})",
            "see docs/ledger.md for the commands and their fields",
        ) from None  # fmt: skip
    return command


def _with_text_numbers(line: bytes) -> AnyCommand | None:
    """Return a command whose whole numbers came as text, as readers of 53 bits need them to."""
    try:
        command: AnyCommand = msgspec.convert(_whole(msgspec.json.decode(line)), AnyCommand)
    except _UNREADABLE:
        return None
    return command


def _whole(value: object, name: str = "") -> object:
    """Return JSON with the text of integer fields as integers; other text stays."""
    if isinstance(value, dict):
        inner = name if name in _OF_INTEGERS or name == "orders" else ""
        return {key: _whole(entry, inner or key) for key, entry in value.items()}
    if isinstance(value, list):
        place = _PLACES.get(name)
        if place is None or any(isinstance(entry, list) for entry in value):
            return [_whole(entry, name) for entry in value]
        return [_whole(entry, "amount" if n == place else "") for n, entry in enumerate(value)]
    if isinstance(value, str) and name in _INTEGERS and _INTEGER.fullmatch(value):
        return int(value)
    return value


def command_to_json(command: Command) -> bytes:
    """Return a command as one line of JSON."""
    line: bytes = _encode(command)
    return line


def reply_to_json(reply: Reply, key: str = "") -> bytes:
    """Return a reply as one line of JSON; facts are text, so that every digit arrives."""
    told: dict[str, object] = {"key": key} if key else {}
    if isinstance(reply, Accepted):
        told |= {"type": "accepted", "seq": reply.seq, "repeated": reply.repeated}
    else:
        told |= {"type": "rejected", "reason": str(reply.reason), "where": reply.where}
        facts = (("asked", reply.asked), ("free", reply.free))
        told |= {name: str(value) for name, value in facts if value is not None}
    line: bytes = _encode(told)
    return line


def reply_from_json(line: bytes) -> tuple[str, Reply]:
    """Return (key, reply) of one line: what a client reads."""
    told = _whole(msgspec.json.decode(line, type=dict[str, object]))
    assert isinstance(told, dict)
    key = str(told.pop("key", ""))
    reply: Reply = msgspec.convert(told, Accepted | Rejected)
    return key, reply
