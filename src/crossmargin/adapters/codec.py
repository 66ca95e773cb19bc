"""Bytes to accounts, markets and rulebooks: JSON and TOML, exactly as written.

In     bytes of one document.
Out    domain values and tables; `frames` checks what they say, here only that they can be read.
Owns   the shape of the JSON documents; decimals go from text to Decimal, never through a float.
Never  opens a file, fills a default that changes a number, or lets a foreign exception out.
Signs  as written.
Spec   docs/formats.md, docs/limits.md
"""

from __future__ import annotations

import json
import re
import tomllib
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn, TypeVar

import msgspec
import polars as pl

from crossmargin.base.errors import CrossmarginError, InputInvalid, RulebookInvalid
from crossmargin.domain.accounts import Account
from crossmargin.domain.rulebook import AssetRules, RiskClass, Rulebook
from crossmargin.frames.findings import Column, Reads, stamp_ns
from crossmargin.frames.listing import MarketTables
from crossmargin.frames.terms import ASSET_COLUMNS, FACTOR_COLUMNS, INSTRUMENT_COLUMNS

# A book of more than this belongs in Parquet; a rulebook of more is none.
JSON_BYTES_MAX = 256 * 1024 * 1024
TOML_BYTES_MAX = 4 * 1024 * 1024

T = TypeVar("T")
Cell = str | float | None
Rows = list[dict[str, Cell]]

