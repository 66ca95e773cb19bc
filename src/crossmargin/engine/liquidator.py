"""The loop's hands: verdicts become plans, plans become commands, one linked batch a pool.

In     an engine's book and setting, after prices were accepted.
Out    a `Turn`: for every pool under water what was done with it, or why nothing was.
Owns   who is looked at and in which order; keys; the wait between rounds; that a turn ends.
Never  touches a pool that is UNPRICED or SAFE, or an item whose price is not LIVE or DEGRADED;
       raises for a refused command; keeps anything that the journal does not give back.
Signs  as commands.
Spec   docs/spec/09-loop.md
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from crossmargin.base.errors import CrossmarginError
from crossmargin.domain.book import AccountState, Book, Listing, PoolState, Status
from crossmargin.engine.aftermath import wind_up
from crossmargin.engine.checks import margin_row
from crossmargin.engine.commands import (
    Batch,
    CancelOrder,
    Deleverage,
    Draw,
    Holder,
    Liquidate,
    PayInsurance,
    Socialise,
)
from crossmargin.engine.draft import Draft, is_user, said
from crossmargin.engine.forced import Desk, carry_out
from crossmargin.engine.lookout import Lookout
from crossmargin.engine.market import Setting
from crossmargin.engine.replies import Accepted, Reply
from crossmargin.engine.runtime import Engine
from crossmargin.frames.ledgered import book_frame
from crossmargin.kernels.watch import BANKRUPT, UNDER
from crossmargin.liquidation.mechanisms import execution_of, selling_terms
from crossmargin.liquidation.plan import Options, plan
from crossmargin.liquidation.steps import Plan

SECOND_NS = 1_000_000_000
WIDE = (Draw, PayInsurance, Deleverage, Socialise)
TRADES = ("net", "reduce", "swap", "takeover", "adl")
WORDS = {int(UNDER): "liquidatable", int(BANKRUPT): "bankrupt"}
# Losses that are shared may bring others under water: so often one turn looks again.
PASSES_MAX = 32

Wanted = tuple[Holder, int]
"""A pool that is under water, and its verdict of the lookout."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is to be done with one pool now.

    verdict   liquidatable or bankrupt;  outcome: of its plan; "-" where there is none
    batch     None: nothing, and `whys` say why
    """

    owner: Holder
    verdict: str
    outcome: str
    batch: Batch | None
    whys: tuple[str, ...]

    @property
    def is_wide(self) -> bool:
        """Whether it touches more than the pool, @outside and a penalty's fund."""
        return self.batch is not None and any(isinstance(one, WIDE) for one in self.batch.commands)


@dataclass(frozen=True, slots=True)
class Deed:
    """What became of a proposal; `whys` end with the engine's refusal where it refused."""

    proposal: Proposal
    reply: Reply | None
    whys: tuple[str, ...]

    @property
    def is_done(self) -> bool:
        """Whether it happened."""
        return isinstance(self.reply, Accepted)


@dataclass(frozen=True, slots=True)
class Turn:
    """One look at every pool. in_liquidation: pools whose next round is still to come."""

    at_ns: int
    seq: int
    deeds: tuple[Deed, ...]
    in_liquidation: tuple[Holder, ...]

    def of(self, account: str, pool: str = "shared") -> Deed | None:
        """Return what was last done with a pool; None where it was not under water."""
        return next((d for d in self.deeds[::-1] if d.proposal.owner == (account, pool)), None)


def decide_liquidations(
    book: Book, setting: Setting, wanted: Sequence[Wanted]
) -> list[Proposal]:  # fmt: skip
    """Return what to do with each pool, in their order; same state and time, same commands."""
    assert setting.market is not None
    try:
        execution_of(setting.market)
    except CrossmarginError as absent:
        return [_nothing(owner, code, str(absent)) for owner, code in wanted]
    market = setting.market
    desk = Desk(market, selling_terms(market), setting.terms, setting.decimals)
    return [_decided(book, setting, one, desk) for one in wanted]


def _nothing(owner: Holder, code: int, *whys: str, outcome: str = "-") -> Proposal:
    return Proposal(owner, WORDS[code], outcome, None, whys)


