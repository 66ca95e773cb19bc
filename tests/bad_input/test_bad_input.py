"""Every malformed input ends in one clear error, or marks the rows concerned and no others."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from bad_input.cases import (
    BOOK,
    BOOKS,
    CASES,
    MARKET,
    MARKETS,
    RULEBOOK,
    RULEBOOKS,
    Case,
    documents,
)
from crossmargin.adapters.codec import accounts_from_json, market_from_json, rulebook_from_toml
from crossmargin.base.errors import Finding, InputInvalid
from crossmargin.frames.book import BookFrame
from crossmargin.frames.compile import compile_book
from crossmargin.frames.listing import compile_market
from crossmargin.frames.market import MarketFrame, Status
from crossmargin.frames.written import tables_from_accounts
from crossmargin.margin.lint import Severity, lint

METHODS = ("isolated", "cross_sum", "cross_correlated", "portfolio")
STALE_S = 60.0


def market_of(data: bytes, strict: bool = True) -> tuple[MarketFrame, list[Finding]]:
    return compile_market(market_from_json(data, "market.json"), STALE_S, strict)


def book_of(data: bytes, strict: bool = True) -> tuple[BookFrame, list[Finding]]:
    market, _ = market_of(json.dumps(MARKET).encode())
    tables = tables_from_accounts(accounts_from_json(data, "book.json"), "book.json")
    return compile_book(tables, market, "cross_sum", METHODS, strict)


def complete(finding: Finding) -> bool:
    return bool(finding.where) and bool(finding.allowed)


def ids(cases: list[Case]) -> list[str]:
    return [case.name for case in cases]


def test_the_table_is_long_enough_and_its_names_differ():
    assert len(CASES) >= 40
    assert len(set(ids(CASES))) == len(CASES)


def test_the_inputs_without_a_fault_are_accepted():
    market, findings = market_of(json.dumps(MARKET).encode())
    assert findings == []
    assert (market.instruments.status == Status.LIVE).all()
    book, findings = book_of(json.dumps(BOOK).encode())
    assert findings == []
    assert not book.set_aside.any()
    assert book.exact
    assert not [f for f in lint(rulebook_from_toml(RULEBOOK)) if f.severity is Severity.ERROR]


@pytest.mark.parametrize("case", BOOKS, ids=ids(BOOKS))
def test_a_bad_book_raises_one_clear_error(case: Case):
    with pytest.raises(InputInvalid) as caught:
        book_of(documents(case)[0])
    assert case.error is not None
    assert isinstance(caught.value, case.error)
    assert re.search(case.says, str(caught.value))
    assert "book.json" in str(caught.value)
    assert all(complete(finding) for finding in caught.value.findings)


@pytest.mark.parametrize("case", BOOKS, ids=ids(BOOKS))
def test_a_bad_row_sets_only_its_own_pool_aside(case: Case):
    if case.marks is None:
        with pytest.raises(InputInvalid):
            book_of(documents(case)[0], strict=False)
        return
    book, findings = book_of(documents(case)[0], strict=False)
    owners = book.account_of_pool()
    aside = {
        f"{book.account_names[int(owners[pool])]}/{book.pool_names[int(pool)]}"
        for pool in np.flatnonzero(book.set_aside)
    }
    assert aside == set(case.marks)
    assert findings
    assert np.isfinite(book.quantity).all()
    assert list(book.account_names) == ["alice", "bob", "carol"]


@pytest.mark.parametrize("case", MARKETS, ids=ids(MARKETS))
def test_a_bad_market_raises_or_marks_the_row(case: Case):
    data = documents(case)[1]
    if case.error is None:
        _, findings = market_of(data)
    else:
        with pytest.raises(InputInvalid) as caught:
            market_of(data)
        assert isinstance(caught.value, case.error)
        findings = list(caught.value.findings)
    assert case.says == "" or re.search(case.says, "\n".join(map(str, findings)))
    assert all(finding.where.startswith("market.json") for finding in findings)
    assert all(complete(finding) for finding in findings)


@pytest.mark.parametrize("case", MARKETS, ids=ids(MARKETS))
def test_a_bad_row_of_a_market_is_missing_and_no_other_is(case: Case):
    data = documents(case)[1]
    if case.marks is None:
        with pytest.raises(InputInvalid):
            market_of(data, strict=False)
        return
    market, _ = market_of(data, strict=False)
    names = market.factors.names + market.instruments.names
    status = np.concatenate([market.factors.status, market.instruments.status])
    missing = {name for name, s in zip(names, status, strict=True) if s == Status.MISSING}
    assert missing == set(case.marks)
    # Nothing that is missing has a price to be taken by mistake.
    bad = market.instruments.status == Status.MISSING
    assert np.isnan(market.instruments.forward[bad]).all()


@pytest.mark.parametrize("case", RULEBOOKS, ids=ids(RULEBOOKS))
def test_a_bad_rulebook_is_refused_by_the_name_of_its_key(case: Case):
    with pytest.raises(InputInvalid) as caught:
        rulebook_from_toml(documents(case)[2], "mine.toml")
    assert case.error is not None
    assert isinstance(caught.value, case.error)
    assert re.search(case.says, str(caught.value))
    assert "mine.toml" in str(caught.value)
    assert all(complete(finding) for finding in caught.value.findings)


def test_a_stale_price_is_marked_stale_and_keeps_its_last_good_level():
    case = next(case for case in MARKETS if case.name == "level_is_stale")
    market, findings = market_of(documents(case)[1])
    assert market.factors.status[1] == Status.STALE
    assert market.factors.level[1] == 3000.0
    assert findings == []


def test_an_instrument_of_unknown_kind_is_left_out_so_that_its_holders_are_set_aside():
    case = next(case for case in MARKETS if case.name == "kind_is_unknown")
    market, _ = market_of(documents(case)[1], strict=False)
    assert "BTC-PERP" not in market.instruments.names
    tables = tables_from_accounts(accounts_from_json(json.dumps(BOOK).encode()))
    book, _ = compile_book(tables, market, "cross_sum", METHODS, strict=False)
    assert book.set_aside.tolist() == [True, False, False, False]  # alice shared, ring, bob, carol


def test_all_bad_rows_are_reported_at_once():
    accounts = [{"account": f"a{i}", "balances": {"ETH": "NaN"}} for i in range(50)]
    with pytest.raises(InputInvalid) as caught:
        book_of(json.dumps(accounts).encode())
    assert len(caught.value.findings) == 50
    assert "... and 30 more" in str(caught.value)  # 20 are printed
