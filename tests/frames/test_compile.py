"""Holdings become a BookFrame: order, merges, limits, and the one door between int and float."""

from __future__ import annotations

import functools
import json
from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bad_input.cases import MARKET
from crossmargin.adapters.codec import market_from_json
from crossmargin.base.errors import BookInvalid, InputInvalid
from crossmargin.domain.accounts import Account, Order, Pool, Position
from crossmargin.frames.book import BookFrame
from crossmargin.frames.compile import (
    BookTables,
    compile_book,
    from_smallest_units,
    to_smallest_units,
)
from crossmargin.frames.listing import compile_market
from crossmargin.frames.market import MarketFrame
from crossmargin.frames.written import tables_from_accounts

METHODS = ("isolated", "cross_sum", "portfolio")


@functools.cache
def market() -> MarketFrame:
    return compile_market(market_from_json(json.dumps(MARKET).encode()), 60.0)[0]


def compiled(tables: BookTables) -> BookFrame:
    return compile_book(tables, market(), "cross_sum", METHODS)[0]


def book(*accounts: Account) -> BookFrame:
    return compiled(tables_from_accounts(accounts))


def holdings(**columns: object) -> BookTables:
    return BookTables(pl.DataFrame(columns), None, None, "holdings.csv")


def rows(frame: BookFrame, pool: int) -> dict[str, list[float]]:
    """Return item name -> quantities of one pool."""
    found: dict[str, list[float]] = {}
    for row in range(frame.pool_starts[pool], frame.pool_starts[pool + 1]):
        name = market().item_names[frame.item[row]]
        found.setdefault(name, []).append(float(frame.quantity[row]))
    return found


def test_an_account_without_pools_is_one_shared_pool():
    frame = book(Account("a", {"ETH": "1.5"}))
    assert list(frame.account_names) == ["a"]
    assert list(frame.pool_names) == ["shared"]
    assert np.isinf(frame.draw_limit).all()
    assert rows(frame, 0) == {"ETH": [1.5]}
    assert frame.exact


def test_buckets_stand_behind_the_shared_pool_in_the_order_written():
    frame = book(
        Account("a", {"USD": 1}, pools=(
            Pool("z", balances={"USD": 2}, draw_limit=0),
            Pool("b", "portfolio", {"USD": 3}, draw_limit="40.5", drawn=1, last_draw=2),
        )),
        Account("b", {"USD": 4}),
    )  # fmt: skip
    assert list(frame.pool_names) == ["shared", "z", "b", "shared"]
    assert frame.account_starts.tolist() == [0, 3, 4]
    assert frame.draw_limit.tolist() == [np.inf, 0.0, 40.5, np.inf]
    assert frame.drawn.tolist() == [0.0, 0.0, 1.0, 0.0]
    assert frame.last_draw.tolist() == [0.0, 0.0, 2.0, 0.0]
    assert [METHODS[m] for m in frame.method] == [
        "cross_sum",
        "cross_sum",
        "portfolio",
        "cross_sum",
    ]
    assert [rows(frame, pool)["USD"] for pool in range(4)] == [[1.0], [2.0], [3.0], [4.0]]


@pytest.mark.parametrize("limit", [None, "inf", Decimal("Infinity")])
def test_a_bucket_without_a_limit_merges_and_its_balances_add_up(limit: object):
    frame = book(Account(
        "a", {"ETH": "1.5", "USD": "7"}, (Position("BTC-PERP", "1", "60000"),),
        pools=(Pool("m", balances={"ETH": "-0.5", "USD": "-7"},
                    positions=(Position("BTC-PERP", "2", "50000"),), draw_limit=limit),),
    ))  # type: ignore[arg-type]  # fmt: skip
    assert list(frame.pool_names) == ["shared"]
    # 7 - 7 leaves nothing to hold; two positions of one contract keep their own entries.
    assert rows(frame, 0) == {"ETH": [1.0], "BTC-PERP": [1.0, 2.0]}
    assert frame.entry_price.tolist()[1:] == [60000.0, 50000.0]


def test_holdings_stand_in_item_order_whatever_order_they_came_in():
    frame = compiled(holdings(
        account=["b", "a", "b", "a"], item=["stETH", "ETH", "USD", "BTC"],
        quantity=["1", "2", "3", "4"],
    ))  # fmt: skip
    assert list(frame.account_names) == ["b", "a"]  # order of first appearance
    assert frame.item.tolist() == [0, 4, 2, 3]
    assert frame.quantity.tolist() == [3.0, 1.0, 4.0, 2.0]
    assert frame.pool_starts.tolist() == [0, 2, 4]


def test_an_account_that_holds_nothing_still_has_a_row():
    frame = book(Account("a", orders=(Order("BTC-PERP", "1", "59000", True),)), Account("b"))
    assert list(frame.account_names) == ["a", "b"]
    assert frame.order_starts.tolist() == [0, 1, 1]
    assert frame.order_limit.tolist() == [59000.0]
    assert frame.order_reduce_only.tolist() == [True]


def test_zero_rows_are_ignored():
    assert book(Account("a", {"ETH": "0", "USD": "0.00"})).n_holdings == 0


def test_an_empty_book_is_a_book():
    frame = compiled(holdings(account=[], item=[], quantity=[]))
    assert frame.n_pools == 0
    assert frame.n_accounts == 0


