"""The market a decision uses: the listing, the rules and the newest prints, prepared.

In     a book's head, the engine's time.
Out    a `Setting`: prepared market, item rows, rules; what a command may name.
Owns   when a market must be made again: a new head version, or a print that turned stale.
Never  reads a clock; fills a price.
Signs  as its parts.
Spec   docs/spec/10-ledger.md, 10.20
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from crossmargin.domain.book import Head, Listing, Scenarios, Terms
from crossmargin.domain.rulebook import Rulebook, unpacked
from crossmargin.frames.ledgered import Items, items_of
from crossmargin.frames.listing import MarketTables, compile_market
from crossmargin.frames.market import MarketFrame
from crossmargin.frames.prints import stale_from, with_prints
from crossmargin.frames.terms import ASSET_COLUMNS, FACTOR_COLUMNS, INSTRUMENT_COLUMNS
from crossmargin.margin.joint import JointRows
from crossmargin.margin.prepared import Market, prepare
from crossmargin.methods.registry import METHODS

# A listing is compiled as of this stamp: what has expired since stays listed.
LISTED_NS = 1


@dataclass(frozen=True, slots=True)
class Setting:
    """What decisions of one moment share. `market` is None until there are rules and prints."""

    now_ns: int
    market: Market | None
    items: Items | None
    rules: Rulebook | None
    decimals: dict[str, int]
    terms: dict[str, Terms]


class Settings:
    """Settings as they are asked for; a market is made once for each version and staleness."""

    def __init__(self) -> None:
        """Start with nothing made."""
        self._listed: tuple[Listing, MarketFrame, Items] | None = None
        self._made: tuple[int, int, int, Market] | None = None

    def at(self, head: Head, now_ns: int) -> Setting:
        """Return the setting of a head at a moment."""
        listing = head.listing
        if listing is None:
            rules = unpacked(head.rules) if head.rules else None
            return Setting(now_ns, None, None, rules, {}, {})
        if self._listed is None or self._listed[0] is not listing:
            frame = compile_market(tables_of(listing, LISTED_NS), 1e9, strict=False)[0]
            self._listed = (listing, frame, items_of(frame, listing.terms, tuple(METHODS)))
            self._made = None
        _, frame, items = self._listed
        rules = unpacked(head.rules) if head.rules else None
        market = self._market(head, frame, rules, now_ns)
        return Setting(now_ns, market, items, rules, listing.decimals, listing.terms)

    def _market(
        self, head: Head, listed: MarketFrame, rules: Rulebook | None, now_ns: int
    ) -> Market | None:
        if self._made is not None:
            version, since_ns, until_ns, market = self._made
            # Not before it was made: where no record holds the time, a clock may run back.
            if version == head.version and since_ns <= now_ns < until_ns:
                return market
        if rules is None or not head.prints:
            return None
        stale_s = rules.oracle.stale_s
        priced = with_prints(listed, head.prints, head.marks, now_ns, stale_s)
        priced = _with_totals(priced, head.venue_totals)
        joint = None if head.scenarios is None else joint_of(head.scenarios, priced)
        market = prepare(priced, rules, joint, threads=1)
        stamps = [stamp for _, stamp in (*head.prints.values(), *head.marks.values())]
        self._made = (head.version, now_ns, stale_from(stamps, now_ns, stale_s), market)
        return market


def tables_of(listing: Listing, at_ns: int) -> MarketTables:
    """Return a listing as the tables a market file would be."""

    def table(rows: tuple[dict[str, object], ...], columns: dict[str, object]) -> pl.DataFrame:
        schema = dict.fromkeys(columns, pl.String)
        made = [{n: _text(row.get(n)) for n in schema} for row in rows]
        return pl.DataFrame(made, schema=schema)

    return MarketTables(
        at_ns, listing.numeraire, listing.source,
        table(listing.factors, FACTOR_COLUMNS),  # type: ignore[arg-type]
        table(listing.assets, ASSET_COLUMNS),  # type: ignore[arg-type]
        table(listing.instruments, INSTRUMENT_COLUMNS),  # type: ignore[arg-type]
    )  # fmt: skip


def joint_of(scenarios: Scenarios, market: MarketFrame) -> JointRows:
    """Return adopted scenarios over the market's factors; one it does not name does not move."""
    s, k = len(scenarios.names), len(scenarios.factors)
    row_of = {name: column for column, name in enumerate(scenarios.factors)}
    columns = np.array([row_of.get(name, -1) for name in market.factors.names])

    def read(data: bytes) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        given = np.frombuffer(data, np.float64).reshape(s, k)
        picked = given[:, columns] if k else np.zeros((s, len(columns)))
        return np.ascontiguousarray(np.where(columns >= 0, picked, 0.0))

    flagged = np.frombuffer(scenarios.flagged, np.bool_).reshape(s, k)
    return JointRows(
        scenarios.names, read(scenarios.factor_moves), read(scenarios.vol_moves),
        np.frombuffer(scenarios.probability, np.float64),
        np.where(columns >= 0, flagged[:, columns], True), (), scenarios.asked,
    )  # fmt: skip


def scenarios_of(joint: JointRows, market: MarketFrame) -> Scenarios:
    """Return joint rows as what a command carries."""
    return Scenarios(
        market.factors.names, joint.names, joint.factor_moves.tobytes(),
        joint.vol_moves.tobytes(), joint.probability.tobytes(), joint.flagged.tobytes(),
        joint.asked,
    )  # fmt: skip


def _with_totals(market: MarketFrame, totals: dict[str, float]) -> MarketFrame:
    if not totals:
        return market
    known = np.array([totals.get(name, np.nan) for name in market.assets.names])
    return replace(market, assets=replace(market.assets, venue_total=known))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
