"""Every planted bug is found, by its seed, within three hundred lives."""

from __future__ import annotations

import pytest

from crossmargin.adapters.files import load_rulebook
from crossmargin.simulation.simulator import Options, run
from simulation import planted, planted_by_others

SEEDS_MAX, STEPS = 300, 500
ALL = (*planted.PLANTED, *planted_by_others.PLANTED)


@pytest.mark.slow
@pytest.mark.parametrize("bug", ALL, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: planted.Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(STEPS, load_rulebook("prime-24h"))
    bug.plant(monkeypatch)
    for seed in range(SEEDS_MAX):
        outcome = run(seed, options)
        if outcome.failure:
            print(f"{bug.name}: seed {seed}, {outcome.failure.splitlines()[0]}")
            return
    pytest.fail(f"{bug.name} lived through {SEEDS_MAX} seeds")
