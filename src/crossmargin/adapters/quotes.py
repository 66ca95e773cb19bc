"""Quote files: CSV and Parquet, read block by block in the order of their rows.

In     a file of quotes.
Out    blocks of columns, each with what was wrong with single rows; the names it holds.
Owns   the columns of a quote file; which row is no quote at all.
Never  judges a price: that is the oracle's, with a reason; holds more than a block.
Signs  as `oracle.quotes.QuoteFrame`.
Spec   docs/formats.md, docs/spec/08-oracle.md
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from crossmargin.adapters.files import frame_of, guarded
from crossmargin.base.arrays import F64, I64
from crossmargin.base.errors import FileUnreadable, Finding, InputInvalid
from crossmargin.engine.commands import AcceptPrices
from crossmargin.frames.findings import (
    WHERE,
    Column,
    Reads,
    Rule,
    any_of,
    audit,
    conform,
    named,
    read,
    within,
)
from crossmargin.oracle.fuse import FusedFrame
from crossmargin.oracle.prints import prints_of
from crossmargin.oracle.quotes import QuoteFrame
from crossmargin.oracle.state import Universe

# Rows held at once; a block of a CSV file is bounded in bytes.
BLOCK_ROWS = 65_536
BLOCK_BYTES = 4 * 1024 * 1024
# Past this a sequence number is no whole number of a float any more.
SEQUENCE_MAX = 2**53

TEXT, NUMBER, STAMP = Reads.TEXT, Reads.NUMBER, Reads.STAMP
QUOTE_COLUMNS = {
    "factor": Column(TEXT, True), "source": Column(TEXT, True), "price": Column(NUMBER, True),
    "stamp": Column(STAMP, True), "sequence": Column(NUMBER, True), "volume": Column(NUMBER),
    "confidence": Column(NUMBER), "received": Column(STAMP), "class": Column(TEXT),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class QuoteBlock:
    """Quotes that can be placed, when each was heard, and what was wrong with the rest."""

    quotes: QuoteFrame
    heard_ns: I64
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class QuoteNames:
    """What a file names: factor -> class ("" where it states none), sources, in order."""

    factors: dict[str, str]
    sources: tuple[str, ...]


def quote_names(path: str | Path) -> QuoteNames:
    """Return the factors, their classes and the sources of a file; two classes are refused."""
    path = Path(path)
    factors: dict[str, str] = {}
    sources: dict[str, None] = {}
    for frame in _frames(path):
        rows = conform(frame, QUOTE_COLUMNS, path.name)
        sources |= dict.fromkeys(rows["source"].drop_nulls().unique(maintain_order=True))
        pairs = rows.select("factor", "class").unique(maintain_order=True)
        for factor, risk_class in pairs.drop_nulls("factor").iter_rows():
            known = factors.setdefault(factor, "")
            if risk_class and known and known != risk_class:
                raise InputInvalid(
                    f"{path.name}: factor {factor} class", risk_class, f"be {known} in every row"
                )
            factors[factor] = known or risk_class or ""
    return QuoteNames(factors, tuple(sources))


def quote_blocks(
    path: str | Path, universe: Universe, until_ns: int | None = None
) -> Iterator[QuoteBlock]:  # fmt: skip
    """Yield the quotes of a file in order; rows that are no quotes are findings.

    A quote is heard at `received`, or where there is no such column at its own stamp; moments
    never run back, so one that comes late is heard late. Rows heard after `until_ns` are left out.
    """
    path = Path(path)
    factors = {name: row for row, name in enumerate(universe.factors)}
    sources = {name: row for row, name in enumerate(universe.sources)}
    clock_ns, n_rows = 0, 0
    for frame in _frames(path):
        rows = conform(frame, QUOTE_COLUMNS, path.name).with_columns(
            pl.format("row {}", pl.int_range(n_rows + 1, n_rows + len(frame) + 1)).alias(WHERE)
        )
        n_rows += len(frame)
        masks, findings = audit(rows, _rules(factors, sources), path.name, "factor")
        good = rows.filter(~any_of(masks, len(rows)))
        heard = np.maximum.accumulate(
            np.append(clock_ns, good.select(pl.coalesce("#received", "#stamp")).to_series())
        )[1:]
        if until_ns is not None:
            early = heard <= until_ns
            good, heard = good.filter(early), heard[early]
        clock_ns = int(heard[-1]) if len(heard) else clock_ns
        yield QuoteBlock(_columns(good, factors, sources), heard, tuple(findings))


def price_commands(fused: FusedFrame, stale_s: float) -> list[AcceptPrices]:
    """Return the commands that make the engine accept these prices, oldest stamp first."""
    return [
        AcceptPrices(
            key=f"oracle-{fused.at_ns}-{stamp}", issued_ns=fused.at_ns, stamped_ns=stamp,
            prints=prints,
        )
        for stamp, prints in prints_of(fused, stale_s)
    ]  # fmt: skip


def _rules(factors: Mapping[str, int], sources: Mapping[str, int]) -> list[Rule]:
    whole = within("sequence", 0.0, SEQUENCE_MAX) & (read("sequence") % 1 == 0)
    return [
        named("factor"), named("source"),
        Rule("factor", pl.col("factor").is_in(list(factors)), "be a factor that is fused"),
        Rule("source", pl.col("source").is_in(list(sources)), "be a source that is heard"),
        Rule("stamp", read("stamp") > 0, "be a stamp such as 2025-10-10T21:00Z", "ISO 8601, UTC"),
        Rule("sequence", whole, "be a whole number from 0 on", "count the source's quotes"),
        Rule("received", read("received").is_null() | (read("received") > 0),
             "be a stamp or empty", "leave it out to use the quote's own stamp"),
    ]  # fmt: skip


def _columns(
    rows: pl.DataFrame, factors: Mapping[str, int], sources: Mapping[str, int]
) -> QuoteFrame:  # fmt: skip
    def place(name: str, known: Mapping[str, int]) -> I64:
        if not len(rows):
            return np.zeros(0, np.int64)
        return rows[name].replace_strict(dict(known), return_dtype=pl.Int64).to_numpy()

    def number(name: str) -> F64:
        return rows[f"#{name}"].cast(pl.Float64).fill_null(float("nan")).to_numpy()

    return QuoteFrame(
        place("factor", factors), place("source", sources), number("price"),
        rows["#stamp"].cast(pl.Int64).to_numpy(),
        rows["#sequence"].cast(pl.Int64).to_numpy(), number("volume"), number("confidence"),
    )  # fmt: skip


def _frames(path: Path) -> Iterator[pl.DataFrame]:
    """Yield the file's rows block by block; whatever is wrong with it is a FileUnreadable."""
    readers = {".csv": _csv_blocks, ".parquet": _parquet_blocks}
    reader = readers.get(path.suffix)
    if reader is None:
        allowed = f"end in one of {', '.join(readers)}"
        raise FileUnreadable(path.name, path.suffix, allowed, "the extension says the format")
    blocks = reader(path)
    while (block := guarded(path, lambda: next(blocks, None))) is not None:
        yield block


def _csv_blocks(path: Path) -> Iterator[pl.DataFrame]:
    with path.open(encoding="utf-8", newline="") as file:
        names = next(csv.reader(file), [])
    if len(set(names)) != len(names) or not names:
        raise FileUnreadable(path.name, names, "have columns of different names")
    # So that the columns of a file without rows are checked too.
    yield pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    # Everything is read as text; numbers and stamps are read by the one validator.
    reader = pa_csv.open_csv(
        path, read_options=pa_csv.ReadOptions(block_size=BLOCK_BYTES),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True,
            null_values=[""],
        ),
    )  # fmt: skip
    with reader:
        for batch in reader:
            yield frame_of(pa.Table.from_batches([batch]))


def _parquet_blocks(path: Path) -> Iterator[pl.DataFrame]:
    with pq.ParquetFile(path) as source:
        for batch in source.iter_batches(batch_size=BLOCK_ROWS):
            yield frame_of(pa.Table.from_batches([batch]))
