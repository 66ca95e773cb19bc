"""The fixture of the restart bench writes what the engine writes, and knows its state."""

from __future__ import annotations

import msgspec
import pytest
from benchmarks import ledger_fixture
from benchmarks.ledger_fixture import START_NS, STEP_NS, Journal, snapshot, venue

from crossmargin.engine import commands as c
from crossmargin.engine.replies import Accepted
from crossmargin.engine.runtime import restored
from crossmargin.ledger import events as e
from crossmargin.ledger import journal
from crossmargin.simulation.faults import MemoryStore


def test_every_record_is_the_one_the_engine_writes_for_its_command():
    written = Journal(20, per_record=3)
    now_ns = [START_NS + STEP_NS]
    engine, _ = venue(lambda: now_ns[0])
    kinds = set()
    for records in (*written.openings(), *written.trades(400)):
        for record in records:
            entry = journal.decode(record.body, record.seq)
            now_ns[0] = entry.at_ns
            [reply] = engine.submit([command_of(entry)])
            assert reply == Accepted(record.seq)
            own = journal.decode(engine.store.records[-1].body, record.seq)
            # The writer's fingerprint is its number; the engine's is a hash of the command.
            own = msgspec.structs.replace(own, fingerprint=entry.fingerprint)
            assert journal.encode(own) == record.body
            kinds |= {type(event) for event in entry.events}
    assert len(kinds) == 8, "two of openings, six of trades"


def command_of(entry: e.Entry) -> c.AnyCommand:
    """Return the command that makes these events."""
    envelope = {"key": entry.key, "issued_ns": entry.at_ns}
    if len(entry.events) == 1:
        return single(entry.events[0], envelope)
    inner = tuple(single(event, {}) for event in entry.events)
    return c.Batch(commands=inner, **envelope)


def single(event: e.Event, envelope: dict[str, object]) -> c.AnyCommand:
    """Return the command that makes one event."""
    match event:
        case e.AccountOpened(account, pools):
            return c.OpenAccount(account=account, pools=pools, **envelope)
        case e.Imported(account, _, postings, moves, orders):
            own = {p.asset: p.amount for p in postings if p.account == account}
            held = {m.instrument: (m.contracts, m.cost) for m in moves if m.account == account}
            return c.ImportAccount(
                account=account, balances=own, positions=held, orders=orders, **envelope
            )
        case e.Deposited(_, (_, to)):
            return c.Deposit(account=to.account, asset=to.asset, amount=to.amount, **envelope)
        case e.Withdrawn(_, (by, _)):
            return c.Withdraw(account=by.account, asset=by.asset, amount=-by.amount, **envelope)
        case e.Transferred((by, to)):
            return c.Transfer(
                account=by.account, to_account=to.account, asset=to.asset, amount=to.amount,
                **envelope,
            )  # fmt: skip
        case e.OrderPlaced(account, _, order, instrument, contracts, limit_price):
            return c.PlaceOrder(
                account=account, order=order, instrument=instrument, contracts=contracts,
                limit_price=limit_price, **envelope,
            )  # fmt: skip
        case e.OrderCancelled(account, _, order):
            return c.CancelOrder(account=account, order=order, **envelope)
    assert isinstance(event, e.Filled)
    bought, sold = event.moves
    fees = {p.account: -p.amount for p in event.postings}
    return c.Fill(
        instrument=event.instrument, contracts=bought.contracts, price=event.price,
        buyer=c.Side(bought.account, fee=fees.get(bought.account, 0)),
        seller=c.Side(sold.account, fee=fees.get(sold.account, 0)), **envelope,
    )  # fmt: skip


@pytest.mark.parametrize("n_trades", [0, 1, 580, 601, 1_200, 1_790, 3_000])
def test_the_state_it_knows_is_the_one_a_replay_ends_in(monkeypatch, n_trades):
    # A second a record: the 600 s of a window of keys, and prices, come round often.
    monkeypatch.setattr(ledger_fixture, "STEP_NS", 10**9)
    monkeypatch.setattr(ledger_fixture, "PRICES_EVERY", 250)
    written = Journal(40, per_record=7)
    records = list(written.records)
    for some in (*written.openings(), *written.trades(n_trades)):
        records += some
    book, chain = restored(MemoryStore(records))
    assert chain == written.chain
    assert snapshot(book) == snapshot(written.book())
