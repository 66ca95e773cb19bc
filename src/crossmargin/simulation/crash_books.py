"""The venue a crash happens to: a market of the day's factors, and accounts that lean on it.

In     a BarFrame of the day; a prepared market, a Generator, how many accounts.
Out    `MarketTables` at the day's first price; a `BookFrame` of pools with the healths asked for.
Owns   what a generated account holds, and the dollars that put its health where it was drawn.
Never  guesses a health: the requirement is asked once, the dollars follow from it exactly.
Signs  quantity > 0 owned or long, < 0 owed or short.
Spec   docs/generator.md, "A book for a bad day"
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from crossmargin.base.arrays import F64, I64
from crossmargin.domain.instruments import KindCode
from crossmargin.frames.bars import SECOND_NS, BarFrame
from crossmargin.frames.book import BookFrame, plain_book
from crossmargin.frames.listing import MarketTables
from crossmargin.frames.market import Status, asset_prices, asset_status
from crossmargin.margin.prepared import Market
from crossmargin.methods.registry import assess
from crossmargin.simulation.books import unit_usd

NUMERAIRE = "USD"
ASSET_CLASS = {"BTC": "blue_chip", "ETH": "blue_chip", "major": "altcoin",
               "lst_basis": "yield_bearing", "bridge_basis": "bridged"}  # fmt: skip
DECIMALS = 8

# Health of the 981 accounts of Compound v2 on 2023-05-09 that owe over 1,000 USD and stand between
# 1.02 and 3: their quantiles, drawn by straight lines between them.
HEALTH_AT = (0.0, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 1.0)
HEALTH = (1.02, 1.108, 1.153, 1.311, 1.712, 2.132, 2.575, 3.0)

METHODS = ("cross_correlated", "cross_sum", "isolated")
METHOD_SHARES = (0.5, 0.3, 0.2)
HOLDINGS = (2, 8)  # the dollars and one to seven others; isolated pools have one other
OWED_SHARE, LONG_SHARE = 0.15, 0.65  # assets that are borrowed; positions that are long
USD_MEDIAN, USD_SPREAD = 2e4, 1.2


def crash_market(bars: BarFrame, at_ns: int, source: str) -> MarketTables:
    """Return the market at `at_ns`: every factor with a price then, a perpetual on every coin.

    The level is the open of a bar that starts then, else the last print or close before. Factors
    come from their first column that has one. Depth is the rulebook's: a day does not know its own.
    """
    found = {f: price for f in dict.fromkeys(bars.factors) if (price := _level(bars, f, at_ns))}
    of = {f: bars.factors.index(f) for f in found}
    factors = pl.DataFrame(
        {
            "factor": list(found), "kind": [bars.kinds[of[f]] for f in found],
            "class": [bars.classes[of[f]] for f in found], "level": list(found.values()),
            "status": ["live"] * len(found), "half_width": [0.0] * len(found),
            "stable_price": list(found.values()), "age_s": [0.0] * len(found),
        }
    )  # fmt: skip
    assets, coins = [_asset(NUMERAIRE, "fiat", "")], []
    for factor in found:
        base, _, quote = factor.partition("/")
        risk_class = bars.classes[of[factor]]
        loads = factor if quote == NUMERAIRE else f"{quote}/{NUMERAIRE}*{factor}"
        if quote == NUMERAIRE or f"{quote}/{NUMERAIRE}" in found:
            assets.append(_asset(base, ASSET_CLASS.get(risk_class, risk_class), loads))
        if bars.kinds[of[factor]] == "spot":
            coins.append((base, found[factor]))
    instruments = pl.DataFrame(
        {
            "instrument": [f"{coin}-PERP" for coin, _ in coins],
            "kind": ["perpetual"] * len(coins), "payoff": ["linear"] * len(coins),
            "underlying": [coin for coin, _ in coins], "quote": [NUMERAIRE] * len(coins),
            "forward": [level for _, level in coins], "status": ["live"] * len(coins),
        }
    )  # fmt: skip
    return MarketTables(at_ns, NUMERAIRE, source, factors, pl.DataFrame(assets), instruments)


def _asset(name: str, asset_class: str, loads: str) -> dict[str, object]:
    return {"asset": name, "class": asset_class, "decimals": DECIMALS, "loads": loads}


def _level(bars: BarFrame, factor: str, at_ns: int) -> float:
    """Return the factor's price at a stamp from its first column that has one; 0 for none."""
    for column in (k for k in range(bars.n_columns) if bars.factors[k] == factor):
        rows = bars.rows(column)
        before = rows.start + int(np.searchsorted(bars.ts_ns[rows], at_ns, side="right")) - 1
        if before < rows.start:
            continue
        if bars.ts_ns[before] == at_ns:
            return float(bars.open[before])
        if bars.ts_ns[before] + bars.bar_seconds[before] * SECOND_NS <= at_ns:
            return float(bars.close[before])
    return 0.0


