"""The second witness on accounts and money: open, status, deposit, withdraw, borrow, transfer.

In     a `Case` and a command, read by its fields' names alone.
Out    a changed book, or `Refused`.
Owns   spec 10.4's rules of these commands.
Never  imports a command: a field is a field whoever wrote the class.
Signs  amounts > 0.
Spec   docs/spec/10-ledger.md
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from crossmargin.reference.ledger_book import (
    CLOSED,
    FROZEN,
    MIRROR,
    MONEY,
    OPEN,
    OUTSIDE,
    SHARED,
    Account,
    Pool,
    Refused,
)
from crossmargin.reference.ledger_case import MONEY_DIGITS, Case, Truth, is_name, near_money
from crossmargin.reference.ledger_sums import down, unit_of, up
from crossmargin.reference.valuation import is_bad, price

METHODS = ("isolated", "cross_sum", "cross_correlated", "portfolio")
DEFAULT_METHOD = "cross_correlated"
POOLS_MAX = 64
WORDS = (OPEN, FROZEN, CLOSED)


# --- accounts -------------------------------------------------------------------------------------


def open_account(case: Case, command: Any) -> None:
    """A name no account has or had; the shared pool first, whether or not it is listed."""
    if not is_name(command.account):
        raise Refused("account_name_invalid")
    if command.account in case.book.accounts:
        raise Refused("account_exists")
    pools: dict[str, Pool] = {}
    listed = list(command.pools)
    if not any(terms.pool == SHARED for terms in listed):
        pools[SHARED] = Pool(DEFAULT_METHOD)
    for place, terms in enumerate(listed):
        _pool_name(terms, place)
    for terms in listed:
        if terms.pool in pools:
            raise Refused("pool_exists")
        pools[terms.pool] = Pool(terms.method, terms.draw_limit)
    for terms in listed:
        _method(terms)
    if len(pools) > POOLS_MAX:
        raise Refused("too_many", len(pools), POOLS_MAX)
    for terms in listed:
        _limit(case, terms)
    status = MIRROR if command.mirror else OPEN
    book = case.book
    book.versions += 1
    book.assign(book.accounts, command.account, Account(status, pools, book.versions))


def open_pool(case: Case, command: Any) -> None:
    """One more bucket, last in the draw order."""
    account = case.account(command.account, "owner", pays=True)
    terms = command.pool
    _pool_name(terms, 0)
    if terms.pool in account.pools:
        raise Refused("pool_exists")
    _method(terms)
    if len(account.pools) >= POOLS_MAX:
        raise Refused("too_many", len(account.pools) + 1, POOLS_MAX)
    _limit(case, terms)
    case.book.touch(command.account).pools[terms.pool] = Pool(terms.method, terms.draw_limit)


def _pool_name(terms: Any, place: int) -> None:
    shared = terms.pool == SHARED
    if not is_name(terms.pool) or (shared and (place > 0 or terms.draw_limit is not None)):
        raise Refused("pool_name_invalid")


def _method(terms: Any) -> None:
    if terms.method not in METHODS:
        raise Refused("method_unknown")


def _limit(case: Case, terms: Any) -> None:
    if terms.draw_limit is not None:
        if terms.draw_limit < 0:
            raise Refused("amount_not_positive", terms.draw_limit)
        case.size(terms.draw_limit, MONEY_DIGITS)


def set_status(case: Case, command: Any) -> None:
    """Open and frozen as often as the venue likes, closed once and for ever."""
    account = case.account(command.account, "status")
    word = command.status
    if word == CLOSED:
        if not all(pool.is_empty() for pool in account.pools.values()):
            raise Refused("account_not_empty")
    elif word not in WORDS or word == account.status or account.status == MIRROR:
        raise Refused("status_unchanged")
    case.book.touch(command.account).status = word


# --- money ----------------------------------------------------------------------------------------


def deposit(case: Case, command: Any) -> None:
    """From outside; nobody is kept from paying in."""
    case.pool(command.account, command.pool, "owner")
    case.asset(command.asset)
    case.coins(command.amount, command.asset)
    _pay(case, (OUTSIDE, SHARED), (command.account, command.pool), command)


def repay(case: Case, command: Any) -> None:
    """From outside, at most what is owed with interest."""
    case.pool(command.account, command.pool, "owner")
    case.asset(command.asset)
    case.coins(command.amount, command.asset)
    case.accrue(command.account, command.pool)
    owes(case, command)
    _pay(case, (OUTSIDE, SHARED), (command.account, command.pool), command)


def owes(case: Case, command: Any) -> None:
    """The pool owes at least the amount of the asset."""
    debt = -case.book.cash(command.account, command.pool, command.asset)
    if debt <= 0:
        raise Refused("nothing_owed", command.amount, 0)
    if command.amount > debt:
        raise Refused("repay_exceeds_debt", command.amount, debt)


def withdraw(case: Case, command: Any) -> None:
    """Out of what is there, and of what the pool's margin leaves free."""
    _leaves(case, command)
    short_of_balance(case, (command.account, command.pool), command.asset, command.amount)
    _pay(case, (command.account, command.pool), (OUTSIDE, SHARED), command)
    case.short_of_cash(command.asset, command.amount)
    case.pays_out(command.account, command.pool, command.asset)


