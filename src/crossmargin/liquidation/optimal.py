"""The policy `optimal`: a convex programme chooses amounts, the method itself has the last word.

In     a pool, its deals, rows of `margin.linear`; cvxpy and clarabel where they are installed.
Out    the cheapest plan of all policies, and the solver's dual objective as a bound.
Owns   the cost of deals as a convex function; how amounts become lots; which plan is best.
Never  trusts the programme: its plan is walked and assessed like any other.
Signs  amounts and costs >= 0, numeraire.
Spec   docs/spec/09-liquidation.md, 9.18
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crossmargin.base.arrays import F64
from crossmargin.base.errors import InputInvalid
from crossmargin.frames.book import BookFrame
from crossmargin.liquidation.deals import Deal, Pool, capacity, deals_of, numeraire_row, pool_at
from crossmargin.liquidation.mechanisms import AMM, AUCTION, Terms, selling_terms
from crossmargin.liquidation.plan import (
    Chosen,
    Options,
    Pick,
    Task,
    by_policy,
    cancelled,
    simple_plan,
    sized,
    state_of,
)
from crossmargin.liquidation.policies import SIMPLE
from crossmargin.liquidation.steps import Compared, Plan, State
from crossmargin.margin.linear import (
    Affine,
    Held,
    Moves,
    Programme,
    balance_change,
    programme,
)
from crossmargin.margin.prepared import Market
from crossmargin.methods.registry import assess, select_accounts

RANK = {"none": 0, "restored": 1, "eased": 2, "wait": 3, "takeover": 4, "adl": 5}


@dataclass(frozen=True, slots=True)
class Answer:
    """Amounts of each deal (D,), and a cost no plan can go below; NaN where there is no answer."""

    amounts: F64
    bound: float


def best_plan(book: BookFrame, market: Market, pool: int, options: Options) -> Plan:
    """Return the cheapest plan of all policies and of the programme, with all of them beside it.

    Never worse than the best simple policy: the programme's plan is one candidate among them.
    """
    simple = [simple_plan(book, market, pool, replace(options, policy=policy)) for policy in SIMPLE]
    if simple[0].outcome == "none":
        return replace(simple[0], policy="optimal")
    answer, deals = solved_for(book, market, pool)
    own = simple_plan(
        book, market, pool, replace(options, policy="optimal"), follow(deals, answer.amounts)
    )
    found = [*simple, own]
    best = min(found, key=lambda p: (RANK[p.outcome], p.bad_debt, p.cost))
    compared = tuple(Compared(p.policy, p.outcome, p.cost, p.bad_debt) for p in simple)
    compared += (Compared("programme", own.outcome, own.cost, own.bad_debt),)
    return replace(best, policy="optimal", bound=answer.bound, compared=compared)


def follow(deals: Sequence[Deal], amounts: F64) -> Pick:
    """Return a pick that walks the programme's amounts, then closes what rounding left open."""
    planned = {key_of(d): float(x) for d, x in zip(deals, amounts, strict=True)}
    done: dict[tuple[str, int, int], float] = {}

    def pick(task: Task, pool: Pool, state: State, used: frozenset[int]) -> Chosen | None:
        offered = deals_of(pool, task.market, task.terms, used)
        worth = {key_of(d): planned.get(key_of(d), 0.0) * task.terms.unit[d.give] for d in offered}
        for deal in sorted(offered, key=lambda d: (d.kind != "net", -worth[key_of(d)])):
            left = planned.get(key_of(deal), 0.0) - done.get(key_of(deal), 0.0)
            lots = int(np.ceil(left / deal.lot - 1e-6))
            if lots < 1:
                continue
            part = replace(deal, most=min(deal.most, lots * deal.lot))
            chosen = sized(part, task, pool, state)
            if chosen is not None:
                units = float(chosen.tried.units[chosen.row])
                done[key_of(deal)] = done.get(key_of(deal), 0.0) + units
                return chosen
        rest = replace(task, policy="best_relief_per_cost")
        return by_policy(rest, pool, state, used)

    return pick


def key_of(deal: Deal) -> tuple[str, int, int]:
    """Return what names a deal from step to step."""
    return deal.kind, deal.give, deal.take


