"""A market and a book as plain Python values, the twin's whole world.

In     numbers and names, one value a field; nothing is an array.
Out    frozen dataclasses the other modules of `reference` read.
Owns   names of statuses, levels and verdicts as the twin writes them.
Never  imports anything but base and domain.
Signs  quantity > 0 owned or long; P&L + gain; requirements, haircuts >= 0; NaN is "not known".
Spec   docs/spec/01-what-exists.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from crossmargin.domain.rulebook import Rulebook

Level = Literal["mm", "im"]
LEVELS: tuple[Level, Level] = ("mm", "im")

# Statuses, worst first (spec 8). Below DEGRADED a price is bad.
MISSING, HALTED, STALE, DEGRADED, LIVE = range(5)

# Verdicts, worst first (spec 6).
UNPRICED, BANKRUPT, LIQUIDATABLE, REDUCE_ONLY, HEALTHY = range(5)

YEAR_NS = 365 * 86_400 * 1_000_000_000
HOUR_NS = 3_600 * 1_000_000_000

OPTIONS = ("call", "put")
FUTURES = ("perpetual", "future")


@dataclass(frozen=True)
class PlainFactor:
    factor: str
    kind: str
    risk_class: str
    level: float
    status: int = LIVE
    half_width: float = 0.0
    stable_price: float = float("nan")
    age_s: float = 0.0
    sigma_daily: float = float("nan")


@dataclass(frozen=True)
class PlainAsset:
    asset: str
    asset_class: str
    loads: tuple[tuple[str, float], ...]
    scale: float = 1.0
    adv: float = float("nan")
    half_spread: float = float("nan")
    venue_total: float = float("nan")


@dataclass(frozen=True)
class PlainInstrument:
    instrument: str
    kind: str
    payoff: str
    style: str
    underlying: str
    quote: str
    settle: str
    contract_size: float
    forward: float
    quanto_rate: float = 0.0
    expiry_ns: int = 0
    strike: float = 0.0
    iv: float = float("nan")
    rate: float = float("nan")
    status: int = LIVE
    averaged: float = 0.0
    averaged_share: float = 0.0
    funding_rate: float = float("nan")
    funding_cap: float = float("nan")
    adv: float = float("nan")
    half_spread: float = float("nan")

    @property
    def is_option(self) -> bool:
        return self.kind in OPTIONS

    @property
    def is_future(self) -> bool:
        return self.kind in FUTURES

    @property
    def pays_premium(self) -> bool:
        """A premium-style option: its value is equity, not unsettled P&L."""
        return self.is_option and self.style == "premium"


@dataclass(frozen=True)
class JointRow:
    """One date: what every factor did, and the surface over it; `vol` 30-day relative moves."""

    name: str
    probability: float
    moves: Mapping[str, float]
    vol: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class PlainMarket:
    """A market is itself and no other: what was once asked of it is kept (`functools.cache`)."""

    at_ns: int
    numeraire: str
    factors: Mapping[str, PlainFactor]
    assets: Mapping[str, PlainAsset]
    instruments: Mapping[str, PlainInstrument]
    rulebook: Rulebook
    joint: tuple[JointRow, ...] = ()


@dataclass(frozen=True)
class Holding:
    """An asset's balance or a position; `entry_price` in quote units, NaN where none is needed."""

    item: str
    quantity: float
    entry_price: float = float("nan")


@dataclass(frozen=True)
class PlainOrder:
    instrument: str
    quantity: float
    limit_price: float
    reduce_only: bool = False


@dataclass(frozen=True)
class PlainPool:
    pool: str
    method: str
    holdings: tuple[Holding, ...] = ()
    orders: tuple[PlainOrder, ...] = ()
    draw_limit: float = float("inf")
    drawn: float = 0.0
    last_draw: float = 0.0
    set_aside: bool = False


@dataclass(frozen=True)
class PlainAccount:
    """The shared pool first, then buckets in draw order."""

    account: str
    pools: tuple[PlainPool, ...]


@dataclass(frozen=True)
class LevelResult:
    """One level of one pool. `charges` come off equity, `parts` make up the requirement."""

    margin_balance: float
    requirement: float
    charges: Mapping[str, float]
    parts: Mapping[str, float]
    draw: float = 0.0

    @property
    def buffer(self) -> float:
        return self.margin_balance + self.draw - self.requirement

    @property
    def own_requirement(self) -> float:
        """Without what the buckets draw."""
        return self.requirement - self.parts.get("draws", 0.0)


@dataclass(frozen=True)
class PlainResult:
    """The twin's answer for one pool; NaN throughout where `verdict` is UNPRICED."""

    verdict: int
    equity: float
    collateral_value: float
    mm: LevelResult
    im: LevelResult
    binding_term: str = ""
    terms: Mapping[str, float] = field(default_factory=dict)
    worst_scenario: str = ""
    worst_loss: float = float("nan")
    health: float = float("nan")
    margin_ratio: float = float("nan")
    unpriced: tuple[str, ...] = ()
    owes: bool = True
