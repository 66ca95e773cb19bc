"""Every risk parameter as one frozen, versioned, hashed value.

In     numbers decoded from TOML (adapters.codec) or written in Python.
Out    a `Rulebook`; two rulebooks with the same content have the same `digest`.
Owns   which parameters exist, their names, and the bounds one value can be checked against alone.
Never  knows a price; reads a file; holds a default that changes a number: all stand in the TOML.
Signs  fractions are of 1; haircuts, ranges, fees and weights are >= 0.
Spec   docs/spec/16-defaults.md
"""

from __future__ import annotations

import hashlib
import math
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Annotated

import msgspec

from crossmargin.base.errors import RulebookInvalid
from crossmargin.domain.lending import LendingTerms
from crossmargin.domain.liquidation_rules import Liquidation
from crossmargin.domain.oracle_rules import OTHERS, Oracle
from crossmargin.domain.parts import Part, check

# A stamp without an offset would mean another moment on another machine.
Stamp = Annotated[datetime, msgspec.Meta(tz=True)]


class Bracket(Part, frozen=True):
    """One marginal bracket of the liquidity haircut: value up to `up_to`, numeraire (spec 3.1)."""

    up_to: float
    mm: float
    im: float

    def __post_init__(self) -> None:
        if not self.up_to > 0.0:
            raise RulebookInvalid("liquidity.up_to", self.up_to, "must be > 0 (inf for the last)")
        check("liquidity.mm", self.mm, 0.0, 1.0)
        check("liquidity.im", self.im, 0.0, 1.0)


def check_brackets(schedule: tuple[Bracket, ...]) -> None:
    """Refuse a schedule whose edges cross, or that ends before infinity."""
    edges = [bracket.up_to for bracket in schedule]
    if not edges or not math.isinf(edges[-1]):
        raise RulebookInvalid("liquidity", edges, "must end with a bracket up to inf")
    if any(b <= a for a, b in pairwise(edges)):
        raise RulebookInvalid("liquidity.up_to", edges, "must increase strictly")


class RiskClass(Part, frozen=True):
    """What the rulebook says of one class of factors, and of assets made of them.

    range           24 h move, fraction: market haircut, surcharge and cross fraction at MM (16)
    liquidity       marginal brackets of held value; surcharge_* the debt side, flat
    basis_annual    a of the basis add-on, fraction a year (5.4)
    vol_floor       up-shocked volatility at least this (4.3)
    gain_tier       which weight unsettled gains get (3.4)
    adv, half_spread, sigma_daily   used where the market states none: USD a day, fraction, fraction
    """

    range: float
    liquidity: tuple[Bracket, ...]
    surcharge_liquidity_mm: float
    surcharge_liquidity_im: float
    basis_annual: float
    vol_floor: float
    gain_tier: str
    adv: float
    half_spread: float
    sigma_daily: float

    def __post_init__(self) -> None:
        check("range", self.range, 0.0, 0.95)
        for key in ("surcharge_liquidity_mm", "surcharge_liquidity_im", "half_spread"):
            check(key, getattr(self, key), 0.0, 1.0)
        check("basis_annual", self.basis_annual, 0.0, 10.0)
        check("vol_floor", self.vol_floor, 0.0, 10.0)
        check("sigma_daily", self.sigma_daily, 0.0, 5.0)
        check("adv", self.adv, 1.0, 1e15)
        check_brackets(self.liquidity)


class AssetRules(Part, frozen=True):
    """Override of one asset: its own liquidity brackets, venue brackets and tier."""

    liquidity: tuple[Bracket, ...] | None = None
    venue_liquidity: tuple[Bracket, ...] | None = None
    surcharge_liquidity_mm: float | None = None
    surcharge_liquidity_im: float | None = None

    def __post_init__(self) -> None:
        for schedule in (self.liquidity, self.venue_liquidity):
            if schedule is not None:
                check_brackets(schedule)
        for key in ("surcharge_liquidity_mm", "surcharge_liquidity_im"):
            value = getattr(self, key)
            if value is not None:
                check(key, value, 0.0, 1.0)


class GainTier(Part, frozen=True):
    """Weight of unsettled gains at each level (spec 3.4)."""

    mm: float
    im: float

    def __post_init__(self) -> None:
        check("gain_tiers.mm", self.mm, 0.0, 1.0)
        check("gain_tiers.im", self.im, 0.0, self.mm)


