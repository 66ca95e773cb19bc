"""The public names: load or build, assess, explain, ask.

In     accounts, files, a market, a rulebook name.
Out    `Report`: every pool's answer, and every question one can ask about it.
Owns   the names users type; how a batch of one and a million take the same path.
Never  computes: it hands over.
Signs  equity, buffers signed; requirements >= 0; health is inf where nothing is charged.
Spec   docs/api.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crossmargin.adapters.files import load_book as _load_book
from crossmargin.adapters.files import load_market as _load_tables
from crossmargin.adapters.files import load_rulebook, save_book, save_market
from crossmargin.api.forked import using_tables
from crossmargin.api.ledgers import open_engine
from crossmargin.api.report import Explanation, Report
from crossmargin.base.errors import (
    BookInvalid,
    ClockJumped,
    CrossmarginError,
    FileUnreadable,
    Finding,
    InputInvalid,
    JournalBroken,
    LedgerError,
    MarketInvalid,
    Overloaded,
    RulebookInvalid,
    StoreBusy,
    StoreConflict,
    StoreFailed,
)
from crossmargin.domain.accounts import Account, Order, Pool, Position
from crossmargin.domain.rulebook import Rulebook
from crossmargin.engine import commands
from crossmargin.engine.queue import CommandQueue
from crossmargin.engine.replies import Accepted, Rejected, Rejection
from crossmargin.engine.runtime import Engine
from crossmargin.frames.book import BookFrame, with_method
from crossmargin.frames.compile import BookTables, compile_book
from crossmargin.frames.history import HistoryFrame, history_from_table
from crossmargin.frames.listing import MarketTables, compile_market, unknown_classes
from crossmargin.frames.market import MarketFrame
from crossmargin.frames.written import tables_from_accounts
from crossmargin.inquiry.whatif import Trade, Transfer
from crossmargin.margin.explain import Node
from crossmargin.margin.joint import joint_rows
from crossmargin.margin.lint import correlations_are_psd, lint
from crossmargin.margin.prepared import Market
from crossmargin.margin.prepared import prepare as _prepare
from crossmargin.margin.requirement import Verdict
from crossmargin.methods.registry import DEFAULT_METHOD, METHODS, method_named
from crossmargin.methods.registry import assess as _assess

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "Accepted",
    "Account",
    "BookFrame",
    "BookInvalid",
    "BookTables",
    "ClockJumped",
    "CommandQueue",
    "CrossmarginError",
    "Engine",
    "Explanation",
    "FileUnreadable",
    "Finding",
    "HistoryFrame",
    "InputInvalid",
    "JournalBroken",
    "LedgerError",
    "Market",
    "MarketFrame",
    "MarketInvalid",
    "MarketSource",
    "MarketTables",
    "Node",
    "Order",
    "Overloaded",
    "Pool",
    "Position",
    "Rejected",
    "Rejection",
    "Report",
    "Rulebook",
    "RulebookInvalid",
    "StoreBusy",
    "StoreConflict",
    "StoreFailed",
    "Trade",
    "Transfer",
    "Verdict",
    "assess",
    "commands",
    "compile_account",
    "demo",
    "lint",
    "load_book",
    "load_market",
    "load_rulebook",
    "market_from_tables",
    "open_engine",
    "prepare",
    "save_book",
    "save_market",
]

DEFAULT_RULEBOOK = "prime-24h"
DEMO_AT_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00Z
Books = Account | Sequence[Account] | BookTables | BookFrame | str | Path


@dataclass(frozen=True, slots=True)
class MarketSource:
    """A market as columns, its history where there is some, and what was wrong with its rows."""

    frame: MarketFrame
    history: HistoryFrame | None = None
    findings: tuple[Finding, ...] = ()


Markets = Market | MarketSource | MarketFrame | MarketTables | str | Path


def market_from_tables(
    tables: MarketTables, history: HistoryFrame | None = None,
    rulebook: Rulebook | str = DEFAULT_RULEBOOK, strict: bool = False,
) -> MarketSource:  # fmt: skip
    """Check tables and return the market they make.

    strict  raise MarketInvalid for wrong terms; else such rows are UNPRICED and listed as findings
    """
    using_tables()
    rules = _rulebook(rulebook)
    frame, findings = compile_market(tables, rules.oracle.stale_s, strict)
    findings += unknown_classes(frame, set(rules.classes))
    if history is None and tables.history is not None:
        history = history_from_table(tables.history)
    return MarketSource(frame, history, tuple(findings))


def load_market(
    path: str | Path, rulebook: Rulebook | str = DEFAULT_RULEBOOK, strict: bool = False
) -> MarketSource:
    """Read a market from .json or a folder of tables (docs/formats.md)."""
    using_tables()
    return market_from_tables(_load_tables(path), None, rulebook, strict)


def load_book(path: str | Path) -> BookTables:
    """Read a book: .json, a holdings table, or a folder with holdings, pools, orders tables."""
    using_tables()
    return _load_book(path)


def demo(seed: int = 7, n_accounts: int = 200) -> tuple[BookTables, MarketSource]:
    """Return the embedded book and market: generated, calibrated on real data, no file needed."""
    from crossmargin.simulation.books import book
    from crossmargin.simulation.worlds import world

    using_tables()
    made = world(seed, DEMO_AT_NS)
    return book(seed, made, n_accounts), market_from_tables(made.tables, made.history)


def prepare(
    market: Markets, rulebook: Rulebook | str = DEFAULT_RULEBOOK, threads: int | None = None
) -> Market:
    """Return a market prepared under a rulebook, with joint scenarios from its own past.

    Prepare once, assess many books: the scenario rows are shared by every pool.
    """
    if isinstance(market, Market):
        return market
    rules = _rulebook(rulebook)
    for found in correlations_are_psd(rules):
        # Every other finding of the linter is the owner's choice; this one has no square root.
        raise RulebookInvalid(
            found.key, found.value, "have no negative eigenvalue over its names", found.remedy
        )
    source = _source(market, rules)
    joint = None
    if source.history is not None:
        joint = joint_rows(source.history, source.frame, rules.joint, rules.margin.mpor_hours)
    return _prepare(source.frame, rules, joint, threads)


def compile_account(
    book: Books, market: Market, method: str | None = None, strict: bool = True
) -> tuple[BookFrame, tuple[Finding, ...]]:
    """Return any book as columns over a prepared market, and the findings on its rows."""
    default = method_named(method or DEFAULT_METHOD).name
    if isinstance(book, BookFrame):
        return (with_method(book, default) if method else book), ()
    using_tables()
    if isinstance(book, str | Path):
        book = load_book(book)
    elif isinstance(book, Account):
        book = tables_from_accounts([book])
    elif not isinstance(book, BookTables):
        book = tables_from_accounts(list(book))
    frame, findings = compile_book(book, market.frame, default, tuple(METHODS), strict)
    return (with_method(frame, default) if method else frame), tuple(findings)


def assess(
    book: Books, market: Markets, rulebook: Rulebook | str = DEFAULT_RULEBOOK,
    method: str | None = None, *, strict: bool = True, threads: int | None = None,
) -> Report:  # fmt: skip
    """Return the verdict of every pool, and the reasons on request.

    book      an Account, several, a file, tables, or columns (a million pools)
    market    a file, tables, or `prepare(...)`d once for many books (then `rulebook` is its own)
    method    overrides every pool's method; None: each pool's own, else "cross_correlated"
    strict    raise BookInvalid listing every bad row; False sets their pools aside as UNPRICED
    """
    ready = prepare(market, rulebook, threads)
    frame, findings = compile_account(book, ready, method, strict)
    known = market.findings if isinstance(market, MarketSource) else ()
    return Report(frame, ready, _assess(frame, ready, threads), (*known, *findings))


def _rulebook(rulebook: Rulebook | str) -> Rulebook:
    return rulebook if isinstance(rulebook, Rulebook) else load_rulebook(rulebook)


def _source(market: Markets, rules: Rulebook) -> MarketSource:
    if isinstance(market, MarketSource):
        return market
    if isinstance(market, MarketFrame):
        return MarketSource(market)
    if isinstance(market, MarketTables):
        return market_from_tables(market, None, rules)
    assert not isinstance(market, Market)
    return load_market(market, rules)
