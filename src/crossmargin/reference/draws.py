"""Draw limits: what ring-fenced buckets may reserve of the shared pool, and all verdicts.

In     an account and one result a pool, each by itself.
Out    the same results with draws, health, margin ratio and verdict.
Owns   spec 1.1 and 6.
Never  moves money; lets a reservation make the shared pool liquidatable.
Signs  draws >= 0; health may be negative or infinite, NaN only where UNPRICED.
Spec   docs/spec/01-what-exists.md, docs/spec/06-verdict.md
"""

from __future__ import annotations

import math
from dataclasses import replace

from crossmargin.reference.plain import (
    BANKRUPT,
    HEALTHY,
    LIQUIDATABLE,
    REDUCE_ONLY,
    UNPRICED,
    LevelResult,
    PlainAccount,
    PlainPool,
    PlainResult,
)


def draw(account: PlainAccount, results: list[PlainResult]) -> list[PlainResult]:
    """Grant draws in the owner's order, level by level; then judge every pool."""
    shared = results[0]
    left = {
        "mm": max(0.0, shared.mm.margin_balance - shared.mm.requirement),
        "im": max(0.0, shared.im.margin_balance - shared.im.requirement),
    }
    buckets = []
    total = {"mm": 0.0, "im": 0.0}
    for pool, result in zip(account.pools[1:], results[1:], strict=True):
        granted = {
            level: grant(pool, result, level, None if shared.unpriced else left[level])
            for level in ("mm", "im")
        }
        for level, y in granted.items():
            left[level] -= y
            total[level] += y
        drawn = replace(
            result,
            mm=replace(result.mm, draw=granted["mm"]),
            im=replace(result.im, draw=granted["im"]),
        )
        buckets.append(judged(drawn, rescue(pool, shared)))
    if not shared.unpriced:
        verdict = judged(shared, 0.0).verdict  # C58: before the reservations
        mm, im = reserved(shared.mm, total["mm"]), reserved(shared.im, total["im"])
        shared = replace(judged(replace(shared, mm=mm, im=im), 0.0), verdict=verdict)
    return [shared, *buckets]


def grant(pool: PlainPool, result: PlainResult, level: str, left: float | None) -> float:
    """1.1, C46: y = min(x, what is left of B); None where the shared pool is not priced."""
    room = max(0.0, pool.draw_limit - pool.drawn)
    if result.unpriced:
        wanted = pool.last_draw if level == "mm" else room
        return 0.0 if left is None else min(wanted, left)
    own = result.mm if level == "mm" else result.im
    wanted = min(max(0.0, own.requirement - own.margin_balance), room)
    if left is None:
        return min(wanted, pool.last_draw) if level == "mm" else 0.0
    return min(wanted, left)


def rescue(pool: PlainPool, shared: PlainResult) -> float:
    """What the shared pool would pay if the bucket ended below nothing."""
    room = max(0.0, pool.draw_limit - pool.drawn)
    return room if shared.unpriced else min(room, max(0.0, shared.equity))


def reserved(own: LevelResult, draws: float) -> LevelResult:
    """C34: the shared pool shows what its buckets reserve."""
    return replace(own, requirement=own.requirement + draws, parts={**own.parts, "draws": draws})


def judged(result: PlainResult, cover: float) -> PlainResult:
    """Spec 6. Every test says what must hold, so NaN ends as UNPRICED."""
    if result.unpriced:
        return replace(result, verdict=UNPRICED)
    health, ratio = ratios(
        result.equity + result.mm.draw,
        result.equity - result.mm.margin_balance + result.mm.requirement,
    )
    solvent = result.equity + cover >= 0.0
    orders = result.im.parts.get("open_orders", 0.0)
    if not result.owes and orders == 0.0:
        verdict = HEALTHY  # C60
    elif solvent and covered(result.mm) and covered(result.im):
        verdict = HEALTHY
    elif solvent and covered(result.mm):
        verdict = REDUCE_ONLY
    elif solvent:
        verdict = LIQUIDATABLE
    else:
        verdict = BANKRUPT
    return replace(result, verdict=verdict, health=health, margin_ratio=ratio)


def covered(at: LevelResult) -> bool:
    """1.1, C58: D <= y; the shared pool draws nothing, so there it is requirement <= MB."""
    return at.requirement - at.margin_balance <= at.draw


def ratios(equity: float, charge: float) -> tuple[float, float]:
    """Health E / Q and margin ratio Q / E with the conventions of spec 6 and C54."""
    if charge <= 0.0:
        return (-math.inf, math.inf) if equity < 0.0 else (math.inf, 0.0)
    return equity / charge, math.inf if equity <= 0.0 else charge / equity
