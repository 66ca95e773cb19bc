"""Run what docs/evidence.toml lists and write docs/evidence.md: one row for every promised line.

A row says what was promised, the command that shows it, the target, the figure the command printed,
and the commit it was printed at. A row that was not run this time keeps its earlier figure and
commit, which live in docs/evidence.json. A command that does not exist yet leaves its row open.

    python tools/evidence.py                      every row that needs nothing special
    python tools/evidence.py --only 2,3a          these rows; a prefix takes all below it
    python tools/evidence.py --with bench,shared  also rows that need a long run or real data
    python tools/evidence.py --write              no run: write the page again from what is known
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEEDS = ("shared", "bench", "soak", "wheel")
KEYS = {"id", "line", "command", "target", "figure", "least", "most", "needs", "minutes"}


@dataclass(frozen=True)
class Row:
    """One line of the promise.

    figure        a pattern for the output; its first group is the figure; the last match counts
    least, most   bounds the figure's number must keep; without them the exit code alone decides
    needs         what a run needs beyond a checkout: one of NEEDS, or ""
    """

    id: str
    line: str
    command: str
    target: str
    figure: str = ""
    least: float | None = None
    most: float | None = None
    needs: str = ""
    minutes: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """What a run of a row gave: `verdict` is pass, short or open."""

    verdict: str = "open"
    figure: str = ""
    commit: str = ""
    seconds: float = 0.0


def read_rows(text: str) -> list[Row]:
    """Return the rows of the list; a key or a need nobody knows is an error."""
    rows = []
    for entry in tomllib.loads(text).get("row", []):
        unknown = set(entry) - KEYS
        if unknown:
            raise SystemExit(f"evidence row {entry.get('id')}: unknown keys {sorted(unknown)}")
        row = Row(**entry)
        if row.needs and row.needs not in NEEDS:
            raise SystemExit(f"evidence row {row.id}: needs {row.needs!r}, must be one of {NEEDS}")
        re.compile(row.figure)
        rows.append(row)
    ids = [row.id for row in rows]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise SystemExit(f"evidence rows given twice: {', '.join(twice)}")
    return rows


def judge(row: Row, code: int, output: str, commit: str, seconds: float) -> Outcome:
    """Return the outcome of one run: the figure it printed, held against the target."""
    if is_absent(row.command, code, output):
        return Outcome()
    found = re.findall(row.figure, output) if row.figure else []
    figure = ""
    if found:
        last = found[-1]
        figure = (next(filter(None, last), "") if isinstance(last, tuple) else last).strip()
    kept = code == 0 and (not row.figure or bool(found))
    if row.least is not None or row.most is not None:
        number = first_number(figure)
        # Both say what must hold, so that a missing number is short, not a pass.
        kept = kept and number is not None
        kept = kept and (row.least is None or (number is not None and number >= row.least))
        kept = kept and (row.most is None or (number is not None and number <= row.most))
    shown = figure or ("exit code 0" if code == 0 else f"exit code {code}")
    return Outcome("pass" if kept else "short", shown, commit, round(seconds, 1))


def is_absent(command: str, code: int, output: str) -> bool:
    """Whether the command could not be run at all: what it would show is not built yet."""
    if code in (126, 127):
        return True
    if "pytest" in command and code in (4, 5):  # no such file; nothing selected
        return True
    signs = ("No rule to make target", "No module named benchmarks", "can't open file")
    return code != 0 and any(sign in output for sign in signs)


def first_number(text: str) -> float | None:
    """Return the first number in a figure such as "9.4 x" or "1,239 of 7,741"."""
    match = re.search(r"[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?", text)
    return float(match.group().replace(",", "")) if match else None


def run(row: Row) -> tuple[int, str, float]:
    """Run the row's command in the project's root; return its exit code, output and seconds."""
    started = time.monotonic()
    environment = {**os.environ, "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}", "COLUMNS": "160"}
    try:
        done = subprocess.run(
            row.command, shell=True, cwd=ROOT, env=environment, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            timeout=60 * max(2.0, 3 * row.minutes), check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, time.monotonic() - started
    except subprocess.TimeoutExpired as late:
        output = late.stdout or b""
        text = output.decode(errors="replace") if isinstance(output, bytes) else output
        return 124, f"{text}\nstopped at its time limit", time.monotonic() - started


def chosen(rows: list[Row], only: list[str], extra: set[str]) -> list[Row]:
    """Return the rows to run: those named, or all that need nothing beyond `extra`."""
    if not only:
        return [row for row in rows if not row.needs or row.needs in extra]
    picked = [row for row in rows if any(row.id.startswith(name) for name in only)]
    if not picked:
        raise SystemExit(f"no evidence row starts with {' or '.join(only)}")
    return picked


def page(rows: list[Row], known: dict[str, Outcome]) -> str:
    """Return docs/evidence.md."""
    outcomes = [known.get(row.id, Outcome()) for row in rows]
    counts = {word: sum(o.verdict == word for o in outcomes) for word in ("pass", "short", "open")}
    lines = [
        "# Evidence",
        "",
        "Written by `make evidence` from `docs/evidence.toml`; do not edit. One row for every line",
        "that was promised. *pass*: the target is met; *short*: it was run and missed; *open*: it",
        "was not shown yet. The commit is the one the figure was measured at.",
        "",
        f"{counts['pass']} pass, {counts['short']} short, {counts['open']} open.",
        "",
        "| row | line | command | target | figure | | commit |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row, got in zip(rows, outcomes, strict=True):
        cells = [row.id, row.line, f"`{row.command}`", row.target, got.figure or "-"]
        cells += [f"**{got.verdict}**" if got.verdict != "pass" else "pass", got.commit or "-"]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def head_commit() -> str:
    """Return the commit being measured, marked where the tree differs from it."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    # What this tool writes itself does not make the tree differ.
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/evidence.*")
    return (git("rev-parse", "--short", "HEAD") or "none") + ("+" if changed else "")


