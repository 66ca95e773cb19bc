"""From kernel rows to the answer: margin balance, requirement, verdict, for every pool.

In     rows of `kernels.cross` or `kernels.portfolio`; the rulebook's factors.
Out    `RequirementFrame`: one row a pool; parts by name that sum.
Owns   which part stands where, IM from MM, the owes-nothing rule, verdicts and ratios.
Never  recomputes a part; decides what a pool may do with the verdict.
Signs  equity, balances, buffers signed; parts >= 0 but `owes_nothing` (<= 0); NaN where UNPRICED.
Spec   docs/spec/05-requirement.md, docs/spec/06-verdict.md; choices C24, C25, C34, C35, C45
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields, replace
from enum import IntEnum

import numpy as np

from crossmargin.base.arrays import B1, F64, I8, I64


class Verdict(IntEnum):
    """What a pool may do, worst first. The order is the rule (spec 6)."""

    UNPRICED = 0  # a number is missing: no new risk, no liquidation, a human is told
    BANKRUPT = 1  # equity < 0
    LIQUIDATABLE = 2  # margin balance (MM) < MM
    REDUCE_ONLY = 3  # margin balance (IM) < IM
    HEALTHY = 4


PARTS = (
    "core", "hedged", "short_option_minimum", "size", "basis", "vega", "liquidation_fee",
    "wrong_way", "funding", "im_floor", "owes_nothing", "open_orders", "draws",
)  # fmt: skip
"""Parts of a requirement, in the order explain shows them; they sum to mm or im."""

BALANCE_PARTS = (
    "equity", "haircut", "surcharge", "long_options", "unsettled_gains", "price_uncertainty",
)  # fmt: skip
"""margin_balance = equity - the others."""

BINDING = (
    "none", "isolated", "sum", "correlated", "floor", "joint_es", "stress", "worst_scan",
    "scan_sum",
)  # fmt: skip
"""Names of `binding_term` codes: what the core is made of."""


@dataclass(frozen=True, slots=True)
class RequirementFrame:
    """One row a pool, numeraire; every field (A,) but the parts.

    equity, collateral_value     net liquidation value; what of held assets counts at MM
    haircut_* .. uncertainty     what the margin balance is below equity (BALANCE_PARTS)
    margin_balance_mm, .._im     equity less those
    mm, im                       requirement; buffer = margin balance + draw - requirement
    draw_mm, draw_im             granted draws (buckets); draw_wanted_im what was wanted
    bankrupt_short               spec 1.1: E + min(dr, max(0, E_S)); plain pools: E; < 0 is BANKRUPT
    free                         owes nothing: HEALTHY by rule, charged nothing (5.5, C60)
    binding_term                 index into BINDING; worst_scenario a scenario code, -1 none
    parts_mm, parts_im           (len(PARTS), A), or (0, A) where they were not asked for
    """

    equity: F64
    collateral_value: F64
    haircut_mm: F64
    haircut_im: F64
    surcharge_mm: F64
    surcharge_im: F64
    long_options: F64
    gains_mm: F64
    gains_im: F64
    uncertainty: F64
    margin_balance_mm: F64
    margin_balance_im: F64
    mm: F64
    im: F64
    draw_mm: F64
    draw_im: F64
    draw_wanted_im: F64
    bankrupt_short: F64
    free: B1
    binding_term: I8
    worst_scenario: I64
    worst_loss: F64
    parts_mm: F64
    parts_im: F64

    def __len__(self) -> int:
        return len(self.equity)

    @property
    def buffer_mm(self) -> F64:
        return self._buffer(self.margin_balance_mm, self.mm, self.draw_mm)

    @property
    def buffer_im(self) -> F64:
        return self._buffer(self.margin_balance_im, self.im, self.draw_im)

    def _buffer(self, balance: F64, requirement: F64, draw: F64) -> F64:
        # In this order a draw that covers the shortfall leaves exactly 0 (C58).
        buffer = balance - requirement
        buffer += draw
        free = np.flatnonzero(self.free)
        rule = free[requirement[free] == 0.0]
        buffer[rule] = np.maximum(buffer[rule], 0.0)
        return buffer

    @property
    def charge_mm(self) -> F64:
        """Q_MM: all the rules take off equity, wherever it is booked (spec 6)."""
        return self.equity - self.margin_balance_mm + self.mm

    @property
    def health(self) -> F64:
        """(E + draw) / Q_MM; inf where nothing is charged, -inf where that pool owes (C54)."""
        return ratio(self.equity + self.draw_mm, self.charge_mm)

    @property
    def margin_ratio(self) -> F64:
        """Q_MM / E: 0 where nothing is charged, inf where equity is gone (spec 6)."""
        equity, charge = self.equity + self.draw_mm, self.charge_mm
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            quotient = charge / equity
        gone = (equity < 0.0) | ((equity == 0.0) & (charge > 0.0))
        answer = np.where(gone, np.inf, np.where(charge == 0.0, 0.0, quotient))
        return np.where(np.isfinite(self.equity), answer, np.nan)

    @property
    def verdict(self) -> I8:
        return verdicts(self.bankrupt_short, self.buffer_im, self.buffer_mm)


def ratio(equity: F64, charge: F64) -> F64:
    """Return health: equity / charge with the conventions of spec 6; NaN where unknown."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        quotient = equity / charge
    free = np.where(equity < 0.0, -np.inf, np.inf)
    answer = np.where(charge == 0.0, free, quotient)
    return np.where(np.isfinite(equity) & np.isfinite(charge), answer, np.nan)


