"""Markets, rulebooks and books for laws and twins: everything from a seed.

`world(seed)` is a rulebook, a market with every kind of instrument and asset class, and accounts of
one to three pools. The same seed gives the same world on every machine. Hypothesis draws the seed
and how much of the book to keep, so that a failure shrinks to few pools and few holdings.

Some pools are steered: their numeraire balance is moved until a buffer lies near zero, which is
where a verdict can be wrong.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import msgspec
from hypothesis import strategies as st

from crossmargin.domain.rulebook import Rulebook
from crossmargin.reference import margin
from crossmargin.reference.plain import (
    HALTED,
    HOUR_NS,
    LIVE,
    MISSING,
    STALE,
    UNPRICED,
    Holding,
    JointRow,
    PlainAccount,
    PlainAsset,
    PlainFactor,
    PlainInstrument,
    PlainMarket,
    PlainOrder,
    PlainPool,
    PlainResult,
)
from crossmargin.reference.valuation import forward, option_price, price, valued, years

METHODS = ("isolated", "cross_sum", "cross_correlated", "portfolio")
AT_NS = 1_760_000_000 * 1_000_000_000  # 2025-10-09T08:53:20Z
DAY_NS = 24 * HOUR_NS
INF = math.inf
NAN = math.nan


@dataclass(frozen=True, repr=False)
class World:
    """A market (with its rulebook and joint rows inside) and accounts of several pools."""

    seed: int
    market: PlainMarket
    accounts: tuple[PlainAccount, ...]
    bad: float = 0.02

    def __repr__(self) -> str:
        """What makes it again: the whole of it is thirty pages."""
        return f"<first {len(self.accounts)} accounts of world({self.seed}, bad={self.bad})>"

    def _repr_pretty_(self, printer: object, cycle: bool) -> None:
        """Hypothesis prints dataclasses field by field unless told otherwise."""
        printer.text(repr(self))  # type: ignore[attr-defined]


# --- rulebook -------------------------------------------------------------------------------------


def class_row(reach: float, mm: float, im: float, tier: str, **more: object) -> dict[str, object]:
    """One risk class: brackets up to 1M, 5M and beyond; the cap of the last one counts nothing."""
    steps = [
        {"up_to": 1e6, "mm": mm, "im": im},
        {"up_to": 5e6, "mm": min(1.0, 2 * mm + 0.02), "im": min(1.0, 2 * im + 0.03)},
        {"up_to": 2e7, "mm": min(1.0, 4 * mm + 0.10), "im": min(1.0, 4 * im + 0.15)},
        {"up_to": INF, "mm": 1.0, "im": 1.0},
    ]
    return {
        "range": reach,
        "liquidity": steps,
        "surcharge_liquidity_mm": mm,
        "surcharge_liquidity_im": im,
        "basis_annual": 0.05,
        "vol_floor": 0.65,
        "gain_tier": tier,
        "adv": 5e7,
        "half_spread": 0.0008,
        "sigma_daily": reach / 5.0,
        **more,
    }


FLAT = [{"up_to": INF, "mm": 0.0, "im": 0.0}]


def rules_table() -> dict[str, object]:
    """The numbers of spec 16, with schedules steep enough that books of this size meet them."""
    return {
        "name": "test-24h",
        "version": "1",
        "effective_from": "2025-01-01T00:00:00Z",
        "numeraire": "USD",
        "source": "tests",
        "margin": {
            "alpha": 0.95,  # 60 joint rows: the tail is three rows, and a part is taken below
            "mpor_hours": 24.0,
            "initial_factor": 1.25,
            "kappa": 0.5,
            "stress_weight": 0.30,
            "cross_floor": 0.5,
            "hedged_fraction": 0.1,
            "short_option_minimum_mm": 0.01,
            "short_option_minimum_im": 0.0125,
            "isolated_short_option_mm": 0.075,
            "isolated_short_option_im": 0.15,
            "isolated_short_option_im_floor": 0.10,
            "market_haircut_max": 0.95,
            "taker_fee": 0.0005,
            "penalty": 0.005,
            "impact_scale": 1.0,
            "impact_exponent": 0.5,
            "basis_perpetual": 0.01,
            "vega_offset": 0.5,
            "vega_weight": 0.5,
            "wrong_way": False,
        },
        "classes": {
            "fiat": class_row(0.0, 0.0, 0.0, "A", liquidity=FLAT, basis_annual=0.0),
            "stablecoin": class_row(0.02, 0.0025, 0.005, "A"),
            "btc": class_row(0.14, 0.005, 0.01, "A", vol_floor=0.45),
            "eth": class_row(0.18, 0.005, 0.01, "A", vol_floor=0.45),
            "major": class_row(0.25, 0.015, 0.025, "B", basis_annual=0.15),
            "altcoin": class_row(0.30, 0.04, 0.07, "C", basis_annual=0.30, adv=4e6),
            "staking_basis": class_row(0.05, 0.01, 0.02, "A"),
            "synthetic": class_row(0.06, 0.02, 0.04, "B"),
            "bridge": class_row(0.05, 0.02, 0.04, "B"),
        },
        "gain_tiers": {
            "A": {"mm": 1.0, "im": 1.0},
            "B": {"mm": 1.0, "im": 0.5},
            "C": {"mm": 0.5, "im": 0.0},
        },
        "tiers": [
            {"up_to_adv": 0.01, "multiplier": 1.0},
            {"up_to_adv": 0.05, "multiplier": 1.25},
            {"up_to_adv": 0.20, "multiplier": 1.5},
            {"up_to_adv": INF, "multiplier": 2.0},
        ],
        "correlation": {
            "default": 0.6,
            "same_factor": 0.95,
            "pairs": {"BTC/USD:ETH/USD": 0.85, "btc:eth": 0.8, "btc:major": 0.7, "eth:major": 0.75},
        },
        "grid": {
            "steps": [-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0],
            "tails": [-0.66, -0.33, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0],
            "tail_weight": 0.9,
            "vol_up": 0.45,
            "vol_down": 0.25,
            "term_days": 30.0,
            "term_short": 0.30,
            "term_long": 0.13,
            "decay_hours": 24.0,
        },
        "joint": {
            "rows": 1000,
            "ewma": 0.97,
            "clip_low": 0.5,
            "clip_high": 2.5,
            "sigma_floor": 0.75,
            "outlier": 0.2,
            "neighbours": 0.1,
            "vol_fall": 1.5,
            "vol_rise": 0.5,
        },
        "stress": {
            "mirror_cap": 2.0,
            "class_percentile": 75.0,
            "stablecoin_level": 0.8,
            "events": [
                {
                    "name": "2020-03-12",
                    "known_from": "2020-03-14T00:00:00Z",
                    "moves": {"BTC/USD": -0.46, "ETH/USD": -0.50},
                    "class_moves": {"fiat": 0.0, "major": -0.48, "altcoin": -0.52},
                },
                {
                    "name": "2022-06 stETH",
                    "known_from": "2022-06-19T00:00:00Z",
                    "moves": {"BTC/USD": -0.16, "ETH/USD": -0.22, "stETH/ETH": -0.055},
                    "class_moves": {"fiat": 0.0, "synthetic": -0.03},
                },
                {  # not yet known at the market's stamp: no scenario may come of it
                    "name": "2031 unknown",
                    "known_from": "2031-01-01T00:00:00Z",
                    "moves": {"BTC/USD": -0.99},
                },
            ],
            "shocks": [
                {"name": "alts double", "moves": {"altcoin": 1.0, "major": 1.0}},
                {"name": "crypto -2 ranges", "ranges": dict.fromkeys(CRYPTO, -2.0)},
                {"name": "crypto +2 ranges", "ranges": dict.fromkeys(CRYPTO, 2.0)},
                {"name": "majors up, alts down", "ranges": {"btc": 1.0, "ETH/USD": 1.0, **DOWN}},
                {
                    "name": "half price, vols double",
                    "moves": dict.fromkeys(CRYPTO, -0.5),
                    "vol": 1.0,
                },
            ],
        },
        "oracle": {"stale_s": 60.0, "half_width_max": 0.05, "price_uncertainty": True},
        "liquidation": {"target_health": 1.1, "dust": 100.0, "bonus": 0.0},
        "assets": {
            "USDT": {  # spec 3.1: 11M counts as 10.3M, were there no market part
                "liquidity": [
                    {"up_to": 5e6, "mm": 0.0, "im": 0.005},
                    {"up_to": 1e7, "mm": 0.1, "im": 0.12},
                    {"up_to": INF, "mm": 0.2, "im": 0.25},
                ],
                "venue_liquidity": [
                    {"up_to": 1e8, "mm": 0.0, "im": 0.005},
                    {"up_to": INF, "mm": 0.3, "im": 0.4},
                ],
                "surcharge_liquidity_mm": 0.003,
                "surcharge_liquidity_im": 0.006,
            },
        },
    }


CRYPTO = ("btc", "eth", "major", "altcoin")
DOWN = {"major": -1.0, "altcoin": -1.0}


def rulebook(**margin_rules: object) -> Rulebook:
    """The test rulebook, with numbers of its margin section replaced."""
    table = rules_table()
    section = table["margin"]
    assert isinstance(section, dict)
    section.update(margin_rules)
    return msgspec.convert(table, Rulebook)


# --- market ---------------------------------------------------------------------------------------

# factor: kind, class, level, sigma a day
FACTORS = {
    "BTC/USD": ("spot", "btc", 60_000.0, 0.025),
    "ETH/USD": ("spot", "eth", 3_000.0, 0.034),
    "SOL/USD": ("spot", "major", 150.0, 0.045),
    "ALT/USD": ("spot", "altcoin", 0.8, 0.07),
    "EUR/USD": ("spot", "fiat", 1.09, 0.004),
    "USDT/USD": ("peg", "stablecoin", 0.9995, 0.001),
    "USDC/USD": ("peg", "stablecoin", 1.0001, 0.001),
    "sUSD/USD": ("peg", "synthetic", 0.998, 0.003),
    "stETH/ETH": ("basis", "staking_basis", 0.9985, 0.002),
    "wBTC/BTC": ("bridge", "bridge", 0.9992, 0.001),
}
# asset: class, loads, scale
ASSETS = {
    "USD": ("fiat", (), 1.0),
    "EUR": ("fiat", (("EUR/USD", 1.0),), 1.0),
    "USDT": ("stablecoin", (("USDT/USD", 1.0),), 1.0),
    "USDC": ("stablecoin", (("USDC/USD", 1.0),), 1.0),
    "BTC": ("blue_chip", (("BTC/USD", 1.0),), 1.0),
    "ETH": ("blue_chip", (("ETH/USD", 1.0),), 1.0),
    "SOL": ("altcoin", (("SOL/USD", 1.0),), 1.0),
    "ALT": ("altcoin", (("ALT/USD", 1.0),), 1.0),
    "stETH": ("yield_bearing", (("ETH/USD", 1.0), ("stETH/ETH", 1.0)), 1.18),
    "sUSD": ("synthetic", (("sUSD/USD", 1.0),), 1.0),
    "LP": ("lp_share", (("ETH/USD", 0.5), ("USDC/USD", 0.5)), 2.4),
    "wBTC": ("bridged", (("BTC/USD", 1.0), ("wBTC/BTC", 1.0)), 1.0),
    "CLAIM": ("claim", (("ETH/USD", 1.0),), 0.9),
}
HELD = tuple(a for a in ASSETS if a != "USD")
BORROWED = ("USD", "USDT", "USDC", "EUR", "ETH", "BTC", "SOL")
# instrument: kind, payoff, style, underlying, quote, settle, contract, days to expiry, strike / F
INSTRUMENTS = {
    "BTC-PERP": ("perpetual", "linear", "premium", "BTC", "USDT", "USDT", 1.0, 0, 0),
    "ETH-PERP": ("perpetual", "linear", "premium", "ETH", "USDC", "USDC", 0.1, 0, 0),
    "ALT-PERP": ("perpetual", "linear", "premium", "ALT", "USD", "USD", 1.0, 0, 0),
    "SOL-PERP": ("perpetual", "linear", "premium", "SOL", "USDT", "USDT", 1.0, 0, 0),
    "BTC-INV": ("perpetual", "inverse", "premium", "BTC", "USD", "BTC", 100.0, 0, 0),
    "ETH-QUANTO": ("perpetual", "quanto", "premium", "ETH", "USD", "BTC", 1.0, 0, 0),
    "stETH-PERP": ("perpetual", "linear", "premium", "stETH", "USD", "USD", 1.0, 0, 0),
    "BTC-FUT-90": ("future", "inverse", "premium", "BTC", "USD", "BTC", 10.0, 90, 0),
    "ETH-FUT-30": ("future", "linear", "premium", "ETH", "USDT", "USDT", 1.0, 30, 0),
    "SOL-FUT-1": ("future", "linear", "premium", "SOL", "USD", "USD", 1.0, 0.8, 0),
    "ETH-FUT-AVG": ("future", "linear", "premium", "ETH", "USD", "USD", 1.0, 0.01, 0),
    "ETH-C-30": ("call", "linear", "premium", "ETH", "USDC", "USDC", 1.0, 30, 1.05),
    "ETH-P-30": ("put", "linear", "premium", "ETH", "USDC", "USDC", 1.0, 30, 0.95),
    "ETH-C-120": ("call", "linear", "premium", "ETH", "USDC", "USDC", 1.0, 120, 1.2),
    "SOL-P-14": ("put", "linear", "premium", "SOL", "USD", "USD", 10.0, 14, 0.9),
    "SOL-C-F": ("call", "linear", "futures", "SOL", "USD", "USD", 1.0, 45, 1.1),
    "SOL-P-F": ("put", "linear", "futures", "SOL", "USDT", "USDT", 1.0, 45, 1.0),
    "BTC-C-INV": ("call", "inverse", "premium", "BTC", "USD", "BTC", 0.1, 60, 1.1),
    "BTC-P-INV": ("put", "inverse", "premium", "BTC", "USD", "BTC", 1.0, 7, 0.98),
    "ETH-C-TODAY": ("call", "linear", "premium", "ETH", "USD", "USD", 1.0, 0.5, 1.0),
    "ETH/USDT": ("spot", "linear", "premium", "ETH", "USDT", "USDT", 1.0, 0, 0),
    "SOL/USD": ("spot", "linear", "premium", "SOL", "USD", "USD", 1.0, 0, 0),
}
KIND_OF = {
    name: f"{'' if row[0] == 'spot' else row[1] + ' '}{row[0]}"
    + (f" ({row[2]} style)" if row[0] in ("call", "put") else "")
    for name, row in INSTRUMENTS.items()
}


def market(rng: random.Random, bad: float = 0.02) -> PlainMarket:
    """Every factor, asset and instrument of the tables, with levels, spreads and ages drawn.

    bad  the chance that a factor or a mark is MISSING, HALTED or STALE
    """
    calm = rng.random() < 0.5
    factors = {}
    for name, (kind, risk_class, level, sigma) in FACTORS.items():
        wobble = 0.3 if kind == "spot" and risk_class != "fiat" else 0.01
        drawn = level * math.exp(rng.uniform(-wobble, wobble))
        stable = drawn if calm else drawn * math.exp(rng.gauss(0.0, 2.0 * sigma))
        status = rng.choice((MISSING, HALTED, STALE)) if rng.random() < bad else LIVE
        never = status == MISSING and rng.random() < 0.3
        factors[name] = PlainFactor(
            name,
            kind,
            risk_class,
            NAN if never else drawn,
            status,
            0.0 if calm else rng.uniform(0.0, 0.01),
            NAN if never else stable,
            0.0 if calm else rng.uniform(0.0, 30.0),
            sigma if rng.random() < 0.7 else NAN,
        )
    assets = {
        name: PlainAsset(
            name,
            asset_class,
            loads,
            scale,
            rng.choice((NAN, 10.0 ** rng.uniform(6, 9))),
            rng.choice((NAN, rng.uniform(0.0001, 0.002))),
            rng.choice((NAN, 10.0 ** rng.uniform(6, 9))),
        )
        for name, (asset_class, loads, scale) in ASSETS.items()
    }
    book = rulebook(
        wrong_way=rng.random() < 0.3,
        kappa=rng.choice((0.5, 0.7)),
        cross_floor=rng.choice((0.5, 0.9)),
    )
    plain = PlainMarket(AT_NS, "USD", factors, assets, {}, book, joint_rows(rng, tuple(factors)))
    return replace(plain, instruments={n: _instrument(rng, plain, n, bad) for n in INSTRUMENTS})


def _instrument(rng: random.Random, plain: PlainMarket, name: str, bad: float) -> PlainInstrument:
    kind, payoff, style, underlying, quote, settle, contract, days, moneyness = INSTRUMENTS[name]
    spot = price(plain, underlying) / price(plain, quote)
    if not math.isfinite(spot):
        spot = 1_000.0  # its asset has no price: bad whatever the forward says
    f = spot * (1.0 + rng.uniform(-0.01, 0.01))
    averaging = name == "ETH-FUT-AVG"
    perpetual = kind == "perpetual"
    return PlainInstrument(
        name,
        kind,
        payoff,
        style,
        underlying,
        quote,
        settle,
        contract,
        f,
        quanto_rate=1e-5 if payoff == "quanto" else 0.0,
        expiry_ns=AT_NS + int(days * DAY_NS) if days else 0,
        strike=round(f * moneyness, 4),
        iv=rng.uniform(0.25, 1.2) if moneyness else NAN,
        rate=rng.choice((NAN, 0.03)) if moneyness else NAN,
        status=rng.choice((MISSING, HALTED, STALE)) if rng.random() < bad / 2 else LIVE,
        averaged=f * rng.uniform(0.97, 1.03) if averaging else 0.0,
        averaged_share=rng.uniform(0.1, 0.9) if averaging else 0.0,
        funding_rate=rng.choice((NAN, -1e-4, 1e-4)) if perpetual else NAN,
        funding_cap=rng.choice((NAN, 0.003)) if perpetual else NAN,
        adv=rng.choice((NAN, 10.0 ** rng.uniform(6, 9))),
        half_spread=rng.choice((NAN, rng.uniform(0.0001, 0.002))),
    )


def joint_rows(rng: random.Random, factors: tuple[str, ...], n: int = 60) -> tuple[JointRow, ...]:
    """Correlated fat-tailed days of equal probability; vol moves mostly against the price."""
    rows = []
    scale = rng.choice((1.0, 1.0, 3.0))  # a wild year, where the joint rows bind
    for i in range(n):
        common = rng.gauss(0.0, 1.0) * (3.0 if rng.random() < 0.1 else 1.0)
        moves, vol = {}, {}
        for name in factors:
            kind, risk_class, _, sigma = FACTORS[name]
            shared = 0.8 * common if kind == "spot" and risk_class != "fiat" else 0.0
            moves[name] = math.expm1(scale * sigma * (shared + 0.6 * rng.gauss(0.0, 1.0)))
            if kind == "spot":
                vol[name] = max(-0.6, -0.08 * common + 0.05 * rng.gauss(0.0, 1.0))
        rows.append(JointRow(f"day {i:03d}", 1.0 / n, moves, vol))
    return tuple(rows)


# --- books ----------------------------------------------------------------------------------------


def account(rng: random.Random, plain: PlainMarket, name: str) -> PlainAccount:
    """A shared pool and, in a third of accounts, one or two ring-fenced buckets."""
    n_buckets = rng.choice((0, 0, 1, 2)) if rng.random() < 0.7 else 0
    method = rng.choice(METHODS)
    pools = [pool(rng, plain, "shared", method)]
    for i in range(n_buckets):
        bucket = pool(rng, plain, f"bucket {i + 1}", rng.choice(METHODS))
        limit = rng.choice((0.0, 10.0 ** rng.uniform(3, 6)))
        drawn = rng.choice((0.0, limit * rng.random()))
        last = rng.choice((0.0, (limit - drawn) * rng.random()))
        pools.append(replace(bucket, draw_limit=limit, drawn=drawn, last_draw=last))
    return PlainAccount(name, tuple(pools))


def pool(rng: random.Random, plain: PlainMarket, name: str, method: str) -> PlainPool:
    """Holdings of one of seven shapes, sized in the numeraire, sometimes with orders."""
    size = 10.0 ** rng.uniform(3.5, 7.3)
    shape = rng.choice((savings, loan, gambler, gambler, hedged, trader, trader, maker))
    rows = shape(rng, plain, size)
    orders = tuple(order(rng, plain, size) for _ in range(rng.choice((0, 0, 1, 3))))
    return PlainPool(name, method, merged(plain, rows), orders, set_aside=rng.random() < 0.005)


def merged(plain: PlainMarket, rows: list[Holding]) -> tuple[Holding, ...]:
    """One row an item, in the market's order; the entry of a doubled position is its average."""
    found: dict[str, list[Holding]] = {}
    for row in rows:
        found.setdefault(row.item, []).append(row)
    order_of = {item: i for i, item in enumerate((*plain.assets, *plain.instruments))}
    out = []
    for item in sorted(found, key=order_of.__getitem__):
        quantity = math.fsum(r.quantity for r in found[item])
        out.append(Holding(item, quantity, found[item][0].entry_price))
    return tuple(r for r in out if r.quantity != 0.0)


