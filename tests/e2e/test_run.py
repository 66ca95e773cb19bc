"""`crossmargin run` as a process: lines in, lines out, in order; how it starts and how it ends."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import pytest

from crossmargin.adapters.store import open_store
from crossmargin.adapters.wire import COMMAND_BYTES_MAX, command_to_json
from crossmargin.apps.cli.ledger_stores import WORTH_A_SNAPSHOT
from crossmargin.apps.cli.pump import LINES_MAX
from crossmargin.engine.commands import Deposit, ImportAccount, OpenAccount
from crossmargin.engine.verify import verify
from crossmargin.ledger.events import PoolTerms
from e2e import venue
from e2e.crashes import Campaign
from e2e.running import Line, Running

BAD_INPUT, UNANSWERED = 2, 4


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The venue in a SQLite file."""
    return Campaign.begin(str(tmp_path / "journal.db"), seed=1).store


def deposits(n: int, stem: str = "d") -> list[bytes]:
    """Return n deposits as lines."""
    now = time.time_ns()
    return [
        command_to_json(
            Deposit(
                key=f"{stem}-{k}", issued_ns=now, account=venue.name(k % venue.ACCOUNTS),
                asset="USDC", amount=k + 1,
            )
        )
        + b"\n"
        for k in range(n)
    ]  # fmt: skip


def started(store: str, *options: str, **pipes: Any) -> subprocess.Popen[bytes]:
    """Start the command with pipes for what is not said otherwise."""
    program = [sys.executable, "-m", "crossmargin.apps.cli", "run", "--store", store, *options]
    every = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(program, bufsize=0, **(every | pipes))


def talk(store: str, data: bytes, *options: str) -> tuple[int, list[Line], str]:
    """Run the command on all of its input; return exit code, lines of stdout, stderr."""
    with started(store, *options) as process:
        out, err = process.communicate(data)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err.decode()


def closing(err: str) -> Line:
    """Return the summary; a start that took its time is told before it."""
    line: Line = json.loads(err.splitlines()[-1])
    return line


def last(store: str) -> int:
    """Return the newest record of a store."""
    reader = open_store(store, writer=False)
    seq, _ = reader.last()
    reader.close()
    return seq


# --- lines ----------------------------------------------------------------------------------------


def test_every_line_is_answered_in_order_after_a_ready_line(store: str) -> None:
    before = last(store)
    code, lines, err = talk(store, b"".join(deposits(3)))
    assert code == 0
    assert (lines[0]["type"], lines[0]["seq"], lines[0]["store"]) == ("ready", before, store)
    assert lines[0]["at"].endswith("Z")
    assert lines[1:] == [
        {"type": "accepted", "key": f"d-{k}", "seq": before + 1 + k, "repeated": False}
        for k in range(3)
    ]
    summary = closing(err)
    counted = {word: summary[word] for word in ("lines", "accepted", "rejected", "unknown", "seq")}
    assert counted == {
        "lines": 3, "accepted": 3, "rejected": 0, "unknown": 0, "seq": before + 3,
    }  # fmt: skip
    assert summary["gc_pause_ms_max"] >= 0.0
    assert summary["memory_peak_bytes"] > 10_000_000


BAD_LINES = {
    "no_json": (b"deposit 5", "be a command"),
    "a_list": (b"[1, 2]", "be a command"),
    "cut": (b'{"type": "Deposit", "key": "x", "acc', "be a command"),
    "no_type": (b'{"key": "x"}', "be a command"),
    "no_command": (b'{"type": "Steal", "key": "x"}', "be a command"),
    "field_missing": (b'{"type": "Deposit", "key": "x", "asset": "USDC"}', "be a command"),
    "field_unknown": (
        b'{"type":"Deposit","key":"x","account":"a","asset":"b","amount":1,"to":1}', "be a command",
    ),
    "a_fraction_of_a_unit": (
        b'{"type":"Deposit","key":"x","account":"a","asset":"b","amount":1.5}', "be a command",
    ),
    "not_utf8": (b'{"type": "\xff\xfe"}', "be a command"),
    "deep": (b"[" * 100_000, "be a command"),
    "too_long": (
        b'{"key":"' + bytes(COMMAND_BYTES_MAX) + b'"}', f"have at most {COMMAND_BYTES_MAX}",
    ),
}  # fmt: skip


