"""The one way an event changes a book: live, in replay, and in a fork that asks what if.

In     an event or an entry, a book.
Out    the book, changed in place.
Owns   what each kind of event does.
Never  decides, refuses or rounds: that was done before the event was written.
Signs  as Posting and Move.
Spec   docs/spec/10-ledger.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import (
    INDEX_ONE,
    MIRROR,
    OPEN,
    SYSTEM,
    AccountState,
    Book,
    Key,
    LendingState,
    OrderState,
    PoolState,
    PositionState,
)
from crossmargin.ledger import events as e


def apply_entry(entry: e.Entry, seq: int, book: Book) -> None:
    """Fold one record into the book."""
    # First, so that indexes and windows of time are stamped with the entry's own moment.
    book.remember(entry.key, Key(seq, entry.at_ns, entry.fingerprint))
    book.head.seq, book.head.at_ns = seq, entry.at_ns
    for event in entry.events:
        apply(event, book)


def apply(event: e.Event, book: Book) -> None:
    """Fold one event into the book: its postings and moves, then what else it says."""
    moneyed, moving, more = EFFECTS[type(event)]
    if moneyed:
        for posting in event.postings:  # type: ignore[attr-defined]
            post(book, posting)
    if moving:
        for move in event.moves:  # type: ignore[attr-defined]
            shift(book, move)
    if more is not None:
        more(event, book)


def post(book: Book, posting: e.Posting) -> None:
    """Change one balance, and the totals of its asset where a user holds it."""
    account, asset, amount = posting.account, posting.asset, posting.amount
    # Here and below: what is at hand first, because a call costs more than the rest of a posting.
    owner = book.accounts.get(account) or book.own(account)
    pool = owner.pools[posting.pool]
    balances = pool.balances
    before = balances.get(asset, 0)
    after = before + amount
    if after:
        balances[asset] = after
    else:
        balances.pop(asset, None)
    if account[0] == SYSTEM or owner.status == MIRROR:
        return
    lent = book.lending.get(asset) or book.lent(asset)
    if before >= 0:
        if after >= 0:
            lent.supplied += amount
            return
        lent.supplied -= before
        lent.debt -= after
        pool.debt_index[asset] = lent.index
    elif after < 0:
        lent.debt -= amount
    else:
        lent.debt += before
        lent.supplied += after
        del pool.debt_index[asset]


def shift(book: Book, move: e.Move) -> None:
    """Change one position; a new one starts at the instrument's funding index of now."""
    account, name = move.account, move.instrument
    owner = book.accounts.get(account) or book.own(account)
    positions = owner.pools[move.pool].positions
    held = positions.get(name)
    if held is None:
        if move.contracts or move.cost:
            index = book.head.funding.get(name, 0)
            positions[name] = PositionState(move.contracts, move.cost, index)
        return
    held.contracts += move.contracts
    held.cost += move.cost
    if not held.contracts and not held.cost:
        del positions[name]


# --- what else an event says ----------------------------------------------------------------------


def _opened(event: e.AccountOpened, book: Book) -> None:
    pools = {terms.pool: PoolState(terms.method, terms.draw_limit) for terms in event.pools}
    status = MIRROR if event.mirror else OPEN
    book.accounts[event.account] = AccountState(status, pools)


def _pool_opened(event: e.PoolOpened, book: Book) -> None:
    terms = event.pool
    book.own(event.account).pools[terms.pool] = PoolState(terms.method, terms.draw_limit)


def _status(event: e.StatusSet, book: Book) -> None:
    book.own(event.account).status = event.status


def _listed(event: e.MarketListed, book: Book) -> None:
    head = book.head
    head.listing = event.listing
    for asset in event.listing.decimals:
        head.lending.setdefault(asset, LendingState(0, 0, INDEX_ONE, head.at_ns))
    head.version += 1


def _rules(event: e.RulebookAdopted, book: Book) -> None:
    book.head.rules = event.rules
    book.head.version += 1


def _scenarios(event: e.ScenariosAdopted, book: Book) -> None:
    book.head.scenarios = event.scenarios
    book.head.version += 1


def _prices(event: e.PricesAccepted, book: Book) -> None:
    head, stamp = book.head, event.stamped_ns
    head.prints.update({name: (level, stamp) for name, level in event.prints.items()})
    head.marks.update({name: (mark, stamp) for name, mark in event.marks.items()})
    head.version += 1


def _totals(event: e.VenueTotalsAdopted, book: Book) -> None:
    book.head.venue_totals = dict(event.totals)
    book.head.version += 1


def _transferred(event: e.Transferred, book: Book) -> None:
    if event.paid_back:
        source = event.postings[0]
        book.own(source.account).pools[source.pool].drawn -= event.paid_back


