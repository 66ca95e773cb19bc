"""A market small enough to do by hand: round prices, dollars for everything, calm.

BTC 50,000, ETH 2,000, SOL 100, USDT 1. Everything is quoted in USD, so that no peg is at stake.
At MM, first bracket: BTC range 0.14, liquidity 0.005; ETH 0.18, 0.005; fee and penalty 0.0055.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crossmargin.frames.book import BookFrame
from crossmargin.margin import prepared
from crossmargin.margin.requirement import PARTS, RequirementFrame
from crossmargin.methods.registry import assess
from crossmargin.reference.plain import (
    Holding,
    JointRow,
    PlainAccount,
    PlainAsset,
    PlainFactor,
    PlainInstrument,
    PlainMarket,
    PlainOrder,
    PlainPool,
)
from strategies import AT_NS, DAY_NS, rulebook
from twins.bridge import book_frame
from twins.rows import prepare

BTC, ETH, SOL = 50_000.0, 2_000.0, 100.0
RANGE = {"BTC": 0.14, "ETH": 0.18, "SOL": 0.25}
FEE = 0.0055  # taker fee 0.0005 + penalty 0.005
INITIAL = 1.25
FACTORS = {
    "BTC/USD": ("spot", "btc", BTC),
    "ETH/USD": ("spot", "eth", ETH),
    "SOL/USD": ("spot", "major", SOL),
    "USDT/USD": ("peg", "stablecoin", 1.0),
}
ASSETS = {
    "USD": (),
    "BTC": (("BTC/USD", 1.0),),
    "ETH": (("ETH/USD", 1.0),),
    "SOL": (("SOL/USD", 1.0),),
    "USDT": (("USDT/USD", 1.0),),
}
MONTH = AT_NS + 30 * DAY_NS
INSTRUMENTS = (
    PlainInstrument("BTC-PERP", "perpetual", "linear", "premium", "BTC", "USD", "USD", 1.0, BTC),
    PlainInstrument("ETH-PERP", "perpetual", "linear", "premium", "ETH", "USD", "USD", 1.0, ETH),
    PlainInstrument("SOL-PERP", "perpetual", "linear", "premium", "SOL", "USD", "USD", 1.0, SOL),
    PlainInstrument("ETH-USDT", "perpetual", "linear", "premium", "ETH", "USDT", "USDT", 1.0, ETH),
    PlainInstrument("BTC-INV", "perpetual", "inverse", "premium", "BTC", "USD", "BTC", 100.0, BTC),
    PlainInstrument(
        "ETH-FUT", "future", "linear", "premium", "ETH", "USD", "USD", 1.0, ETH,
        expiry_ns=AT_NS + 90 * DAY_NS,
    ),
    PlainInstrument(
        "ETH-SOON", "future", "linear", "premium", "ETH", "USD", "USD", 1.0, ETH,
        expiry_ns=AT_NS + DAY_NS // 2,
    ),
    *(
        PlainInstrument(
            name, kind, payoff, style, "ETH", quote, settle, 1.0, ETH, expiry_ns=MONTH,
            strike=ETH, iv=0.6, rate=0.03,
        )
        for name, kind, payoff, style, quote, settle in (
            ("ETH-C", "call", "linear", "premium", "USD", "USD"),
            ("ETH-P", "put", "linear", "premium", "USD", "USD"),
            ("ETH-C-USDT", "call", "linear", "premium", "USDT", "USDT"),
            ("ETH-C-INV", "call", "inverse", "premium", "USD", "ETH"),
            ("ETH-P-F", "put", "linear", "futures", "USD", "USD"),
        )
    ),
    PlainInstrument("ETH/USD-SPOT", "spot", "linear", "premium", "ETH", "USD", "USD", 1.0, ETH),
)  # fmt: skip


def plain_market(
    *instruments: PlainInstrument, joint: Sequence[JointRow] = (), **rules: object
) -> PlainMarket:
    """The small market; `instruments` replace those of the same name, `rules` margin numbers."""
    table = {i.instrument: i for i in (*INSTRUMENTS, *instruments)}
    return PlainMarket(
        AT_NS, "USD",
        {
            name: PlainFactor(name, kind, risk_class, level, stable_price=level, sigma_daily=0.03)
            for name, (kind, risk_class, level) in FACTORS.items()
        },
        {name: PlainAsset(name, "blue_chip", loads, adv=5e7) for name, loads in ASSETS.items()},
        table, rulebook(**rules), tuple(joint),
    )  # fmt: skip


def with_factor(market: PlainMarket, name: str, **changes: object) -> PlainMarket:
    """The market with some fields of one factor replaced."""
    return replace(
        market, factors={**market.factors, name: replace(market.factors[name], **changes)}
    )


def with_instrument(market: PlainMarket, name: str, **changes: object) -> PlainMarket:
    """The market with some fields of one instrument replaced."""
    changed = replace(market.instruments[name], **changes)
    return replace(market, instruments={**market.instruments, name: changed})


def two_days(fall: float = -0.10, rise: float = 0.05) -> tuple[JointRow, ...]:
    """Two equal days on which BTC and ETH move alike: the tail is half of the first day."""
    return tuple(
        JointRow(f"day {i}", 0.5, {"BTC/USD": m, "ETH/USD": m, "SOL/USD": m}, {})
        for i, m in enumerate((fall, rise))
    )


def held(**quantity: float) -> tuple[Holding, ...]:
    """Balances and positions, futures entered at the mark; `_` stands for `-` in a name."""
    rows = []
    marks = {i.instrument: i for i in INSTRUMENTS}
    for written, q in quantity.items():
        name = written.replace("_", "-")
        entry = float("nan")
        if name in marks and marks[name].kind in ("perpetual", "future"):
            entry = marks[name].forward
        elif name in marks and marks[name].style == "futures":
            entry = 100.0  # away from its mark of some 137
        rows.append(Holding(name, q, entry))
    return tuple(rows)


def one(
    method: str, holdings: Sequence[Holding], orders: Sequence[PlainOrder] = (), **more: object
) -> PlainAccount:
    """An account with a shared pool alone."""
    return PlainAccount("a", (PlainPool("shared", method, tuple(holdings), tuple(orders), **more),))


def judged(
    market: PlainMarket, *accounts: PlainAccount
) -> tuple[BookFrame, RequirementFrame, prepared.Market]:
    """The book, the engine's answer with parts, and the prepared market."""
    there = prepare(market)
    book = book_frame(market, accounts)
    return book, assess(book, there, threads=1, parts=True), there


def answer(market: PlainMarket, *accounts: PlainAccount) -> RequirementFrame:
    """The engine's answer with parts."""
    return judged(market, *accounts)[1]


def part(frame: RequirementFrame, name: str, level: str, pool: int = 0) -> float:
    """One named part of a requirement."""
    return float(getattr(frame, f"parts_{level}")[PARTS.index(name), pool])
