"""Rows of a convex programme never charge more than the method, whatever is moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.liquidation.deals import books_after, deal_cash, deals_of, pool_at
from crossmargin.liquidation.mechanisms import Costs, selling_terms
from crossmargin.liquidation.optimal import moves_of
from crossmargin.margin.linear import Held, Programme, Scenarios, programme
from crossmargin.margin.requirement import Verdict
from crossmargin.methods.registry import assess, select_accounts
from liquidation.small import market_and_book
from strategies import World, worlds

F64 = np.ndarray


def charge_at(rows: Programme, x: F64) -> float:
    """Return Q_MM from below at one point."""
    total = sum(max(0.0, float(part.at(x).max())) for part in rows.charges)
    nets = np.array([max(0.0, float(part.at(x).max())) for part in rows.nets])
    core = max(rows.floor * float(nets.sum()), rows.spread * float(np.sqrt(nets @ nets)))
    if rows.signed is not None:
        n = rows.signed.at(x)
        core = max(core, *(float(np.sqrt(max(0.0, float(n @ m @ n)))) for m in rows.matrices))
    if rows.size is not None:
        base = np.maximum(rows.size.base.at(x), 0.0)
        total += float(rows.size.coefficient @ base**rows.size.power)
    if rows.scenarios is not None:
        core = max(core, scenario_core(rows.scenarios, x))
    return float(total) + core


def scenario_core(rows: Scenarios, x: F64) -> float:
    """Return the worst of joint tail, stress, worst scan and a share of all scans."""
    scans = [max(0.0, float(scan.at(x).max())) for scan in rows.scans]
    losses = rows.joint.at(x)
    order = np.argsort(-losses, kind="stable")
    before = np.cumsum(rows.probability[order]) - rows.probability[order]
    room = 1.0 - rows.alpha
    taken = np.clip(room - before, 0.0, rows.probability[order])
    tail = float(taken @ losses[order]) / room
    worst = float(rows.stress.at(x).max()) if len(rows.stress.offset) else 0.0
    return max(0.0, tail, worst, max(scans, default=0.0), rows.kappa * sum(scans))


def alone_pools(world: World):
    """Every pool that can be priced as an account of its own, with market and terms."""
    market, book = market_and_book(world)
    frame = assess(book, market, threads=1)
    terms = selling_terms(market)
    for a in np.flatnonzero(frame.verdict != Verdict.UNPRICED).tolist():
        account = int(book.account_of_pool()[a])
        own = select_accounts(book, np.array([account]))
        row = a - int(book.account_starts[account])
        yield market, terms, own, row, book.method_names[book.method[a]]


def charge_of(own, row: int, market) -> tuple[float, float]:
    """Equity and Q_MM of a pool by its method, without what buckets reserve on it.

    Infinite where the pool owes nothing: it is charged nothing by rule (5.5), which no convex row
    can say, and `optimal` asks for apart.
    """
    frame = assess(own, market, threads=1)
    draws = float(frame.draw_mm[1:].sum()) if row == 0 else 0.0
    charge = np.inf if frame.free[row] else float(frame.charge_mm[row]) - draws
    return float(frame.equity[row]), charge


@settings(max_examples=50)
@given(worlds(), st.lists(st.floats(0.0, 1.0), min_size=40, max_size=40))
def test_the_rows_never_charge_more_than_the_method(world: World, parts: list[float]) -> None:
    for market, terms, own, row, method in alone_pools(world):
        pool = pool_at(own, row, market)
        deals = [d for d in deals_of(pool, market, terms, frozenset()) if d.kind != "net"]
        moves = moves_of(deals, pool, 1)
        rows = programme(Held(pool.quantity, pool.mtm, pool.balance), market, method, moves)
        equity, charge = charge_of(own, row, market)
        scale = 1e-9 * (1.0 + abs(equity) + np.abs(pool.mtm).sum())
        scale += 1e-9 * float(np.nansum(np.abs(pool.balance * market.priced.price)))
        assert rows.equity == pytest.approx(equity, abs=scale)
        assert charge_at(rows, np.zeros(len(deals))) <= charge + scale
        # One deal after the other, at the marks, each a part of what may go; one swap of an asset.
        x, book, sold = np.zeros(len(deals)), own, set()
        for d, deal in enumerate(deals):
            if deal.kind == "swap" and deal.give in sold:
                continue
            sold.add(deal.give)
            units = np.array([parts[d % 40] * moves.most[d]])
            free = Costs(*(np.zeros(1) for _ in range(4)))
            there = pool_at(book, row, market)
            cash = deal_cash(deal, units, there, market, free)
            after = replace(there, book=book)
            book = books_after(deal, units, cash, after, market)
            x[d] = units[0]
        after_equity, after_charge = charge_of(book, row, market)
        assert after_equity == pytest.approx(equity, abs=scale)
        assert charge_at(rows, x) <= after_charge + scale


@settings(max_examples=30)
@given(worlds(bad=0.0))
def test_the_rows_are_exact_where_nothing_was_left_out(world: World) -> None:
    """`isolated`, and `cross_sum` without hedges and short options; no wrong way charge."""
    for market, _, own, row, method in alone_pools(world):
        pool = pool_at(own, row, market)
        if market.rulebook.margin.wrong_way or method not in ("isolated", "cross_sum"):
            continue
        held = np.flatnonzero(pool.quantity[market.frame.n_assets :]) + market.frame.n_assets
        if method == "cross_sum" and len(held) > 1:
            continue
        options = market.items.kind[held] >= 4
        if method == "cross_sum" and options.any():
            continue
        _, charge = charge_of(own, row, market)
        if not np.isfinite(charge):
            continue  # owes nothing
        moves = moves_of([], pool, 1)
        rows = programme(Held(pool.quantity, pool.mtm, pool.balance), market, method, moves)
        long_only = method == "isolated" and (pool.quantity[held] > 0).all() and options.all()
        if not long_only:
            assert charge_at(rows, np.zeros(0)) == pytest.approx(charge, rel=1e-9, abs=1e-6)
