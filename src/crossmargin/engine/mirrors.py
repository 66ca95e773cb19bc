"""Drafts of what came from elsewhere: mirrors of outside accounts, and opening holdings.

In     commands, a workspace.
Out    one event in the workspace, or a refusal.
Owns   how a holding that was not traded here enters the book: against @outside.
Never  judges margin; changes what was traded here.
Signs  balances signed; contracts signed, cost as PositionState.
Spec   docs/spec/10-ledger.md, 10.13, 10.22
"""

from __future__ import annotations

from collections.abc import Mapping

from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import (
    CONTRACT_DECIMALS,
    MONEY_DECIMALS,
    OUTSIDE,
    SYSTEM,
    PoolState,
    Status,
)
from crossmargin.engine import commands as c
from crossmargin.engine.replies import Rejection
from crossmargin.engine.trading import check_orders
from crossmargin.engine.workspace import Workspace, amount_of, is_id, most_of, price_of, refuse
from crossmargin.ledger import events as e
from crossmargin.ledger.events import Move, Posting

OBSERVED_MAX = 1_000


def import_account(command: c.ImportAccount, work: Workspace) -> None:
    """Give a bare pool its opening holdings."""
    own = (command.account, command.pool)
    held = work.pool(*own)
    if held.balances or held.positions or held.orders or held.drawn:
        refuse(Rejection.ACCOUNT_NOT_EMPTY, command.account)
    _check_names(command.balances, command.positions, work)
    for order in command.orders.values():
        work.traded(order.instrument)
    if not all(map(is_id, command.orders)):
        refuse(Rejection.ORDER_NAME_INVALID, command.pool)
    check_orders(*own, len(command.orders), work)
    _check_numbers(command.balances, command.positions, work)
    for order in command.orders.values():
        amount_of(abs(order.contracts), CONTRACT_DECIMALS, "contracts")
        price_of(order.limit_price)
    for name, amount, most in (
        ("drawn", command.drawn, most_of(MONEY_DECIMALS)),
        ("last_draw", command.last_draw, held.draw_limit or 0),
    ):
        if amount < 0:
            refuse(Rejection.AMOUNT_NOT_POSITIVE, name, amount)
        if amount > most:
            refuse(Rejection.AMOUNT_TOO_LARGE, name, None, most)
    postings, moves = _difference(own, held, command.balances, command.positions)
    work.emit(e.Imported(*own, postings, moves, command.orders, command.drawn, command.last_draw))


def observe(command: c.Observe, work: Workspace) -> None:
    """Make a mirror equal to what was seen at its venue."""
    found = work.book.find(command.account) if command.account[:1] != SYSTEM else None
    if found is None:
        refuse(Rejection.ACCOUNT_UNKNOWN, command.account)
    if found.status == Status.CLOSED:
        refuse(Rejection.ACCOUNT_CLOSED, command.account)
    if found.status != Status.MIRROR:
        refuse(Rejection.ACCOUNT_IS_MIRROR, command.account)
    held = found.pools.get(command.pool)
    if held is None:
        refuse(Rejection.POOL_UNKNOWN, command.pool)
    _check_names(command.balances, command.positions, work)
    _check_numbers(command.balances, command.positions, work)
    own = (command.account, command.pool)
    postings, moves = _difference(own, held, command.balances, command.positions)
    if not postings and not moves:
        refuse(Rejection.NOTHING_DUE, command.account)
    work.emit(e.Observed(*own, command.source[:200], postings, moves))


Balances = Mapping[str, int]
Positions = Mapping[str, tuple[int, int]]


def _check_names(balances: Balances, positions: Positions, work: Workspace) -> None:
    for asset in balances:
        work.decimals(asset)
    for name, (_, cost) in positions.items():
        terms = work.terms(name)
        # Spot is held as its assets; what a premium option cost was paid and is no claim.
        if terms.kind == "spot" or (terms.pays_premium and cost):
            refuse(Rejection.INSTRUMENT_KIND, name)
    n_seen = len(balances) + 2 * len(positions)
    if n_seen > OBSERVED_MAX:
        refuse(Rejection.TOO_MANY, "holdings", n_seen, OBSERVED_MAX)


def _check_numbers(balances: Balances, positions: Positions, work: Workspace) -> None:
    decimals, terms = work.setting.decimals, work.setting.terms
    seen = [(amount, decimals[asset]) for asset, amount in balances.items()]
    for name, (contracts, cost) in positions.items():
        seen += [(contracts, CONTRACT_DECIMALS), (cost, decimals[terms[name].settle])]
    for amount, places in seen:
        if abs(amount) > (most := most_of(places)):
            refuse(Rejection.AMOUNT_TOO_LARGE, "holdings", abs(amount), most)


def _difference(
    own: tuple[str, str], held: PoolState, balances: Balances, positions: Positions
) -> tuple[tuple[Posting, ...], tuple[Move, ...]]:
    """Return what takes a pool from what it holds to what was seen, against @outside."""
    other = (OUTSIDE, SHARED)
    postings: list[Posting] = []
    for asset in sorted({*held.balances, *balances}):
        change = balances.get(asset, 0) - held.balances.get(asset, 0)
        if change:
            postings += [Posting(*own, asset, change), Posting(*other, asset, -change)]
    moves: list[Move] = []
    for name in sorted({*held.positions, *positions}):
        contracts, cost = positions.get(name, (0, 0))
        now = held.positions.get(name)
        had = (now.contracts, now.cost) if now else (0, 0)
        by = (contracts - had[0], (cost if contracts else 0) - had[1])
        if any(by):
            moves += [Move(*own, name, *by), Move(*other, name, -by[0], -by[1])]
    return tuple(postings), tuple(moves)
