"""Hyperliquid in January 2026 and Aave in February 2026 as books.

In     the data folder; a rulebook to derive the venue's from; our answers as tables.
Out    RealCase and Comparison values.
Owns   what a stated liquidation price says about equity; which Aave accounts can be priced.
Never  hides what it had to assume: inferred rows are marked, left-out accounts counted.
Signs  sizes signed (+ long); loans < 0.
Spec   docs/real-data.md sections 5 and 6

BTC and ETH cost what the index of the nearest option-chain snapshot says; candles end before.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl

from crossmargin.adapters.real_books import Comparison, RealCase, account_file
from crossmargin.adapters.real_history import CHAINS, visible
from crossmargin.adapters.real_market import par, real_market
from crossmargin.domain.rulebook import AssetRules, Bracket, Rulebook, SizeTier
from crossmargin.frames.compile import BookTables
from crossmargin.frames.history import HOUR_NS
from crossmargin.frames.listing import MarketTables

WHALES = "hyperliquid_whale_positions_202601.csv.gz"
BORROWERS = "aave_btc_collateral_borrowers_202602.parquet"
# Hyperliquid asks half of the initial margin at the highest leverage: 40 x BTC, 25 x ETH.
MAINTENANCE = {"BTC": 1.0 / 80.0, "ETH": 1.0 / 50.0}
SNAPSHOTS = {
    "2026-01-04T16:38:40Z": "2026-01-04T16:38:40+00:00",
    "2026-01-25 (commit date)": "2026-01-25T16:00:00+00:00",
}
AAVE_STAMP = "2026-02-24T16:00:00+00:00"
# Liquidation thresholds of the two markets for BTC collateral.
THRESHOLD = {"V3": 0.78, "V2": 0.82}
DOLLARS = (
    "USDC", "USDT", "DAI", "GHO", "BUSD", "sUSD", "GUSD", "TUSD", "FRAX", "USDe", "PYUSD", "PAX",
    "USDtb", "RLUSD", "LUSD", "USDS", "crvUSD", "USDG", "mUSD",
)  # fmt: skip
WRAPPED_BTC = ("WBTC", "cbBTC", "tBTC", "FBTC")
RENAMED = {"wBTC": "WBTC", "WETH": "ETH"}


def nearest_chain_hour(shared: Path, stamp: str) -> int:
    """Return the full hour after the option-chain snapshot nearest to `stamp`: its index counts."""
    at = int(datetime.fromisoformat(stamp).timestamp()) * 10**9
    near = visible(shared, CHAINS, (at - 24 * HOUR_NS, at + 24 * HOUR_NS))["stamp_ns"].unique()
    best = int(min(near.to_list(), key=lambda ns: abs(ns - at)))
    return -(-best // HOUR_NS) * HOUR_NS


def hyperliquid_cases(shared: Path, rules: Rulebook) -> list[RealCase]:
    """Return one case a snapshot; cross rows carry the equity their liquidation price implies."""
    rows = pl.read_csv(account_file(shared, WHALES)).with_columns(
        inferred=pl.col("leverage_type") == "cross",
        maintenance=pl.col("coin").replace_strict(MAINTENANCE, return_dtype=pl.Float64),
        account=pl.col("wallet") + ":" + pl.col("coin"),
    )
    size, liquidation = pl.col("size"), pl.col("liquidation_px")
    # Equity at the liquidation price is the maintenance margin there; balance = equity - P&L.
    implied = pl.col("maintenance") * size.abs() * liquidation - size * (
        liquidation - pl.col("entry_px")
    )
    posted = size.abs() * pl.col("entry_px") / pl.col("leverage")
    rows = rows.with_columns(
        balance=pl.when(pl.col("inferred")).then(implied).otherwise(posted),
    )
    cases = []
    for label, stamp in SNAPSHOTS.items():
        at_ns = nearest_chain_hour(shared, stamp)
        found = rows.filter(pl.col("snapshot") == label)
        market = _with_perpetuals(real_market(shared, at_ns)[0])
        cases.append(_hyperliquid_case(f"Hyperliquid, {label[:10]}", found, market, rules))
    return cases


def _hyperliquid_case(
    name: str, found: pl.DataFrame, market: MarketTables, rules: Rulebook
) -> RealCase:
    prices = {
        str(f).removesuffix("/USD"): float(p)
        for f, p in market.factors.select("factor", "level").iter_rows()
    }
    price = pl.col("coin").replace_strict(prices, return_dtype=pl.Float64)
    equity = pl.col("balance") + pl.col("size") * (price - pl.col("entry_px"))
    found = found.with_columns(price=price, equity_at_price=equity)
    known = pl.col("balance").is_not_null()
    told = found.filter(known & (pl.col("equity_at_price") > 0.0))
    holdings = pl.concat(
        [
            told.select("account", (pl.col("coin") + "-PERP").alias("item"),
                        pl.col("size").alias("quantity"), pl.col("entry_px").alias("entry_price")),
            told.select("account", pl.lit("USD").alias("item"), pl.col("balance").alias("quantity"),
                        pl.lit(None, pl.Float64).alias("entry_price")),
        ]
    ).filter(pl.col("quantity") != 0.0)  # fmt: skip
    return RealCase(
        name, BookTables(holdings, None, None, name), market, hyperliquid_rules(rules), "cross_sum",
        told,
        {"no liquidation price stated": len(found.filter(~known)),
         "stated price and liquidation price contradict each other (implied equity below 0)":
             len(found.filter(known & (pl.col("equity_at_price") <= 0.0)))},
    )  # fmt: skip


def hyperliquid_rules(rules: Rulebook) -> Rulebook:
    """Return a rulebook whose MM of a perpetual is the venue's maintenance margin, nothing else."""
    classes = {
        name: msgspec.structs.replace(risk, range=MAINTENANCE[name])
        for name, risk in rules.classes.items()
        if name in MAINTENANCE
    }
    return msgspec.structs.replace(
        rules, name="hyperliquid", source="maintenance margin 1.25 % BTC, 2 % ETH",
        classes={**rules.classes, **classes},
        margin=msgspec.structs.replace(
            rules.margin, taker_fee=0.0, penalty=0.0, hedged_fraction=0.0, impact_scale=0.0
        ),
        tiers=(SizeTier(float("inf"), 1.0),),
    )  # fmt: skip


