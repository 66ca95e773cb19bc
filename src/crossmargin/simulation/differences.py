"""Differences between the engine's book and the witness's, told by what differs.

In     states of the engine, states of the witness.
Out    nothing, or `Disagreement`: what, and what each of both says.
Owns   what counts as the same account, pool and memory of keys.
Never  decides which of both is right.
Signs  none.
Spec   docs/spec/10-ledger.md, docs/spec/15-laws.md (L6, L14)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crossmargin.domain.book import AccountState, PoolState, Status
from crossmargin.domain.book import Book as EngineBook
from crossmargin.reference.ledger import Witness
from crossmargin.reference.ledger_book import MIRROR, Account, Pool
from crossmargin.reference.ledger_case import near_money

WORDS = {
    Status.OPEN: "open", Status.FROZEN: "frozen", Status.CLOSED: "closed", Status.MIRROR: "mirror",
}  # fmt: skip


class Disagreement(Exception):
    """Engine and witness differ: where, what each says."""

    def __init__(self, what: str, engine: object, witness: object, command: object = None) -> None:
        """Keep the facts of both."""
        super().__init__(what, engine, witness, command)
        self.what, self.engine, self.witness, self.command = what, engine, witness, command

    def __str__(self) -> str:
        """Return the difference in a few lines."""
        lines = [f"{self.what}", f"  engine:  {self.engine}", f"  witness: {self.witness}"]
        return "\n".join([*lines, f"  command: {self.command}"] if self.command else lines)


def equal(what: str, engine: object, witness: object) -> None:
    if engine != witness:
        raise Disagreement(what, engine, witness)


def nonzero(table: Mapping[str, int]) -> dict[str, int]:
    return {name: value for name, value in table.items() if value}


def users(names: Iterable[str]) -> set[str]:
    return {name for name in names if name[0] != "@"}


def same_keys(book: EngineBook, witness: Witness) -> None:
    """L14: a key that counts is remembered with its record, whatever the engine went through."""
    last = witness.book.at_ns
    mine = {
        key: used.seq for key in witness.book.keys if (used := witness.used(key, last)) is not None
    }
    found = {key: used.seq for key, used in (book.keys_before | book.keys).items()}
    if found != mine:
        odd = sorted(found.items() ^ mine.items())[:3]
        raise Disagreement("keys remembered", len(found), f"{len(mine)}, differing in {odd}")


def same_account(name: str, engine: AccountState, witness: Account) -> None:
    equal(f"status of {name}", WORDS[Status(engine.status)], witness.status)
    equal(f"pools of {name}", list(engine.pools), list(witness.pools))
    own = name[0] != "@" and witness.status != MIRROR
    for pool, state in engine.pools.items():
        _same_pool(f"{name}/{pool}", state, witness.pools[pool], own)


def _same_pool(where: str, engine: PoolState, witness: Pool, own: bool) -> None:
    """`own`: a user's; system accounts and mirrors accrue nothing, so have no indexes."""
    equal(f"balances of {where}", nonzero(engine.balances), witness.cash)
    held = {
        name: (p.contracts, p.cost, p.funding_index if own else 0)
        for name, p in engine.positions.items()
        if p.contracts or p.cost
    }
    mine = {
        name: (p.contracts, p.cost, p.index if own else 0) for name, p in witness.positions.items()
    }
    equal(f"positions of {where}", held, mine)
    if not own:
        return
    equal(f"debt indexes of {where}", engine.debt_index, witness.debts)
    equal(f"method of {where}", engine.method, witness.method)
    equal(f"draw limit of {where}", engine.draw_limit, witness.limit)
    orders = {
        name: (o.instrument, o.contracts, o.limit_price, o.reduce_only)
        for name, o in engine.orders.items()
    }
    mine_orders = {
        name: (o.instrument, o.contracts, o.limit, o.reduce_only)
        for name, o in witness.orders.items()
    }
    equal(f"orders of {where}", orders, mine_orders)
    for what, theirs, ours in (
        ("drawn", engine.drawn, witness.drawn), ("last draw", engine.last_draw, witness.kept)
    ):  # fmt: skip
        if not near_money(theirs, ours):
            raise Disagreement(f"{what} of {where}", theirs, ours)
    # Both come of a price in floating point: the engine's last unit is taken over.
    witness.drawn, witness.kept = engine.drawn, engine.last_draw
