"""The second witness on losses: forced sales, draws, insurance, deleveraging, socialised loss.

In     a `Case` and a command, read by its fields' names alone.
Out    a changed book, or `Refused`.
Owns   who may be sold, what a shared pool pays for a bucket, who bears what is left.
Never  chooses whom; asks for margin of those who only lose.
Signs  amounts and penalties >= 0.
Spec   docs/spec/10-ledger.md (10.18), docs/spec/01-what-exists.md (1.14)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from crossmargin.reference.ledger_book import (
    MONEY,
    ONE,
    OUTSIDE,
    ROUNDING,
    SHARED,
    Pool,
    Refused,
)
from crossmargin.reference.ledger_case import CONTRACT_DIGITS, Case
from crossmargin.reference.ledger_margin import NEAR, Allowance, Standing, sign
from crossmargin.reference.ledger_money import owes, short_of_balance, value_of
from crossmargin.reference.ledger_sums import unit_of, up
from crossmargin.reference.ledger_trades import (
    order_falls,
    order_state,
    reduces,
    side_names,
    trade,
)

# A price is a product of a few floats.
ULPS = Fraction(1, 10**14)


@dataclass(frozen=True)
class Leg:
    """A side without a fee or an order of its own."""

    account: str
    pool: str
    fee: int = 0
    order: str = ""


def fund(tier: str) -> str:
    """The insurance fund of a tier."""
    return f"@insurance/{tier}"


def _tier(case: Case, tier: str) -> str:
    assert case.book.rules is not None
    if tier not in case.book.rules.gain_tiers:
        raise Refused("tier_unknown")
    return tier


# --- forced sales ---------------------------------------------------------------------------------


def liquidate(case: Case, command: Any) -> None:
    """10.18: only who is LIQUIDATABLE or BANKRUPT, only what reduces, only what helps."""
    book, name = case.book, command.instrument
    account, pool = command.account, command.pool
    way = 1 if command.buys else -1
    held = case.pool(account, pool, "venue")
    terms = case.tradable(name)
    _tier(case, command.tier)
    other = command.counterparty
    side_names(case, other, (name, -way))
    if other.account == account and other.pool == pool:
        raise Refused("same_pool")
    contracts = case.amount(command.contracts, CONTRACT_DIGITS)
    paid_in = terms.quote if terms.is_spot else terms.settle
    case.size(other.fee, case.book.decimals(paid_in))
    if command.penalty < 0:
        raise Refused("amount_not_positive", command.penalty)
    case.size(command.penalty, case.book.decimals(paid_in))
    price = case.price(command.price)
    if other.order and other.account != OUTSIDE:
        _overfilled(case, other, contracts)
    if held.orders:
        raise Refused("orders_open")
    case.accrue(account, pool)
    _reducing(case, command, way * contracts)
    order_state(case, other, -way * contracts, terms)
    before = _in_need(case, account, pool)
    mine = Leg(account, pool)
    trade(case, name, (contracts, price), (mine, other) if way > 0 else (other, mine), mine)
    order_falls(case, other, -way * contracts)
    book.post(account, pool, paid_in, -command.penalty)
    book.post(fund(command.tier), SHARED, paid_in, command.penalty)
    case.takes_risk(other.account, other.pool, unsure=True)
    _helped(case, before, case.after(account).maintenance(pool), (account, pool))


def _overfilled(case: Case, side: Any, contracts: int) -> None:
    found = case.book.accounts[side.account].pools[side.pool].orders[side.order]
    if contracts > abs(found.contracts):
        raise Refused("order_overfilled", contracts, abs(found.contracts))


def _reducing(case: Case, command: Any, signed: int) -> None:
    """The position it reduces, or so much of the base as it holds and sells, owes and buys."""
    book, where = case.book, (command.account, command.pool)
    terms = book.contracts[command.instrument]
    if terms.is_spot:
        each = terms.size * unit_of(book.decimals(terms.underlying))
        base = up(Fraction(abs(signed), ONE) * each)
        there = book.cash(*where, terms.underlying)
        helps = there > 0 if signed < 0 else base <= -there
        if signed < 0 and helps:
            short_of_balance(case, where, terms.underlying, base)
    else:
        found = book.accounts[where[0]].pools[where[1]].positions.get(command.instrument)
        helps = found is not None and found.contracts != 0 and reduces(found.contracts, signed)
    if not helps:
        raise Refused("not_reducing")


def _in_need(case: Case, account: str, pool: str) -> Allowance | None:
    """Its verdict allows a forced sale, or a sale before it in the batch does and it is below the
    target; return where its maintenance stands before that."""
    standing = case.after(account)
    found = standing.maintenance(pool)
    if found is not None:
        assert case.book.rules is not None
        target = case.book.rules.liquidation.target_health
        goes_on = case.margined(account, pool) in case.forced
        needs = standing.below(pool, target) if goes_on else standing.liquidatable(pool)
        case.late.append((needs, Refused("not_liquidatable")))
    return found


def _helped(
    case: Case, before: Allowance | None, after: Allowance | None, where: tuple[str, str]
) -> None:
    """What a step does to its maintenance: the steps of a batch together must raise it."""
    if before is None or after is None:
        case.late.append((False, Refused("pool_unpriced")))
        return
    step = (after.value - before.value, max(before.scale, after.scale))
    case.forced.setdefault(case.margined(*where), []).append(step)


def deleverage(case: Case, command: Any) -> None:
    """A bankrupt pool's position against another's: both reduce, at the stated price."""
    terms = case.tradable(command.instrument)
    way = 1 if command.bankrupt_buys else -1
    sides = (Leg(*command.bankrupt), way), (Leg(*command.counterparty), -way)
    for side, _ in sides:
        case.pool(side.account, side.pool, "venue")
    if terms.is_spot:
        raise Refused("instrument_kind")
    if sides[0][0] == sides[1][0]:
        raise Refused("same_pool")
    contracts = case.amount(command.contracts, CONTRACT_DIGITS)
    price = case.price(command.price)
    for side, sense in sides:
        case.accrue(side.account, side.pool)
        held = case.book.accounts[side.account].pools[side.pool].positions
        found = held.get(command.instrument)
        if found is None or not reduces(found.contracts, sense * contracts):
            raise Refused("not_reducing")
    bankrupt, counterparty = sides[0][0], sides[1][0]
    standing = case.after(bankrupt.account)
    if not standing.is_priced(bankrupt.pool):
        case.late.append((False, Refused("pool_unpriced")))
    else:
        solvent = sign(standing.of(bankrupt.pool).equity, standing.scale(bankrupt.pool))
        case.late.append((None if solvent is None else not solvent, Refused("not_bankrupt")))
    both = (bankrupt, counterparty) if way > 0 else (counterparty, bankrupt)
    trade(case, command.instrument, (contracts, price), both)


# --- who pays for an empty pool -------------------------------------------------------------------


def draw(case: Case, command: Any) -> None:
    """(1.14): the shared pool pays for an empty bucket, at most t."""
    name, bucket = command.account, command.pool
    pool = case.pool(name, bucket, "venue")
    if bucket == SHARED or pool.limit is None:
        raise Refused("pool_unknown")
    case.asset(command.asset)
    case.coins(command.amount, command.asset)
    case.accrue(name, bucket)
    case.accrue(name, SHARED)
    book = case.book
    _empty(case, name, bucket)
    exact = value_of(case, command.asset, command.amount)
    standing = case.after(name)
    most = payable(standing, bucket, pool)
    worth = 0 if exact is None else up(exact)
    if exact is None or most is None:
        case.late.append((False, Refused("pool_unpriced")))
    else:
        low, high = within(standing, bucket, pool)
        # Its price is a float too: an amount made to be worth just t may be a unit more or less.
        least, most_worth = (up(exact * (1 + way * ULPS)) for way in (-1, 1))
        truth = True if most_worth <= low else (False if least > high else None)
        case.late.append((truth, Refused("draw_too_large", worth, most)))
    short_of_balance(case, (name, SHARED), command.asset, command.amount)
    book.post(name, SHARED, command.asset, -command.amount)
    book.post(name, bucket, command.asset, command.amount)
    book.touch(name).pools[bucket].drawn += worth


def payable(standing: Standing, bucket: str, held: Pool) -> int | None:
    """(1.14): t = min(-E, what is left of the limit, E_S), 10^-6 numeraire down; None unknown."""
    left = room(held)
    if not left:
        return 0  # whatever the prices are
    if not standing.is_priced(bucket) or not standing.is_priced(SHARED):
        return None
    t = min(-standing.of(bucket).equity, max(0.0, standing.of(SHARED).equity))
    return max(0, min(left, math.floor(t * MONEY)))


def room(held: Pool) -> int:
    """(1.7): what is left of a limit, exactly: 10^-6 numeraire."""
    assert held.limit is not None
    return max(0, held.limit - held.drawn)


def within(standing: Standing, bucket: str, held: Pool) -> tuple[int, int]:
    """Between what floats may make of t (1.14): each of its terms is off by its own pool's size."""
    left, row = room(held), standing.rows[bucket]
    if not left:
        return 0, 0
    found = []
    for way in (-1, 1):
        own = -standing.of(bucket).equity + way * NEAR * standing.scales[row]
        shared = standing.of(SHARED).equity + way * NEAR * standing.scales[0]
        found.append(max(0, min(left, math.floor(min(own, max(0.0, shared)) * MONEY))))
    return found[0], found[1]


