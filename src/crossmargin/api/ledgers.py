"""A ledger's engine from Python: open a store, submit commands, ask what if.

In     a path, `sqlite:PATH` or `postgresql://...`.
Out    the `Engine` of that store, its newest state restored and every hash checked.
Owns   which clock an engine gets where none is named.
Never  decides: it hands over.
Signs  none.
Spec   docs/ledger.md
"""

from __future__ import annotations

from pathlib import Path

from crossmargin.adapters.clocks import WallClock
from crossmargin.adapters.store import create_store, open_store
from crossmargin.engine.ports import Clock
from crossmargin.engine.runtime import Engine


def open_engine(where: str | Path, create: bool = False, clock: Clock | None = None) -> Engine:
    """Return the engine of a store, its only writer until `close`.

    create  make a new store; a store that holds records is refused
    clock   UTC nanoseconds; the engine never lets its time run backwards [the machine's, which
            raises ClockJumped when it is set far ahead]

    Raises StoreBusy where another process writes, JournalBroken where records do not follow.
    """
    store = create_store(where) if create else open_store(where, writer=True)
    try:
        return Engine.open(store, clock or WallClock())
    except BaseException:
        store.close()
        raise
