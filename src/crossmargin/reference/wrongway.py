"""Wrong-way risk: collateral and positions that fall together (spec 5.4, C26, C42).

In     a valued pool, the market with joint rows, the requirement before add-ons at MM.
Out    the add-on, at MM.
Owns   joint ES at full quantities against what is already set aside.
Never  runs in `portfolio`, whose scenarios hold it already.
Signs  charge >= 0.
Spec   docs/spec/05-requirement.md
"""

from __future__ import annotations

import math

from crossmargin.reference.collateral import market_haircut, market_surcharge
from crossmargin.reference.plain import PlainMarket
from crossmargin.reference.portfolio import joint_es
from crossmargin.reference.valuation import Valued, price


def wrong_way(market: PlainMarket, pool: Valued, requirement: float) -> float:
    """max(0, joint ES at full quantities - market haircuts - requirement before add-ons)."""
    quantities = {**pool.balance, **{name: p.quantity for name, p in pool.position.items()}}
    loss, _, _ = joint_es(market, quantities, market.rulebook.margin.alpha)
    cover = math.fsum(max(0.0, v) for v in pool.option_value.values())
    for asset, quantity in pool.balance.items():
        value = quantity * price(market, asset)
        if value > 0.0:
            cover += value * market_haircut(market, asset, "mm")
        else:
            cover += -value * market_surcharge(market, asset, "mm")
    return max(0.0, loss - cover - requirement)
