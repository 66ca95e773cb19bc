"""Run the benches, print each ratio beside its target, exit 1 where one is missed.

python -m benchmarks              all of them
python -m benchmarks b c          these (or --only b,c)
python -m benchmarks --quick      a tenth of the size; printed, not judged, not written
python -m benchmarks --json       one JSON object instead of the table
"""

from __future__ import annotations

import os

# Before NumPy is imported: its matrix products get the same threads as everything else.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "2")

import argparse  # noqa: E402
import importlib  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

from benchmarks.harness import Figure, Result, commit, machine  # noqa: E402

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def main(words: list[str] | None = None) -> int:
    """Return 0 where every target is met."""
    options = _options(sys.argv[1:] if words is None else words)
    found = {path.stem.removeprefix("bench_"): path.stem for path in HERE.glob("bench_*.py")}
    letters = [*options.letters, *filter(None, options.only.split(","))] or sorted(found)
    unknown = [letter for letter in letters if letter not in found]
    if unknown:
        print(f"bench: no bench {', '.join(unknown)}; there are {', '.join(sorted(found))}")
        return 2

    about = {"commit": commit(), "machine": machine(), "quick": options.quick}
    if not options.json:
        print(f"{about['machine']['cpu']}, {about['machine']['cores']} cores, {about['commit']}")
    started, results = time.monotonic(), {}
    for letter in letters:
        bench = importlib.import_module(f"benchmarks.{found[letter]}")
        if not options.json:
            print(f"({letter}) {bench.TITLE}", flush=True)
        results[letter] = bench.run(options.quick)
        if not options.json:
            for figure in results[letter].figures:
                print(_line(letter, figure), flush=True)
        if not options.quick:
            _write(letter, bench.TITLE, results[letter], about)
    if options.json:
        print(json.dumps(about | {"benches": {k: r.as_json() for k, r in results.items()}}))
    else:
        print(_verdict(list(results.values()), time.monotonic() - started, options.quick))
    return 0 if options.quick or all(result.met for result in results.values()) else 1


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("letters", nargs="*", help="which benches, such as b c")
    parser.add_argument("--only", default="", help="the same, with commas")
    parser.add_argument("--quick", action="store_true", help="small sizes; nothing is judged")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser.parse_args(words)


def _line(letter: str, figure: Figure) -> str:
    name = f"({letter}) {figure.name}"
    if figure.least is None and figure.most is None:
        verdict = ""
    else:
        verdict = "met" if figure.met else "MISSED"
    value = f"{figure.value:,.3g}" if figure.value < 1000 else f"{figure.value:,.0f}"
    target = f"target {figure.target}" if figure.target else ""
    measured = f"  {name:<34} {value:>8} {figure.unit:<24}"
    return f"{measured} {target:<14} {verdict:<7} {figure.note}".rstrip()


def _verdict(results: list[Result], seconds: float, quick: bool) -> str:
    judged = [f for r in results for f in r.figures if f.least is not None or f.most is not None]
    met = sum(figure.met for figure in judged)
    state = ", small sizes, not judged" if quick else ""
    return f"bench: {met} of {len(judged)} targets met in {seconds / 60:.1f} minutes{state}"


def _write(letter: str, title: str, result: Result, about: dict[str, object]) -> None:
    RESULTS.mkdir(exist_ok=True)
    report = {"bench": letter, "title": title} | about | result.as_json()
    text = json.dumps(report, indent=2, sort_keys=True) + "\n"
    (RESULTS / f"bench_{letter}.json").write_text(text)


if __name__ == "__main__":
    raise SystemExit(main())
