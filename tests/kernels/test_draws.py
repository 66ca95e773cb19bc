"""Spec 1.1: grants come in order, within limits, never past the free buffer of the shared pool."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.kernels.draws import grant_draws

MONEY = st.integers(0, 1_000_000).map(float)  # whole dollars: sums are exact
BUCKETS = st.lists(st.tuples(MONEY, MONEY, MONEY), max_size=6)  # margin balance, requirement, limit


@given(MONEY, MONEY, BUCKETS)
def test_grants_in_order_until_nothing_is_left(balance: float, requirement: float, buckets):
    rows = np.array([(balance, requirement, np.inf), *buckets])
    wanted, granted = np.zeros(len(rows)), np.zeros(len(rows))
    grant_draws(
        np.array([0, len(rows)]), rows[:, 0].copy(), rows[:, 1].copy(), rows[:, 2].copy(),
        np.zeros(len(rows)), True, wanted, granted,
    )  # fmt: skip
    free = max(0.0, balance - requirement)
    for p, (own, needs, limit) in enumerate(buckets, start=1):
        want = min(max(0.0, needs - own), limit)
        assert wanted[p] == want
        assert granted[p] == min(want, free)
        free -= granted[p]
    assert free >= 0.0
    assert granted[0] == granted[1:].sum()
    assert wanted[0] == wanted[1:].sum()
