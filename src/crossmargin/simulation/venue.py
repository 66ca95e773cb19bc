"""The venue: prints, funding, interest, yield, expiry, forced sales, and who pays for losses.

In     the witness's book and its margin, the arena's prices, a random generator.
Out    commands without keys, most of them what a venue should do now, some of them too early.
Owns   what a venue would do next.
Never  looks into the engine.
Signs  amounts > 0.
Spec   docs/spec/10-ledger.md (10.18), docs/spec/01-what-exists.md (1.14)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import msgspec

from crossmargin.domain.accounts import SHARED
from crossmargin.engine.commands import (
    AccrueYield,
    AdoptRulebook,
    AdoptVenueTotals,
    AdvanceFunding,
    AdvanceInterest,
    AnyCommand,
    Batch,
    CancelOrder,
    ChargeAccruals,
    Deleverage,
    Draw,
    Fill,
    FundInsurance,
    Holder,
    ImportAccount,
    Liquidate,
    ListMarket,
    PayInsurance,
    ReserveDraws,
    SetStatus,
    SettleExpiry,
    Side,
    Socialise,
    Withdraw,
)
from crossmargin.reference.ledger import Witness
from crossmargin.reference.ledger_book import Pool
from crossmargin.reference.ledger_losses import payable
from crossmargin.reference.ledger_margin import Standing
from crossmargin.simulation.agents import Owners, View, Where
from crossmargin.simulation.arena import ASSETS, CONTRACTS, LENDING, TIERS
from crossmargin.simulation.elsewhere import Elsewhere


class Venue:
    """What a venue does; `routine` draws one command, `sweep` lists what distress calls for."""

    def __init__(self, view: View, witness: Witness, owners: Owners) -> None:
        """Look at the same book as the owners do."""
        self.view, self.rng, self.witness, self.owners = view, view.rng, witness, owners
        self.elsewhere = elsewhere = Elsewhere(view)
        # How many groups more somebody looks for pools in distress every time.
        self.alarm = 0
        self.chores = (
            (self.funding, 4), (self.interest, 5), (self.accruals, 4), (self.dividend, 3),
            (self.expiry, 4), (self.status, 2), (self.reserve, 3), (self.insure, 3),
            (self.totals, 1), (elsewhere.observe, 3), (self.imported, 3), (self.rules, 0.4),
            (self.relist, 0.4), (self.hasty, 8),
        )  # fmt: skip

    def routine(self) -> AnyCommand:
        """One chore."""
        chores, weights = zip(*self.chores, strict=True)
        return cast("Callable[[], AnyCommand]", self.rng.choices(chores, weights)[0])()

    # --- chores -----------------------------------------------------------------------------------

    def funding(self) -> AdvanceFunding:
        """Funding of a perpetual, now and then of what has none."""
        rng = self.rng
        names = [n for n in self.view.arena.names if CONTRACTS[n].kind == "perpetual"]
        name = rng.choice(names) if rng.random() < 0.9 else self.view.contract()
        rate = f"{rng.gauss(0, 0.0004):.7f}"
        if rng.random() < 0.1:
            # What no venue should do, and what empties a pool for certain.
            rate = f"{rng.choice((-1, 1)) * rng.uniform(0.1, 0.8):.3f}"
            self.alarm = 8
        return AdvanceFunding(instrument=name, rate=rate, price=self.view.price_text(name, 0.0))

    def interest(self) -> AdvanceInterest:
        """Interest of what is lent, now and then of what is not."""
        names = list(LENDING) if self.rng.random() < 0.9 else list(ASSETS)
        return AdvanceInterest(asset=self.rng.choice(names))

    def holders(self, most: int = 6) -> tuple[Holder, ...]:
        """Some pools, each once but for a slip."""
        found = [self.view.where() for _ in range(self.rng.randint(1, most))]
        return tuple(found if self.rng.random() < 0.03 else dict.fromkeys(found))

    def accruals(self) -> ChargeAccruals:
        """Settle what is due."""
        return ChargeAccruals(holders=self.holders())

    def dividend(self) -> AccrueYield:
        """Yield on a staked coin, or interest passed on."""
        rng = self.rng
        asset, source = rng.choice((("stETH", "@outside"), ("USDC", "@interest"),
                                    ("ALT", "@outside"), ("USD", "@nobody")))  # fmt: skip
        rate = rng.choice(("0.0001", "0.00003", "1e-9", "0.5"))
        return AccrueYield(asset=asset, rate=rate, holders=self.holders(), source=source)

    def expiry(self) -> SettleExpiry:
        """Settle an instrument that has expired, for those who hold it and some who do not."""
        view, rng = self.view, self.rng
        dated = list(view.arena.expiry.keys() & set(view.arena.names)) or view.arena.names
        dated.sort()
        now = view.book.at_ns
        past = [n for n in dated if view.arena.expiry.get(n, now) < now]
        name = rng.choice(past or dated) if rng.random() < 0.95 else view.contract()
        have = self.holding(name)
        if len(have) > 1 and rng.random() < 0.3:
            have = rng.sample(have, rng.randint(1, len(have) - 1))  # the others another time
        where = tuple(dict.fromkeys([*have, *rng.choices(self._pools(), k=1)]))
        t = CONTRACTS[name]
        fixed = view.book.settled.get(name)
        price = view.price_text(name, 0.0) if not t.strike else f"{view.arena.mark(name):.2f}"
        if t.strike and rng.random() < 0.1:
            price = "0"
        if fixed is not None and rng.random() < 0.9:
            price = f"{float(fixed):.12f}" if fixed else "0.0"
        return SettleExpiry(instrument=name, price=price, holders=where or self.holders())

    def holding(self, name: str) -> list[Where]:
        """Pools with a position in an instrument."""
        return [w for w in self._pools() if name in self.view.pool(w).positions]

    def _pools(self) -> list[Where]:
        view = self.view
        return [(n, p) for n in view.users() for p in view.account(n).pools]

    def status(self) -> SetStatus:
        """Freeze, thaw, close, or a word nobody knows."""
        book, rng = self.view.book, self.rng
        name = rng.choice([n for n in book.accounts if n[0] != "@"])
        now = book.accounts[name].status
        word = {"open": "frozen", "frozen": "open"}.get(now, "closed")
        empty = [n for n, a in book.accounts.items()
                 if n[0] != "@" and a.status != "closed"
                 and all(p.is_empty() for p in a.pools.values())]  # fmt: skip
        if empty and rng.random() < 0.3:
            return SetStatus(account=rng.choice(empty), status="closed", reason="empty")
        if now == "open" and rng.random() < 0.5:
            word = rng.choice(("closed", "open", "gone"))
        return SetStatus(account=name, status=word)

    def thaw(self) -> SetStatus | None:
        """Open a frozen account again, so that not all of them end frozen."""
        book = self.view.book
        frozen = [n for n, a in book.accounts.items() if a.status == "frozen"]
        if not frozen:
            return None
        return SetStatus(account=self.rng.choice(frozen), status="open")

    def reserve(self) -> ReserveDraws:
        """Keep what buckets reserve; of an account with buckets where there is one."""
        view = self.view
        many = [n for n in view.users() if len(view.account(n).pools) > 1]
        return ReserveDraws(account=self.rng.choice(many or view.users()))

    def insure(self) -> FundInsurance:
        """Pay into a fund."""
        asset = self.view.asset()
        amount = self.view.units(asset, self.rng.choice((50.0, 5_000.0)))
        return FundInsurance(tier=self.rng.choice(TIERS), asset=asset, amount=amount)

    def totals(self) -> AdoptVenueTotals:
        """What the venue holds in all."""
        return AdoptVenueTotals(totals={a: round(10.0 ** self.rng.uniform(5, 9), 2)
                                        for a in self.rng.sample(list(ASSETS), 2)})  # fmt: skip

    def imported(self) -> ImportAccount:
        """Opening holdings of a bare pool; who pays for an empty one that owes is asked at once."""
        found = self.elsewhere.imported()
        if not found.positions:
            self.alarm = 8
        return found

    def rules(self) -> AdoptRulebook:
        """The same rules with another rate; or not in force yet, or not readable."""
        rng, book = self.rng, self.view.arena.rulebook
        if rng.random() < 0.2:
            return AdoptRulebook(rules=b"\x81")
        lending = dict(book.lending)
        old = lending["USDC"]
        lending["USDC"] = msgspec.structs.replace(old, base=round(rng.uniform(0.01, 0.06), 4))
        since = book.effective_from
        if rng.random() < 0.2:
            since = since.replace(year=since.year + 5)
        changed = msgspec.structs.replace(book, lending=lending, effective_from=since)
        return AdoptRulebook(rules=changed.packed())

    def relist(self) -> ListMarket:
        """The same market again, or one whose terms are others: refused."""
        told = self.view.arena.listing()
        assets = [dict(row) for row in told.assets]
        kind = self.rng.random()
        if kind < 0.4:
            assets[2]["decimals"] = 9
        elif kind < 0.7:
            assets = [*assets[:-1], {**assets[-1], "loads": "nothing/USD"}]
        return msgspec.structs.replace(told, assets=tuple(assets))

    # --- distress ---------------------------------------------------------------------------------

    def sweep(self, clock_ns: int) -> list[AnyCommand]:
        """What the pools in distress call for now: cancel, sell, draw, pay, deleverage, share."""
        found: list[AnyCommand] = []
        for name in self.view.users():
            account = self.view.account(name)
            standing = self.witness.desk.standing(name, account, self.witness.time(clock_ns))
            for pool in account.pools:
                if standing.is_priced(pool):
                    found += self._for(name, pool, standing)
        return found

    def _for(self, name: str, pool: str, standing: Standing) -> list[AnyCommand]:
        held = self.view.pool((name, pool))
        debts = {a: -x for a, x in held.cash.items() if x < 0}
        bare = not held.positions and not held.orders and all(x <= 0 for x in held.cash.values())
        if bare and debts:
            return self._loss((name, pool), debts, standing)
        allowed = standing.allowance(pool)
        if allowed is not None and allowed.value < 0 and self.rng.random() < 0.3:
            return self._slips_out((name, pool), held)
        if not standing.liquidatable(pool):
            return []
        if held.orders and self.rng.random() < 0.9:
            return [CancelOrder(account=name, pool=pool, reason="forced sale")]
        if standing.of(pool).equity < 0 and held.positions and self.rng.random() < 0.5:
            return self.deleverage((name, pool), held)
        return [self.sell((name, pool), held)]

    def _slips_out(self, where: Where, held: Pool) -> list[AnyCommand]:
        """An owner under water who takes something out beside a trade that helps."""
        rng, view = self.rng, self.view
        rich = [asset for asset, amount in held.cash.items() if amount > 1]
        if not rich or not held.positions:
            return []
        asset, name = rng.choice(rich), rng.choice(list(held.positions))
        have = held.positions[name].contracts
        out = Withdraw(account=where[0], pool=where[1], asset=asset,
                       amount=max(1, held.cash[asset] // rng.choice((100, 1_000))))  # fmt: skip
        mine, other = Side(*where), Side("@outside")
        helps = Fill(
            instrument=name, contracts=abs(have), price=view.price_text(name, 0.0),
            buyer=mine if have < 0 else other, seller=other if have < 0 else mine,
        )  # fmt: skip
        return [Batch(commands=(out, helps) if rng.random() < 0.8 else (helps, out))]

    def sell(self, where: Where, held: Pool) -> Liquidate:
        """A position in part or whole, else collateral or a debt by a spot pair."""
        view, rng = self.view, self.rng
        spots = [n for n in view.arena.names if CONTRACTS[n].kind == "spot"]
        if held.positions and rng.random() < 0.8:
            name = rng.choice(list(held.positions))
            have = held.positions[name].contracts
            buys = have < 0
            contracts = max(1, int(abs(have) * rng.choice((1.0, 1.0, 1.0, 0.5, 0.3, 1.2))))
        else:
            name = rng.choice(spots)
            base = CONTRACTS[name].underlying
            have = held.cash.get(base, 0)
            buys = have < 0
            contracts = abs(have) * 10 ** (18 - ASSETS[base][1])
            contracts = max(1, int(contracts * rng.choice((1.0, 0.5, 0.2, 1.1))))
        other = Side("@outside", fee=rng.choice((0, 10)))
        if rng.random() < 0.2:
            other = Side(*view.where())
        off = rng.choice((0.0, 0.002, 0.01, 0.3)) * (1 if buys else -1)
        price = view.price_text(name, off)
        met = self.owners.resting(name, buys) if rng.random() < 0.4 else None
        if met is not None:
            other, contracts, price = met
        return Liquidate(
            account=where[0], pool=where[1], instrument=name, contracts=contracts,
            price=price, buys=buys, counterparty=other,
            penalty=rng.choice((0, 5, 1_000)), tier=rng.choice(TIERS),
        )  # fmt: skip

    def deleverage(self, where: Where, held: Pool) -> list[AnyCommand]:
        """Against whoever holds the other side."""
        rng = self.rng
        name = rng.choice(list(held.positions))
        have = held.positions[name].contracts
        others = [
            w
            for w in self.holding(name)
            if w != where and (self.view.pool(w).positions[name].contracts > 0) != (have > 0)
        ]
        if not others:
            return []
        other = rng.choice(others)
        size = min(abs(have), abs(self.view.pool(other).positions[name].contracts))
        return [
            Deleverage(
                instrument=name, contracts=size, price=self.view.price_text(name, 0.0),
                bankrupt=where, bankrupt_buys=have < 0, counterparty=other,
            )
        ]  # fmt: skip

    def _loss(self, where: Where, debts: dict[str, int], standing: Standing) -> list[AnyCommand]:
        """An empty pool that owes: first the shared pool, then insurance, then everybody."""
        name, pool = where
        asset = self.rng.choice(list(debts))
        debt = debts[asset]
        fenced = standing.rows.get(pool, 0) > 0
        can_draw = fenced and payable(standing, pool, self.view.pool(where))
        step = self.rng.random()
        if can_draw and step < 0.7:
            return [self._draw(where, debt, standing, asset)]
        return [self._after_draw(name, pool, asset, debt)]

    def _draw(self, where: Where, debt: int, standing: Standing, owed: str) -> Draw:
        rng, view = self.rng, self.view
        most = (payable(standing, where[1], view.pool(where)) or 0) / 1e6
        shared = view.pool((where[0], SHARED)).cash
        asset = rng.choice([owed, *[a for a, x in shared.items() if x > 0]])
        # Exactly what may be drawn lies where floats decide: it is asked for, but not often.
        share = 1.0 if rng.random() < 0.05 else rng.choice((0.3, 0.9, 0.99, 1.02))
        amount = view.units(asset, max(most * share, 1e-9))
        if asset == owed and amount >= debt > 1:
            amount = debt if rng.random() < 0.2 else debt - max(1, debt // 50)
        return Draw(account=where[0], pool=where[1], asset=asset, amount=amount)

    def _after_draw(self, name: str, pool: str, asset: str, debt: int) -> AnyCommand:
        rng, book = self.rng, self.view.book
        tier = rng.choice(TIERS)
        there = book.cash(f"@insurance/{tier}", SHARED, asset)
        if rng.random() < 0.6:
            amount = rng.choice((debt, min(debt, max(1, there)), min(debt, there + 1), debt + 1))
            return PayInsurance(account=name, pool=pool, tier=tier, asset=asset, amount=amount)
        rich = [w for w in self._pools() if self.view.pool(w).cash.get(asset, 0) > 0]
        rng.shuffle(rich)
        holders = tuple(rich[: rng.choice((1, 3, 20))]) or self.holders()
        amount = rng.choice((debt, max(1, debt // 2), debt + 1))
        return Socialise(account=name, pool=pool, asset=asset, amount=amount, holders=holders)

    def hasty(self) -> AnyCommand:
        """What would be right in distress, of whoever comes along."""
        view, rng = self.view, self.rng
        where = view.where()
        held = view.pool(where)
        kind = rng.random()
        if kind < 0.35:
            return self.sell(where, held)
        if kind < 0.5 and held.positions:
            return (self.deleverage(where, held) or [self.sell(where, held)])[0]
        asset = rng.choice([a for a, x in held.cash.items() if x < 0] or list(ASSETS))
        debt = max(1, -held.cash.get(asset, 0))
        if kind < 0.65:
            amount = debt if debt > 1 else view.units(asset, view.usd())
            return Draw(account=where[0], pool=where[1], asset=asset, amount=amount)
        return self._after_draw(*where, asset, debt)
