"""What selling costs in a market: half spread, exponent and scale of impact, and how sure.

In     samples: ladders walked, sweeps of trades, quotes for sizes; each with the block it is from.
Out    one `Fit` a market.
Owns   the regression and its standard error.
Never  reads a file; adopts what it found; knows the rulebook.
Signs  notionals, impacts, spreads >= 0; fractions of the mark.
Spec   docs/spec/09-liquidation.md, 9.8 and 9.19
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import F64
from crossmargin.kernels.impact import ladder_proceeds

WALKS = 12  # amounts a ladder is walked for, from its first level to its end
POINTS_MIN = 8  # fewer points of a block say nothing of a slope
BLOCKS_MIN = 5  # fewer blocks say nothing of how much they differ


class Sample(NamedTuple):
    """Costs met together: of one book, or of sweeps and quotes of one stretch of time.

    block      what is counted as one observation; neighbours in time share one
    notional   (N,) quote units; impact (N,) fraction of the price beyond the half spread
    half_spread  NaN where the source knows none
    """

    block: int
    notional: F64
    impact: F64
    half_spread: float


@dataclass(frozen=True, slots=True)
class Fit:
    """impact = coefficient x notional^exponent, as one market showed it.

    exponent_se  of the mean over blocks; of one pooled regression where there are few of them
    """

    market: str
    n_points: int
    n_blocks: int
    half_spread: float
    coefficient: float
    exponent: float
    exponent_se: float

    def scale(self, adv: float, sigma_daily: float) -> float:
        """Return Y: impact = Y sigma_d (notional / ADV)^exponent (spec 9.8)."""
        return float(self.coefficient * adv**self.exponent / sigma_daily)


def walked(block: int, price: F64, size: F64, mid: float) -> Sample:
    """Return one side of a book as costs of amounts that reach from its best level to its end.

    price, size  (L,)  best level first, quote units and units
    """
    whole = float(size.sum())
    units = np.geomspace(float(size[0]), whole, WALKS)
    units[-1] = whole  # the last power may end a hair past the ladder, where there is no price
    paid = ladder_proceeds(units, price, size)
    beyond = np.abs(paid / units - price[0]) / mid
    return Sample(block, units * mid, beyond, abs(float(price[0]) - mid) / mid)


def fit_impact(market: str, samples: Iterable[Sample]) -> Fit | None:
    """Return the market's fit; None where its samples cannot tell a slope.

    A block's points are regressed in logarithms; exponents of blocks are averaged, and their spread
    over the root of their number is the standard error: seconds of one minute are no independent
    observations, minutes nearly are.
    """
    kept = [_positive(s) for s in samples]
    blocks = [
        _joined(list(rows))
        for _, rows in groupby(sorted(kept, key=lambda s: s.block), lambda s: s.block)
    ]
    blocks = [b for b in blocks if _tells(b)]
    if not blocks:
        return None
    spread = [b.half_spread for b in blocks if np.isfinite(b.half_spread)]
    half_spread = float(np.median(spread)) if spread else float("nan")
    points = sum(len(b.notional) for b in blocks)
    if len(blocks) >= BLOCKS_MIN:
        lines = np.array([_line(b)[:2] for b in blocks])
        exponent = float(lines[:, 0].mean())
        error = float(lines[:, 0].std(ddof=1) / np.sqrt(len(blocks)))
    else:
        exponent, _, error = _line(_joined(blocks))
    # Given the exponent, the level that fits the middle point of all.
    log_x = np.concatenate([np.log(b.notional) for b in blocks])
    log_y = np.concatenate([np.log(b.impact) for b in blocks])
    coefficient = float(np.exp(np.mean(log_y) - exponent * np.mean(log_x)))
    return Fit(market, points, len(blocks), half_spread, coefficient, exponent, error)


def _positive(sample: Sample) -> Sample:
    """Leave out what no logarithm takes: amounts that do not reach past the best level."""
    good = (sample.notional > 0.0) & (sample.impact > 0.0)
    good &= np.isfinite(sample.notional) & np.isfinite(sample.impact)
    return sample._replace(notional=sample.notional[good], impact=sample.impact[good])


def _joined(samples: Sequence[Sample]) -> Sample:
    spread = [s.half_spread for s in samples if np.isfinite(s.half_spread)]
    return Sample(
        samples[0].block, np.concatenate([s.notional for s in samples]),
        np.concatenate([s.impact for s in samples]),
        float(np.median(spread)) if spread else float("nan"),
    )  # fmt: skip


def _tells(sample: Sample) -> bool:
    return len(sample.notional) >= POINTS_MIN and bool(np.ptp(np.log(sample.notional)) > 0.5)


def _line(sample: Sample) -> tuple[float, float, float]:
    """Return slope, intercept and the slope's standard error in logarithms."""
    from scipy.stats import linregress

    found = linregress(np.log(sample.notional), np.log(sample.impact))
    return float(found.slope), float(found.intercept), float(found.stderr)
