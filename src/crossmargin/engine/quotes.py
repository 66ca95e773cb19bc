"""What may leave a pool now: the question beside the deed, answered by the same margin.

In     a book, a setting, names that are known.
Out    units of an asset.
Owns   the last word of the search: a deed of that amount would be accepted.
Never  is part of a decision: it is a search over copies of an account, for readers only.
Signs  units >= 0; None where margin cannot be known.
Spec   docs/spec/10-ledger.md, 10.16; docs/spec/07-inquiry.md
"""

from __future__ import annotations

import math

from crossmargin.domain.book import AccountState, Book, Status
from crossmargin.engine.checks import margin_row
from crossmargin.engine.market import Setting
from crossmargin.engine.workspace import Workspace
from crossmargin.frames.ledgered import book_frame
from crossmargin.inquiry.amounts import free_to_withdraw, new_risk_buffer
from crossmargin.inquiry.desk import desk_for


def free_of(book: Book, account: str, pool: str, asset: str, setting: Setting) -> int | None:
    """Return how many units of an asset may leave a pool now for all that margin says.

    None where its margin cannot be known. Whether the venue has the cash is not asked.
    """
    if setting.market is None or setting.items is None:
        return None
    # What is due is settled before anything leaves, so it is settled here too.
    work = Workspace(book, setting)
    found = book.find(account)
    assert found is not None
    if found.status != Status.MIRROR:
        work.accrue(account, pool)
        found = work.book.find(account)
        assert found is not None
    frame = book_frame([(account, found)], book, setting.items)
    row = margin_row(frame, 0, pool)
    if math.isnan(new_risk_buffer(frame, setting.market)[row]):
        return None
    held = work.book.balance(account, pool, asset)
    if held <= 0:
        return 0
    desk = desk_for(frame, setting.market, 0, frame.pool_names[row], asset)
    free = free_to_withdraw(desk, asset, held)
    # The search moves a float; a deed rounds what an exact balance leaves: it has the last word.
    step = 1
    while free > 0 and not _may_leave((account, found), pool, (asset, free), work):
        free, step = max(0, free - step), 2 * step
    return free


def _may_leave(
    owner: tuple[str, AccountState], pool: str, leaves: tuple[str, int], work: Workspace
) -> bool:
    """Return whether margin would let an amount out of a pool."""
    assert work.setting.market is not None
    assert work.setting.items is not None
    name, account = owner[0], owner[1].copy()
    account.pools[pool].balances[leaves[0]] -= leaves[1]
    frame = book_frame([(name, account)], work.book, work.setting.items)
    return bool(new_risk_buffer(frame, work.setting.market)[margin_row(frame, 0, pool)] >= 0.0)
