"""One flat row of names and numbers a pool, from the engine and from the twin alike.

Laws and twin tests read rows only, so a renamed column of the engine is mended here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from crossmargin.margin import prepared
from crossmargin.margin.requirement import BINDING, PARTS, RequirementFrame
from crossmargin.methods.registry import assess
from crossmargin.reference import margin
from crossmargin.reference.plain import PlainAccount, PlainMarket, PlainPool, PlainResult
from twins.bridge import book_frame, joint_frame, market_frame

Row = Mapping[str, float]
BALANCE = ("haircut", "surcharge", "long_options", "unsettled_gains", "price_uncertainty")


def prepare(plain: PlainMarket) -> prepared.Market:
    """The engine's market of a plain one."""
    return prepared.prepare(market_frame(plain), plain.rulebook, joint_frame(plain), 1)


def engine_rows(
    plain: PlainMarket, accounts: Sequence[PlainAccount], market: prepared.Market | None = None
) -> list[Row]:
    """What the engine says of every pool, account by account."""
    there = market or prepare(plain)
    frame = assess(book_frame(plain, accounts), there, threads=1, parts=True)
    return frame_rows(frame)


def frame_rows(frame: RequirementFrame) -> list[Row]:
    """A RequirementFrame as rows."""
    columns = {
        "verdict": frame.verdict,
        "equity": frame.equity,
        "collateral_value": frame.collateral_value,
        "margin_balance_mm": frame.margin_balance_mm,
        "margin_balance_im": frame.margin_balance_im,
        "mm": frame.mm,
        "im": frame.im,
        "draw_mm": frame.draw_mm,
        "draw_im": frame.draw_im,
        "buffer_mm": frame.buffer_mm,
        "buffer_im": frame.buffer_im,
        "health": frame.health,
        "margin_ratio": frame.margin_ratio,
        "haircut_mm": frame.haircut_mm,
        "haircut_im": frame.haircut_im,
        "surcharge_mm": frame.surcharge_mm,
        "surcharge_im": frame.surcharge_im,
        "long_options_mm": frame.long_options,
        "long_options_im": frame.long_options,
        "unsettled_gains_mm": frame.gains_mm,
        "unsettled_gains_im": frame.gains_im,
        "price_uncertainty_mm": frame.uncertainty * 0.0,
        "price_uncertainty_im": frame.uncertainty,
        "binding": frame.binding_term,
        "worst_loss": frame.worst_loss,
    }
    for level, table in (("mm", frame.parts_mm), ("im", frame.parts_im)):
        columns |= {f"{part}_{level}": table[i] for i, part in enumerate(PARTS)}
    return [{name: float(column[i]) for name, column in columns.items()} for i in range(len(frame))]


def twin_row(result: PlainResult) -> Row:
    """A result of the twin as a row."""
    row = {
        "verdict": float(result.verdict),
        "equity": result.equity,
        "collateral_value": result.collateral_value,
        "health": result.health,
        "margin_ratio": result.margin_ratio,
        "worst_loss": result.worst_loss,
        "binding": float(BINDING.index(result.binding_term or "none")),
    }
    for level, at in (("mm", result.mm), ("im", result.im)):
        row |= {
            f"margin_balance_{level}": at.margin_balance,
            level: at.requirement,
            f"draw_{level}": at.draw,
            f"buffer_{level}": at.buffer,
        }
        row |= {f"{name}_{level}": at.charges.get(name, math.nan) for name in BALANCE}
        row |= {f"{name}_{level}": at.parts.get(name, math.nan) for name in PARTS}
    return row


def twin_rows(plain: PlainMarket, accounts: Sequence[PlainAccount]) -> list[Row]:
    """What the twin says of every pool, account by account."""
    return [twin_row(r) for a in accounts for r in margin.assess_account(plain, a)]


def pools_of(accounts: Sequence[PlainAccount]) -> list[PlainPool]:
    return [p for a in accounts for p in a.pools]


def scale_of(row: Row) -> float:
    """What rounding is measured against: the largest number of money in a row, at least 1."""
    money = (v for k, v in row.items() if k not in ("health", "margin_ratio", "verdict", "binding"))
    return max((abs(v) for v in money if math.isfinite(v)), default=1.0) or 1.0
