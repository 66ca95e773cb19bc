"""Owners: accounts that pay in, borrow, trade, order, move money and take it out again.

In     the witness's book to look at, the arena's prices, a random generator.
Out    commands without keys; many of them sound, many just beyond what is allowed.
Owns   what an owner would ask next.
Never  looks into the engine; decides whether something is allowed.
Signs  amounts > 0, or what a careless owner would send.
Spec   docs/spec/10-ledger.md
"""

from __future__ import annotations

import math
import random

from crossmargin.domain.accounts import SHARED
from crossmargin.engine.commands import (
    Batch,
    Borrow,
    CancelOrder,
    Deposit,
    Fill,
    OpenAccount,
    OpenPool,
    PlaceOrder,
    Repay,
    Side,
    Single,
    Transfer,
    Withdraw,
)
from crossmargin.ledger.events import PoolTerms
from crossmargin.reference.ledger_book import CLOSED, MIRROR, ONE, Account, Book, Pool
from crossmargin.simulation.arena import ASSETS, CONTRACTS, LENDING, Arena

METHODS = ("cross_sum", "cross_correlated", "isolated")
Where = tuple[str, str]
OUT = Side("@outside")


class View:
    """What whoever asks may look at: balances and positions, names, prices."""

    def __init__(self, rng: random.Random, arena: Arena, book: Book, methods: tuple[str, ...]):
        """Share one generator, so that one seed is one run."""
        self.rng, self.arena, self.book, self.methods = rng, arena, book, methods

    def users(self) -> list[str]:
        """Accounts that are not the system's, not closed and no mirrors."""
        return [
            name
            for name, account in self.book.accounts.items()
            if name[0] != "@" and account.status not in (CLOSED, MIRROR)
        ]

    def user(self) -> str:
        """One of them."""
        return self.rng.choice(self.users())

    def account(self, name: str) -> Account:
        """Its state."""
        return self.book.accounts[name]

    def pool_of(self, name: str) -> str:
        """One of its pools."""
        return self.rng.choice(list(self.account(name).pools))

    def where(self) -> Where:
        """A pool of somebody."""
        name = self.user()
        return name, self.pool_of(name)

    def pool(self, where: Where) -> Pool:
        """A pool's state."""
        return self.account(where[0]).pools[where[1]]

    def asset(self) -> str:
        """Any asset."""
        return self.rng.choice(list(ASSETS))

    def contract(self) -> str:
        """Any contract; the expired ones less and less."""
        return self.rng.choice(self.arena.names)

    def units(self, asset: str, usd: float) -> int:
        """So many smallest units as are worth this."""
        coins = usd / self.arena.price(asset)
        return max(1, int(coins * 10.0 ** ASSETS[asset][1]))

    def size(self, name: str, usd: float) -> int:
        """So many 10^-18 contracts as have this notional, in whole thousandths."""
        t = CONTRACTS[name]
        if t.payoff == "inverse" and not t.strike:
            each = t.size or 1.0
        elif t.payoff == "quanto":
            each = (t.quanto or 0.0) * self.arena.mark(name) * self.arena.price(t.settle or "USD")
        else:
            each = (t.size or 1.0) * self.arena.price(t.underlying)
        return max(1, round(usd / each * 1_000)) * ONE // 1_000

    def price_text(self, name: str, off: float) -> str:
        """A price near the mark, in the unit the contract is traded in."""
        t = CONTRACTS[name]
        mark = self.arena.mark(name)
        if t.strike:
            mark *= 0.06 if t.payoff != "inverse" else 0.06 / mark
        value = mark * (1.0 + off)
        return f"{value:.{max(1, 6 - math.floor(math.log10(value)))}f}"

    def usd(self) -> float:
        """A size: mostly hundreds to tens of thousands, now and then a million."""
        return float(10.0 ** self.rng.choice((self.rng.uniform(1, 4.7), self.rng.uniform(3, 6))))