def test_a_line_that_is_no_command_is_named_and_changes_nothing_else(store: str) -> None:
    before = last(store)
    good = deposits(len(BAD_LINES))
    data = b"".join(
        line + bad + b"\n" for line, (bad, _) in zip(good, BAD_LINES.values(), strict=True)
    )
    code, lines, err = talk(store, data)
    assert code == 0
    assert [line["type"] for line in lines[1:]] == ["accepted", "invalid"] * len(good)
    for place, (name, (bad, allowed)) in enumerate(BAD_LINES.items()):
        told = lines[2 + 2 * place]
        assert told["where"] == f"line {2 * place + 2}", name
        assert allowed in told["allowed"], name
        assert told["remedy"], name
        assert told["found"] == f"{len(bad)} bytes" or told["found"] in bad.decode(errors="replace")
        assert told.get("key", "x") == "x"
    assert last(store) == before + len(good)
    assert closing(err)["invalid"] == len(BAD_LINES)


def test_blank_lines_have_no_answer_and_a_last_line_needs_no_end(store: str) -> None:
    first, second = deposits(2)
    code, lines, _ = talk(store, b"\n  \n" + first + b"\r\n\n" + second.rstrip())
    assert code == 0
    assert [line["type"] for line in lines] == ["ready", "accepted", "accepted"]


def test_rejections_are_answers_with_their_reason(store: str) -> None:
    bad = {"type": "Withdraw", "key": "w", "account": venue.name(0), "asset": "SOL", "amount": "7"}
    line = json.dumps(bad | {"issued_ns": time.time_ns()}).encode()
    _, lines, err = talk(store, line)
    assert lines[1] == {
        "type": "rejected", "key": "w", "reason": "balance_short",
        "where": f"{venue.name(0)}/shared/SOL", "asked": "7", "free": "0",
    }  # fmt: skip
    assert closing(err)["rejected"] == 1


def test_a_key_that_was_used_before_a_restart_is_answered_as_repeated(store: str) -> None:
    lines = deposits(5)
    _, first, _ = talk(store, b"".join(lines))
    _, second, err = talk(store, b"".join(lines))
    assert [told["seq"] for told in second[1:]] == [told["seq"] for told in first[1:]]
    assert all(told["repeated"] for told in second[1:])
    assert last(store) == first[-1]["seq"]
    assert closing(err)["repeated"] == 5


def test_the_summary_is_the_last_line_of_stdout_where_json_is_asked_for(store: str) -> None:
    _, lines, err = talk(store, b"".join(deposits(2)), "--json")
    assert [line["type"] for line in lines] == ["ready", "accepted", "accepted", "closed"]
    assert err == ""


def test_prices_sell_out_who_is_under_water_where_that_is_asked_for(store: str) -> None:
    now = time.time_ns()
    lines = [
        OpenAccount(
            key="o", issued_ns=now, account="liq", pools=(PoolTerms("shared", "isolated"),)
        ),
        # 18 % of 3,000 x 10 is 5,400, and there are 4,500.
        ImportAccount(
            key="i", issued_ns=now, account="liq", balances={"USDC": 4_500 * venue.USDC},
            positions={"ETH-PERP": (10 * venue.CONTRACT, -30_000 * venue.USDC)},
        ),
        venue.prices("p", random.Random(1)),
    ]  # fmt: skip
    data = b"".join(command_to_json(one) + b"\n" for one in lines)
    before = last(store)
    code, told, err = talk(store, data, "--liquidate")
    assert code == 0
    assert [line["key"] for line in told if line["type"] == "accepted"] == ["o", "i", "p"]
    [sold] = [line for line in told if line["type"] == "liquidation"]
    facts = {name: sold[name] for name in ("account", "pool", "verdict", "done", "seq")}
    assert facts == {
        "account": "liq", "pool": "shared", "verdict": "liquidatable", "done": True,
        "seq": before + 4,
    }  # fmt: skip
    assert [one["type"] for one in sold["commands"]] == ["Liquidate"]
    assert closing(err)["accepted"] == 3, "what the loop did was nobody's line"
    _, again, _ = talk(store, data, "--liquidate")
    assert [line["type"] for line in again] == ["ready", *["accepted"] * 3], "prices are repeated"


# --- feeds ----------------------------------------------------------------------------------------


def test_a_file_is_a_feed(store: str, tmp_path: Path) -> None:
    feed = tmp_path / "commands.jsonl"
    feed.write_bytes(b"".join(deposits(2_000)))
    code, lines, _ = talk(store, b"not read", "--feed", str(feed))
    assert code == 0
    assert [told["key"] for told in lines[1:]] == [f"d-{k}" for k in range(2_000)]


