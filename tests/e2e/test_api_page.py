"""The Python of docs/api.md runs as printed, one block after the other."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_the_api_page_runs_as_printed(capsys) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)
    out = capsys.readouterr().out
    assert "HEALTHY" in out
    # Nobody supplied a coin: there is no cash to lend.
    assert "cash_short 1000000000000 0" in out
