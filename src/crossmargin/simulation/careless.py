"""Careless and hostile senders: wrong names, wrong numbers, old keys, self-trades, junk.

In     a sound command of an owner's or the venue's, what was sent before, a random generator.
Out    the command spoiled in one place, or a command that should never have been sent.
Owns   which faults a sender can make: each reason of refusal has one.
Never  tells the auditor what it did: that must see for itself.
Signs  none kept.
Spec   docs/spec/10-ledger.md (10.12 to 10.14)
"""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import Scenarios
from crossmargin.engine.commands import (
    AcceptPrices,
    AdoptScenarios,
    AdoptVenueTotals,
    AdvanceInterest,
    AnyCommand,
    Batch,
    Borrow,
    Deposit,
    Fill,
    OpenAccount,
    OpenPool,
    PlaceOrder,
    Side,
    Withdraw,
)
from crossmargin.ledger.events import PoolTerms
from crossmargin.simulation.agents import View, Where
from crossmargin.simulation.arena import ASSETS, CONTRACTS, LENDING, SECOND_NS, Arena, doubles

HUGE = 10**38
BAD_NAMES = ("", "@fees", "two words", "x" * 129, "ünder", "tab\t")
BAD_PRICES = ("0", "-1", "1e15", "nan", "", "1,000", "9" * 41, "1e16", " 1", "0x10")
BAD_RATES = ("2", "-2", "much", "1.0000001", "-1.5")
BAD_METHODS = ("", "guess", "PORTFOLIO", "isolated ")


