"""`cross_sum` and `cross_correlated`: delta netting per underlying, then a sum or a root.

In     BookFrame, Market.
Out    the two method values.
Owns   nothing but their names: the rules stand in `kernels.cross` and `netted`.
Never  differs from `isolated` in how balances are counted.
Signs  parts >= 0, numeraire.
Spec   docs/spec/05-requirement.md, 5.2
"""

from __future__ import annotations

from functools import partial

from crossmargin.methods.method import Method, holds_all, reach_of_the_debt_free
from crossmargin.methods.netted import assess_netted, correlated_core, sum_core

CROSS_SUM = Method("cross_sum", partial(assess_netted, sum_core), reach_of_the_debt_free, holds_all)
CROSS_CORRELATED = Method(
    "cross_correlated", partial(assess_netted, correlated_core), reach_of_the_debt_free, holds_all
)
