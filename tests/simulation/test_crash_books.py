"""The venue a crash happens to: its prices, its accounts, and healths that are the ones drawn."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.adapters.files import load_rulebook
from crossmargin.frames.listing import compile_market
from crossmargin.frames.market import move_factors
from crossmargin.margin.prepared import prepare
from crossmargin.methods import isolated
from crossmargin.methods.registry import assess
from crossmargin.simulation import crash_books
from crossmargin.simulation.crash_books import METHODS, crash_book, crash_market, healths
from frames.small import bars as made

MINUTE = 60 * 10**9
NAMES = {
    "BTC/USD": ("spot", "BTC", 10_000.0), "ETH/USD": ("spot", "ETH", 500.0),
    "SOL/USD": ("spot", "major", 20.0), "UNI/USD": ("spot", "altcoin", 3.0),
    "USDC/USD": ("peg", "stablecoin", 1.0), "stETH/ETH": ("basis", "lst_basis", 0.98),
    "WBTC/BTC": ("bridge", "bridge_basis", 1.0),
}  # fmt: skip


def bars_of(names=tuple(NAMES)):
    frame = made(*((f, "x", [(1, 60, *(NAMES[f][2],) * 4)]) for f in names))
    kinds, classes = (tuple(NAMES[f][n] for f in names) for n in (0, 1))
    return replace(frame, kinds=kinds, classes=classes)


@cache
def market_of(names=tuple(NAMES)):
    frame, findings = compile_market(crash_market(bars_of(names), MINUTE, "by hand"), stale_s=60.0)
    assert findings == []
    return prepare(frame, load_rulebook("prime-24h"))


@pytest.fixture(scope="module")
def market():
    return market_of()


@given(st.integers(0, 999), st.integers(1, 60), st.floats(0.0, 5.0))
def test_pools_have_the_healths_asked_for(seed, n, lowest):
    market = market_of()
    rng = np.random.default_rng(seed)
    health = lowest + rng.exponential(1.0, n)
    book = crash_book(rng, market, health)
    np.testing.assert_allclose(assess(book, market).health, health, rtol=1e-12, atol=1e-12)
    again = np.random.default_rng(seed)
    assert crash_book(again, market, lowest + again.exponential(1.0, n)).quantity.tolist() == (
        book.quantity.tolist()
    )


def test_a_loan_against_bitcoin_by_hand():
    """prime-24h: BTC counts 0.86 x 0.995 = 0.8557, so the charge is 14.43 % of its value. At health
    1.1 dollars are 1.1 x 0.1443 - 1 = -0.84127 of it: a loan of 84.127 %."""
    market = market_of(("BTC/USD",))
    book = crash_book(np.random.default_rng(0), market, np.full(2_000, 1.1))
    first = book.pool_starts[:-1]
    lone = (np.diff(book.pool_starts) == 2) & (book.item[first + 1] == 1)  # item 1: BTC itself
    lone &= book.quantity[first + 1] > 0.0
    assert lone.sum() > 100
    value = 10_000.0 * book.quantity[first + 1]
    np.testing.assert_allclose(book.quantity[first][lone], -0.84127 * value[lone], rtol=1e-12)


def test_accounts_hold_two_to_eight_different_things_by_three_methods(market):
    rng = np.random.default_rng(1)
    book = crash_book(rng, market, healths(rng, 3_000))
    sizes = np.diff(book.pool_starts)
    assert (sizes.min(), sizes.max()) == (2, 8)
    for a in range(300):
        items = book.item[book.pool_starts[a] : book.pool_starts[a + 1]]
        assert (np.diff(items) > 0).all()
        assert market.frame.item_names[items[0]] == "USD"
    named = np.array(METHODS)[book.method]
    assert {m: round((named == m).mean(), 1) for m in METHODS} == {
        "cross_correlated": 0.5, "cross_sum": 0.3, "isolated": 0.2,
    }  # fmt: skip
    alone = np.flatnonzero(named == "isolated")
    reasons = isolated.holds(book, market)
    assert [reasons[a] for a in alone] == [None] * len(alone)
    asset = book.item < market.frame.n_assets
    dollars = np.zeros(len(asset), np.bool_)
    dollars[book.pool_starts[:-1]] = True
    for held in (asset & ~dollars, ~asset, dollars):
        assert 0.05 < (book.quantity[held] < 0.0).mean() < 0.8  # owed, short, borrowed


def test_an_isolated_pool_is_one_even_where_it_needs_no_loan(market):
    """UNI's charge is 1 - 0.70 x 0.96 = 32.8 %: at health 4 its owner has dollars and no debt."""
    book = crash_book(np.random.default_rng(4), market, np.full(3_000, 4.0))
    alone = np.flatnonzero(np.array(METHODS)[book.method] == "isolated")
    assert len(alone) > 300
    reasons = isolated.holds(book, market)
    assert [reasons[a] for a in alone] == [None] * len(alone)
    np.testing.assert_allclose(assess(book, market).health, 4.0, rtol=1e-12)


