"""docs/ledger.md says what the code does: every command, reply, reason, role, table and query."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from msgspec.structs import replace

from apps.ledger_days import DAYS, rewritten, told
from crossmargin.adapters.exports import TABLES
from crossmargin.adapters.store import open_store
from crossmargin.adapters.wire import command_from_json, reply_from_json, reply_to_json
from crossmargin.apps.cli.program import LEDGER, run
from crossmargin.domain.book import Book
from crossmargin.engine import commands as c
from crossmargin.engine.balances import balances, positions
from crossmargin.engine.history import seq_at, walk
from crossmargin.engine.replies import Rejection
from crossmargin.engine.runtime import restored
from crossmargin.engine.statements import Role, lines_of
from crossmargin.frames.findings import stamp_ns
from crossmargin.ledger.events import Entry

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "ledger.md").read_text()
EVERY = (*c.Single.__args__, *c.World.__args__, c.Batch)
PAID = {"realised", "premium", "expiry", "fee", "funding", "interest", "yield", "penalty",
        "insurance", "loss_share"}  # fmt: skip


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table whose head opens with this word."""
    start = PAGE.index(f"| {heading} |")
    table = PAGE[start:].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


EXAMPLES = [line for block in blocks("json commands") for line in block.splitlines()]


@pytest.mark.parametrize("line", EXAMPLES, ids=lambda line: re.findall(r'"type":"(\w+)"', line)[0])
def test_every_example_is_a_command(line: str) -> None:
    assert type(command_from_json(line.encode())) in EVERY


def test_every_command_has_an_example_that_names_every_field() -> None:
    named: dict[type, set[str]] = {}
    for line in EXAMPLES:
        kind = type(command_from_json(line.encode()))
        fields = {name for name in kind.__struct_fields__ if f'"{name}":' in line}
        named[kind] = named.get(kind, set()) | fields
    assert set(named) == set(EVERY)
    # Keys and stamps are shown once; these fields are like their neighbours' of the same name.
    like = {"key", "issued_ns", "pool", "drawn", "last_draw"}
    for kind, fields in named.items():
        assert set(kind.__struct_fields__) - like <= fields, kind.__name__


def test_every_reply_reads_back_as_it_is_printed() -> None:
    (block,) = blocks("json replies")
    for line in block.splitlines():
        key, reply = reply_from_json(line.encode())
        assert reply_from_json(reply_to_json(reply, key)) == (key, reply)


def test_every_reason_is_listed_in_the_order_of_the_tests() -> None:
    assert [row[0].strip("`") for row in rows("reason")] == [str(reason) for reason in Rejection]


def test_every_command_of_the_ledger_is_listed_and_no_other() -> None:
    listed = [re.match(r"`ledger (\w+)", row[0]) for row in rows("command")]
    assert [found[1] for found in listed if found] == list(LEDGER)


def test_every_role_is_said_and_those_of_profit_and_loss_are_bold() -> None:
    start = PAGE.index("A posting's **role**")
    text = PAGE[start : PAGE.index("## Tables")]
    assert set(re.findall(r"`(\w+)`", text)) == {str(role) for role in Role}
    assert set(re.findall(r"\*\*`(\w+)`\*\*", text)) == PAID


def test_every_table_and_column_of_an_export_is_listed() -> None:
    listed = {row[0].strip("`"): re.findall(r"`(\w+)`", row[2]) for row in rows("table")}
    inner = {"factor", "mark", "settle"}  # values, and another column's name in a remark
    assert set(listed) == set(TABLES)
    for name, columns in TABLES.items():
        seen = [
            x for n, x in enumerate(listed[name]) if x not in inner or x not in listed[name][:n]
        ]
        assert [x for x in seen if x in columns] == list(columns), name


# --- queries --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return told(tmp_path_factory.mktemp("queries"))


@pytest.fixture(scope="module")
def folder(store: Path) -> Path:
    """The folder above the export of the ledger of three days."""
    assert run(["ledger", "export", str(store), str(store.parent / "tables")]) == 0
    return store.parent


