"""Where: liquidation prices, beta moves, the frontier, the most likely way to be liquidated.

In     an account and its small market.
Out    levels and moves at which buffer_MM is zero; grids of buffers.
Owns   the search over moved markets: everything is revalued at each point, nothing is linearised.
Never  knows which method answers.
Signs  levels > 0; moves relative; buffers signed, numeraire.
Spec   docs/spec/07-inquiry.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from crossmargin.base.arrays import F64
from crossmargin.frames.market import move_factors
from crossmargin.inquiry.desk import Desk, factor_row
from crossmargin.methods.registry import assess

SPAN = (0.01, 10.0)  # of the price: how far a liquidation price is looked for (spec 7)
SPAN_SPOT, SPAN_STEADY = 0.6, 0.15  # how far a frontier looks: prices; pegs and bases
STEPS = 96  # points on each side; two roots between neighbours (about 5 %) can be missed
Watch = Callable[[int, int], None]
"""Called with (done, all) while a search runs: for progress bars."""


def ignore(done: int, total: int) -> None:
    """Watch nothing."""


def buffer_at(desk: Desk, multiplier: F64) -> float:
    """Return the pool's buffer_MM with factors moved, everything revalued; NaN if unpriced."""
    moved = replace(desk.market, frame=move_factors(desk.market.frame, multiplier))
    return float(assess(desk.book, moved, threads=1).buffer_mm[desk.pool])


def nearest_roots(
    at: Callable[[float], float], low: float, high: float, watch: Watch
) -> tuple[float | None, float | None]:
    """Return the roots of `at` (of ln multiplier) nearest to 0 in [low, 0] and [0, high]."""
    from scipy.optimize import brentq

    here = at(0.0)
    if not np.isfinite(here):
        return None, None
    answers: list[float | None] = []
    for side, end in enumerate((low, high)):
        # Points crowd near the present price, where the nearest root is.
        points = end * (np.arange(1, STEPS + 1) / STEPS) ** 1.5
        before, value, root = 0.0, here, None
        for j, x in enumerate(points):
            after = at(float(x))
            watch(side * STEPS + j + 1, 2 * STEPS)
            if (value >= 0.0) != (after >= 0.0):
                root = float(brentq(at, before, float(x), xtol=1e-12, rtol=1e-12))
                break
            before, value = float(x), after
        answers.append(root)
    return answers[0], answers[1]


def liquidation_prices(
    desk: Desk, factor: str, watch: Watch = ignore
) -> tuple[float | None, float | None]:
    """Return the levels of a factor nearest below and above at which buffer_MM crosses zero.

    Its spot and whole curve move, all else is fixed, everything is revalued (spec 7).
    """
    name = desk.whole.frame.factors.names[factor_row(desk.whole, factor)]
    if name not in desk.market.frame.factors.names:
        return None, None  # nothing of the account moves with it
    k = factor_row(desk.market, name)
    level = float(desk.market.frame.factors.level[k])

    def at(x: float) -> float:
        multiplier = np.ones(len(desk.market.frame.factors))
        multiplier[k] = np.exp(x)
        return buffer_at(desk, multiplier)

    below, above = nearest_roots(at, float(np.log(SPAN[0])), float(np.log(SPAN[1])), watch)
    return (
        None if below is None else level * float(np.exp(below)),
        None if above is None else level * float(np.exp(above)),
    )


def betas(desk: Desk) -> F64:
    """(K,) beta of each factor to BTC from the joint rows; 1 for crypto without them, pegs 0."""
    factors, whole = desk.market.frame.factors, desk.whole
    beta = np.array([1.0 if kind == "spot" else 0.0 for kind in factors.kinds])
    names = whole.frame.factors.names
    btc = [k for k, name in enumerate(names) if name == f"BTC/{whole.frame.numeraire}"]
    if whole.joint is None or not btc:
        return beta
    moves = np.log1p(whole.joint.factor_moves)
    moves = moves - moves.mean(axis=0)
    market = moves[:, btc[0]]
    rows = [names.index(name) for name in factors.names]
    own: F64 = moves[:, rows].T @ market / (market @ market)
    return beta * own


def beta_liquidation(desk: Desk, watch: Watch = ignore) -> tuple[float | None, float | None]:
    """Return the BTC moves (relative) at which buffer_MM is zero when all crypto follows (7)."""
    beta = betas(desk)

    def at(z: float) -> float:
        return buffer_at(desk, np.exp(beta * z))

    below, above = nearest_roots(at, float(np.log(SPAN[0])), float(np.log(SPAN[1])), watch)
    return (
        None if below is None else float(np.expm1(below)),
        None if above is None else float(np.expm1(above)),
    )


@dataclass(frozen=True, slots=True)
class Frontier:
    """buffer_MM over a grid of two factors: x (X,), y (Y,) levels; buffer (Y, X)."""

    factor_x: str
    factor_y: str
    x: F64
    y: F64
    buffer: F64