class SizeTier(Part, frozen=True):
    """Marginal tier of notional: up to a fraction of ADV, multiplier of the range (spec 16)."""

    up_to_adv: float
    multiplier: float

    def __post_init__(self) -> None:
        if not self.up_to_adv > 0.0:
            raise RulebookInvalid("tiers.up_to_adv", self.up_to_adv, "must be > 0")
        check("tiers.multiplier", self.multiplier, 0.0, 20.0)


class Margin(Part, frozen=True):
    """Numbers of the requirement (spec 5, 16)."""

    alpha: float
    mpor_hours: float
    initial_factor: float
    kappa: float
    stress_weight: float
    cross_floor: float
    hedged_fraction: float
    short_option_minimum_mm: float
    short_option_minimum_im: float
    isolated_short_option_mm: float
    isolated_short_option_im: float
    isolated_short_option_im_floor: float
    market_haircut_max: float
    taker_fee: float
    penalty: float
    impact_scale: float
    impact_exponent: float
    basis_perpetual: float
    vega_offset: float
    vega_weight: float
    wrong_way: bool

    def __post_init__(self) -> None:
        check("margin.alpha", self.alpha, 0.5, 0.99999)
        check("margin.mpor_hours", self.mpor_hours, 0.25, 720.0)
        check("margin.initial_factor", self.initial_factor, 1.0, 10.0)
        check("margin.market_haircut_max", self.market_haircut_max, 0.0, 1.0)
        for key in (
            "kappa",
            "stress_weight",
            "cross_floor",
            "hedged_fraction",
            "vega_offset",
            "vega_weight",
            "taker_fee",
            "penalty",
            "basis_perpetual",
        ):
            check(f"margin.{key}", getattr(self, key), 0.0, 1.0)
        for key in ("short_option_minimum", "isolated_short_option"):
            mm = getattr(self, f"{key}_mm")
            check(f"margin.{key}_mm", mm, 0.0, 1.0)
            check(f"margin.{key}_im", getattr(self, f"{key}_im"), mm, 1.0)
        check(
            "margin.isolated_short_option_im_floor",
            self.isolated_short_option_im_floor,
            self.isolated_short_option_mm,
            self.isolated_short_option_im,
        )
        check("margin.impact_scale", self.impact_scale, 0.0, 100.0)
        check("margin.impact_exponent", self.impact_exponent, 0.1, 2.0)


class Grid(Part, frozen=True):
    """The scan grid of one factor (spec 4.3)."""

    steps: tuple[float, ...]
    tails: tuple[float, ...]
    tail_weight: float
    vol_up: float
    vol_down: float
    term_days: float
    term_short: float
    term_long: float
    decay_hours: float

    def __post_init__(self) -> None:
        if 0.0 not in self.steps:
            raise RulebookInvalid("grid.steps", self.steps, "must contain the unshocked step 0")
        for step in self.steps:  # multiples of the class range, so that -1 is one whole range
            check("grid.steps", step, -1.0, 1.0)
        for move in self.tails:  # relative moves
            check("grid.tails", move, -0.99, 10.0)
        check("grid.tail_weight", self.tail_weight, 0.0, 10.0)
        check("grid.vol_up", self.vol_up, 0.0, 5.0)
        check("grid.vol_down", self.vol_down, 0.0, 0.99)
        check("grid.term_days", self.term_days, 1.0, 3650.0)
        check("grid.term_short", self.term_short, 0.0, 2.0)
        check("grid.term_long", self.term_long, 0.0, 2.0)
        check("grid.decay_hours", self.decay_hours, 0.0, 720.0)


class Joint(Part, frozen=True):
    """Filtered historical scenarios (spec 4.2)."""

    rows: int
    ewma: float
    clip_low: float
    clip_high: float
    sigma_floor: float
    outlier: float
    neighbours: float
    vol_fall: float
    vol_rise: float

    def __post_init__(self) -> None:
        check("joint.rows", self.rows, 100, 100_000)
        check("joint.ewma", self.ewma, 0.5, 0.9999)
        check("joint.clip_low", self.clip_low, 0.01, 1.0)
        check("joint.clip_high", self.clip_high, 1.0, 100.0)
        for key in ("sigma_floor", "outlier", "neighbours"):
            check(f"joint.{key}", getattr(self, key), 0.0, 1.0)
        check("joint.vol_fall", self.vol_fall, 0.0, 10.0)
        check("joint.vol_rise", self.vol_rise, 0.0, 10.0)


