"""Files and folders to books, markets and rulebooks, and back.

In     paths; the extension says the format.
Out    tables for `frames`, rulebooks; Parquet folders and report files.
Owns   which file names a folder may hold, and one clear refusal for any file that cannot be read.
Never  checks what a row says; lets an exception of a reader library out.
Signs  as written.
Spec   docs/formats.md, docs/limits.md
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from crossmargin.adapters.codec import (
    JSON_BYTES_MAX,
    TOML_BYTES_MAX,
    accounts_from_json,
    market_from_json,
    market_stamp_from_json,
    rulebook_from_toml,
    stamp,
)
from crossmargin.base.errors import CrossmarginError, FileUnreadable, InputInvalid
from crossmargin.domain.rulebook import Rulebook
from crossmargin.frames.compile import BookTables
from crossmargin.frames.listing import MarketTables
from crossmargin.frames.written import tables_from_accounts

ROWS_MAX = 200_000_000
TABLE_SUFFIXES = (".parquet", ".arrow", ".ipc", ".csv")

T = TypeVar("T")


def load_book(path: str | Path) -> BookTables:
    """Read a book: .json, a holdings table, or a folder with holdings, pools, orders tables."""
    path = Path(path)
    if path.is_dir():
        holdings = _in_folder(path, "holdings")
        if holdings is None:
            raise FileUnreadable(str(path), _listed(path), "hold a holdings table", "add it")
        return BookTables(
            holdings, _in_folder(path, "pools"), _in_folder(path, "orders"), path.name
        )
    if path.suffix == ".json":
        accounts = accounts_from_json(_bytes(path, JSON_BYTES_MAX), path.name)
        return tables_from_accounts(accounts, path.name)
    return BookTables(read_table(path), None, None, path.name)


def load_market(path: str | Path) -> MarketTables:
    """Read a market: .json, or a folder with market.json and its tables."""
    path = Path(path)
    if not path.is_dir():
        return market_from_json(_bytes(path, JSON_BYTES_MAX), path.name)
    says = path / "market.json"
    head = market_stamp_from_json(_bytes(says, JSON_BYTES_MAX), f"{path.name}/market.json")
    tables = {name: _in_folder(path, name) for name in ("factors", "assets", "instruments")}
    factors, assets, instruments = tables["factors"], tables["assets"], tables["instruments"]
    if factors is None or assets is None or instruments is None:
        lacks = [name for name, table in tables.items() if table is None]
        raise FileUnreadable(
            str(path), _listed(path), f"hold tables {', '.join(lacks)}", "add them"
        )
    return MarketTables(
        stamp(head.at, f"{path.name}/market.json: at"), head.numeraire, head.source or path.name,
        factors, assets, instruments, _in_folder(path, "history"), path.name,
    )  # fmt: skip


def shipped_rulebooks() -> dict[str, bytes]:
    """Return the rulebooks that come with the package, by name."""
    folder = resources.files("crossmargin") / "rulebooks"
    return {
        entry.name.removesuffix(".toml"): entry.read_bytes()
        for entry in sorted(folder.iterdir(), key=lambda e: e.name)
        if entry.name.endswith(".toml")
    }


def load_rulebook(name: str | Path) -> Rulebook:
    """Read a shipped rulebook by name (`prime-24h`), or one from a .toml file."""
    shipped = shipped_rulebooks()
    if str(name) in shipped:
        return rulebook_from_toml(shipped[str(name)], f"{name}.toml")
    path = Path(name)
    if path.suffix != ".toml":
        raise InputInvalid(
            "rulebook", str(name), f"be one of {', '.join(shipped)}, or a .toml file",
            "see `crossmargin rulebook show`",
        )  # fmt: skip
    return rulebook_from_toml(_bytes(path, TOML_BYTES_MAX), path.name)


def save_book(tables: BookTables, folder: str | Path) -> None:
    """Write a book as a folder of Parquet tables."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    named = (("holdings", tables.holdings), ("pools", tables.pools), ("orders", tables.orders))
    for name, table in named:
        if table is not None:
            write_table(table, folder / f"{name}.parquet")


