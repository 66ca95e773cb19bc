"""Pools and funds pressed to their last unit: one fund asked twice in a batch, a hedge taken off.

In     the witness's book, the arena's prices, a random generator.
Out    groups of commands without keys, aimed where one answer hangs on the one before it.
Owns   the situations nobody comes into by chance: payouts that a fund can bear one by one but not
       together, a pool that carries two legs but neither of them alone, a limit drawn to its end,
       one instrument settled in two goes.
Never  looks into the engine; decides whether something is allowed.
Signs  amounts > 0.
Spec   docs/spec/10-ledger.md (10.13, 10.16, 10.18), docs/spec/01-what-exists.md (1.1, 1.14)
"""

from __future__ import annotations

from crossmargin.domain.accounts import SHARED
from crossmargin.engine.commands import (
    AnyCommand,
    Batch,
    Deposit,
    Draw,
    Fill,
    FundInsurance,
    ImportAccount,
    OpenAccount,
    PayInsurance,
    PlaceOrder,
    Repay,
    SettleExpiry,
    Side,
    Single,
    Socialise,
    Withdraw,
)
from crossmargin.ledger.events import PoolTerms
from crossmargin.simulation.agents import OUT, View
from crossmargin.simulation.arena import CONTRACTS, LENDING, TIERS

# What a dollar of hedged notional is backed by: from hardly anything to more than both legs need.
BACKED = (0.004, 0.012, 0.03, 0.08, 0.2)


