"""Drafts of losses: forced sales, draws, insurance, deleveraging, socialised losses.

In     commands, a workspace.
Out    events in the workspace, or a refusal.
Owns   what must be true of a pool before it is sold out or rescued.
Never  chooses whom, how much or at which price: the plan does.
Signs  amounts > 0; a penalty is paid by the pool.
Spec   docs/spec/10-ledger.md, 10.18
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crossmargin.base.fixed import scale_up
from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import (
    CONTRACT_DECIMALS,
    INSURANCE,
    MONEY_DECIMALS,
    OUTSIDE,
    ROUNDING,
    SYSTEM,
)
from crossmargin.engine import commands as c
from crossmargin.engine.commands import Side
from crossmargin.engine.fills import Trade, fee_postings, rows_of
from crossmargin.engine.money import value_of
from crossmargin.engine.replies import Rejection
from crossmargin.engine.trading import (
    ask_borrows,
    check_fee,
    check_open,
    check_order,
    check_side,
    filled_order,
    owed_before,
    paid_in,
    reduces,
)
from crossmargin.engine.workspace import Workspace, amount_of, price_of, refuse
from crossmargin.frames.compile import to_smallest_units
from crossmargin.frames.ledgered import book_frame
from crossmargin.ledger import events as e
from crossmargin.ledger import exactly
from crossmargin.ledger.events import Posting
from crossmargin.liquidation.deals import own_numbers
from crossmargin.margin.requirement import Verdict
from crossmargin.methods.registry import assess


class Standing(NamedTuple):
    """What margin says of a pool and of its account's shared pool, as it stands."""

    verdict: int
    equity: float
    buffer_mm: float
    shared_equity: float
    health: float


def standing(account: str, pool: str, work: Workspace) -> Standing | None:
    """Return where a pool stands; None where it cannot be known."""
    found, setting = work.book.find(account), work.setting
    assert found is not None
    if setting.market is None or setting.items is None:
        return None
    frame = book_frame([(account, found)], work.book, setting.items)
    answer = assess(frame, setting.market, threads=1)
    names = list(frame.pool_names)
    row = names.index(pool) if pool in names else 0  # a merged bucket is the shared pool
    if not np.isfinite(answer.equity[row]) or answer.verdict[row] == Verdict.UNPRICED:
        return None
    return Standing(
        int(answer.verdict[row]), float(answer.equity[row]), float(answer.buffer_mm[row]),
        float(answer.equity[0]), float(own_numbers(answer, row, frame.n_pools)[2][0]),
    )  # fmt: skip


def liquidate(command: c.Liquidate, work: Workspace) -> None:
    """Sell out part of a pool under water; what a command or batch sells of it must help it."""
    trade = _forced_trade(command, work)
    own, side = (command.account, command.pool), command.counterparty
    other, name = (side.account, side.pool), trade.instrument
    signed = trade.contracts if command.buys else -trade.contracts
    if trade.terms.kind == "spot":
        _check_spot(trade, command.buys, own, work)
    elif not reduces(name, signed, Side(*own), work):
        refuse(Rejection.NOT_REDUCING, name)
    before = standing(*own, work)
    fills = (filled_order(side, -signed, name, work),) if side.order else ()
    postings, moves = rows_of(trade, work)
    asset = paid_in(trade.terms)
    postings += fee_postings(other, asset, side.fee)
    postings += fee_postings(own, asset, command.penalty, INSURANCE + command.tier)
    work.ask_margin(*other)
    outside = Side(OUTSIDE)
    owed = owed_before(trade.terms, (outside, side) if command.buys else (side, outside), work)
    work.emit(e.LiquidationFilled(
        *own, name, command.price, tuple(postings), tuple(moves), fills, command.rounds
    ))  # fmt: skip
    ask_borrows(owed, work)
    _judge_step((before, standing(*own, work)), name, work.margined(*own), work)


def _forced_trade(command: c.Liquidate, work: Workspace) -> Trade:
    """Return the trade of a forced sale with accruals settled, or refuse its names and numbers."""
    name, own, side = command.instrument, (command.account, command.pool), command.counterparty
    held = work.pool(*own, frozen_may=True)
    terms = work.traded(name)
    _check_tier(command.tier, work)
    check_side(side, work)
    check_order(side, -1 if command.buys else 1, name, work)
    other = (side.account, side.pool)
    if own == other:
        refuse(Rejection.SAME_POOL, command.pool)
    contracts = amount_of(command.contracts, CONTRACT_DECIMALS, "contracts")
    if command.penalty < 0:
        refuse(Rejection.AMOUNT_NOT_POSITIVE, "penalty", command.penalty)
    check_fee(command.penalty, terms, work)
    check_fee(side.fee, terms, work)
    at = price_of(command.price)
    if side.order:
        check_open(side, contracts, work)
    if held.orders:
        refuse(Rejection.ORDERS_OPEN, command.pool, len(held.orders), 0)
    for pool in (own, other):
        if pool[0][0] != SYSTEM:
            work.accrue(*pool)
    buyer, seller = (own, other) if command.buys else (other, own)
    return Trade(name, terms, contracts, at, buyer, seller)


