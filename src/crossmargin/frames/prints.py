"""A listed market with accepted prints: new levels and marks over columns that stay.

In     the compiled listing, prints and marks with their stamps, two moments.
Out    the market of the newest stamp, with statuses as of the engine's time.
Owns   what a missing, old or bad print makes of a row.
Never  reads a listing's own prices: without a print there is none.
Signs  as MarketFrame.
Spec   docs/spec/10-ledger.md, 10.20; docs/spec/08-oracle.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from crossmargin.base.arrays import F64, I8
from crossmargin.domain.book import Mark, Print
from crossmargin.domain.instruments import KindCode
from crossmargin.frames.market import FactorTable, MarketFrame, Status, asset_prices
from crossmargin.frames.terms import STATUS, UNIT_RATIO_MAX

SECOND_NS = 1_000_000_000


def with_prints(
    listed: MarketFrame, prints: Mapping[str, tuple[Print, int]],
    marks: Mapping[str, tuple[Mark, int]], now_ns: int, stale_s: float,
) -> MarketFrame:  # fmt: skip
    """Return the market at its newest print; a print older than `stale_s` at `now_ns` is STALE."""
    stamps = [stamp for _, stamp in (*prints.values(), *marks.values())]
    at_ns = max(stamps, default=listed.at_ns)
    oldest = now_ns - int(stale_s * SECOND_NS)
    market = replace(listed, at_ns=at_ns, factors=_factors(listed, prints, at_ns, oldest))
    return _instruments(market, marks, oldest)


def stale_from(stamps: list[int], now_ns: int, stale_s: float) -> int:
    """Return the moment, after now, at which the next print turns stale; far ahead if none does."""
    edges = [stamp + int(stale_s * SECOND_NS) + 1 for stamp in stamps]
    return min((edge for edge in edges if edge > now_ns), default=2**62)


def _factors(
    listed: MarketFrame, prints: Mapping[str, tuple[Print, int]], at_ns: int, oldest: int
) -> FactorTable:
    table = listed.factors
    k = len(table)
    level, stable = np.full(k, np.nan), np.full(k, np.nan)
    width, age, status = np.zeros(k), np.zeros(k), np.zeros(k, np.int8)
    for row, name in enumerate(table.names):
        found = prints.get(name)
        if found is None:
            continue
        told, stamp = found
        level[row], width[row] = told.level, told.half_width
        stable[row] = told.level if told.stable_price is None else told.stable_price
        age[row] = (at_ns - stamp) / SECOND_NS
        status[row] = _status(told.status, stamp, oldest)
    return replace(
        table, level=level, stable_price=stable, half_width=width, age_s=age, status=status
    )


def _status(word: str, stamp: int, oldest: int) -> int:
    code = STATUS[word]
    return min(code, Status.STALE) if stamp < oldest else code


def _instruments(
    market: MarketFrame, marks: Mapping[str, tuple[Mark, int]], oldest: int
) -> MarketFrame:
    table = market.instruments
    m = len(table)
    forward, iv, averaged, funding = (np.full(m, np.nan) for _ in range(4))
    rate = np.where(table.kind >= KindCode.CALL, 0.0, np.nan)
    share, status = np.zeros(m), np.zeros(m, np.int8)
    for row, name in enumerate(table.names):
        found = marks.get(name)
        if found is None:
            continue
        told, stamp = found
        forward[row], status[row] = told.forward, _status(told.status, stamp, oldest)
        if told.iv is not None:
            iv[row] = told.iv
        if told.rate is not None:
            rate[row] = told.rate
        if told.averaged is not None and told.averaged_share:
            averaged[row], share[row] = told.averaged, told.averaged_share
        if told.funding_rate is not None:
            funding[row] = told.funding_rate
    _price_spot(market, forward, status)
    table = replace(
        table, forward=forward, iv=iv, rate=rate, averaged=averaged, averaged_share=share,
        funding_rate=funding, status=status,
    )  # fmt: skip
    return replace(market, instruments=table)


def _price_spot(market: MarketFrame, forward: F64, status: I8) -> None:
    """Price spot pairs without a mark by their two assets; unprice what is in another unit."""
    table = market.instruments
    price = asset_prices(market)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = price[table.underlying] / price[table.quote]
        spot = (table.kind == KindCode.SPOT) & ~np.isfinite(forward)
        forward[spot] = ratio[spot]
        status[spot] = Status.LIVE
        away = forward / ratio
    far = np.isfinite(away) & ((away > UNIT_RATIO_MAX) | (away * UNIT_RATIO_MAX < 1.0))
    bad = far | ~np.isfinite(forward)
    status[bad] = Status.MISSING
    forward[bad] = np.nan
