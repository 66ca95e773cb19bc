"""The same table through the whole path: no number for the row concerned, the others answered."""

from __future__ import annotations

import functools
from typing import Any

import polars as pl
import pytest

from bad_input.cases import BOOKS, CASES, MARKETS, Case, documents
from crossmargin import api
from crossmargin.adapters.codec import accounts_from_json, market_from_json, rulebook_from_toml
from crossmargin.base.errors import CrossmarginError
from crossmargin.frames.written import tables_from_accounts

GOOD = Case("good", "book", lambda document: None, None, "")
# Which pools of the book need what a market case breaks.
HOLDERS = {
    "ETH/USD": {("alice", "shared"), ("carol", "shared")},
    "BTC-PERP": {("alice", "shared")},
    "ETH-3500-C": {("alice", "shared")},
    "ETH-USD-INV": {("carol", "shared")},
    "BTC-QUANTO": set(),
}
# No row is MISSING there, but a stale price, or an instrument left out, leaves its holders.
ALSO = {"level_is_stale": HOLDERS["ETH/USD"], "kind_is_unknown": HOLDERS["BTC-PERP"]}
# An unpriced bucket reserves what it may still draw, 40, at IM on the shared pool (spec 1.1).
RESERVED = {("drawn_is_nan", ("alice", "shared")): 40.0}
NUMBERS = ("equity", "im", "mm", "buffer_mm", "buffer_im", "health")


def answered(case: Case) -> dict[tuple[str, str], dict[str, Any]]:
    book, market, rulebook = documents(case)
    rules = rulebook_from_toml(rulebook)
    source = api.market_from_tables(market_from_json(market), None, rules, False)
    tables = tables_from_accounts(accounts_from_json(book))
    report = api.assess(tables, source, rulebook=rules, strict=False).to_polars()
    return {(row["account"], row["pool"]): row for row in report.iter_rows(named=True)}


@functools.cache
def good() -> dict[tuple[str, str], dict[str, Any]]:
    return answered(GOOD)


def concerned(case: Case) -> set[tuple[str, str]]:
    if case.name in ALSO:
        return ALSO[case.name]
    assert case.marks is not None
    if case.document == "book":
        return {(mark.split("/")[0], mark.split("/")[1]) for mark in case.marks}
    return set().union(*(HOLDERS[mark] for mark in case.marks))


MARKED = [case for case in BOOKS + MARKETS if case.marks is not None]
REFUSED = [case for case in CASES if case.marks is None]


@pytest.mark.parametrize("case", MARKED, ids=[case.name for case in MARKED])
def test_only_the_pools_concerned_are_unpriced(case: Case):
    got = answered(case)
    assert got.keys() == good().keys()
    for pool, row in got.items():
        if pool in concerned(case):
            assert row["verdict"] == "UNPRICED", pool
            assert all(row[name] is None for name in ("im", "mm", "health")), pool
        else:
            more = RESERVED.get((case.name, pool), 0.0)
            want = dict(good()[pool])
            want["im"], want["buffer_im"] = want["im"] + more, want["buffer_im"] - more
            assert [row[name] for name in NUMBERS] == [want[name] for name in NUMBERS], pool


@pytest.mark.parametrize("case", REFUSED, ids=[case.name for case in REFUSED])
def test_what_cannot_be_understood_gives_one_error_and_no_number(case: Case):
    with pytest.raises(CrossmarginError):
        answered(case)


def test_the_good_book_is_answered_in_full():
    frame = pl.DataFrame(list(good().values()))
    assert "UNPRICED" not in frame["verdict"].to_list()
