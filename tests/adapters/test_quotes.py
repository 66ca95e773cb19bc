"""Quote files: what is a row, what is a finding, and that blocks do not show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crossmargin.adapters import quotes as adapter
from crossmargin.adapters.quotes import price_commands, quote_blocks, quote_names
from crossmargin.adapters.wire import command_from_json, command_to_json
from crossmargin.base.errors import FileUnreadable, InputInvalid
from crossmargin.oracle.fuse import fuse
from crossmargin.oracle.quotes import Refusal, no_quotes
from crossmargin.oracle.replay import joined, replay
from crossmargin.oracle.state import started, universe_of
from oracle.bench import RULES, SECOND, Bench

HEAD = "factor,source,class,price,stamp,sequence,volume,confidence,received"
ROWS = [
    "BTC/USD,a,BTC,60000,2025-10-10T12:00:00Z,1,5,,2025-10-10T12:00:00.2Z",
    "BTC/USD,b,BTC,60010,2025-10-10T12:00:00Z,1,,0.001,2025-10-10T12:00:00.3Z",
    "BTC/USD,a,,60020,2025-10-10T12:00:01Z,2,6,,2025-10-10T12:00:01.2Z",
]


@pytest.fixture
def file(tmp_path: Path):
    def write(*rows: str, head: str = HEAD, name: str = "quotes.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join([head, *rows]) + "\n")
        return path

    return write


def universe(path: Path):
    names = quote_names(path)
    return universe_of(names.factors, names.sources, RULES)


def all_of(path: Path, **more):
    blocks = list(quote_blocks(path, universe(path), **more))
    quotes = no_quotes()
    for block in blocks:
        quotes = joined(quotes, block.quotes)
    return (
        quotes,
        np.concatenate([b.heard_ns for b in blocks]),
        [f for b in blocks for f in b.findings],
    )


def test_a_file_reads_as_columns(file) -> None:
    path = file(*ROWS)
    assert quote_names(path) == adapter.QuoteNames({"BTC/USD": "BTC"}, ("a", "b"))
    quotes, heard, findings = all_of(path)
    assert findings == []
    assert quotes.price.tolist() == [60_000, 60_010, 60_020]
    assert quotes.source.tolist() == [0, 1, 0]
    assert quotes.sequence.tolist() == [1, 1, 2]
    assert np.isnan(quotes.volume[1]) and np.isnan(quotes.confidence[0])
    assert ((heard - quotes.stamp_ns) // 1_000_000).tolist() == [200, 300, 200]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (",a,BTC,1,2025-10-10T12:00:00Z,1,,,", "factor"),
        ("BTC/USD,,BTC,1,2025-10-10T12:00:00Z,1,,,", "source"),
        ("BTC/USD,a,BTC,1,noon,1,,,", "stamp"),
        ("BTC/USD,a,BTC,1,2025-10-10T12:00:00Z,-1,,,", "sequence"),
        ("BTC/USD,a,BTC,1,2025-10-10T12:00:00Z,1.5,,,", "sequence"),
        ("BTC/USD,a,BTC,1,2025-10-10T12:00:00Z,,,,", "sequence"),
        ("BTC/USD,a,BTC,1,2025-10-10T12:00:00Z,1,,,soon", "received"),
    ],
)
def test_a_row_that_is_no_quote_is_a_finding_that_names_it(file, row, column) -> None:
    quotes, _, findings = all_of(file(ROWS[0], row, ROWS[1]))
    assert len(quotes) == 2
    assert findings
    assert any(f.where.endswith(column) and "row 2" in f.where for f in findings)


def test_a_bad_price_is_a_quote_and_the_oracle_says_why_not(file) -> None:
    stamp = "2025-10-10T12:00:00Z"
    path = file(
        *(f"BTC/USD,a,BTC,{p},{stamp},{n},,," for n, p in enumerate(("", "x", "nan", -1, 0)))
    )
    quotes, heard, findings = all_of(path)
    assert findings == []
    _, fused = fuse(started(universe(path)), quotes, int(heard[-1]))
    assert [Refusal(int(r)).name for r in fused.refused] == ["NOT_FINITE"] * 3 + [
        "NOT_POSITIVE"
    ] * 2


def test_a_late_row_is_heard_late_and_one_after_the_end_is_left_out(file) -> None:
    _, heard, _ = all_of(file(ROWS[2], ROWS[0]))
    assert heard[0] == heard[1], "moments never run back"
    _, heard, _ = all_of(file(ROWS[0], ROWS[2]))
    quotes, _, _ = all_of(file(ROWS[0], ROWS[2]), until_ns=int(heard[1]) - 1)
    assert quotes.price.tolist() == [60_000]


def test_blocks_do_not_show(file, tmp_path, monkeypatch) -> None:
    rows = [
        f"BTC/USD,{s},BTC,{60_000 + n},2025-10-10T12:{n // 60:02}:{n % 60:02}Z,{n},1,,"
        for n in range(400)
        for s in "abc"
    ]
    path = file(*rows)
    parquet = tmp_path / "quotes.parquet"
    pl.read_csv(path).with_columns(pl.col("stamp").str.to_datetime(time_zone="UTC")).write_parquet(
        parquet
    )
    whole = ended(path)
    monkeypatch.setattr(adapter, "BLOCK_BYTES", 2_000)
    monkeypatch.setattr(adapter, "BLOCK_ROWS", 7)
    for again in (path, parquet):
        n_blocks = len(list(quote_blocks(again, universe(again))))
        assert n_blocks > 20
        assert ended(again) == whole


def ended(path: Path):
    blocks = ((b.quotes, b.heard_ns) for b in quote_blocks(path, universe(path)))
    seen = [
        (fused.at_ns, float(fused.level[0]), int(fused.status[0]), len(heard))
        for _, fused, heard in replay(started(universe(path)), blocks, 10 * SECOND)
    ]
    assert len(seen) == 40
    return repr(seen)


@pytest.mark.parametrize(
    ("head", "rows", "kind", "says"),
    [
        (HEAD.replace("stamp", "time"), ROWS, InputInvalid, "time"),
        (HEAD.replace(",sequence", ""), [], InputInvalid, "sequence"),
        (HEAD.replace("volume", "price"), [], FileUnreadable, "different names"),
        (HEAD, [*ROWS, "BTC/USD,a"], FileUnreadable, "whole csv"),
        (HEAD, [ROWS[0], ROWS[1].replace(",BTC,", ",ETH,")], InputInvalid, "class"),
    ],
)
def test_a_file_that_is_no_quote_file_is_refused(file, head, rows, kind, says) -> None:
    with pytest.raises(kind, match=says):
        quote_names(file(*rows, head=head))


@pytest.mark.parametrize(
    "name", ["quotes.json", "nowhere.csv", "empty.csv", "bytes.csv", "x.parquet"]
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name) -> None:
    path = tmp_path / name
    if name != "nowhere.csv":
        path.write_bytes(
            {"empty.csv": b"", "bytes.csv": HEAD.encode() + b"\n\xff\xfe,a\n"}.get(name, b"x")
        )
    with pytest.raises(FileUnreadable):
        quote_names(path)


def test_prices_become_commands_the_wire_knows() -> None:
    bench = Bench()
    bench.settle("BTC/USD", [100, 100, 100])
    (command,) = price_commands(bench.fused, 60.0)
    assert command_from_json(command_to_json(command)) == command
    assert command.prints["BTC/USD"].status == "live"
    assert command.issued_ns == bench.at_ns
