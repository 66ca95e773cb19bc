"""A small venue whose numbers can be worked out by hand.

Every coin's market part is 10 % at MM and 12.5 % at IM (10 % x initial factor 1.25), in haircut,
surcharge and position alike; liquidity parts, fees, add-ons and price uncertainty are nil. So under
`cross_sum` a position of notional n needs 0.10 n at MM and 0.125 n at IM, a coin worth v counts
0.875 v at IM, and a debt of v is charged 0.125 v on top. Dollars and USDC move by nothing.
"""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec
import numpy as np

from crossmargin.domain.book import Mark, OrderState, Print, Scenarios
from crossmargin.domain.lending import LendingTerms
from crossmargin.domain.rulebook import Rulebook
from crossmargin.engine import commands as c
from crossmargin.engine.commands import Side
from crossmargin.engine.replies import Accepted, Rejected, Reply
from crossmargin.engine.runtime import Engine
from crossmargin.ledger.events import PoolTerms
from engine.memory import HandClock, MemoryStore

SECOND = 1_000_000_000
T0 = 1_760_000_000 * SECOND  # 2025-10-09T08:53:20Z
SOON = T0 + 3_600 * SECOND  # when the dated contracts expire
CT = 10**18  # one contract
USD, USDC, BTC, ETH, TOK, WEI = 10**2, 10**6, 10**8, 10**18, 1, 10**18  # units of one coin
MONEY = 10**6  # draw limits: 10^-6 numeraire

