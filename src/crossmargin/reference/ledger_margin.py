"""What the second witness says a pool may do: its market, its accounts, its allowance.

In     the witness's book and the time of a decision.
Out    per account: equity, buffers, draws, verdicts, and `Allowance` of spec 10.16.
Owns   the way from exact integers to the twin's floats, and how near a number is to its boundary.
Never  decides; keeps an answer longer than the state it belongs to.
Signs  buffers and allowances signed; draws >= 0; None is "not known".
Spec   docs/spec/10-ledger.md (10.16, 10.20), docs/spec/01-what-exists.md
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from crossmargin.reference.ledger_book import (
    MIRROR,
    MONEY,
    ONE,
    SECOND_NS,
    SHARED,
    Account,
    Book,
    Pool,
)
from crossmargin.reference.ledger_market import plain_market
from crossmargin.reference.ledger_sums import funding_due, interest_due, unit_of
from crossmargin.reference.margin import assess_account
from crossmargin.reference.plain import (
    Holding,
    PlainAccount,
    PlainMarket,
    PlainOrder,
    PlainPool,
    PlainResult,
)
from crossmargin.reference.valuation import price, valued

NAN = math.nan
# Two floating-point paths to one number differ by far less; who lies nearer than this to a
# boundary may be answered either way.
NEAR = 1e-9
# Before and after a command, and before and after one that was refused.
KEPT = 4


@dataclass(frozen=True)
class Allowance:
    """10.16 of one pool. `edge` has the sign of the test allowed >= 0, `scale` is what it is
    small against; `free` says that everything may leave because the pool owes nothing (L2)."""

    value: float
    edge: float
    scale: float
    free: bool

    def holds(self) -> bool | None:
        """Is allowed >= 0? None where it is too near to tell."""
        return True if self.free else sign(self.edge, self.scale)

    def keeps(self, before: Allowance | None) -> bool | None:
        """Is it at least what it was? None where it is too near to tell."""
        if before is None:
            return False
        if self.value == before.value:
            return True  # nothing that binds has changed: every path to it is the same
        return sign(self.value - before.value, max(self.scale, before.scale))


def sign(x: float, scale: float) -> bool | None:
    """Is x >= 0? None within NEAR of nothing."""
    if abs(x) <= NEAR * scale:
        return None if scale else x >= 0.0
    return x > 0.0


@dataclass(frozen=True)
class Standing:
    """An account as the twin sees it: pool name -> row; merged buckets have the shared pool's."""

    rows: Mapping[str, int]
    results: list[PlainResult]
    pools: tuple[PlainPool, ...]
    scales: list[float]

    def of(self, pool: str) -> PlainResult:
        """Return the result of the pool that margins this one."""
        return self.results[self.rows[pool]]

    def is_priced(self, pool: str) -> bool:
        """Is everything known that this pool's margin needs?"""
        return not self.of(pool).unpriced

    def scale(self, pool: str) -> float:
        """What a number of this pool, or of its shared one, is small against."""
        return max(self.scales[self.rows[pool]], self.scales[0])

    def allowance(self, pool: str) -> Allowance | None:
        """10.16: buffer_IM with orders; None where it is not known."""
        row = self.rows[pool]
        result = self.results[row]
        if result.unpriced:
            return None
        own = result.im.margin_balance - result.im.own_requirement
        quiet = not result.owes and all(o.reduce_only for o in self.pools[row].orders)
        scale = self.scale(pool)
        if row == 0:
            # What its buckets want is a difference of their own sums, however little it holds.
            scale = max(self.scales)
            wanted = math.fsum(self._wanted(i) for i in range(1, len(self.results)))
            return Allowance(own - wanted, own - wanted, scale, quiet and wanted == 0.0)
        return _within(own, self._cover(row, "im"), scale, quiet)

    def maintenance(self, pool: str) -> Allowance | None:
        """(1.11): buffer_MM with its draw; the shared pool is judged without reservations."""
        row = self.rows[pool]
        result = self.results[row]
        if result.unpriced:
            return None
        own = result.mm.margin_balance - result.mm.own_requirement
        cover = 0.0 if row == 0 else self._cover(row, "mm")
        return _within(own, cover, self.scale(pool), not result.owes)

    def liquidatable(self, pool: str) -> bool | None:
        """Is its verdict LIQUIDATABLE or BANKRUPT? None where it is too near to tell."""
        found = self.maintenance(pool)
        assert found is not None, "of a priced pool only"
        if found.free:
            return False
        covered, solvent = found.holds(), self.solvent(pool)
        if covered is False or solvent is False:
            return True
        return None if covered is None or solvent is None else False

    def below(self, pool: str, target: float) -> bool | None:
        """Is health, E with its draw over Q, below a target? None where it is too near to tell."""
        result = self.of(pool)
        charge = result.equity - (result.mm.margin_balance - result.mm.own_requirement)
        equity = result.equity + (result.mm.draw if self.rows[pool] else 0.0)
        if not charge > 0.0:
            return None if equity == 0.0 else equity < 0.0
        reached = sign(equity - target * charge, target * self.scale(pool))
        return None if reached is None else not reached

    def solvent(self, pool: str) -> bool | None:
        """(1.11): is equity, with what the shared pool could pay, at least nothing?"""
        row = self.rows[pool]
        equity = self.results[row].equity
        if row:
            shared = self.results[0]
            paid = math.inf if shared.unpriced else max(0.0, shared.equity)
            equity += min(self.room(pool), paid)
        return sign(equity, self.scale(pool))

    def room(self, pool: str) -> float:
        """(1.7): what is left of a bucket's limit."""
        plain = self.pools[self.rows[pool]]
        return max(0.0, plain.draw_limit - plain.drawn)

    def _wanted(self, row: int) -> float:
        """(1.8), (1.13): what a bucket wants of the shared pool at IM."""
        room = max(0.0, self.pools[row].draw_limit - self.pools[row].drawn)
        own = self.results[row].im
        if self.results[row].unpriced:
            return room
        return min(max(0.0, own.own_requirement - own.margin_balance), room)

    def _cover(self, row: int, level: str) -> float:
        """What a bucket could be granted at most: its limit, and what others before it left."""
        plain = self.pools[row]
        room = max(0.0, plain.draw_limit - plain.drawn)
        if self.results[0].unpriced:
            return min(room, plain.last_draw) if level == "mm" else 0.0
        levels = [r.mm if level == "mm" else r.im for r in self.results]
        free = max(0.0, levels[0].margin_balance - levels[0].own_requirement)
        left = free - math.fsum(x.draw for x in levels[1:row])
        return min(room, max(0.0, left))


