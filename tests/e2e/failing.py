"""Media that fail under an engine at work: what happens to it, and what is left of the ledger.

The functions run in a process of their own (`adapters.store.media`), which may mount a small disk
over its folder that nobody else sees.
"""

from __future__ import annotations

import io
import os
import resource
import shutil
import subprocess
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg

import postgres as servers
from crossmargin.apps.cli import program
from e2e.crashes import Campaign
from e2e.running import Running

# Room for a few thousand records, and for the log beside the file.
DISK, LARGER_DISK = "size=6m", "size=256m"
SERVER_DISK = "size=200m,mode=755"
FILE_BYTES = 2_000_000


def full_disk(folder: str, medium: str) -> dict[str, Any]:
    """Let a disk run full under load, give room back, and go on."""
    if medium == "tmpfs":
        _mount("-t", "tmpfs", "-o", DISK, "tmpfs", folder)
    campaign = Campaign.begin(str(Path(folder) / "journal.db"), seed=5)
    with Running(campaign.store) as running:
        if medium == "limit":
            limit = (FILE_BYTES, resource.RLIM_INFINITY)
            resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, limit)
        running.send(campaign.commands())
        code = running.ended()
    if medium == "tmpfs":
        _mount("-o", f"remount,{LARGER_DISK}", folder)
    kill = campaign.look(running)
    return _told(running, code) | {"acknowledged": kill.acknowledged, "after": campaign.finish()}


def full_server(folder: str) -> dict[str, Any]:
    """Let the disk of a database server run full under load, give room back, and go on."""
    _mount("-t", "tmpfs", "-o", SERVER_DISK, "tmpfs", folder)
    tempfile.tempdir = folder
    with servers.server() as url:
        tempfile.tempdir = None  # what the engine says goes to a disk with room
        campaign = Campaign.begin(servers.fresh(url), seed=8)
        with psycopg.connect(url, autocommit=True) as admin:
            # A whole new segment of the log: the tables are what runs out of room.
            admin.execute("SELECT pg_switch_wal()")
            admin.execute("CHECKPOINT")
        filler = Path(folder) / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(folder).free - FILE_BYTES))
        with Running(campaign.store) as running:
            running.send(campaign.commands())
            code = running.ended()
        filler.unlink()
        kill = campaign.look(running)
        told = _told(running, code) | {"acknowledged": kill.acknowledged}
        return told | {"after": campaign.finish()}


def read_only(folder: str, medium: str) -> dict[str, Any]:
    """Start on a medium that may not be written."""
    if medium == "tmpfs":
        _mount("-t", "tmpfs", "-o", DISK, "tmpfs", folder)
    campaign = Campaign.begin(str(Path(folder) / "journal.db"), seed=6)
    if medium == "permissions":
        return _without_rights(campaign.store)
    _mount("-o", "remount,bind,ro", folder)
    with Running(campaign.store) as running:
        running.send(islice(campaign.commands(), 100))
        code = running.ended()
    _mount("-o", "remount,bind,rw", folder)
    campaign.look(running)
    return _told(running, code) | {"after": campaign.finish()}


def _without_rights(store: str) -> dict[str, Any]:
    """Run in this very process, which gives its rights up: a new one might not find Python."""
    words = ["run", "--store", store, "--feed", os.devnull]
    said, nothing = io.StringIO(), open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    with redirect_stdout(nothing), redirect_stderr(said):
        assert program.run(words) == 0  # everything it imports is imported now
        os.chmod(store, 0o444)
        os.chmod(Path(store).parent, 0o555)
        if os.geteuid() == 0:  # root writes where it may not
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        said.seek(said.truncate(0))
        code = program.run(words)
    return {"code": code, "ready": {}, "said": said.getvalue().splitlines(), "answers": {}}


def _told(running: Running, code: int) -> dict[str, Any]:
    kinds = [told["type"] for told in running.replies.values()]
    return {
        "code": code, "ready": running.ready, "said": running.said(), "sent": len(running.sent),
        "answers": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
    }  # fmt: skip


def _mount(*options: str) -> None:
    subprocess.run(["mount", *options], check=True)
