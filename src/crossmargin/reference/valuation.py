"""What everything is worth, now and in a scenario, by the formulas of spec 2 and 4.1.

In     a plain market; holdings; a scenario (relative moves by factor, volatility moves).
Out    prices, net balances, equity, delta notionals, greeks, the P&L of one unit.
Owns   the map factor -> asset -> instrument, and what makes a pool UNPRICED (2.5).
Never  haircuts, nets across pools, or knows a requirement.
Signs  P&L + gain; quantity + long.
Spec   docs/spec/02-valuation.md
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from crossmargin.reference import black
from crossmargin.reference.plain import (
    DEGRADED,
    HOUR_NS,
    LIVE,
    YEAR_NS,
    Holding,
    PlainInstrument,
    PlainMarket,
)


@dataclass(frozen=True, eq=False)
class Scenario:
    """Relative moves by factor; `vol` by first factor of the underlying: up, down or a number.

    decay  first factor of the underlyings whose options lose `decay_hours` of life
    """

    name: str
    moves: Mapping[str, float] = field(default_factory=dict)
    vol: Mapping[str, str | float] = field(default_factory=dict)
    weight: float = 1.0
    decay: str = ""


@dataclass(frozen=True)
class Position:
    """Net signed contracts of one instrument and the entries they were made at."""

    quantity: float
    entries: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Valued:
    """A pool at the market: net balances (coins), positions, unsettled P&L, option values (USD)."""

    balance: Mapping[str, float]
    position: Mapping[str, Position]
    mtm: Mapping[str, float]
    option_value: Mapping[str, float]

    def equity(self, market: PlainMarket) -> float:
        """2.3: sum of net balances at their price, and premium-style option values."""
        held = math.fsum(q * price(market, a) for a, q in self.balance.items())
        return held + math.fsum(self.option_value.values())

    def owes(self, market: PlainMarket) -> bool:
        """5.5, C41: a debt, a short option, a future, a perpetual or a futures-style option."""
        if any(q < 0.0 for q in self.balance.values()):
            return True
        for name, position in self.position.items():
            terms = market.instruments[name]
            if position.quantity < 0.0 or not terms.pays_premium:
                return True
        return False


def price(market: PlainMarket, asset: str, moves: Mapping[str, float] | None = None) -> float:
    """C1: scale x product over factors of (level (1 + move)) ^ exponent, in the numeraire."""
    return _moved_price(market, asset, moves) if moves else _bare_price(market, asset)


@lru_cache(maxsize=1_024)
def _bare_price(market: PlainMarket, asset: str) -> float:
    return _moved_price(market, asset, {})


def _moved_price(market: PlainMarket, asset: str, moves: Mapping[str, float]) -> float:
    terms = market.assets[asset]
    value = terms.scale
    for factor, exponent in terms.loads:
        value *= (market.factors[factor].level * (1.0 + moves.get(factor, 0.0))) ** exponent
    return value


def multiplier(market: PlainMarket, asset: str, moves: Mapping[str, float]) -> float:
    """Price after over price before, of the factors alone."""
    value = 1.0
    for factor, exponent in market.assets[asset].loads:
        value *= (1.0 + moves.get(factor, 0.0)) ** exponent
    return value


def first_factor(market: PlainMarket, asset: str) -> str:
    """The factor that names an asset's class; "" for the numeraire."""
    loads = market.assets[asset].loads
    return loads[0][0] if loads else ""


def status(market: PlainMarket, asset: str) -> int:
    """C3: the worst of the asset's factors."""
    return min((market.factors[f].status for f, _ in market.assets[asset].loads), default=LIVE)


def is_bad(market: PlainMarket, item: str) -> bool:
    """C3: worse than DEGRADED, or without a usable number."""
    if item in market.assets:
        return status(market, item) < DEGRADED or not math.isfinite(price(market, item))
    terms = market.instruments[item]
    worst = min(
        terms.status, *(status(market, a) for a in (terms.underlying, terms.quote, terms.settle))
    )
    numbers = [forward(terms), *(price(market, a) for a in (terms.quote, terms.settle))]
    if terms.is_option:
        numbers.append(terms.iv)
    return worst < DEGRADED or not all(math.isfinite(x) for x in numbers)


