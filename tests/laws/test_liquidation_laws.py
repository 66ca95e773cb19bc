"""Laws of liquidation plans (L5, L7, L13), over generated books with every kind of instrument."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.frames.book import BookFrame
from crossmargin.frames.edits import with_changes
from crossmargin.kernels.auctions import bankruptcy_pnl
from crossmargin.liquidation.deals import compacted, own_numbers, pool_at
from crossmargin.liquidation.mechanisms import selling_terms
from crossmargin.liquidation.plan import Options, plan
from crossmargin.liquidation.policies import SIMPLE
from crossmargin.liquidation.steps import Plan, Step
from crossmargin.margin.prepared import Market
from crossmargin.margin.requirement import Verdict
from crossmargin.methods.registry import assess, select_accounts
from liquidation.small import executed, market_and_book
from strategies import World, worlds

policies = st.sampled_from(SIMPLE)
FEW = settings(max_examples=30)


def planned(world: World, policy: str) -> list[tuple[int, Plan, Market, BookFrame]]:
    """A plan of every pool that is short, with where it came from."""
    market, book = market_and_book(world)
    verdict = assess(book, market, threads=1).verdict
    short = np.flatnonzero((verdict == Verdict.LIQUIDATABLE) | (verdict == Verdict.BANKRUPT))
    return [(int(a), plan(book, market, int(a), Options(policy)), market, book) for a in short]


def alone(book: BookFrame, pool: int) -> tuple[BookFrame, int]:
    """The pool's account without the pool's orders, and the pool's row in it."""
    account = int(book.account_of_pool()[pool])
    own = select_accounts(book, np.array([account]))
    none = np.zeros(0)
    own = replace(
        own, order_starts=np.zeros(own.n_pools + 1, np.int64), order_item=np.zeros(0, np.int32),
        order_quantity=none, order_limit=none, order_reduce_only=np.zeros(0, np.bool_),
    )  # fmt: skip
    return own, pool - int(book.account_starts[account])


def applied(own: BookFrame, row: int, step: Step, market: Market) -> BookFrame:
    """The account after a step by its fills alone, in another way than the plan made its own.

    Positions shrink in proportion, so that what a fill realises is its share of unsettled P&L.
    """
    quantity = own.quantity.copy()
    lo, hi = int(own.pool_starts[row]), int(own.pool_starts[row + 1])
    moved: list[tuple[int, float]] = []
    for fill in step.fills:
        moved.append((fill.cash_item, fill.cash))
        if fill.item < market.frame.n_assets:
            moved.append((fill.item, fill.quantity))
            continue
        rows = [h for h in range(lo, hi) if own.item[h] == fill.item]
        held = math.fsum(quantity[h] for h in rows)
        for h in rows:
            quantity[h] *= 1.0 + fill.quantity / held
            quantity[h] = 0.0 if abs(quantity[h]) < 1e-12 * abs(held) else quantity[h]
    items = np.array([i for i, _ in moved])
    change = np.array([x for _, x in moved])
    after = with_changes(replace(own, quantity=quantity), np.full(len(moved), row), items, change)
    return compacted(after, row)


def numbers(own: BookFrame, row: int, market: Market) -> tuple[float, float, float]:
    frame = assess(own, market, threads=1)
    return tuple(float(x[0]) for x in own_numbers(frame, row, own.n_pools))


@FEW
@given(worlds(), policies)
def test_l7_a_plan_terminates_and_each_step_raises_the_buffer(world: World, policy: str) -> None:
    for _, found, market, _ in planned(world, policy):
        rules = market.rulebook.liquidation.execution
        for step in executed(found):
            assert step.after.buffer > step.before.buffer
            assert step.turn < rules.rounds_max
        for one, two in zip(found.steps, found.steps[1:], strict=False):
            assert one.turn <= two.turn
        assert found.outcome in ("restored", "eased", "takeover", "adl", "wait")
        if found.outcome == "restored":
            assert found.end.health >= found.target
        if found.outcome == "eased":
            assert found.end.buffer >= 0.0
            assert found.end.health < found.target


@FEW
@given(worlds(), policies)
def test_what_a_plan_says_is_what_its_fills_do(world: World, policy: str) -> None:
    for pool, found, market, book in planned(world, policy):
        own, row = alone(book, pool)
        for step in executed(found):
            before = numbers(own, row, market)
            own = applied(own, row, step, market)
            after = numbers(own, row, market)
            scale = 1e-7 * (1.0 + abs(before[0]) + abs(before[1]) + abs(step.cost.total)) + 1e-4
            assert after[0] == pytest.approx(step.after.equity, abs=scale)
            assert after[1] == pytest.approx(step.after.buffer, abs=scale)