def compare_hyperliquid(case: RealCase, answers: pl.DataFrame) -> Comparison:
    """Return how far our liquidation prices lie from the stated ones.

    answers  account, equity, margin_balance_mm, mm. One linear position: buffer_MM is a straight
             line in the price, so the price where it is 0 follows from its value and slope here.
    """
    ours = answers.select("account", "margin_balance_mm", "mm", "equity")
    rows = case.stated.join(ours, on="account")
    size, price = pl.col("size"), pl.col("price")
    slope = size - pl.col("mm") / price
    rows = rows.with_columns(
        our_px=price - (pl.col("margin_balance_mm") - pl.col("mm")) / slope
    ).with_columns(off=(pl.col("our_px") / pl.col("liquidation_px") - 1.0).abs())
    isolated, cross = rows.filter(~pl.col("inferred")), rows.filter(pl.col("inferred"))
    figures = {
        "isolated": float(len(isolated)), "cross_inferred": float(len(cross)),
        "left_out": float(sum(case.left_out.values())),
        "isolated_price_off_median": _quantile(isolated, 0.5),
        "isolated_within_2_percent": _within(isolated, 0.02),
        "isolated_within_5_percent": _within(isolated, 0.05),
        "cross_price_off_max": _quantile(cross, 1.0),
        "equity_over_notional_median": _number(
            rows.select((pl.col("equity") / (size.abs() * price)).median())),
    }  # fmt: skip
    added = isolated.filter(pl.col("off") > 0.05)
    causes = pl.DataFrame(
        {"differs": ["isolated"], "accounts": [len(added)],
         "cause": ["margin was added or withdrawn after the position was opened, or funding paid"]},
        schema={"differs": pl.String, "cause": pl.String, "accounts": pl.Int64},
    )  # fmt: skip
    return Comparison(
        case.name, figures, causes,
        ("isolated equity = entry notional / stated leverage + P&L",
         "cross equity is inferred from the liquidation price, so its price agrees by construction",
         *(f"left out: {n}, {why}" for why, n in case.left_out.items())),
    )  # fmt: skip


