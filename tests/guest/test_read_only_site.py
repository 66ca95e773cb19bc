"""Installed where nothing can be written, with no home either: slower, and the same answer."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import crossmargin as cm
from guest.book import book, market

TESTS = Path(__file__).resolve().parents[1]
PACKAGE = TESTS.parent / "src" / "crossmargin"

SCRIPT = f"""
import sys
sys.path.append({str(TESTS)!r})
import crossmargin as cm
from pathlib import Path
from guest.book import book, market
try:
    (Path(cm.__file__).parent / "kernels" / "written").write_text("x")
except OSError:
    there = market()
    frame = cm.assess(book(there), there, method="cross_sum").frame
    print(Path(cm.__file__).parents[1], frame.buffer_mm.tobytes().hex())
else:
    print("the folder can be written: this test shows nothing")
"""


def plain_user() -> list[str]:
    """Return words before a command that take from root the right to write everywhere."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root without setpriv writes everywhere")
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]


@pytest.mark.slow  # every kernel it needs is compiled again, as there is nowhere to keep one
def test_a_read_only_site_without_a_home_gives_the_same_bits(tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(PACKAGE, site / "crossmargin", ignore=shutil.ignore_patterns("__pycache__"))
    places = [site, *site.rglob("*")]
    for place in places:
        place.chmod(place.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "XDG_"))}
    environment = {**kept, "PYTHONPATH": str(site), "HOME": str(site), "TMPDIR": str(tmp_path)}
    try:
        done = subprocess.run(
            [*plain_user(), sys.executable, "-c", SCRIPT], env=environment, cwd=tmp_path,
            capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
    finally:
        for place in places:  # or the folder cannot be taken away again
            place.chmod(place.stat().st_mode | stat.S_IWUSR)
    there = market()
    want = cm.assess(book(there), there, method="cross_sum").frame.buffer_mm.tobytes().hex()
    assert done.stdout.split() == [str(site), want]
