"""The second witness's market: the listing with the newest prints, as plain values.

In     the witness's book, the moment before which a print is stale.
Out    a `PlainMarket` for the twin of margin.
Owns   what a missing, old or odd print makes of a factor or an instrument.
Never  reads a listing's own prices: without a print there is none.
Signs  prices > 0; NaN is "not known".
Spec   docs/spec/10-ledger.md (10.20)
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from crossmargin.reference.ledger_book import SECOND_NS, Book
from crossmargin.reference.plain import (
    LIVE,
    MISSING,
    STALE,
    JointRow,
    PlainAsset,
    PlainFactor,
    PlainInstrument,
    PlainMarket,
)
from crossmargin.reference.valuation import price

NAN = math.nan
STATUS = {"missing": 0, "halted": 1, "stale": 2, "degraded": 3, "live": 4}
# A mark this many times away from its underlying is a price in another unit (docs/limits.md).
UNIT_RATIO_MAX = 100.0


def plain_market(book: Book, oldest: int) -> PlainMarket:
    """10.20: levels and marks come from prints alone; the market's own time is the newest stamp."""
    assert book.rules is not None
    stamps = [stamp for _, stamp in (*book.prints.values(), *book.marks.values())]
    at_ns = max(stamps, default=0)
    factors = {name: _factor(book, name, at_ns, oldest) for name in book.factors}
    assets = {name: _asset(book, name) for name in book.assets}
    market = PlainMarket(
        at_ns, book.numeraire, factors, assets, {}, book.rules, _joint(book.scenarios)
    )
    found = {name: _instrument(book, market, name, oldest) for name in book.instruments}
    return PlainMarket(at_ns, book.numeraire, factors, assets, found, book.rules, market.joint)


def number(cell: Any) -> float:
    """A cell as a number, NaN where empty."""
    return NAN if cell is None else float(cell)


def quality(word: str, stamp: int, oldest: int) -> int:
    """1.4, 10.20: how good a print is now."""
    return min(STATUS[word], STALE) if stamp < oldest else STATUS[word]


def _factor(book: Book, name: str, at_ns: int, oldest: int) -> PlainFactor:
    row = book.factors[name]
    kind, risk_class, sigma = row["kind"], row["class"], number(row.get("sigma_daily"))
    if name not in book.prints:
        return PlainFactor(name, kind, risk_class, NAN, MISSING, sigma_daily=sigma)
    told, stamp = book.prints[name]
    stable = told.level if told.stable_price is None else told.stable_price
    return PlainFactor(
        name, kind, risk_class, told.level, quality(told.status, stamp, oldest), told.half_width,
        stable, (at_ns - stamp) / SECOND_NS, sigma,
    )  # fmt: skip


def loads_of(text: str | None) -> tuple[tuple[str, float], ...]:
    """A*B^0.5 as factors and powers; empty for the numeraire."""
    found = []
    for part in (text or "").split("*"):
        if part:
            factor, _, power = part.strip().partition("^")
            found.append((factor, float(power or 1.0)))
    return tuple(found)


def _asset(book: Book, name: str) -> PlainAsset:
    row = book.assets[name]
    scale = row.get("scale")
    total = book.totals.get(name, row.get("venue_total"))
    return PlainAsset(
        name, row["class"], loads_of(row.get("loads")), 1.0 if scale is None else float(scale),
        number(row.get("adv")), number(row.get("half_spread")), number(total),
    )  # fmt: skip


def _instrument(book: Book, market: PlainMarket, name: str, oldest: int) -> PlainInstrument:
    row, terms = book.instruments[name], book.contracts[name]
    told, stamp = book.marks.get(name, (None, 0))
    forward, status = NAN, MISSING
    averaged = share = 0.0
    iv = rate = funding = NAN
    if told is not None:
        forward, status = told.forward, quality(told.status, stamp, oldest)
        iv, rate, funding = number(told.iv), number(told.rate), number(told.funding_rate)
        if told.averaged is not None and told.averaged_share:
            averaged, share = told.averaged, told.averaged_share
    ratio = price(market, terms.underlying) / price(market, terms.quote)
    if terms.is_spot and told is None:
        forward, status = ratio, LIVE
    away = forward / ratio
    far = math.isfinite(away) and not 1.0 / UNIT_RATIO_MAX <= away <= UNIT_RATIO_MAX
    if far or not math.isfinite(forward):
        forward, status = NAN, MISSING
    return PlainInstrument(
        name, terms.kind, terms.payoff, terms.style, terms.underlying, terms.quote, terms.settle,
        float(terms.size), forward, float(terms.quanto), terms.expiry_ns, float(terms.strike),
        iv, rate, status, averaged, share, funding, number(row.get("funding_cap")),
        number(row.get("adv")), number(row.get("half_spread")),
    )  # fmt: skip


def _joint(told: Any) -> tuple[JointRow, ...]:
    """Adopted scenarios, read from their packed columns."""
    if told is None:
        return ()
    n, names = len(told.names), told.factors
    moves, vols = doubles(told.factor_moves), doubles(told.vol_moves)
    odds = doubles(told.probability)
    k = len(names)
    return tuple(
        JointRow(
            told.names[s], odds[s], dict(zip(names, moves[s * k : s * k + k], strict=True)),
            dict(zip(names, vols[s * k : s * k + k], strict=True)),
        )
        for s in range(n)
    )  # fmt: skip


def doubles(packed: bytes) -> list[float]:
    """Packed numbers, read."""
    return [float(x) for x in memoryview(packed).cast("d")]


def stamp_ns(cell: Any) -> int:
    """An ISO stamp as UTC nanoseconds, 0 where empty."""
    if not cell:
        return 0
    found = datetime.fromisoformat(str(cell).replace("Z", "+00:00"))
    found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return int(found.timestamp()) * SECOND_NS + found.microsecond * 1_000