def aave_case(shared: Path, rules: Rulebook) -> RealCase:
    """Return the Aave accounts whose collateral is BTC and whose debts can be priced."""
    at_ns = nearest_chain_hour(shared, AAVE_STAMP)
    rows = pl.read_parquet(account_file(shared, BORROWERS)).with_columns(
        account=pl.col("version") + ":" + pl.col("account"),
        collateral=pl.col("collateral_symbol").replace(RENAMED),
        debt=pl.col("borrowed_symbol").replace(RENAMED),
    )
    held = rows.group_by("account", "collateral").agg(pl.col("btc_collateral_tokens").max())
    held = held.filter(pl.col("btc_collateral_tokens") > 0.0)
    # The collateral repeats per borrowed asset, and each debt per collateral.
    owed = rows.group_by("account", "debt").agg(pl.col("borrow_balance_tokens").max())
    known = pl.col("debt").is_in([*DOLLARS, *WRAPPED_BTC, "ETH"])
    strange = owed.filter(~known)["account"].unique()
    backed = held["account"].unique()
    everyone = rows["account"].unique()
    kept = everyone.filter(everyone.is_in(backed.implode()) & ~everyone.is_in(strange.implode()))
    inside = pl.col("account").is_in(kept.implode())
    holdings = pl.concat(
        [
            held.filter(inside).select("account", pl.col("collateral").alias("item"),
                                       pl.col("btc_collateral_tokens").alias("quantity")),
            owed.filter(inside).select("account", pl.col("debt").alias("item"),
                                       (-pl.col("borrow_balance_tokens")).alias("quantity")),
        ]
    ).group_by("account", "item", maintain_order=True).agg(pl.col("quantity").sum())  # fmt: skip
    n_backed = len(backed)
    return RealCase(
        "Aave BTC collateral, 2026-02", BookTables(holdings, None, None, "aave borrowers"),
        _with_dollars(real_market(shared, at_ns)[0]), aave_rules(rules), "cross_sum",
        pl.DataFrame({"account": kept}).with_columns(version=pl.col("account").str.head(2)),
        {"no BTC collateral left (old rows)": len(everyone) - n_backed,
         "a debt that is none of BTC, ETH or dollar stables":
             len(backed.filter(backed.is_in(strange.implode())))},
    )  # fmt: skip


def aave_rules(rules: Rulebook) -> Rulebook:
    """Return a rulebook that counts BTC collateral at Aave V3's threshold and nothing else."""
    keep = THRESHOLD["V3"]
    none = (Bracket(float("inf"), 0.0, 0.0),)
    classes = {
        name: msgspec.structs.replace(
            risk, range=0.0, liquidity=none, surcharge_liquidity_mm=0.0, surcharge_liquidity_im=0.0
        )
        for name, risk in rules.classes.items()
    }
    cut = AssetRules(liquidity=(Bracket(float("inf"), 1.0 - keep, 1.0 - keep),))
    return msgspec.structs.replace(
        rules, name="aave-v3", source="liquidation threshold 0.78 of BTC collateral",
        classes=classes, assets=dict.fromkeys(WRAPPED_BTC, cut),
    )  # fmt: skip


