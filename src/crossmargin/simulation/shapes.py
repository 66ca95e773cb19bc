"""Shapes of accounts a trader recognises, from a hedged perpetual to a short strangle.

In     a `Draft`: randomness, prices of a `World`, a size and about which health.
Out    the pools of one account, amounts still as floats; `books` makes them exact.
Owns   what each shape holds and how its leverage follows from the health asked for.
Never  computes a requirement: charges here are rough guesses that only spread the healths.
Signs  quantity > 0 owned or long, < 0 owed or short.
Spec   docs/generator.md
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl

from crossmargin.simulation.worlds import World

PORTFOLIO, CROSS, SUM, ISOLATED = "portfolio", "cross_correlated", "cross_sum", "isolated"
DOLLAR = 0.0225  # what a dollar coin loses in cross: 2 % market part, 0.25 % liquidity
FEE = 0.0055  # liquidation fee reserve of a notional
RANGE = {"BTC": 0.14, "ETH": 0.18, "SOL": 0.25, "XRP": 0.25, "LINK": 0.25, "DOGE": 0.25,
         "AVAX": 0.25, "NEAR": 0.30, "UNI": 0.30, "AAVE": 0.30}  # fmt: skip
Row = tuple[str, float, float | None]
OrderRow = tuple[str, float, float, bool]


class Option(NamedTuple):
    """One listed option, as a shape looks for it."""

    name: str
    coin: str
    kind: str
    style: str
    days: float
    strike: float
    forward: float


class View:
    """Prices of a world by name: what a shape needs to size its trades."""

    def __init__(self, world: World) -> None:
        tables = world.tables
        level = dict(zip(tables.factors["factor"], tables.factors["level"], strict=True))
        self.price: dict[str, float] = {}
        for name, loads, scale in tables.assets.select("asset", "loads", "scale").iter_rows():
            terms = [t.partition("^") for t in loads.split("*") if t]
            powers = [level[factor] ** float(power or 1.0) for factor, _, power in terms]
            self.price[name] = scale * float(np.prod(powers))
        rows = tables.instruments
        self.mark: dict[str, float] = dict(zip(rows["instrument"], rows["forward"], strict=True))
        live = rows.filter(pl.col("kind").is_in(["call", "put"]) & (pl.col("status") == "live"))
        days = (pl.col("expiry").dt.epoch("ms") * 1_000_000 - world.at_ns) / 86_400e9
        columns = ("instrument", "underlying", "kind", "style", "days", "strike", "forward")
        self.options = [
            Option(*row) for row in live.with_columns(days=days).select(columns).iter_rows()
        ]
        stale = rows.filter((pl.col("kind") == "call") & (pl.col("status") == "stale"))
        self.stale = str(stale["instrument"][0])
        dated = rows.filter(pl.col("kind") == "future").select("instrument", "underlying", "payoff")
        self.futures = [(str(n), str(u), str(p)) for n, u, p in dated.iter_rows()]

    def option(
        self, coin: str, kind: str, days: float, at: float, style: str = "premium"
    ) -> Option:
        """The listed option nearest to `days` and then to a strike of `at` x forward."""
        fits = [o for o in self.options if (o.coin, o.kind, o.style) == (coin, kind, style)]
        near = min(abs(o.days - days) for o in fits)
        fits = [o for o in fits if abs(o.days - days) == near]
        return min(fits, key=lambda o: abs(o.strike / o.forward - at))


@dataclass
class Pool:
    """One pool being drafted."""

    method: str
    holdings: list[Row]
    pool: str = "shared"
    draw_limit: float | None = None
    drawn: float = 0.0
    last_draw: float = 0.0
    orders: list[OrderRow] = field(default_factory=list)


class Draft(NamedTuple):
    """What a shape is given: randomness, prices, size in USD, and about which health."""

    rng: np.random.Generator
    view: View
    usd: float
    health: float

    def coins(self, asset: str, usd: float) -> Row:
        return asset, usd / self.view.price[asset], None

    def position(self, name: str, contracts: float, gain: float = 0.0) -> Row:
        """A position whose entry lies so that it has gained this fraction of its notional."""
        mark = self.view.mark[name]
        # No entry is below a tenth of the mark: a long has gained 90 % at most, a short lost it.
        gain = min(gain, 0.9) if contracts > 0 else max(gain, -0.9)
        return name, contracts, mark * (1.0 - gain if contracts > 0 else 1.0 + gain)

    def choose(self, names: tuple[str, ...]) -> str:
        return names[int(self.rng.integers(len(names)))]


def _levered(d: Draft, names: list[str], sides: list[int], method: str) -> list[Row]:
    """Perpetuals on a dollar coin: it went in at some health, the P&L since made it `d.health`."""
    each = d.usd / len(names)
    charge = sum(each * (RANGE[n] + FEE) for n in names)
    # Long against short: correlation leaves about six tenths of the sum.
    charge *= 0.6 if method == CROSS and len(set(sides)) > 1 else 1.0
    started = max(float(d.rng.uniform(1.4, 2.6)), d.health - 1.5)
    dollar = DOLLAR if method != PORTFOLIO else 0.0025
    cash = started * charge / (1.0 - started * dollar)
    gain = (d.health * (charge + dollar * cash) - cash) / d.usd
    rows = [d.coins(d.choose(("USDC", "USDT")), cash)]
    for name, side in zip(names, sides, strict=True):
        rows.append(d.position(f"{name}-PERP", side * each / d.view.price[name], gain))
    return rows


def _loan(d: Draft, asset: str, debt: str, cost: tuple[float, float], method: str) -> Pool:
    """Collateral against a loan: cost = what rules take off each, fractions of value."""
    ratio = (1.0 - d.health * cost[0]) / (1.0 + d.health * cost[1])
    return Pool(method, [d.coins(asset, d.usd), d.coins(debt, -d.usd * ratio)])


def _hedged_perpetual(d: Draft) -> list[Pool]:
    """Spot on borrowed dollars, sold forward for ever: cross would not carry it, portfolio does."""
    coin = d.choose(("BTC", "ETH", "SOL"))
    coins = d.usd / d.view.price[coin]
    loan = d.usd * float(np.clip(1.0 - 0.06 * d.health, 0.2, 1.05))
    rows = [(coin, coins, None), d.coins("USDC", -loan)]
    return [Pool(PORTFOLIO, [*rows, d.position(f"{coin}-PERP", -coins, 0.01)])]


def _basis_trade(d: Draft) -> list[Pool]:
    coin = d.choose(("BTC", "ETH"))
    dated = [n for n, u, p in d.view.futures if u == coin and p == "linear"]
    future = dated[int(d.rng.integers(len(dated)))]
    contracts = d.usd / d.view.price[coin]
    cash = d.usd * 0.055 * d.health
    legs = [d.position(f"{coin}-PERP", contracts, 0.02), d.position(future, -contracts, -0.015)]
    return [Pool(PORTFOLIO, [d.coins("USDC", cash), *legs])]


def _covered_call(d: Draft) -> list[Pool]:
    coins = d.usd / d.view.price["BTC"]
    call = d.view.option("BTC", "call", 30.0, 1.10)
    # A written call is covered by its coin; a loan against both decides the health.
    loan = d.usd * max(0.0, 0.96 - 0.15 * d.health)
    rows = [("BTC", coins, None), (call.name, -round(0.9 * coins, 1), None)]
    return [Pool(PORTFOLIO, rows + ([d.coins("USDC", -loan)] if loan else []))]


def _looped_staked_eth(d: Draft) -> list[Pool]:
    asset = d.choose(("stETH", "wstETH"))
    return [_loan(d, asset, "ETH", (0.064, 0.006), PORTFOLIO)]


def _altcoin_gambler(d: Draft) -> list[Pool]:
    n = int(d.rng.integers(2, 5))
    coins = ("SOL", "XRP", "LINK", "DOGE", "AVAX", "NEAR", "UNI", "AAVE")
    names = [str(c) for c in d.rng.choice(coins, n, replace=False)]
    return [Pool(CROSS, _levered(d._replace(usd=0.2 * d.usd), names, [1] * n, CROSS))]


def _market_maker(d: Draft) -> list[Pool]:
    """Sixty options as thirty spreads between neighbouring strikes, and a hedge of their delta."""
    listed = [o for o in d.view.options if o.style == "premium"]
    listed.sort(key=lambda o: (o.coin, o.kind, o.days, o.strike))
    rows: dict[str, float] = {}
    while len(rows) < 60:
        row = int(d.rng.integers(len(listed) - 1))
        one, two = listed[row], listed[row + 1]
        if (one.kind, one.days) != (two.kind, two.days) or one.name in rows or two.name in rows:
            continue
        side = float(d.rng.choice([-1.0, 1.0]))
        size = d.usd / 30.0 / one.forward * float(d.rng.lognormal(0.0, 0.5))
        rows[one.name], rows[two.name] = side * size, -side * size
    held: list[Row] = [(name, size, None) for name, size in rows.items()]
    for coin in ("BTC", "ETH"):
        size = 0.02 * d.usd * float(d.rng.normal()) / d.view.price[coin]
        held.append(d.position(f"{coin}-PERP", size))
    cash = 0.022 * d.usd * d.health
    return [Pool(PORTFOLIO, [d.coins("USDC", 0.7 * cash), d.coins("BTC", 0.3 * cash), *held])]


def _dollar_saver(d: Draft) -> list[Pool]:
    share = d.rng.dirichlet([4.0, 2.0, 1.0])
    names = ("USDC", "USDT", "DAI")
    return [Pool(CROSS, [d.coins(n, 0.1 * d.usd * s) for n, s in zip(names, share, strict=True)])]


def _miner(d: Draft) -> list[Pool]:
    return [_loan(d, "BTC", d.choose(("USDC", "USDT")), (0.1443, 0.0226), CROSS)]


def _lp_farmer(d: Draft) -> list[Pool]:
    small = d._replace(usd=0.2 * d.usd)
    return [_loan(small, "ETH-USDC-LP", "USDC", (0.110, 0.0226), CROSS)]


def _protective_put(d: Draft) -> list[Pool]:
    coins = d.usd / d.view.price["ETH"]
    put = d.view.option("ETH", "put", 60.0, 0.90)
    loan = d.usd * float(np.clip(1.05 - 0.125 * d.health, 0.2, 1.2))
    rows = [("ETH", coins, None), d.coins("USDC", -loan), (put.name, round(coins, 1), None)]
    return [Pool(PORTFOLIO, rows)]


def _short_strangle(d: Draft) -> list[Pool]:
    coins = round(d.usd / d.view.price["ETH"], 1)
    call, put = (d.view.option("ETH", k, 30.0, x) for k, x in (("call", 1.15), ("put", 0.85)))
    # The shorts are worth about 6 % of the notional, the requirement is some 28 % of it.
    cash = d.usd * (0.065 + 0.285 * d.health)
    rows = [d.coins("USDC", cash), (call.name, -coins, None), (put.name, -coins, None)]
    return [Pool(PORTFOLIO, rows)]


def _ring_fenced(d: Draft) -> list[Pool]:
    """A calm shared pool, and two bets of its own that may draw on it up to a limit."""
    shared = Pool(CROSS, [d.coins("USDC", 0.20 * d.usd), d.coins("BTC", 0.10 * d.usd)])
    small = d._replace(usd=0.25 * d.usd)
    bet = Pool(CROSS, _levered(small, ["SOL", "ETH"], [1, -1], CROSS), pool="bet")
    bet.draw_limit = round(0.02 * d.usd)
    lone = Pool(ISOLATED, _levered(small, ["DOGE"], [1], ISOLATED), pool="lone")
    lone.draw_limit, lone.drawn = round(0.01 * d.usd), round(0.002 * d.usd)
    return [shared, bet, lone]


def _orders_out(d: Draft) -> list[Pool]:
    pool = Pool(CROSS, _levered(d, ["BTC", "ETH"], [1, -1], CROSS))
    mark, size = d.view.mark, d.usd / 4.0
    for name, side, away in (("BTC-PERP", 1, 0.98), ("BTC-PERP", -1, 1.03), ("SOL-PERP", 1, 0.95)):
        price = mark[name] * away
        pool.orders.append((name, side * size / price, price, False))
    eth = mark["ETH-PERP"] * 0.97
    pool.orders.append(("ETH-PERP", 0.25 * size / eth, eth, True))
    return [pool]


def _isolated_punter(d: Draft) -> list[Pool]:
    coin = d.choose(("BTC", "ETH", "SOL", "XRP", "DOGE"))
    side = 1 if d.rng.random() < 0.7 else -1
    small = d._replace(usd=0.1 * d.usd)
    return [Pool(ISOLATED, _levered(small, [coin], [side], ISOLATED))]


def _pair_trader(d: Draft) -> list[Pool]:
    return [Pool(SUM, _levered(d, ["BTC", "ETH"], [1, -1], SUM))]


def _coin_margined(d: Draft) -> list[Pool]:
    """Coins as collateral for inverse contracts: long doubles up, short is a synthetic dollar."""
    short = d.rng.random() < 0.5
    contracts = float(round(d.usd / 100.0))
    coins = d.usd * min(1.0, (0.24 if short else 0.18) * d.health)
    entry = d.position("BTCUSD-PERP", -contracts if short else contracts)
    return [Pool(PORTFOLIO, [d.coins("BTC", coins), entry])]


def _quanto_trader(d: Draft) -> list[Pool]:
    contracts = float(round(0.2 * d.usd / (1e-6 * d.view.price["BTC"] * d.view.price["ETH"])))
    notional = contracts * 1e-6 * d.view.price["BTC"] * d.view.price["ETH"]
    coins = d.health * 0.186 * notional / (1.0 - 0.145 * d.health) if d.health < 4.0 else notional
    row = d.position("ETHUSD-QUANTO-BTC", contracts)
    return [Pool(CROSS, [d.coins("BTC", coins), row])]


def _synthetic_carry(d: Draft) -> list[Pool]:
    # What UST lost in May 2022, with its stress weight, is what a synthetic dollar is charged.
    return [_loan(d, "USDe", "USDT", (0.244, 0.004), PORTFOLIO)]


def _bridge_arbitrage(d: Draft) -> list[Pool]:
    return [_loan(d, "WBTC", "BTC", (0.075, 0.006), PORTFOLIO)]


def _pledged_elsewhere(d: Draft) -> list[Pool]:
    return [_loan(d._replace(usd=0.3 * d.usd), "ETH-AT-LENDER", "DAI", (0.184, 0.0226), CROSS)]


def _calendar_spread(d: Draft) -> list[Pool]:
    """Options margined like futures: short the near date, long the far one."""
    near, far = (d.view.option("ETH", "call", t, 1.0, "futures") for t in (0.0, 1000.0))
    contracts = round(d.usd / near.forward, 1)
    cash = d.usd * 0.055 * d.health
    # Traded about where an at-the-money option of that date stands: 0.4 vol root-time forward.
    rows = [d.coins("USDC", cash)]
    for leg, side in ((near, -1.0), (far, 1.0)):
        premium = 0.4 * 0.65 * np.sqrt(leg.days / 365.0) * leg.forward
        rows.append((leg.name, side * contracts, float(premium)))
    return [Pool(PORTFOLIO, rows)]


def _basket_fund(d: Draft) -> list[Pool]:
    coins = ("BTC", "ETH", "SOL", "LINK", "AVAX", "UNI")
    weights = d.rng.dirichlet([4.0, 3.0, 2.0, 1.0, 1.0, 1.0])
    rows = [d.coins(c, d.usd * w) for c, w in zip(coins, weights, strict=True)]
    rows.append(d.coins("USDT", -d.usd * float(np.clip(1.0 - 0.13 * d.health, 0.05, 1.2))))
    hedge = -0.3 * d.usd / d.view.price["BTC"]
    return [Pool(PORTFOLIO, [*rows, d.position("BTC-PERP", hedge)])]


def _stale_strike(d: Draft) -> list[Pool]:
    """A long option whose mark is stale: the pool has no price, so nobody guesses one."""
    return [Pool(PORTFOLIO, [d.coins("BTC", 0.1 * d.usd), (d.view.stale, 2.0, None)])]


class Shape(NamedTuple):
    """A name, its share of a large book, and the function that drafts one."""

    name: str
    weight: float
    draft: Callable[[Draft], list[Pool]]


# Each stands once among the first accounts; weights rule the rest.
SHAPES = (
    Shape("hedged-perpetual", 2.0, _hedged_perpetual),
    Shape("basis-trade", 1.5, _basis_trade),
    Shape("covered-call", 1.5, _covered_call),
    Shape("looped-staked-eth", 2.0, _looped_staked_eth),
    Shape("altcoin-gambler", 3.0, _altcoin_gambler),
    Shape("market-maker", 0.5, _market_maker),
    Shape("dollar-saver", 2.0, _dollar_saver),
    Shape("btc-miner", 2.0, _miner),
    Shape("lp-farmer", 1.0, _lp_farmer),
    Shape("protective-put", 1.0, _protective_put),
    Shape("short-strangle", 1.0, _short_strangle),
    Shape("ring-fenced", 1.0, _ring_fenced),
    Shape("orders-out", 1.5, _orders_out),
    Shape("isolated-punter", 2.0, _isolated_punter),
    Shape("pair-trader", 1.0, _pair_trader),
    Shape("coin-margined", 1.5, _coin_margined),
    Shape("quanto-trader", 0.5, _quanto_trader),
    Shape("synthetic-carry", 1.0, _synthetic_carry),
    Shape("bridge-arbitrage", 0.5, _bridge_arbitrage),
    Shape("pledged-elsewhere", 0.5, _pledged_elsewhere),
    Shape("calendar-spread", 0.7, _calendar_spread),
    Shape("basket-fund", 1.0, _basket_fund),
    Shape("stale-strike", 0.1, _stale_strike),
)
# The first of each of these has a stated fate, so that a small book shows every verdict.
FATES = {"altcoin-gambler": -0.30, "btc-miner": 0.93, "looped-staked-eth": 1.10,
         "isolated-punter": 0.80, "hedged-perpetual": 2.0, "market-maker": 1.6}  # fmt: skip