def solved_for(book: BookFrame, market: Market, pool: int) -> tuple[Answer, list[Deal]]:
    """Return the programme's answer for a pool as it stands, and its deals.

    Over all rounds with costs spread evenly, the least they can be: once to reach the target by the
    rows, once to owe nothing; the lesser dual objective is the bound. And within a single round,
    whose amounts are walked where there are some.
    """
    terms = selling_terms(market)
    rounds = terms.execution.rounds_max
    account = int(book.account_of_pool()[pool])
    row = pool - int(book.account_starts[account])
    own, _ = cancelled(select_accounts(book, np.array([account])), row, State(0.0, 0.0, 0.0))
    frame = assess(own, market, threads=1)
    there = pool_at(own, row, market)
    deals = every_deal(there, market, terms)
    none = Answer(np.zeros(len(deals)), float("nan"))
    if not deals or frame.equity[row] < 0.0:
        return none, deals
    method = book.method_names[book.method[pool]]
    extra = state_of(frame, row).equity - float(frame.equity[row])
    asks = [
        Ask(deals, there, market, terms, method, extra, turns, free)
        for turns, free in ((rounds, False), (rounds, True), (1, False))
    ]
    wide, nothing, once = (solve(ask) for ask in asks)
    amounts = once.amounts if np.isfinite(once.bound) else wide.amounts
    # NaN stays NaN: a solver that failed has shown nothing.
    return Answer(amounts, float(np.minimum(wide.bound, nothing.bound))), deals


def every_deal(pool: Pool, market: Market, terms: Terms) -> list[Deal]:
    """Return all deals that a plan could come to: every swap, also of what is only held later.

    A plan is offered swaps for debts alone while there are some; the bound must allow for what it
    is offered once they are gone.
    """
    n, items = market.frame.n_assets, market.items
    price, money = market.priced.price, numeraire_row(market)
    deals = [d for d in deals_of(pool, market, terms, frozenset()) if d.kind != "swap"]
    positions = np.flatnonzero(pool.quantity[n:] != 0.0) + n
    premium = np.maximum(0.0, pool.quantity[positions] * items.unit_value[positions])
    settle = items.settle[positions]
    whole = np.maximum(0.0, pool.balance)
    np.add.at(whole, settle, premium / price[settle])
    touched = (pool.balance != 0.0) | (whole > 0.0)
    touched[settle] = touched[money] = True
    rows = np.flatnonzero(touched & ~terms.bad[:n]).tolist()
    for give in rows:
        for take in rows:
            if give == take or not whole[give] > 0.0:
                continue
            worth = float(price[take] / price[give])
            most = min(float(whole[give]), capacity(terms, give), capacity(terms, take) * worth)
            lot = float(terms.lot[give])
            deals.append(Deal("swap", give, take, 1.0 / worth, lot, most, float(whole[give])))
    return deals


@dataclass(frozen=True, slots=True)
class Ask:
    """What is solved for: one pool, its deals, and within how many rounds.

    extra  what a bucket draws, numeraire; free: owe nothing in the end, whatever the rows say
    """

    deals: Sequence[Deal]
    pool: Pool
    market: Market
    terms: Terms
    method: str
    extra: float
    turns: int
    free: bool


def solve(ask: Ask) -> Answer:
    """Return the cheapest amounts that reach the target by the rows, or that leave nothing owed."""
    cp = solver()
    deals, pool = ask.deals, ask.pool
    moves = moves_of(deals, pool, ask.turns)
    held = Held(pool.quantity, pool.mtm, pool.balance)
    rows = programme(held, ask.market, ask.method, moves)
    x = cp.Variable(len(deals), nonneg=True)
    # Shares of what there is: the solver's tolerances are absolute.
    amounts = cp.multiply(np.maximum(moves.most, 1e-300), x)
    money = max(1.0, abs(rows.equity))
    limits = [x <= 1.0, *sold_rows(deals, amounts), *stay_rows(rows, amounts)]
    if ask.free:
        limits += free_rows(held, ask.market, moves, amounts, money)
    else:
        target = ask.market.rulebook.liquidation.target_health
        kept = (rows.equity + ask.extra - kept_costs(amounts, ask)) / money
        limits.append(kept >= target * charge_of(cp, rows, amounts, money))
    problem = cp.Problem(cp.Minimize(cost_of(cp, amounts, ask) / money), limits)
    data, chain, inverse = problem.get_problem_data(cp.CLARABEL, solver_opts={})
    raw = chain.solve_via_data(problem, data, solver_opts={})
    status = str(raw.status)
    if status != "Solved":  # almost solved has no dual point to trust
        bound = float("inf") if status == "PrimalInfeasible" else float("nan")
        return Answer(np.zeros(len(deals)), bound)
    problem.unpack_results(raw, chain, inverse)
    # Clarabel minimises without the constant; both objectives miss the same one.
    constant = float(problem.value) - float(raw.obj_val)
    bound = money * (float(raw.obj_val_dual) + constant)
    return Answer(np.maximum(0.0, np.asarray(amounts.value)), max(0.0, bound))


