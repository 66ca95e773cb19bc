"""Drafts of accounts and money: open, pay in, pay out, borrow, repay, move, yield.

In     commands, a workspace.
Out    events and asks in the workspace, or a refusal.
Owns   what each of these commands needs, in the documented order of tests.
Never  judges margin; touches a position.
Signs  amounts > 0; a pool that pays is posted below zero.
Spec   docs/spec/10-ledger.md, 10.9 to 10.19
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from crossmargin.base.fixed import scale_down, scale_up
from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import INTEREST, MONEY_DECIMALS, OUTSIDE, ROUNDING, PoolState, Status
from crossmargin.engine import commands as c
from crossmargin.engine.replies import Rejection
from crossmargin.engine.workspace import Workspace, amount_of, is_name, most_of, refuse
from crossmargin.ledger import events as e
from crossmargin.ledger import exactly
from crossmargin.ledger.events import PoolTerms, Posting
from crossmargin.ledger.exactly import Ratio
from crossmargin.methods.registry import DEFAULT_METHOD, METHODS

POOLS_MAX = 64
YIELD_MAX = 10


def open_account(command: c.OpenAccount, work: Workspace) -> None:
    """Open an account; its shared pool is there whether or not it was listed."""
    name = command.account
    if not is_name(name):
        refuse(Rejection.ACCOUNT_NAME_INVALID, name)
    if work.book.find(name) is not None:
        refuse(Rejection.ACCOUNT_EXISTS, name)
    pools = command.pools
    if not any(terms.pool == SHARED for terms in pools):
        pools = (PoolTerms(SHARED, DEFAULT_METHOD), *pools)
    if pools[0].pool != SHARED:
        refuse(Rejection.POOL_NAME_INVALID, SHARED)
    _check_pools(pools, {})
    work.emit(e.AccountOpened(name, pools, command.mirror))


def open_pool(command: c.OpenPool, work: Workspace) -> None:
    """Open a bucket beside the shared pool."""
    held = work.account(command.account)
    _check_pools((command.pool,), held.pools)
    work.emit(e.PoolOpened(command.account, command.pool))


def _check_pools(pools: tuple[PoolTerms, ...], there: Mapping[str, PoolState]) -> None:
    """Refuse pools that may not be opened beside those that are there."""
    for terms in pools:
        if not is_name(terms.pool) or (terms.pool == SHARED and terms.draw_limit is not None):
            refuse(Rejection.POOL_NAME_INVALID, terms.pool)
    seen = set(there)
    for terms in pools:
        if terms.pool in seen:
            refuse(Rejection.POOL_EXISTS, terms.pool)
        seen.add(terms.pool)
    for terms in pools:
        if terms.method not in METHODS:
            refuse(Rejection.METHOD_UNKNOWN, terms.method)
    if len(seen) > POOLS_MAX:
        refuse(Rejection.TOO_MANY, "pools", len(seen), POOLS_MAX)
    for limit in (terms.draw_limit for terms in pools if terms.draw_limit is not None):
        if limit < 0:
            refuse(Rejection.AMOUNT_NOT_POSITIVE, "draw_limit", limit)
        if limit > (most := most_of(MONEY_DECIMALS)):
            refuse(Rejection.AMOUNT_TOO_LARGE, "draw_limit", limit, most)


def set_status(command: c.SetStatus, work: Workspace) -> None:
    """Freeze, open again, or close an account."""
    found = work.book.find(command.account) if not command.account.startswith("@") else None
    if found is None:
        refuse(Rejection.ACCOUNT_UNKNOWN, command.account)
    if found.status == Status.CLOSED:
        refuse(Rejection.ACCOUNT_CLOSED, command.account)
    wanted = {"open": Status.OPEN, "frozen": Status.FROZEN, "closed": Status.CLOSED}.get(
        command.status
    )
    mirror_stays = found.status == Status.MIRROR and wanted != Status.CLOSED
    if wanted is None or wanted == found.status or mirror_stays:
        refuse(Rejection.STATUS_UNCHANGED, command.status)
    if wanted == Status.CLOSED and not all(_is_bare(pool) for pool in found.pools.values()):
        refuse(Rejection.ACCOUNT_NOT_EMPTY, command.account)
    work.emit(e.StatusSet(command.account, wanted, command.reason[:200]))


def _is_bare(pool: PoolState) -> bool:
    return not (pool.balances or pool.positions or pool.orders)


def deposit(command: c.Deposit, work: Workspace) -> None:
    """Pay in from outside."""
    work.pool(command.account, command.pool, frozen_may=True)
    amount = amount_of(command.amount, work.decimals(command.asset))
    work.accrue(command.account, command.pool)
    work.emit_unasked(e.Deposited(command.reference[:200], _pair(
        (OUTSIDE, SHARED), (command.account, command.pool), command.asset, amount)))  # fmt: skip


def withdraw(command: c.Withdraw, work: Workspace) -> None:
    """Pay out what is there."""
    account, pool, asset = command.account, command.pool, command.asset
    work.pool(account, pool)
    amount = amount_of(command.amount, work.decimals(asset))
    work.accrue(account, pool)
    work.ask_balance(account, pool, asset, amount)
    work.cash.setdefault(asset, amount)
    work.ask_margin(account, pool, strict=True)
    work.emit(e.Withdrawn(command.reference[:200], _pair(
        (account, pool), (OUTSIDE, SHARED), asset, amount)))  # fmt: skip


def borrow(command: c.Borrow, work: Workspace) -> None:
    """Pay out on credit: what is above the balance becomes a debt."""
    account, pool, asset = command.account, command.pool, command.asset
    work.pool(account, pool)
    amount = amount_of(command.amount, work.decimals(asset))
    work.accrue(account, pool)
    work.cash.setdefault(asset, amount)
    work.borrows.setdefault(asset, amount)
    # Strict: what counts nothing would leave a pool under water as if it were a loan.
    work.ask_margin(account, pool, strict=True)
    work.emit(e.Borrowed(_pair((account, pool), (OUTSIDE, SHARED), asset, amount)))


def repay(command: c.Repay, work: Workspace) -> None:
    """Pay a debt back from outside."""
    account, pool, asset = command.account, command.pool, command.asset
    work.pool(account, pool, frozen_may=True)
    amount = amount_of(command.amount, work.decimals(asset))
    work.accrue(account, pool)
    owed = -work.book.balance(account, pool, asset)
    if owed <= 0:
        refuse(Rejection.NOTHING_OWED, asset, amount, 0)
    if amount > owed:
        refuse(Rejection.REPAY_EXCEEDS_DEBT, asset, amount, owed)
    work.emit_unasked(e.Repaid(_pair((OUTSIDE, SHARED), (account, pool), asset, amount)))


def transfer(command: c.Transfer, work: Workspace) -> None:
    """Move an amount between two pools."""
    account, pool, asset = command.account, command.pool, command.asset
    source = work.pool(account, pool)
    target = command.to_account or account
    work.pool(target, command.to_pool, frozen_may=True)
    decimals = work.decimals(asset)
    if (account, pool) == (target, command.to_pool):
        refuse(Rejection.SAME_POOL, pool)
    own_bucket = source.draw_limit is not None and (target, command.to_pool) == (account, SHARED)
    if command.pays_back and not own_bucket:
        refuse(Rejection.POOL_UNKNOWN, command.to_pool)
    amount = amount_of(command.amount, decimals)
    back = 0
    if command.pays_back:
        value = value_of(asset, amount, work)
        if value is None:
            work.refuse_late(Rejection.POOL_UNPRICED, asset)
        else:
            back = min(source.drawn, scale_down(value[0], 1, value[1]))
    work.accrue(account, pool)
    work.accrue(target, command.to_pool)
    work.ask_balance(account, pool, asset, amount)
    work.ask_margin(account, pool, strict=True)
    ends = _pair((account, pool), (target, command.to_pool), asset, amount)
    work.emit(e.Transferred(ends, back))


def value_of(asset: str, amount: int, work: Workspace) -> Ratio | None:
    """Return what an amount is worth, 10^-6 numeraire, exactly; None where its price is bad."""
    market = work.setting.market
    assert work.setting.items is not None
    row, _ = work.setting.items.assets[asset]
    price = float("nan") if market is None else float(market.priced.price[row])
    if market is None or market.priced.asset_bad[row] or not math.isfinite(price):
        return None
    num, den = price.as_integer_ratio()
    return amount * num * 10**MONEY_DECIMALS, den * 10 ** work.setting.decimals[asset]


def accrue_yield(command: c.AccrueYield, work: Workspace) -> None:
    """Give holders a fraction of their balances."""
    asset = command.asset
    work.holders(command.holders)
    work.decimals(asset)
    if command.source not in (OUTSIDE, INTEREST):
        refuse(Rejection.SOURCE_UNKNOWN, command.source)
    rate = exactly.ratio(command.rate)
    if rate is None or not 0 <= rate[0] <= YIELD_MAX * rate[1]:
        refuse(Rejection.RATE_INVALID, command.rate[: exactly.PRICE_CHARS_MAX])
    total, postings = 0, []
    for account, pool in command.holders:
        work.accrue(account, pool)
        held = max(0, work.book.balance(account, pool, asset))
        total += held
        if got := scale_down(held, *rate):
            postings.append(Posting(account, pool, asset, got))
    if not postings:
        refuse(Rejection.NOTHING_DUE, asset)
    paid = scale_up(total, *rate)
    rest = paid - sum(posting.amount for posting in postings)
    postings.append(Posting(command.source, SHARED, asset, -paid))
    if rest:
        postings.append(Posting(ROUNDING, SHARED, asset, rest))
    work.emit(e.YieldAccrued(asset, command.reference[:200], tuple(postings)))


def charge_accruals(command: c.ChargeAccruals, work: Workspace) -> None:
    """Settle funding and interest of many pools."""
    work.holders(command.holders)
    before = len(work.events)  # of a batch: what others of it did is not what is due here
    for account, pool in command.holders:
        work.accrue(account, pool)
    if len(work.events) == before:
        refuse(Rejection.NOTHING_DUE, "accruals")


Pool = tuple[str, str]


def _pair(payer: Pool, payee: Pool, asset: str, amount: int) -> tuple[Posting, Posting]:
    return Posting(*payer, asset, -amount), Posting(*payee, asset, amount)