def answered(folder: Path, name: str) -> list[tuple[Any, ...]]:
    """Run a query of the page where it says it is to be run."""
    (query,) = blocks(f"sql {name}")
    with duckdb.connect() as database:
        database.execute(f"SET file_search_path = '{folder}'")
        return database.execute(query).fetchall()


def book_at(store: Path, at: str) -> Book:
    opened = open_store(store, writer=False)
    book = restored(opened, seq_at(opened, stamp_ns(at)))[0]
    opened.close()
    return book


def test_balances_and_positions_of_a_query_are_the_books(store: Path, folder: Path) -> None:
    book = book_at(store, DAYS[2])
    want = sorted((x.account, x.pool, x.asset, x.amount, 6 if x.asset == "USDC" else 18)
                  for x in balances(book))  # fmt: skip
    assert answered(folder, "balances") == want
    held = sorted((x.account, x.pool, x.instrument, x.contracts, x.cost) for x in positions(book))
    assert answered(folder, "positions") == held


def test_balances_of_a_day_are_the_books_of_then(store: Path, folder: Path) -> None:
    # The page asks for the end of 6 January, the second day.
    book = book_at(store, DAYS[1])
    want = sorted((x.account, x.pool, x.asset, x.amount) for x in balances(book))
    assert answered(folder, "balances_of_a_day") == want


def test_what_was_paid_is_what_statements_say(store: Path, folder: Path) -> None:
    found = answered(folder, "paid_by_day")
    want: dict[tuple[str, str, date, str], int] = {}
    for day, line in statement_lines(store):
        if str(line.role) in PAID and line.cost is None:
            place = (line.account, line.item, day, str(line.role))
            want[place] = want.get(place, 0) + line.change
    assert {row[:4]: int(row[4]) for row in found} == want
    # 6 of fee and 120.5 of premium on the first day; 3 of funding and 200.02469 on the second.
    alice = [row[2:] for row in found if row[0] == "alice"]
    assert alice == [
        (date(2026, 1, 5), "fee", -6_000_000), (date(2026, 1, 5), "premium", -120_500_000),
        (date(2026, 1, 6), "funding", -3_000_000), (date(2026, 1, 6), "realised", 200_024_690),
        (date(2026, 1, 7), "funding", -1_800_000),
    ]  # fmt: skip


