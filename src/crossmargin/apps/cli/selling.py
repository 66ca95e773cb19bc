"""An engine that liquidates: after a group that brought prices, a turn of the loop.

In     groups of commands; what tells a line.
Out    the group's replies, unchanged; a JSON line for each pool a turn looked at.
Owns   when a turn comes; how what it did reads.
Never  holds a reply back for what a turn could not do; turns where no price came.
"""

from __future__ import annotations

import json as text
from collections.abc import Callable, Sequence

from crossmargin.adapters.wire import command_to_json
from crossmargin.apps.cli.keeping import KeepingEngine
from crossmargin.base.errors import LedgerError
from crossmargin.engine.commands import AcceptPrices, AnyCommand
from crossmargin.engine.liquidator import Deed, Liquidator
from crossmargin.engine.replies import Accepted, Reply


class SellingEngine(KeepingEngine):
    """A keeping engine whose pools under water are sold out as prices come."""

    def sell(self, write: Callable[[bytes], None], complain: Callable[[str], None]) -> None:
        """Begin to liquidate; `write` gets a line for each pool, `complain` what stopped a turn."""
        self.liquidator, self._write, self._told = Liquidator(), write, complain
        self._turning = self._lost = False

    def submit(self, commands: Sequence[AnyCommand]) -> list[Reply]:
        """Submit as a keeping engine does; where prices were accepted, turn before replying."""
        replies = super().submit(commands)
        priced = any(
            isinstance(command, AcceptPrices) and isinstance(reply, Accepted) and not reply.repeated
            for command, reply in zip(commands, replies, strict=True)
        )
        if priced and not self._turning:
            self._turn()
        return replies

    def _turn(self) -> None:
        self._turning = True
        try:
            for deed in self.liquidator.turn(self).deeds:
                self._say(deed)
        except LedgerError as failed:
            # The group itself is durable, and its replies are due; the next group finds it halted.
            self._told(f"a turn of the liquidation loop ended: {failed}")
        finally:
            self._turning = False

    def _say(self, deed: Deed) -> None:
        if self._lost:
            return
        try:
            self._write(line_of(deed))
        except OSError:
            # Whoever writes the replies finds the same, and says so.
            self._lost = True


def line_of(deed: Deed) -> bytes:
    """Return what was done with one pool as a JSON line."""
    found = deed.proposal
    done = deed.reply if isinstance(deed.reply, Accepted) else None
    facts = {
        "type": "liquidation", "account": found.owner[0], "pool": found.owner[1],
        "verdict": found.verdict, "outcome": found.outcome, "done": done is not None,
        "seq": None if done is None else done.seq,
        "key": None if found.batch is None else found.batch.key,
        "commands": [] if found.batch is None else [
            text.loads(command_to_json(one)) for one in found.batch.commands
        ],
        "why": list(deed.whys),
    }  # fmt: skip
    return text.dumps(facts, ensure_ascii=False).encode() + b"\n"
