"""What one coin and one contract are worth, and how that moves: terms of every item.

In     MarketFrame, Rulebook, ClassView.
Out    `Items` for the pool kernels; `Greeks` per contract.
Owns   marks, unit values, delta notionals, greeks; which prices are bad.
Never  nets or sums over a pool; defaults a missing price.
Signs  delta notionals signed (+ when the price up is a gain), numeraire; NaN where unpriced.
Spec   docs/spec/02-valuation.md; choices C2, C3, C13, C18, C23
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossmargin.base.arrays import B1, F64
from crossmargin.domain.instruments import KindCode, PayoffCode
from crossmargin.domain.rulebook import Rulebook
from crossmargin.frames.market import MarketFrame, Status, asset_prices, asset_status
from crossmargin.kernels.black76 import Options, black76_greeks, black76_prices
from crossmargin.kernels.netting import Items
from crossmargin.margin.classes import ClassView


@dataclass(frozen=True, slots=True)
class OptionSide:
    """Undiscounted Black-76 of every option row, NaN elsewhere; (M,), quote units per unit.

    price, delta (dV/dF), gamma (d2V/dF2), vega (dV/dsigma), theta (dV/dt, a year)
    """

    is_option: B1
    is_call: B1
    discount: F64
    price: F64
    delta: F64
    gamma: F64
    vega: F64
    theta: F64


@dataclass(frozen=True, slots=True)
class Priced:
    """The market valued once: prices and statuses of assets, marks and options of instruments.

    price (N,), asset_bad (N,); forward (M,) effective; open_share (M,) d ln F_eff / d ln F (5.7)
    instrument_bad (M,)
    """

    price: F64
    asset_bad: B1
    forward: F64
    open_share: F64
    instrument_bad: B1
    options: OptionSide


def option_side(market: MarketFrame, forward: F64) -> OptionSide:
    """Price every option of the market; rows that are no options carry zeros."""
    table = market.instruments
    is_option = table.kind >= KindCode.CALL
    is_call = table.kind == KindCode.CALL
    t_years = market.t_years()
    discount = np.exp(-np.where(np.isfinite(table.rate), table.rate, 0.0) * t_years)
    columns = [np.zeros(len(table)) for _ in range(5)]
    rows = np.flatnonzero(is_option)
    if len(rows):
        # A row that no formula can hold is a row without a price; the others are priced (2.5).
        holds = (forward[rows] > 0.0) & (table.strike[rows] > 0.0) & (table.iv[rows] >= 0.0)
        given = Options(
            np.where(holds, forward[rows], np.nan), np.where(holds, table.strike[rows], np.nan),
            t_years[rows], np.ones(len(rows)), is_call[rows],
        )  # fmt: skip
        iv = np.where(holds, table.iv[rows], np.nan)
        values = (black76_prices(given, iv, threads=1), *black76_greeks(given, iv, threads=1))
        for column, value in zip(columns, values, strict=True):
            column[rows] = value
    return OptionSide(is_option, is_call, discount, *columns)


def priced(market: MarketFrame) -> Priced:
    """Value the market: spec 2.1, 2.2, and which rows are bad (2.5, choice C3)."""
    table = market.instruments
    price = asset_prices(market)
    asset_bad = asset_status(market) < Status.DEGRADED
    forward = table.effective_forward()
    options = option_side(market, forward)
    bad = (
        (table.status < Status.DEGRADED)
        | asset_bad[table.underlying] | asset_bad[table.quote] | asset_bad[table.settle]
        | ~np.isfinite(forward) | ~(forward > 0.0)
        | (options.is_option & ~np.isfinite(options.price))
    )  # fmt: skip
    with np.errstate(divide="ignore", invalid="ignore"):
        share = table.forward * (1.0 - table.averaged_share) / forward
    return Priced(price, asset_bad, forward, share, bad, options)


def delta_notional(market: MarketFrame, p: Priced) -> F64:
    """(M,) delta notional of one contract, numeraire, signed (choice C13)."""
    table, o = market.instruments, p.options
    c, f, settle = table.contract_size, p.forward, p.price[table.settle]
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(o.is_option, c * o.delta * o.discount, c / f) * settle
        linear = np.where(o.is_option, c * o.delta * o.discount * f, c * f) * settle
        quanto = c * table.quanto_rate * f * settle
    by_payoff = [table.payoff == PayoffCode.INVERSE, table.payoff == PayoffCode.QUANTO]
    return np.select(by_payoff, [inverse, quanto], default=linear) * p.open_share


def unit_value(market: MarketFrame, p: Priced) -> F64:
    """(M,) numeraire value of one premium-style option, 0 elsewhere (spec 2.2)."""
    table, o = market.instruments, p.options
    with np.errstate(divide="ignore", invalid="ignore"):
        coin = np.where(table.payoff == PayoffCode.INVERSE, o.price / p.forward, o.price)
    value = table.contract_size * o.discount * coin * p.price[table.settle]
    return np.where(o.is_option & (table.style == 0), value, 0.0)


def _isolated_short(market: MarketFrame, p: Priced, rulebook: Rulebook) -> tuple[F64, F64]:
    """Stand-alone charge of one short option at MM and IM (spec 5.1)."""
    table, m = market.instruments, rulebook.margin
    spot = p.price[table.underlying]
    strike = table.strike * p.price[table.quote]
    otm = np.maximum(0.0, np.where(p.options.is_call, strike - spot, spot - strike))
    cap = np.where(p.options.is_call, np.inf, strike)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate_im = np.maximum(
            m.isolated_short_option_im - otm / spot, m.isolated_short_option_im_floor
        )
    mm = np.minimum(m.isolated_short_option_mm * spot, cap)
    im = np.minimum(rate_im * spot, cap)
    return mm * table.contract_size, im * table.contract_size


def _with_assets(n_assets: int, column: F64, fill: float) -> F64:
    return np.concatenate([np.full(n_assets, fill), column])


def item_terms(market: MarketFrame, rulebook: Rulebook, view: ClassView, p: Priced) -> Items:
    """Return the terms of every item, assets first."""
    n, table, o = market.n_assets, market.instruments, p.options
    premium = o.is_option & (table.style == 0)
    scale = table.contract_size * np.where(
        table.payoff == PayoffCode.QUANTO, table.quanto_rate, 1.0
    )
    scale = np.where(o.is_option, table.contract_size * o.discount, scale)
    tiers = sorted(rulebook.gain_tiers)
    tier_of = {name: tiers.index(c.gain_tier) for name, c in rulebook.classes.items()}
    tier = np.array([tier_of[view.asset_class[a]] for a in table.underlying], dtype=np.int8)
    mm, im = _isolated_short(market, p, rulebook)
    cap = np.where(np.isfinite(table.funding_cap), table.funding_cap, 0.0)
    known = np.isfinite(table.funding_rate)
    return Items(
        kind=np.concatenate([np.zeros(n, np.int8), table.kind]),
        bad=np.concatenate([p.asset_bad, p.instrument_bad]),
        futures_like=np.concatenate([np.zeros(n, np.bool_), ~premium]),
        inverse=np.concatenate(
            [np.zeros(n, np.bool_), (table.payoff == PayoffCode.INVERSE) & ~o.is_option]
        ),
        scale=_with_assets(n, scale, 0.0),
        mark=_with_assets(n, np.where(o.is_option, o.price, p.forward), 0.0),
        settle=np.concatenate([np.arange(n, dtype=np.int32), table.settle]),
        unit_value=_with_assets(n, unit_value(market, p), 0.0),
        delta=_with_assets(n, delta_notional(market, p), 0.0),
        slot=np.concatenate([np.full(n, -1, np.int32), view.slot]),
        tier=np.concatenate([np.zeros(n, np.int8), tier]),
        short_unit=_with_assets(n, p.price[table.underlying] * table.contract_size, 0.0),
        isolated_mm=_with_assets(n, mm, 0.0),
        isolated_im=_with_assets(n, im, 0.0),
        funding=_with_assets(n, np.where(known, np.sign(table.funding_rate), 1.0) * cap, 0.0),
        both_pay=np.concatenate([np.zeros(n, np.bool_), ~known & (cap > 0.0)]),
        quote_exposed=np.concatenate(
            [np.zeros(n, np.bool_), premium & (table.payoff == PayoffCode.LINEAR)]
        ),
    )
