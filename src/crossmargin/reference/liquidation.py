"""The step rule of plans and bankruptcy prices, as slow plain Python.

In     a plain market with its rulebook; one pool alone, of assets, futures and perpetuals.
Out    the steps a policy takes, each a deal and a number of lots; prices that leave nothing.
Owns   the rule read literally: every number of lots is tried, one after the other.
Never  shares a line with the engine; knows options, opposite legs, pools of several, auctions.
Signs  costs >= 0, numeraire; P&L signed.
Spec   docs/spec/09-liquidation.md, 9.2 to 9.8, 9.14
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from crossmargin.domain.liquidation_rules import Execution, Selling
from crossmargin.reference import margin
from crossmargin.reference.addons import asset_adv, underlying_range
from crossmargin.reference.collateral import market_haircut, schedule, sigma_daily
from crossmargin.reference.draws import ratios
from crossmargin.reference.isolated import core
from crossmargin.reference.plain import Holding, PlainMarket, PlainPool
from crossmargin.reference.valuation import (
    delta_notional,
    first_factor,
    is_bad,
    mtm_in_settle,
    price,
    valued,
)

GAIN_MIN = 1e-9
PAST_THE_DEBT = 1.02


@dataclass(frozen=True)
class Deal:
    """Close `give`, or sell it for `take` (an asset; "" for a position)."""

    give: str
    take: str


@dataclass(frozen=True)
class Step:
    """One deal of so many lots in one round, what it cost, and the pool's numbers after it."""

    deal: Deal
    turn: int
    lots: int
    cost: float
    buffer: float
    health: float


@dataclass(frozen=True)
class Numbers:
    equity: float
    buffer: float
    health: float


def bankruptcy_prices(market: PlainMarket, pool: PlainPool) -> dict[str, float]:
    """9.14 for linear futures and perpetuals: F - sign(q) E (m / sum m) / (|q| c P_quote)."""
    now = valued(market, pool.holdings)
    equity = now.equity(market)
    weight = {}
    for name, position in now.position.items():
        own = tuple(h for h in pool.holdings if h.item == name)
        if position.quantity != 0.0:
            weight[name] = core(market, valued(market, own), "mm")
    total = math.fsum(weight.values())
    found = {}
    for name, m in weight.items():
        terms, q = market.instruments[name], now.position[name].quantity
        assert terms.payoff == "linear"
        each = abs(q) * terms.contract_size * price(market, terms.quote)
        found[name] = terms.forward - math.copysign(1.0, q) * equity * (m / total) / each
    return found


def steps(market: PlainMarket, pool: PlainPool, policy: str) -> tuple[list[Step], PlainPool]:
    """What a policy does until the target, the last round, or until nothing helps."""
    rules = market.rulebook.liquidation
    execution = rules.execution
    assert execution is not None
    found: list[Step] = []
    turn, used = 0, set[str]()
    while numbers(market, pool).health < rules.target_health:
        if numbers(market, pool).equity < 0.0:
            break
        best = chosen(market, pool, policy, used)
        if best is None:
            if not used or turn + 1 >= execution.rounds_max:
                break
            turn, used = turn + 1, set()
            continue
        deal, lots = best
        after, cost = done(market, pool, deal, units(market, pool, deal, lots))
        now = numbers(market, after)
        found.append(Step(deal, turn, lots, cost, now.buffer, now.health))
        used |= {deal.give, deal.take} - {"", market.numeraire}
        pool = after
    return found, pool


def numbers(market: PlainMarket, pool: PlainPool) -> Numbers:
    """Equity, buffer_MM and health of a pool alone."""
    result = margin.assess_pool(market, pool, {})
    if not result.owes:
        return Numbers(result.equity, max(0.0, result.mm.buffer), math.inf)
    charge = result.equity - result.mm.margin_balance + result.mm.requirement
    return Numbers(result.equity, result.mm.buffer, ratios(result.equity, charge)[0])


# --- which deal -----------------------------------------------------------------------------------


def chosen(
    market: PlainMarket, pool: PlainPool, policy: str, used: set[str]
) -> tuple[Deal, int] | None:
    """The first deal in the policy's order that helps; the most relief a cost for that policy."""
    before = numbers(market, pool)
    found = []
    for deal in sorted(deals(market, pool, used), key=lambda d: rank(market, policy, d)):
        lots = sized(market, pool, deal, before)
        if lots is None:
            continue
        after, cost = done(market, pool, deal, units(market, pool, deal, lots))
        relief = numbers(market, after).buffer - before.buffer
        if used and relief < cost:
            continue
        if policy != "best_relief_per_cost":
            return deal, lots
        found.append((relief / max(cost, 1e-12), deal, lots))
    if not found:
        return None
    best = max(found, key=lambda row: row[0])
    return best[1], best[2]