def test_no_account_starts_under_water_and_a_fall_endangers_some(market):
    rng = np.random.default_rng(2)
    health = healths(rng, 5_000)
    # At the lender 4.7 % were below 1.1, 19.9 % below 1.25, 66.9 % below 2. Four standard errors of
    # 5,000 draws are 1.2, 2.3 and 2.7 %.
    assert health.min() >= 1.02
    assert health.max() <= 3.0
    assert (health < 1.1).mean() == pytest.approx(0.047, abs=0.012)
    assert (health < 1.25).mean() == pytest.approx(0.199, abs=0.023)
    assert (health < 2.0).mean() == pytest.approx(0.669, abs=0.027)
    book = crash_book(rng, market, health)
    assert (assess(book, market).buffer_mm > 0.0).all()
    fall = np.array([0.85, 0.80, 0.75, 0.70, 1.0, 0.98, 1.0])
    after = assess(book, replace(market, frame=move_factors(market.frame, fall)))
    assert 0.05 < (after.buffer_mm < 0.0).mean() < 0.5


def test_what_has_a_bad_price_is_not_held(market):
    status = market.frame.factors.status.copy()
    status[market.frame.factors.names.index("ETH/USD")] = 2  # stale
    factors = replace(market.frame.factors, status=status)
    stale = prepare(replace(market.frame, factors=factors), market.rulebook)
    held = crash_book(np.random.default_rng(3), stale, np.full(2_000, 1.5)).item
    names = {stale.frame.item_names[i] for i in np.unique(held)}
    assert not names & {"ETH", "ETH-PERP", "stETH"}
    assert {"USD", "BTC", "BTC-PERP", "USDC", "WBTC", "UNI-PERP"} <= names


@pytest.mark.parametrize(
    ("rows", "at_minute", "want"),
    [
        ([(0, 60, 1.0, 3.0, 1.0, 2.0)], 0, 1.0),  # its open
        ([(0, 60, 1.0, 3.0, 1.0, 2.0)], 1, 2.0),  # it has closed
        ([(0, 120, 1.0, 3.0, 1.0, 2.0)], 1, None),  # it is still open: nobody knows its close
        ([(-9, 0, 4.0, 4.0, 4.0, 4.0)], 0, 4.0),  # the last print before
        ([(1, 60, 1.0, 3.0, 1.0, 2.0)], 0, None),
    ],
)
def test_a_level_is_what_was_known_then(rows, at_minute, want):
    tables = crash_market(made(("UNI/USD", "x", rows)), at_minute * MINUTE, "by hand")
    levels = dict(tables.factors.select("factor", "level").iter_rows())
    assert levels.get("UNI/USD") == want


def test_a_second_source_gives_the_level_where_the_first_has_none():
    frame = made(("A/USD", "x", [(5, 60, *(2.0,) * 4)]), ("A/USD", "y", [(0, 0, *(3.0,) * 4)]))
    assert crash_market(frame, 0, "x").factors["level"].to_list() == [3.0]


def test_a_basis_without_its_coin_is_a_factor_and_no_asset():
    tables = crash_market(bars_of(("stETH/ETH",)), MINUTE, "by hand")
    assert tables.factors["factor"].to_list() == ["stETH/ETH"]
    assert tables.assets["asset"].to_list() == ["USD"]
    with_eth = crash_market(bars_of(("ETH/USD", "stETH/ETH")), MINUTE, "by hand")
    loads = dict(with_eth.assets.select("asset", "loads").iter_rows())
    assert loads == {"USD": "", "ETH": "ETH/USD", "stETH": "ETH/USD*stETH/ETH"}


def test_shares_of_methods_are_shares():
    assert sum(crash_books.METHOD_SHARES) == pytest.approx(1.0)
