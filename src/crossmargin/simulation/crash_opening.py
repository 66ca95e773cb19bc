"""What an engine is told before a bad day: its market, rules, prices, a fund, accounts.

In     tables of a market, a rulebook, healths to be drawn to.
Out    commands in the order they must be sent.
Owns   how a generated book becomes exact amounts; a spot pair for every asset.
Never  judges an account.
Signs  as engine.commands.
Spec   docs/generator.md, "A day lived again"
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from crossmargin.base.arrays import F64
from crossmargin.domain.rulebook import Rulebook
from crossmargin.engine import commands as c
from crossmargin.engine.opening import listing_command, prices_commands
from crossmargin.frames.listing import MarketTables, compile_market
from crossmargin.ledger.events import PoolTerms
from crossmargin.margin.prepared import prepare
from crossmargin.simulation.crash_books import DECIMALS, NUMERAIRE, crash_book

SCALE = 10**DECIMALS
TIER = "A"


@dataclass(frozen=True, slots=True)
class OpeningTerms:
    """seed: of the accounts; fund: numeraire in the insurance fund of tier A; method: of every
    pool, "" as drawn."""

    seed: int
    fund: int
    method: str = ""


def opening(
    tables: MarketTables, rules: Rulebook, health: F64, terms: OpeningTerms
) -> list[c.AnyCommand]:
    """Return what an engine is told before the day: market, rules, prices, a fund, accounts."""
    tables = _with_pairs(tables)
    at_ns = tables.at_ns
    frame, findings = compile_market(tables, rules.oracle.stale_s)
    assert not findings, findings
    book = crash_book(np.random.default_rng(terms.seed), prepare(frame, rules), health)
    out: list[c.AnyCommand] = [
        listing_command(tables, "listing", at_ns),
        c.AdoptRulebook(key="rules", issued_ns=at_ns, rules=rules.packed()),
        *prices_commands(frame, "opening", at_ns),
    ]
    if terms.fund:
        out.append(c.FundInsurance(
            key="fund", issued_ns=at_ns, tier=TIER, asset=NUMERAIRE, amount=terms.fund * SCALE,
        ))  # fmt: skip
    for row in range(len(health)):
        rows = slice(int(book.pool_starts[row]), int(book.pool_starts[row + 1]))
        balances: dict[str, int] = {}
        positions: dict[str, tuple[int, int]] = {}
        for item, q, entry in zip(
            book.item[rows].tolist(), book.quantity[rows].tolist(),
            book.entry_price[rows].tolist(), strict=True,
        ):  # fmt: skip
            name = frame.item_names[item]
            if item < frame.n_assets:
                balances[name] = balances.get(name, 0) + round(q * SCALE)
            else:
                size, cost = positions.get(name, (0, 0))
                more = round(q * 1e6)
                paid = -round(more / 1e6 * entry * SCALE)
                positions[name] = (size + more * 10**12, cost + paid)
        method = terms.method or book.method_names[book.method[row]]
        pools = (PoolTerms("shared", method),)
        named = f"a{row:05d}"
        out += [
            c.OpenAccount(key=f"o{row}", issued_ns=at_ns, account=named, pools=pools),
            c.ImportAccount(key=f"i{row}", issued_ns=at_ns, account=named,
                            balances=balances, positions=positions),
        ]  # fmt: skip
    return out


def _with_pairs(tables: MarketTables) -> MarketTables:
    """Add a spot pair in the numeraire for every asset: collateral is sold through it."""
    names = [name for name in tables.assets["asset"].to_list() if name != NUMERAIRE]
    n = len(names)
    pairs = pl.DataFrame({
        "instrument": [f"{name}-SPOT" for name in names], "kind": ["spot"] * n,
        "payoff": ["linear"] * n, "underlying": names, "quote": [NUMERAIRE] * n,
    })  # fmt: skip
    return replace(tables, instruments=pl.concat([tables.instruments, pairs], how="diagonal"))
