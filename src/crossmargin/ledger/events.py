"""Facts: what happened, with postings that sum to zero for every asset and instrument.

In     the engine's decisions.
Out    frozen events, and the `Entry` that keeps those of one command together.
Owns   which facts there are, their fields and the schema version; a field is only ever added last.
Never  contains a decision or a price that was not used; touches the disk.
Signs  a posting's amount > 0 credits the holder; contracts > 0 buys; cost as PositionState.
Spec   docs/spec/10-ledger.md
"""

from __future__ import annotations

import msgspec

from crossmargin.domain.book import Listing, Mark, OrderState, Print, Scenarios

SCHEMA = 1


class Posting(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A balance changes by `amount` smallest units of `asset`."""

    account: str
    pool: str
    asset: str
    amount: int


class Move(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A position changes by contracts (10^-18) and by cost (smallest units, settlement asset)."""

    account: str
    pool: str
    instrument: str
    contracts: int
    cost: int


class Event(msgspec.Struct, array_like=True, frozen=True, tag=True, gc=False):
    """One fact."""


class PoolTerms(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A pool to open: method, and a draw limit in 10^-6 numeraire (None merges)."""

    pool: str
    method: str
    draw_limit: int | None = None


# --- accounts -------------------------------------------------------------------------------------


class AccountOpened(Event, frozen=True):
    account: str
    pools: tuple[PoolTerms, ...]
    mirror: bool = False


class PoolOpened(Event, frozen=True):
    account: str
    pool: PoolTerms


class StatusSet(Event, frozen=True):
    """frozen, open again, or closed (for ever)."""

    account: str
    status: int
    reason: str


# --- the world ------------------------------------------------------------------------------------


class MarketListed(Event, frozen=True):
    listing: Listing


class RulebookAdopted(Event, frozen=True):
    """rules: packed, because JSON has no infinity; digest: what reports carry."""

    digest: str
    rules: bytes


class ScenariosAdopted(Event, frozen=True):
    scenarios: Scenarios


class PricesAccepted(Event, frozen=True):
    """stamped_ns is when the prints were made, not when they came."""

    stamped_ns: int
    prints: dict[str, Print]
    marks: dict[str, Mark]


class VenueTotalsAdopted(Event, frozen=True):
    totals: dict[str, float]


# --- money ----------------------------------------------------------------------------------------


class Deposited(Event, frozen=True):
    reference: str
    postings: tuple[Posting, ...]


class Withdrawn(Event, frozen=True):
    reference: str
    postings: tuple[Posting, ...]


class Borrowed(Event, frozen=True):
    postings: tuple[Posting, ...]


class Repaid(Event, frozen=True):
    postings: tuple[Posting, ...]


class Transferred(Event, frozen=True):
    """paid_back: 10^-6 numeraire by which the source bucket's `drawn` falls."""

    postings: tuple[Posting, ...]
    paid_back: int = 0


class YieldAccrued(Event, frozen=True):
    asset: str
    reference: str
    postings: tuple[Posting, ...]


# --- trading --------------------------------------------------------------------------------------


class OrderFill(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An open order that was filled in part or whole; contracts signed like the order."""

    account: str
    pool: str
    order: str
    contracts: int


class Filled(Event, frozen=True):
    instrument: str
    price: str
    postings: tuple[Posting, ...]
    moves: tuple[Move, ...]
    orders: tuple[OrderFill, ...] = ()


class OrderPlaced(Event, frozen=True):
    account: str
    pool: str
    order: str
    instrument: str
    contracts: int
    limit_price: str
    reduce_only: bool


class OrderCancelled(Event, frozen=True):
    account: str
    pool: str
    order: str
    reason: str


class DrawReserved(Event, frozen=True):
    """amount: 10^-6 numeraire, the bucket's reservation at MM (kept while it is unpriced)."""

    account: str
    pool: str
    amount: int


class Settled(Event, frozen=True):
    """An expired instrument ends in cash for these holders."""

    instrument: str
    price: str
    postings: tuple[Posting, ...]
    moves: tuple[Move, ...]


# --- accruals -------------------------------------------------------------------------------------


class FundingIndexed(Event, frozen=True):
    """index: settlement units a contract a long has paid in all, 10^-18."""

    instrument: str
    index: int
    rate: str
    price: str


class FundingPaid(Event, frozen=True):
    """holders: (account, pool) whose position is settled up to the instrument's index."""

    instrument: str
    holders: tuple[tuple[str, str], ...]
    postings: tuple[Posting, ...]


class InterestIndexed(Event, frozen=True):
    """rate: 10^-18 a year, at the utilisation of that moment."""

    asset: str
    index: int
    rate: int


class InterestCharged(Event, frozen=True):
    """holders: (account, pool) whose debt is charged up to the asset's index."""

    asset: str
    holders: tuple[tuple[str, str], ...]
    postings: tuple[Posting, ...]


# --- losses ---------------------------------------------------------------------------------------


class LiquidationFilled(Event, frozen=True):
    """A forced sale of a position or of collateral; penalty, in the postings, goes to insurance.

    rounds  more are to come of the plan it is part of
    """

    account: str
    pool: str
    item: str
    price: str
    postings: tuple[Posting, ...]
    moves: tuple[Move, ...]
    orders: tuple[OrderFill, ...] = ()
    rounds: bool = False


class Drawn(Event, frozen=True):
    """The shared pool paid for an empty bucket; amount: 10^-6 numeraire (spec 1.1)."""

    account: str
    pool: str
    amount: int
    postings: tuple[Posting, ...]


class InsuranceFunded(Event, frozen=True):
    tier: str
    postings: tuple[Posting, ...]


class InsurancePaid(Event, frozen=True):
    tier: str
    postings: tuple[Posting, ...]


class Deleveraged(Event, frozen=True):
    instrument: str
    price: str
    postings: tuple[Posting, ...]
    moves: tuple[Move, ...]


class LossSocialised(Event, frozen=True):
    asset: str
    postings: tuple[Posting, ...]


class Imported(Event, frozen=True):
    """What a pool held when it came here, against @outside."""

    account: str
    pool: str
    postings: tuple[Posting, ...]
    moves: tuple[Move, ...]
    orders: dict[str, OrderState]
    drawn: int
    last_draw: int


class Observed(Event, frozen=True):
    """An outside venue's account, mirrored: the postings that made it equal to what was seen."""

    account: str
    pool: str
    source: str
    postings: tuple[Posting, ...]
    moves: tuple[Move, ...]


AnyEvent = (
    AccountOpened | PoolOpened | StatusSet | MarketListed | RulebookAdopted | ScenariosAdopted
    | PricesAccepted | VenueTotalsAdopted | Deposited | Withdrawn | Borrowed | Repaid | Transferred
    | YieldAccrued | Filled | OrderPlaced | OrderCancelled | DrawReserved | Settled
    | FundingIndexed | FundingPaid | InterestIndexed | InterestCharged | LiquidationFilled | Drawn
    | InsuranceFunded | InsurancePaid | Deleveraged | LossSocialised | Observed | Imported
)  # fmt: skip


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What one accepted command made of the book.

    schema       of the events; older ones stay readable
    at_ns        the engine's time, never running backwards
    key          idempotency key; fingerprint: of the command that used it
    """

    schema: int
    at_ns: int
    key: str
    fingerprint: str
    events: tuple[AnyEvent, ...]


def postings_of(event: Event) -> tuple[Posting, ...]:
    """Return an event's postings, none where it moves no money."""
    return getattr(event, "postings", ())


def moves_of(event: Event) -> tuple[Move, ...]:
    """Return an event's position moves."""
    return getattr(event, "moves", ())
