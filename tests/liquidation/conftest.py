"""Vectors of other venues, from the data folder; without it the tests skip and say so."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NO_DATA = "no data folder: CROSSMARGIN_SHARED names none"


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], list[dict[str, Any]]]:
    folder = Path(os.environ.get("CROSSMARGIN_SHARED", "")) / "vectors"
    if not folder.is_dir():
        pytest.skip(NO_DATA)

    def load(name: str) -> list[dict[str, Any]]:
        return json.loads((folder / name).read_text())["cases"]

    return load
