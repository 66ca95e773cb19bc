"""`crossmargin real`: what it prints, and what it refuses."""

from __future__ import annotations

import json

import pytest

from crossmargin.apps.cli.outcome import Exit
from crossmargin.apps.cli.real import real, stamp
from crossmargin.base.errors import InputInvalid


@pytest.mark.real
def test_the_report_is_json_with_every_book(shared, capsys):
    assert real(shared, at="2026-02-05T22:00Z", events=True, json=True) == Exit.OK
    answer = json.loads(capsys.readouterr().out)
    assert [b["book"].split()[0].strip(",") for b in answer["books"]] == [
        "Compound", "Hyperliquid", "Hyperliquid", "Aave", "Deribit",
    ]  # fmt: skip
    assert answer["markets"][0]["options"] == 1_840
    assert len(answer["events"]) == 7


@pytest.mark.real
def test_the_report_is_readable(shared, capsys):
    assert real(shared, at="2022-06-13T12:00Z", book="compound") == Exit.OK
    out = capsys.readouterr().out
    assert "no option" in out
    assert "collateral_equal" in out


def test_a_folder_without_data_is_refused(tmp_path, capsys):
    assert real(tmp_path) == Exit.BAD_INPUT
    assert "must be the data folder" in capsys.readouterr().err


def test_an_unknown_book_is_refused(tmp_path, capsys):
    assert real(tmp_path, book="venus") == Exit.BAD_INPUT
    assert "compound" in capsys.readouterr().err


def test_an_hour_that_is_none_is_refused():
    with pytest.raises(InputInvalid, match="UTC stamp"):
        stamp("yesterday")
