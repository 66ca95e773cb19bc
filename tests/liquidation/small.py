"""Plans over generated worlds: rules of execution, and the rows a step must leave behind."""

from __future__ import annotations

import msgspec

from crossmargin.domain.liquidation_rules import Auction, Backstop, Execution, Selling
from crossmargin.domain.rulebook import Rulebook
from crossmargin.frames.book import BookFrame
from crossmargin.liquidation.steps import Plan
from crossmargin.margin.prepared import Market, prepare
from strategies import World
from twins.bridge import book_frame, joint_frame, market_frame

EXECUTION = Execution(
    policy="best_relief_per_cost",
    round_s=3600.0,
    rounds_max=6,
    lot_value=10.0,
    auction=Auction(start=0.0, per_depth=1.0, per_s=1e-4, most=0.2, margin=0.005),
    backstop=Backstop(notional_max=1e6, loss_max=0.0),
    markets={
        "default": Selling("order_book", 1.0, 0.5, 0.01),
        "altcoin": Selling("order_book", 1.0, 0.9, 0.02),
        "synthetic": Selling("amm", 1.0, 0.5, 0.01, 1.0, 0.0004),
        "bridge": Selling("auction", 1.0, 0.5, 0.01),
    },
)


def with_execution(rules: Rulebook, **numbers: object) -> Rulebook:
    """The rulebook with rules of execution."""
    execution = msgspec.structs.replace(EXECUTION, **numbers)
    part = msgspec.structs.replace(rules.liquidation, execution=execution)
    return msgspec.structs.replace(rules, liquidation=part)


def market_and_book(world: World, **numbers: object) -> tuple[Market, BookFrame]:
    """The engine's market and book of a world, with rules of execution."""
    plain = world.market
    rules = with_execution(plain.rulebook, **numbers)
    market = prepare(market_frame(plain), rules, joint_frame(plain), 1)
    return market, book_frame(plain, world.accounts)


def executed(plan: Plan) -> list:
    """The steps that trade in markets."""
    return [s for s in plan.steps if s.kind in ("net", "reduce", "swap")]