def save_market(tables: MarketTables, folder: str | Path) -> None:
    """Write a market as a folder of Parquet tables with its market.json."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    whole, nanos = divmod(tables.at_ns, 1_000_000_000)
    at = datetime.fromtimestamp(whole, UTC).replace(microsecond=nanos // 1_000)
    head = {"at": at.isoformat(), "numeraire": tables.numeraire, "source": tables.source}
    (folder / "market.json").write_text(json.dumps(head, indent=1), encoding="utf-8")
    for name in ("factors", "assets", "instruments", "history"):
        table = getattr(tables, name)
        if table is not None:
            write_table(table, folder / f"{name}.parquet")


def write_table(table: pl.DataFrame, path: str | Path) -> None:
    """Write a report or table; the extension says the format."""
    path = Path(path)
    if path.suffix == ".parquet":
        table.write_parquet(path, compression="zstd")
    elif path.suffix in (".arrow", ".ipc"):
        table.write_ipc(path)
    elif path.suffix == ".csv":
        table.write_csv(path)
    else:
        raise InputInvalid(
            str(path), path.suffix, f"end in one of {', '.join(TABLE_SUFFIXES)}", "rename it"
        )


def read_table(path: str | Path) -> pl.DataFrame:
    """Read one table of any format; whatever is wrong with the file is a FileUnreadable."""
    path = Path(path)
    readers: dict[str, Callable[[Path], pl.DataFrame]] = {
        ".parquet": _parquet, ".arrow": _arrow, ".ipc": _arrow, ".csv": _csv,
    }  # fmt: skip
    reader = readers.get(path.suffix)
    if reader is None:
        allowed = f"end in one of .json, {', '.join(TABLE_SUFFIXES)}"
        raise FileUnreadable(path.name, path.suffix, allowed, "the extension says the format")
    if not path.is_file():
        raise FileUnreadable(
            path.name, "nothing", "be an existing file", f"looked in {path.parent}"
        )
    if path.stat().st_size == 0:
        raise FileUnreadable(path.name, "0 bytes", "hold a table", "the file is empty")
    table = guarded(path, lambda: reader(path))
    if len(set(table.columns)) != len(table.columns):
        raise FileUnreadable(path.name, table.columns, "have columns of different names")
    return table


def _in_folder(folder: Path, name: str) -> pl.DataFrame | None:
    found = [folder / f"{name}{s}" for s in TABLE_SUFFIXES if (folder / f"{name}{s}").exists()]
    if len(found) > 1:
        raise FileUnreadable(
            f"{folder.name}/{name}", [p.name for p in found], "be one file", "remove the others"
        )
    return read_table(found[0]) if found else None


def _listed(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())[:20]


def _bytes(path: Path, limit: int) -> bytes:
    def read() -> bytes:
        if path.stat().st_size > limit:
            raise FileUnreadable(
                path.name, f"{path.stat().st_size} bytes", f"have at most {limit}", "use Parquet"
            )
        return path.read_bytes()

    return guarded(path, read)


def _parquet(path: Path) -> pl.DataFrame:
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(0, path.stat().st_size - 4))
        tail = file.read(4)
    if head != b"PAR1":
        raise FileUnreadable(path.name, head, "start with PAR1", "it is not a Parquet file")
    if tail != b"PAR1":
        raise FileUnreadable(path.name, tail, "end with PAR1", "the file was cut short")
    # pyarrow answers a damaged file with an exception, where other readers may abort.
    with pq.ParquetFile(path) as source:
        _few_enough(path, source.metadata.num_rows)
        groups = range(source.metadata.num_row_groups)
        parts = [frame_of(source.read_row_group(group)) for group in groups]
        return pl.concat(parts, rechunk=False) if parts else frame_of(source.read())


def _arrow(path: Path) -> pl.DataFrame:
    with pa.OSFile(str(path)) as source:
        head = source.read(6)
        source.seek(0)
        opened = pa.ipc.open_file if head == b"ARROW1" else pa.ipc.open_stream
        with opened(source) as reader:
            table = reader.read_all()
    _few_enough(path, table.num_rows)
    return frame_of(table)


def _csv(path: Path) -> pl.DataFrame:
    # The reader passes a header of any bytes, so the encoding is checked first, in small pieces.
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    # Everything is read as text: a guessed type would turn an 18-decimal amount into a float.
    table = pl.read_csv(path, infer_schema=False, truncate_ragged_lines=False)
    _few_enough(path, len(table))
    return table


def frame_of(table: pa.Table) -> pl.DataFrame:
    """Return a checked copy. Damaged pages can hold offsets past their end or text that is not
    UTF-8; what takes them for granted afterwards would not raise but crash.
    """
    table.validate(full=True)
    fields = [pa.field(field.name, _plain(field)) for field in table.schema]
    # Text is copied into one plain layout and checked again: views carry prefixes nobody checks.
    table = table.cast(pa.schema(fields))
    table.validate(full=True)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _plain(field: pa.Field) -> pa.DataType:
    kind, is_a = field.type, pa.types
    if is_a.is_dictionary(kind):
        kind = kind.value_type
    if is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind):
        return pa.large_string()
    asis = (is_a.is_integer, is_a.is_floating, is_a.is_boolean, is_a.is_null, is_a.is_timestamp,
            is_a.is_date, is_a.is_decimal128)  # fmt: skip
    if not any(test(kind) for test in asis):
        raise FileUnreadable(
            f"column {field.name}", str(kind), "hold text, numbers, decimals, flags or stamps",
            "write another type",
        )  # fmt: skip
    return kind


def _few_enough(path: Path, rows: int) -> None:
    if rows > ROWS_MAX:
        raise FileUnreadable(
            path.name, f"{rows} rows", f"have at most {ROWS_MAX}", "split the book"
        )


def guarded(path: Path, read: Callable[[], T]) -> T:
    """Run a reader; whatever a library raises becomes one FileUnreadable that names the file."""
    try:
        return read()
    except CrossmarginError:
        raise
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        said = error.strerror or type(error).__name__
        raise FileUnreadable(path.name, said, "be a readable file", f"looked for {path}") from None
    # A Rust panic in a reader is not an Exception, but it is only a damaged file.
    except (Exception, pl.exceptions.PanicException) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        allowed = f"be a whole {path.suffix[1:]} file in UTF-8"
        raise FileUnreadable(path.name, said, allowed, "write it again") from None
