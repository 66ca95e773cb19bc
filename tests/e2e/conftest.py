"""A place for a ledger, once for each kind of store."""

from __future__ import annotations

from pathlib import Path

import pytest

from postgres import fresh, postgres

__all__ = ["postgres"]  # a fixture by import


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that is not there yet."""
    if request.param == "sqlite":
        return str(tmp_path / "journal.db")
    return fresh(request.getfixturevalue("postgres"))
