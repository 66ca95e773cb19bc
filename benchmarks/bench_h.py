"""(h) The same bits with one thread and with two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial

import numpy as np

from benchmarks.bench_d import option_book
from benchmarks.books import SEED, pool_book, unit_rows
from benchmarks.harness import Figure, Result, outputs_hash
from benchmarks.whole import wide, wide_book
from crossmargin.frames.book import with_method
from crossmargin.kernels.black76 import black76_greeks, black76_prices, revalue
from crossmargin.kernels.brackets import Schedules, counted_values
from crossmargin.kernels.scan import scan
from crossmargin.kernels.tails import pools_expected_shortfall
from crossmargin.methods.registry import METHODS, assess

TITLE = "outputs with 1 and with 2 threads"

Answer = Callable[[int], tuple[np.ndarray, ...]]


def run(quick: bool) -> Result:
    """Return how many kernels and methods differ in any bit: none."""
    hashes, differ = [], []
    n_pools = 20_000 if quick else 200_000
    for name, answer in (answers(n_pools) | methods(n_pools)).items():
        one, two = (outputs_hash(*answer(threads)) for threads in (1, 2))
        hashes.append(one)
        if one != two:
            differ.append(name)
    note = f"differ: {', '.join(differ)}" if differ else "bit-equal"
    figure = Figure("threads", len(differ), f"of {len(hashes)} differ", most=0.0, note=note)
    return Result([figure], outputs_hash(np.array(hashes)), {"answers": len(hashes)})


def answers(n_pools: int) -> dict[str, Answer]:
    """Return what is asked, by name: a function of the number of threads."""
    book = pool_book(n_pools, 2_000)
    grid, joint = unit_rows(2_000, 64), unit_rows(2_000, 250)
    options, underlying, log_mult, sigma = option_book()
    many = type(options)(*(np.tile(column, 50) for column in options))
    vols = np.tile(sigma, (50, 1))
    value = np.random.default_rng(SEED).uniform(0.0, 2e7, n_pools)
    usdt = Schedules(np.array([0, 3]), np.array([5e6, 1e7, np.inf]), np.array([1.0, 0.9, 0.8]))
    schedule = np.zeros(n_pools, dtype=np.int64)
    even = np.full(250, 1.0 / 250)
    return {
        "scan": lambda n: scan(grid, np.ones(64), *book, threads=n),
        "tails": lambda n: (pools_expected_shortfall(joint, *book, even, 0.99, threads=n),),
        "revalue": lambda n: (revalue(many, np.tile(underlying, 50), log_mult, vols, threads=n),),
        "prices": lambda n: (black76_prices(many, vols[:, 0], threads=n),),
        "greeks": lambda n: tuple(black76_greeks(many, vols[:, 0], threads=n)),
        "brackets": lambda n: (counted_values(value, schedule, usdt, threads=n),),
    }


def methods(n_pools: int) -> dict[str, Answer]:
    """Return the whole path of every method: each column of its frame, parts included."""
    market = wide(250)
    book = wide_book(market, n_pools)

    def answer(name: str, threads: int) -> tuple[np.ndarray, ...]:
        frame = assess(with_method(book, name), market, threads, parts=True)
        return tuple(getattr(frame, f.name) for f in fields(frame))

    return {name: partial(answer, name) for name in METHODS}