def frontier(
    desk: Desk, factor_x: str, factor_y: str, points: int = 25, watch: Watch = ignore
) -> Frontier:
    """Return buffer_MM where two factors stand between 1 - span and 1 / (1 - span) of now.

    span is SPAN_SPOT for prices and SPAN_STEADY for pegs, bases and bridges.
    """
    kx, ky = factor_row(desk.market, factor_x), factor_row(desk.market, factor_y)
    factors = desk.market.frame.factors
    steps_x, steps_y = (_steps(factors.kinds[k], points) for k in (kx, ky))
    buffer = np.empty((points, points))
    for j, i in _cells(points):
        multiplier = np.ones(len(factors))
        multiplier[ky] *= steps_y[j]
        multiplier[kx] *= steps_x[i]
        buffer[j, i] = buffer_at(desk, multiplier)
        watch(j * points + i + 1, points * points)
    return Frontier(
        factors.names[kx], factors.names[ky], factors.level[kx] * steps_x,
        factors.level[ky] * steps_y, buffer,
    )  # fmt: skip


def _steps(kind: str, points: int) -> F64:
    end = -np.log(1.0 - (SPAN_SPOT if kind == "spot" else SPAN_STEADY))
    steps: F64 = np.exp(np.linspace(-end, end, points))
    return steps


def _cells(points: int) -> Iterator[tuple[int, int]]:
    for j in range(points):
        for i in range(points):
            yield j, i


@dataclass(frozen=True, slots=True)
class LikelyMove:
    """The most likely move to the edge of liquidation.

    move       factor name -> relative move
    distance   sqrt(z' Sigma^-1 z), standard deviations over the margin period
    buffer     buffer_MM there, near 0
    """

    move: dict[str, float]
    distance: float
    buffer: float


def most_likely_move(desk: Desk, watch: Watch = ignore) -> LikelyMove | None:
    """Return the smallest z' Sigma^-1 z with buffer_MM = 0, z in log moves (spec 7).

    Sigma is the Ledoit-Wolf covariance of the joint rows. None without joint rows or factors, where
    the pool is unpriced, or where no start (linear answer, worst stress, market beta) reaches it.
    """
    from scipy.optimize import minimize
    from sklearn.covariance import LedoitWolf

    joint = desk.market.joint
    if joint is None or not len(desk.market.frame.factors):
        return None
    root = np.linalg.cholesky(
        LedoitWolf().fit(np.log1p(joint.factor_moves)).covariance_
        + 1e-12 * np.eye(len(desk.market.frame.factors))
    )
    scale = max(1.0, abs(buffer_at(desk, np.ones(len(root)))))

    def edge(u: F64) -> float:
        return buffer_at(desk, np.exp(np.clip(root @ u, -4.6, 2.4))) / scale

    if not np.isfinite(edge(np.zeros(len(root)))):
        return None
    best: F64 | None = None
    starts = _starts(desk, root, edge)
    for done, start in enumerate(starts):
        found = minimize(
            lambda u: 0.5 * float(u @ u), start, jac=lambda u: u, method="SLSQP",
            constraints={"type": "eq", "fun": edge}, options={"maxiter": 40, "ftol": 1e-9},
        )  # fmt: skip
        watch(done + 1, len(starts))
        on_edge = abs(edge(found.x)) < 1e-4
        if on_edge and (best is None or found.x @ found.x < best @ best):
            best = found.x
    if best is None:
        return None
    move = np.expm1(root @ best)
    names = desk.market.frame.factors.names
    return LikelyMove(
        dict(zip(names, move.tolist(), strict=True)),
        float(np.sqrt(best @ best)),
        edge(best) * scale,
    )


def _starts(desk: Desk, root: F64, edge: Callable[[F64], float]) -> list[F64]:
    """Return where the search begins: the linear answer, and lines through stress and beta."""
    n = len(root)
    here = edge(np.zeros(n))
    gradient = np.array([(edge(0.5 * e) - edge(-0.5 * e)) for e in np.eye(n)])
    starts = []
    if gradient @ gradient > 0.0:
        starts.append(-here * gradient / (gradient @ gradient))
    lines = [np.log1p(m) for m in desk.market.scenarios.moves[len(desk.market.rows.probability) :]]
    lines += [betas(desk), -betas(desk)]
    for line in lines:
        u = np.linalg.solve(root, line)
        ladder = [edge(t * u) for t in (0.25, 0.5, 1.0)]
        crossed = [t for t, v in zip((0.25, 0.5, 1.0), ladder, strict=True) if v * here <= 0.0]
        if crossed:
            starts.append(crossed[0] * u)
    starts.sort(key=lambda u: float(u @ u))
    return starts[:4]
