"""(k) A tick costs only the pools it endangers: triggers against margining every pool."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness import THREADS, Figure, Result, outputs_hash
from crossmargin.adapters.files import load_rulebook
from crossmargin.adapters.real_crashes import real_bars
from crossmargin.engine.lookout import HOW, Lookout, mm_verdicts
from crossmargin.frames.bars import SECOND_NS, BarFrame
from crossmargin.frames.book import BookFrame
from crossmargin.frames.listing import compile_market
from crossmargin.frames.market import MarketFrame, move_factors
from crossmargin.kernels import watch
from crossmargin.kernels.compiled import run_blocks
from crossmargin.kernels.cross import (
    C_CORRELATED,
    C_FLOOR,
    C_HEDGED,
    C_ISOLATED_MM,
    C_MINIMUM_MM,
    C_SUM,
    N_CROSS,
    cross_pools,
)
from crossmargin.kernels.netting import (
    T_EQUITY,
    T_FEE,
    T_GAINS_MM,
    T_HAIRCUT_MM,
    T_LONG_OPTIONS,
    T_OWES,
    T_SURCHARGE_MM,
)
from crossmargin.kernels.slopes import ALONE, SUM, Terms
from crossmargin.margin.levels import levels
from crossmargin.margin.prepared import Market, prepare
from crossmargin.methods.method import BLOCK
from crossmargin.simulation.crash_books import crash_book, crash_market, healths
from crossmargin.simulation.paths import Clock, Order, tick_table, widened

TITLE = "detection: ticks of real days against the fused kernel on every pool"
SEED, N_FACTORS = 11, 128
DAY_S = 86_400
HOUR = 60 * 20  # ticks
LONE = 0.3  # log move of a tick that is taken back by the next
# A day like most of its quarter, and the worst of the data at the finest bars there are.
NORMAL, CRASH = "2025-09-10", "2025-10-10"


def run(quick: bool) -> Result:
    """Measure an hour, a day and the worst hour; compare verdicts with brute force on the way."""
    n_pools = 20_000 if quick else 1_000_000
    normal, crash = Day.of(NORMAL), Day.of(CRASH)
    calm, worst = normal.hour(quiet=True), crash.hour(quiet=False)
    figures, hashes, holdings = [], [], 0
    for name, day, ticks, least in (
        ("calm hour", normal, calm, 5_000.0), ("normal day", normal, slice(0, 24 * HOUR), 1_000.0),
        ("worst hour", crash, worst, 50.0),
    ):  # fmt: skip
        stretch = day.stretch(ticks, n_pools)
        found, holdings = stretch.measured(20 if quick else 40), stretch.book.n_holdings
        note = (
            f"{found.us:,.1f} us a tick, p99.9 {found.p999_us:,.0f} us, brute force "
            f"{found.brute_ms:,.1f} ms; {100 * found.looked:.4f} % of pools a tick, "
            f"{found.n_under:,} handed over; {found.n_checked} ticks checked"
        )
        figures.append(Figure(name, found.ratio, "x brute force", least=least, note=note))
        figures.append(Figure(f"{name}: missed or early", found.n_wrong, "verdicts", most=0.0))
        hashes.append(found.outputs)
        if name == "calm hour":
            figures.append(Figure("build", found.build_s, "s"))
            figures.append(Figure("memory", found.bytes_a_pool, "bytes a pool"))
    sizes = {"pools": n_pools, "factors": N_FACTORS, "holdings": holdings}
    return Result(figures, "-".join(hashes), sizes)


@dataclass(frozen=True)
class Found:
    """One stretch of ticks measured; times of a tick, brute force on all pools."""

    us: float
    p999_us: float
    brute_ms: float
    looked: float
    n_under: int
    n_checked: int
    n_wrong: int
    build_s: float
    bytes_a_pool: float
    outputs: str

    @property
    def ratio(self) -> float:
        return 1e3 * self.brute_ms / self.us


@dataclass(frozen=True)
class Day:
    """A day's market at its start, and the levels of its factors at every tick."""

    market: Market
    factors: np.ndarray

    @classmethod
    def of(cls, name: str) -> Day:
        """Read the day, refine it to ticks, and widen it to 128 factors."""
        rng = np.random.default_rng(SEED)
        start_ns = int(np.datetime64(name, "ns").astype(np.int64))
        bars = widened(_bars(start_ns), N_FACTORS, rng)
        price = tick_table(bars, Clock(start_ns, 24 * 60), rng, Order.LOW_FIRST)
        tables = crash_market(bars, start_ns, name)
        rules = load_rulebook("prime-24h")
        frame = compile_market(tables, rules.oracle.stale_s)[0]
        return cls(prepare(frame, rules), _of_factors(frame, bars, price))

    def stretch(self, ticks: slice, n_pools: int) -> Stretch:
        """Return some ticks, and a book laid over the first of them."""
        rows, frame = self.factors[ticks], self.market.frame
        moved = move_factors(frame, rows[0] / frame.factors.level)
        market = prepare(moved, self.market.rulebook)
        rng = np.random.default_rng(SEED + 1)
        book = crash_book(rng, market, healths(rng, n_pools), THREADS)
        return Stretch(market, book, item_levels(market, rows))

    def hour(self, quiet: bool) -> slice:
        """Return the ticks of the hour in which prices moved least, or most."""
        moves = np.diff(np.log(self.factors), axis=0)
        of_hour = [float((moves[h * HOUR : (h + 1) * HOUR] ** 2).mean()) for h in range(24)]
        at = int(np.argmin(of_hour) if quiet else np.argmax(of_hour))
        return slice(at * HOUR, (at + 1) * HOUR)