FACTORS = {
    "USDC/USD": ("peg", "fiat", 1.0),
    "BTC/USD": ("spot", "coin", 50_000.0),
    "ETH/USD": ("spot", "coin", 2_000.0),
    "TOK/USD": ("spot", "coin", 1.0),
}
ASSETS = {
    "USD": ("fiat", 2, ""),
    "USDC": ("stablecoin", 6, "USDC/USD"),
    "BTC": ("blue_chip", 8, "BTC/USD"),
    "ETH": ("blue_chip", 18, "ETH/USD"),
    "TOK": ("altcoin", 0, "TOK/USD"),
    "WEI": ("altcoin", 18, "TOK/USD"),
}
EXPIRY = datetime.fromtimestamp(SOON // SECOND, UTC).isoformat()
INSTRUMENTS: tuple[dict[str, Any], ...] = (
    {"instrument": "ETH-PERP", "kind": "perpetual", "underlying": "ETH", "quote": "USD"},
    {"instrument": "BTC-PERP", "kind": "perpetual", "underlying": "BTC", "quote": "USDC",
     "contract_size": 0.001},
    {"instrument": "BTC-INV", "kind": "perpetual", "payoff": "inverse", "underlying": "BTC",
     "quote": "USD", "contract_size": 100.0},
    {"instrument": "ETH-QUANTO", "kind": "perpetual", "payoff": "quanto", "underlying": "ETH",
     "quote": "USD", "settle": "BTC", "quanto_rate": 1e-5},
    {"instrument": "ETH-FUT", "kind": "future", "underlying": "ETH", "quote": "USDC",
     "expiry": EXPIRY},
    {"instrument": "BTC-INV-FUT", "kind": "future", "payoff": "inverse", "underlying": "BTC",
     "quote": "USD", "contract_size": 100.0, "expiry": EXPIRY},
    {"instrument": "ETH-CALL", "kind": "call", "underlying": "ETH", "quote": "USDC",
     "strike": 2_000.0, "expiry": EXPIRY},
    {"instrument": "ETH-PUT", "kind": "put", "underlying": "ETH", "quote": "USDC",
     "strike": 2_000.0, "expiry": EXPIRY},
    {"instrument": "ETH-CALL-F", "kind": "call", "style": "futures", "underlying": "ETH",
     "quote": "USDC", "strike": 2_000.0, "expiry": EXPIRY},
    {"instrument": "BTC-CALL-INV", "kind": "call", "payoff": "inverse", "underlying": "BTC",
     "quote": "USD", "contract_size": 0.1, "strike": 50_000.0, "expiry": EXPIRY},
    {"instrument": "ETH/USD", "kind": "spot", "underlying": "ETH", "quote": "USD"},
    {"instrument": "TOK/USD", "kind": "spot", "underlying": "TOK", "quote": "USD"},
    {"instrument": "BTC/USDC", "kind": "spot", "underlying": "BTC", "quote": "USDC",
     "contract_size": 0.5},
    {"instrument": "WEI/TOK", "kind": "spot", "underlying": "WEI", "quote": "TOK"},
    {"instrument": "TOK-WEI", "kind": "perpetual", "underlying": "TOK", "quote": "WEI"},
)  # fmt: skip
FORWARDS = {"ETH": 2_000.0, "BTC": 50_000.0, "TOK": 1.0}
# cap, base, slope_low, kink, slope_high, utilisation_max
LENDING = {
    "USD": LendingTerms(1_000_000.0, 0.01, 0.04, 0.8, 0.60, 0.95),
    "USDC": LendingTerms(10_000.0, 0.0, 0.10, 0.5, 1.0, 0.90),
    "ETH": LendingTerms(100.0, 0.0, 0.02, 0.5, 0.5, 0.80),
}


def _class(reach: float) -> dict[str, Any]:
    return {
        "range": reach, "liquidity": [{"up_to": float("inf"), "mm": 0.0, "im": 0.0}],
        "surcharge_liquidity_mm": 0.0, "surcharge_liquidity_im": 0.0, "basis_annual": 0.0,
        "vol_floor": 0.5, "gain_tier": "A", "adv": 1e15, "half_spread": 0.0, "sigma_daily": 0.0,
    }  # fmt: skip


def rules_table() -> dict[str, Any]:
    """The rulebook of the venue, as its TOML would read."""
    return {
        "name": "by-hand", "version": "1", "effective_from": "2025-01-01T00:00:00Z",
        "numeraire": "USD", "source": "tests",
        "margin": {
            "alpha": 0.99, "mpor_hours": 24.0, "initial_factor": 1.25, "kappa": 0.0,
            "stress_weight": 0.0, "cross_floor": 0.0, "hedged_fraction": 0.0,
            "short_option_minimum_mm": 0.0, "short_option_minimum_im": 0.0,
            "isolated_short_option_mm": 0.075, "isolated_short_option_im": 0.15,
            "isolated_short_option_im_floor": 0.10, "market_haircut_max": 0.95, "taker_fee": 0.0,
            "penalty": 0.0, "impact_scale": 0.0, "impact_exponent": 0.5, "basis_perpetual": 0.0,
            "vega_offset": 0.0, "vega_weight": 0.0, "wrong_way": False,
        },
        "classes": {"fiat": _class(0.0), "coin": _class(0.10)},
        "gain_tiers": {"A": {"mm": 1.0, "im": 1.0}, "B": {"mm": 1.0, "im": 1.0}},
        "tiers": [{"up_to_adv": float("inf"), "multiplier": 1.0}],
        "correlation": {"default": 1.0, "same_factor": 1.0, "pairs": {}},
        "grid": {"steps": [-1.0, 0.0, 1.0], "tails": [], "tail_weight": 0.0, "vol_up": 0.0,
                 "vol_down": 0.0, "term_days": 30.0, "term_short": 0.0, "term_long": 0.0,
                 "decay_hours": 0.0},
        "joint": {"rows": 100, "ewma": 0.9, "clip_low": 0.5, "clip_high": 2.0, "sigma_floor": 0.5,
                  "outlier": 0.2, "neighbours": 0.1, "vol_fall": 0.0, "vol_rise": 0.0},
        "stress": {"mirror_cap": 0.0, "class_percentile": 75.0, "stablecoin_level": 1.0,
                   "events": [], "shocks": []},
        "oracle": {"stale_s": 60.0, "half_width_max": 0.05, "price_uncertainty": False},
        "liquidation": {"target_health": 1.1, "dust": 0.0, "bonus": 0.0},
    }  # fmt: skip


def rulebook(**sections: Any) -> Rulebook:
    """The venue's rules, with top-level entries replaced."""
    rules = msgspec.convert({**rules_table(), **sections}, Rulebook)
    return msgspec.structs.replace(rules, lending=sections.get("lending", LENDING))


def listing(**changed: Any) -> c.ListMarket:
    """The command that lists the venue's market, with fields replaced."""
    tables: dict[str, Any] = {
        "factors": tuple(
            {"factor": name, "kind": kind, "class": risk_class, "level": level}
            for name, (kind, risk_class, level) in FACTORS.items()
        ),
        "assets": tuple(
            {"asset": name, "class": asset_class, "decimals": float(decimals), "loads": loads}
            for name, (asset_class, decimals, loads) in ASSETS.items()
        ),
        "instruments": tuple(_listed(row) for row in INSTRUMENTS),
    }
    return c.ListMarket(**{"numeraire": "USD", "source": "by hand", **tables, **changed})


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    more = {} if row["kind"] == "spot" else {"forward": FORWARDS[row["underlying"]]}
    return {**row, **more, **({"iv": 0.5} if row["kind"] in ("call", "put") else {})}


def prices(stamped_ns: int = T0, **levels: float) -> c.AcceptPrices:
    """Prints of every factor and contract; BTC=60_000.0 moves that coin and its contracts."""
    level = {name: levels.get(name.split("/")[0], row[2]) for name, row in FACTORS.items()}
    forwards = {coin: level[f"{coin}/USD"] for coin in FORWARDS}
    marks = {
        row["instrument"]: Mark(
            forwards[row["underlying"]], 0.5 if row["kind"] in ("call", "put") else None
        )
        for row in INSTRUMENTS
        if row["kind"] != "spot"
    }
    return c.AcceptPrices(
        stamped_ns=stamped_ns, prints={n: Print(x) for n, x in level.items()}, marks=marks
    )


class Venue:
    """An engine over a store in memory, spoken to in commands without keys and stamps."""

    def __init__(self, store: MemoryStore | None = None, now_ns: int = T0) -> None:
        self.store = store or MemoryStore()
        self.clock = HandClock(now_ns)
        self.engine = Engine.open(self.store, self.clock)
        self.n_keys = self.engine.seq

    @property
    def book(self) -> Any:
        return self.engine.book

    def stamped(self, command: Any) -> Any:
        """The command with a fresh key and the time of now, where it brings none."""
        self.n_keys += 1
        key = command.key or f"k{self.n_keys}"
        issued = command.issued_ns or self.engine.now()
        return msgspec.structs.replace(command, key=key, issued_ns=issued)

    def ask(self, *commands: Any) -> list[Reply]:
        """What the engine answers."""
        return self.engine.submit([self.stamped(command) for command in commands])

    def do(self, *commands: Any) -> None:
        """Commands that must be accepted, one after the other."""
        for command in commands:
            [reply] = self.ask(command)
            assert isinstance(reply, Accepted), (command, reply)

    def refused(self, command: Any) -> Rejected:
        """The refusal of a command that must be refused and leave no trace."""
        command = self.stamped(command)
        before = (self.engine.state_hash(), self.engine.chain, len(self.store.records))
        [reply] = self.engine.submit([command])
        assert isinstance(reply, Rejected), (command, reply)
        assert before == (self.engine.state_hash(), self.engine.chain, len(self.store.records))
        assert self.book.used(command.key) is None or reply.reason == "key_reused"
        return reply

    def balance(self, account: str, asset: str, pool: str = "shared") -> int:
        return int(self.book.balance(account, pool, asset))

    def position(self, account: str, name: str, pool: str = "shared") -> tuple[int, int] | None:
        """(contracts, cost) of a position, None where there is none."""
        held = self.book.find(account).pools[pool].positions.get(name)
        return None if held is None else (held.contracts, held.cost)

    def wait(self, seconds: float) -> None:
        self.clock.now_ns += round(seconds * SECOND)

    def price(self, **levels: float) -> None:
        """New prints, stamped now."""
        self.do(prices(self.engine.now(), **levels))


@cache
def _opened() -> Venue:
    venue = Venue()
    venue.do(listing(), c.AdoptRulebook(rules=rulebook().packed()), prices())
    return venue


def venue() -> Venue:
    """A venue that is listed, ruled and priced at T0, without accounts."""
    made = Venue(MemoryStore(_opened().store.records))
    # A market is derived from the head: the same head may share what was compiled for it.
    made.engine.book.head.listing = _opened().engine.book.head.listing
    made.engine._settings = copy.copy(_opened().engine._settings)
    return made


def account(
    name: str, *buckets: PoolTerms, mirror: bool = False, method: str = "cross_sum"
) -> c.OpenAccount:
    """Open an account."""
    return c.OpenAccount(account=name, pools=(PoolTerms("shared", method), *buckets), mirror=mirror)


def bucket(name: str, limit: int | None, method: str = "cross_sum") -> PoolTerms:
    """A bucket; the limit in whole dollars."""
    return PoolTerms(name, method, None if limit is None else limit * MONEY)


def scenarios(move: float, vol: float) -> c.AdoptScenarios:
    """Two joint rows in which everything moves alike."""
    k = len(FACTORS)
    rows = Scenarios(
        tuple(FACTORS), ("one", "two"), np.full(2 * k, move).tobytes(),
        np.full(2 * k, vol).tobytes(), np.full(2, 0.5).tobytes(), bytes(2 * k), 2,
    )  # fmt: skip
    return c.AdoptScenarios(scenarios=rows)


def holding(
    name: str, balances: dict[str, int] | None = None,
    positions: dict[str, tuple[int, int]] | None = None, pool: str = "shared", **more: Any,
) -> c.ImportAccount:  # fmt: skip
    """Opening holdings of an account that is open already."""
    return c.ImportAccount(
        account=name, pool=pool, balances=balances or {}, positions=positions or {}, **more
    )


def trade(
    instrument: str, contracts: int, price: str, buyer: str | Side = "@outside",
    seller: str | Side = "@outside",
) -> c.Fill:  # fmt: skip
    """A fill between two shared pools, or sides written out."""
    sides = [Side(side) if isinstance(side, str) else side for side in (buyer, seller)]
    return c.Fill(
        instrument=instrument, contracts=contracts, price=price, buyer=sides[0], seller=sides[1]
    )


def order(
    name: str, number: str, contracts: int, price: str = "2000", instrument: str = "ETH-PERP",
    pool: str = "shared", reduce_only: bool = False,
) -> c.PlaceOrder:  # fmt: skip
    return c.PlaceOrder(
        account=name, order=number, instrument=instrument, contracts=contracts, limit_price=price,
        pool=pool, reduce_only=reduce_only,
    )  # fmt: skip


__all__ = [
    "BTC", "CT", "ETH", "FACTORS", "INSTRUMENTS", "LENDING", "MONEY", "SECOND", "SOON", "T0", "TOK",
    "USD", "USDC", "WEI", "OrderState", "Side", "Venue", "account", "bucket", "holding", "listing",
    "order", "prices", "rulebook", "rules_table", "trade", "venue",
]  # fmt: skip
