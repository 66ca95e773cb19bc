"""Commands for one pool, tried one after the other on a fork before they are sent as one batch.

In     a book, a setting, the pool.
Out    the commands the engine's own drafts took, balances after them, why others were refused.
Owns   that what is sent was worked out by the code that will decide it; nothing half tried stays.
Never  changes the book; judges what only a final state can answer: the engine does, when asked.
Signs  as commands.
Spec   docs/spec/09-loop.md, (9.103)
"""

from __future__ import annotations

from crossmargin.domain.book import SYSTEM, Book, PoolState
from crossmargin.engine.commands import Holder, Single
from crossmargin.engine.decide import BATCH_MAX, DRAFTS
from crossmargin.engine.market import Setting
from crossmargin.engine.replies import Rejected, Rejection
from crossmargin.engine.workspace import Refused, Workspace


class Draft:
    """One pool's commands so far, and the book as it would be after them."""

    def __init__(self, book: Book, setting: Setting, owner: Holder) -> None:
        """Start with nothing but what is due on the pool, settled as any command would."""
        self.book, self.setting, self.owner = book, setting, owner
        self.commands: list[Single] = []
        self.whys: list[str] = []
        self.work = self._worked_out()

    def _worked_out(self) -> Workspace:
        work = Workspace(self.book, self.setting)
        account, pool = self.owner
        for name, _ in work.margined_with(account, pool):
            work.accrue(account, name)
        for command in self.commands:
            DRAFTS[type(command)](command, work)
        return work

    def add(self, command: Single) -> Rejected | None:
        """Try a command: it stays, or it is refused and leaves no trace but its reason."""
        found: Rejected | None
        if len(self.commands) == BATCH_MAX:
            found = Rejected(Rejection.TOO_MANY, BATCH_MAX + 1, BATCH_MAX, "commands")
        else:
            found = self._tried(command)
        if found is None:
            self.commands.append(command)
            return None
        self.work = self._worked_out()
        self.whys.append(f"{type(command).__name__}: {said(found)}")
        return found

    def _tried(self, command: Single) -> Rejected | None:
        try:
            DRAFTS[type(command)](command, self.work)
        except Refused as refused:
            return refused.reply
        return self.work.late

    def back_to(self, n: int) -> None:
        """Take back all commands after the first n."""
        del self.commands[n:]
        self.work = self._worked_out()

    def parts(self) -> list[tuple[str, PoolState]]:
        """Return the pool and what merges with it, as they stand after the commands."""
        return self.work.margined_with(*self.owner)

    def balance(self, part: str, asset: str) -> int:
        """Return a balance after the commands."""
        return self.work.book.balance(self.owner[0], part, asset)

    def is_empty(self) -> bool:
        """Return whether nothing is left in the pool but debts."""
        return not any(
            part.positions or part.orders or any(x > 0 for x in part.balances.values())
            for _, part in self.parts()
        )


def said(refused: Rejected) -> str:
    """Return a refusal as a person reads it."""
    facts = [f"{n} {x}" for n, x in (("asked", refused.asked), ("free", refused.free)) if x]
    return " ".join([str(refused.reason), refused.where, *facts]).strip()


def is_user(account: str) -> bool:
    """Return whether an account is somebody's, not the venue's."""
    return account[:1] != SYSTEM
