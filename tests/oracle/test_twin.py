"""`oracle.fuse` against the specification as plain words, step by step."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.oracle.fuse import Fate
from crossmargin.oracle.quotes import Refusal
from crossmargin.reference.oracle import Quote, SlowOracle
from oracle.bench import NOON, SECOND, Bench, rules

CLASSES = {"BTC/USD": "BTC", "USDC/USD": "stablecoin", "wstETH/stETH": "lst_basis"}
SOURCES = ["a", "b", "pool-1", "pool-2", "c", "issuer"]
RULES = rules(
    groups={"pool": ("pool-1", "pool-2")}, redeems=("issuer",), growth={"wstETH/stETH": 0.5}
)
# Waits at and around every edge: a minute of confirmation and staleness, five of the breaker, days.
WAITS_S = [0.0, 0.5, 1.0, 5.0, 20.0, 30.0, 59.0, 60.0, 61.0, 290.0, 301.0]
DAYS_S = [90_000.0, 2_600_000.0]
VOLUMES = [None, 0.0, 1.0, 2.0, 3.0, 1e6, 1e18, -1.0, math.inf]


def series(seed: int) -> Iterator[tuple[int, list[Quote]]]:
    """Yield moments and what the sources say: mostly near a fair level, sometimes absurd."""
    rng = random.Random(seed)
    fair = {"BTC/USD": 60_000.0, "USDC/USD": 1.0, "wstETH/stETH": 1.2}
    calm, long = rng.random() < 0.4, rng.random() < 0.3
    waits = [20.0, 30.0, 40.0] if calm else WAITS_S + (DAYS_S if long else [])
    at_ns = NOON
    for step in range(rng.randint(2, 25)):
        at_ns += int(rng.choice(waits) * SECOND)
        for factor in fair:
            if rng.random() < (0.02 if calm else 0.2):
                fair[factor] *= rng.choice([0.85, 0.97, 0.999, 1.001, 1.03, 1.15])
        said = [
            quote(rng, factor, source, (at_ns, step, calm))
            for factor in fair
            for source in SOURCES
            if rng.random() > (0.05 if calm else 0.25)
        ]
        said = [Quote(q.factor, q.source, q.price * fair[q.factor], q.stamp_ns, q.sequence,
                      q.volume, q.confidence) for q in said]  # fmt: skip
        rng.shuffle(said)
        yield at_ns, said


def quote(rng: random.Random, factor: str, source: str, place: tuple[int, int, bool]) -> Quote:
    """Return one quote whose price is a multiple of the fair level."""
    at_ns, step, calm = place
    price = 1.0 + rng.choice([0, 0, 1, -1, 4, -4, 9, 11, 30]) * 1e-3
    volume, confidence = rng.choice(VOLUMES[:-2]), rng.choice([None, 0.0, 0.01])
    if calm:
        return Quote(factor, source, price, at_ns, step, volume, confidence)
    price = rng.choice([price] * 12 + [math.nan, math.inf, 0.0, -1.0, 1e16, 0.65])
    age = rng.choice([0.0] * 6 + [1.0, 30.0, 60.0, 60.5, -1.0, -2.5])
    return Quote(
        factor, source, price, at_ns - int(age * SECOND), step + rng.choice([0] * 8 + [-2, -1]),
        rng.choice(VOLUMES), rng.choice([confidence, 0.2, -0.1]),
    )  # fmt: skip


@settings(max_examples=120)
@given(st.integers(0, 2**32))
def test_every_step_equals_the_twin(seed: int) -> None:
    bench, slow = Bench(RULES, CLASSES, SOURCES), SlowOracle(CLASSES, SOURCES, RULES)
    for step, (bench.at_ns, said) in enumerate(series(seed)):
        fused = bench.hear(said)
        want, taken = slow.fuse(said, bench.at_ns)
        assert [r == Refusal.TAKEN for r in fused.refused] == taken
        for row, (factor, one) in enumerate(want.items()):
            where = (seed, step, factor)
            assert int(fused.status[row]) == one.status, where
            for got, wanted in (
                (fused.level[row], one.level), (fused.agreed[row], one.agreed),
                (fused.stable[row], one.stable), (fused.half_width[row], one.half_width),
            ):  # fmt: skip
                # Two ways to the same sum of a few numbers: the last bits may differ.
                assert got == pytest.approx(math.nan if wanted is None else wanted, rel=1e-12,
                                            abs=1e-15, nan_ok=True), where  # fmt: skip
            assert int(fused.stamp_ns[row]) == one.stamp_ns, where
            kept = {
                bench.universe.groups[bench.universe.group[s]]
                for s in range(len(SOURCES))
                if fused.fate[row, s] == Fate.KEPT
            }
            assert tuple(sorted(kept)) == one.kept, where


def test_the_random_series_reach_every_status_cause_and_refusal() -> None:
    statuses, refused, causes = set(), set(), 0
    for seed in range(80):
        bench = Bench(RULES, CLASSES, SOURCES)
        for bench.at_ns, said in series(seed):
            fused = bench.hear(said)
            statuses |= set(fused.status.tolist())
            refused |= set(fused.refused.tolist())
            for cause in fused.cause.tolist():
                causes |= cause
    assert statuses == {0, 1, 3, 4}  # STALE is said by the engine, of a print that got old
    assert refused == {int(r) for r in Refusal}
    assert causes == 1023, "every bit of Cause"
