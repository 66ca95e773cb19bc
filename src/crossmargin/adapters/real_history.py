"""Hourly history of every factor out of the data folder, as of a stamp.

In     the data folder and a stamp; files as its catalogue describes them (`ts` is a bar's OPEN).
Out    a HistoryFrame whose rows carry the bar's CLOSE; nothing that closed after the stamp is read.
Owns   which file feeds which factor, and which source confirms which.
Never  fills a gap with another factor; writes to the data folder.
Signs  prices > 0.
Spec   docs/real-data.md

Prices of coins are Binance spot in USDT, perpetual closes in the holes; one USDT is taken as one
USD in them. Pegs, bases and bridges have sources of their own. A feed with a heartbeat answers
with its last print for as long as that heartbeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from crossmargin.base.arrays import F64, I64
from crossmargin.base.errors import FileUnreadable, InputInvalid
from crossmargin.frames.history import HOUR_NS, HistoryFrame

SPOT = "ohlcv/hourly_spot_binance.parquet"
PERP = "ohlcv/hourly_perp_binance.parquet"
COINGECKO = "oracle/coingecko_hourly_usd_2021_2023.parquet"
UNISWAP = "oracle/uniswap_v3_usdc_usdt_hourly_2022_2026.parquet"
CHAINLINK = "oracle/chainlink_rounds_mainnet_2022_2024.parquet"
COMET = "oracle/compound_v3_onchain_oracle_hourly_2022_2024.parquet"
CHAINS = "options/deribit_chain_snapshots_2026.parquet"
CRASHES = "ohlcv/crash_windows_intraday.parquet"
SURFACES = "options/deribit_iv_summary_6h_2026.parquet"

MINUTE_NS = HOUR_NS // 60
# 1,000 dates of joint rows and what the volatility recursion needs to forget where it started.
HISTORY_DAYS = 1_500

# Binance symbol -> (asset, units of the symbol in one quote): 1000PEPE is a thousand PEPE.
SYMBOLS = {"1000PEPE": ("PEPE", 1_000.0), "1000SHIB": ("SHIB", 1_000.0)}
STABLES = ("USDT", "USDC", "DAI", "BUSD", "TUSD", "USDP", "FDUSD", "FRAX", "LUSD", "sUSD", "GUSD",
           "UST", "USTC", "SUSD", "FEI", "USDe")  # fmt: skip
ON_BINANCE = ("USDC", "BUSD", "TUSD", "USDP", "FDUSD", "UST", "USTC")
ON_COINGECKO = ("USDT", "USDC", "DAI", "BUSD", "TUSD", "USDP", "FRAX", "LUSD", "sUSD", "GUSD",
                "UST", "FEI")  # fmt: skip
STAKED = ("cbETH", "rETH", "wstETH", "ezETH", "weETH", "osETH", "rsETH", "rswETH")
WRAPPED = {"WBTC": "BTC", "WBETH": "ETH", "BETH": "ETH"}
NOT_COINS = frozenset({*STABLES, *WRAPPED, "EUR"})


@dataclass(frozen=True, slots=True)
class Grid:
    """Hours by columns, being filled: the first source to write a cell keeps it."""

    start_ns: int
    n_hours: int
    close: dict[str, F64]
    low: dict[str, F64]
    high: dict[str, F64]
    second: dict[str, F64]

    def column(self, factor: str) -> None:
        for table in (self.close, self.low, self.high):
            table.setdefault(factor, np.full(self.n_hours, np.nan))

    def put(self, factor: str, stamps: I64, bars: tuple[F64, F64, F64]) -> None:
        """Write (close, low, high) where nothing stands yet; beside a standing cell it confirms."""
        self.column(factor)
        row = (stamps - self.start_ns) // HOUR_NS
        inside = (row >= 0) & (row < self.n_hours) & np.isfinite(bars[0]) & (bars[0] > 0.0)
        row = row[inside]
        close, low, high = (values[inside] for values in bars)
        empty = ~np.isfinite(self.close[factor][row])
        self._confirm(factor, row[~empty], (close[~empty], low[~empty], high[~empty]))
        self.close[factor][row[empty]] = close[empty]
        self.low[factor][row[empty]] = low[empty]
        self.high[factor][row[empty]] = high[empty]

    def _confirm(self, factor: str, row: I64, bars: tuple[F64, F64, F64]) -> None:
        if not len(row):
            return
        second = self.second.setdefault(factor, np.full((3, self.n_hours), np.nan))
        for field, values in enumerate(bars):
            free = ~np.isfinite(second[field, row])
            second[field, row[free]] = values[free]

    def frame(self, vol: dict[str, F64]) -> HistoryFrame:
        """Return the history; factors in alphabetical order, each seen at least once."""
        factors = tuple(sorted(f for f, c in self.close.items() if np.isfinite(c).any()))
        none = np.full((3, self.n_hours), np.nan)
        blank = none[0]
        return HistoryFrame(
            ts_ns=self.start_ns + HOUR_NS * np.arange(self.n_hours, dtype=np.int64),
            factors=factors,
            close=np.column_stack([self.close[f] for f in factors]),
            low=np.column_stack([self.low[f] for f in factors]),
            high=np.column_stack([self.high[f] for f in factors]),
            confirm=np.stack([self.second.get(f, none) for f in factors], axis=2),
            vol=np.column_stack([vol.get(f, blank) for f in factors]) if vol else None,
        )


def real_history(shared: Path, at_ns: int, days: int = HISTORY_DAYS) -> HistoryFrame:
    """Return the hourly history of every factor in the `days` before `at_ns`."""
    last = at_ns // HOUR_NS * HOUR_NS
    n_hours = days * 24 + 1
    grid = Grid(last - (n_hours - 1) * HOUR_NS, n_hours, {}, {}, {}, {})
    span = (grid.start_ns - HOUR_NS, at_ns)
    _coins(grid, shared, span)
    _index_prices(grid, shared, span)
    if not {"BTC/USD", "ETH/USD"} <= set(grid.close):
        when = np.datetime64(at_ns, "ns").astype("datetime64[m]")
        raise InputInvalid(
            "at", f"{when}Z", "lie where the data folder has prices: from 2017-08-17 on", ""
        )
    _pegs(grid, shared, span)
    _bases(grid, shared, span)
    return grid.frame(_surfaces(grid, shared, span))


def visible(
    shared: Path, name: str, span: tuple[int, int], bar_ns: int = 0, by: pl.Expr | None = None
) -> pl.DataFrame:
    """Return a file's rows that were known in `span`: ts + bar_ns in (from, to], oldest first.

    A column `stamp_ns` says from when a row was visible. Every read of prices goes through here.
    """
    path = shared / "data" / name
    if not path.exists():
        raise FileUnreadable(str(path), "nothing", "must be a file of the data folder", "")
    stamp = pl.col("ts").dt.epoch("ns") + bar_ns
    rows = pl.scan_parquet(path).with_columns(stamp.alias("stamp_ns"))
    rows = rows.filter((pl.col("stamp_ns") > span[0]) & (pl.col("stamp_ns") <= span[1]))
    return (rows if by is None else rows.filter(by)).sort("stamp_ns", maintain_order=True).collect()


def coin_of(symbol: str) -> tuple[str, float]:
    """Return (asset, units): the asset behind a Binance symbol and how many one quote is for."""
    return SYMBOLS.get(symbol, (symbol, 1.0))


def _bars(rows: pl.DataFrame, units: float = 1.0) -> tuple[I64, tuple[F64, F64, F64]]:
    columns = (rows[c].cast(pl.Float64).to_numpy() / units for c in ("close", "low", "high"))
    close, low, high = columns
    return rows["stamp_ns"].to_numpy(), (close, low, high)


def _coins(grid: Grid, shared: Path, span: tuple[int, int]) -> None:
    for name in (SPOT, PERP):
        rows = visible(shared, name, span, HOUR_NS, ~pl.col("symbol").is_in(list(NOT_COINS)))
        for (symbol,), bars in rows.group_by("symbol", maintain_order=True):
            coin, units = coin_of(str(symbol))
            grid.put(f"{coin}/USD", *_bars(bars, units))


def _index_prices(grid: Grid, shared: Path, span: tuple[int, int]) -> None:
    """The index in option snapshots carries BTC and ETH where candles end, from the next hour."""
    rows = visible(shared, SURFACES, span)
    for (currency,), group in rows.group_by("currency", maintain_order=True):
        hour = -(-group["stamp_ns"].to_numpy() // HOUR_NS) * HOUR_NS
        grid.put(f"{currency}/USD", hour, _one_price(group["index_price"]))


def _one_price(prices: pl.Series) -> tuple[F64, F64, F64]:
    values = prices.cast(pl.Float64).to_numpy()
    return values, values, values


def _pegs(grid: Grid, shared: Path, span: tuple[int, int]) -> None:
    pool = visible(shared, UNISWAP, span)
    if len(pool):
        grid.put("USDC/USD", pool["stamp_ns"].to_numpy(), _one_price(pool["usdc_in_usdt"]))
    rows = visible(shared, SPOT, span, HOUR_NS, pl.col("symbol").is_in(list(ON_BINANCE)))
    for (symbol,), bars in rows.group_by("symbol", maintain_order=True):
        grid.put(f"{symbol}/USD", *_bars(bars))
    rows = visible(shared, COINGECKO, span, 0, pl.col("symbol").is_in(list(ON_COINGECKO)))
    for (symbol,), group in rows.group_by("symbol", maintain_order=True):
        _held(grid, f"{symbol}/USD", group["stamp_ns"].to_numpy(), group["price_usd"], 2)
    own = (pl.col("symbol") == "USDE") & (pl.col("interval") == "1m")
    minutes = visible(shared, CRASHES, span, MINUTE_NS, own)
    hour = ((pl.col("stamp_ns") - 1) // HOUR_NS + 1) * HOUR_NS
    hours = minutes.group_by(hour.alias("stamp_ns"), maintain_order=True).agg(
        pl.col("close").last(), pl.col("low").min(), pl.col("high").max(), pl.len()
    )
    grid.put("USDe/USD", *_bars(hours.filter(pl.col("len") == 60)))
    usde = visible(shared, COMET, span, 0, pl.col("symbol") == "USDe")
    _held(grid, "USDe/USD", usde["stamp_ns"].to_numpy(), usde["price"], 3)


def _bases(grid: Grid, shared: Path, span: tuple[int, int]) -> None:
    feed = visible(shared, CHAINLINK, span, 0, pl.col("feed") == "stETH/ETH")
    _held(grid, "stETH/ETH", feed["stamp_ns"].to_numpy(), feed["price"], 26)
    rows = visible(shared, COINGECKO, span, 0, pl.col("symbol").is_in(["stETH", "WETH"]))
    _held_ratio(grid, "stETH/ETH", rows, ("stETH", "WETH"), "price_usd")
    comet = visible(shared, COMET, span)
    in_eth = comet.filter(pl.col("quote") == "ETH")
    for name in STAKED:
        own = in_eth.filter(pl.col("symbol") == name)
        _held(grid, f"{name}/ETH", own["stamp_ns"].to_numpy(), own["price"], 3)
    _held_ratio(grid, "wstETH/ETH", comet, ("wstETH", "WETH"), "price")
    rows = visible(shared, SPOT, span, HOUR_NS, pl.col("symbol").is_in(list(WRAPPED)))
    for (symbol,), bars in rows.group_by("symbol", maintain_order=True):
        _over(grid, f"{symbol}/{WRAPPED[str(symbol)]}", _bars(bars), WRAPPED[str(symbol)])
    for name in ("cbBTC", "tBTC"):
        own = in_eth.filter(pl.col("symbol") == name)
        hour, row = _last_prints(grid, own["stamp_ns"].to_numpy(), 3)
        eth = grid.close["ETH/USD"][(hour - grid.start_ns) // HOUR_NS]
        price = own["price"].to_numpy()[row] * eth
        _over(grid, f"{name}/BTC", (hour, (price, price, price)), "BTC")


def _held(grid: Grid, factor: str, stamps: I64, prices: pl.Series, hours: int) -> None:
    """Put an irregular feed: at each full hour its last print, for at most `hours`."""
    hour, row = _last_prints(grid, stamps, hours)
    values = prices.cast(pl.Float64).to_numpy()[row]
    _sampled(grid, factor, hour, values)


def _sampled(grid: Grid, factor: str, hour: I64, values: F64) -> None:
    """Put prices seen once an hour. Beside a standing bar they say nothing of its low and high."""
    grid.column(factor)
    first = ~np.isfinite(grid.close[factor][(hour - grid.start_ns) // HOUR_NS])
    lone = np.where(first, values, np.nan)
    grid.put(factor, hour, (values, lone, lone))


def _last_prints(grid: Grid, stamps: I64, hours: int) -> tuple[I64, I64]:
    """Return (full hours, row of the newest print known then), where one is young enough."""
    hour = grid.start_ns + HOUR_NS * np.arange(grid.n_hours, dtype=np.int64)
    row = np.searchsorted(stamps, hour, side="right") - 1
    if not len(stamps):
        return hour[:0], row[:0]
    young = (row >= 0) & (hour - stamps[np.maximum(row, 0)] <= hours * HOUR_NS)
    return hour[young], row[young]


def _held_ratio(
    grid: Grid, factor: str, rows: pl.DataFrame, pair: tuple[str, str], price: str
) -> None:
    """Put the ratio of two tokens of one feed, both prints at most two hours old."""
    values = []
    for token in pair:
        own = rows.filter(pl.col("symbol") == token)
        hour, row = _last_prints(grid, own["stamp_ns"].to_numpy(), 2)
        column = np.full(grid.n_hours, np.nan)
        column[(hour - grid.start_ns) // HOUR_NS] = own[price].cast(pl.Float64).to_numpy()[row]
        values.append(column)
    ratio = values[0] / values[1]
    hour = grid.start_ns + HOUR_NS * np.arange(grid.n_hours, dtype=np.int64)
    _sampled(grid, factor, hour, ratio)


def _over(grid: Grid, factor: str, bars: tuple[I64, tuple[F64, F64, F64]], base: str) -> None:
    """Put a wrapped coin's bars as a ratio to its base's close of the same hour."""
    hour, prices = bars
    row = (hour - grid.start_ns) // HOUR_NS
    under = grid.close[f"{base}/USD"][row]
    close, low, high = (values / under for values in prices)
    grid.put(factor, hour, (close, low, high))


def _surfaces(grid: Grid, shared: Path, span: tuple[int, int]) -> dict[str, F64]:
    """30-day at-the-money volatility at full hours, from snapshots at most 6 hours old."""
    rows = visible(shared, SURFACES, span)
    out: dict[str, F64] = {}
    for (currency,), group in rows.group_by("currency", maintain_order=True):
        hour, row = _last_prints(grid, group["stamp_ns"].to_numpy(), 6)
        column = np.full(grid.n_hours, np.nan)
        values = group["atm_iv_30d"].cast(pl.Float64).to_numpy()[row]
        column[(hour - grid.start_ns) // HOUR_NS] = values
        out[f"{currency}/USD"] = column
    return out
