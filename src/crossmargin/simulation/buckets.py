"""Buckets in a hurry: opened and put at risk in one batch, left empty and in debt beside riches.

In     the witness's book and its margin, the arena's prices, a random generator.
Out    groups of commands without keys, aimed where a bucket and its shared pool meet.
Owns   the situations nobody comes into by chance: a bucket that is risked before it was ever
       margined, a merged bucket in debt whose shared pool is rich or as empty as it is.
Never  looks into the engine; decides whether something is allowed.
Signs  amounts > 0.
Spec   docs/spec/10-ledger.md (10.16, 10.18), docs/spec/01-what-exists.md (1.1)
"""

from __future__ import annotations

import math

from crossmargin.domain.accounts import SHARED
from crossmargin.engine.commands import (
    AnyCommand,
    Batch,
    Borrow,
    Deposit,
    Fill,
    FundInsurance,
    ImportAccount,
    OpenAccount,
    OpenPool,
    PayInsurance,
    PlaceOrder,
    SetStatus,
    Side,
    Single,
    Socialise,
    Withdraw,
)
from crossmargin.ledger.events import PoolTerms
from crossmargin.reference.ledger import Witness
from crossmargin.reference.ledger_book import OPEN
from crossmargin.simulation.agents import OUT, View, Where
from crossmargin.simulation.arena import LENDING, TIERS

# A shared pool with so much left, numeraire, is rich.
RICH = 1_000.0
# Whoever has more pools than this opens no more: each is margined with the rest.
POOLS = 8