def deals(market: PlainMarket, pool: PlainPool, used: set[str]) -> list[Deal]:
    """Every position that can be closed; every holding that can be sold for debts or money."""
    now, money = valued(market, pool.holdings), market.numeraire

    def is_open(item: str) -> bool:
        return item not in used and not is_bad(market, item)

    found = [
        Deal(name, "")
        for name, position in now.position.items()
        if position.quantity != 0.0 and is_open(name)
    ]
    owed = [a for a, q in now.balance.items() if q < 0.0 and (a == money or is_open(a))]
    for give in now.balance:
        if free_of(market, pool, give) > 0.0 and (give == money or is_open(give)):
            takes = owed or ([money] if give != money else [])
            found += [Deal(give, take) for take in takes]
    return found


def rank(market: PlainMarket, policy: str, deal: Deal) -> tuple[float, int, int]:
    """The policy's key, ties by the order of the market's items."""
    order = [*market.assets, *market.instruments]
    tie = (order.index(deal.give), order.index(deal.take) if deal.take else -1)
    item = deal.take if deal.give == market.numeraire else deal.give
    asset = underlying(market, item)
    keys: dict[str, Callable[[], float]] = {
        "volatile_first": lambda: -volatility(market, asset),
        "illiquid_first": lambda: adv(market, item),
        "liquid_first": lambda: -adv(market, item),
        "lowest_haircut_first": lambda: haircut(market, item),
        "best_relief_per_cost": lambda: 0.0,
    }
    return (keys[policy](), *tie)


def haircut(market: PlainMarket, item: str) -> float:
    """Of an asset both parts at MM, first bracket; of an instrument its underlying's range."""
    if item in market.instruments:
        return underlying_range(market, market.instruments[item].underlying)
    keep = schedule(market, item, "mm")[0][1]
    return 1.0 - keep * (1.0 - market_haircut(market, item, "mm"))


# --- how much -------------------------------------------------------------------------------------


def sized(market: PlainMarket, pool: PlainPool, deal: Deal, before: Numbers) -> int | None:
    """The fewest lots that reach the target; where none do, those that help most (9.3, 9.4)."""
    rules = market.rulebook.liquidation
    lot, most = lot_of(market, deal.give), most_of(market, pool, deal)
    every = max(1, math.ceil(most / lot - 1e-9))
    floor = GAIN_MIN * max(1.0, abs(before.equity), abs(before.buffer))
    best, answer = before.buffer + floor, None
    for lots in range(1, every + 1):
        after, _ = done(market, pool, deal, units(market, pool, deal, lots))
        now = numbers(market, after)
        if not now.equity > floor:
            continue
        if now.buffer > before.buffer + floor and now.health >= rules.target_health:
            answer = lots
            break
        if now.buffer > best:
            best, answer = now.buffer, lots
    whole = whole_of(market, pool, deal)
    if answer is None or most < whole:
        return answer
    left = (whole - units(market, pool, deal, answer)) * unit(market, deal.give)
    if 0.0 < left < rules.dust:
        after, _ = done(market, pool, deal, most)
        now = numbers(market, after)
        return every if now.equity > floor and now.buffer > before.buffer + floor else answer
    return answer


def units(market: PlainMarket, pool: PlainPool, deal: Deal, lots: int) -> float:
    """So many lots, the last one what is left."""
    return min(lots * lot_of(market, deal.give), most_of(market, pool, deal))


def most_of(market: PlainMarket, pool: PlainPool, deal: Deal) -> float:
    """What one round may take: of what there is, of the market's day, of the debt."""
    most = min(whole_of(market, pool, deal), capacity(market, deal.give))
    if deal.take:
        worth = price(market, deal.take) / price(market, deal.give)
        most = min(most, capacity(market, deal.take) * worth)
        debt = -valued(market, pool.holdings).balance.get(deal.take, 0.0)
        if debt > 0.0:
            most = min(most, debt * worth * PAST_THE_DEBT)
    return most


def whole_of(market: PlainMarket, pool: PlainPool, deal: Deal) -> float:
    """All there is of what is sold."""
    if deal.take:
        return free_of(market, pool, deal.give)
    return abs(valued(market, pool.holdings).position[deal.give].quantity)


def free_of(market: PlainMarket, pool: PlainPool, asset: str) -> float:
    """Settled and not needed for unsettled losses in the same asset."""
    settled = math.fsum(h.quantity for h in pool.holdings if h.item == asset)
    return min(settled, valued(market, pool.holdings).balance.get(asset, 0.0))


def capacity(market: PlainMarket, item: str) -> float:
    """Whole lots of the share of a day's volume one round may take, one lot at least."""
    if item == market.numeraire:
        return math.inf
    lot = lot_of(market, item)
    most = selling(market, item).adv_share * adv(market, item) / unit(market, item)
    return max(lot, math.floor(most / lot + 1e-9) * lot)