def _empty(case: Case, name: str, pool: str) -> None:
    """No position, no order, no positive balance, in what is margined with it either."""
    for held in case.merged(name, pool):
        if held.positions or held.orders or any(x > 0 for x in held.cash.values()):
            raise Refused("pool_not_empty")


def _drawn_out(case: Case, account: str, pool: str, asset: str) -> None:
    """The shared pool pays first, as long as one unit of what is owed is worth what it may pay."""
    held = case.book.accounts[account].pools[pool]
    if pool == SHARED or held.limit is None:
        return
    standing = case.after(account)
    most = payable(standing, pool, held)
    if most is None:
        raise Refused("pool_unpriced")
    low, high = within(standing, pool, held)
    if not high:
        return
    unit = value_of(case, asset, 1)
    if unit is None:
        raise Refused("pool_unpriced")
    least, most_worth = (up(unit * (1 + way * ULPS)) for way in (-1, 1))
    truth = False if most_worth <= low else (True if least > high else None)
    case.claim(truth, Refused("draw_first"))


def fund_insurance(case: Case, command: Any) -> None:
    """From outside into a tier's fund."""
    case.asset(command.asset)
    _tier(case, command.tier)
    case.coins(command.amount, command.asset)
    case.book.post(OUTSIDE, SHARED, command.asset, -command.amount)
    case.book.post(fund(command.tier), SHARED, command.asset, command.amount)