class Buckets:
    """Sends groups; `next` draws one."""

    def __init__(self, view: View, witness: Witness) -> None:
        """Look at the same book as the owners do."""
        self.view, self.rng, self.witness = view, view.rng, witness
        self._shells = self._brought = self._opened = 0

    def next(self, now_ns: int) -> list[AnyCommand]:
        """A bucket risked at once, or one that nobody but the fund can pay for."""
        draw = self.rng.random()
        if draw < 0.65:
            return self.hurried(now_ns)
        return self.indebted(now_ns) if draw < 0.82 else self.shell()

    def owners(self, now_ns: int, low: float, high: float) -> list[str]:
        """Open accounts whose shared pool has so much left for new risk, numeraire."""
        view, desk = self.view, self.witness.desk
        found = []
        for name in view.users():
            account = view.account(name)
            if account.status == OPEN and len(account.pools) <= POOLS:
                allowed = desk.standing(name, account, now_ns).allowance(SHARED)
                if allowed is not None and low <= allowed.value < high:
                    found.append(name)
        return found

    # --- opened and at risk in one batch ----------------------------------------------------------

    def hurried(self, now_ns: int) -> list[AnyCommand]:
        """Buckets of those who are under water, who have nothing left, and who are rich."""
        draw = self.rng.random()
        found: list[OpenAccount | ImportAccount] = []
        if draw < 0.3:
            names = self.owners(now_ns, RICH, math.inf)
        elif draw < 0.5:
            names = self.owners(now_ns, -1.0, 1.0)
        else:
            names = self.owners(now_ns, -math.inf, -1.0)
            if not names or self.rng.random() < 0.3:
                found = self._under_water()
                names = [found[0].account]
        names = names or self.view.users()
        batches = [self.risked(self.rng.choice(names)) for _ in range(self.rng.randint(1, 3))]
        return [*found, *batches]

    def _under_water(self) -> list[OpenAccount | ImportAccount]:
        """An account that comes with a position thirty times its money."""
        self._brought += 1
        rng, name = self.rng, f"h{self._brought}"
        usd = rng.choice((300.0, 30_000.0))
        size = self.view.size("BTC-PERP", usd) * rng.choice((-1, 1))
        cost = -self.view.units("USDC", usd) * (1 if size > 0 else -1)
        return [
            OpenAccount(account=name, pools=(PoolTerms(SHARED, rng.choice(self.view.methods)),)),
            ImportAccount(
                account=name, balances={"USDC": self.view.units("USDC", usd / 30.0)},
                positions={"BTC-PERP": (size, cost)},
            ),
        ]  # fmt: skip

    def risked(self, name: str) -> Batch:
        """Open a bucket, take risk in it, and pay something in: before it, after it, or not."""
        rng = self.rng
        self._opened += 1
        limit = rng.choice((None, None, 0, int(10 ** rng.uniform(8, 11))))
        where = (name, f"{rng.choice('abyz')}-risked-{self._opened}")
        opens = OpenPool(
            account=name, pool=PoolTerms(where[1], rng.choice(self.view.methods), limit)
        )
        usd = self.view.usd()
        found: list[Single] = [self._risk(where, usd)]
        if rng.random() < 0.15:
            found.append(self._risk(where, usd))
        share = rng.choice((0.0, 0.0, 0.02, 0.2, 1.5, 3.0))
        if share:
            asset = rng.choice(("USDC", "USDC", "ETH"))
            target = where[1] if rng.random() < 0.8 else SHARED
            amount = self.view.units(asset, usd * share)
            paid = Deposit(account=name, pool=target, asset=asset, amount=amount)
            found.insert(rng.randint(0, len(found)), paid)
        return Batch(commands=(opens, *found))

    def _risk(self, where: Where, usd: float) -> Single:
        """A fill, an order, a loan, or money out of a bucket that nobody has margined yet."""
        rng, view = self.rng, self.view
        kind = rng.choice(("fill", "fill", "order", "borrow", "withdraw"))
        if kind == "withdraw":
            amount = view.units("USDC", usd)
            return Withdraw(account=where[0], pool=where[1], asset="USDC", amount=amount)
        if kind == "borrow":
            asset = rng.choice(list(LENDING))
            amount = view.units(asset, usd)
            return Borrow(account=where[0], pool=where[1], asset=asset, amount=amount)
        name = view.contract()
        size, price = view.size(name, usd), view.price_text(name, 0.0)
        if kind == "order":
            return PlaceOrder(
                account=where[0], pool=where[1], order="first", instrument=name,
                contracts=size * rng.choice((-1, 1)), limit_price=price,
            )  # fmt: skip
        sides = [Side(*where), OUT]
        rng.shuffle(sides)
        return Fill(
            instrument=name, contracts=size, price=price, buyer=sides[0], seller=sides[1]
        )  # fmt: skip

    # --- empty and in debt ------------------------------------------------------------------------

    def indebted(self, now_ns: int) -> list[AnyCommand]:
        """A merged bucket that borrows while its shared pool is rich: nobody has to pay for it."""
        rng, view = self.rng, self.view
        name = rng.choice(self.owners(now_ns, RICH, math.inf) or view.users())
        pools = view.account(name).pools
        bare = [p for p, state in pools.items() if state.limit is None and state.is_empty()]
        found: list[AnyCommand] = []
        if not bare:
            self._opened += 1
            bare = [f"{rng.choice('abyz')}-owing-{self._opened}"]
            found = [OpenPool(account=name, pool=PoolTerms(bare[0], pools[SHARED].method))]
        where, asset = (name, rng.choice(bare)), rng.choice(list(LENDING))
        amount = view.units(asset, rng.choice((1.0, 20.0, 500.0)))
        found.append(Borrow(account=name, pool=where[1], asset=asset, amount=amount))
        return found + self._rescue(where, asset, amount)

    def shell(self) -> list[AnyCommand]:
        """An account brought here with debts, and something or nothing beside them in what merges
        with it; who owes nothing in the end may close."""
        rng, view = self.rng, self.view
        self._shells += 1
        name = f"s{self._shells}"
        merged, fenced = PoolTerms("merged", "cross_sum"), PoolTerms("fenced", "isolated", 10**9)
        terms = (PoolTerms(SHARED, "cross_sum"), merged, fenced)
        asset = self._unfunded()
        debt = view.units(asset, rng.choice((1.0, 30.0, 700.0)))
        found: list[AnyCommand] = [
            OpenAccount(account=name, pools=terms),
            ImportAccount(account=name, pool="merged", balances={asset: -debt}),
        ]
        beside = rng.choice(("nothing", "nothing", "nothing", "debt", "riches", "fenced"))
        if beside == "debt":
            balances = {asset: -max(1, debt // 2)}
            found.append(ImportAccount(account=name, pool=SHARED, balances=balances))
        elif beside != "nothing":
            pool = SHARED if beside == "riches" else "fenced"
            amount = rng.choice((1, view.units("USDC", 1_000.0)))
            found.append(Deposit(account=name, pool=pool, asset="USDC", amount=amount))
        found += self._rescue((name, rng.choice(("merged", "merged", SHARED))), asset, debt)
        if rng.random() < 0.5:
            found.append(SetStatus(account=name, status="closed"))
        return found

    def _unfunded(self) -> str:
        """An asset that is lent, of no fund where there is one: only then others share a loss."""
        book = self.view.book
        names = list(LENDING)
        empty = [
            a for a in names if not any(book.cash(f"@insurance/{t}", SHARED, a) for t in TIERS)
        ]
        return self.rng.choice(empty or names)

    def _rescue(self, where: Where, asset: str, debt: int) -> list[AnyCommand]:
        """The fund pays a part, the holders of the asset the rest; or one of them all of it."""
        rng, view = self.rng, self.view
        share = rng.choice((0, debt, max(1, debt // 3)))
        found: list[AnyCommand] = []
        if share:
            tier = rng.choice(TIERS)
            found.append(FundInsurance(tier=tier, asset=asset, amount=share))
            found.append(
                PayInsurance(account=where[0], pool=where[1], tier=tier, asset=asset, amount=share)
            )
        if debt > share:
            rich = [
                (name, pool)
                for name in view.users()
                for pool, state in view.account(name).pools.items()
                if state.cash.get(asset, 0) > debt and (name, pool) != where
            ]
            holders = tuple(rng.sample(rich, min(len(rich), rng.choice((1, 2, 5)))))
            found.append(
                Socialise(account=where[0], pool=where[1], asset=asset, amount=debt - share,
                          holders=holders)
            )  # fmt: skip
        return found
