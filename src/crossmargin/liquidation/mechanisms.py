"""How every market is sold and what that is expected to cost: order book, pool, auction.

In     a prepared Market whose rulebook has `liquidation.execution`.
Out    `Terms` of every item; `Costs` of selling quantities of one item.
Owns   which mechanism a market has, its lot, its speed limit, what a liquidator is paid.
Never  decides what is sold; reads a book; sells what has a bad price.
Signs  costs >= 0, numeraire; NaN where a quantity cannot be sold at all.
Spec   docs/spec/09-liquidation.md, 9.8 to 9.12
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import B1, F64, I8
from crossmargin.base.errors import RulebookInvalid
from crossmargin.domain.liquidation_rules import Execution, Selling
from crossmargin.kernels.auctions import Path, clearing_s, discounts
from crossmargin.kernels.impact import Depth, cost_fracs, swap_out
from crossmargin.margin.prepared import Market

ORDER_BOOK, AMM, AUCTION = range(3)
MECHANISMS = ("order_book", "amm", "auction")


@dataclass(frozen=True, slots=True)
class Terms:
    """Every item of a market, (n_items,) each; assets first.

    unit        what impact is charged on, numeraire a unit: |delta| + a vol point of vega (C19)
    fee_unit    what fee and penalty are charged on, numeraire a unit: price or |delta| (C22)
    lot         units of one lot
    round_most  units one round may take
    bad         not LIVE or DEGRADED, or without a finite size: never sold (law L13)
    haircut     MM haircut of an asset, range of an instrument's underlying
    """

    execution: Execution
    unit: F64
    fee_unit: F64
    mechanism: I8
    half_spread: F64
    scale: F64
    exponent: F64
    sigma_daily: F64
    adv: F64
    amm_depth: F64
    amm_fee: F64
    lot: F64
    round_most: F64
    bad: B1
    haircut: F64
    fee: float
    penalty: float


class Costs(NamedTuple):
    """What selling costs, numeraire, (N,) each; the penalty before it is cut to what is left."""

    half_spread: F64
    impact: F64
    fee: F64
    penalty: F64


def execution_of(market: Market) -> Execution:
    """Return the rules of plans, or refuse by name: no code has a default for them."""
    execution = market.rulebook.liquidation.execution
    if execution is None:
        raise RulebookInvalid(
            "liquidation.execution", "absent", "stand in the rulebook where plans are made",
            "take it from a shipped rulebook of this version",
        )  # fmt: skip
    return execution


def selling_terms(market: Market) -> Terms:
    """Return how each item of the market is sold."""
    execution, rules = execution_of(market), market.rulebook.margin
    frame, view, items = market.frame, market.view, market.items
    table, n = frame.instruments, frame.n_assets
    asset_of = np.concatenate([np.arange(n), table.underlying]).astype(np.int64)
    price = market.priced.price
    delta = np.abs(items.delta)
    fee_unit = np.where(np.arange(len(items.kind)) < n, price[asset_of], delta)
    unit = fee_unit + np.abs(market.extras.vega_point)
    factor = view.first_factor[asset_of]
    free = factor < 0  # the numeraire is money: nobody is paid for taking it
    fee_unit = np.where(free, 0.0, fee_unit)
    sigma = np.where(free, 0.0, view.factor_sigma[np.maximum(factor, 0)])
    stated = (np.concatenate([np.full(n, np.nan), c]) for c in (table.adv, table.half_spread))
    adv, spread = (
        np.where(np.isfinite(own), own, other[asset_of])
        for own, other in zip(stated, (view.adv, view.half_spread), strict=True)
    )
    rows = [selling_of(market, execution, i, int(a)) for i, a in enumerate(asset_of)]
    share = np.array([r.adv_share for r in rows])
    lot = lots(market, execution, np.maximum(unit, np.maximum(items.short_unit, items.unit_value)))
    with np.errstate(divide="ignore", invalid="ignore"):
        most = np.where(free, np.inf, share * adv / unit)
    liquid = np.array([kept_of_first(market, a) for a in range(n)])
    haircut = np.concatenate(
        [1.0 - (1.0 - view.market_mm) * liquid, view.market_mm[table.underlying]]
    )
    return Terms(
        execution=execution, unit=unit, fee_unit=fee_unit,
        mechanism=np.array([MECHANISMS.index(r.mechanism) for r in rows], np.int8),
        half_spread=np.where(free, 0.0, spread),
        scale=np.array([r.impact_scale for r in rows]),
        exponent=np.array([r.impact_exponent for r in rows]), sigma_daily=sigma, adv=adv,
        amm_depth=np.array([r.amm_depth or np.nan for r in rows]) * adv,
        amm_fee=np.array([np.nan if r.amm_fee is None else r.amm_fee for r in rows]),
        lot=lot, round_most=most, bad=items.bad | ~np.isfinite(unit) | ~np.isfinite(lot),
        haircut=haircut, fee=rules.taker_fee, penalty=rules.penalty,
    )  # fmt: skip


def selling_of(market: Market, execution: Execution, item: int, asset: int) -> Selling:
    """Return the rules of an item: by name, else by class of its last factor, else the default.

    The last factor is what stands between the coin and the thing held: a bridge, a staking queue.
    """
    frame = market.frame
    assets = frame.assets
    loads = assets.load_factor[assets.load_starts[asset] : assets.load_starts[asset + 1]]
    names = [frame.item_names[item], *(frame.factors.classes[k] for k in loads[::-1])]
    return next((execution.markets[n] for n in names if n in execution.markets),
                execution.markets["default"])  # fmt: skip


def lots(market: Market, execution: Execution, unit: F64) -> F64:
    """(n_items,) units of a lot: stated, else the power of ten worth at most `lot_value`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.floor(np.log10(execution.lot_value / unit))
    decimals = np.concatenate(
        [market.frame.assets.decimals, np.full(len(market.frame.instruments), 18)]
    )
    lot = 10.0 ** np.maximum(power, -decimals)
    for row, name in enumerate(market.frame.item_names):
        if name in execution.lots:
            lot[row] = execution.lots[name]
    return np.where(np.isfinite(unit) & (unit > 0.0), lot, np.nan)


