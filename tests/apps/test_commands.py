"""Every command answers in words and in JSON, with the exit code the documents state."""

from __future__ import annotations

import json
import math

import polars as pl
import pytest

from crossmargin.apps.cli.outcome import Exit

PAIR, STRANGLE = "pair-trader-001", "short-strangle-001"
FIELDS = {
    "account", "pool", "method", "equity", "collateral_value", "margin_balance_im",
    "margin_balance_mm", "im", "mm", "health", "margin_ratio", "buffer_mm", "buffer_im", "verdict",
    "binding_term", "worst_scenario", "worst_loss", "unpriced", "exact",
}  # fmt: skip
STATED = {"numeraire", "at", "source", "rulebook", "rulebook_digest", "horizon_hours"}


def strict(text: str) -> dict:
    """Parse JSON that may hold no NaN or Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    "words",
    [
        ["margin"],
        ["explain", "worst"],
        ["whatif", PAIR],
        ["whatif", PAIR, "--transfer", "USDC:1000"],
        ["liquidation-price", PAIR, "ETH"],
        ["liquidate"],
        ["frontier", PAIR, "ETH/USD", "BTC/USD"],
        ["greeks", PAIR],
        ["compare"],
        ["stress"],
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_every_command_answers_in_words_and_in_json(command, words) -> None:
    code, out, _ = command(*words)
    assert code in (Exit.OK, Exit.UNPRICED)
    assert "rulebook prime-24h" in out  # where the numbers come from stands below each answer
    same, text, _ = command(*words, "--json")
    assert same == code
    assert strict(text).keys() >= STATED


def test_margin_holds_every_pool_most_endangered_first(command, report) -> None:
    _, text, _ = command("margin", "--json")
    answer = strict(text)
    rows = answer["rows"]
    assert rows[0].keys() >= FIELDS
    assert len(rows) == len(report)
    order = ["UNPRICED", "BANKRUPT", "LIQUIDATABLE", "REDUCE_ONLY", "HEALTHY"]
    places = [order.index(row["verdict"]) for row in rows]
    assert places == sorted(places)
    assert sum(answer["verdicts"].values()) == len(rows)


def test_unpriced_numbers_are_null_and_free_pools_have_health_inf(command) -> None:
    _, text, _ = command("margin", "--json")
    rows = strict(text)["rows"]
    unpriced = [row for row in rows if row["unpriced"]]
    assert unpriced
    assert all(row["equity"] is None and row["mm"] is None for row in unpriced)
    assert all(isinstance(row["health"], float | int | str) for row in rows if not row["unpriced"])


def test_unpriced_pools_end_with_3_and_a_verdict_asked_for_with_1(command) -> None:
    assert command("margin")[0] == Exit.UNPRICED
    assert command("margin", "--fail-on", "UNPRICED")[0] == Exit.FOUND
    assert command("margin", "--fail-on", "REDUCE_ONLY")[0] == Exit.FOUND


def test_the_report_is_written_as_parquet(command, report, tmp_path) -> None:
    path = tmp_path / "report.parquet"
    _, _, said = command("margin", "--out", str(path))
    assert str(path) in said
    assert len(pl.read_parquet(path)) == len(report)


def test_explain_prints_a_tree_that_sums(command, report) -> None:
    _, text, _ = command("explain", "worst", "--leave-one-out", "--json")
    answer = strict(text)
    for level in ("buffer_mm", "buffer_im"):
        assert sums(answer[level])
    _, out, _ = command("explain", answer["account"], "--level", "im")
    assert "margin_balance_im" in out


def sums(node: dict) -> bool:
    """Whether every node of the tree is the sum of its children, but for rounding."""
    parts = node.get("children", [])
    if not parts:
        return True
    total = math.fsum(part["value"] for part in parts)
    close = math.isclose(total, node["value"], rel_tol=1e-9, abs_tol=1e-6)
    return close and all(sums(part) for part in parts)


def test_a_deposit_raises_equity_by_what_it_is_worth(command) -> None:
    _, text, _ = command("whatif", PAIR, "--transfer", "USD:1000", "--json")
    answer = strict(text)
    gain = answer["after"]["equity"] - answer["before"]["equity"]
    assert gain == pytest.approx(1000.0, rel=1e-9)  # the numeraire is worth one of itself


def test_what_is_free_is_free(command) -> None:
    _, text, _ = command("whatif", PAIR, "--json")
    answer = strict(text)
    assert answer["free"]
    asset, amount = max(answer["free"].items(), key=lambda pair: pair[1])
    if amount:
        words = ("whatif", PAIR, "--transfer", f"{asset}:{-amount}", "--json")
        assert strict(command(*words)[1])["after"]["buffer_im"] >= -1e-6


def test_the_liquidation_price_is_where_the_buffer_is_zero(command, report) -> None:
    _, text, _ = command("liquidation-price", STRANGLE, "ETH/USD", "--json")
    found = strict(text)["liquidation_prices"]["ETH/USD"]
    # A short strangle is liquidated on both sides.
    assert found["below"] < found["now"] < found["above"]


def test_compare_frees_nothing_against_itself(command) -> None:
    _, text, _ = command("compare", "--methods", "isolated,portfolio", "--json")
    answer = strict(text)
    assert answer["methods"] == ["isolated", "portfolio"]
    assert answer["total"][0]["freed"] == 0.0
    # Tied up is equity less the buffer, so 1 - portfolio / isolated is what is freed.
    first, second = answer["total"]
    assert second["freed"] == pytest.approx(1.0 - second["tied_im"] / first["tied_im"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["explain", "nobody"], "nobody"),
        (["explain", PAIR, "--pool", "attic"], "attic"),
        (["explain", PAIR, "--level", "xm"], "mm or im"),
        (["liquidation-price", PAIR, "XYZ"], "XYZ"),
        (["frontier", PAIR, "ETH/USD", "XYZ"], "XYZ"),
        (["compare", "--methods", "cross,isolated"], "cross"),
        (["stress", "nobody"], "nobody"),
        (["whatif", PAIR, "--trade", "ETH-PERP:many"], "INSTRUMENT:QUANTITY"),
        (["whatif", PAIR, "--trade", "NONE-PERP:1"], "NONE-PERP"),
        (["whatif", PAIR, "--transfer", "USDC"], "ASSET:AMOUNT"),
        (["margin", "--bogus"], "--bogus"),
        (["margin", "--fail-on", "SICK"], "SICK"),
        (["rulebook", "lint", "nowhere.toml"], "nowhere.toml"),
        (["rulebook", "show", "prime-24h", "nokey"], "nokey"),
        (["frontier"], "account"),
        (["compare", "--methods", ","], "--methods"),
        (["margin", "--threads", "0"], "--threads"),
        (["margin", "--seed", "-1"], "--seed"),
        (["margin", "--top", "0"], "--top"),
        (["demo", "--seed", "-1"], "--seed"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_what_cannot_be_understood_ends_with_2_and_names_itself(command, words, says) -> None:
    code, out, err = command(*words)
    assert code == Exit.BAD_INPUT
    assert says.lower() in err.lower()
    assert out == ""
    assert "Traceback" not in err


def test_shipped_rulebooks_are_clean_and_differ_from_each_other(command) -> None:
    for name in ("prime-24h", "exchange-4h"):
        assert command("rulebook", "lint", name)[0] == Exit.OK
        assert command("rulebook", "diff", name, name)[0] == Exit.OK
    code, text, _ = command("rulebook", "diff", "prime-24h", "exchange-4h", "--json")
    assert code == Exit.FOUND
    found = {row["key"]: (row["old"], row["new"]) for row in strict(text)["differences"]}
    assert found["margin.mpor_hours"] == (24.0, 4.0)


def test_rulebook_show_gives_values_by_key(command) -> None:
    _, text, _ = command("rulebook", "show", "prime-24h", "margin.alpha", "--json")
    assert strict(text)["values"] == {"margin.alpha": 0.99}  # method, section 16


UNPRICED = "stale-strike-001"


@pytest.mark.parametrize(
    "words",
    [
        ["explain", UNPRICED],
        ["liquidation-price", UNPRICED, "BTC/USD"],
        ["frontier", UNPRICED, "BTC/USD", "BTC/USD"],
        ["whatif", UNPRICED, "--transfer", "BTC:1"],
    ],
    ids=lambda words: words[0],
)
def test_an_unpriced_pool_is_answered_with_3_and_no_number(command, words, tmp_path) -> None:
    path = tmp_path / "picture.png"
    code, out, err = command(*words, "--picture", str(path))
    assert code == Exit.UNPRICED
    assert "UNPRICED" in out + err
    assert "nan" not in out
    assert "none" not in out  # "no liquidation price" would be a statement
    code, text, _ = command(*words, "--json")
    assert code == Exit.UNPRICED
    assert strict(text)
