"""Laws of fusing: what no source, no order and no absurd number may do (L10, L13)."""

from __future__ import annotations

import math
from copy import copy
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.domain.oracle_rules import Oracle
from crossmargin.frames.market import Status
from crossmargin.oracle.agree import middle, weighted_middle, weights
from crossmargin.oracle.fuse import fuse
from crossmargin.oracle.quotes import QuoteFrame, Refusal
from crossmargin.oracle.state import started, universe_of
from crossmargin.reference.oracle import Quote
from oracle.bench import NOON, RULES, SECOND, Bench, frame, rules

FACTOR = "USDe/USD"  # class synthetic: five per cent from the reference, breaker ten
prices = st.floats(0.9, 1.1)
volumes = st.one_of(st.none(), st.floats(0.0, 1e9))
votes = st.lists(st.tuples(prices, volumes), min_size=1, max_size=9)
anything = st.one_of(
    st.floats(), st.sampled_from([0.0, -1.0, math.nan, math.inf, -math.inf, 1e-300, 1e300])
)


@cache
def _settled() -> Bench:
    bench = Bench()
    bench.settle(FACTOR, [1.0, 1.0, 1.0])
    return bench


def settled() -> Bench:
    """Return an oracle that is LIVE at 1, made once: states are never changed."""
    return copy(_settled())


def agreed(quotes: list[tuple[float, float | None]], oracle: Oracle = RULES) -> float:
    """Return what these sources agree on; the status is not looked at."""
    return told(quotes, oracle)[0]


def told(
    quotes: list[tuple[float, float | None]], oracle: Oracle = RULES
) -> tuple[float, int, float]:
    names = [f"s{n}" for n in range(len(quotes))]
    universe = universe_of({FACTOR: "synthetic"}, names, oracle)
    rows = [
        Quote(FACTOR, name, price, NOON, 1, volume)
        for name, (price, volume) in zip(names, quotes, strict=True)
    ]
    _, fused = fuse(started(universe), frame(universe, rows), NOON)
    return float(fused.agreed[0]), int(fused.n_kept[0]), float(fused.half_width[0])


@given(votes, st.randoms(use_true_random=False))
def test_permuting_sources_changes_nothing(quotes, random) -> None:
    shuffled = list(quotes)
    random.shuffle(shuffled)
    # The same numbers are summed in the same order, so the bits are the same.
    assert told(shuffled) == pytest.approx(told(quotes), rel=0.0, abs=0.0, nan_ok=True)


@given(st.integers(0, 2**32))
def test_permuting_the_order_of_arrival_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    universe = universe_of({FACTOR: "synthetic"}, ["a", "b", "c", "d"], RULES)
    rows = [Quote(FACTOR, name, 1.0 + 0.01 * float(rng.normal()), NOON, 1, 5.0) for name in "abcd"]
    order = rng.permutation(4)
    _, straight = fuse(started(universe), frame(universe, rows), NOON)
    _, mixed = fuse(started(universe), frame(universe, [rows[n] for n in order]), NOON)
    np.testing.assert_array_equal(straight.agreed, mixed.agreed)
    np.testing.assert_array_equal(straight.fate, mixed.fate)


@given(st.lists(st.tuples(prices, volumes), min_size=3, max_size=8), anything, volumes)
def test_one_liar_of_four_or_more_cannot_leave_the_honest_range(honest, lie, volume) -> None:
    got = agreed([*honest, (lie, volume)])
    if math.isfinite(got):
        assert min(p for p, _ in honest) <= got <= max(p for p, _ in honest)


@given(st.lists(st.tuples(prices, st.floats(0.0, 1e9)), min_size=2, max_size=8), st.floats(1, 1e6))
def test_more_volume_than_everyone_else_buys_nothing(quotes, times) -> None:
    # The cap is the lower median, so whatever lies above all others counts the same.
    most = max(v for _, v in quotes)
    price = quotes[0][0]
    first = agreed([(price, most * 1.5 + 1.0), *quotes[1:]])
    assert agreed([(price, (most * 1.5 + 1.0) * times), *quotes[1:]]) == pytest.approx(
        first, rel=0.0, abs=0.0, nan_ok=True
    )


@given(st.lists(st.tuples(prices, volumes), min_size=2, max_size=9))
def test_no_vote_has_more_than_half_the_weight(quotes) -> None:
    volume = np.array([[np.nan if v is None else v for _, v in quotes]])
    weight = weights(volume, np.ones(volume.shape, np.bool_))[0]
    # With few that weigh anything the rest are silent, not outvoted: a tie is the least there is.
    assert weight.max() <= 0.5 * weight.sum() * (1 + 1e-12) or (weight > 0).sum() == 1
    assert (weight > 0).sum() >= len(quotes) / 2