def _within(own: float, cover: float, scale: float, quiet: bool) -> Allowance:
    """A pool that lacks no more than it may draw is at its boundary, not under it (C58)."""
    value = own if own >= 0.0 else min(0.0, own + cover)
    return Allowance(value, own + cover, scale, quiet)


class Desk:
    """Assesses accounts, and keeps an answer while neither account nor world has changed."""

    def __init__(self, book: Book) -> None:
        """Look at a book."""
        self.book = book
        self._market: tuple[object, PlainMarket] | None = None
        self._worlds = 0
        self._standing: dict[str, dict[object, Standing]] = {}
        self.assessed = 0

    def market(self, now_ns: int) -> PlainMarket:
        """10.20: the listing with the newest prints, statuses as of now."""
        book = self.book
        assert book.rules is not None
        oldest = now_ns - int(book.rules.oracle.stale_s * SECOND_NS)
        told = (*book.prints.values(), *book.marks.values())
        state = (book.world, tuple(stamp < oldest for _, stamp in told))
        if self._market is None or self._market[0] != state:
            self._market = (state, plain_market(book, oldest))
            self._worlds += 1
        return self._market[1]

    def standing(self, name: str, account: Account, now_ns: int) -> Standing:
        """Return an account's margin as it stands in this state of the world."""
        market = self.market(now_ns)
        state = (account.version, self._worlds)
        kept = self._standing.setdefault(name, {})
        found = kept.get(state)
        if found is None:
            self.assessed += 1
            found = kept[state] = assess(market, self.book, name, account)
            if len(kept) > KEPT:
                del kept[next(iter(kept))]
        return found

    def forget(self) -> None:
        """Drop every kept answer."""
        self._market = None
        self._standing.clear()


