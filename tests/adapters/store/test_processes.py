"""Writers that are processes of their own: killed, replaced, forked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from adapters.store.kit import (
    APPENDS,
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


def test_a_fork_holds_no_lease_and_cannot_write(address: str, store: TableStore) -> None:
    grow(store, 1)
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover  (the child ends here)
        try:
            grow(store, 1)
        except StoreFailed as refused:
            os.write(ready[1], str(refused).encode())
        store.close()
        os.read(go[0], 1)  # lives on after its parent's store is closed
        os._exit(0)
    assert "came here by a fork" in os.read(ready[0], 1000).decode()
    assert grow(store, 1)[0].seq == 2, "the child's goodbye did not close the parent's store"
    store.close()
    open_store(address, writer=True).close()
    os.write(go[1], b"x")
    os.waitpid(child, 0)
    for handle in (*ready, *go):
        os.close(handle)
