"""Backup and restore: a journal as one file, from either store into either store.

In     an open store; a backup file and the address of an empty store.
Out    a backup file, whole or not there; a store that holds the same records.
Owns   the format of the file (docs/stores.md); what is verified on the way, in both directions.
Never  copies snapshots: the records rebuild them; leaves a half restored store that can be opened.
Signs  seq counts from 1; `upto` is the last seq that is restored.
Spec   docs/stores.md
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from crossmargin.adapters.store.opening import create_store
from crossmargin.adapters.store.sqlite import sync_folder
from crossmargin.base.errors import FileUnreadable, InputInvalid, JournalBroken, StoreFailed
from crossmargin.engine.ports import Record, Store
from crossmargin.ledger.journal import GENESIS, chained

Progress = Callable[[int, int], None]
"""Called with (records done, records in all), again and again."""

FORMAT = 1
# A head is a short line; more was not written by us.
HEAD_BYTES_MAX = 4_096
_BLOCK = struct.Struct(">II")  # bytes packed, bytes unpacked; 0, 0 after the last block
_RECORD = struct.Struct(">Q32sI")  # seq, hash, bytes of the body that follows
_DIGEST_BYTES = 32


class BackupHead(msgspec.Struct, frozen=True):
    """The first line of a backup: its format and the record it ends with."""

    crossmargin_backup: int
    last_seq: int
    last_hash: str


def backup(store: Store, target: str | Path, progress: Progress = lambda done, of: None) -> Path:
    """Write the journal up to its present end into one file; return the file's path.

    target  a file that does not exist, or a folder: the file is then named for its last record

    A writer may go on meanwhile. The file appears under its name only when it is whole and synced.
    """
    seq, last = store.last()
    target = Path(target)
    if target.is_dir():
        path = target / f"journal-{seq:012d}-{last.hex()[:8]}.backup"
    elif target.exists():
        raise InputInvalid(str(target), "a file", "be a new file or a folder", "name another")
    else:
        path = target
    head = BackupHead(FORMAT, seq, last.hex())
    with _written(path) as file:
        file.write(msgspec.json.encode(head) + b"\n")
        done = 0
        for batch in verified(store.read(0, seq), store.where):
            packed = _packed(batch)
            file.write(packed)
            done += len(batch)
            progress(done, seq)
        if done != seq:
            raise JournalBroken(store.where, done + 1, "is missing")
        file.write(_BLOCK.pack(0, 0))
    return path


def restore(
    file: str | Path,
    where: str | Path,
    upto: int | None = None,
    progress: Progress = lambda done, of: None,
) -> tuple[int, bytes]:
    """Fill an empty store from a backup, as far as record `upto`; return its (seq, hash).

    The file is checked whole before anything is written, and every record's place in the chain
    before it is. Until the last one is in, the store cannot be opened.
    """
    path = Path(file)
    head = verify(path)
    end = head.last_seq if upto is None else upto
    if not 0 <= end <= head.last_seq:
        raise InputInvalid("upto", upto, f"lie between 0 and {head.last_seq}, the backup's last")
    with closing(create_store(where)) as store:
        store.mark_restoring(True)
        done = 0
        for batch in verified(batches(path), str(path)):
            records = [record for record in batch if record.seq <= end]
            store.append(records)
            done += len(records)
            progress(done, end)
            if done == end:
                break
        seq, last = store.last()
        if seq != end:
            raise JournalBroken(str(path), seq + 1, "is missing")
        if end == head.last_seq and last.hex() != head.last_hash:
            raise JournalBroken(str(path), end, "is another than the head of the backup names")
        store.mark_restoring(False)
    return seq, last


def verify(file: str | Path) -> BackupHead:
    """Check every byte of a backup against the digest it ends with; return its head."""
    path = Path(file)
    digest = hashlib.sha256()
    with _readable(path) as opened:
        head = _head(opened, path)
        left = path.stat().st_size - _DIGEST_BYTES
        opened.seek(0)
        while left > 0:
            some = opened.read(min(left, 1 << 20))
            if not some:
                break
            digest.update(some)
            left -= len(some)
        if left < 0 or opened.read() != digest.digest():
            raise FileUnreadable(
                str(path), "bytes that do not agree with the digest at its end",
                "be as it was written", "it was cut short or altered: take another backup",
            )  # fmt: skip
    return head


def verified(batches: Iterable[list[Record]], where: str) -> Iterator[list[Record]]:
    """Yield the batches of a journal from its start; JournalBroken names the first bad record."""
    seq, chain = 0, GENESIS
    for batch in batches:
        for record in batch:
            seq += 1
            if record.seq != seq:
                raise JournalBroken(
                    where, seq, f"is missing; record {record.seq} stands in its place"
                )
            chain = chained(chain, seq, record.body)
            if chain != record.hash:
                raise JournalBroken(where, seq, "does not follow from the records before it")
        yield batch


# --- the file -------------------------------------------------------------------------------------


class _Digesting:
    """Writes to a file and hashes what it writes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.sha = file, hashlib.sha256()

    def write(self, some: bytes) -> None:
        """Write all of it."""
        self.sha.update(some)
        self._file.write(some)


