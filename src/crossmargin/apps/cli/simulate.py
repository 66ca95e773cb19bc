"""`crossmargin simulate`: try to break the engine, from seeds, and say how to see it again.

In     how many seeds, from which, of how many commands.
Out    a summary; exit code 1 and one command that reproduces the first failure.
Owns   the processes the seeds are shared among, and what is told of them.
Never  forks a process whose threads hold locks; keeps a journal it made.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from crossmargin.apps.cli.options import AT_LEAST_0, AT_LEAST_1
from crossmargin.apps.cli.outcome import Exit, to_json
from crossmargin.apps.cli.progress import searching

if TYPE_CHECKING:
    from crossmargin.simulation.auditor import Tally
    from crossmargin.simulation.simulator import Outcome

# Seeds a process is handed at once: few enough for a bar that moves.
BLOCK = 4
RULEBOOK = "prime-24h"
AtLeast0 = Annotated[int, Parameter(validator=AT_LEAST_0)]
AtLeast1 = Annotated[int, Parameter(validator=AT_LEAST_1)]


def simulate(
    *,
    seeds: AtLeast1 = 100,
    steps: AtLeast1 = 500,
    first_seed: AtLeast0 = 0,
    jobs: AtLeast1 = 2,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run the engine against owners, senders and crashes that try to break it.

    Every reply is predicted by a second, slow book that was written from the specification alone,
    and both books are compared after every group of commands.

    Parameters
    ----------
    seeds
        How many lives of an engine.
    steps
        Commands in each.
    first_seed
        The first seed; the same seed is the same life on every machine.
    jobs
        Processes.
    json
        Print the summary as JSON.
    """
    from crossmargin.simulation.auditor import Tally

    total, n_lived, failed = Tally(), 0, None
    asked = range(first_seed, first_seed + seeds)
    with searching(f"simulating {seeds:,} seeds", json) as watch:
        for outcome in lived(asked, steps, jobs):
            n_lived += 1
            total.add(outcome.tally)
            watch(n_lived, seeds)
            if outcome.failure:
                failed = outcome
                break
    again = _again(failed.seed, steps) if failed is not None else ""
    if json:
        print(to_json(summary(total, n_lived, failed, again)))
    else:
        _show(total, n_lived, failed, again)
    return Exit.OK if failed is None else Exit.FOUND


def lived(seeds: range, steps: int, jobs: int) -> Iterator[Outcome]:
    """Yield how each seed ended, as they end; a failure ends the run of its block."""
    blocks = [seeds[at : at + BLOCK] for at in range(0, len(seeds), BLOCK)]
    if jobs == 1 or len(blocks) == 1:
        for block in blocks:
            yield from live(block, steps)
        return
    # Not fork: the table engine's and the compiled code's threads would not come along.
    with ProcessPoolExecutor(jobs, mp_context=get_context("forkserver"), initializer=calm) as pool:
        pending = [pool.submit(live, block, steps) for block in blocks]
        try:
            for done in as_completed(pending):
                yield from done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def calm() -> None:
    """One process is one worker: libraries that would start a thread a core start one."""
    for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def live(seeds: Iterable[int], steps: int) -> list[Outcome]:
    """Live some seeds, one after the other, up to the first failure."""
    from crossmargin.adapters.files import load_rulebook
    from crossmargin.adapters.store.opening import create_store, open_store
    from crossmargin.engine.ports import Store
    from crossmargin.simulation.simulator import Options, run

    found: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="crossmargin-simulate-") as folder:

        def store(seed: int) -> Store:
            path = Path(folder) / f"{seed}.db"
            return open_store(path, writer=True) if path.exists() else create_store(path)

        options = Options(steps, load_rulebook(RULEBOOK), store)
        for seed in seeds:
            found.append(run(seed, options))
            if found[-1].failure:
                break
    return found


def _again(seed: int, steps: int) -> str:
    words = ["crossmargin", "simulate", "--seeds", "1", "--first-seed", str(seed)]
    return shlex.join([*words, "--steps", str(steps)])


def summary(total: Tally, n_seeds: int, failed: Outcome | None, again: str) -> dict[str, object]:
    """Return what is told, as a table of names."""
    return {
        "seeds": n_seeds,
        "commands": total.commands,
        "accepted": _sorted(total.accepted),
        "rejected": _sorted(total.rejected),
        "repeated": total.repeated,
        "boundary": total.boundary,
        "compared": total.compared,
        "faults": _sorted(total.faults),
        "replays": total.replays,
        "failure": None if failed is None else failed.failure,
        "reproduce": again or None,
    }


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _show(total: Tally, n_seeds: int, failed: Outcome | None, again: str) -> None:
    from crossmargin.apps.cli import show

    accepted = sum(n for kind, n in total.accepted.items() if "(" not in kind)
    show.put(
        f"{n_seeds:,} seeds, {total.commands:,} commands: {accepted:,} accepted, "
        f"{sum(total.rejected.values()):,} rejected, {total.repeated:,} sent again",
        f"{total.boundary:,} answers at a boundary that floats leave open, "
        f"{total.compared:,} comparisons of both books, {total.replays:,} replays",
        "", "[bold]accepted[/]", *_lines(total.accepted),
        "", "[bold]rejected[/]", *_lines(total.rejected),
        "", "[bold]faults[/]", *_lines(total.faults),
    )  # fmt: skip
    if failed is None:
        show.put("", "engine and witness agree")
        return
    show.put("", f"[bold]seed {failed.seed} differs[/]")
    print(failed.failure)
    show.put("", f"see it again: [bold]{again}[/]")


def _lines(counts: Counter[str]) -> list[str]:
    """Counts in two columns of text."""
    cells = [f"{n:>9,} {name:<28}" for name, n in _sorted(counts).items()]
    return ["".join(cells[at : at + 2]) for at in range(0, len(cells), 2)]
