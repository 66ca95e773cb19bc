"""Which scenarios a pool is put through: the grid of a factor, named stress, joint rows.

In     the market with its rulebook.
Out    lists of `Scenario`, in the order the specification states.
Owns   mirrors, class fall-backs, `known_from`, tail weights.
Never  values anything.
Signs  moves are relative, > -1; weights in [0, 1].
Spec   docs/spec/04-scenarios.md
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache

from crossmargin.domain.rulebook import Shock, StressEvent
from crossmargin.reference.plain import PlainMarket
from crossmargin.reference.valuation import Scenario

LOWEST_MOVE = -0.99


@lru_cache(maxsize=256)
def grid(market: PlainMarket, factor: str) -> list[Scenario]:
    """4.3, C27, C28: price steps x vol, tails, one time-decay row; pegs and bases steps only."""
    rules = market.rulebook.grid
    terms = market.factors[factor]
    reach = market.rulebook.classes[terms.risk_class].range
    found = []
    for step in sorted(rules.steps):
        move = {factor: step * reach}
        if terms.kind != "spot":
            found.append(Scenario(f"{factor} {move[factor]:+.2%}", move))
            continue
        for word in ("down", "same", "up"):
            vol = {} if word == "same" else {factor: word}
            found.append(Scenario(f"{factor} {move[factor]:+.2%}, vol {word}", move, vol))
    if terms.kind != "spot":
        return found
    for tail in sorted(rules.tails):
        weight = min(1.0, rules.tail_weight * reach / abs(tail))
        name = f"{factor} {tail:+.0%}, vol up"
        found.append(Scenario(name, {factor: tail}, {factor: "up"}, weight))
    found.append(Scenario(f"{factor} time decay", {}, {}, 1.0, factor))
    return found


@lru_cache(maxsize=16)
def stress(market: PlainMarket) -> list[Scenario]:
    """4.4: events known by now and their mirrors, stablecoins one by one, made shocks."""
    rules = market.rulebook.stress
    found = []
    for event in rules.events:
        if known(market, event.known_from):
            fall = event_moves(market, event)
            rise = {f: min(1.0 / (1.0 + m) - 1.0, rules.mirror_cap) for f, m in fall.items()}
            found.append(_named(market, event.name, fall, None))
            found.append(_named(market, f"{event.name} mirrored", rise, None))
    for factor in market.factors.values():
        if factor.risk_class == "stablecoin":
            move = {factor.factor: rules.stablecoin_level - 1.0}
            name = f"{factor.factor} at {rules.stablecoin_level:g}"
            found.append(_named(market, name, move, None))
    for shock in rules.shocks:
        if shock.known_from is None or known(market, shock.known_from):
            moves = {f: shock_move(market, shock, f) for f in market.factors}
            found.append(_named(market, shock.name, moves, shock.vol))
    return found


@lru_cache(maxsize=16)
def joint(market: PlainMarket) -> list[tuple[float, Scenario]]:
    """4.2: the given rows with their probabilities."""
    return [(row.probability, Scenario(row.name, row.moves, row.vol)) for row in market.joint]


def _named(market: PlainMarket, name: str, moves: dict[str, float], vol: float | None) -> Scenario:
    """A stress scenario: weighted, every surface moving with its own underlying (C30)."""
    vols = {
        f: vol_move(market, moves.get(f, 0.0)) if vol is None else vol
        for f, terms in market.factors.items()
        if terms.kind == "spot"
    }
    return Scenario(name, moves, vols, market.rulebook.margin.stress_weight)


def vol_move(market: PlainMarket, move: float) -> float:
    """C30: relative 30-day vol move that goes with a price move."""
    r = math.log1p(move)
    rules = market.rulebook.joint
    return rules.vol_fall * -r if r < 0.0 else rules.vol_rise * r


def known(market: PlainMarket, stamp: datetime) -> bool:
    """4.4: a run as of `at` uses only what was known before."""
    aware = stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)
    return aware.timestamp() * 1e9 <= market.at_ns


def event_moves(market: PlainMarket, event: StressEvent) -> dict[str, float]:
    """C33: the move named, else the class's; a coin never falls less than BTC then."""
    btc = event.moves.get("BTC/USD")
    moves = {}
    for factor, terms in market.factors.items():
        if factor in event.moves:
            moves[factor] = event.moves[factor]
            continue
        found = (
            [event.class_moves[terms.risk_class]] if terms.risk_class in event.class_moves else []
        )
        if terms.kind == "spot" and terms.risk_class != "fiat" and btc is not None:
            found.append(btc)
        moves[factor] = min(found, default=0.0)
    return moves


def shock_move(market: PlainMarket, shock: Shock, factor: str) -> float:
    """C48: by factor name before class, by fraction before multiple of range."""
    name = market.factors[factor].risk_class
    reach = market.rulebook.classes[name].range
    for key in (factor, name):
        if key in shock.moves:
            return max(LOWEST_MOVE, shock.moves[key])
        if key in shock.ranges:
            return max(LOWEST_MOVE, shock.ranges[key] * reach)
    return 0.0