@contextmanager
def _written(path: Path) -> Iterator[_Digesting]:
    """A new file that gets its name, and its digest, only if the body ends well."""
    part = ""
    try:
        handle, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with open(handle, "wb") as file:
            digesting = _Digesting(file)
            yield digesting
            file.write(digesting.sha.digest())
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(path.parent)
    except OSError as refused:
        raise StoreFailed(
            str(path), f"cannot be written ({refused.strerror})",
            "name a folder that is there, may be written and has room",
        ) from None  # fmt: skip
    finally:
        with suppress(OSError):
            os.unlink(part)


@contextmanager
def _readable(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as refused:
        raise FileUnreadable(
            str(path), refused.strerror or "an error", "be a backup that can be read"
        ) from None


def _head(file: IO[bytes], path: Path) -> BackupHead:
    line = file.readline(HEAD_BYTES_MAX)
    try:
        head = msgspec.json.decode(line, type=BackupHead)
    except msgspec.MsgspecError:
        raise FileUnreadable(
            str(path), line[:40], "open with the head of a backup", "name a file `backup` wrote"
        ) from None
    if head.crossmargin_backup != FORMAT:
        raise FileUnreadable(
            str(path), f"format {head.crossmargin_backup}", f"be format {FORMAT}",
            "install a newer crossmargin",
        )  # fmt: skip
    return head


def _packed(batch: list[Record]) -> bytes:
    raw = b"".join(
        part
        for record in batch
        for part in (_RECORD.pack(record.seq, record.hash, len(record.body)), record.body)
    )
    packed: bytes = _codec().compress(raw, asbytes=True)
    return _BLOCK.pack(len(packed), len(raw)) + packed


def batches(path: Path) -> Iterator[list[Record]]:
    """Yield the records of a verified file, a block at a time."""
    codec = _codec()
    with _readable(path) as file:
        _head(file, path)
        try:
            while True:
                n_packed, n_raw = _BLOCK.unpack(file.read(_BLOCK.size))
                if not n_raw:
                    return
                raw = codec.decompress(file.read(n_packed), n_raw, asbytes=True)
                yield list(_records(raw))
        except (struct.error, ValueError, OSError):
            # The digest agrees, so that nobody but the author of the file put this there.
            raise FileUnreadable(
                str(path), "blocks that cannot be read", "be as `backup` writes it",
                "take another backup",
            ) from None  # fmt: skip


def _records(raw: bytes) -> Iterator[Record]:
    at = 0
    while at < len(raw):
        seq, stored, n_body = _RECORD.unpack_from(raw, at)
        at += _RECORD.size
        yield Record(seq, stored, raw[at : at + n_body])
        at += n_body


def _codec() -> Any:
    import pyarrow as pa

    return pa.Codec("zstd", compression_level=1)
