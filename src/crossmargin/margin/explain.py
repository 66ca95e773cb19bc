"""Why a number is what it is: a tree of named parts that sum.

In     one pool of a book, the market, and its row of a RequirementFrame with parts.
Out    `Node` trees for the buffer at each level; who contributes to the binding term.
Owns   the order and the names of the tree; Euler contributions of the core.
Never  prices or nets with code of its own: the kernels list what they summed.
Signs  a node's value is its effect on the buffer: deductions are negative; children sum to it.
Spec   docs/spec/05-requirement.md, 5.9
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from crossmargin.base.arrays import B1, F64, I64
from crossmargin.frames.book import BookFrame
from crossmargin.kernels.cross import net_margins
from crossmargin.kernels.netting import (
    N_TALLY,
    T_EQUITY,
    T_HAIRCUT_IM,
    T_HAIRCUT_MM,
    T_SURCHARGE_IM,
    T_SURCHARGE_MM,
    Assets,
    Holdings,
    itemise,
)
from crossmargin.kernels.tails import expected_shortfall
from crossmargin.margin.addons import correlation_of
from crossmargin.margin.prepared import Market, holdings_of, owners_of, with_owners
from crossmargin.margin.requirement import BINDING, PARTS, RequirementFrame


@dataclass(frozen=True, slots=True)
class Node:
    """One named part. `children` sum to `value`, or there are none."""

    name: str
    value: float
    note: str = ""
    children: tuple[Node, ...] = ()

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Node]]:
        """Yield every node with its depth, parents first."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)

    def find(self, name: str) -> Node:
        """Return the first node of that name; KeyError where there is none."""
        for _, node in self.walk():
            if node.name == name:
                return node
        raise KeyError(name)

    def gap(self) -> float:
        """Return the largest |value - sum of children| in the tree: 0 but for rounding."""
        own = abs(self.value - math.fsum(c.value for c in self.children)) if self.children else 0.0
        return max([own, *(c.gap() for c in self.children)])

    def to_dict(self) -> dict[str, object]:
        """Return the tree as plain values."""
        answer: dict[str, object] = {"name": self.name, "value": self.value}
        if self.note:
            answer["note"] = self.note
        if self.children:
            answer["children"] = [c.to_dict() for c in self.children]
        return answer

    def text(self) -> str:
        """Return the tree as indented lines with aligned numbers."""
        rows = [("  " * depth + n.name, f"{n.value:,.2f}", n.note) for depth, n in self.walk()]
        left, right = max(len(r[0]) for r in rows), max(len(r[1]) for r in rows)
        return "\n".join(f"{a:<{left}}  {b:>{right}}  {c}".rstrip() for a, b, c in rows)


@dataclass(frozen=True, slots=True)
class Balances:
    """Net balances of one pool: asset row, net and counted quantity, tally of each alone."""

    asset: I64
    net: F64
    counted: F64
    detail: F64


@dataclass(frozen=True, slots=True)
class Core:
    """What made the core: the binding term's name, its scenario, runner-up, contributions.

    contributions  holding name -> part of the core, numeraire; they sum to it
    """

    term: str
    scenario: str | None
    runner_up: str
    contributions: Mapping[str, float]


