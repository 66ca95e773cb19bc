"""Generated books: a few hundred recognisable accounts, or columns by the million.

In     a seed or Generator, a `World` or `MarketFrame`, how many accounts or pools.
Out    `BookTables` as the file loaders would have read them; `BookFrame`, `MarketFrame`.
Owns   how many of which shape, how close to danger, and the rounding to exact decimals.
Never  computes a requirement; holds more than a chunk of pools beside its outputs.
Signs  quantity > 0 owned or long, < 0 owed or short.
Spec   docs/generator.md
"""

from __future__ import annotations

import numpy as np
import polars as pl

from crossmargin.base.arrays import F64, I8, I32, I64
from crossmargin.domain.instruments import KindCode, PayoffCode
from crossmargin.frames.book import BookFrame, plain_book
from crossmargin.frames.compile import BookTables
from crossmargin.frames.market import (
    YEAR_NS,
    AssetTable,
    FactorTable,
    InstrumentTable,
    MarketFrame,
    Status,
    asset_prices,
)
from crossmargin.simulation.shapes import FATES, SHAPES, Draft, Pool, View
from crossmargin.simulation.worlds import World


def book(seed: int | np.random.Generator, world: World, n_accounts: int) -> BookTables:
    """Return `n_accounts` accounts: every shape once, then by weight. Names are shape-number."""
    generator = np.random.default_rng(seed)
    view = View(world)
    weights = np.array([s.weight for s in SHAPES])
    later = generator.choice(
        len(SHAPES), max(n_accounts - len(SHAPES), 0), p=weights / weights.sum()
    )
    rows = _Rows()
    seen: dict[str, int] = {}
    for pick in [*range(min(n_accounts, len(SHAPES))), *later.tolist()]:
        shape = SHAPES[pick]
        seen[shape.name] = seen.get(shape.name, 0) + 1
        health = _health(generator)
        if seen[shape.name] == 1:
            health = FATES.get(shape.name, health)
        usd = float(np.exp(generator.normal(np.log(4e5), 1.2)))
        pools = shape.draft(Draft(generator, view, usd, health))
        rows.add(f"{shape.name}-{seen[shape.name]:03d}", pools)
    return rows.tables()


def _health(generator: np.random.Generator) -> float:
    """Nine in ten comfortable or close, some below the line, few under water."""
    u = float(generator.random())
    for share, low, high in ((0.01, -0.4, -0.05), (0.07, 0.6, 0.98), (0.17, 1.01, 1.24)):
        if u < share:
            return float(generator.uniform(low, high))
    return float(1.3 + generator.exponential(0.9))


class _Rows:
    """Columns being filled; quantities become exact decimal strings here."""

    def __init__(self) -> None:
        self.holdings: list[tuple[str, str, str, str, str | None]] = []
        self.pools: list[tuple[str, str, str, str | None, str, str]] = []
        self.orders: list[tuple[str, str, str, str, str, bool]] = []

    def add(self, account: str, pools: list[Pool]) -> None:
        for pool in pools:
            limit = None if pool.draw_limit is None else decimal(pool.draw_limit, 2)
            drawn, last = decimal(pool.drawn, 2), decimal(pool.last_draw, 2)
            self.pools.append((account, pool.pool, pool.method, limit, drawn, last))
            for item, quantity, entry in pool.holdings:
                amount = decimal(quantity, _places(item))
                if float(amount) != 0.0:
                    price = None if entry is None else decimal(entry, 6)
                    self.holdings.append((account, pool.pool, item, amount, price))
            for item, quantity, limit_price, reduce_only in pool.orders:
                amount, price = decimal(quantity, _places(item)), decimal(limit_price, 2)
                self.orders.append((account, pool.pool, item, amount, price, reduce_only))

    def tables(self) -> BookTables:
        text = dict.fromkeys(("account", "pool", "item", "quantity", "entry_price"), pl.String)
        pools = ("account", "pool", "method", "draw_limit", "drawn", "last_draw")
        orders = ("account", "pool", "item", "quantity", "limit_price")
        return BookTables(
            holdings=pl.DataFrame(self.holdings, schema=text, orient="row"),
            pools=pl.DataFrame(self.pools, schema=dict.fromkeys(pools, pl.String), orient="row"),
            orders=pl.DataFrame(
                self.orders,
                schema=dict.fromkeys(orders, pl.String) | {"reduce_only": pl.Boolean},
                orient="row",
            ),
            source="generated book",
        )