def forward(terms: PlainInstrument, mult: float = 1.0) -> float:
    """C2, 5.7: average so far x elapsed share + the open part, which alone moves."""
    share = terms.averaged_share
    fixed = terms.averaged * share if share > 0.0 else 0.0
    return fixed + terms.forward * mult * (1.0 - share)


def open_part(terms: PlainInstrument) -> float:
    """C13: the share of the forward that can still move."""
    return terms.forward * (1.0 - terms.averaged_share) / forward(terms)


def years(market: PlainMarket, terms: PlainInstrument) -> float:
    """ACT/365 by seconds, 0 where past."""
    return max(0.0, (terms.expiry_ns - market.at_ns) / YEAR_NS)


def discount(terms: PlainInstrument, t_years: float) -> float:
    return math.exp(-(0.0 if math.isnan(terms.rate) else terms.rate) * t_years)


def option_price(terms: PlainInstrument, f: float, sigma: float, t_years: float) -> float:
    """Undiscounted Black-76, in quote units per unit of the underlying."""
    return black.price(terms.kind, f, terms.strike, sigma, t_years)


def option_unit(terms: PlainInstrument, f: float, sigma: float, t_years: float) -> float:
    """2.2: c D V in quote, or c D V / F in base for an inverse option."""
    value = terms.contract_size * discount(terms, t_years)
    value *= option_price(terms, f, sigma, t_years)
    return value / f if terms.payoff == "inverse" else value


def value_asset(terms: PlainInstrument) -> str:
    """The asset an instrument's value or P&L is held in."""
    return terms.quote if terms.payoff == "linear" else terms.settle


# --- a pool ---------------------------------------------------------------------------------------


def mtm_in_settle(market: PlainMarket, terms: PlainInstrument, q: float, entry: float) -> float:
    """2.1: unsettled P&L in units of the settlement asset."""
    f, c = forward(terms), terms.contract_size
    if terms.is_option:
        t = years(market, terms)
        worth = option_price(terms, f, terms.iv, t) - entry
        return q * c * discount(terms, t) * worth
    if terms.payoff == "inverse":
        return q * c * (1.0 / entry - 1.0 / f)
    per_unit = terms.quanto_rate if terms.payoff == "quanto" else 1.0
    return q * c * per_unit * (f - entry)


def netted(market: PlainMarket, holdings: tuple[Holding, ...]) -> dict[str, Position]:
    """Positions by instrument; flat ones are gone, what they earned was settled."""
    found: dict[str, list[Holding]] = {}
    for row in holdings:
        if row.item in market.instruments and row.quantity != 0.0:
            found.setdefault(row.item, []).append(row)
    return {
        name: Position(
            math.fsum(r.quantity for r in rows), tuple((r.quantity, r.entry_price) for r in rows)
        )
        for name, rows in found.items()
    }


def valued(market: PlainMarket, holdings: tuple[Holding, ...]) -> Valued:
    """Net balances of 2.1 and option values of 2.2 of a priced or unpriced pool."""
    balance: dict[str, float] = {}
    for row in holdings:
        if row.item in market.assets:
            balance[row.item] = balance.get(row.item, 0.0) + row.quantity
    position = netted(market, holdings)
    mtm: dict[str, float] = {}
    option_value: dict[str, float] = {}
    for name, held in position.items():
        terms = market.instruments[name]
        if terms.pays_premium:
            unit = option_unit(terms, forward(terms), terms.iv, years(market, terms))
            option_value[name] = held.quantity * unit * price(market, value_asset(terms))
        else:
            coins = math.fsum(mtm_in_settle(market, terms, q, e) for q, e in held.entries)
            balance[terms.settle] = balance.get(terms.settle, 0.0) + coins
            mtm[name] = coins * price(market, terms.settle)
    live = {name: held for name, held in position.items() if held.quantity != 0.0}
    return Valued({a: q for a, q in balance.items() if q != 0.0}, live, mtm, option_value)


def unpriced(market: PlainMarket, pool: Valued) -> tuple[str, ...]:
    """2.5, C4: what makes the pool UNPRICED; an asset merely held needs a last good price only."""
    bad = []
    for asset, q in pool.balance.items():
        lost = not math.isfinite(price(market, asset))
        if not math.isfinite(q) or lost or (q < 0.0 and is_bad(market, asset)):
            bad.append(asset)
    for name in {*pool.position, *pool.mtm, *pool.option_value}:
        worth = pool.mtm.get(name, 0.0) + pool.option_value.get(name, 0.0)
        if is_bad(market, name) or not math.isfinite(worth):
            bad.append(name)
    return tuple(sorted(set(bad)))


