"""Compound v2 on 2023-05-09 as a book: 7,741 accounts, and how our answers compare with theirs.

In     the data folder; a rulebook to derive theirs from; our answers as a table.
Out    RealCase values (book, market, rulebook, what was stated); Comparison tables.
Owns   how Compound's collateral factors read as haircuts, and the causes of differences.
Never  tunes a number until it fits: what differs is counted by cause.
Signs  balances and loans as in the book: owed < 0; ratios of stated figures.
Spec   docs/real-data.md section 4

The numeraire is ETH, as in the data. A cToken is an asset whose price is its risk-weighted value
over its collateral factor, so a haircut of one less that factor gives the stated weight back. A
loan is a stored balance (before the latest interest) at the price the data state.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import msgspec
import polars as pl

from crossmargin.base.errors import FileUnreadable
from crossmargin.domain.rulebook import AssetRules, Bracket, RiskClass, Rulebook
from crossmargin.frames.compile import BookTables
from crossmargin.frames.listing import MarketTables

COMPOUND_AT_NS = 1_683_590_400 * 10**9  # 2023-05-09T00:00Z
# Collateral factors of the protocol that month. Only their product with the price enters.
FACTORS = {
    "cAAVE": 0.73, "cBAT": 0.65, "cCOMP": 0.65, "cDAI": 0.835, "cETH": 0.825, "cLINK": 0.79,
    "cSUSHI": 0.73, "cUNI": 0.75, "cUSDC": 0.855, "cWBTC": 0.70, "cYFI": 0.80, "cZRX": 0.65,
}  # fmt: skip
EQUAL = 1e-6
CLOSE = 0.02
OWES_ETH = 1_000.0 / 1_850.0  # "owes over $1k": ETH stood near $1,850
DUST_ETH = 1e-12
# Stated weight of the newer cWBTC over the older: every account with older ones alone shows it.
OLDER_WBTC = 1.199912
NO_PRICE = "a loan in a market without a price in the data: UNPRICED"


@dataclass(frozen=True, slots=True)
class RealCase:
    """A book as it was, its market, the rules to judge it by, and what its venue said of it.

    stated    one row an account, in the venue's words
    left_out  reason -> how many accounts are not in the book
    """

    name: str
    book: BookTables
    market: MarketTables
    rulebook: Rulebook
    method: str
    stated: pl.DataFrame
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """figures: name -> value; causes: what explains the rest, one row a cause."""

    name: str
    figures: dict[str, float]
    causes: pl.DataFrame
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        # What could not be measured has no figure: a NaN is not one.
        known = {name: value for name, value in self.figures.items() if value == value}
        object.__setattr__(self, "figures", known)
        object.__setattr__(self, "causes", self.causes.filter(pl.col("accounts") > 0))


def account_file(shared: Path, name: str) -> Path:
    """Return the path of a file of the accounts folder, or say that it is not there."""
    path = shared / "data" / "accounts" / name
    if not path.exists():
        raise FileUnreadable(str(path), "nothing", "must be a file of the data folder", "")
    return path


def compound_case(shared: Path, rules: Rulebook) -> RealCase:
    """Return the Compound v2 accounts of 2023-05-09 under rules that say what Compound's said."""
    weights = pl.read_csv(account_file(shared, "compound_v2_market_weights_20230509.csv"))
    positions = pl.read_parquet(account_file(shared, "compound_v2_positions_20230509.parquet"))
    stated = pl.read_parquet(account_file(shared, "compound_v2_accounts_20230509.parquet"))
    held = positions.filter(
        (pl.col("ctoken_balance") > 0.0) & pl.col("ctoken").is_in(list(FACTORS))
    )
    owed = positions.filter(pl.col("stored_borrow_balance") > 0.0)
    holdings = pl.concat(
        [
            held.select("account", pl.col("ctoken").alias("item"),
                        pl.col("ctoken_balance").alias("quantity")),
            owed.select("account", _debt("ctoken").alias("item"),
                        (-pl.col("stored_borrow_balance")).alias("quantity")),
        ]
    ).group_by("account", "item", maintain_order=True).agg(pl.col("quantity").sum())  # fmt: skip
    pools = stated.select("account", pl.lit("shared").alias("pool"))
    return RealCase(
        "Compound v2, 2023-05-09",
        BookTables(holdings, pools, None, "compound v2 accounts"),
        _compound_market(weights),
        compound_rules(rules),
        "cross_sum",
        stated.join(_rebuilt(positions, weights), on="account", how="left"),
        {},
    )


