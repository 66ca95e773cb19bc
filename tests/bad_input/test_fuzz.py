"""Damaged documents of every format: only our own exceptions come out, whatever the bytes.

Each example takes a good document, damages it, and sends it the whole way: bytes, tables, frames.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bad_input.cases import BOOK, MARKET, RULEBOOK
from crossmargin.adapters.codec import accounts_from_json, market_from_json, rulebook_from_toml
from crossmargin.adapters.files import load_book, read_table
from crossmargin.base.errors import CrossmarginError, FileUnreadable, InputInvalid
from crossmargin.frames.compile import compile_book
from crossmargin.frames.listing import compile_market
from crossmargin.frames.market import MarketFrame
from crossmargin.frames.written import tables_from_accounts
from crossmargin.margin.lint import lint

METHODS = ("isolated", "cross_sum")


@functools.cache
def market() -> MarketFrame:
    return compile_market(market_from_json(json.dumps(MARKET).encode()), 60.0)[0]


@functools.cache
def table(suffix: str) -> bytes:
    """Return the good book's holdings as the bytes of one file."""
    frame = tables_from_accounts(accounts_from_json(json.dumps(BOOK).encode())).holdings
    frame = frame.filter(pl.col("pool") == "shared").drop("slot", "where")
    out = io.BytesIO()
    if suffix == ".csv":
        return frame.write_csv().encode()
    (frame.write_parquet if suffix == ".parquet" else frame.write_ipc)(out)
    return out.getvalue()


def book_from_bytes(data: bytes) -> None:
    tables = tables_from_accounts(accounts_from_json(data))
    compile_book(tables, market(), "cross_sum", METHODS, strict=False)


def market_from_bytes(data: bytes) -> None:
    compile_market(market_from_json(data), 60.0, strict=False)


def rulebook_from_bytes(data: bytes) -> None:
    lint(rulebook_from_toml(data))


def file_from_bytes(suffix: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"holdings{suffix}"
        path.write_bytes(data)
        compile_book(load_book(path), market(), "cross_sum", METHODS, strict=False)


def damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """A few bytes replaced, inserted or repeated; sometimes the end is cut off."""
    at = st.integers(0, len(good) - 1)
    piece = st.one_of(
        st.binary(max_size=4),
        st.sampled_from([b"NaN", b"null", b"-1", b"1e999", b'"', b"[", b"{", b"}", b"\x00", b",,",
                         b"inf", b"\xff\xfe", b"\n", b"0" * 40]),
    )  # fmt: skip
    cut = st.one_of(st.none(), at)
    edits = st.lists(st.tuples(at, st.integers(0, 8), piece), min_size=1, max_size=4)

    def build(how: tuple[list[tuple[int, int, bytes]], int | None]) -> bytes:
        data = good
        for place, length, new in how[0]:
            data = data[:place] + new + data[place + length :]
        return data if how[1] is None else data[: how[1]]

    return st.tuples(edits, cut).map(build)


LOADERS: list[tuple[str, bytes, Callable[[bytes], None]]] = [
    ("book.json", json.dumps(BOOK).encode(), book_from_bytes),
    ("market.json", json.dumps(MARKET).encode(), market_from_bytes),
    ("rulebook.toml", RULEBOOK, rulebook_from_bytes),
    ("holdings.csv", table(".csv"), functools.partial(file_from_bytes, ".csv")),
    ("holdings.parquet", table(".parquet"), functools.partial(file_from_bytes, ".parquet")),
    ("holdings.arrow", table(".arrow"), functools.partial(file_from_bytes, ".arrow")),
]


@pytest.mark.parametrize(
    ("good", "load"), [row[1:] for row in LOADERS], ids=[r[0] for r in LOADERS]
)
def test_the_good_document_loads(good: bytes, load: Callable[[bytes], None]):
    load(good)


@pytest.mark.parametrize(
    ("good", "load"), [row[1:] for row in LOADERS], ids=[r[0] for r in LOADERS]
)
@given(data=st.data())
def test_no_foreign_exception_escapes_a_damaged_document(
    good: bytes, load: Callable[[bytes], None], data: st.DataObject
):
    raw = data.draw(damaged(good))
    with contextlib.suppress(CrossmarginError):
        load(raw)


def leaves(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every value inside a document, containers included."""
    found = [path] if path else []
    if isinstance(value, dict):
        items = list(value.items())
    else:
        items = list(enumerate(value)) if isinstance(value, list) else []
    for key, inner in items:
        found += leaves(inner, (*path, key))
    return found


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip


@pytest.mark.parametrize(
    ("document", "load"),
    [(BOOK, book_from_bytes), (MARKET, market_from_bytes)],
    ids=["book", "market"],
)
@given(data=st.data())
def test_no_foreign_exception_escapes_a_document_with_a_strange_value(
    document: dict[str, object], load: Callable[[bytes], None], data: st.DataObject
):
    changed = json.loads(json.dumps(document))
    way = data.draw(st.sampled_from(leaves(document)))
    place = changed
    for step in way[:-1]:
        place = place[step]
    place[way[-1]] = data.draw(ANYTHING)
    with contextlib.suppress(CrossmarginError):
        load(json.dumps(changed).encode())


@settings(max_examples=50)
@given(st.binary(max_size=200), st.sampled_from([".json", ".csv", ".parquet", ".arrow"]))
def test_no_foreign_exception_escapes_bytes_of_nothing(raw: bytes, suffix: str):
    with contextlib.suppress(CrossmarginError):
        file_from_bytes(suffix, raw)


def test_every_cut_of_a_parquet_file_is_refused(tmp_path: Path):
    good = table(".parquet")
    path = tmp_path / "holdings.parquet"
    for size in range(0, len(good) - 1, 37):
        path.write_bytes(good[:size])
        with pytest.raises(FileUnreadable):
            read_table(path)


@pytest.mark.parametrize(("name", "data", "says"), [
    ("a.parquet", b"PK\x03\x04 not parquet", "PAR1"),
    ("a.csv", b"", "empty"),
    ("a.csv", b"account,item,quantity\na,ETH,1,2\n", "csv"),
    ("a.csv", b"account,item\na,ETH\xff\n", "utf-8"),
    ("a.xlsx", b"PK", "extension"),
    ("a.arrow", b"ARROW1\x00\x00junk", "arrow"),
])  # fmt: skip
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, data: bytes, says: str):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputInvalid, match=says) as caught:
        load_book(tmp_path / name)
    assert name in str(caught.value)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path):
    with pytest.raises(FileUnreadable, match="existing file"):
        load_book(tmp_path / "nothing.csv")


def test_a_table_without_a_needed_column_is_refused(tmp_path: Path):
    (tmp_path / "h.csv").write_text("account,quantity\na,1\n")
    with pytest.raises(InputInvalid, match="column item"):
        compile_book(load_book(tmp_path / "h.csv"), market(), "cross_sum", METHODS)
