"""From the tally of netting to columns; the joint tail of full quantities where it is charged.

In     rows of the pool kernels (places of `kernels.netting`), transposed: (places, A).
Out    balance columns of a RequirementFrame; wrong-way charges.
Owns   which place is which column.
Never  nets, values, or names a method.
Signs  equity signed; losses and charges >= 0, numeraire; NaN where UNPRICED.
Spec   docs/spec/03-collateral.md, docs/spec/05-requirement.md 5.4
"""

from __future__ import annotations

import numpy as np

from crossmargin.base.arrays import F64
from crossmargin.kernels.netting import (
    T_COUNTED,
    T_EQUITY,
    T_GAINS_IM,
    T_GAINS_MM,
    T_HAIRCUT_IM,
    T_HAIRCUT_MM,
    T_LONG_OPTIONS,
    T_OWES,
    T_SURCHARGE_IM,
    T_SURCHARGE_MM,
    T_UNCERTAINTY,
    Holdings,
)
from crossmargin.kernels.portfolio import full_tail
from crossmargin.margin.prepared import Market
from crossmargin.margin.requirement import RequirementFrame


def fill_balances(
    frame: RequirementFrame, here: slice, row: F64, *, options_count: bool = False
) -> None:
    """Write the balance columns; long options count only in `portfolio` (spec 3.3)."""
    frame.equity[here] = row[T_EQUITY]
    frame.bankrupt_short[here] = row[T_EQUITY]
    frame.collateral_value[here] = row[T_COUNTED]
    frame.haircut_mm[here], frame.haircut_im[here] = row[T_HAIRCUT_MM], row[T_HAIRCUT_IM]
    frame.surcharge_mm[here], frame.surcharge_im[here] = row[T_SURCHARGE_MM], row[T_SURCHARGE_IM]
    frame.long_options[here] = 0.0 * row[T_EQUITY] if options_count else row[T_LONG_OPTIONS]
    frame.gains_mm[here], frame.gains_im[here] = row[T_GAINS_MM], row[T_GAINS_IM]
    frame.uncertainty[here] = row[T_UNCERTAINTY]
    taken = ("haircut", "surcharge", "gains")
    for level in ("mm", "im"):
        balance = getattr(frame, f"margin_balance_{level}")[here]
        np.subtract(frame.equity[here], frame.long_options[here], out=balance)
        for name in taken:
            balance -= getattr(frame, f"{name}_{level}")[here]
    frame.margin_balance_im[here] -= frame.uncertainty[here]
    frame.free[here] = row[T_OWES] == 0.0  # a NaN is not free


def wrong_way(market: Market, holdings: Holdings, lo: int, hi: int, cover: F64) -> F64:
    """Return joint tail of everything at full quantities, less what covers it already (C26)."""
    if market.joint is None:
        return np.full(hi - lo, np.nan)
    out = np.empty(hi - lo)
    full_tail(lo, hi, holdings, market.items, market.rows, market.rulebook.margin.alpha, out)
    return np.maximum(0.0, out - cover)
