"""Commands that copy a ledger or make it anew: backup, restore, rebuild, export.

In     a store, a file, a folder.
Out    a backup, a store, a snapshot, Parquet tables; an exit code.
Owns   what is said about them.
Never  changes a record.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from crossmargin.apps.cli.ledger import answer
from crossmargin.apps.cli.ledger_stores import AsJson, Seq, Text, moment, reading, shown, stamp_text
from crossmargin.apps.cli.outcome import Exit
from crossmargin.apps.cli.progress import searching

if TYPE_CHECKING:
    from crossmargin.engine.ports import Store


def backup(store: str, file: Path, *, as_json: AsJson = False) -> int:
    """Copy the journal up to its present end into one file, checked on the way.

    Parameters
    ----------
    store
        A ledger; a running engine may hold it and go on.
    file
        A file that is not there yet, or a folder: the file is then named for its last record.
    as_json
        Print the answer as JSON.
    """
    from crossmargin.adapters.store.copies import backup as copied
    from crossmargin.adapters.store.copies import verify

    with reading(store) as opened, searching("copying", as_json) as watch:
        path = copied(opened, file, watch)
        head = verify(path)
    told = {
        "store": shown(store), "file": str(path), "bytes": path.stat().st_size,
        "seq": head.last_seq, "hash": head.last_hash,
    }  # fmt: skip
    lines = [f"{head.last_seq:,} records in {told['bytes']:,} bytes, read back and checked"]
    return answer(told, f"copied {shown(store)} into {path}", lines, as_json)


def restore(
    file: Path, store: str, *, upto: Seq = None, at: Text = None, as_json: AsJson = False
) -> int:
    """Fill a new store from a backup, whole or as far as a record or moment, and verify it.

    Parameters
    ----------
    file
        What backup wrote.
    store
        A store that is not there yet, or holds no record.
    upto
        Stop after this record.
    at
        Stop after the newest record stamped at or before this moment.
    as_json
        Print the answer as JSON.
    """
    from crossmargin.adapters.store.copies import restore as filled
    from crossmargin.api import InputInvalid

    if upto is not None and at is not None:
        raise InputInvalid("--at", at, "stand alone", "leave --upto out")
    end = upto if at is None else _last_at(file, moment(at))
    with searching("restoring", as_json) as watch:
        seq, digest = filled(file, store, end, watch)
    with reading(store) as opened:
        found = _verified(opened, as_json)
    told = {"store": shown(store), "file": str(file), "seq": seq, "hash": digest.hex(), **found}
    lines = [f"{seq:,} records, replayed and {'sound' if found['sound'] else 'BROKEN'}"]
    answer(told, f"restored {file} into {shown(store)}", lines, as_json)
    return Exit.OK if found["sound"] else Exit.FOUND


def _last_at(file: Path, at_ns: int) -> int:
    """Return the newest record of a backup stamped at or before a moment."""
    from crossmargin.adapters.store import copies
    from crossmargin.ledger.journal import decode

    copies.verify(file)
    last = 0
    for batch in copies.batches(file):
        if decode(batch[-1].body, batch[-1].seq).at_ns <= at_ns:
            last = batch[-1].seq
            continue
        early = [one.seq for one in batch if decode(one.body, one.seq).at_ns <= at_ns]
        return max(early, default=last)
    return last


def _verified(store: Store, quiet: bool) -> dict[str, Any]:
    from crossmargin.engine.verify import verify

    with searching("verifying", quiet) as watch:
        found = verify(store, watch=watch)
    return {
        "sound": not found.wrong, "at": stamp_text(found.at_ns),
        "state_hash": found.state_hash.hex(),
        "wrong": [{"record": one.seq, "found": one.found} for one in found.wrong],
    }  # fmt: skip


def rebuild(store: str, *, upto: Seq = None, as_json: AsJson = False) -> int:
    """Make the state again from the first record, and keep it in place of every snapshot.

    Parameters
    ----------
    store
        A ledger that nobody is writing.
    upto
        Keep the state after this record [the newest]; later records are replayed on top of it.
    as_json
        Print the answer as JSON.
    """
    from crossmargin.adapters.store import open_store
    from crossmargin.apps.cli.ledger_stores import seq_of
    from crossmargin.engine.runtime import restored
    from crossmargin.ledger import journal

    opened = open_store(store, writer=True)
    try:
        end = seq_of(opened, upto, None, "--upto")
        with searching("replaying", as_json) as watch:
            book, chain = restored(opened, end, watch, whole=True)
        state_hash = journal.state_hash(book)
        dropped = len(opened.snapshots())
        # Nothing is dropped before the journal has been believed from its first record on.
        opened.drop_snapshots(0)
        opened.save_snapshot(end, chain, state_hash, journal.snapshot_parts(book))
    finally:
        opened.close()
    told = {
        "store": shown(store), "seq": end, "hash": chain.hex(), "at": stamp_text(book.head.at_ns),
        "accounts": len(book.accounts), "state_hash": state_hash.hex(),
        "snapshots_dropped": dropped,
    }  # fmt: skip
    lines = [f"state {told['state_hash']}", f"{dropped} snapshots dropped, one kept"]
    return answer(told, f"rebuilt {shown(store)}", lines, as_json)


def export(
    store: str,
    folder: Path,
    *,
    upto: Seq = None,
    text: Annotated[bool, Parameter(group="Output", negative="")] = False,
    as_json: AsJson = False,
) -> int:
    """Write the journal as Parquet tables for DuckDB, polars and whatever reads them.

    Parameters
    ----------
    store
        A ledger; a running engine may hold it.
    folder
        A folder that is not there yet, or is empty.
    upto
        Stop after this record [the newest].
    text
        Write amounts as decimal text instead of decimal128(38, 0), which holds 38 digits.
    as_json
        Print the answer as JSON.
    """
    from crossmargin.adapters.exports import export as written
    from crossmargin.apps.cli.ledger_stores import seq_of

    with reading(store) as opened, searching("exporting", as_json) as watch:
        end = seq_of(opened, upto, None, "--upto")
        found = written(opened, folder, end, watch, text)
    told = {
        "store": shown(store), "folder": str(folder), "seq": end, "hash": found.chain.hex(),
        "at": stamp_text(found.book.head.at_ns), "rows": found.rows,
    }  # fmt: skip
    lines = [f"{name}.parquet: {rows:,} rows" for name, rows in found.rows.items()]
    return answer(told, f"exported {shown(store)} into {folder}/", lines, as_json)
