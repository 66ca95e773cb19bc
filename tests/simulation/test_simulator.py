"""The simulator: the same life from the same seed, real files, crashes, and a failure told well."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from crossmargin.adapters.files import load_rulebook
from crossmargin.adapters.store.opening import create_store, open_store
from crossmargin.apps.cli import simulate
from crossmargin.apps.cli.program import run as crossmargin
from crossmargin.base.errors import StoreFailed
from crossmargin.engine.ports import Record, Store
from crossmargin.simulation.faults import Crash, FaultyStore, MemoryStore, altered, tampered
from crossmargin.simulation.simulator import ON_DISK_EVERY, Options, run
from simulation import planted

RULES = load_rulebook("prime-24h")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def on_disk(folder: Path) -> Options:
    def store(seed: int) -> Store:
        path = folder / f"{seed}.db"
        return open_store(path, writer=True) if path.exists() else create_store(path)

    return Options(150, RULES, store)


def test_the_same_seed_is_the_same_life() -> None:
    one, two = (run(11, Options(150, RULES)) for _ in range(2))
    other = run(12, Options(150, RULES))
    assert one.failure == two.failure == other.failure == ""
    assert one.tally == two.tally
    assert one.tally != other.tally


def test_a_journal_in_a_file_answers_as_one_in_memory(folder: Path) -> None:
    seed = 5 * ON_DISK_EVERY
    filed, held = run(seed, on_disk(folder)), run(seed, Options(150, RULES))
    assert filed.failure == ""
    assert (folder / f"{seed}.db").exists()
    assert filed.tally == held.tally


def test_every_life_meets_crashes_and_forgeries_and_goes_on() -> None:
    told = [run(seed, Options(300, RULES, faults=0.3)) for seed in (3, 4)]
    assert [outcome.failure for outcome in told] == ["", ""]
    found = told[0].tally.faults + told[1].tally.faults
    for kind in ("before", "after", "full", "forgot", "tampered", "tampered state"):
        assert found[kind] > 0, kind


# --- stores that fail -----------------------------------------------------------------------------


def record(seq: int) -> Record:
    return Record(seq, bytes([seq]) * 32, b"[%d]" % seq)


def test_a_crash_before_the_durable_point_keeps_nothing_and_one_after_it_all() -> None:
    kept = {}
    for seed in range(60):
        inner = MemoryStore()
        with pytest.raises((Crash, StoreFailed)) as died:
            FaultyStore(inner, random.Random(seed), 1.0).append([record(1), record(2)])
        kept[str(died.value.args[0])] = len(inner.records)
    assert kept == {"before": 0, "after": 2, "simulated disk": 0}


def test_a_store_without_faults_is_the_store_it_wraps() -> None:
    inner = MemoryStore()
    store = FaultyStore(inner, random.Random(1), 0.0)
    store.append([record(1), record(2)])
    for seq in (1, 2):
        store.save_snapshot(seq, b"c" * 32, b"s" * 32, [b"part"])
    assert store.last() == (2, bytes([2]) * 32)
    assert [len(batch) for batch in store.read(1)] == [1]
    assert list(store.load_snapshot(2)) == [b"part"]
    store.drop_snapshots(1)
    assert [head.seq for head in store.snapshots()] == [2]


def test_a_forged_journal_is_never_the_one_that_was_written() -> None:
    records = [record(seq) for seq in range(1, 6)]
    seen = set()
    for seed in range(200):
        what, forged = tampered(records, random.Random(seed))
        assert forged != records
        # A journal that only lacks its end cannot be told from a shorter one.
        assert forged != records[:-1]
        seen.add(what.split()[0])
    assert seen == {"torn", "flipped", "dropped", "swapped", "forged"}
    assert altered([b"abc", b"d"], random.Random(1)) != [b"abc", b"d"]


# --- the command ----------------------------------------------------------------------------------


def test_the_command_says_that_both_agree(capsys: pytest.CaptureFixture[str]) -> None:
    assert crossmargin(["simulate", "--seeds", "2", "--steps", "60", "--jobs", "1"]) == 0
    told = capsys.readouterr().out
    assert "2 seeds" in told
    assert "engine and witness agree" in told


def test_the_command_ends_with_1_and_how_to_see_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted.posting_off_by_one_unit(monkeypatch)
    words = ["simulate", "--seeds", "9", "--first-seed", "7", "--steps", "90", "--jobs", "1"]
    assert crossmargin(words) == 1
    told = capsys.readouterr().out
    assert "seed 7 differs" in told
    assert "balances of" in told
    assert "crossmargin simulate --seeds 1 --first-seed 7 --steps 90" in told


def test_the_command_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    words = ["simulate", "--seeds", "1", "--steps", "60", "--jobs", "1", "--json"]
    assert crossmargin(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["seeds"] == 1
    assert told["commands"] >= 60
    assert told["failure"] is told["reproduce"] is None
    assert sum(told["rejected"].values()) + told["repeated"] <= told["commands"]


def test_a_block_ends_at_its_first_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack():
        planted.posting_off_by_one_unit(monkeypatch)
        found = simulate.live(range(4), 90)
    assert [bool(outcome.failure) for outcome in found] == [True]
