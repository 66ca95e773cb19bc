"""The wall clock: the one moment that is not an argument.

In     clocks of the machine.
Out    UTC nanoseconds; `ClockJumped` where they cannot be believed.
Owns   which clocks of the machine are asked, and how far one may run ahead of the other.
Never  promises to run forwards: the engine never lets its own time run backwards.
Signs  none.
Spec   docs/spec/10-ledger.md, 10.12
"""

from __future__ import annotations

import time
from collections.abc import Callable

from crossmargin.base.errors import ClockJumped

# More than any correction of a clock that is kept in time, far less than a command's age.
JUMP_MAX_NS = 60 * 1_000_000_000
# Counts on while the machine sleeps, where there is such a clock: waking up is no jump.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def wall_clock() -> int:
    """Return the time of now, UTC nanoseconds since 1970."""
    return time.time_ns()


def steady_clock() -> int:
    """Return nanoseconds since some moment, by a clock that nobody sets."""
    return time.clock_gettime_ns(_STEADY)


class WallClock:
    """The wall clock of a process that runs on, refused when somebody sets it far ahead.

    A record stamped in the future would be for ever: engine time never runs back, so every later
    command would come too late. Set right again, the clock goes on; set back, it does too.
    """

    def __init__(
        self, wall: Callable[[], int] = wall_clock, steady: Callable[[], int] = steady_clock
    ) -> None:
        """Believe the clock as it stands."""
        self._wall, self._steady = wall, steady
        self._believed = (wall(), steady())

    def __call__(self) -> int:
        """Return UTC nanoseconds. Raises ClockJumped; nothing then was stamped."""
        now, steady = self._wall(), self._steady()
        before, steady_before = self._believed
        ahead = (now - before) - (steady - steady_before)
        if ahead > JUMP_MAX_NS:
            found = f"the time of this machine ran {ahead / 1e9:,.0f} s ahead at once"
            remedy = "nothing was stamped: set it right, or start again to believe it"
            raise ClockJumped("clock", found, remedy)
        self._believed = (now, steady)
        return now
