"""The versions of the tables: brought up to date by the writer, all of it or nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.store.kit import everything, grow, numbered
from crossmargin.adapters.store import create_store, open_store, schema
from crossmargin.adapters.store import migrations as shipped
from crossmargin.adapters.store.tables import TableStore
from crossmargin.base.errors import InputInvalid, StoreFailed

NEXT = '''"""A version after the newest: one more column."""
import sqlalchemy as sa
from alembic import op

revision = "0999"
down_revision = "{head}"

def upgrade() -> None:
    op.add_column("writer", sa.Column("note", sa.Text))
    {then}
'''


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The code of a later release, which knows one more version; returns that version's file."""
    folder = tmp_path / "migrations"
    shutil.copytree(Path(str(shipped.__file__)).parent, folder)
    step = folder / "versions" / "v0999_note.py"
    step.write_text(NEXT.format(head=schema.HEAD, then=""))
    monkeypatch.setattr(schema, "MIGRATIONS", str(folder))
    monkeypatch.setattr(schema, "VERSIONS", (*schema.VERSIONS, "0999"))
    monkeypatch.setattr(schema, "HEAD", "0999")
    return step


def version(store: TableStore) -> str:
    return str(store._run("SELECT version_num FROM alembic_version")[0][0])


def test_the_newest_version_of_the_code_is_the_newest_step() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", schema.MIGRATIONS)
    steps = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(steps)) == schema.VERSIONS


def test_a_new_store_has_the_newest_version(store: TableStore) -> None:
    assert version(store) == schema.HEAD


def test_an_older_store_is_brought_up_to_date_by_its_writer(
    address: str, store: TableStore, request: pytest.FixtureRequest
) -> None:
    grow(store, 3)
    store.close()
    request.getfixturevalue("next_version")
    with pytest.raises(InputInvalid, match="open it for writing once"):
        open_store(address, writer=False)
    writer = open_store(address, writer=True)
    assert version(writer) == "0999"
    assert writer._run("SELECT note FROM writer") == [(None,)]
    assert everything(writer) == numbered(3)
    grow(writer, 1)
    writer.close()
    open_store(address, writer=False).close()


def test_a_step_that_fails_leaves_the_store_as_it_was(
    address: str, store: TableStore, request: pytest.FixtureRequest
) -> None:
    grow(store, 3)
    store.close()
    step = request.getfixturevalue("next_version")
    step.write_text(NEXT.format(head="0001", then='op.execute("SELECT * FROM nowhere")'))
    with pytest.raises(StoreFailed, match="nowhere"):
        open_store(address, writer=True)
    request.getfixturevalue("monkeypatch").undo()
    old = open_store(address, writer=True)
    assert version(old) == "0001"
    with pytest.raises(StoreFailed, match="note"):
        old._run("SELECT note FROM writer")
    assert everything(old) == numbered(3)
    old.close()


def test_a_newer_store_is_refused(
    address: str, store: TableStore, request: pytest.FixtureRequest
) -> None:
    store.close()
    request.getfixturevalue("next_version")
    open_store(address, writer=True).close()
    request.getfixturevalue("monkeypatch").undo()
    for writer in (False, True):
        with pytest.raises(InputInvalid, match="found 'schema 0999', must be schema 0001 or older"):
            open_store(address, writer)
    with pytest.raises(InputInvalid, match="install a newer crossmargin"):
        create_store(address)


def test_a_store_that_is_up_to_date_opens_without_the_migration_tools(
    address: str, store: TableStore
) -> None:
    store.close()
    program = """
import sys
from crossmargin.adapters.store import open_store
open_store(sys.argv[1], writer=True).close()
print(sorted({"alembic", "sqlalchemy", "numba", "polars", "pyarrow"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, address], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
