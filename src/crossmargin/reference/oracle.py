"""The oracle in plain words: one factor at a time, one source at a time, from spec 8.

In     quotes in the order in which they arrived; rules; the moment.
Out    per factor the price, its status, half-width and slow price, or None where there is none.
Owns   the second opinion on `oracle.fuse`; weights are exact fractions.
Never  shares code with what it checks.
Signs  prices > 0; None is "not known".
Spec   docs/spec/08-oracle.md, 8.4 to 8.14
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from crossmargin.domain.oracle_rules import Oracle, Sources
from crossmargin.reference.plain import DEGRADED, HALTED, LIVE, MISSING

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
YEAR = 365 * DAY
PRICE_LOW, PRICE_END, VOLUME_END = 1e-18, 1e15, 1e18
EDGE = 1e-12


@dataclass(frozen=True)
class Quote:
    factor: str
    source: str
    price: float
    stamp_ns: int
    sequence: int
    volume: float | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class Fused:
    level: float | None
    status: int
    half_width: float
    stable: float | None
    stamp_ns: int
    agreed: float | None
    kept: tuple[str, ...]


@dataclass
class Memory:
    """What is remembered of one factor."""

    last: dict[str, Quote] = field(default_factory=dict)
    level: float | None = None
    half_width: float = 0.0
    stable: float | None = None
    stamp_ns: int = 0
    passed: list[tuple[int, float]] = field(default_factory=list)
    passed_ns: int | None = None
    since_ns: int = 0
    side: str = ""
    side_ns: int = 0
    rates: list[tuple[int, float]] = field(default_factory=list)


class SlowOracle:
    """All factors; `fuse` is called with moments that never run back."""

    def __init__(self, classes: Mapping[str, str], sources: Sequence[str], rules: Oracle) -> None:
        assert rules.sources is not None
        self.rules, self.says = rules, rules.sources
        self.classes, self.sources = dict(classes), list(sources)
        self.factors = {name: Memory() for name in classes}
        self.at_ns = 0

    def fuse(self, quotes: Sequence[Quote], at_ns: int) -> tuple[dict[str, Fused], list[bool]]:
        """Return every factor's price, and of each quote whether it was taken."""
        taken = [self._hear(quote, at_ns) for quote in quotes]
        prices = {name: self._price(name, at_ns) for name in self.factors}
        self.at_ns = at_ns
        return prices, taken

    def _hear(self, quote: Quote, at_ns: int) -> bool:
        """8.4: finite, positive, in range, sound, not ahead, not stale, in sequence."""
        if not math.isfinite(quote.price) or not PRICE_LOW <= quote.price < PRICE_END:
            return False
        if quote.volume is not None and not 0.0 <= quote.volume <= VOLUME_END:
            return False
        if quote.confidence is not None and not 0.0 <= quote.confidence <= 1.0:
            return False
        if quote.stamp_ns > at_ns + int(self.says.future_s * SECOND):
            return False
        if self._stale(quote.stamp_ns, at_ns):
            return False
        last = self.factors[quote.factor].last
        before = last.get(quote.source)
        if before is not None and (
            quote.sequence <= before.sequence or quote.stamp_ns < before.stamp_ns
        ):
            return False
        if quote.sequence < 0:
            return False
        last[quote.source] = quote
        return True

    def _stale(self, stamp_ns: int, at_ns: int) -> bool:
        return at_ns - stamp_ns > int(self.rules.stale_s * SECOND)

    def _price(self, name: str, at_ns: int) -> Fused:
        memory, says = self.factors[name], self.says
        limits = says.limits_of(self.classes[name])
        groups, redemption = self._votes(memory, at_ns)
        reference = median([vote.price for vote in groups.values()])
        kept = {
            group: vote
            for group, vote in groups.items()
            if reference is not None
            and abs(vote.price - reference) <= (limits.deviation + EDGE) * reference
        }
        agreed, width, stamp = None, 0.0, 0
        if len(kept) >= says.quorum_degraded:
            agreed = weighted_median(list(kept.values()))
            width = self._half_width(list(kept.values()), agreed)
            stamp = min(quorum_stamp(list(kept.values()), says), at_ns)
        status = LIVE if len(kept) >= says.quorum_live else DEGRADED
        status = status if len(kept) >= says.quorum_degraded else HALTED
        level, told = self._capped(name, agreed, at_ns)
        status = min(status, told, self._breaker(memory, level, limits.breaker, at_ns))
        gap = None if level is None or redemption is None else redemption / level - 1.0
        if gap is not None:
            width = min(max(width, abs(gap)), self.rules.half_width_max)
            if abs(gap) > says.redemption_gap + EDGE:
                status = min(status, DEGRADED)
        passes = level is not None and status > HALTED
        if passes and not self._window_passed(memory, at_ns):
            status = min(status, DEGRADED)
        if passes:
            assert level is not None
            self._pass(memory, level, at_ns)
            memory.half_width, memory.stamp_ns = width, max(stamp, memory.stamp_ns)
        self._read_rate(name, agreed, at_ns)
        if memory.level is None:
            status = MISSING
        return Fused(
            memory.level, status, memory.half_width, memory.stable, memory.stamp_ns, agreed,
            tuple(sorted(kept)),
        )  # fmt: skip

    # --- what the sources say -------------------------------------------------------------------

    def _votes(self, memory: Memory, at_ns: int) -> tuple[dict[str, Quote], float | None]:
        """8.6: one vote a group, and the median redemption value."""
        member = {s: name for name, group in self.says.groups.items() for s in group}
        by_group: dict[str, list[Quote]] = {}
        values = []
        for source, quote in memory.last.items():
            if self._stale(quote.stamp_ns, at_ns):
                continue
            if source in self.says.redeems:
                values.append(quote.price)
            else:
                by_group.setdefault(member.get(source, source), []).append(quote)
        return {name: one_vote(quotes) for name, quotes in by_group.items()}, median(values)

    def _half_width(self, kept: list[Quote], level: float) -> float:
        prices = [vote.price for vote in kept]
        stated = max((vote.confidence or 0.0) for vote in kept)
        wide = max(0.5 * (max(prices) - min(prices)) / level, stated)
        return min(wide, self.rules.half_width_max)

    # --- what the price before says -------------------------------------------------------------

    def _capped(self, name: str, level: float | None, at_ns: int) -> tuple[float | None, int]:
        """8.12: the level under its growth cap, and the best status that allows."""
        cap = self.says.growth.get(name)
        if cap is None or level is None:
            return level, LIVE
        rates = self.factors[name].rates
        window = int(self.says.growth_window_days * DAY)
        old = [rate for rate in rates if rate[0] <= at_ns - window]
        settled = [rate for rate in rates if rate[0] <= at_ns - DAY]
        status = LIVE
        if not old or settled[-1] == old[-1]:
            status = DEGRADED
        else:
            years = (settled[-1][0] - old[-1][0]) / YEAR
            if settled[-1][1] / old[-1][1] - 1.0 > cap * years * (1.0 + EDGE) + EDGE:
                status = HALTED
        if rates:
            stamp, ratio = old[-1] if old else rates[0]
            limit = ratio * (1.0 + cap * ((at_ns - stamp) / YEAR))
            if level > limit * (1.0 + EDGE):
                return limit, min(status, DEGRADED)
        return level, status

    def _breaker(self, memory: Memory, level: float | None, move: float, at_ns: int) -> int:
        """8.10: the best status the last five minutes allow."""
        side = ""
        if level is not None:
            start = at_ns - int(self.says.breaker_window_s * SECOND)
            window = [passed for moment, passed in memory.passed if moment >= start]
            fell = any(level < p * (1.0 - move) * (1.0 - EDGE) for p in window)
            rose = any(level > p * (1.0 + move) * (1.0 + EDGE) for p in window)
            if not window:
                side = "alone"
            elif (memory.side == "fell" and fell) or (memory.side == "rose" and rose):
                side = memory.side
            elif fell or rose:
                side = "fell" if fell else "rose"
        if side != memory.side or self._stale(self.at_ns, at_ns):
            memory.side, memory.side_ns = side, at_ns
        if not side:
            return LIVE
        confirmed = at_ns - memory.side_ns >= int(self.says.confirm_s * SECOND)
        return DEGRADED if confirmed else HALTED

    def _window_passed(self, memory: Memory, at_ns: int) -> bool:
        """8.11: prices have passed for a whole window; sets since when they have."""
        if memory.passed_ns is None or self._stale(memory.passed_ns, at_ns):
            memory.since_ns = at_ns
        return at_ns - memory.since_ns >= int(self.says.breaker_window_s * SECOND)

    def _pass(self, memory: Memory, level: float, at_ns: int) -> None:
        memory.level = level
        memory.passed.append((at_ns, level))
        memory.passed_ns = at_ns
        step = min(at_ns - self.at_ns, int(self.rules.stale_s * SECOND))
        reach = (1.0 + self.says.stable_per_hour) ** (step / (3_600 * SECOND))
        if memory.stable is None:
            memory.stable = level
        elif level > memory.stable:
            memory.stable = min(level, memory.stable * reach)
        else:
            memory.stable = max(level, memory.stable / reach)

    def _read_rate(self, name: str, level: float | None, at_ns: int) -> None:
        rates = self.factors[name].rates
        if name in self.says.growth and level is not None:
            start = at_ns - int((self.says.growth_window_days + 2) * DAY)
            rates[:] = [rate for rate in rates if rate[0] >= start]
            if not rates or at_ns - rates[-1][0] >= DAY:
                rates.append((at_ns, level))


