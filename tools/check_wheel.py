"""Build the wheel, install it into an empty environment, and run the demo there.

python tools/check_wheel.py [python3.11 python3.13 ...]   default: every one of the two found
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INTERPRETERS = ("python3.11", "python3.13")


def call(*words: str | Path, cwd: Path) -> str:
    """Run a command and return its output; one that fails ends the check with that output."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=environment, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def works(name: str) -> bool:
    """Whether the interpreter can be started (a name on PATH may be an empty shim)."""
    found = shutil.which(name)
    return found is not None and subprocess.run([found, "-V"], capture_output=True).returncode == 0


def check(name: str, wheel: Path, folder: Path) -> str:
    """Install the wheel for one interpreter; return one line about the demo."""
    place = folder / name
    call(name, "-m", "venv", place, cwd=folder)
    python = place / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-qq", "--only-binary", ":all:"]
    call(*pip, "--require-hashes", "-r", ROOT / "requirements.txt", cwd=folder)
    call(*pip, "--no-deps", wheel, cwd=folder)
    call(python, "-m", "pip", "check", cwd=folder)
    started = time.monotonic()
    # In an empty folder, so that nothing is taken from the checkout.
    empty = folder / f"{name}-empty"
    empty.mkdir()
    output = call(place / "bin" / "crossmargin", "demo", cwd=empty)
    took = time.monotonic() - started
    return f"{name}: demo ran in {took:.1f} s, {len(output.splitlines())} lines, {wheel.name}"


def main(arguments: list[str]) -> int:
    """Check every interpreter asked for."""
    names = arguments or [name for name in INTERPRETERS if works(name)]
    if not names:
        sys.exit(f"none of {', '.join(INTERPRETERS)} can be started")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
        (wheel,) = folder.glob("crossmargin-*.whl")
        for name in names:
            print(check(name, wheel, folder), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
