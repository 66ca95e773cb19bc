"""The same book under several methods, side by side: what each ties up, and what it frees.

In     reports of one book under several methods (`Report.compare`).
Out    one row an account and method, and totals.
Owns   the words: capital tied up is equity less the IM buffer, all the rules take off equity;
       freed is the share of it a method gives back against the first method named.
Never  compares pools that one of the methods cannot price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from crossmargin.api import Report


@dataclass(frozen=True, slots=True)
class Comparison:
    """`accounts`: account, method, equity, mm, im, tied_mm, tied_im, freed; `total` the same.

    left_out  pools without a number under one of the methods
    """

    methods: tuple[str, ...]
    accounts: pl.DataFrame
    total: pl.DataFrame
    left_out: int

    def by_account(self, column: str) -> pl.DataFrame:
        """Return one row an account, one column a method."""
        wide = self.accounts.pivot(on="method", index="account", values=column)
        return wide.select("account", *self.methods)


def comparison(reports: Mapping[str, Report]) -> Comparison:
    """Return what each method ties up of each account's equity."""
    methods = tuple(reports)
    rows = pl.concat(
        [
            report.to_polars().with_row_index("#pool").with_columns(pl.lit(name).alias("method"))
            for name, report in reports.items()
        ]
    )
    bad = rows.filter(pl.col("unpriced"))["#pool"].unique()
    rows = rows.filter(~pl.col("#pool").is_in(bad.implode())).with_columns(
        (pl.col("equity") - pl.col("buffer_mm")).alias("tied_mm"),
        (pl.col("equity") - pl.col("buffer_im")).alias("tied_im"),
    )
    sums = [pl.col(name).sum() for name in ("equity", "mm", "im", "tied_mm", "tied_im")]
    accounts = rows.group_by("account", "method", maintain_order=True).agg(*sums)
    total = rows.group_by("method", maintain_order=True).agg(*sums)
    base = accounts.filter(pl.col("method") == methods[0]).select(
        "account", pl.col("tied_im").alias("#base")
    )
    accounts = _freed(accounts.join(base, on="account", maintain_order="left"))
    first = float(total["tied_im"][0]) if len(total) else 0.0
    return Comparison(
        methods, accounts, _freed(total.with_columns(pl.lit(first).alias("#base"))), len(bad)
    )


def _freed(rows: pl.DataFrame) -> pl.DataFrame:
    share = 1.0 - pl.col("tied_im") / pl.col("#base")
    # Where the first method ties nothing up there is nothing to free.
    return rows.with_columns(
        pl.when(pl.col("#base") > 0.0).then(share).otherwise(None).alias("freed")
    ).drop("#base")
