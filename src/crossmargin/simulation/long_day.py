"""A day nobody lived through: prices from a seed, sources that lie, a store that dies.

In     a seed, how many hours.
Out    a BarFrame of several sources; what a lying source says in its place.
Owns   which faults an oracle meets, and when.
Never  makes a fault that the sources could not: a lie has a stamp and a number like any quote.
Signs  prices > 0.
Spec   docs/spec/08-oracle.md; docs/generator.md, "A long day"
"""

from __future__ import annotations

import numpy as np

from crossmargin.base.arrays import F64, I64
from crossmargin.frames.bars import SECOND_NS, BarFrame

COINS = {"BTC/USD": ("BTC", 50_000.0, 0.03), "ETH/USD": ("ETH", 2_000.0, 0.04),
         "SOL/USD": ("major", 100.0, 0.06), "XRP/USD": ("major", 0.5, 0.06),
         "CRV/USD": ("altcoin", 1.0, 0.08)}  # fmt: skip
SOURCES = ("w", "x", "y", "z")
MINUTES_A_DAY = 1_440
JUMPS_A_DAY, CRASH = 6.0, 0.30
NOISE = 2e-4  # how far sources of one coin stand apart, fraction
FAULTS = ("mad", "silent", "frozen", "late", "together", "all_silent")


def long_day(seed: int, start_ns: int, hours: int) -> BarFrame:
    """Return bars of a minute: a walk with jumps, and one fall by 30 % within a quarter hour."""
    rng = np.random.default_rng(seed)
    n = hours * 60
    crash_at = int(rng.integers(n // 4, 3 * n // 4))
    columns: list[F64] = []
    for _, _, sigma in COINS.values():
        step = rng.normal(0.0, sigma / np.sqrt(MINUTES_A_DAY), n)
        jumps = rng.random(n) < JUMPS_A_DAY / MINUTES_A_DAY
        step += jumps * rng.normal(0.0, sigma / 2.0, n)
        step[crash_at : crash_at + 15] += np.log(1.0 - CRASH) / 15.0 * rng.uniform(0.7, 1.4)
        columns.append(np.exp(np.concatenate([[0.0], np.cumsum(step)])))
    parts = [
        level * path[:, None] * np.exp(rng.normal(0.0, NOISE, (n + 1, len(SOURCES))))
        for (_, level, _), path in zip(COINS.values(), columns, strict=True)
    ]
    edges = np.concatenate(parts, axis=1)  # (n + 1, K)
    first, last = edges[:-1].T.ravel(), edges[1:].T.ravel()
    k = edges.shape[1]
    named = [name for name in COINS for _ in SOURCES]
    return BarFrame(
        factors=tuple(named), sources=SOURCES * len(COINS), kinds=("spot",) * k,
        classes=tuple(COINS[name][0] for name in named),
        starts=np.arange(k + 1, dtype=np.int64) * n,
        ts_ns=np.tile(start_ns + np.arange(n, dtype=np.int64) * 60 * SECOND_NS, k),
        bar_seconds=np.full(n * k, 60, np.int64), open=first,
        high=np.maximum(first, last) * (1.0 + NOISE), low=np.minimum(first, last) / (1.0 + NOISE),
        close=last, volume=np.ones(n * k),
    )  # fmt: skip


def spoil(
    price: F64, stamp_ns: I64, seed: int, a_day: float, ticks_a_day: int
) -> tuple[F64, I64, dict[str, int]]:
    """Return (T, K) what is said instead, and how often each fault happened.

    a_day  faults in a day. mad: one source says a hundredth to a hundred times of it; together: two
    sources of one coin say the same wrong price; frozen: it says its last price with new stamps;
    late: stamps of two minutes before; silent: nothing; all_silent: nobody says anything.
    """
    rng = np.random.default_rng(seed)
    price, stamp = price.copy(), stamp_ns.copy()
    n, k = price.shape
    many = len(SOURCES)
    counts = dict.fromkeys(FAULTS, 0)
    for _ in range(int(rng.poisson(a_day * n / ticks_a_day))):
        kind = FAULTS[int(rng.integers(len(FAULTS)))]
        first = int(rng.integers(1, n - 1))
        ticks = slice(first, min(n, first + int(rng.integers(2, 40))))
        coin = int(rng.integers(k // many)) * many
        one, two = (coin + rng.permutation(many)[:2]).tolist()
        wrong = float(np.exp(rng.uniform(-4.6, 4.6)))
        counts[kind] += 1
        if kind == "mad":
            price[ticks, one] *= wrong
        elif kind == "together":
            price[ticks, one] = price[ticks, two] = price[ticks, one] * wrong
        elif kind == "frozen":
            price[ticks, one] = price[first - 1, one]
        elif kind == "late":
            stamp[ticks, one] -= 120 * SECOND_NS
        elif kind == "silent":
            stamp[ticks, one] = stamp[first - 1, one]
        else:
            stamp[ticks] = stamp[first - 1]
    return price, stamp, counts
