"""Exact integers: amounts in the smallest unit of their asset.

In     decimal text and the asset's number of decimals, or integers.
Out    integers, or the text that reads back as the same integer.
Owns   the named roundings (down is what we credit, up is what we charge) and the decimal grammar.
Never  touches a float; rounds text (too many digits are refused, not dropped).
Signs  an amount carries its own sign: + held, - owed.
Spec   docs/spec/00-words.md
"""

from __future__ import annotations

import re
from typing import NoReturn

from crossmargin.base.errors import InputInvalid

# 38 digits fill a decimal128, the widest column an amount may come from.
AMOUNT_DIGITS_MAX = 38
# More than any chain uses (18 is usual, 24 exists); a larger one is a mistake in the input.
DECIMALS_MAX = 36
# The longest text that can be a legal amount: sign, digits, point, padding zeros, exponent.
TEXT_CHARS_MAX = 128

_AMOUNT = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]+)(?:\.(?P<part>[0-9]+))?(?:[eE](?P<exponent>[+-]?[0-9]{1,3}))?"
)


def scale_down(amount: int, num: int, den: int) -> int:
    """Return amount * num / den rounded towards minus infinity: what we credit."""
    assert den > 0
    return amount * num // den


def scale_up(amount: int, num: int, den: int) -> int:
    """Return amount * num / den rounded towards plus infinity: what we charge."""
    assert den > 0
    return -(-amount * num // den)


def parse_amount(text: str, decimals: int, where: str = "amount") -> int:
    """Return decimal text as an integer of smallest units, exactly or not at all.

    "1.5" with 6 decimals is 1_500_000. Zeros past the last decimal are harmless and accepted; any
    other digit there is refused, because dropping it would be rounding. `where` opens the error.
    """
    assert 0 <= decimals <= DECIMALS_MAX

    def refuse(allowed: str, remedy: str = "") -> NoReturn:
        raise InputInvalid(where, text, allowed, remedy)

    if len(text) > TEXT_CHARS_MAX:
        refuse(f"have at most {TEXT_CHARS_MAX} characters")
    match = _AMOUNT.fullmatch(text)
    if match is None:
        refuse("be a finite decimal number such as 1250.75", "write digits, not NaN, inf or commas")
    whole, part = match["whole"], match["part"] or ""
    # The value is digits * 10**shift smallest units.
    digits = (whole + part).lstrip("0")
    shift = int(match["exponent"] or 0) + decimals - len(part)
    if not digits:
        return 0
    if len(digits) + shift > AMOUNT_DIGITS_MAX:
        refuse(f"have at most {AMOUNT_DIGITS_MAX} digits in smallest units", "check the unit")
    if shift < 0:
        digits, dropped = digits[:shift], digits[shift:]
        if dropped.strip("0"):
            refuse(f"have at most {decimals} decimals", "amounts are exact and never rounded")
        shift = 0
    amount: int = int(digits or "0") * 10**shift
    return -amount if match["sign"] == "-" else amount


def format_amount(amount: int, decimals: int) -> str:
    """Return the shortest plain decimal text that `parse_amount` reads back as `amount`."""
    assert 0 <= decimals <= DECIMALS_MAX
    digits = str(abs(amount)).rjust(decimals + 1, "0")
    whole, part = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"
