"""A case's tables as a market and an account, for the engine and for the twin."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from crossmargin.domain.rulebook import Rulebook
from crossmargin.margin.requirement import BINDING
from crossmargin.reference.plain import (
    HALTED,
    LIVE,
    MISSING,
    STALE,
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
from twins.rows import engine_rows, twin_rows

AT_NS = 1_760_000_000 * 1_000_000_000
DAY_NS = 86_400 * 1_000_000_000
STATUS = {"LIVE": LIVE, "STALE": STALE, "HALTED": HALTED, "MISSING": MISSING}
# factor: kind, class, level
FACTORS = {
    "BTC/USD": ("spot", "btc", 30_000.0),
    "ETH/USD": ("spot", "eth", 2_000.0),
    "SOL/USD": ("spot", "major", 100.0),
    "ALT/USD": ("spot", "altcoin", 1.0),
    "EUR/USD": ("spot", "fiat", 1.1),
    "USDT/USD": ("peg", "stablecoin", 1.0),
    "USDC/USD": ("peg", "stablecoin", 1.0),
    "stETH/ETH": ("basis", "staking_basis", 1.0),
}
ASSETS = {
    "USD": ("fiat", (), 1.0),
    "EUR": ("fiat", (("EUR/USD", 1.0),), 1.0),
    "USDT": ("stablecoin", (("USDT/USD", 1.0),), 1.0),
    "USDC": ("stablecoin", (("USDC/USD", 1.0),), 1.0),
    "BTC": ("blue_chip", (("BTC/USD", 1.0),), 1.0),
    "ETH": ("blue_chip", (("ETH/USD", 1.0),), 1.0),
    "SOL": ("altcoin", (("SOL/USD", 1.0),), 1.0),
    "ALT": ("altcoin", (("ALT/USD", 1.0),), 1.0),
    "stETH": ("yield_bearing", (("ETH/USD", 1.0), ("stETH/ETH", 1.0)), 1.0),
    "LP": ("lp_share", (("ETH/USD", 0.5), ("USDC/USD", 0.5)), 1.0),
    "CLAIM": ("claim", (("ETH/USD", 1.0),), 0.9),
}
# What the shipped rulebooks call the classes.
SHIPPED = {"btc": "BTC", "eth": "ETH", "staking_basis": "lst_basis"}
# One quiet day: with nothing moving, the joint term is zero and the others can be seen.
QUIET = [{"probability": 1.0, "moves": {}, "vol": {}}]


def rows_of(case: dict) -> dict[str, list[dict]]:
    """What the engine and the twin say of the case's pools; binding terms as words."""
    market, account = build(case)
    answers = {"engine": engine_rows(market, [account]), "twin": twin_rows(market, [account])}
    return {
        who: [{**row, "binding": BINDING[int(row["binding"] or 0)]} for row in rows]
        for who, rows in answers.items()
    }


def build(case: dict) -> tuple[PlainMarket, PlainAccount]:
    """The market and account of a case."""
    factors = {
        n: _factor(n, case.get("factors", {}).get(n, {}), "rulebook" in case) for n in FACTORS
    }
    assets = {n: _asset(n, case.get("assets", {}).get(n, {})) for n in ASSETS}
    instruments = {n: _instrument(n, t) for n, t in case.get("instruments", {}).items()}
    joint = tuple(
        JointRow(f"day {i}", float(r["probability"]), r["moves"], r.get("vol", {}))
        for i, r in enumerate(case.get("joint", QUIET))
    )
    rulebook = rules(case)
    market = PlainMarket(AT_NS, "USD", factors, assets, instruments, rulebook, joint)
    pools = tuple(_pool(case, p) for p in case["pools"])
    return market, PlainAccount("case", pools)


def rules(case: dict) -> Rulebook:
    """The cases' rulebook, or a shipped one, with the case's own numbers laid over it."""
    if "rulebook" in case:
        import crossmargin

        path = Path(crossmargin.__file__).parent / "rulebooks" / f"{case['rulebook']}.toml"
    else:
        path = Path(__file__).parent / "rulebook.toml"
    table = tomllib.loads(path.read_text())
    _lay(table, case.get("rules", {}))
    return msgspec.convert(table, Rulebook)


def _lay(table: dict, over: dict) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(table.get(key), dict):
            _lay(table[key], value)
        else:
            table[key] = value


def _factor(name: str, more: dict, shipped: bool) -> PlainFactor:
    kind, risk_class, level = FACTORS[name]
    if shipped:
        risk_class = SHIPPED.get(risk_class, risk_class)
    level = float(more.get("level", level))
    return PlainFactor(
        name,
        kind,
        risk_class,
        level,
        STATUS[more.get("status", "LIVE")],
        float(more.get("half_width", 0.0)),
        float(more.get("stable_price", level)),
        float(more.get("age_s", 0.0)),
    )


def _asset(name: str, more: dict) -> PlainAsset:
    asset_class, loads, scale = ASSETS[name]
    nan = float("nan")
    return PlainAsset(
        name,
        asset_class,
        loads,
        float(more.get("scale", scale)),
        float(more.get("adv", nan)),
        float(more.get("half_spread", nan)),
        float(more.get("venue_total", nan)),
    )


def _instrument(name: str, table: dict) -> PlainInstrument:
    text = ("kind", "payoff", "style", "underlying", "quote", "settle")
    words = {"payoff": "linear", "style": "premium", "settle": table["quote"]}
    words |= {key: table[key] for key in text if key in table}
    numbers = {k: float(v) for k, v in table.items() if k not in (*text, "days", "status")}
    days = float(table.get("days", 0))
    return PlainInstrument(
        name,
        **words,
        **{"contract_size": 1.0, **numbers},
        expiry_ns=AT_NS + int(days * DAY_NS) if days else 0,
        status=STATUS[table.get("status", "LIVE")],
    )


def _pool(case: dict, table: dict) -> PlainPool:
    held = [Holding(a, float(q)) for a, q in table.get("balances", {}).items()]
    for name, row in table.get("positions", {}).items():
        entry = float(row[1]) if len(row) > 1 else float("nan")
        held.append(Holding(name, float(row[0]), entry))
    order_of = [*ASSETS, *case.get("instruments", {})]
    held.sort(key=lambda r: order_of.index(r.item))
    orders = tuple(
        PlainOrder(o["instrument"], float(o["quantity"]), float(o["limit"]), "reduce_only" in o)
        for o in table.get("orders", [])
    )
    return PlainPool(
        table.get("pool", "shared"),
        table.get("method", case.get("method", "cross_sum")),
        tuple(held),
        orders,
        float(table.get("draw_limit", "inf")),
        float(table.get("drawn", 0)),
        float(table.get("last_draw", 0)),
    )
