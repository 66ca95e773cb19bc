"""Small oracles for tests: rows of quotes in words, and the same rows for the twin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from crossmargin.adapters.files import load_rulebook
from crossmargin.domain.oracle_rules import Oracle
from crossmargin.frames.market import Status
from crossmargin.oracle.fuse import FusedFrame, fuse
from crossmargin.oracle.quotes import QuoteFrame
from crossmargin.oracle.state import OracleState, Universe, started, universe_of
from crossmargin.reference.oracle import Quote

SECOND = 1_000_000_000
NOON = 1_760_097_600 * SECOND  # 2025-10-10T12:00Z
RULES = load_rulebook("prime-24h").oracle
CLASSES = {"BTC/USD": "BTC", "USDe/USD": "synthetic", "USDC/USD": "stablecoin"}
SOURCES = ("a", "b", "c", "d")


def rules(**changed: object) -> Oracle:
    """Return the shipped rules with some values of `oracle.sources` changed."""
    assert RULES.sources is not None
    return msgspec.structs.replace(RULES, sources=msgspec.structs.replace(RULES.sources, **changed))


def frame(universe: Universe, quotes: Sequence[Quote]) -> QuoteFrame:
    """Return quotes in words as columns."""
    nan = float("nan")

    def number(values: Iterable[float | None]) -> np.ndarray:
        return np.array([nan if v is None else v for v in values], np.float64)

    return QuoteFrame(
        np.array([universe.factors.index(q.factor) for q in quotes], np.int64),
        np.array([universe.sources.index(q.source) for q in quotes], np.int64),
        number(q.price for q in quotes), np.array([q.stamp_ns for q in quotes], np.int64),
        np.array([q.sequence for q in quotes], np.int64), number(q.volume for q in quotes),
        number(q.confidence for q in quotes),
    )  # fmt: skip


@dataclass
class Bench:
    """One oracle and its clock. `say` fuses what all sources say now, in the order of SOURCES."""

    oracle: Oracle = RULES
    classes: dict[str, str] = field(default_factory=lambda: dict(CLASSES))
    sources: Sequence[str] = SOURCES
    at_ns: int = NOON

    def __post_init__(self) -> None:
        self.state: OracleState = started(universe_of(self.classes, self.sources, self.oracle))
        self.sequence = 0
        self.fused: FusedFrame

    @property
    def universe(self) -> Universe:
        return self.state.universe

    def say(
        self, factor: str, prices: Sequence[float | None], wait_s: float = 0.0,
        volumes: Sequence[float | None] | None = None, age_s: float = 0.0,
    ) -> FusedFrame:  # fmt: skip
        """Let every source with a price speak `wait_s` later; return the prices of that moment."""
        self.at_ns += int(wait_s * SECOND)
        self.sequence += 1
        volumes = volumes or [None] * len(prices)
        stamp = self.at_ns - int(age_s * SECOND)
        quotes = [
            Quote(factor, source, price, stamp, self.sequence, volume)
            for source, price, volume in zip(self.sources, prices, volumes, strict=False)
            if price is not None
        ]
        return self.hear(quotes)

    def hear(self, quotes: Sequence[Quote]) -> FusedFrame:
        """Fuse quotes as they are, now."""
        self.state, self.fused = fuse(self.state, frame(self.universe, quotes), self.at_ns)
        return self.fused

    def settle(self, factor: str, prices: Sequence[float | None], **more: object) -> FusedFrame:
        """Let the sources stand by their prices for 400 s: confirmed, and a window has passed."""
        for _ in range(41):
            self.say(factor, prices, 10.0, **more)  # type: ignore[arg-type]
        return self.fused

    def status(self, factor: str) -> str:
        return Status(int(self.fused.status[self.universe.factors.index(factor)])).name

    def level(self, factor: str) -> float:
        return float(self.fused.level[self.universe.factors.index(factor)])
