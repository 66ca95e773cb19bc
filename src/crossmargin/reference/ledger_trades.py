"""The second witness on trading: fills, orders, the end of an expired instrument.

In     a `Case` and a command, read by its fields' names alone.
Out    a changed book, or `Refused`.
Owns   both sides of a fill: who gets what, what is realised, which order falls.
Never  judges margin itself: sides are put down to be judged at the end.
Signs  contracts > 0 buys.
Spec   docs/spec/10-ledger.md (10.2, 10.11, 10.17)
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from crossmargin.reference.ledger_book import OUTSIDE, ROUNDING, SHARED, Contract, Order, Refused
from crossmargin.reference.ledger_case import CONTRACT_DIGITS, Case, is_key
from crossmargin.reference.ledger_sums import down, ending, legs, realised, up

ORDERS_MAX, ALL_ORDERS_MAX = 200, 1_000
# An order of fewer 10^-18 contracts than this may not show in a sum of floats.
SPECK = 10**9


def fill(case: Case, command: Any) -> None:
    """Two sides, at least one of them a user; both are new risk."""
    terms = case.tradable(command.instrument)
    sides = ((command.buyer, 1), (command.seller, -1))
    for side, way in sides:
        side_names(case, side, (command.instrument, way))
    if _where(command.buyer) == _where(command.seller):
        raise Refused("same_pool")
    contracts = case.amount(command.contracts, CONTRACT_DIGITS)
    fee_in = case.book.decimals(terms.quote if terms.is_spot else terms.settle)
    for side, _ in sides:
        case.size(side.fee, fee_in)
    price = case.price(command.price)
    for side, way in sides:
        order_state(case, side, way * contracts, terms)
    trade(case, command.instrument, (contracts, price), (command.buyer, command.seller))
    for side, way in sides:
        order_falls(case, side, way * contracts)
        case.takes_risk(side.account, side.pool, unsure=True)


def _where(side: Any) -> tuple[str, str]:
    return (OUTSIDE, SHARED) if side.account == OUTSIDE else (side.account, side.pool)


def side_names(case: Case, side: Any, trade: tuple[str, int]) -> None:
    """10.13, 10.17: account, status, pool, and the order it fills. Outside has no orders."""
    instrument, way = trade
    if side.account == OUTSIDE:
        if side.pool != SHARED:
            raise Refused("pool_unknown")
        if side.order:
            raise Refused("order_unknown")
        return
    pool = case.pool(side.account, side.pool, "owner", pays=True)
    if side.order:
        found = pool.orders.get(side.order)
        if found is None or found.instrument != instrument or (found.contracts > 0) != (way > 0):
            raise Refused("order_unknown")


def order_state(case: Case, side: Any, signed: int, terms: Contract) -> None:
    """10.17: no more than is open; a reduce-only order reduces."""
    if not side.order or side.account == OUTSIDE:
        return
    pool = case.book.accounts[side.account].pools[side.pool]
    found = pool.orders[side.order]
    if abs(signed) > abs(found.contracts):
        raise Refused("order_overfilled", abs(signed), abs(found.contracts))
    if found.reduce_only:
        held = pool.positions.get(found.instrument)
        if terms.is_spot or not reduces(held.contracts if held is not None else 0, signed):
            raise Refused("not_reducing")


def reduces(held: int, change: int) -> bool:
    """A change that neither raises |position| nor changes its sign."""
    after = held + change
    return abs(after) <= abs(held) and (after == 0 or (after > 0) == (held > 0))


def order_falls(case: Case, side: Any, signed: int) -> None:
    """10.7: a named order falls by what was filled and is gone at 0."""
    if not side.order or side.account == OUTSIDE:
        return
    orders = case.book.touch(side.account).pools[side.pool].orders
    found = orders[side.order]
    left = found.contracts - signed
    if left:
        orders[side.order] = replace(found, contracts=left)
    else:
        del orders[side.order]


def trade(
    case: Case, instrument: str, deal: tuple[int, Fraction], sides: tuple[Any, Any],
    forced: Any = None,
) -> None:  # fmt: skip
    """10.5 to 10.7: accruals first, then both sides' cash, contracts and fees, and the rounding.

    forced  the side that did not choose to trade: its debt is no loan it asked for
    """
    book, terms = case.book, case.book.contracts[instrument]
    contracts, price = deal
    units = {a: book.decimals(a) for a in (terms.underlying, terms.quote, terms.settle)}
    found = legs(terms, contracts, price, units)
    for side in sides:
        if side.account != OUTSIDE:
            case.accrue(side.account, side.pool)
    both = (
        (sides[0], found.buyer, (contracts, found.buyer_cost)),
        (sides[1], found.seller, (-contracts, found.seller_cost)),
    )
    paid = (terms.quote, terms.underlying) if terms.is_spot else ("", "")
    for (side, cash, change), pays in zip(both, paid, strict=True):
        if pays and side is not forced:
            case.borrows(side.account, side.pool, pays)
        for asset, amount in cash.items():
            if side.account == OUTSIDE and amount > 0 and forced is None:
                case.short_of_cash(asset, amount)
            book.post(side.account, side.pool, asset, amount)
        if found.moves:
            _move(case, (side.account, side.pool), instrument, change)
        fee_asset = terms.quote if terms.is_spot else terms.settle
        book.post(side.account, side.pool, fee_asset, -side.fee)
        book.post("@fees", SHARED, fee_asset, side.fee)
    for asset in {*found.buyer, *found.seller}:
        book.post(ROUNDING, SHARED, asset, -found.buyer.get(asset, 0) - found.seller.get(asset, 0))
    book.post(ROUNDING, SHARED, terms.settle, -found.buyer_cost - found.seller_cost)


def _move(case: Case, where: tuple[str, str], instrument: str, change: tuple[int, int]) -> None:
    """10.6: a user's trade against its position is settled in cash."""
    book = case.book
    dq, dk = change
    if where[0] == OUTSIDE:
        book.move(*where, instrument, change)
        return
    held = book.accounts[where[0]].pools[where[1]].positions.get(instrument)
    got = realised((held.contracts, held.cost), change) if held is not None else 0
    book.post(*where, book.contracts[instrument].settle, got)
    book.move(*where, instrument, (dq, dk - got))


