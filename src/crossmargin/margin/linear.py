"""A pool's requirement and collateral as rows of a convex programme, for plans and optimise alike.

In     a pool's totals by item, a prepared Market, a method, and moves that shrink what is held.
Out    `Programme`: equity, and Q_MM from below as sums and maxima of affine rows.
Owns   which parts of each method are convex, and what stands for those that are not.
Never  solves; says more than the method charges: every row is exact or too low, so that a bound
       that follows from the rows is a bound on what the method allows.
Signs  moves x >= 0; slopes are numeraire a unit of x; losses and charges >= 0.
Spec   docs/spec/09-liquidation.md, 9.18
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import B1, F64, I64
from crossmargin.kernels.netting import CALL, PUT, Assets
from crossmargin.margin.addons import correlation_of
from crossmargin.margin.prepared import Market


class Affine(NamedTuple):
    """R affine functions of the moves: slope (R, D), offset (R,)."""

    slope: F64
    offset: F64

    def at(self, x: F64) -> F64:
        """(R,) values."""
        values: F64 = self.slope @ x + self.offset
        return values


class Held(NamedTuple):
    """A pool's totals: quantity and unsettled P&L (n_items,), net balances (n_assets,)."""

    quantity: F64
    mtm: F64
    balance: F64


class Moves(NamedTuple):
    """D moves: change (D, n_items) of quantities for each unit, most (D,) units.

    Money for closed positions is added here; what a swap receives is part of `change`. Everything
    at the marks: costs are the caller's.
    """

    change: F64
    most: F64


@dataclass(frozen=True, slots=True)
class Powers:
    """sum coefficient x (affine)^power: the size add-on; affine >= 0, power >= 1."""

    base: Affine
    coefficient: F64
    power: float


@dataclass(frozen=True, slots=True)
class Scenarios:
    """The core of `portfolio`: losses are affine, the core the worst of four terms (spec 5.3)."""

    joint: Affine
    probability: F64
    alpha: float
    stress: Affine
    scans: tuple[Affine, ...]
    kappa: float


@dataclass(frozen=True, slots=True)
class Programme:
    """Q_MM(x) >= sum of maxima of `charges` + core; equity moves by costs alone.

    charges   each the largest of its rows, and at least 0; added up
    nets      |N_k| of underlyings, each likewise: the core of isolated and cross
    floor, spread   core >= floor x sum |N_k| and >= spread x root of sum N_k^2
    signed, matrices   N_k with its sign, affine: core >= sqrt(N' M N) for each M, where exact
    size, scenarios    of `portfolio`
    stays     rows that must stay >= 0: a position never crosses zero
    """

    equity: float
    charges: tuple[Affine, ...]
    nets: tuple[Affine, ...]
    floor: float
    spread: float
    stays: Affine
    signed: Affine | None = None
    matrices: tuple[F64, ...] = ()
    size: Powers | None = None
    scenarios: Scenarios | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """What every row is made from: the pool, the market, the moves and what they do to balances."""

    held: Held
    market: Market
    moves: Moves
    paid: F64 = field(default_factory=lambda: np.zeros(0))

    def quantity(self, items: I64) -> Affine:
        """Quantities of items as functions of the moves."""
        return Affine(self.moves.change[:, items].T, self.held.quantity[items])

    def scaled(self, items: I64, factor: F64) -> Affine:
        """Quantities of items times a number each."""
        own = self.quantity(items)
        return Affine(own.slope * factor[:, None], own.offset * factor)


