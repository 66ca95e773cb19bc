"""A million pools in columns: no object per account, a verdict for every one.

python examples/million_pools.py [POOLS]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np

import crossmargin as cm
from crossmargin.simulation.books import columns, wide_market

AT_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00Z
WARM_POOLS = 1_000


def main(arguments: Sequence[str] = ()) -> cm.Report:
    """Make a wide market and a book in columns, assess it, show the worst pools."""
    n_pools = int(arguments[0]) if arguments else 1_000_000
    generator = np.random.default_rng(7)
    frame = wide_market(generator, n_assets=200, n_instruments=1_800, at_ns=AT_NS)
    market = cm.prepare(frame)
    # Your own columns go into cm.BookFrame the same way; see crossmargin.frames.book.plain_book.
    book = columns(generator, frame, n_pools, method="cross_correlated")
    cm.assess(columns(generator, frame, WARM_POOLS), market)  # loads the compiled kernels

    started = time.perf_counter()
    report = cm.assess(book, market)
    took = time.perf_counter() - started
    print(f"{n_pools:,} pools, {book.n_holdings:,} holdings: {took:.2f} s, "
          f"{1e9 * took / book.n_holdings:.0f} ns a holding")  # fmt: skip
    print(report.verdicts())

    worst = report.danger_order()[:5]
    for row in worst.tolist():
        name, frame_ = book.account_names[row], report.frame
        print(f"pool {name}: equity {frame_.equity[row]:,.0f}, buffer {frame_.buffer_mm[row]:,.0f}")
    return report


if __name__ == "__main__":
    main(sys.argv[1:])
