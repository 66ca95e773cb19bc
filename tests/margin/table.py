"""Parameter tables written as text: the first row names the columns, `#` opens a comment."""

from __future__ import annotations

import pytest


def table(text: str) -> list[object]:
    """Return one pytest.param a row; the first column, `id`, is its name; the rest stay text."""
    rows = [line.split("#")[0].split() for line in text.strip().splitlines()]
    head, *body = [row for row in rows if row]
    assert head[0] == "id"
    assert all(len(row) == len(head) for row in body), body
    return [pytest.param(*row[1:], id=row[0]) for row in body]
