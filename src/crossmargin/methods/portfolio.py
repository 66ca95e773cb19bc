"""`portfolio`: collateral, debts and positions move together through every scenario.

In     BookFrame, Market (with joint rows; without them a pool is UNPRICED, not unhedged).
Out    RequirementFrame.
Owns   the core R: the worst of joint tail, stress, the worst scan and a share of all scans.
Never  charges a market haircut: the scenarios move the collateral (spec 3.2).
Signs  parts >= 0, numeraire.
Spec   docs/spec/05-requirement.md, 5.3 to 5.5
"""

from __future__ import annotations

import numpy as np

from crossmargin.base.arrays import F64, I8, I64
from crossmargin.frames.book import BookFrame
from crossmargin.kernels.compiled import run_blocks
from crossmargin.kernels.netting import T_FEE, T_FUNDING, T_OWES
from crossmargin.kernels.portfolio import (
    N_PORTFOLIO,
    P_BASIS,
    P_SCAN_CODE,
    P_SCAN_MAX,
    P_SCAN_SUM,
    P_SIZE,
    P_STRESS,
    P_STRESS_CODE,
    P_TAIL,
    P_TAIL_CODE,
    P_TAIL_LOSS,
    P_VEGA,
    portfolio_pools,
)
from crossmargin.margin.prepared import Market, holdings_of, with_owners
from crossmargin.margin.requirement import (
    BINDING,
    RequirementFrame,
    Scratch,
    blank_frame,
    empty_frame,
    finish,
    stack,
)
from crossmargin.margin.tally import fill_balances
from crossmargin.methods.method import BLOCK, Ask, Method, holds_all, reach_of_the_debt_free

JOINT = BINDING.index("joint_es")


def core_terms(row: F64, kappa: float) -> F64:
    """(4, A) candidates for the core in the order of BINDING from `joint_es` (spec 5.3)."""
    return np.stack([row[P_TAIL], row[P_STRESS], row[P_SCAN_MAX], kappa * row[P_SCAN_SUM]])


def _binding(row: F64, terms: F64) -> tuple[F64, I8, I64, F64]:
    """Return core, which term it is, the scenario behind it and the loss there."""
    term = terms.argmax(axis=0)
    core = np.take_along_axis(terms, term[None], axis=0)[0]
    codes = np.stack([row[P_TAIL_CODE], row[P_STRESS_CODE], row[P_SCAN_CODE], row[P_SCAN_CODE]])
    losses = np.stack([row[P_TAIL_LOSS], row[P_STRESS], row[P_SCAN_MAX], row[P_SCAN_MAX]])
    some = core > 0.0
    code = np.take_along_axis(codes, term[None], axis=0)[0]
    loss = np.take_along_axis(losses, term[None], axis=0)[0]
    return (
        core,
        np.where(some, term + JOINT, 0).astype(np.int8),
        np.where(some, code, -1.0).astype(np.int64),
        np.where(some, loss, np.nan),
    )


def assess(book: BookFrame, market: Market, ask: Ask) -> RequirementFrame:
    """Return the requirement of every pool by scenarios."""
    if market.joint is None:
        return empty_frame(book.n_pools, ask.parts)
    frame = blank_frame(book.n_pools, ask.parts)
    scratch = Scratch(N_PORTFOLIO)
    holdings = holdings_of(book, ask.account)
    assets = with_owners(market.counted, ask.owners)
    items, extras, rows = market.items, market.extras, market.rows
    m = market.rulebook.margin

    def block(lo: int, hi: int) -> None:
        out = scratch.columns(hi - lo)
        portfolio_pools(lo, hi, holdings, items, extras, assets, rows, out)
        row = out[:, : hi - lo]
        here = slice(lo, hi)
        fill_balances(frame, here, row, options_count=True)
        core, binding, code, loss = _binding(row, core_terms(row, m.kappa))
        parts_mm = {
            "core": core, "size": row[P_SIZE], "basis": row[P_BASIS], "vega": row[P_VEGA],
            "liquidation_fee": row[T_FEE],
        }  # fmt: skip
        parts_im = {name: m.initial_factor * part for name, part in parts_mm.items()}
        parts_im["funding"] = row[T_FUNDING]
        frame.mm[here], frame.im[here] = finish(parts_mm, parts_im, row[T_OWES], hi - lo)
        frame.binding_term[here] = binding
        frame.worst_scenario[here], frame.worst_loss[here] = code, loss
        if ask.parts:
            frame.parts_mm[:, here] = stack(parts_mm, hi - lo)
            frame.parts_im[:, here] = stack(parts_im, hi - lo)

    run_blocks(block, book.n_pools, BLOCK, ask.threads)
    return frame


PORTFOLIO = Method("portfolio", assess, reach_of_the_debt_free, holds_all)
