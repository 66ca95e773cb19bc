"""The wall clock: the one moment that is not an argument.

In     nothing.
Out    UTC nanoseconds.
Owns   which clock of the machine is asked.
Never  promises to run forwards: the engine never lets its own time run backwards.
Signs  none.
Spec   docs/spec/10-ledger.md, 10.12
"""

from __future__ import annotations

import time


def wall_clock() -> int:
    """Return the time of now, UTC nanoseconds since 1970."""
    return time.time_ns()