class Pressed:
    """Sends groups; `next` draws one."""

    def __init__(self, view: View) -> None:
        """Look at the same book as the owners do."""
        self.view, self.rng = view, view.rng
        self._made = 0

    def next(self) -> list[AnyCommand]:
        """A fund asked twice, a hedge whose legs part, a limit drawn dry, a price fixed twice."""
        ask = self.rng.choices((self.fund, self.hedge, self.drawn_dry, self.settled_twice),
                               (3, 3, 2, 2))[0]  # fmt: skip
        return ask()

    def _named(self, letter: str) -> str:
        self._made += 1
        return f"{letter}{self._made}"

    # --- one fund, several payouts ----------------------------------------------------------------

    def fund(self) -> list[AnyCommand]:
        """Bankrupt pools that one fund pays for in one batch: just enough, or a unit too little."""
        rng, book = self.rng, self.view.book
        asset, tier = rng.choice(list(LENDING)), rng.choice(TIERS)
        names = [self._named("f") for _ in range(rng.choice((2, 2, 3)))]
        debts = [self.view.units(asset, rng.choice((1.0, 30.0, 700.0))) for _ in names]
        found: list[AnyCommand] = []
        for name, debt in zip(names, debts, strict=True):
            found.append(OpenAccount(account=name, pools=(PoolTerms(SHARED, "cross_sum"),)))
            found.append(ImportAccount(account=name, balances={asset: -debt}))
        there = max(0, book.cash(f"@insurance/{tier}", SHARED, asset))
        missing = sum(debts) - there + rng.choice((-1, -1, 0, 1, -min(debts) // 2))
        fund = FundInsurance(tier=tier, asset=asset, amount=max(1, missing))
        paid: list[Single] = [
            PayInsurance(account=name, tier=tier, asset=asset, amount=debt)
            for name, debt in zip(names, debts, strict=True)
        ]
        if rng.random() < 0.4:
            # The fund pays what it has, everybody bears the rest.
            paid[-1] = self._shared(names[-1], asset, debts[-1])
        if rng.random() < 0.5:
            # It is filled and emptied in one batch: only what stands at each place counts.
            paid.insert(rng.randint(0, len(paid)), fund)
        else:
            found.append(fund)
        return [*found, Batch(commands=tuple(paid))]

    def _shared(self, name: str, asset: str, debt: int) -> Socialise:
        view, rng = self.view, self.rng
        rich = [
            (who, pool)
            for who in view.users()
            for pool, state in view.account(who).pools.items()
            if state.cash.get(asset, 0) > debt
        ]
        holders = tuple(rng.sample(rich, min(len(rich), rng.choice((1, 2, 5)))))
        return Socialise(account=name, asset=asset, amount=debt, holders=holders)

    # --- a hedge, and its legs --------------------------------------------------------------------

    def hedge(self) -> list[AnyCommand]:
        """A pool of two legs that carries both and, mostly, not one; then one of them is closed."""
        rng, view = self.rng, self.view
        legs = self._legs()
        if len(legs) < 2:
            return self.fund()
        usd = rng.choice((2_000.0, 50_000.0))
        sign = rng.choice((-1, 1))
        name = self._named("e")
        found: list[AnyCommand] = [
            OpenAccount(account=name, pools=(PoolTerms(SHARED, rng.choice(view.methods)),)),
            ImportAccount(
                account=name, balances={"USDC": view.units("USDC", usd * rng.choice(BACKED))}
            ),
        ]
        # Both at once: neither leg could be opened alone.
        opened = tuple(
            self._fill(name, leg, side * view.size(leg, usd))
            for leg, side in ((legs[0], sign), (legs[1], -sign))
        )
        found.append(Batch(commands=opened))
        closing = -view.size(legs[0], usd) * sign
        part = closing // rng.choice((1, 1, 2, 10))
        price = view.price_text(legs[0], 0.0)
        ways: list[AnyCommand] = [
            PlaceOrder(account=name, order="leg", instrument=legs[0], contracts=part,
                       limit_price=price, reduce_only=rng.random() < 0.3),
            self._fill(name, legs[0], part),
            self._fill(name, legs[1], -sign * view.size(legs[1], usd) // 4),
            Withdraw(account=name, asset="USDC",
                     amount=view.units("USDC", usd * rng.choice((0.001, 0.01, 0.05)))),
        ]  # fmt: skip
        rng.shuffle(ways)
        return [*found, *ways[: rng.randint(1, 4)]]

    def _legs(self) -> list[str]:
        """Two contracts on one coin, neither pairs nor options nor past their expiry."""
        arena, now = self.view.arena, self.view.book.at_ns
        names = [
            n
            for n in arena.names
            if CONTRACTS[n].kind in ("perpetual", "future") and arena.expiry.get(n, now + 1) > now
        ]
        self.rng.shuffle(names)
        for place, one in enumerate(names):
            for two in names[place + 1 :]:
                if CONTRACTS[one].underlying == CONTRACTS[two].underlying:
                    return [one, two]
        return []

    def _fill(self, name: str, instrument: str, contracts: int) -> Fill:
        mine = Side(name)
        return Fill(
            instrument=instrument, contracts=abs(contracts),
            price=self.view.price_text(instrument, 0.0),
            buyer=mine if contracts > 0 else OUT, seller=OUT if contracts > 0 else mine,
        )  # fmt: skip

    # --- a draw limit, and a price that is fixed --------------------------------------------------

    def drawn_dry(self) -> list[AnyCommand]:
        """A bucket that owes more than its limit, beside riches: drawn to it, and a unit past."""
        rng, view = self.rng, self.view
        name, limit = self._named("d"), rng.choice((5, 10**6, 10**8))
        terms = (PoolTerms(SHARED, "cross_sum"), PoolTerms("dry", "isolated", limit))
        # A satoshi is worth more than the smallest of these limits: nobody can draw it.
        asset = rng.choice(("USD", "USD", "BTC"))
        owed = view.units(asset, 3.0 * limit / 1e6)
        found: list[AnyCommand] = [
            OpenAccount(account=name, pools=terms),
            Deposit(account=name, asset=asset, amount=10 * owed),
            ImportAccount(account=name, pool="dry", balances={asset: -owed}),
        ]
        most = view.units(asset, limit / 1e6)
        first = rng.choice((most, most - 1, max(1, most // 2), most + 1))
        for amount in (first, most - first, 1, 1):
            found.append(Draw(account=name, pool="dry", asset=asset, amount=max(1, amount)))
        found.append(PayInsurance(account=name, pool="dry", tier="A", asset=asset, amount=1))
        if rng.random() < 0.3:
            found.append(Repay(account=name, pool="dry", asset=asset, amount=owed))
            found.append(ImportAccount(account=name, pool="dry", balances={asset: 1}))
        return found

    def settled_twice(self) -> list[AnyCommand]:
        """Two groups of holders of one expired instrument, at one price or at two."""
        rng, view, now = self.rng, self.view, self.view.book.at_ns
        past = [n for n in view.arena.names if view.arena.expiry.get(n, now) < now]
        if not past:
            return self.drawn_dry()
        name = rng.choice(past)
        have = [
            (who, pool)
            for who in view.users()
            for pool, state in view.account(who).pools.items()
            if name in state.positions
        ]
        if len(have) < 2:
            return self.drawn_dry()
        prices = [f"{view.arena.mark(name):.2f}"] * 2
        if rng.random() < 0.5:
            prices[1] = f"{view.arena.mark(name) * 1.01:.2f}"
        half = len(have) // 2
        both = tuple(
            SettleExpiry(instrument=name, price=price, holders=tuple(holders))
            for price, holders in zip(prices, (have[:half], have[half:]), strict=True)
        )
        return [Batch(commands=both)] if rng.random() < 0.6 else list(both)