def programme(held: Held, market: Market, method: str, moves: Moves) -> Programme:
    """Return the rows of one pool under a method."""
    bench = Bench(held, market, moves, balance_change(held, market, moves))
    own = np.flatnonzero(held.quantity != 0.0)
    n = market.frame.n_assets
    positions = own[own >= n]
    equity = float(
        held.balance[held.balance != 0.0] @ market.priced.price[held.balance != 0.0]
        + held.quantity[positions] @ market.items.unit_value[positions]
    )
    portfolio = method == "portfolio"
    assets = market.counted if portfolio else market.collateral
    charges = [*balance_charges(bench, assets), *gain_charges(bench, assets, positions)]
    rules = market.rulebook.margin
    delta = np.abs(market.items.delta[positions])
    signs = np.sign(held.quantity[positions])
    charges.append(
        summed(bench.scaled(positions, signs * delta * (rules.taker_fee + rules.penalty)))
    )
    stays = bench.scaled(positions, signs)
    if portfolio:
        charges.append(spread_row(bench, positions))
        return Programme(
            equity, tuple(charges), (), 0.0, 0.0, stays,
            size=size_rows(bench, positions), scenarios=scenario_rows(bench, assets),
        )  # fmt: skip
    charges.append(long_options(bench, positions))
    if method == "isolated":
        return Programme(equity, tuple(charges), alone_rows(bench, positions), 1.0, 0.0, stays)
    nets, signed, slots = net_rows(bench, positions)
    if method == "cross_sum":
        return Programme(equity, tuple(charges), nets, 1.0, 0.0, stays)
    rho = correlation_of(market.slots, slots)
    lowest = float(np.linalg.eigvalsh(rho).min()) if len(slots) else 1.0
    ones = np.ones_like(rho)
    exact = signed is not None and lowest >= 0.0
    spread = float(np.sqrt(max(0.0, 1.0 + lowest) / 2.0))
    return Programme(
        equity, tuple(charges), nets, rules.cross_floor, spread, stays, signed if exact else None,
        ((rho + ones) / 2.0, rho, (rho + np.eye(len(rho))) / 2.0) if exact else (),
    )  # fmt: skip


def balance_change(held: Held, market: Market, moves: Moves) -> F64:
    """(D, n_assets) what a unit of each move does to net balances: settling P&L does nothing."""
    n, items = market.frame.n_assets, market.items
    paid: F64 = moves.change[:, :n].copy()
    for item in np.flatnonzero(items.unit_value > 0.0).tolist():
        settle = items.settle[item]
        price = market.priced.price[settle]
        paid[:, settle] -= moves.change[:, item] * items.unit_value[item] / price
    return paid


def summed(rows: Affine) -> Affine:
    """Return one row: the sum."""
    return Affine(rows.slope.sum(axis=0, keepdims=True), rows.offset.sum(keepdims=True))


def balance_charges(bench: Bench, assets: Assets) -> list[Affine]:
    """Haircut losses and surcharges: convex in the balance, so the largest of their pieces."""
    found = []
    touched = (bench.held.balance != 0.0) | (bench.paid != 0.0).any(axis=0)
    for a in np.flatnonzero(touched).tolist():
        price = float(assets.price[a])
        slope, offset = bench.paid[:, a] * price, float(bench.held.balance[a]) * price
        rates, edges = loss_pieces(assets, a)
        # Piece j passes through the end of piece j - 1.
        fixed = np.concatenate([[0.0], np.cumsum((rates[:-1] - rates[1:]) * edges[:-1])])
        rates = np.append(rates, -float(assets.surcharge_mm[a]))
        fixed = np.append(fixed, 0.0)
        found.append(Affine(rates[:, None] * slope[None, :], rates * offset + fixed))
    return found


def loss_pieces(assets: Assets, a: int) -> tuple[F64, F64]:
    """(B,) marginal haircut of each bracket at MM, and its upper edge."""
    own = slice(int(assets.edge_starts[a]), int(assets.edge_starts[a + 1]))
    return 1.0 - assets.keep_mm[own] * (1.0 - assets.market_mm[a]), assets.edge[own]


def gain_charges(bench: Bench, assets: Assets, positions: I64) -> list[Affine]:
    """Unsettled gains held back by tier: (1 - w) max(0, sum of MtM)."""
    items, held = bench.market.items, bench.held
    value = held.mtm * assets.price[items.settle]
    found = []
    for tier, weight in enumerate(assets.gain_mm):
        own = positions[(items.tier[positions] == tier) & items.futures_like[positions]]
        if weight < 1.0 and len(own):
            each = value[own] / held.quantity[own]
            rows = summed(bench.scaled(own, each))
            found.append(Affine(rows.slope * (1.0 - weight), rows.offset * (1.0 - weight)))
    return found


def long_options(bench: Bench, positions: I64) -> Affine:
    """Long premium options count nothing outside `portfolio`: their value is a charge."""
    own = positions[(bench.held.quantity[positions] > 0.0)]
    return summed(bench.scaled(own, bench.market.items.unit_value[own]))


def is_long_option(bench: Bench, items: I64) -> B1:
    """(R,) long premium-style options."""
    table = bench.market.items
    option: B1 = (table.kind[items] == CALL) | (table.kind[items] == PUT)
    return option & ~table.futures_like[items] & (bench.held.quantity[items] > 0.0)


