"""What could be sold: every single deal a pool offers, and the account as it would be after it.

In     a BookFrame of one account, the pool's row, a Market, `Terms`.
Out    `Deal`s; for each the account in many sizes, assessed by the pool's own method.
Owns   which deals there are, how many lots each may take, how a deal becomes rows.
Never  chooses; trades what has a bad price (law L13); values with code of its own.
Signs  quantities of a deal >= 0; fills signed; costs >= 0, numeraire.
Spec   docs/spec/09-liquidation.md, 9.3 to 9.7
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crossmargin.base.arrays import F64, I64
from crossmargin.frames.book import BookFrame
from crossmargin.frames.edits import copies, with_changes
from crossmargin.liquidation.mechanisms import Costs, Terms, costs
from crossmargin.margin.prepared import Market
from crossmargin.margin.requirement import RequirementFrame, Verdict, ratio
from crossmargin.methods.registry import assess, select_accounts

PAST_THE_DEBT = 1.02  # a purchase may end this far past a debt, so that costs leave none of it


@dataclass(frozen=True, slots=True)
class Deal:
    """One thing that can be done: close a position, swap an asset, close two opposite legs.

    kind   "reduce", "swap" or "net"
    give   item that shrinks; take: the asset received (swap) or the other leg (net), else -1
    ratio  units of `take` for each unit of `give`, at the marks; 0 where there is none
    lot    units of `give` in a lot; most: units of `give` this round; whole: all there is of it
    """

    kind: str
    give: int
    take: int
    ratio: float
    lot: float
    most: float
    whole: float

    @property
    def lots(self) -> int:
        # A residue a thousand millionth of a lot is a deal of one: it is all there is.
        return max(1, int(np.ceil(self.most / self.lot - 1e-9)))

    def units(self, lots: I64) -> F64:
        """Return the units of `give` in so many lots; the last lot is what is left."""
        units: F64 = np.minimum(lots * self.lot, self.most)
        return units


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool of one account as it stands: totals by item.

    quantity  (n_items,) units held; mtm (n_items,) unsettled P&L, coins of the settlement asset
    balance   (n_assets,) net balances: settled and unsettled (spec 2.1)
    equity, health, bankrupt  the method's own, as it stands
    """

    book: BookFrame
    row: int
    quantity: F64
    mtm: F64
    balance: F64
    equity: float
    health: float
    bankrupt: bool


@dataclass(frozen=True, slots=True)
class Tried:
    """A deal in several sizes: (N,) each. `equity`, `buffer`, `health` are the method's own."""

    deal: Deal
    lots: I64
    units: F64
    cost: Costs
    cash: F64
    books: BookFrame
    equity: F64
    buffer: F64
    health: F64

    @property
    def total_cost(self) -> F64:
        cost = self.cost
        return cost.half_spread + cost.impact + cost.fee + cost.penalty


def pool_at(book: BookFrame, row: int, market: Market) -> Pool:
    """Return the pool's totals."""
    items, n = market.items, market.frame.n_assets
    lo, hi = book.pool_starts[row], book.pool_starts[row + 1]
    item, held, entry = book.item[lo:hi], book.quantity[lo:hi], book.entry_price[lo:hi]
    scale, mark, inverse = items.scale[item], items.mark[item], items.inverse[item]
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.where(inverse, 1.0 / entry - 1.0 / mark, mark - entry)
    own = np.where(items.futures_like[item], held * scale * moved, 0.0)
    size = len(items.kind)
    quantity: F64 = np.bincount(item, weights=held, minlength=size).astype(np.float64)
    mtm: F64 = np.bincount(item, weights=own, minlength=size).astype(np.float64)
    balance: F64 = quantity[:n] + np.bincount(items.settle, weights=mtm, minlength=n)[:n]
    frame = assess(book, market, threads=1)
    _, _, health = own_numbers(frame, row, book.n_pools)
    bankrupt = bool(frame.verdict[row] == Verdict.BANKRUPT)
    equity = float(frame.equity[row])
    return Pool(book, row, quantity, mtm, balance, equity, float(health[0]), bankrupt)


def deals_of(pool: Pool, market: Market, terms: Terms, used: frozenset[int]) -> list[Deal]:
    """Return every deal of markets that were not used this round, net legs first."""
    open_ = ~terms.bad
    for item in used:
        open_[item] = False
    n, money = market.frame.n_assets, numeraire_row(market)
    positions = np.flatnonzero((pool.quantity != 0.0) & open_)
    positions = positions[positions >= n]
    deals = _net_deals(pool, market, terms, positions)
    for item in positions.tolist():
        whole = abs(float(pool.quantity[item]))
        most = min(whole, capacity(terms, item))
        deals.append(Deal("reduce", item, -1, 0.0, float(terms.lot[item]), most, whole))
    deals += _swap_deals(pool, market, terms, open_, money)
    return [deal for deal in deals if deal.most > 0.0]


