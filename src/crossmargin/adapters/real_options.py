"""Deribit's option chains against our own prices: marks, volatilities, deltas, vegas.

In     the data folder and a stamp with a chain in the 12 hours before.
Out    RealCase: an account an expiry that holds one of each option; Comparison tables.
Owns   how Deribit's words (coin price, delta, USD vega) read in ours.
Never  fits a surface: each option is priced at its own stated volatility.
Signs  prices >= 0, in the underlying coin as the venue states them.
Spec   docs/real-data.md section 7
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from crossmargin.adapters.real_books import Comparison, RealCase
from crossmargin.adapters.real_contracts import CHAIN_HOURS
from crossmargin.adapters.real_history import CHAINS, visible
from crossmargin.adapters.real_market import STALE_S, real_market
from crossmargin.base.arrays import B1, F64
from crossmargin.base.errors import InputInvalid
from crossmargin.domain.rulebook import Rulebook
from crossmargin.frames.compile import BookTables
from crossmargin.frames.history import HOUR_NS
from crossmargin.frames.listing import compile_market
from crossmargin.frames.market import YEAR_NS
from crossmargin.kernels.black76 import Options, black76_prices
from crossmargin.margin.valuation import priced

# The catalogue's own repricing at mark_iv over all chains, in coins: median, 99th percentile.
MARK_MEDIAN, MARK_P99 = 1.8e-5, 4.6e-4
# An implied volatility is worth solving for where the time value is not a rounding of the quote.
TIME_VALUE_MIN = 5e-4
VOL_BRACKET = (0.01, 10.0)


def option_case(shared: Path, at_ns: int, rules: Rulebook) -> RealCase:
    """Return one pool an expiry with one of every option; refuse a stamp without a chain."""
    chain = visible(shared, CHAINS, (at_ns - CHAIN_HOURS * HOUR_NS, at_ns))
    if not len(chain):
        raise InputInvalid(
            "at", at_ns, f"must have an option chain in the {CHAIN_HOURS} hours before",
            "chains run from 2025-12-30 to 2026-02-28",
        )  # fmt: skip
    snapshot = int(chain["stamp_ns"].max())  # type: ignore[arg-type]
    market, _ = real_market(shared, snapshot)
    # Candles end before: the index of the chain itself is the price its options were marked at.
    chain = chain.filter(pl.col("stamp_ns") == snapshot)
    index = dict(chain.group_by("currency").agg(pl.col("index_price").median()).iter_rows())
    level = pl.col("factor").str.strip_suffix("/USD").replace_strict(
        {coin: float(price) for coin, price in index.items()}, default=None,
        return_dtype=pl.Float64,
    )  # fmt: skip
    factors = market.factors.with_columns(level=pl.coalesce(level, pl.col("level")))
    market = replace(market, factors=factors, instruments=market.instruments)
    stated = chain.filter(pl.col("instrument").is_in(market.instruments["instrument"].implode()))
    stated = stated.filter(pl.col("mark_iv") > 0.0).with_columns(
        account=pl.col("currency") + ":" + pl.col("expiry").dt.strftime("%Y-%m-%d")
    )
    holdings = stated.select(
        "account", pl.col("instrument").alias("item"), pl.lit(1.0).alias("quantity")
    )
    when = np.datetime64(snapshot, "ns").astype("datetime64[m]")
    return RealCase(
        f"Deribit chain of {when}Z", BookTables(holdings, None, None, "one of every option"),
        market, rules, "cross_sum", stated, {},
    )  # fmt: skip


def compare_options(case: RealCase, answers: pl.DataFrame | None = None) -> Comparison:
    """Return our marks, implied volatilities, deltas and vegas against the venue's.

    answers  account, equity of the case's book: the same marks, through the whole engine
    """
    market, _ = compile_market(case.market, STALE_S, strict=False)
    table, side = market.instruments, priced(market).options
    row_of = {name: row for row, name in enumerate(table.names)}
    rows = np.array([row_of[name] for name in case.stated["instrument"]], dtype=np.int64)
    stated = {
        name: case.stated[name].cast(pl.Float64).to_numpy()
        for name in ("mark_price", "mark_iv", "delta", "vega", "index_price")
    }
    forward = table.forward[rows]
    terms = Options(
        forward, table.strike[rows], market.t_years()[rows], np.ones(len(rows)),
        side.is_call[rows],
    )  # fmt: skip
    mark = side.price[rows] / forward
    mark_off = np.abs(mark - stated["mark_price"])
    vol_off, solved = _implied(terms, stated["mark_price"] * forward, stated["mark_iv"])
    delta_off = np.abs(side.delta[rows] - stated["delta"])
    our_vega = side.vega[rows] / 100.0
    big = stated["vega"] > 1.0
    vega_off = np.abs(our_vega / np.where(big, stated["vega"], 1.0) - 1.0)[big]
    figures = {
        "options": float(len(rows)),
        "mark_off_median_coin": float(np.median(mark_off)),
        "mark_off_p99_coin": float(np.quantile(mark_off, 0.99)),
        "mark_within_catalogue": float(
            np.median(mark_off) <= MARK_MEDIAN and np.quantile(mark_off, 0.99) <= MARK_P99
        ),
        "iv_solved": float(solved.sum()), "iv_off_median": float(np.median(vol_off[solved])),
        "iv_off_p99": float(np.quantile(vol_off[solved], 0.99)),
        "delta_off_median": float(np.median(delta_off)),
        "delta_off_p99": float(np.quantile(delta_off, 0.99)),
        "vega_off_median": float(np.median(vega_off)),
        "vega_off_p99": float(np.quantile(vega_off, 0.99)),
    }  # fmt: skip
    if answers is not None:
        figures.update(_through_the_engine(case, answers))
    far = mark_off > MARK_P99
    near_expiry = market.t_years()[rows] < 2.0 / 365.0
    causes = pl.DataFrame(
        {"differs": ["mark"] * 2,
         "cause": ["two days or less to expiry: index, forward and clock of one snapshot differ",
                   "deep in the money: forward of the snapshot and of the mark differ"],
         "accounts": [int((far & near_expiry).sum()), int((far & ~near_expiry).sum())]},
        schema={"differs": pl.String, "cause": pl.String, "accounts": pl.Int64},
    )  # fmt: skip
    notes = (
        "marks in coins; volatilities in fractions a year; vega relative, above 1 USD a point",
    )
    return Comparison(case.name, figures, causes, notes)


def pooled_mark_errors(shared: Path) -> dict[str, float]:
    """Return our mark errors in coins over every chain of the folder, priced at mark_iv."""
    rows = visible(shared, CHAINS, (0, 2**62)).filter(pl.col("mark_iv") > 0.0)
    years = (pl.col("expiry").dt.epoch("ns") - pl.col("stamp_ns")) / YEAR_NS
    rows = rows.with_columns(years=years).filter(pl.col("years") > 0.0)
    forward, strike, iv, mark, t_years = (
        rows[name].cast(pl.Float64).to_numpy()
        for name in ("underlying_price", "strike", "mark_iv", "mark_price", "years")
    )
    terms = Options(forward, strike, t_years, np.ones(len(rows)), rows["is_call"].to_numpy())
    off = np.abs(black76_prices(terms, iv, threads=1) / forward - mark)
    return {
        "chains": float(rows["stamp_ns"].n_unique()), "options": float(len(rows)),
        "mark_off_median_coin": float(np.median(off)),
        "mark_off_p99_coin": float(np.quantile(off, 0.99)),
    }  # fmt: skip


def _implied(terms: Options, price: F64, near: F64) -> tuple[F64, B1]:
    """Return |implied - stated| volatility and where it was solved: by bisection on our price."""
    low, high = (np.full(len(price), v) for v in VOL_BRACKET)
    intrinsic = np.maximum(
        np.where(terms.is_call, terms.forward - terms.strike, terms.strike - terms.forward), 0.0
    )
    solved = (price - intrinsic) > TIME_VALUE_MIN * terms.forward
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = black76_prices(terms, middle, threads=1) > price
        high, low = np.where(above, middle, high), np.where(above, low, middle)
    return np.abs(0.5 * (low + high) - near), solved


def _through_the_engine(case: RealCase, answers: pl.DataFrame) -> dict[str, float]:
    """Equity of each pool over the sum of the venue's marks at the index."""
    worth = (pl.col("mark_price").cast(pl.Float64) * pl.col("index_price").cast(pl.Float64)).sum()
    sums = case.stated.group_by("account").agg(worth.alias("worth"))
    off = sums.join(answers.select("account", "equity"), on="account").select(
        (pl.col("equity") / pl.col("worth") - 1.0).abs().alias("off")
    )["off"]
    return {"pools": float(len(off)), "pool_equity_off_max": float(off.max())}  # type: ignore[arg-type]