def load_known(path: Path) -> dict[str, Outcome]:
    """Return the outcomes of earlier runs."""
    if not path.exists():
        return {}
    return {name: Outcome(**entry) for name, entry in json.loads(path.read_text()).items()}


def save(docs: Path, rows: list[Row], known: dict[str, Outcome]) -> None:
    """Write the state and the page, in the order of the list; rows no longer listed go."""
    kept = {row.id: asdict(known[row.id]) for row in rows if row.id in known}
    (docs / "evidence.json").write_text(json.dumps(kept, indent=1) + "\n")
    (docs / "evidence.md").write_text(page(rows, known))


def main(arguments: list[str]) -> int:
    """Run the chosen rows; return 1 if one of them fell short."""
    parser = argparse.ArgumentParser(description="Run and write the evidence table.")
    parser.add_argument("--only", default="", help="row ids or prefixes, with commas")
    parser.add_argument("--with", dest="extra", default="", help=f"also rows that need: {NEEDS}")
    parser.add_argument("--write", action="store_true", help="run nothing, write the page again")
    parser.add_argument("--verbose", action="store_true", help="show the commands' output")
    options = parser.parse_args(arguments)

    docs = ROOT / "docs"
    rows = read_rows((docs / "evidence.toml").read_text())
    known = load_known(docs / "evidence.json")
    extra = {word for word in options.extra.split(",") if word}
    picked = [] if options.write else chosen(rows, [w for w in options.only.split(",") if w], extra)
    # One command may show several rows: it runs once.
    seen: dict[str, tuple[int, str, float]] = {}
    short = 0
    for number, row in enumerate(picked, 1):
        print(f"[{number}/{len(picked)}] {row.id}: {row.command}", flush=True)
        if row.command not in seen:
            seen[row.command] = run(row)
        code, output, seconds = seen[row.command]
        known[row.id] = judge(row, code, output, head_commit(), seconds)
        short += known[row.id].verdict == "short"
        print(f"    {known[row.id].verdict}: {known[row.id].figure or '-'} ({seconds:.1f} s)")
        if options.verbose or known[row.id].verdict == "short":
            print("\n".join(f"    > {line}" for line in output.splitlines()[-15:]))
        save(docs, rows, known)  # after each row: a run that is stopped keeps what it has
    save(docs, rows, known)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
