"""What stands elsewhere: mirrors of accounts at other venues, and holdings that are brought here.

In     the witness's book, the arena's prices, a random generator.
Out    commands without keys.
Owns   what an observer sees, and what a new account brings.
Never  looks into the engine.
Signs  balances, contracts and costs signed.
Spec   docs/spec/10-ledger.md (10.22)
"""

from __future__ import annotations

from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import OrderState
from crossmargin.engine.commands import ImportAccount, Observe, OpenAccount
from crossmargin.ledger.events import PoolTerms
from crossmargin.reference.ledger_book import MIRROR
from crossmargin.simulation.agents import View
from crossmargin.simulation.arena import ASSETS, CONTRACTS


class Elsewhere:
    """Observes and brings."""

    def __init__(self, view: View) -> None:
        """Look at the same book as the others do."""
        self.view, self.rng = view, view.rng
        self._mirrors = 0

    def mirrors(self) -> list[str]:
        """Accounts at other venues."""
        return [n for n, a in self.view.book.accounts.items() if a.status == MIRROR]

    def observe(self) -> Observe | OpenAccount:
        """What was seen at another venue."""
        view, rng = self.view, self.rng
        there = self.mirrors()
        if not there or (len(there) < 2 and rng.random() < 0.2):
            self._mirrors += 1
            terms = (PoolTerms(SHARED, rng.choice(view.methods)),)
            return OpenAccount(account=f"m{self._mirrors}", pools=terms, mirror=True)
        balances = {a: rng.randint(-(10**6), 10**8) for a in rng.sample(list(ASSETS), 2)}
        names = [n for n in view.arena.names if CONTRACTS[n].kind in ("perpetual", "future")]
        positions = {
            n: (view.size(n, view.usd()) * rng.choice((-1, 1)), rng.randint(-(10**9), 10**9))
            for n in rng.sample(names, min(len(names), rng.choice((0, 1))))
        }
        who = rng.choice(there) if rng.random() < 0.95 else view.user()
        positions |= self._options()
        return Observe(account=who, source="elsewhere", balances=balances, positions=positions)

    def imported(self) -> ImportAccount:
        """Opening holdings of a bare pool."""
        view, rng = self.view, self.rng
        bare = [(n, p) for n in view.users() for p, state in view.account(n).pools.items()
                if state.is_empty()]  # fmt: skip
        where = rng.choice(bare) if bare and rng.random() < 0.9 else view.where()
        if rng.random() < 0.5:
            # A debt and nothing else.
            asset = view.asset()
            debt = -view.units(asset, rng.choice((5.0, 500.0, 50_000.0)))
            return ImportAccount(account=where[0], pool=where[1], balances={asset: debt})
        balances = {"USDC": view.units("USDC", view.usd()), "BTC": -view.units("BTC", 50.0)}
        name = "BTC-PERP"
        contracts = view.size(name, view.usd())
        cost = -view.units("USDC", contracts / 1e18 * 0.1 * view.arena.price("BTC"))
        order = OrderState("ETH/USDC", view.size("ETH/USDC", 100.0), "1500.5")
        return ImportAccount(
            account=where[0], pool=where[1], balances=balances,
            positions={name: (contracts, cost)} | self._options(), orders={"brought": order},
        )  # fmt: skip

    def _options(self) -> dict[str, tuple[int, int]]:
        """Now and then an option; one whose premium was paid has no cost, or should have none."""
        view, rng = self.view, self.rng
        names = [n for n in view.arena.names if CONTRACTS[n].strike]
        if not names or rng.random() < 0.7:
            return {}
        name = rng.choice(names)
        cost = rng.choice((0, 0, rng.randint(-(10**6), 10**6)))
        return {name: (view.size(name, 100.0) * rng.choice((-1, 1)), cost)}