def decimal(value: float, places: int) -> str:
    """Return the value as a plain decimal of at most so many places."""
    text = f"{value:.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _places(item: str) -> int:
    """Cents for dollars, whole contracts for inverse and quanto, four places for the rest."""
    if item in ("USD", "USDT", "USDC", "DAI", "USDe"):
        return 2
    if item in ("BTCUSD-PERP", "ETHUSD-PERP", "ETHUSD-QUANTO-BTC"):
        return 0
    return 4


CHUNK_POOLS = 262_144  # rows in flight: some 40 MB beside the outputs


def columns(
    generator: np.random.Generator,
    market: MarketFrame,
    n_pools: int,
    mean_holdings: float = 8.0,
    method: str = "cross_correlated",
) -> BookFrame:
    """Return `n_pools` pools of one shared pool each, in columns: for benches and batches.

    Holdings a pool: Poisson(mean_holdings), at least 1, at most the items there are. A pool's items
    differ and ascend: its h holdings fall one into each of h equal strips of the item space, so
    the low rows, which are assets, come first and every pool has something to stand on.
    Sizes are lognormal in USD; assets are owned (nine in ten, and larger) or owed, instruments
    long or short with equal odds and entered within a few percent of the mark.
    """
    n_items = market.n_items
    counts = np.clip(generator.poisson(mean_holdings, n_pools), 1, n_items)
    pool_starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    item = np.empty(pool_starts[-1], np.int32)
    quantity = np.empty(pool_starts[-1])
    entry_price = np.full(pool_starts[-1], np.nan)
    unit, entered = unit_usd(market), _entered(market)
    for first in range(0, n_pools, CHUNK_POOLS):
        held = counts[first : first + CHUNK_POOLS]
        rows = slice(pool_starts[first], pool_starts[min(first + CHUNK_POOLS, n_pools)])
        many = np.repeat(held, held)
        place = np.arange(len(many)) - np.repeat(np.cumsum(held) - held, held)
        # Whole-numbered strips, so that no two holdings of a pool can meet at a border.
        low, high = place * n_items // many, (place + 1) * n_items // many
        item[rows] = low + (generator.random(len(many)) * (high - low)).astype(np.int64)
        quantity[rows] = _quantities(generator, item[rows], unit, market.n_assets)
        marks = entered[item[rows]]
        entry_price[rows] = marks * np.exp(0.03 * generator.standard_normal(len(many)))
    return plain_book(pool_starts, item, quantity, entry_price, method)


def _quantities(generator: np.random.Generator, item: I32, unit: F64, n_assets: int) -> F64:
    usd = np.exp(generator.normal(np.log(2e4), 1.0, len(item)))
    asset = item < n_assets
    negative = generator.random(len(item)) < np.where(asset, 0.1, 0.5)
    usd *= np.where(asset & ~negative, 3.0, 1.0)
    signed: F64 = np.where(negative, -usd, usd) / unit[item]
    return signed


def unit_usd(market: MarketFrame) -> F64:
    """(n_items,) notional of one coin or contract, numeraire."""
    price, table = asset_prices(market), market.instruments
    spot = table.contract_size * price[table.underlying]
    inverse = (table.payoff == PayoffCode.INVERSE) & (table.kind <= KindCode.FUTURE)
    unit: F64 = np.concatenate([price, np.where(inverse, table.contract_size, spot)])
    return unit


def _entered(market: MarketFrame) -> F64:
    """(n_items,) mark of futures and perpetuals, near which they were entered; else NaN."""
    kind = market.instruments.kind
    dated = (kind == KindCode.PERPETUAL) | (kind == KindCode.FUTURE)
    marks = np.where(dated, market.instruments.forward, np.nan)
    out: F64 = np.concatenate([np.full(market.n_assets, np.nan), marks])
    return out


WIDE_MAJORS = 10