def borrow(case: Case, command: Any) -> None:
    """Like a withdrawal, but the balance may go below zero."""
    _leaves(case, command)
    case.borrows(command.account, command.pool, command.asset, command.amount)
    _pay(case, (command.account, command.pool), (OUTSIDE, SHARED), command)
    case.short_of_cash(command.asset, command.amount)
    case.takes_risk(command.account, command.pool, strict=True)


def _leaves(case: Case, command: Any) -> None:
    case.pool(command.account, command.pool, "owner", pays=True)
    case.asset(command.asset)
    case.coins(command.amount, command.asset)
    case.accrue(command.account, command.pool)


def transfer(case: Case, command: Any) -> None:
    """Between two pools; paying back lowers what the bucket has drawn."""
    source = (command.account, command.pool)
    target = (command.to_account or command.account, command.to_pool)
    pool = case.pool(*source, "owner", pays=True)
    case.pool(*target, "owner")
    case.asset(command.asset)
    if source == target:
        raise Refused("same_pool")
    back = command.pays_back
    if back and (pool.limit is None or target != (source[0], SHARED)):
        raise Refused("pool_unknown")
    case.coins(command.amount, command.asset)
    case.accrue(*source)
    case.accrue(*target)
    if back:
        worth = value_of(case, command.asset, command.amount)
        held = case.book.touch(source[0]).pools[source[1]]
        if worth is None:
            case.late.append((False, Refused("pool_unpriced")))
        else:
            held.drawn -= min(held.drawn, down(worth))
    short_of_balance(case, source, command.asset, command.amount)
    _pay(case, source, target, command)
    case.pays_out(*source, command.asset)


def value_of(case: Case, asset: str, amount: int) -> Fraction | None:
    """What an amount is worth now, 10^-6 numeraire; None where its price is bad or missing."""
    market = case.desk.market(case.now_ns)
    each = price(market, asset)
    if is_bad(market, asset) or not math.isfinite(each):
        return None
    return Fraction(each) * amount * MONEY / unit_of(case.book.decimals(asset))


def _pay(case: Case, source: tuple[str, str], target: tuple[str, str], command: Any) -> None:
    """10.10: accruals of both first, then the amount from one to the other."""
    case.accrue(*source)
    case.accrue(*target)
    case.book.post(*source, command.asset, -command.amount)
    case.book.post(*target, command.asset, command.amount)


def short_of_balance(case: Case, where: tuple[str, str], asset: str, amount: int) -> None:
    """10.15: what leaves was there; called before it leaves, accruals settled."""
    was = case.book.cash(*where, asset)

    def test() -> Iterable[tuple[Truth, Refused]]:
        enough = case.book.cash(*where, asset) >= 0
        yield enough, Refused("balance_short", amount, max(0, was))

    case.later(test)


# --- accruals and yield ---------------------------------------------------------------------------


def charge_accruals(case: Case, command: Any) -> None:
    """10.10: what is due, alone."""
    found = [case.accrue(*where) for where in case.holders(command.holders)]
    if not any(found):
        raise Refused("nothing_due")


def accrue_yield(case: Case, command: Any) -> None:
    """10.11: pro rata to positive balances, from outside or from interest."""
    holders = case.holders(command.holders)
    case.asset(command.asset)
    if command.source not in (OUTSIDE, "@interest"):
        raise Refused("source_unknown")
    rate = case.rate(command.rate, 0, 10)
    for where in holders:
        case.accrue(*where)
    book, asset = case.book, command.asset
    held = {where: max(0, book.cash(*where, asset)) for where in holders}
    if not any(down(rate * balance) for balance in held.values()):
        raise Refused("nothing_due")
    paid, got = up(rate * sum(held.values())), 0
    for where, balance in held.items():
        book.post(*where, asset, down(rate * balance))
        got += down(rate * balance)
    book.post(command.source, SHARED, asset, -paid)
    book.post("@rounding", SHARED, asset, paid - got)


def reserve_draws(case: Case, command: Any) -> None:
    """10.19: what each bucket reserves at MM now is kept for when its price is missing."""
    case.account(command.account, "venue")
    standing = case.after(command.account)
    doubt, changed = False, False
    for name, pool in list(case.book.accounts[command.account].pools.items()):
        priced = standing.is_priced(name) and standing.is_priced(SHARED)
        if pool.limit is None or name == SHARED or not priced:
            continue
        kept = down(Fraction(standing.of(name).mm.draw) * MONEY)
        changed |= not near_money(kept, pool.kept)
        doubt |= kept != pool.kept
        case.book.touch(command.account).pools[name].kept = kept
    case.claim(True if changed else (None if doubt else False), Refused("nothing_due"))
