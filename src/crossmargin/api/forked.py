"""A process forked from one that has used tables: it may not use them, and says so.

In     nothing.
Out    a refusal instead of a wait that never ends.
Owns   whether the threads of the table engine were left behind by a fork.
Never  touches the columnar path: a prepared market and a BookFrame are assessed in any process.
Signs  none.
Spec   docs/api.md
"""

from __future__ import annotations

import os

from crossmargin.base.errors import InputInvalid

_state = {"used": False, "left_behind": False}


def _in_child() -> None:
    _state["left_behind"] = _state["used"]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def using_tables() -> None:
    """Note that tables are used in this process; refuse where they would wait for ever.

    Polars keeps a pool of threads. A fork copies the pool and none of its threads, so that the
    first table a forked child touches waits for workers that are not there.
    """
    if _state["left_behind"]:
        raise InputInvalid(
            "process", "a fork of one that had read tables or accounts",
            "be started with spawn or forkserver to read tables or accounts",
            'use multiprocessing.get_context("forkserver"), or prepare the market and compile the '
            "book before the fork: assess(BookFrame, Market) and its questions work in any process",
        )  # fmt: skip
    _state["used"] = True
