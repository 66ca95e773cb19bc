"""`crossmargin real`: markets and books of the data folder, and how our answers compare.

In     the data folder, an hour, which books.
Out    a report as tables or as JSON.
Owns   the order in which things are shown.
Never  reads an environment variable; computes a margin number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from crossmargin.apps.cli.outcome import Exit, complain, said, to_json
from crossmargin.apps.cli.progress import each, working

if TYPE_CHECKING:
    from crossmargin.adapters.real_books import Comparison, RealCase
    from crossmargin.api import Report, Rulebook

BOOKS = ("compound", "hyperliquid", "aave", "deribit")
HOURS = ("2022-06-13T12:00Z", "2025-10-10T21:00Z", "2026-01-28T18:00Z")
CHAIN_HOUR = "2026-01-15T18:00Z"
RULEBOOK = "prime-24h"
TAIL = 0.01


def real(
    *,
    shared: Path,
    at: str | None = None,
    book: str = "all",
    events: Annotated[bool, Parameter(negative="")] = False,
    save: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Show markets of the data folder, and real books beside what their venues stated.

    Parameters
    ----------
    shared
        The data folder.
    at
        An hour in UTC such as 2022-06-13T12:00Z; without it three hours worth seeing.
    book
        all, none, compound, hyperliquid, aave or deribit.
    events
        Also measure the named stress events and print them as the rulebook has them.
    save
        Write the market of --at into this folder, for --market of the other commands.
    json
        Print the answer as JSON.
    """
    if book not in (*BOOKS, "all", "none"):
        return complain(f"--book: found {book!r}, must be one of all, none, {', '.join(BOOKS)}")
    if save is not None and at is None:
        return complain("--save: found no --at, must know which hour; give --at")
    if not (shared / "data").is_dir():
        return complain(f"{shared}: must be the data folder: a folder that holds data/")
    from crossmargin.api import load_rulebook

    rules = load_rulebook(RULEBOOK)
    chosen = () if book == "none" else BOOKS if book == "all" else (book,)
    answer: dict[str, Any] = {"rulebook": f"{rules.name} {rules.version}"}
    with working("markets", json):
        answer["markets"] = [market_summary(shared, hour, rules) for hour in _hours(at)]
    found: list[Comparison] = []
    for name in each(chosen, "books", json):
        found += list(comparisons(shared, name, rules, at))
    answer["books"] = [_as_dict(comparison) for comparison in found]
    if events:
        answer["events"] = _events(shared, rules)
    if save is not None and at is not None:
        save_real_market(shared, stamp(at), rules, save)
        said(save)
    if json:
        print(to_json(answer))
    else:
        _show(answer, found)
    return Exit.OK


def save_real_market(shared: Path, at_ns: int, rules: Rulebook, folder: Path) -> None:
    """Write the market of an hour with its cleaned history as a folder of tables."""
    from crossmargin.adapters.real_market import real_market
    from crossmargin.api import save_market
    from crossmargin.frames.history import clean, history_to_table

    tables, history = real_market(shared, at_ns)
    cleaned, _ = clean(history, rules.joint.outlier, rules.joint.neighbours)
    save_market(replace(tables, history=history_to_table(cleaned)), folder)


def stamp(text: str) -> int:
    """Return an hour such as 2022-06-13T12:00Z as UTC nanoseconds; refuse what is none."""
    from crossmargin.base.errors import InputInvalid
    from crossmargin.frames.findings import stamp_ns

    at_ns = stamp_ns(text)
    if at_ns < 0:
        raise InputInvalid("--at", text, "be a UTC stamp", "write it like 2022-06-13T12:00Z")
    return at_ns


def market_summary(shared: Path, at: str, rules: Rulebook) -> dict[str, Any]:
    """Return what there is at an hour: counts, the source, joint tails, refused prints."""
    import numpy as np

    from crossmargin.adapters.real_market import STALE_S, real_market
    from crossmargin.api import MarketSource, prepare
    from crossmargin.frames.listing import compile_market

    tables, history = real_market(shared, stamp(at))
    frame, findings = compile_market(tables, STALE_S, strict=False)
    joint = prepare(MarketSource(frame, history, tuple(findings)), rules).joint
    tails: dict[str, dict[str, float]] = {}
    if joint is not None:
        n_tail = max(1, round(TAIL * len(joint)))
        for name in ("BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD", "LINK/USD", "stETH/ETH"):
            if name in frame.factors.names:
                moves = np.sort(joint.factor_moves[:, frame.factors.names.index(name)])
                tails[name] = {
                    "fall": -float(moves[:n_tail].mean()), "rise": float(moves[-n_tail:].mean())
                }  # fmt: skip
    kinds = tables.instruments["kind"].to_list()
    return {
        "at": at, "source": tables.source, "factors": len(frame.factors),
        "assets": len(frame.assets), "perpetuals": kinds.count("perpetual"),
        "futures": kinds.count("future"), "options": kinds.count("call") + kinds.count("put"),
        "joint_rows": 0 if joint is None else len(joint),
        "joint_es_99": tails, "findings": [str(f) for f in findings],
        "refused_prints": [] if joint is None else [str(r) for r in joint.refused],
    }  # fmt: skip