def kept_of_first(market: Market, asset: int) -> float:
    """Return the fraction kept at MM of an asset's first liquidity bracket."""
    table = market.collateral
    return float(table.keep_mm[table.edge_starts[asset]])


def costs(terms: Terms, item: int, quantity: F64, depth: float) -> Costs:
    """Return what selling (or buying back) each quantity of an item costs.

    quantity  (N,)  units, >= 0
    depth     1 - health of the pool: how far an auction opens
    """
    notional = quantity * terms.unit[item]
    whole, spread = _market_costs(terms, item, notional, depth)
    charged = quantity * terms.fee_unit[item]
    return Costs(spread, whole - spread, terms.fee * charged, terms.penalty * charged)


def _market_costs(terms: Terms, item: int, notional: F64, depth: float) -> tuple[F64, F64]:
    """Return all that the market takes, and the half spread in it, numeraire."""
    book = _against_orders(terms, item, notional)
    spread = terms.half_spread[item] * notional
    mechanism = terms.mechanism[item]
    if mechanism == ORDER_BOOK:
        return book, spread
    if mechanism == AMM:
        n = len(notional)
        reserve = np.full(n, terms.amm_depth[item])
        out = swap_out(notional, reserve, reserve, np.full(n, terms.amm_fee[item]))
        return notional - out, terms.amm_fee[item] * notional
    return _auctioned(terms, notional, book, depth), np.minimum(spread, book)


def _against_orders(terms: Terms, item: int, notional: F64) -> F64:
    n = len(notional)
    columns = (terms.half_spread, terms.scale, terms.exponent, terms.sigma_daily, terms.adv)
    depth = Depth(*(np.full(n, column[item]) for column in columns))
    return notional * cost_fracs(notional, depth)


def _auctioned(terms: Terms, notional: F64, selling_on: F64, depth: float) -> F64:
    """Return the discount at which a liquidator's costs are paid; NaN where no bid can come.

    He sells on into the same market and wants his margin; the auction waits for that discount, at
    most a round, and never goes past its largest (spec 9.11, 9.12).
    """
    rules, n = terms.execution.auction, len(notional)
    path = Path(*(np.full(n, x) for x in (rules.start, rules.per_depth, rules.per_s, rules.most)))
    below = np.full(n, depth)
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = np.where(notional > 0.0, selling_on / notional, 0.0) + rules.margin
    wait = clearing_s(below, wanted, path)
    clears = wait <= terms.execution.round_s
    paid = np.maximum(discounts(below, np.where(clears, wait, 0.0), path), wanted)
    return np.where(clears, paid * notional, np.nan)