def compound_rules(rules: Rulebook) -> Rulebook:
    """Return a rulebook that takes one less the collateral factor off a cToken and nothing else."""
    none = (Bracket(float("inf"), 0.0, 0.0),)
    flat = RiskClass(
        range=0.0, liquidity=none, surcharge_liquidity_mm=0.0, surcharge_liquidity_im=0.0,
        basis_annual=0.0, vol_floor=0.0, gain_tier=next(iter(rules.gain_tiers)), adv=1e12,
        half_spread=0.0, sigma_daily=0.0,
    )  # fmt: skip
    assets = {
        name: AssetRules(liquidity=(Bracket(float("inf"), 1.0 - factor, 1.0 - factor),))
        for name, factor in FACTORS.items()
    }
    return msgspec.structs.replace(
        rules, name="compound-v2", numeraire="ETH", source="collateral factors of May 2023",
        classes={"fiat": flat, "compound": flat}, assets=assets,
        # Limits by class of the oracle and of selling name other classes, and neither is asked.
        oracle=msgspec.structs.replace(rules.oracle, sources=None),
        liquidation=msgspec.structs.replace(rules.liquidation, execution=None),
    )  # fmt: skip


def compare_compound(case: RealCase, answers: pl.DataFrame) -> Comparison:
    """Return how many accounts agree, and why the others do not.

    answers  account, collateral_value, margin_balance_mm of every account
    """
    ours = answers.select("account", "collateral_value", "margin_balance_mm")
    rows = case.stated.join(ours, on="account", how="left").with_columns(
        debt=pl.col("collateral_value") - pl.col("margin_balance_mm")
    )
    stated = pl.col("collateral_risk_weighted_eth")
    rows = rows.with_columns(
        collateral_off=((pl.col("collateral_value") - stated).abs() - DUST_ETH).clip(0.0) / stated,
        health_off=pl.col("collateral_value") / pl.col("debt") / pl.col("health") - 1.0,
        debt_off=pl.col("debt") / pl.col("borrow_eth") - 1.0,
    ).with_columns(pl.col("collateral_off").fill_nan(0.0).fill_null(float("inf")))
    equal = pl.col("collateral_off") <= EQUAL
    owing = rows.filter(pl.col("borrow_eth") > OWES_ETH)
    near = pl.col("health_off").abs() <= CLOSE
    figures = {
        "accounts": float(len(rows)),
        "collateral_equal": _share(rows, equal),
        "owe_over_1k": float(len(owing)),
        "health_within_2_percent": _share(owing, near),
        "same_side_of_1": _share(
            owing, (pl.col("collateral_value") < pl.col("debt")) == (pl.col("health") < 1.0)
        ),
        "median_health_off": float(owing["health_off"].median() or 0.0),  # type: ignore[arg-type]
    }
    far = owing.filter(~near.fill_null(False))
    causes = pl.concat([_collateral_causes(rows.filter(~equal)), _health_causes(far)])
    return Comparison(case.name, figures, causes, ())


def _share(rows: pl.DataFrame, holds: pl.Expr) -> float:
    return float(rows.select(holds.fill_null(False).mean()).item())


def _debt(column: str) -> pl.Expr:
    return pl.col(column).str.strip_prefix("c") + " loan"


def _compound_market(weights: pl.DataFrame) -> MarketTables:
    factors, assets = [], [_asset_row("ETH", "")]
    for ctoken, weight, price, *_ in weights.iter_rows():
        if ctoken in FACTORS and weight:
            factors.append(_factor_row(f"{ctoken}/ETH", weight / FACTORS[ctoken]))
            assets.append(_asset_row(ctoken, f"{ctoken}/ETH"))
        loan = f"{ctoken.removeprefix('c')} loan"
        name = f"{ctoken.removeprefix('c')}-loan/ETH"
        factors.append(_factor_row(name, price))
        assets.append(_asset_row(loan, name))
    return MarketTables(
        COMPOUND_AT_NS, "ETH", "compound v2 weights and prices of 2023-05-09",
        pl.DataFrame(factors), pl.DataFrame(assets), pl.DataFrame(schema=INSTRUMENT_SCHEMA),
    )  # fmt: skip


