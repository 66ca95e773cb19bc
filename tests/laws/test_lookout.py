"""L8: the verdicts a lookout keeps are those of looking at every pool, after every step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.adapters.files import load_rulebook
from crossmargin.base.arrays import F64
from crossmargin.engine.lookout import HOW, Lookout, mm_verdicts
from crossmargin.frames.book import BookFrame, plain_book
from crossmargin.frames.listing import compile_market
from crossmargin.frames.market import MarketFrame, Status
from crossmargin.kernels import slopes
from crossmargin.kernels.reach import buffer_pool, reach_pool
from crossmargin.margin.levels import levels
from crossmargin.margin.prepared import Market, prepare
from crossmargin.methods.registry import assess
from crossmargin.simulation.worlds import world

RULES = load_rulebook("prime-24h")
HOUR = 3_600_000_000_000
FRAME = compile_market(world(5, 1_790_000_000_000_000_000 // HOUR * HOUR, 60).tables, 60.0)[0]
MARKET = prepare(FRAME, RULES)
LINEAR = np.flatnonzero(FRAME.instruments.kind <= 3)  # perpetuals and futures: no spot is listed
OPTIONS = np.flatnonzero((FRAME.instruments.kind >= 4) & (FRAME.instruments.status == Status.LIVE))
METHODS = tuple(HOW)
Draw = np.random.Generator


def drawn_book(rng: Draw, n_pools: int, methods: tuple[str, ...], options: bool) -> BookFrame:
    """Pools of one to five assets, perhaps a debt, up to three positions; and dollars on top so
    that most lie a little above the line and some below."""
    n, price = FRAME.n_assets, MARKET.priced.price
    held: list[tuple[int, float, float]] = []
    starts = [0]
    for _ in range(n_pools):
        usd = float(np.exp(rng.normal(10.0, 2.0)))
        rows: dict[int, float] = {}
        for a in rng.integers(0, n, int(rng.integers(1, 5))):
            rows[int(a)] = usd * rng.uniform(0.2, 3.0) / price[a]
        if rng.random() < 0.5:
            a = int(rng.integers(n))
            rows[a] = -usd * rng.uniform(0.1, 1.5) / price[a]
        names = rng.choice(LINEAR, int(rng.integers(0, 4)))
        if options and rng.random() < 0.5:
            names = np.concatenate([names, rng.choice(OPTIONS, 2)])
        for j in names:
            unit = abs(MARKET.items.delta[n + j]) or 1.0
            rows[n + int(j)] = usd * rng.normal(0.0, 2.0) / max(unit, 1.0)
        for i in sorted(rows):
            mark = FRAME.instruments.forward[i - n] if i >= n else np.nan
            held.append((i, rows[i], mark * float(np.exp(rng.normal(0.0, 0.1)))))
        starts.append(len(held))
    item, quantity, entry = (np.array(column) for column in zip(*held, strict=True))
    book = plain_book(np.array(starts), item.astype(np.int32), quantity, entry, methods[0])
    method = rng.integers(0, len(methods), n_pools).astype(np.int8)
    return near_the_line(rng, replace(book, method=method, method_names=methods))


def near_the_line(rng: Draw, book: BookFrame) -> BookFrame:
    """Change the first asset's amount so that health lies between 0.9 and 3."""
    frame = assess(book, MARKET, threads=1)
    wanted = rng.choice([0.97, 1.0005, 1.01, 1.05, 1.3, 3.0], book.n_pools)
    short = wanted * frame.charge_mm - frame.equity
    first = book.pool_starts[:-1]
    coins = np.nan_to_num(short) / MARKET.priced.price[np.minimum(book.item[first],
                                                                 FRAME.n_assets - 1)]  # fmt: skip
    book.quantity[first] += np.where(book.item[first] < FRAME.n_assets, coins, 0.0)
    return book


def moved(frame: MarketFrame, rng: Draw, size: float) -> MarketFrame:
    """Every level and every mark a step on; now and then a jump."""
    jump = size * (60.0 if rng.random() < 0.1 else 1.0)
    common = rng.normal(0.0, jump)
    factors, table = frame.factors, frame.instruments
    steps = np.exp(common + rng.normal(0.0, jump, len(factors)))
    steady = np.exp(rng.normal(0.0, 0.02 * jump, len(factors)))
    kinds = np.array([kind == "spot" for kind in factors.kinds])
    level = factors.level * np.where(kinds, steps, steady)
    own = np.exp(rng.normal(0.0, 0.1 * jump, len(table)))
    follow = np.exp(common) if rng.random() < 0.9 else 1.0
    return replace(
        frame, factors=replace(factors, level=level),
        instruments=replace(table, forward=table.forward * own * follow),
    )  # fmt: skip


