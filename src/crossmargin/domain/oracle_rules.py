"""Rules of the oracle: how many quotes become one price.

In     numbers of the rulebook.
Out    frozen sections that cannot be built wrong.
Owns   which parameters the oracle has and their bounds.
Never  knows a price.
Signs  fractions are of 1.
Spec   docs/spec/08-oracle.md
"""

from __future__ import annotations

import msgspec

from crossmargin.base.errors import RulebookInvalid
from crossmargin.domain.parts import Part, check

# The row of `limits` for every class that has none of its own.
OTHERS = "others"


class SourceLimits(Part, frozen=True):
    """What a class allows: distance from the reference, and a move within the breaker's window."""

    deviation: float
    breaker: float

    def __post_init__(self) -> None:
        check("oracle.sources.limits.deviation", self.deviation, 0.0, 0.5)
        check("oracle.sources.limits.breaker", self.breaker, 0.0001, 0.99)


class Sources(Part, frozen=True):
    """How quotes are fused (spec 8.4 to 8.16).

    quorum_live, quorum_degraded   independent sources a price of that status needs
    future_s          a quote may be stamped so far ahead of our clock
    breaker_window_s  a move beyond a class's `breaker` within it halts; confirm_s: for how long
    stable_per_hour   the slow price moves at most by this fraction an hour
    redemption_gap    market and redemption value further apart than this are at most DEGRADED
    growth_window_days   a growth cap must cover what was observed over this time
    limits            risk class -> its limits; "others" for every class that is not named
    groups            what is read -> the feeds that read it: together they are one source
    redeems           sources that state a redemption value, not a market price
    growth            factor of a rate -> the most it may grow, fraction a year
    """

    quorum_live: int
    quorum_degraded: int
    future_s: float
    breaker_window_s: float
    confirm_s: float
    stable_per_hour: float
    redemption_gap: float
    growth_window_days: float
    limits: dict[str, SourceLimits]
    groups: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    redeems: tuple[str, ...] = ()
    growth: dict[str, float] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        check("oracle.sources.quorum_degraded", self.quorum_degraded, 2, 100)
        check("oracle.sources.quorum_live", self.quorum_live, self.quorum_degraded, 100)
        check("oracle.sources.future_s", self.future_s, 0.0, 60.0)
        check("oracle.sources.breaker_window_s", self.breaker_window_s, 1.0, 86_400.0)
        # A move is confirmed while what it is measured against still stands in the window.
        check("oracle.sources.confirm_s", self.confirm_s, 0.0, self.breaker_window_s)
        check("oracle.sources.stable_per_hour", self.stable_per_hour, 0.0, 1.0)
        check("oracle.sources.redemption_gap", self.redemption_gap, 0.0, 1.0)
        check("oracle.sources.growth_window_days", self.growth_window_days, 1.0, 366.0)
        for factor, cap in self.growth.items():
            check(f"oracle.sources.growth.{factor}", cap, 0.0, 10.0)
        if OTHERS not in self.limits:
            raise RulebookInvalid(
                "oracle.sources.limits", sorted(self.limits), f"have a row {OTHERS}",
                "a class without a row would have no limit",
            )  # fmt: skip
        self._check_sources()

    def _check_sources(self) -> None:
        """Refuse a feed that is counted twice, or is a price and a redemption value."""
        seen: set[str] = set(self.redeems)
        for name, members in self.groups.items():
            for source in members:
                if source in seen:
                    raise RulebookInvalid(
                        f"oracle.sources.groups.{name}", source, "stand once among the sources",
                        "a feed belongs to one group, and states prices or redemption values",
                    )  # fmt: skip
                seen.add(source)

    def limits_of(self, risk_class: str) -> SourceLimits:
        """Return the limits of a class."""
        return self.limits.get(risk_class) or self.limits[OTHERS]


class Oracle(Part, frozen=True, omit_defaults=True):
    """Price status and uncertainty as the margin path needs them, and how prices are made (spec 8).

    sources  None where prices come fused already, as in rulebooks of before there was an oracle
    """

    stale_s: float
    half_width_max: float
    price_uncertainty: bool
    sources: Sources | None = None

    def __post_init__(self) -> None:
        check("oracle.stale_s", self.stale_s, 0.1, 1e7)
        check("oracle.half_width_max", self.half_width_max, 0.0, 1.0)
