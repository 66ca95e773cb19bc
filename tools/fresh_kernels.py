"""Throw the compiled kernels away when any kernel source changed.

numba keys a cached function on the file that function stands in, and on nothing it calls. Edit a
callee in another file and the cached caller goes on answering with the old code. One digest over
all sources that kernels are made of decides: equal, the cache stays; different, all of it goes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "crossmargin"


def digest(package: Path) -> str:
    """Return one hash over the kernel sources; numba tells interpreters and CPUs apart itself."""
    found = hashlib.sha256()
    for path in sorted([*package.glob("kernels/**/*.py"), *package.glob("base/**/*.py")]):
        found.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def clear_if_changed(package: Path = PACKAGE) -> int:
    """Remove every cached kernel if the sources changed since; return how many files went."""
    # The digest lies beside the caches, so whoever deletes them deletes it too.
    stamp = package / "kernels" / "__pycache__" / "sources.sha256"
    now = digest(package)
    if stamp.exists() and stamp.read_text() == now:
        return 0
    stale = [*package.glob("**/__pycache__/*.nbi"), *package.glob("**/__pycache__/*.nbc")]
    for path in stale:
        path.unlink(missing_ok=True)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(now)
    return len(stale)


if __name__ == "__main__":
    removed = clear_if_changed()
    if removed:
        print(f"kernels: sources changed, {removed} cached files removed")