def brute(book: BookFrame, market: Market) -> np.ndarray:
    frame = assess(book, market, threads=1)
    return mm_verdicts(frame.bankrupt_short, frame.buffer_mm)


def same(watching: Lookout, book: BookFrame, market: Market, step: int) -> None:
    wrong = np.flatnonzero(watching.verdict != brute(book, market))
    assert len(wrong) == 0, (step, wrong, watching.verdict[wrong])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-5, 3e-4, 3e-3]))
def test_verdicts_are_those_of_every_pool_after_every_step(seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    options = bool(rng.random() < 0.3)
    methods = (*METHODS, "portfolio") if options and rng.random() < 0.3 else METHODS
    book = drawn_book(rng, 12, methods, options)
    frame, market = FRAME, MARKET
    watching = Lookout(book, market)
    same(watching, book, market, -1)
    for step in range(12):
        kind = rng.random()
        if kind < 0.1:  # money goes in or out of some pools
            pools = rng.choice(book.n_pools, 3, replace=False)
            for pool in pools:
                row = book.pool_starts[pool]
                book.quantity[row] *= rng.choice([0.98, 1.02, 1.5])
            watching.looked_again(pools)
        else:
            status = frame.factors.status
            if kind < 0.2:  # a price goes bad, or is good again
                k = int(rng.integers(len(status)))
                status = status.copy()
                status[k] = Status.LIVE if status[k] < Status.DEGRADED else Status.HALTED
            frame = moved(frame, rng, size)
            frame = replace(frame, factors=replace(frame.factors, status=status))
            # Another rulebook now and then, and time always goes on a little.
            rules = MARKET.rulebook if kind > 0.25 else load_rulebook("exchange-4h")
            frame = replace(frame, at_ns=frame.at_ns + 3 * 10**9)
            before = watching.verdict.copy()
            market = prepare(frame, rules)
            changed = watching.moved(market)
            now = watching.verdict
            assert set(changed.tolist()) == set(np.flatnonzero(before != now).tolist())
        same(watching, book, market, step)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(METHODS))
def test_no_corner_of_a_box_is_under_water(seed: int, method: str) -> None:
    rng = np.random.default_rng(seed)
    book = drawn_book(rng, 8, (method,), False)
    watching = Lookout(book, MARKET)
    terms, work, index = watching._terms, watching._work, watching._zones
    entry, fall, rise = index.item, np.zeros(len(index.item)), np.zeros(len(index.item))
    how, now = HOW[method], levels(MARKET)
    for pool in np.flatnonzero(watching._netted):
        own = slice(index.entry_starts[pool], index.entry_starts[pool + 1])
        buffer = buffer_pool(pool, how, terms, work)
        days = reach_pool(pool, how, buffer, entry[own], terms, work, fall[own], rise[own])
        if not np.isfinite(days):
            continue
        for corner in range(12):
            share = rng.random(own.stop - own.start)
            share = np.round(share) if corner else np.zeros_like(share)
            level = now.copy()
            level[entry[own]] *= np.exp(-fall[own] + share * (fall[own] + rise[own]))
            at = at_levels(level, terms)
            assert buffer_pool(pool, how, at, work) >= 0.0, (pool, corner)


def at_levels(level: F64, terms: slopes.Terms) -> slopes.Terms:
    """The same terms with prices, marks and delta notionals written out of levels: a twin."""
    n, items, tie = FRAME.n_assets, terms.items, terms.ties
    price = level[:n].copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        mark = level * price[tie.underlying] / price[tie.quote]
        unit = np.where(items.inverse, items.scale / mark, items.scale * mark)
    delta = unit * price[items.settle]
    assets = terms.assets._replace(price=price)
    return terms._replace(items=items._replace(mark=mark, delta=delta), assets=assets)


def test_ticks_in_one_go_are_ticks_one_by_one() -> None:
    rng = np.random.default_rng(3)
    book = drawn_book(rng, 40, METHODS, False)
    one, many = Lookout(book, MARKET), Lookout(book, MARKET)
    assert not len(many._others), "a book that triggers watch whole"
    frame, table, seen = FRAME, [], []
    for _ in range(200):
        frame = moved(frame, rng, 3e-4)
        market = prepare(frame, RULES)
        table.append(levels(market))
        one.moved(market)
        seen.append(one.verdict.copy())
    for row, verdict in zip(table, seen, strict=True):
        many.ticks(row[None])
        assert (many.verdict == verdict).all()
