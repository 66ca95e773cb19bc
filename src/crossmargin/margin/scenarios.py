"""Which scenarios there are, by name, and what one unit of everything makes in each.

In     MarketFrame, Rulebook, ClassView, joint rows (from `margin.joint`) where there are some.
Out    `ScenarioSet` (names, moves, weights) and `Rows` (unit P&L), prepared once per market.
Owns   the order of scenarios: joint dates, named stress, then one grid per factor.
Never  nets a pool; uses an event before it was known.
Signs  moves are relative (+ up), > -1; probabilities sum to 1; weights in [0, 1].
Spec   docs/spec/04-scenarios.md; choices C27 to C33
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from crossmargin.base.arrays import F64, I32, I64
from crossmargin.domain.instruments import KindCode, PayoffCode
from crossmargin.domain.rulebook import Rulebook, Shock, StressEvent
from crossmargin.frames.market import MarketFrame
from crossmargin.kernels import surface
from crossmargin.kernels.compiled import run_blocks
from crossmargin.kernels.payoff import Contracts, Loads, grid_unit_rows, joint_unit_rows
from crossmargin.kernels.portfolio import Rows
from crossmargin.kernels.tails import tail_rows
from crossmargin.margin.classes import NUMERAIRE_CLASS, ClassView
from crossmargin.margin.joint import JointRows
from crossmargin.margin.valuation import Priced, unit_value

STEADY = frozenset({"peg", "basis", "bridge"})
YEAR_HOURS = 365.0 * 24.0
BLOCK = 64  # items a thread takes at once: an option row of 1,000 scenarios is about 50 us


@dataclass(frozen=True, slots=True)
class ScenarioSet:
    """J joint rows, then stress rows: S in all; and a grid of G for each of K factors.

    moves, vol_moves  (S, K) relative move; relative 30-day vol move of the surface of factor k
    probability (J,), weight (S - J,)
    grid_moves, grid_vols (K, G): relative move; vol step -1, 0, +1; grid_weight (K, G)
    refused     prints set aside when the joint rows were made, in words
    """

    names: tuple[str, ...]
    moves: F64
    vol_moves: F64
    probability: F64
    weight: F64
    factor_names: tuple[str, ...]
    grid_names: tuple[str, ...]
    grid_moves: F64
    grid_vols: F64
    grid_weight: F64
    refused: tuple[str, ...]

    def name(self, code: int) -> str | None:
        """Return a scenario's name; codes past the full set are (factor, grid step) pairs."""
        if code < 0:
            return None
        if code < len(self.names):
            return self.names[code]
        k, g = divmod(code - len(self.names), self.grid_moves.shape[1])
        return f"{self.factor_names[k]} {self.grid_moves[k, g]:+.1%} {self.grid_names[g]}"


def vol_answer(moves: F64, rulebook: Rulebook) -> F64:
    """Return the 30-day vol move a price move brings along (spec 4.2, choice C30)."""
    r = np.log1p(moves)
    return np.where(r < 0.0, -rulebook.joint.vol_fall * r, rulebook.joint.vol_rise * r)


def _event_moves(event: StressEvent, market: MarketFrame, rulebook: Rulebook) -> F64:
    """(K,) moves of a named day; factors it does not name take their class's (choice C33)."""
    factors = market.factors
    floor = event.moves.get("BTC/USD", 0.0)
    moves = np.zeros(len(factors))
    for k, name in enumerate(factors.names):
        if name in event.moves:
            moves[k] = event.moves[name]
            continue
        # A currency does not fall because coins do.
        steady = factors.kinds[k] in STEADY or factors.classes[k] == NUMERAIRE_CLASS
        named = event.class_moves.get(factors.classes[k], 0.0 if steady else floor)
        moves[k] = named if steady else min(named, floor)
    return moves


def _shock_moves(shock: Shock, market: MarketFrame, view: ClassView) -> F64:
    """(K,) moves of a made scenario: by factor name, else by class, else none (choice C48)."""
    factors = market.factors
    moves = np.zeros(len(factors))
    for k, name in enumerate(factors.names):
        for key in (name, factors.classes[k]):
            if key in shock.moves or key in shock.ranges:
                by_range = shock.ranges.get(key, 0.0) * float(view.factor_range[k])
                moves[k] = max(-0.99, shock.moves.get(key, by_range))
                break
    return moves


