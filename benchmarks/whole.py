"""Market and book of the benches of whole methods: (a), (e), (f) and (h)."""

from __future__ import annotations

import numpy as np

from benchmarks.books import SEED
from crossmargin.adapters.files import load_rulebook
from crossmargin.frames.book import BookFrame
from crossmargin.margin.joint import JointRows
from crossmargin.margin.prepared import Market, prepare
from crossmargin.simulation.books import columns, wide_market

AT_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00Z
N_ASSETS, N_INSTRUMENTS, OPTION_SHARE = 400, 1_600, 0.2
WHALES, WHALE_SIZE = 20, 300.0  # one pool in twenty is so large that it crosses brackets and tiers
N_JOINT = 1_000


def wide(n_joint: int = 0) -> Market:
    """Return 2,000 items prepared under prime-24h, whose classes have four finite brackets and
    whose underlyings have four tiers; with joint rows where asked."""
    frame = wide_market(
        np.random.default_rng(SEED), N_ASSETS, N_INSTRUMENTS, AT_NS, option_share=OPTION_SHARE
    )
    rules = load_rulebook("prime-24h")
    joint = joint_rows(n_joint, len(frame.factors)) if n_joint else None
    return prepare(frame, rules, joint, threads=2)


def wide_book(market: Market, n_pools: int, method: str = "cross_correlated") -> BookFrame:
    """Return pools of Poisson(8) holdings, at least one, of very different sizes."""
    book = columns(np.random.default_rng(SEED + 1), market.frame, n_pools, method=method)
    starts = book.pool_starts
    for pool in range(0, n_pools, WHALES):
        book.quantity[starts[pool] : starts[pool + 1]] *= WHALE_SIZE
    return book


def market_and_book(n_pools: int, n_joint: int = 0, method: str = "cross_correlated"):
    market = wide(n_joint)
    return market, wide_book(market, n_pools, method)


def joint_rows(n_rows: int, n_factors: int) -> JointRows:
    """Return made-up joint rows: one common move, one of each factor's own."""
    rng = np.random.default_rng(SEED + 2)
    common, own = rng.normal(size=(n_rows, 1)), rng.normal(size=(n_rows, n_factors))
    return JointRows(
        names=tuple(f"row {s}" for s in range(n_rows)),
        factor_moves=np.expm1(0.04 * common + 0.03 * own),
        vol_moves=np.clip(-0.3 * common + 0.1 * own, -0.8, 2.0),
        probability=np.full(n_rows, 1.0 / n_rows),
        flagged=np.zeros((n_rows, n_factors), np.bool_),
        refused=(),
        asked=n_rows,
    )