def coins(rng: random.Random, plain: PlainMarket, asset: str, value: float) -> Holding:
    each = price(plain, asset)
    each = each if math.isfinite(each) else 1.0
    return Holding(asset, round(value / each, 8))


def contracts(rng: random.Random, plain: PlainMarket, name: str, value: float) -> Holding:
    """A position of `value` notional, signed, entered within 5 % of the mark."""
    terms = plain.instruments[name]
    f = forward(terms)
    quote = price(plain, terms.quote)
    if terms.payoff == "inverse" and not terms.is_option:
        unit = terms.contract_size
    else:
        unit = terms.contract_size * f * (quote if math.isfinite(quote) else 1.0)
        if terms.payoff == "quanto":
            base = price(plain, terms.settle)
            unit *= terms.quanto_rate * (base if math.isfinite(base) else 60_000.0)
    quantity = round(value / unit, 4) or math.copysign(1.0, value)
    entry = f * (1.0 + rng.uniform(-0.05, 0.05))
    if terms.is_option:
        worth = option_price(terms, f, terms.iv, years(plain, terms))
        entry = worth * rng.uniform(0.5, 1.5) if terms.style == "futures" else NAN
    return Holding(name, quantity, entry)


def savings(rng: random.Random, plain: PlainMarket, size: float) -> list[Holding]:
    """Owes nothing: assets and, now and then, a long option."""
    rows = [coins(rng, plain, a, size * rng.random()) for a in rng.sample(HELD, rng.randint(1, 4))]
    if rng.random() < 0.4:
        name = rng.choice([n for n in OPTIONS if INSTRUMENTS[n][2] == "premium"])
        rows.append(contracts(rng, plain, name, size * 0.2))
    return rows


