"""Joint scenarios: what all factors did together on past dates, rescaled to today's volatility.

In     HistoryFrame, MarketFrame (which factors, which classes, as of when), Joint rules.
Out    JointRows: one scenario a date with its probability, or None where history says nothing.
Owns   filtered historical simulation (spec 4.2) and its fallback for short histories.
Never  reads a row after the market's stamp; drops a factor; treats a missing return as zero move
       while a peer of its class moved.
Signs  moves are relative, + up, > -1; vol moves relative to the 30-day volatility.
Spec   docs/spec/04-scenarios.md, docs/spec/00-choices.md C30
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from crossmargin.base.arrays import B1, F64, I64
from crossmargin.domain.assets import FactorKind
from crossmargin.domain.rulebook import Joint
from crossmargin.frames.history import HOUR_NS, HistoryFrame, RefusedPrint, clean
from crossmargin.frames.market import MarketFrame

DAY_NS = 24 * HOUR_NS
# Returns a factor needs before its volatility is known; their mean square starts the recursion.
SEED_RETURNS = 20


@dataclass(frozen=True, slots=True)
class JointRows:
    """S dates, K market factors.

    names         (S,) dates, oldest first
    factor_moves  (S, K) relative move of each factor
    vol_moves     (S, K) relative 30-day move of the surface over factor k
    probability   (S,) sums to 1
    flagged       (S, K) the return is the class's, not the factor's own
    refused       prints that were set aside; asked: how many dates the rules wanted
    """

    names: tuple[str, ...]
    factor_moves: F64
    vol_moves: F64
    probability: F64
    flagged: B1
    refused: tuple[RefusedPrint, ...]
    asked: int

    def __len__(self) -> int:
        return len(self.names)


def joint_rows(
    history: HistoryFrame, market: MarketFrame, rules: Joint, mpor_hours: float
) -> JointRows | None:
    """Return the joint scenarios as of the market's stamp; None where no date has a return.

    One window per date for all factors: the mpor hours (rounded up to whole ones) that end at
    the hour of `market.at_ns`; the last `rules.rows` such dates, fewer where there are fewer.
    """
    visible = history.as_of(market.at_ns)
    if not len(visible):
        return None
    cleaned, refused = clean(visible, rules.outlier, rules.neighbours)
    ends = _window_ends(cleaned, market.at_ns)
    mpor_ns = math.ceil(mpor_hours) * HOUR_NS
    columns = _columns(cleaned, market)
    returns = _log_returns(cleaned, cleaned.close, ends, mpor_ns)[:, columns]
    returns[:, columns < 0] = np.nan
    told = np.isfinite(returns).any(axis=1)
    if not told.any():
        return None
    ends, returns = ends[told], returns[told]
    moves, flagged = _filtered(returns, market, rules)
    vol_moves = _vol_moves(moves, rules)
    if cleaned.vol is not None:
        own = np.expm1(_log_returns(cleaned, cleaned.vol, ends, mpor_ns)[:, columns])
        vol_moves = np.where(np.isfinite(own) & (columns >= 0), own, vol_moves)
    last = slice(max(0, len(ends) - rules.rows), None)
    n = len(ends[last])
    return JointRows(
        names=tuple(_date(end) for end in ends[last]),
        factor_moves=np.expm1(moves[last]),
        vol_moves=vol_moves[last],
        probability=np.full(n, 1.0 / n),
        flagged=flagged[last],
        refused=refused,
        asked=rules.rows,
    )


def _window_ends(history: HistoryFrame, at_ns: int) -> I64:
    """Stamps, oldest first, of the hour of `at` on every date the history covers."""
    hour = at_ns // HOUR_NS * HOUR_NS
    n_dates = (hour - int(history.ts_ns[0])) // DAY_NS + 1
    return hour - DAY_NS * np.arange(n_dates - 1, -1, -1, dtype=np.int64)


def _columns(history: HistoryFrame, market: MarketFrame) -> I64:
    """(K,) column of each market factor in the history, -1 where it has none."""
    at = {name: column for column, name in enumerate(history.factors)}
    return np.array([at.get(name, -1) for name in market.factors.names], dtype=np.int64)


def _log_returns(history: HistoryFrame, level: F64, ends: I64, mpor_ns: int) -> F64:
    """(D, columns of history) log return over each window, NaN where an end is missing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(
            np.log(_level_at(history, level, ends) / _level_at(history, level, ends - mpor_ns))
        )


