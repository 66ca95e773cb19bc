"""From holdings tables to a BookFrame: one columnar validator, and the door between int and float.

In     holdings, pools and orders as data frames; accounts from Python take the same path.
Out    a `BookFrame` sorted by account, pool and item, and one finding for each bad row.
Owns   the only conversions between exact amounts and float quantities, both ways.
Never  rounds an amount it was given, values a holding, or guesses which pool a row meant.
Signs  quantity > 0 owned or long, < 0 owed or short; limits and draws >= 0.
Spec   docs/spec/01-what-exists.md, docs/formats.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

import numpy as np
import polars as pl

from crossmargin.base.arrays import I64
from crossmargin.base.errors import BookInvalid, Finding, InputInvalid
from crossmargin.base.fixed import scale_down, scale_up
from crossmargin.domain.accounts import SHARED
from crossmargin.domain.instruments import KindCode
from crossmargin.frames.book import BookFrame
from crossmargin.frames.exact import exact_amount, exact_quantity
from crossmargin.frames.findings import (
    WHERE,
    Column,
    Reads,
    Rule,
    above_zero,
    any_of,
    audit,
    conform,
    named,
    nearest,
    optional,
    read,
)
from crossmargin.frames.market import MarketFrame
from crossmargin.frames.pools import MONEY_MAX, PoolIds, read_pools

PRICE_MAX = 1e15

TEXT, NUMBER, EXACT = Reads.TEXT, Reads.NUMBER, Reads.EXACT
# SLOT says which part of a JSON account a row came from: balances hold assets, positions do not.
SLOT = "slot"
HOLDING_COLUMNS = {
    "account": Column(TEXT, True), "pool": Column(TEXT), "item": Column(TEXT, True),
    "quantity": Column(EXACT), "amount": Column(EXACT), "entry_price": Column(NUMBER),
    WHERE: Column(TEXT), SLOT: Column(TEXT),
}  # fmt: skip
ORDER_COLUMNS = {
    "account": Column(TEXT, True), "pool": Column(TEXT), "item": Column(TEXT, True),
    "quantity": Column(EXACT, True), "limit_price": Column(NUMBER, True),
    "reduce_only": Column(Reads.FLAG), WHERE: Column(TEXT),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BookTables:
    """A book as it was read; docs/formats.md lists the columns."""

    holdings: pl.DataFrame
    pools: pl.DataFrame | None
    orders: pl.DataFrame | None
    source: str


@dataclass(frozen=True, slots=True)
class SeriesNames(Sequence[str]):
    """Names kept as a column: a million of them cost no Python objects."""

    series: pl.Series

    def __len__(self) -> int:
        return len(self.series)

    def __getitem__(self, row: int) -> str:  # type: ignore[override]
        return str(self.series[row])


def compile_book(
    tables: BookTables,
    market: MarketFrame,
    default_method: str,
    methods: tuple[str, ...],
    strict: bool = True,
) -> tuple[BookFrame, list[Finding]]:
    """Return the book as columns, and what was wrong with single rows of it.

    default_method  for pools that name none; `methods` are the names that may be used
    strict          raise BookInvalid with every bad row; else the pool of a bad row is set aside
                    (UNPRICED) and the rest goes on. A row without an account always raises.
    """
    assert default_method in methods
    pools = read_pools(tables.pools, tables.source, methods)
    holdings = _holdings(tables, market)
    orders = _orders(tables, market)
    accounts = _accounts(holdings, pools.rows, orders)
    ids = PoolIds(accounts, pools.rows)
    holdings = ids.locate(holdings)
    orders = ids.locate(orders)
    held_masks, held_findings = audit(
        holdings, _holding_rules(market), f"{tables.source}", "account"
    )
    order_masks, order_findings = audit(
        orders, _order_rules(market), f"{tables.source}/orders", "account"
    )
    findings = pools.findings + held_findings + order_findings
    # The first rule of both says whose row it is: a row of nobody has no pool to set aside.
    nameless = held_masks[0].any() or order_masks[0].any()
    if findings and (strict or nameless):
        raise BookInvalid(findings)
    held_bad = any_of(held_masks, len(holdings))
    order_bad = any_of(order_masks, len(orders))
    set_aside = np.zeros(ids.n_pools, np.bool_)
    set_aside[ids.of_declared[pools.bad]] = True
    for rows, bad in ((holdings, held_bad), (orders, order_bad)):
        set_aside[rows["#pool_id"].filter(bad).to_numpy()] = True
    good = _sorted(holdings.filter(~held_bad), market.n_assets)
    placed = orders.filter(~order_bad).sort("#pool_id", maintain_order=True)
    method = ids.methods(pools.rows, default_method, methods)
    frame = BookFrame(
        account_names=SeriesNames(accounts), pool_names=SeriesNames(ids.names),
        account_starts=ids.account_starts, method=method, method_names=methods,
        draw_limit=ids.spread(pools.rows, "draw_limit", np.inf),
        drawn=ids.spread(pools.rows, "drawn", 0.0),
        last_draw=ids.spread(pools.rows, "last_draw", 0.0), set_aside=set_aside,
        pool_starts=_starts(good, ids.n_pools),
        item=good["#row"].cast(pl.Int32).to_numpy().astype(np.int32),
        quantity=good["#quantity"].to_numpy().astype(np.float64),
        entry_price=good["#entry_price"].fill_null(float("nan")).to_numpy().astype(np.float64),
        order_starts=_starts(placed, ids.n_pools),
        order_item=placed["#row"].to_numpy().astype(np.int32),
        order_quantity=placed["#quantity"].to_numpy().astype(np.float64),
        order_limit=placed["#limit_price"].to_numpy().astype(np.float64),
        order_reduce_only=placed["#reduce_only"].fill_null(False).to_numpy().astype(np.bool_),
        exact=_is_exact(tables),
    )  # fmt: skip
    return frame, findings


def to_smallest_units(quantity: float, decimals: int, round_down: bool) -> int:
    """Return a float quantity as an integer amount; down is what we credit, up what we charge."""
    if not np.isfinite(quantity):
        raise InputInvalid("quantity", quantity, "be finite")
    num, den = float(quantity).as_integer_ratio()
    scale = scale_down if round_down else scale_up
    return scale(num, 10**decimals, den)


def written_units(quantity: float, decimals: int) -> int:
    """Return the amount a held float was written as, in smallest units, rounded down.

    The shortest decimal that reads as this float: 0.1 of 18 decimals is 10^17 units, while the
    float itself is a little more, and more than is held cannot leave.
    """
    return int(Decimal(repr(float(quantity))).scaleb(decimals).to_integral_value(ROUND_FLOOR))


def from_smallest_units(amount: int, decimals: int) -> float:
    """Return an integer amount as the nearest float quantity."""
    # True division of two integers rounds once, to nearest.
    return float(amount / 10**decimals)


def _is_exact(tables: BookTables) -> bool:
    columns = [c for c in ("quantity", "amount") if c in tables.holdings.columns]
    return not any(tables.holdings.schema[column].is_float() for column in columns)


def _accounts(*tables: pl.DataFrame) -> pl.Series:
    """Return every account once, in order of first appearance."""
    every = pl.concat([table["account"] for table in tables])
    return every.drop_nulls().unique(maintain_order=True)


# --- holdings and orders --------------------------------------------------------------------------


def _items(market: MarketFrame) -> pl.DataFrame:
    assets, table = market.assets, market.instruments
    n, m = len(assets), len(table)
    return pl.DataFrame(
        {
            "item": pl.Series(market.item_names, dtype=pl.String),
            "#row": np.arange(n + m, dtype=np.int32),
            "#kind": np.concatenate([np.zeros(n, np.int8), table.kind]),
            "#style": np.concatenate([np.zeros(n, np.int8), table.style]),
            "#decimals": np.concatenate([assets.decimals, np.full(m, 18)]).astype(np.int16),
        }
    )


def _holdings(tables: BookTables, market: MarketFrame) -> pl.DataFrame:
    rows = conform(tables.holdings, HOLDING_COLUMNS, tables.source)
    rows = rows.with_columns(pl.col("pool").fill_null(SHARED))
    rows = rows.join(_items(market), on="item", how="left", maintain_order="left")
    return _with_quantity(rows, tables.source, ("quantity", "amount"))


def _orders(tables: BookTables, market: MarketFrame) -> pl.DataFrame:
    where = f"{tables.source}/orders"
    given = pl.DataFrame(schema=["account", "item", "quantity", "limit_price"])
    rows = conform(given if tables.orders is None else tables.orders, ORDER_COLUMNS, where)
    rows = rows.with_columns(pl.col("pool").fill_null(SHARED))
    rows = rows.join(_items(market), on="item", how="left", maintain_order="left")
    return _with_quantity(rows, where, ("quantity",))


def _with_quantity(rows: pl.DataFrame, source: str, columns: tuple[str, ...]) -> pl.DataFrame:
    """Add #quantity (float), #reads (the text is a number), #places (decimals it needs)."""
    value, reads, places = exact_quantity(rows.schema["quantity"])
    rows = rows.with_columns(value.alias("#quantity"), reads.alias("#reads"))
    rows = rows.with_columns(places.alias("#places"))
    if "amount" in columns:
        value, reads = exact_amount(rows.schema["amount"], source)
        rows = rows.with_columns(
            pl.coalesce("#quantity", value).alias("#quantity"), reads.alias("#amount_reads")
        )
    return rows


