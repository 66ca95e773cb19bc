"""Prints over a listed market: what is new, what is old, what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from crossmargin.domain.book import Mark, Print
from crossmargin.engine.market import LISTED_NS, tables_of
from crossmargin.frames.listing import compile_market
from crossmargin.frames.market import MarketFrame, Status
from crossmargin.frames.prints import stale_from, with_prints
from engine.small import FACTORS, SECOND, T0, prices, venue

LIVE = prices()
PRINTS = {name: (told, T0) for name, told in LIVE.prints.items()}
MARKS = {name: (told, T0) for name, told in LIVE.marks.items()}


@pytest.fixture(scope="module")
def listed() -> MarketFrame:
    frame, _ = compile_market(tables_of(venue().book.head.listing, LISTED_NS), 1e9, strict=False)
    return frame


def factor(frame: MarketFrame, name: str) -> tuple[float, Status, float]:
    """(level, status, age in seconds) of a factor."""
    k = frame.factors.names.index(name)
    table = frame.factors
    return float(table.level[k]), Status(int(table.status[k])), float(table.age_s[k])


def contract(frame: MarketFrame, name: str) -> tuple[float, Status]:
    """(forward, status) of an instrument."""
    j = frame.instruments.names.index(name)
    return float(frame.instruments.forward[j]), Status(int(frame.instruments.status[j]))


def test_a_listing_s_own_prices_are_not_prices(listed: MarketFrame) -> None:
    frame = with_prints(listed, {}, {}, T0, 60.0)
    assert {factor(frame, name)[1] for name in FACTORS} == {Status.MISSING}
    assert set(frame.instruments.status.tolist()) == {Status.MISSING}
    assert np.isnan(frame.factors.level).all()
    assert np.isnan(frame.instruments.forward).all()


def test_the_market_stands_at_its_newest_print(listed: MarketFrame) -> None:
    prints = {**PRINTS, "BTC/USD": (Print(51_000.0), T0 - 7 * SECOND)}
    frame = with_prints(listed, prints, MARKS, T0 + 20 * SECOND, 60.0)
    assert frame.at_ns == T0, "the engine's own time only makes prints stale"
    assert factor(frame, "BTC/USD") == (51_000.0, Status.LIVE, 7.0)
    assert factor(frame, "ETH/USD") == (2_000.0, Status.LIVE, 0.0)


AGES = [
    # seconds between the print and the engine's time, nanoseconds more, status
    (60, 0, Status.LIVE),  # older than stale_s is stale, as old as it is not
    (60, 1, Status.STALE),
    (0, 0, Status.LIVE),
]


@pytest.mark.parametrize(("seconds", "more", "want"), AGES)
def test_a_print_older_than_stale_s_is_stale(
    listed: MarketFrame, seconds: int, more: int, want: Status
) -> None:
    now = T0 + seconds * SECOND + more
    frame = with_prints(listed, PRINTS, MARKS, now, 60.0)
    assert factor(frame, "ETH/USD")[1] == want
    assert contract(frame, "ETH-PERP")[1] == want
    assert factor(frame, "ETH/USD")[0] == 2_000.0, "a last good price is kept"


@pytest.mark.parametrize(
    ("word", "age_s", "want"),
    [
        ("live", 0, Status.LIVE), ("degraded", 0, Status.DEGRADED), ("stale", 0, Status.STALE),
        ("halted", 0, Status.HALTED), ("missing", 0, Status.MISSING),
        ("degraded", 61, Status.STALE), ("halted", 61, min(Status.HALTED, Status.STALE)),
        ("missing", 61, Status.MISSING),
    ],
)  # fmt: skip
def test_age_never_makes_a_status_better(
    listed: MarketFrame, word: str, age_s: int, want: Status
) -> None:
    prints = {**PRINTS, "ETH/USD": (Print(2_000.0, status=word), T0)}
    marks = {**MARKS, "ETH-PERP": (Mark(2_000.0, status=word), T0)}
    frame = with_prints(listed, prints, marks, T0 + age_s * SECOND, 60.0)
    assert factor(frame, "ETH/USD")[1] == want
    j = frame.instruments.names.index("ETH-PERP")
    assert Status(int(frame.instruments.status[j])) == want


def test_a_print_says_its_width_and_its_stable_price(listed: MarketFrame) -> None:
    prints = {**PRINTS, "ETH/USD": (Print(2_000.0, 0.01, 1_990.0), T0)}
    table = with_prints(listed, prints, MARKS, T0, 60.0).factors
    k, other = table.names.index("ETH/USD"), table.names.index("BTC/USD")
    assert (table.half_width[k], table.stable_price[k]) == (0.01, 1_990.0)
    assert (table.half_width[other], table.stable_price[other]) == (0.0, 50_000.0)


def test_a_spot_pair_is_priced_by_its_two_assets(listed: MarketFrame) -> None:
    prints = {**PRINTS, "USDC/USD": (Print(0.5), T0)}
    frame = with_prints(listed, prints, {}, T0, 60.0)
    # 50,000 / 0.5; a price is an exponential of logarithms, good to some last bits
    assert contract(frame, "BTC/USDC") == (pytest.approx(100_000.0, rel=1e-14), Status.LIVE)
    assert contract(frame, "ETH/USD") == (pytest.approx(2_000.0, rel=1e-14), Status.LIVE)
    gone = {name: told for name, told in PRINTS.items() if name != "ETH/USD"}
    assert contract(with_prints(listed, gone, {}, T0, 60.0), "ETH/USD")[1] == Status.MISSING


@pytest.mark.parametrize(
    ("forward", "want"),
    [
        (190_000.0, Status.LIVE), (210_000.0, Status.MISSING),  # ETH is at 2,000
        (21.0, Status.LIVE), (19.0, Status.MISSING),
    ],
)  # fmt: skip
def test_a_mark_a_hundred_times_away_is_in_another_unit(
    listed: MarketFrame, forward: float, want: Status
) -> None:
    marks = {**MARKS, "ETH-PERP": (Mark(forward), T0)}
    assert contract(with_prints(listed, PRINTS, marks, T0, 60.0), "ETH-PERP")[1] == want


def test_a_mark_brings_all_its_numbers(listed: MarketFrame) -> None:
    told = Mark(2_010.0, 0.7, 0.03, "live", 2_005.0, 0.25, 1e-4)
    frame = with_prints(listed, PRINTS, {**MARKS, "ETH-CALL": (told, T0)}, T0, 60.0)
    table = frame.instruments
    j = table.names.index("ETH-CALL")
    row = (table.forward[j], table.iv[j], table.rate[j], table.averaged[j], table.averaged_share[j])
    assert row == (2_010.0, 0.7, 0.03, 2_005.0, 0.25)
    assert table.funding_rate[j] == 1e-4
    other = table.names.index("ETH-PUT")
    assert table.rate[other] == 0.0, "no rate stated is none (spec 2.2)"
    assert np.isnan(table.averaged[other])
    assert table.averaged_share[other] == 0.0


def test_the_next_moment_something_turns_stale_is_told(listed: MarketFrame) -> None:
    stamps = [T0, T0 - 10 * SECOND, T0 - 100 * SECOND]
    # 60 s after the stamp it is still good; a nanosecond later it is not.
    assert stale_from(stamps, T0, 60.0) == T0 + 50 * SECOND + 1
    assert stale_from(stamps, T0 + 50 * SECOND, 60.0) == T0 + 50 * SECOND + 1
    assert stale_from(stamps, T0 + 50 * SECOND + 1, 60.0) == T0 + 60 * SECOND + 1
    assert stale_from(stamps, T0 + 99 * SECOND, 60.0) == 2**62
    assert stale_from([], T0, 60.0) == 2**62


def test_what_was_given_is_not_touched(listed: MarketFrame) -> None:
    before = listed.factors.level.copy(), listed.instruments.forward.copy()
    with_prints(listed, PRINTS, MARKS, T0, 60.0)
    np.testing.assert_array_equal(listed.factors.level, before[0])
    np.testing.assert_array_equal(listed.instruments.forward, before[1])
