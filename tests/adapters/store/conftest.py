"""An address of a store that does not exist yet, once for each kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crossmargin.adapters.store import create_store
from crossmargin.adapters.store.tables import TableStore
from postgres import fresh, postgres

__all__ = ["postgres"]  # a fixture by import


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'journal.db'}"
    return fresh(request.getfixturevalue("postgres"))


@pytest.fixture
def store(address: str) -> Iterator[TableStore]:
    """An empty store, open for writing."""
    store = create_store(address)
    yield store
    store.close()
