"""Seeded commands of every kind for a small venue, near the ends of its caps and its cash.

A stream knows nothing of the book: whether a command can happen is the engine's business. Names,
amounts and keys are few, so that commands meet each other.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec

from crossmargin.domain.book import OrderState
from crossmargin.engine import commands as c
from engine.small import (
    BTC,
    CT,
    ETH,
    INSTRUMENTS,
    USD,
    USDC,
    WEI,
    Side,
    Venue,
    account,
    bucket,
    holding,
    prices,
    scenarios,
    trade,
    venue,
)

NAMES = tuple(f"u{n}" for n in range(8))
BUCKETED = NAMES[:3]
NEW = tuple(f"n{n}" for n in range(6))  # names of accounts that may be opened
UNIT = {"USD": USD, "USDC": USDC, "BTC": BTC, "ETH": ETH, "TOK": 1, "WEI": WEI}
# What a fill or an order is worth, roughly, in coins of the asset that is moved.
SIZES = {"USD": 400, "USDC": 900, "BTC": 0.01, "ETH": 0.4, "TOK": 300, "WEI": 10**12}
LEVELS = {"BTC": 50_000.0, "ETH": 2_000.0, "TOK": 1.0, "USDC": 1.0}
KIND = {row["instrument"]: row["kind"] for row in INSTRUMENTS}
UNDERLYING = {row["instrument"]: row["underlying"] for row in INSTRUMENTS}
PER_CONTRACT = {"BTC-PERP": 50.0, "BTC-INV": 100.0, "BTC-INV-FUT": 100.0, "TOK-WEI": 1e-9}


def busy(methods: tuple[str, ...] = ("cross_sum",)) -> Venue:
    """Eight accounts, three with a bucket, two under water, lenders with little left to lend.

    methods  of the accounts in turn; their buckets have the next one
    """
    made = venue()
    if "portfolio" in methods:
        made.do(scenarios(-0.08, 0.2))
    for n, name in enumerate(NAMES):
        own, other = (methods[k % len(methods)] for k in (n, n + 1))
        made.do(account(
            name, *((bucket("b", 300, other),) if name in BUCKETED else ()), method=own
        ))  # fmt: skip
        made.do(holding(name, _opening(n)))
    made.do(holding("u0", {"USD": -80 * USD}, pool="b"))
    made.do(holding("u1", {"USD": 150 * USD}, {"ETH-PERP": (CT, -200_000)}, pool="b"))
    made.do(account("mir", mirror=True), account("low"), account("sunk"), account("gone"))
    long = {"ETH-PERP": (5 * CT, -1_000_000)}
    made.do(holding("low", {"USD": 900 * USD, "TOK": 50}, long))
    made.do(holding("sunk", {"USD": -1_500 * USD, "ETH": ETH // 2}, long))
    made.do(holding("gone", {"USD": -700 * USD}))
    made.do(trade("ETH-PERP", 2 * CT, "2000", "@outside", "u3"))
    made.do(trade("ETH-FUT", CT, "2000", "u6", "u3"), trade("ETH-PUT", CT, "40", "u2", "u6"))
    made.do(c.FundInsurance(tier="A", asset="USD", amount=100 * USD))
    return made


def _opening(n: int) -> dict[str, int]:
    rich = {"USD": 2_000 * USD, "ETH": 3 * ETH, "WEI": 10**12 * WEI}
    if n % 3 == 0:
        return {**rich, "USDC": 4_000 * USDC, "BTC": BTC // 10, "TOK": 10**12}
    if n % 3 == 1:
        return {"ETH": 5 * ETH, "USDC": -2_900 * USDC, "USD": -1_000 * USD}
    return {**rich, "TOK": -400}


class Stream:
    """Commands from a seed."""

    def __init__(self, seed: int, world: bool = True, names: tuple[str, ...] = NAMES) -> None:
        self.rng = random.Random(seed)
        self.names = names
        self.level = dict(LEVELS)
        self.n = 0
        self.seed = seed
        self.kinds = list(SINGLES) + (list(WORLDS) if world else [])
        self.weights = [WEIGHTS.get(kind, 3) for kind in self.kinds]

    def take(self, n: int, now_ns: int) -> list[Any]:
        """The next n commands, prices first, with keys of which a few come twice."""
        first = [self._prices(now_ns)]
        rest = [self.one(now_ns) for _ in range(n - 1)]
        return [self._keyed(command, now_ns) for command in first + rest]

    def one(self, now_ns: int) -> Any:
        """One command without key and stamp."""
        if self.rng.random() < 0.1:
            inner = [kind for kind in self.kinds if kind in SINGLES]
            n = self.rng.randint(1, 3)
            some = [self._make(self.rng.choice(inner), now_ns) for _ in range(n)]
            return c.Batch(commands=tuple(some))
        [kind] = self.rng.choices(self.kinds, self.weights)
        return self._make(kind, now_ns)

    def _make(self, kind: str, now_ns: int) -> Any:
        if kind == "prices":
            return self._prices(now_ns)
        return getattr(self, f"_{kind}")()

    def _keyed(self, command: Any, now_ns: int) -> Any:
        rng = self.rng
        self.n += 1
        # Of three in a hundred the key is one of the last ten.
        number = self.n if rng.random() < 0.97 else max(1, self.n - rng.randint(1, 10))
        late = rng.choice((0, 0, 0, 1, 5, 600)) * 10**9 if rng.random() < 0.05 else 0
        return msgspec.structs.replace(
            command, key=f"{self.seed}-{number}", issued_ns=now_ns - late
        )

    # --- ingredients ------------------------------------------------------------------------------

    def _name(self) -> str:
        some = self.rng.random()
        if some < 0.95:
            return self.rng.choice(self.names)
        return self.rng.choice(("low", "sunk", "mir", "nobody", "@fees"))

    def _pool(self, name: str) -> str:
        if name in BUCKETED and self.rng.random() < 0.4:
            return "b"
        return "shared" if self.rng.random() < 0.99 else "c"

    def _asset(self) -> str:
        return self.rng.choice((*UNIT, "USD", "USDC", "USDC"))

    def _amount(self, asset: str) -> int:
        rng = self.rng
        if rng.random() < 0.03:
            return rng.choice((0, -1, 1, 10**38))
        coins = SIZES[asset] * rng.choice((0.1, 0.5, 1.0, 1.0, 2.0, 5.0))
        return max(1, int(coins * UNIT[asset])) + rng.randint(0, 2)

    def _traded(self) -> tuple[str, int, str]:
        """(instrument, contracts, price)."""
        rng = self.rng
        name = rng.choice((*KIND, "ETH-PERP", "ETH-PERP", "ETH-PERP", "BTC-PERP", "ETH/USD"))
        coin = UNDERLYING[name]
        at = self.level.get(coin, 1.0)
        each = PER_CONTRACT.get(name, at)
        worth = 10 ** rng.uniform(0.5, 3.4)
        if KIND[name] in ("call", "put"):
            at *= rng.uniform(0.005, 0.03) / (at if name == "BTC-CALL-INV" else 1.0)
        contracts = int(worth / each * CT) if rng.random() < 0.97 else rng.choice((0, 1, 10**38))
        price = f"{at * rng.uniform(0.98, 1.02):.{rng.choice((2, 6, 9))}f}"
        return name, contracts, price if rng.random() < 0.99 else rng.choice(("0", "nan", "1e15"))

    def _side(self) -> Side:
        if self.rng.random() < 0.3:
            return Side("@outside")
        name = self._name()
        order = str(self.rng.randint(1, 3)) if self.rng.random() < 0.06 else ""
        fee = self.rng.choice((0, 0, 1, 25, -3))
        return Side(name, self._pool(name), fee, order)

    def _holders(self, n_most: int = 6) -> tuple[tuple[str, str], ...]:
        names = self.rng.sample(self.names, self.rng.randint(1, n_most))
        return tuple((name, "shared") for name in names)

    # --- commands ---------------------------------------------------------------------------------

    def _open(self) -> Any:
        name = self.rng.choice((*NAMES[:2], *NEW))
        if self.rng.random() < 0.3:
            return c.OpenPool(account=name, pool=bucket(f"p{self.rng.randint(0, 3)}", 50))
        return account(name)

    def _status(self) -> Any:
        name = self.rng.choice((NAMES[-1], *NEW))
        word = self.rng.choice(("open", "open", "frozen", "closed"))
        return c.SetStatus(account=name, status=word)

    def _deposit(self) -> Any:
        name, asset = self._name(), self._asset()
        return c.Deposit(
            account=name, pool=self._pool(name), asset=asset, amount=self._amount(asset)
        )

    def _withdraw(self) -> Any:
        name, asset = self._name(), self._asset()
        return c.Withdraw(
            account=name, pool=self._pool(name), asset=asset, amount=self._amount(asset)
        )

    def _borrow(self) -> Any:
        name, asset = self._name(), self.rng.choice(("USD", "USDC", "USDC", "ETH", "BTC"))
        return c.Borrow(
            account=name, pool=self._pool(name), asset=asset, amount=self._amount(asset)
        )

    def _repay(self) -> Any:
        name, asset = self._name(), self.rng.choice(("USD", "USDC", "USDC", "TOK"))
        return c.Repay(account=name, pool=self._pool(name), asset=asset, amount=self._amount(asset))

    def _transfer(self) -> Any:
        name, asset = self._name(), self._asset()
        other = "" if self.rng.random() < 0.5 else self._name()
        return c.Transfer(
            account=name, pool=self._pool(name), asset=asset, amount=self._amount(asset),
            to_account=other, to_pool=self._pool(other or name),
            pays_back=self.rng.random() < 0.2,
        )  # fmt: skip

    def _yield(self) -> Any:
        source = self.rng.choice(("@outside", "@interest"))
        return c.AccrueYield(
            asset=self._asset(), rate=self.rng.choice(("0.0001", "0.01", "0", "1e-9")),
            holders=self._holders(), source=source,
        )  # fmt: skip

    def _fill(self) -> Any:
        name, contracts, price = self._traded()
        buyer, seller = self._side(), self._side()
        if buyer.account == seller.account == "@outside":
            buyer = Side(self.rng.choice(self.names))
        return c.Fill(instrument=name, contracts=contracts, price=price, buyer=buyer, seller=seller)

    def _order(self) -> Any:
        name, (instrument, contracts, price) = self._name(), self._traded()
        return c.PlaceOrder(
            account=name, pool=self._pool(name), order=str(self.rng.randint(1, 3)),
            instrument=instrument, contracts=self.rng.choice((1, -1)) * contracts,
            limit_price=price, reduce_only=self.rng.random() < 0.2,
        )  # fmt: skip

    def _cancel(self) -> Any:
        name = self._name()
        return c.CancelOrder(
            account=name, pool=self._pool(name), order=self.rng.choice(("", "", "1", "2"))
        )

    def _reserve(self) -> Any:
        return c.ReserveDraws(account=self._name())

    def _charge(self) -> Any:
        return c.ChargeAccruals(holders=self._holders())

    def _expiry(self) -> Any:
        dated = [name for name, kind in KIND.items() if kind in ("future", "call", "put")]
        name = self.rng.choice((*dated, "ETH-PERP"))
        price = self.rng.choice(("2100", "2100", "51000"))
        return c.SettleExpiry(instrument=name, price=price, holders=self._holders())

    def _liquidate(self) -> Any:
        name = self.rng.choice(("low", "sunk", *NAMES))
        instrument, contracts, price = self._traded()
        if self.rng.random() < 0.7:
            instrument, contracts, price = "ETH-PERP", CT // 4, f"{self.level['ETH']:.2f}"
        return c.Liquidate(
            account=name, instrument=instrument, contracts=contracts, price=price,
            buys=self.rng.random() < 0.2, counterparty=self._side(),
            penalty=self.rng.choice((0, 10, 100)), tier=self.rng.choice(("A", "B")),
        )  # fmt: skip

    def _draw(self) -> Any:
        amount = self.rng.choice((1, 1_000, 8_000))
        return c.Draw(account=self.rng.choice(BUCKETED), pool="b", asset="USD", amount=amount)

    def _fund(self) -> Any:
        return c.FundInsurance(tier=self.rng.choice("AB"), asset="USD", amount=self._amount("USD"))

    def _insure(self) -> Any:
        name = self.rng.choice(("gone", "gone", "u0", "sunk"))
        return c.PayInsurance(
            account=name, tier=self.rng.choice("AAB"), asset="USD",
            amount=self.rng.choice((1, 500, 5_000, 10_000)),
        )  # fmt: skip

    def _deleverage(self) -> Any:
        return c.Deleverage(
            instrument="ETH-PERP", contracts=CT // self.rng.choice((2, 4, 10)),
            price=f"{self.level['ETH']:.2f}", bankrupt=("sunk", "shared"), bankrupt_buys=False,
            counterparty=(self.rng.choice((*NAMES, "low")), "shared"),
        )  # fmt: skip

    def _socialise(self) -> Any:
        name = self.rng.choice(("gone", "gone", "u0", "sunk"))
        return c.Socialise(
            account=name, asset="USD", amount=self.rng.choice((1, 100, 5_000)),
            holders=self._holders(),
        )  # fmt: skip

    def _observe(self) -> Any:
        return c.Observe(
            account="mir", source="x", balances={"USD": self.rng.randint(-2, 2)},
            positions={"ETH-PERP": (self.rng.randint(-1, 1), self.rng.randint(-1, 1))},
        )  # fmt: skip

    def _import(self) -> Any:
        name = self.rng.choice(NEW)
        orders = {"i": OrderState("ETH-PERP", CT // 10, "1900")} if self.rng.random() < 0.3 else {}
        return c.ImportAccount(
            account=name, balances={"USD": self.rng.randint(-500, 50_000), "ETH": ETH},
            positions={"BTC-INV": (CT, 200_000)} if self.rng.random() < 0.3 else {}, orders=orders,
        )  # fmt: skip

    # --- the world --------------------------------------------------------------------------------

    def _prices(self, now_ns: int) -> Any:
        for coin in ("BTC", "ETH", "TOK"):
            self.level[coin] *= 1.0 + self.rng.gauss(0.0, 0.01)
        return prices(now_ns, **self.level)

    def _funding(self) -> Any:
        name = self.rng.choice(("ETH-PERP", "ETH-PERP", "BTC-PERP", "BTC-INV", "TOK-WEI"))
        rate = self.rng.choice(("0.0001", "-0.0001", "0.00031", "0", "2"))
        return c.AdvanceFunding(
            instrument=name, rate=rate, price=f"{self.level[UNDERLYING[name]]:.4f}"
        )

    def _interest(self) -> Any:
        return c.AdvanceInterest(asset=self.rng.choice(("USD", "USDC", "ETH", "BTC")))

    def _totals(self) -> Any:
        return c.AdoptVenueTotals(totals={"ETH": self.rng.choice((1e6, 1e7))})


SINGLES = (
    "open", "status", "deposit", "withdraw", "borrow", "repay", "transfer", "yield", "fill",
    "order", "cancel", "reserve", "charge", "expiry", "liquidate", "draw", "fund", "insure",
    "deleverage", "socialise", "observe", "import",
)  # fmt: skip
WORLDS = ("prices", "funding", "interest", "totals")
WEIGHTS = {
    "deposit": 12, "withdraw": 14, "borrow": 14, "repay": 8, "transfer": 10, "fill": 30,
    "order": 12, "cancel": 6, "status": 1, "totals": 1, "open": 2, "yield": 2,
    "insure": 2, "socialise": 3, "fund": 1, "deleverage": 2, "expiry": 4, "charge": 5,
}  # fmt: skip