def test_a_fifo_is_waited_for_and_ends_when_its_last_writer_does(
    store: str, tmp_path: Path
) -> None:
    feed = tmp_path / "feed"
    os.mkfifo(feed)
    with started(store, "--feed", str(feed)) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["type"] == "ready", "before a writer comes"
        one, two = deposits(2)
        with feed.open("wb", buffering=0) as writer:
            writer.write(one + two[:20])
            assert json.loads(process.stdout.readline())["key"] == "d-0"
            with feed.open("wb", buffering=0) as other:
                other.write(two[20:])
            assert json.loads(process.stdout.readline())["key"] == "d-1"
        assert process.wait() == 0


def test_a_fifo_without_a_writer_is_given_up_on_sigterm(store: str, tmp_path: Path) -> None:
    feed = tmp_path / "feed"
    os.mkfifo(feed)
    with started(store, "--feed", str(feed)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--feed", "{}/no.jsonl"), "No such file or directory"),
        (("--feed", "{}"), "a folder"),
        (("--store", "{}/no.db"), "create it first"),
        (("--group", "0"), "Must be >= 1"),
    ],
)
def test_what_cannot_be_opened_is_bad_input(
    store: str, tmp_path: Path, options: tuple[str, ...], found: str
) -> None:
    before = last(store)
    words = [word.format(tmp_path) for word in options]
    where = words.pop() if "--store" in words else store
    code, lines, err = talk(where, b"".join(deposits(1)), *[w for w in words if w != "--store"])
    assert (code, lines) == (BAD_INPUT, [])
    assert found in err
    assert last(store) == before


# --- starts and ends ------------------------------------------------------------------------------


def test_two_engines_of_one_store_are_one_too_many(place: str) -> None:
    campaign = Campaign.begin(place, seed=2)
    with Running(campaign.store) as first:
        with Running(campaign.store) as second:
            assert second.ended() == UNANSWERED
        [why] = second.said()
        assert second.ready == {}
        assert f"process {first.process.pid}" in why
        assert "is writing it" in why
        first.send(islice(campaign.commands(), 200))
        assert first.answered()
        assert first.end() == 0
    campaign.look(first)


def test_an_end_keeps_its_code_where_nothing_can_be_said(store: str) -> None:
    with Running(store), open("/dev/full", "w") as full, started(store, stderr=full) as second:
        assert second.wait() == UNANSWERED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_stop_under_load_answers_every_line_that_was_taken(place: str, number: int) -> None:
    campaign = Campaign.begin(place, seed=3)
    with Running(campaign.store, "--snapshot-every", "700") as running:
        commands = campaign.commands()
        running.send(takewhile(lambda _: running.accepted < 1_000, commands))
        threading.Timer(0.1, running.process.send_signal, (number,)).start()
        running.send(commands)
        assert running.ended() == 0, running.said()
    summary = running.summary()
    answered = [told["type"] for told in running.replies.values()]
    assert summary["lines"] == len(answered) > 500
    assert summary["accepted"] == answered.count("accepted")
    assert summary["unknown"] == summary["undelivered"] == 0
    # Nothing unanswered happened; states that were kept are those of replay (Campaign.look).
    assert campaign.look(running).unacknowledged == 0
    assert last(campaign.store) == summary["seq"]
    with Running(campaign.store) as again:
        assert again.ready["seq"] == summary["seq"]


@pytest.mark.parametrize(
    ("n", "every", "n_kept"),
    [
        (2_000, 600, 2),  # in groups of at most 512: two lie 600 apart or more
        (WORTH_A_SNAPSHOT, 1_000_000, 1),  # at the end, so that the next start is quick
        (100, 1_000_000, 0),  # the next start is quick without
    ],
)
def test_states_are_kept_where_they_save_time(store: str, n: int, every: int, n_kept: int) -> None:
    code, _, err = talk(store, b"".join(deposits(n)), "--snapshot-every", str(every))
    summary = closing(err)
    reader = open_store(store, writer=False)
    heads = [head.seq for head in reader.snapshots()]
    verified = verify(reader)
    reader.close()
    assert code == 0
    assert len(heads) >= n_kept if n_kept == 2 else len(heads) == n_kept
    assert summary["snapshot"] in (None, heads[-1] if heads else None)
    assert n_kept != 1 or summary["snapshot"] == summary["seq"] == last(store)
    assert (verified.snapshots, verified.wrong) == (len(heads), ())


def test_a_password_is_not_shown(postgres: str) -> None:
    from postgres import fresh

    url = fresh(postgres).replace("postgres:@", "postgres:secret@")
    campaign = Campaign.begin(url, seed=4)
    with Running(campaign.store) as running:
        assert running.ready["seq"] == last(url)
        assert "secret" not in running.ready["store"]
        assert running.end() == 0


# --- readers that do not read ---------------------------------------------------------------------