def lot_of(market: PlainMarket, item: str) -> float:
    """The power of ten of units worth at most `lot_value`, where no lot is stated."""
    rules = execution_of(market)
    if item in rules.lots:
        return rules.lots[item]
    # The twin's markets have 8 decimals an asset; contracts have 18.
    finest = -8 if item in market.assets else -18
    power = max(math.floor(math.log10(rules.lot_value / unit(market, item))), finest)
    return math.pow(10.0, power)


# --- what it costs --------------------------------------------------------------------------------


def done(market: PlainMarket, pool: PlainPool, deal: Deal, sold: float) -> tuple[PlainPool, float]:
    """The pool after a deal, and what the deal cost: half spread, impact, fee, penalty."""
    rules = market.rulebook.margin
    own = market_cost(market, deal.give, sold)
    charged = fee_unit(market, deal.give) * sold
    if deal.take:
        bought = sold * price(market, deal.give) / price(market, deal.take)
        own += market_cost(market, deal.take, bought)
        charged = max(charged, fee_unit(market, deal.take) * bought)
    own += rules.taker_fee * charged
    left = max(0.0, numbers(market, pool).equity - own)
    cost = own + min(rules.penalty * charged, left)
    if deal.take:
        received = (sold * price(market, deal.give) - cost) / price(market, deal.take)
        change = {deal.give: -sold, deal.take: received}
        return with_changes(pool, pool.holdings, change), cost
    terms = market.instruments[deal.give]
    rows = [h for h in pool.holdings if h.item == deal.give]
    held = math.fsum(h.quantity for h in rows)
    share = sold / abs(held)
    realised = math.fsum(
        share * mtm_in_settle(market, terms, h.quantity, h.entry_price) for h in rows
    )
    kept = tuple(
        replace(h, quantity=h.quantity * (0.0 if abs(1.0 - share) < 1e-12 else 1.0 - share))
        if h.item == deal.give
        else h
        for h in pool.holdings
    )
    change = {terms.settle: realised - cost / price(market, terms.settle)}
    return with_changes(pool, kept, change), cost


def with_changes(
    pool: PlainPool, holdings: tuple[Holding, ...], change: dict[str, float]
) -> PlainPool:
    """The pool with balances changed, and without rows of nothing."""
    rows = [*holdings, *(Holding(asset, x) for asset, x in change.items())]
    merged: dict[str, float] = {}
    for row in rows:
        if math.isnan(row.entry_price):
            merged[row.item] = merged.get(row.item, 0.0) + row.quantity
    kept = [Holding(item, q) for item, q in merged.items()]
    kept += [row for row in rows if not math.isnan(row.entry_price)]
    return replace(pool, holdings=tuple(row for row in kept if row.quantity != 0.0))


def market_cost(market: PlainMarket, item: str, sold: float) -> float:
    """9.8: n (half spread + Y sigma_d (n / ADV)^delta) against an order book."""
    if item == market.numeraire:
        return 0.0
    how = selling(market, item)
    assert how.mechanism == "order_book"
    n = sold * unit(market, item)
    sigma = volatility(market, underlying(market, item))
    share = math.pow(n / adv(market, item), how.impact_exponent)
    impact = how.impact_scale * sigma * share
    return n * (half_spread(market, item) + impact)


def unit(market: PlainMarket, item: str) -> float:
    """What impact is charged on, numeraire a unit."""
    if item in market.assets:
        return price(market, item)
    return abs(delta_notional(market, market.instruments[item]))


def fee_unit(market: PlainMarket, item: str) -> float:
    """What fees are charged on: nothing for money itself."""
    return 0.0 if item == market.numeraire else unit(market, item)


def underlying(market: PlainMarket, item: str) -> str:
    return market.instruments[item].underlying if item in market.instruments else item


def volatility(market: PlainMarket, asset: str) -> float:
    factor = first_factor(market, asset)
    return sigma_daily(market, factor) if factor else 0.0


def adv(market: PlainMarket, item: str) -> float:
    own = market.instruments[item].adv if item in market.instruments else math.nan
    return own if math.isfinite(own) else asset_adv(market, underlying(market, item))


def half_spread(market: PlainMarket, item: str) -> float:
    own = market.instruments[item].half_spread if item in market.instruments else math.nan
    if math.isfinite(own):
        return own
    asset = underlying(market, item)
    stated = market.assets[asset].half_spread
    if math.isfinite(stated):
        return stated
    factor = first_factor(market, asset)
    return market.rulebook.classes[market.factors[factor].risk_class].half_spread


def execution_of(market: PlainMarket) -> Execution:
    execution = market.rulebook.liquidation.execution
    assert execution is not None
    return execution


def selling(market: PlainMarket, item: str) -> Selling:
    """By name, else by the class of the last factor that has an entry, else the default."""
    markets = execution_of(market).markets
    asset = market.assets[underlying(market, item)]
    classes = [market.factors[f].risk_class for f, _ in reversed(asset.loads)]
    return next(markets[n] for n in (item, *classes, "default") if n in markets)