@given(votes, st.integers(-8, 8))
def test_prices_scale(quotes, power) -> None:
    # Powers of two scale floats exactly.
    factor = 2.0**power
    price, kept, width = told(quotes)
    scaled = told([(p * factor, v) for p, v in quotes])
    assert scaled == pytest.approx((price * factor, kept, width), rel=1e-14, nan_ok=True)


@given(
    st.lists(st.tuples(prices, st.floats(0.1, 1e6)), min_size=1, max_size=8), st.floats(0.0, 0.2)
)
def test_a_higher_quote_never_lowers_the_weighted_median(quotes, more) -> None:
    # Of the kept: a quote that leaves them may well lower the price.
    price = np.array([[p for p, _ in quotes]])
    weight = np.array([[v for _, v in quotes]])
    higher = price.copy()
    higher[0, 0] += more
    before = weighted_middle(price, weight, middle(price))
    assert (weighted_middle(higher, weight, middle(higher)) >= before - 1e-15).all()


@given(st.lists(st.tuples(st.floats(0.9, 1.1), st.just(1.0)), min_size=1, max_size=9))
def test_equal_weights_give_the_plain_median(quotes) -> None:
    price = np.array([[p for p, _ in quotes]])
    got = weighted_middle(price, np.ones(price.shape), middle(price))
    assert got[0] == np.median(price)  # numpy's median, written by somebody else


@settings(max_examples=100)
@given(
    st.lists(
        st.lists(st.one_of(st.none(), anything), min_size=4, max_size=4), min_size=1, max_size=8
    )
)
def test_nothing_absurd_is_ever_live_and_no_status_beats_its_quorum(rounds) -> None:
    bench = settled()
    for said in rounds:
        fused = bench.say(FACTOR, said, 70.0)  # what was said before is stale by now
        row = bench.universe.factors.index(FACTOR)
        kept, status = int(fused.n_kept[row]), int(fused.status[row])
        assert kept <= sum(p is not None and math.isfinite(p) and p > 0.0 for p in said)
        assert status < Status.LIVE or kept >= 3
        assert status < Status.DEGRADED or kept >= 2
        assert np.isfinite(fused.level[row]) and fused.level[row] > 0.0


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0.2, 5.0), st.floats(0.0, 200.0)), min_size=1, max_size=40))
def test_the_slow_price_never_moves_faster_than_six_per_cent_an_hour(path) -> None:
    bench = settled()
    row = bench.universe.factors.index(FACTOR)
    seen = [(bench.at_ns, float(bench.fused.stable[row]))]
    for price, wait in path:
        fused = bench.say(FACTOR, [price, price, price], wait)
        seen.append((bench.at_ns, float(fused.stable[row])))
    for n, (earlier, before) in enumerate(seen):
        for later, after in seen[n:]:
            reach = 1.06 ** ((later - earlier) / 3.6e12)
            assert before / reach * (1 - 1e-12) <= after <= before * reach * (1 + 1e-12)


@settings(max_examples=60)
@given(st.floats(0.3, 0.88), st.integers(3, 30))
def test_a_real_crash_passes_degraded_after_a_minute_and_not_before(low, step_s) -> None:
    bench = settled()
    assert bench.status(FACTOR) == "LIVE"
    waited = 0
    fused = bench.say(FACTOR, [low, low, low], 1.0)
    while waited < 60:
        assert bench.status(FACTOR) == "HALTED"
        assert bench.level(FACTOR) == 1.0, "the last good price stands meanwhile"
        fused = bench.say(FACTOR, [low, low, low], step_s)
        waited += step_s
    assert bench.status(FACTOR) == "DEGRADED"
    assert bench.level(FACTOR) == low
    assert fused.n_kept[bench.universe.factors.index(FACTOR)] == 3


@given(st.integers(0, 2**32))
def test_fuse_changes_nothing_it_was_given(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bench = settled()
    before = bench.state
    kept = {name: np.copy(getattr(before, name)) for name in ("price", "sequence", "level", "side")}
    quotes = QuoteFrame(
        np.array([1, 1, 1]), np.array([0, 1, 2]), rng.uniform(0.5, 2.0, 3),
        np.full(3, bench.at_ns + SECOND), np.full(3, 999), np.ones(3), np.full(3, np.nan),
    )  # fmt: skip
    first = fuse(before, quotes, bench.at_ns + SECOND)[1]
    again = fuse(before, quotes, bench.at_ns + SECOND)[1]
    for name, was in kept.items():
        np.testing.assert_array_equal(getattr(before, name), was)
    np.testing.assert_array_equal(first.agreed, again.agreed)
    assert (first.refused == Refusal.TAKEN).all()


def test_one_source_copied_into_a_group_is_still_one() -> None:
    many = rules(groups={"pool": ("b", "c", "d")})
    bench = Bench(many)
    fused = bench.say(FACTOR, [1.0, 1.01, 1.01, 1.01])
    assert fused.n_kept[bench.universe.factors.index(FACTOR)] == 2