@pytest.mark.parametrize(("quantity", "exact"), [
    (pl.Series(["1.25", "-3"]), True),
    (pl.Series([Decimal("1.25"), Decimal("-3")], dtype=pl.Decimal(38, 18)), True),
    (pl.Series([1.25, -3.0]), False),
])  # fmt: skip
def test_text_decimals_and_floats_give_the_same_book_but_floats_say_so(
    quantity: pl.Series, exact: bool
):
    frame = compiled(holdings(account=["a", "a"], item=["ETH", "USDC"], quantity=quantity))
    assert sorted(frame.quantity.tolist()) == [-3.0, 1.25]
    assert frame.exact is exact


@pytest.mark.parametrize("amount", [
    pl.Series(["1250000000000000001", "-3000001"]),
    pl.Series([1250000000000000001, -3000001]),
    pl.Series([Decimal(1250000000000000001), Decimal(-3000001)], dtype=pl.Decimal(38, 0)),
])  # fmt: skip
def test_amounts_count_smallest_units(amount: pl.Series):
    frame = compiled(holdings(account=["a", "a"], item=["ETH", "USDC"], amount=amount))
    # 18 decimals and 6 decimals
    assert sorted(frame.quantity.tolist()) == [-3.000001, 1.250000000000000001]
    assert frame.exact


def test_an_amount_column_of_floats_is_refused():
    with pytest.raises(InputInvalid, match="18 decimals"):
        compiled(holdings(account=["a"], item=["ETH"], amount=[1e18]))


def test_an_amount_of_an_instrument_is_refused():
    with pytest.raises(BookInvalid, match="smallest units of an asset"):
        compiled(holdings(account=["a"], item=["BTC-PERP"], amount=[1], entry_price=[6e4]))


def test_quantity_and_amount_both_given_are_refused():
    with pytest.raises(BookInvalid, match="given once"):
        compiled(holdings(account=["a"], item=["ETH"], amount=[1], quantity=["1"]))


def test_a_bad_row_is_named_by_its_number_and_account():
    with pytest.raises(BookInvalid) as caught:
        compiled(holdings(account=["a", "alice"], item=["ETH", "EHT"], quantity=["1", "1"]))
    assert caught.value.where == "holdings.csv:row 2 (account alice) item"
    assert caught.value.found == "EHT"
    assert "ETH" in caught.value.remedy


def test_a_pool_nobody_declared_is_refused():
    with pytest.raises(BookInvalid, match="add a row to pools"):
        compiled(holdings(account=["a"], pool=["x"], item=["ETH"], quantity=["1"]))


def test_premium_options_carry_no_entry_price_and_futures_must():
    frame = book(Account("a", positions=(Position("ETH-3500-C", "1", "120"),)))
    assert np.isnan(frame.entry_price).all()


@pytest.mark.parametrize(("text", "fits"), [
    ("1.123456", True), ("1.1234560000", True), ("1.1234561", False),
    ("1e-6", True), ("1e-7", False), ("100e-8", True), ("10e-8", False), ("0.0000000", True),
    ("0e-30", True), ("12345e3", True),
])  # fmt: skip
def test_more_decimals_than_the_asset_has_are_refused_not_rounded(text: str, fits: bool):
    made = holdings(account=["a"], item=["USDC"], quantity=[text])  # 6 decimals
    if fits:
        assert compiled(made).quantity.tolist() in ([float(text)], [])
    else:
        with pytest.raises(BookInvalid, match="never rounded"):
            compiled(made)


@given(st.integers(-(10**30), 10**30), st.integers(0, 18))
def test_the_same_money_as_text_or_as_smallest_units_is_the_same_float(amount: int, decimals: int):
    exact = Fraction(amount, 10**decimals)
    assert from_smallest_units(amount, decimals) == float(exact)


@given(st.floats(-1e15, 1e15), st.integers(0, 18))
def test_what_leaves_as_an_amount_is_rounded_in_the_stated_favour(quantity: float, decimals: int):
    down = to_smallest_units(quantity, decimals, round_down=True)
    up = to_smallest_units(quantity, decimals, round_down=False)
    exact = Fraction(quantity) * 10**decimals
    assert down <= exact <= up
    assert up - down <= 1


def test_a_quantity_that_is_not_finite_never_becomes_an_amount():
    with pytest.raises(InputInvalid):
        to_smallest_units(float("nan"), 6, round_down=True)


@given(st.permutations(range(6)))
def test_the_order_of_rows_changes_nothing_within_a_pool(order: list[int]):
    items, amounts = (
        ["USD", "USDC", "BTC", "ETH", "stETH", "ETH-3500-C"],
        ["1", "2", "3", "4", "5", "6"],
    )
    frame = compiled(holdings(
        account=["a"] * 6, item=[items[i] for i in order], quantity=[amounts[i] for i in order]
    ))  # fmt: skip
    assert frame.quantity.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


@pytest.mark.parametrize("name", [None, "", "x" * 129])
def test_a_row_of_nobody_raises_in_every_mode(name: str | None):
    made = holdings(account=["a", name], item=["ETH", "ETH"], quantity=["1", "1"])
    with pytest.raises(BookInvalid, match="be a name"):
        compile_book(made, market(), "cross_sum", METHODS, strict=False)


def test_a_book_of_nested_columns_is_refused():
    with pytest.raises(InputInvalid, match="column account"):
        compiled(holdings(account=[["a"]], item=["ETH"], quantity=["1"]))


def test_a_book_wrong_in_every_row_is_not_listed_whole():
    made = holdings(account=["a"] * 5_000, item=["NOPE"] * 5_000, quantity=["1"] * 5_000)
    with pytest.raises(BookInvalid) as caught:
        compiled(made)
    assert len(caught.value.findings) == 1_001  # FINDINGS_MAX and how many more there are
    assert caught.value.findings[-1].found == "4000 more rows"
