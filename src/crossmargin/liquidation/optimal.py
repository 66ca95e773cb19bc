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
from crossmargin.margin.linear import Affine, Held, Moves, Programme, programme
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

    Two programmes: one over all rounds with costs spread evenly, the least they can be, whose dual
    objective is the bound; one within a single round, whose amounts are walked where it has some.
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
    answers = [solve(deals, there, market, terms, (method, extra, turns)) for turns in (rounds, 1)]
    amounts = answers[1].amounts if np.isfinite(answers[1].bound) else answers[0].amounts
    return Answer(amounts, answers[0].bound), deals


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
            most = min(
                whole[give],
                capacity(terms, give),
                capacity(terms, take) * price[take] / price[give],
            )
            lot = float(terms.lot[give])
            deals.append(Deal("swap", give, take, 0.0, lot, float(most), float(whole[give])))
    return deals


def solve(
    deals: Sequence[Deal], pool: Pool, market: Market, terms: Terms,
    how: tuple[str, float, int],
) -> Answer:  # fmt: skip
    """Return the cheapest amounts whose rows reach the target within so many rounds."""
    cp = solver()
    method, extra, turns = how
    moves = moves_of(deals, pool, market, turns)
    rows = programme(Held(pool.quantity, pool.mtm, pool.balance), market, method, moves)
    x = cp.Variable(len(deals), nonneg=True)
    # Units of a thousandth of what there is: the solver's tolerances are absolute.
    size = np.maximum(moves.most, 1e-300)
    amounts = cp.multiply(size, x)
    money = max(1.0, abs(rows.equity))
    cost = cost_of(cp, amounts, deals, market, terms, turns) / money
    target = market.rulebook.liquidation.target_health
    counted = kept_costs(cp, amounts, deals, pool, market, terms)
    charge = charge_of(cp, rows, amounts, money)
    limits = [
        x <= 1.0,
        *sold_rows(deals, amounts),
        (rows.equity + extra) / money - counted / money >= target * charge,
        *stay_rows(rows, amounts, money),
    ]
    problem = cp.Problem(cp.Minimize(cost), limits)
    data, chain, inverse = problem.get_problem_data(cp.CLARABEL, solver_opts={})
    raw = chain.solve_via_data(problem, data, solver_opts={})
    if str(raw.status) not in ("Solved", "AlmostSolved"):
        return Answer(np.zeros(len(deals)), float("nan"))
    problem.unpack_results(raw, chain, inverse)
    # Clarabel minimises without the constant; both objectives miss the same one.
    constant = float(problem.value) - float(raw.obj_val)
    bound = money * (float(raw.obj_val_dual) + constant)
    return Answer(np.maximum(0.0, np.asarray(amounts.value)), max(0.0, bound))


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


def moves_of(deals: Sequence[Deal], pool: Pool, market: Market, turns: int) -> Moves:
    """Return the deals as moves: what a unit of each changes, and how far it may go."""
    change = np.zeros((len(deals), len(pool.quantity)))
    price = market.priced.price
    most = np.zeros(len(deals))
    for d, deal in enumerate(deals):
        change[d, deal.give] = -np.sign(pool.quantity[deal.give])
        if deal.kind == "net":
            change[d, deal.take] = -deal.ratio * np.sign(pool.quantity[deal.take])
        elif deal.kind == "swap":
            change[d, deal.take] = price[deal.give] / price[deal.take]
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


def stay_rows(rows: Programme, amounts: Any, money: float) -> list[Any]:
    """A position never crosses zero, whatever deals share it."""
    if not len(rows.stays.offset):
        return []
    scale = np.maximum(np.abs(rows.stays.offset), 1e-300)
    slope = rows.stays.slope / scale[:, None]
    return [slope @ amounts + rows.stays.offset / scale >= 0.0]


def legs_of(deal: Deal, market: Market) -> list[tuple[int, float]]:
    """Return the markets of a deal: item, and units for each unit of the deal."""
    if deal.kind == "reduce":
        return [(deal.give, 1.0)]
    if deal.kind == "net":
        return [(deal.give, 1.0), (deal.take, deal.ratio)]
    price = market.priced.price
    return [(deal.give, 1.0), (deal.take, float(price[deal.give] / price[deal.take]))]


def cost_of(
    cp: Any, amounts: Any, deals: Sequence[Deal], market: Market, terms: Terms, turns: int
) -> Any:
    """Return the least that amounts can cost when spread over so many rounds: convex.

    Impact of deals in one market is charged deal by deal, which is less than on their sum. A pool
    costs its fee, an auction at least what selling on costs and the liquidator's margin.
    """
    linear = np.zeros(len(deals))
    total: Any = 0.0
    for d, deal in enumerate(deals):
        fees = 0.0
        for item, each in legs_of(deal, market):
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
                scale = rate * unit * (unit / float(terms.adv[item]) / turns) ** power
                # In units of what is held, so that the solver sees numbers near 1.
                whole = max(deal.whole, 1e-300)
                total += scale * whole ** (1.0 + power) * cp.power(amounts[d] / whole, 1.0 + power)
        linear[d] += fees
    return linear @ amounts + total


def kept_costs(
    cp: Any, amounts: Any, deals: Sequence[Deal], pool: Pool, market: Market, terms: Terms
) -> Any:
    """Return the part of costs that surely lowers E - target x Q: those paid in money or on a debt.

    A cost paid in an asset with a haircut lowers the haircut too, by at most a bracket's rate that
    can be 1; such costs are left out, so that the rows stay below the method.
    """
    money = numeraire_row(market)
    linear = np.zeros(len(deals))
    for d, deal in enumerate(deals):
        paid = deal.take if deal.kind == "swap" else int(market.items.settle[deal.give])
        if paid == money or pool.balance[paid] * market.priced.price[paid] < 0.0 < deal.whole:
            if paid != money and deal.kind != "swap":
                continue  # the debt may have been bought back meanwhile
            for item, each in legs_of(deal, market):
                linear[d] += float(terms.fee_unit[item]) * each * terms.fee
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
        total += cp.sum(cp.multiply(scale, cp.power(share, rows.size.power)))
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
