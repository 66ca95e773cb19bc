"""Commands of the ledger: opened, filled, asked, checked, copied, refused."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from apps.ledger_days import DAYS, begun, deposit, rewritten, submit, told
from crossmargin import api
from crossmargin.adapters.store import open_store
from crossmargin.apps.cli.ledger_stores import shown
from crossmargin.apps.cli.outcome import Exit
from crossmargin.apps.cli.program import run
from crossmargin.engine.runtime import restored
from crossmargin.ledger import journal
from crossmargin.ledger.events import Deposited
from postgres import fresh, server

Say = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return told(tmp_path_factory.mktemp("three-days"))


@pytest.fixture
def ledger(written: Path, tmp_path: Path) -> Path:
    """A copy of the ledger of three days, for a test to do with as it likes."""
    copy = tmp_path / "book.ledger"
    shutil.copy(written, copy)
    return copy


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command of the ledger with --json; return code, answer, what was said beside it."""

    def call(*words: object) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = run(["ledger", *map(str, words), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return call


# --- what stands ----------------------------------------------------------------------------------


def test_balances_are_what_three_days_left(ledger: Path, say: Say) -> None:
    code, answer, _ = say("balance", ledger)
    assert code == Exit.OK
    held = {(x["account"], x["pool"], x["asset"]): x["amount"] for x in answer["balances"]}
    # 50,000 - 1,000 to the bucket - 6 fee - 120.5 premium; a fifth sold: 0.2 x 61010.1234567 is
    # 12202.02469134, got down; 30005.000001 x 0.3 / 0.5 is 18003.0000006 and stays as cost, rounded
    # for the venue to 18003: realised 12202.024691 - 30005.000001 + 18003 = 200.02469. Funding:
    # 60000 x 0.0001 = 6 a contract: 0.5 and 0.3 of it. Less 2,000 withdrawn.
    assert held["alice", "shared", "USDC"] == "47068.72469"
    assert held["alice", "gamble", "USDC"] == "1000"
    # 80,000 + 1 rebate + 3 + 1.8 funding - (12202.024692 - 30005 + 18003), paid up.
    assert held["bob", "shared", "USDC"] == "79805.775308"
    # 6 paid and 1 given back; two fills were rounded by a millionth each.
    assert (held["@fees", "shared", "USDC"], held["@rounding", "shared", "USDC"]) == (
        "5", "0.000002",
    )  # fmt: skip
    assert {holders["sum"] for holders in answer["sums"].values()} == {"0"}
    assert answer["accounts"] == 2


def test_one_account_and_one_asset_are_shown_alone(ledger: Path, say: Say) -> None:
    _, answer, _ = say("balance", ledger, "--account", "alice", "--asset", "ETH")
    assert [(x["asset"], x["amount"]) for x in answer["balances"]] == [("ETH", "10")]
    assert answer["positions"] == []


@pytest.mark.parametrize(
    ("words", "want"),
    [
        # Record 9 is the deposit of ETH, 10 the transfer; 12 the last of day one.
        (["--at-seq", "9"], "50000"),
        (["--at-seq", "10"], "49000"),
        (["--at", DAYS[0]], "48873.5"),
        (["--at", "2026-01-06T11:59:59Z"], "48873.5"),
        (["--at", "2026-01-06T12:00Z"], "49070.52469"),
    ],
)
def test_balances_of_the_past_are_what_they_were(
    ledger: Path, say: Say, words: list[str], want: str
) -> None:
    _, answer, _ = say("balance", ledger, "--account", "alice", "--asset", "USDC", *words)
    assert {x["pool"]: x["amount"] for x in answer["balances"]}["shared"] == want


def test_what_is_free_leaves_and_a_unit_more_does_not(
    ledger: Path, say: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    # bob has dollars alone, and is short 0.3 BTC-PERP: some of them stay for that.
    code, answer, _ = say("free", ledger, "bob", "--asset", "USDC", "--at", DAYS[2])
    assert code == Exit.OK
    [told] = answer["free"]
    free = int(Fraction(told["free"]) * 10**6)
    assert 0 < free < int(Fraction(told["balance"]) * 10**6)
    leaves = {"type": "Withdraw", "account": "bob", "asset": "USDC"}
    assert submit(ledger, DAYS[2], [leaves | {"amount": free + 1}]) == Exit.FOUND
    assert "margin_short" in capsys.readouterr().out
    assert submit(ledger, DAYS[2], [leaves | {"amount": free}]) == Exit.OK


def test_what_is_free_is_not_known_at_prices_that_are_old(
    ledger: Path, say: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    _, answer, _ = say("free", ledger, "alice")  # of now: the prices are of January
    told = {(row["pool"], row["asset"]): row["free"] for row in answer["free"]}
    assert told["shared", "USDC"] is None
    assert told["gamble", "USDC"] == "1000"  # it owes nothing and holds nothing on credit
    assert run(["ledger", "free", str(ledger), "alice"]) == Exit.OK
    assert "unpriced" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nobody", "@fees"])
def test_what_is_free_is_asked_of_accounts(ledger: Path, say: Say, name: str) -> None:
    code, _, said = say("free", ledger, name)
    assert (code, "ACCOUNT" in said) == (Exit.BAD_INPUT, True)


def test_funding_that_is_due_is_shown_and_not_charged(ledger: Path, say: Say) -> None:
    submit(ledger, DAYS[2], [{"type": "AdvanceFunding", "instrument": "BTC-PERP",
                              "rate": "-0.00012345", "price": "60001"}])  # fmt: skip
    _, answer, _ = say("balance", ledger, "--asset", "BTC-PERP")
    due = {x["account"]: x["funding_due"] for x in answer["positions"]}
    # 60001 x 0.00012345 = 7.40712345 a contract, of which 0.3: 2.222137035. The long is paid it,
    # rounded down; the short pays it rounded up.
    assert due == {"alice": "-2.222137", "bob": "2.222138"}
    both = [{"type": "ChargeAccruals", "holders": [["alice", "shared"], ["bob", "shared"]]}]
    submit(ledger, DAYS[2], both)
    _, answer, _ = say("statement", ledger, "--account", "alice")
    assert answer["lines"][-1]["change"] == "2.222137"
    _, answer, _ = say("statement", ledger, "--account", "bob")
    assert answer["lines"][-1]["change"] == "-2.222138"


# --- statements -----------------------------------------------------------------------------------


def amounts(rows: list[dict[str, Any]], column: str = "balance") -> dict[tuple[str, str], Fraction]:
    return {(x["pool"], x["item"]): Fraction(x[column]) for x in rows}


@pytest.mark.parametrize("account", ["alice", "bob", "@outside", "@fees", "@rounding"])
@pytest.mark.parametrize("span", [(None, None), (DAYS[1], None), (None, DAYS[1]), DAYS[1:]])
def test_a_statement_opens_and_closes_as_the_book_stood(
    ledger: Path, say: Say, account: str, span: tuple[str | None, str | None]
) -> None:
    words = [word for name, at in zip(("--from", "--to"), span, strict=True) if at
             for word in (name, at)]  # fmt: skip
    _, answer, _ = say("statement", ledger, "--account", account, *words)
    running = amounts(answer["opening"])
    for line in answer["lines"]:
        place = (line["pool"], line["item"])
        running[place] = running.get(place, Fraction(0)) + Fraction(line["change"])
        assert Fraction(line["balance"]) == running[place]
    assert {place: left for place, left in running.items() if left} == amounts(answer["closing"])
    _, stands, _ = say("balance", ledger, "--account", account, "--at-seq", answer["seq"])
    want = {(x["pool"], x["asset"]): Fraction(x["amount"]) for x in stands["balances"]}
    want |= {(x["pool"], x["instrument"]): Fraction(x["contracts"]) for x in stands["positions"]}
    assert amounts(answer["closing"]) == want


def test_a_statement_holds_both_ends_of_its_span(ledger: Path, say: Say) -> None:
    words = ("statement", ledger, "--account", "alice", "--from", DAYS[1], "--to", DAYS[1])
    assert {line["seq"] for line in say(*words)[1]["lines"]} == {15}
    after = "2026-01-06T12:00:00.000001Z"
    words = ("statement", ledger, "--account", "alice", "--from", after, "--to", DAYS[2])
    assert {line["seq"] for line in say(*words)[1]["lines"]} == {18}


def test_a_statement_says_in_words_what_happened(ledger: Path, say: Say) -> None:
    _, answer, _ = say("statement", ledger, "--account", "alice")
    assert [(x["seq"], x["role"], x["what"]) for x in answer["lines"]] == [
        (7, "deposit", "deposit, wire 1"),
        (9, "deposit", "deposit"),
        (10, "transfer", "transfer to alice/gamble"),
        (10, "transfer", "transfer from alice"),
        (11, "fee", "fee on BTC-PERP at 60010.000001"),
        (11, "trade", "bought 0.5 BTC-PERP at 60010.000001"),
        (12, "premium", "premium paid for ETH-3500-C at 120.5"),
        (12, "trade", "bought 1 ETH-3500-C at 120.5"),
        (15, "funding", "funding of BTC-PERP"),
        (15, "realised", "realised on BTC-PERP at 61010.1234567"),
        (15, "trade", "sold 0.2 BTC-PERP at 61010.1234567"),
        (18, "funding", "funding of BTC-PERP"),
        (18, "withdrawal", "withdrawal"),
    ]


def test_a_statement_is_written_as_csv_with_every_digit(
    ledger: Path, say: Say, tmp_path: Path
) -> None:
    path = tmp_path / "alice.csv"
    _, answer, beside = say("statement", ledger, "--account", "alice", "--csv", path)
    assert str(path) in beside
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    want = [{k: "" if v is None else str(v) for k, v in x.items()} for x in answer["lines"]]
    assert rows == want


def test_a_statement_of_one_pool_or_item_holds_no_other(ledger: Path, say: Say) -> None:
    _, answer, _ = say("statement", ledger, "--account", "alice", "--pool", "gamble")
    assert {x["pool"] for x in answer["lines"]} == {"gamble"}
    _, answer, _ = say("statement", ledger, "--account", "alice", "--asset", "BTC-PERP")
    assert [x["cost_balance"] for x in answer["lines"]] == ["-30005.000001", "-18003"]


def test_a_statement_is_drawn(ledger: Path, say: Say, tmp_path: Path) -> None:
    path = tmp_path / "alice.png"
    assert say("statement", ledger, "--account", "alice", "--picture", path)[0] == Exit.OK
    assert path.stat().st_size > 10_000
    # An account without a line in the span has nothing to draw, and an answer all the same.
    words = ("--account", "@fees", "--from", DAYS[2], "--picture", path)
    assert say("statement", ledger, *words)[0] == Exit.OK


# --- verification ---------------------------------------------------------------------------------


def change(store: Path, sql: str, *values: object) -> None:
    connection = sqlite3.connect(store)
    with connection:
        connection.execute(sql, values)
    connection.close()


def enriched(entry: Any) -> Any:
    """Return a deposit of which only the user's side is larger."""
    (paid,) = entry.events
    assert isinstance(paid, Deposited)
    ours, theirs = paid.postings
    more = replace(theirs, amount=theirs.amount + 1)
    return replace(entry, events=(replace(paid, postings=(ours, more)),))


def test_a_whole_ledger_is_sound_and_its_snapshots_too(ledger: Path, say: Say) -> None:
    assert say("rebuild", ledger)[0] == Exit.OK
    code, answer, _ = say("verify", ledger)
    assert (code, answer["sound"], answer["snapshots"]) == (Exit.OK, True, 1)
    store = open_store(ledger, writer=False)
    book, chain = restored(store)
    store.close()
    assert answer["hash"] == chain.hex()
    assert answer["state_hash"] == journal.state_hash(book).hex()


@pytest.mark.parametrize(
    ("sql", "record", "says"),
    [
        ("UPDATE records SET body = replace(body, 'wire 1', 'wire 2') WHERE seq = 7", 7,
         "does not follow"),
        ("UPDATE records SET hash = zeroblob(32) WHERE seq = 15", 15, "does not follow"),
        ("DELETE FROM records WHERE seq = 11", 11, "is missing"),
        ("DELETE FROM records WHERE seq > 17", 19, "its end was cut off"),
        ("UPDATE snapshots SET state_hash = zeroblob(32)", 19, "not the state of replay"),
        ("UPDATE snapshot_parts SET body = replace(body, 'alice', 'alick')", 19, "were altered"),
        ("DELETE FROM snapshot_parts WHERE part = 1", 19, "were altered"),
    ],
    ids=["body", "hash", "record_gone", "end_gone", "snapshot_hash", "snapshot", "snapshot_part"],
)  # fmt: skip
def test_whatever_is_altered_is_named(
    ledger: Path, say: Say, sql: str, record: int, says: str
) -> None:
    say("rebuild", ledger)
    change(ledger, sql.replace("body = replace(body,", "body = replace(CAST(body AS TEXT),"))
    change(ledger, "UPDATE records SET body = CAST(body AS BLOB)")
    change(ledger, "UPDATE snapshot_parts SET body = CAST(body AS BLOB)")
    code, answer, _ = say("verify", ledger)
    assert code == Exit.FOUND
    first = answer["wrong"][0]
    assert (first["record"], says in first["found"]) == (record, True), answer["wrong"]
    assert run(["ledger", "verify", str(ledger)]) == Exit.FOUND


def test_money_made_by_one_who_chains_the_rest_anew_is_named(ledger: Path, say: Say) -> None:
    rewritten(ledger, 8, enriched)
    code, answer, _ = say("verify", ledger)
    assert code == Exit.FOUND
    assert answer["wrong"] == [{"record": 8, "found": "creates or loses {'USDC': 1}"}]
    assert answer["seq"] == 7, "it was believed up to there"


def test_a_journal_made_anew_is_found_out_by_a_hash_that_was_noted(ledger: Path, say: Say) -> None:
    _, answer, _ = say("verify", ledger)
    noted = f"{answer['seq']}:{answer['hash']}"
    submit(ledger, DAYS[2], [deposit("bob", "USDC", 1)])
    assert say("verify", ledger, "--noted", noted)[0] == Exit.OK
    rewritten(ledger, 7, lambda entry: entry)
    assert say("verify", ledger, "--noted", noted)[0] == Exit.OK, "nothing was changed"
    rewritten(ledger, 7, lambda entry: replace(entry, key="another"))
    assert say("verify", ledger)[0] == Exit.OK, "in itself it is sound"
    code, answer, _ = say("verify", ledger, "--noted", noted)
    assert code == Exit.FOUND
    assert "was remade" in answer["wrong"][0]["found"]
    change(ledger, "DELETE FROM records WHERE seq >= 19")
    code, answer, _ = say("verify", ledger, "--noted", noted)
    assert code == Exit.FOUND
    assert "cut off" in answer["wrong"][0]["found"]


# --- copies ---------------------------------------------------------------------------------------


def test_a_backup_restores_to_the_same_state(ledger: Path, say: Say, tmp_path: Path) -> None:
    file, again = tmp_path / "x.backup", tmp_path / "again.ledger"
    code, copied, _ = say("backup", ledger, file)
    assert code == Exit.OK
    code, back, _ = say("restore", file, again)
    assert (code, back["sound"], back["hash"]) == (Exit.OK, True, copied["hash"])
    _, one, _ = say("verify", ledger)
    _, other, _ = say("verify", again)
    assert one | {"store": ""} == other | {"store": ""}


@pytest.mark.parametrize(
    ("words", "seq"),
    [(["--upto", "10"], 10), (["--at", DAYS[1]], 15), (["--at", "2026-01-01T00:00Z"], 0)],
)
def test_a_backup_restores_as_far_as_asked(
    ledger: Path, say: Say, tmp_path: Path, words: list[str], seq: int
) -> None:
    file, again = tmp_path / "x.backup", tmp_path / "again.ledger"
    say("backup", ledger, file)
    code, back, _ = say("restore", file, again, *words)
    assert (code, back["seq"]) == (Exit.OK, seq)
    _, old, _ = say("balance", ledger, "--at-seq", seq)
    _, new, _ = say("balance", again)
    assert old | {"store": ""} == new | {"store": ""}


def test_a_rebuilt_state_is_the_one_that_was_there(ledger: Path, say: Say) -> None:
    _, before, _ = say("verify", ledger)
    code, answer, _ = say("rebuild", ledger, "--upto", "15")
    assert (code, answer["seq"], answer["snapshots_dropped"]) == (Exit.OK, 15, 0)
    _, answer, _ = say("rebuild", ledger)
    assert answer["state_hash"] == before["state_hash"]
    assert answer["snapshots_dropped"] == 1
    change(ledger, "UPDATE records SET hash = zeroblob(32) WHERE seq = 3")
    code, _, beside = say("rebuild", ledger)
    assert code == Exit.BAD_INPUT
    assert "record 3" in beside
    store = open_store(ledger, writer=False)
    assert [head.seq for head in store.snapshots()] == [19], "what was kept stays"
    store.close()


def test_a_ledger_lives_in_postgresql_and_moves_between_stores(
    ledger: Path, say: Say, tmp_path: Path
) -> None:
    with server() as url:
        moved_between_stores(fresh(url), ledger, say, tmp_path)


def moved_between_stores(server: str, ledger: Path, say: Say, tmp_path: Path) -> None:
    file = tmp_path / "x.backup"
    say("backup", ledger, file)
    code, back, _ = say("restore", file, server)
    assert (code, back["sound"]) == (Exit.OK, True)
    lines = tmp_path / "more.jsonl"
    lines.write_text(json.dumps(deposit("bob", "ETH", 5)))
    assert run(["ledger", "submit", server, str(lines), "--at", DAYS[2]]) == Exit.OK
    _, there, _ = say("balance", server)
    again = tmp_path / "again.ledger"
    say("backup", server, tmp_path / "y.backup")
    say("restore", tmp_path / "y.backup", f"sqlite:{again}")
    _, here, _ = say("balance", again)
    assert here["seq"] == 20
    assert here | {"store": ""} == there | {"store": ""}


# --- lines of commands ----------------------------------------------------------------------------


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_line_is_answered_by_one_in_its_order(
    ledger: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = tmp_path / "lines.jsonl"
    lines.write_text(
        json.dumps(deposit("alice", "USDC", 1) | {"key": "a"}) + "\n\n  \n"
        '{"type":"Deposit","account":"alice","key":"bad"}\n'
        "not json\n"
        + json.dumps(deposit("nobody", "USDC", 1) | {"key": "b"})
        + "\n"
        # The last line of a file need not end.
        + json.dumps(deposit("alice", "USDC", "00002") | {"key": "c"})
    )
    capsys.readouterr()
    code = run(["ledger", "submit", str(ledger), str(lines), "--at", DAYS[2]])
    answers = lines_of(capsys)
    assert code == Exit.BAD_INPUT
    assert [(x["type"], x.get("key"), x.get("where")) for x in answers] == [
        ("accepted", "a", None),
        ("invalid", "bad", "line 4"),
        ("invalid", None, "line 5"),
        ("rejected", "b", "nobody"),
        ("accepted", "c", None),
    ]


@pytest.mark.parametrize(
    ("commands", "code"),
    [
        ([], Exit.OK),
        ([deposit("alice", "USDC", 1)], Exit.OK),
        ([deposit("alice", "USDC", 1), deposit("nobody", "USDC", 1)], Exit.FOUND),
    ],
)
def test_the_exit_code_says_whether_all_were_accepted(
    ledger: Path, commands: list[dict[str, Any]], code: int
) -> None:
    assert submit(ledger, DAYS[2], commands) == code


def test_a_command_with_key_and_stamp_happens_once_and_one_without_each_time(
    ledger: Path, say: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    stated = deposit("bob", "ETH", 5) | {"key": "k", "issued_ns": 1_767_787_200_000_000_000}
    for repeated in (False, True):
        capsys.readouterr()
        assert submit(ledger, DAYS[2], [stated]) == Exit.OK
        assert [x["repeated"] for x in lines_of(capsys)] == [repeated]
    for _ in range(2):
        assert submit(ledger, DAYS[2], [deposit("bob", "ETH", 5)]) == Exit.OK
    _, answer, _ = say("balance", ledger, "--account", "bob", "--asset", "ETH")
    assert answer["balances"][0]["amount"] == "0.000000000000000015"


def test_a_sender_may_wait_for_each_answer_before_its_next_line(ledger: Path) -> None:
    words = [sys.executable, "-m", "crossmargin.apps.cli", "ledger", "submit", str(ledger), "-"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as engine:
        assert engine.stdin is not None
        assert engine.stdout is not None
        for seq in (20, 21):
            engine.stdin.write(json.dumps(deposit("bob", "USDC", 1)).encode() + b"\n")
            engine.stdin.flush()
            assert json.loads(engine.stdout.readline())["seq"] == seq
        # One writes, others may look, and no second one may write.
        assert run(["ledger", "balance", str(ledger)]) == Exit.OK
        assert submit(ledger, DAYS[2], []) == Exit.BAD_INPUT
        engine.stdin.close()
        assert engine.wait(30) == Exit.OK


# --- opening books --------------------------------------------------------------------------------


def book_of(path: Path, *accounts: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"accounts": accounts}))
    return path


CAROL = {
    "account": "carol", "balances": {"ETH": "1.000000000000000001", "USDC": "-9000.25"},
    "positions": [{"instrument": "BTC-PERP", "quantity": "-0.5", "entry_price": "61000.000001"}],
    "orders": [{"instrument": "BTC-PERP", "quantity": "0.1", "limit_price": "59000"}],
}  # fmt: skip
DAVE = {"account": "dave", "balances": {"USDC": "5"}}


def test_opening_balances_come_in_exactly(ledger: Path, say: Say, tmp_path: Path) -> None:
    book = book_of(tmp_path / "b.json", CAROL, DAVE)
    code, answer, _ = say("import", ledger, "--book", book, "--at", DAYS[2])
    assert (code, answer["imported"]) == (Exit.OK, 2)
    _, stands, _ = say("balance", ledger, "--account", "carol")
    assert {x["asset"]: x["amount"] for x in stands["balances"]} == CAROL["balances"]
    # A short's contracts were worth 0.5 x 61000.000001 = 30500.0000005 to it: rounded down.
    (position,) = stands["positions"]
    assert (position["contracts"], position["cost"]) == ("-0.5", "30500")


def test_a_second_import_finds_everything_here(ledger: Path, say: Say, tmp_path: Path) -> None:
    book = book_of(tmp_path / "b.json", CAROL, DAVE)
    say("import", ledger, "--book", book, "--at", DAYS[2])
    _, before, _ = say("verify", ledger)
    code, answer, _ = say("import", ledger, "--book", book, "--at", DAYS[2])
    assert (code, answer["imported"], answer["already_here"]) == (Exit.OK, 0, 2)
    assert say("verify", ledger)[1] == before, "not a record was written"


def test_an_account_that_holds_something_else_is_left_as_it_is(
    ledger: Path, say: Say, tmp_path: Path
) -> None:
    one = {"balances": {"USDC": "1"}}
    alice, bob = {"account": "alice", **one}, {"account": "bob", "method": "cross_sum", **one}
    book = book_of(tmp_path / "b.json", DAVE, alice, bob)
    code, answer, _ = say("import", ledger, "--book", book, "--at", DAYS[2])
    assert (code, answer["imported"]) == (Exit.FOUND, 1)
    assert answer["differ"] == {
        "alice": "pool shared holds something else",
        "bob": "pool shared is open on other terms",
    }
    _, stands, _ = say("balance", ledger, "--account", "bob", "--asset", "USDC")
    assert stands["balances"][0]["amount"] == "79805.775308"


HELD = {
    "account": "frank", "balances": {"USDC": "7"},
    "positions": [{"instrument": "BTC-PERP", "quantity": "1", "entry_price": "60000"}],
    "orders": [{"instrument": "BTC-PERP", "quantity": "0.1", "limit_price": "59000"}],
    "pools": [{"pool": "b", "draw_limit": "5", "drawn": "2", "balances": {"USDC": "1"}}],
}  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        {"balances": {"USDC": "8"}},
        {"positions": [{"instrument": "BTC-PERP", "quantity": "1", "entry_price": "60001"}]},
        {"orders": [{"instrument": "BTC-PERP", "quantity": "0.1", "limit_price": "59001"}]},
        {"pools": [HELD["pools"][0] | {"drawn": "1"}]},
        {"pools": [HELD["pools"][0] | {"last_draw": "1"}]},
        {"pools": [HELD["pools"][0] | {"draw_limit": "6"}]},
    ],
    ids=lambda other: next(iter(other)),
)
def test_an_account_is_here_already_only_when_all_of_it_is(
    ledger: Path, say: Say, tmp_path: Path, other: dict[str, Any]
) -> None:
    words = ("import", ledger, "--at", DAYS[2], "--book")
    assert say(*words, book_of(tmp_path / "a.json", HELD))[1]["imported"] == 1
    assert say(*words, book_of(tmp_path / "a.json", HELD))[1]["already_here"] == 1
    assert say(*words, book_of(tmp_path / "b.json", HELD | other))[1]["differ"].keys() == {"frank"}


def test_one_wrong_row_keeps_the_whole_book_out(ledger: Path, say: Say, tmp_path: Path) -> None:
    bad = {"account": "erin", "balances": {"USDC": "0.0000001", "DOGE": "1"}}
    book = book_of(tmp_path / "b.json", DAVE, bad)
    _, before, _ = say("verify", ledger)
    code, answer, beside = say("import", ledger, "--book", book, "--at", DAYS[2])
    assert (code, answer) == (Exit.BAD_INPUT, None)
    assert "2 findings" in beside
    assert say("verify", ledger)[1] == before


def test_an_entry_price_that_no_ledger_has_keeps_the_book_out(
    ledger: Path, say: Say, tmp_path: Path
) -> None:
    # 10^-19: a position at it would have cost nothing.
    low = HELD["positions"][0] | {"entry_price": "0.0000000000000000001"}
    book = book_of(tmp_path / "b.json", DAVE, HELD | {"positions": [low]})
    _, before, _ = say("verify", ledger)
    code, answer, beside = say("import", ledger, "--book", book, "--at", DAYS[2])
    assert (code, answer) == (Exit.BAD_INPUT, None)
    assert "frank: BTC-PERP: entry_price" in beside
    assert "must lie in [10^-18, 10^15)" in beside
    assert say("verify", ledger)[1] == before


def test_an_import_that_was_killed_goes_on_where_it_stood(say: Say, tmp_path: Path) -> None:
    rows = [
        {"account": f"user-{n}", "balances": {"USDC": f"{n + 1}.5", "ETH": "1"},
         "pools": [{"pool": "b", "draw_limit": "5", "balances": {"USDC": "2"}}]}
        for n in range(3_000)
    ]  # fmt: skip
    book = book_of(tmp_path / "b.json", *rows)
    store = begun(tmp_path)
    words = [sys.executable, "-m", "crossmargin.apps.cli", "ledger", "import", str(store),
             "--book", str(book), "--at", DAYS[0]]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as importing:
        reader = open_store(store, writer=False)
        # 4 records of the market; then groups of 512 openings and of what those accounts hold.
        while reader.last()[0] < 500 and importing.poll() is None:
            time.sleep(0.002)
        importing.send_signal(signal.SIGKILL)
        importing.wait(30)
        reader.close()
    assert importing.returncode == -signal.SIGKILL, "it was done too soon to be killed"
    code, answer, _ = say("import", store, "--book", book, "--at", DAYS[0])
    assert code == Exit.OK
    assert answer["imported"] + answer["already_here"] == 3_000
    assert answer["imported"] > 0
    _, stands, _ = say("balance", store, "--asset", "USDC")
    # n + 1.5 for n from 0 to 2,999: 3,000 x 3,001 / 2 + 3,000 / 2; 2 more each in a bucket.
    assert stands["sums"]["USDC"]["users"] == "4509000"
    assert stands["accounts"] == 3_000
    assert say("verify", store)[1]["sound"]


# --- markets --------------------------------------------------------------------------------------


def test_a_ledger_is_created_in_the_demo_with_its_accounts(say: Say, tmp_path: Path) -> None:
    store = tmp_path / "demo.ledger"
    code, answer, _ = say("init", store, "--demo", "--at", "2026-01-01T00:00Z")
    assert (code, answer["imported"], answer["at"]) == (Exit.OK, 200, "2026-01-01T00:00:00Z")
    assert {"ListMarket", "AdoptRulebook", "AcceptPrices", "AdoptScenarios"} == set(
        answer["commands"]
    )
    assert say("verify", store)[1]["sound"]
    # What margins an account of the ledger is what margins it in the demo.
    engine = api.open_engine(store, clock=lambda: api.DEMO_AT_NS)
    assert engine.setting(api.DEMO_AT_NS).market is not None
    engine.close()


def test_a_ledger_is_brought_up_to_a_later_market(say: Say, tmp_path: Path) -> None:
    store = tmp_path / "demo.ledger"
    say("init", store, "--at", "2026-01-01T00:00Z")
    code, answer, _ = say("adopt", store, "--at", "2026-01-05T07:30Z", "--rulebook", "exchange-4h")
    assert (code, answer["rulebook"]) == (Exit.OK, "exchange-4h")
    assert {"ListMarket", "AdoptRulebook", "AcceptPrices"} <= set(answer["commands"])
    # The same moment again: prices are taken once more, nothing else is new.
    code, answer, _ = say("adopt", store, "--at", "2026-01-05T07:30Z")
    assert (code, "ListMarket" in answer["commands"]) == (Exit.OK, False)
    assert "AdoptRulebook" not in answer["commands"]
    assert say("verify", store)[1]["sound"]


def test_new_prices_list_no_market_anew_and_new_terms_do(say: Say, tmp_path: Path) -> None:
    store, market = begun(tmp_path), tmp_path / "market.json"
    later = market.read_text().replace(DAYS[0], DAYS[1])
    market.write_text(later.replace('"level": 60000', '"level": 61000'))
    code, answer, _ = say("adopt", store, "--market", market)
    assert (code, set(answer["commands"])) == (Exit.OK, {"AcceptPrices"})
    market.write_text(later.replace("1.21", "1.22").replace(DAYS[1], DAYS[2]))
    _, answer, _ = say("adopt", store, "--market", market)
    assert set(answer["commands"]) == {"ListMarket", "AcceptPrices"}
    # Decimals that were listed stay: nothing at all is adopted.
    market.write_text(later.replace('"decimals": 8', '"decimals": 9').replace(DAYS[1], DAYS[2]))
    before = newest(store)
    code, _, beside = say("adopt", store, "--market", market)
    assert (code, newest(store)) == (Exit.BAD_INPUT, before)
    assert "terms_changed" in beside


def test_prices_that_are_too_old_leave_a_ledger_as_it_was(say: Say, tmp_path: Path) -> None:
    store = begun(tmp_path)
    submit(store, DAYS[2], [{"type": "OpenAccount", "account": "alice"}])
    code, answer, _ = say("adopt", store, "--market", tmp_path / "market.json")
    assert (code, answer["prints"], answer["prints_too_old"]) == (Exit.FOUND, 0, 8)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["balance", "nowhere.ledger"], "nowhere.ledger"),
        (["balance", "BOOK", "--account", "nobody"], "nobody"),
        (["balance", "BOOK", "--asset", "XYZ"], "XYZ"),
        (["balance", "BOOK", "--at-seq", "99"], "at most 19"),
        (["balance", "BOOK", "--at", "yesterday"], "2026-01-31T12:00Z"),
        (["balance", "BOOK", "--at", DAYS[0], "--at-seq", "1"], "--at-seq"),
        (["statement", "BOOK"], "--account"),
        (["statement", "BOOK", "--account", "nobody"], "nobody"),
        (["statement", "BOOK", "--account", "alice", "--from", "x"], "--from"),
        (["verify", "BOOK", "--noted", "19:abc"], "RECORD:HASH"),
        (["init", "BOOK"], "19 records"),
        (["init", "new.ledger", "--demo", "--market", "m.json"], "--demo"),
        (["init", "new.ledger", "--market", "m.json"], "m.json"),
        (["init", "new.ledger", "--at", "2999-01-01T00:00Z"], "future"),
        (["init", "new.ledger", "--rulebook", "none"], "prime-24h"),
        (["init", "mysql://x"], "postgresql://"),
        (["import", "BOOK", "--book", "b.json"], "b.json"),
        (["import", "BOOK", "--book", "b.json", "--method", "magic"], "magic"),
        (["submit", "BOOK", "lines.jsonl"], "lines.jsonl"),
        (["submit", "BOOK", "MARKET", "--at", "2999-01-01T00:00Z"], "future"),
        (["backup", "BOOK", "BOOK"], "new file"),
        (["restore", "BOOK", "new.ledger"], "backup"),
        (["restore", "x.backup", "new.ledger", "--upto", "1", "--at", DAYS[0]], "--upto"),
        (["rebuild", "BOOK", "--upto", "99"], "--upto"),
        (["export", "BOOK", "BOOK"], "empty folder"),
    ],
    ids=lambda words: " ".join(words[:4]) if isinstance(words, list) else "",
)
def test_what_cannot_be_done_ends_with_2_and_says_why(
    ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, words: list[str], says: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = newest(ledger)
    named = {"BOOK": str(ledger), "MARKET": str(ledger)}
    assert run(["ledger", *(named.get(word, word) for word in words)]) == Exit.BAD_INPUT
    out, err = capsys.readouterr()
    assert says in err
    assert (out, "Traceback" in err) == ("", False)
    assert not (tmp_path / "new.ledger").exists()
    assert newest(ledger) == before


def newest(store: Path) -> tuple[int, bytes]:
    opened = open_store(store, writer=False)
    last = opened.last()
    opened.close()
    return last


def test_an_export_that_cannot_be_written_leaves_nothing_behind(
    ledger: Path, say: Say, tmp_path: Path
) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    if os.geteuid() == 0:
        # Root may write anywhere; a file in the way of the folder stops it as well.
        folder.rmdir()
        folder.write_text("")
    else:
        folder.chmod(0o500)
    code, _, beside = say("export", ledger, folder / "tables")
    assert code == Exit.BAD_INPUT
    assert "tables" in beside
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_a_password_is_shown_nowhere_and_names_with_brackets_as_they_are(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown("postgresql://me:se%2Fcret@host/db?password=x&schema=s") == (
        "postgresql://me:***@host/db?password=***&schema=s"
    )
    assert shown("postgresql://me@host/db") == "postgresql://me@host/db"
    assert shown("C:/books/a.ledger") == "C:/books/a.ledger"
    assert submit(ledger, DAYS[2], [{"type": "OpenAccount", "account": "[red]ann[/]"},
                                    deposit("[red]ann[/]", "USDC", 1, "[bold]x")]) == 0  # fmt: skip
    capsys.readouterr()
    run(["ledger", "balance", str(ledger), "--account", "[red]ann[/]"])
    run(["ledger", "statement", str(ledger), "--account", "[red]ann[/]"])
    out = capsys.readouterr().out
    assert out.count("[red]ann[/]") == 2
    assert "deposit, [bold]x" in out


@pytest.mark.parametrize("words", [["ledger", "--help"], ["ledger", "statement", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    heavy = ("numba", "numpy", "polars", "pyarrow", "matplotlib", "sqlalchemy", "psycopg", "duckdb")
    code = (
        "import sys\nfrom crossmargin.apps.cli.program import run\n"
        f"assert run({words!r}) == 0\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