def compare_aave(case: RealCase, answers: pl.DataFrame) -> Comparison:
    """Return what the accounts look like at the venue's threshold; other collateral is not known.

    answers  account, equity, collateral_value, margin_balance_mm
    """
    rows = case.stated.join(answers, on="account", how="left")
    debt = pl.col("collateral_value") - pl.col("margin_balance_mm")
    rows = rows.with_columns(debt=debt, held=pl.col("equity") + debt)
    owing = rows.filter(pl.col("debt") > 1_000.0)
    health = pl.col("collateral_value") / pl.col("debt")
    figures = {
        "accounts": float(len(rows)), "left_out": float(sum(case.left_out.values())),
        "owe_over_1k": float(len(owing)),
        "collateral": _number(rows.select(pl.col("held").sum())),
        "debt": _number(rows.select(pl.col("debt").sum())),
        "health_median": _number(owing.select(health.median())),
        "health_below_1": float(len(owing.filter(health < 1.0))),
        "health_1_to_1_1": float(len(owing.filter((health >= 1.0) & (health < 1.1)))),
    }  # fmt: skip
    below = owing.filter(health < 1.0)
    causes = pl.DataFrame(
        {"differs": ["health below 1"] * 2, "accounts": [
            len(below.filter(pl.col("equity") < 0.0)), len(below.filter(pl.col("equity") >= 0.0))],
         "cause": ["owes more than the BTC is worth: other collateral, which the data leave out",
                   "between threshold and value: other collateral, or a higher mode's threshold"]},
        schema={"differs": pl.String, "cause": pl.String, "accounts": pl.Int64},
    )  # fmt: skip
    return Comparison(
        case.name, figures, causes,
        ("wrapped BTC and dollar stables stand at par: their prints end before this date",
         *(f"left out: {n}, {why}" for why, n in case.left_out.items())),
    )  # fmt: skip


def _with_perpetuals(market: MarketTables) -> MarketTables:
    """Add the venue's perpetuals at the index: the data carry no mark of its own."""
    levels = dict(market.factors.select("factor", "level").iter_rows())
    rows = pl.DataFrame(
        [
            {"instrument": f"{coin}-PERP", "kind": "perpetual", "payoff": "linear",
             "underlying": coin, "quote": "USD", "settle": "USD", "contract_size": 1.0,
             "forward": levels[f"{coin}/USD"], "status": "live"}
            for coin in MAINTENANCE
        ]
    )  # fmt: skip
    names = pl.col("instrument").is_in(rows["instrument"].implode())
    both = pl.concat([market.instruments.filter(~names), rows], how="diagonal")
    return replace(market, instruments=both)


def _with_dollars(market: MarketTables) -> MarketTables:
    """Add wrapped BTC and dollar stables at par where they have no print of their own."""
    have = set(market.factors["factor"])
    factors, assets = [], []
    for name in DOLLARS:
        if f"{name}/USD" not in have:
            factors.append(par(name))
            assets.append(_asset(name, "stablecoin", f"{name}/USD"))
    for name in WRAPPED_BTC:
        factor = f"{name}/BTC"
        if factor not in have:
            at_par = {**par(name), "factor": factor, "kind": "bridge", "class": "bridge_basis"}
            factors.append(at_par)
            assets.append(_asset(name, "bridged", f"BTC/USD*{factor}"))
    return replace(
        market,
        factors=pl.concat([market.factors, pl.DataFrame(factors)], how="diagonal_relaxed"),
        assets=pl.concat([market.assets, pl.DataFrame(assets)], how="diagonal_relaxed"),
    )


def _asset(name: str, asset_class: str, loads: str) -> dict[str, object]:
    return {"asset": name, "class": asset_class, "decimals": 18, "loads": loads, "scale": 1.0}


def _quantile(rows: pl.DataFrame, share: float) -> float:
    return _number(rows.select(pl.col("off").quantile(share)))


def _within(rows: pl.DataFrame, limit: float) -> float:
    return _number(rows.select((pl.col("off") <= limit).mean()))


def _number(one: pl.DataFrame) -> float:
    value = one.item()
    return float("nan") if value is None else float(value)