def pay_insurance(case: Case, command: Any) -> None:
    """A fund pays what an empty pool owes, once the shared pool can pay no more."""
    name, pool = command.account, command.pool
    case.pool(name, pool, "venue")
    case.asset(command.asset)
    _tier(case, command.tier)
    case.coins(command.amount, command.asset)
    case.accrue(name, pool)
    book = case.book
    owes(case, command)
    _empty(case, name, pool)
    _drawn_out(case, name, pool, command.asset)
    there = book.cash(fund(command.tier), SHARED, command.asset)
    if command.amount > there:
        raise Refused("fund_short", command.amount, there)
    book.post(fund(command.tier), SHARED, command.asset, -command.amount)
    book.post(name, pool, command.asset, command.amount)


def socialise(case: Case, command: Any) -> None:
    """What is left is paid by holders of the asset, pro rata."""
    name, pool, asset = command.account, command.pool, command.asset
    case.pool(name, pool, "venue")
    holders = case.holders(command.holders)
    case.asset(asset)
    if (name, pool) in holders:
        raise Refused("same_pool")
    amount = case.coins(command.amount, command.asset)
    case.accrue(name, pool)
    for where in holders:
        case.accrue(*where)
    book = case.book
    owes(case, command)
    _empty(case, name, pool)
    _drawn_out(case, name, pool, command.asset)
    assert book.rules is not None
    if any(book.cash(fund(tier), SHARED, asset) > 0 for tier in book.rules.gain_tiers):
        raise Refused("insurance_first")
    shares = {where: max(0, book.cash(*where, asset)) for where in holders}
    total = sum(shares.values())
    if amount > total:
        raise Refused("shares_short", amount, total)
    paid = 0
    for where, balance in shares.items():
        pays = min(balance, up(Fraction(amount * balance, total)))
        book.post(*where, asset, -pays)
        paid += pays
    book.post(name, pool, asset, amount)
    book.post(ROUNDING, SHARED, asset, paid - amount)