def _level_at(history: HistoryFrame, level: F64, stamps: I64) -> F64:
    row = np.minimum(np.searchsorted(history.ts_ns, stamps), len(history) - 1)
    return np.where((history.ts_ns[row] == stamps)[:, None], level[row], np.nan)


def _filtered(returns: F64, market: MarketFrame, rules: Joint) -> tuple[F64, B1]:
    """Return (D, K) log moves rescaled to today's volatility, and where the class stood in.

    r* = r x clip(sigma_now / sigma_t); pegs, bases and bridges keep r. A missing return, or one
    whose sigma_t is not known yet, takes its class's median return of that date, rescaled by
    the factor's sigma_now over the class's median sigma_t. A class without any return that day
    takes the median of all spot factors.
    """
    sigma, sigma_now = _volatilities(returns, rules)
    plain = np.array([kind != FactorKind.SPOT for kind in market.factors.kinds], dtype=np.bool_)
    own = np.where(plain, returns, returns * _ratio(sigma_now, sigma, rules))
    flagged = ~np.isfinite(own)
    classes = np.array(market.factors.classes)
    anyone = _median(returns[:, ~plain])
    for name in dict.fromkeys(market.factors.classes):
        peers = classes == name
        short = flagged[:, peers]
        if not short.any():
            continue
        class_return = _median(returns[:, peers])
        if not plain[peers].any():  # a class that was silent that day: everything that moved
            class_return = np.where(np.isfinite(class_return), class_return, anyone)
        class_sigma = _median(sigma[:, peers])
        now = sigma_now[peers]
        now = np.where(np.isfinite(now), now, _median(now[None, :])[0])
        ratio = _ratio(now, class_sigma[:, None], rules)
        ratio = np.where(plain[peers] | ~np.isfinite(ratio), 1.0, ratio)
        stand_in = class_return[:, None] * ratio
        own[:, peers] = np.where(short, stand_in, own[:, peers])
    # A peg on a date without any print of its class: nothing is known of it, the flag says so.
    return np.where(np.isfinite(own), own, 0.0), flagged


def _ratio(sigma_now: F64, sigma: F64, rules: Joint) -> F64:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.clip(sigma_now / sigma, rules.clip_low, rules.clip_high))


def _volatilities(returns: F64, rules: Joint) -> tuple[F64, F64]:
    """Return (D, K) sigma known before each date, and (K,) sigma now, floored at its long mean.

    sigma_t+1^2 = ewma sigma_t^2 + (1 - ewma) r_t^2; a missing return changes nothing. The first
    SEED_RETURNS returns of a factor start it: until they are in, sigma is NaN.
    """
    n_dates, n_factors = returns.shape
    variance = np.full(n_factors, np.nan)
    seed_sum, seed_count = np.zeros(n_factors), np.zeros(n_factors, dtype=np.int64)
    known = np.full((n_dates, n_factors), np.nan)
    for date in range(n_dates):
        known[date] = variance
        here = np.isfinite(returns[date])
        square = np.where(here, returns[date], 0.0) ** 2
        running = np.isfinite(variance)
        stepped = rules.ewma * variance + (1.0 - rules.ewma) * square
        variance = np.where(here & running, stepped, variance)
        seeding = here & ~running
        seed_sum += np.where(seeding, square, 0.0)
        seed_count += seeding
        variance = np.where(
            seeding & (seed_count == SEED_RETURNS), seed_sum / SEED_RETURNS, variance
        )
    sigma, now = np.sqrt(known), np.sqrt(variance)
    counted = np.isfinite(sigma).sum(axis=0)
    mean = np.where(counted > 0, np.nansum(sigma, axis=0) / np.maximum(counted, 1), now)
    return sigma, np.maximum(now, rules.sigma_floor * mean)


def _median(values: F64) -> F64:
    """(D,) median of each row's finite values, NaN where there is none."""
    out = np.full(len(values), np.nan)
    some = np.isfinite(values).any(axis=1)
    out[some] = np.nanmedian(values[some], axis=1)
    return out


def _vol_moves(log_moves: F64, rules: Joint) -> F64:
    """C30: the surface rises with |r|, more in a fall than in a rise."""
    return np.where(log_moves < 0.0, -rules.vol_fall * log_moves, rules.vol_rise * log_moves)


def _date(stamp_ns: int) -> str:
    return datetime.fromtimestamp(int(stamp_ns) // 1_000_000_000, UTC).date().isoformat()
