"""The end of a pool that no sale helps: all of it goes, then others pay what it owes.

In     a plan that ends in takeover or ADL, the pool's draft, who could be deleveraged.
Out    commands in the draft: closings, deleveragings, a draw, insurance, socialised losses.
Owns   at which price what goes; how much winners, the shared pool, funds and holders bear.
Never  lets anybody pay while something is left; takes a fund's money for a pool that owes nothing.
Signs  contracts 10^-18; amounts are smallest units >= 0; equity signed, numeraire.
Spec   docs/spec/09-loop.md, (9.108) to (9.112); docs/spec/09-waterfall.md
"""

from __future__ import annotations

import math

import numpy as np

from crossmargin.base.arrays import F64
from crossmargin.base.errors import InputInvalid
from crossmargin.base.fixed import scale_down, scale_up
from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import (
    CONTRACT_DECIMALS,
    INSURANCE,
    AccountState,
    Book,
    PositionState,
    Status,
)
from crossmargin.domain.waterfall_rules import PenaltySplit
from crossmargin.engine.draft import Draft, is_user
from crossmargin.engine.forced import (
    NOTHING,
    Desk,
    buy,
    close,
    holder_of,
    pair_of,
    premium_text,
    price_text,
    sell,
)
from crossmargin.engine.losses import may_draw
from crossmargin.engine.money import value_of
from crossmargin.engine.rescue import Open, deleverages, payments
from crossmargin.engine.workspace import HOLDERS_MAX
from crossmargin.frames.ledgered import book_frame
from crossmargin.ledger import exactly
from crossmargin.liquidation.adl import POLICIES, Holder
from crossmargin.liquidation.candidates import Positions, Quote, candidates
from crossmargin.liquidation.steps import Fill, Plan
from crossmargin.liquidation.waterfall import Adl, Bearer, Closings, Shortfall, waterfall
from crossmargin.methods.registry import assess

# Venues publish this order; a rulebook names none (9.72).
ADL_POLICY = POLICIES["queue"]
NO_PENALTY = PenaltySplit(0, 0)
# The engine's room of a draw is a float rounded down: all of it may take a second one.
DRAWS_MAX = 3


def wind_up(found: Plan, draft: Draft, desk: Desk) -> None:
    """Have all of a pool leave it, and its debt paid where it then has one."""
    last = [step for step in found.steps if step.kind in ("takeover", "adl")]
    owes = found.bad_debt > 0.0
    items = [fill.item for fill in last[0].fills]
    prices = {fill.item: fill.price for fill in last[0].fills}
    winners = sum(step.kind == "adl" for step in last)
    share = abs(_part(last[-1].fills)) if winners else 0.0
    share /= sum(abs(_part(step.fills)) for step in last) or 1.0
    positions = [item for item in items if not desk.is_asset(item)]
    if owes:
        deleverage(draft, desk, positions, (found.bad_debt, share))
    for item in positions:
        name = desk.names[item]
        left = sum(
            abs(held.contracts)
            for _, part in draft.parts()
            if (held := part.positions.get(name)) is not None
        )
        if not owes and share and left:
            # Nobody is deleveraged for a pool that owes nothing: what the fund takes not, stays.
            left = scale_up(round((1.0 - share) * 1e12) * left, 1, 10**12)
        if left:
            at = closing_text(item, prices[item], desk, at_mark=owes)
            close(draft, desk, item, (left, at), NOTHING)
    _assets(draft, desk, prices)
    pay(draft, desk)


def _part(fills: tuple[Fill, ...]) -> float:
    return fills[0].quantity


def closing_text(item: int, price: float, desk: Desk, at_mark: bool) -> str | None:
    """Return the price a position goes at: its mark where others pay, else its bankruptcy price.

    A fund that takes a position at the bankruptcy price of a pool that owes loses the distance to
    the mark. The ledger has it pay that distance in money, so the sum is the same.
    """
    if not at_mark:
        return price_text(price)
    if desk.market.items.futures_like[item]:
        return price_text(float(desk.market.items.mark[item]))
    return premium_text(item, 1.0, 0.0, desk)


def _assets(draft: Draft, desk: Desk, prices: dict[int, float]) -> None:
    """Turn every balance with a good price into the numeraire, then buy back what is owed."""
    money, bad = desk.market.frame.numeraire, desk.selling.bad
    names = [n for row, n in enumerate(desk.market.frame.assets.names) if not bad[row]]
    for name in (name for name in names if name != money):
        part = holder_of(name, draft)
        if (coins := draft.balance(part, name)) > 0:
            row = desk.asset(name)
            sell(
                draft, desk, (part, name, money), (coins, prices.get(row, desk.price(row))), NOTHING
            )
    for name in (name for name in names if name != money):
        for part, state in draft.parts():
            owed = -state.balances.get(name, 0)
            if owed > 0 and draft.balance(part, money) > 0 and pair_of(name, money, desk):
                buy(draft, desk, (part, name, money), (owed, desk.price(desk.asset(name))), NOTHING)


