"""`crossmargin oracle`: prices with their reasons, and commands that an engine accepts."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crossmargin.adapters.files import load_rulebook
from crossmargin.adapters.store import open_store
from crossmargin.adapters.wire import command_from_json
from crossmargin.apps.cli.outcome import Exit
from crossmargin.apps.cli.program import run
from crossmargin.engine.commands import AcceptPrices
from crossmargin.engine.runtime import restored

MARKET = {
    "numeraire": "USD",
    "factors": [
        {"factor": "BTC/USD", "kind": "spot", "class": "BTC", "level": 113000},
        {"factor": "USDe/USD", "kind": "peg", "class": "synthetic", "level": 1},
    ],
    "assets": [
        {"asset": "USD", "class": "fiat", "decimals": 2, "loads": ""},
        {"asset": "BTC", "class": "blue_chip", "decimals": 8, "loads": "BTC/USD"},
        {"asset": "USDe", "class": "synthetic", "decimals": 18, "loads": "USDe/USD"},
    ],
}
NOON = datetime(2025, 10, 10, 12, tzinfo=UTC)
HEAD = "factor,source,class,price,stamp,sequence,volume"


def quotes(path: Path, begin: datetime = NOON, until_s: int = 480, last: float = 0.6567) -> Path:
    """Write eight minutes of BTC and USDe; one venue of USDe leaves at the end."""
    rows = [HEAD]
    for second in range(0, until_s + 1, 5):
        at = (begin + timedelta(seconds=second)).isoformat()
        big = last if second > until_s - 60 else 1.0
        said = {"BTC/USD BTC": (113_000.0, 113_010.0, 113_030.0),
                "USDe/USD synthetic": (big, 0.9985, 0.9991, 1.0001)}  # fmt: skip
        for name, levels in said.items():
            factor, risk_class = name.split()
            for source, price, volume in zip("abcd", levels, (9e8, 3e7, 5e7, 8e7), strict=False):
                rows.append(f"{factor},{source},{risk_class},{price},{at},{second},{volume}")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]):
    def made(*words: object) -> tuple[int, str, str]:
        code = run(["oracle", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return made


def test_prices_in_words_and_in_json(call, tmp_path) -> None:
    path = quotes(tmp_path / "quotes.csv")
    code, out, _ = call("--quotes", path)
    assert code == Exit.OK
    assert "LIVE" in out
    assert "3 of 4" in out
    code, text, _ = call("--quotes", path, "--json")
    assert code == Exit.OK
    answer = json.loads(text)
    rows = {row["factor"]: row for row in answer["prices"]}
    # 0.6567 is 34 % from the reference 0.9988; of 3e7, 5e7, 8e7, capped at 5e7, the middle is c's.
    assert rows["USDe/USD"]["level"] == 0.9991
    assert rows["USDe/USD"]["status"] == "LIVE"
    assert rows["BTC/USD"]["kept"] == 3
    assert answer["rulebook_digest"] == load_rulebook("prime-24h").digest


def test_a_price_explains_itself(call, tmp_path) -> None:
    path = quotes(tmp_path / "quotes.csv")
    with path.open("a") as file:
        file.write("USDe/USD,d,synthetic,-1,2025-10-10T12:08:00Z,999,\n")
    code, text, _ = call("--quotes", path, "--explain", "USDe/USD", "--json")
    assert code == Exit.OK
    told = {row["source"]: row for row in json.loads(text)["explain"]["told"]}
    assert told["a"]["fate"] == "dropped: too far from the reference"
    assert told["a"]["weight"] == 0.0
    assert told["d"]["refused"] == {"not above zero": 1}
    assert told["d"]["price"] == 1.0001, "what it said before still counts"
    _, out, _ = call("--quotes", path, "--explain", "USDe/USD")
    assert "too far from the reference" in out
    assert "not above zero" in out


def test_a_moment_of_the_past_and_one_after_the_last_quote(call, tmp_path) -> None:
    path = quotes(tmp_path / "quotes.csv")
    code, text, _ = call("--quotes", path, "--at", "2025-10-10T12:01:00Z", "--json")
    rows = json.loads(text)["prices"]
    assert code == Exit.OK
    assert {row["status"] for row in rows} == {"DEGRADED"}  # confirmed; no window has passed
    code, text, _ = call("--quotes", path, "--at", "2025-10-10T12:09:01Z", "--json")
    assert code == Exit.UNPRICED
    assert {row["status"] for row in json.loads(text)["prices"]} == {"HALTED"}


def test_a_market_names_the_classes_and_which_factors_are_fused(call, tmp_path) -> None:
    path = tmp_path / "quotes.csv"
    lines = quotes(path).read_text().splitlines()
    path.write_text("\n".join([lines[0], *(line.replace(",BTC,", ",,") for line in lines[1:])]))
    code, _, err = call("--quotes", path)
    assert code == Exit.BAD_INPUT
    assert "factor BTC/USD class" in err
    market = tmp_path / "market.json"
    market.write_text(json.dumps({
        "at": "2025-10-10T12:00Z", "numeraire": "USD", "assets": [],
        "factors": [{"factor": "BTC/USD", "kind": "spot", "class": "BTC", "level": 1}],
    }))  # fmt: skip
    code, text, _ = call("--quotes", path, "--market", market, "--json")
    answer = json.loads(text)
    assert [row["factor"] for row in answer["prices"]] == ["BTC/USD"]
    assert code == Exit.UNPRICED
    assert "be a factor that is fused" in answer["findings"][0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--explain", "ETH/USD"], "ETH/USD"),
        (["--at", "soon"], "soon"),
        (["--every", "0"], "--every"),
        (["--rulebook", "none"], "none"),
        (["--at", "2025-10-09T12:00Z", "--explain", "X"], "X"),
    ],
)
def test_what_cannot_be_understood_ends_with_2(call, tmp_path, words, says) -> None:
    code, out, err = call("--quotes", quotes(tmp_path / "quotes.csv"), *words)
    assert (code, out) == (Exit.BAD_INPUT, "")
    assert says in err


def test_the_prices_of_every_tick_are_commands_an_engine_accepts(call, tmp_path) -> None:
    # Eight minutes that end now: the engine looks at its own clock.
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=480)
    path, out = quotes(tmp_path / "quotes.csv", begin), tmp_path / "prices.jsonl"
    code, _, err = call("--quotes", path, "--prices", out, "--every", "5")
    assert code == Exit.OK
    assert str(out) in err
    commands = [command_from_json(line) for line in out.read_bytes().splitlines()]
    assert all(isinstance(command, AcceptPrices) for command in commands)
    assert len(commands) == 85  # 97 ticks, the first twelve before anything was confirmed
    market, store = tmp_path / "market.json", str(tmp_path / "a.ledger")
    market.write_text(json.dumps(MARKET | {"at": begin.isoformat()}))
    assert run(["ledger", "init", store, "--market", str(market)]) in (Exit.OK, Exit.FOUND)
    words = [
        sys.executable,
        "-m",
        "crossmargin.apps.cli",
        "run",
        "--store",
        store,
        "--feed",
        str(out),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    replies = [json.loads(line) for line in done.stdout.splitlines()[1:]]
    kinds = [reply["type"] for reply in replies]
    assert len(kinds) == 85
    # What is older than a minute by now is refused as stale, and everything after it accepted.
    n_stale = kinds.count("rejected")
    assert {r["reason"] for r in replies[:n_stale]} == {"price_stale"}
    assert kinds[n_stale:] == ["accepted"] * (85 - n_stale)
    assert 85 - n_stale >= 3
    with closing(open_store(store, writer=False)) as kept:
        book, *_ = restored(kept)
    told, stamp = book.head.prints["USDe/USD"]
    assert (told.level, told.status, stamp) == (0.9991, "live", commands[-1].stamped_ns)
