"""Where a journal lives, by its address: a SQLite file or a PostgreSQL schema.

In     `postgresql://...`, `sqlite:PATH` or a path.
Out    an open Store.
Owns   which address means which database; one clear refusal for every other.
Never  creates what it was asked to open.
Signs  none.
Spec   docs/stores.md
"""

from __future__ import annotations

import re
from pathlib import Path

from crossmargin.adapters.store.sqlite import create_sqlite, open_sqlite
from crossmargin.adapters.store.tables import TableStore
from crossmargin.base.errors import InputInvalid

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_POSTGRES = ("postgresql", "postgres")


def open_store(where: str | Path, writer: bool) -> TableStore:
    """Open a journal that is there; a writer takes the lease and brings its tables up to date."""
    scheme, path = _address(where)
    if scheme in _POSTGRES:
        from crossmargin.adapters.store.postgres import open_postgres

        return open_postgres(_lowered(where), writer)
    return open_sqlite(path, writer)


def create_store(where: str | Path) -> TableStore:
    """Create a journal and open it for writing; a place that holds records already is refused."""
    scheme, path = _address(where)
    if scheme in _POSTGRES:
        from crossmargin.adapters.store.postgres import create_postgres

        store: TableStore = create_postgres(_lowered(where))
    else:
        store = create_sqlite(path)
    seq, _ = store.last()
    if seq:
        store.close()
        raise InputInvalid(
            store.where, f"a journal of {seq} records", "be new or empty",
            "name another place, or open this one",
        )  # fmt: skip
    return store


def _address(where: str | Path) -> tuple[str, Path]:
    """Return the scheme of an address, "sqlite" for a path, and the path."""
    if isinstance(where, Path):
        return "sqlite", where
    found = _SCHEME.match(where)
    scheme = found.group(1).lower() if found else "sqlite"
    if scheme not in ("sqlite", *_POSTGRES):
        raise InputInvalid(
            "store", scheme + ":", "be postgresql://..., sqlite:PATH or a path",
            "write ./ before a path that holds a colon",
        )  # fmt: skip
    path = where[len(found.group(0)) :] if found else where
    if not path:
        raise InputInvalid("store", where, "name a file", "write sqlite:PATH")
    return scheme, Path(path)


def _lowered(where: str | Path) -> str:
    """Return a URL with its scheme in small letters, which libpq insists on."""
    scheme, colon, rest = str(where).partition(":")
    return scheme.lower() + colon + rest
