"""An engine that keeps snapshots as it goes, and is warm before its first command.

In     an open store.
Out    an engine; snapshots in the store.
Owns   when a snapshot is due, and that one which fails does not end the journal.
Never  holds an answer back: a group waits for a snapshot before it is decided, not after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crossmargin.apps.cli.ledger_stores import WORTH_A_SNAPSHOT
from crossmargin.base.errors import StoreFailed
from crossmargin.domain.book import SYSTEM, Status
from crossmargin.engine.commands import AnyCommand, Withdraw
from crossmargin.engine.replies import Reply
from crossmargin.engine.runtime import Engine
from crossmargin.methods.registry import METHODS


class KeepingEngine(Engine):
    """An engine whose state is kept beside the journal every so many records."""

    every = 1_000_000
    kept = 0
    """The record the newest snapshot, or the newest try of one, stands after."""

    def keep(self, every: int, complain: Callable[[str], None]) -> None:
        """Begin to keep snapshots; `complain` is told of one that failed."""
        heads = self.store.snapshots()
        self.every, self.kept = every, heads[-1].seq if heads else 0
        self._complain = complain

    def submit(self, commands: Sequence[AnyCommand]) -> list[Reply]:
        """Take the snapshot that is due; then as `Engine.submit`."""
        if self.seq - self.kept >= self.every:
            self.keep_state()
        return super().submit(commands)

    def keep_last(self) -> int | None:
        """Keep a last snapshot where opening without it would take a moment; return its record."""
        due = self.seq - self.kept >= min(self.every, WORTH_A_SNAPSHOT)
        return self.seq if due and not self.halted and self.keep_state() else None

    def keep_state(self) -> bool:
        """Keep a snapshot; the journal is whole without it, so a failure is only told."""
        self.kept = self.seq
        try:
            self.snapshot()
        except StoreFailed as failed:
            self._complain(f"no snapshot after record {self.seq}: {failed}")
            return False
        return True


def warm(engine: Engine) -> None:
    """Load what the first decision needs: the market, and the kernels of the methods in use.

    A smallest withdrawal of one pool of each method is decided and thrown away.
    """
    wanted = set(METHODS)
    asked: list[AnyCommand] = []
    for account, held in engine.book.accounts.items():
        if not wanted:
            break
        if account[0] == SYSTEM or held.status != Status.OPEN:
            continue
        for pool, state in held.pools.items():
            asset = next((name for name, amount in state.balances.items() if amount > 0), None)
            if asset is not None and state.method in wanted:
                wanted.remove(state.method)
                asked.append(
                    Withdraw(
                        key="@warm", issued_ns=engine.now(), account=account, pool=pool,
                        asset=asset, amount=1,
                    )
                )  # fmt: skip
    engine.what_if(asked)