def comparisons(shared: Path, name: str, rules: Rulebook, at: str | None) -> Iterator[Comparison]:
    """Yield the comparisons of one book: under its venue's rules, with our verdicts beside."""
    from crossmargin.adapters import real_books, real_options, real_venues

    compare: Callable[..., Comparison]
    if name == "compound":
        cases, compare = [real_books.compound_case(shared, rules)], real_books.compare_compound
    elif name == "hyperliquid":
        cases = real_venues.hyperliquid_cases(shared, rules)
        compare = real_venues.compare_hyperliquid
    elif name == "aave":
        cases, compare = [real_venues.aave_case(shared, rules)], real_venues.compare_aave
    else:
        hour = at if at is not None and _has_chain(shared, at) else CHAIN_HOUR
        cases = [real_options.option_case(shared, stamp(hour), rules)]
        compare = real_options.compare_options
    for case in cases:
        comparison = compare(case, answer_of(case).to_polars())
        if name in ("hyperliquid", "aave"):
            ours = answer_of(replace(case, rulebook=rules, method="cross_correlated")).verdicts()
            words = ", ".join(f"{verdict} {count}" for verdict, count in ours.items() if count)
            note = f"verdicts under {rules.name}, cross_correlated: {words}"
            comparison = replace(comparison, notes=(*comparison.notes, note))
        if name == "deribit":
            pooled = real_options.pooled_mark_errors(shared)
            figures = {f"all_chains_{key}": value for key, value in pooled.items()}
            comparison = replace(comparison, figures={**comparison.figures, **figures})
        yield comparison


def answer_of(case: RealCase) -> Report:
    """Return our report on a case under the case's own rules."""
    from crossmargin.adapters.real_market import STALE_S
    from crossmargin.api import MarketSource, assess
    from crossmargin.frames.listing import compile_market

    frame, findings = compile_market(case.market, STALE_S, strict=False)
    source = MarketSource(frame, None, tuple(findings))
    return assess(case.book, source, case.rulebook, case.method, strict=False)


def _hours(at: str | None) -> tuple[str, ...]:
    return HOURS if at is None else (at,)


def _has_chain(shared: Path, at: str) -> bool:
    from crossmargin.adapters.real_contracts import chain

    return len(chain(shared, stamp(at), frozenset({"BTC", "ETH"}))[0]) > 0


def _events(shared: Path, rules: Rulebook) -> list[dict[str, Any]]:
    from crossmargin.adapters.real_events import as_toml, rounded, stress_events

    return [
        {"name": e.name, "moves": rounded(e.moves),
         "toml": as_toml(e, rules.stress.class_percentile),
         "refused_prints": [str(r) for r in e.refused]}
        for e in stress_events(shared, rules.joint)
    ]  # fmt: skip


def _as_dict(comparison: Comparison) -> dict[str, Any]:
    return {
        "book": comparison.name, "figures": comparison.figures,
        "causes": comparison.causes.to_dicts(), "notes": list(comparison.notes),
    }  # fmt: skip


def _show(answer: Mapping[str, Any], found: list[Comparison]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for market in answer["markets"]:
        table = Table("factor", "ES 99 % fall", "ES 99 % rise", title=f"Market {market['at']}")
        for factor, tail in market["joint_es_99"].items():
            table.add_row(factor, f"{tail['fall']:.1%}", f"{tail['rise']:.1%}")
        console.print(table)
        console.print(
            f"{market['factors']} factors, {market['perpetuals']} perpetuals, {market['futures']} "
            f"futures, {market['options']} options, {market['joint_rows']} joint rows, "
            f"{len(market['refused_prints'])} refused prints\n{market['source']}"
        )
        for print_ in market["refused_prints"][-3:]:
            console.print(f"  refused: {print_}", highlight=False)
    for comparison in found:
        table = Table("figure", "value", title=comparison.name)
        for name, value in comparison.figures.items():
            table.add_row(name, f"{value:,.6g}")
        console.print(table)
        if len(comparison.causes):
            causes = Table("differs", "cause", "accounts")
            for row in comparison.causes.iter_rows(named=True):
                causes.add_row(row["differs"], row["cause"], str(row["accounts"]))
            console.print(causes)
        for note in comparison.notes:
            console.print(f"  {note}", highlight=False)
    for event in answer.get("events", ()):
        console.print(event["toml"], highlight=False, markup=False, soft_wrap=True)
