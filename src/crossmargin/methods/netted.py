"""`isolated`, `cross_sum` and `cross_correlated`: three readings of one pass over the pools.

In     BookFrame, Market.
Out    RequirementFrame.
Owns   what each method takes as its core, and that parts sum.
Never  invents a part another method has.
Signs  parts >= 0, numeraire.
Spec   docs/spec/05-requirement.md, 5.1, 5.2, 5.4
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from crossmargin.base.arrays import F64, I8
from crossmargin.frames.book import BookFrame
from crossmargin.kernels.compiled import run_blocks
from crossmargin.kernels.cross import (
    C_CORRELATED,
    C_FLOOR,
    C_HEDGED,
    C_ISOLATED_IM,
    C_ISOLATED_MM,
    C_MINIMUM_IM,
    C_MINIMUM_MM,
    C_SUM,
    N_CROSS,
    cross_pools,
)
from crossmargin.kernels.netting import T_FEE, T_FUNDING, T_LONG_OPTIONS, T_MARKET_MM, T_OWES
from crossmargin.margin.prepared import Market, holdings_of, with_owners
from crossmargin.margin.requirement import (
    BINDING,
    RequirementFrame,
    Scratch,
    blank_frame,
    finish,
    stack,
)
from crossmargin.margin.tally import fill_balances, wrong_way
from crossmargin.methods.method import BLOCK, Ask

Parts = dict[str, F64]
Core = Callable[[F64, float], tuple[Parts, Parts, I8]]


def isolated_core(row: F64, initial: float) -> tuple[Parts, Parts, I8]:
    """Stand-alone charges of every instrument, summed (spec 5.1, choice C17)."""
    n = row.shape[1]
    return (
        {"core": row[C_ISOLATED_MM]},
        {"core": row[C_ISOLATED_IM]},
        np.full(n, BINDING.index("isolated"), np.int8),
    )


def sum_core(row: F64, initial: float) -> tuple[Parts, Parts, I8]:
    """Charges of net underlyings, added up (spec 5.2, `sum`)."""
    return _cross(row, initial, row[C_SUM], np.full(row.shape[1], BINDING.index("sum"), np.int8))


def correlated_core(row: F64, initial: float) -> tuple[Parts, Parts, I8]:
    """The worst of three correlation matrices, floored (spec 5.2)."""
    floor = row[C_FLOOR] > row[C_CORRELATED]
    binding = np.where(floor, BINDING.index("floor"), BINDING.index("correlated"))
    return _cross(
        row, initial, np.maximum(row[C_CORRELATED], row[C_FLOOR]), binding.astype(np.int8)
    )


def _cross(row: F64, initial: float, core: F64, binding: I8) -> tuple[Parts, Parts, I8]:
    mm = {"core": core, "hedged": row[C_HEDGED], "short_option_minimum": row[C_MINIMUM_MM]}
    im = {
        "core": initial * core,
        "hedged": initial * row[C_HEDGED],
        "short_option_minimum": row[C_MINIMUM_IM],
    }
    return mm, im, binding


def assess_netted(core: Core, book: BookFrame, market: Market, ask: Ask) -> RequirementFrame:
    """Return the requirement of every pool under one of the three readings."""
    holdings = holdings_of(book, ask.account)
    items, slots = market.items, market.slots
    assets = with_owners(market.collateral, ask.owners)
    initial = market.rulebook.margin.initial_factor
    frame = blank_frame(book.n_pools, ask.parts)
    scratch = Scratch(N_CROSS)

    def block(lo: int, hi: int) -> None:
        out = scratch.columns(hi - lo)
        cross_pools(lo, hi, holdings, items, assets, slots, core is isolated_core, out)
        row = out[:, : hi - lo]
        here = slice(lo, hi)
        fill_balances(frame, here, row)
        parts_mm, parts_im, binding = core(row, initial)
        if market.rulebook.margin.wrong_way:
            # Long premium options are set aside whole: their loss is covered already (C42).
            cover = row[T_MARKET_MM] + row[T_LONG_OPTIONS] + sum(parts_mm.values())
            parts_mm["wrong_way"] = wrong_way(market, holdings, lo, hi, cover)
            parts_im["wrong_way"] = initial * parts_mm["wrong_way"]
        parts_mm["liquidation_fee"] = row[T_FEE]
        parts_im["liquidation_fee"] = initial * row[T_FEE]
        parts_im["funding"] = row[T_FUNDING]
        frame.mm[here], frame.im[here] = finish(parts_mm, parts_im, row[T_OWES], hi - lo)
        frame.binding_term[here] = np.where(parts_mm["core"] > 0.0, binding, 0)
        frame.worst_scenario[here], frame.worst_loss[here] = -1, np.nan
        if ask.parts:
            frame.parts_mm[:, here] = stack(parts_mm, hi - lo)
            frame.parts_im[:, here] = stack(parts_im, hi - lo)

    run_blocks(block, book.n_pools, BLOCK, ask.threads)
    return frame