@dataclass(frozen=True)
class Stretch:
    """Some ticks of a day, and a book whose healths are those drawn at the first of them."""

    market: Market
    book: BookFrame
    table: np.ndarray

    def measured(self, n_checks: int) -> Found:
        """Run it once for time, in one go; once more tick by tick, for p99.9 and checks.

        A pool that goes under is handed over to whoever liquidates it, as it would be.
        """
        rows = self.table[1:]
        started = time.perf_counter()
        lookout = Lookout(self.book, self.market)
        build_s = time.perf_counter() - started
        lookout.ticks(self.table[:1], hand_over=True)
        before = lookout.n_looked
        started = time.perf_counter()
        lookout.ticks(rows, hand_over=True)
        us = 1e6 * (time.perf_counter() - started) / len(rows)
        looked = (lookout.n_looked - before) / len(rows) / self.book.n_pools
        end = lookout.verdict.copy()

        lookout = Lookout(self.book, self.market)
        lookout.ticks(self.table[:1], hand_over=True)
        brute = Brute(self.book, lookout)
        every, seconds, wrong, checked, brutes = max(1, len(rows) // n_checks), [], 0, 0, []
        for t, row in enumerate(rows):
            started = time.perf_counter()
            lookout.ticks(row[None], hand_over=True)
            seconds.append(time.perf_counter() - started)
            if t % every == every - 1:
                found, spent = brute.verdicts()
                # Who was handed over keeps the verdict of that tick; all others are watched.
                watched = lookout.verdict == watch.SAFE
                wrong += int((found[watched] != watch.SAFE).sum())
                checked += 1
                brutes.append(spent)
        assert (lookout.verdict == end).all(), "in one go and one by one"
        return Found(
            us, 1e6 * float(np.quantile(seconds, 0.999)), 1e3 * float(np.median(brutes)), looked,
            int((end != watch.SAFE).sum()), checked, wrong, build_s,
            lookout.n_bytes / self.book.n_pools, outputs_hash(end),
        )  # fmt: skip


class Brute:
    """Every pool by the fused kernel, on two threads, at the prices a lookout stands at."""

    def __init__(self, book: BookFrame, lookout: Lookout) -> None:
        """Share the lookout's terms: the same prices, the same bits."""
        self.terms: Terms = lookout._terms
        self.out = np.zeros((N_CROSS, book.n_pools))
        self.how = np.array([HOW[m] for m in book.method_names])[book.method]
        own = np.diff(np.concatenate([[0], (self.how == ALONE).astype(np.int8), [0]]))
        self.alone = list(zip(np.flatnonzero(own > 0), np.flatnonzero(own < 0), strict=True))

    def verdicts(self) -> tuple[np.ndarray, float]:
        """Return the verdict of every pool, and the seconds of the kernel alone."""
        t = self.terms

        def block(lo: int, hi: int) -> None:
            cross_pools(lo, hi, t.holdings, t.items, t.assets, t.slots, False, self.out[:, lo:hi])

        started = time.perf_counter()
        run_blocks(block, len(self.how), BLOCK, THREADS)
        spent = time.perf_counter() - started
        for lo, hi in self.alone:  # stand-alone charges are asked of the isolated ones
            cross_pools(lo, hi, t.holdings, t.items, t.assets, t.slots, True, self.out[:, lo:hi])
        return _judged(self.out, self.how), spent


def _judged(out: np.ndarray, how: np.ndarray) -> np.ndarray:
    """(A,) verdicts of MM, summed in the order in which the frame sums: the same bits."""
    balance = out[T_EQUITY] - out[T_LONG_OPTIONS] - out[T_HAIRCUT_MM]
    balance = balance - out[T_SURCHARGE_MM] - out[T_GAINS_MM]
    core = np.where(how == SUM, out[C_SUM], np.maximum(out[C_CORRELATED], out[C_FLOOR]))
    netted = core + out[C_HEDGED] + out[C_MINIMUM_MM] + out[T_FEE]
    charge = np.where(how == ALONE, out[C_ISOLATED_MM] + out[T_FEE], netted)
    buffer = np.where(out[T_OWES] == 0.0, np.maximum(balance, 0.0), balance - charge)
    return mm_verdicts(out[T_EQUITY], buffer)


def item_levels(market: Market, factors: np.ndarray) -> np.ndarray:
    """(T, n_items) prices of assets out of factor levels (T, K); bases stay as they are."""
    assets, n = market.frame.assets, market.frame.n_assets
    logs = np.log(factors)
    table = np.empty((len(factors), market.frame.n_items))
    table[:, n:] = levels(market)[n:]
    for a in range(n):
        loads = slice(assets.load_starts[a], assets.load_starts[a + 1])
        total = logs[:, assets.load_factor[loads]] @ assets.load_exponent[loads]
        table[:, a] = assets.scale[a] * np.exp(total)
    return table


def _of_factors(frame: MarketFrame, bars: BarFrame, price: np.ndarray) -> np.ndarray:
    """(T, K) of the market's factors; a hole keeps the price before it."""
    column = {name: k for k, name in reversed(list(enumerate(bars.factors)))}
    table = price[:, [column[name] for name in frame.factors.names]].copy()
    table[0] = np.where(np.isfinite(table[0]), table[0], frame.factors.level)
    for t in range(1, len(table)):
        table[t] = np.where(np.isfinite(table[t]), table[t], table[t - 1])
    # One print that nobody followed (LINK at 0.0001) is no price: the oracle refuses it.
    move = np.diff(np.log(table), axis=0)
    lone = (np.abs(move[:-1]) > LONE) & (np.abs(move[:-1] + move[1:]) < 0.5 * np.abs(move[:-1]))
    table[1:-1][lone] = table[:-2][lone]
    return table


def _bars(start_ns: int) -> BarFrame:
    """The real day where the data folder is there; else a made one of the same worst hour."""
    shared = os.environ.get("CROSSMARGIN_SHARED", "")
    if shared and Path(shared).is_dir():
        return real_bars(Path(shared), start_ns, start_ns + DAY_S * SECOND_NS)
    return made_bars(start_ns)


def made_bars(start_ns: int) -> BarFrame:
    """Five-minute bars of thirty coins: 3 % a day, and one hour in which all fall by a fifth."""
    rng, n_coins, n = np.random.default_rng(SEED), 30, DAY_S // 300
    steps = rng.normal(0.0, 0.03 / np.sqrt(n), (n_coins, n)) + rng.normal(0, 0.02 / np.sqrt(n), n)
    steps[:, 21 * 12 : 22 * 12] += np.log(0.8) / 12
    close = 100.0 * np.exp(steps.cumsum(axis=1))
    opened = np.hstack([np.full((n_coins, 1), 100.0), close[:, :-1]])
    wick = 0.0005 * rng.exponential(size=(2, n_coins, n))
    high, low = np.maximum(opened, close) * (1 + wick[0]), np.minimum(opened, close) * (1 - wick[1])
    names = ["BTC/USD", "ETH/USD", *(f"C{k:02d}/USD" for k in range(n_coins - 2))]
    classes = ["BTC", "ETH", *["altcoin"] * (n_coins - 2)]
    ts = np.tile(start_ns + 300 * SECOND_NS * np.arange(n), n_coins)
    return BarFrame(
        tuple(names), ("made",) * n_coins, ("spot",) * n_coins, tuple(classes),
        np.arange(n_coins + 1) * n, ts, np.full(n * n_coins, 300, np.int64), opened.ravel(),
        high.ravel(), low.ravel(), close.ravel(), np.ones(n * n_coins),
    )  # fmt: skip
