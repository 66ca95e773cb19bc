"""Open orders as books: what a pool would hold if they were filled (spec 5.6).

In     a pool's holdings and orders, the market.
Out    three lists of holdings: none filled, all that raise delta, all that lower it.
Owns   the price a fill is charged at, its fee, and which side an order is on.
Never  fills an order in an instrument with a bad price; fills a reduce-only order.
Signs  quantity > 0 buys.
Spec   docs/spec/05-requirement.md
"""

from __future__ import annotations

from crossmargin.reference.plain import Holding, PlainInstrument, PlainMarket, PlainOrder, PlainPool
from crossmargin.reference.valuation import (
    delta_notional,
    discount,
    forward,
    is_bad,
    option_price,
    price,
    years,
)


def books(market: PlainMarket, pool: PlainPool) -> tuple[tuple[Holding, ...], ...]:
    """5.6, C36: positions; with all that raise the delta; with all that lower it."""
    live = [
        o
        for o in pool.orders
        if not o.reduce_only and o.quantity != 0.0 and not is_bad(market, o.instrument)
    ]
    up = [o for o in live if raises(market.instruments[o.instrument], o.quantity)]
    down = [o for o in live if o not in up]
    filled = [tuple(row for o in side for row in fill(market, o)) for side in (up, down)]
    return (pool.holdings, *(pool.holdings + rows for rows in filled))


def raises(terms: PlainInstrument, quantity: float) -> bool:
    """Buying anything but a put, or selling a put."""
    return (quantity > 0.0) != (terms.kind == "put")


def fill(market: PlainMarket, order: PlainOrder) -> list[Holding]:
    """C36: the rows a fill adds: position, what it pays, its fee."""
    terms = market.instruments[order.instrument]
    q = order.quantity
    unit = delta_notional(market, terms)
    if terms.kind == "spot":
        unit = terms.contract_size * price(market, terms.underlying)  # C55
    fee = market.rulebook.margin.taker_fee * abs(q * unit)
    rows = [Holding(terms.settle, -fee / price(market, terms.settle))]
    if terms.kind == "spot":
        units = q * terms.contract_size
        paid = worse(order, forward(terms))
        return [*rows, Holding(terms.underlying, units), Holding(terms.quote, -units * paid)]
    if not terms.is_option:
        return [*rows, Holding(order.instrument, q, worse(order, forward(terms)))]
    f, t = forward(terms), years(market, terms)
    undiscounted = option_price(terms, f, terms.iv, t)
    if not terms.pays_premium:
        return [*rows, Holding(order.instrument, q, worse(order, undiscounted))]
    paid = worse(order, discount(terms, t) * undiscounted) * terms.contract_size * q
    coins = paid / f if terms.payoff == "inverse" else paid
    return [*rows, Holding(order.instrument, q), Holding(terms.settle, -coins)]


def worse(order: PlainOrder, mark: float) -> float:
    """The limit's loss against the mark counts, its gain does not."""
    return max(order.limit_price, mark) if order.quantity > 0.0 else min(order.limit_price, mark)
