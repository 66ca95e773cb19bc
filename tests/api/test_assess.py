"""The public names: one answer whichever way a book comes in; reports that say what they are."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given

import crossmargin as cm
from bad_input.cases import BOOK, MARKET, RULEBOOK
from crossmargin.api.report import COLUMNS, Report
from crossmargin.frames.book import select_pools
from crossmargin.margin.requirement import Verdict
from crossmargin.methods.registry import assess, assess_pools, select_accounts
from strategies import METHODS, World, worlds
from twins.bridge import book_frame
from twins.rows import prepare

ACCOUNTS = [
    cm.Account(
        "alice",
        balances={"ETH": "10.5", "USDC": "-1000"},
        positions=(
            cm.Position("BTC-PERP", "-0.5", "61000"),
            cm.Position("ETH-3500-C", "-2"),
        ),
        orders=(cm.Order("BTC-PERP", "0.1", "59000"),),
        pools=(cm.Pool("ring", balances={"USDC": "500"}, draw_limit="40"),),
    ),
    cm.Account("bob", balances={"USD": "5000", "BTC": "0.25"}),
    cm.Account(
        "carol",
        balances={"USDC": "20000"},
        positions=(cm.Position("ETH-USD-INV", "100", "2900"),),
    ),
]
# docs/formats.md, the margin report
DOCUMENTED = [
    "account", "pool", "method", "equity", "collateral_value", "margin_balance_im",
    "margin_balance_mm", "im", "mm", "health", "margin_ratio", "buffer_mm", "buffer_im", "verdict",
    "binding_term", "worst_scenario", "worst_loss", "draw_mm", "draw_im", "unpriced", "exact",
]  # fmt: skip


@pytest.fixture(scope="module")
def market_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("market") / "market.json"
    path.write_text(json.dumps(MARKET))
    return path


@pytest.fixture(scope="module")
def market(market_file: Path) -> cm.Market:
    return cm.prepare(market_file)


@pytest.fixture(scope="module")
def report(market: cm.Market) -> cm.Report:
    return cm.assess(ACCOUNTS, market)


def bits(report: cm.Report) -> dict[str, bytes]:
    return {name: np.ascontiguousarray(getattr(report.frame, name)).tobytes() for name in COLUMNS}


# --- one answer whichever way ---------------------------------------------------------------------


def test_objects_json_tables_columns_and_folders_give_the_same_bits(market, report, tmp_path):
    whole = tmp_path / "book.json"
    whole.write_text(json.dumps(BOOK))
    tables = cm.load_book(whole)
    cm.save_book(tables, tmp_path / "folder")
    csv = tmp_path / "csv"
    csv.mkdir()
    for name in ("holdings", "pools", "orders"):
        table = getattr(tables, name)
        if table is not None:
            table.write_csv(csv / f"{name}.csv")
    frame, findings = cm.compile_account(ACCOUNTS, market)
    assert findings == ()
    for book in (whole, str(whole), tables, tmp_path / "folder", csv, frame):
        assert bits(cm.assess(book, market)) == bits(report), type(book)


def test_one_account_alone_is_the_same_row(market, report):
    for i, account in enumerate(ACCOUNTS):
        alone = cm.assess(account, market)
        rows = slice(*report.book.account_starts[i : i + 2])
        for name in COLUMNS:
            got, want = getattr(alone.frame, name), getattr(report.frame, name)[rows]
            assert got.tobytes() == want.tobytes(), name


def test_a_market_comes_prepared_as_tables_as_columns_or_as_a_file(market_file, report, tmp_path):
    source = cm.load_market(market_file)
    rules = tmp_path / "mine.toml"
    rules.write_bytes(RULEBOOK)
    for given_ in (market_file, str(market_file), source, source.frame, cm.prepare(source)):
        assert bits(cm.assess(ACCOUNTS, given_)) == bits(report)
    assert bits(cm.assess(ACCOUNTS, source, cm.load_rulebook(rules))) == bits(report)
    assert bits(cm.assess(ACCOUNTS, source, str(rules))) == bits(report)


def test_a_method_by_name_overrides_every_pools_own(market, report):
    for method in METHODS:
        asked = cm.assess(ACCOUNTS, market, method=method)
        assert set(asked.to_polars()["method"]) == {method}
        frame, _ = cm.compile_account(ACCOUNTS, market)
        assert bits(cm.assess(frame, market, method=method)) == bits(asked)
    assert set(report.to_polars()["method"]) == {cm.DEFAULT_METHOD}
    with pytest.raises(cm.InputInvalid, match="cross_sum"):
        cm.assess(ACCOUNTS, market, method="cross")


def test_an_empty_book_is_an_empty_report(market):
    empty = cm.assess([], market)
    assert len(empty) == 0
    assert empty.to_polars().columns == DOCUMENTED
    assert sum(empty.verdicts().values()) == 0


@given(worlds())
def test_a_pool_in_a_batch_is_the_pool_alone(world: World):
    market = prepare(world.market)
    book = book_frame(world.market, world.accounts)
    whole = assess(book, market, threads=1, parts=True)
    for c in range(book.n_accounts):
        rows = slice(int(book.account_starts[c]), int(book.account_starts[c + 1]))
        alone = assess(select_accounts(book, np.array([c])), market, threads=1)
        for name in ("equity", "mm", "im", "buffer_mm", "buffer_im", "health", "draw_mm"):
            assert getattr(alone, name).tobytes() == getattr(whole, name)[rows].tobytes(), name
    picked = np.array([book.n_pools - 1])
    few = assess_pools(book, market, picked)
    # An UNPRICED pool has no numbers: which of its parts are NaN and which 0 says nothing.
    np.testing.assert_array_equal(
        np.nan_to_num(few.parts_mm), np.nan_to_num(whole.parts_mm[:, picked])
    )
    order = np.arange(book.n_pools)[::-1]
    assert list(select_pools(book, order).pool_names) == list(book.pool_names)[::-1]


# --- what a report says ---------------------------------------------------------------------------


def test_the_table_has_exactly_the_documented_columns(report):
    table = report.to_polars()
    assert table.columns == DOCUMENTED
    assert table["account"].to_list() == ["alice", "alice", "bob", "carol"]
    assert table["pool"].to_list() == ["shared", "ring", "shared", "shared"]
    assert table.schema["worst_scenario"] == pl.String
    pandas = report.to_pandas()
    assert list(pandas.columns) == DOCUMENTED
    assert pandas["equity"].tolist() == table["equity"].to_list()


def test_an_infinite_health_is_infinite_and_a_missing_number_is_null(market):
    accounts = [cm.Account("free", balances={"USD": "5"}), cm.Account("bad", balances={"USD": "x"})]
    with pytest.raises(cm.BookInvalid):
        cm.assess(accounts, market)
    table = cm.assess(accounts, market, strict=False).to_polars()
    assert table["health"].to_list() == [math.inf, None]
    assert table["margin_ratio"].to_list() == [0.0, None]


def test_the_header_says_where_the_numbers_come_from(report):
    head = report.header()
    assert head["numeraire"] == "USD"
    assert head["at"] == "2025-12-30T12:00:00Z"
    assert head["source"] == "made by hand"
    assert head["rulebook"].startswith("prime-24h")
    assert head["horizon_hours"] == 24.0
    assert head["rulebook_digest"] == cm.load_rulebook("prime-24h").digest[:16]
    assert head["pools"] == 4
    assert head["exact"] is True
    assert head["joint_rows"] == 0
    assert json.loads(json.dumps(head)) == head


def test_floats_are_marked_inexact(market):
    table = pl.DataFrame({"account": ["a"], "item": ["USD"], "quantity": [5.0]})
    asked = cm.assess(cm.BookTables(table, None, None, "floats"), market)
    assert asked.header()["exact"] is False
    assert asked.to_polars()["exact"].to_list() == [False]
    assert asked.to_polars()["equity"].to_list() == [5.0]


def test_danger_is_verdict_then_health_then_buffer(market):
    accounts = [
        cm.Account("safe", balances={"USD": "5"}),
        cm.Account("owes", balances={"USDC": "-5"}),
        cm.Account("near", balances={"ETH": "1", "USDC": "-2350"}),
        cm.Account("fine", balances={"ETH": "1", "USDC": "-100"}),
        cm.Account("bad", balances={"ETH": "NaN"}),
    ]
    asked = cm.assess(accounts, market, strict=False)
    assert asked.sorted_by_danger()["account"].to_list() == [
        "bad", "owes", "near", "fine", "safe",
    ]  # fmt: skip
    assert asked.verdicts() == {
        "UNPRICED": 1, "BANKRUPT": 1, "LIQUIDATABLE": 0, "REDUCE_ONLY": 1, "HEALTHY": 2,
    }  # fmt: skip


def test_an_accounts_verdict_is_the_worst_of_its_pools(market, report):
    assert len(report.account_verdicts()) == 3
    sick = cm.Account(
        "a", balances={"USD": "5"},
        pools=(cm.Pool("ring", balances={"USDC": "-5"}, draw_limit="0"),),
    )  # fmt: skip
    assert cm.assess(sick, market).account_verdicts() == ["BANKRUPT"]


def test_an_explanation_is_plain_values_all_the_way_down(report):
    said = report.explain("alice", leave_one_out=True)
    assert json.loads(json.dumps(said.to_dict())) == said.to_dict()
    assert said.buffer_mm.gap() < 1e-6
    assert "alice / shared" in str(said)
    assert report.explain("alice", "ring").pool == "ring"
    for account, pool in (("nobody", "shared"), ("bob", "ring")):
        with pytest.raises(cm.InputInvalid):
            report.explain(account, pool)


def test_compare_is_the_same_book_under_each_method(market, report):
    compared = report.compare(["isolated", "cross_sum"])
    assert list(compared) == ["isolated", "cross_sum"]
    for method, asked in compared.items():
        assert bits(asked) == bits(cm.assess(ACCOUNTS, market, method=method))


def test_greeks_and_stress_are_tables_of_the_same_pools(market, report):
    names, pnl = report.stress()
    assert pnl.shape == (4, len(names))
    assert len(names) == len(set(names)) > 10
    fall = names.index(next(n for n in names if "2020" in n and "mirrored" not in n))
    assert pnl[2, fall] < 0.0  # bob holds bitcoin
    table = report.greeks("bob")
    # 0.25 BTC at 60,000: 1 % is 150 dollars.
    assert table.filter(pl.col("factor") == "BTC/USD")["delta"].to_list() == pytest.approx([150.0])
    assert set(report.greeks()["account"]) == {"alice", "bob", "carol"}


def test_a_markets_findings_stand_in_the_report(market_file, tmp_path):
    broken = json.loads(market_file.read_text())
    broken["instruments"][0]["forward"] = -1.0
    path = tmp_path / "market.json"
    path.write_text(json.dumps(broken))
    source = cm.load_market(path)
    asked = cm.assess(ACCOUNTS, source, strict=False)
    assert any("BTC-PERP" in str(f) or "forward" in str(f) for f in asked.findings)
    assert asked.to_polars()["unpriced"].to_list() == [True, False, False, False]


def test_verdicts_and_columns_of_a_report_are_those_of_its_frame(report):
    assert isinstance(report, Report)
    table = report.to_polars()
    for name in COLUMNS:
        np.testing.assert_array_equal(table[name].to_numpy(), getattr(report.frame, name))
    assert [Verdict[v] for v in table["verdict"]] == report.frame.verdict.tolist()
    again = replace(report, frame=assess(report.book, report.market, threads=2))
    assert bits(again) == bits(report)


def test_the_demo_is_a_book_and_a_market_from_a_seed():
    tables, source = cm.demo(seed=3, n_accounts=12)
    first = cm.assess(tables, cm.prepare(source), method="cross_sum")
    again = cm.assess(*cm.demo(seed=3, n_accounts=12), method="cross_sum")
    assert bits(first) == bits(again)
    assert first.book.n_accounts == 12
    assert not first.to_polars()["unpriced"].any()
