"""Real accounts: what their venue said of them, and what we say."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from crossmargin.adapters import real_books, real_options, real_venues
from crossmargin.apps.cli.real import answer_of, stamp

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def compound(shared, rules):
    case = real_books.compound_case(shared, rules)
    return case, answer_of(case)


def test_compound_collateral_and_health_agree(compound):
    case, report = compound
    got = real_books.compare_compound(case, report.to_polars())
    print(got.figures)
    print(got.causes)
    assert got.figures["accounts"] == 7_741
    assert got.figures["owe_over_1k"] == 1_239
    assert got.figures["collateral_equal"] >= 0.93
    assert got.figures["health_within_2_percent"] >= 0.60
    assert got.figures["same_side_of_1"] >= 0.99


def test_every_compound_account_that_differs_has_a_cause(compound):
    case, report = compound
    got = real_books.compare_compound(case, report.to_polars())
    sums = got.causes.group_by("differs").agg(pl.col("accounts").sum())
    per = dict(sums.iter_rows())
    n = got.figures["accounts"]
    assert per["collateral"] == round(n * (1.0 - got.figures["collateral_equal"]))
    owing = got.figures["owe_over_1k"]
    assert per["health"] == round(owing * (1.0 - got.figures["health_within_2_percent"]))
    assert not got.causes["cause"].str.contains("unexplained").any()


def test_a_compound_account_by_hand(compound):
    # Single-market accounts: ctoken_balance x weight = collateral, stored loan x price = debt.
    case, report = compound
    table = report.to_polars()
    held = case.book.holdings.filter(pl.col("quantity") > 0.0)
    only = pl.col("item").count().over("account") == 1
    row = held.filter(only & (pl.col("item") == "cETH")).row(0, named=True)
    ours = table.filter(table["account"] == row["account"])["collateral_value"].item()
    assert ours == pytest.approx(row["quantity"] * 0.016569054911949096, rel=1e-12)


def test_hyperliquid_liquidation_prices(shared, rules):
    january_4, january_25 = real_venues.hyperliquid_cases(shared, rules)
    got = real_venues.compare_hyperliquid(january_4, answer_of(january_4).to_polars())
    print(got.figures)
    assert got.figures["isolated"] == 16
    assert got.figures["cross_inferred"] == 115
    assert got.figures["left_out"] == 3
    assert got.figures["isolated_price_off_median"] < 0.01
    assert got.figures["isolated_within_5_percent"] == 1.0
    # Inferred equity: the price comes back, by construction; a slip in sign or unit would show.
    assert got.figures["cross_price_off_max"] < 1e-9
    assert len(january_25.stated) + sum(january_25.left_out.values()) == 20
    assert january_4.stated["inferred"].sum() == 115


def test_aave_accounts_that_can_be_priced(shared, rules):
    case = real_venues.aave_case(shared, rules)
    got = real_venues.compare_aave(case, answer_of(case).to_polars())
    print(got.figures, case.left_out)
    assert got.figures["accounts"] + got.figures["left_out"] == 7_413  # accounts by version
    assert got.figures["accounts"] == 2_500
    assert 0 not in case.left_out.values()
    assert got.figures["health_median"] > 1.0
    ours = answer_of(replace(case, rulebook=rules, method="cross_correlated"))
    assert ours.verdicts()["UNPRICED"] == 0


def test_deribit_marks_vols_deltas_and_vegas(shared, rules):
    case = real_options.option_case(shared, stamp("2026-01-15T18:00Z"), rules)
    got = real_options.compare_options(case, answer_of(case).to_polars())
    print(got.figures)
    assert got.figures["options"] > 1_400
    assert got.figures["mark_off_median_coin"] < real_options.MARK_MEDIAN
    assert got.figures["mark_off_p99_coin"] < real_options.MARK_P99
    assert got.figures["iv_off_median"] < 5e-4  # the venue rounds volatilities to 1e-4
    assert got.figures["delta_off_median"] < 5e-4
    assert got.figures["vega_off_median"] < 5e-3
    assert got.figures["pool_equity_off_max"] < 1e-3


def test_deribit_marks_over_every_chain(shared):
    got = real_options.pooled_mark_errors(shared)
    print(got)
    assert got["mark_off_median_coin"] < real_options.MARK_MEDIAN
    # The catalogue's 4.6e-4 covers eight months; these two hold the crash of 5 February 2026, and
    # 99 % of what lies beyond is in the money, where a forward seconds older than its mark shows.
    assert got["mark_off_p99_coin"] < 1e-3


def test_a_stamp_without_a_chain_has_no_option_book(shared, rules):
    with pytest.raises(Exception, match="option chain"):
        real_options.option_case(shared, stamp("2022-06-13T12:00Z"), rules)