# --- orders ---------------------------------------------------------------------------------------


def place_order(case: Case, command: Any) -> None:
    """An order that is not reduce-only is new risk (5.6)."""
    pool = case.pool(command.account, command.pool, "owner", pays=True)
    case.tradable(command.instrument)
    if not is_key(command.order):
        raise Refused("order_name_invalid")
    if command.order in pool.orders:
        raise Refused("order_exists")
    too_many_orders(case, command, 1)
    if command.contracts == 0:
        raise Refused("amount_not_positive", 0)
    case.size(command.contracts, CONTRACT_DIGITS)
    case.price(command.limit_price)
    case.book.touch(command.account).pools[command.pool].orders[command.order] = Order(
        command.instrument, command.contracts, command.limit_price, command.reduce_only
    )
    if not command.reduce_only:
        unsure = abs(command.contracts) < SPECK
        case.takes_risk(command.account, command.pool, unsure=unsure)


def too_many_orders(case: Case, command: Any, more: int) -> None:
    """10.17: so many in a pool, and so many in its account."""
    pools = case.book.accounts[command.account].pools
    there = [len(pools[command.pool].orders), sum(len(pool.orders) for pool in pools.values())]
    for n, most in zip(there, (ORDERS_MAX, ALL_ORDERS_MAX), strict=True):
        if n + more > most:
            raise Refused("too_many", n + more, most)


def cancel_order(case: Case, command: Any) -> None:
    """One, or all of the pool's; where there is none there is nothing to cancel."""
    pool = case.pool(command.account, command.pool, "owner")
    if (command.order and command.order not in pool.orders) or not pool.orders:
        raise Refused("order_unknown")
    orders = case.book.touch(command.account).pools[command.pool].orders
    if command.order:
        del orders[command.order]
    else:
        orders.clear()


# --- expiry ---------------------------------------------------------------------------------------


def settle_expiry(case: Case, command: Any) -> None:
    """10.11: an expired instrument ends in cash; the first settlement fixes the price."""
    book, name = case.book, command.instrument
    holders = case.holders(command.holders)
    terms = case.instrument(name)
    if not terms.expiry_ns:
        raise Refused("instrument_kind")
    if case.now_ns < terms.expiry_ns:
        raise Refused("instrument_not_expired")
    price = case.price(command.price, zero=terms.is_option or terms.payoff != "inverse")
    if book.settled.get(name, price) != price:
        raise Refused("price_differs")
    held = [w for w in holders if name in book.accounts[w[0]].pools[w[1]].positions]
    if not held:
        raise Refused("nothing_due")
    book.assign(book.settled, name, price)
    for where in holders:
        case.accrue(*where)
    for where in held:
        position = book.accounts[where[0]].pools[where[1]].positions[name]
        q, k = position.contracts, position.cost
        v = ending(terms, q, price, book.decimals(terms.settle))
        book.post(*where, terms.settle, k + down(v))
        book.move(*where, name, (-q, -k))
        book.move("@clearing", SHARED, name, (q, -up(v)))
        book.post(ROUNDING, SHARED, terms.settle, up(v) - down(v))