class StressEvent(Part, frozen=True):
    """A named day that happened: relative move of each factor from t0 to its confirmed low.

    known_from  the stamp from which a run may use it; a run as of an earlier hour must not
    moves       factor name -> relative move, > -1; a factor not named takes its class (spec 4.4)
    class_moves class -> the class percentile of the losses measured that day (choice C33)
    """

    name: str
    known_from: Stamp
    moves: dict[str, float]
    class_moves: dict[str, float] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        for factor, move in (*self.moves.items(), *self.class_moves.items()):
            check(f"stress.{self.name}.moves.{factor}", move, -0.99999, 100.0)


class Shock(Part, frozen=True):
    """A made scenario: move by risk class or factor, in fractions or multiples of range.

    moves   class or factor name -> relative move, > -1; a factor's own entry beats its class
    ranges  class or factor name -> multiple of the class range
    vol     relative move of the 30-day volatility; None: from the price move (spec 4.2)
    """

    name: str
    moves: dict[str, float] = msgspec.field(default_factory=dict)
    ranges: dict[str, float] = msgspec.field(default_factory=dict)
    vol: float | None = None
    known_from: Stamp | None = None

    def __post_init__(self) -> None:
        for key, move in self.moves.items():
            check(f"stress.{self.name}.moves.{key}", move, -0.99999, 100.0)
        for key, multiple in self.ranges.items():
            check(f"stress.{self.name}.ranges.{key}", multiple, -10.0, 10.0)
        if self.vol is not None:
            check(f"stress.{self.name}.vol", self.vol, -0.99, 10.0)


class Stress(Part, frozen=True):
    """Named stress: events, mirrored in log up to `mirror_cap`, and made shocks (spec 4.4)."""

    mirror_cap: float
    class_percentile: float
    stablecoin_level: float
    events: tuple[StressEvent, ...]
    shocks: tuple[Shock, ...]

    def __post_init__(self) -> None:
        check("stress.mirror_cap", self.mirror_cap, 0.0, 1000.0)
        check("stress.class_percentile", self.class_percentile, 0.0, 100.0)
        check("stress.stablecoin_level", self.stablecoin_level, 0.01, 1.0)


class Correlation(Part, frozen=True):
    """Correlation of underlyings in `cross` (spec 5.2): pair, else class pair, else default.

    pairs  "BTC:ETH" -> rho, factor or class names in alphabetical order
    """

    default: float
    same_factor: float
    pairs: dict[str, float]

    def __post_init__(self) -> None:
        for key, rho in {
            "default": self.default,
            "same_factor": self.same_factor,
            **self.pairs,
        }.items():
            check(f"correlation.{key}", rho, -1.0, 1.0)
            names = key.split(":")
            if names != sorted(names):
                raise RulebookInvalid(f"correlation.{key}", key, "names in alphabetical order")


class Rulebook(Part, frozen=True):
    """All of it. `digest` is the identity that reports and events carry."""

    name: str
    version: str
    effective_from: Stamp
    numeraire: str
    source: str
    margin: Margin
    classes: dict[str, RiskClass]
    gain_tiers: dict[str, GainTier]
    tiers: tuple[SizeTier, ...]
    correlation: Correlation
    grid: Grid
    joint: Joint
    stress: Stress
    oracle: Oracle
    liquidation: Liquidation
    assets: dict[str, AssetRules] = msgspec.field(default_factory=dict)
    lending: dict[str, LendingTerms] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, risk_class in self.classes.items():
            if risk_class.gain_tier not in self.gain_tiers:
                raise RulebookInvalid(
                    f"classes.{name}.gain_tier",
                    risk_class.gain_tier,
                    f"must be one of {sorted(self.gain_tiers)}",
                )
        sources = self.oracle.sources
        for name in sources.limits if sources is not None else ():
            # A misspelt class would quietly be one of the others.
            if name not in self.classes and name != OTHERS:
                raise RulebookInvalid(
                    f"oracle.sources.limits.{name}", name,
                    f"must be {OTHERS} or one of {sorted(self.classes)}",
                )  # fmt: skip
        edges = [tier.up_to_adv for tier in self.tiers]
        if not edges or not math.isinf(edges[-1]):
            raise RulebookInvalid("tiers", edges, "must end with a tier up to inf")
        if any(b <= a for a, b in pairwise(edges)):
            raise RulebookInvalid("tiers.up_to_adv", edges, "must increase strictly")

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical encoding: same rules, same digest, on every machine."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()

    def packed(self) -> bytes:
        """Return the rulebook as bytes that keep infinities, which JSON has none of."""
        return msgspec.msgpack.encode(self)


@lru_cache(maxsize=8)
def unpacked(rules: bytes) -> Rulebook:
    """Return the rulebook of `packed` bytes; the same bytes are read once."""
    return msgspec.msgpack.decode(rules, type=Rulebook)