def balances_of(pool: int, holdings: Holdings, market: Market, assets: Assets) -> Balances:
    """Return the net balances of a pool as the kernels saw them."""
    size = len(assets.price)
    asset, net, counted = np.zeros(size, np.int32), np.zeros(size), np.zeros(size)
    detail = np.zeros((size, N_TALLY))
    n = itemise(pool, holdings, market.items, assets, asset, net, counted, detail)
    order = np.argsort(asset[:n], kind="stable")
    return Balances(
        asset[:n][order].astype(np.int64), net[:n][order], counted[:n][order], detail[:n][order]
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """One priced pool with everything its trees are read from; `level` mm or im."""

    book: BookFrame
    frame: RequirementFrame
    market: Market
    pool: int
    method: str
    balances: Balances

    def number(self, column: str) -> float:
        return float(getattr(self.frame, column)[self.pool])


def explain_pool(
    book: BookFrame, frame: RequirementFrame, market: Market, pool: int, method: str
) -> dict[str, Node]:
    """Return the trees `buffer_mm` and `buffer_im` of one pool (row `pool` of book and frame).

    The book holds whole accounts: what an owner has elsewhere bounds what counts here (spec 3.6).
    The frame must carry parts. An UNPRICED pool has no numbers: its trees are single NaN nodes.
    """
    if not np.isfinite(frame.equity[pool]):
        note = f"unpriced: {'; '.join(_missing(book, market, pool, method))}"
        return {key: Node(key, math.nan, note) for key in ("buffer_mm", "buffer_im")}
    assets = market.counted if method == "portfolio" else market.collateral
    assets = with_owners(assets, owners_of(book, market))
    balances = balances_of(pool, holdings_of(book), market, assets)
    case = _Case(book, frame, market, pool, method, balances)
    core = core_of(case)
    return {f"buffer_{level}": _buffer(case, core, level) for level in ("mm", "im")}


def _missing(book: BookFrame, market: Market, pool: int, method: str) -> list[str]:
    """Return in words what a pool that cannot be priced lacks (spec 2.5)."""
    rows = slice(int(book.pool_starts[pool]), int(book.pool_starts[pool + 1]))
    held = np.unique(book.item[rows][book.quantity[rows] != 0.0])
    names = [market.frame.item_names[i] for i in held if market.items.bad[i]]
    words = [f"no good price of {', '.join(names)}"] if names else []
    if bool(book.set_aside[pool]):
        words.append("a row of it was refused: see the findings")
    if method == "portfolio" and market.joint is None:
        words.append("no joint scenarios: the market has no history")
    return words or ["a number it needs is not finite"]


def _buffer(case: _Case, core: Core, level: str) -> Node:
    draw = case.number(f"draw_{level}")
    children = [_margin_balance(case, level), _requirement(case, core, level)]
    if draw:
        children.insert(1, Node("draw", draw, "reserved on the shared pool"))
    note = "margin balance + draw - requirement" if draw else "margin balance - requirement"
    return Node(f"buffer_{level}", case.number(f"buffer_{level}"), note, tuple(children))


def _margin_balance(case: _Case, level: str) -> Node:
    names, balances = case.market.frame.assets.names, case.balances
    haircut = T_HAIRCUT_MM if level == "mm" else T_HAIRCUT_IM
    surcharge = T_SURCHARGE_MM if level == "mm" else T_SURCHARGE_IM

    def by_asset(place: int) -> tuple[Node, ...]:
        return tuple(
            Node(names[a], -float(d[place]))
            for a, d in zip(balances.asset, balances.detail, strict=True)
            if d[place] != 0.0
        )

    children = [
        _equity(case),
        Node("haircut", -case.number(f"haircut_{level}"), "what held assets lose",
             by_asset(haircut)),
        Node("surcharge", -case.number(f"surcharge_{level}"),
             "what debts cost beyond their value", by_asset(surcharge)),
        Node("long_options", -case.number("long_options"), "long options do not count here"),
        Node("unsettled_gains", -case.number(f"gains_{level}"),
             "the part of unsettled gains held back"),
    ]  # fmt: skip
    if level == "im":
        uncertainty = -case.number("uncertainty")
        children.append(Node("price_uncertainty", uncertainty, "on net exposures"))
    kept = tuple(c for c in children if c.name == "equity" or c.value != 0.0)
    return Node(f"margin_balance_{level}", case.number(f"margin_balance_{level}"), "", kept)


def _equity(case: _Case) -> Node:
    market, book, pool = case.market, case.book, case.pool
    assets, price, balances = market.frame.assets.names, market.priced.price, case.balances
    rows = [
        Node(assets[a], float(d[T_EQUITY]), f"{net:,.6g} x {price[a]:,.6g}")
        for a, net, d in zip(balances.asset, balances.net, balances.detail, strict=True)
        if net != 0.0
    ]
    n, items = market.frame.n_assets, market.items
    for h in range(book.pool_starts[pool], book.pool_starts[pool + 1]):
        i, q = int(book.item[h]), float(book.quantity[h])
        if i >= n and not items.futures_like[i] and q != 0.0:
            unit = float(items.unit_value[i])
            name = market.frame.instruments.names[i - n]
            rows.append(Node(name, q * unit, f"{q:,.6g} x {unit:,.6g}"))
    note = "net balances with unsettled P&L, and options at value"
    return Node("equity", case.number("equity"), note, tuple(rows))


def _requirement(case: _Case, core: Core, level: str) -> Node:
    parts = getattr(case.frame, f"parts_{level}")[:, case.pool]
    children = []
    for name, value in zip(PARTS, parts.tolist(), strict=True):
        if name == "core" and value:
            scale = value / math.fsum(core.contributions.values())
            rows = tuple(
                Node(holding, -part * scale) for holding, part in core.contributions.items() if part
            )
            note = core.term if core.scenario is None else f"{core.term}: {core.scenario}"
            if core.runner_up:
                note += f"; next {core.runner_up}"
            children.append(Node(name, -value, note, rows))
        elif value:
            children.append(Node(name, -value))
    return Node(level, -case.number(level), "requirement", tuple(children))


def core_of(case: _Case) -> Core:
    """Return what made the core of one pool: binding term, scenario, Euler contributions."""
    term = BINDING[case.frame.binding_term[case.pool]]
    if case.method == "portfolio":
        return _scenario_core(case)
    if case.method == "isolated":
        return Core(term, None, "", _standing_alone(case.book, case.market, case.pool))
    return Core(term, None, "", _by_underlying(case.book, case.market, case.pool, term))


def _standing_alone(book: BookFrame, market: Market, pool: int) -> dict[str, float]:
    """Return each instrument's own charge: the same kernel over pools of one instrument."""
    n = market.frame.n_assets
    lo, hi = book.pool_starts[pool], book.pool_starts[pool + 1]
    rows = [h for h in range(lo, hi) if book.item[h] >= n]
    answer = {}
    slot, margin = np.zeros(1, np.int32), np.zeros(1)
    for h in rows:
        i, q = int(book.item[h]), float(book.quantity[h])
        one = Holdings(
            np.array([0, 1]), book.item[h : h + 1], book.quantity[h : h + 1],
            book.entry_price[h : h + 1], np.zeros(1, np.int64),
        )  # fmt: skip
        net_margins(0, one, market.items, market.slots, slot, margin)
        short = q < 0.0 and not market.items.futures_like[i]
        charge = -q * market.items.isolated_mm[i] if short else abs(margin[0])
        answer[market.frame.instruments.names[i - n]] = float(charge)
    return answer


def _by_underlying(book: BookFrame, market: Market, pool: int, term: str) -> dict[str, float]:
    """Return Euler contributions of K, or the plain sum, by underlying (spec 5.2)."""
    size = len(market.slots.hedged_rate)
    slot, margin = np.zeros(size, np.int32), np.zeros(size)
    n = net_margins(pool, holdings_of(book), market.items, market.slots, slot, margin)
    order = np.argsort(slot[:n], kind="stable")
    rows, m = slot[:n][order], margin[:n][order]
    names = [market.frame.assets.names[market.view.slot_asset[u]] for u in rows]
    if term == "correlated":
        rho = correlation_of(market.slots, rows.astype(np.int64))
        ones, eye = np.ones_like(rho), np.eye(n)
        gains = [(m @ r @ m, m * (r @ m)) for r in (rho, (rho + ones) / 2, (rho + eye) / 2)]
        square, parts = max(gains, key=lambda g: float(g[0]))
        part = parts / math.sqrt(square) if square > 0.0 else np.abs(m)
    else:
        part = np.abs(m)
    return dict(zip(names, part.tolist(), strict=True))


def _scenario_core(case: _Case) -> Core:
    """Return contributions of the binding scenario term (spec 5.9)."""
    book, market, pool, balances = case.book, case.market, case.pool, case.balances
    lo, hi = book.pool_starts[pool], book.pool_starts[pool + 1]
    n = market.frame.n_assets
    positions = np.flatnonzero(book.item[lo:hi] >= n) + lo
    item = np.concatenate([balances.asset, book.item[positions]]).astype(np.int64)
    x = np.concatenate([balances.counted, book.quantity[positions]])
    scans = _Scans(market, item, x)
    pnl = x[:, None] * market.rows.full[item]
    late = ~market.rows.expires[item]
    candidates = [scans.tail(pnl, np.ones(len(x), np.bool_)), scans.stress(pnl)]
    if not late.all():
        others = [scans.tail(pnl, late), scans.stress(pnl * late[:, None])]
        pairs = zip(candidates, others, strict=True)
        candidates = [max(pair, key=lambda c: c[0]) for pair in pairs]
    candidates += scans.grid()
    order = np.argsort([-c[0] for c in candidates], kind="stable")
    terms = BINDING[BINDING.index("joint_es") :]
    best, second = candidates[order[0]], candidates[order[1]]
    names = market.frame.item_names
    parts: dict[str, float] = {}
    for i, part in zip(item.tolist(), best[1].tolist(), strict=True):
        parts[names[i]] = parts.get(names[i], 0.0) + part
    if best[2]:
        parts["short_option_minimum"] = best[2]
    return Core(
        BINDING[case.frame.binding_term[pool]],
        market.scenarios.name(int(case.frame.worst_scenario[pool])),
        f"{terms[order[1]]} {second[0]:,.2f}" if second[0] > 0.0 else "",
        parts,
    )


Term = tuple[float, F64, float]
"""A term's size, the contribution of each row, and what a minimum adds to them."""


@dataclass(frozen=True, slots=True)
class _Scans:
    """The four candidates of the core for one pool, each as contributions of its rows."""

    market: Market
    item: I64
    x: F64

    def tail(self, pnl: F64, used: B1) -> Term:
        rows, alpha = self.market.rows, self.market.rulebook.margin.alpha
        joint = pnl[used, : len(rows.probability)]
        size, row, weight = expected_shortfall(-joint.sum(axis=0), rows.probability, alpha)
        part = np.zeros(len(self.x))
        part[used] = -(joint[:, row] @ weight)
        return max(0.0, size), part, 0.0

    def stress(self, pnl: F64) -> Term:
        rows = self.market.rows
        first = len(rows.probability)
        loss = -pnl[:, first:].sum(axis=0) * rows.weight
        s = int(loss.argmax()) if len(loss) else -1
        if s < 0 or loss[s] <= 0.0:
            return 0.0, np.zeros(len(self.x)), 0.0
        return float(loss[s]), -pnl[:, first + s] * rows.weight[s], 0.0

    def grid(self) -> list[Term]:
        """Return the worst scan, and kappa times the sum of all of them."""
        rows, margin = self.market.rows, self.market.rulebook.margin
        at = np.concatenate(
            [np.arange(rows.grid_starts[i], rows.grid_starts[i + 1]) for i in self.item]
        )
        owner = np.repeat(np.arange(len(self.item)), np.diff(rows.grid_starts)[self.item])
        factor, pnl = rows.grid_factor[at], self.x[owner, None] * rows.grid_rows[at]
        shorts = self._short_units()
        best: Term = (0.0, np.zeros(len(self.x)), 0.0)
        everything = np.zeros(len(self.x))
        size = topped = 0.0
        for k in np.unique(factor):
            mine = factor == k
            loss = -pnl[mine].sum(axis=0) * rows.grid_weight[k]
            g = int(loss.argmax())
            scan = max(0.0, float(loss[g]))
            part = np.zeros(len(self.x))
            if scan > 0.0:
                np.add.at(part, owner[mine], -pnl[mine, g] * rows.grid_weight[k, g])
            top = max(0.0, shorts.get(int(k), 0.0) * margin.short_option_minimum_mm - scan)
            everything += part
            topped += top
            size += scan + top
            if scan + top > best[0]:
                best = (scan + top, part, top)
        return [best, (margin.kappa * size, margin.kappa * everything, margin.kappa * topped)]

    def _short_units(self) -> dict[int, float]:
        items, extras = self.market.items, self.market.extras
        units: dict[int, float] = {}
        for i in np.unique(self.item[items.kind[self.item] >= 4]).tolist():
            net = float(self.x[self.item == i].sum())
            if net < 0.0:
                k = int(extras.factor[i])
                units[k] = units.get(k, 0.0) - net * float(items.short_unit[i])
        return units
