"""The command `liquidate`: what every pool under water should sell, step by step.

In     a book, a market, a rulebook; a policy, or all of them.
Out    a plan a pool, or a table that compares policies; JSON; an exit code.
Owns   how a step is written in a line.
Never  computes a margin number; sends an order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from crossmargin.apps.cli.books import code_of
from crossmargin.apps.cli.options import Inputs, load
from crossmargin.apps.cli.outcome import tell, to_json
from crossmargin.apps.cli.progress import each

if TYPE_CHECKING:
    from crossmargin.api import Report
    from crossmargin.liquidation.steps import Plan, Step

ALL = "all"
MINUTE, HOUR = 60.0, 3600.0


def liquidate(
    *,
    account: Annotated[str | None, Parameter(group="Inputs")] = None,
    policy: Annotated[str | None, Parameter(group="Inputs")] = None,
    inputs: Inputs = Inputs(),  # noqa: B008
    json: Annotated[bool, Parameter(group="Output", negative="")] = False,
) -> int:
    """Plan the liquidation of every pool that is LIQUIDATABLE or BANKRUPT.

    Nothing is sold: a plan says what would be, at which expected cost, and why.

    Parameters
    ----------
    account
        Only this account.
    policy
        volatile_first, illiquid_first, liquid_first, lowest_haircut_first, best_relief_per_cost,
        optimal, or all to compare them [the rulebook's].
    json
        Print the answer as JSON: infinities as "inf", UNPRICED numbers as null.
    """
    report = load(inputs, json)
    found = planned(report, account, policy, json)
    if json:
        names = report.market.frame.item_names
        print(to_json({**report.header(), "plans": [plan.to_dict(names) for plan in found]}))
    elif policy == ALL:
        show_comparison(report, found)
    else:
        show_plans(report, found)
    return code_of(report)


def planned(report: Report, account: str | None, policy: str | None, quiet: bool) -> list[Plan]:
    """Return the plans of one policy or of all; without a solver all but `optimal`."""
    from crossmargin.api import InputInvalid
    from crossmargin.liquidation.policies import SIMPLE

    if policy != ALL:
        return list(report.liquidation_plans(policy, account))
    found = [
        plan
        for name in each(SIMPLE, "planning", quiet)
        for plan in report.liquidation_plans(name, account)
    ]
    try:
        found += report.liquidation_plans("optimal", account)
    except InputInvalid as missing:
        if "solver" not in missing.allowed:
            raise
        tell(f"without optimal: {missing.remedy}")
    return found


def show_plans(report: Report, found: Sequence[Plan]) -> None:
    """Print every plan as a table of steps."""
    from crossmargin.apps.cli import show

    if not found:
        show.put("no pool is liquidatable")
    columns = (
        "after",
        "step",
        "sells",
        "for",
        "cost",
        "of it impact",
        "buffer MM",
        "health",
        "note",
    )
    for plan in found:
        rows = [row_of(plan, step, report) for step in plan.steps]
        show.put(show.table(title_of(plan), columns, rows, 4))
    show.put(f"[bright_black]{show.origin(report.header())}[/]")


def title_of(plan: Plan) -> str:
    """Return a plan in one line: from where to where, at what cost."""
    from crossmargin.apps.cli import show
    from crossmargin.apps.pictures.answers import place_of

    short = show.amount(-plan.start.buffer)
    text = f"{place_of(plan.account, plan.pool)} under {plan.method}: health "
    text += f"{show.ratio(plan.start.health)}, {short} short; {plan.outcome} by {plan.policy} at "
    text += f"health {show.ratio(plan.end.health)} for {show.amount(plan.cost)}"
    if plan.bound == plan.bound:
        text += f", no plan for less than {show.amount(plan.bound)}"
    return text + (f"; {show.amount(plan.bad_debt)} of bad debt" if plan.bad_debt else "")


def row_of(plan: Plan, step: Step, report: Report) -> tuple[str, ...]:
    """Return a step as cells."""
    from rich.markup import escape

    from crossmargin.apps.cli import show

    names = report.market.frame.item_names
    cost = step.cost
    sold = ", ".join(f"{quantity(f.quantity)} {names[f.item]}" for f in step.fills[:3])
    paid = {names[f.cash_item]: 0.0 for f in step.fills}
    for fill in step.fills:
        paid[names[fill.cash_item]] += fill.cash
    more = f" and {len(step.fills) - 3} more" if len(step.fills) > 3 else ""
    return (
        waited(step.turn * plan.round_s), f"{step.kind} ({step.mechanism})", escape(sold + more),
        escape(", ".join(f"{quantity(x)} {name}" for name, x in paid.items())),
        show.amount(cost.total), show.amount(cost.half_spread + cost.impact),
        f"{show.amount(step.before.buffer)} to {show.amount(step.after.buffer)}",
        show.ratio(step.after.health), escape(step.why),
    )  # fmt: skip


def quantity(value: float) -> str:
    """Return a signed quantity with the digits its size deserves."""
    return f"{value:+,.2f}" if abs(value) >= 100.0 else f"{value:+.6g}"


def waited(seconds: float) -> str:
    """Return how long after the start a step comes."""
    if seconds < MINUTE:
        return f"{seconds:g} s"
    return f"{seconds / MINUTE:g} min" if seconds < HOUR else f"{seconds / HOUR:g} h"


def show_comparison(report: Report, found: Sequence[Plan]) -> None:
    """Print one table: every policy's totals over the pools, then a row a pool and policy."""
    from crossmargin.apps.cli import show

    if not found:
        show.put("no pool is liquidatable")
    names = list(dict.fromkeys(plan.policy for plan in found))
    totals = []
    for name in names:
        own = [plan for plan in found if plan.policy == name]
        restored = [plan for plan in own if plan.outcome == "restored"]
        bounds = [plan.bound for plan in restored if plan.bound == plan.bound]
        totals.append(
            (
                name, f"{len(restored)} of {len(own)}", f"{sum(len(p.steps) for p in own)}",
                show.amount(sum(p.cost for p in restored)), show.amount(sum(p.impact for p in own)),
                show.amount(sum(p.bad_debt for p in own)),
                show.amount(sum(bounds)) if bounds else "-",
            )
        )  # fmt: skip
    columns = (
        "policy",
        "restored",
        "steps",
        "cost of these",
        "impact",
        "bad debt",
        "no plan below",
    )
    show.put(show.table("Policies", columns, totals))
    rows = [
        (
            plan.account, plan.pool, plan.policy, plan.outcome, f"{len(plan.steps)}",
            show.amount(plan.cost), show.amount(plan.impact), show.ratio(plan.end.health),
            show.amount(plan.bad_debt), show.amount(plan.bound),
        )
        for plan in sorted(found, key=lambda p: (p.account, p.pool))
    ]  # fmt: skip
    heads = ("account", "pool", "policy", "outcome", "steps", "cost", "impact", "health",
             "bad debt", "no plan below")  # fmt: skip
    show.put(show.table("Pools", heads, rows, 4))
    show.put(f"[bright_black]{show.origin(report.header())}[/]")
