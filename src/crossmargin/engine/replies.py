"""What the engine answers: accepted, or rejected with a reason and its facts.

In     nothing: these are values.
Out    `Accepted`, `Rejected`, the reasons.
Owns   the reasons of refusal, in the order they are tested.
Never  decides.
Signs  facts are in the command's own unit, or 10^-6 numeraire.
Spec   docs/spec/10-ledger.md, 10.13
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Rejection(StrEnum):
    """Why a command is refused. A command with several faults gets the first of this order."""

    # the envelope
    KEY_INVALID = "key_invalid"
    KEY_REUSED = "key_reused"  # the key made another command
    COMMAND_EXPIRED = "command_expired"  # issued longer ago than keys are remembered
    COMMAND_FROM_FUTURE = "command_from_future"
    BATCH_INVALID = "batch_invalid"
    # the world
    NOT_LISTED = "not_listed"
    NO_RULEBOOK = "no_rulebook"
    MARKET_INVALID = "market_invalid"
    TERMS_CHANGED = "terms_changed"
    RULEBOOK_INVALID = "rulebook_invalid"
    RULEBOOK_NOT_YET = "rulebook_not_yet"
    SCENARIOS_INVALID = "scenarios_invalid"
    # names
    ACCOUNT_NAME_INVALID = "account_name_invalid"
    ACCOUNT_EXISTS = "account_exists"
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_CLOSED = "account_closed"
    ACCOUNT_FROZEN = "account_frozen"
    ACCOUNT_IS_MIRROR = "account_is_mirror"
    ACCOUNT_NOT_EMPTY = "account_not_empty"
    STATUS_UNCHANGED = "status_unchanged"
    POOL_NAME_INVALID = "pool_name_invalid"
    POOL_EXISTS = "pool_exists"
    POOL_UNKNOWN = "pool_unknown"
    METHOD_UNKNOWN = "method_unknown"
    ASSET_UNKNOWN = "asset_unknown"
    FACTOR_UNKNOWN = "factor_unknown"
    INSTRUMENT_UNKNOWN = "instrument_unknown"
    INSTRUMENT_KIND = "instrument_kind"  # the command is not for this kind
    INSTRUMENT_EXPIRED = "instrument_expired"
    INSTRUMENT_NOT_EXPIRED = "instrument_not_expired"
    TIER_UNKNOWN = "tier_unknown"
    SOURCE_UNKNOWN = "source_unknown"
    ORDER_NAME_INVALID = "order_name_invalid"
    ORDER_EXISTS = "order_exists"
    ORDER_UNKNOWN = "order_unknown"
    SAME_POOL = "same_pool"
    TOO_MANY = "too_many"  # holders, orders, pools, entries: docs/limits.md
    # numbers
    AMOUNT_NOT_POSITIVE = "amount_not_positive"
    AMOUNT_TOO_LARGE = "amount_too_large"
    PRICE_INVALID = "price_invalid"
    RATE_INVALID = "rate_invalid"
    PRICE_STALE = "price_stale"
    PRICE_FROM_FUTURE = "price_from_future"
    PRICE_OUT_OF_ORDER = "price_out_of_order"
    PRICE_DIFFERS = "price_differs"  # from the one the instrument already settles at
    # the state
    NOTHING_DUE = "nothing_due"
    NOTHING_OWED = "nothing_owed"
    REPAY_EXCEEDS_DEBT = "repay_exceeds_debt"
    ORDER_OVERFILLED = "order_overfilled"
    ORDERS_OPEN = "orders_open"  # they are cancelled before a forced sale
    NOT_REDUCING = "not_reducing"
    POOL_NOT_EMPTY = "pool_not_empty"
    DRAW_FIRST = "draw_first"
    INSURANCE_FIRST = "insurance_first"
    FUND_SHORT = "fund_short"
    SHARES_SHORT = "shares_short"
    # the state afterwards: judged at the end of a batch
    BALANCE_SHORT = "balance_short"
    CASH_SHORT = "cash_short"
    BORROW_NOT_OFFERED = "borrow_not_offered"
    BORROW_CAP = "borrow_cap"
    UTILISATION = "utilisation"
    # the margin afterwards
    POOL_UNPRICED = "pool_unpriced"
    NOT_LIQUIDATABLE = "not_liquidatable"
    NOT_BANKRUPT = "not_bankrupt"
    DRAW_TOO_LARGE = "draw_too_large"
    NOT_RAISING = "not_raising"
    MARGIN_SHORT = "margin_short"


RANK = {reason: place for place, reason in enumerate(Rejection)}


class Accepted(msgspec.Struct, frozen=True, tag="accepted", gc=False):
    """It happened, in record `seq`; `repeated` where that was on an earlier call."""

    seq: int
    repeated: bool = False


class Rejected(msgspec.Struct, frozen=True, tag="rejected", gc=False):
    """It did not happen. `asked` and `free` are in the command's own unit; where margin is short
    in 10^-6 numeraire: what it takes off the pool's buffer, and the buffer there was."""

    reason: Rejection
    asked: int | None = None
    free: int | None = None
    where: str = ""


Reply = Accepted | Rejected


def first_of(one: Rejected | None, other: Rejected | None) -> Rejected | None:
    """Return the refusal whose reason stands first in the order; `one` where they are alike."""
    if one is None or other is None:
        return one or other
    return other if RANK[other.reason] < RANK[one.reason] else one
