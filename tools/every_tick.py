"""Compare the verdicts that triggers keep with margining every pool, on many ticks of real days.

Every tick of the worst hour, and ticks drawn at random out of a whole day; the books of the bench
`k`, fewer pools. Prints how many ticks were compared and how many verdicts differed: none may.

    CROSSMARGIN_SHARED=... python tools/every_tick.py [pools]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench_k import CRASH, HOUR, NORMAL, Day

POOLS = 20_000


def main() -> int:
    """Return 1 where a verdict differed."""
    n_pools = int(sys.argv[1]) if len(sys.argv) > 1 else POOLS
    wrong = 0
    crash, normal = Day.of(CRASH), Day.of(NORMAL)
    for name, day, ticks, n_checks in (
        ("every tick of the worst hour", crash, crash.hour(quiet=False), HOUR),
        ("ticks spread over the day", normal, slice(0, 24 * HOUR), 2_000),
    ):
        found = day.stretch(ticks, n_pools).measured(n_checks)
        wrong += found.n_wrong
        print(
            f"{name}: {found.n_checked:,} ticks x {n_pools:,} pools, {found.n_wrong} differ; "
            f"{found.n_under:,} pools went under"
        )
    print(f"every tick: {wrong} verdicts missed or early")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