# --- exposures ------------------------------------------------------------------------------------


@lru_cache(maxsize=1_024)
def delta_notional(market: PlainMarket, terms: PlainInstrument) -> float:
    """C13: numeraire change of one contract per unit relative move of its underlying."""
    f, c = forward(terms), terms.contract_size
    if terms.is_option:
        t = years(market, terms)
        slope = black.delta(terms.kind, f, terms.strike, terms.iv, t)
        coins = c * discount(terms, t) * slope * (1.0 if terms.payoff == "inverse" else f)
    elif terms.payoff == "inverse":
        coins = c / f
    else:
        coins = c * f * (terms.quanto_rate if terms.payoff == "quanto" else 1.0)
    return coins * price(market, value_asset(terms)) * open_part(terms)


def vega(market: PlainMarket, terms: PlainInstrument) -> float:
    """Numeraire change of one contract per unit of volatility (1.00, not a point)."""
    if not terms.is_option:
        return 0.0
    f, t = forward(terms), years(market, terms)
    per_unit = black.vega(f, terms.strike, terms.iv, t) * discount(terms, t)
    coins = terms.contract_size * per_unit / (f if terms.payoff == "inverse" else 1.0)
    return coins * price(market, value_asset(terms))


# --- scenarios ------------------------------------------------------------------------------------


def term_scale(market: PlainMarket, t_years: float) -> float:
    """C29: (term_days / max(T, 1 day)) ^ p."""
    grid = market.rulebook.grid
    days = max(t_years * 365.0, 1.0)
    power = grid.term_short if days < grid.term_days else grid.term_long
    return float((grid.term_days / days) ** power)


def shocked_vol(market: PlainMarket, terms: PlainInstrument, move: str | float | None) -> float:
    """C29: the volatility a scenario gives an option; "up" and "down" are the grid's."""
    if move is None:
        return terms.iv
    grid = market.rulebook.grid
    scale = term_scale(market, years(market, terms))
    if move == "up":
        factor = market.factors[first_factor(market, terms.underlying)]
        floor = market.rulebook.classes[factor.risk_class].vol_floor
        return max(terms.iv * (1.0 + grid.vol_up * scale), floor)
    if move == "down":
        return terms.iv * max(0.0, 1.0 - grid.vol_down * scale)
    return terms.iv * max(0.0, 1.0 + float(move) * scale)


@lru_cache(maxsize=65_536)
def unit_pnl(market: PlainMarket, item: str, scenario: Scenario) -> float:
    """4.1: numeraire P&L of one coin or one contract in a scenario, fully revalued."""
    moves = scenario.moves
    if item in market.assets:
        return price(market, item, moves) - price(market, item)
    terms = market.instruments[item]
    f, f_after = forward(terms), forward(terms, multiplier(market, terms.underlying, moves))
    after = price(market, value_asset(terms), moves)
    if terms.is_option:
        return _option_pnl(market, terms, scenario, (f, f_after, after))
    if terms.payoff == "inverse":
        return terms.contract_size * (1.0 / f - 1.0 / f_after) * after
    per_unit = terms.quanto_rate if terms.payoff == "quanto" else 1.0
    return terms.contract_size * per_unit * (f_after - f) * after


def _option_pnl(
    market: PlainMarket,
    terms: PlainInstrument,
    scenario: Scenario,
    moved: tuple[float, float, float],
) -> float:
    f, f_after, price_after = moved
    lead = first_factor(market, terms.underlying)
    t = years(market, terms)
    lost = market.rulebook.grid.decay_hours * HOUR_NS / YEAR_NS if scenario.decay == lead else 0.0
    sigma = shocked_vol(market, terms, scenario.vol.get(lead))
    before = option_unit(terms, f, terms.iv, t)
    after = option_unit(terms, f_after, sigma, max(0.0, t - lost))
    if terms.pays_premium:
        return after * price_after - before * price(market, value_asset(terms))
    return (after - before) * price_after  # C40