def numeraire_row(market: Market) -> int:
    """Return the row of the asset amounts are counted in."""
    return market.frame.assets.names.index(market.frame.numeraire)


def capacity(terms: Terms, item: int) -> float:
    """Return the units a round may take: whole lots, one at least."""
    lot, most = float(terms.lot[item]), float(terms.round_most[item])
    if np.isinf(most):
        return most
    return max(lot, float(np.floor(most / lot + 1e-9)) * lot)


def _net_deals(pool: Pool, market: Market, terms: Terms, positions: I64) -> list[Deal]:
    """Pair legs of one underlying with opposite deltas; each pair closes delta against delta."""
    table, n = market.frame.instruments, market.frame.n_assets
    signed = pool.quantity * market.items.delta
    deals = []
    for at, one in enumerate(positions.tolist()):
        for two in positions[at + 1 :].tolist():
            if table.underlying[one - n] != table.underlying[two - n]:
                continue
            if not signed[one] * signed[two] < 0.0:
                continue
            ratio = abs(float(market.items.delta[one] / market.items.delta[two]))
            whole = min(abs(float(pool.quantity[one])), abs(float(pool.quantity[two])) / ratio)
            most = min(whole, capacity(terms, one), capacity(terms, two) / ratio)
            deals.append(Deal("net", one, two, ratio, float(terms.lot[one]), most, whole))
    return deals


def _swap_deals(
    pool: Pool, market: Market, terms: Terms, open_: np.ndarray, money: int
) -> list[Deal]:
    """Sell what is held for what is owed; for money where nothing is owed."""
    n, price = market.frame.n_assets, market.priced.price
    open_assets = open_[:n].copy()
    open_assets[money] = True  # money has no market that could be used up
    # Unsettled gains cannot be sold, and selling what covers unsettled losses would be a debt.
    free = np.where(open_assets, np.minimum(pool.quantity[:n], pool.balance), 0.0)
    owed = np.flatnonzero((pool.balance < 0.0) & open_assets)
    deals = []
    for give in np.flatnonzero(free > 0.0).tolist():
        whole = float(free[give])
        targets = owed.tolist() or ([money] if give != money else [])
        for take in targets:
            most = min(whole, capacity(terms, give))
            worth = price[take] / price[give]
            if take != money:
                most = min(most, capacity(terms, take) * worth)
            if len(owed):
                most = min(most, -float(pool.balance[take]) * worth * PAST_THE_DEBT)
            each = float(1.0 / worth)
            deals.append(Deal("swap", give, take, each, float(terms.lot[give]), most, whole))
    return deals


def market_items(deal: Deal, money: int) -> frozenset[int]:
    """Return the markets a deal uses up for the round."""
    return frozenset(i for i in (deal.give, deal.take) if i >= 0 and i != money)


def tried(deal: Deal, lots: I64, pool: Pool, market: Market, terms: Terms) -> Tried:
    """Return the account after the deal in each size, assessed by its own method."""
    depth = 1.0 - min(1.0, pool.health)
    units = deal.units(lots)
    cost = _cut_penalty(deal_costs(deal, units, terms, depth), pool.equity)
    cash = deal_cash(deal, units, pool, market, cost)
    books = books_after(deal, units, cash, pool, market)
    frame = assess(books, market, threads=1)
    numbers = own_numbers(frame, pool.row, pool.book.n_pools)
    return Tried(deal, lots, units, cost, cash, books, *numbers)


