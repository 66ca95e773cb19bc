"""From the margin command's inputs to commands: a market to list, opening holdings of its book.

In     tables of a market and of a book, checked by their own compilers.
Out    commands in the order they must be sent.
Owns   how a book written in coins and entry prices becomes exact amounts and costs.
Never  judges a pool; rounds in its favour.
Signs  as `domain.accounts`.
Spec   docs/spec/10-ledger.md, 10.22; docs/formats.md
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np
import polars as pl

from crossmargin.base.errors import InputInvalid
from crossmargin.base.fixed import parse_amount, scale_down, scale_up
from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import CONTRACT_DECIMALS, MONEY_DECIMALS, Mark, OrderState, Print
from crossmargin.domain.instruments import KindCode
from crossmargin.engine import commands as c
from crossmargin.engine.world import terms_of
from crossmargin.frames.compile import BookTables, to_smallest_units
from crossmargin.frames.listing import MarketTables
from crossmargin.frames.market import MarketFrame, Status
from crossmargin.frames.prints import SECOND_NS
from crossmargin.ledger import exactly
from crossmargin.ledger.events import PoolTerms

Row = dict[str, object]


def listing_command(tables: MarketTables, key: str, issued_ns: int) -> c.ListMarket:
    """Return the command that lists a market's tables."""
    return c.ListMarket(
        key=key, issued_ns=issued_ns, numeraire=tables.numeraire, source=tables.source,
        factors=_rows(tables.factors), assets=_rows(tables.assets),
        instruments=_rows(tables.instruments),
    )  # fmt: skip


def prices_commands(market: MarketFrame, stem: str, issued_ns: int) -> list[c.AcceptPrices]:
    """Return the commands that accept a market's own prices: one for each age of print."""
    factors, table = market.factors, market.instruments
    aged: dict[int, dict[str, Print]] = {}
    for k, name in enumerate(factors.names):
        if factors.status[k] != Status.MISSING:
            stamp = market.at_ns - int(float(factors.age_s[k]) * SECOND_NS)
            aged.setdefault(stamp, {})[name] = Print(
                float(factors.level[k]), float(factors.half_width[k]),
                float(factors.stable_price[k]), Status(factors.status[k]).name.lower(),
            )  # fmt: skip
    marks = {
        name: _mark(market, j)
        for j, name in enumerate(table.names)
        if table.status[j] != Status.MISSING and table.kind[j] != KindCode.SPOT
    }
    aged.setdefault(market.at_ns, {})
    return [
        c.AcceptPrices(
            key=f"{stem}-{n}", issued_ns=issued_ns, stamped_ns=stamp, prints=prints,
            marks=marks if stamp == market.at_ns else {},
        )
        for n, (stamp, prints) in enumerate(sorted(aged.items()))
        if prints or marks
    ]  # fmt: skip