Steps = tuple[Standing | None, Standing | None]
"""Where a pool stood before a forced sale, and where it stands after it."""


def _judge_step(step: Steps, name: str, pool: tuple[str, str], work: Workspace) -> None:
    """Refuse a forced sale of a pool that need not be sold out; note what it did to its buffer.

    Once a batch sells out of a pool it may go on while that is below the target: the first sale
    says that it is under water, and the target is how far it is to be lifted.
    """
    before, after = step
    if before is None or after is None:
        work.refuse_late(Rejection.POOL_UNPRICED, name)
        return
    gained, _ = work.forced.get(pool, (0.0, ""))
    if pool in work.forced:
        assert work.setting.rules is not None
        needs = before.health < work.setting.rules.liquidation.target_health
    else:
        needs = before.verdict in (Verdict.LIQUIDATABLE, Verdict.BANKRUPT)
    if not needs:
        work.refuse_late(Rejection.NOT_LIQUIDATABLE, Verdict(before.verdict).name)
    work.forced[pool] = (gained + (after.buffer_mm - before.buffer_mm), name)


def judge_forced(work: Workspace) -> None:
    """Refuse forced sales that together leave a pool's buffer_MM no higher (10.18)."""
    for gained, name in work.forced.values():
        if not gained > 0.0:
            work.refuse_late(Rejection.NOT_RAISING, name)


def _check_spot(trade: Trade, buys: bool, own: tuple[str, str], work: Workspace) -> None:
    """Refuse a forced sale of what a pool does not hold, or purchase of what it does not owe."""
    base = trade.terms.underlying
    num, den = exactly.base_units(trade.terms, trade.contracts, work.setting.decimals[base])
    units = scale_up(num, 1, den)
    balance = work.book.balance(*own, base)
    if buys and -balance < units:
        refuse(Rejection.NOT_REDUCING, base, units, max(0, -balance))
    if not buys:
        if balance <= 0:
            refuse(Rejection.NOT_REDUCING, base, units, 0)
        work.ask_balance(*own, base, units)


def _check_tier(tier: str, work: Workspace) -> None:
    rules = work.setting.rules
    if rules is None or tier not in rules.gain_tiers:
        refuse(Rejection.TIER_UNKNOWN, tier)


def draw(command: c.Draw, work: Workspace) -> None:
    """Let the shared pool pay for an empty bucket (spec 1.14)."""
    account, pool, asset = command.account, command.pool, command.asset
    held = work.pool(account, pool, frozen_may=True)
    if pool == SHARED or held.draw_limit is None:
        refuse(Rejection.POOL_UNKNOWN, pool)
    amount = amount_of(command.amount, work.decimals(asset))
    work.accrue(account, pool)
    work.accrue(account, SHARED)
    _check_empty(account, pool, work)
    exact, free = value_of(asset, amount, work), may_draw(account, pool, work)
    value = 0 if exact is None else scale_up(exact[0], 1, exact[1])
    if exact is None or free is None:
        work.refuse_late(Rejection.POOL_UNPRICED, f"{account}/{pool}")
    elif value > free:
        work.refuse_late(Rejection.DRAW_TOO_LARGE, pool, value, free)
    work.ask_balance(account, SHARED, asset, amount)
    postings = (Posting(account, SHARED, asset, -amount), Posting(account, pool, asset, amount))
    work.emit(e.Drawn(account, pool, value, postings))


def may_draw(account: str, pool: str, work: Workspace) -> int | None:
    """Return what a bucket may still draw, t of spec 1.14, 10^-6 numeraire; 0 for other pools."""
    held = work.held(account, pool)
    if pool == SHARED or held.draw_limit is None:
        return 0
    left = max(0, held.draw_limit - held.drawn)
    if not left:
        return 0
    now = standing(account, pool, work)
    if now is None or not np.isfinite(now.shared_equity):
        return None
    most = min(max(0.0, -now.equity), max(0.0, now.shared_equity))
    return min(left, to_smallest_units(most, MONEY_DECIMALS, round_down=True))


def _check_drawn(account: str, pool: str, asset: str, work: Workspace) -> None:
    """Refuse what comes after a draw while one unit of what is owed could still be drawn."""
    free = may_draw(account, pool, work)
    if free == 0:
        return
    unit = value_of(asset, 1, work)
    if free is None or unit is None:
        refuse(Rejection.POOL_UNPRICED, f"{account}/{pool}")
    if scale_up(unit[0], 1, unit[1]) <= free:
        refuse(Rejection.DRAW_FIRST, pool, None, free)


def _check_empty(account: str, pool: str, work: Workspace) -> None:
    """Refuse a rescue of a pool that has something left, in what is margined with it too."""
    for name, part in work.margined_with(account, pool):
        if part.positions or part.orders or any(amount > 0 for amount in part.balances.values()):
            refuse(Rejection.POOL_NOT_EMPTY, f"{account}/{name}")


