"""crossmargin: margin requirement, verdict and the reason for both.

The public names are those of `crossmargin.api`; they are fetched on first use, so importing the
package alone loads neither numba nor polars.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossmargin.api import *  # noqa: F403

__version__ = "0.1.0"

if not TYPE_CHECKING:  # a type checker sees the names themselves, and misses what is not there

    def __getattr__(name: str) -> Any:
        """Return a public name of `crossmargin.api` (PEP 562)."""
        if not name.startswith("_"):
            try:
                return getattr(import_module("crossmargin.api"), name)
            except ModuleNotFoundError as missing:
                if missing.name != "crossmargin.api":
                    raise
            except AttributeError:
                pass
        raise AttributeError(f"module 'crossmargin' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, for tab completion."""
    return sorted({"__version__", *getattr(import_module("crossmargin.api"), "__all__", ())})
