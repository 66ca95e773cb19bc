"""The versions of a store's tables: which one a database has, and the way to the newest.

In     what plain SQL found in a database; a way to connect to it.
Out    whether it must be upgraded; a database at the newest version, or as it was.
Owns   the names of the versions. The steps between them stand in `migrations`.
Never  imports the migration tools where the version is current; touches a newer database.
Signs  none.
Spec   docs/stores.md
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crossmargin.base.errors import InputInvalid

# Every version ever released, oldest first; a test holds this against the migrations.
VERSIONS = ("0001",)
HEAD = VERSIONS[-1]
# Where alembic keeps the version of a database.
TABLE = "alembic_version"
MIGRATIONS = f"{__package__}:migrations"


def is_behind(where: str, stored: str | None, n_tables: int, how: str) -> bool:
    """Return whether the database must be upgraded; refuse one that is not ours or newer.

    stored    the version it names, None where it names none
    n_tables  how many tables it has
    how       what it is opened for: "read", "write" or "create"
    """
    if stored == HEAD:
        return False
    if stored is None and n_tables:
        raise InputInvalid(
            where, f"{n_tables} tables and no version", "hold a journal or nothing",
            "this is another program's database: name another place",
        )  # fmt: skip
    if stored is None and how != "create":
        raise InputInvalid(where, "nothing", "hold a journal", "create it first")
    if stored is not None and stored not in VERSIONS:
        raise InputInvalid(
            where, f"schema {stored}", f"be schema {HEAD} or older", "install a newer crossmargin"
        )
    if how == "read":
        raise InputInvalid(
            where, f"schema {stored}", f"be schema {HEAD}",
            "open it for writing once: that brings it up to date",
        )  # fmt: skip
    return True


def upgrade(dialect: str, connect: Callable[[], Any]) -> None:
    """Bring a database to the newest version, in one transaction: all of it or none.

    dialect  SQLAlchemy's name of it: `sqlite` or `postgresql+psycopg`
    connect  opens a connection of the database's own library
    """
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, event
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    engine = create_engine(f"{dialect}://", creator=connect, poolclass=NullPool)
    if dialect == "sqlite":
        # sqlite3 opens no transaction before CREATE TABLE by itself; half an upgrade would stay.
        event.listen(engine, "begin", lambda on: on.exec_driver_sql("BEGIN IMMEDIATE"))
    config = Config()
    config.set_main_option("script_location", MIGRATIONS)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as wrapped:
        # The store knows its own database's errors and not SQLAlchemy's.
        raise wrapped.orig or wrapped from None
    finally:
        engine.dispose()
