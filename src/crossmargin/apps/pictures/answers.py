"""From a report to its pictures: what is drawn of an answer, and the sentence that reads it.

In     a `Report`, and what the command asked of it.
Out    drawn figures with their captions.
Owns   the words on pictures.
Never  computes a margin number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.apps.pictures.bars import Changed, draw_changed, draw_greeks
from crossmargin.apps.pictures.compare import NAMED_MAX, Compared
from crossmargin.apps.pictures.curve import Curve, draw_curve
from crossmargin.apps.pictures.danger import Row, draw_danger
from crossmargin.apps.pictures.maps import Frontier, Losses
from crossmargin.apps.pictures.paper import Caption
from crossmargin.apps.pictures.waterfall import Step, draw_waterfall
from crossmargin.frames.market import move_factors
from crossmargin.methods.registry import assess

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from crossmargin.api import Explanation, Report
    from crossmargin.apps.efficiency import Comparison
    from crossmargin.base.arrays import F64
    from crossmargin.inquiry.prices import Frontier as Grid

LEVEL = {"mm": "maintenance", "im": "initial"}
UNSAFE = ("BANKRUPT", "LIQUIDATABLE")
CURVE_POINTS = 121
CHANGED = ("equity", "margin_balance_mm", "mm", "buffer_mm", "margin_balance_im", "im", "buffer_im")
GREEKS = {
    "delta, 1 % up": "delta", "gamma, 1 %": "gamma", "vega, 1 point": "vega",
    "theta, 1 day": "theta",
}  # fmt: skip


def place_of(account: str, pool: str) -> str:
    """Return how a pool is named: its account, and its own name where it is a bucket."""
    return account if pool == "shared" else f"{account} / {pool}"


def source_of(report: Report) -> str:
    """Return source, date and rules in one line."""
    said = report.header()
    return (
        f"{said['source']}, {said['at']} · rulebook {said['rulebook']} of {said['rulebook_date']} "
        f"({said['rulebook_digest'][:8]}) · horizon {said['horizon_hours']:g} h"
    )


def margin_picture(report: Report) -> Figure:
    """Draw how health is spread over the book and who is nearest to the line."""
    table = report.sorted_by_danger()
    rows = [
        Row(place_of(a, p), v, h, b)
        for a, p, v, h, b in table.select(
            "account", "pool", "verdict", "health", "buffer_mm"
        ).iter_rows()
    ]
    counts = report.verdicts()
    unsafe = sum(counts[name] for name in UNSAFE)
    near = [row.health for row in rows if row.health is not None and row.health >= 1.0]
    reading = (
        f"{unsafe:,} of {len(rows):,} pools have less than maintenance margin (left of the dashed "
        f"line) and {counts['REDUCE_ONLY']:,} may only reduce risk"
    )
    if near:
        reading += f"; the nearest pool above the line has health {min(near):.2f}"
    if counts["UNPRICED"]:
        reading += f"; {counts['UNPRICED']:,} cannot be priced and are not drawn"
    numeraire = report.header()["numeraire"]
    return draw_danger(
        rows,
        Caption(
            f"{len(rows):,} pools of {report.book.n_accounts:,} accounts by health",
            f"health = equity / total charge at MM; buffers in {numeraire}",
            source_of(report), reading + ".",
        ),
    )  # fmt: skip


def explain_picture(report: Report, why: Explanation, level: str = "mm") -> Figure:
    """Draw the staircase from equity to the buffer at one level."""
    root = why.buffer_mm if level == "mm" else why.buffer_im
    balance, requirement = root.find(f"margin_balance_{level}"), root.find(level)
    steps = [Step("equity", balance.find("equity").value, True)]
    steps += [Step(c.name, c.value) for c in balance.children if c.name != "equity" and c.value]
    steps.append(Step("margin balance", balance.value, True))
    steps += [Step(c.name, c.value) for c in root.children if c.name == "draw" and c.value]
    steps += [Step(c.name, c.value) for c in requirement.children if c.value]
    steps.append(Step("buffer", root.value, True))
    largest = min([*balance.children, *requirement.children], key=lambda c: c.value)
    state = "leaves" if root.value >= 0.0 else "is short of what the rules ask by"
    reading = (
        f"Equity of {steps[0].amount:,.0f} {state} {abs(root.value):,.0f} at {LEVEL[level]} margin"
    )
    if largest.value < 0.0:
        words = largest.name.replace("_", " ")
        cause = largest.note.split(";")[0].replace("_", " ")
        reading += f"; the largest charge is {words} ({-largest.value:,.0f})"
        reading += f", set by {cause}" if largest.name == "core" else ""
    name = place_of(why.account, why.pool)
    return draw_waterfall(
        steps,
        Caption(
            f"Why {name} has the buffer it has, under {why.method}",
            f"{report.header()['numeraire']}, at {LEVEL[level]} margin", source_of(report),
            reading + ".",
        ),
    )  # fmt: skip


def price_picture(
    report: Report, account: str, factor: str, answers: tuple[float | None, float | None],
    pool: str = "shared",
) -> Figure:  # fmt: skip
    """Draw both buffers over the price of one factor, answers marked."""
    curve = curve_of(report, account, factor, answers, pool)
    said = [
        f"{'falls' if level < curve.now else 'rises'} by {abs(level / curve.now - 1.0):.1%} "
        f"to {level:,.6g}"
        for level in answers
        if level is not None
    ]
    place = place_of(account, pool)
    inside = f"{place} becomes liquidatable when {factor} " + " or ".join(said)
    if curve.buffer_mm[CURVE_POINTS // 2] < 0.0:  # already short: the answers lead out
        inside = f"{place} is short now; its buffer is restored when {factor} " + " or ".join(said)
    none = f"No price of {factor} between a hundredth and ten times today's changes the verdict"
    reading = (inside if said else none) + "; everything else is held fixed."
    numeraire = report.header()["numeraire"]
    return draw_curve(
        curve,
        Caption(
            f"Buffers of {place} against {factor}",
            f"{numeraire}; {factor} in {factor.partition('/')[2] or numeraire}",
            source_of(report), reading,
        ),
    )  # fmt: skip


def curve_of(
    report: Report, account: str, factor: str, answers: tuple[float | None, float | None],
    pool: str = "shared",
) -> Curve:  # fmt: skip
    """Return the buffers of a pool over a range of one factor that shows the answers."""
    desk = report.desk(account, pool)
    names = desk.market.frame.factors.names
    k = names.index(factor)
    now = float(desk.market.frame.factors.level[k])
    below, above = (0.0 if level is None else math.log(level / now) for level in answers)
    # Far answers would press today's price against the axis: three times is the widest view.
    low = max(min(-0.25, 1.6 * below), -math.log(3.0))
    high = min(max(0.25, 1.6 * above), math.log(3.0))
    half = CURVE_POINTS // 2
    steps = np.concatenate([np.linspace(low, 0.0, half + 1)[:-1], np.linspace(0.0, high, half + 1)])
    mm, im = [], []
    for step in steps:
        multiplier = np.ones(len(names))
        multiplier[k] = math.exp(float(step))
        moved = replace(desk.market, frame=move_factors(desk.market.frame, multiplier))
        frame = assess(desk.book, moved, threads=1)
        mm.append(float(frame.buffer_mm[desk.pool]))
        im.append(float(frame.buffer_im[desk.pool]))
    levels = (now * np.exp(steps)).tolist()
    return Curve(factor, levels, mm, im, now, answers[0], answers[1])


def changed_picture(report: Report, before: Mapping[str, Any], after: Mapping[str, Any]) -> Figure:
    """Draw one pool's row before and after a deed."""
    place = place_of(before["account"], before["pool"])
    old, new = before["health"], after["health"]
    if old is None or new is None:
        reading = f"{place} cannot be priced {'before' if old is None else 'after'} the deed."
    else:
        kept = before["verdict"] == after["verdict"]
        change = f"stays {new_word(after)}" if kept else f"becomes {new_word(after)}"
        reading = f"Health goes from {old:.2f} to {new:.2f}; {place} {change}."
    return draw_changed(
        Changed(CHANGED, [before[n] for n in CHANGED], [after[n] for n in CHANGED]),
        Caption(
            f"{place} before and after", report.header()["numeraire"], source_of(report), reading
        ),
    )