def wide_market(
    generator: np.random.Generator,
    n_assets: int,
    n_instruments: int,
    at_ns: int,
    option_share: float = 0.0,
) -> MarketFrame:
    """Return a large made-up market: a numeraire, dollar coins, BTC, ETH, majors, altcoins; one
    factor each, linear perpetuals on them in turn, and a share of linear options on the first ten.
    """
    assert n_assets >= 16
    assert 0.0 <= option_share <= 1.0
    stable = ["USDT", "USDC", "DAI"]
    coins = ["BTC", "ETH"] + [f"C{i:04d}" for i in range(n_assets - 6)]
    classes = ["stablecoin"] * 3 + ["BTC", "ETH"] + ["major"] * WIDE_MAJORS
    classes += ["altcoin"] * (n_assets - 1 - len(classes))
    n = n_assets - 1
    level = np.concatenate([np.ones(3), [90_000.0, 3_000.0], _lognormal(generator, n - 5, 5.0, 2)])
    sigma = np.array(
        [{"stablecoin": 0.001, "BTC": 0.028, "ETH": 0.037}.get(c, 0.05) for c in classes]
    )
    factors = FactorTable(
        names=tuple(f"{c}/USD" for c in stable + coins),
        kinds=("peg",) * 3 + ("spot",) * (n - 3), classes=tuple(classes), level=level,
        status=np.full(n, Status.LIVE, np.int8), half_width=np.full(n, 0.0005),
        stable_price=level * np.exp(0.002 * generator.standard_normal(n)),
        age_s=generator.uniform(0.1, 2.0, n), sigma_daily=sigma,
    )  # fmt: skip
    rank = np.arange(1.0, n_assets)
    assets = AssetTable(
        names=("USD", *stable, *coins),
        asset_classes=("fiat", *("stablecoin",) * 3, *("blue_chip",) * 2, *("altcoin",) * (n - 5)),
        decimals=np.full(n_assets, 8, np.int64), scale=np.ones(n_assets),
        load_starts=np.concatenate([[0], np.arange(n_assets)]).astype(np.int64),
        load_factor=np.arange(n, dtype=np.int32), load_exponent=np.ones(n),
        adv=np.concatenate([[1e10], 2e9 / rank]),
        half_spread=np.concatenate([[0.0], 1e-4 * np.sqrt(rank)]),
        venue_total=np.full(n_assets, np.nan),
    )  # fmt: skip
    instruments = _wide_instruments(generator, level, n_instruments, (at_ns, option_share))
    return MarketFrame(at_ns, "USD", "generated wide market", factors, assets, instruments)


def _wide_instruments(
    generator: np.random.Generator, level: F64, m: int, when: tuple[int, float]
) -> InstrumentTable:
    """Perpetuals first, then options; all settle in USDC, asset row 2."""
    at_ns, option_share = when
    n_options = round(m * option_share)
    option = np.arange(m) >= m - n_options
    coins = len(level) - 3
    underlying = np.where(option, 4 + np.arange(m) % 10, 4 + np.arange(m) % coins).astype(np.int32)
    price = level[underlying - 1] / level[1]
    years = np.where(option, generator.choice([7, 14, 30, 60, 90, 180, 365], m) / 365.0, 0.0)
    vol = np.where(option, generator.uniform(0.4, 1.0, m), np.nan)
    strike = price * np.exp(0.6 * np.sqrt(years) * generator.normal(0.0, 1.0, m))
    kind = np.where(
        option, generator.integers(KindCode.CALL, KindCode.PUT + 1, m), KindCode.PERPETUAL
    )
    codes: I8 = kind.astype(np.int8)
    expiry: I64 = np.where(option, at_ns + (years * YEAR_NS).astype(np.int64), 0)
    nan = np.full(m, np.nan)
    words = {KindCode.PERPETUAL: "PERP", KindCode.CALL: "C", KindCode.PUT: "P"}
    return InstrumentTable(
        names=tuple(f"X{i:05d}-{words[KindCode(k)]}" for i, k in enumerate(codes.tolist())),
        kind=codes, payoff=np.zeros(m, np.int8), style=np.zeros(m, np.int8),
        underlying=underlying, quote=np.full(m, 2, np.int32), settle=np.full(m, 2, np.int32),
        contract_size=np.ones(m), quanto_rate=nan, expiry_ns=expiry,
        strike=np.where(option, strike, np.nan),
        forward=price * np.exp(0.0003 * generator.standard_normal(m) + 0.03 * years),
        iv=vol, rate=np.where(option, 0.0, np.nan), status=np.full(m, Status.LIVE, np.int8),
        averaged=nan, averaged_share=np.zeros(m),
        funding_rate=np.where(option, np.nan, generator.normal(6e-5, 1e-4, m)),
        funding_cap=np.where(option, np.nan, 0.02), adv=nan, half_spread=nan,
    )  # fmt: skip


def _lognormal(generator: np.random.Generator, n: int, median: float, spread: float) -> F64:
    out: F64 = median * np.exp(spread * generator.standard_normal(n))
    return out
