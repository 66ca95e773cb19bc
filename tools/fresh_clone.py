"""Clone the last commit, forget the environment, and run one `make` target as a new user would.

python tools/fresh_clone.py demo|test [PATH]   PATH of folders to offer; default: the present one
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    """Run the target in the clone; return its exit code."""
    target = arguments[0] if arguments else "demo"
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        clone, home = folder / "crossmargin", folder / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        # What a package index needs (proxy, certificate) stays; everything else of the user goes.
        kept = {k: v for k, v in os.environ.items() if k.startswith("PIP_") or "proxy" in k.lower()}
        path = arguments[1] if len(arguments) > 1 else os.environ["PATH"]
        user = {**kept, "PATH": path, "HOME": str(home), "LANG": "C.UTF-8"}
        started = time.monotonic()
        done = subprocess.run(
            ["make", "--no-print-directory", target], cwd=clone, check=False, env=user
        )
        took = time.monotonic() - started
    print(f"make {target}: exit code {done.returncode} after {took:.0f} s on a fresh clone")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