def _quantity_rules() -> list[Rule]:
    return [
        Rule("quantity", pl.col("quantity").is_null() | pl.col("#reads"),
             "be a finite decimal number such as 1250.75", "write digits, not NaN, inf or commas"),
        Rule("quantity", read("quantity").is_null() | (read("quantity").abs() <= MONEY_MAX)
             | ~read("quantity").is_finite(),
             f"be at most {MONEY_MAX:g} in size", "use coins, not smallest units"),
        Rule("quantity", pl.col("#row").is_null() | pl.col("#places").is_null()
             | (pl.col("#places") <= pl.col("#decimals")),
             "have at most the decimals of its asset", "amounts are exact and never rounded"),
        Rule("pool", pl.col("#known"), f"be {SHARED} or a pool listed for the account",
             "add a row to pools"),
    ]  # fmt: skip


def _holding_rules(market: MarketFrame) -> list[Rule]:
    kind, known = pl.col("#kind"), pl.col("#row").is_not_null()
    is_asset = kind == KindCode.ASSET
    future = kind.is_in([KindCode.PERPETUAL, KindCode.FUTURE]) | (pl.col("#style") == 1)
    amount, quantity = pl.col("amount"), pl.col("quantity")
    slot = pl.col(SLOT)
    names = market.item_names
    return [
        named("account"),
        Rule("item", known, "be an asset or instrument of the market",
             lambda found: nearest(found, names) or "add it to the market"),
        Rule("item", ~known | slot.is_null() | ((slot == "balances") == is_asset),
             "be an asset among balances, an instrument among positions", "move it"),
        Rule("item", ~known | (kind != KindCode.SPOT),
             "be held as an asset: a spot trade leaves balances", "hold its two assets"),
        Rule("quantity", quantity.is_null() != amount.is_null(),
             "be given once, as quantity or as amount", "fill one of the two columns"),
        Rule("amount", amount.is_null() | (~known | is_asset) & pl.col("#amount_reads"),
             "be a whole number of smallest units of an asset", "use quantity for coins"),
        *_quantity_rules(),
        Rule("entry_price", ~known | ~future | above_zero("entry_price", PRICE_MAX),
             "be > 0 for a future, perpetual or futures-style option", "give the average entry"),
        Rule("entry_price", (known & future) | optional("entry_price", 0.0, PRICE_MAX),
             "be a price >= 0, or empty"),
        Rule("item", pl.col("#key").is_null() | ~pl.col("#key").is_duplicated(),
             "be listed once in a pool", "add the rows up"),
    ]  # fmt: skip


