"""Options that several commands share, and what is loaded by them.

In     words of the command line.
Out    a market, a book, a report.
Owns   the defaults: the embedded demo's book and market.
Never  imports anything heavy before a command runs: --help answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from crossmargin.apps.cli.progress import working

if TYPE_CHECKING:
    from crossmargin.api import MarketSource, Report, Rulebook


AT_LEAST_0 = validators.Number(gte=0)
AT_LEAST_1 = validators.Number(gte=1)
# How many rows are printed.
Top = Annotated[int, Parameter(group="Output", validator=AT_LEAST_1)]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Inputs:
    """What is assessed, where, and by which rules."""

    book: Annotated[Path | None, Parameter(group="Inputs")] = None
    """JSON, Parquet, CSV or Arrow file of accounts [the generated demo book]."""
    market: Annotated[Path | None, Parameter(group="Inputs")] = None
    """JSON file or folder of tables [the generated demo market]; with --at the data folder."""
    at: Annotated[str | None, Parameter(group="Inputs")] = None
    """Build the market of the real data at this hour, such as 2022-06-13T12:00Z."""
    rulebook: Annotated[str, Parameter(group="Inputs")] = "prime-24h"
    """A shipped rulebook (prime-24h, exchange-4h) or a TOML file."""
    method: Annotated[str | None, Parameter(group="Inputs")] = None
    """Assess every pool by this method, whatever the book says."""
    seed: Annotated[int, Parameter(group="Inputs", validator=AT_LEAST_0)] = 7
    """Seed of the generated demo, where no book or no market is named."""
    threads: Annotated[int | None, Parameter(group="Inputs", validator=AT_LEAST_1)] = None
    """At most so many threads; the answer does not depend on it."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Outputs:
    """How the answer is given."""

    json: Annotated[bool, Parameter(group="Output", negative="")] = False
    """Print the answer as JSON: infinities as "inf", UNPRICED numbers as null."""
    picture: Annotated[Path | None, Parameter(group="Output")] = None
    """Also draw the answer into this PNG file."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Pages:
    """How the answer of a command with a web page is given."""

    json: Annotated[bool, Parameter(group="Output", negative="")] = False
    """Print the answer as JSON: infinities as "inf", UNPRICED numbers as null."""
    picture: Annotated[Path | None, Parameter(group="Output")] = None
    """Also draw the answer into this PNG file."""
    html: Annotated[Path | None, Parameter(group="Output")] = None
    """Also write a self-contained web page."""


def load(inputs: Inputs, quiet: bool = False) -> Report:
    """Return the report of the book and market asked for; bad rows set their pools aside."""
    from crossmargin import api

    if inputs.market is None and inputs.at is not None:
        raise api.InputInvalid("--at", inputs.at, "come with --market", "name the data folder")
    if inputs.market is not None and inputs.book is None:
        raise api.InputInvalid(
            "--book", None, "be named where --market is", "the demo book fits the demo market"
        )
    with working("loading", quiet):
        rules = api.load_rulebook(inputs.rulebook)
        if inputs.market is None:
            book, market = api.demo(inputs.seed)
            book = book if inputs.book is None else api.load_book(inputs.book)
        else:
            assert inputs.book is not None
            book = api.load_book(inputs.book)
            market = _market(inputs.market, inputs.at, rules)
    with working("preparing scenarios and assessing", quiet, compiles=True):
        return api.assess(book, market, rules, inputs.method, strict=False, threads=inputs.threads)


def _market(path: Path, at: str | None, rules: Rulebook) -> MarketSource:
    """Return the market of a file or folder, or of the data folder at an hour."""
    from crossmargin import api

    if at is None:
        return api.load_market(path, rules)
    from crossmargin.adapters.real_market import STALE_S, real_market
    from crossmargin.apps.cli.real import stamp
    from crossmargin.frames.listing import compile_market

    if not (path / "data").is_dir():
        raise api.InputInvalid("--market", str(path), "be the data folder where --at is given")
    tables, history = real_market(path, stamp(at))
    frame, findings = compile_market(tables, STALE_S, strict=False)
    return api.MarketSource(frame, history, tuple(findings))
