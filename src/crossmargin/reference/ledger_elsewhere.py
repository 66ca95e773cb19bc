"""The second witness on what comes from elsewhere: observed mirrors, imported accounts.

In     a `Case` and a command, read by its fields' names alone.
Out    a changed book, or `Refused`.
Owns   spec 10.22.
Never  judges what was seen or brought.
Signs  balances and contracts signed.
Spec   docs/spec/10-ledger.md (10.22)
"""

from __future__ import annotations

from typing import Any

from crossmargin.reference.ledger_book import OUTSIDE, SHARED, Order, Refused
from crossmargin.reference.ledger_case import (
    COINS_DIGITS,
    CONTRACT_DIGITS,
    MONEY_DIGITS,
    Case,
    is_key,
)
from crossmargin.reference.ledger_sums import unit_of
from crossmargin.reference.ledger_trades import too_many_orders


def observe(case: Case, command: Any) -> None:
    """A mirror becomes what was seen; what was not seen is not there."""
    book = case.book
    pool = case.pool(command.account, command.pool, "observer")
    for asset in command.balances:
        case.asset(asset)
    _kinds(case, command)
    _sizes(case, command)
    cash = {a: command.balances.get(a, 0) - pool.cash.get(a, 0) for a in
            {*pool.cash, *command.balances}}  # fmt: skip
    moves = {}
    for name in {*pool.positions, *command.positions}:
        held = pool.positions.get(name)
        have = (held.contracts, held.cost) if held is not None else (0, 0)
        seen = command.positions.get(name, (0, 0))
        moves[name] = (seen[0] - have[0], seen[1] - have[1])
    if not (any(cash.values()) or any(any(m) for m in moves.values())):
        raise Refused("nothing_due")
    for asset, amount in cash.items():
        book.post(command.account, command.pool, asset, amount)
        book.post(OUTSIDE, SHARED, asset, -amount)
    for name, (contracts, cost) in moves.items():
        book.move(command.account, command.pool, name, (contracts, cost))
        book.move(OUTSIDE, SHARED, name, (-contracts, -cost))


def import_account(case: Case, command: Any) -> None:
    """A bare pool's opening balances, debts, positions and orders, from outside."""
    book, where = case.book, (command.account, command.pool)
    pool = case.pool(*where, "venue", pays=True)
    if not pool.is_empty() or pool.drawn:
        raise Refused("account_not_empty")
    for asset in command.balances:
        case.asset(asset)
    _kinds(case, command)
    for name, order in command.orders.items():
        case.tradable(order.instrument)
        if not is_key(name):
            raise Refused("order_name_invalid")
    too_many_orders(case, command, len(command.orders))
    _sizes(case, command)
    for drawn, most in (
        (command.drawn, unit_of(COINS_DIGITS + MONEY_DIGITS)), (command.last_draw, pool.limit or 0)
    ):  # fmt: skip
        if drawn < 0:
            raise Refused("amount_not_positive", drawn)
        if drawn > most:
            raise Refused("amount_too_large", drawn, most)
    for order in command.orders.values():
        case.size(order.contracts, CONTRACT_DIGITS)
    for order in command.orders.values():
        case.price(order.limit_price)
    for asset, amount in command.balances.items():
        book.post(*where, asset, amount)
        book.post(OUTSIDE, SHARED, asset, -amount)
    for name, (contracts, cost) in command.positions.items():
        book.move(*where, name, (contracts, cost))
        book.move(OUTSIDE, SHARED, name, (-contracts, -cost))
    held = book.touch(command.account).pools[command.pool]
    held.drawn, held.kept = command.drawn, command.last_draw
    for name, o in command.orders.items():
        held.orders[name] = Order(o.instrument, o.contracts, o.limit_price, o.reduce_only)


def _kinds(case: Case, command: Any) -> None:
    """No pairs, and no cost of an option whose premium was paid when it was traded."""
    for name, (_, cost) in command.positions.items():
        terms = case.instrument(name)
        if terms.is_spot or (terms.pays_premium and cost):
            raise Refused("instrument_kind")


def _sizes(case: Case, command: Any) -> None:
    """Balances by their asset, contracts, and costs by the asset they settle in."""
    for asset, amount in command.balances.items():
        case.size(amount, case.book.decimals(asset))
    for name, (contracts, cost) in command.positions.items():
        case.size(contracts, CONTRACT_DIGITS)
        case.size(cost, case.book.decimals(case.book.contracts[name].settle))