def free_rows(held: Held, market: Market, moves: Moves, amounts: Any, money: float) -> list[Any]:
    """Owe nothing: futures and short options closed, no balance below zero (spec 5.5)."""
    n = market.frame.n_assets
    futures = market.items.futures_like & (held.quantity != 0.0)
    futures[n:] |= held.quantity[n:] < 0.0
    owing = np.flatnonzero(futures[n:]) + n
    paid = balance_change(held, market, moves)
    touched = np.flatnonzero((held.balance != 0.0) | (paid != 0.0).any(axis=0))
    price = market.priced.price[touched] / money
    limits = [
        (paid[:, touched] * price).T @ amounts + held.balance[touched] * price >= 0.0,
    ]
    if len(owing):
        scale = np.abs(held.quantity[owing])
        limits.append(
            (moves.change[:, owing] / scale).T @ amounts + np.sign(held.quantity[owing]) == 0.0
        )
    return limits


def solver() -> Any:
    """Return cvxpy, or refuse with the remedy."""
    try:
        import clarabel  # noqa: F401 - cvxpy asks for it by name
        import cvxpy
    except ModuleNotFoundError as missing:
        raise InputInvalid(
            "policy", "optimal", "have the solvers cvxpy and clarabel at hand",
            f"install crossmargin[liquidation]; {missing.name} is missing",
        ) from missing  # fmt: skip
    return cvxpy


def moves_of(deals: Sequence[Deal], pool: Pool, turns: int) -> Moves:
    """Return the deals as moves: what a unit of each changes, and how far it may go."""
    change = np.zeros((len(deals), len(pool.quantity)))
    most = np.zeros(len(deals))
    for d, deal in enumerate(deals):
        side = 1.0 if deal.kind == "swap" else float(np.sign(pool.quantity[deal.give]))
        change[d, deal.give] = -side
        if deal.kind == "net":
            change[d, deal.take] = -deal.ratio * np.sign(pool.quantity[deal.take])
        elif deal.kind == "swap":
            change[d, deal.take] = deal.ratio
        most[d] = min(deal.whole, turns * deal.most)
    return Moves(change, most)


def sold_rows(deals: Sequence[Deal], amounts: Any) -> list[Any]:
    """Swaps of one asset share what there is of it."""
    found = []
    for give in sorted({d.give for d in deals if d.kind == "swap"}):
        own = [d for d, deal in enumerate(deals) if deal.kind == "swap" and deal.give == give]
        whole = deals[own[0]].whole
        found.append(sum(amounts[d] / whole for d in own) <= 1.0)
    return found


def stay_rows(rows: Programme, amounts: Any) -> list[Any]:
    """A position never crosses zero, whatever deals share it."""
    if not len(rows.stays.offset):
        return []
    scale = np.maximum(np.abs(rows.stays.offset), 1e-300)
    slope = rows.stays.slope / scale[:, None]
    return [slope @ amounts + rows.stays.offset / scale >= 0.0]


def legs_of(deal: Deal) -> list[tuple[int, float]]:
    """Return the markets of a deal: item, and units for each unit of the deal."""
    if deal.kind == "reduce":
        return [(deal.give, 1.0)]
    return [(deal.give, 1.0), (deal.take, deal.ratio)]


