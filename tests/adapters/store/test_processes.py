"""Writers that are processes of their own: killed, replaced, forked."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from adapters.store.kit import (
    APPENDS,
    FORKS,
    HOLDS,
    everything,
    grow,
    kill,
    line,
    numbered,
    process,
)
from crossmargin.adapters.store import open_store
from crossmargin.adapters.store.tables import TableStore
from crossmargin.base.errors import StoreBusy, StoreFailed

TESTS = str(Path(__file__).resolve().parents[2])


def test_the_lease_of_a_killed_writer_is_free(address: str, store: TableStore) -> None:
    records = grow(store, 3)
    store.close()
    with process(HOLDS, address) as holder:
        assert line(holder) == "3"
        with pytest.raises(StoreBusy, match=f"process {holder.pid}"):
            open_store(address, writer=True)
        reader = open_store(address, writer=False)
        assert everything(reader) == records
        reader.close()
        kill(holder)
        heir = open_store(address, writer=True)
        grow(heir, 1)
        assert heir.last()[0] == 4
        heir.close()


@pytest.mark.parametrize("n_acknowledged", [1, 7, 20])
def test_a_writer_killed_while_it_appends_loses_nothing_it_acknowledged(
    address: str, store: TableStore, n_acknowledged: int
) -> None:
    store.close()
    with process(APPENDS, address, TESTS) as writer:
        line(writer)
        for _ in range(n_acknowledged):
            acknowledged = int(line(writer))
        kill(writer)
        assert writer.stdout is not None
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
        again = open_store(address, writer=True)
    last, _ = again.last()
    # The append under way is there whole or not at all.
    assert last in (acknowledged, acknowledged + 100)
    assert everything(again) == numbered(last), "every record is in its place, with its hash"
    grow(again, 1)
    again.close()


def test_a_child_does_not_hold_the_lease_of_its_killed_parent(
    address: str, store: TableStore
) -> None:
    store.close()
    with process(FORKS, address) as parent:
        assert line(parent) == "0"
        child = int(line(parent))
        try:
            kill(parent)
            heir = open_store(address, writer=True)
            grow(heir, 1)
            heir.close()
            os.kill(child, 0)  # it is alive all the while
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_fork_cannot_write_and_does_not_close_its_parents_store(store: TableStore) -> None:
    grow(store, 1)
    ready = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover  (the child ends here)
        try:
            grow(store, 1)
        except StoreFailed as refused:
            os.write(ready[1], str(refused).encode())
        store.close()
        os._exit(0)
    os.waitpid(child, 0)
    os.close(ready[1])
    assert "came here by a fork" in os.read(ready[0], 1000).decode()
    assert grow(store, 1)[0].seq == 2
    os.close(ready[0])