def loan(rng: random.Random, plain: PlainMarket, size: float) -> list[Holding]:
    """Two kinds of collateral against one or two debts, up to insolvent."""
    held = rng.sample([a for a in HELD if a not in BORROWED], 2)
    rows = [coins(rng, plain, a, size * rng.uniform(0.2, 1.0)) for a in held]
    worth = size * rng.uniform(0.2, 1.15)
    debts = rng.sample(BORROWED, rng.randint(1, 2))
    return rows + [coins(rng, plain, a, -worth / len(debts)) for a in debts]


def gambler(rng: random.Random, plain: PlainMarket, size: float) -> list[Holding]:
    """One future or perpetual on dollars."""
    name = rng.choice(FUTURES)
    side = rng.choice((-1.0, 1.0))
    cash = coins(rng, plain, rng.choice(("USDT", "USDC", "BTC")), size * rng.uniform(0.1, 0.6))
    return [cash, contracts(rng, plain, name, side * size)]


def hedged(rng: random.Random, plain: PlainMarket, size: float) -> list[Holding]:
    """Collateral against a short of the same thing, across instruments."""
    asset, shorts = rng.choice(
        (
            ("ETH", ("ETH-PERP", "ETH-FUT-30", "ETH-QUANTO", "ETH-C-30")),
            ("stETH", ("ETH-PERP", "stETH-PERP", "ETH-C-120")),
            ("BTC", ("BTC-PERP", "BTC-INV", "BTC-FUT-90", "BTC-C-INV")),
            ("wBTC", ("BTC-PERP", "BTC-INV")),
            ("SOL", ("SOL-PERP", "SOL-FUT-1", "SOL-C-F")),
        )
    )
    rows = [coins(rng, plain, asset, size)]
    rows.append(contracts(rng, plain, rng.choice(shorts), -size * rng.uniform(0.8, 1.1)))
    if rng.random() < 0.3:
        rows.append(coins(rng, plain, "USD", -size * rng.uniform(0.0, 0.5)))
    return rows


