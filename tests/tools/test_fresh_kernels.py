"""Compiled kernels go when a kernel source changed, and only then."""

from __future__ import annotations

import importlib.util
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools" / "fresh_kernels.py"


def test_an_edited_callee_takes_the_cached_caller_with_it(tmp_path: Path) -> None:
    found = importlib.util.spec_from_file_location("fresh_kernels_tested", TOOL)
    assert found is not None
    assert found.loader is not None
    tool = importlib.util.module_from_spec(found)
    found.loader.exec_module(tool)
    caches = tmp_path / "kernels" / "__pycache__"
    caches.mkdir(parents=True)
    callee = tmp_path / "kernels" / "callee.py"
    callee.write_text("A = 1")

    assert tool.clear_if_changed(tmp_path) == 0  # nothing cached yet
    (caches / "caller.f-1.py311.nbi").write_text("index")
    (caches / "caller.f-1.py311.1.nbc").write_text("code")
    assert tool.clear_if_changed(tmp_path) == 0
    assert len(list(caches.glob("*.nb?"))) == 2, "nothing changed, so the cache stays"
    callee.write_text("A = 2")
    assert tool.clear_if_changed(tmp_path) == 2
    assert list(caches.glob("*.nb?")) == []