class Owners:
    """What owners ask; `next` draws one command."""

    def __init__(self, view: View) -> None:
        """Name nobody yet."""
        self.view, self.rng = view, view.rng
        self._made = 0
        self.asks = (
            (self.deposit, 7), (self.withdraw, 12), (self.borrow, 8), (self.repay, 5),
            (self.transfer, 7), (self.trade, 22), (self.place, 10), (self.fill_order, 5),
            (self.cancel, 4), (self.linked, 5), (self.open_bucket, 1), (self.open, 1),
        )  # fmt: skip

    def next(self) -> Single | Batch:
        """One command of an owner's."""
        asks, weights = zip(*self.asks, strict=True)
        ask = self.rng.choices(asks, weights)[0]
        found = ask()
        return found if found is not None else self.deposit()

    # --- accounts ---------------------------------------------------------------------------------

    def open(self) -> OpenAccount:
        """A new account, in a third of cases with a bucket or two."""
        self._made += 1
        rng, methods = self.rng, self.view.methods
        pools = [PoolTerms(SHARED, rng.choice(methods))]
        for n in range(rng.choice((0, 0, 1, 2, 3))):
            limit = rng.choice(
                (0, int(10 ** rng.uniform(8, 12)), int(10 ** rng.uniform(9, 11)), None)
            )
            # Their order is that of opening, whatever they are called.
            pools.append(PoolTerms(f"{rng.choice('abyz')}-{n}", rng.choice(methods), limit))
        if rng.random() < 0.1:
            pools = []
        return OpenAccount(account=f"u{self._made}", pools=tuple(pools))

    def open_bucket(self) -> OpenPool:
        """One bucket more."""
        limit = self.rng.choice((0, int(10 ** self.rng.uniform(8, 11)), None))
        name = f"{self.rng.choice('abyz')}-late-{self.rng.randint(0, 3)}"
        terms = PoolTerms(name, self.rng.choice(METHODS), limit)
        return OpenPool(account=self.view.user(), pool=terms)

    # --- money ------------------------------------------------------------------------------------

    def deposit(self) -> Deposit:
        """Pay in."""
        account, pool = self.view.where()
        asset = self.view.asset()
        amount = self.view.units(asset, self.view.usd())
        return Deposit(account=account, pool=pool, asset=asset, amount=amount)

    def withdraw(self) -> Withdraw | None:
        """Take out a part, all, or a unit more than all."""
        view, rng = self.view, self.rng
        where = view.where()
        held = {a: x for a, x in view.pool(where).cash.items() if x > 0}
        if not held:
            return None
        asset = rng.choice(list(held))
        there = held[asset]
        share = rng.choice((0.01, 0.1, 0.5, 0.9, 1.0))
        amount = rng.choice((there, there, there + 1, max(1, int(there * share)),
                             max(1, int(there * share))))  # fmt: skip
        return Withdraw(account=where[0], pool=where[1], asset=asset, amount=amount)

    def borrow(self) -> Borrow:
        """Take out what is not there: a little, much, or up to the cap."""
        view, rng = self.view, self.rng
        account, pool = view.where()
        asset = rng.choice((*LENDING, *LENDING, "ALT"))
        amount = view.units(asset, view.usd())
        if rng.random() < 0.15 and asset in LENDING:
            debt, _ = view.book.lending(asset)
            cap = int(LENDING[asset][0] * 10 ** ASSETS[asset][1])
            amount = max(1, cap - debt + rng.choice((-1, 0, 1)))
        if rng.random() < 0.15:
            debt, supplied = view.book.lending(asset)
            amount = max(1, supplied - debt + rng.choice((-1, 0, 1)))
        return Borrow(account=account, pool=pool, asset=asset, amount=amount)

    def repay(self) -> Repay | None:
        """Pay back a part, all, or more."""
        view, rng = self.view, self.rng
        owing = [
            ((name, pool), asset, -amount)
            for name in view.users()
            for pool, state in view.account(name).pools.items()
            for asset, amount in state.cash.items()
            if amount < 0
        ]
        if not owing:
            return None
        where, asset, debt = rng.choice(owing)
        amount = rng.choice((debt, debt + 1, max(1, debt // 3), max(1, debt // 2), 2 * debt))
        return Repay(account=where[0], pool=where[1], asset=asset, amount=amount)

    def transfer(self) -> Transfer | None:
        """Between pools of one account, now and then to another's."""
        view, rng = self.view, self.rng
        many = [name for name in view.users() if len(view.account(name).pools) > 1]
        if many and rng.random() < 0.8:
            name = rng.choice(many)
            source, target = rng.sample(list(view.account(name).pools), 2)
            to = ""
        else:
            name, source = view.where()
            to, target = view.where()
        cash = view.pool((name, source)).cash
        asset = rng.choice([a for a, x in cash.items() if x > 0] or list(ASSETS))
        there = cash.get(asset, 0)
        amount = rng.choice((there, there // 2, there // 10, view.units(asset, view.usd())))
        state = view.pool((name, source))
        back = state.drawn > 0 and target == SHARED and not to and rng.random() < 0.8
        return Transfer(
            account=name, pool=source, asset=asset, amount=max(1, amount), to_account=to,
            to_pool=target, pays_back=back,
        )  # fmt: skip

    # --- trading ----------------------------------------------------------------------------------

    def side(self, where: Where | None, order: str = "") -> Side:
        """A side with a fee or a rebate."""
        fee = self.rng.choice((0, 0, 1, 250, -40))
        if where is None:
            return OUT if self.rng.random() < 0.9 else Side("@outside", fee=fee)
        return Side(*where, fee=fee, order=order)

    def trade(self) -> Fill:
        """Buy or sell: open, add, close in part or whole, or turn around."""
        view, rng = self.view, self.rng
        where, name = view.where(), view.contract()
        contracts = view.size(name, view.usd())
        buys = rng.random() < 0.5
        held = view.pool(where).positions
        if held and rng.random() < 0.5:
            name = rng.choice(list(held))
            have = held[name].contracts
            share = rng.choice((1.0, 1.0, 0.5, 0.25, 1.5, 3.0))
            contracts = abs(have) if share == 1.0 else max(1, int(abs(have) * share))
            buys = have < 0
        other = view.where() if rng.random() < 0.35 else None
        mine, theirs = self.side(where), self.side(other)
        if rng.random() < 0.01:
            theirs = mine
        return Fill(
            instrument=name, contracts=contracts, price=view.price_text(name, rng.gauss(0, 0.004)),
            buyer=mine if buys else theirs, seller=theirs if buys else mine,
        )  # fmt: skip

    def place(self) -> PlaceOrder:
        """An order near the mark."""
        view, rng = self.view, self.rng
        account, pool = view.where()
        name = view.contract()
        sign = rng.choice((-1, 1))
        held = view.pool((account, pool)).positions
        reduce_only = bool(held) and rng.random() < 0.25
        size = view.size(name, view.usd())
        if reduce_only:
            name = rng.choice(list(held))
            sign = -1 if held[name].contracts > 0 else 1
            size = max(1, int(abs(held[name].contracts) * rng.choice((0.5, 1.0, 2.0))))
        return PlaceOrder(
            account=account, pool=pool, order=f"o{rng.randint(1, 60)}", instrument=name,
            contracts=sign * size, limit_price=view.price_text(name, rng.gauss(0, 0.01)),
            reduce_only=reduce_only,
        )  # fmt: skip

    def fill_order(self) -> Fill | None:
        """Fill an open order: in part, whole, or more than is open."""
        view, rng = self.view, self.rng
        open_orders = [
            ((name, pool), order, state.orders[order])
            for name in view.users()
            for pool, state in view.account(name).pools.items()
            for order in state.orders
        ]
        if not open_orders:
            return None
        where, order, terms = rng.choice(open_orders)
        left = abs(terms.contracts)
        contracts = rng.choice((left, left, max(1, left // 2), max(1, left // 3), left + 1))
        buys = (terms.contracts > 0) != (rng.random() < 0.05)
        mine = self.side(where, order)
        theirs = self.side(view.where() if rng.random() < 0.3 else None)
        return Fill(
            instrument=terms.instrument, contracts=contracts, price=terms.limit,
            buyer=mine if buys else theirs, seller=theirs if buys else mine,
        )  # fmt: skip

    def resting(self, name: str, buys: bool) -> tuple[Side, int, str] | None:
        """An open order that a forced buy or sale could meet, how much of it, and its price."""
        view, rng = self.view, self.rng
        found = [
            (Side(who, pool, order=order), abs(terms.contracts), terms.limit)
            for who in view.users()
            for pool, state in view.account(who).pools.items()
            for order, terms in state.orders.items()
            if terms.instrument == name and (terms.contracts < 0) == buys
        ]
        if not found:
            return None
        side, left, price = rng.choice(found)
        return side, rng.choice((left, left, max(1, left // 2), left + 1)), price

    def cancel(self) -> CancelOrder:
        """One order, or all of a pool's."""
        view, rng = self.view, self.rng
        open_orders = [
            (name, pool, order)
            for name in view.users()
            for pool, state in view.account(name).pools.items()
            for order in state.orders
        ]
        if not open_orders:
            account, pool = view.where()
            return CancelOrder(account=account, pool=pool)
        account, pool, order = rng.choice(open_orders)
        return CancelOrder(account=account, pool=pool, order=rng.choice((order, order, "")))

    # --- linked -----------------------------------------------------------------------------------

    def linked(self) -> Batch:
        """All or none: sound only at the end, unsound only at the end, or just several."""
        view, rng = self.view, self.rng
        account, pool = view.where()
        asset = rng.choice(("USD", "USDC", "ETH"))
        amount = view.units(asset, view.usd())
        there = max(0, view.pool((account, pool)).cash.get(asset, 0))
        out = Withdraw(account=account, pool=pool, asset=asset, amount=there + amount)
        into = Deposit(account=account, pool=pool, asset=asset, amount=amount)
        kind = rng.random()
        if kind < 0.35:
            return Batch(commands=(out, into))
        if kind < 0.5:
            short = Deposit(account=account, pool=pool, asset=asset, amount=max(1, amount - 1))
            return Batch(commands=(short, out))
        if kind < 0.75:
            loan = Borrow(account=account, pool=pool, asset="USDC",
                          amount=view.units("USDC", view.usd()))  # fmt: skip
            return Batch(commands=(loan, self.trade()))
        some = [self.trade, self.transfer, self.withdraw, self.place, self.repay, self.borrow]
        found = [command for ask in rng.sample(some, 3) if (command := ask()) is not None]
        return Batch(commands=tuple(found))