def trader(rng: random.Random, plain: PlainMarket, size: float) -> list[Holding]:
    """A basket of collateral, a loan, and two to five positions of any kind."""
    rows = [coins(rng, plain, a, size * rng.random()) for a in rng.sample(HELD, rng.randint(1, 3))]
    if rng.random() < 0.5:
        rows.append(coins(rng, plain, rng.choice(BORROWED), -size * rng.uniform(0.0, 0.4)))
    for name in rng.sample((*FUTURES, *OPTIONS), rng.randint(2, 5)):
        value = size * rng.uniform(0.05, 0.8) * rng.choice((-1.0, 1.0))
        rows.append(contracts(rng, plain, name, value))
    return rows


def maker(rng: random.Random, plain: PlainMarket, size: float) -> list[Holding]:
    """Many options of both signs and perpetuals against them."""
    rows = [coins(rng, plain, rng.choice(("USDC", "BTC", "ETH", "sUSD")), size)]
    for name in rng.sample(OPTIONS, 6):
        value = size * rng.uniform(0.1, 0.8) * rng.choice((-1.0, 1.0))
        rows.append(contracts(rng, plain, name, value))
    for name in rng.sample(FUTURES, 2):
        value = size * rng.uniform(0.1, 0.5) * rng.choice((-1.0, 1.0))
        rows.append(contracts(rng, plain, name, value))
    return rows


