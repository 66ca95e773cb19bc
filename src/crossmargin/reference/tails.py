"""Expected shortfall of one pool, as the specification words it.

In     losses and probabilities, one a scenario.
Out    ES, and which scenarios make it up with which share.
Owns   which scenarios are the tail.
Never  uses a quantile.
Signs  losses + ; ES is signed.
Spec   docs/spec/05-requirement.md (5.0)
"""

from __future__ import annotations

import math

# A tail that lacks less than this share of itself is full: 0.01 is ten rows of 0.001.
FULL = 1e-12


def expected_shortfall(
    losses: list[float], probability: list[float], alpha: float
) -> tuple[float, list[tuple[int, float]]]:
    """Return ES and (scenario, share of the tail), worst first, ties by scenario."""
    if any(math.isnan(loss) for loss in losses):
        return math.nan, []
    tail = 1.0 - alpha
    worst_first = sorted(range(len(losses)), key=lambda s: (-losses[s], s))
    shares: list[tuple[int, float]] = []
    left = tail
    for s in worst_first:
        if left <= FULL * tail:
            break
        part = min(probability[s], left)
        shares.append((s, part / tail))
        left -= part
    return math.fsum(losses[s] * share for s, share in shares), shares


def pool_losses(rows: list[list[float]], items: list[int], quantities: list[float]) -> list[float]:
    """Return minus the sum over holdings of quantity x unit P&L, one a scenario."""
    held = list(zip(items, quantities, strict=True))
    return [-math.fsum(q * rows[i][s] for i, q in held) for s in range(len(rows[0]))]


def worst_loss(losses: list[float], weight: list[float]) -> tuple[float, int]:
    """Return the worst weighted loss and its scenario, the lowest on ties; (0, -1) for none. 5.3"""
    worst, at = 0.0, -1
    for s, loss in enumerate(losses):
        if weight[s] * loss > worst:
            worst, at = weight[s] * loss, s
    return worst, at
