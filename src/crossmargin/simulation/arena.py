"""A small venue for the simulator: what is listed, lent and printed, all from a seed.

In     a rulebook and a random generator.
Out    listing rows, a rulebook with lending terms, prints that walk and jump.
Owns   which assets and contracts there are: every decimals, payoff and style the ledger knows.
Never  reads a clock or a file; the same seed gives the same prints.
Signs  prices > 0; rates a year >= 0.
Spec   docs/spec/10-ledger.md
"""

from __future__ import annotations

import array
import math
import random
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from crossmargin.domain.book import Mark, Print, Rows, Scenarios
from crossmargin.domain.lending import LendingTerms
from crossmargin.domain.rulebook import AssetRules, Bracket, Rulebook
from crossmargin.engine.commands import AcceptPrices, ListMarket

SECOND_NS = 10**9
DAY_NS = 86_400 * SECOND_NS
START = datetime(2026, 2, 2, 8, 0, tzinfo=UTC)
START_NS = int(START.timestamp()) * SECOND_NS

# factor: kind, class, level, relative step a minute
FACTORS = {
    "USDC/USD": ("peg", "stablecoin", 1.0, 0.0002),
    "BTC/USD": ("spot", "BTC", 60_000.0, 0.002),
    "ETH/USD": ("spot", "ETH", 3_000.0, 0.003),
    "ALT/USD": ("spot", "altcoin", 2.5, 0.006),
    "stETH/ETH": ("basis", "lst_basis", 0.998, 0.0003),
}
# asset: class, decimals, loads, scale
ASSETS = {
    "USD": ("fiat", 2, "", None),
    "USDC": ("stablecoin", 6, "USDC/USD", None),
    "BTC": ("blue_chip", 8, "BTC/USD", None),
    "ETH": ("blue_chip", 18, "ETH/USD", None),
    "stETH": ("yield_bearing", 18, "ETH/USD*stETH/ETH", 1.1),
    "ALT": ("altcoin", 0, "ALT/USD", None),
}
# asset: cap, base, slope_low, kink, slope_high, utilisation_max
LENDING = {
    "USD": (5e6, 0.01, 0.04, 0.8, 0.6, 0.95),
    "USDC": (2e6, 0.02, 0.05, 0.8, 0.75, 0.9),
    "ETH": (60.0, 0.0, 0.03, 0.75, 1.0, 0.85),
    "BTC": (20.0, 0.005, 0.02, 0.5, 0.5, 1.0),
}
TIERS = ("A", "B", "C")
# Each option's volatility now, a year.
IV = 0.6


class Terms(NamedTuple):
    """One contract: kind, payoff, style, underlying, quote, settle, size, days, strike share."""

    kind: str
    payoff: str
    style: str | None
    underlying: str
    quote: str
    settle: str | None = None
    size: float | None = None
    days: float = 0.0
    strike: float = 0.0
    quanto: float | None = None


CONTRACTS = {
    "BTC-PERP": Terms("perpetual", "linear", None, "BTC", "USDC", size=0.1),
    "ALT-PERP": Terms("perpetual", "linear", None, "ALT", "USD"),
    "ETH-INV": Terms("perpetual", "inverse", None, "ETH", "USD", size=10.0),
    "BTC-QUANTO": Terms("perpetual", "quanto", None, "BTC", "USD", "ALT", quanto=0.002),
    "ETH-SOON": Terms("future", "linear", None, "ETH", "USDC", days=0.004),
    "BTC-INV-SOON": Terms("future", "inverse", None, "BTC", "USD", size=100.0, days=0.006),
    "ETH-CALL": Terms("call", "linear", "premium", "ETH", "USDC", days=30.0, strike=1.05),
    "BTC-PUT-INV": Terms("put", "inverse", "premium", "BTC", "USD", None, 0.1, 9.0, 0.95),
    "ETH-PUT-SOON": Terms("put", "linear", "premium", "ETH", "USDC", days=0.005, strike=1.0),
    "BTC-CALL-F": Terms("call", "linear", "futures", "BTC", "USDC", days=20.0, strike=1.0),
    "ETH/USDC": Terms("spot", "linear", None, "ETH", "USDC"),
    "BTC/USDC": Terms("spot", "linear", None, "BTC", "USDC"),
    "ALT/USD": Terms("spot", "linear", None, "ALT", "USD"),
    "stETH/ETH": Terms("spot", "linear", None, "stETH", "ETH"),
}  # fmt: skip


