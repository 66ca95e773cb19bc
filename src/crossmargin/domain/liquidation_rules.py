"""Rules of liquidation: how a pool under water is sold.

In     numbers of the rulebook.
Out    frozen sections that cannot be built wrong.
Owns   which parameters liquidation has and their bounds.
Never  decides what is sold.
Signs  fractions are of 1; money is in the numeraire.
Spec   docs/spec/09-liquidation.md, docs/spec/16-defaults.md
"""

from __future__ import annotations

from typing import Literal

import msgspec

from crossmargin.base.errors import RulebookInvalid
from crossmargin.domain.parts import Part, check

Policy = Literal[
    "volatile_first", "illiquid_first", "liquid_first", "lowest_haircut_first",
    "best_relief_per_cost", "optimal",
]  # fmt: skip
Mechanism = Literal["order_book", "amm", "auction"]


class Selling(Part, frozen=True):
    """How one market is sold, and how fast (spec 9.8 to 9.11).

    impact_scale, impact_exponent   Y and delta of the impact formula
    adv_share   of a day's volume, what one round may take
    amm_depth   reserve on each side, as a share of a day's volume; amm_fee its fee
    """

    mechanism: Mechanism
    impact_scale: float
    impact_exponent: float
    adv_share: float
    amm_depth: float | None = None
    amm_fee: float | None = None

    def __post_init__(self) -> None:
        check("execution.impact_scale", self.impact_scale, 0.0, 100.0)
        check("execution.impact_exponent", self.impact_exponent, 0.1, 2.0)
        check("execution.adv_share", self.adv_share, 1e-9, 10.0)
        if (self.mechanism == "amm") != (self.amm_depth is not None and self.amm_fee is not None):
            raise RulebookInvalid(
                "execution.amm_depth", self.amm_depth, "stand with amm_fee where mechanism is amm"
            )
        if self.amm_depth is not None and self.amm_fee is not None:
            check("execution.amm_depth", self.amm_depth, 1e-9, 1e6)
            check("execution.amm_fee", self.amm_fee, 0.0, 0.5)


class Auction(Part, frozen=True):
    """A Dutch auction's path: the discount grows with depth under water and with time (9.11).

    margin  what a liquidator wants above the cost of selling on, fraction
    """

    start: float
    per_depth: float
    per_s: float
    most: float
    margin: float

    def __post_init__(self) -> None:
        # Below 1: at a discount of 1 a bid of nothing would settle.
        check("execution.auction.most", self.most, 0.0, 0.95)
        check("execution.auction.start", self.start, 0.0, self.most)
        check("execution.auction.per_depth", self.per_depth, 0.0, 100.0)
        check("execution.auction.per_s", self.per_s, 0.0, 1.0)
        check("execution.auction.margin", self.margin, 0.0, 1.0)


class Backstop(Part, frozen=True):
    """What the fund of last resort takes over from one pool, before ADL (spec 9.15)."""

    notional_max: float
    loss_max: float

    def __post_init__(self) -> None:
        check("execution.backstop.notional_max", self.notional_max, 0.0, 1e15)
        check("execution.backstop.loss_max", self.loss_max, 0.0, 1e15)


class Execution(Part, frozen=True):
    """How plans are made: the policy, the pace, the markets.

    round_s, rounds_max   each market is used once a round; past the last round comes the backstop
    lot_value   a lot is the power of ten of units worth at most this, where `lots` names none
    markets     market or risk class -> how it is sold; `default` for all others
    lots        market -> units of one lot
    """

    policy: Policy
    round_s: float
    rounds_max: int
    lot_value: float
    auction: Auction
    backstop: Backstop
    markets: dict[str, Selling]
    lots: dict[str, float] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        check("execution.round_s", self.round_s, 1e-3, 86_400.0)
        check("execution.rounds_max", self.rounds_max, 1, 1_000)
        check("execution.lot_value", self.lot_value, 1e-6, 1e9)
        for name, lot in self.lots.items():
            check(f"execution.lots.{name}", lot, 1e-18, 1e18)
        if "default" not in self.markets:
            raise RulebookInvalid(
                "execution.markets", sorted(self.markets), "hold an entry named default"
            )


class Liquidation(Part, frozen=True, omit_defaults=True):
    """What explain, the linter and plans need of liquidation (spec 9)."""

    target_health: float
    dust: float
    bonus: float
    # Absent in rulebooks that journals of earlier versions carry: their digests must not move.
    execution: Execution | None = None

    def __post_init__(self) -> None:
        check("liquidation.target_health", self.target_health, 1.0, 10.0)
        check("liquidation.dust", self.dust, 0.0, 1e9)
        check("liquidation.bonus", self.bonus, 0.0, 0.5)