def stress_rows(
    market: MarketFrame, rulebook: Rulebook, view: ClassView
) -> tuple[list[str], list[F64], list[F64]]:
    """Return names, moves and vol moves of every stress scenario known before `at` (spec 4.4)."""
    stress = rulebook.stress
    names: list[str] = []
    rows: list[F64] = []
    vols: list[F64] = []

    def add(name: str, moves: F64, vol: float | None = None) -> None:
        names.append(name)
        rows.append(moves)
        vols.append(vol_answer(moves, rulebook) if vol is None else np.full(len(moves), vol))

    for event in stress.events:
        if _stamp_ns(event.known_from) <= market.at_ns:
            moves = _event_moves(event, market, rulebook)
            add(event.name, moves)
            add(f"{event.name} mirrored", np.minimum(1.0 / (1.0 + moves) - 1.0, stress.mirror_cap))
    for shock in stress.shocks:
        if shock.known_from is None or _stamp_ns(shock.known_from) <= market.at_ns:
            add(shock.name, _shock_moves(shock, market, view), shock.vol)
    for k, risk_class in enumerate(market.factors.classes):
        if risk_class == "stablecoin":
            moves = np.zeros(len(market.factors))
            moves[k] = stress.stablecoin_level - 1.0
            add(f"{market.factors.names[k]} at {stress.stablecoin_level:.2f}", moves)
    return names, rows, vols


def _stamp_ns(stamp: datetime) -> int:
    return int(stamp.timestamp()) * 1_000_000_000


def grid_of(
    market: MarketFrame, rulebook: Rulebook, view: ClassView
) -> tuple[tuple[str, ...], F64, F64, F64]:
    """Return names (G,), moves (K, G), vol steps (K, G) and weights (K, G) (spec 4.3, C27, C28)."""
    grid = rulebook.grid
    steps = sorted(grid.steps)
    tails = sorted(grid.tails)
    names: list[str] = []
    for _ in steps:
        names += ["vol down", "vol same", "vol up"]
    names += ["tail vol up"] * len(tails) + [f"after {grid.decay_hours:g} h"]
    n = len(names)
    moves, vols = np.zeros((len(market.factors), n)), np.zeros((len(market.factors), n))
    weight = np.ones((len(market.factors), n))
    for k, kind in enumerate(market.factors.kinds):
        span = float(view.factor_range[k])
        moves[k, : 3 * len(steps)] = np.repeat(steps, 3) * span
        if kind in STEADY:
            continue
        vols[k, : 3 * len(steps)] = np.tile([-1.0, 0.0, 1.0], len(steps))
        tail = slice(3 * len(steps), 3 * len(steps) + len(tails))
        moves[k, tail], vols[k, tail] = tails, 1.0
        weight[k, tail] = np.minimum(1.0, grid.tail_weight * span / np.abs(tails))
    return tuple(names), moves, vols, weight


def scenario_set(
    market: MarketFrame, rulebook: Rulebook, view: ClassView, joint: JointRows | None
) -> ScenarioSet:
    """Return all scenarios of a market; without joint rows `probability` is empty."""
    names, rows, vols = stress_rows(market, rulebook, view)
    n_factors = len(market.factors)
    moves = np.array(rows).reshape(len(rows), n_factors)
    vol_moves = np.array(vols).reshape(len(vols), n_factors)
    weight = np.full(len(names), rulebook.margin.stress_weight)
    probability = np.zeros(0)
    refused: tuple[str, ...] = ()
    if joint is not None:
        names = [*joint.names, *names]
        moves = np.concatenate([joint.factor_moves, moves])
        vol_moves = np.concatenate([joint.vol_moves, vol_moves])
        probability = joint.probability
        refused = tuple(str(r) for r in joint.refused)
    grid_names, grid_moves, grid_vols, grid_weight = grid_of(market, rulebook, view)
    return ScenarioSet(
        tuple(names), moves, vol_moves, probability, weight, market.factors.names, grid_names,
        grid_moves, grid_vols, grid_weight, refused,
    )  # fmt: skip


def term_scale(market: MarketFrame, rulebook: Rulebook) -> F64:
    """(M,) how much of a 30-day vol move reaches an option's expiry (spec 4.3)."""
    grid = rulebook.grid
    return surface.term_scales(
        market.t_years(), grid.term_days / 365.0, grid.term_short, grid.term_long
    )