def new_word(row: Mapping[str, Any]) -> str:
    """Return a verdict as a word in a sentence."""
    return str(row["verdict"]).lower().replace("_", "-")


def greeks_picture(report: Report, account: str) -> Figure:
    """Draw an account's greeks by factor, summed over its pools."""
    table = report.greeks(account)
    names = list(dict.fromkeys(table["factor"]))
    columns = list(GREEKS.values())
    sums = table.select("factor", *columns).group_by("factor", maintain_order=True).sum()
    rows = {row["factor"]: row for row in sums.iter_rows(named=True)}
    order = sorted(names, key=lambda name: -abs(rows[name]["delta"] or 0.0))
    greeks = {words: [rows[name][column] for name in order] for words, column in GREEKS.items()}
    first = order[0] if order else ""
    reading = (
        f"A rise of {first} by 1 % changes the value of {account} by {rows[first]['delta']:,.0f}"
        if first
        else f"{account} depends on no factor"
    )
    return draw_greeks(
        order, greeks,
        Caption(
            f"Greeks of {account}", f"{report.header()['numeraire']}, by factor",
            source_of(report), reading + ", all else unchanged.",
        ),
    )  # fmt: skip


def frontier_values(
    report: Report, account: str, pool: str, grid: Grid
) -> tuple[Frontier, Caption]:
    """Return what the frontier's pictures show."""
    factors = report.market.frame.factors
    now_x, now_y = (
        float(factors.level[factors.names.index(n)]) for n in (grid.factor_x, grid.factor_y)
    )
    shown = Frontier(
        account, grid.factor_x, grid.factor_y, grid.x / now_x - 1.0, grid.y / now_y - 1.0,
        grid.buffer,
    )  # fmt: skip
    lost = float(np.mean(grid.buffer[np.isfinite(grid.buffer)] < 0.0))
    place = place_of(account, pool)
    if 0.0 < lost < 1.0:
        reading = (
            f"Rust is liquidated, blue is safe: {place} is liquidated in {lost:.0%} of the moves "
            "shown, beyond the thick line; everything else is held fixed."
        )
    else:
        state = "liquidated" if lost else "safe"
        reading = f"{place} is {state} at every move shown; everything else is held fixed."
    return shown, Caption(
        f"Where {place} is liquidated: {grid.factor_x} and {grid.factor_y}",
        f"buffer at MM in {report.header()['numeraire']}; moves from today's levels",
        source_of(report), reading,
    )  # fmt: skip