@FEW
@given(worlds(), policies)
def test_l5_what_leaves_the_pool_is_what_buyers_get_and_costs_take(
    world: World, policy: str
) -> None:
    for pool, found, market, book in planned(world, policy):
        own, row = alone(book, pool)
        items, price, n = market.items, market.priced.price, market.frame.n_assets
        for step in executed(found):
            there = pool_at(own, row, market)
            received = given_away = 0.0
            for fill in step.fills:
                received += fill.cash * price[fill.cash_item]
                if fill.item < n:
                    given_away -= fill.quantity * price[fill.item]
                else:
                    share = -fill.quantity / there.quantity[fill.item]
                    settle = items.settle[fill.item]
                    given_away += share * there.mtm[fill.item] * price[settle]
                    given_away -= fill.quantity * items.unit_value[fill.item]
            room = 1e-9 * (1.0 + abs(received) + abs(given_away))
            assert given_away - received == pytest.approx(step.cost.total, abs=room)
            assert min(step.cost.half_spread, step.cost.impact, step.cost.fee) >= 0.0
            assert step.cost.penalty >= 0.0
            own = applied(own, row, step, market)


@FEW
@given(worlds(), policies)
def test_a_plan_overshoots_by_one_lot_at_most_unless_it_closes_dust(
    world: World, policy: str
) -> None:
    for pool, found, market, book in planned(world, policy):
        trades = executed(found)
        if found.outcome != "restored" or not trades or found.steps[-1] is not trades[-1]:
            continue
        last, terms = trades[-1], selling_terms(market)
        if last.lots < 2 or last.kind == "net":
            continue
        own, row = alone(book, pool)
        for step in trades[:-1]:
            own = applied(own, row, step, market)
        fill = last.fills[0]
        held = float(pool_at(own, row, market).quantity[fill.item])
        left = abs(held) - abs(fill.quantity)
        if left * terms.unit[fill.item] < market.rulebook.liquidation.dust:
            continue  # closed as dust, or all there was
        # Costs are convex: one lot less costs its share at most, so its health is at least this.
        less = abs(fill.quantity) - terms.lot[fill.item] * 1.0
        part = less / abs(fill.quantity)
        smaller = replace(fill, quantity=fill.quantity * part, cash=fill.cash * part)
        own = applied(own, row, replace(last, fills=(smaller,)), market)
        _, _, health = numbers(own, row, market)
        assert health < found.target + 1e-9


@FEW
@given(worlds(bad=0.15), policies)
def test_l13_nothing_trades_at_a_bad_price(world: World, policy: str) -> None:
    for _, found, market, _ in planned(world, policy):
        for step in found.steps:
            for fill in step.fills:
                assert not market.items.bad[fill.item]
                assert not market.items.bad[fill.cash_item]


@FEW
@given(worlds(bad=0.05))
def test_taking_over_everything_at_bankruptcy_prices_leaves_nothing(world: World) -> None:
    for pool, found, market, book in planned(world, "liquid_first"):
        taken = [s for s in found.steps if s.kind in ("takeover", "adl")]
        if not taken:
            continue
        own, row = alone(book, pool)
        for step in executed(found):
            own = applied(own, row, step, market)
        there = pool_at(own, row, market)
        scale = 1.0 + float(np.nansum(np.abs(there.balance * market.priced.price)))
        # Both steps speak of the pool as it was before: their fills add up to all of it.
        change = np.zeros(len(there.quantity))
        money = 0.0
        for step in taken:
            for fill in step.fills:
                change[fill.item] += fill.quantity
                money += fill.cash
        left = there.quantity + change
        numeraire = market.frame.assets.names.index(market.frame.numeraire)
        kept = ~market.items.bad
        kept[numeraire] = False
        assert np.abs(left[kept]).max() <= 1e-9 * np.abs(there.quantity).max()
        frame = assess(own, market, threads=1)
        hole = max(0.0, -float(frame.equity[row]))
        drawn = 0.0
        if row:
            limit = max(0.0, float(own.draw_limit[row] - own.drawn[row]))
            drawn = min(hole, limit, max(0.0, float(np.nan_to_num(frame.equity[0], nan=np.inf))))
        # What is left is what the shared pool pays for its bucket, else nothing.
        if not (market.items.bad & (there.quantity != 0.0)).any():
            assert left[numeraire] + money == pytest.approx(-drawn, abs=1e-9 * scale)


@given(st.lists(st.floats(0.0, 1e9), min_size=1, max_size=8), st.floats(-1e9, 1e9))
def test_positions_taken_over_lose_exactly_the_equity(weights: list[float], equity: float) -> None:
    pnl = bankruptcy_pnl(np.array([equity]), np.array(weights), np.array([0, len(weights)]))
    if sum(weights) == 0.0:
        assert np.isnan(pnl).all()
    else:
        assert equity + math.fsum(pnl) == pytest.approx(0.0, abs=1e-12 * abs(equity) + 1e-300)
