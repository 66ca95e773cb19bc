"""How a command ends: its exit code, its JSON, and what is said when it cannot answer.

In     answers and exceptions.
Out    text on stdout (the answer) or stderr (everything else), a number.
Owns   the exit codes; how numbers that JSON lacks are written.
Never  shows a traceback for input that was wrong.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import TextIO


class Exit(IntEnum):
    """What a script can rely on; docs/command-line.md states the same."""

    OK = 0  # answered
    FOUND = 1  # answered, and what --fail-on, lint or diff looks for is there
    BAD_INPUT = 2  # a book, market, rulebook or option that cannot be understood; no answer
    UNPRICED = 3  # answered, but some pools are UNPRICED or were set aside
    UNANSWERED = 4  # run: the store or the clock failed, or not all that was taken was answered
    BUG = 70  # crossmargin's own mistake
    INTERRUPTED = 130  # Ctrl-C


def jsonable(value: object) -> object:
    """Return the value as JSON can hold it: infinities as "inf" and "-inf", NaN as null."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if math.isfinite(value) else ("inf" if value > 0.0 else "-inf")
    if isinstance(value, Mapping):
        return {str(key): jsonable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(entry) for entry in value]
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return jsonable(value.tolist())
    return str(value)


def to_json(value: object) -> str:
    """Return indented JSON; NaN cannot occur."""
    return json.dumps(jsonable(value), indent=2, ensure_ascii=False, allow_nan=False)


def guarded(run: Callable[[], int]) -> int:
    """Return the command's exit code; turn exceptions into one message on stderr."""
    code = _answered(run)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            forget(stream)
    return code


def forget(stream: TextIO) -> None:
    """Drop what a stream could not take: Python's own flush at the end would change the code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _answered(run: Callable[[], int]) -> int:
    from crossmargin.base.errors import CrossmarginError

    try:
        code = run()
        sys.stdout.flush()
        return code
    except CrossmarginError as refused:
        return complain(str(refused))
    except BrokenPipeError:
        return Exit.OK  # the reader (head, less) has seen enough
    except KeyboardInterrupt:
        tell("interrupted")
        return Exit.INTERRUPTED
    except OSError as trouble:
        where = trouble.filename or "output"
        return complain(f"{where}: {trouble.strerror or trouble}")
    except Exception as bug:
        return _own_mistake(bug)


def tell(message: str) -> None:
    """Say something beside the answer; a log on a full disk must not change how a command ends."""
    with suppress(OSError):
        print(message, file=sys.stderr, flush=True)


def complain(message: str) -> int:
    """Say what cannot be understood."""
    tell(f"error: {message}")
    return Exit.BAD_INPUT


def _own_mistake(bug: Exception) -> int:
    tell(
        f"error: {type(bug).__name__}: {bug}\n"
        "This is a mistake of crossmargin, not of your input. Set CROSSMARGIN_TRACEBACK=1, run the "
        "command again and report what it prints."
    )
    if os.environ.get("CROSSMARGIN_TRACEBACK"):
        traceback.print_exception(bug)
    return Exit.BUG


def said(path: Path) -> None:
    """Say where a file was written, beside the answer and not in it."""
    tell(f"wrote {path}")


def undrawn(what: str) -> None:
    """Say that there is no picture, beside an answer that stands without one."""
    tell(f"no picture: {what} is UNPRICED")
