"""Drafts of what all accounts share: listing, rules, scenarios, prices, totals, indexes.

In     commands, the book, a setting.
Out    one event, or a refusal.
Owns   what may be listed, adopted or accepted, and what must not change once it was.
Never  touches an account; says where a price comes from.
Signs  levels, marks, totals >= 0; indexes 10^-18.
Spec   docs/spec/10-ledger.md, 10.8, 10.9, 10.20
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec
import numpy as np

from crossmargin.base.errors import CrossmarginError
from crossmargin.domain.book import Book, Head, Listing, Mark, Print, Scenarios, Terms
from crossmargin.domain.instruments import Kind, KindCode, Payoff, PayoffCode, Style
from crossmargin.domain.rulebook import Rulebook
from crossmargin.engine import commands as c
from crossmargin.engine.market import Setting, tables_of
from crossmargin.engine.replies import Rejection
from crossmargin.engine.workspace import price_of, refuse
from crossmargin.frames.listing import compile_market, unknown_classes
from crossmargin.frames.market import MarketFrame
from crossmargin.frames.terms import IV_MAX, PRICE_MAX, STATUS
from crossmargin.ledger import events as e
from crossmargin.ledger import exactly
from crossmargin.margin.classes import NUMERAIRE_CLASS
from crossmargin.margin.lint import correlations_are_psd

SCENARIOS_MAX = 100_000
# As the least price of the ledger: quotients of smaller levels leave the range of floats.
LEVEL_MIN = 1e-18
# No coin rises a millionfold in a day, and products of larger numbers leave the range of floats.
MOVE_MAX = 1e6


def list_market(command: c.ListMarket, book: Book, setting: Setting) -> e.Event:
    """List assets and instruments; what was listed keeps its decimals and terms."""
    bare = Listing(
        command.numeraire, command.source[:200], command.factors, command.assets,
        command.instruments, {}, {},
    )  # fmt: skip
    old = book.head.listing
    # What has expired since it was listed may stay: only newcomers must lie ahead.
    known = set(old.terms) if old is not None else set()
    try:
        fresh = [row for row in command.instruments if row.get("instrument") not in known]
        ahead = msgspec.structs.replace(bare, instruments=tuple(fresh))
        compile_market(tables_of(ahead, setting.now_ns), 1e9, strict=True)
        frame, _ = compile_market(tables_of(bare, 1), 1e9, strict=True)
    except CrossmarginError as invalid:
        refuse(Rejection.MARKET_INVALID, str(invalid)[:500])
    if setting.rules is not None:
        _check_classes(frame, setting.rules, Rejection.MARKET_INVALID)
    decimals = dict(zip(frame.assets.names, map(int, frame.assets.decimals), strict=True))
    terms = terms_of(frame)
    if old is not None:
        if old.numeraire != command.numeraire:
            refuse(Rejection.TERMS_CHANGED, old.numeraire)
        _check_kept(old.decimals, decimals)
        _check_kept(old.terms, terms)
    return e.MarketListed(msgspec.structs.replace(bare, decimals=decimals, terms=terms))


def _check_kept(
    old: dict[str, int] | dict[str, Terms], new: dict[str, int] | dict[str, Terms]
) -> None:
    for name, was in old.items():
        if new.get(name) != was:
            refuse(Rejection.TERMS_CHANGED, name)


def terms_of(frame: MarketFrame) -> dict[str, Terms]:
    """Return what the ledger must know of every instrument of a market."""
    table, assets = frame.instruments, frame.assets.names
    kinds = {int(KindCode[kind.name]): kind.value for kind in Kind}
    payoffs = {int(PayoffCode[payoff.name]): payoff.value for payoff in Payoff}
    styles = [style.value for style in Style]
    return {
        name: Terms(
            kinds[int(table.kind[j])], payoffs[int(table.payoff[j])], styles[int(table.style[j])],
            assets[table.underlying[j]], assets[table.quote[j]], assets[table.settle[j]],
            repr(float(table.contract_size[j])), _text(table.quanto_rate[j]),
            int(table.expiry_ns[j]), _text(table.strike[j]),
        )
        for j, name in enumerate(table.names)
    }  # fmt: skip


def _text(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else "0"


def adopt_rulebook(command: c.AdoptRulebook, book: Book, setting: Setting) -> e.Event:
    """Adopt a rulebook whose time has come."""
    try:
        rules = msgspec.msgpack.decode(command.rules, type=Rulebook)
    except (msgspec.MsgspecError, CrossmarginError, ValueError) as invalid:
        refuse(Rejection.RULEBOOK_INVALID, str(invalid))
    listing = book.head.listing
    if listing is not None and rules.numeraire != listing.numeraire:
        refuse(Rejection.RULEBOOK_INVALID, f"numeraire {rules.numeraire}")
    for found in correlations_are_psd(rules):
        refuse(Rejection.RULEBOOK_INVALID, found.key)
    if rules.effective_from.timestamp() * 1e9 > setting.now_ns:
        refuse(Rejection.RULEBOOK_NOT_YET, rules.effective_from.isoformat())
    if listing is not None:
        frame, _ = compile_market(tables_of(listing, 1), 1e9, strict=False)
        _check_classes(frame, rules, Rejection.RULEBOOK_INVALID)
    return e.RulebookAdopted(rules.digest, rules.packed())


def _check_classes(frame: MarketFrame, rules: Rulebook, reason: Rejection) -> None:
    """Refuse a market and rules of which one names a class the other does not know."""
    if NUMERAIRE_CLASS not in rules.classes:
        refuse(reason, f"no class {NUMERAIRE_CLASS}, which the numeraire is of")
    for stranger in unknown_classes(frame, set(rules.classes)):
        refuse(reason, stranger.where)


def adopt_scenarios(command: c.AdoptScenarios, book: Book, setting: Setting) -> e.Event:
    """Adopt joint rows."""
    given = command.scenarios
    s, k = len(given.names), len(given.factors)
    sizes = (8 * s * k, 8 * s * k, 8 * s, s * k)
    found = tuple(map(len, (given.factor_moves, given.vol_moves, given.probability, given.flagged)))
    if not 0 < s <= SCENARIOS_MAX or not k or found != sizes:
        refuse(Rejection.SCENARIOS_INVALID, f"{s} rows of {k} factors, bytes {found}")
    _check_scenarios(given)
    return e.ScenariosAdopted(given)


def _check_scenarios(given: Scenarios) -> None:
    for data in (given.factor_moves, given.vol_moves):
        moves = np.frombuffer(data, np.float64)
        if not ((moves > -1.0) & (moves <= MOVE_MAX)).all():
            refuse(Rejection.SCENARIOS_INVALID, f"a move that is not in (-1, {MOVE_MAX:g}]")
    probability = np.frombuffer(given.probability, np.float64)
    if not ((probability >= 0.0).all() and abs(probability.sum() - 1.0) < 1e-9):
        refuse(Rejection.SCENARIOS_INVALID, "probabilities that do not sum to 1")


def accept_prices(command: c.AcceptPrices, book: Book, setting: Setting) -> e.Event:
    """Accept prints that are new enough, in order and finite."""
    listing, rules, head = book.head.listing, setting.rules, book.head
    assert listing is not None
    assert rules is not None
    known = {str(row["factor"]) for row in listing.factors}
    for name in command.prints:
        if name not in known:
            refuse(Rejection.FACTOR_UNKNOWN, name)
    for name in command.marks:
        if name not in listing.terms:
            refuse(Rejection.INSTRUMENT_UNKNOWN, name)
    if not command.prints and not command.marks:
        refuse(Rejection.PRICE_INVALID, "no prints")
    for name, told in command.prints.items():
        if not is_print(told):
            refuse(Rejection.PRICE_INVALID, name)
    for name, mark in command.marks.items():
        if not is_mark(mark):
            refuse(Rejection.PRICE_INVALID, name)
    stamp = command.stamped_ns
    if stamp > setting.now_ns:
        refuse(Rejection.PRICE_FROM_FUTURE, "", stamp, setting.now_ns)
    oldest = setting.now_ns - int(rules.oracle.stale_s * 1e9)
    if stamp < oldest:
        refuse(Rejection.PRICE_STALE, "", stamp, oldest)
    newest = _newest(command, head)
    if stamp < newest:
        refuse(Rejection.PRICE_OUT_OF_ORDER, "", stamp, newest)
    return e.PricesAccepted(stamp, command.prints, command.marks)


def _newest(command: c.AcceptPrices, head: Head) -> int:
    stamps: Iterable[int] = (
        *(head.prints[n][1] for n in command.prints if n in head.prints),
        *(head.marks[n][1] for n in command.marks if n in head.marks),
    )
    return max(stamps, default=0)


def is_print(told: Print) -> bool:
    """Return whether a print's numbers can be a price: comparisons that a NaN fails."""
    if told.status not in STATUS:
        return False
    stable = told.level if told.stable_price is None else told.stable_price
    return (
        LEVEL_MIN <= told.level < PRICE_MAX
        and 0.0 <= told.half_width <= 1.0
        and 0.1 * told.level < stable < 10.0 * told.level
    )


