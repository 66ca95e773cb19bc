"""Candidates for deleveraging: a small table by hand, and any number of them for laws."""

from __future__ import annotations

import math
import random

import numpy as np
from hypothesis import strategies as st

from crossmargin.liquidation.adl import Candidates
from crossmargin.reference.waterfall import Winner

# Few values, so that ties happen.
GAINS = (-0.5, -0.25, 0.0, 0.1, 0.25, 1.0, 3.0)
LEVERAGES = (0.0, 0.2, 1.0, 2.0, 5.0, 40.0)


def columns(winners: list[Winner], lot_usd: float = 10.0) -> Candidates:
    """Return the same candidates as columns."""

    def floats(values):
        return np.array(list(values), dtype=np.float64)

    return Candidates(
        tuple(w.holder for w in winners),
        tuple(w.lots for w in winners),
        floats(w.gain for w in winners),
        floats(w.leverage for w in winners),
        floats(w.buffer for w in winners),
        np.full(len(winners), lot_usd),
        floats(w.lot_gain for w in winners),
        tuple(w.hedge for w in winners),
    )


def winner(name, lots, gain=0.1, leverage=1.0, buffer=1.0, lot_gain=0.0, hedge=0) -> Winner:
    return Winner((name, "shared"), lots, gain, leverage, buffer, lot_gain, hedge)


def made(seed: int, n: int, lots_max: int = 40) -> list[Winner]:
    """Return n candidates from a seed: some without a rank, some under water, many equal."""
    rng = random.Random(seed)
    names = rng.sample("abcdefghij", n)
    return [
        winner(
            name,
            rng.randint(0, lots_max),
            rng.choice((*GAINS, math.nan, rng.uniform(-1.0, 5.0))),
            rng.choice((*LEVERAGES, math.inf, 1e9, 1.1e9, rng.uniform(0.0, 50.0), 5e-324)),
            rng.choice((100.0, 0.0, -1.0, 5.0, 7.0, 9.0, math.nan)),
            rng.choice((-2.0, -1.0, 0.0, 1.0, 2.0, math.nan)),
            rng.choice((0, 0, 1, 7, 100)),
        )
        for name in names
    ]


def winners() -> st.SearchStrategy[list[Winner]]:
    """Up to six candidates."""
    return st.builds(made, st.integers(0, 2**32), st.integers(0, 6))
