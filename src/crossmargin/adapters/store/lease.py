"""The writer's lease of a file: one process holds it, and its death gives it up.

In     the path of the file to be written.
Out    a held lease, or StoreBusy that names the holder.
Owns   the lock file beside the file; what a fork does to a lease.
Never  removes the lock file: a second one under the same name would be a second lease.
Signs  none.
Spec   docs/stores.md
"""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path
from typing import Protocol

from crossmargin.base.errors import StoreBusy, StoreFailed


class FileLease:
    """An flock on PATH.lock, held until `release` or the end of the process, however it ends."""

    def __init__(self, path: Path) -> None:
        """Take the lease of `path` or raise StoreBusy."""
        lock = path.with_name(path.name + ".lock")
        try:
            self._handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as refused:
            raise StoreFailed(
                str(lock), f"cannot be opened for writing ({refused.strerror})",
                "make the folder writable, or open the journal for reading",
            ) from None  # fmt: skip
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, str(os.getpid()).encode(), 0)
        except BlockingIOError:
            holder = os.pread(self._handle, 20, 0).decode(errors="replace") or "another process"
            self.release()
            raise StoreBusy(
                str(path), f"process {holder} is writing it (lease {lock.name})",
                "stop that process, or open the journal for reading",
            ) from None  # fmt: skip
        except OSError as refused:
            self.release()
            raise StoreFailed(
                str(lock), f"cannot be locked ({refused.strerror})", "use a local disk"
            ) from None
        release_after_fork(self)

    def release(self) -> None:
        """Give the lease up; a second time does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class Handle(Protocol):
    """What a fork shares and must let go."""

    def release(self) -> None:
        """Close this process's copy."""
        ...


_held: weakref.WeakSet[Handle] = weakref.WeakSet()


def release_after_fork(handle: Handle) -> None:
    """See to it that a child does not hold the lease beyond its parent's death."""
    _held.add(handle)


def _release_all() -> None:
    for handle in list(_held):
        handle.release()


os.register_at_fork(after_in_child=_release_all)
