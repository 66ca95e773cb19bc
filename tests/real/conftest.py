"""Tests on the real data folder. `make real` names it; without it they skip and say so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crossmargin.adapters.files import load_rulebook

NO_DATA = "no data folder: CROSSMARGIN_SHARED names none"


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = Path(os.environ.get("CROSSMARGIN_SHARED", ""))
    if not (folder / "data").is_dir():
        pytest.skip(NO_DATA)
    return folder


@pytest.fixture(scope="session")
def rules():
    return load_rulebook("prime-24h")