def _decided(book: Book, setting: Setting, one: Wanted, desk: Desk) -> Proposal:
    """Plan one pool and draft what of its plan is to be done now."""
    owner, code = one
    account = book.accounts[owner[0]]
    assert setting.items is not None
    frame = book_frame([(owner[0], account)], book, setting.items)
    try:
        found = plan(frame, desk.market, margin_row(frame, 0, owner[1]), Options())
    except CrossmarginError as impossible:
        return _nothing(owner, code, str(impossible))
    if not any(step.kind in TRADES for step in found.steps):
        return _nothing(owner, code, _why_idle(found), outcome=found.outcome)
    draft = Draft(book, setting, owner)
    paced = drafted(found, draft, desk)
    if not any(not isinstance(command, CancelOrder) for command in draft.commands):
        return _nothing(owner, code, *draft.whys, outcome=found.outcome)
    commands = draft.commands
    if paced:
        commands = [
            msgspec.structs.replace(one, rounds=True) if isinstance(one, Liquidate) else one
            for one in commands
        ]
    batch = Batch(
        key=key_of(book.head.seq, owner), issued_ns=setting.now_ns, commands=tuple(commands)
    )
    whys = (*draft.whys, "next round") if paced else tuple(draft.whys)
    return Proposal(owner, WORDS[code], found.outcome, batch, whys)


def drafted(found: Plan, draft: Draft, desk: Desk) -> bool:
    """Draft a plan's first round, up to what is refused; return whether rounds are to come."""
    for step in found.steps:
        if step.turn and step.kind not in ("takeover", "adl"):
            return True  # a takeover after rounds in which nothing trades waits for nothing
        if step.kind == "cancel":
            for part, state in draft.parts():
                if state.orders:
                    account = draft.owner[0]
                    draft.add(CancelOrder(account=account, pool=part, reason="liquidation"))
        elif step.kind in ("takeover", "adl"):
            wind_up(found, draft, desk)
            return False
        elif not carry_out(step, draft, desk):
            return False
    return False


def _why_idle(found: Plan) -> str:
    """Return in words why a plan does nothing now."""
    return {
        "wait": "what is held has bad prices: nothing is sold before they are good again",
        "none": "its plan finds it not liquidatable",
    }.get(found.outcome, f"its plan ends {found.outcome} without a trade")


def key_of(seq: int, owner: Holder) -> str:
    """Return the key of a pool's batch: of the state it was decided on, so that none repeats."""
    name = hashlib.blake2b("\0".join(owner).encode(), digest_size=10).hexdigest()
    return f"liq-{seq}-{name}"


class Liquidator:
    """Looks at every pool when told to, and has done what is due. One for each engine.

    Derived state only: the lookout is made again from the book, and the book knows the waits.
    """

    def __init__(self) -> None:
        """Start without having looked."""
        self._seen: _Seen | None = None

    def turn(self, engine: Engine) -> Turn:
        """Look at every pool, then sell, take over and let pay, until each was looked at once.

        Raises what the store raises: then the engine is over, and the next one's turn goes on.
        """
        at_ns, seq = engine.now(), engine.seq
        deeds: list[Deed] = []
        stuck: set[Holder] = set()
        for _ in range(PASSES_MAX):
            fresh = [one for one in self.under(engine) if one[0] not in stuck]
            rested, due = _rested(engine, fresh, at_ns)
            done = self._carried_out(engine, due)
            deeds += [*rested, *done]
            stuck |= {deed.proposal.owner for deed in (*rested, *done) if not deed.is_done}
            # Only who gives up a gain or pays for another can have fallen under water by this.
            if not any(deed.is_done and deed.proposal.is_wide for deed in done):
                break
        else:
            deeds += [_left(one) for one in self.under(engine) if one[0] not in stuck]
        return Turn(at_ns, seq, tuple(deeds), _waiting(engine, at_ns))

    def under(self, engine: Engine) -> list[Wanted]:
        """Return the pools that are liquidatable or bankrupt, in the order of the book."""
        setting = engine.setting(engine.now())
        if setting.market is None or setting.items is None:
            return []
        seen = self._seen
        if seen is None or not seen.holds(engine.book):
            seen = self._seen = _Seen.of(engine.book, setting)
        elif seen.lookout is not None and seen.lookout.market is not setting.market:
            seen.lookout.moved(setting.market)
        if seen.lookout is None:
            return []
        self._seen = seen.at(engine.book)
        book, verdict = seen.lookout.book, seen.lookout.verdict
        account = book.account_of_pool()
        rows = np.flatnonzero((verdict == UNDER) | (verdict == BANKRUPT)).tolist()
        return [
            ((str(book.account_names[account[row]]), str(book.pool_names[row])), int(verdict[row]))
            for row in rows
        ]

    def _carried_out(self, engine: Engine, due: list[Wanted]) -> list[Deed]:
        """Submit what touches a pool alone together; decide again, one by one, what does not."""
        if not due:
            return []
        setting = engine.setting(engine.now())
        proposals = decide_liquidations(engine.book, setting, due)
        alone = [p for p in proposals if p.batch is not None and not p.is_wide]
        replies = iter(engine.submit([p.batch for p in alone if p.batch is not None]))
        deeds: list[Deed] = []
        for one, proposal in zip(due, proposals, strict=True):
            if proposal.batch is None:
                deeds.append(Deed(proposal, None, proposal.whys))
            elif not proposal.is_wide:
                deeds.append(_deed(proposal, next(replies)))
            else:
                deeds.append(self._alone(engine, one))
        return deeds

    def _alone(self, engine: Engine, one: Wanted) -> Deed:
        """Decide one pool on the book as it is now, and submit that."""
        [proposal] = decide_liquidations(engine.book, engine.setting(engine.now()), [one])
        if proposal.batch is None:
            return Deed(proposal, None, proposal.whys)
        [reply] = engine.submit([proposal.batch])
        return _deed(proposal, reply)


