"""The README's first ten lines of Python run as printed."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_python_runs_as_printed(capsys) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    out = capsys.readouterr().out
    assert "margin_balance_mm" in out  # the tree
    assert "alice" in out


def test_readme_is_one_screen_with_a_picture_and_two_commands() -> None:
    lines = README.splitlines()
    assert len(lines) <= 50
    (shell,) = re.findall(r"```sh\n(.*?)```", README, re.S)
    assert [line.split("#")[0].strip() for line in shell.splitlines()] == ["make demo", "make test"]
    assert re.search(r"!\[.+\]\(docs/pictures/\w+\.png\)", README)


def test_readme_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
