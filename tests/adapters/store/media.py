"""Disks that are full or read-only, for programs that run in a process of their own.

A small tmpfs in a mount namespace where the system allows one; always also what needs no mount: a
limit on the size of files, and permissions that bind because the process is not root.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[2]


@cache
def can_mount() -> bool:
    """Return whether this system lets us mount in a namespace of our own."""
    if not shutil.which("unshare") or not shutil.which("mount"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        tried = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", folder]
        return subprocess.run(tried, capture_output=True, check=False).returncode == 0


# The start of every program: where it works, and how its disk is made full, roomy or read-only.
OPENING = """
import contextlib, json, os, resource, subprocess, sys
sys.path.insert(0, sys.argv[1])
folder, medium = sys.argv[2:4]
from adapters.store.kit import everything, grow, numbered
from crossmargin.adapters.store import create_store, open_store
from crossmargin.base.errors import CrossmarginError
path = os.path.join(folder, "journal.db")
said = {}

def mount(*options):
    subprocess.run(["mount", *options], check=True)

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def refused(name, act):
    try:
        act()
    except CrossmarginError as error:
        said[name] = [type(error).__name__, str(error)]
    else:
        said[name] = ["nothing", ""]
"""
CLOSING = "\nprint(json.dumps(said))\n"


def run(program: str, folder: Path, medium: str) -> dict[str, Any]:
    """Run a program on a medium and return what it said."""
    command = [sys.executable, "-c", OPENING + program + CLOSING, str(TESTS), str(folder), medium]
    if medium == "tmpfs":
        command = ["unshare", "-rm", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder a user without rights can reach; pytest's own are private."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


SYNCS = {"x86_64": (74, 75), "aarch64": (82, 83)}  # fsync, fdatasync


def syncs_fail() -> None:
    """Let every fsync of this process fail from now on with EIO, as a dying disk does."""
    fsync, fdatasync = SYNCS[platform.machine()]
    fails = 0x0005_0000 | errno.EIO  # SECCOMP_RET_ERRNO
    program = [  # (code, jump if true, jump if false, value), see seccomp(2)
        (0x20, 0, 0, 0),  # load the number of the system call
        (0x15, 1, 0, fsync),
        (0x15, 0, 1, fdatasync),
        (0x06, 0, 0, fails),
        (0x06, 0, 0, 0x7FFF_0000),  # SECCOMP_RET_ALLOW
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    head = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(38, 1, 0, 0, 0) == 0, "no new privileges"
    assert prctl(22, 2, head, 0, 0) == 0, "a filter of system calls"
