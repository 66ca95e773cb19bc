"""What owners hold of each asset over all their pools.

In     holdings sorted by pool; terms of items; which accounts.
Out    coins of each asset, positive net balances only.
Owns   the sum over pools that bounds what counts at IM.
Never  nets one pool against another: a debt here does not lessen what is held there.
Signs  coins >= 0.
Spec   docs/spec/03-collateral.md, 3.6; choices C8, C57
"""

from __future__ import annotations

import numpy as np

from crossmargin.base.arrays import F64, I64
from crossmargin.kernels.compiled import compiled
from crossmargin.kernels.netting import ASSET, Holdings, Items, unsettled


@compiled
def owner_totals(
    lo: int, hi: int, account_starts: I64, picked: I64, holdings: Holdings, items: Items,
    out_value: F64,
) -> None:  # fmt: skip
    """Add up what owners with several pools hold of each asset, over all their pools (spec 3.6).

    picked     (C',) account rows with several pools; rows [lo, hi) of it are done
    out_value  (C', N) written: coins, positive net balances only, summed over pools
    """
    n_assets = out_value.shape[1]
    net = np.zeros(n_assets)
    for c in range(lo, hi):
        for p in range(account_starts[picked[c]], account_starts[picked[c] + 1]):
            net[:] = 0.0
            for h in range(holdings.pool_starts[p], holdings.pool_starts[p + 1]):
                i = holdings.item[h]
                if items.kind[i] == ASSET:
                    net[i] += holdings.quantity[h]
                elif items.futures_like[i]:
                    # At its last good mark, if there ever was one: a pool set aside still owns.
                    coins = unsettled(items, i, holdings.quantity[h], holdings.entry[h])
                    if np.isfinite(coins):
                        net[items.settle[i]] += coins
            for a in range(n_assets):
                if net[a] > 0.0:
                    out_value[c, a] += net[a]