def _filled(event: e.Filled | e.LiquidationFilled, book: Book) -> None:
    for fill in event.orders:
        orders = book.own(fill.account).pools[fill.pool].orders
        order = orders[fill.order]
        left = order.contracts - fill.contracts
        if left:
            orders[fill.order] = OrderState(
                order.instrument, left, order.limit_price, order.reduce_only
            )
        else:
            del orders[fill.order]


def _sold_out(event: e.LiquidationFilled, book: Book) -> None:
    _filled(event, book)
    pools = book.own(event.account).pools
    # A bucket that merges is the shared pool's, and so are its rounds.
    merged = pools[event.pool].draw_limit is None
    home = pools[SHARED if merged else event.pool]
    home.sold_ns = book.head.at_ns if event.rounds else 0


def _placed(event: e.OrderPlaced, book: Book) -> None:
    book.own(event.account).pools[event.pool].orders[event.order] = OrderState(
        event.instrument, event.contracts, event.limit_price, event.reduce_only
    )


def _cancelled(event: e.OrderCancelled, book: Book) -> None:
    del book.own(event.account).pools[event.pool].orders[event.order]


def _reserved(event: e.DrawReserved, book: Book) -> None:
    book.own(event.account).pools[event.pool].last_draw = event.amount


def _drawn(event: e.Drawn, book: Book) -> None:
    book.own(event.account).pools[event.pool].drawn += event.amount


def _settled(event: e.Settled, book: Book) -> None:
    book.settle(event.instrument, event.price)


def _funding_indexed(event: e.FundingIndexed, book: Book) -> None:
    book.head.funding[event.instrument] = event.index


def _funding_paid(event: e.FundingPaid, book: Book) -> None:
    index = book.head.funding[event.instrument]
    for account, pool in event.holders:
        held = book.own(account).pools[pool].positions
        if event.instrument in held:
            held[event.instrument].funding_index = index


def _interest_indexed(event: e.InterestIndexed, book: Book) -> None:
    lent = book.lent(event.asset)
    lent.index, lent.stamped_ns = event.index, book.head.at_ns


def _interest_charged(event: e.InterestCharged, book: Book) -> None:
    index = book.lent(event.asset).index
    for account, pool in event.holders:
        held = book.own(account).pools[pool]
        if event.asset in held.debt_index:
            held.debt_index[event.asset] = index


def _imported(event: e.Imported, book: Book) -> None:
    pool = book.own(event.account).pools[event.pool]
    pool.orders.update(event.orders)
    pool.drawn, pool.last_draw = event.drawn, event.last_draw


ALSO: dict[type, Callable[[Any, Book], None]] = {
    e.AccountOpened: _opened, e.PoolOpened: _pool_opened, e.StatusSet: _status,
    e.MarketListed: _listed, e.RulebookAdopted: _rules, e.ScenariosAdopted: _scenarios,
    e.PricesAccepted: _prices, e.VenueTotalsAdopted: _totals, e.Transferred: _transferred,
    e.Filled: _filled, e.LiquidationFilled: _sold_out,
    e.OrderPlaced: _placed, e.OrderCancelled: _cancelled,
    e.DrawReserved: _reserved, e.Drawn: _drawn, e.Settled: _settled,
    e.FundingIndexed: _funding_indexed, e.FundingPaid: _funding_paid,
    e.InterestIndexed: _interest_indexed, e.InterestCharged: _interest_charged,
    e.Imported: _imported,
}  # fmt: skip


def _effects(kind: type) -> tuple[bool, bool, Callable[[Any, Book], None] | None]:
    """Return whether an event of this kind has postings, has moves, and what else it does."""
    fields = kind.__struct_fields__  # type: ignore[attr-defined]
    return "postings" in fields, "moves" in fields, ALSO.get(kind)


EFFECTS = {kind: _effects(kind) for kind in e.Event.__subclasses__()}


def imbalance(events: Iterable[e.Event], terms: dict[str, Any]) -> dict[str, int]:
    """Return asset or instrument -> what its postings and moves fail to sum to; empty when sound.

    A move's cost is money of the instrument's settlement asset: it counts there.
    """
    total: dict[str, int] = {}
    for event in events:
        for posting in e.postings_of(event):
            total[posting.asset] = total.get(posting.asset, 0) + posting.amount
        for move in e.moves_of(event):
            settle = terms[move.instrument].settle
            total[settle] = total.get(settle, 0) + move.cost
            total[move.instrument] = total.get(move.instrument, 0) + move.contracts
    return {item: left for item, left in total.items() if left}