_AT = re.compile(r"(?P<said>.*?) - at `(?:key in )?(?P<path>[^`]*)`", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(?P<allowed>.*)`, got `(?P<found>.*)`", re.DOTALL)
_FIELD = re.compile(r"Object (?P<what>contains unknown|missing required) field `(?P<name>.*)`")


class _Accounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    accounts: list[Account]


class _Market(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    at: str
    numeraire: str
    factors: Rows
    assets: Rows
    instruments: Rows = []
    source: str = ""


class MarketStamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """market.json beside the tables of a market folder: when, in which money, from where."""

    at: str
    numeraire: str
    source: str = ""


def accounts_from_json(data: bytes, source: str = "json") -> list[Account]:
    """Return one account, a list of them, or {"accounts": [...]}."""
    _bounded(data, JSON_BYTES_MAX, source)
    if data.lstrip()[:1] == b"[":
        accounts = _decoded(data, list[Account], source)
    elif "accounts" in _decoded(data, dict[str, msgspec.Raw], source):
        accounts = _decoded(data, _Accounts, source).accounts
    else:
        accounts = [_decoded(data, Account, source)]
    _refuse_repeated_keys(data, source)
    return accounts


def accounts_to_json(accounts: list[Account]) -> bytes:
    """Return the accounts as {"accounts": [...]}; amounts as text, so that every digit stays."""
    built = msgspec.to_builtins(accounts, enc_hook=str, builtin_types=(Decimal,))
    return json.dumps({"accounts": built}, default=str, indent=1).encode()


def market_from_json(data: bytes, source: str = "json") -> MarketTables:
    """Return the tables of a market document: at, numeraire, factors, assets, instruments."""
    _bounded(data, JSON_BYTES_MAX, source)
    market = _decoded(data, _Market, source)
    _refuse_repeated_keys(data, source)
    return MarketTables(
        at_ns=stamp(market.at, f"{source}: at"),
        numeraire=market.numeraire,
        source=market.source or source,
        factors=_table(market.factors, FACTOR_COLUMNS),
        assets=_table(market.assets, ASSET_COLUMNS),
        instruments=_table(market.instruments, INSTRUMENT_COLUMNS),
        file=source,
    )


def market_stamp_from_json(data: bytes, source: str) -> MarketStamp:
    """Return what market.json of a folder says."""
    _bounded(data, JSON_BYTES_MAX, source)
    return _decoded(data, MarketStamp, source)


def stamp(text: str, where: str) -> int:
    """Return an ISO stamp as UTC nanoseconds; without an offset it is UTC."""
    at_ns = stamp_ns(text)
    if at_ns <= 0:
        raise InputInvalid(where, text, "be a stamp such as 2025-10-10T21:00Z", "write ISO 8601")
    return at_ns


def rulebook_from_toml(data: bytes, source: str = "toml") -> Rulebook:
    """Return the rulebook; an unknown, missing or impossible key is refused by its dotted name."""
    _bounded(data, TOML_BYTES_MAX, source)
    try:
        raw: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputInvalid(source, f"byte {error.start}", "be UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise InputInvalid(source, str(error), "be TOML", "see docs/formats.md") from None
    except (RecursionError, ValueError, OverflowError) as error:
        raise InputInvalid(source, type(error).__name__, "be TOML", "see docs/formats.md") from None
    # Classes and overrides do not know their own names: they are read first, each under its name.
    for section, part in (("classes", RiskClass), ("assets", AssetRules)):
        rows = raw.get(section)
        for name, row in rows.items() if isinstance(rows, dict) else ():
            _converted(row, part, source, f"{section}.{name}.")
    return _converted(raw, Rulebook, source, "")


def _converted(raw: object, kind: type[T], source: str, prefix: str) -> T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        path, found, allowed = _read(str(error))
        key = f"{prefix}{path.removeprefix('$').lstrip('.')}".rstrip(".")
        raise RulebookInvalid(f"{source}: {key}", found, allowed) from None
    except RulebookInvalid as error:
        raise RulebookInvalid(
            f"{source}: {prefix}{error.key}", error.found, error.allowed, error.remedy
        ) from None


def _decoded(data: bytes, kind: type[T], source: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        said, hint, allowed = _read(str(error))
        path, found = _place(data, said, hint)
        raise InputInvalid(f"{source}: {path}", found, allowed, "see docs/formats.md") from None
    except msgspec.DecodeError as error:
        _refuse(source, str(error))
    except UnicodeDecodeError as error:
        _refuse(source, f"byte {error.start} is not UTF-8")
    except RecursionError:
        _refuse(source, "nesting too deep")
    except CrossmarginError as error:
        if isinstance(error, InputInvalid):
            raise InputInvalid(
                f"{source}: {error.where}", error.found, error.allowed, error.remedy
            ) from None
        raise


def _place(data: bytes, path: str, found: object) -> tuple[str, object]:
    """Return the path and the value there; the decoder says `[...]` for a key of a mapping."""
    try:
        value: Any = msgspec.json.decode(data)
        for step in re.findall(r"\w+|\.\.\.", path):
            if step == "...":
                step = next(key for key, inner in value.items() if not _is_number(inner))
                path = path.replace("[...]", f".{step}", 1)
            value = value[int(step)] if isinstance(value, list) else value[step]
    except (msgspec.DecodeError, LookupError, TypeError, ValueError, StopIteration, RecursionError):
        return path, found
    return path, found if isinstance(value, dict | list) else value


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        try:
            Decimal(value)
        except InvalidOperation:
            return False
        return True
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse(source: str, found: str) -> NoReturn:
    raise InputInvalid(source, found, "be one JSON document", "see docs/formats.md")


def _read(message: str) -> tuple[str, str, str]:
    """Return (path, found, allowed) of a decoder's message."""
    at = _AT.fullmatch(message)
    said, path = (at["said"], at["path"]) if at else (message, "$")
    if expected := _EXPECTED.fullmatch(said):
        return path, expected["found"], f"be {expected['allowed']}"
    if said.startswith("Invalid decimal"):
        return path, said, "be a decimal number such as 1250.75"
    if field := _FIELD.fullmatch(said):
        if field["what"] == "contains unknown":
            return path, field["name"], "be a known field; take it out or correct its name"
        return path, "nothing", f"have a field {field['name']}"
    return path, said, "be readable"


def _bounded(data: bytes, limit: int, source: str) -> None:
    if len(data) > limit:
        raise InputInvalid(source, f"{len(data)} bytes", f"have at most {limit}", "use Parquet")
    if not data.strip():
        raise InputInvalid(source, "nothing", "hold a document", "the file is empty")


def _refuse_repeated_keys(data: bytes, source: str) -> None:
    """Refuse {"ETH": 1, "ETH": 2}: a decoder would keep the last and lose the first unseen."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise InputInvalid(f"{source}: key {twice}", twice, "stand once", "merge the two")
        return made

    # Numbers are not needed, so they are not parsed: a long integer would be refused by Python.
    text = data.decode("utf-8")
    json.loads(text, object_pairs_hook=once, parse_int=len, parse_float=len, parse_constant=len)


def _table(rows: Rows, columns: dict[str, Column]) -> pl.DataFrame:
    """Return rows as columns; one word among numbers makes its column text, and a finding later."""
    names = dict.fromkeys(name for row in rows for name in row)
    required = {name for name, column in columns.items() if column.required}
    if not rows:
        names = dict.fromkeys(sorted(required))
    series = []
    for name in names:
        cells = [row.get(name) for row in rows]
        column = columns.get(name)
        words = any(isinstance(cell, str) for cell in cells)
        if words or column is None or column.reads is not Reads.NUMBER:
            texts = [None if cell is None else _text(cell) for cell in cells]
            series.append(pl.Series(name, texts, pl.String))
        else:
            series.append(pl.Series(name, cells, pl.Float64))
    return pl.DataFrame(series)


def _text(cell: str | float) -> str:
    return cell if isinstance(cell, str) else repr(cell)
