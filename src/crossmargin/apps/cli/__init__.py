"""The command line."""

from __future__ import annotations

from crossmargin import __version__


def main() -> None:
    """Print the version."""
    print(__version__)
