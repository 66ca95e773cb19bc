"""Spec 5.9: a tree that sums, contributions that are derivatives, and what one holding costs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from crossmargin.api.report import Report
from crossmargin.margin.explain import explain_pool
from crossmargin.margin.requirement import BINDING, PARTS
from crossmargin.methods.registry import assess
from crossmargin.reference.plain import STALE, PlainAccount, PlainMarket, PlainPool
from margin.small import (
    answer,
    held,
    judged,
    one,
    part,
    plain_market,
    two_days,
    with_factor,
)
from strategies import METHODS, World, worlds
from twins.bridge import book_frame
from twins.rows import prepare


@given(worlds())
def test_the_tree_of_every_pool_sums_to_its_buffers(world: World):
    market = prepare(world.market)
    book = book_frame(world.market, world.accounts)
    frame = assess(book, market, threads=1, parts=True)
    for pool in range(book.n_pools):
        trees = explain_pool(book, frame, market, pool, book.method_names[book.method[pool]])
        for level in ("mm", "im"):
            tree = trees[f"buffer_{level}"]
            want = float(getattr(frame, f"buffer_{level}")[pool])
            if math.isnan(want):
                assert math.isnan(tree.value)
                assert "unpriced" in tree.note
                assert tree.children == ()
                continue
            size = max(abs(node.value) for _, node in tree.walk())
            # A few hundred numbers of one size round by less than this.
            assert tree.gap() <= 1e-9 * (1.0 + size)
            assert tree.value == want
            assert tree.find(f"margin_balance_{level}").value == pytest.approx(
                float(getattr(frame, f"margin_balance_{level}")[pool]), abs=1e-9 * (1.0 + size)
            )
            for name, value in zip(PARTS, getattr(frame, f"parts_{level}")[:, pool], strict=True):
                if value:
                    assert tree.find(name).value == -value


def contributions(market: PlainMarket, method: str, rows, pool: int = 0) -> dict[str, float]:
    """Holding or underlying -> its part of the core at MM, from the tree."""
    book, frame, there = judged(market, one(method, rows))
    tree = explain_pool(book, frame, there, pool, method)["buffer_mm"]
    return {child.name: -child.value for child in tree.find("core").children}


def slope(market: PlainMarket, method: str, rows, name: str) -> float:
    """q dR/dq of one holding, by a central difference on the engine's own core."""
    step = 1e-5
    cores = []
    for by in (1.0 + step, 1.0 - step):
        moved = [replace(r, quantity=r.quantity * by) if r.item == name else r for r in rows]
        cores.append(part(answer(market, one(method, moved)), "core", "mm"))
    return (cores[0] - cores[1]) / (2.0 * step)


# One book for each binding term. Everything is within its first bracket and entered at the mark,
# so that the core is positively homogeneous in the holdings.
HEDGED = held(USD=2e5, ETH=40.0, ETH_PERP=-55.0, BTC_PERP=1.0)
MAKER = held(USD=5e5, ETH_C=60.0, ETH_P=-45.0, ETH_FUT=12.0, SOL_PERP=300.0)
TERMS = {
    "joint_es": (plain_market(joint=two_days(-0.5), stress_weight=0.0, kappa=0.0), HEDGED),
    "stress": (plain_market(joint=two_days(), stress_weight=1.0), HEDGED),
    "worst_scan": (
        plain_market(joint=two_days(-0.01, 0.01), stress_weight=0.0),
        held(USD=5e5, ETH_P=-60.0, ETH_C=20.0),
    ),
    "scan_sum": (plain_market(joint=two_days(-0.01, 0.01), stress_weight=0.0, kappa=1.0), MAKER),
}


@pytest.mark.parametrize("term", TERMS)
def test_contributions_of_a_scenario_term_are_its_derivatives(term: str):
    market, rows = TERMS[term]
    frame = answer(market, one("portfolio", rows))
    assert BINDING[frame.binding_term[0]] == term
    found = contributions(market, "portfolio", rows)
    core = part(frame, "core", "mm")
    assert math.fsum(found.values()) == pytest.approx(core, rel=1e-12)
    for row in rows:
        want = slope(market, "portfolio", rows, row.item)
        assert found.get(row.item, 0.0) == pytest.approx(want, abs=1e-6 * core)


@pytest.mark.parametrize(
    ("term", "floor", "rows"),
    [
        ("correlated", 0.0, held(USD=1e6, BTC_PERP=1.0, ETH_PERP=20.0, SOL_PERP=-400.0)),
        ("correlated", 0.0, held(USD=1e6, BTC_PERP=1.0, ETH_PERP=20.0, SOL_PERP=400.0)),
        ("floor", 0.9, held(USD=1e6, BTC_PERP=1.0, ETH_PERP=-30.0, SOL_PERP=400.0)),
    ],
)
def test_contributions_by_underlying_are_the_derivatives_of_k(term, floor, rows):
    market = plain_market(cross_floor=floor)
    frame = answer(market, one("cross_correlated", rows))
    assert BINDING[frame.binding_term[0]] == term
    found = contributions(market, "cross_correlated", rows)
    core = part(frame, "core", "mm")
    assert math.fsum(found.values()) == pytest.approx(core, rel=1e-12)
    for row in rows[1:]:  # one position an underlying, so the underlying's is the position's
        want = slope(market, "cross_correlated", rows, row.item)
        assert found[row.item.removesuffix("-PERP")] == pytest.approx(want, abs=1e-6 * core)


