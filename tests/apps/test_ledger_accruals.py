"""What a ledger says is due is what a charge posts."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from apps.ledger_days import ETH, USDC, begun
from crossmargin import api
from crossmargin.domain.lending import LendingTerms
from crossmargin.engine.balances import balances, sums
from crossmargin.engine.runtime import Engine
from crossmargin.frames.findings import stamp_ns

c = api.commands
BEGIN = stamp_ns("2026-01-05T12:00:00Z")
YEAR_NS = 365 * 86_400 * 10**9
# 10 % a year whatever is lent out.
FLAT = LendingTerms(cap=1e9, base=0.1, slope_low=0.0, kink=0.5, slope_high=0.0)


def send(engine: Engine, *commands: api.commands.Command) -> None:
    now = engine.now()
    keyed = [replace(one, key=f"{engine.seq}-{n}", issued_ns=now) for n, one in enumerate(commands)]
    for reply in engine.submit(keyed):
        assert isinstance(reply, api.Accepted), reply


def due(engine: Engine, account: str) -> dict[str, int]:
    return {one.asset: one.due for one in balances(engine.book, [account])}


def test_interest_that_is_due_is_what_a_charge_posts(tmp_path: Path) -> None:
    clock = [BEGIN]
    engine = api.open_engine(begun(tmp_path), clock=lambda: clock[0])
    rules = replace(api.load_rulebook("prime-24h"), lending={"USDC": FLAT})
    send(engine, c.AdoptRulebook(rules=rules.packed()),
         c.OpenAccount(account="lender"), c.OpenAccount(account="alice"),
         c.Deposit(account="lender", asset="USDC", amount=10_000 * USDC),
         c.Deposit(account="alice", asset="ETH", amount=10 * ETH),
         c.Borrow(account="alice", asset="USDC", amount=1_000 * USDC + 1))  # fmt: skip
    assert due(engine, "alice") == {"ETH": 0, "USDC": 0}

    clock[0] += YEAR_NS
    send(engine, c.AdvanceInterest(asset="USDC"))
    # A tenth of 1000.000001: 100.0000001, paid up to the next millionth.
    assert due(engine, "alice") == {"ETH": 0, "USDC": 100 * USDC + 1}
    assert due(engine, "lender") == {"USDC": 0}

    send(engine, c.ChargeAccruals(holders=(("alice", "shared"),)))
    assert engine.book.balance("alice", "shared", "USDC") == -(1_100 * USDC + 2)
    assert due(engine, "alice") == {"ETH": 0, "USDC": 0}
    held = sums(engine.book)["USDC"]
    assert held["@interest"] == 100 * USDC
    assert held["@rounding"] == 1
    assert sum(held.values()) == 0
    engine.close()