def stress_values(
    report: Report, rows: Sequence[int], names: Sequence[str], pnl: F64
) -> tuple[Losses, Caption]:
    """Return what the stress pictures show of some pools; scenarios by what the book loses."""
    table = report.to_polars()
    picked = table[list(rows)]
    equity = picked["equity"].fill_null(float("nan")).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(equity[:, None] > 0.0, -pnl[list(rows)] / equity[:, None], np.nan)
    order = np.argsort(np.nansum(pnl, axis=0), kind="stable")
    pools = [place_of(a, p) for a, p in picked.select("account", "pool").iter_rows()]
    worst = int(order[0])
    lost = int(np.nansum(share[:, worst] >= 1.0))
    reading = (
        f"Rust loses, blue gains; the whole book loses most in "
        f"'{names[worst]}', where {lost} of the {len(pools)} pools shown lose all they have; a "
        "dash has no equity or no price."
    )
    return Losses(pools, [names[int(s)] for s in order], share[:, order]), Caption(
        "Losses in the named stress scenarios, worst for the whole book first",
        "P&L in percent of the pool's equity: full revaluation, no scenario weight",
        source_of(report), reading,
    )  # fmt: skip


def compare_values(report: Report, found: Comparison) -> tuple[Compared, Caption]:
    """Return what the comparison's pictures show."""
    wide = found.by_account("tied_im")
    equity = found.accounts.filter(method=found.methods[0]).select("account", "equity")
    wide = wide.join(equity, on="account").filter(wide[found.methods[0]].is_not_null())
    solvent = wide.filter(wide["equity"] > 0.0)
    values = solvent.select(found.methods).to_numpy() / solvent["equity"].to_numpy()[:, None]
    pick = np.argsort(values.min(axis=1) - values.max(axis=1), kind="stable")[:NAMED_MAX]
    by_method = {row["method"]: row for row in found.total.iter_rows(named=True)}
    first, last = found.methods[0], min(by_method, key=lambda m: by_method[m]["tied_im"])
    freed = by_method[last]["freed"]
    reading = (
        f"Over the whole book {last} ties up {freed:.0%} less than {first} at IM; right, the "
        "accounts for which the choice of method matters most."
        if freed
        else f"{first} ties up least over the whole book; right, where the choice matters most."
    )
    if found.left_out:
        reading += f" Left out for want of a price: {found.left_out} of {len(report):,} pools."
    names = solvent["account"].to_list()
    return Compared(
        {m: by_method[m]["tied_mm"] for m in found.methods},
        {m: by_method[m]["tied_im"] for m in found.methods},
        [names[int(row)] for row in pick],
        {m: values[pick, place].tolist() for place, m in enumerate(found.methods)},
    ), Caption(
        "What each method ties up of the same book",
        f"{report.header()['numeraire']}: equity less the buffer, at MM and at IM",
        source_of(report), reading,
    )  # fmt: skip