def test_stand_alone_charges_are_listed_by_instrument():
    rows = held(USD=1e6, BTC_PERP=2.0, ETH_C=-10.0)
    found = contributions(plain_market(), "isolated", rows)
    assert found["BTC-PERP"] == pytest.approx(2.0 * 50_000.0 * 0.14)
    # A short call at the money: 7.5 % of S at MM.
    assert found["ETH-C"] == pytest.approx(10.0 * 0.075 * 2_000.0)


def test_a_short_option_minimum_that_binds_is_a_node_of_its_own():
    # A call far out of the money loses nothing in the grid: 1 % of 100 x 2,000 is charged.
    market = plain_market(joint=two_days(-1e-6, 1e-6), stress_weight=0.0)
    call = replace(market.instruments["ETH-C"], strike=200_000.0)
    market = replace(market, instruments={**market.instruments, "ETH-C": call})
    found = contributions(market, "portfolio", held(USD=1e6, ETH_C=-100.0))
    assert found["short_option_minimum"] == pytest.approx(2_000.0, rel=1e-6)


def test_top_ups_and_draws_are_nodes_of_their_own():
    shared = PlainPool("shared", "cross_sum", held(USD=1e5, BTC_PERP=-1.0))
    bucket = PlainPool("b", "cross_sum", held(USD=100.0, BTC_PERP=0.1), draw_limit=5_000.0)
    book, frame, market = judged(plain_market(), PlainAccount("a", (shared, bucket)))
    drawn = 0.1 * 50_000.0 * (0.14 + 0.0055) - 100.0  # 627.50
    up, down = (explain_pool(book, frame, market, p, "cross_sum")["buffer_mm"] for p in (0, 1))
    assert up.find("draws").value == pytest.approx(-drawn)
    assert down.find("draw").value == pytest.approx(drawn)


@pytest.mark.parametrize("method", METHODS)
def test_leave_one_out_is_the_account_assessed_again_without_it(method: str):
    market = plain_market(joint=two_days())
    rows = held(USD=3e5, ETH=30.0, BTC=-0.5, BTC_PERP=1.0, BTC_INV=-300.0, ETH_C=-20.0, ETH_P=10.0)
    book, frame, there = judged(market, one(method, rows))
    report = Report(book, there, frame)
    found = report.explain("a", leave_one_out=True).leave_one_out
    assert set(found) == {r.item for r in rows}
    for row in rows:
        without = answer(market, one(method, [r for r in rows if r is not row]))
        assert found[row.item] == pytest.approx(float(without.mm[0] - frame.mm[0]), abs=1e-6)


def test_leave_one_out_of_a_shared_pool_does_not_count_its_buckets_draws():
    shared = PlainPool("shared", "cross_sum", held(USD=1e5, BTC_PERP=-1.0))
    bucket = PlainPool("b", "cross_sum", held(USD=100.0, BTC_PERP=0.1), draw_limit=5_000.0)
    book, frame, market = judged(plain_market(), PlainAccount("a", (shared, bucket)))
    found = Report(book, market, frame).explain("a", leave_one_out=True).leave_one_out
    assert found["BTC-PERP"] == pytest.approx(-7_275.0)
    assert found["USD"] == pytest.approx(0.0)


def test_an_unpriced_pool_is_explained_by_saying_so():
    market = with_factor(plain_market(), "ETH/USD", status=STALE)
    book, frame, there = judged(market, one("cross_sum", held(USD=1.0, ETH=-1.0)))
    said = Report(book, there, frame).explain("a", leave_one_out=True)
    assert "unpriced" in said.buffer_mm.note
    assert said.leave_one_out == {}


def test_a_tree_reads_as_text_and_as_plain_values():
    book, frame, market = judged(plain_market(), one("cross_sum", held(USD=2e4, BTC_PERP=1.0)))
    said = Report(book, market, frame).explain("a", leave_one_out=True)
    plain = said.to_dict()
    assert plain["buffer_mm"]["value"] == pytest.approx(20_000.0 - 7_275.0)
    assert {"buffer_mm", "buffer_im", "leave_one_out", "account"} <= set(plain)
    assert "12,725.00" in said.text()
    assert str(said) == said.text()
    with pytest.raises(KeyError):
        said.buffer_mm.find("nothing of that name")
    assert np.isfinite(said.buffer_im.gap())
