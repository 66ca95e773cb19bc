"""(g) One account: margin and explain, market prepared, everything warm."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.books import SEED
from benchmarks.harness import Figure, Result, outputs_hash
from benchmarks.whole import N_JOINT, wide
from crossmargin import api
from crossmargin.margin.prepared import Market

TITLE = "one account: margin plus explain"
CALLS = 200
N_OPTIONS = 60


def run(quick: bool) -> Result:
    """Return milliseconds from columns, which is judged, and from an Account, for information."""
    market = wide(N_JOINT)
    small, options = ten_holdings(market), option_book(market)
    figures, numbers = [], []
    for name, account, method, most, leave in (
        ("10 holdings, cross", small, "cross_correlated", 2.0, False),
        ("10 holdings, portfolio", small, "portfolio", 2.0, False),
        ("60 options, leave-one-out", options, "portfolio", 25.0, True),
    ):
        columns, _ = api.compile_account(account, market, method)
        asked = (columns, market, account.account, leave)
        milliseconds, explained = median_ms(lambda a=asked: answer(*a), quick)
        figures.append(Figure(name, milliseconds, "ms from columns", most=most))
        asked = (account, market, account.account, leave, method)
        slower, _ = median_ms(lambda a=asked: answer(*a), quick)
        figures.append(Figure(name, slower, "ms from an Account"))
        numbers += [explained.buffer_mm.value, explained.buffer_im.value]
    sizes = {"items": market.frame.n_items, "joint": N_JOINT, "calls": CALLS}
    return Result(figures, outputs_hash(np.array(numbers)), sizes)


def answer(
    book: api.Books, market: Market, name: str, leave: bool, method: str | None = None
) -> api.Explanation:
    """Assess and explain, as a user would."""
    report = api.assess(book, market, method=method, threads=1)
    return report.explain(name, leave_one_out=leave)


def median_ms(call: Callable[[], api.Explanation], quick: bool) -> tuple[float, api.Explanation]:
    """Return the median over many calls after a few untimed ones, and one answer."""
    for _ in range(3):
        answered = call()
    times = []
    for _ in range(CALLS // 10 if quick else CALLS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return 1e3 * float(np.median(times)), answered


def ten_holdings(market: Market) -> api.Account:
    """Return an account of three assets, one debt and six perpetuals."""
    table, assets = market.frame.instruments, market.frame.assets.names
    balances = {"USDC": "150000", "BTC": "1.5", "ETH": "12", assets[9]: "-100"}
    positions = []
    for row in range(6):
        quantity = (-1.0) ** row * 20_000.0 / table.forward[row]
        entry = f"{table.forward[row] * 1.01:.6f}"
        positions.append(api.Position(table.names[row], f"{quantity:.4f}", entry))
    return api.Account("ten", balances, tuple(positions))


def option_book(market: Market) -> api.Account:
    """Return a market maker: dollars, and 60 options long and short."""
    table = market.frame.instruments
    rng = np.random.default_rng(SEED)
    rows = np.sort(rng.choice(np.flatnonzero(table.kind >= 4), N_OPTIONS, replace=False))
    positions = [
        api.Position(table.names[row], f"{(-1.0) ** j * 30_000.0 / table.forward[row]:.4f}")
        for j, row in enumerate(rows)
    ]
    return api.Account("maker", {"USDC": "2000000"}, tuple(positions))