class Careless:
    """Spoils commands; `next` makes one that has a fault, `spoil` puts one into a sound one."""

    def __init__(self, view: View) -> None:
        """Look where the others look."""
        self.view, self.rng = view, view.rng

    def spoil(self, command: Any) -> Any:
        """Return the command with one field wrong; as it is where it has none of these."""
        rng = self.rng
        wrong: list[tuple[str, Any]] = []
        for name in command.__struct_fields__:
            if name in ("account", "to_account"):
                wrong.append((name, rng.choice(("nobody", *BAD_NAMES))))
            elif name in ("pool", "to_pool") and isinstance(getattr(command, name), str):
                wrong.append((name, rng.choice(("nowhere", ""))))
            elif name == "asset":
                wrong.append((name, rng.choice(("DOGE", "", "BTC-PERP"))))
            elif name == "instrument":
                wrong.append((name, rng.choice(("XRP-PERP", "", "BTC", "BTC/USDC"))))
            elif name in ("amount", "contracts"):
                wrong.append((name, rng.choice((0, -1, HUGE, -HUGE, 0, -1, HUGE, 10**26 + 1))))
            elif name in ("price", "limit_price"):
                wrong.append((name, rng.choice(BAD_PRICES)))
            elif name == "rate":
                wrong.append((name, rng.choice(BAD_RATES)))
            elif name == "tier":
                wrong.append((name, rng.choice(("Z", ""))))
            elif name == "order" and isinstance(command, PlaceOrder):
                wrong.append((name, rng.choice(("", "x" * 65, "ß"))))
            elif name == "penalty":
                wrong.append((name, rng.choice((-1, HUGE))))
            elif name == "holders":
                wrong.append((name, rng.choice(((), (("nobody", SHARED),), (("@fees", SHARED),)))))
            elif name in ("buyer", "seller", "counterparty") and not isinstance(
                getattr(command, name), tuple
            ):
                wrong.append((name, self._side()))
        if not wrong:
            return command
        field, value = rng.choice(wrong)
        return msgspec.structs.replace(command, **{field: value})

    def _side(self) -> Side:
        rng = self.rng
        account, pool = self.view.where()
        return rng.choice(
            (Side("nobody"), Side(account, "nowhere"), Side(account, pool, order="never"),
             Side("@fees"), Side(account, pool, fee=HUGE), Side("@outside", order="o1"))
        )  # fmt: skip

    def next(self, now_ns: int) -> AnyCommand:
        """A command that should never have been sent."""
        rng, view = self.rng, self.view
        account, pool = view.where()
        terms = rng.choice(
            (PoolTerms("b", rng.choice(BAD_METHODS)), PoolTerms(rng.choice(BAD_NAMES), "isolated"),
             PoolTerms(pool, "isolated"), PoolTerms("neg", "isolated", -1),
             PoolTerms("vast", "isolated", HUGE), PoolTerms(SHARED, "isolated", 5))
        )  # fmt: skip
        found: list[AnyCommand] = [
            OpenAccount(account=rng.choice((*BAD_NAMES, account))),
            OpenAccount(account=f"w{rng.randint(0, 10**9)}", pools=(terms,)),
            OpenAccount(account=f"v{rng.randint(0, 10**9)}",
                        pools=tuple(PoolTerms(f"p{i}", "isolated") for i in range(64))),
            OpenPool(account=account, pool=terms),
            Batch(commands=()),
            Batch(commands=(Deposit(key="k", account=account, asset="USD", amount=1),)),
            Batch(commands=tuple([Deposit(account=account, asset="USD", amount=1)] * 257)),
            AdvanceInterest(asset=rng.choice(("DOGE", "ALT", "stETH"))),
            AdoptVenueTotals(totals={rng.choice(("DOGE", "BTC")): rng.choice((-1.0, 1e19))}),
            AdoptScenarios(scenarios=_odd(view.arena, rng)),
            self._prints(now_ns),
            self._self_trade(account, pool),
        ]  # fmt: skip
        return rng.choice(found)

    def _prints(self, now_ns: int) -> AcceptPrices:
        """Prints that are late, early, out of order, of nobody, or no prices."""
        rng = self.rng
        told = self.view.arena.prints(now_ns)
        kind = rng.randint(0, 5)
        if kind == 0:
            return msgspec.structs.replace(told, stamped_ns=now_ns - 61 * SECOND_NS)
        if kind == 1:
            return msgspec.structs.replace(told, stamped_ns=now_ns + rng.choice((1, SECOND_NS)))
        if kind == 2:
            late = now_ns - rng.randint(1, 59) * SECOND_NS
            return self.view.arena.part_of(msgspec.structs.replace(told, stamped_ns=late))
        name, level = rng.choice(list(told.prints.items()))
        if kind == 3:
            return msgspec.structs.replace(told, prints={"DOGE/USD": level})
        if kind == 4:
            return msgspec.structs.replace(told, marks={"XRP-PERP": told.marks["BTC-PERP"]})
        bad = msgspec.structs.replace(level, level=rng.choice((0.0, -1.0, float("inf"), 1e15)))
        return msgspec.structs.replace(told, prints={name: bad})

    def _self_trade(self, account: str, pool: str) -> Fill:
        name = self.view.contract()
        side = Side(account, pool)
        return Fill(
            instrument=name, contracts=self.view.size(name, 100.0),
            price=self.view.price_text(name, 0.0), buyer=side, seller=side,
        )  # fmt: skip

    def rush(self) -> list[AnyCommand]:
        """Several owners at once after what is left of an asset's cash or cap."""
        view, rng = self.view, self.rng
        asset = rng.choice(list(LENDING))
        debt, supplied = view.book.lending(asset)
        cap = int(LENDING[asset][0] * 10 ** ASSETS[asset][1])
        left = max(1, rng.choice((supplied, min(cap, supplied * 9 // 10))) - debt)
        found: list[AnyCommand] = []
        for part in rng.choices((2, 3, 3, 4), k=rng.randint(3, 6)):
            account, pool = view.where()
            amount = max(1, left // part)
            kind = Withdraw if view.pool((account, pool)).cash.get(asset, 0) >= amount else Borrow
            found.append(kind(account=account, pool=pool, asset=asset, amount=amount))
        return found

    def sells_out(self) -> list[AnyCommand]:
        """After a rush: what is lent out cannot be sold to the outside a second time either."""
        found = self.rush()
        book = self.view.book
        for asset in LENDING:
            debt, supplied = book.lending(asset)
            rich = [
                ((name, pool), state.cash[asset])
                for name in self.view.users()
                for pool, state in self.view.account(name).pools.items()
                if state.cash.get(asset, 0) > supplied - debt > 0
            ]
            if rich:
                where, there = self.rng.choice(rich)
                free = supplied - debt
                amount = self.rng.choice((there, there, (there + free) // 2, free, free + 1))
                sold = self._sold(where, asset, amount)
                found += [sold] if sold is not None else []
        return found

    def _sold(self, where: Where, asset: str, amount: int) -> Fill | None:
        """Pay an amount of an asset to the outside, by a pair or as an option's premium."""
        rng, view = self.rng, self.view
        unit = ASSETS[asset][1]
        ways = [
            (name, way)
            for name in view.arena.names
            for way, paid in zip(("sell", "buy", "premium"), _pays(name), strict=True)
            if paid == asset
        ]
        if not ways:
            return None
        name, way = rng.choice(ways)
        mine, other = Side(*where), Side("@outside")
        price = view.price_text(name, 0.0)
        contracts = amount * 10 ** (18 - unit)
        if way == "sell":
            mine, other = other, mine
        elif way == "buy":
            contracts = int(contracts / Fraction(price)) + 1
        else:
            contracts = 10**18
            size = Decimal(str(CONTRACTS[name].size or 1.0))
            price = f"{Decimal(amount).scaleb(-unit) / size:f}"
        return Fill(instrument=name, contracts=contracts, price=price, buyer=mine, seller=other)

    def drain(self, now_ns: int) -> list[AnyCommand]:
        """Take a bucket's money out again and again: what its draw limit covers is not its own."""
        view, rng = self.view, self.rng
        buckets = [
            (name, pool)
            for name in view.users()
            for pool, state in view.account(name).pools.items()
            if state.limit
        ]
        if not buckets:
            return [self._prints(now_ns)]
        where = rng.choice(buckets)
        held = [a for a, x in view.pool(where).cash.items() if x > 0]
        if not held:
            return [self.next(now_ns)]
        asset = rng.choice(held)
        there = view.pool(where).cash[asset]
        return [
            Withdraw(account=where[0], pool=where[1], asset=asset, amount=max(1, there // part))
            for part in (2, 3, 4)
        ]


def _pays(name: str) -> tuple[str, str, str]:
    """What the seller of a pair pays, its buyer, and an option's buyer; "" for none."""
    t = CONTRACTS[name]
    if t.kind == "spot":
        return t.underlying, t.quote, ""
    return "", "", (t.settle or t.underlying) if t.style == "premium" else ""


def _odd(arena: Arena, rng: random.Random) -> Scenarios:
    """Joint rows that are torn, impossible, or say nothing of a factor, which does not move."""
    told = arena.scenarios(4)
    k = len(told.factors)
    others = (
        {"factor_moves": told.factor_moves[:-8]},
        {"factor_moves": doubles([-1.0] * 4 * k)},
        {"vol_moves": doubles([float("nan")] * 4 * k)},
        {"probability": doubles([0.3] * 4)},
        {"names": (), "factor_moves": b"", "vol_moves": b"", "probability": b"", "flagged": b""},
        {"factors": ("DOGE/USD", *told.factors[1:])},
    )
    return msgspec.structs.replace(told, **rng.choice(others))
