"""`crossmargin real`: what it prints, and what it refuses."""

from __future__ import annotations

import json

import pytest

from crossmargin.adapters.real_market import real_market
from crossmargin.api import (
    Account,
    Position,
    assess,
    load_market,
    market_from_tables,
    prepare,
)
from crossmargin.apps.cli.outcome import Exit
from crossmargin.apps.cli.real import real, stamp
from crossmargin.base.errors import InputInvalid


@pytest.mark.real
def test_the_report_is_json_with_every_book(shared, capsys):
    assert real(shared=shared, at="2026-02-05T22:00Z", events=True, json=True) == Exit.OK
    answer = json.loads(capsys.readouterr().out)
    assert [b["book"].split()[0].strip(",") for b in answer["books"]] == [
        "Compound", "Hyperliquid", "Hyperliquid", "Aave", "Deribit",
    ]  # fmt: skip
    assert answer["markets"][0]["options"] == 1_840
    assert len(answer["events"]) == 7


@pytest.mark.real
def test_the_report_is_readable(shared, capsys):
    assert real(shared=shared, at="2022-06-13T12:00Z", book="compound") == Exit.OK
    out = capsys.readouterr().out
    assert "no option" in out
    assert "collateral_equal" in out


@pytest.mark.real
def test_a_saved_market_serves_the_other_commands(shared, tmp_path):
    at = "2025-10-10T21:00Z"
    assert real(shared=shared, at=at, book="none", save=tmp_path, json=True) == Exit.OK
    account = Account("one", balances={"USD": "1000"}, positions=(Position("BTC-PERP", "1", "1"),))
    read = prepare(load_market(tmp_path), "prime-24h")
    tables, history = real_market(shared, stamp(at))
    made = prepare(market_from_tables(tables, history), "prime-24h")
    for method in ("cross_correlated", "portfolio"):
        mm = [float(assess(account, m, method=method).frame.mm[0]) for m in (read, made)]
        assert mm[0] == pytest.approx(mm[1], rel=1e-6)


def test_a_market_is_saved_for_a_named_hour_only(tmp_path, capsys):
    assert real(shared=tmp_path, save=tmp_path / "market") == Exit.BAD_INPUT
    assert "--at" in capsys.readouterr().err


def test_a_folder_without_data_is_refused(tmp_path, capsys):
    assert real(shared=tmp_path) == Exit.BAD_INPUT
    assert "must be the data folder" in capsys.readouterr().err


def test_an_unknown_book_is_refused(tmp_path, capsys):
    assert real(shared=tmp_path, book="venus") == Exit.BAD_INPUT
    assert "compound" in capsys.readouterr().err


def test_an_hour_that_is_none_is_refused():
    with pytest.raises(InputInvalid, match="UTC stamp"):
        stamp("yesterday")
