"""`crossmargin oracle`: quotes of a file become prices, and every price says why.

In     a file of quotes; a rulebook; where wanted the moment and a market that names classes.
Out    prices with status and reasons; on request the commands that make an engine accept them.
Owns   which moment is asked about; how prices and sources are shown.
Never  fuses: it hands over to the oracle tick by tick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators

from crossmargin.apps.cli.ledger_stores import stamp_text
from crossmargin.apps.cli.outcome import Exit, said, to_json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from crossmargin.api import Finding, Rulebook
    from crossmargin.oracle.fuse import FusedFrame
    from crossmargin.oracle.quotes import QuoteFrame
    from crossmargin.oracle.state import OracleState, Universe

SECOND_NS = 1_000_000_000
FINDINGS_KEPT = 1_000
# (factor, source, reason) -> how many quotes.
Refused = Counter[tuple[str, str, int]]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class QuoteInputs:
    """What is fused, by which rules, and up to when."""

    quotes: Annotated[Path, Parameter(group="Inputs")]
    """CSV or Parquet file of quotes (docs/formats.md)."""
    rulebook: Annotated[str, Parameter(group="Inputs")] = "prime-24h"
    """A shipped rulebook (prime-24h, exchange-4h) or a TOML file."""
    market: Annotated[Path | None, Parameter(group="Inputs")] = None
    """JSON file or folder of tables: only its factors are fused, by its classes."""
    at: Annotated[str | None, Parameter(group="Inputs")] = None
    """The prices of this moment, such as 2025-10-10T21:36Z [the last quote's]."""
    every: Annotated[float, Parameter(group="Inputs", validator=validators.Number(gt=0.0))] = 1.0
    """Seconds: what was heard within so long is fused together."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class QuoteOutputs:
    """How the answer is given."""

    explain: Annotated[str, Parameter(group="Output")] = ""
    """Also show every source of this factor and what became of it."""
    prices: Annotated[Path | None, Parameter(group="Output")] = None
    """Also write the commands that make an engine accept every tick's prices, as JSON lines."""
    json: Annotated[bool, Parameter(group="Output", negative="")] = False
    """Print the answer as JSON."""


@dataclass(slots=True)
class Heard:
    """What came of a file: the last state and prices, and what was refused on the way."""

    state: OracleState
    fused: FusedFrame
    refused: Refused
    findings: list[Finding]
    n_quotes: int = 0
    n_ticks: int = 0


def oracle(
    *,
    inputs: Annotated[QuoteInputs, Parameter(name="*")],
    outputs: Annotated[QuoteOutputs, Parameter(name="*")] = QuoteOutputs(),
) -> int:
    """Fuse a file of quotes into prices: level, status, half-width, and why."""
    from crossmargin import api

    rules = api.load_rulebook(inputs.rulebook)
    universe = _universe(inputs, rules)
    if outputs.explain and outputs.explain not in universe.factors:
        known = f"be one of {', '.join(universe.factors)}"
        raise api.InputInvalid("--explain", outputs.explain, known)
    heard = _heard(inputs, universe, outputs.prices)
    header = {
        "source": inputs.quotes.name, "at": stamp_text(heard.fused.at_ns), "rulebook": rules.name,
        "rulebook_digest": rules.digest, "quotes": heard.n_quotes, "ticks": heard.n_ticks,
    }  # fmt: skip
    rows = price_rows(heard)
    told = source_rows(heard, outputs.explain) if outputs.explain else []
    if outputs.json:
        explained = {"factor": outputs.explain, "told": told} if outputs.explain else None
        print(to_json({
            **header, "prices": rows, "refused": refused_rows(heard), "explain": explained,
            "findings": [str(finding) for finding in heard.findings],
        }))  # fmt: skip
    else:
        _show(header, heard, rows, (outputs.explain, told))
    if outputs.prices is not None:
        said(outputs.prices)
    good = all(row["status"] in ("LIVE", "DEGRADED") for row in rows) and not heard.findings
    return Exit.OK if good else Exit.UNPRICED


def _universe(inputs: QuoteInputs, rules: Rulebook) -> Universe:
    """Return the factors and sources of the file, with classes of its own or of the market."""
    from crossmargin import api
    from crossmargin.adapters.files import load_market
    from crossmargin.adapters.quotes import quote_names
    from crossmargin.oracle.state import universe_of

    names = quote_names(inputs.quotes)
    classes = names.factors
    if inputs.market is not None:
        listed = dict(load_market(inputs.market).factors.select("factor", "class").iter_rows())
        classes = {name: str(listed[name]) for name in classes if name in listed}
    for factor, risk_class in classes.items():
        if risk_class not in rules.classes:
            raise api.InputInvalid(
                f"{inputs.quotes.name}: factor {factor} class", risk_class,
                f"be one of {', '.join(rules.classes)}",
                "write it in the column class, or name a --market that lists the factor",
            )  # fmt: skip
    if not classes or not names.sources:
        raise api.InputInvalid(
            inputs.quotes.name, f"{len(names.factors)} factors", "hold quotes of a known factor"
        )
    return universe_of(classes, names.sources, rules.oracle)


def _heard(inputs: QuoteInputs, universe: Universe, prices: Path | None) -> Heard:
    """Replay the file up to the moment asked about."""
    from crossmargin import api
    from crossmargin.adapters.quotes import price_commands
    from crossmargin.adapters.wire import command_to_json
    from crossmargin.apps.cli.real import stamp
    from crossmargin.oracle.fuse import fuse
    from crossmargin.oracle.quotes import no_quotes
    from crossmargin.oracle.state import started

    until_ns = None if inputs.at is None else stamp(inputs.at)
    findings: list[Finding] = []
    state, fused = started(universe), None
    ticks = _ticks(state, inputs, until_ns, findings)
    refused: Refused = Counter()
    n_quotes = n_ticks = 0
    with ExitStack() as open_files:
        out = None if prices is None else open_files.enter_context(prices.open("wb"))
        for state, fused, quotes in ticks:  # noqa: B007 - the last one is what is asked
            n_quotes, n_ticks = n_quotes + len(quotes), n_ticks + 1
            _count(universe, quotes, fused, refused)
            for command in price_commands(fused, universe.rules.stale_s) if out else ():
                out.write(command_to_json(command) + b"\n")  # type: ignore[union-attr]
    if until_ns is not None and (fused is None or fused.at_ns < until_ns):
        # Time went on and nobody spoke: what was said may be stale by now.
        state, fused = fuse(state, no_quotes(), until_ns)
    if fused is None:
        raise api.InputInvalid(inputs.quotes.name, "no quotes", "hold rows that can be placed")
    return Heard(state, fused, refused, findings, n_quotes, n_ticks)


def _ticks(
    state: OracleState, inputs: QuoteInputs, until_ns: int | None, findings: list[Finding]
) -> Iterator[tuple[OracleState, FusedFrame, QuoteFrame]]:
    from crossmargin.adapters.quotes import quote_blocks
    from crossmargin.oracle.replay import replay

    def blocks() -> Iterator[tuple[QuoteFrame, Any]]:
        for block in quote_blocks(inputs.quotes, state.universe, until_ns):
            findings.extend(block.findings[: FINDINGS_KEPT - len(findings)])
            yield block.quotes, block.heard_ns

    return replay(state, blocks(), int(inputs.every * SECOND_NS))


def _count(
    universe: Universe,
    quotes: QuoteFrame,
    fused: FusedFrame,
    refused: Counter[tuple[str, str, int]],
) -> None:
    for row in fused.refused.nonzero()[0]:
        factor, source = universe.factors[quotes.factor[row]], universe.sources[quotes.source[row]]
        refused[factor, source, int(fused.refused[row])] += 1


def price_rows(heard: Heard) -> list[dict[str, Any]]:
    """Return one row a factor."""
    from crossmargin.frames.market import Status
    from crossmargin.oracle.explain import causes

    fused, universe = heard.fused, heard.state.universe
    group = universe.group
    spoke = [len(set(group[(row >= 0) & (group >= 0)])) for row in heard.state.sequence]
    return [
        {
            "factor": name, "class": universe.classes[k], "status": Status(fused.status[k]).name,
            "level": float(fused.level[k]), "half_width": float(fused.half_width[k]),
            "stable_price": float(fused.stable[k]), "stamp": stamp_text(int(fused.stamp_ns[k])),
            "agreed": float(fused.agreed[k]), "reference": float(fused.reference[k]),
            "kept": int(fused.n_kept[k]), "independent_sources": spoke[k],
            "redemption": float(fused.redemption[k]), "redemption_gap": float(fused.gap[k]),
            "causes": causes(int(fused.cause[k])),
        }
        for k, name in enumerate(fused.factors)
    ]  # fmt: skip


def source_rows(heard: Heard, factor: str) -> list[dict[str, Any]]:
    """Return what became of every source of one factor, and what was refused of it."""
    from crossmargin.oracle.explain import FATES, REFUSALS, told
    from crossmargin.oracle.fuse import Fate
    from crossmargin.oracle.quotes import Refusal

    rows = []
    for one in told(heard.state, heard.fused, factor):
        silent = one.fate == Fate.SILENT
        counts = {
            REFUSALS[Refusal(why)]: n
            for (name, source, why), n in sorted(heard.refused.items())
            if (name, source) == (factor, one.source)
        }
        if silent and not counts:
            continue
        rows.append({
            "source": one.source, "counts_as": one.group, "fate": FATES[one.fate],
            "price": one.price, "off_reference": one.off,
            "age_s": None if silent else one.age_s, "volume": one.volume, "weight": one.weight,
            "refused": counts,
        })  # fmt: skip
    return rows


def refused_rows(heard: Heard) -> list[dict[str, Any]]:
    """Return how many quotes of each factor and source were refused, by reason."""
    from crossmargin.oracle.explain import REFUSALS
    from crossmargin.oracle.quotes import Refusal

    return [
        {"factor": factor, "source": source, "reason": REFUSALS[Refusal(why)], "quotes": n}
        for (factor, source, why), n in sorted(heard.refused.items())
    ]


def _show(
    header: dict[str, Any], heard: Heard, rows: list[dict[str, Any]],
    explained: tuple[str, list[dict[str, Any]]],
) -> None:  # fmt: skip
    from crossmargin.apps.cli import show

    show.put(_prices(header["at"], rows))
    factor, told = explained
    refused = refused_rows(heard)
    if told:
        show.put(_sources(factor, told))
    elif refused:
        columns = ("factor", "source", "note: refused because", "quotes")
        lines = [(r["factor"], r["source"], r["reason"], f"{r['quotes']:,}") for r in refused]
        show.put(show.table("refused quotes", columns, lines, 2))
    show.put(*show.findings(heard.findings))
    show.put(
        f"[bright_black]{header['source']}, {show.count(header['quotes'], 'quote')} in "
        f"{show.count(header['ticks'], 'tick')} · rulebook {header['rulebook']} "
        f"({header['rulebook_digest'][:8]})[/]"
    )


def _prices(at: str, rows: list[dict[str, Any]]) -> RenderableType:
    from crossmargin.apps.cli import show

    columns = ("factor", "status", "level", "half-width", "slow price", "kept", "note: why")
    lines = [
        (row["factor"], row["status"], price(row["level"]), share(row["half_width"]),
         price(row["stable_price"]), f"{row['kept']} of {row['independent_sources']}",
         "; ".join(row["causes"]))
        for row in rows
    ]  # fmt: skip
    return show.table(f"prices at {at}", columns, lines, 2)


def _sources(factor: str, told: list[dict[str, Any]]) -> RenderableType:
    from crossmargin.apps.cli import show

    columns = ("source", "counts as", "fate", "price", "off", "age", "volume", "weight",
               "note: refused")  # fmt: skip
    lines = [
        (row["source"], row["counts_as"], row["fate"], price(row["price"]),
         share(row["off_reference"]), seconds(row["age_s"]), show.amount(row["volume"]),
         show.amount(row["weight"]), "; ".join(f"{n} {why}" for why, n in row["refused"].items()))
        for row in told
    ]  # fmt: skip
    return show.table(f"{factor}: what its sources said", columns, lines, 3)


def price(value: float) -> str:
    """Return a price with the digits that tell it from its neighbours; a dash for none."""
    return "-" if value != value else f"{value:,.2f}" if value >= 1_000.0 else f"{value:.6g}"


def share(value: float) -> str:
    """Return a fraction as a percentage with two places."""
    return "-" if value != value else f"{100.0 * value:,.2f} %"


def seconds(value: float | None) -> str:
    """Return an age."""
    return "-" if value is None else f"{value:,.1f} s"
