"""Perpetuals and option chains of the data folder as instrument rows.

In     the data folder, a stamp, the assets alive then.
Out    instrument tables in the columns of frames.terms.
Owns   contract terms of Binance USDT perpetuals and of Deribit's inverse options and futures.
Never  invents a surface: without a chain in the last 12 hours there are no options.
Signs  prices, volatilities and sizes > 0; funding > 0 means longs pay.
Spec   docs/real-data.md
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from crossmargin.adapters.real_history import CHAINS, PERP, coin_of, visible
from crossmargin.frames.history import HOUR_NS

MARK = "derivs/hourly_mark_binance.parquet"
FUNDING = "derivs/funding_events.parquet"
CHAIN_HOURS = 12
# Binance caps a funding payment at 0.75 x the first maintenance rate: 0.4 % for BTC and ETH, else
# 1 %.
FUNDING_CAP = {"BTC": 0.003, "ETH": 0.003}
FUNDING_CAP_ELSE = 0.0075
# An inverse future of Deribit pays 10 USD a contract on BTC, 1 USD on ETH.
FUTURE_SIZE = {"BTC": 10.0, "ETH": 1.0}
QUARTERS = (3, 6, 9, 12)

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "instrument": pl.String, "kind": pl.String, "payoff": pl.String, "underlying": pl.String,
    "quote": pl.String, "settle": pl.String, "contract_size": pl.Float64, "style": pl.String,
    "expiry": pl.Datetime("ns", "UTC"), "strike": pl.Float64, "quanto_rate": pl.Float64,
    "forward": pl.Float64, "iv": pl.Float64, "rate": pl.Float64, "status": pl.String,
    "averaged": pl.Float64, "averaged_share": pl.Float64, "funding_rate": pl.Float64,
    "funding_cap": pl.Float64, "adv": pl.Float64, "half_spread": pl.Float64,
}  # fmt: skip


def perpetuals(
    shared: Path, at_ns: int, assets: frozenset[str], depth: pl.DataFrame
) -> pl.DataFrame:
    """Return Binance's USDT perpetuals that printed in the last two hours.

    The forward is the mark price where there is one, else the perpetual's close; funding is the
    last event of the last day.
    """
    span = (at_ns - 2 * HOUR_NS, at_ns)
    closes = _last(visible(shared, PERP, span, HOUR_NS), "close")
    marks = _last(visible(shared, MARK, span, HOUR_NS), "close")
    day = (at_ns - 24 * HOUR_NS, at_ns)
    events = visible(shared, FUNDING, day, 0, pl.col("venue") == "binance")
    rates = _last(events, "rate")
    volumes = {
        str(coin): (adv, spread)
        for market, coin, adv, spread in depth.select(
            "market", "coin", "adv", "half_spread"
        ).iter_rows()
        if market == "perp"
    }
    rows = []
    for symbol, close in sorted(closes.items()):
        coin, units = coin_of(symbol)
        if coin not in assets or "USDT" not in assets:
            continue
        adv, spread = volumes.get(coin, (None, None))
        rows.append(
            {
                "instrument": f"{coin}-PERP", "kind": "perpetual", "payoff": "linear",
                "underlying": coin, "quote": "USDT", "settle": "USDT", "contract_size": 1.0,
                "forward": marks.get(symbol, close) / units, "status": "live",
                "funding_rate": rates.get(symbol),
                "funding_cap": FUNDING_CAP.get(coin, FUNDING_CAP_ELSE),
                "adv": adv, "half_spread": spread,
            }
        )  # fmt: skip
    return pl.DataFrame(rows, schema=SCHEMA)


def chain(shared: Path, at_ns: int, assets: frozenset[str]) -> tuple[pl.DataFrame, str]:
    """Return Deribit's options and quarterly futures, and a sentence about where they come from."""
    found = visible(shared, CHAINS, (at_ns - CHAIN_HOURS * HOUR_NS, at_ns))
    found = found.filter(pl.col("currency").is_in(list(assets)))
    if not len(found):
        return pl.DataFrame(schema=SCHEMA), (
            f"no option chain in the {CHAIN_HOURS} hours before, so no options and no surface"
        )
    rows = found.filter(pl.col("stamp_ns") == found["stamp_ns"].max())
    at = pl.lit(at_ns).cast(pl.Datetime("ns", "UTC"))
    rows = rows.filter(pl.col("expiry") > at)
    age_ns = at_ns - int(rows["stamp_ns"][0])
    status = "live" if age_ns <= HOUR_NS else "degraded"
    rows = rows.sort("currency", "expiry", "strike", "is_call")
    options = rows.select(
        pl.col("instrument"),
        pl.when("is_call").then(pl.lit("call")).otherwise(pl.lit("put")).alias("kind"),
        *_inverse(),
        pl.lit(1.0).alias("contract_size"),
        pl.lit("premium").alias("style"),
        pl.col("expiry").cast(pl.Datetime("ns", "UTC")),
        pl.col("strike").cast(pl.Float64),
        pl.col("underlying_price").cast(pl.Float64).alias("forward"),
        _positive("mark_iv").alias("iv"),
        pl.lit(0.0).alias("rate"),
        pl.when(_positive("mark_iv").is_null()).then(pl.lit("missing")).otherwise(pl.lit(status))
        .alias("status"),
    )  # fmt: skip
    stamp = datetime.fromtimestamp(int(rows["stamp_ns"][0]) // 10**9, UTC)
    told = f"Deribit chain of {stamp:%Y-%m-%dT%H:%M:%SZ}, {len(options)} options"
    futures = _futures(rows, status)
    return pl.concat([options, futures], how="diagonal"), f"{told}, {len(futures)} futures"


def _futures(rows: pl.DataFrame, status: str) -> pl.DataFrame:
    """Last Fridays of a quarter are futures, and what their options price off is theirs."""
    last_friday = (pl.col("expiry") + pl.duration(days=7)).dt.month() != pl.col("expiry").dt.month()
    quarter = pl.col("expiry").dt.month().is_in(list(QUARTERS)) & last_friday
    quarter = quarter & (pl.col("expiry").dt.weekday() == 5)
    return (
        rows.filter(quarter)
        .group_by("currency", "expiry", maintain_order=True)
        .agg(pl.col("underlying_price").cast(pl.Float64).median().alias("forward"))
        .select(
            (pl.col("currency") + pl.col("expiry").dt.strftime("-%-d%b%y").str.to_uppercase())
            .alias("instrument"),
            pl.lit("future").alias("kind"), *_inverse(),
            pl.col("currency").replace_strict(FUTURE_SIZE, return_dtype=pl.Float64)
            .alias("contract_size"),
            pl.col("expiry").cast(pl.Datetime("ns", "UTC")), "forward",
            pl.lit(status).alias("status"),
        )
    )  # fmt: skip


def _inverse() -> list[pl.Expr]:
    return [
        pl.lit("inverse").alias("payoff"), pl.col("currency").alias("underlying"),
        pl.lit("USD").alias("quote"), pl.col("currency").alias("settle"),
    ]  # fmt: skip


def _positive(name: str) -> pl.Expr:
    value = pl.col(name).cast(pl.Float64)
    return pl.when(value > 0.0).then(value).otherwise(None)


def _last(rows: pl.DataFrame, column: str) -> dict[str, float]:
    """Return symbol -> the newest value; rows come oldest first."""
    newest = rows.group_by("symbol", maintain_order=True).agg(pl.col(column).last())
    return {str(symbol): float(value) for symbol, value in newest.iter_rows() if value is not None}