def _mark(market: MarketFrame, j: int) -> Mark:
    table = market.instruments

    def known(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    share = float(table.averaged_share[j])
    return Mark(
        float(table.forward[j]), known(table.iv[j]), known(table.rate[j]),
        Status(table.status[j]).name.lower(), known(table.averaged[j]) if share else None,
        share or None, known(table.funding_rate[j]),
    )  # fmt: skip


def account_commands(
    tables: BookTables, market: MarketFrame, default_method: str, stem: str, issued_ns: int
) -> Iterator[c.OpenAccount | c.ImportAccount]:
    """Yield the commands that open a book's accounts with what they hold.

    The tables must have passed `compile_book` under the same market. Keys are stem-0, stem-1, ...
    """
    decimals = dict(zip(market.assets.names, map(int, market.assets.decimals), strict=True))
    reader = _Holdings(market, decimals)
    pools: dict[str, dict[str, Row]] = {}
    held: dict[tuple[str, str], list[Row]] = {}
    placed: dict[tuple[str, str], list[Row]] = {}
    for row in tables.pools.iter_rows(named=True) if tables.pools is not None else ():
        pools.setdefault(row["account"], {})[row["pool"]] = row
    for table, found in ((tables.holdings, held), (tables.orders, placed)):
        for row in table.iter_rows(named=True) if table is not None else ():
            pool = row.get("pool") or SHARED
            pools.setdefault(row["account"], {}).setdefault(pool, {})
            found.setdefault((row["account"], pool), []).append(row)
    number = 0
    for account, named in pools.items():
        terms = tuple(_pool_terms(pool, row, default_method) for pool, row in named.items())
        yield c.OpenAccount(
            key=f"{stem}-{number}", issued_ns=issued_ns, account=account, pools=terms
        )
        number += 1
        for pool, row in named.items():
            own = (account, pool)
            if own in held or own in placed:
                balances, positions = reader.read(held.get(own, []))
                yield c.ImportAccount(
                    key=f"{stem}-{number}", issued_ns=issued_ns, account=account, pool=pool,
                    balances=balances, positions=positions, orders=_orders(placed.get(own, [])),
                    drawn=_money(row.get("drawn")) or 0,
                    last_draw=_money(row.get("last_draw")) or 0,
                )  # fmt: skip
                number += 1


class _Holdings:
    """Reads holdings of one market exactly."""

    def __init__(self, market: MarketFrame, decimals: dict[str, int]) -> None:
        self.decimals = decimals
        self.terms = terms_of(market)

    def read(self, rows: list[Row]) -> tuple[dict[str, int], dict[str, tuple[int, int]]]:
        balances: dict[str, int] = {}
        positions: dict[str, tuple[int, int]] = {}
        for row in rows:
            item = str(row["item"])
            if item in self.decimals:
                amount = row.get("amount")
                units = _exact(row.get("quantity"), self.decimals[item])
                balances[item] = int(str(amount)) if amount is not None else units
            else:
                contracts = _exact(row.get("quantity"), CONTRACT_DECIMALS)
                positions[item] = (contracts, self._cost(row, item, contracts))
        return (
            {asset: amount for asset, amount in balances.items() if amount},
            {name: held for name, held in positions.items() if held[0]},
        )

    def _cost(self, row: Row, item: str, contracts: int) -> int:
        """Return minus what the contracts were worth at entry, rounded down: for the venue."""
        terms, entry = self.terms[item], row.get("entry_price")
        if terms.pays_premium or entry is None or not contracts:
            return 0
        at = exactly.price(format(Decimal(str(entry)), "f")[: exactly.PRICE_CHARS_MAX])
        if at is None:
            where = f"{row['account']}: {item}: entry_price"
            raise InputInvalid(where, entry, "lie in [10^-18, 10^15)", "give the average entry")
        num, den = exactly.worth(terms, abs(contracts), at, self.decimals[terms.settle])
        owes = (contracts > 0) != (terms.payoff == "inverse")
        return -scale_up(num, 1, den) if owes else scale_down(num, 1, den)


def _orders(rows: list[Row]) -> dict[str, OrderState]:
    return {
        f"import-{n}": OrderState(
            str(row["item"]), _exact(row["quantity"], CONTRACT_DECIMALS),
            format(Decimal(str(row["limit_price"])), "f")[:40],
            str(row.get("reduce_only")).lower() in ("true", "1"),
        )
        for n, row in enumerate(rows)
    }  # fmt: skip


def _pool_terms(pool: str, row: Row, default_method: str) -> PoolTerms:
    limit = row.get("draw_limit")
    method = str(row.get("method") or default_method)
    merges = limit is None or str(limit).strip() in ("", "inf")
    return PoolTerms(pool, method, None if pool == SHARED or merges else _money(limit))


def _money(value: object) -> int | None:
    """Return numeraire units as 10^-6, a limit rounded down."""
    if value is None:
        return None
    exact = Decimal(str(value)).scaleb(MONEY_DECIMALS)
    return int(exact.to_integral_value(ROUND_FLOOR if exact >= 0 else ROUND_CEILING))


def _exact(quantity: object, decimals: int) -> int:
    if isinstance(quantity, float):
        return to_smallest_units(quantity, decimals, round_down=True)
    return 0 if quantity is None else parse_amount(str(quantity).strip(), decimals)


def _rows(table: pl.DataFrame) -> tuple[dict[str, str | float | None], ...]:
    return tuple(
        {name: _cell(value) for name, value in row.items() if value is not None}
        for row in table.iter_rows(named=True)
    )


def _cell(value: object) -> str | float | None:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, float) else str(value)
