"""Draws of ring-fenced buckets on their account's shared pool.

In     margin balances and requirements of pools, accounts contiguous, the shared pool first.
Out    what each bucket wants and is granted; what each shared pool reserves.
Owns   the order of grants: the owner's, junior to the shared pool's own requirement.
Never  moves money: a draw is a reservation.
Signs  draws >= 0, numeraire; NaN margin balance marks an UNPRICED pool.
Spec   docs/spec/01-what-exists.md, 1.1; choices C34, C46
"""

from __future__ import annotations

import numpy as np

from crossmargin.base.arrays import F64, I64
from crossmargin.kernels.compiled import compiled


@compiled
def grant_draws(
    account_starts: I64, margin_balance: F64, requirement: F64, remaining: F64, last_draw: F64,
    unpriced_keeps_last: bool, wanted: F64, granted: F64,
) -> None:  # fmt: skip
    """Fill `wanted` and `granted` (A,) at one level.

    remaining            (A,) limit not yet drawn, inf on shared pools
    unpriced_keeps_last  True at MM: an UNPRICED bucket keeps `last_draw`; False at IM: it
                         reserves all that remains
    On a shared pool `wanted` and `granted` are the sums over its buckets.
    """
    for c in range(len(account_starts) - 1):
        shared = account_starts[c]
        wanted[shared] = granted[shared] = 0.0
        own = margin_balance[shared] - requirement[shared]
        shared_priced = np.isfinite(own)
        left = max(0.0, own) if shared_priced else 0.0
        for p in range(shared + 1, account_starts[c + 1]):
            short = requirement[p] - margin_balance[p]
            if np.isfinite(short):
                want = min(max(0.0, short), remaining[p])
            else:
                want = min(last_draw[p], remaining[p]) if unpriced_keeps_last else remaining[p]
            if shared_priced:
                give = min(want, left)
                left -= give
            else:
                give = min(want, last_draw[p]) if unpriced_keeps_last else 0.0
            wanted[p] = want
            granted[p] = give
            wanted[shared] += want
            granted[shared] += give
