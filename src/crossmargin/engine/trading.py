"""Drafts of trading: fills, orders, reservations, expiry.

In     commands, a workspace.
Out    events and asks in the workspace, or a refusal.
Owns   what each of these commands needs, in the documented order of tests.
Never  judges margin.
Signs  contracts of a fill > 0, of an order signed.
Spec   docs/spec/10-ledger.md, 10.2, 10.11, 10.15 to 10.19
"""

from __future__ import annotations

import numpy as np

from crossmargin.base.fixed import scale_down, scale_up
from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import (
    CLEARING,
    CONTRACT_DECIMALS,
    MONEY_DECIMALS,
    OUTSIDE,
    ROUNDING,
    SYSTEM,
    OrderState,
    Terms,
)
from crossmargin.engine import commands as c
from crossmargin.engine.commands import Side
from crossmargin.engine.fills import Trade, fee_postings, rows_of
from crossmargin.engine.replies import Rejection
from crossmargin.engine.workspace import (
    Workspace,
    amount_of,
    is_id,
    most_of,
    price_of,
    refuse,
)
from crossmargin.frames.compile import to_smallest_units
from crossmargin.frames.ledgered import book_frame
from crossmargin.ledger import events as e
from crossmargin.ledger import exactly
from crossmargin.ledger.events import Move, OrderFill, Posting
from crossmargin.methods.registry import assess

ORDERS_MAX = 200
# Every margin of an account walks over all of its orders, so they are bounded together too.
ACCOUNT_ORDERS_MAX = 1_000


def fill(command: c.Fill, work: Workspace) -> None:
    """Let two sides trade; each user is judged at the end."""
    terms = work.traded(command.instrument)
    sides = (command.buyer, command.seller)
    for side, sign in zip(sides, (1, -1), strict=True):
        check_side(side, work)
        check_order(side, sign, command.instrument, work)
    pools = [(side.account, side.pool) for side in sides]
    if pools[0] == pools[1]:
        refuse(Rejection.SAME_POOL, command.buyer.account)
    contracts = amount_of(command.contracts, CONTRACT_DECIMALS, "contracts")
    for side in sides:
        check_fee(side.fee, terms, work)
    at = price_of(command.price)
    orders = [
        filled_order(side, sign * contracts, command.instrument, work)
        for side, sign in zip(sides, (1, -1), strict=True)
        if side.order
    ]
    for side in sides:
        if side.account[0] != SYSTEM:
            work.accrue(side.account, side.pool)
    owed = owed_before(terms, sides, work)
    trade = Trade(command.instrument, terms, contracts, at, pools[0], pools[1])
    postings, moves = rows_of(trade, work)
    ask_cash(postings, work)
    for side in sides:
        postings += fee_postings((side.account, side.pool), paid_in(terms), side.fee)
    for side in sides:
        work.ask_margin(side.account, side.pool)
    work.emit(
        e.Filled(command.instrument, command.price, tuple(postings), tuple(moves), tuple(orders))
    )
    ask_borrows(owed, work)


def paid_in(terms: Terms) -> str:
    """Return the asset fees of an instrument are paid in."""
    return terms.quote if terms.kind == "spot" else terms.settle


def check_side(side: Side, work: Workspace) -> None:
    """Refuse a side that is no pool; @outside is one."""
    if side.account == OUTSIDE:
        if side.pool != SHARED:
            refuse(Rejection.POOL_UNKNOWN, side.pool)
        if side.order:
            refuse(Rejection.ORDER_UNKNOWN, side.order)
        return
    work.pool(side.account, side.pool)


def check_fee(fee: int, terms: Terms, work: Workspace) -> None:
    """Refuse a fee or rebate beyond any amount."""
    most = most_of(work.setting.decimals[paid_in(terms)])
    if abs(fee) > most:
        refuse(Rejection.AMOUNT_TOO_LARGE, "fee", abs(fee), most)


def check_order(side: Side, sign: int, instrument: str, work: Workspace) -> None:
    """Refuse a named order that is not open on this side of this instrument."""
    if not side.order or side.account == OUTSIDE:
        return
    order = work.held(side.account, side.pool).orders.get(side.order)
    if order is None or order.instrument != instrument or (order.contracts > 0) != (sign > 0):
        refuse(Rejection.ORDER_UNKNOWN, side.order)


def filled_order(side: Side, contracts: int, instrument: str, work: Workspace) -> OrderFill:
    """Return what a side's order is filled by, or refuse more than it is open for."""
    order = check_open(side, abs(contracts), work)
    if order.reduce_only and not reduces(instrument, contracts, side, work):
        refuse(Rejection.NOT_REDUCING, side.order)
    return OrderFill(side.account, side.pool, side.order, contracts)


def check_open(side: Side, contracts: int, work: Workspace) -> OrderState:
    """Return the order a side names, or refuse to fill more than is open."""
    order = work.held(side.account, side.pool).orders[side.order]
    if contracts > abs(order.contracts):
        refuse(Rejection.ORDER_OVERFILLED, side.order, contracts, abs(order.contracts))
    return order


def reduces(instrument: str, contracts: int, side: Side, work: Workspace) -> bool:
    """Return whether signed contracts take a position towards zero and not past it."""
    held = work.held(side.account, side.pool).positions.get(instrument)
    if held is None or (held.contracts > 0) == (contracts > 0):
        return False
    return abs(contracts) <= abs(held.contracts)


def ask_cash(postings: list[Posting], work: Workspace) -> None:
    """Have what a trade's legs pay to the outside be there: it leaves like a withdrawal."""
    for posting in postings:
        if posting.account == OUTSIDE and posting.amount > 0:
            work.cash.setdefault(posting.asset, posting.amount)


