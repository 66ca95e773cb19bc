"""Exit codes, JSON and messages."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from crossmargin.apps.cli.outcome import Exit, guarded, jsonable, to_json
from crossmargin.base.errors import InputInvalid

UNBUFFERED = {"PYTHONUNBUFFERED": "1"}


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, None),
        (np.float64(math.nan), None),
        (np.array([1.0, math.inf]), [1.0, "inf"]),
        ({"a": (1, True, None, "x")}, {"a": [1, True, None, "x"]}),
    ],
)
def test_json_writes_infinities_as_words_and_nan_as_null(value: object, want: object) -> None:
    assert jsonable(value) == want
    assert json.loads(to_json(value)) == want


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize(("words", "stream", "code"), [
    (["explain", "nobody"], "stderr", Exit.BAD_INPUT),
    (["rulebook", "lint", "prime-24h"], "stderr", Exit.OK),
    (["rulebook", "lint", "prime-24h"], "stdout", Exit.BAD_INPUT),
])  # fmt: skip
def test_a_full_disk_behind_a_stream_gives_no_code_of_python_s(
    words: list[str], stream: str, code: int, buffered: bool
) -> None:
    program = [sys.executable, "-m", "crossmargin.apps.cli", *words]
    own = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            program, **(pipes | {stream: full}), env=own if buffered else own | UNBUFFERED
        )
    assert done.returncode == code
    assert (b"output: No space left" in (done.stderr or b"")) == (stream == "stdout")


def refuse() -> int:
    raise InputInvalid("book.json", "x", "be a number", "write digits")


def break_down() -> int:
    raise ZeroDivisionError("oops")


def vanish() -> int:
    raise FileNotFoundError(2, "No such file or directory", "nowhere")


def stop() -> int:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("run", "code", "says"),
    [
        (lambda: 0, Exit.OK, ""),
        (refuse, Exit.BAD_INPUT, "book.json: found 'x', must be a number; write digits"),
        (vanish, Exit.BAD_INPUT, "nowhere: No such file"),
        (break_down, Exit.BUG, "a mistake of crossmargin"),
        (stop, Exit.INTERRUPTED, "interrupted"),
    ],
)
def test_whatever_happens_ends_as_a_code_and_one_message(run, code, says, capsys) -> None:
    assert guarded(run) == code
    said = capsys.readouterr()
    assert says in said.err
    assert "Traceback" not in said.err + said.out
