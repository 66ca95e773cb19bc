"""Which address means which store, and what every other one is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crossmargin.adapters.store import create_store, open_store
from crossmargin.adapters.store.sqlite import SqliteStore
from crossmargin.base.errors import CrossmarginError, InputInvalid, StoreFailed


@pytest.mark.parametrize("form", ["{}", "sqlite:{}", "SQLite:{}", "sqlite://{}"])
def test_a_path_is_a_sqlite_file(tmp_path: Path, form: str) -> None:
    path = tmp_path / "journal.db"
    create_store(path).close()
    store = open_store(form.format(path), writer=False)
    assert isinstance(store, SqliteStore)
    assert store.where.endswith("journal.db")
    store.close()


def test_a_relative_path_is_one_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, form in enumerate(["a.db", "sqlite:b.db", "./c:d.db", Path("e:f.db")]):
        create_store(form).close()
        assert len([name for name in os.listdir() if name.endswith(".db")]) == number + 1


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "PostgreSQL"])
def test_both_spellings_of_postgresql_are_understood(scheme: str) -> None:
    with pytest.raises(StoreFailed, match="start the server"):
        open_store(f"{scheme}://clerk@127.0.0.1:1/books", writer=False)


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("mysql://h/d", "found 'mysql:', must be postgresql://..., sqlite:PATH or a path"),
        ("file:x.db", "found 'file:'"),
        ("journals:x.db", "write ./ before a path that holds a colon"),
        ("sqlite:", "must name a file"),
        ("", "must name a file"),
    ],
)
def test_any_other_address_is_refused(where: str, says: str) -> None:
    for act in (create_store, lambda where: open_store(where, writer=True)):
        with pytest.raises(InputInvalid) as refused:
            act(where)
        assert says in str(refused.value)


def test_no_error_comes_without_a_remedy(tmp_path: Path) -> None:
    for where in ("x://y", "", tmp_path, tmp_path / "no.db", tmp_path / "no" / "no.db"):
        with pytest.raises(CrossmarginError) as refused:
            open_store(where, writer=True)
        assert getattr(refused.value, "remedy", "")
