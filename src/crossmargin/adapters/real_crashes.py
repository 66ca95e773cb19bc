"""The finest real bars of a day, from every source the data folder has for it.

In     the data folder and a named day, or two stamps.
Out    a `frames.bars.BarFrame`: per factor and source the finest bars, and prints between them.
Owns   the list of days, which file is which source, and which resolution an hour is taken from.
Never  refuses a bad print (LINK at 0.0001 stays in: the oracle must refuse it); fills an hour.
Signs  prices > 0; volumes >= 0, NaN where a source states none.
Spec   docs/real-data.md, "Bad days, bar by bar"

Prices on Binance are in USDT, taken as one USD. An hour is taken from the finest bars that cover
it whole; bars of two lengths never overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from crossmargin.adapters.real_contracts import MARK
from crossmargin.adapters.real_history import (
    CHAINLINK,
    COINGECKO,
    COMET,
    CRASHES,
    MINUTE_NS,
    ON_COINGECKO,
    PERP,
    SPOT,
    STABLES,
    STAKED,
    SYMBOLS,
    UNISWAP,
    WRAPPED,
    visible,
)
from crossmargin.adapters.real_market import DAY_NS, market_class
from crossmargin.base.arrays import F64
from crossmargin.base.errors import InputInvalid
from crossmargin.frames.bars import BarFrame, bar_faults
from crossmargin.frames.findings import nearest
from crossmargin.frames.history import HOUR_NS

MULTIVENUE = "ohlcv/hourly_perp_multivenue_2025_2026.parquet"
USDE_BLOCKS = "oracle/uniswap_usde_blocks_20251010.parquet"
USDC_DEX = "oracle/usdc_dex_15m_202303.parquet"

# Within a factor the finest bars come first, then this order, then prints.
SOURCES = (
    "binance_spot", "binance_perp", "binance_mark", "bybit_perp", "okx_perp", "kraken_perp",
    "dydx_perp", "hyperliquid_perp", "lighter_perp", "dex", "uniswap", "chainlink", "comet",
    "coingecko",
)  # fmt: skip
MINUTES = {"1m": 1, "5m": 5, "15m": 15}
# A print counts until the next one; the one before the day may be this old (Chainlink: 24 h).
HELD_NS = 26 * HOUR_NS
NAMES = {"USDE": "USDe"}
PRICES = ("open", "high", "low", "close")
COLUMNS = ("factor", "source", "ts_ns", *PRICES, "volume", "bar_seconds")


@dataclass(frozen=True, slots=True)
class CrashDay:
    """A day that happened, in UTC. The worst of its event in our figures stands in the docs."""

    name: str
    first: str
    days: int = 1

    @property
    def start_ns(self) -> int:
        return int(datetime.fromisoformat(f"{self.first}T00:00+00:00").timestamp()) * 10**9

    @property
    def end_ns(self) -> int:
        return self.start_ns + self.days * DAY_NS


CRASH_DAYS = (
    CrashDay("2020-03-12", "2020-03-12"),
    CrashDay("2021-05-19", "2021-05-19"),
    CrashDay("2022-05-luna", "2022-05-11"),
    CrashDay("2022-06-steth", "2022-06-13"),
    CrashDay("2022-11-ftx", "2022-11-08"),
    CrashDay("2023-03-usdc", "2023-03-11"),
    CrashDay("2025-10-10", "2025-10-10"),
)


def crash_day(name: str) -> CrashDay:
    """Return the day of this name; InputInvalid, with the nearest name, where there is none."""
    days = {day.name: day for day in CRASH_DAYS}
    if name not in days:
        raise InputInvalid("day", name, f"be one of {', '.join(days)}", nearest(name, days))
    return days[name]


def crash_bars(shared: Path, name: str) -> BarFrame:
    """Return the finest bars of a named day."""
    day = crash_day(name)
    return real_bars(shared, day.start_ns, day.end_ns)


def real_bars(shared: Path, start_ns: int, end_ns: int) -> BarFrame:
    """Return the finest bars that opened in [start_ns, end_ns) and had closed by its end."""
    span = (start_ns, end_ns)
    candles = pl.concat(
        [_minutes(shared, span), *_hours(shared, span), _dex(shared, span)], how="vertical"
    )
    candles = _finest(pl.concat([candles, _over_base(candles)], how="vertical"))
    if not {"BTC/USD", "ETH/USD"} <= set(candles["factor"]):
        when = np.datetime64(start_ns, "ns").astype("datetime64[m]")
        raise InputInvalid(
            "day", f"{when}Z", "lie where the data folder has bars: from 2017-08-17 on", ""
        )
    prints = _prints(shared, span)
    # A coin nobody has bars of is left out: an hour between prints is no path.
    held = pl.col("factor").is_in(candles["factor"].unique().to_list())
    peg = pl.col("factor").is_in(_kinded(prints["factor"], ("peg", "basis", "bridge")))
    return _frame(pl.concat([candles, prints.filter(held | peg)], how="vertical"))


def _bars(rows: pl.DataFrame, source: str | pl.Expr, seconds: int) -> pl.DataFrame:
    """Columns of `COLUMNS` from candles by symbol: 1000PEPE is a thousand PEPE."""
    units = pl.col("symbol").replace_strict({s: u for s, (_, u) in SYMBOLS.items()}, default=1.0)
    coin = pl.col("symbol").replace({**{s: c for s, (c, _) in SYMBOLS.items()}, **NAMES})
    volume = pl.col("volume") if "volume" in rows.columns else pl.lit(None)
    named = pl.lit(source) if isinstance(source, str) else source
    return rows.select(
        (coin + "/USD").alias("factor"), named.alias("source"),
        (pl.col("stamp_ns") - seconds * 10**9).alias("ts_ns"),
        *((pl.col(name).cast(pl.Float64) / units).alias(name) for name in PRICES),
        (volume.cast(pl.Float64) * units).alias("volume"),
        pl.lit(seconds, pl.Int64).alias("bar_seconds"),
    )  # fmt: skip


def _minutes(shared: Path, span: tuple[int, int]) -> pl.DataFrame:
    parts = []
    for interval, minutes in MINUTES.items():
        own = pl.col("interval") == interval
        rows = visible(shared, CRASHES, span, minutes * MINUTE_NS, own)
        parts.append(_bars(rows, "binance_" + pl.col("market"), minutes * 60))
    return pl.concat(parts)


def _hours(shared: Path, span: tuple[int, int]) -> list[pl.DataFrame]:
    files = {"binance_spot": SPOT, "binance_perp": PERP, "binance_mark": MARK}
    parts = [
        _bars(visible(shared, file, span, HOUR_NS), source, 3_600) for source, file in files.items()
    ]
    # Its rows of Binance are those of the perpetuals' own file.
    others = visible(shared, MULTIVENUE, span, HOUR_NS, pl.col("venue") != "binance")
    return [*parts, _bars(others, pl.col("venue") + "_perp", 3_600)]


def _dex(shared: Path, span: tuple[int, int]) -> pl.DataFrame:
    """A pool of USDC, unnamed in its source: the only bars of USDC while Binance had none.

    Its highs and lows leave out the open, which is the last trade before: they are widened to it.
    """
    rows = visible(shared, USDC_DEX, span, 15 * MINUTE_NS).with_columns(
        symbol=pl.lit("USDC"), low=pl.min_horizontal(*PRICES), high=pl.max_horizontal(*PRICES)
    )
    return _bars(rows, "dex", 900)


def _over_base(candles: pl.DataFrame) -> pl.DataFrame:
    """Wrapped coins as bars of their ratio to the base, hour by hour.

    Open over open, close over close; low over low and high over high, as if both had touched them
    together, and never inside of open and close.
    """
    spot = candles.filter((pl.col("source") == "binance_spot") & (pl.col("bar_seconds") == 3_600))
    parts = []
    for coin, base in WRAPPED.items():
        own = spot.filter(pl.col("factor") == f"{coin}/USD")
        under = spot.filter(pl.col("factor") == f"{base}/USD").select("ts_ns", *PRICES)
        ratio = own.join(under, on="ts_ns", suffix="_base").with_columns(
            pl.lit(f"{coin}/{base}").alias("factor"),
            *(pl.col(name) / pl.col(f"{name}_base") for name in PRICES),
        )
        ratio = ratio.with_columns(low=pl.min_horizontal(*PRICES), high=pl.max_horizontal(*PRICES))
        parts.append(ratio.select(COLUMNS))
    return pl.concat(parts)


def _finest(candles: pl.DataFrame) -> pl.DataFrame:
    """Keep, hour by hour, the finest bars that cover it whole; else the finest there are."""
    wrapped = [f"{coin}/USD" for coin in WRAPPED]
    hour = (pl.col("ts_ns") // HOUR_NS).alias("hour")
    rows = candles.filter(~pl.col("factor").is_in(wrapped)).with_columns(hour)
    key = ["factor", "source", "hour"]
    best = (
        rows.group_by([*key, "bar_seconds"])
        .agg((pl.len() * pl.col("bar_seconds").first() == 3_600).alias("whole"))
        .sort([*key, "whole", "bar_seconds"], descending=[False] * 3 + [True, False])
        .unique(key, keep="first", maintain_order=True)
    )
    return rows.join(best, on=[*key, "bar_seconds"], how="semi").select(COLUMNS)


def _prints(shared: Path, span: tuple[int, int]) -> pl.DataFrame:
    early = (span[0] - HELD_NS, span[1])
    pool = visible(shared, UNISWAP, early)
    blocks = visible(shared, USDE_BLOCKS, early)
    feeds = visible(shared, CHAINLINK, early, 0, pl.col("feed") != "ETH/BTC")
    comet = visible(shared, COMET, early)
    in_eth = comet.filter((pl.col("quote") == "ETH") & pl.col("symbol").is_in(list(STAKED)))
    in_usd = comet.filter((pl.col("quote") == "USD") & ~pl.col("symbol").is_in(["wstETH", "WBTC"]))
    gecko = visible(shared, COINGECKO, early)
    left_out = [s for s in gecko["symbol"].unique() if s in STABLES and s not in ON_COINGECKO]
    plain = gecko.filter(~pl.col("symbol").is_in(["stETH", "WBTC", *left_out]))
    coin = pl.col("symbol").replace({"WETH": "ETH"}) + "/USD"
    parts = (
        _told(pool, pl.lit("USDC/USD"), "uniswap", "usdc_in_usdt"),
        # token1 per token0: USDT for one USDe.
        _told(blocks, pl.lit("USDe/USD"), "uniswap", "token1_price"),
        _told(feeds, pl.col("feed"), "chainlink", "price"),
        _told(in_eth, pl.col("symbol") + "/ETH", "comet", "price"),
        _told(in_usd, coin, "comet", "price"),
        _told(plain, coin, "coingecko", "price_usd"),
        _told(_staked(gecko), pl.lit("stETH/ETH"), "coingecko", "price_usd"),
    )
    return pl.concat([_from_the_last_before(part, span[0]) for part in parts])


def _told(rows: pl.DataFrame, factor: pl.Expr, source: str, price: str) -> pl.DataFrame:
    value = pl.col(price).cast(pl.Float64)
    told = rows.select(
        factor.alias("factor"), pl.lit(source).alias("source"), pl.col("stamp_ns").alias("ts_ns"),
        *(value.alias(name) for name in PRICES), pl.lit(None, pl.Float64).alias("volume"),
        pl.lit(0, pl.Int64).alias("bar_seconds"),
    )  # fmt: skip
    return told.unique(["factor", "ts_ns"], keep="last", maintain_order=True)


def _staked(gecko: pl.DataFrame) -> pl.DataFrame:
    """stETH over the last WETH of at most two hours, at stETH's own stamps."""
    own, under = (
        gecko.filter(pl.col("symbol") == s).select("stamp_ns", "price_usd")
        for s in ("stETH", "WETH")
    )
    pair = own.join_asof(under, on="stamp_ns", tolerance=2 * HOUR_NS, suffix="_eth")
    ratio = pl.col("price_usd").cast(pl.Float64) / pl.col("price_usd_eth").cast(pl.Float64)
    return pair.drop_nulls().with_columns(ratio.alias("price_usd"))


