"""Reach: what a method promises about prices it has not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import crossmargin as cm
from crossmargin.frames.market import move_factors
from crossmargin.margin.requirement import Verdict
from crossmargin.methods.method import FOREVER_NS
from crossmargin.methods.registry import METHODS, assess


def test_a_pool_out_of_every_factors_reach_stays_healthy_wherever_prices_go():
    tables, source = cm.demo(n_accounts=120)
    market = cm.prepare(source)
    book = cm.assess(tables, market).book
    generator = np.random.default_rng(5)
    for method in METHODS.values():
        reach = method.reach(book, market)
        free = reach.valid_until_ns == FOREVER_NS
        assert 0 < free.sum() < book.n_pools, "the demo has savers and borrowers"
        for _ in range(20):
            moves = np.exp(generator.normal(0.0, 1.0, len(market.frame.factors)))
            moved = replace(market, frame=move_factors(market.frame, moves))
            verdict = assess(book, moved, threads=1).verdict
            assert (verdict[free] == Verdict.HEALTHY).all()


def test_every_other_pool_asks_to_be_looked_at_on_every_tick():
    tables, source = cm.demo(n_accounts=60)
    market = cm.prepare(source)
    book = cm.assess(tables, market).book
    reach = METHODS["cross_sum"].reach(book, market)
    owes = [
        a
        for a in range(book.n_pools)
        if (book.quantity[book.pool_starts[a] : book.pool_starts[a + 1]] < 0.0).any()
    ]
    assert owes
    assert (reach.valid_until_ns[owes] == market.frame.at_ns).all()
    assert len(reach.factor) == 0