def is_mark(told: Mark) -> bool:
    """Return whether a mark's numbers can be one."""
    share = told.averaged_share or 0.0
    return (
        told.status in STATUS
        and LEVEL_MIN <= told.forward < PRICE_MAX
        and (told.iv is None or 0.0 < told.iv <= IV_MAX)
        and (told.rate is None or -1.0 <= told.rate <= 1.0)
        and 0.0 <= share <= 1.0
        and (not share or (told.averaged is not None and LEVEL_MIN <= told.averaged < PRICE_MAX))
        and (told.funding_rate is None or -1.0 <= told.funding_rate <= 1.0)
    )


def adopt_totals(command: c.AdoptVenueTotals, book: Book, setting: Setting) -> e.Event:
    """Adopt what the venue holds of each asset, numeraire (spec 3.6)."""
    for name, total in command.totals.items():
        if name not in setting.decimals:
            refuse(Rejection.ASSET_UNKNOWN, name)
        if not total >= 0.0:
            refuse(Rejection.AMOUNT_NOT_POSITIVE, name)
        if not total < 1e18:
            refuse(Rejection.AMOUNT_TOO_LARGE, name)
    return e.VenueTotalsAdopted(command.totals)


def advance_funding(command: c.AdvanceFunding, book: Book, setting: Setting) -> e.Event:
    """Raise a perpetual's funding index by one interval."""
    name = command.instrument
    terms = setting.terms.get(name)
    if terms is None:
        refuse(Rejection.INSTRUMENT_UNKNOWN, name)
    if terms.kind != "perpetual":
        refuse(Rejection.INSTRUMENT_KIND, name)
    at = price_of(command.price)
    rate = exactly.ratio(command.rate)
    if rate is None or not -rate[1] <= rate[0] <= rate[1]:
        refuse(Rejection.RATE_INVALID, command.rate[: exactly.PRICE_CHARS_MAX])
    step = exactly.funding_step(terms, rate, at, setting.decimals[terms.settle])
    index = book.head.funding.get(name, 0) + step
    return e.FundingIndexed(name, index, command.rate, command.price)


def advance_interest(command: c.AdvanceInterest, book: Book, setting: Setting) -> e.Event:
    """Raise an asset's interest index for the time since it was last raised."""
    asset = command.asset
    if asset not in setting.decimals:
        refuse(Rejection.ASSET_UNKNOWN, asset)
    terms = setting.rules.lending.get(asset) if setting.rules is not None else None
    if terms is None:
        refuse(Rejection.BORROW_NOT_OFFERED, asset)
    lent = book.lent(asset)
    elapsed = setting.now_ns - lent.stamped_ns
    if elapsed <= 0:
        refuse(Rejection.NOTHING_DUE, asset)
    rate = exactly.borrow_rate(lent, terms)
    index = lent.index + exactly.interest_step(lent.index, rate, elapsed)
    return e.InterestIndexed(asset, index, rate)
