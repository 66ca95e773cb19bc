"""Attacks that happened, as commands: what the same commands do under two rulebooks.

In     a base rulebook; an incident's commands, the same whatever the rules.
Out    `Outcome`: which commands were refused and why, what each account is worth at the end, and
       the bad debt, under the rules as they were and with one protection put in.
Owns   how an attack is played, and the words in which two rulebooks differ.
Never  changes a command between the two runs: the rulebook alone decides the difference.
Signs  equity signed, USD; bad debt >= 0.
Spec   docs/incidents.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import numpy as np

from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import Cell, Mark, Print
from crossmargin.domain.rulebook import Rulebook
from crossmargin.engine import commands as c
from crossmargin.engine.replies import Rejected
from crossmargin.engine.runtime import Engine
from crossmargin.frames.ledgered import book_frame
from crossmargin.ledger.events import PoolTerms
from crossmargin.methods.registry import assess
from crossmargin.oracle.fuse import fuse
from crossmargin.oracle.prints import prints_of
from crossmargin.oracle.quotes import QuoteFrame
from crossmargin.oracle.state import OracleState, started, universe_of
from crossmargin.simulation.faults import MemoryStore

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Quoted:
    """What sources say of one factor now; the oracle makes prints of it, by the rulebook."""

    factor: str
    prices: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Step:
    """One command of an attack, in words, and how many seconds after the one before."""

    words: str
    command: c.AnyCommand | Quoted
    after_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Incident:
    """What happened, and the two rulebooks it is played under.

    rules_unprotected   the terms the venue had; rules_protected: the same, one protection put in
    listing   the market; steps: the attack, the same under both; attackers: who is behind it
    told      what was reported: the loss, USD
    sources   who is heard where steps are quotes; prices are given as fused where there are none
    """

    name: str
    told: float
    rules_unprotected: Rulebook
    rules_protected: Rulebook
    listing: c.ListMarket
    steps: tuple[Step, ...]
    attackers: tuple[str, ...]
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. refused: the step in words and the reason; equity: USD by account."""

    refused: tuple[tuple[str, str], ...]
    equity: dict[str, float]

    @property
    def bad_debt(self) -> float:
        """What accounts owe beyond all they have, USD."""
        return sum(max(0.0, -worth) for worth in self.equity.values())


