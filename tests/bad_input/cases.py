"""Malformed books, markets and rulebooks as one table, for every test that wants to be refused.

Each case changes one thing in an input that is otherwise good. `documents(case)` gives the bytes
of all three documents, so that the same table serves the loaders and the whole path.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from crossmargin.adapters.files import shipped_rulebooks
from crossmargin.base.errors import (
    BookInvalid,
    CrossmarginError,
    InputInvalid,
    MarketInvalid,
    RulebookInvalid,
)

Edit = Callable[[dict[str, Any]], None]

BOOK: dict[str, Any] = {
    "accounts": [
        {
            "account": "alice",
            "balances": {"ETH": "10.5", "USDC": "-1000"},
            "positions": [
                {"instrument": "BTC-PERP", "quantity": "-0.5", "entry_price": "61000"},
                {"instrument": "ETH-3500-C", "quantity": "-2"},
            ],
            "orders": [{"instrument": "BTC-PERP", "quantity": "0.1", "limit_price": "59000"}],
            "pools": [{"pool": "ring", "balances": {"USDC": "500"}, "draw_limit": "40"}],
        },
        {"account": "bob", "balances": {"USD": "5000", "BTC": "0.25"}},
        {
            "account": "carol",
            "balances": {"USDC": "20000"},
            "positions": [{"instrument": "ETH-USD-INV", "quantity": "100", "entry_price": "2900"}],
        },
    ]
}

MARKET: dict[str, Any] = {
    "at": "2025-12-30T12:00:00Z",
    "numeraire": "USD",
    "source": "made by hand",
    "factors": [
        {"factor": "BTC/USD", "kind": "spot", "class": "BTC", "level": 60000.0},
        {"factor": "ETH/USD", "kind": "spot", "class": "ETH", "level": 3000.0},
        {"factor": "USDC/USD", "kind": "peg", "class": "stablecoin", "level": 1.0},
        {"factor": "stETH/ETH", "kind": "basis", "class": "lst_basis", "level": 0.999},
    ],
    "assets": [
        {"asset": "USD", "class": "fiat", "decimals": 2, "loads": ""},
        {"asset": "USDC", "class": "stablecoin", "decimals": 6, "loads": "USDC/USD"},
        {"asset": "BTC", "class": "blue_chip", "decimals": 8, "loads": "BTC/USD"},
        {"asset": "ETH", "class": "blue_chip", "decimals": 18, "loads": "ETH/USD"},
        {"asset": "stETH", "class": "yield_bearing", "decimals": 18, "loads": "ETH/USD*stETH/ETH"},
    ],
    "instruments": [
        {"instrument": "BTC-PERP", "kind": "perpetual", "underlying": "BTC", "quote": "USDC",
         "forward": 60010.0},
        {"instrument": "ETH-USD-INV", "kind": "future", "payoff": "inverse", "underlying": "ETH",
         "quote": "USD", "settle": "ETH", "contract_size": 10.0, "expiry": "2026-03-27T08:00:00Z",
         "forward": 3020.0},
        {"instrument": "ETH-3500-C", "kind": "call", "underlying": "ETH", "quote": "USDC",
         "expiry": "2026-01-30T08:00:00Z", "strike": 3500.0, "forward": 3010.0, "iv": 0.6},
        {"instrument": "BTC-QUANTO", "kind": "perpetual", "payoff": "quanto", "underlying": "BTC",
         "quote": "USD", "settle": "ETH", "quanto_rate": 0.0001, "forward": 60010.0},
        {"instrument": "ETH-USDC", "kind": "spot", "underlying": "ETH", "quote": "USDC"},
    ],
}  # fmt: skip

RULEBOOK: bytes = shipped_rulebooks()["prime-24h"]


class Case(NamedTuple):
    """One thing wrong.

    error    what the loader raises when strict; None where a row is marked instead
    says     the message names this
    marks    when not strict: pools set aside (`account/pool`) or rows MISSING; None: it raises
    """

    name: str
    document: str
    edit: Edit | bytes
    error: type[CrossmarginError] | None
    says: str
    marks: tuple[str, ...] | None = None


def put(path: str, value: object) -> Edit:
    """Return an edit that sets (or appends at "+") the value at a dotted path."""

    def edit(document: dict[str, Any]) -> None:
        *way, last = path.split(".")
        place: Any = document
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if last == "+":
            place.append(value)
        elif isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value

    return edit


def drop(path: str) -> Edit:
    """Return an edit that takes the key away."""

    def edit(document: dict[str, Any]) -> None:
        *way, last = path.split(".")
        place: Any = document
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        del place[last]

    return edit


def swap(old: str, new: str) -> bytes:
    """Return the rulebook with one piece of text replaced."""
    text = RULEBOOK.decode()
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1).encode()


def documents(case: Case) -> tuple[bytes, bytes, bytes]:
    """Return (book, market, rulebook) with the one fault of the case."""
    made = {"book": json.dumps(BOOK).encode(), "market": json.dumps(MARKET).encode(),
            "rulebook": RULEBOOK}  # fmt: skip
    if isinstance(case.edit, bytes):
        made[case.document] = case.edit
    else:
        changed = copy.deepcopy(BOOK if case.document == "book" else MARKET)
        case.edit(changed)
        made[case.document] = json.dumps(changed).encode()
    return made["book"], made["market"], made["rulebook"]


ALICE, HELD, SHORT = "accounts.0", "accounts.0.balances", "accounts.0.positions.0"
SHARED, RING = ("alice/shared",), ("alice/ring",)
FUTURE, OPTION = "instruments.1", "instruments.2"

BOOKS = [
    Case("amount_is_nan", "book", put(f"{HELD}.ETH", "NaN"), BookInvalid, "finite decimal", SHARED),
    Case(
        "amount_is_infinite",
        "book",
        put(f"{HELD}.ETH", "Infinity"),
        BookInvalid,
        "finite decimal",
        SHARED,
    ),
    Case("amount_is_a_word", "book", put(f"{HELD}.ETH", "ten"), InputInvalid, "ETH|balances"),
    Case("amount_has_commas", "book", put(f"{HELD}.ETH", "1,000"), InputInvalid, "balances"),
    Case("amount_is_true", "book", put(f"{HELD}.ETH", True), InputInvalid, "True"),
    Case("amount_is_null", "book", put(f"{HELD}.ETH", None), InputInvalid, "balances"),
    Case(
        "amount_overflows", "book", put(f"{HELD}.ETH", "1e30"), BookInvalid, "at most 1e.18", SHARED
    ),
    Case(
        "amount_overflows_the_exponent",
        "book",
        put(f"{HELD}.ETH", "1e99999"),
        BookInvalid,
        "finite decimal",
        SHARED,
    ),
    Case(
        "amount_in_smallest_units",
        "book",
        put(f"{HELD}.ETH", "10500000000000000000"),
        BookInvalid,
        "not smallest units",
        SHARED,
    ),
    Case(
        "more_decimals_than_the_asset",
        "book",
        put(f"{HELD}.USDC", "-1000.0000001"),
        BookInvalid,
        "decimals of its asset",
        SHARED,
    ),
    Case(
        "unknown_asset", "book", put(f"{HELD}.ETHH", "1"), BookInvalid, "did you mean ETH", SHARED
    ),
    Case(
        "asset_in_lower_case",
        "book",
        put(f"{HELD}.usdc", "1"),
        BookInvalid,
        "did you mean USDC",
        SHARED,
    ),
    Case(
        "unknown_instrument",
        "book",
        put(f"{SHORT}.instrument", "BTC-PRP"),
        BookInvalid,
        "did you mean BTC-PERP",
        SHARED,
    ),
    Case(
        "asset_held_as_a_position",
        "book",
        put(f"{SHORT}.instrument", "ETH"),
        BookInvalid,
        "instrument among positions",
        SHARED,
    ),
    Case(
        "instrument_held_as_a_balance",
        "book",
        put(f"{HELD}.BTC-PERP", "1"),
        BookInvalid,
        "asset among balances",
        SHARED,
    ),
    Case(
        "spot_held_as_a_position",
        "book",
        put(f"{SHORT}.instrument", "ETH-USDC"),
        BookInvalid,
        "hold its two assets",
        SHARED,
    ),
    Case(
        "future_without_entry_price",
        "book",
        drop(f"{SHORT}.entry_price"),
        BookInvalid,
        "average entry",
        SHARED,
    ),
    Case(
        "entry_price_is_negative",
        "book",
        put(f"{SHORT}.entry_price", "-61000"),
        BookInvalid,
        "entry_price",
        SHARED,
    ),
    Case(
        "entry_price_is_nan",
        "book",
        put(f"{SHORT}.entry_price", "NaN"),
        BookInvalid,
        "entry_price",
        SHARED,
    ),
    Case(
        "position_listed_twice",
        "book",
        put(f"{ALICE}.positions.+", BOOK["accounts"][0]["positions"][0]),
        BookInvalid,
        "once in a pool",
        SHARED,
    ),
    Case(
        "balance_listed_twice",
        "book",
        b'{"account": "alice", "balances": {"ETH": "1", "ETH": "2"}}',
        InputInvalid,
        "once",
    ),
    Case(
        "unknown_method",
        "book",
        put(f"{ALICE}.method", "crooss_sum"),
        BookInvalid,
        "did you mean cross_sum",
        SHARED,
    ),
    Case(
        "draw_limit_is_negative",
        "book",
        put(f"{ALICE}.pools.0.draw_limit", "-1"),
        BookInvalid,
        "draw_limit",
        RING,
    ),
    Case("drawn_is_nan", "book", put(f"{ALICE}.pools.0.drawn", "NaN"), BookInvalid, "drawn", RING),
    Case(
        "merged_pool_with_a_method",
        "book",
        put(f"{ALICE}.pools.+", {"pool": "m", "method": "isolated"}),
        BookInvalid,
        "draw_limit",
        SHARED,
    ),
    Case(
        "two_pools_of_one_name",
        "book",
        put(f"{ALICE}.pools.+", {"pool": "ring"}),
        InputInvalid,
        "pool names must differ",
    ),
    Case("account_without_a_name", "book", put(f"{ALICE}.account", ""), BookInvalid, "name of 1"),
    Case("unknown_field", "book", put(f"{ALICE}.balnces", {}), InputInvalid, "balnces"),
    Case(
        "order_without_size",
        "book",
        put(f"{ALICE}.orders.0.quantity", "0"),
        BookInvalid,
        "differ from 0",
        SHARED,
    ),
    Case(
        "order_at_a_negative_price",
        "book",
        put(f"{ALICE}.orders.0.limit_price", "-1"),
        BookInvalid,
        "limit_price",
        SHARED,
    ),
    Case(
        "order_for_an_asset",
        "book",
        put(f"{ALICE}.orders.0.instrument", "ETH"),
        BookInvalid,
        "instrument of the market",
        SHARED,
    ),
    Case("not_json", "book", b'{"accounts": [', InputInvalid, "JSON"),
    Case("empty_document", "book", b"", InputInvalid, "empty"),
    Case(
        "absurd_nesting", "book", b'{"accounts":' + b'{"a":' * 100_000, InputInvalid, "deep|object"
    ),
    Case("not_utf8", "book", b'{"account": "\xff"}', InputInvalid, "UTF-8|JSON"),
]

MARKETS = [
    Case(
        "level_is_negative",
        "market",
        put("factors.1.level", -3000.0),
        None,
        "price > 0",
        ("ETH/USD",),
    ),
    Case("level_is_zero", "market", put("factors.1.level", 0.0), None, "price > 0", ("ETH/USD",)),
    Case(
        "level_is_missing", "market", put("factors.1.level", None), None, "price > 0", ("ETH/USD",)
    ),
    Case(
        "level_is_nan_text",
        "market",
        put("factors.1.level", "NaN"),
        None,
        "price > 0",
        ("ETH/USD",),
    ),
    Case(
        "level_is_absurd", "market", put("factors.1.level", 1e300), None, "price > 0", ("ETH/USD",)
    ),
    Case("level_is_stale", "market", put("factors.1.age_s", 7200.0), None, "", ()),
    Case("age_is_negative", "market", put("factors.1.age_s", -5.0), None, "tomorrow", ("ETH/USD",)),
    Case(
        "status_is_unknown", "market", put("factors.1.status", "fine"), None, "live", ("ETH/USD",)
    ),
    Case(
        "half_width_in_percent",
        "market",
        put("factors.1.half_width", 5.0),
        None,
        "not percent",
        ("ETH/USD",),
    ),
    Case(
        "stable_price_in_cents",
        "market",
        put("factors.1.stable_price", 300000.0),
        None,
        "ten times",
        ("ETH/USD",),
    ),
    Case(
        "forward_is_negative",
        "market",
        put("instruments.0.forward", -1.0),
        None,
        "price > 0",
        ("BTC-PERP",),
    ),
    Case(
        "forward_is_missing",
        "market",
        drop("instruments.0.forward"),
        None,
        "price > 0",
        ("BTC-PERP",),
    ),
    Case(
        "forward_in_another_unit",
        "market",
        put("instruments.0.forward", 60010000.0),
        None,
        "100 times",
        ("BTC-PERP",),
    ),
    Case(
        "option_without_volatility",
        "market",
        drop(f"{OPTION}.iv"),
        None,
        "volatility",
        ("ETH-3500-C",),
    ),
    Case(
        "option_is_expired",
        "market",
        put(f"{OPTION}.expiry", "2025-12-26T08:00:00Z"),
        MarketInvalid,
        "after the market's own stamp",
        ("ETH-3500-C",),
    ),
    Case(
        "expiry_is_no_stamp",
        "market",
        put(f"{OPTION}.expiry", "soon"),
        MarketInvalid,
        "expiry",
        ("ETH-3500-C",),
    ),
    Case(
        "volatility_in_percent",
        "market",
        put(f"{OPTION}.iv", 60.0),
        MarketInvalid,
        "percent",
        ("ETH-3500-C",),
    ),
    Case(
        "volatility_is_negative",
        "market",
        put(f"{OPTION}.iv", -0.6),
        MarketInvalid,
        "iv",
        ("ETH-3500-C",),
    ),
    Case(
        "strike_is_negative",
        "market",
        put(f"{OPTION}.strike", -3500.0),
        MarketInvalid,
        "strike",
        ("ETH-3500-C",),
    ),
    Case(
        "strike_is_missing",
        "market",
        drop(f"{OPTION}.strike"),
        MarketInvalid,
        "strike",
        ("ETH-3500-C",),
    ),
    Case(
        "inverse_settles_in_quote",
        "market",
        put(f"{FUTURE}.settle", "USD"),
        MarketInvalid,
        "base of an inverse",
        ("ETH-USD-INV",),
    ),
    Case(
        "linear_settles_elsewhere",
        "market",
        put("instruments.0.settle", "ETH"),
        MarketInvalid,
        "quote of a linear",
        ("BTC-PERP",),
    ),
    Case(
        "quanto_without_rate",
        "market",
        drop("instruments.3.quanto_rate"),
        MarketInvalid,
        "quanto_rate",
        ("BTC-QUANTO",),
    ),
    Case(
        "contract_of_no_size",
        "market",
        put(f"{FUTURE}.contract_size", 0.0),
        MarketInvalid,
        "contract_size",
        ("ETH-USD-INV",),
    ),
    Case(
        "funding_in_percent",
        "market",
        put("instruments.0.funding_rate", 3.0),
        MarketInvalid,
        "not percent",
        ("BTC-PERP",),
    ),
    Case(
        "kind_is_unknown",
        "market",
        put("instruments.0.kind", "perp"),
        MarketInvalid,
        "perpetual",
        (),
    ),
    Case(
        "two_factors_of_one_name",
        "market",
        put("factors.+", MARKET["factors"][0]),
        MarketInvalid,
        "once",
    ),
    Case(
        "two_assets_of_one_name",
        "market",
        put("assets.+", MARKET["assets"][2]),
        MarketInvalid,
        "once",
    ),
    Case(
        "two_instruments_of_one_name",
        "market",
        put("instruments.+", MARKET["instruments"][0]),
        MarketInvalid,
        "once",
    ),
    Case(
        "instrument_named_like_an_asset",
        "market",
        put("instruments.0.instrument", "BTC"),
        MarketInvalid,
        "differ from every asset",
    ),
    Case(
        "asset_of_an_unknown_factor",
        "market",
        put("assets.3.loads", "ETH/USDD"),
        MarketInvalid,
        "did you mean ETH/USD",
    ),
    Case("asset_without_a_factor", "market", put("assets.3.loads", ""), MarketInvalid, "no price"),
    Case(
        "power_is_negative",
        "market",
        put("assets.3.loads", "ETH/USD^-1"),
        MarketInvalid,
        "read like",
    ),
    Case("too_many_decimals", "market", put("assets.3.decimals", 77), MarketInvalid, r"0\.\.18"),
    Case(
        "unknown_underlying",
        "market",
        put("instruments.0.underlying", "BTCC"),
        MarketInvalid,
        "did you mean BTC",
    ),
    Case("numeraire_not_listed", "market", put("numeraire", "EUR"), MarketInvalid, "EUR"),
    Case(
        "unknown_column",
        "market",
        put("instruments.0.strke", 1.0),
        InputInvalid,
        "did you mean strike",
    ),
    Case("no_factors_column", "market", drop("factors"), InputInvalid, "factors"),
    Case("at_is_no_stamp", "market", put("at", "yesterday"), InputInvalid, "stamp"),
]

RULEBOOKS = [
    Case(
        "brackets_cross",
        "rulebook",
        swap("up_to = 540e6", "up_to = 100e6"),
        RulebookInvalid,
        "classes.BTC.liquidity.up_to",
    ),
    Case(
        "brackets_end_early",
        "rulebook",
        swap("{ up_to = inf, mm = 0.0", "{ up_to = 1e9, mm = 0.0"),
        RulebookInvalid,
        "classes.fiat.liquidity",
    ),
    Case(
        "range_in_percent",
        "rulebook",
        swap("range = 0.14", "range = 14"),
        RulebookInvalid,
        "classes.BTC.range",
    ),
    Case(
        "range_is_nan",
        "rulebook",
        swap("range = 0.14", "range = nan"),
        RulebookInvalid,
        "classes.BTC.range",
    ),
    Case("adv_is_infinite", "rulebook", swap("adv = 6.8e9", "adv = inf"), RulebookInvalid, "adv"),
    Case(
        "alpha_of_one",
        "rulebook",
        swap("alpha = 0.99", "alpha = 1.0"),
        RulebookInvalid,
        "margin.alpha",
    ),
    Case(
        "im_below_mm",
        "rulebook",
        swap("initial_factor = 1.25", "initial_factor = 0.8"),
        RulebookInvalid,
        "margin.initial_factor",
    ),
    Case(
        "gain_weight_im_above_mm",
        "rulebook",
        swap("mm = 0.5\nim = 0.0", "mm = 0.5\nim = 0.9"),
        RulebookInvalid,
        "gain_tiers",
    ),
    Case(
        "unknown_gain_tier",
        "rulebook",
        swap('gain_tier = "B"', 'gain_tier = "D"'),
        RulebookInvalid,
        "gain_tier",
    ),
    Case("unknown_key", "rulebook", swap("kappa = 0.5", "kapa = 0.5"), RulebookInvalid, "kapa"),
    Case("missing_key", "rulebook", swap("kappa = 0.5", ""), RulebookInvalid, "kappa"),
    Case(
        "number_as_text",
        "rulebook",
        swap("kappa = 0.5", 'kappa = "half"'),
        RulebookInvalid,
        "margin.kappa",
    ),
    Case(
        "correlation_above_one",
        "rulebook",
        swap('"BTC:ETH" = 0.80', '"BTC:ETH" = 1.80'),
        RulebookInvalid,
        "BTC:ETH",
    ),
    Case(
        "pair_out_of_order",
        "rulebook",
        swap('"BTC:ETH" = 0.80', '"ETH:BTC" = 0.80'),
        RulebookInvalid,
        "alphabetical",
    ),
    Case(
        "stamp_without_offset",
        "rulebook",
        swap("effective_from = 2026-01-01T00:00:00Z", "effective_from = 2026-01-01T00:00:00"),
        RulebookInvalid,
        "effective_from",
    ),
    Case(
        "tiers_cross",
        "rulebook",
        swap("up_to_adv = 0.05", "up_to_adv = 0.005"),
        RulebookInvalid,
        "tiers.up_to_adv",
    ),
    Case(
        "event_falls_below_nothing",
        "rulebook",
        RULEBOOK + b'\n[[stress.shocks]]\nname = "x"\nmoves = { BTC = -1.5 }\n',
        RulebookInvalid,
        "moves.BTC",
    ),
    Case(
        "no_unshocked_step",
        "rulebook",
        swap("-0.25, 0.0, 0.25", "-0.25, 0.25"),
        RulebookInvalid,
        "unshocked",
    ),
    Case("not_toml", "rulebook", b"[margin\nalpha = 1", InputInvalid, "TOML"),
    Case("rulebook_not_utf8", "rulebook", b"name = '\xff'", InputInvalid, "UTF-8"),
]

CASES = BOOKS + MARKETS + RULEBOOKS
