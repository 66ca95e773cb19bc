"""A report: one row a pool, sorted as you like, and every question about it.

In     BookFrame, Market, RequirementFrame.
Out    tables, trees, and the answers of `inquiry`.
Owns   the field names of docs/formats.md and the danger order.
Never  computes a margin number.
Signs  as RequirementFrame; UNPRICED numbers are null in tables, infinities stay infinities.
Spec   docs/spec/06-verdict.md, docs/spec/07-inquiry.md, docs/formats.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from crossmargin.api.forked import using_tables
from crossmargin.base.arrays import F64, I64
from crossmargin.base.errors import Finding, InputInvalid
from crossmargin.frames.book import BookFrame, segment_rows, with_method
from crossmargin.inquiry import amounts, prices, whatif
from crossmargin.inquiry.desk import Desk, desk_for
from crossmargin.kernels.compiled import run_blocks
from crossmargin.kernels.portfolio import stress_pnl
from crossmargin.liquidation import plan as planning
from crossmargin.liquidation import steps
from crossmargin.margin.explain import Node, explain_pool
from crossmargin.margin.greeks import greeks
from crossmargin.margin.prepared import Market, holdings_of
from crossmargin.margin.requirement import BINDING, RequirementFrame, Verdict
from crossmargin.methods.registry import METHODS, assess, method_named, select_accounts

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "equity", "collateral_value", "margin_balance_im", "margin_balance_mm", "im", "mm", "health",
    "margin_ratio", "buffer_mm", "buffer_im",
)  # fmt: skip
SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why: the two trees, the binding term, and what each holding costs by being there.

    leave_one_out  holding -> change of mm if it were not held (empty unless asked for)
    """

    account: str
    pool: str
    method: str
    buffer_mm: Node
    buffer_im: Node
    leave_one_out: dict[str, float]

    def text(self) -> str:
        """Return both trees as text."""
        parts = [f"{self.account} / {self.pool} under {self.method}", self.buffer_mm.text()]
        parts.append(self.buffer_im.text())
        if self.leave_one_out:
            width = max(len(n) for n in self.leave_one_out)
            lines = ["mm without one holding, minus mm:"]
            lines += [f"  {n:<{width}}  {v:>14,.2f}" for n, v in self.leave_one_out.items()]
            parts.append("\n".join(lines))
        return "\n\n".join(parts)

    def __str__(self) -> str:
        return self.text()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "account": self.account, "pool": self.pool, "method": self.method,
            "buffer_mm": self.buffer_mm.to_dict(), "buffer_im": self.buffer_im.to_dict(),
            "leave_one_out": self.leave_one_out,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """The answer for every pool of a book in one market under one rulebook."""

    book: BookFrame
    market: Market
    frame: RequirementFrame
    findings: tuple[Finding, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    def header(self) -> dict[str, Any]:
        """Return what every report states: numeraire, moment, source, rules, refused prints."""
        rules, frame = self.market.rulebook, self.market.frame
        joint = self.market.joint
        return {
            "numeraire": frame.numeraire,
            "at": str(np.datetime64(frame.at_ns, "ns").astype("datetime64[s]")) + "Z",
            "source": frame.source,
            "rulebook": f"{rules.name} {rules.version}",
            "rulebook_date": rules.effective_from.date().isoformat(),
            "rulebook_digest": rules.digest[:16],
            "horizon_hours": rules.margin.mpor_hours,
            "joint_rows": 0 if joint is None else len(joint),
            "refused_prints": [] if joint is None else [str(r) for r in joint.refused],
            "pools": len(self),
            "exact": self.book.exact,
        }

    def to_polars(self) -> pl.DataFrame:
        """Return one row a pool in the order of the book; columns as docs/formats.md."""
        using_tables()
        frame, book = self.frame, self.book
        account = book.account_of_pool()
        names = np.array(book.method_names, dtype=object)
        verdict = frame.verdict
        codes = np.array([v.name for v in Verdict], dtype=object)
        binding = np.array(BINDING, dtype=object)
        scenario = {int(c): self.scenario_name(int(c)) for c in np.unique(frame.worst_scenario)}
        columns: dict[str, Any] = {
            "account": [book.account_names[int(c)] for c in account],
            "pool": [book.pool_names[a] for a in range(book.n_pools)],
            "method": names[book.method].tolist(),
            **{name: getattr(frame, name) for name in COLUMNS},
            "verdict": codes[verdict].tolist(),
            "binding_term": binding[frame.binding_term].tolist(),
            "worst_scenario": [scenario[int(c)] for c in frame.worst_scenario],
            "worst_loss": frame.worst_loss,
            "draw_mm": frame.draw_mm,
            "draw_im": frame.draw_im,
            "unpriced": verdict == Verdict.UNPRICED,
            "exact": np.full(book.n_pools, book.exact),
        }
        table = pl.DataFrame(columns, schema_overrides={"worst_scenario": pl.String})
        return table.with_columns(pl.col(pl.Float64).fill_nan(None))

    def to_pandas(self) -> pd.DataFrame:
        """Return `to_polars()` as pandas (needs pandas installed)."""
        return self.to_polars().to_pandas()

    def scenario_name(self, code: int) -> str | None:
        """Return the name of a scenario code; None where there is none."""
        return None if code < 0 else self.market.scenarios.name(code)

    def danger_order(self) -> I64:
        """(A,) pool rows, most endangered first: verdict, health, buffer (spec 6)."""
        frame = self.frame
        return np.lexsort((frame.buffer_mm, frame.health, frame.verdict)).astype(np.int64)

    def sorted_by_danger(self) -> pl.DataFrame:
        """Return the table, most endangered first."""
        return self.to_polars()[self.danger_order()]

    def verdicts(self) -> dict[str, int]:
        """Return how many pools have each verdict."""
        counts = np.bincount(self.frame.verdict, minlength=len(Verdict))
        return {v.name: int(counts[v]) for v in Verdict}

    def account_verdicts(self) -> list[str]:
        """Return the worst verdict among each account's pools, in account order (spec 1.1)."""
        worst = np.minimum.reduceat(self.frame.verdict, self.book.account_starts[:-1])
        return [Verdict(v).name for v in worst]

    def _account_row(self, account: str) -> int:
        for c in range(self.book.n_accounts):
            if self.book.account_names[c] == account:
                return c
        raise InputInvalid(
            "account", account, "must be an account of the book", "see the margin report for names"
        )

    def desk(self, account: str, pool: str = SHARED, *extra: str) -> Desk:
        """Return one account alone in a market of what it holds: where questions are asked."""
        return desk_for(self.book, self.market, self._account_row(account), pool, *extra)

    def explain(
        self, account: str, pool: str = SHARED, *, leave_one_out: bool = False
    ) -> Explanation:
        """Return the trees that sum to the pool's buffers, and what binds (spec 5.9)."""
        own = select_accounts(self.book, np.array([self._account_row(account)]))
        names = list(own.pool_names)
        if pool not in names:
            raise InputInvalid("pool", pool, f"must be one of {', '.join(names)}", "name a pool")
        row = names.index(pool)
        method = own.method_names[own.method[row]]
        frame = assess(own, self.market, threads=1, parts=True)
        trees = explain_pool(own, frame, self.market, row, method)
        left_out = _leave_one_out(own, self.market, row, frame) if leave_one_out else {}
        return Explanation(account, pool, method, trees["buffer_mm"], trees["buffer_im"], left_out)

    def free_to_withdraw(self, account: str, asset: str, pool: str = SHARED) -> int:
        """Return how many smallest units of an asset may leave the pool now, rounded down."""
        return amounts.free_to_withdraw(self.desk(account, pool, asset), asset)

    def largest_order(
        self, account: str, instrument: str, side: int, limit_price: float | None = None,
        pool: str = SHARED,
    ) -> float:  # fmt: skip
        """Return the largest order (contracts) that would be accepted; side +1 buy, -1 sell."""
        desk = self.desk(account, pool, instrument)
        row = desk.market.frame.instruments.names.index(instrument)
        price = whatif.mark_of(desk.market, row) if limit_price is None else limit_price
        return amounts.largest_order(desk, instrument, side, price)

    def liquidation_prices(
        self, account: str, factor: str, pool: str = SHARED, watch: prices.Watch = prices.ignore
    ) -> tuple[float | None, float | None]:
        """Return the levels below and above at which the pool becomes liquidatable, or None."""
        return prices.liquidation_prices(self.desk(account, pool), factor, watch)

    def beta_liquidation(
        self, account: str, pool: str = SHARED, watch: prices.Watch = prices.ignore
    ) -> tuple[float | None, float | None]:
        """Return the BTC moves at which the pool becomes liquidatable when all crypto follows."""
        return prices.beta_liquidation(self.desk(account, pool), watch)

    def frontier(
        self, account: str, factors: tuple[str, str], points: int = 25, pool: str = SHARED,
        watch: prices.Watch = prices.ignore,
    ) -> prices.Frontier:  # fmt: skip
        """Return buffer_MM over a grid of two factors."""
        desk = self.desk(account, pool)
        return prices.frontier(desk, *factors, points=points, watch=watch)

    def most_likely_move(
        self, account: str, pool: str = SHARED, watch: prices.Watch = prices.ignore
    ) -> prices.LikelyMove | None:
        """Return the most likely joint move that makes the pool liquidatable."""
        return prices.most_likely_move(self.desk(account, pool), watch)

    def what_if(
        self, account: str, trades: Sequence[whatif.Trade] = (),
        transfers: Sequence[whatif.Transfer] = (), pool: str = SHARED,
    ) -> tuple[Report, Report]:  # fmt: skip
        """Return the account's report before and after, by the rows the deed would write."""
        extra = [t.instrument for t in trades] + [t.asset for t in transfers]
        desk = self.desk(account, pool, *extra)
        edited = whatif.after(desk, trades, transfers)
        return tuple(  # type: ignore[return-value]
            Report(book, desk.market, assess(book, desk.market, threads=1))
            for book in (desk.book, edited)
        )

    def compare(self, methods: Sequence[str] = tuple(METHODS)) -> dict[str, Report]:
        """Return the same book under several methods (spec 5.1: isolated sums stand-alone)."""
        answer = {}
        for name in methods:
            book = with_method(self.book, method_named(name).name)
            answer[name] = replace(self, book=book, frame=assess(book, self.market))
        return answer

    def stress(self) -> tuple[tuple[str, ...], F64]:
        """Return names of stress scenarios (T,), and every pool's P&L (A, T) at full quantities."""
        rows = self.market.rows
        first = len(rows.probability)
        out = np.zeros((self.book.n_pools, rows.full.shape[1] - first))
        run_blocks(
            stress_pnl, self.book.n_pools, 4096, None,
            holdings_of(self.book), self.market.items, rows, out,
        )  # fmt: skip
        return self.market.scenarios.names[first:], out

    def liquidation_plans(
        self, policy: str | None = None, account: str | None = None
    ) -> tuple[steps.Plan, ...]:
        """Return what every pool that is LIQUIDATABLE or BANKRUPT should sell (spec 9).

        policy  one of `liquidation.policies`, None: the rulebook's; account: only this one
        """
        book = self.book
        if account is not None:
            book = select_accounts(book, np.array([self._account_row(account)]))
        return planning.plans(book, self.market, planning.Options(policy))

    def greeks(self, account: str | None = None) -> pl.DataFrame:
        """Return delta, gamma (1 %), vega (vol point), theta (day) by pool and factor (5.8).

        Null where the pool is UNPRICED.
        """
        using_tables()
        book = self.book
        if account is not None:
            book = select_accounts(book, np.array([self._account_row(account)]))
        g = greeks(book, self.market)
        unpriced = assess(book, self.market).verdict == Verdict.UNPRICED
        known = np.where(unpriced[g.pool], np.nan, 1.0)
        owner = book.account_of_pool()
        names = self.market.frame.factors.names
        return pl.DataFrame(
            {
                "account": [book.account_names[int(owner[p])] for p in g.pool],
                "pool": [book.pool_names[int(p)] for p in g.pool],
                "factor": [names[k] for k in g.factor],
                "delta": g.delta * known, "gamma": g.gamma * known,
                "vega": g.vega * known, "theta": g.theta * known,
            }
        ).with_columns(pl.col(pl.Float64).fill_nan(None))  # fmt: skip


def _leave_one_out(
    own: BookFrame, market: Market, pool: int, frame: RequirementFrame
) -> dict[str, float]:
    """Return mm without each holding minus mm, all in one batch (spec 5.9)."""
    lo, hi = int(own.pool_starts[pool]), int(own.pool_starts[pool + 1])
    n = hi - lo
    if n == 0 or not np.isfinite(frame.mm[pool]):
        return {}
    rows, _ = segment_rows(own.pool_starts, np.full(n, pool))
    kept = ~np.eye(n, dtype=np.bool_).ravel()
    rows = rows[kept]
    many = replace(
        own,
        account_names=[""] * n, pool_names=[""] * n, account_starts=np.arange(n + 1),
        method=np.repeat(own.method[pool : pool + 1], n), draw_limit=np.full(n, np.inf),
        drawn=np.zeros(n), last_draw=np.zeros(n), set_aside=np.zeros(n, np.bool_),
        pool_starts=np.arange(n + 1) * (n - 1), item=own.item[rows],
        quantity=own.quantity[rows], entry_price=own.entry_price[rows],
        order_starts=np.zeros(n + 1, np.int64), order_item=np.zeros(0, np.int32),
        order_quantity=np.zeros(0), order_limit=np.zeros(0),
        order_reduce_only=np.zeros(0, np.bool_),
    )  # fmt: skip
    draws = float(frame.parts_mm[-1, pool])  # reservations of buckets are no holding's
    change = assess(many, market, threads=1).mm - (float(frame.mm[pool]) - draws)
    names = market.frame.item_names
    answer: dict[str, float] = {}
    for h, value in zip(range(lo, hi), change.tolist(), strict=True):
        name = names[own.item[h]]
        answer[name] = answer.get(name, 0.0) + value
    return answer