def assess(market: PlainMarket, book: Book, name: str, account: Account) -> Standing:
    """Put one account before the twin."""
    plain, rows = plain_account(book, name, account)
    results = assess_account(market, plain)
    scales = [_gross(market, pool) for pool in plain.pools]
    return Standing(rows, results, plain.pools, scales)


def _gross(market: PlainMarket, pool: PlainPool) -> float:
    """The size of what stands in a pool, nothing netted: what its buffer is a difference of."""
    total = 0.0
    for asset, quantity in valued(market, pool.holdings).balance.items():
        total += abs(quantity * price(market, asset))
    for holding in pool.holdings:
        terms = market.instruments.get(holding.item)
        if terms is None:
            total += abs(holding.quantity * price(market, holding.item))
            continue
        quote = price(market, terms.quote)
        if terms.payoff == "inverse" and not terms.is_option:
            total += abs(holding.quantity * terms.contract_size)
        else:
            per = terms.quanto_rate if terms.payoff == "quanto" else 1.0
            unit = price(market, terms.settle) if terms.payoff == "quanto" else quote
            total += abs(holding.quantity * terms.contract_size * per * terms.forward * unit)
    return total if math.isfinite(total) else 0.0


# --- accounts -------------------------------------------------------------------------------------


def plain_account(book: Book, name: str, account: Account) -> tuple[PlainAccount, dict[str, int]]:
    """The shared pool with what merges into it (1.1), then the ring-fenced buckets."""
    rows: dict[str, int] = {}
    kept: list[tuple[str, list[Pool]]] = [(SHARED, [])]
    for pool_name, pool in account.pools.items():
        if pool_name == SHARED or pool.limit is None:
            kept[0][1].append(pool)
            rows[pool_name] = 0
        else:
            rows[pool_name] = len(kept)
            kept.append((pool_name, [pool]))
    accrues = account.status != MIRROR
    pools = tuple(_plain_pool(book, n, together, accrues) for n, together in kept)
    return PlainAccount(name, pools), rows


def _plain_pool(book: Book, name: str, together: list[Pool], accrues: bool) -> PlainPool:
    first = together[0]
    holdings: list[Holding] = []
    orders: list[PlainOrder] = []
    for pool in together:
        holdings += _holdings(book, pool, accrues)
        orders += [
            PlainOrder(o.instrument, o.contracts / ONE, float(o.limit), o.reduce_only)
            for o in pool.orders.values()
        ]
    limit = math.inf if first.limit is None else first.limit / MONEY
    return PlainPool(
        name, first.method, tuple(holdings), tuple(orders), limit,
        first.drawn / MONEY, first.kept / MONEY,
    )  # fmt: skip


def _holdings(book: Book, pool: Pool, accrues: bool) -> list[Holding]:
    """Balances with what is due on them, and positions at the entry their cost stands for."""
    cash = {asset: Fraction(amount) for asset, amount in pool.cash.items()}
    positions = []
    for asset, own in pool.debts.items() if accrues else ():
        cash[asset] -= interest_due(-pool.cash[asset], own, book.lent[asset].index)
    for name, held in pool.positions.items():
        settle = book.contracts[name].settle
        behind = book.funding.get(name, 0) - held.index
        if accrues and behind:
            due = funding_due(held.contracts, behind)
            cash[settle] = cash.get(settle, Fraction(0)) - due
        entry = _entry(book, name, held.contracts, held.cost)
        positions.append(Holding(name, held.contracts / ONE, entry))
    coins = [
        Holding(asset, float(amount / unit_of(book.decimals(asset))))
        for asset, amount in cash.items()
        if amount
    ]
    return coins + positions


def _entry(book: Book, instrument: str, contracts: int, cost: int) -> float:
    """The price at which worth + cost is nothing; a cost of nothing is an entry without end."""
    terms = book.contracts[instrument]
    if terms.pays_premium or not contracts:
        return NAN
    unit = unit_of(book.decimals(terms.settle))
    each = Fraction(contracts, ONE) * terms.size * unit
    if terms.payoff == "inverse":
        return float(each / cost) if cost else math.inf
    per = terms.quanto if terms.payoff == "quanto" else 1
    return float(Fraction(-cost) / (each * per))
