"""Must show 4: no malformed input gives a number for the row concerned; the others are answered.

The case table of `cases.py`, taken through the whole path: files, `assess`, the report's table.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import crossmargin as cm
from bad_input.cases import BOOKS, CASES, MARKETS, RULEBOOKS, Case, documents, put
from crossmargin.api.report import COLUMNS
from crossmargin.base.errors import InputInvalid

POOLS = ("alice/shared", "alice/ring", "bob/shared", "carol/shared")
GOOD = Case("good", "book", put("accounts.1.balances.USD", "5000"), None, "")
# Which pools a row of the market touches: what they hold, owe or have a position in.
# ETH merely held and never priced is UNPRICED too (C4): missing is never zero.
HURT = {
    "ETH/USD": {"alice/shared", "carol/shared"},
    "BTC-PERP": {"alice/shared"},
    "ETH-3500-C": {"alice/shared"},
    "ETH-USD-INV": {"carol/shared"},
    "BTC-QUANTO": set(),
}


def write(case: Case, folder: Path) -> tuple[Path, Path, Path]:
    paths = tuple(folder / name for name in ("book.json", "market.json", "rules.toml"))
    for path, data in zip(paths, documents(case), strict=True):
        path.write_bytes(data)
    return paths


def rows_of(report: cm.Report) -> dict[str, dict[str, object]]:
    return {f"{row['account']}/{row['pool']}": row for row in report.to_polars().to_dicts()}


def asked(case: Case, folder: Path, method: str = "cross_sum") -> cm.Report:
    book, market, rules = write(case, folder)
    return cm.assess(book, market, cm.load_rulebook(rules), method, strict=False)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    return rows_of(asked(GOOD, tmp_path_factory.mktemp("good")))


def ids(cases: list[Case]) -> list[str]:
    return [case.name for case in cases]


def number_free(row: dict[str, object]) -> bool:
    return row["unpriced"] is True and all(row[name] is None for name in COLUMNS)


def test_there_are_at_least_forty_cases_and_the_input_without_a_fault_has_every_number(good):
    assert len(CASES) >= 40
    assert set(good) == set(POOLS)
    for row in good.values():
        assert row["unpriced"] is False
        assert all(isinstance(row[name], float) for name in COLUMNS)


@pytest.mark.parametrize("case", BOOKS, ids=ids(BOOKS))
def test_a_bad_book_is_refused_or_its_pools_are_unpriced(case: Case, tmp_path: Path, good):
    book, market, rules = write(case, tmp_path)
    with pytest.raises(InputInvalid, match=case.says):
        cm.assess(book, market, cm.load_rulebook(rules), "cross_sum")
    if case.marks is None:
        with pytest.raises(InputInvalid):
            asked(case, tmp_path)
        return
    report = asked(case, tmp_path)
    rows = rows_of(report)
    assert report.findings
    assert set(rows) == set(POOLS)
    for name in POOLS:
        if name in case.marks:
            assert number_free(rows[name]), name
        elif name == "alice/ring":
            # It is answered; what it may draw depends on the shared pool, which may be aside.
            assert rows[name]["equity"] == good[name]["equity"]
        elif name == "alice/shared":
            # Its bucket is set aside: it keeps nothing at MM and reserves its limit at IM.
            assert rows[name]["equity"] == good[name]["equity"]
            assert rows[name]["mm"] == good[name]["mm"]
        else:
            assert rows[name] == good[name], name


@pytest.mark.parametrize("case", MARKETS, ids=ids(MARKETS))
@pytest.mark.parametrize("method", ["cross_sum", "cross_correlated", "isolated", "portfolio"])
def test_a_bad_market_row_prices_nothing_and_leaves_the_rest(case: Case, method, tmp_path, good):
    if case.marks is None:
        with pytest.raises(InputInvalid, match=case.says):
            asked(case, tmp_path, method)
        return
    if case.name == "level_is_stale":
        return  # a stale price is a price: the next test
    rows = rows_of(asked(case, tmp_path, method))
    hurt = {"alice/shared"} if case.name == "kind_is_unknown" else set()
    for mark in case.marks:
        hurt |= HURT[mark]
    for name in POOLS:
        if name in hurt or method == "portfolio":  # no joint rows: every pool is UNPRICED (C59)
            assert number_free(rows[name]), name
        else:
            assert rows[name]["equity"] == pytest.approx(good[name]["equity"], rel=1e-12), name
            assert rows[name]["unpriced"] is False


def test_a_stale_price_is_no_number_for_who_is_short_and_zero_at_im_for_who_holds(tmp_path: Path):
    case = next(case for case in MARKETS if case.name == "level_is_stale")
    rows = rows_of(asked(case, tmp_path))
    assert number_free(rows["alice/shared"])  # short a call on ETH
    assert number_free(rows["carol/shared"])  # a position in an ETH future
    assert rows["bob/shared"]["unpriced"] is False  # has nothing to do with it


@pytest.mark.parametrize("case", RULEBOOKS, ids=ids(RULEBOOKS))
def test_a_bad_rulebook_answers_nobody(case: Case, tmp_path: Path):
    with pytest.raises(InputInvalid, match=case.says):
        asked(case, tmp_path)


def test_a_truncated_file_is_refused_and_no_row_of_it_is_used(tmp_path: Path):
    book, market, _ = write(GOOD, tmp_path)
    table = pl.DataFrame({"account": ["a", "b"], "item": ["USD", "BTC"], "quantity": ["5", "1"]})
    for suffix in ("parquet", "arrow"):
        whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
        table.write_parquet(whole) if suffix == "parquet" else table.write_ipc(whole)
        assert len(cm.assess(whole, market)) == 2
        for share in (0.3, 0.7, 0.95):
            cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
            with pytest.raises(InputInvalid):
                cm.assess(cut, market, strict=False)
    assert book.exists()


def test_wrong_units_and_a_repeated_name_do_not_reach_a_number(tmp_path: Path):
    _, market, _ = write(GOOD, tmp_path)
    accounts = [
        cm.Account("wei", balances={"ETH": "10500000000000000000"}),
        cm.Account("same", balances={"USD": "1"}),
        cm.Account("good", balances={"USD": "1"}),
    ]
    report = cm.assess(accounts, market, strict=False)
    assert report.to_polars()["equity"].to_list() == [None, 1.0, 1.0]
    with pytest.raises(InputInvalid):
        cm.assess([*accounts[1:], accounts[1]], market, strict=False)


def test_a_row_that_is_aside_changes_no_bit_of_its_neighbours(tmp_path: Path):
    _, market, _ = write(GOOD, tmp_path)
    fine = [cm.Account(f"a{i}", balances={"BTC": str(i + 1), "USD": "-1000"}) for i in range(5)]
    bad = cm.Account("bad", balances={"BTC": "NaN"})
    alone = cm.assess(fine, market).frame
    among = cm.assess([*fine[:2], bad, *fine[2:]], market, strict=False).frame
    rows = [0, 1, 3, 4, 5]
    for name in ("equity", "buffer_mm", "buffer_im", "health"):
        assert getattr(among, name)[rows].tobytes() == getattr(alone, name).tobytes()
    assert np.isnan(among.equity[2])