def tiered(rows: Affine, edges: F64, rates: F64) -> Affine:
    """T of the largest of the rows: marginal tiers rise, so the largest of all pieces."""
    fixed = np.concatenate([[0.0], np.cumsum((rates[:-1] - rates[1:]) * edges[:-1])])
    n_pieces, n_moves = len(rates) * len(rows.offset), rows.slope.shape[1]
    slope = (rates[:, None, None] * rows.slope[None]).reshape(n_pieces, n_moves)
    offset = (rates[:, None] * rows.offset[None] + fixed[:, None]).ravel()
    return Affine(slope, offset)


def alone_rows(bench: Bench, positions: I64) -> tuple[Affine, ...]:
    """Stand-alone charges of `isolated`."""
    market, found = bench.market, []
    items, slots = market.items, market.slots
    for item in positions.tolist():
        own, sign = np.array([item]), np.sign(bench.held.quantity[item])
        option = items.kind[item] in (CALL, PUT)
        if not option or (sign > 0.0 and items.futures_like[item]):
            notional = bench.scaled(own, np.array([sign * abs(items.delta[item])]))
            u = items.slot[item]
            found.append(tiered(notional, slots.tier_edge[u], slots.tier_rate[u]))
        elif sign < 0.0:
            found.append(bench.scaled(own, np.array([-items.isolated_mm[item]])))
    return tuple(found)


def net_rows(bench: Bench, positions: I64) -> tuple[tuple[Affine, ...], Affine | None, I64]:
    """|N_k| of every underlying; N_k with its sign where tiers and options leave it affine."""
    market = bench.market
    items, slots = market.items, market.slots
    used = np.unique(items.slot[positions]).astype(np.int64)
    nets, signed, plain = [], [], True
    for u in used.tolist():
        own = positions[items.slot[positions] == u]
        exposure = bench.scaled(own, items.delta[own])
        option = is_long_option(bench, own)
        now = exposure.offset
        low = summed(_where(exposure, ~option | (now < 0.0)))
        high = summed(_where(exposure, ~option | (now > 0.0)))
        either = Affine(
            np.concatenate([low.slope, -high.slope]), np.concatenate([low.offset, -high.offset])
        )
        nets.append(tiered(either, slots.tier_edge[u], slots.tier_rate[u]))
        rate = float(slots.tier_rate[u, 0])
        signed.append(Affine(rate * low.slope, rate * low.offset))
        plain &= not option.any() and float(np.abs(now).sum()) <= float(slots.tier_edge[u, 0])
    if not plain or not signed:
        return tuple(nets), None, used
    both = Affine(
        np.concatenate([s.slope for s in signed]), np.concatenate([s.offset for s in signed])
    )
    return tuple(nets), both, used


def _where(rows: Affine, kept: B1) -> Affine:
    return Affine(rows.slope[kept], rows.offset[kept])


def size_units(bench: Bench, positions: I64) -> F64:
    """(R,) what the size add-on is charged on, numeraire a unit (C19)."""
    vega = np.abs(bench.market.extras.vega_point[positions])
    return np.abs(bench.market.items.delta[positions]) + vega


def spread_row(bench: Bench, positions: I64) -> Affine:
    """The linear part of the size add-on: n x half spread, or the range where that is less."""
    extras = bench.market.extras
    rate = np.minimum(extras.half_spread[positions], extras.range_[positions])
    signs = np.sign(bench.held.quantity[positions])
    return summed(bench.scaled(positions, signs * size_units(bench, positions) * rate))


def size_rows(bench: Bench, positions: I64) -> Powers:
    """The power part of the size add-on, n x impact n^delta; none where the range caps it today."""
    extras = bench.market.extras
    exponent = float(bench.market.rulebook.margin.impact_exponent)
    unit = size_units(bench, positions)
    now = np.abs(bench.held.quantity[positions]) * unit
    spread, impact = extras.half_spread[positions], extras.impact[positions]
    capped = spread + impact * now**exponent > extras.range_[positions]
    base = bench.scaled(positions, np.sign(bench.held.quantity[positions]) * unit)
    return Powers(base, np.where(capped, 0.0, impact), 1.0 + exponent)


