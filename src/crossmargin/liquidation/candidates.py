"""From positions to candidates for deleveraging: what ranks them, in one contract.

In     positions of one contract, their accounts' equity and buffers, a mark, a lot.
Out    Candidates.
Owns   how gain, leverage and what a lot gains from here on are measured.
Never  picks anybody: a row whose numbers are bad is kept, and set aside by the policies.
Signs  contracts are exact, 10^-18, signed (+ long); prices, equity and buffers in USD.
Spec   docs/spec/09-waterfall.md, (9.70), (9.71)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossmargin.base.arrays import F64
from crossmargin.base.errors import InputInvalid
from crossmargin.domain.book import CONTRACT_DECIMALS
from crossmargin.liquidation.adl import Candidates, Holder, Lots

CONTRACT = 10**CONTRACT_DECIMALS


@dataclass(frozen=True, slots=True)
class Positions:
    """Positions of one contract on one side, one row each.

    contracts (N,) exact;  entry (N,) price;  equity_usd, buffer_usd (N,) of the pool, NaN unknown
    hedge_lots (N,) exact lots of the leg it hedges
    """

    holders: tuple[Holder, ...]
    contracts: tuple[int, ...]
    entry: F64
    equity_usd: F64
    buffer_usd: F64
    hedge_lots: Lots

    def __post_init__(self) -> None:
        sides = {n > 0 for n in self.contracts if n}
        if len(sides) > 1:
            raise InputInvalid(
                "positions.contracts", "longs and shorts", "lie on one side",
                "deleverage a long against shorts, a short against longs",
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quote:
    """One linear contract: USD a contract at its mark, and where the mark is expected to go.

    size   USD of one contract for a price of 1;  lot: contracts of a lot, 10^-18
    later  expected before, known afterwards; NaN where nobody says
    """

    mark: float
    later: float
    size: float
    lot: int


def candidates(given: Positions, quote: Quote) -> Candidates:
    """Return positions as candidates: whole lots, and what ranks them."""
    assert quote.lot > 0
    side = np.sign(np.array(given.contracts, dtype=np.float64))
    held = np.abs(np.array(given.contracts, dtype=np.float64)) / CONTRACT
    value = held * quote.size * quote.mark
    lot = quote.lot / CONTRACT * quote.size
    n = len(given.holders)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = side * (quote.mark / given.entry - 1.0)
        # Without equity there is no leverage to rank by.
        leverage = np.where(given.equity_usd > 0.0, value / given.equity_usd, np.nan)
    return Candidates(
        given.holders,
        tuple(abs(contracts) // quote.lot for contracts in given.contracts),
        gain,
        leverage,
        given.buffer_usd,
        np.full(n, lot * quote.mark),
        side * lot * (quote.later - quote.mark),
        given.hedge_lots,
    )