Owed = dict[tuple[str, str, str], int]


def owed_before(terms: Terms, sides: tuple[Side, Side], work: Workspace) -> Owed:
    """Return the balances a spot fill takes from users, before it: new debt is a loan."""
    if terms.kind != "spot":
        return {}
    paid = ((sides[0], terms.quote), (sides[1], terms.underlying))
    return {
        (side.account, side.pool, asset): work.book.balance(side.account, side.pool, asset)
        for side, asset in paid
        if side.account[0] != SYSTEM
    }


def ask_borrows(owed: Owed, work: Workspace) -> None:
    """Have a balance that ends deeper below zero judged as a loan."""
    for (account, pool, asset), before in owed.items():
        after = work.book.balance(account, pool, asset)
        if after < min(0, before):
            work.borrows.setdefault(asset, min(0, before) - after)


def place_order(command: c.PlaceOrder, work: Workspace) -> None:
    """Open an order; one that is not reduce-only is judged as if it filled."""
    pool = work.pool(command.account, command.pool)
    work.traded(command.instrument)
    if not is_id(command.order):
        refuse(Rejection.ORDER_NAME_INVALID, command.order)
    if command.order in pool.orders:
        refuse(Rejection.ORDER_EXISTS, command.order)
    check_orders(command.account, command.pool, 1, work)
    amount_of(abs(command.contracts), CONTRACT_DECIMALS, "contracts")
    price_of(command.limit_price)
    if not command.reduce_only:
        work.ask_margin(command.account, command.pool)
    work.emit(
        e.OrderPlaced(
            command.account, command.pool, command.order, command.instrument,
            command.contracts, command.limit_price, command.reduce_only,
        )
    )  # fmt: skip


def check_orders(account: str, pool: str, more: int, work: Workspace) -> None:
    """Refuse orders beyond what a pool, or its account, may have open."""
    asked = len(work.held(account, pool).orders) + more
    if asked > ORDERS_MAX:
        refuse(Rejection.TOO_MANY, "orders", asked, ORDERS_MAX)
    found = work.account(account)
    asked = sum(len(one.orders) for one in found.pools.values()) + more
    if asked > ACCOUNT_ORDERS_MAX:
        refuse(Rejection.TOO_MANY, "orders of the account", asked, ACCOUNT_ORDERS_MAX)


def cancel_order(command: c.CancelOrder, work: Workspace) -> None:
    """Cancel one order, or all of a pool."""
    pool = work.pool(command.account, command.pool, frozen_may=True)
    names = [command.order] if command.order else list(pool.orders)
    if not names or names[0] not in pool.orders:
        refuse(Rejection.ORDER_UNKNOWN, command.order)
    for name in names:
        work.emit_unasked(
            e.OrderCancelled(command.account, command.pool, name, command.reason[:200])
        )


def reserve_draws(command: c.ReserveDraws, work: Workspace) -> None:
    """Keep what each bucket reserves at MM now."""
    held = work.account(command.account, frozen_may=True)
    setting = work.setting
    if setting.market is None or setting.items is None:
        refuse(Rejection.POOL_UNPRICED, command.account)
    frame = book_frame([(command.account, held)], work.book, setting.items)
    answer = assess(frame, setting.market, threads=1)
    before = len(work.events)
    for row, pool in enumerate(frame.pool_names):
        known = bool(np.isfinite(answer.equity[row]) and np.isfinite(answer.equity[0]))
        if pool == SHARED or not known:
            continue
        kept = to_smallest_units(float(answer.draw_mm[row]), MONEY_DECIMALS, round_down=True)
        if kept != held.pools[pool].last_draw:
            work.emit(e.DrawReserved(command.account, pool, kept))
    if len(work.events) == before:
        refuse(Rejection.NOTHING_DUE, command.account)


def settle_expiry(command: c.SettleExpiry, work: Workspace) -> None:
    """End an expired instrument in cash for some holders."""
    work.holders(command.holders)
    name = command.instrument
    terms = work.terms(name)
    if not terms.expiry_ns:
        refuse(Rejection.INSTRUMENT_KIND, name)
    if terms.expiry_ns > work.setting.now_ns:
        refuse(Rejection.INSTRUMENT_NOT_EXPIRED, name)
    at = price_of(command.price, zero=terms.is_option or terms.payoff != "inverse")
    fixed = work.book.head.settled.get(name)
    if fixed is not None and exactly.price(fixed, zero=True) != at:
        refuse(Rejection.PRICE_DIFFERS, fixed)
    postings: list[Posting] = []
    moves: list[Move] = []
    for holder in command.holders:
        work.accrue(*holder)
        held = work.held(*holder).positions.get(name)
        if held is None:
            continue
        exact = exactly.final_value(terms, held.contracts, at, work.setting.decimals[terms.settle])
        paid, due = scale_down(exact[0], 1, exact[1]), scale_up(exact[0], 1, exact[1])
        if held.cost + paid:
            postings.append(Posting(*holder, terms.settle, held.cost + paid))
        if due != paid:
            postings.append(Posting(ROUNDING, SHARED, terms.settle, due - paid))
        moves.append(Move(*holder, name, -held.contracts, -held.cost))
        moves.append(Move(CLEARING, SHARED, name, held.contracts, -due))
    if not moves:
        refuse(Rejection.NOTHING_DUE, name)
    work.emit(e.Settled(name, command.price, tuple(postings), tuple(moves)))
