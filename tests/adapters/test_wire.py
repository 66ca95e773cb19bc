"""Commands as JSON: what is a command, what is one InputInvalid, and nothing else."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.adapters import wire
from crossmargin.adapters.wire import (
    command_from_json,
    command_to_json,
    reply_from_json,
    reply_to_json,
)
from crossmargin.base.errors import InputInvalid
from crossmargin.domain.book import Mark, OrderState, Print, Scenarios
from crossmargin.engine import commands as c
from crossmargin.engine.replies import Accepted, Rejected, Rejection
from crossmargin.ledger.events import PoolTerms
from engine.small import CT, T0, Side, listing, prices, rulebook
from engine.streams import Stream, busy
from engine.tally import assert_sound

BIG = 10**37 + 1  # past every 64-bit number, and past what a float holds exactly

EVERY: list[Any] = [
    c.OpenAccount(account="ann", pools=(PoolTerms("shared", "portfolio"), PoolTerms("b", "x", 5))),
    c.OpenPool(account="ann", pool=PoolTerms("b", "cross_sum", None)),
    c.SetStatus(account="ann", status="frozen", reason="é"),
    listing(),
    c.AdoptRulebook(rules=rulebook().packed()),
    c.AdoptScenarios(scenarios=Scenarios(("a",), ("d",), b"\x00" * 8, b"", b"\xff", b"", 1)),
    prices(),
    c.AcceptPrices(stamped_ns=T0, prints={"a": Print(1.5, 0.1, 2.0, "halted")},
                   marks={"b": Mark(1.0, 0.5, None, "live", 1.0, 0.5, -0.001)}),
    c.AdoptVenueTotals(totals={"ETH": 1.5e9}),
    c.AdvanceFunding(instrument="P", rate="-0.0001", price="2000.5"),
    c.AdvanceInterest(asset="USD"),
    c.Deposit(account="ann", asset="WEI", amount=BIG, reference="x"),
    c.Withdraw(account="ann", asset="WEI", amount=BIG),
    c.Borrow(account="ann", asset="USD", amount=1, pool="b"),
    c.Repay(account="ann", asset="USD", amount=1),
    c.Transfer(account="ann", asset="USD", amount=1, to_account="bob", pays_back=True),
    c.AccrueYield(asset="USD", rate="0.01", holders=(("ann", "shared"),), source="@interest"),
    c.Fill(instrument="P", contracts=BIG, price="1e-9", buyer=Side("ann", "b", -5, "o"),
           seller=Side("@outside")),
    c.PlaceOrder(account="ann", order="o", instrument="P", contracts=-CT, limit_price="1",
                 reduce_only=True),
    c.CancelOrder(account="ann"),
    c.ReserveDraws(account="ann"),
    c.ChargeAccruals(holders=(("ann", "shared"), ("bob", "b"))),
    c.SettleExpiry(instrument="F", price="0", holders=(("ann", "shared"),)),
    c.Liquidate(account="ann", instrument="P", contracts=CT, price="1", buys=True,
                counterparty=Side("bob"), penalty=BIG, tier="B"),
    c.Draw(account="ann", pool="b", asset="USD", amount=1),
    c.FundInsurance(tier="A", asset="USD", amount=1),
    c.PayInsurance(account="ann", tier="A", asset="USD", amount=1),
    c.Deleverage(instrument="P", contracts=CT, price="1", bankrupt=("ann", "shared"),
                 bankrupt_buys=False, counterparty=("bob", "shared")),
    c.Socialise(account="ann", asset="USD", amount=1, holders=(("bob", "shared"),)),
    c.Observe(account="mir", source="x", balances={"USD": -BIG}, positions={"P": (-BIG, BIG)}),
    c.ImportAccount(account="ann", balances={"USD": BIG}, positions={"P": (1, -BIG)},
                    orders={"o": OrderState("P", -1, "2", True)}, drawn=BIG, last_draw=1),
    c.Batch(commands=(c.Deposit(account="a", asset="b", amount=BIG), c.CancelOrder(account="b"))),
]  # fmt: skip


def ids(commands: list[Any]) -> list[str]:
    return [f"{n}_{type(command).__name__}" for n, command in enumerate(commands)]


def keyed(command: Any) -> Any:
    return msgspec.structs.replace(command, key="k-1", issued_ns=T0)


@pytest.mark.parametrize("command", EVERY, ids=ids(EVERY))
def test_a_command_written_and_read_is_the_same_command(command: Any) -> None:
    assert command_from_json(command_to_json(keyed(command))) == keyed(command)


def test_every_command_there_is_stands_above() -> None:
    assert {type(command) for command in EVERY} == set(c.Command.__subclasses__())


def texted(value: Any, name: str = "") -> Any:
    """The same JSON with every whole number as text, as a reader of 53 bits has to send them."""
    if isinstance(value, dict):
        return {key: texted(entry, key) for key, entry in value.items()}
    if isinstance(value, list):
        return [texted(entry) for entry in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


EXACT = [x for x in EVERY if not isinstance(x, c.ListMarket | c.AcceptPrices | c.AdoptScenarios)]


@pytest.mark.parametrize("command", EXACT, ids=ids(EXACT))
def test_whole_numbers_may_come_as_their_text(command: Any) -> None:
    line = json.dumps(texted(json.loads(command_to_json(keyed(command))))).encode()
    assert command_from_json(line) == keyed(command)


def test_text_that_looks_like_a_number_stays_text_where_text_is_meant() -> None:
    line = b"""{"type": "Transfer", "key": "123", "account": "7", "asset": "9", "amount": "5",
               "pool": "11", "to_pool": "12"}"""
    assert command_from_json(line) == c.Transfer(
        key="123", account="7", asset="9", amount=5, pool="11", to_pool="12"
    )
    one = c.AdvanceFunding(instrument="1", rate="1", price="2")
    assert command_from_json(command_to_json(one)) == one
    mixed = b"""{"type": "PlaceOrder", "account": "1", "order": "2", "instrument": "3",
                "contracts": "4", "limit_price": "5"}"""
    assert command_from_json(mixed) == c.PlaceOrder(
        account="1", order="2", instrument="3", contracts=4, limit_price="5"
    )


# --- what is no command ---------------------------------------------------------------------------


def pay(amount: str = "1", more: str = "") -> bytes:
    return (
        f'{{"type":"Deposit","key":"k","account":"ann","asset":"USD","amount":{amount}{more}}}'
    ).encode()


def deep(n: int, opening: bytes, closing: bytes, inner: bytes = b"1") -> bytes:
    return opening * n + inner + closing * n


MALFORMED = {
    "nothing": b"",
    "blank": b"   ",
    "word": b"deposit",
    "null": b"null",
    "number": b"5",
    "text": b'"Deposit"',
    "list": b"[]",
    "object": b"{}",
    "no_type": b'{"account":"ann"}',
    "unknown_type": b'{"type":"Mint","account":"ann"}',
    "base_type": b'{"type":"Command"}',
    "a_reply": b'{"type":"accepted","seq":1,"repeated":false}',
    "an_event": b'["Deposited","",[]]',
    "type_of_number": b'{"type":5}',
    "missing_field": b'{"type":"Deposit","account":"ann","asset":"USD"}',
    "unknown_field": pay(more=',"note":"x"'),
    "unknown_side_field": b'{"type":"Fill","instrument":"P","contracts":1,"price":"1",'
    b'"buyer":{"account":"a","x":1},"seller":{"account":"b"}}',
    "cut": pay()[:-1],
    "two": pay() + pay(),
    "two_lines": pay() + b"\n" + pay(),
    "trailing": pay() + b"]",
    "single_quotes": pay().replace(b'"', b"'"),
    "comment": b"/* x */" + pay(),
    "byte_order_mark": b"\xef\xbb\xbf" + pay(),
    "utf_16": pay().decode().encode("utf-16"),
    "not_unicode": pay().replace(b"ann", b"\xff\xfe"),
    "overlong": pay().replace(b"ann", b"\xc0\xaf"),
    "half_a_letter": pay().replace(b"ann", b"\\ud800"),
    "control_character": pay().replace(b"ann", b"a\x00b"),
    "float": pay("1.0"),
    "exponent": pay("1e3"),
    "half": pay("0.5"),
    "nan": pay("NaN"),
    "infinity": pay("Infinity"),
    "minus_infinity": pay("-Infinity"),
    "leading_zero": pay("01"),
    "plus": pay("+1"),
    "hexadecimal": pay("0x10"),
    "true": pay("true"),
    "null_amount": pay("null"),
    "amount_list": pay("[1]"),
    "amount_object": pay('{"n":1}'),
    "text_float": pay('"1.0"'),
    "text_exponent": pay('"1e3"'),
    "text_blank": pay('" 1"'),
    "text_grouped": pay('"1,000"'),
    "text_words": pay('"one"'),
    "text_empty": pay('""'),
    "text_nan": pay('"NaN"'),
    "text_plus": pay('"+1"'),
    "text_of_another_script": pay('"\u0661"'),
    "text_of_61_digits": pay('"' + "9" * 61 + '"'),
    "number_of_5000_digits": pay("9" * 5_000),
    "account_number": pay(more=',"pool":5'),
    "price_number": b'{"type":"AdvanceFunding","instrument":"P","rate":0.1,"price":"1"}',
    "side_text": b'{"type":"Fill","instrument":"P","contracts":1,"price":"1","buyer":"a",'
    b'"seller":"b"}',
    "holder_of_three": b'{"type":"ChargeAccruals","holders":[["a","b","c"]]}',
    "holder_of_one": b'{"type":"ChargeAccruals","holders":[["a"]]}',
    "level_nan": b'{"type":"AcceptPrices","stamped_ns":1,"prints":{"a":[NaN]}}',
    "level_text": b'{"type":"AcceptPrices","stamped_ns":1,"prints":{"a":["1"]}}',
    "level_past_floats": b'{"type":"AcceptPrices","stamped_ns":1,"prints":{"a":[1e999]}}',
    "rules_no_base64": b'{"type":"AdoptRulebook","rules":"***"}',
    "world_in_a_batch": b'{"type":"Batch","commands":[{"type":"AdvanceInterest","asset":"USD"}]}',
    "batch_in_a_batch": b'{"type":"Batch","commands":[{"type":"Batch","commands":[]}]}',
    "pool_of_words": b'{"type":"OpenPool","account":"a","pool":"b"}',
    "deep_list": deep(100_000, b"[", b"]"),
    "deep_object": deep(100_000, b'{"a":', b"}"),
    "deep_inside": pay(more=',"x":' + deep(50_000, b"[", b"]").decode()),
    "deep_amount": pay(deep(50_000, b"[", b"]").decode()),
    "deep_batch": deep(20_000, b'{"type":"Batch","commands":[', b"]}", b""),
    "deep_unclosed": b"[" * 100_000,
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_command_is_one_error(line: bytes) -> None:
    with pytest.raises(InputInvalid) as found:
        command_from_json(line, "stdin:7")
    assert len(found.value.findings) == 1
    assert found.value.where == "stdin:7"
    assert len(str(found.value)) < 500
    assert "docs/ledger.md" in str(found.value)


def test_a_line_beyond_the_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "COMMAND_BYTES_MAX", len(pay()))
    assert command_from_json(pay())
    with pytest.raises(InputInvalid, match=f"have at most {len(pay())}") as found:
        command_from_json(pay() + b" ")
    assert found.value.found == f"{len(pay()) + 1} bytes"


def test_blanks_around_a_command_do_not_matter() -> None:
    assert command_from_json(b"  \t" + pay() + b" \r\n") == command_from_json(pay())


# --- replies --------------------------------------------------------------------------------------

REPLIES = [
    Accepted(1),
    Accepted(2**53 + 1, True),
    Rejected(Rejection.KEY_INVALID),
    Rejected(Rejection.MARGIN_SHORT, BIG, -BIG, "ann/shared"),
    Rejected(Rejection.BORROW_CAP, 0, 0, "é"),
]


@pytest.mark.parametrize("reply", REPLIES)
def test_a_reply_written_and_read_is_the_same_reply(reply: Any) -> None:
    assert reply_from_json(reply_to_json(reply, "k-1")) == ("k-1", reply)
    assert reply_from_json(reply_to_json(reply)) == ("", reply)


def test_facts_are_text_so_that_every_digit_arrives() -> None:
    told = json.loads(reply_to_json(Rejected(Rejection.MARGIN_SHORT, BIG, -1, "x"), "k"))
    assert told == {"key": "k", "type": "rejected", "reason": "margin_short", "where": "x",
                    "asked": str(BIG), "free": "-1"}  # fmt: skip


def test_every_reason_has_its_own_word() -> None:
    for reason in Rejection:
        assert reply_from_json(reply_to_json(Rejected(reason))) == ("", Rejected(reason))


# --- anything at all ------------------------------------------------------------------------------


def read(line: bytes) -> Any:
    """The command, or None where it is no command; any other exception goes through."""
    try:
        return command_from_json(line)
    except InputInvalid:
        return None


@given(st.binary(max_size=300))
def test_bytes_are_a_command_or_one_error(line: bytes) -> None:
    read(line)


def inside(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(SCALARS, inside, max_leaves=12)
FIELDS = sorted({field for command in EVERY for field in command.__struct_fields__})
NAMED = st.fixed_dictionaries(
    {"type": st.sampled_from([type(command).__name__ for command in EVERY])},
    optional=dict.fromkeys(FIELDS, JSON),
)


@given(JSON | NAMED)
def test_any_json_is_a_command_or_one_error(value: Any) -> None:
    read(json.dumps(value).encode("utf-8", "surrogatepass"))


NUMBERS = [b"0", b"-1", b"1", b"9" * 40, b"18446744073709551616", b"1760000000000000000"]
TEXTS = [
    b'""', b'"x"', b'"' + b"9" * 40 + b'"', b'"@outside"', b'"\\u0000"', b'"' + b"a" * 200 + b'"',
    b'"1e-999"', b'"1e999"', b'"0.' + b"0" * 30 + b'1"', b'"-5"', b'"ETH-PERP"', b'"shared"',
    b'"b"', b'"u1"', b'"USD"', b'"ETH"', b'"TOK/USD"', b'"A"', b'"1"',
]  # fmt: skip
ODD = [b"", b"null", b"1e3", b"1e400", b"-0.0", b"true", b"[]", b"{}", b'[["ann","shared"]]',
       b'{"USD":1}', b'{"":0}']  # fmt: skip


def mutated(rng: random.Random, line: bytes) -> bytes:
    """A valid command with a place or two changed: a value, a byte, a piece cut or doubled."""
    for _ in range(rng.randint(1, 2)):
        kind, at = rng.random(), rng.randrange(len(line) or 1)
        if kind < 0.8:
            starts = [n + 1 for n, byte in enumerate(line) if byte in b":["]
            start = rng.choice(starts or [0])
            ends = [n for n in range(start, len(line)) if line[n] in b",}]"] or [len(line)]
            old = line[start : ends[0]]
            like = TEXTS if old[:1] == b'"' else NUMBERS if old[:1].isdigit() else ODD
            value = rng.choice(like if rng.random() < 0.85 else ODD)
            line = line[:start] + value + line[ends[0] :]
        elif kind < 0.9:
            line = line[:at] + bytes([rng.randrange(256)]) + line[at + 1 :]
        elif kind < 0.95:
            line = line[:at] + line[at + rng.randint(1, 20) :]
        else:
            line = line[:at] + line[at : at + rng.randint(1, 20)] + line[at:]
    return line


@given(st.integers(0, 2**32 - 1))
def test_every_command_that_is_read_gets_a_reply_and_nothing_is_lost(seed: int) -> None:
    rng, made, stream = random.Random(seed), busy(), Stream(seed)
    n_read = 0
    for _ in range(3):
        sound = [*stream.take(10, made.engine.now()), keyed(rng.choice(EVERY))]
        lines = [mutated(rng, command_to_json(command)) for command in sound]
        commands = [command for command in map(read, lines) if command is not None]
        n_read += len(commands)
        for reply in made.engine.submit(commands):
            assert isinstance(reply, Accepted | Rejected)
            assert reply_from_json(reply_to_json(reply, "k"))[1] == reply
        made.wait(rng.choice((0, 1, 61, 4_000)))
    assert_sound(made.book)
    assert not made.engine.halted


def test_the_mutations_are_neither_all_good_nor_all_bad() -> None:
    rng = random.Random(5)
    lines = [mutated(rng, command_to_json(keyed(rng.choice(EVERY)))) for _ in range(2_000)]
    good = sum(read(line) is not None for line in lines)
    assert 200 < good < 1_800