# --- winners --------------------------------------------------------------------------------------


def deleverage(draft: Draft, desk: Desk, items: list[int], lacks: tuple[float, float]) -> None:
    """Close positions against opposite ones for what neither draw nor funds can pay.

    lacks  what the pool owes at the marks after draws, numeraire; the share the fund takes not
    """
    hole, share = lacks
    ends = [_open(draft, desk, item) for item in items]
    if not ends or None in ends or len({end.terms.settle for end in ends if end}) != 1:
        return
    opened = {end.instrument: end for end in ends if end is not None}
    asset = ends[0].terms.settle if ends[0] else ""
    part = draft.parts()[0][0]
    owed = desk.units(hole, asset) + 1
    fund = sum(funds(draft, desk, asset).values())
    uncovered = owed > fund
    if not uncovered and not share:
        return
    ways = []
    for item in items:
        end = opened[desk.names[item]]
        lots = _lots(draft, end)
        if not uncovered:
            lots = scale_up(round(share * 1e12) * lots, 1, 10**12)
        if lots:
            ways.append(_way(draft, desk, item, (end, lots)))
    lost = Shortfall((draft.owner[0], part), 0, owed, 0, draft.owner, 0, "", fund)
    for one, closed in zip(ways, _closings(lost, ways), strict=True):
        end = opened[one.contract]
        for where, state in draft.parts():
            if one.contract not in state.positions:
                continue
            try:
                orders = deleverages((draft.owner[0], where), closed, end, one.candidates)
            except InputInvalid as impossible:
                draft.whys.append(f"Deleverage: {impossible}")
                break
            for order in orders:
                draft.add(order)
            break


def _closings(lost: Shortfall, ways: list[Adl]) -> tuple[Closings, ...]:
    """Return what is closed of whom: for the loss that is left, or at the mark where none is."""
    found = waterfall(lost, NO_PENALTY, tuple(ways), ())
    if found.closings:
        return found.closings
    return tuple(
        Closings(way.contract, 0, way.policy(way.candidates, way.lots), (), 0) for way in ways
    )


def _open(draft: Draft, desk: Desk, item: int) -> Open | None:
    """Return a position as what can be deleveraged; None for what has no one price to move."""
    name = desk.names[item]
    terms, lot = desk.terms[name], exactly.ratio(repr(float(desk.selling.lot[item])))
    mark = price_text(float(desk.market.items.mark[item]))
    if lot is None or mark is None or terms.payoff == "inverse" or terms.pays_premium:
        return None
    buys = next(s.positions[name].contracts < 0 for _, s in draft.parts() if name in s.positions)
    units = scale_down(10**CONTRACT_DECIMALS, *lot)
    return Open(name, terms, mark, max(1, units), buys, desk.decimals[terms.settle])


def _lots(draft: Draft, end: Open) -> int:
    """Return the whole lots the first pool, of those that merge, has open."""
    for _, state in draft.parts():
        if (held := state.positions.get(end.instrument)) is not None:
            return abs(held.contracts) // end.lot
    return 0


def _way(draft: Draft, desk: Desk, item: int, what: tuple[Open, int]) -> Adl:
    """Return a contract's candidates, what each may give up, and how much must go."""
    end, lots = what
    holders = opposite(draft.book, end, draft.owner[0])
    accounts = [(name, draft.book.accounts[name]) for name, _ in holders]
    unique = list(dict(accounts).items())
    columns = _columns(draft, unique, (holders, item))
    contracts = tuple(
        account.pools[pool].positions[end.instrument].contracts
        for (_, pool), (_, account) in zip(holders, accounts, strict=True)
    )
    given = Positions(holders, contracts, *columns, (0,) * len(holders))
    each = float(desk.market.items.scale[item]) * desk.price(int(desk.market.items.settle[item]))
    them = candidates(given, Quote(float(end.mark), math.nan, each, end.lot))
    room = tuple(_gain(account.pools[pool].positions[end.instrument], end)
                 for (_, pool), (_, account) in zip(holders, accounts, strict=True))  # fmt: skip
    weight = round(lots * end.lot / 10**CONTRACT_DECIMALS * each * float(end.mark) * 1e6)
    return Adl(end.instrument, ADL_POLICY, them, room, lots, max(1, weight))


def opposite(book: Book, end: Open, but: str) -> tuple[Holder, ...]:
    """Return the pools of others that hold the other side, by account and pool."""
    return tuple(sorted(
        (name, pool)
        for name, account in book.accounts.items()
        if is_user(name) and name != but and account.status in (Status.OPEN, Status.FROZEN)
        for pool, state in account.pools.items()
        if (held := state.positions.get(end.instrument)) is not None
        and (held.contracts > 0) == end.buys
    ))  # fmt: skip


