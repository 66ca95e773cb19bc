"""Which price is good enough for which action: a ladder, as data.

In     the status of a price.
Out    whether an action may use it.
Owns   the table of spec 8.17.
Never  acts. The engine and the margin path hold the same line by 2.5 and 8.3; whoever sends funding
       or a settlement price looks it up here.
Signs  a higher `Status` is better.
Spec   docs/spec/08-oracle.md, 8.17
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from crossmargin.base.arrays import B1, I8
from crossmargin.frames.market import Status


class Action(StrEnum):
    """What a price may be needed for."""

    NEW_RISK = "new risk"
    WITHDRAW = "withdraw"
    BORROW = "borrow"
    FILL_ORDER = "fill an order in the worst-case books"
    COUNT_AT_IM = "count what is held at IM"
    COUNT_AT_MM = "count what is held at MM, at its last good price"
    VALUE_OWED = "value a debt, a position or anything owed"
    LIQUIDATE = "liquidate"
    FUNDING = "advance funding"
    SETTLE = "settle an expiry"
    DEPOSIT = "deposit or repay"
    CANCEL = "cancel an order"


# The lowest status that will do. Two independent sources are a price; what reduces risk without a
# price is never blocked; a settlement is for ever and waits for a full quorum.
LOWEST: dict[Action, Status] = {
    Action.NEW_RISK: Status.DEGRADED,
    Action.WITHDRAW: Status.DEGRADED,
    Action.BORROW: Status.DEGRADED,
    Action.FILL_ORDER: Status.DEGRADED,
    Action.COUNT_AT_IM: Status.DEGRADED,
    Action.COUNT_AT_MM: Status.MISSING,
    Action.VALUE_OWED: Status.DEGRADED,
    Action.LIQUIDATE: Status.DEGRADED,
    Action.FUNDING: Status.DEGRADED,
    Action.SETTLE: Status.LIVE,
    Action.DEPOSIT: Status.MISSING,
    Action.CANCEL: Status.MISSING,
}


def allowed(action: Action, status: I8) -> B1:
    """Return where a status is good enough for an action."""
    return np.asarray(status >= int(LOWEST[action]))