def verdicts(equity_short: F64, buffer_im: F64, buffer_mm: F64) -> I8:
    """Return one `Verdict` a pool; all arrays (A,), numeraire. NaN means "not known".

    equity_short  equity plus what may still be drawn on the shared pool (spec 1.1); < 0 bankrupt
    """
    known = np.isfinite(equity_short) & np.isfinite(buffer_im) & np.isfinite(buffer_mm)
    solvent = equity_short >= 0.0
    # Every test says what must hold, so a NaN fails them all and ends as UNPRICED. Written the
    # other way round (buffer < 0 -> LIQUIDATABLE, else HEALTHY) a missing price is healthy.
    # buffer_im <= buffer_mm is a law; both are asked so that no order of tests can hide a breach.
    return np.select(
        [
            known & solvent & (buffer_im >= 0.0) & (buffer_mm >= 0.0),
            known & solvent & (buffer_mm >= 0.0),
            known & solvent,
            known,
        ],
        [Verdict.HEALTHY, Verdict.REDUCE_ONLY, Verdict.LIQUIDATABLE, Verdict.BANKRUPT],
        default=Verdict.UNPRICED,
    ).astype(np.int8)


def empty_frame(n_pools: int, with_parts: bool) -> RequirementFrame:
    """Return a frame of NaN rows: UNPRICED until something fills them."""
    frame = blank_frame(n_pools, with_parts)
    for name in (*FILLED, "parts_mm", "parts_im"):
        getattr(frame, name)[:] = np.nan
    frame.worst_scenario[:] = -1
    frame.binding_term[:] = 0
    frame.free[:] = False
    return frame


FILLED = (
    "equity", "collateral_value", "haircut_mm", "haircut_im", "surcharge_mm", "surcharge_im",
    "long_options", "gains_mm", "gains_im", "uncertainty", "margin_balance_mm",
    "margin_balance_im", "mm", "im", "bankrupt_short", "worst_loss",
)  # fmt: skip


def blank_frame(n_pools: int, with_parts: bool) -> RequirementFrame:
    """Return a frame without draws whose other columns hold what the memory held: for a method
    that writes every one of them, each block of pools by the thread that computed it."""
    # One block of memory: the system hands out large ones in large pages, which halves the time.
    columns: dict[str, F64] = dict(zip(FILLED, np.empty((len(FILLED), n_pools)), strict=True))
    rows = len(PARTS) if with_parts else 0
    return RequirementFrame(
        **columns,
        draw_mm=np.zeros(n_pools),
        draw_im=np.zeros(n_pools),
        draw_wanted_im=np.zeros(n_pools),
        free=np.empty(n_pools, np.bool_),
        binding_term=np.empty(n_pools, np.int8),
        worst_scenario=np.empty(n_pools, np.int64),
        parts_mm=np.empty((rows, n_pools)),
        parts_im=np.empty((rows, n_pools)),
    )


class Scratch(threading.local):
    """Memory for the columns of one block of pools: one for each thread, used again."""

    def __init__(self, n_columns: int) -> None:
        """Start without memory."""
        self.memory = np.empty((n_columns, 0))

    def columns(self, n_pools: int) -> F64:
        """Return (n_columns, at least n_pools); what stands past n_pools has no meaning."""
        if self.memory.shape[1] < n_pools:
            # 8 more than asked, so that the columns do not all share a few lines of the cache.
            self.memory = np.empty((len(self.memory), n_pools + 8))
        return self.memory


def take(frame: RequirementFrame, picked: I64) -> RequirementFrame:
    """Return the rows of the picked pools."""
    columns = {
        f.name: getattr(frame, f.name)[picked]
        for f in fields(frame)
        if not f.name.startswith("parts_")
    }
    return replace(
        frame, **columns, parts_mm=frame.parts_mm[:, picked], parts_im=frame.parts_im[:, picked]
    )


def put(frame: RequirementFrame, picked: I64, part: RequirementFrame) -> None:
    """Write the rows of `part` into the picked rows of a frame being built."""
    for f in fields(frame):
        column = getattr(frame, f.name)
        if f.name.startswith("parts_"):
            column[:, picked] = getattr(part, f.name)
        else:
            column[picked] = getattr(part, f.name)


def total(parts: dict[str, F64], shape: int) -> F64:
    """Sum parts in the order of PARTS, so that the sum is the same on every run."""
    answer = np.zeros(shape)
    for name in PARTS:
        if name in parts:
            answer += parts[name]
    return answer


def finish(
    parts_mm: dict[str, F64], parts_im: dict[str, F64], owes: F64, n_pools: int
) -> tuple[F64, F64]:
    """Add the rules that level a requirement (`owes_nothing`, `im_floor`); return mm and im.

    owes  (A,) > 0 where the pool has a debt, a short option or a future (spec 5.5)
    """
    free = owes == 0.0  # a NaN is not free
    levels = []
    for parts in (parts_mm, parts_im):
        own = total(parts, n_pools)
        parts["owes_nothing"] = np.where(free, -own, 0.0)
        # A pool that owes nothing is charged exactly nothing, not the rounding of x - x.
        levels.append(np.where(free, 0.0, own))
    mm, im = levels
    parts_im["im_floor"] = np.maximum(mm - im, 0.0)
    return mm, np.maximum(mm, im)


def stack(parts: dict[str, F64], n_pools: int) -> F64:
    """Return parts as (len(PARTS), A), zeros where a method has none of a name."""
    zeros = np.zeros(n_pools)
    return np.stack([parts.get(name, zeros) for name in PARTS])
