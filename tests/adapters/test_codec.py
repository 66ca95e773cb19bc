"""JSON and TOML: every digit arrives, every refusal names its place."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from bad_input.cases import MARKET, RULEBOOK
from crossmargin.adapters.codec import (
    accounts_from_json,
    accounts_to_json,
    market_from_json,
    rulebook_from_toml,
)
from crossmargin.base.errors import InputInvalid, RulebookInvalid
from crossmargin.frames.compile import compile_book
from crossmargin.frames.listing import compile_market
from crossmargin.frames.written import tables_from_accounts

ONE = b'{"account": "a", "balances": {"ETH": 1.123456789012345678, "USD": "5.50"}}'


@pytest.mark.parametrize("data", [ONE, b"[" + ONE + b"]", b'{"accounts": [' + ONE + b"]}"])
def test_one_account_a_list_or_a_document_read_the_same(data: bytes):
    (account,) = accounts_from_json(data)
    # 19 digits do not fit a float: the number was read from its text.
    assert account.balances == {"ETH": Decimal("1.123456789012345678"), "USD": Decimal("5.50")}


def test_accounts_survive_a_round_trip_with_every_digit():
    data = b"""[{"account": "a", "balances": {"ETH": "0.000000000000000001"}, "method": "isolated",
      "positions": [{"instrument": "P", "quantity": "-2", "entry_price": "61000.10"}],
      "orders": [{"instrument": "P", "quantity": "1", "limit_price": "5", "reduce_only": true}],
      "pools": [{"pool": "b", "draw_limit": "40", "drawn": "1.5"}]}]"""
    accounts = accounts_from_json(data)
    assert accounts_from_json(accounts_to_json(accounts)) == accounts


def test_a_refusal_names_the_place_inside_the_document():
    data = b'[{"account": "a", "positions": [{"instrument": "P", "quantity": [1]}]}]'
    with pytest.raises(InputInvalid) as caught:
        accounts_from_json(data, "book.json")
    assert caught.value.where == "book.json: $[0].positions[0].quantity"
    assert caught.value.found == "array"


def test_a_row_refused_later_still_names_its_place_in_the_document():
    market, _ = compile_market(market_from_json(json.dumps(MARKET).encode()), 60.0)
    data = b'{"account": "a", "pools": [{"pool": "b", "balances": {"EHT": 1}, "draw_limit": 0}]}'
    tables = tables_from_accounts(accounts_from_json(data), "book.json")
    with pytest.raises(InputInvalid) as caught:
        compile_book(tables, market, "cross_sum", ("cross_sum",))
    assert caught.value.where == "book.json: accounts[0].pools[0].balances.EHT item"


def test_a_repeated_key_is_refused_because_one_of_them_would_be_lost():
    with pytest.raises(InputInvalid, match="stand once"):
        accounts_from_json(b'{"account": "a", "balances": {"ETH": 1, "ETH": 2}}')


def test_a_market_keeps_the_digits_of_its_numbers_beside_words():
    document = json.loads(json.dumps(MARKET))
    document["factors"][0]["level"] = 60000.123456789
    document["factors"][1]["level"] = "not known"  # one word makes the column text
    market, findings = compile_market(market_from_json(json.dumps(document).encode()), 60.0)
    assert market.factors.level[0] == 60000.123456789
    assert len(findings) == 1


def test_a_rulebook_reads_and_its_digest_follows_its_content():
    rulebook = rulebook_from_toml(RULEBOOK)
    assert rulebook.digest == rulebook_from_toml(RULEBOOK + b"\n# a comment\n").digest
    changed = RULEBOOK.replace(b"kappa = 0.5", b"kappa = 0.6")
    assert rulebook.digest != rulebook_from_toml(changed).digest


def test_a_wrong_key_of_a_class_is_named_with_its_class():
    with pytest.raises(RulebookInvalid) as caught:
        rulebook_from_toml(RULEBOOK.replace(b"range = 0.18", b"range = 1.8"), "mine.toml")
    assert caught.value.where == "mine.toml: classes.ETH.range"
    assert caught.value.found == 1.8
