"""Which pools a book has and in which order: shared pools, merged labels, ring-fenced buckets.

In     declared pools as they were read, the accounts of the book.
Out    checked declarations, and the pool row of every account, declaration and holding.
Owns   the order of pools (accounts contiguous, the shared pool first, then draw order) and what
       a draw limit means: none or infinite merges, finite is ring-fenced (spec 1.1).
Never  looks at what a pool holds.
Signs  limits and draws >= 0.
Spec   docs/spec/01-what-exists.md
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from crossmargin.base.arrays import B1, F64, I8, I64
from crossmargin.base.errors import BookInvalid, Finding
from crossmargin.domain.accounts import SHARED
from crossmargin.frames.findings import (
    WHERE,
    Column,
    Reads,
    Rule,
    any_of,
    audit,
    conform,
    named,
    one_of,
    optional,
    read,
    unique,
)

MONEY_MAX = 1e18

TEXT, NUMBER = Reads.TEXT, Reads.NUMBER
POOL_COLUMNS = {
    "account": Column(TEXT, True), "pool": Column(TEXT, True), "method": Column(TEXT),
    "draw_limit": Column(NUMBER), "drawn": Column(NUMBER), "last_draw": Column(NUMBER),
    WHERE: Column(TEXT),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pools:
    """Declared pools in draw order; `bad` (rows,) is which of them were refused."""

    rows: pl.DataFrame
    bad: B1
    findings: list[Finding]


def read_pools(given: pl.DataFrame | None, source: str, methods: tuple[str, ...]) -> Pools:
    """Return the declared pools; raise where a row cannot be told from another."""
    where = f"{source}/pools"
    none = pl.DataFrame(schema=["account", "pool"])
    rows = conform(none if given is None else given, POOL_COLUMNS, where)
    _, faults = audit(
        rows, [named("account"), named("pool"), unique("account", "pool")], where, "account"
    )
    if faults:
        raise BookInvalid(faults)
    limit = read("draw_limit")
    merged = (pl.col("pool") != SHARED) & (limit.is_null() | (limit == float("inf")))
    rules = [
        one_of("method", methods, absent=True),
        Rule("method", ~merged | pl.col("method").is_null(),
             "be empty for a pool that merges into the shared one", "give it a draw_limit"),
        Rule("draw_limit", limit.is_null() | (limit == float("inf"))
             | ((pl.col("pool") != SHARED) & optional("draw_limit", 0.0, MONEY_MAX)),
             "be >= 0, or empty to merge; empty for the shared pool"),
        Rule("drawn", optional("drawn", 0.0, MONEY_MAX), "be >= 0"),
        Rule("last_draw", optional("last_draw", 0.0, MONEY_MAX), "be >= 0"),
    ]  # fmt: skip
    masks, findings = audit(rows, rules, where, "account")
    clean = [pl.when(read(n).is_finite()).then(read(n)) for n in ("drawn", "last_draw")]
    rows = rows.with_columns(
        merged.alias("#merged"), *clean,
        # A limit that was refused must not merge the bucket: its rows stay ring-fenced.
        pl.when(limit.is_nan()).then(0.0).otherwise(limit.clip(0.0)).alias("#draw_limit"),
    )  # fmt: skip
    return Pools(rows, any_of(masks, len(rows)).to_numpy(), findings)


class PoolIds:
    """Pool rows: accounts contiguous, the shared pool first, ring-fenced buckets in draw order.

    of_declared  (declared pools,) pool row of each; merged ones are the account's shared pool
    of_account   (C,) row of each account's shared pool
    """

    def __init__(self, accounts: pl.Series, declared: pl.DataFrame) -> None:
        """Number the pools."""
        self.accounts = accounts.to_frame("account").with_row_index("#account")
        self.declared = declared.select("account", "pool").with_row_index("#declared")
        owner = self.declared.join(
            self.accounts, on="account", how="left", maintain_order="left"
        )["#account"].to_numpy().astype(np.int64)  # fmt: skip
        own = ((declared["pool"] != SHARED) & ~declared["#merged"]).to_numpy()
        n_accounts = len(accounts)
        buckets = np.bincount(owner[own], minlength=n_accounts)
        self.account_starts: I64 = np.concatenate([[0], np.cumsum(1 + buckets)]).astype(np.int64)
        self.n_pools = int(self.account_starts[-1])
        self.of_account: I64 = self.account_starts[:-1]
        self.of_declared: I64 = self.of_account[owner]
        order = np.flatnonzero(own)[np.argsort(owner[own], kind="stable")]
        shared = np.zeros(self.n_pools, np.bool_)
        shared[self.of_account] = True
        self.of_declared[order] = np.flatnonzero(~shared)
        self.is_own = own | (declared["pool"] == SHARED).to_numpy()
        names = np.full(self.n_pools, SHARED, dtype=object)
        names[self.of_declared[own]] = declared["pool"].to_numpy()[own]
        self.names = pl.Series("pool", names.tolist(), pl.String)

    def locate(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add #pool_id, #key (what a row may hold once) and #known (its pool was declared)."""
        rows = rows.join(self.accounts, on="account", how="left", maintain_order="left")
        if len(self.declared):
            on = ["account", "pool"]
            rows = rows.join(self.declared, on=on, how="left", maintain_order="left")
        else:
            rows = rows.with_columns(pl.lit(None, pl.UInt32).alias("#declared"))
        account = rows["#account"].fill_null(0).to_numpy().astype(np.int64)
        declared = rows["#declared"].cast(pl.Int64).fill_null(-1).to_numpy()
        pool_id = self.of_account[account] if len(self.of_account) else account
        hit = declared >= 0
        pool_id[hit] = self.of_declared[declared[hit]]
        # Two rows of one item are a mistake within a pool as written, not across merged ones.
        written = np.where(hit & ~self._shared(declared), self.n_pools + declared, pool_id)
        known = hit | (rows["pool"] == SHARED).to_numpy()
        return rows.with_columns(
            pl.Series("#pool_id", pool_id), pl.Series("#known", known),
            (pl.Series(written) * (2**31) + rows["#row"].cast(pl.Int64)).alias("#key"),
        ).drop("#account", "#declared")  # fmt: skip

    def _shared(self, declared: I64) -> B1:
        flags = np.append((self.declared["pool"] == SHARED).to_numpy(), False)
        return np.asarray(flags[declared])

    def spread(self, declared: pl.DataFrame, name: str, absent: float) -> F64:
        """(A,) the declared number of each pool, `absent` where none was declared."""
        values = np.full(self.n_pools, absent)
        given = declared[f"#{name}"].cast(pl.Float64).fill_null(absent).to_numpy()
        values[self.of_declared[self.is_own]] = given[self.is_own]
        return values

    def methods(self, declared: pl.DataFrame, default: str, methods: tuple[str, ...]) -> I8:
        """(A,) code of each pool's method."""
        code = {name: row for row, name in enumerate(methods)}
        values = np.full(self.n_pools, code[default], np.int8)
        named_codes = declared["method"].replace_strict(code, default=None, return_dtype=pl.Int8)
        given = np.array(named_codes.fill_null(code[default]).to_numpy(), np.int8)
        values[self.of_declared[self.is_own]] = given[self.is_own]
        return values
