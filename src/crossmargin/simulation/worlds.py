"""Generated worlds: a price history with crises in it, and the market at its end.

In     a seed or a numpy Generator, and the stamp of "now".
Out    `World`: hourly `HistoryFrame` up to `at_ns`, `MarketTables` at `at_ns`.
Owns   the model of factors: regimes, jumps, the planted crash, the depeg, the staking discount.
Never  reads a file or a clock; the same seed and stamp give the same bytes.
Signs  levels > 0; log returns signed (+ up); gaps of pegs >= 0.
Spec   docs/generator.md (figures and where they come from)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from crossmargin.base.arrays import F64
from crossmargin.frames.history import HOUR_NS, HistoryFrame
from crossmargin.frames.listing import MarketTables
from crossmargin.simulation.surfaces import Quotes, instrument_table

DAYS_WITH_EPISODES = 400  # a shorter history has no room for the crash and the depeg


class Spot(NamedTuple):
    """One coin. Measured figures: see CALIBRATED; level, adv and growth are of the same data.

    growth       log of last over first close of the 1,500 days
    crash_beta   mean move on the 15 worst BTC days over BTC's own
    adv          median quote volume a day of the last 180 days, spot, USD
    """

    coin: str
    risk_class: str
    level: float
    sigma_daily: float
    growth: float
    crash_beta: float
    adv: float
    half_spread: float
    decimals: int


# CALIBRATED: hourly closes of Binance, spot with perpetual filling holes, one log return a day at
# 12:00 UTC, 2021-11-22 to 2025-12-31, 1,500 days. docs/generator.md has the table and the method.
SPOTS = (
    Spot("BTC", "BTC", 90_000.0, 0.0279, 0.44, 1.00, 1.74e9, 0.0001, 8),
    Spot("ETH", "ETH", 3_000.0, 0.0369, -0.34, 1.22, 1.90e9, 0.0001, 18),
    Spot("SOL", "major", 126.0, 0.0528, -0.55, 1.66, 6.34e8, 0.0003, 9),
    Spot("XRP", "major", 1.87, 0.0430, 0.58, 1.26, 3.43e8, 0.0004, 6),
    Spot("LINK", "major", 12.4, 0.0490, -0.79, 1.73, 7.00e7, 0.0005, 18),
    Spot("DOGE", "major", 0.123, 0.0492, -0.59, 1.57, 2.27e8, 0.0005, 8),
    Spot("AVAX", "major", 12.6, 0.0540, -2.35, 1.71, 6.16e7, 0.0006, 18),
    Spot("NEAR", "altcoin", 1.51, 0.0586, -1.80, 1.87, 3.01e7, 0.0010, 18),
    Spot("UNI", "altcoin", 5.89, 0.0529, -1.30, 1.65, 4.28e7, 0.0008, 18),
    Spot("AAVE", "altcoin", 149.0, 0.0550, -0.57, 1.65, 1.90e7, 0.0010, 18),
)
# Correlation of the same daily returns, upper triangle row by row.
CORRELATION = (
    (1.0, 0.85, 0.76, 0.63, 0.72, 0.70, 0.72, 0.68, 0.66, 0.69),
    (1.0, 0.75, 0.65, 0.78, 0.72, 0.76, 0.71, 0.75, 0.77),
    (1.0, 0.63, 0.72, 0.66, 0.78, 0.73, 0.65, 0.68),
    (1.0, 0.67, 0.62, 0.66, 0.61, 0.60, 0.59),
    (1.0, 0.69, 0.76, 0.72, 0.71, 0.75),
    (1.0, 0.68, 0.64, 0.64, 0.62),
    (1.0, 0.77, 0.68, 0.71),
    (1.0, 0.67, 0.68),
    (1.0, 0.74),
    (1.0,),
)


class Peg(NamedTuple):
    """A level that hovers: log level = log(centre) + an AR(1) of this spread and half-life."""

    factor: str
    kind: str
    risk_class: str
    centre: float
    spread: float
    half_life_h: float
    depeg_share: float  # of USDC's gap in the depeg episode; negative: bid up


# Centres and spreads: 5 to 95 % of the level outside the episodes (Uniswap USDC/USDT, CoinGecko,
# Chainlink stETH/ETH, Binance WBTC/BTC). USDe: 19 quiet days of a Compound oracle.
PEGS = (
    Peg("USDT/USD", "peg", "stablecoin", 1.0002, 0.0006, 8.0, -0.04),
    Peg("USDC/USD", "peg", "stablecoin", 0.9999, 0.0004, 8.0, 1.00),
    Peg("DAI/USD", "peg", "stablecoin", 0.9999, 0.0006, 8.0, 0.80),
    Peg("USDe/USD", "peg", "synthetic", 1.0002, 0.0006, 12.0, 0.15),
    Peg("stETH/ETH", "basis", "lst_basis", 0.9988, 0.0006, 72.0, 0.0),
    Peg("WBTC/BTC", "bridge", "bridge_basis", 0.9994, 0.0012, 33.0, 0.0),
)
FACTORS = tuple(f"{s.coin}/USD" for s in SPOTS) + tuple(p.factor for p in PEGS)

# Volatility states a day: calm, normal, storm; mean stays 16, 20 and 4 days. Chosen, with SLOW and
# FAST, so that excess kurtosis, the EWMA volatility's percentiles and its memory come out as
# measured: docs/generator.md has both sides.
STATE_VOL = (0.65, 1.0, 2.1)
STATE_STEP = ((0.9375, 0.0525, 0.01), (0.035, 0.95, 0.015), (0.05, 0.20, 0.75))
STORM = 2
SLOW, FAST = (0.25, 60 * 24.0), (0.20, 18.0)  # log volatility: spread, half-life in hours
HOURLY_T_DOF = 5.0  # common to all coins: tails meet (hourly excess kurtosis measured 13 to 25)
JUMPS_A_YEAR, JUMP_MEAN, JUMP_SPREAD = 3.0, -0.04, 0.05  # BTC log move, others by crash_beta
OWN_JUMPS_A_YEAR, OWN_JUMP_SIGMAS = 3.0, 3.0  # per coin but BTC, both ways
JUMP_HOURS = (0.40, 0.25, 0.15, 0.10, 0.06, 0.04)
CRASH_LOG = -0.155  # BTC; worst day measured -18.4 %, of which the storm around it brings a part
WICK_LOW, WICK_HIGH = 0.58, 0.54  # mean wick beyond open and close, in mean |hourly return|

# USDC in USDT on Uniswap v3, every third hour from 2023-03-10 18:00 UTC, its low (08:00) put in.
DEPEG_HOURS = (*range(0, 14, 3), 14, *range(15, 78, 3))
DEPEG_LEVEL = (
    0.9999, 0.9995, 0.9921, 0.9779, 0.9277, 0.8726, 0.9044, 0.9123, 0.9393, 0.9779, 0.9611, 0.9642,
    0.9661, 0.9426, 0.9499, 0.9498, 0.9543, 0.9588, 0.9846, 0.9900, 0.9863, 0.9875, 0.9864, 0.9923,
    0.9954, 0.9948, 0.9999,
)  # fmt: skip
# stETH/ETH on Chainlink, 2022-05-05 to 2022-10: day of the episode -> level. The planted crash is
# on LST_CRASH_DAY, where June 2022 had it.
LST_DAYS = (0, 6, 9, 14, 30, 37, 40, 43, 46, 60, 85, 130, 170)
LST_LEVEL = (
    0.9993, 0.9957, 0.9824, 0.9760, 0.9759, 0.9623, 0.9500, 0.9394, 0.9650, 0.9630, 0.9775, 0.9850,
    0.9988,
)  # fmt: skip
LST_CRASH_DAY = 42


@dataclass(frozen=True, slots=True)
class World:
    """A history and the market at its end; `seed` words for `source` are in the tables."""

    at_ns: int
    history: HistoryFrame
    tables: MarketTables


@dataclass(frozen=True, slots=True)
class Episodes:
    """Days from the start on which the planted episodes begin; -1 where there is no room."""

    crash: int
    depeg: int
    discount: int


def world(seed: int | np.random.Generator, at_ns: int, days: int = 1_500) -> World:
    """Return `days` days of hourly history ending at `at_ns`, and the market there.

    The last close of every factor is its level now. `at_ns` must be a whole hour.
    """
    assert at_ns % HOUR_NS == 0, "history is stamped by whole hours"
    assert days >= 2
    generator = np.random.default_rng(seed)
    episodes = _episodes(generator, days)
    vol = _vol_path(generator, days, episodes)
    returns = _spot_returns(generator, vol, episodes)
    spots = np.array([s.level for s in SPOTS])
    spot_close = spots * np.exp(np.vstack([np.zeros(len(SPOTS)), returns.cumsum(axis=0)]))
    # Anchored at the end: today's levels are the stated ones, the past follows from returns.
    spot_close *= spots / spot_close[-1]
    peg_close = _peg_levels(generator, vol, episodes)
    close = np.hstack([spot_close, peg_close])
    low, high = _wicks(generator, close, vol)
    ts_ns = at_ns - HOUR_NS * np.arange(len(close) - 1, -1, -1, dtype=np.int64)
    history = HistoryFrame(ts_ns=ts_ns, factors=FACTORS, close=close, low=low, high=high)
    return World(at_ns=at_ns, history=history, tables=_tables(generator, at_ns, close))


def _episodes(generator: np.random.Generator, days: int) -> Episodes:
    if days < DAYS_WITH_EPISODES:
        return Episodes(-1, -1, -1)
    discount = int(days * generator.uniform(0.10, 0.20))  # Jun 2022 lies at 0.14 of the data
    depeg = int(days * generator.uniform(0.55, 0.65))  # clear of the discount for short histories
    return Episodes(crash=discount + LST_CRASH_DAY, depeg=depeg, discount=discount)


def _vol_path(generator: np.random.Generator, days: int, episodes: Episodes) -> F64:
    """(24 days,) multiplier of hourly volatility with mean square 1 over the stationary law."""
    step = np.cumsum(np.array(STATE_STEP), axis=1)
    state, states = 1, np.zeros(days, np.int64)
    for day, u in enumerate(generator.random(days)):
        state = min(int(np.searchsorted(step[state], u)), STORM)
        states[day] = state
    for start in (episodes.crash, episodes.depeg):
        if start >= 0:
            states[start : start + 4] = STORM
    stationary = np.linalg.matrix_power(np.array(STATE_STEP), 512)[0]
    level = np.array(STATE_VOL)
    level = level / np.sqrt(stationary @ level**2)
    spread, half_life = np.array([SLOW, FAST]).T
    log_vol = _hover(generator, 24 * days, spread, half_life).sum(axis=1)
    # exp(2 x) of a normal x has mean exp(2 var): divided out, the mean square stays 1.
    path: F64 = np.repeat(level[states], 24) * np.exp(log_vol - (spread**2).sum())
    return path


def _hover(generator: np.random.Generator, n: int, spread: F64, half_life_h: float | F64) -> F64:
    """(n, k) stationary AR(1) columns of this standard deviation and half-life in hours."""
    decay = 0.5 ** (1.0 / np.broadcast_to(half_life_h, spread.shape))
    noise = generator.standard_normal((n, len(spread))) * spread
    noise[1:] *= np.sqrt(1.0 - decay**2)
    for row in range(1, n):
        noise[row] += decay * noise[row - 1]
    return noise


def _spot_returns(generator: np.random.Generator, vol: F64, episodes: Episodes) -> F64:
    """(n, 10) hourly log returns with the stated mean, variance and correlation in expectation."""
    n, k = len(vol), len(SPOTS)
    sigma = np.array([s.sigma_daily for s in SPOTS])
    beta = np.array([s.crash_beta for s in SPOTS])
    jumps, jump_cov = _jumps(generator, n, sigma, beta)
    if episodes.crash >= 0:
        at = 24 * episodes.crash
        jumps[at : at + 6] += np.outer(JUMP_HOURS, CRASH_LOG * beta)
        jump_cov = jump_cov + CRASH_LOG**2 * np.outer(beta, beta) * 24 / n
    # What jumps bring to the covariance is taken off the diffusion, so that the sum is as stated.
    left = np.outer(sigma, sigma) * full_correlation() - jump_cov
    values, vectors = np.linalg.eigh(left)
    root = vectors * np.sqrt(np.maximum(values, 1e-3 * values.max()))
    tail = np.sqrt((HOURLY_T_DOF - 2.0) / generator.chisquare(HOURLY_T_DOF, n))
    normal = generator.standard_normal((n, k)) @ root.T / np.sqrt(24.0)
    returns = normal * (vol * tail)[:, None] + jumps
    # The mean of four years says nothing about the next day, but decides what 2021 looks like.
    growth = np.array([s.growth for s in SPOTS]) / (1_500 * 24)
    anchored: F64 = returns - returns.mean(axis=0) + growth
    return anchored


def full_correlation() -> F64:
    """(10, 10) the stated correlation of `SPOTS`, symmetric."""
    k = len(SPOTS)
    rho = np.zeros((k, k))
    for i, row in enumerate(CORRELATION):
        rho[i, i:] = row
        rho[i:, i] = row
    return rho


def _jumps(generator: np.random.Generator, n: int, sigma: F64, beta: F64) -> tuple[F64, F64]:
    """Return ((n, k) log jumps by hour, (k, k) daily covariance they bring in expectation)."""
    k, years = len(sigma), n / 8_760.0
    out = np.zeros((n + len(JUMP_HOURS), k))
    count = generator.poisson(JUMPS_A_YEAR * years)
    for hour in generator.integers(0, n, count):
        size = generator.normal(JUMP_MEAN, JUMP_SPREAD) * beta
        out[hour : hour + len(JUMP_HOURS)] += np.outer(JUMP_HOURS, size)
    for coin in range(1, k):
        for hour in generator.integers(0, n, generator.poisson(OWN_JUMPS_A_YEAR * years)):
            size = generator.normal(0.0, OWN_JUMP_SIGMAS * sigma[coin])
            out[hour : hour + len(JUMP_HOURS), coin] += np.array(JUMP_HOURS) * size
    common = JUMPS_A_YEAR / 365.0 * (JUMP_MEAN**2 + JUMP_SPREAD**2) * np.outer(beta, beta)
    own = OWN_JUMPS_A_YEAR / 365.0 * (OWN_JUMP_SIGMAS * sigma) ** 2
    own[0] = 0.0
    return out[:n], common + np.diag(own)


def _peg_levels(generator: np.random.Generator, vol: F64, episodes: Episodes) -> F64:
    """(n + 1, 6) levels of pegs and bases; storms widen the noise, episodes open the gap."""
    n = len(vol) + 1
    spread = np.array([p.spread for p in PEGS])
    noise = _hover(generator, n, spread, np.array([p.half_life_h for p in PEGS]))
    # Storms double the noise of a peg, no more: beyond that they are episodes of their own.
    noise *= np.clip(np.concatenate([vol[:1], vol]), 0.5, 2.0)[:, None]
    level = np.array([p.centre for p in PEGS]) * np.exp(noise)
    if episodes.depeg >= 0:
        deep = generator.uniform(0.90, 1.05)
        hours = np.arange(n) - 24.0 * episodes.depeg
        gap = deep * np.interp(hours, DEPEG_HOURS, 1.0 - np.array(DEPEG_LEVEL), 0.0, 0.0)
        level *= 1.0 - np.outer(gap, [p.depeg_share for p in PEGS])
        days = np.arange(n) / 24.0 - episodes.discount
        basis = np.interp(days, LST_DAYS, LST_LEVEL, LST_LEVEL[0], LST_LEVEL[-1])
        lst = FACTORS.index("stETH/ETH") - len(SPOTS)
        level[:, lst] *= basis / PEGS[lst].centre
    return level


def _wicks(generator: np.random.Generator, close: F64, vol: F64) -> tuple[F64, F64]:
    """Return (low, high) of each hour: beyond open and close by exponential wicks."""
    n, k = close.shape
    opened = np.vstack([close[:1], close[:-1]])
    # 0.72: mean |t| over standard deviation at five degrees of freedom.
    hourly = np.array([0.72 * s.sigma_daily / np.sqrt(24.0) for s in SPOTS])
    hourly = np.concatenate([hourly, [p.spread for p in PEGS]])
    scale = np.concatenate([vol[:1], vol])[:, None] * hourly
    wick = generator.standard_exponential((2, n, k)) * scale
    low = np.minimum(opened, close) * np.exp(-WICK_LOW * wick[0])
    high = np.maximum(opened, close) * np.exp(WICK_HIGH * wick[1])
    return low, high


def daily_vol(close: F64, decay: float = 0.97) -> F64:
    """(K,) EWMA volatility a day of the closes at the hour of the last row."""
    days = np.log(close[::-1][::24][::-1])
    returns = np.diff(days, axis=0)
    variance = (returns[:30] ** 2).mean(axis=0)
    for row in returns:
        variance = decay * variance + (1.0 - decay) * row**2
    sigma: F64 = np.sqrt(variance)
    return sigma


def _tables(generator: np.random.Generator, at_ns: int, close: F64) -> MarketTables:
    sigma = daily_vol(close)
    level = close[-1]
    kinds = ["spot"] * len(SPOTS) + [p.kind for p in PEGS]
    half_width = np.array([2.0 * s.half_spread for s in SPOTS] + [0.0003] * len(PEGS))
    factors = pl.DataFrame(
        {
            "factor": list(FACTORS),
            "kind": kinds,
            "class": [s.risk_class for s in SPOTS] + [p.risk_class for p in PEGS],
            "level": level,
            "status": ["live"] * len(FACTORS),
            "half_width": half_width,
            # The slow price: the mean of the last three hours, at most 1 % away.
            "stable_price": level * np.clip(close[-3:].mean(axis=0) / level, 0.99, 1.01),
            "age_s": np.round(generator.uniform(0.1, 2.0, len(FACTORS)), 1),
            "sigma_daily": sigma,
        }
    )
    levels = dict(zip(FACTORS, level.tolist(), strict=True))
    sigmas = dict(zip(FACTORS, sigma.tolist(), strict=True))
    adv = {s.coin: s.adv for s in SPOTS}
    return MarketTables(
        at_ns=at_ns,
        numeraire="USD",
        source="generated world",
        factors=factors,
        assets=_asset_table(levels),
        instruments=instrument_table(generator, Quotes(at_ns, levels, sigmas, adv)),
    )


def _asset_table(levels: dict[str, float]) -> pl.DataFrame:
    """Coins, pegged dollars, and assets made of both (METHOD 1, 2.4)."""
    rows: list[tuple[str, str, int, str, float, float | None, float | None]] = [
        ("USD", "fiat", 2, "", 1.0, 1e10, 0.0),
        ("USDT", "stablecoin", 6, "USDT/USD", 1.0, 2.0e9, 0.0001),
        ("USDC", "stablecoin", 6, "USDC/USD", 1.0, 1.5e9, 0.0001),
        ("DAI", "stablecoin", 18, "DAI/USD", 1.0, 5.0e7, 0.0002),
        ("USDe", "synthetic", 18, "USDe/USD", 1.0, 8.0e7, 0.0005),
        ("stETH", "yield_bearing", 18, "ETH/USD*stETH/ETH", 1.0, 5.0e7, 0.0005),
        # Wrapped: one coin stands for about 1.2 rebasing ones.
        ("wstETH", "yield_bearing", 18, "ETH/USD*stETH/ETH", 1.21, 4.0e7, 0.0005),
        ("WBTC", "bridged", 8, "BTC/USD*WBTC/BTC", 1.0, 6.7e6, 0.0010),
        # x y of a pool with 50 m USD on either side and a million shares.
        ("ETH-USDC-LP", "lp_share", 18, "ETH/USD^0.5*USDC/USD^0.5", 0.0, 2.0e6, 0.0030),
        ("ETH-AT-LENDER", "claim", 18, "ETH/USD", 0.90, 1.0e7, 0.0050),
    ]
    side = 50e6
    x, y = side / levels["ETH/USD"], side / levels["USDC/USD"]
    share = 2.0 * float(np.sqrt(x * y)) / 1e6
    rows = [(*r[:4], share, *r[5:]) if r[1] == "lp_share" else r for r in rows]
    for s in SPOTS:
        asset_class = "altcoin" if s.coin not in ("BTC", "ETH") else "blue_chip"
        rows.append((s.coin, asset_class, s.decimals, f"{s.coin}/USD", 1.0, s.adv, s.half_spread))
    names = ("asset", "class", "decimals", "loads", "scale", "adv", "half_spread")
    table = pl.DataFrame(rows, schema=names, orient="row")
    return table.with_columns(venue_total=pl.lit(None, pl.Float64))