def contracts_of(market: MarketFrame, p: Priced) -> Contracts:
    """Return the terms the payoff kernels need, assets first."""
    n, table, o = market.n_assets, market.instruments, p.options

    def stack(assets: F64, instruments: F64) -> F64:
        return np.concatenate([assets, instruments])

    zeros = np.zeros(n)
    size = table.contract_size * np.where(table.payoff == PayoffCode.QUANTO, table.quanto_rate, 1.0)
    fixed = np.where(table.averaged_share > 0.0, table.averaged * table.averaged_share, 0.0)
    now = np.where(table.style == 1, o.price * o.discount, unit_value(market, p))
    rows = np.arange(n, dtype=np.int32)
    return Contracts(
        kind=np.concatenate([np.zeros(n, np.int8), table.kind]),
        payoff=np.concatenate([np.zeros(n, np.int8), table.payoff]),
        style=np.concatenate([np.zeros(n, np.int8), table.style]),
        underlying=np.concatenate([rows, table.underlying]),
        settle=np.concatenate([rows, table.settle]),
        size=stack(zeros, size),
        forward=stack(zeros, table.forward * (1.0 - table.averaged_share)),
        fixed=stack(zeros, fixed), strike=stack(zeros, table.strike), sigma=stack(zeros, table.iv),
        t_years=stack(zeros, market.t_years()),
        rate=stack(zeros, np.where(np.isfinite(table.rate), table.rate, 0.0)),
        now=stack(p.price, now), settle_price=stack(zeros, p.price[table.settle]),
    )  # fmt: skip


def dependencies(market: MarketFrame) -> tuple[I64, I32, I32]:
    """Return which factors move each item: starts (n_items + 1,), owner and factor (D,)."""
    assets, table = market.assets, market.instruments
    loads = [
        assets.load_factor[assets.load_starts[a] : assets.load_starts[a + 1]].tolist()
        for a in range(len(assets))
    ]
    lists = loads + [
        sorted({*loads[u], *loads[s]}) for u, s in zip(table.underlying, table.settle, strict=True)
    ]
    sizes = np.array([len(row) for row in lists], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    owner = np.repeat(np.arange(len(lists), dtype=np.int32), sizes)
    return starts, owner, np.array([k for row in lists for k in row], dtype=np.int32)


def unit_rows(
    market: MarketFrame, rulebook: Rulebook, view: ClassView, p: Priced, scenarios: ScenarioSet,
    threads: int | None = 1,
) -> Rows:  # fmt: skip
    """Revalue one unit of everything in every scenario: the work a million pools share."""
    n, table = market.n_assets, market.instruments
    contracts = contracts_of(market, p)
    loads = Loads(market.assets.load_starts, market.assets.load_factor, market.assets.load_exponent)
    instrument_factor = view.first_factor[table.underlying]
    vol_factor = np.concatenate([np.full(n, 0, np.int32), np.maximum(instrument_factor, 0)])
    scale = np.concatenate([np.zeros(n), term_scale(market, rulebook)])
    full = np.zeros((market.n_items, len(scenarios.names)))
    run_blocks(
        joint_unit_rows, market.n_items, BLOCK, threads, contracts, loads,
        np.log1p(scenarios.moves), scenarios.vol_moves, vol_factor.astype(np.int32), scale, full,
    )  # fmt: skip
    starts, owner, factor = dependencies(market)
    sigmas = np.zeros((len(owner), scenarios.grid_moves.shape[1]))
    decay = np.zeros(len(owner))
    options = np.flatnonzero((owner >= n) & (contracts.kind[owner] >= KindCode.CALL))
    if len(options):
        row = (owner[options] - n).astype(np.int64)
        own = instrument_factor[row] == factor[options]
        steps = np.where(own[:, None], scenarios.grid_vols[factor[options]], 0.0)
        sigmas[options] = shocked_vols(market, rulebook, view, row, steps)
        decay[options[own]] = rulebook.grid.decay_hours / YEAR_HOURS
    grid_rows = np.zeros_like(sigmas)
    run_blocks(
        grid_unit_rows, len(owner), 16 * BLOCK, threads, contracts, loads, owner, factor,
        np.log1p(scenarios.grid_moves), sigmas, decay, grid_rows,
    )  # fmt: skip
    joint = scenarios.probability
    n_tail = tail_rows(joint, rulebook.margin.alpha) if len(joint) else 0
    soon = market.at_ns + int(rulebook.margin.mpor_hours * 3600e9)
    expires = (table.expiry_ns > 0) & (table.expiry_ns <= soon)
    return Rows(
        full, scenarios.probability, scenarios.weight,
        np.concatenate([np.zeros(n, np.bool_), expires]), starts, factor, grid_rows,
        scenarios.grid_weight,
        np.array([n_tail], dtype=np.int64),
    )  # fmt: skip


def shocked_vols(
    market: MarketFrame, rulebook: Rulebook, view: ClassView, row: I64, steps: F64
) -> F64:
    """(D, G) vols of the options in instrument rows `row` under grid steps -1, 0, 1 (C29)."""
    grid, table = rulebook.grid, market.instruments
    floor = view.factor_vol_floor[view.first_factor[table.underlying[row]]]
    moves = np.where(steps > 0.0, grid.vol_up, np.where(steps < 0.0, -grid.vol_down, 0.0))
    scale = term_scale(market, rulebook)[row]
    return surface.shocked_vols(table.iv[row], scale, moves, floor)
