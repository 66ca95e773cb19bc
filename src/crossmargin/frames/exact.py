"""Exact numbers in columns: decimal text and integers to floats, rounded once and checked.

In     the type of a quantity or amount column.
Out    expressions: the nearest float, whether the text is a number at all, decimals it needs.
Owns   the columnar form of `base.fixed.parse_amount`'s grammar.
Never  turns a float back into an exact amount; accepts NaN, inf or grouped digits.
Signs  as written.
Spec   docs/formats.md
"""

from __future__ import annotations

import polars as pl

from crossmargin.base.errors import InputInvalid
from crossmargin.base.fixed import TEXT_CHARS_MAX

_DECIMAL = r"^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$"
_WHOLE = r"^[+-]?[0-9]+$"


def exact_quantity(kind: pl.DataType) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Return (float value, reads as a number, decimals needed or null) of column `quantity`.

    A float column is accepted as it is, for books of risk only; it needs no decimals.
    """
    col = pl.col("quantity")
    if kind.is_float():
        return col.cast(pl.Float64), col.is_finite(), pl.lit(None, pl.Int32)
    if kind.is_integer():
        return col.cast(pl.Float64), col.is_not_null(), pl.lit(0, pl.Int32)
    # Text is the one form from which a float is rounded once: decimal128 has more digits.
    text = col.cast(pl.String).str.strip_chars()
    reads = text.str.contains(_DECIMAL) & (text.str.len_bytes() <= TEXT_CHARS_MAX)
    value = pl.when(reads).then(text.cast(pl.Float64, strict=False))
    return value, reads, _places(text, reads)


def exact_amount(kind: pl.DataType, source: str) -> tuple[pl.Expr, pl.Expr]:
    """Return (float value in coins, reads as whole smallest units) of column `amount`."""
    if kind.is_float():
        raise InputInvalid(
            f"{source}: column amount", str(kind), "hold integers or text",
            "a float cannot hold 18 decimals; use quantity for a book of risk only",
        )  # fmt: skip
    text = pl.col("amount").cast(pl.String).str.strip_chars()
    reads = text.str.contains(_WHOLE) & (text.str.len_bytes() <= TEXT_CHARS_MAX)
    # "123e-18" is read in one rounding; dividing two floats would round three times.
    scaled = pl.concat_str([text, pl.lit("e-"), pl.col("#decimals").cast(pl.String)])
    return pl.when(reads).then(scaled.cast(pl.Float64, strict=False)), reads


def _places(text: pl.Expr, reads: pl.Expr) -> pl.Expr:
    """Decimals a number needs: "1.50" 1, "1e-8" 8, "100" none; null where it is not a number."""
    part = text.str.extract(r"\.([0-9]+)", 1).fill_null("").str.strip_chars_end("0")
    whole = text.str.extract(r"^[+-]?([0-9]+)", 1)
    power = text.str.extract(r"[eE]([+-]?[0-9]+)$", 1).str.strip_chars_start("+")
    shift = power.cast(pl.Int32, strict=False).fill_null(0)
    zeros = whole.str.len_bytes().cast(pl.Int32) - (
        whole.str.strip_chars_end("0").str.len_bytes().cast(pl.Int32)
    )
    needed = part.str.len_bytes().cast(pl.Int32) - shift
    needed = needed - pl.when(part == "").then(zeros).otherwise(0)
    # A zero needs no decimals however it is written.
    value = text.cast(pl.Float64, strict=False)
    return pl.when(reads & (value != 0.0)).then(needed)
