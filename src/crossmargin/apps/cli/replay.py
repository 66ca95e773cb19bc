"""`crossmargin replay`: a day that happened, lived by the engine; lives beside each other.

In     the data folder, a named day, what differs between the lives.
Out    a table of the lives, the rulebooks' difference, a page with pictures, or JSON.
Owns   which lives are compared, and how one is told.
Never  tells the engine which life it lives: the rulebook alone differs between protections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from cyclopts import Parameter, validators

from crossmargin.apps.cli.outcome import Exit, complain, said, to_json
from crossmargin.apps.cli.progress import searching, working

if TYPE_CHECKING:
    from crossmargin.domain.rulebook import Rulebook
    from crossmargin.frames.bars import BarFrame
    from crossmargin.simulation.replay import Lived, Setup

Day = Literal[
    "2020-03-12", "2021-05-19", "2022-05-luna", "2022-06-steth", "2022-11-ftx", "2023-03-usdc",
    "2025-10-10",
]  # fmt: skip
Policy = Literal[
    "volatile_first", "illiquid_first", "liquid_first", "lowest_haircut_first",
    "best_relief_per_cost", "optimal", "all",
]  # fmt: skip
Method = Literal["drawn", "cross_sum", "cross_correlated", "all"]
# What a day is remembered for, beside BTC.
SHOWN = {
    "2022-05-luna": "UST/USD", "2022-06-steth": "stETH/ETH", "2022-11-ftx": "FTT/USD",
    "2023-03-usdc": "USDC/USD", "2025-10-10": "USDe/USD",
}  # fmt: skip
# Rules that fuse nothing believe the first source, at once and in full.
UNPROTECTED: Mapping[str, object] = {"oracle.sources": None, "oracle.price_uncertainty": False}
SOURCES_MIN = 3
COLUMNS = (
    ("sold", "sold_usd"), ("deleveraged", "deleveraged_usd"), ("insurance paid", "insurance_usd"),
    ("shared loss", "shared_usd"), ("bad debt left", "bad_debt_usd"), ("steps", "steps"),
    ("pools sold", "accounts"), ("most under water", "under_max"),
    ("halted", "halted_frac"),
)  # fmt: skip


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class DayInputs:
    """What is lived through."""

    scenario: Annotated[Day, Parameter(group="Inputs")]
    """A day that happened."""
    shared: Annotated[Path, Parameter(group="Inputs")]
    """The data folder."""
    rulebook: Annotated[str, Parameter(group="Inputs")] = "prime-24h"
    """A shipped rulebook or a TOML file; applied to the day whatever date it came into force."""
    policy: Annotated[tuple[Policy, ...], Parameter(group="Inputs")] = ()
    """Order of sales, may be given again: one life each [the rulebook's]."""
    method: Annotated[tuple[Method, ...], Parameter(group="Inputs")] = ("drawn",)
    """Margin method of all pools, may be given again; drawn: half correlated, the rest mixed."""
    protections: Annotated[Literal["on", "off", "both"], Parameter(group="Inputs")] = "both"
    """off: the same rulebook without `oracle.sources`: the first source's price is believed."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Lives:
    """Who lives through it, and what their sales do to prices."""

    book: Annotated[int, Parameter(group="Book", validator=validators.Number(gte=1))] = 300
    """Generated accounts, with healths as they were seen at a lender (docs/generator.md)."""
    seed: Annotated[int, Parameter(group="Book")] = 1
    """Of the accounts and of the path inside each bar."""
    hours: Annotated[tuple[int, int] | None, Parameter(group="Book")] = None
    """From and to, hours of the day in UTC [0 24]."""
    ticks: Annotated[int, Parameter(group="Book", validator=validators.Number(gte=4, lte=20))] = 4
    """Ticks a minute."""
    high_first: Annotated[bool, Parameter(group="Book", negative="")] = False
    """Every bar touches its high before its low [low first]."""
    lasting: Annotated[
        float, Parameter(group="Book", validator=validators.Number(gte=0, lte=1))
    ] = 2 / 3
    """Share of what a sale moves that stays in the price; 0: sales move nothing."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class ReplayOutputs:
    """How the answer is given."""

    html: Annotated[Path | None, Parameter(group="Output")] = None
    """Also write a page with pictures, self-contained."""
    json: Annotated[bool, Parameter(group="Output", negative="")] = False
    """Print the answer as JSON."""


def replay(
    *,
    day: Annotated[DayInputs, Parameter(name="*")],
    lives: Annotated[Lives, Parameter(name="*")] = Lives(),
    outputs: Annotated[ReplayOutputs, Parameter(name="*")] = ReplayOutputs(),
) -> int:
    """Live through a day that happened: prices, verdicts, forced sales, who paid."""
    if not (day.shared / "data").is_dir():
        return complain(f"{day.shared}: must be the data folder: a folder that holds data/")
    from crossmargin.adapters.real_crashes import crash_bars
    from crossmargin.simulation.crash_quotes import echoed

    with working("reading the day", outputs.json):
        seen = crash_bars(day.shared, day.scenario)
        bars = echoed(seen, SOURCES_MIN)
    told = [
        (name, setup, _lived(bars, setup, name, outputs.json))
        for name, setup in planned(day, lives)
    ]
    facts = facts_of(day, lives, seen, told)
    if outputs.json:
        print(to_json(facts))
    else:
        _show(facts)
    if outputs.html is not None:
        from crossmargin.apps.pictures.replay import replay_page

        said(replay_page(facts, [(name, lived) for name, _, lived in told], outputs.html))
    return Exit.OK


def planned(day: DayInputs, lives: Lives) -> list[tuple[str, Setup]]:
    """Return the lives to compare, named by what differs."""
    from crossmargin.adapters.real_crashes import crash_day
    from crossmargin.simulation.paths import Clock, Order
    from crossmargin.simulation.replay import Setup

    first, last = lives.hours or (0, 24)
    if not 0 <= first < last <= 24:
        from crossmargin.api import InputInvalid

        raise InputInvalid("--hours", f"{first} {last}", "be two hours of the day, first < last")
    start_ns = crash_day(day.scenario).start_ns + first * 3_600 * 10**9
    clock = Clock(start_ns, (last - first) * 60, lives.ticks)
    order = Order.HIGH_FIRST if lives.high_first else Order.LOW_FIRST
    every = 15 * lives.ticks
    out = []
    for protected in (True, False) if day.protections == "both" else (day.protections == "on",):
        for policy in _all(day.policy, Policy) or ("",):
            for method in _all(day.method, Method):
                rules = rules_of(day.rulebook, start_ns, policy, protected=protected)
                named = (policy, "" if method == "drawn" else method)
                name = " · ".join(["protected" if protected else "bare", *(w for w in named if w)])
                out.append((name, Setup(
                    rules, lives.book, lives.seed, clock, order, lives.lasting,
                    every=every, method="" if method == "drawn" else method,
                )))  # fmt: skip
    return out


def _all(given: Sequence[str], words: Any) -> tuple[str, ...]:
    if "all" in given:
        return tuple(word for word in get_args(words) if word not in ("all", "drawn"))
    return tuple(given)


def rules_of(name: str, start_ns: int, policy: str, *, protected: bool) -> Rulebook:
    """Return the rulebook a life is lived under: as if it had been in force on the day."""
    from datetime import UTC, datetime

    from crossmargin import api
    from crossmargin.simulation.incidents import changed

    entries: dict[str, object] = {
        "effective_from": datetime.fromtimestamp(start_ns // 10**9, UTC).isoformat()
    }
    if policy:
        entries["liquidation.execution.policy"] = policy
    if not protected:
        entries |= UNPROTECTED
    return changed(api.load_rulebook(name), entries)


def _lived(bars: BarFrame, setup: Setup, name: str, quiet: bool) -> Lived:
    from crossmargin.simulation.replay import live

    with searching(name, quiet) as watch:
        return live(bars, setup, watch)


# --- what is told ---------------------------------------------------------------------------------


def facts_of(
    day: DayInputs, lives: Lives, bars: BarFrame, told: Sequence[tuple[str, Setup, Lived]]
) -> dict[str, Any]:
    """Return everything a reader is told, as JSON holds it."""
    from crossmargin.simulation.incidents import differences

    seconds = sorted(set(bars.bar_seconds.tolist()) - {0})
    rules = [setup.rules for _, setup, _ in told]
    first = told[0][1]
    few = sum(
        1 for factor in set(bars.factors) if bars.factors.count(factor) < SOURCES_MIN
    )  # fmt: skip
    shown = SHOWN.get(day.scenario, "")
    found: dict[str, Any] = {
        "scenario": day.scenario, "rulebook": rules[0].name, "accounts": lives.book,
        "seed": lives.seed, "hours": list(lives.hours or (0, 24)), "ticks_a_minute": lives.ticks,
        "order": first.order.value, "lasting": lives.lasting, "bars_s": seconds,
        "factors": len(set(bars.factors)), "few_sources": few,
        "shown": [f for f in ("BTC/USD", shown) if f in bars.factors],
        "lives": [{"life": name, **figures(lived)} for name, _, lived in told],
        "differences": {
            name: differences(rules[0], setup.rules) for name, setup, _ in told[1:]
        },
        "unsold": {name: lived.unsold for name, _, lived in told},
    }  # fmt: skip
    return {**found, "assumptions": assumptions(found)}


def figures(lived: Lived) -> dict[str, Any]:
    """Return a life's figures, USD."""

    def of(*kinds: str) -> float:
        return float(sum(sale.usd for sale in lived.sales if sale.kind in kinds))

    words = [word for row in lived.status for word in row]
    halted = sum(word in ("halted", "stale", "missing") for word in words) / len(words)
    return {
        "sold_usd": of("sold", "bought back"), "deleveraged_usd": of("deleveraged"),
        "insurance_usd": of("insurance paid"), "shared_usd": of("shared"),
        "bad_debt_usd": lived.bankrupt_usd, "bankrupt": lived.bankrupt,
        "steps": len(lived.sales), "accounts": len({sale.account for sale in lived.sales}),
        "under_max": int(lived.under.max()), "halted_frac": halted,
        "fund_last_usd": float(lived.fund[-1]), "equity_first_usd": lived.equity_first,
        "equity_last_usd": lived.equity_last, "charge_first_usd": lived.charge,
        "health_bands": lived.health[-1],
    }  # fmt: skip


def assumptions(facts: Mapping[str, Any]) -> list[str]:
    """Return in a sentence each what a reader must know before he believes a number."""
    bars = ", ".join(f"{s // 60} min" for s in facts["bars_s"])
    order = facts["order"].replace("_", " ")
    return [
        f"Real bars of {bars}, each walked through open, extremes and close by a seeded path at "
        f"{facts['ticks_a_minute']} ticks a minute, {order}; inside a bar nothing is known.",
        f"{facts['few_sources']} of {facts['factors']} factors were seen by fewer than "
        f"{SOURCES_MIN} sources: echoes of the first agree with it, as if other venues had.",
        "A print stands until the next one, as on a chain.",
        f"{facts['accounts']} generated accounts (seed {facts['seed']}), healths as seen at a "
        "lender; a perpetual's mark is its coin's price.",
        f"{facts['lasting']:.0%} of the impact of what was sold stays in the price and half of it "
        "is gone after 30 minutes; the real day's own liquidations are in its prices already.",
        f"Rulebook {facts['rulebook']} as if it had been in force that day.",
    ]


def _show(facts: Mapping[str, Any]) -> None:
    from rich.markup import escape

    from crossmargin.apps.cli import show

    rows = [
        (line["life"], *(_said(key, line[key]) for _, key in COLUMNS)) for line in facts["lives"]
    ]
    title = f"{facts['scenario']}, {facts['accounts']} accounts, USD"
    show.put(show.table(title, ("life", *(name for name, _ in COLUMNS)), rows, 1))
    for name, lines in facts["differences"].items():
        show.put(f"{name} differs from {facts['lives'][0]['life']} by:")
        for line in lines:
            show.put(escape(f"  {line}"))
    for name, whys in facts["unsold"].items():
        for why, times in sorted(whys.items(), key=lambda pair: -pair[1])[:4]:
            show.put(escape(f"{name}: left alone {times:,} times: {why}"))
    for line in facts["assumptions"]:
        show.put(escape(f"· {line}"))


def _said(key: str, value: float) -> str:
    return f"{value:.1%}" if key.endswith("_frac") else f"{value:,.0f}"
