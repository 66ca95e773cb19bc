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
    for seed in range(SEEDS_MAX):
        with monkeypatch.context() as patch:
            bug.plant(patch)
            failure = run(seed, options).failure
        if failure:
            print(f"{bug.name}: seed {seed}, {failure.splitlines()[0]}")
            # A find is what the bug alone makes fail: without it the same life is sound.
            assert run(seed, options).failure == ""
            return
    pytest.fail(f"{bug.name} lived through {SEEDS_MAX} seeds")
