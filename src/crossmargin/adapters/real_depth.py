"""Depth as it was: order books, sweeps of trades and quotes for sizes of the data folder.

In     the data folder.
Out    ladders, sweeps and quotes as arrays, market by market.
Owns   which venue counts what: coins, or contracts of so many dollars.
Never  fits; mixes units: a venue whose contracts are not known is left out.
Signs  prices, sizes > 0.
Spec   docs/real-data.md
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from crossmargin.base.arrays import F64

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
# Sizes in coins. Of the others BitMEX and OKX count contracts of many kinds.
COINS = ("binance_spot", "binance_usdm", "bybit", "coinbase", "dydx_v3")
# Sizes in dollars a contract.
DOLLARS = {"binance_coinm": 10.0, "kraken_futures": 1.0}
DOLLARS_BTC = {"binance_coinm": 100.0, "kraken_futures": 1.0}


class Ladder(NamedTuple):
    """One side of one book: block in minutes, levels best first, sizes in coins."""

    market: str
    block: int
    price: F64
    size: F64
    mid: float


class Points(NamedTuple):
    """Costs of amounts met in one block: notional in quote units, fraction of the price."""

    market: str
    block: int
    notional: F64
    impact: F64


def ladders(shared: Path, every_s: int = 10) -> Iterator[Ladder]:
    """Yield both sides of every book, of the second-by-second ones each `every_s` seconds."""
    folder = shared / "data" / "orderbook"
    fast = pl.read_parquet(folder / "binance_l2_top25_1s_20240808.parquet")
    fast = fast.filter(pl.col("ts").dt.epoch("s") % every_s == 0).with_columns(
        pl.col("qty").alias("size"),
        pl.when(pl.col("is_ask") == 1).then(pl.lit("ask")).otherwise(pl.lit("bid")).alias("side"),
    )
    slow = pl.read_parquet(folder / "multivenue_l2_snapshots_2021_2024.parquet")
    columns = ["venue", "symbol", "ts", "side", "level", "price", "size"]
    for table in (fast.select(columns), slow.select(columns)):
        known = table.filter(pl.col("venue").is_in([*COINS, *DOLLARS])).sort(columns[:5])
        for (venue, symbol, ts), book in known.group_by(
            ["venue", "symbol", "ts"], maintain_order=True
        ):
            yield from _sides(str(venue), str(symbol), ts, book)


def _sides(venue: str, symbol: str, ts: object, book: pl.DataFrame) -> Iterator[Ladder]:
    block = int(ts.timestamp()) // 60  # type: ignore[attr-defined]
    sides = {side: book.filter(pl.col("side") == side) for side in ("ask", "bid")}
    if any(not len(side) for side in sides.values()):
        return
    best = [float(side["price"][0]) for side in sides.values()]
    mid = sum(best) / 2.0
    for side in sides.values():
        price = side["price"].cast(pl.Float64).to_numpy()
        size = in_coins(venue, symbol, side["size"].cast(pl.Float64).to_numpy(), price)
        yield Ladder(f"{venue} {symbol}", block, price, size, mid)


def in_coins(venue: str, symbol: str, size: F64, price: F64) -> F64:
    """Return sizes in coins."""
    inverse = venue == "bybit" and not symbol.endswith("USDT")
    if inverse:
        return size / price  # contracts of a dollar
    if venue in COINS:
        return size
    dollars = (DOLLARS_BTC if "BTC" in symbol or "XBT" in symbol else DOLLARS)[venue]
    return size * dollars / price


def sweeps(shared: Path) -> Iterator[Points]:
    """Yield, a minute and market, what taker orders of more than one price paid beyond the first.

    Trades of one millisecond and side are one order that walked the book.
    """
    path = shared / "data" / "trades" / "binance_trades_20240808.parquet"
    trades = pl.read_parquet(path).filter(pl.col("venue").is_in(["binance_spot", "binance_usdm"]))
    trades = trades.sort("venue", "symbol", "trade_id")
    orders = trades.group_by("venue", "symbol", "ts", "aggressor", maintain_order=True).agg(
        pl.col("price").first().alias("first"),
        (pl.col("price") * pl.col("qty")).sum().alias("notional"),
        pl.col("qty").sum().alias("qty"),
    )
    orders = orders.with_columns(
        ((pl.col("notional") / pl.col("qty") / pl.col("first")) - 1.0).abs().alias("impact"),
        (pl.col("ts").dt.epoch("ms") // MINUTE_MS).alias("block"),
    ).filter(pl.col("impact") > 1e-9)
    yield from _blocks(orders, pl.concat_str("venue", "symbol", separator=" "))


def quotes(shared: Path) -> Iterator[Points]:
    """Yield, an hour and pair, what an aggregator of pools quoted for sizes: impact of each.

    Amounts are in the asset sold.
    """
    table = pl.read_parquet(shared / "data" / "orderbook" / "dex_1inch_quotes_202311.parquet")
    rows = table.with_columns(
        pl.col("in_qty").alias("notional"), pl.col("price_impact").alias("impact"),
        (pl.col("ts").dt.epoch("ms") // HOUR_MS).alias("block"),
    ).filter((pl.col("impact") > 1e-6) & (pl.col("impact") < 0.5))  # fmt: skip
    yield from _blocks(rows, pl.concat_str("src", "dst", separator=" to "))


def _blocks(rows: pl.DataFrame, market: pl.Expr) -> Iterator[Points]:
    named = rows.with_columns(market.alias("market")).sort("market", "block")
    for (name, block), own in named.group_by(["market", "block"], maintain_order=True):
        columns = (own[c].cast(pl.Float64).to_numpy() for c in ("notional", "impact"))
        notional, impact = (np.array(c) for c in columns)
        yield Points(str(name), int(str(block)), notional, impact)
