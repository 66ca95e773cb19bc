"""A journal read by somebody who was not there: was every forced sale due, at a good price?

In     the records of a store.
Out    a `Verdicts`: how many forced sales there are, and in words each that is not explained.
Owns   what explains a forced sale: the pool was under water, by the prices and rules recorded
       before it, and what was sold had a price that was LIVE or DEGRADED and not stale.
Never  asks the engine, its loop or its lookout: it folds events and margins the pool.
Signs  none.
Spec   docs/spec/09-loop.md, law L13
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from crossmargin.domain.book import Book
from crossmargin.domain.instruments import KindCode
from crossmargin.engine.market import Setting, Settings
from crossmargin.engine.ports import Store
from crossmargin.frames.ledgered import book_frame
from crossmargin.frames.market import Status, asset_status
from crossmargin.ledger.apply import apply_entry
from crossmargin.ledger.events import Deleveraged, Entry, LiquidationFilled
from crossmargin.ledger.journal import decode
from crossmargin.margin.requirement import Verdict
from crossmargin.methods.registry import assess

FORCED = (LiquidationFilled, Deleveraged)


@dataclass(slots=True)
class Verdicts:
    """What a journal's forced sales come to."""

    batches: int = 0
    sales: int = 0
    wrong: list[str] = field(default_factory=list)


def explained(store: Store, upto: int | None = None) -> Verdicts:
    """Fold the journal and judge every batch of the liquidation loop on the state before it."""
    book, settings, out = Book(), Settings(), Verdicts()
    for batch in store.read(0, upto):
        for record in batch:
            entry = decode(record.body, record.seq)
            sold = [event for event in entry.events if isinstance(event, FORCED)]
            if sold:
                out.batches += 1
                out.sales += len(sold)
                out.wrong += _faults(entry, sold, book, settings, record.seq)
            apply_entry(entry, record.seq, book)
    return out


def _faults(
    entry: Entry, sold: list[LiquidationFilled | Deleveraged], book: Book, settings: Settings,
    seq: int,
) -> list[str]:  # fmt: skip
    setting = settings.at(book.head, entry.at_ns)
    if setting.market is None:
        return [f"record {seq}: something was sold before there were prices"]
    owner = _owner(entry, sold)
    if owner is None:
        return [f"record {seq}: a forced sale of nobody's pool: {entry.key}"]
    found = []
    verdict = _verdict(book, setting, owner)
    if verdict not in (Verdict.LIQUIDATABLE, Verdict.BANKRUPT):
        found.append(f"record {seq}: {'/'.join(owner)} was {verdict.name}")
    for event in sold:
        name = event.item if isinstance(event, LiquidationFilled) else event.instrument
        status = _status(setting, name)
        if status < Status.DEGRADED:
            found.append(f"record {seq}: {name} was sold while {status.name}")
    return found


def _owner(entry: Entry, sold: list[LiquidationFilled | Deleveraged]) -> tuple[str, str] | None:
    """Return the pool whose name the batch's key holds."""
    named = entry.key.rpartition("-")[2]
    touched = {(move.account, move.pool) for event in sold for move in event.moves}
    touched |= {(line.account, line.pool) for event in sold for line in event.postings}
    for one in sorted(touched):
        digest = hashlib.blake2b("\0".join(one).encode(), digest_size=10).hexdigest()
        if digest == named:
            return one
    return None


def _verdict(book: Book, setting: Setting, owner: tuple[str, str]) -> Verdict:
    account = book.accounts[owner[0]]
    assert setting.items is not None
    assert setting.market is not None
    own = book_frame([(owner[0], account)], book, setting.items)
    row = [str(name) for name in own.pool_names].index(owner[1])
    return Verdict(int(assess(own, setting.market, threads=1).verdict[row]))


def _status(setting: Setting, item: str) -> Status:
    """Return the worst status of what an item's price hangs on, a stale print included."""
    market = setting.market
    assert market is not None
    table, assets = market.frame.instruments, asset_status(market.frame)
    if item in market.frame.assets.names:
        return Status(int(assets[market.frame.assets.names.index(item)]))
    row = table.names.index(item)
    if table.kind[row] == KindCode.SPOT:
        return Status(min(int(assets[table.underlying[row]]), int(assets[table.quote[row]])))
    worst = min(int(assets[table.underlying[row]]), int(assets[table.quote[row]]))
    return Status(min(worst, int(table.status[row])))


def unbalanced(book: Book) -> dict[str, int]:
    """Return what does not sum to zero over all accounts: assets in units, costs as money."""
    assert book.head.listing is not None
    terms = book.head.listing.terms
    found: dict[str, int] = {}
    for account in book.accounts.values():
        for pool in account.pools.values():
            for asset, amount in pool.balances.items():
                found[asset] = found.get(asset, 0) + amount
            for name, position in pool.positions.items():
                settle = terms[name].settle
                found[name] = found.get(name, 0) + position.contracts
                found[settle] = found.get(settle, 0) + position.cost
    return {item: left for item, left in found.items() if left}
