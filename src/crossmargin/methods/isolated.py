"""`isolated`: one instrument, or one collateral and one debt, on its own.

In     BookFrame, Market.
Out    the method value; reasons a pool cannot be held this way.
Owns   what an isolated pool may hold.
Never  refuses a sum of stand-alone requirements: `compare` asks for that on purpose (C17).
Signs  parts >= 0, numeraire.
Spec   docs/spec/05-requirement.md, 5.1
"""

from __future__ import annotations

from functools import partial

import numpy as np

from crossmargin.frames.book import BookFrame
from crossmargin.margin.prepared import Market
from crossmargin.methods.method import Method, reach_of_the_debt_free
from crossmargin.methods.netted import assess_netted, isolated_core


def holds(book: BookFrame, market: Market) -> list[str | None]:
    """Return per pool why it is no isolated pool, None where it is one."""
    pool = np.repeat(np.arange(book.n_pools), np.diff(book.pool_starts))
    is_asset = book.item < market.frame.n_assets
    n = book.n_pools
    held = np.bincount(pool[is_asset & (book.quantity > 0)], minlength=n)
    owed = np.bincount(pool[is_asset & (book.quantity < 0)], minlength=n)
    positions = np.bincount(pool[~is_asset & (book.quantity != 0)], minlength=n)
    reasons: list[str | None] = [None] * n
    for a in np.flatnonzero(
        (positions > 1) | (held > 1) | (owed > 1) | ((positions > 0) & (owed > 0))
    ):
        reasons[a] = (
            f"holds {positions[a]} instruments, {held[a]} collaterals and {owed[a]} debts; an "
            "isolated pool has one instrument, or one collateral and one debt"
        )
    return reasons


ISOLATED = Method("isolated", partial(assess_netted, isolated_core), reach_of_the_debt_free, holds)