def statement_lines(store: Path) -> Iterator[tuple[date, Any]]:
    opened = open_store(store, writer=False)
    book = Book()
    for step in walk(opened, book):
        terms = book.head.listing.terms if book.head.listing else {}
        day = date.fromordinal(719_163 + step.entry.at_ns // (86_400 * 10**9))
        for line in lines_of(step.entry, 1, terms, lambda name, _: name[0] != "@"):
            yield day, line
    opened.close()


def test_profit_and_loss_by_day_is_arithmetic_on_paper(folder: Path) -> None:
    found = {(row[0], row[1].day): row[2] for row in answered(folder, "pnl_by_day")}
    # Marks are 60,010 (the file's), 61,010 and 59,510; alice is long 0.5, 0.3 and 0.3.
    # Day one: 0.5 x 60,010 - 30005.000001 - 6 fee = -6.000001. Day two: 200.02469 realised, 3 of
    # funding, and 0.3 x 61,010 - 18,003 = 300 against -0.000001. Day three: 0.3 x -1,500 - 1.8.
    want = {5: -6.000001, 6: 200.02469 - 3.0 + 300.000001, 7: -450.0 - 1.8}
    for day, pnl in want.items():
        assert found["alice", day] == pytest.approx(pnl, abs=1e-9)
    # bob is the other side: the premium was not his, fees and roundings were: 6 and -1 and 1e-6s.
    for day, fees in ((5, -6.0 + 1.0), (6, -1e-6), (7, 0.0)):
        assert found["alice", day] + found["bob", day] == pytest.approx(fees, abs=2e-6)


def test_the_polars_block_answers_the_same(
    store: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (block,) = blocks("python polars")
    names: dict[str, Any] = {}
    exec(compile(block, "docs/ledger.md", "exec"), names)
    found = names["balances"].select("account", "pool", "asset", "units").rows()
    assert found == [row[:4] for row in answered(folder, "balances")]
    found = names["positions"].select("account", "pool", "instrument", "contracts", "cost").rows()
    assert found == answered(folder, "positions")
    assert names["fees_by_day"].rows() == [(date(2026, 1, 5), "USDC", Decimal(5_000_000))]


# --- what an export holds -------------------------------------------------------------------------


def test_no_amount_of_an_export_is_a_float(folder: Path) -> None:
    for name in TABLES:
        schema = pl.read_parquet_schema(folder / "tables" / f"{name}.parquet")
        floats = [column for column, kind in schema.items() if kind.is_float()]
        assert floats == (["price"] if name == "prices" else [])
        for column in {"amount", "contracts", "cost", "drawn"} & set(schema):
            assert schema[column] == pl.Decimal(38, 0)


def test_every_table_of_an_export_sums_to_zero_or_to_the_journal(store: Path, folder: Path) -> None:
    def table(name: str) -> pl.DataFrame:
        return pl.read_parquet(folder / "tables" / f"{name}.parquet")

    assert table("entries")["seq"].to_list() == list(range(1, 20))
    assert table("entries")["events"].sum() == len(table("events"))
    for sums in (
        # Money of an event: its postings, and the costs of its moves in their settlement asset.
        pl.concat([table("postings").select("seq", "event", "asset", "amount"),
                   table("moves").select("seq", "event", asset="settle", amount="cost")])
        .group_by("seq", "event", "asset").agg(pl.col("amount").sum())["amount"],
        table("moves").group_by("seq", "event", "instrument")
        .agg(pl.col("contracts").sum())["contracts"],
    ):  # fmt: skip
        assert set(sums) == {Decimal(0)}
    ends = table("balances_daily").sort("day").group_by("account", "pool", "asset").last()
    book = book_at(store, DAYS[2])
    assert sorted(ends.filter(pl.col("amount") != 0).select(
        "account", "pool", "asset", pl.col("amount").cast(pl.Int128)).rows()
    ) == sorted((x.account, x.pool, x.asset, x.amount) for x in balances(book))  # fmt: skip
    ends = table("positions_daily").sort("day").group_by("account", "pool", "instrument").last()
    assert {(x["account"], x["instrument"]): (int(x["contracts"]), int(x["cost"]))
            for x in ends.iter_rows(named=True)} == {
        (x.account, x.instrument): (x.contracts, x.cost) for x in positions(book)
    }  # fmt: skip


def enlarged(entry: Entry) -> Entry:
    """Return a deposit as it was, but for the amount: 10^38 on both sides."""
    (paid,) = entry.events
    sides = tuple(replace(x, amount=10**38 if x.amount > 0 else -(10**38)) for x in paid.postings)
    return replace(entry, events=(replace(paid, postings=sides),))


def test_an_amount_of_39_digits_is_refused_and_fits_as_text(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = tmp_path / "large.ledger"
    shutil.copy(store, large)
    # No single command moves as much; thousands of them may.
    rewritten(large, 9, enlarged)
    assert run(["ledger", "export", str(large), str(tmp_path / "t")]) == 2
    said = capsys.readouterr().err
    assert "postings.amount" in said
    assert "--text" in said
    assert not (tmp_path / "t").exists()
    words = ["ledger", "export", str(large), str(tmp_path / "t"), "--text", "--json"]
    assert run(words) == 0
    counts = json.loads(capsys.readouterr().out)["rows"]
    assert counts["postings"] == len(pl.read_parquet(tmp_path / "t" / "postings.parquet"))
    ends = pl.read_parquet(tmp_path / "t" / "balances_daily.parquet")
    assert str(10**38) in ends["amount"].to_list()


def test_a_part_of_the_journal_is_exported_as_it_stood(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "tables"
    assert run(["ledger", "export", str(store), str(out), "--upto", "12"]) == 0
    whole = pl.read_parquet(out / "postings.parquet")
    book = book_at(store, DAYS[0])
    held = whole.filter(account="alice", pool="shared", asset="USDC")["amount"].sum()
    assert Fraction(held) == book.balance("alice", "shared", "USDC")
