"""Books and markets named on the command line, instead of the demo's."""

from __future__ import annotations

import json

from crossmargin import api
from crossmargin.apps.cli.outcome import Exit
from crossmargin.apps.cli.program import run

BOOK = {
    "accounts": [
        {"account": "alice", "method": "portfolio", "balances": {"ETH": "10", "USDC": "-12000"}},
        {"account": "bob", "balances": {"USDC": "500"}},
    ]
}


def answer(capsys, *words: str) -> tuple[int, str, str]:
    code = run(list(words))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_book_and_a_market_from_files(tmp_path, capsys) -> None:
    book = tmp_path / "book.json"
    book.write_text(json.dumps(BOOK))
    code, out, _ = answer(capsys, "margin", "--book", str(book), "--json")
    assert code == Exit.OK  # the demo market stands in where none is named
    assert [row["account"] for row in json.loads(out)["rows"]] == ["alice", "bob"]


def test_a_bad_row_sets_its_pool_aside_and_answers_the_rest(tmp_path, capsys) -> None:
    bad = {"accounts": [*BOOK["accounts"], {"account": "carol", "balances": {"NOPE": "1"}}]}
    book = tmp_path / "book.json"
    book.write_text(json.dumps(bad))
    code, out, _ = answer(capsys, "margin", "--book", str(book), "--json")
    assert code == Exit.UNPRICED
    got = json.loads(out)
    assert {row["account"]: row["unpriced"] for row in got["rows"]} == {
        "alice": False, "bob": False, "carol": True,
    }  # fmt: skip
    assert any("NOPE" in found for found in got["findings"])


def test_one_method_for_every_pool(tmp_path, capsys) -> None:
    book = tmp_path / "book.json"
    book.write_text(json.dumps(BOOK))
    _, out, _ = answer(capsys, "margin", "--book", str(book), "--method", "cross_sum", "--json")
    assert {row["method"] for row in json.loads(out)["rows"]} == {"cross_sum"}


def test_a_market_without_a_book_is_refused(tmp_path, capsys) -> None:
    code, _, err = answer(capsys, "margin", "--market", str(tmp_path))
    assert code == Exit.BAD_INPUT
    assert "--book" in err


def test_a_saved_demo_answers_like_the_demo(tmp_path, capsys) -> None:
    book, source = api.demo(7, 30)
    api.save_book(book, tmp_path / "book")
    from crossmargin.simulation.worlds import world

    api.save_market(world(7, api.DEMO_AT_NS).tables, tmp_path / "market")
    words = ("--book", str(tmp_path / "book"), "--market", str(tmp_path / "market"))
    _, out, _ = answer(capsys, "margin", *words, "--method", "cross_sum", "--json")
    # Joint scenarios come from a history, which was not saved; cross_sum asks for none.
    want = api.assess(book, source, method="cross_sum", strict=False).sorted_by_danger()
    rows = json.loads(out)["rows"]
    assert [row["account"] for row in rows] == want["account"].to_list()
    assert [row["buffer_mm"] for row in rows] == want["buffer_mm"].to_list()
