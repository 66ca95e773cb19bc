"""From a loss waterfall to the commands that carry it out.

In     a Waterfall, the contracts to be closed and their marks.
Out    commands, in the order in which the engine takes them.
Owns   the price of a deleveraging, and that order: positions first, then who pays.
Never  decides who bears what: the waterfall did.
Signs  amounts > 0; a lot is `lot` contracts (10^-18).
Spec   docs/spec/09-waterfall.md, (9.65), (9.66)

The engine lets nobody pay for a pool that still holds something, so a pool with open lots is closed
first, the contracts that cover least before the others, because only a bankrupt is deleveraged.
Fills round, so what it owes then is asked again: a second waterfall, without deleveraging.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from crossmargin.base.errors import InputInvalid
from crossmargin.base.fixed import format_amount, scale_down, scale_up
from crossmargin.domain.book import Terms
from crossmargin.engine import commands as c
from crossmargin.engine.workspace import HOLDERS_MAX
from crossmargin.ledger import exactly
from crossmargin.liquidation.adl import Candidates, Holder
from crossmargin.liquidation.waterfall import Closings, Waterfall

# Decimals of a price that was worked out: what a command's price may have at least.
PRICE_DECIMALS = exactly.PRICE_MIN_DIGITS
ONE_CONTRACT_PRICE = (1, 1)


@dataclass(frozen=True, slots=True)
class Open:
    """What a bankrupt pool has open: one contract, its mark as decimal text.

    lot       contracts of a lot, 10^-18;  buys: it is short and buys back
    decimals  of the settlement asset
    """

    instrument: str
    terms: Terms
    mark: str
    lot: int
    buys: bool
    decimals: int


def closing_price(given: Open, lots: int, covers: int) -> str:
    """Return the price at which `lots` together cover `covers` units more than at the mark.

    Rounded in favour of the pool, so that its debt is covered: up where it sells, down where it
    buys.
    """
    mark = exactly.price(given.mark)
    if mark is None:
        raise InputInvalid("mark", given.mark, "be a price")
    if given.terms.payoff == "inverse" or given.terms.pays_premium:
        raise InputInvalid(
            "instrument", given.instrument, "be linear in its price",
            "work the price out from its worth",
        )  # fmt: skip
    assert lots > 0
    each = Fraction(
        *exactly.worth(given.terms, lots * given.lot, ONE_CONTRACT_PRICE, given.decimals)
    )
    move, one = Fraction(covers) / each, 10**PRICE_DECIMALS
    if given.buys:
        at = Fraction(*mark) - move
        units = scale_down(at.numerator, one, at.denominator)
    else:
        at = Fraction(*mark) + move
        units = scale_up(at.numerator, one, at.denominator)
    text = format_amount(units, PRICE_DECIMALS)
    if units <= 0 or exactly.price(text) is None:
        raise InputInvalid(
            "price", text, f"lie in (0, {exactly.PRICE_MAX:g})",
            "no price covers that much: deleverage for a part of it, socialise the rest",
        )  # fmt: skip
    return text


def deleverages(
    pool: Holder, closed: Closings, given: Open, them: Candidates
) -> tuple[c.Deleverage, ...]:
    """Return a command for each candidate that is closed, all at one price."""
    if not sum(closed.lots):
        return ()
    price = closing_price(given, sum(closed.lots), closed.covers)
    return tuple(
        c.Deleverage(
            instrument=given.instrument, contracts=lots * given.lot, price=price,
            bankrupt=pool, bankrupt_buys=given.buys, counterparty=holder,
        )
        for holder, lots in zip(them.holders, closed.lots, strict=True)
        if lots
    )  # fmt: skip


Payment = c.Draw | c.PayInsurance | c.Socialise


def payments(found: Waterfall, asset: str) -> tuple[Payment, ...]:
    """Return what others pay for an empty pool, in the order of the steps."""
    account, pool = found.shortfall.pool
    out: list[Payment] = []
    if drawn := found.step("draw").paid:
        out.append(c.Draw(account=account, pool=pool, asset=asset, amount=drawn))
    if insured := found.step("insurance").paid:
        out.append(
            c.PayInsurance(
                account=account, pool=pool, tier=found.shortfall.tier, asset=asset, amount=insured
            )
        )
    left = found.step("socialised").paid
    payers = [part for part in found.step("socialised").parts if part.amount < 0]
    for start in range(0, len(payers), HOLDERS_MAX):
        some = payers[start : start + HOLDERS_MAX]
        # The shares were rounded up: the last command asks for what is left of the loss.
        amount = min(left, -sum(part.amount for part in some))
        if amount:
            holders = tuple(part.holder for part in some)
            out.append(
                c.Socialise(account=account, pool=pool, asset=asset, amount=amount, holders=holders)
            )
        left -= amount
    return tuple(out)
