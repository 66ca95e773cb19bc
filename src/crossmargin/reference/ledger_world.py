"""The second witness on the world: listing, rules, prints, totals, funding, interest.

In     a `Case` and a command, read by its fields' names alone.
Out    a changed book, or `Refused`.
Owns   when a print is taken, how indexes advance.
Never  validates a market's tables: a listing is taken as good or not as the engine was told.
Signs  indexes 10^-18.
Spec   docs/spec/10-ledger.md (10.8, 10.9, 10.20)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from crossmargin.base.errors import CrossmarginError
from crossmargin.domain.rulebook import unpacked
from crossmargin.reference.ledger_book import ONE, SECOND_NS, Book, Contract, Lent, Refused
from crossmargin.reference.ledger_case import PRICE_END, Case
from crossmargin.reference.ledger_market import STATUS, doubles, loads_of, stamp_ns
from crossmargin.reference.ledger_sums import borrow_rate, grown, up, utilisation, worth, written

SHARE_MAX = 1.0
TOTAL_MAX = 1e18
IV_MAX = 10.0
LEVEL_LOW = 1e-18
STABLE_RATIO_MAX = 10.0
MOVE_MAX = 1e6


def changed(book: Book) -> None:
    """The world is another one: whatever was derived from it is old."""
    before = book.world

    def back() -> None:
        book.world = before

    book.undo.append(back)
    book.versions += 1
    book.world = book.versions


def put(book: Book, name: str, value: object) -> None:
    """Replace one field of the book so that it can be taken back."""
    before = getattr(book, name)

    def back(set_back: Callable[[Any, str, object], None] = setattr) -> None:
        set_back(book, name, before)

    book.undo.append(back)
    setattr(book, name, value)


# --- listing, rules, scenarios --------------------------------------------------------------------


def list_market(case: Case, command: Any) -> None:
    """What is listed keeps its decimals and terms, and stays listed."""
    book = case.book
    assets = {row["asset"]: dict(row) for row in command.assets}
    rows = {row["instrument"]: dict(row) for row in command.instruments}
    factors = {row["factor"]: dict(row) for row in command.factors}
    contracts = {name: contract(row) for name, row in rows.items()}
    loads = [factor for row in assets.values() for factor, _ in loads_of(row.get("loads"))]
    named = [a for t in contracts.values() for a in (t.underlying, t.quote, t.settle)]
    if not set(loads) <= set(factors) or not set(named) <= set(assets):
        raise Refused("market_invalid")
    for name, row in book.assets.items():
        if name not in assets or assets[name]["decimals"] != row["decimals"]:
            raise Refused("terms_changed")
    for name, terms in book.contracts.items():
        if contracts.get(name) != terms:
            raise Refused("terms_changed")
    put(book, "numeraire", command.numeraire)
    put(book, "factors", factors)
    put(book, "assets", assets)
    put(book, "instruments", rows)
    put(book, "contracts", contracts)
    for name in assets:
        if name not in book.lent:
            book.assign(book.lent, name, Lent(ONE, case.now_ns))
    changed(book)


def contract(row: dict[str, Any]) -> Contract:
    """Terms of a listed row, with what follows where a cell is empty (docs/formats.md)."""
    payoff = row.get("payoff") or "linear"
    settle = row.get("settle") or (row["underlying"] if payoff == "inverse" else row["quote"])
    return Contract(
        row["kind"], payoff, row.get("style") or "premium", row["underlying"], row["quote"],
        settle, _exact(row.get("contract_size"), 1), _exact(row.get("quanto_rate"), 0),
        stamp_ns(row.get("expiry")), _exact(row.get("strike"), 0),
    )  # fmt: skip


def _exact(cell: Any, absent: int) -> Fraction:
    return Fraction(absent) if cell is None else written(float(cell))


def adopt_rulebook(case: Case, command: Any) -> None:
    """Rules that read, for this numeraire and these classes, in force by now."""
    book = case.book
    try:
        rules = unpacked(command.rules)
    except (CrossmarginError, ValueError):
        raise Refused("rulebook_invalid") from None
    classes = {row["class"] for row in book.factors.values()}
    if rules.numeraire != book.numeraire or not classes <= set(rules.classes):
        raise Refused("rulebook_invalid")
    if int(rules.effective_from.timestamp()) * SECOND_NS > case.now_ns:
        raise Refused("rulebook_not_yet")
    put(book, "rules", rules)
    changed(book)


def adopt_scenarios(case: Case, command: Any) -> None:
    """Joint rows: columns of one length, moves above -100 %, probabilities that sum to one."""
    told = command.scenarios
    n, k = len(told.names), len(told.factors)
    whole = (
        n > 0
        and k > 0
        and len(told.factor_moves) == len(told.vol_moves) == 8 * n * k
        and len(told.probability) == 8 * n
        and len(told.flagged) == n * k
    )
    if not whole:
        raise Refused("scenarios_invalid")
    moves = doubles(told.factor_moves) + doubles(told.vol_moves)
    odds = doubles(told.probability)
    sound = all(-1.0 < m <= MOVE_MAX for m in moves) and all(p >= 0.0 for p in odds)
    if not sound or not abs(math.fsum(odds) - 1.0) < 1e-9:
        raise Refused("scenarios_invalid")
    put(case.book, "scenarios", told)
    changed(case.book)


# --- prints ---------------------------------------------------------------------------------------


def accept_prices(case: Case, command: Any) -> None:
    """10.20: good numbers of known names, neither old, nor early, nor out of order."""
    book = case.book
    assert book.rules is not None
    for name in command.prints:
        if name not in book.factors:
            raise Refused("factor_unknown")
    for name in command.marks:
        if name not in book.contracts:
            raise Refused("instrument_unknown")
    prints, marks = command.prints, command.marks
    if not prints and not marks:
        raise Refused("price_invalid")
    if not all(map(_good_print, prints.values())) or not all(map(_good_mark, marks.values())):
        raise Refused("price_invalid")
    stamp = command.stamped_ns
    if case.now_ns - stamp > int(book.rules.oracle.stale_s * SECOND_NS):
        raise Refused("price_stale")
    if stamp > case.now_ns:
        raise Refused("price_from_future")
    for table, told in ((book.prints, prints), (book.marks, marks)):
        if any(name in table and table[name][1] > stamp for name in told):
            raise Refused("price_out_of_order")
    for table, told in ((book.prints, prints), (book.marks, marks)):
        for name, value in told.items():
            book.assign(table, name, (value, stamp))
    changed(book)


def _within(x: Any, low: float, high: float) -> bool:
    return x is None or low <= x <= high


def _good_print(told: Any) -> bool:
    level, stable = told.level, told.stable_price
    if not (
        LEVEL_LOW <= level < PRICE_END and told.status in STATUS and 0.0 <= told.half_width <= 1.0
    ):
        return False
    return stable is None or (
        level / STABLE_RATIO_MAX < stable < level * STABLE_RATIO_MAX and math.isfinite(stable)
    )


def _good_mark(told: Any) -> bool:
    if not (LEVEL_LOW <= told.forward < PRICE_END and told.status in STATUS):
        return False
    good = (
        (told.iv is None or 0.0 < told.iv <= IV_MAX)
        and _within(told.rate, -1.0, 1.0)
        and _within(told.averaged_share, 0.0, SHARE_MAX)
        and _within(told.funding_rate, -1.0, 1.0)
    )
    if told.averaged_share:
        good = good and told.averaged is not None and LEVEL_LOW <= told.averaged < PRICE_END
    return good


def adopt_venue_totals(case: Case, command: Any) -> None:
    """What the venue holds of assets in all, numeraire."""
    for name, value in command.totals.items():
        case.asset(name)
        if not value >= 0.0:
            raise Refused("amount_not_positive")
        if value > TOTAL_MAX:
            raise Refused("amount_too_large")
    put(case.book, "totals", dict(command.totals))
    changed(case.book)


# --- indexes --------------------------------------------------------------------------------------


def advance_funding(case: Case, command: Any) -> None:
    """10.8: a long pays when the rate is above nothing, for all payoffs."""
    book, name = case.book, command.instrument
    terms = case.instrument(name)
    if terms.kind != "perpetual":
        raise Refused("instrument_kind")
    price = case.price(command.price)
    rate = case.rate(command.rate, -1, 1)
    each = worth(terms, ONE, price, book.decimals(terms.settle))
    book.assign(book.funding, name, book.funding.get(name, 0) + up(rate * each * ONE))
    changed(book)


def advance_interest(case: Case, command: Any) -> None:
    """10.9: debts grow by the rate of this moment's utilisation, for the time since last."""
    book = case.book
    asset = case.asset(command.asset)
    assert book.rules is not None
    terms = book.rules.lending.get(asset)
    if terms is None:
        raise Refused("borrow_not_offered")
    lent = book.lent[asset]
    dt = case.now_ns - lent.stamped_ns
    if dt <= 0:
        raise Refused("nothing_due")
    rate = borrow_rate(terms, utilisation(*book.lending(asset)))
    book.assign(book.lent, asset, Lent(grown(lent.index, rate, dt), case.now_ns))
    changed(book)
