"""From market tables to a MarketFrame: one columnar validator for every market.

In     factors, assets and instruments as data frames, from any file or generator.
Out    a `MarketFrame` and what was wrong with its rows.
Owns   which columns a market has, and which finding costs a row its price and which the market.
Never  invents a price: a row whose price is bad is MISSING with level NaN, and says so.
Signs  prices and sizes > 0; fractions of 1, never percent.
Spec   docs/spec/01-what-exists.md, docs/formats.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from crossmargin.base.arrays import F64, I8, I32
from crossmargin.base.errors import Finding, InputInvalid, MarketInvalid
from crossmargin.domain.assets import AssetClass, FactorKind
from crossmargin.domain.instruments import KindCode, PayoffCode
from crossmargin.frames.findings import (
    Rule,
    above_zero,
    any_of,
    audit,
    conform,
    named,
    nearest,
    one_of,
    optional,
    read,
    unique,
    within,
)
from crossmargin.frames.market import (
    AssetTable,
    FactorTable,
    InstrumentTable,
    MarketFrame,
    Status,
    asset_prices,
)
from crossmargin.frames.terms import (
    ASSET_COLUMNS,
    DECIMALS_MAX,
    EXPONENT_MAX,
    FACTOR_COLUMNS,
    FRACTION,
    INSTRUMENT_COLUMNS,
    KINDS,
    PAYOFFS,
    PRICE_MAX,
    SCALE_MAX,
    SIZE_MAX,
    STATUS,
    STYLES,
    UNIT_RATIO_MAX,
    prices_rules,
    readable_rules,
    structure_rules,
    terms_rules,
)

_LOAD = re.compile(r"(?P<factor>[^*^\s]+)(?:\^(?P<exponent>[0-9]+(?:\.[0-9]+)?))?")


@dataclass(frozen=True, slots=True)
class MarketTables:
    """A market as it was read; docs/formats.md lists the columns.

    source   in words where the numbers come from; reports repeat it
    history  hourly closes, long: ts, factor, close, [low, high, vol]; None where there is none
    file     what a finding names; the source where there is no file
    """

    at_ns: int
    numeraire: str
    source: str
    factors: pl.DataFrame
    assets: pl.DataFrame
    instruments: pl.DataFrame
    history: pl.DataFrame | None = None
    file: str = ""

    @property
    def place(self) -> str:
        """How findings open."""
        return self.file or self.source


def compile_market(
    tables: MarketTables, stale_s: float, strict: bool = True
) -> tuple[MarketFrame, list[Finding]]:
    """Return the market as columns, and what was wrong with single rows of it.

    stale_s   an older price is STALE (the rulebook's oracle.stale_s)
    strict    raise MarketInvalid for wrong terms too; else such an instrument is MISSING, or left
              out where its kind cannot be read, and pools that hold it are UNPRICED

    A bad price never raises: its row is MISSING. Wrong structure (two rows of one name, a
    reference to nothing, an asset without factors) always raises, with every finding.
    """
    if not 0 < tables.at_ns < 2**62:
        raise InputInvalid(f"{tables.place}: at", tables.at_ns, "be a stamp after 1970 in UTC")
    factors, factor_prices, factor_faults = _factors(tables, stale_s)
    assets, asset_prices_found, asset_faults = _assets(tables, factors.names)
    faults = factor_faults + asset_faults
    if faults:
        raise MarketInvalid(faults)
    listed = conform(tables.instruments, INSTRUMENT_COLUMNS, f"{tables.place}/instruments")
    instruments, price_findings, term_findings = _instruments(tables, listed, assets.names)
    if strict and term_findings:
        raise MarketInvalid(term_findings)
    market = MarketFrame(
        tables.at_ns, tables.numeraire, tables.source, factors, assets, instruments
    )
    market = _with_spot_prices(market)
    units = _other_units(market, tables.place)
    return market, factor_prices + asset_prices_found + price_findings + term_findings + units


def _factors(
    tables: MarketTables, stale_s: float
) -> tuple[FactorTable, list[Finding], list[Finding]]:
    where = f"{tables.place}/factors"
    rows = conform(tables.factors, FACTOR_COLUMNS, where)
    _, faults = audit(
        rows,
        [named("factor"), unique("factor"), one_of("kind", FactorKind), named("class")],
        where, "factor",
    )  # fmt: skip
    status_bad = one_of("status", STATUS, absent=True)
    price_rules = [
        Rule("level", above_zero("level", PRICE_MAX) | (pl.col("status") == "missing"),
             "be a finite price > 0", "send a price, or set status to missing"),
        status_bad,
        Rule("half_width", optional("half_width", 0.0, 1.0), f"be >= 0, {FRACTION}"),
        Rule("stable_price", read("stable_price").is_null() | above_zero("stable_price", PRICE_MAX)
             & (read("stable_price") < 10.0 * read("level"))
             & (read("stable_price") > 0.1 * read("level")),
             "be > 0 and within ten times the level", "leave it out to use the level"),
        Rule("age_s", optional("age_s", 0.0, 1e9), "be seconds >= 0", "no print is from tomorrow"),
        Rule("sigma_daily", optional("sigma_daily", 0.0, 5.0), f"be >= 0, {FRACTION}"),
    ]  # fmt: skip
    masks, findings = audit(rows, price_rules, where, "factor")
    bad = any_of(masks, len(rows)).to_numpy()
    level_bad, _, width_bad, stable_bad, age_bad, sigma_bad = (mask.to_numpy() for mask in masks)
    level = np.where(level_bad, np.nan, _floats(rows, "level"))
    stable = np.where(stable_bad, np.nan, _floats(rows, "stable_price"))
    width = np.where(width_bad, 0.0, np.nan_to_num(_floats(rows, "half_width")))
    age = np.where(age_bad, 0.0, np.nan_to_num(_floats(rows, "age_s")))
    status = _codes(rows, "status", STATUS, Status.LIVE)
    status = np.where((age > stale_s) & (status > Status.STALE), Status.STALE, status)
    status = np.where(bad | ~np.isfinite(level), Status.MISSING, status).astype(np.int8)
    table = FactorTable(
        names=_texts(rows, "factor"), kinds=_texts(rows, "kind"), classes=_texts(rows, "class"),
        level=level, status=status, half_width=width,
        stable_price=np.where(np.isfinite(stable), stable, level), age_s=age,
        sigma_daily=np.where(sigma_bad, np.nan, _floats(rows, "sigma_daily")),
    )  # fmt: skip
    return table, findings, faults


def _assets(
    tables: MarketTables, factors: tuple[str, ...]
) -> tuple[AssetTable, list[Finding], list[Finding]]:
    where = f"{tables.place}/assets"
    rows = conform(tables.assets, ASSET_COLUMNS, where)
    whole = within("decimals", 0, DECIMALS_MAX) & (read("decimals") % 1 == 0)
    _, faults = audit(
        rows,
        [named("asset"), unique("asset"), one_of("class", AssetClass),
         Rule("decimals", whole, f"be a whole number in 0..{DECIMALS_MAX}", "use coin decimals")],
        where, "asset",
    )  # fmt: skip
    names = _texts(rows, "asset")
    if tables.numeraire not in names:
        faults.append(
            Finding(where, f"no row {tables.numeraire}", "list the numeraire as an asset",
                    f"add {tables.numeraire} with empty loads")
        )  # fmt: skip
    starts, load_factor, load_exponent, load_faults = _loads(rows, tables.numeraire, factors, where)
    price_rules = [
        Rule("scale", read("scale").is_null() | above_zero("scale", SCALE_MAX),
             "be > 0 and finite", "state the exchange rate"),
        Rule("adv", read("adv").is_null() | above_zero("adv", SIZE_MAX), "be > 0"),
        Rule("half_spread", optional("half_spread", 0.0, 1.0), f"be >= 0, {FRACTION}"),
        Rule("venue_total", optional("venue_total", 0.0, SIZE_MAX), "be >= 0"),
    ]  # fmt: skip
    masks, findings = audit(rows, price_rules, where, "asset")
    scale = np.where(rows["#scale"].is_null().to_numpy(), 1.0, _floats(rows, "scale"))
    decimals = np.clip(np.nan_to_num(_floats(rows, "decimals")), 0, DECIMALS_MAX)
    adv, half_spread, venue_total = (
        np.where(mask.to_numpy(), np.nan, _floats(rows, name))
        for name, mask in zip(("adv", "half_spread", "venue_total"), masks[1:], strict=True)
    )
    # A wrong rate, depth or total leaves no price one could stand by: the asset has none.
    scale = np.where(any_of(masks, len(rows)).to_numpy(), np.nan, scale)
    table = AssetTable(
        names=names, asset_classes=_texts(rows, "class"),
        decimals=decimals.astype(np.int64), scale=scale,
        load_starts=starts, load_factor=load_factor, load_exponent=load_exponent,
        adv=adv, half_spread=half_spread, venue_total=venue_total,
    )  # fmt: skip
    return table, findings, faults + load_faults


def _loads(
    rows: pl.DataFrame, numeraire: str, factors: tuple[str, ...], where: str
) -> tuple[np.ndarray, I32, F64, list[Finding]]:
    """Return (load_starts, load_factor, load_exponent, findings) of every asset's expression."""
    row_of = {name: row for row, name in enumerate(factors)}
    starts, picked, exponents, findings = [0], [], [], []
    for row, (asset, text) in enumerate(zip(rows["asset"], rows["loads"], strict=True)):
        place = f"{where}:row {row + 1} (asset {asset}) loads"
        parts = [part.strip() for part in (text or "").split("*")] if text else []
        if (asset == numeraire) != (not parts):
            allowed = "be empty: the numeraire costs 1" if parts else "name a factor"
            findings.append(Finding(place, text, allowed, "an asset without a factor has no price"))
        for part in parts:
            match = _LOAD.fullmatch(part)
            exponent = float(match["exponent"] or 1.0) if match else 0.0
            if match is None or not 0.0 < exponent <= EXPONENT_MAX:
                allowed = f"read like ETH/USD or ETH/USD^0.5*USDC/USD^0.5, power <= {EXPONENT_MAX}"
                findings.append(Finding(place, part, allowed))
            elif match["factor"] not in row_of:
                remedy = nearest(match["factor"], row_of) or "add the factor"
                findings.append(Finding(place, match["factor"], "be a listed factor", remedy))
            else:
                picked.append(row_of[match["factor"]])
                exponents.append(exponent)
        starts.append(len(picked))
    return (
        np.array(starts, np.int64), np.array(picked, np.int32), np.array(exponents, np.float64),
        findings,
    )  # fmt: skip


def _instruments(
    tables: MarketTables, rows: pl.DataFrame, assets: tuple[str, ...]
) -> tuple[InstrumentTable, list[Finding], list[Finding]]:
    """Return (table, price findings, term findings); raise for broken structure."""
    where = f"{tables.place}/instruments"
    _, faults = audit(rows, structure_rules(assets), where, "instrument")
    rows = rows.with_row_index("#index").with_columns(pl.col("payoff").fill_null("linear"))
    based = pl.when(pl.col("payoff") == "inverse").then("underlying").otherwise("quote")
    rows = rows.with_columns(
        pl.col("settle").fill_null(based),
        # A future's forward is its mark price; a table may call it by either name.
        *(pl.coalesce(f"{at}forward", f"{at}mark_price") for at in ("", "#")),
    )
    masks, unread = audit(rows, readable_rules(), where, "instrument")
    term_masks, terms = audit(rows, terms_rules(tables.at_ns), where, "instrument")
    price_masks, prices = audit(rows, prices_rules(), where, "instrument")
    if faults:
        raise MarketInvalid(faults + unread + terms)
    bad = any_of([*term_masks, *price_masks], len(rows))
    # A kind that cannot be read has no row to stand in: who holds it holds an unknown item.
    kept = (~any_of(masks, len(rows))).arg_true()
    return _table(rows[kept], bad[kept].to_numpy(), assets), prices, unread + terms


def _table(rows: pl.DataFrame, bad: np.ndarray, assets: tuple[str, ...]) -> InstrumentTable:
    row_of = {name: row for row, name in enumerate(assets)}
    kind = _codes(rows, "kind", KINDS, 0)
    option = kind >= KindCode.CALL
    forward = np.where(bad, np.nan, _floats(rows, "forward"))
    known = np.isfinite(forward) | (kind == KindCode.SPOT)
    status = np.where(bad | ~known, Status.MISSING, _codes(rows, "status", STATUS, Status.LIVE))
    rate, size = _floats(rows, "rate"), _floats(rows, "contract_size")
    # What was refused is not handed on as a number: formulas may rely on strikes above zero.
    size = np.where(bad | np.isnan(size), 1.0, size)
    strike, iv, quanto_rate = (
        np.where(bad, np.nan, _floats(rows, name)) for name in ("strike", "iv", "quanto_rate")
    )
    return InstrumentTable(
        names=_texts(rows, "instrument"), kind=kind,
        payoff=_codes(rows, "payoff", PAYOFFS, PayoffCode.LINEAR),
        style=_codes(rows, "style", STYLES, 0),
        underlying=_refs(rows, "underlying", row_of), quote=_refs(rows, "quote", row_of),
        settle=_refs(rows, "settle", row_of), contract_size=size,
        quanto_rate=quanto_rate,
        expiry_ns=rows["#expiry"].fill_null(0).cast(pl.Int64).to_numpy(),
        strike=strike, forward=forward, iv=iv,
        rate=np.where(option, np.nan_to_num(rate), rate), status=status.astype(np.int8),
        averaged=_floats(rows, "averaged"),
        averaged_share=np.nan_to_num(_floats(rows, "averaged_share")),
        funding_rate=_floats(rows, "funding_rate"), funding_cap=_floats(rows, "funding_cap"),
        adv=_floats(rows, "adv"), half_spread=_floats(rows, "half_spread"),
    )  # fmt: skip


def _with_spot_prices(market: MarketFrame) -> MarketFrame:
    """Give spot instruments without a mark the ratio of their two assets: it is their price."""
    table = market.instruments
    open_spot = (table.kind == KindCode.SPOT) & ~np.isfinite(table.forward)
    if open_spot.any():
        price = asset_prices(market)
        ratio = price[table.underlying] / price[table.quote]
        table.forward[open_spot] = ratio[open_spot]
    return market


def _other_units(market: MarketFrame, place: str) -> list[Finding]:
    """Mark MISSING what is priced far from its underlying: cents, thousands, the inverse price."""
    table = market.instruments
    price = asset_prices(market)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = table.forward / (price[table.underlying] / price[table.quote])
    far = np.isfinite(ratio) & ((ratio > UNIT_RATIO_MAX) | (ratio * UNIT_RATIO_MAX < 1.0))
    findings = [
        Finding(
            f"{place}/instruments (instrument {table.names[row]}) forward",
            float(table.forward[row]),
            f"lie within {UNIT_RATIO_MAX:g} times its underlying "
            f"({float(table.forward[row] / ratio[row]):g})",
            "give the price of one unit of the underlying, in quote units",
        )
        for row in np.flatnonzero(far)
    ]
    table.status[far] = Status.MISSING
    table.forward[far] = np.nan
    return findings


def _texts(rows: pl.DataFrame, name: str) -> tuple[str, ...]:
    return tuple(rows[name].fill_null("").to_list())


def _floats(rows: pl.DataFrame, name: str) -> F64:
    """Return the parsed column, NaN where absent or infinite: optional and not known."""
    values = rows[f"#{name}"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def _codes(rows: pl.DataFrame, name: str, codes: dict[str, int], absent: int) -> I8:
    coded = rows[name].replace_strict(codes, default=None, return_dtype=pl.Int8)
    return np.array(coded.fill_null(absent).to_numpy(), dtype=np.int8)


def _refs(rows: pl.DataFrame, name: str, row_of: dict[str, int]) -> I32:
    return np.array([row_of[text] for text in rows[name]], dtype=np.int32)


def unknown_classes(market: MarketFrame, classes: set[str]) -> list[Finding]:
    """Return one finding for each factor whose risk class the rulebook does not have."""
    factors = market.factors
    return [
        Finding(
            f"{market.source}/factors (factor {name}) class", risk_class,
            f"be a class of the rulebook: {', '.join(sorted(classes))}",
            nearest(risk_class, classes),
        )
        for name, risk_class in zip(factors.names, factors.classes, strict=True)
        if risk_class not in classes
    ]  # fmt: skip