def _order_rules(market: MarketFrame) -> list[Rule]:
    known, names = pl.col("#row").is_not_null(), market.instruments.names
    return [
        named("account"),
        Rule("item", known & (pl.col("#kind") != KindCode.ASSET),
             "be an instrument of the market", lambda found: nearest(found, names)),
        *_quantity_rules(),
        Rule("quantity", read("quantity") != 0.0, "differ from 0"),
        Rule("limit_price", above_zero("limit_price", PRICE_MAX), "be > 0, in quote units"),
        Rule("reduce_only", pl.col("reduce_only").is_null() | read("reduce_only").is_not_null(),
             "be true or false"),
    ]  # fmt: skip


def _sorted(rows: pl.DataFrame, n_assets: int) -> pl.DataFrame:
    """Return the rows a book keeps: no zeros, one row an asset and pool, in the book's order."""
    is_asset = pl.col("#row") < n_assets
    premium = (pl.col("#kind") >= KindCode.CALL) & (pl.col("#style") == 0)
    kept = rows.filter(pl.col("#quantity") != 0.0).select(
        "#pool_id", "#row", "#quantity",
        pl.when(is_asset | premium).then(None).otherwise(read("entry_price")).alias("#entry_price"),
    )  # fmt: skip
    kept = kept.sort("#pool_id", "#row", maintain_order=True)
    # Buckets that merge into the shared pool bring balances of the same asset: they add up.
    # Positions stay apart, because each has its own entry price.
    twice = kept.filter(is_asset & pl.struct("#pool_id", "#row").is_duplicated())
    if twice.is_empty():
        return kept
    once = twice.group_by("#pool_id", "#row", maintain_order=True).agg(pl.col("#quantity").sum())
    once = once.with_columns(pl.lit(None, pl.Float64).alias("#entry_price")).select(kept.columns)
    rest = kept.join(once, on=["#pool_id", "#row"], how="anti", maintain_order="left")
    together = pl.concat([rest, once.filter(pl.col("#quantity") != 0.0)])
    return together.sort("#pool_id", "#row", maintain_order=True)


def _starts(rows: pl.DataFrame, n_pools: int) -> I64:
    counts = np.bincount(rows["#pool_id"].to_numpy(), minlength=n_pools)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
