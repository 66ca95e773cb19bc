"""What a market's tables may hold: columns, bounds, and the rules of an instrument's terms.

In     nothing but the market's own stamp and the names of its assets.
Out    columns and rules for `frames.listing`; the bounds docs/limits.md states.
Owns   the columnar form of what `domain.instruments.Instrument` refuses one at a time.
Never  looks at a row.
Signs  prices and sizes > 0; fractions of 1, never percent.
Spec   docs/spec/01-what-exists.md, docs/limits.md
"""

from __future__ import annotations

import polars as pl

from crossmargin.domain.instruments import Kind, KindCode, Payoff, PayoffCode, Style
from crossmargin.frames.findings import (
    Column,
    Reads,
    Rule,
    above_zero,
    named,
    nearest,
    one_of,
    optional,
    read,
    unique,
)
from crossmargin.frames.market import Status

PRICE_MAX = 1e15
SIZE_MAX = 1e18
SCALE_MAX = 1e30
EXPONENT_MAX = 4.0
DECIMALS_MAX = 18
# 10 is 1,000 % a year; a larger one is a percentage written as a fraction.
IV_MAX = 10.0
# A forward this many times away from its underlying is a price in another unit.
UNIT_RATIO_MAX = 100.0

TEXT, NUMBER, STAMP = Reads.TEXT, Reads.NUMBER, Reads.STAMP
FACTOR_COLUMNS = {
    "factor": Column(TEXT, True), "kind": Column(TEXT, True), "class": Column(TEXT, True),
    "level": Column(NUMBER, True), "status": Column(TEXT), "half_width": Column(NUMBER),
    "stable_price": Column(NUMBER), "age_s": Column(NUMBER), "sigma_daily": Column(NUMBER),
}  # fmt: skip
ASSET_COLUMNS = {
    "asset": Column(TEXT, True), "class": Column(TEXT, True), "decimals": Column(NUMBER, True),
    "loads": Column(TEXT, True), "scale": Column(NUMBER), "adv": Column(NUMBER),
    "half_spread": Column(NUMBER), "venue_total": Column(NUMBER),
}  # fmt: skip
INSTRUMENT_COLUMNS = {
    "instrument": Column(TEXT, True), "kind": Column(TEXT, True), "payoff": Column(TEXT),
    "underlying": Column(TEXT, True), "quote": Column(TEXT, True), "settle": Column(TEXT),
    "contract_size": Column(NUMBER), "style": Column(TEXT), "expiry": Column(STAMP),
    "strike": Column(NUMBER), "quanto_rate": Column(NUMBER), "forward": Column(NUMBER),
    "mark_price": Column(NUMBER), "iv": Column(NUMBER), "rate": Column(NUMBER),
    "status": Column(TEXT), "averaged": Column(NUMBER), "averaged_share": Column(NUMBER),
    "funding_rate": Column(NUMBER), "funding_cap": Column(NUMBER), "adv": Column(NUMBER),
    "half_spread": Column(NUMBER),
}  # fmt: skip
STATUS = {status.name.lower(): int(status) for status in Status}
KINDS = {kind.value: int(KindCode[kind.name]) for kind in Kind}
PAYOFFS = {payoff.value: int(PayoffCode[payoff.name]) for payoff in Payoff}
STYLES = {style.value: code for code, style in enumerate(Style)}
FRACTION = "a fraction of 1, not percent"


def structure_rules(assets: tuple[str, ...]) -> list[Rule]:
    """What must hold of an instrument for the market to make sense at all."""
    listed = "be a listed asset"
    rules = [
        named("instrument"), unique("instrument"),
        Rule("instrument", ~pl.col("instrument").is_in(assets),
             "differ from every asset's name", "rename it"),
    ]  # fmt: skip
    for column in ("underlying", "quote"):
        rules.append(
            Rule(column, pl.col(column).is_in(assets), listed, lambda f: nearest(f, assets))
        )
    known = pl.col("settle").is_null() | pl.col("settle").is_in(assets)
    return [*rules, Rule("settle", known, listed, lambda f: nearest(f, assets))]