def with_lending(rulebook: Rulebook) -> Rulebook:
    """Return the rulebook, in force and with terms for what is lent here."""
    lending = {name: LendingTerms(*terms) for name, terms in LENDING.items()}
    # What the venue holds in all counts, so that a total nobody adopted is noticed.
    steps = (Bracket(1e6, 0.0, 0.01), Bracket(1e8, 0.02, 0.1), Bracket(math.inf, 0.1, 0.5))
    assets = {name: AssetRules(venue_liquidity=steps) for name in ("BTC", "ETH", "USDC", "ALT")}
    since = START - timedelta(days=1)
    return msgspec.structs.replace(
        rulebook, lending=lending, assets={**rulebook.assets, **assets}, effective_from=since
    )


def bare_price(levels: dict[str, float], asset: str) -> float:
    """Return what a coin costs at these levels, numeraire."""
    _, _, loads, scale = ASSETS[asset]
    value = scale or 1.0
    for factor in loads.split("*"):
        value *= levels[factor] if factor else 1.0
    return value


class Arena:
    """Levels that walk and jump, and the commands that tell the engine of them."""

    def __init__(self, rng: random.Random, rulebook: Rulebook, n_contracts: int = 8) -> None:
        """Draw which contracts there are; a few pairs and one of each kind that must be there."""
        self.rng = rng
        self.rulebook = with_lending(rulebook)
        self.levels = {name: row[2] * math.exp(rng.gauss(0, 0.05)) for name, row in FACTORS.items()}
        names = list(CONTRACTS)
        drawn = set(rng.sample(names, min(n_contracts, len(names)))) | {"BTC-PERP", "ETH/USDC"}
        self.names = [name for name in names if name in drawn]
        self.strikes = {
            name: round(self.price(t.underlying) / self.price(t.quote) * t.strike, 1)
            for name, t in CONTRACTS.items()
            if t.strike
        }
        self.expiry = {
            name: START_NS + int(t.days * DAY_NS) // SECOND_NS * SECOND_NS
            for name, t in CONTRACTS.items()
            if t.days
        }

    # --- what is listed ---------------------------------------------------------------------------

    def listing(self) -> ListMarket:
        """Return the market as docs/formats.md writes it."""
        factors: Rows = tuple(
            {"factor": name, "kind": kind, "class": risk_class, "level": level}
            for name, (kind, risk_class, level, _) in FACTORS.items()
        )
        assets: Rows = tuple(
            {"asset": name, "class": kind, "decimals": decimals, "loads": loads, "scale": scale}
            for name, (kind, decimals, loads, scale) in ASSETS.items()
        )
        return ListMarket(
            numeraire="USD", source="simulated", factors=factors, assets=assets,
            instruments=tuple(self._row(name) for name in self.names),
        )  # fmt: skip

    def _row(self, name: str) -> dict[str, str | float | None]:
        t = CONTRACTS[name]
        expiry = self.expiry.get(name)
        stamp = None
        if expiry is not None:
            stamp = datetime.fromtimestamp(expiry // SECOND_NS, UTC).isoformat()
        return {
            "instrument": name, "kind": t.kind, "payoff": t.payoff, "style": t.style,
            "underlying": t.underlying, "quote": t.quote, "settle": t.settle,
            "contract_size": t.size, "expiry": stamp, "strike": self.strikes.get(name),
            "quanto_rate": t.quanto, "funding_cap": 0.0075 if t.kind == "perpetual" else None,
            "iv": IV if t.strike else None,
            "forward": self.price(t.underlying) / self.price(t.quote),
        }  # fmt: skip

    def scenarios(self, rows: int) -> Scenarios:
        """Return joint rows of correlated days."""
        names = tuple(FACTORS)
        moves, vols = [], []
        for _ in range(rows):
            common = self.rng.gauss(0.0, 1.0) * self.rng.choice((1.0, 1.0, 3.0))
            for kind, _, _, step in FACTORS.values():
                tied = common if kind == "spot" else 0.0
                moves.append(math.expm1(12.0 * step * (0.8 * tied + 0.6 * self.rng.gauss(0, 1))))
                vols.append(max(-0.5, -0.05 * common) if kind == "spot" else 0.0)
        return Scenarios(
            names, tuple(f"day {i}" for i in range(rows)), doubles(moves), doubles(vols),
            doubles([1.0 / rows] * rows), bytes(rows * len(names)), rows,
        )  # fmt: skip

    # --- prices -----------------------------------------------------------------------------------

    def price(self, asset: str) -> float:
        """Return what a coin costs, numeraire."""
        return bare_price(self.levels, asset)

    def mark(self, name: str) -> float:
        """Return a contract's forward now, quote units."""
        t = CONTRACTS[name]
        return self.price(t.underlying) / self.price(t.quote)

    def walk(self, seconds: float) -> bool:
        """Move every level by what that much time does to it, and now and then by a jump.

        Returns whether it jumped.
        """
        root = math.sqrt(min(max(seconds, 0.0), 3_600.0) / 60.0)
        crash = self.rng.random() < 0.03
        size = self.rng.choice((-1, 1)) * self.rng.uniform(0.1, 0.5) if crash else 0.0
        for name, (kind, _, start, step) in FACTORS.items():
            move = self.rng.gauss(0.0, step * root)
            move += size * self.rng.uniform(0.6, 1.2) if kind == "spot" else 0.0
            level = self.levels[name] * math.exp(max(-1.2, min(1.2, move)))
            self.levels[name] = min(max(level, start / 8.0), start * 8.0)
        return crash

    def prints(self, now_ns: int, status: str = "live") -> AcceptPrices:
        """Return a print of every level and mark; one of them may be of another status."""
        odd = self.rng.choice((*FACTORS, *self.names)) if status != "live" else ""
        calm = self.rng.random() < 0.6
        prints = {
            name: Print(
                level, 0.0 if calm else self.rng.uniform(0.0, 0.004),
                None if calm else level * self.rng.uniform(0.98, 1.02),
                status if name == odd else "live",
            )
            for name, level in self.levels.items()
        }  # fmt: skip
        marks = {}
        for name in self.names:
            t = CONTRACTS[name]
            if t.kind == "spot":
                continue
            marks[name] = Mark(
                self.mark(name) * (1.0 + self.rng.gauss(0.0, 0.0005)),
                IV * self.rng.uniform(0.8, 1.3) if t.strike else None,
                self.rng.choice((None, 0.03)) if t.style == "premium" else None,
                status if name == odd else "live",
                funding_rate=self.rng.choice((None, 1e-4, -1e-4))
                if t.kind == "perpetual" else None,
            )  # fmt: skip
        return AcceptPrices(stamped_ns=now_ns, prints=prints, marks=marks)

    def part_of(self, told: AcceptPrices) -> AcceptPrices:
        """Return prints without marks, marks without prints, or all of both."""
        draw = self.rng.random()
        if draw < 0.12:
            return msgspec.structs.replace(told, marks={})
        return msgspec.structs.replace(told, prints={}) if draw < 0.24 else told


def doubles(values: list[float]) -> bytes:
    """Return numbers packed as the journal keeps them."""

    return array.array("d", values).tobytes()
