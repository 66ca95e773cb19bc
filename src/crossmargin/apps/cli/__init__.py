"""The command line: `crossmargin`, or `python -m crossmargin.apps.cli`."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(words: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code."""
    from crossmargin.apps.cli.program import run

    sys.exit(run(list(sys.argv[1:] if words is None else words)))