def own_numbers(frame: RequirementFrame, row: int, n_pools: int) -> tuple[F64, F64, F64]:
    """(N,) equity with what a bucket draws, buffer_MM and health of one pool of N like accounts.

    What buckets reserve on a shared pool never makes it liquidatable (spec 1.1), and does not count
    in what its plan aims at either.
    """
    rows = np.arange(len(frame) // n_pools) * n_pools + row
    equity = frame.equity[rows] + frame.draw_mm[rows]
    charge, buffer = frame.charge_mm[rows], frame.buffer_mm[rows]
    if row == 0 and n_pools > 1:
        granted = frame.draw_mm.reshape(-1, n_pools)[:, 1:].sum(axis=1)
        charge, buffer = charge - granted, buffer + granted
    return equity, buffer, ratio(equity, charge)


def deal_costs(deal: Deal, units: F64, terms: Terms, depth: float) -> Costs:
    """Return the costs of a deal: of both its markets, fee and penalty of a swap once."""
    own = costs(terms, deal.give, units, depth)
    if deal.kind == "reduce":
        return own
    if deal.kind == "net":
        other = costs(terms, deal.take, units * deal.ratio, depth)
        return Costs(*(a + b for a, b in zip(own, other, strict=True)))
    other = costs(terms, deal.take, units * deal.ratio, depth)
    return Costs(
        own.half_spread + other.half_spread, own.impact + other.impact,
        np.maximum(own.fee, other.fee), np.maximum(own.penalty, other.penalty),
    )  # fmt: skip


def _cut_penalty(cost: Costs, equity: float) -> Costs:
    """A penalty comes out of equity that is left, never out of a hole (spec 9.5)."""
    left = np.maximum(0.0, equity - cost.half_spread - cost.impact - cost.fee)
    return cost._replace(penalty=np.minimum(cost.penalty, left))


def deal_cash(deal: Deal, units: F64, pool: Pool, market: Market, cost: Costs) -> F64:
    """(2, N) coins paid in for the first and second leg: of `paid_in` of each leg."""
    total = cost.half_spread + cost.impact + cost.fee + cost.penalty
    price = market.priced.price
    cash = np.zeros((2, len(units)))
    if deal.kind == "swap":
        cash[0] = (units * price[deal.give] - total) / price[deal.take]
        return cash
    cash[0] = closed_value(deal.give, units, pool, market)
    if deal.kind == "net":
        cash[1] = closed_value(deal.take, units * deal.ratio, pool, market)
    cash[0] -= total / price[paid_in(deal.give, market)]
    return cash


def closed_value(item: int, units: F64, pool: Pool, market: Market) -> F64:
    """Return what closing units of a position at the mark pays, coins of its settlement asset."""
    settle = paid_in(item, market)
    held = float(pool.quantity[item])
    realised = float(pool.mtm[item]) * units / abs(held)
    premium: F64 = np.sign(held) * units * float(market.items.unit_value[item])
    paid: F64 = realised + premium / market.priced.price[settle]
    return paid


def paid_in(item: int, market: Market) -> int:
    """Return the asset a position settles in."""
    return int(market.items.settle[item])


def books_after(deal: Deal, units: F64, cash: F64, pool: Pool, market: Market) -> BookFrame:
    """Return one account a size: positions shrink in proportion, money comes in."""
    n = len(units)
    many = copies(pool.book, n)
    book, row = pool.book, pool.row
    lo, hi = int(book.pool_starts[row]), int(book.pool_starts[row + 1])
    quantity = many.quantity.reshape(n, -1).copy()
    shrunk = [(deal.give, units)]
    if deal.kind == "net":
        shrunk.append((deal.take, units * deal.ratio))
    for item, part in shrunk:
        own = lo + np.flatnonzero(book.item[lo:hi] == item)
        left = 1.0 - part / abs(float(pool.quantity[item]))
        quantity[:, own] *= np.where(np.abs(left) < 1e-12, 0.0, left)[:, None]
    many = replace(many, quantity=quantity.ravel())
    target = np.arange(n) * book.n_pools + row
    into = [deal.take if deal.kind == "swap" else paid_in(deal.give, market)]
    if deal.kind == "net":
        into.append(paid_in(deal.take, market))
    for leg, asset in enumerate(into):
        many = with_changes(many, target, np.full(n, asset), cash[leg])
    return many


def account_of(books: BookFrame, which: int, row: int) -> BookFrame:
    """Return one of the copies, rows of one asset merged and what is empty left out."""
    return compacted(select_accounts(books, np.array([which])), row)


def compacted(book: BookFrame, row: int) -> BookFrame:
    """Return the book with one row an asset in a pool, and without rows of nothing."""
    lo, hi = int(book.pool_starts[row]), int(book.pool_starts[row + 1])
    item, quantity = book.item[lo:hi], book.quantity[lo:hi].copy()
    plain = np.isnan(book.entry_price[lo:hi])
    kept = np.ones(hi - lo, np.bool_)
    for asset in np.unique(item[plain]).tolist():
        rows = np.flatnonzero((item == asset) & plain)
        quantity[rows[0]] = quantity[rows].sum()
        kept[rows[1:]] = False
    kept &= quantity != 0.0
    all_kept = np.ones(book.n_holdings, np.bool_)
    all_kept[lo:hi] = kept
    whole = book.quantity.copy()
    whole[lo:hi] = quantity
    starts = book.pool_starts.copy()
    starts[row + 1 :] -= int((~kept).sum())
    return replace(
        book, pool_starts=starts, item=book.item[all_kept], quantity=whole[all_kept],
        entry_price=book.entry_price[all_kept],
    )  # fmt: skip
