"""Every format gives the same book; folders survive a round trip; rulebooks ship with us."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bad_input.cases import BOOK, MARKET
from crossmargin.adapters.codec import accounts_from_json, market_from_json
from crossmargin.adapters.files import (
    load_book,
    load_market,
    load_rulebook,
    read_table,
    save_book,
    save_market,
    shipped_rulebooks,
    write_table,
)
from crossmargin.base.errors import FileUnreadable, InputInvalid
from crossmargin.frames.book import BookFrame
from crossmargin.frames.compile import BookTables, compile_book
from crossmargin.frames.listing import compile_market
from crossmargin.frames.written import tables_from_accounts

METHODS = ("cross_sum", "isolated")


def compiled(tables: BookTables) -> BookFrame:
    market, _ = compile_market(market_from_json(json.dumps(MARKET).encode()), 60.0)
    return compile_book(tables, market, "cross_sum", METHODS)[0]


def same(a: BookFrame, b: BookFrame) -> None:
    assert list(a.account_names) == list(b.account_names)
    assert list(a.pool_names) == list(b.pool_names)
    for name in ("item", "quantity", "entry_price", "pool_starts", "draw_limit", "order_limit"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.exact == b.exact


@pytest.fixture
def by_hand() -> BookTables:
    return tables_from_accounts(accounts_from_json(json.dumps(BOOK).encode()))


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow", ".ipc"])
def test_a_book_is_the_same_in_every_format(tmp_path: Path, by_hand: BookTables, suffix: str):
    write_table(by_hand.holdings, tmp_path / f"holdings{suffix}")
    write_table(by_hand.pools, tmp_path / f"pools{suffix}")
    write_table(by_hand.orders, tmp_path / f"orders{suffix}")
    same(compiled(load_book(tmp_path)), compiled(by_hand))


def test_a_saved_book_loads_as_it_was(tmp_path: Path, by_hand: BookTables):
    save_book(by_hand, tmp_path / "book")
    same(compiled(load_book(tmp_path / "book")), compiled(by_hand))


def test_a_saved_market_loads_as_it_was(tmp_path: Path):
    tables = market_from_json(json.dumps(MARKET).encode())
    save_market(tables, tmp_path / "market")
    again = load_market(tmp_path / "market")
    assert again.at_ns == tables.at_ns
    assert again.numeraire == "USD"
    assert again.source == "made by hand"
    assert again.factors.equals(tables.factors)
    assert again.instruments.equals(tables.instruments)


def test_a_market_folder_of_csv_files_loads(tmp_path: Path):
    tables = market_from_json(json.dumps(MARKET).encode())
    for name in ("factors", "assets", "instruments"):
        write_table(getattr(tables, name), tmp_path / f"{name}.csv")
    (tmp_path / "market.json").write_text('{"at": "2025-12-30T12:00Z", "numeraire": "USD"}')
    market, findings = compile_market(load_market(tmp_path), 60.0)
    direct, _ = compile_market(tables, 60.0)
    assert findings == []
    np.testing.assert_array_equal(market.instruments.forward, direct.instruments.forward)


def test_a_parquet_file_of_several_row_groups_is_read_whole(tmp_path: Path):
    table = pl.DataFrame({"account": [str(i) for i in range(100)], "quantity": range(100)})
    table.write_parquet(tmp_path / "t.parquet", row_group_size=7)
    assert read_table(tmp_path / "t.parquet").equals(table)


def test_a_folder_without_holdings_is_refused(tmp_path: Path):
    with pytest.raises(FileUnreadable, match="holdings"):
        load_book(tmp_path)


def test_two_files_for_one_table_are_refused(tmp_path: Path, by_hand: BookTables):
    write_table(by_hand.holdings, tmp_path / "holdings.csv")
    write_table(by_hand.holdings, tmp_path / "holdings.parquet")
    with pytest.raises(FileUnreadable, match="one file"):
        load_book(tmp_path)


def test_a_market_folder_without_a_table_is_refused(tmp_path: Path):
    (tmp_path / "market.json").write_text('{"at": "2025-12-30T12:00Z", "numeraire": "USD"}')
    with pytest.raises(FileUnreadable, match="factors, assets, instruments"):
        load_market(tmp_path)


def test_a_report_of_an_unknown_format_is_refused(tmp_path: Path):
    with pytest.raises(InputInvalid, match="parquet"):
        write_table(pl.DataFrame({"a": [1]}), tmp_path / "r.xlsx")


def test_the_shipped_rulebooks_load_by_name_and_files_by_path(tmp_path: Path):
    assert set(shipped_rulebooks()) >= {"prime-24h", "exchange-4h"}
    assert load_rulebook("prime-24h").name == "prime-24h"
    path = tmp_path / "mine.toml"
    path.write_bytes(shipped_rulebooks()["prime-24h"])
    assert load_rulebook(path).digest == load_rulebook("prime-24h").digest


def test_an_unknown_rulebook_lists_what_there_is():
    with pytest.raises(InputInvalid, match="exchange-4h, prime-24h"):
        load_rulebook("prime")
