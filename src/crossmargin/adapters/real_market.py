"""A market of the data folder at any hour a user names.

In     the data folder and a stamp.
Out    MarketTables (for frames.listing) and the HistoryFrame its joint scenarios come from.
Owns   which factors and assets are alive at a stamp, and how good their prices are.
Never  reads what closed after the stamp; carries a factor without a print in the last week.
Signs  prices > 0; ages and spreads >= 0.
Spec   docs/real-data.md

The numeraire is USD. Prices on Binance are in USDT, taken as one USD; where a feed quotes USDT
itself the factor USDT/USD says what that is worth, else it stands at 1, DEGRADED.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from crossmargin.adapters.real_contracts import chain, perpetuals
from crossmargin.adapters.real_history import STABLES, real_history, visible
from crossmargin.base.arrays import F64
from crossmargin.frames.history import HOUR_NS, HistoryFrame
from crossmargin.frames.listing import MarketTables

DAY_NS = 24 * HOUR_NS
# Prices this old are still prices when data come by the hour or once a day: 12 hours.
STALE_S = 12 * 3_600.0
# A factor whose last print is older is not alive: it gets no row, not a stale one.
ALIVE_NS = 7 * DAY_NS
MAJORS = ("SOL", "XRP", "BNB", "ADA", "LTC", "BCH", "LINK", "AVAX", "DOT", "DOGE")
SYNTHETIC = ("USDe", "UST", "USTC", "FEI", "SUSD", "sUSD", "FRAX")
DECIMALS = {"BTC": 8, "WBTC": 8, "cbBTC": 8, "tBTC": 18, "ETH": 18, "DAI": 18, "USDC": 6, "USDT": 6}
DECIMALS_ELSE = 8
# The stable price follows the price by at most 6 % an hour (spec 8); two days let it catch up.
STABLE_STEP = 0.06
STABLE_HOURS = 48
STABLE_FAR = 9.9
ADV_DAYS = 30
PAR_HALF_WIDTH = 0.002


def real_market(shared: Path, at_ns: int) -> tuple[MarketTables, HistoryFrame]:
    """Return the market of the data folder as of `at_ns`, and the hourly history behind it."""
    history = real_history(shared, at_ns)
    factors = _factors(history, at_ns)
    depth = _depth(shared, at_ns)
    assets = _assets(factors, depth)
    names = frozenset(assets["asset"])
    options, told = chain(shared, at_ns, names)
    instruments = pl.concat([perpetuals(shared, at_ns, names, depth), options], how="diagonal")
    source = f"data folder, hourly bars to {_when(at_ns)}; USDT taken as 1 USD; {told}"
    return MarketTables(at_ns, "USD", source, factors, assets, instruments), history


def market_class(factor: str) -> tuple[str, str]:
    """Return (kind, risk class) of a factor of the data folder."""
    base, _, quote = factor.partition("/")
    if quote == "ETH":
        return "basis", "lst_basis"
    if quote == "BTC":
        return "bridge", "bridge_basis"
    if base in SYNTHETIC:
        return "peg", "synthetic"
    if base in STABLES:
        return "peg", "stablecoin"
    if base in ("BTC", "ETH"):
        return "spot", base
    return "spot", "major" if base in MAJORS else "altcoin"


def _factors(history: HistoryFrame, at_ns: int) -> pl.DataFrame:
    rows = []
    for column, factor in enumerate(history.factors):
        close = history.close[:, column]
        seen = np.flatnonzero(np.isfinite(close))
        last = int(seen[-1])
        age_ns = at_ns - int(history.ts_ns[last])
        if age_ns > ALIVE_NS:
            continue
        kind, risk_class = market_class(factor)
        rows.append(
            {
                "factor": factor, "kind": kind, "class": risk_class, "level": float(close[last]),
                "status": _status(age_ns / 1e9), "half_width": 0.0,
                "stable_price": _stable_price(close[: last + 1]), "age_s": age_ns / 1e9,
                "sigma_daily": _sigma_daily(close[: last + 1]),
            }
        )  # fmt: skip
    if rows and not any(row["factor"] == "USDT/USD" for row in rows):
        rows.append(par("USDT"))
    return pl.DataFrame(rows)


def par(stablecoin: str) -> dict[str, object]:
    """Return the row of a dollar stablecoin nobody quotes at this hour: par, said to be assumed."""
    return {
        "factor": f"{stablecoin}/USD", "kind": "peg", "class": "stablecoin", "level": 1.0,
        "status": "degraded", "half_width": PAR_HALF_WIDTH, "stable_price": 1.0, "age_s": 0.0,
        "sigma_daily": None,
    }  # fmt: skip


def _status(age_s: float) -> str:
    if age_s > STALE_S:
        return "stale"
    return "live" if age_s <= 3_600.0 else "degraded"


def _stable_price(close: F64) -> float:
    """The slow price (spec 8): follows the hourly close by at most 6 % an hour."""
    recent = close[-STABLE_HOURS:]
    recent = recent[np.isfinite(recent)]
    slow = float(recent[0])
    for price in recent[1:]:
        slow = float(np.clip(price, slow * (1.0 - STABLE_STEP), slow * (1.0 + STABLE_STEP)))
    # A market's tables refuse a stable price ten times away: LUNA fell by more in two days.
    return float(np.clip(slow, recent[-1] / STABLE_FAR, recent[-1] * STABLE_FAR))


def _sigma_daily(close: F64) -> float | None:
    """EWMA 0.97 of the last 250 daily log returns; None below 20 of them."""
    daily = np.log(close[::-1][: 251 * 24 : 24][::-1])
    returns = np.diff(daily)
    returns = returns[np.isfinite(returns)]
    if len(returns) < 20:
        return None
    weights = 0.97 ** np.arange(len(returns) - 1, -1, -1)
    return float(np.sqrt((weights * returns**2).sum() / weights.sum()))


def _assets(factors: pl.DataFrame, depth: pl.DataFrame) -> pl.DataFrame:
    rows: list[dict[str, object]] = [_asset("USD", "fiat", "")]
    alive = set(factors["factor"])
    for factor in factors["factor"]:
        base, _, quote = str(factor).partition("/")
        under = f"{quote}/USD"
        if quote == "USD":
            rows.append(_asset(base, _asset_class(str(factor)), str(factor)))
        elif under in alive:
            asset_class = "bridged" if quote == "BTC" else "yield_bearing"
            rows.append(_asset(base, asset_class, f"{under}*{factor}"))
    volumes = depth.filter(pl.col("market") == "spot").rename({"coin": "asset"}).drop("market")
    return pl.DataFrame(rows).join(volumes, on="asset", how="left")


def _asset(name: str, asset_class: str, loads: str) -> dict[str, object]:
    return {
        "asset": name, "class": asset_class, "decimals": DECIMALS.get(name, DECIMALS_ELSE),
        "loads": loads, "scale": 1.0, "venue_total": None,
    }  # fmt: skip


def _asset_class(factor: str) -> str:
    _, risk_class = market_class(factor)
    words = {"BTC": "blue_chip", "ETH": "blue_chip", "major": "altcoin"}
    return words.get(risk_class, risk_class)


def _depth(shared: Path, at_ns: int) -> pl.DataFrame:
    """market, coin, adv (30-day median quote volume of whole days), half_spread (newest book)."""
    span = (at_ns - (ADV_DAYS + 1) * DAY_NS, at_ns)
    days = visible(shared, "ohlcv/daily_binance.parquet", span, DAY_NS, pl.col("n_hours") == 24)
    coin = pl.col("symbol").str.strip_prefix("1000").alias("coin")
    adv = days.group_by("market", coin).agg(
        pl.col("quote_volume").cast(pl.Float64).median().alias("adv")
    )
    books = visible(
        shared, "orderbook/binance_depth_stats_1s_20240808.parquet", (at_ns - 365 * DAY_NS, at_ns)
    )
    books = books.filter(pl.col("venue").is_in(["binance_spot", "binance_usdm"]))
    half = (pl.col("ask") - pl.col("bid")) / pl.col("mid") / 2.0
    spread = books.group_by(
        pl.when(pl.col("venue") == "binance_spot").then(pl.lit("spot")).otherwise(pl.lit("perp"))
        .alias("market"),
        pl.col("symbol").str.strip_suffix("USDT").alias("coin"),
    ).agg(half.median().alias("half_spread"))  # fmt: skip
    return adv.filter(pl.col("adv") > 0.0).join(spread, on=["market", "coin"], how="left")


def _when(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%MZ")
