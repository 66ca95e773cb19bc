"""A ledger of three days in the market of docs/formats.md, made by the commands themselves.

Day one: alice and bob pay in, trade BTC-PERP and an option, alice moves coins into a bucket.
Day two: new prices, funding, alice sells a part. Day three: new prices, funding, coins leave.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from crossmargin.apps.cli.program import run
from crossmargin.frames.findings import stamp_ns
from crossmargin.ledger import journal

FORMATS = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
DAYS = ("2026-01-05T12:00:00Z", "2026-01-06T12:00:00Z", "2026-01-07T12:00:00Z")
USDC, ETH, CONTRACT = 10**6, 10**18, 10**18
Command = dict[str, Any]


def market_file(folder: Path) -> Path:
    """Write the market of docs/formats.md, at a moment when the shipped rulebooks are in force."""
    (text,) = re.findall(r"^```json market\n(.*?)^```$", FORMATS.read_text(), re.M | re.S)
    path = folder / "market.json"
    path.write_text(re.sub(r'"at": ".*"', f'"at": "{DAYS[0]}"', text))
    return path


def prices(at: str, btc: float) -> Command:
    """Return new prices of everything the accounts hold."""
    level = {"BTC/USD": [btc], "ETH/USD": [3000.0], "USDC/USD": [1.0]}
    marks = {"BTC-PERP": [btc + 10.0], "ETH-3500-C": [3010.0, 0.6, 0.04]}
    return {"type": "AcceptPrices", "stamped_ns": stamp_ns(at), "prints": level, "marks": marks}


def fill(contracts: int, price: str, buyer: Command, seller: Command) -> Command:
    return {
        "type": "Fill", "instrument": "BTC-PERP", "contracts": contracts, "price": price,
        "buyer": buyer, "seller": seller,
    }  # fmt: skip


def deposit(account: str, asset: str, amount: int, reference: str = "") -> Command:
    return {
        "type": "Deposit", "account": account, "asset": asset, "amount": amount,
        "reference": reference,
    }  # fmt: skip


ALICE, BOB = {"account": "alice", "fee": 6 * USDC}, {"account": "bob", "fee": -1 * USDC}
FUNDING = {"type": "AdvanceFunding", "instrument": "BTC-PERP", "rate": "0.0001", "price": "60000"}
STORY: dict[str, list[Command]] = {
    DAYS[0]: [
        {"type": "OpenAccount", "account": "alice",
         "pools": [["shared", "cross_correlated", None], ["gamble", "isolated", 500 * USDC]]},
        {"type": "OpenAccount", "account": "bob"},
        deposit("alice", "USDC", 50_000 * USDC, "wire 1"),
        deposit("bob", "USDC", 80_000 * USDC),
        deposit("alice", "ETH", 10 * ETH),
        {"type": "Transfer", "account": "alice", "asset": "USDC", "amount": 1_000 * USDC,
         "to_pool": "gamble"},
        fill(CONTRACT // 2, "60010.000001", ALICE, BOB),
        {"type": "Fill", "instrument": "ETH-3500-C", "contracts": CONTRACT, "price": "120.5",
         "buyer": {"account": "alice"}, "seller": {"account": "@outside"}},
    ],
    DAYS[1]: [
        prices(DAYS[1], 61_000.0),
        FUNDING,
        fill(CONTRACT // 5, "61010.1234567", {"account": "bob"}, {"account": "alice"}),
    ],
    DAYS[2]: [
        prices(DAYS[2], 59_500.0),
        FUNDING,
        {"type": "Withdraw", "account": "alice", "asset": "USDC", "amount": 2_000 * USDC},
        {"type": "ChargeAccruals", "holders": [["bob", "shared"]]},
    ],
}  # fmt: skip


def submit(store: Path, at: str, commands: Sequence[Command]) -> int:
    """Send commands as of a moment; return the exit code."""
    lines = store.with_suffix(".jsonl")
    lines.write_text("".join(json.dumps(one) + "\n" for one in commands))
    return run(["ledger", "submit", str(store), str(lines), "--at", at])


def begun(folder: Path) -> Path:
    """Return a ledger that stands in the market of docs/formats.md and has no account yet."""
    store = folder / "book.ledger"
    assert run(["ledger", "init", str(store), "--market", str(market_file(folder))]) == 0
    return store


def told(folder: Path) -> Path:
    """Return the ledger of the three days."""
    store = begun(folder)
    for at, commands in STORY.items():
        assert submit(store, at, commands) == 0
    return store


def rewritten(store: Path, seq: int, change_of: Callable[[Any], Any]) -> None:
    """Change a record and chain everything after it anew, as one who holds the file could."""
    connection = sqlite3.connect(store)
    chain = journal.GENESIS
    with connection:
        for number, body in connection.execute("SELECT seq, body FROM records ORDER BY seq"):
            if number == seq:
                body = journal.encode(change_of(journal.decode(body, seq)))
            chain = journal.chained(chain, number, body)
            connection.execute(
                "UPDATE records SET body = ?, hash = ? WHERE seq = ?", (body, chain, number)
            )
    connection.close()