INSTRUMENT_SCHEMA = {
    "instrument": pl.String, "kind": pl.String, "underlying": pl.String, "quote": pl.String,
}  # fmt: skip


def _factor_row(name: str, level: float | None) -> dict[str, object]:
    return {
        "factor": name, "kind": "peg", "class": "compound", "level": level,
        "status": "live" if level else "missing",
    }  # fmt: skip


def _asset_row(name: str, loads: str) -> dict[str, object]:
    words = {"asset": name, "class": "altcoin" if loads else "fiat", "decimals": 18}
    return {**words, "loads": loads}


def _rebuilt(positions: pl.DataFrame, weights: pl.DataFrame) -> pl.DataFrame:
    """What causes are read from: each account's collateral by cToken, and its loans' markets."""
    rows = positions.join(weights, on="ctoken", how="left")
    worth = pl.col("ctoken_balance") * pl.col("risk_weighted_eth_per_ctoken").fill_null(0.0)
    return rows.group_by("account").agg(
        worth.filter((worth > 0.0) & (pl.col("ctoken") != "cWBTC")).alias("worths"),
        worth.filter((worth > 0.0) & (pl.col("ctoken") == "cWBTC")).alias("wbtc_worths"),
        (pl.col("stored_borrow_balance") > 0.0)
        .and_(pl.col("underlying_price_eth_approx").is_null())
        .any()
        .alias("loan_without_price"),
    )


def _collateral_causes(rows: pl.DataFrame) -> pl.DataFrame:
    counts: dict[str, int] = {}
    columns = ("collateral_risk_weighted_eth", "worths", "wbtc_worths", "loan_without_price")
    for stated, worths, wbtc, no_price in rows.select(columns).iter_rows():
        cause = NO_PRICE if no_price else _collateral_cause(stated, worths or [], wbtc or [])
        counts[cause] = counts.get(cause, 0) + 1
    return _causes("collateral", counts)


def _collateral_cause(stated: float, worths: list[float], wbtc: list[float]) -> str:
    """Return what makes the rebuilt collateral equal the stated one; lots of cWBTC apart."""
    total = sum(worths) + sum(wbtc)
    if stated == 0.0 and total > 0.0:
        return "supplied but not entered as collateral: the venue counts nothing"
    legacy = "the older of two cWBTC markets, which the data give one name and one weight"
    off = {0.0, *(sum(some) for some in _some(wbtc))}
    for older in sorted(off):
        rebuilt = total - older * (1.0 - 1.0 / OLDER_WBTC)
        if older and abs(rebuilt - stated) <= 1e-5 * stated:
            return legacy
    for older in sorted(off):
        rebuilt = total - older * (1.0 - 1.0 / OLDER_WBTC)
        if any(abs(rebuilt - sum(some) - stated) <= 1e-5 * stated for some in _some(worths + wbtc)):
            more = f", and {legacy}" if older else ""
            return f"supplied but not entered as collateral{more}"
    if abs(total - stated) < 1e-6:
        return "dust: less than a millionth of an ETH apart"
    return "unexplained"


def _some(values: list[float]) -> list[tuple[float, ...]]:
    """Every selection of at least one value."""
    return [c for n in range(1, len(values) + 1) for c in combinations(values, n)]


def _health_causes(rows: pl.DataFrame) -> pl.DataFrame:
    counts: dict[str, int] = {}
    columns = ("collateral_off", "debt_off", "loan_without_price")
    for collateral_off, debt_off, no_price in rows.select(columns).iter_rows():
        if no_price:
            cause = NO_PRICE
        elif debt_off is None or collateral_off > EQUAL:
            cause = "collateral differs, see above"
        elif debt_off < 0.0:
            cause = "interest since the account's last action is not in the stored loan"
        else:
            cause = "approximate price of the data: rebuilt loan larger"
        counts[cause] = counts.get(cause, 0) + 1
    return _causes("health", counts)


def _causes(of: str, counts: dict[str, int]) -> pl.DataFrame:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return pl.DataFrame(
        {"differs": [of] * len(ordered), "cause": [c for c, _ in ordered],
         "accounts": [n for _, n in ordered]},
        schema={"differs": pl.String, "cause": pl.String, "accounts": pl.Int64},
    )  # fmt: skip