def scenario_rows(bench: Bench, assets: Assets) -> Scenarios:
    """Losses of every scenario. Counted collateral is concave: chord below, tangent above."""
    market, rows = bench.market, bench.market.rows
    n = market.frame.n_assets
    positions = np.flatnonzero(bench.held.quantity[n:] != 0.0) + n
    moved = (bench.held.balance != 0.0) | (bench.paid != 0.0).any(axis=0)
    chords = [(a, *counted_lines(bench, assets, a)) for a in np.flatnonzero(moved).tolist()]
    n_joint = len(rows.probability)

    def losses(unit: F64, weight: F64) -> Affine:
        own = bench.quantity(positions)
        slope, offset = -unit[positions].T @ own.slope, -unit[positions].T @ own.offset
        for a, below, above in chords:
            fall = (unit[a] < 0.0)[:, None]
            line = np.where(fall, below[None, :], above[None, :])  # slope on x, then offset
            slope += -unit[a][:, None] * line[:, :-1]
            offset += -unit[a] * line[:, -1]
        return Affine(slope * weight[:, None], offset * weight)

    joint = losses(rows.full[:, :n_joint], np.ones(n_joint))
    stress = losses(rows.full[:, n_joint:], rows.weight)
    rules = market.rulebook.margin
    scans = [
        _with_minimum(bench, losses(grid_of(market, k), rows.grid_weight[k]), k, positions)
        for k in range(len(rows.grid_weight))
    ]
    return Scenarios(
        joint, rows.probability, rules.alpha, stress,
        tuple(scan for scan in scans if np.any(scan.slope) or np.any(scan.offset)), rules.kappa,
    )  # fmt: skip


def grid_of(market: Market, factor: int) -> F64:
    """(n_items, G) unit P&L of every item when one factor moves."""
    rows = market.rows
    table = np.zeros((len(rows.grid_starts) - 1, rows.grid_weight.shape[1]))
    owner = np.repeat(np.arange(len(table)), np.diff(rows.grid_starts))
    own = np.flatnonzero(rows.grid_factor == factor)
    np.add.at(table, owner[own], rows.grid_rows[own])
    return table


def _with_minimum(bench: Bench, scan: Affine, factor: int, positions: I64) -> Affine:
    """Add the short-option minimum, the floor inside a scan."""
    market = bench.market
    option = (market.items.kind[positions] == CALL) | (market.items.kind[positions] == PUT)
    short = option & (bench.held.quantity[positions] < 0.0)
    own = positions[short & (market.extras.factor[positions] == factor)]
    if not len(own):
        return scan
    rate = market.rulebook.margin.short_option_minimum_mm
    row = summed(bench.scaled(own, -rate * market.items.short_unit[own]))
    return Affine(
        np.concatenate([scan.slope, row.slope]), np.concatenate([scan.offset, row.offset])
    )


def counted_lines(bench: Bench, assets: Assets, a: int) -> tuple[F64, F64]:
    """(D + 1,) lines below and above the counted quantity in reach: slopes, then the offset."""
    change, now = bench.paid[:, a], float(bench.held.balance[a])
    reach = change * bench.moves.most
    low, high = now + float(np.minimum(reach, 0.0).sum()), now + float(np.maximum(reach, 0.0).sum())
    at_low, at_high, at_now = (counted_coins(assets, a, b) for b in (low, high, now))
    steep = (at_high - at_low) / (high - low) if high > low else 0.0
    below = np.append(steep * change, at_low + steep * (now - low))
    tangent = marginal(assets, a, now)
    return below, np.append(tangent * change, at_now)


def counted_coins(assets: Assets, a: int, balance: float) -> float:
    """Return what a balance counts, coins: debts in full, holdings by the brackets (spec 3.2)."""
    if balance <= 0.0:
        return balance
    price, value = float(assets.price[a]), balance * float(assets.price[a])
    own = slice(int(assets.edge_starts[a]), int(assets.edge_starts[a + 1]))
    edges = np.minimum(assets.edge[own], value)
    parts = np.diff(np.concatenate([[0.0], edges]))
    return float(assets.keep_mm[own] @ parts) / price


def marginal(assets: Assets, a: int, balance: float) -> float:
    """Return what the next coin counts."""
    if balance <= 0.0:
        return 1.0
    own = slice(int(assets.edge_starts[a]), int(assets.edge_starts[a + 1]))
    at = int(np.searchsorted(assets.edge[own], balance * float(assets.price[a])))
    return float(assets.keep_mm[own][at])