def healths(rng: np.random.Generator, n: int) -> F64:
    """Return (n,) healths as they were seen at a lender, between 1.02 and 3."""
    drawn: F64 = np.interp(rng.random(n), HEALTH_AT, HEALTH)
    return drawn


def crash_book(
    rng: np.random.Generator, market: Market, health: F64, threads: int | None = None
) -> BookFrame:
    """Return one pool an account with these healths (n,), >= 0, under the market's own rulebook.

    Isolated pools hold dollars and one coin or perpetual, the others dollars and one to seven
    items: coins owned or owed, perpetuals long or short, entered at the mark. Dollars come last:
    they are charged nothing, so the amount that makes equity = health x charge is known; below zero
    it is a loan. Rows whose price is bad are not held.
    """
    n = len(health)
    method = rng.choice(len(METHODS), n, p=METHOD_SHARES)
    counts = np.where(
        method == METHODS.index("isolated"), 2, rng.integers(*HOLDINGS, n, endpoint=True)
    )
    item, quantity, entry, starts = _holdings(rng, market, counts)
    book = plain_book(starts, item.astype(np.int32), quantity, entry, METHODS[0])
    book = replace(book, method=method.astype(np.int8), method_names=METHODS)
    frame = assess(book, market, threads)
    quantity[starts[:-1]] += health * frame.charge_mm - frame.equity
    # Two collaterals and no debt are no isolated pool; without a position both charge alike.
    second = starts[:-1] + 1
    owned = (item[second] < market.frame.n_assets) & (quantity[second] > 0.0)
    free = (method == METHODS.index("isolated")) & owned & (quantity[starts[:-1]] > 0.0)
    return replace(book, method=np.where(free, METHODS.index("cross_sum"), method).astype(np.int8))


def _holdings(rng: np.random.Generator, market: Market, counts: I64) -> tuple[I64, F64, F64, I64]:
    """Return (item, quantity, entry_price, starts): the dollars of a pool first, one owed."""
    rows = _held_items(market)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    many = np.repeat(counts - 1, counts)
    place = np.arange(len(many)) - np.repeat(starts[:-1], counts) - 1  # -1: the dollars
    # Whole-numbered strips of the items: those of a pool differ and ascend.
    low = np.maximum(place, 0) * len(rows) // many
    high = (np.maximum(place, 0) + 1) * len(rows) // many
    item = rows[low + (rng.random(len(many)) * (high - low)).astype(np.int64)]
    asset = item < market.frame.n_assets
    usd = np.exp(rng.normal(np.log(USD_MEDIAN), USD_SPREAD, len(many)))
    positive = rng.random(len(many)) < np.where(asset, 1.0 - OWED_SHARE, LONG_SHARE)
    quantity = np.where(positive, usd, -usd) / unit_usd(market.frame)[item]
    marks = np.concatenate(
        [np.full(market.frame.n_assets, np.nan), market.frame.instruments.forward]
    )
    entry = marks[item]
    item[starts[:-1]] = market.frame.assets.names.index(NUMERAIRE)
    quantity[starts[:-1]], entry[starts[:-1]] = -1.0, np.nan
    return item, quantity, entry, starts


def _held_items(market: Market) -> I64:
    """Return the item rows an account may hold: priced coins and perpetuals, never the dollars."""
    frame = market.frame
    good = asset_status(frame) >= Status.DEGRADED
    assets = good & np.isfinite(asset_prices(frame))
    assets[frame.assets.names.index(NUMERAIRE)] = False
    table = frame.instruments
    traded = (table.kind == KindCode.PERPETUAL) & (table.status >= Status.DEGRADED)
    return np.flatnonzero(np.concatenate([assets, traded & good[table.underlying]]))