def median(values: Sequence[float]) -> float | None:
    """8.7: the mean of the two middle ones; None of nothing."""
    ordered = sorted(values)
    n = len(ordered)
    return 0.5 * (ordered[(n - 1) // 2] + ordered[n // 2]) if n else None


def one_vote(quotes: list[Quote]) -> Quote:
    """8.6: median price, largest volume and confidence, oldest stamp."""
    price = median([quote.price for quote in quotes])
    assert price is not None
    volumes = [quote.volume for quote in quotes if quote.volume is not None]
    stated = [quote.confidence for quote in quotes if quote.confidence is not None]
    return Quote(
        quotes[0].factor, "", price, min(quote.stamp_ns for quote in quotes), 0,
        max(volumes, default=None), max(stated, default=None),
    )  # fmt: skip


def weighted_median(kept: list[Quote]) -> float:
    """8.8: volumes capped at their lower median; a tie takes the point nearest the plain median."""
    known = sorted(Fraction(vote.volume) for vote in kept if vote.volume is not None)
    cap = known[(len(known) - 1) // 2] if known else Fraction(1)
    least = known[0] if known else Fraction(1)
    weight = [min(least if v.volume is None else Fraction(v.volume), cap) for v in kept]
    if not sum(weight):
        weight = [Fraction(1)] * len(kept)
    half = sum(weight) / 2
    prices = [vote.price for vote in kept]

    def below(price: float) -> Fraction:
        return sum((w for p, w in zip(prices, weight, strict=True) if p <= price), Fraction(0))

    low = min(p for p in prices if below(p) >= half * (1 - Fraction(EDGE)))
    high = min(p for p in prices if below(p) > half * (1 + Fraction(EDGE)))
    near = median(prices)
    assert near is not None
    return min(max(near, low), high)


def quorum_stamp(kept: list[Quote], says: Sources) -> int:
    """8.9: the moment at which as many had spoken as the status needs."""
    need = says.quorum_live if len(kept) >= says.quorum_live else says.quorum_degraded
    return sorted((vote.stamp_ns for vote in kept), reverse=True)[need - 1]