class _Clock:
    """Time stands where the last step put it."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns


def play(incident: Incident, rules: Rulebook) -> Outcome:
    """Play an incident's commands through an engine of its own under these rules.

    Prices are stamped when they are sent. A refused command leaves no trace and the attack goes on.
    """
    clock = _Clock(round(rules.effective_from.timestamp()) * SECOND_NS)
    engine = Engine.open(MemoryStore(), clock)
    opening = (
        Step("list the market", incident.listing), Step("adopt the rules", _adopt(rules)),
    )  # fmt: skip
    refused: list[tuple[str, str]] = []
    oracle = _Oracle(incident, rules)
    for n, step in enumerate((*opening, *incident.steps)):
        clock.now_ns += round(step.after_s * SECOND_NS)
        for m, command in enumerate(oracle.commands(step.command, clock.now_ns)):
            key = f"step-{n}-{m}"
            sent = msgspec.structs.replace(command, key=key, issued_ns=clock.now_ns)
            [reply] = engine.submit([sent])
            if isinstance(reply, Rejected):
                assert n >= len(opening), (step.words, reply)
                refused.append((step.words, str(reply.reason)))
    return Outcome(tuple(refused), _equity(engine))


class _Oracle:
    """Who turns what is said into what the engine is told."""

    def __init__(self, incident: Incident, rules: Rulebook) -> None:
        classes = {str(row["factor"]): str(row["class"]) for row in incident.listing.factors}
        self.stale_s = rules.oracle.stale_s
        self.state: OracleState | None = None
        if incident.sources:
            self.state = started(universe_of(classes, incident.sources, rules.oracle))

    def commands(self, said: c.AnyCommand | Quoted, now_ns: int) -> list[c.AnyCommand]:
        """Return the commands a step is: quotes as prints, prices stamped now."""
        if isinstance(said, Quoted):
            return list(self._heard(said, now_ns))
        if isinstance(said, c.AcceptPrices):
            return [msgspec.structs.replace(said, stamped_ns=now_ns)]
        return [said]

    def _heard(self, said: Quoted, now_ns: int) -> Iterator[c.AcceptPrices]:
        assert self.state is not None, "an incident with quotes names its sources"
        universe = self.state.universe
        n = len(said.prices)
        unstated, stamps = np.full(n, np.nan), np.full(n, now_ns, np.int64)
        quotes = QuoteFrame(
            np.full(n, universe.factors.index(said.factor), np.int64),
            np.array([universe.sources.index(source) for source in said.prices], np.int64),
            np.array(list(said.prices.values())), stamps, stamps, unstated, unstated,
        )  # fmt: skip
        self.state, fused = fuse(self.state, quotes, now_ns)
        for stamp, prints in prints_of(fused, self.stale_s):
            yield c.AcceptPrices(stamped_ns=stamp, prints=prints)


def _adopt(rules: Rulebook) -> c.AdoptRulebook:
    return c.AdoptRulebook(rules=rules.packed())


def _equity(engine: Engine) -> dict[str, float]:
    setting = engine.setting(engine.now())
    assert setting.market is not None
    assert setting.items is not None
    users = [(name, state) for name, state in engine.book.accounts.items() if name[0] != "@"]
    frame = assess(book_frame(users, engine.book, setting.items), setting.market, threads=1)
    return dict(zip((name for name, _ in users), frame.equity.tolist(), strict=True))


# --- rulebooks ------------------------------------------------------------------------------------


def changed(rules: Rulebook, entries: Mapping[str, object]) -> Rulebook:
    """Return the rules with entries replaced: {"gain_tiers.C.im": 0.0, "lending.CRV": {...}}."""
    table = _plain(rules)
    for key, value in entries.items():
        *path, last = key.split(".")
        section = table
        for name in path:
            section = section[name]
        section[last] = value
    return msgspec.convert(table, Rulebook)


def differences(before: Rulebook, after: Rulebook) -> list[str]:
    """Return in a line each what differs: "gain_tiers.C.im: 1.0 -> 0.0"."""
    old, new = (dict(_leaves(_plain(rules), "")) for rules in (before, after))
    return [
        f"{key}: {old.get(key, 'nothing')} -> {new.get(key, 'nothing')}"
        for key in sorted({*old, *new})
        if old.get(key, "nothing") != new.get(key, "nothing")
    ]


def _plain(rules: Rulebook) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(rules, builtin_types=(datetime,))
    return plain


def _leaves(value: object, key: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(part, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for n, part in enumerate(value):
            yield from _leaves(part, f"{key}[{n}]")
    else:
        yield key, value


# --- words of an attack ---------------------------------------------------------------------------


def listed(
    coins: Mapping[str, float], adv: float | None = None, risk_class: str = "altcoin"
) -> c.ListMarket:
    """Return a market of dollars and coins of one class: a spot pair and a perpetual on each."""
    more: dict[str, Cell] = {} if adv is None else {"adv": adv}
    return c.ListMarket(
        numeraire="USD", source="incident",
        factors=tuple(
            {"factor": f"{coin}/USD", "kind": "spot", "class": risk_class, "level": level}
            for coin, level in coins.items()
        ),
        assets=(
            {"asset": "USD", "class": "fiat", "decimals": 2.0, "loads": ""},
            *({"asset": coin, "class": risk_class, "decimals": 6.0, "loads": f"{coin}/USD", **more}
              for coin in coins),
        ),
        instruments=tuple(
            {"instrument": f"{coin}{tail}", "kind": kind, "underlying": coin, "quote": "USD",
             **({"forward": level} if kind == "perpetual" else {}), **more}
            for coin, level in coins.items()
            for tail, kind in (("-PERP", "perpetual"), ("/USD", "spot"))
        ),
    )  # fmt: skip


def price(coin: str, level: float, stable: float | None = None, after_s: float = 60.0) -> Step:
    """The venue's oracle says so; stable: its slow price."""
    prints, marks = {f"{coin}/USD": Print(level, 0.0, stable)}, {f"{coin}-PERP": Mark(level)}
    return Step(
        f"{coin} at {level:g}", c.AcceptPrices(stamped_ns=0, prints=prints, marks=marks), after_s
    )


def opened(*accounts: str) -> tuple[Step, ...]:
    """Accounts of one shared pool each."""
    pools = (PoolTerms(SHARED, "cross_sum"),)
    return tuple(Step(f"open {a}", c.OpenAccount(account=a, pools=pools)) for a in accounts)


def pays_in(account: str, asset: str, coins: float) -> Step:
    return Step(
        f"{account} pays in {coins:,.0f} {asset}",
        c.Deposit(account=account, asset=asset, amount=_units(asset, coins)),
    )


def borrows(account: str, asset: str, coins: float) -> Step:
    return Step(
        f"{account} borrows {coins:,.0f} {asset}",
        c.Borrow(account=account, asset=asset, amount=_units(asset, coins)),
    )


def trades(buyer: str, seller: str, instrument: str, contracts: float, at: str) -> Step:
    return Step(
        f"{buyer} buys {contracts:,.0f} {instrument} of {seller} at {at}",
        c.Fill(
            instrument=instrument, contracts=round(contracts) * 10**18, price=at,
            buyer=c.Side(buyer), seller=c.Side(seller),
        ),
    )  # fmt: skip


def _units(asset: str, coins: float) -> int:
    return round(coins * (10**2 if asset == "USD" else 10**6))