def order(rng: random.Random, plain: PlainMarket, size: float) -> PlainOrder:
    """An order of any instrument, spot too, within 3 % of the mark."""
    name = rng.choice(SPOTS if rng.random() < 0.4 else tuple(plain.instruments))
    terms = plain.instruments[name]
    row = contracts(rng, plain, name, size * rng.uniform(0.05, 0.4) * rng.choice((-1.0, 1.0)))
    mark = forward(terms)
    if terms.is_option:
        mark = option_price(terms, mark, terms.iv, years(plain, terms))
    limit = max(1e-6, mark * (1.0 + rng.uniform(-0.03, 0.03)))
    return PlainOrder(name, row.quantity, limit, rng.random() < 0.15)


FUTURES = tuple(n for n, row in INSTRUMENTS.items() if row[0] in ("perpetual", "future"))
SPOTS = tuple(n for n, row in INSTRUMENTS.items() if row[0] == "spot")
OPTIONS = tuple(n for n, row in INSTRUMENTS.items() if row[0] in ("call", "put"))


# --- steering -------------------------------------------------------------------------------------


def steered(rng: random.Random, plain: PlainMarket, rows: PlainPool) -> PlainPool:
    """Move the numeraire balance until a buffer is within 4 % of equity from zero.

    Cash in the numeraire has no haircut: each dollar moves a buffer by one as long as the balance
    keeps its sign, so a few steps find the place. Orders are kept, draws are not looked at.
    """
    level = rng.choice(("mm", "mm", "im"))
    aim = rng.uniform(-0.04, 0.04)
    for _ in range(4):
        result = margin.assess_pool(plain, rows, {})
        if result.unpriced:
            return rows
        at = result.mm if level == "mm" else result.im
        charge = result.equity - at.margin_balance + at.requirement
        if charge <= 0.0:
            return rows  # owes nothing: it has no boundary
        missing = aim * max(charge, 1.0) - at.buffer
        if abs(missing) < 1e-6 * charge:
            return rows
        rows = with_cash(plain, rows, missing)
    return rows


