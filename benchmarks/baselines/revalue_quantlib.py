"""Black-76 by QuantLib's blackFormula, one option and scenario at a time."""

from __future__ import annotations

import numpy as np
import QuantLib as ql


def revalue(
    forward: np.ndarray,
    strike: np.ndarray,
    t_years: np.ndarray,
    discount: np.ndarray,
    is_call: np.ndarray,
    log_mult: np.ndarray,
    sigma: np.ndarray,
) -> np.ndarray:
    """Return prices (N, S); log_mult, sigma (N, S); the rest (N,)."""
    moved = (forward[:, None] * np.exp(log_mult)).tolist()
    spread = (sigma * np.sqrt(t_years)[:, None]).tolist()
    sides = [ql.Option.Call if call else ql.Option.Put for call in is_call]
    return np.array(
        [
            [ql.blackFormula(side, k, f, v, d) for f, v in zip(fs, vs, strict=True)]
            for side, k, d, fs, vs in zip(
                sides, strike.tolist(), discount.tolist(), moved, spread, strict=True
            )
        ]
    )
