"""Rules over columns: what must hold in every row, and one finding for each row where it does not.

In     data frames as they were read, the columns a table may have, rules as polars expressions.
Out    canonical frames, and per rule the mask of bad rows with their findings.
Owns   what a column may be read as, and how a finding names its row.
Never  raises for a bad row (the caller decides), or lets a null or NaN pass a rule.
Signs  none.
Spec   docs/limits.md
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

import polars as pl

from crossmargin.base.errors import Finding, InputInvalid

# A book can be wrong in every one of ten million rows; nobody reads more than this of one kind.
FINDINGS_MAX = 1_000
NAME_CHARS_MAX = 128
# Where an input has better words for a row than its number (a path inside JSON).
WHERE = "where"

NAN = pl.lit(float("nan"))


class Reads(StrEnum):
    """What a column is read as. A number or stamp `x` is read beside its raw text, as `#x`."""

    TEXT = "text"
    NUMBER = "number"
    STAMP = "stamp"
    FLAG = "flag"
    EXACT = "exact"  # left as it came: decimal text, decimal or integers


class Column(NamedTuple):
    """One column a table may have."""

    reads: Reads
    required: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """`holds` states what must be true of a row; false or null there is a finding.

    column   the column quoted as found
    remedy   what to do, or a function of the value found
    """

    column: str
    holds: pl.Expr
    allowed: str
    remedy: str | Callable[[object], str] = ""


def read(name: str) -> pl.Expr:
    """Return the parsed column: null where absent, NaN where there is something else."""
    return pl.col(f"#{name}")


def optional(name: str, low: float, high: float) -> pl.Expr:
    """Hold where the number is absent, or finite and within [low, high]."""
    return read(name).is_null() | within(name, low, high)


def within(name: str, low: float, high: float) -> pl.Expr:
    """Hold where the number is there, finite and within [low, high]."""
    # polars orders NaN above every number, so a bare comparison would let it pass.
    return read(name).is_finite() & (read(name) >= low) & (read(name) <= high)


def above_zero(name: str, high: float) -> pl.Expr:
    """Hold where the number is there, finite and in (0, high]."""
    return within(name, 0.0, high) & (read(name) > 0.0)


def conform(frame: pl.DataFrame, columns: dict[str, Column], source: str) -> pl.DataFrame:
    """Return the frame with exactly these columns, numbers and stamps parsed beside the raw.

    A missing or unknown column, or one of a type that cannot be read, is an InputInvalid: no row
    of such a table can be trusted.
    """
    for name in frame.columns:
        if name not in columns:
            raise InputInvalid(
                f"{source}: column {name}", name, f"be one of {sorted(columns)}",
                nearest(name, columns) or "take the column out",
            )  # fmt: skip
    for name, column in columns.items():
        if column.required and name not in frame.columns:
            raise InputInvalid(
                source, sorted(frame.columns), f"have a column {name}", f"add {name}"
            )
    absent = [pl.lit(None, pl.String).alias(n) for n in columns if n not in frame.columns]
    frame = frame.with_columns(absent).select(*columns)
    made = []
    for name, column in columns.items():
        made += _readings(frame, name, column.reads, source)
    return frame.with_columns(made)


def _readings(frame: pl.DataFrame, name: str, reads: Reads, source: str) -> list[pl.Expr]:
    kind, col = frame.schema[name], pl.col(name)
    plain = kind in (pl.String, pl.Null) or isinstance(kind, pl.Categorical | pl.Enum)
    if reads is Reads.TEXT and (plain or kind.is_integer()):
        return [col.cast(pl.String)]
    if reads is Reads.EXACT and (plain or kind.is_numeric()):
        return [col.cast(pl.String)] if plain else []
    if reads is Reads.NUMBER and (plain or kind.is_numeric()):
        text = col.cast(pl.String).str.strip_chars() if plain or kind.is_decimal() else col
        value = text.cast(pl.Float64, strict=False)
        broken = col.is_not_null() & value.is_null()
        return [pl.when(broken).then(NAN).otherwise(value).alias(f"#{name}")]
    if reads is Reads.STAMP and (plain or kind.is_integer() or kind.is_temporal()):
        return [_stamps(frame[name], plain)]
    if reads is Reads.FLAG and (plain or kind == pl.Boolean):
        text = col.cast(pl.String).str.to_lowercase()
        return [text.replace_strict({"true": True, "false": False}, default=None).alias(f"#{name}")]
    raise InputInvalid(
        f"{source}: column {name}", str(kind), f"hold {reads} values", "write another type"
    )


def _stamps(raw: pl.Series, plain: bool) -> pl.Expr:
    """Return UTC nanoseconds as `#name`, null where absent, -1 where it is not a stamp."""
    col, out = pl.col(raw.name), f"#{raw.name}"
    if plain:
        texts = raw.cast(pl.String).drop_nulls().unique().to_list()
        stamps = {text: stamp_ns(text) for text in texts}
        return (
            col.cast(pl.String)
            .replace_strict(stamps, default=None, return_dtype=pl.Int64)
            .alias(out)
        )
    if raw.dtype.is_temporal():
        if raw.dtype == pl.Date or isinstance(raw.dtype, pl.Datetime):
            # A stamp without a zone is UTC; one with a zone already counts from the UTC epoch.
            nanos = col.cast(pl.Datetime("us", getattr(raw.dtype, "time_zone", None))).dt.epoch(
                "us"
            )
            return (nanos * 1_000).alias(out)
        return pl.lit(-1, pl.Int64).alias(out)
    return col.cast(pl.Int64, strict=False).fill_null(-1).alias(out)


def stamp_ns(text: str) -> int:
    """Return an ISO stamp as UTC nanoseconds, -1 where it is none; without an offset it is UTC."""
    try:
        stamp = datetime.fromisoformat(text.strip())
    except ValueError:
        return -1
    stamp = stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp
    whole = stamp.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return ((whole.days * 86_400 + whole.seconds) * 1_000_000 + whole.microseconds) * 1_000


def audit(
    frame: pl.DataFrame, rules: Sequence[Rule], source: str, subject: str
) -> tuple[list[pl.Series], list[Finding]]:
    """Return one mask of bad rows per rule, and the findings, in the order of rules and rows.

    `subject` names the column that says whose row it is; row numbers count data rows from 1.
    """
    held = frame.select(rule.holds.fill_null(False).alias(str(i)) for i, rule in enumerate(rules))
    masks = [~column for column in held.get_columns()]
    masks = [m if len(m) == len(frame) else m.new_from_index(0, len(frame)) for m in masks]
    findings: list[Finding] = []
    for rule, mask in zip(rules, masks, strict=True):
        count = int(mask.sum())
        if not count:
            continue
        rows = mask.arg_true().head(FINDINGS_MAX)
        wanted = dict.fromkeys([c for c in (WHERE, subject, rule.column) if c in frame.columns])
        for row, facts in zip(rows, frame.select(*wanted)[rows].to_dicts(), strict=True):
            findings.append(_finding(rule, source, (row, subject), facts))
        if count > len(rows):
            findings.append(
                Finding(f"{source} {rule.column}", f"{count - len(rows)} more rows", rule.allowed)
            )
    return masks, findings


def _finding(rule: Rule, source: str, place: tuple[int, str], facts: dict[str, object]) -> Finding:
    row, subject = place
    found = facts.get(rule.column)
    if facts.get(WHERE) is not None:
        where = f"{source}: {facts[WHERE]} {rule.column}"
    else:
        where = f"{source}:row {row + 1} ({subject} {facts.get(subject)}) {rule.column}"
    remedy = rule.remedy if isinstance(rule.remedy, str) else rule.remedy(found)
    return Finding(where, found, rule.allowed, remedy)


def any_of(masks: Iterable[pl.Series], length: int) -> pl.Series:
    """Return the rows that at least one mask marks."""
    return functools.reduce(lambda a, b: a | b, masks, pl.repeat(False, length, eager=True))


def nearest(name: object, known: Iterable[str]) -> str:
    """Return "did you mean X?" for the nearest known name, or nothing."""
    text = str(name)
    names = list(known)
    lower = {n.lower(): n for n in names}
    if text.lower() in lower:
        return f"did you mean {lower[text.lower()]}?"
    close = difflib.get_close_matches(text[:NAME_CHARS_MAX], names, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""


def named(column: str) -> Rule:
    """A name is there, and short enough to be printed."""
    length = pl.col(column).str.len_chars()
    return Rule(
        column, (length >= 1) & (length <= NAME_CHARS_MAX),
        f"be a name of 1 to {NAME_CHARS_MAX} characters", "give it a name",
    )  # fmt: skip


def one_of(column: str, words: Iterable[str], absent: bool = False) -> Rule:
    """The text is one of these words; `absent` allows none at all."""
    known = sorted(words)
    holds = pl.col(column).is_in(known)
    return Rule(
        column, holds | pl.col(column).is_null() if absent else holds,
        f"be one of {', '.join(known)}", lambda found: nearest(found, known),
    )  # fmt: skip


def unique(*columns: str) -> Rule:
    """No two rows carry the same key."""
    return Rule(
        columns[-1], pl.struct(columns).is_unique() if len(columns) > 1
        else pl.col(columns[0]).is_unique(),
        f"be listed once for each {' and '.join(columns)}", "merge the rows",
    )  # fmt: skip
