"""The examples of docs/formats.md run, and docs/limits.md says what the code says."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import msgspec
import pytest

from crossmargin.adapters.codec import accounts_from_json, market_from_json
from crossmargin.adapters.files import load_book, load_rulebook, read_table
from crossmargin.adapters.quote_feed import SentQuote
from crossmargin.adapters.quotes import QUOTE_COLUMNS, quote_blocks, quote_names
from crossmargin.frames.compile import HOLDING_COLUMNS, ORDER_COLUMNS, compile_book
from crossmargin.frames.history import history_from_table
from crossmargin.frames.listing import compile_market
from crossmargin.frames.market import MarketFrame
from crossmargin.frames.pools import POOL_COLUMNS
from crossmargin.frames.terms import ASSET_COLUMNS, FACTOR_COLUMNS, INSTRUMENT_COLUMNS
from crossmargin.frames.written import tables_from_accounts
from crossmargin.oracle.state import universe_of

DOCS = Path(__file__).resolve().parents[2] / "docs"
FORMATS = (DOCS / "formats.md").read_text()
METHODS = ("isolated", "cross_sum", "portfolio")


def blocks(kind: str) -> list[str]:
    """Return the fenced blocks that open with this word, or these words."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", FORMATS, re.MULTILINE | re.DOTALL)


def market() -> MarketFrame:
    (text,) = blocks("json market")
    made, findings = compile_market(market_from_json(text.encode()), 60.0)
    assert findings == []
    return made


def test_the_json_book_compiles():
    (text,) = blocks("json book")
    tables = tables_from_accounts(accounts_from_json(text.encode()))
    book, findings = compile_book(tables, market(), "cross_sum", METHODS)
    assert findings == []
    assert list(book.pool_names) == ["shared", "gamble", "shared"]


def test_the_tables_compile(tmp_path: Path):
    for name in ("holdings", "pools", "orders"):
        (text,) = blocks(f"csv {name}")
        (tmp_path / f"{name}.csv").write_text(text)
    book, findings = compile_book(load_book(tmp_path), market(), "cross_sum", METHODS)
    assert findings == []
    assert book.n_accounts == 2
    assert book.n_pools == 3
    assert book.exact


def test_the_history_reads(tmp_path: Path):
    (text,) = blocks("csv history")
    (tmp_path / "history.csv").write_text(text)
    assert history_from_table(read_table(tmp_path / "history.csv")).close.tolist() == [
        [59900.0],
        [60000.0],
    ]


def test_the_quotes_read_and_the_message_of_a_feed_too(tmp_path: Path):
    (text,) = blocks("csv quotes")
    path = tmp_path / "quotes.csv"
    path.write_text(text)
    names = quote_names(path)
    oracle = load_rulebook("prime-24h").oracle
    (empty, block) = quote_blocks(path, universe_of(names.factors, names.sources, oracle))
    assert empty.findings == block.findings == ()
    assert len(block.quotes) == 3
    (text,) = blocks("json quote")
    assert msgspec.json.decode(text, type=SentQuote).sequence == 1


@pytest.mark.parametrize("number", range(2))
def test_the_python_examples_run(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (text,) = blocks("json market")
    (tmp_path / "market.json").write_text(text)
    exec(compile(blocks("python")[number], "docs/formats.md", "exec"), {})
    assert capsys.readouterr().out


def test_every_column_is_described():
    inner = {"where", "slot"}  # say where in a JSON document a row stood
    for columns in (HOLDING_COLUMNS, POOL_COLUMNS, ORDER_COLUMNS, FACTOR_COLUMNS, ASSET_COLUMNS,
                    INSTRUMENT_COLUMNS, QUOTE_COLUMNS):  # fmt: skip
        for name in set(columns) - inner:
            assert re.search(rf"[`,\n\"]{name}[`,\n\"]", FORMATS), name


def test_every_limit_is_what_the_code_says():
    text = (DOCS / "limits.md").read_text()
    found = re.findall(r"^\| .* \| ([0-9,e-]+) \| `([a-z_.]+)\.([A-Z_]+)` \|$", text, re.MULTILINE)
    assert len(found) >= 15
    for said, module, name in found:
        value = getattr(importlib.import_module(f"crossmargin.{module}"), name)
        assert float(said.replace(",", "")) == float(value), name
