"""Statements: what changed a pool's balances and positions, line by line, in words.

In     entries in order, the instruments' terms, whose statement it is.
Out    lines; the part every posting plays (`role_of`), which exports carry too.
Owns   the roles and their words.
Never  computes an amount: a line says what a posting or move of the journal says.
Signs  as Posting and Move.
Spec   docs/spec/10-ledger.md, 10.1; docs/ledger.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from crossmargin.base.fixed import format_amount
from crossmargin.domain.accounts import SHARED
from crossmargin.domain.book import CONTRACT_DECIMALS, FEES, INSURANCE, ROUNDING, SYSTEM, Terms
from crossmargin.ledger import events as e
from crossmargin.ledger.events import Entry, Event, Move, Posting, moves_of, postings_of


class Role(StrEnum):
    """What part a posting plays in its event; docs/ledger.md says which are profit and loss."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    LOAN = "loan"
    REPAYMENT = "repayment"
    TRANSFER = "transfer"
    YIELD = "yield"
    SPOT = "spot"
    PREMIUM = "premium"
    REALISED = "realised"
    TRADE = "trade"  # of a move
    FEE = "fee"
    PENALTY = "penalty"
    FUNDING = "funding"
    INTEREST = "interest"
    EXPIRY = "expiry"
    DRAW = "draw"
    INSURANCE = "insurance"
    LOSS_SHARE = "loss_share"
    OPENING = "opening"
    OBSERVED = "observed"
    ROUNDING = "rounding"


class Line(NamedTuple):
    """One posting or move of a pool.

    item    an asset, or the instrument of a move
    change  smallest units of the asset, or contracts (10^-18)
    cost    of a move, smallest units of its settlement asset; None for a posting
    """

    seq: int
    at_ns: int
    role: Role
    what: str
    account: str
    pool: str
    item: str
    change: int
    cost: int | None


PLAIN: dict[type, Role] = {
    e.Deposited: Role.DEPOSIT, e.Withdrawn: Role.WITHDRAWAL, e.Borrowed: Role.LOAN,
    e.Repaid: Role.REPAYMENT, e.Transferred: Role.TRANSFER, e.YieldAccrued: Role.YIELD,
    e.Settled: Role.EXPIRY, e.FundingPaid: Role.FUNDING, e.InterestCharged: Role.INTEREST,
    e.Drawn: Role.DRAW, e.InsuranceFunded: Role.INSURANCE, e.InsurancePaid: Role.INSURANCE,
    e.LossSocialised: Role.LOSS_SHARE, e.Imported: Role.OPENING, e.Observed: Role.OBSERVED,
}  # fmt: skip
TRADES = (e.Filled, e.LiquidationFilled, e.Deleveraged)


def lines_of(
    entry: Entry, seq: int, terms: Mapping[str, Terms], wanted: Callable[[str, str], bool]
) -> Iterator[Line]:
    """Yield the lines of one record for the pools that are wanted, in the order they happened."""
    for event in entry.events:
        postings = postings_of(event)
        for n, posting in enumerate(postings):
            if wanted(posting.account, posting.pool):
                role = role_of(event, n, terms)
                yield Line(
                    seq, entry.at_ns, role, _money_words(event, n, role), posting.account,
                    posting.pool, posting.asset, posting.amount, None,
                )  # fmt: skip
        for move in moves_of(event):
            if wanted(move.account, move.pool):
                yield Line(
                    seq, entry.at_ns, PLAIN.get(type(event), Role.TRADE), _move_words(event, move),
                    move.account, move.pool, move.instrument, move.contracts, move.cost,
                )  # fmt: skip


def role_of(event: Event, n: int, terms: Mapping[str, Terms]) -> Role:
    """Return the part an event's n-th posting plays."""
    postings = postings_of(event)
    if postings[n].account == ROUNDING:
        return Role.ROUNDING
    if not isinstance(event, TRADES):
        return PLAIN[type(event)]
    paid_to = _paid_to(postings, n)
    if paid_to == FEES:
        return Role.FEE
    if paid_to.startswith(INSURANCE):
        return Role.PENALTY
    own = terms[traded(event)]
    if own.kind == "spot":
        return Role.SPOT
    return Role.PREMIUM if own.pays_premium else Role.REALISED


