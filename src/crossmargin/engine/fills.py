"""From a trade to postings and moves: who pays up, who gets down, what is realised.

In     two sides, terms, contracts, a price; a workspace with accruals settled.
Out    postings and moves that sum to zero.
Owns   spec 10.2: the rounding of a fill, realised cash, fees.
Never  checks a name or a number; judges margin.
Signs  contracts > 0; the buyer's position rises.
Spec   docs/spec/10-ledger.md, 10.5 to 10.7
"""

from __future__ import annotations

from typing import NamedTuple

from crossmargin.base.fixed import scale_down, scale_up
from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import FEES, ROUNDING, SYSTEM, Terms
from crossmargin.engine.workspace import Workspace, split
from crossmargin.ledger import exactly
from crossmargin.ledger.events import Move, Posting
from crossmargin.ledger.exactly import Ratio

Pool = tuple[str, str]


class Trade(NamedTuple):
    """What is traded: `contracts` (10^-18, > 0) from seller to buyer at a price."""

    instrument: str
    terms: Terms
    contracts: int
    at: Ratio
    buyer: Pool
    seller: Pool


Rows = tuple[list[Posting], list[Move]]


def rows_of(trade: Trade, work: Workspace) -> Rows:
    """Return the postings and moves of a trade, without fees."""
    if trade.terms.kind == "spot":
        return _spot(trade, work), []
    settle = trade.terms.settle
    exact = exactly.worth(trade.terms, trade.contracts, trade.at, work.setting.decimals[settle])
    if trade.terms.pays_premium:
        postings = list(split((trade.buyer, trade.seller), settle, exact))
        moves = [
            Move(*trade.buyer, trade.instrument, trade.contracts, 0),
            Move(*trade.seller, trade.instrument, -trade.contracts, 0),
        ]
        return postings, moves
    up, down = scale_up(exact[0], 1, exact[1]), scale_down(exact[0], 1, exact[1])
    inverse = trade.terms.payoff == "inverse"
    bought, sold = (down, -up) if inverse else (-up, down)
    rows: Rows = ([], [])
    for pool, contracts, cost in (
        (trade.buyer, trade.contracts, bought), (trade.seller, -trade.contracts, sold),
    ):  # fmt: skip
        _leg(trade, pool, contracts, cost, work, rows)
    if up != down:
        rows[0].append(Posting(ROUNDING, SHARED, settle, up - down))
    return rows


def _leg(trade: Trade, pool: Pool, contracts: int, cost: int, work: Workspace, rows: Rows) -> None:
    """Add one side's move; a user that trades against its position gets the realised cash."""
    name = trade.instrument
    held = None if pool[0][0] == SYSTEM else work.held(*pool).positions.get(name)
    if held is not None:
        keep = exactly.keep_of(held.contracts, held.cost, contracts, cost)
        realised = held.cost + cost - keep
        if realised:
            rows[0].append(Posting(*pool, trade.terms.settle, realised))
            cost -= realised
    rows[1].append(Move(*pool, name, contracts, cost))


def _spot(trade: Trade, work: Workspace) -> list[Posting]:
    terms, decimals = trade.terms, work.setting.decimals
    base = exactly.base_units(terms, trade.contracts, decimals[terms.underlying])
    quote = exactly.worth(terms, trade.contracts, trade.at, decimals[terms.quote])
    return [
        *split((trade.seller, trade.buyer), terms.underlying, base),
        *split((trade.buyer, trade.seller), terms.quote, quote),
    ]


def fee_postings(pool: Pool, asset: str, fee: int, to: str = FEES) -> list[Posting]:
    """Return the postings of a fee; a rebate is negative."""
    return [Posting(*pool, asset, -fee), Posting(to, SHARED, asset, fee)] if fee else []