def with_cash(plain: PlainMarket, rows: PlainPool, amount: float) -> PlainPool:
    """The pool with `amount` more of the numeraire."""
    held = merged(plain, [*rows.holdings, Holding(plain.numeraire, amount)])
    return replace(rows, holdings=held)


def bankrupted(rng: random.Random, plain: PlainMarket, rows: PlainPool) -> PlainPool:
    """Owe a little more than everything."""
    result = margin.assess_pool(plain, rows, {})
    if result.unpriced:
        return rows
    return with_cash(plain, rows, -result.equity - abs(result.equity) * rng.uniform(0.01, 0.2) - 1)


@lru_cache(maxsize=256)
def world(seed: int, n_accounts: int = 3, bad: float = 0.02) -> World:
    """The world of a seed."""
    rng = random.Random(seed)
    plain = market(rng, bad)
    accounts = []
    for i in range(n_accounts):
        drawn = account(rng, plain, f"account {i + 1}")
        pools = []
        for rows in drawn.pools:
            luck = rng.random()
            if luck < 0.55:
                rows = steered(rng, plain, rows)
            elif luck < 0.62:
                rows = bankrupted(rng, plain, rows)
            pools.append(rows)
        accounts.append(replace(drawn, pools=tuple(pools)))
    return World(seed, plain, tuple(accounts), bad)