def _from_the_last_before(prints: pl.DataFrame, start_ns: int) -> pl.DataFrame:
    """Drop what a newer print had replaced before the day began."""
    before = pl.col("ts_ns") <= start_ns
    newest = pl.col("ts_ns").filter(before).max().over("factor")
    return prints.filter(~before | (pl.col("ts_ns") == newest))


def _kinded(factors: pl.Series, kinds: tuple[str, ...]) -> list[str]:
    return [f for f in factors.unique().to_list() if market_class(str(f))[0] in kinds]


def _frame(rows: pl.DataFrame) -> BarFrame:
    rank = pl.col("source").replace_strict({s: n for n, s in enumerate(SOURCES)})
    # A print stands behind every bar; a source of mixed lengths where its shortest stands.
    finest = pl.col("bar_seconds").min().over("factor", "source")
    finest = pl.when(finest == 0).then(1_000_000).otherwise(finest)
    rows = rows.with_columns(finest.alias("finest"), rank.alias("rank"))
    rows = rows.sort("factor", "finest", "rank", "ts_ns")
    columns = rows.select("factor", "source").unique(maintain_order=True)
    size = rows.group_by("factor", "source", maintain_order=True).len()["len"].to_numpy()
    open_, high, low, close, volume = (_floats(rows, name) for name in (*PRICES, "volume"))
    bad = np.flatnonzero(bar_faults(open_, high, low, close))
    if len(bad):
        raise InputInvalid(
            "data folder, " + "/".join(map(str, rows.row(int(bad[0]))[:3])),
            rows.row(int(bad[0]))[3:7], "be a bar: 0 < low <= open, close <= high",
            "report the file: its catalogue says there are none",
        )  # fmt: skip
    return BarFrame(
        factors=tuple(columns["factor"]), sources=tuple(columns["source"]),
        kinds=tuple(market_class(f)[0] for f in columns["factor"]),
        classes=tuple(market_class(f)[1] for f in columns["factor"]),
        starts=np.concatenate([[0], np.cumsum(size)]).astype(np.int64),
        ts_ns=rows["ts_ns"].to_numpy(), bar_seconds=rows["bar_seconds"].to_numpy(),
        open=open_, high=high, low=low, close=close, volume=volume,
    )  # fmt: skip


def _floats(rows: pl.DataFrame, name: str) -> F64:
    values: F64 = rows[name].fill_null(float("nan")).to_numpy()
    return values