def fund_insurance(command: c.FundInsurance, work: Workspace) -> None:
    """Pay into a tier's fund from outside."""
    decimals = work.decimals(command.asset)
    _check_tier(command.tier, work)
    amount = amount_of(command.amount, decimals)
    work.emit(e.InsuranceFunded(command.tier, (
        Posting(OUTSIDE, SHARED, command.asset, -amount),
        Posting(INSURANCE + command.tier, SHARED, command.asset, amount),
    )))  # fmt: skip


def pay_insurance(command: c.PayInsurance, work: Workspace) -> None:
    """Let a tier's fund pay what an empty pool owes, after what it may still draw."""
    account, pool, asset = command.account, command.pool, command.asset
    work.pool(account, pool, frozen_may=True)
    decimals = work.decimals(asset)
    _check_tier(command.tier, work)
    amount = amount_of(command.amount, decimals)
    work.accrue(account, pool)
    _check_owed(account, pool, asset, amount, work)
    _check_drawn(account, pool, asset, work)
    fund = INSURANCE + command.tier
    there = max(0, work.book.balance(fund, SHARED, asset))
    if amount > there:
        refuse(Rejection.FUND_SHORT, command.tier, amount, there)
    postings = (Posting(fund, SHARED, asset, -amount), Posting(account, pool, asset, amount))
    work.emit(e.InsurancePaid(command.tier, postings))


def _check_owed(account: str, pool: str, asset: str, amount: int, work: Workspace) -> None:
    owed = -work.book.balance(account, pool, asset)
    if owed <= 0:
        refuse(Rejection.NOTHING_OWED, asset, amount, 0)
    if amount > owed:
        refuse(Rejection.REPAY_EXCEEDS_DEBT, asset, amount, owed)
    _check_empty(account, pool, work)


def deleverage(command: c.Deleverage, work: Workspace) -> None:
    """Close a bankrupt pool's position against another's."""
    name = command.instrument
    terms = work.traded(name)
    if terms.kind == "spot":
        refuse(Rejection.INSTRUMENT_KIND, name)
    pools = (command.bankrupt, command.counterparty)
    for pool in pools:
        work.pool(*pool, frozen_may=True)
    if pools[0] == pools[1]:
        refuse(Rejection.SAME_POOL, pools[0][0])
    contracts = amount_of(command.contracts, CONTRACT_DECIMALS, "contracts")
    at = price_of(command.price)
    signed = contracts if command.bankrupt_buys else -contracts
    for pool, by in zip(pools, (signed, -signed), strict=True):
        if not reduces(name, by, Side(*pool), work):
            refuse(Rejection.NOT_REDUCING, f"{pool[0]}/{pool[1]}")
    for pool in pools:
        work.accrue(*pool)
    before = standing(*command.bankrupt, work)
    if before is None:
        work.refuse_late(Rejection.POOL_UNPRICED, "/".join(command.bankrupt))
    elif not before.equity < 0.0:
        work.refuse_late(Rejection.NOT_BANKRUPT, command.bankrupt[0])
    buyer, seller = pools if command.bankrupt_buys else (pools[1], pools[0])
    postings, moves = rows_of(Trade(name, terms, contracts, at, buyer, seller), work)
    work.emit(e.Deleveraged(name, command.price, tuple(postings), tuple(moves)))


def socialise(command: c.Socialise, work: Workspace) -> None:
    """Share what an empty pool owes among holders of the asset."""
    account, pool, asset = command.account, command.pool, command.asset
    work.pool(account, pool, frozen_may=True)
    work.holders(command.holders)
    decimals = work.decimals(asset)
    if (account, pool) in command.holders:
        refuse(Rejection.SAME_POOL, account)
    amount = amount_of(command.amount, decimals)
    work.accrue(account, pool)
    _check_owed(account, pool, asset, amount, work)
    _check_drawn(account, pool, asset, work)
    assert work.setting.rules is not None
    for tier in work.setting.rules.gain_tiers:
        if (there := work.book.balance(INSURANCE + tier, SHARED, asset)) > 0:
            refuse(Rejection.INSURANCE_FIRST, tier, amount, there)
    for holder in command.holders:
        work.accrue(*holder)
    held = [max(0, work.book.balance(*holder, asset)) for holder in command.holders]
    total = sum(held)
    if total < amount:
        refuse(Rejection.SHARES_SHORT, asset, amount, total)
    shares = [min(has, scale_up(amount, has, total)) for has in held]
    postings = [
        Posting(*holder, asset, -share)
        for holder, share in zip(command.holders, shares, strict=True)
        if share
    ]
    postings.append(Posting(account, pool, asset, amount))
    if rest := sum(shares) - amount:
        postings.append(Posting(ROUNDING, SHARED, asset, rest))
    work.emit(e.LossSocialised(asset, tuple(postings)))