def _rested(
    engine: Engine, fresh: list[Wanted], at_ns: int
) -> tuple[list[Deed], list[Wanted]]:  # fmt: skip
    """Part those whose next round is still to come: a bankrupt waits for nothing."""
    round_ns = _round_ns(engine)
    rested: list[Deed] = []
    due: list[Wanted] = []
    for one in fresh:
        (account, pool), code = one
        again_ns = _again_ns(engine.book.accounts[account].pools[pool], round_ns)
        if code != BANKRUPT and again_ns > at_ns:
            why = f"its next round comes at {again_ns} ns"
            rested.append(Deed(_nothing(*one, why), None, (why,)))
        else:
            due.append(one)
    return rested, due


def _round_ns(engine: Engine) -> int:
    """Return how long a round lasts by the rules in force."""
    rules = engine.setting(engine.now()).rules
    execution = None if rules is None else rules.liquidation.execution
    return 0 if execution is None else int(execution.round_s * SECOND_NS)


def _again_ns(pool: PoolState, round_ns: int) -> int:
    """Return when a pool's next round may come; 0 where its last plan was done."""
    return pool.sold_ns + round_ns if pool.sold_ns else 0


def _waiting(engine: Engine, at_ns: int) -> tuple[Holder, ...]:
    """Return the pools whose next round is still to come, by name."""
    round_ns = _round_ns(engine)
    return tuple(sorted(
        (name, pool)
        for name, account in engine.book.accounts.items()
        for pool, state in account.pools.items()
        if _again_ns(state, round_ns) > at_ns
    ))  # fmt: skip


def _deed(proposal: Proposal, reply: Reply) -> Deed:
    if isinstance(reply, Accepted):
        return Deed(proposal, reply, proposal.whys)
    return Deed(proposal, reply, (*proposal.whys, f"Batch: {said(reply)}"))


def _left(one: Wanted) -> Deed:
    why = f"after {PASSES_MAX} passes it is left to the next turn"
    return Deed(_nothing(*one, why), None, (why,))


@dataclass(frozen=True, slots=True)
class _Seen:
    """A lookout, and the state of the book it stands for; None where there is nobody to see."""

    lookout: Lookout | None
    listing: Listing | None
    rules: bytes
    seq: int
    version: int

    @classmethod
    def of(cls, book: Book, setting: Setting) -> _Seen:
        """Look at every account that is somebody's and may be sold out."""
        assert setting.items is not None
        assert setting.market is not None
        accounts: list[tuple[str, AccountState]] = [
            (name, account)
            for name, account in book.accounts.items()
            if is_user(name) and account.status in (Status.OPEN, Status.FROZEN) and account.pools
        ]
        head = book.head
        lookout = None
        if accounts:
            lookout = Lookout(book_frame(accounts, book, setting.items), setting.market)
        return cls(lookout, head.listing, head.rules, head.seq, head.version)

    def holds(self, book: Book) -> bool:
        """Whether nothing but prices was recorded since: each such record is one version more."""
        head = book.head
        same = head.listing is self.listing and head.rules == self.rules
        return same and head.seq - self.seq == head.version - self.version

    def at(self, book: Book) -> _Seen:
        """Return it as of the newest record."""
        return replace(self, seq=book.head.seq, version=book.head.version)