def _columns(
    draft: Draft, accounts: list[tuple[str, AccountState]], asked: tuple[tuple[Holder, ...], int]
) -> tuple[F64, F64, F64]:
    """(N,) entry price, equity and buffer_MM of each holder's pool, NaN where not known."""
    holders, item = asked
    n = len(holders)
    entry, equity, buffer = (np.full(n, np.nan) for _ in range(3))
    assert draft.setting.items is not None
    assert draft.setting.market is not None
    if not accounts:
        return entry, equity, buffer
    frame = book_frame(accounts, draft.book, draft.setting.items)
    answer = assess(frame, draft.setting.market, threads=1)
    first = {name: row for row, (name, _) in enumerate(accounts)}
    for k, (name, pool) in enumerate(holders):
        lo, hi = frame.account_starts[first[name]], frame.account_starts[first[name] + 1]
        row = next((r for r in range(lo, hi) if frame.pool_names[r] == pool), int(lo))
        rows = slice(int(frame.pool_starts[row]), int(frame.pool_starts[row + 1]))
        at = np.flatnonzero(frame.item[rows] == item)
        entry[k] = frame.entry_price[rows][at[0]] if len(at) else np.nan
        equity[k], buffer[k] = answer.equity[row], answer.buffer_mm[row]
    return entry, equity, buffer


def _gain(held: PositionState, end: Open) -> int:
    """Return a position's unrealised gain at the mark, settlement units, down; at least 0."""
    mark = exactly.price(end.mark)
    assert mark is not None
    contracts, cost = held.contracts, held.cost
    num, den = exactly.worth(end.terms, abs(contracts), mark, end.decimals)
    return max(0, cost + scale_down(num if contracts > 0 else -num, 1, den))


# --- who pays -------------------------------------------------------------------------------------


def funds(draft: Draft, desk: Desk, asset: str) -> dict[str, int]:
    """Return what each tier's insurance has of an asset, in the rulebook's order."""
    balance = draft.work.book.balance
    tiers = desk.market.rulebook.gain_tiers
    return {tier: max(0, balance(INSURANCE + tier, SHARED, asset)) for tier in tiers}


def _room(draft: Draft, part: str, asset: str) -> int:
    """Return how many units the shared pool may still pay for a bucket now."""
    account, pool = draft.owner
    if part == SHARED:
        return 0
    free, each = may_draw(account, pool, draft.work), value_of(asset, 1, draft.work)
    if not free or each is None:
        return 0
    there = max(0, draft.balance(SHARED, asset))
    return min(there, scale_down(free, each[1], each[0]))


def pay(draft: Draft, desk: Desk) -> None:
    """Let the shared pool, the funds and holders pay what an empty pool owes, in that order."""
    owed = [(part, a) for part, state in draft.parts() for a, x in state.balances.items() if x < 0]
    if not owed:
        return
    if not draft.is_empty():
        draft.whys.append("payments: something is left in the pool that could not be sold")
        return
    for part, asset in owed:
        for _ in range(DRAWS_MAX):
            if not (room := _room(draft, part, asset)) or not _pay(draft, (part, asset), room):
                break
        for tier, fund in funds(draft, desk, asset).items():
            if fund:
                _pay(draft, (part, asset), 0, (tier, fund))
        if draft.balance(part, asset) < 0:
            _pay(draft, (part, asset), 0, holders=holders_of(draft, asset))
        if (left := -draft.balance(part, asset)) > 0:
            draft.whys.append(f"payments: nobody is left to pay {left} units of {asset}")


def _pay(
    draft: Draft, where: tuple[str, str], room: int, fund: tuple[str, int] = ("", 0),
    holders: tuple[Bearer, ...] = (),
) -> bool:  # fmt: skip
    """Ask one bearer for what is still owed; return whether the engine took it."""
    part, asset = where
    owed = -draft.balance(part, asset)
    if owed <= 0:
        return False
    own = (draft.owner[0], part)
    lost = Shortfall(own, 0, owed, 0, own, room, *fund)
    commands = payments(waterfall(lost, NO_PENALTY, (), holders), asset)
    replies = [draft.add(command) for command in commands]
    return bool(replies) and replies == [None] * len(replies)


def holders_of(draft: Draft, asset: str) -> tuple[Bearer, ...]:
    """Return who holds an asset, the largest balances first where one command cannot name all."""
    account = draft.owner[0]
    found = [
        Bearer((name, pool), held)
        for name, other in draft.book.accounts.items()
        if is_user(name) and other.status in (Status.OPEN, Status.FROZEN)
        for pool in other.pools
        if (name, pool) not in {(account, part) for part, _ in draft.parts()}
        and (held := draft.work.book.balance(name, pool, asset)) > 0
    ]
    found.sort(key=lambda bearer: (-bearer.room, bearer.holder))
    return tuple(sorted(found[: 100 * HOLDERS_MAX], key=lambda bearer: bearer.holder))