def readable_rules() -> list[Rule]:
    """Words of a row without which it cannot be an instrument."""
    return [
        one_of("kind", KINDS),
        one_of("payoff", PAYOFFS, absent=True),
        one_of("style", STYLES, absent=True),
    ]


def terms_rules(at_ns: int) -> list[Rule]:
    """The rules of domain.instruments.Instrument, as columns, and what only `at` can tell."""
    option = pl.col("kind").is_in(["call", "put"]).fill_null(False)
    dated = option | (pl.col("kind") == "future").fill_null(False)
    payoff, futures_style = pl.col("payoff"), (pl.col("style") == "futures").fill_null(False)
    size_absent = read("contract_size").is_null()
    return [
        Rule("contract_size", size_absent | above_zero("contract_size", SIZE_MAX),
             "be > 0", "state units a contract"),
        Rule("expiry", ~dated | (read("expiry") > at_ns), "lie after the market's own stamp",
             "take the expired instrument out, or settle it"),
        Rule("expiry", dated | read("expiry").is_null(), "be empty for perpetual and spot"),
        Rule("strike", ~option | above_zero("strike", PRICE_MAX), "be > 0, in quote units"),
        Rule("settle", (payoff != "linear") | (pl.col("settle") == pl.col("quote")),
             "be the quote of a linear instrument", "or use payoff quanto"),
        Rule("settle", (payoff != "inverse") | (pl.col("settle") == pl.col("underlying")),
             "be the base of an inverse instrument", "settle in the underlying"),
        Rule("quanto_rate", (payoff != "quanto") | above_zero("quanto_rate", SIZE_MAX),
             "be > 0: settle units per quote unit", "state the fixed rate"),
        Rule("payoff", ~option | (payoff != "quanto"), "be linear or inverse for options"),
        Rule("style", option | ~futures_style, "be left out: style is for options"),
        Rule("style", ~futures_style | (payoff != "inverse"), "be premium for inverse options"),
        Rule("iv", ~option | read("iv").is_null() | above_zero("iv", IV_MAX),
             f"be in (0, {IV_MAX:g}] a year, {FRACTION}", "divide percent by 100"),
        Rule("rate", optional("rate", -1.0, 1.0), f"be in [-1, 1] a year, {FRACTION}"),
        Rule("averaged_share", optional("averaged_share", 0.0, 1.0), "be in [0, 1]"),
        Rule("funding_rate", optional("funding_rate", -1.0, 1.0), f"be in [-1, 1], {FRACTION}"),
        Rule("funding_cap", optional("funding_cap", 0.0, 1.0), f"be in [0, 1], {FRACTION}"),
        Rule("adv", read("adv").is_null() | above_zero("adv", SIZE_MAX), "be > 0"),
        Rule("half_spread", optional("half_spread", 0.0, 1.0), f"be >= 0, {FRACTION}"),
    ]  # fmt: skip


def prices_rules() -> list[Rule]:
    """What must hold for an instrument to have a price."""
    option = pl.col("kind").is_in(["call", "put"]).fill_null(False)
    spot, marked = pl.col("kind") == "spot", pl.col("status") == "missing"
    price = above_zero("forward", PRICE_MAX)
    averaging = read("averaged_share").fill_null(0.0) > 0.0
    return [
        Rule("forward", price | (marked & read("forward").is_null())
             | (spot & read("forward").is_null()),
             "be a finite price > 0", "send a mark, or set status to missing"),
        Rule("iv", ~option | marked | read("iv").is_not_null(), "be there for an option",
             "an option without volatility has no price"),
        Rule("averaged", ~averaging | above_zero("averaged", PRICE_MAX),
             "be > 0 inside a settlement average"),
        one_of("status", STATUS, absent=True),
    ]  # fmt: skip
