"""Three hundred lives of five hundred commands: no reply, no unit and no replay differs.

It uses two processes of its own, so it stands alone in its module.
"""

from __future__ import annotations

from collections import Counter

import pytest

from crossmargin.apps.cli.simulate import lived
from crossmargin.engine.commands import Batch, Single, World
from crossmargin.engine.replies import Rejection
from crossmargin.simulation.auditor import Tally

SEEDS, STEPS, JOBS = 300, 500, 2
# Each command is accepted, and each reason met, at least so often: else nothing was tested of it.
OFTEN = 10
# Every answer the floats leave open is one nobody checked: a few in ten thousand.
OPEN_MAX = 1e-3


@pytest.mark.slow
def test_three_hundred_lives_without_a_difference() -> None:
    total, failures = Tally(), []
    for outcome in lived(range(SEEDS), STEPS, JOBS):
        total.add(outcome.tally)
        if outcome.failure:
            failures.append(f"seed {outcome.seed}: {outcome.failure}")
    assert not failures, failures[0]
    print(table(total))
    assert total.commands >= SEEDS * STEPS
    assert rare(total.accepted, [kind.__name__ for kind in (*kinds(), Batch)]) == []
    assert rare(total.rejected, [str(reason) for reason in Rejection]) == []
    assert total.boundary <= OPEN_MAX * total.commands
    for kind in ("before", "after", "full", "forgot", "restart", "snapshot", "tampered",
                 "tampered state"):  # fmt: skip
        assert total.faults[kind] >= SEEDS / 10, kind
    assert total.replays >= 2 * 2 * SEEDS
    # Questions what may leave; buckets opened and put at risk in one batch.
    assert total.free >= SEEDS / 2
    assert total.accepted["OpenPool (linked)"] >= SEEDS / 3


def kinds() -> tuple[type, ...]:
    return (*Single.__args__, *World.__args__)


def rare(counts: Counter[str], names: list[str]) -> list[tuple[str, int]]:
    return [(name, counts[name]) for name in names if counts[name] < OFTEN]


def table(total: Tally) -> str:
    lines = [f"{total.commands:,} commands, {total.boundary} at a boundary"]
    for word in ("accepted", "rejected", "faults"):
        lines += [f"{word:>10} {n:>8,} {name}" for name, n in getattr(total, word).most_common()]
    return "\n".join(lines)
