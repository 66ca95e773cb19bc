"""Messages carry where, found, allowed and remedy; so do attributes, also through a pickle."""

from __future__ import annotations

import pickle

import pytest

from crossmargin.base import errors
from crossmargin.base.errors import (
    FINDINGS_SHOWN_MAX,
    BookInvalid,
    CrossmarginError,
    FileUnreadable,
    Finding,
    InputInvalid,
    MarketInvalid,
    RiskError,
    RulebookInvalid,
    Unpriced,
)

KEY = "collateral.ETH.haircut_mm_frac"
ROWS = [Finding(f"row {n}: price", -n, "be > 0") for n in range(1, 31)]


def test_message_says_where_found_allowed_and_remedy() -> None:
    error = InputInvalid("row 7: quantity", "NaN", "be a finite number", "remove the row")
    assert str(error) == "row 7: quantity: found 'NaN', must be a finite number; remove the row"
    assert (error.where, error.found) == ("row 7: quantity", "NaN")
    assert (error.allowed, error.remedy) == ("be a finite number", "remove the row")


def test_must_is_said_once() -> None:
    error = RulebookInvalid(KEY, 0.2, "must lie between 0 and haircut_im_frac (0.1)")
    assert str(error) == f"{KEY}: found 0.2, must lie between 0 and haircut_im_frac (0.1)"
    assert error.key == KEY


def test_one_bad_row_reads_as_one_line() -> None:
    assert str(BookInvalid(ROWS[:1])) == "row 1: price: found -1, must be > 0"


def test_all_bad_rows_are_carried_and_the_count_is_told() -> None:
    error = MarketInvalid(ROWS)
    lines = str(error).splitlines()
    assert error.findings == tuple(ROWS)
    assert lines[0] == "market: 30 findings"
    assert lines[1] == "  row 1: price: found -1, must be > 0"
    assert lines[-1] == "  ... and 10 more"
    assert len(lines) == FINDINGS_SHOWN_MAX + 2  # the heading and the rest


def test_a_long_value_is_cut_with_its_length() -> None:
    message = str(InputInvalid("file", "x" * 5000, "be short"))
    assert len(message) < 200
    assert "(5002 characters)" in message  # repr adds two quotes


def test_unpriced_names_what_is_missing() -> None:
    error = Unpriced("alice/main", ["LUNA/USD", "UST/USD"], "send a print")
    assert str(error) == (
        "alice/main: unpriced, because LUNA/USD, UST/USD are missing or bad; send a print"
    )
    assert error.missing == ("LUNA/USD", "UST/USD")


@pytest.mark.parametrize(
    "error",
    [
        InputInvalid("w", 1, "be 2", "r"),
        RulebookInvalid("k", 1, "be 2"),
        BookInvalid(ROWS),
        MarketInvalid(ROWS[:1]),
        FileUnreadable("book.parquet", "12 bytes", "be a whole Parquet file"),
        Unpriced("p", ["BTC/USD"], "r"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_a_process_border(error: CrossmarginError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_the_tree_is_the_one_drawn() -> None:
    drawn = [line.split("+-- ")[1].split()[0] for line in str(errors.__doc__).splitlines()
             if "+-- " in line]  # fmt: skip
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Exception)]
    public = {kind.__name__ for kind in kinds if not kind.__name__.startswith("_")}
    assert set(drawn) == public - {"CrossmarginError"}
    assert issubclass(BookInvalid, InputInvalid)
    assert issubclass(Unpriced, RiskError)