def cost_of(cp: Any, amounts: Any, ask: Ask) -> Any:
    """Return the least that amounts can cost when spread over so many rounds: convex.

    Impact of deals in one market is charged deal by deal, which is less than on their sum. A pool
    costs its fee, an auction at least what selling on costs and the liquidator's margin.
    """
    terms = ask.terms
    linear = np.zeros(len(ask.deals))
    total: Any = 0.0
    for d, deal in enumerate(ask.deals):
        fees = 0.0
        for item, each in legs_of(deal):
            unit = float(terms.unit[item]) * each
            charged = float(terms.fee_unit[item]) * each * (terms.fee + terms.penalty)
            fees = max(fees, charged) if deal.kind == "swap" else fees + charged
            if terms.mechanism[item] == AMM:
                linear[d] += float(terms.amm_fee[item]) * unit
                continue
            linear[d] += float(terms.half_spread[item]) * unit
            if terms.mechanism[item] == AUCTION:
                linear[d] += terms.execution.auction.margin * unit
            power = float(terms.exponent[item])
            rate = float(terms.scale[item] * terms.sigma_daily[item])
            if rate > 0.0:
                scale = rate * unit * (unit / float(terms.adv[item]) / ask.turns) ** power
                # In units of what is held, so that the solver sees numbers near 1.
                whole = max(deal.whole, 1e-300)
                total += (
                    scale
                    * whole ** (1.0 + power)
                    * cp.power(amounts[d] / whole, 1.0 + power, approx=False)
                )
        linear[d] += fees
    return linear @ amounts + total


def kept_costs(amounts: Any, ask: Ask) -> Any:
    """Return the part of costs that surely lowers E - target x Q: fees paid in money.

    A cost paid in an asset with a haircut lowers the haircut too, by at most a bracket's rate that
    can be 1; such costs are left out, so that the rows stay below the method.
    """
    money = numeraire_row(ask.market)
    linear = np.zeros(len(ask.deals))
    for d, deal in enumerate(ask.deals):
        paid = deal.take if deal.kind == "swap" else int(ask.market.items.settle[deal.give])
        if paid != money:
            continue
        for item, each in legs_of(deal):
            linear[d] += float(ask.terms.fee_unit[item]) * each * ask.terms.fee
        if deal.kind == "swap":
            linear[d] /= 2.0  # charged on the dearer side once, so at least half of both
    return linear @ amounts


def charge_of(cp: Any, rows: Programme, amounts: Any, money: float) -> Any:
    """Return Q_MM from below as a convex expression, in units of `money`."""

    def values(part: Affine) -> Any:
        return (part.slope / money) @ amounts + part.offset / money

    def largest(part: Affine) -> Any:
        return cp.maximum(cp.max(values(part)), 0.0)

    total: Any = sum((largest(part) for part in rows.charges), start=cp.Constant(0.0))
    if rows.size is not None and len(rows.size.coefficient):
        base = np.maximum(rows.size.base.offset, 1e-300)
        share = cp.pos(rows.size.base.slope / base[:, None] @ amounts + 1.0)
        scale = rows.size.coefficient * base**rows.size.power / money
        total += cp.sum(cp.multiply(scale, cp.power(share, rows.size.power, approx=False)))
    core = [cp.Constant(0.0)]
    if rows.nets:
        nets = cp.hstack([largest(part) for part in rows.nets])
        core.append(rows.floor * cp.sum(nets))
        if rows.spread > 0.0:
            core.append(rows.spread * cp.norm(nets, 2))
        if rows.signed is not None:
            signed = values(rows.signed)
            core += [cp.norm(root_of(m) @ signed, 2) for m in rows.matrices]
    if rows.scenarios is not None:
        core += scenario_terms(cp, rows, values, largest)
    return total + (cp.maximum(*core) if len(core) > 1 else core[0])


def scenario_terms(cp: Any, rows: Programme, values: Any, largest: Any) -> list[Any]:
    """Return the four candidates of the core of `portfolio`."""
    there = rows.scenarios
    assert there is not None
    losses = values(there.joint)
    level = cp.Variable()
    tail = level + (there.probability @ cp.pos(losses - level)) / (1.0 - there.alpha)
    scans = [largest(scan) for scan in there.scans]
    terms = [tail]
    if len(there.stress.offset):
        terms.append(cp.max(values(there.stress)))
    if scans:
        terms += [*scans, there.kappa * cp.sum(cp.hstack(scans))]
    return terms


def root_of(matrix: F64) -> F64:
    """Return R with R'R = matrix, rounding below zero cut off."""
    values, vectors = np.linalg.eigh(matrix)
    root: F64 = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    return root