def traded(event: Any) -> str:
    """Return the instrument of a trade."""
    name: str = event.item if isinstance(event, e.LiquidationFilled) else event.instrument
    return name


def _paid_to(postings: tuple[Posting, ...], n: int) -> str:
    """Return the system account a posting is a fee to; a fee is a pair, the payer's part first."""
    mine = postings[n]
    if mine.account == FEES or mine.account.startswith(INSURANCE):
        return mine.account
    after = postings[n + 1].account if n + 1 < len(postings) else ""
    return after if after == FEES or after.startswith(INSURANCE) else ""


# --- words ----------------------------------------------------------------------------------------


def _money_words(event: Any, n: int, role: Role) -> str:
    """Return what a posting is, to the one who holds the balance."""
    mine: Posting = event.postings[n]
    if isinstance(event, TRADES):
        return _trade_words(event, mine, role)
    if role == Role.ROUNDING:
        return f"rounding of {PLAIN[type(event)]}"
    said = FACTS.get(type(event))
    if said is not None:
        return said(event)
    gets = mine.amount > 0
    if role == Role.TRANSFER:
        other = next(one for one in event.postings if (one.amount > 0) != gets)
        back = ", pays a draw back" if event.paid_back else ""
        return f"transfer {'from' if gets else 'to'} {place(other.account, other.pool)}{back}"
    if role == Role.LOSS_SHARE:
        return "loss taken over by others" if gets else "share of another's loss"
    return PLAIN_WORDS[role]


PLAIN_WORDS = {Role.LOAN: "borrowed", Role.REPAYMENT: "debt paid back", Role.OPENING: "opening"}


def _referred(word: str) -> Callable[[Any], str]:
    return lambda event: f"{word}, {event.reference}" if event.reference else word


FACTS: dict[type, Callable[[Any], str]] = {
    e.Deposited: _referred("deposit"), e.Withdrawn: _referred("withdrawal"),
    e.YieldAccrued: _referred("yield"),
    e.Settled: lambda event: f"expiry of {event.instrument} at {event.price}",
    e.FundingPaid: lambda event: f"funding of {event.instrument}",
    e.InterestCharged: lambda event: f"interest on the debt in {event.asset}",
    e.Drawn: lambda event: f"draw of {event.pool} on the shared pool",
    e.InsuranceFunded: lambda event: f"paid into insurance fund {event.tier}",
    e.InsurancePaid: lambda event: f"debt paid by insurance fund {event.tier}",
    e.Observed: lambda event: f"seen at {event.source}",
}  # fmt: skip


def _trade_words(event: Any, mine: Posting, role: Role) -> str:
    name = f"{traded(event)} at {event.price}"
    how = _how(event, mine.account, mine.pool)
    gets = mine.amount > 0
    if role == Role.FEE:
        return f"{how}{'rebate' if gets != (mine.account == FEES) else 'fee'} on {name}"
    if role == Role.PENALTY:
        return f"liquidation penalty on {name}"
    if role == Role.PREMIUM:
        return f"{how}premium {'received' if gets else 'paid'} for {name}"
    if role == Role.SPOT:
        return f"{how}{'received from' if gets else 'paid into'} {name}"
    return f"{how}{role} on {name}"


def _move_words(event: Any, move: Move) -> str:
    if isinstance(event, TRADES):
        verb = "bought" if move.contracts > 0 else "sold"
        size = format_amount(abs(move.contracts), CONTRACT_DECIMALS)
        how = _how(event, move.account, move.pool)
        return f"{how}{verb} {size} {traded(event)} at {event.price}"
    said = FACTS.get(type(event))
    return said(event) if said is not None else PLAIN_WORDS[PLAIN[type(event)]]


def _how(event: Any, account: str, pool: str) -> str:
    """Return what kind of a trade it was, where it was not the holder's own wish."""
    if isinstance(event, e.Deleveraged):
        return "deleveraging: "
    if isinstance(event, e.LiquidationFilled):
        own = account[0] == SYSTEM or (account, pool) == (event.account, event.pool)
        return "liquidation: " if own else "another's liquidation: "
    return ""


def place(account: str, pool: str) -> str:
    """Return how a pool is named: its account, and its own name where it is a bucket."""
    return account if pool == SHARED else f"{account}/{pool}"