@st.composite
def worlds(draw: st.DrawFn, n_accounts: int = 3, bad: float = 0.02) -> World:
    """A world by its seed; shrinks towards few accounts with few holdings."""
    seed = draw(st.integers(0, 2**32 - 1), label="seed")
    kept = draw(st.integers(1, n_accounts), label="accounts kept")
    whole = world(seed, n_accounts, bad)
    return replace(whole, accounts=whole.accounts[:kept])


@st.composite
def good_worlds(draw: st.DrawFn) -> World:
    """A world without bad prices."""
    return draw(worlds(bad=0.0))


# --- measuring ------------------------------------------------------------------------------------

Judge = Callable[[PlainMarket, PlainAccount], list[PlainResult]]


def kinds_in(plain: PlainMarket, rows: PlainPool) -> set[str]:
    """Kinds of instrument a pool holds or has orders in, and the words asset and loan."""
    names = {r.item for r in rows.holdings} | {o.instrument for o in rows.orders}
    found = {KIND_OF[n] for n in names if n in KIND_OF}
    balance = valued(plain, rows.holdings).balance
    if any(q < 0.0 for q in balance.values()):
        found.add("loan")
    return found


def near_boundary(result: PlainResult) -> bool:
    """A buffer within 5 % of the charge it is compared with."""
    if result.verdict == UNPRICED:
        return False
    for at in (result.mm, result.im):
        charge = result.equity - at.margin_balance + at.requirement
        if charge > 0.0 and abs(at.buffer) <= 0.05 * charge:
            return True
    return False
