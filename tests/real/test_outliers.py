"""Prints that wreck naive estimators: with and without them the requirement stands."""

from __future__ import annotations

import polars as pl
import pytest

from crossmargin.adapters import real_history
from crossmargin.adapters.real_events import EVENTS, event_moves
from crossmargin.adapters.real_market import STALE_S, real_market
from crossmargin.api import Account, MarketSource, Position, assess
from crossmargin.apps.cli.real import stamp
from crossmargin.frames.listing import compile_market

pytestmark = pytest.mark.real

# (file, symbol, bar open, field): the catalogue's list, every listing hour on its own.
PRINTS = [
    ("spot", "LINK", "2020-03-12T10:00Z", "low"),
    ("perp", "ETH", "2020-03-13T02:00Z", "high"),
    ("perp", "ADA", "2020-02-28T17:00Z", "low"),
    ("spot", "USDC", "2021-12-04T08:00Z", "low"),
    ("spot", "USDC", "2022-05-11T20:00Z", "high"),
    ("spot", "TUSD", "2021-05-19T13:00Z", "high"),
    ("spot", "WBTC", "2024-11-23T14:00Z", "low"),
    ("spot", "WBTC", "2025-10-10T21:00Z", "low"),
    ("spot", "UNI", "2020-09-17T03:00Z", "high"),
    ("spot", "FIL", "2020-10-15T17:00Z", "high"),
    ("spot", "APT", "2022-10-19T01:00Z", "high"),
    ("spot", "LUNA2", "2022-05-31T06:00Z", "high"),
    ("spot", "ICP", "2021-05-11T01:00Z", "high"),
    ("spot", "APE", "2022-03-17T14:00Z", "high"),
]
FACTOR = {"USDC": "USDC/USD", "WBTC": "WBTC/BTC"}


@pytest.fixture
def without_the_prints(monkeypatch):
    """The same files as if those prints had been ordinary: each is its bar's close."""
    scan = pl.scan_parquet

    def calm(path, **options):
        rows = scan(path, **options)
        for market, symbol, opened, field in PRINTS:
            if f"hourly_{market}_" in str(path):
                bar = (pl.col("symbol") == symbol) & (pl.col("ts").dt.epoch("ns") == stamp(opened))
                rows = rows.with_columns(pl.when(bar).then("close").otherwise(field).alias(field))
        return rows

    return lambda: monkeypatch.setattr(real_history.pl, "scan_parquet", calm)


def requirement(shared, rules, at):
    tables, history = real_market(shared, stamp(at))
    frame, findings = compile_market(tables, STALE_S)
    coins = [c for c in ("LINK", "ADA", "FIL", "USDC", "TUSD", "WBTC", "LUNA2", "ETH")
             if c in frame.assets.names]  # fmt: skip
    worth = {"LINK": "2000", "ADA": "40000", "FIL": "3000", "USDC": "50000", "TUSD": "20000",
             "WBTC": "1", "LUNA2": "5000", "ETH": "10"}  # fmt: skip
    book = Account(
        "one", balances={c: worth[c] for c in coins if c not in ("ADA", "LUNA2")},
        positions=(Position("ETH-PERP", "-15", "2000"), Position("ADA-PERP", "30000", "0.5"),
                   Position("LINK-PERP", "-1500", "8")),
    )  # fmt: skip
    return assess(book, MarketSource(frame, history, tuple(findings)), rules, "portfolio")


@pytest.mark.parametrize("at", ["2022-06-13T12:00Z", "2025-10-12T00:00Z"])
def test_the_requirement_differs_by_less_than_one_percent(shared, rules, at, without_the_prints):
    spoiled = requirement(shared, rules, at)
    without_the_prints()
    calm = requirement(shared, rules, at)
    mm = [float(report.frame.mm[0]) for report in (spoiled, calm)]
    print(at, mm)
    assert mm[1] > 0.0
    assert abs(mm[0] / mm[1] - 1.0) < 0.01


def test_every_print_is_named_in_a_report(shared, rules):
    named = []
    for at in ("2022-06-13T12:00Z", "2025-10-12T00:00Z"):
        named += requirement(shared, rules, at).header()["refused_prints"]
    for _, symbol, opened, field in PRINTS:
        factor = FACTOR.get(symbol, f"{symbol}/USD")
        closed = f"{opened[:11]}{int(opened[11:13]) + 1:02d}:00Z"
        hits = [n for n in named if n.startswith(f"{factor} ") and closed in n and field in n]
        assert hits, (symbol, opened)


def test_stress_moves_stand_and_would_not_without_the_rule(shared, rules, without_the_prints):
    with_prints = event_moves(shared, EVENTS[0], rules.joint)
    believing = event_moves(shared, EVENTS[0], replace_rule(rules.joint, outlier=1.0))
    without_the_prints()
    calm = event_moves(shared, EVENTS[0], rules.joint)
    for factor, move in calm.moves.items():
        assert with_prints.moves[factor] == pytest.approx(move, rel=0.01), factor
    assert believing.moves["LINK/USD"] < -0.99  # the print, believed


def replace_rule(joint, **changes):
    import msgspec

    return msgspec.structs.replace(joint, **changes)