def position(process: subprocess.Popen[bytes], path: Path) -> int:
    """Return how far a process has read a file."""
    for handle in Path(f"/proc/{process.pid}/fd").iterdir():
        if os.readlink(handle) == str(path):
            told = Path(f"/proc/{process.pid}/fdinfo/{handle.name}").read_text()
            return int(told.split()[1])
    raise AssertionError(f"{path} is not open")


def settled(process: subprocess.Popen[bytes], path: Path) -> int:
    """Wait until a process reads no further, and return how far it came."""
    before, now = -1, 0
    while now != before:
        time.sleep(0.5)
        before, now = now, position(process, path)
    return now


def test_reading_waits_for_whoever_reads_the_answers(store: str, tmp_path: Path) -> None:
    feed = tmp_path / "commands.jsonl"
    lines = deposits(3 * LINES_MAX)
    feed.write_bytes(b"".join(lines))
    longest = max(map(len, lines))
    with started(store, "--feed", str(feed), pipesize=4096) as process:
        assert process.stdout is not None
        process.stdout.readline()
        taken = settled(process, feed)
        # What fits between the file and the pipe: the room, one reading ahead, answers in the pipe.
        assert taken <= (LINES_MAX + 4096 // 60) * longest + 2 * 64 * 1024
        answers = process.stdout.read().splitlines()
        assert process.wait() == 0
    assert len(answers) == len(lines)


def test_batches_that_link_more_than_the_queue_holds_are_taken_one_lot_after_another(
    store: str, tmp_path: Path
) -> None:
    # One group of lines links 512 x 40 commands: more than 16,384 may wait.
    inner = [json.loads(line) for line in deposits(40)]
    for one in inner:
        del one["key"], one["issued_ns"]
    stamp = json.loads(deposits(1)[0])["issued_ns"]
    batches = [
        {"type": "Batch", "key": f"b{n}", "issued_ns": stamp, "commands": inner} for n in range(600)
    ]
    feed = tmp_path / "commands.jsonl"
    feed.write_text("".join(json.dumps(one) + "\n" for one in batches))
    with started(store, "--feed", str(feed)) as process:
        assert process.stdout is not None
        answers = [json.loads(line) for line in process.stdout.read().splitlines()]
        assert process.wait() == 0
    assert [one["type"] for one in answers if one["type"] != "ready"] == ["accepted"] * 600


def test_a_second_signal_does_not_wait_for_readers(store: str, tmp_path: Path) -> None:
    feed = tmp_path / "commands.jsonl"
    feed.write_bytes(b"".join(deposits(2_000)))
    with started(store, "--feed", str(feed), pipesize=4096) as process:
        assert process.stdout is not None
        process.stdout.readline()
        settled(process, feed)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM


def test_without_a_reader_no_more_is_taken_and_what_was_is_kept(store: str) -> None:
    before = last(store)
    lines = deposits(20_000)
    with started(store) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        try:
            for line in lines:
                process.stdin.write(line)
            process.stdin.close()
        except BrokenPipeError:
            pass
        said = process.stderr.read().decode()
        assert process.wait() == UNANSWERED
    summary = closing(said)
    assert f"{summary['undelivered']} replies were not delivered, ask by their keys" in said
    assert summary["undelivered"] == summary["lines"] > 0
    assert last(store) == before + summary["accepted"]


def test_a_clock_that_is_set_far_ahead_ends_it_and_the_store_goes_on_from_before(
    store: str, tmp_path: Path
) -> None:
    # The machine's clock is ten years ahead while the file is there.
    ahead = tmp_path / "ahead"
    program = f"""
import os, sys, time
right, years = time.time_ns, 10 * 365 * 86_400 * 10**9
time.time_ns = lambda: right() + years * os.path.exists({str(ahead)!r})
sys.argv = ["crossmargin", "run", "--store", {store!r}]
from crossmargin.apps.cli import main
main()
"""
    first, second, third = deposits(3)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], bufsize=0, **pipes) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        process.stdin.write(first)
        assert json.loads(process.stdout.readline())["type"] == "accepted"
        before = last(store)
        ahead.touch()
        process.stdin.write(second)
        out, err = process.communicate()
    said = err.decode().splitlines()
    assert process.returncode == UNANSWERED
    assert json.loads(out) == {"type": "unknown", "key": "d-1"}
    [why] = [line for line in said if line.startswith("error: ")]
    assert why.startswith("error: clock: the time of this machine ran ")
    assert "(1 commands are not answered" in why
    assert closing(err.decode())["unknown"] == 1
    assert last(store) == before
    code, lines, _ = talk(store, second + third)
    assert (code, [line["type"] for line in lines[1:]]) == (0, ["accepted"] * 2)
