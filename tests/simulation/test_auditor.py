"""The auditor sees what is wrong in a reply or in a book, and says where."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from crossmargin.adapters.files import load_rulebook
from crossmargin.domain.book import PositionState
from crossmargin.engine import commands as c
from crossmargin.engine.replies import Accepted, Rejected, Rejection, Reply
from crossmargin.engine.runtime import Engine
from crossmargin.ledger.events import PoolTerms
from crossmargin.reference.ledger_margin import NEAR, sign
from crossmargin.simulation.arena import SECOND_NS, START_NS, Arena
from crossmargin.simulation.auditor import Auditor
from crossmargin.simulation.differences import Disagreement
from crossmargin.simulation.faults import MemoryStore

USDC, BTC = 10**6, 10**8


class Desk:
    """An engine and its auditor, with a market of round prices, one account and a lender."""

    def __init__(self) -> None:
        import random

        self.arena = Arena(random.Random(1), load_rulebook("prime-24h"), 14)
        self.arena.levels |= {"USDC/USD": 1.0, "BTC/USD": 60_000.0, "ETH/USD": 3_000.0}
        self.clock = START_NS
        self.engine = Engine.open(MemoryStore(), lambda: self.clock)
        self.auditor = Auditor()
        self.n = 0
        terms = (PoolTerms("shared", "cross_sum"), PoolTerms("side", "isolated", 10**9))
        self.send(
            self.arena.listing(), c.AdoptRulebook(rules=self.arena.rulebook.packed()),
            c.AcceptPrices(stamped_ns=self.clock, prints=self.arena.prints(self.clock).prints),
            c.OpenAccount(account="ann", pools=terms), c.OpenAccount(account="len"),
            c.Deposit(account="ann", asset="USDC", amount=10_000 * USDC),
            c.Deposit(account="len", asset="BTC", amount=5 * BTC),
        )  # fmt: skip

    def keyed(self, *commands: c.AnyCommand) -> list[c.AnyCommand]:
        found = []
        for command in commands:
            self.n += 1
            found.append(msgspec.structs.replace(command, key=f"k{self.n}", issued_ns=self.clock))
        return found

    def send(self, *commands: c.AnyCommand) -> list[Reply]:
        asked = self.keyed(*commands)
        replies = self.engine.submit(asked)
        self.auditor.check(asked, replies, self.clock, self.engine.book)
        return replies

    def check(self, asked: Sequence[c.AnyCommand], replies: Sequence[Reply]) -> None:
        self.auditor.check(asked, replies, self.clock, self.engine.book)


@pytest.fixture
def desk() -> Desk:
    return Desk()


WITHDRAW = c.Withdraw(account="ann", asset="USDC", amount=1_000 * USDC)


def test_what_agrees_passes_and_is_counted(desk: Desk) -> None:
    [reply] = desk.send(WITHDRAW)
    assert reply == Accepted(8)
    tally = desk.auditor.tally
    assert (tally.commands, tally.accepted["Withdraw"], tally.boundary) == (8, 1, 0)


# 10,001 of 10,000 USDC: short by 1.
TOO_MUCH = c.Withdraw(account="ann", asset="USDC", amount=10_001 * USDC)
SHORT = Rejected(Rejection.BALANCE_SHORT, 10_001 * USDC, 10_000 * USDC, "ann/shared/USDC")


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (TOO_MUCH, Accepted(8)),  # what must be refused
        (TOO_MUCH, Rejected(Rejection.MARGIN_SHORT, 10_001 * USDC, 0)),  # another reason
        (TOO_MUCH, msgspec.structs.replace(SHORT, free=9_999 * USDC)),  # other facts
        (TOO_MUCH, msgspec.structs.replace(SHORT, asked=None)),
        (WITHDRAW, SHORT),  # what must be accepted
        (WITHDRAW, Accepted(9)),  # a record that is skipped
        (WITHDRAW, Accepted(8, True)),  # a repeat of nothing
    ],
)
def test_a_wrong_reply_is_a_disagreement(desk: Desk, command: c.Withdraw, reply: Reply) -> None:
    with pytest.raises(Disagreement, match="answer at"):
        desk.check(desk.keyed(command), [reply])


def test_a_right_refusal_passes(desk: Desk) -> None:
    assert desk.send(TOO_MUCH) == [SHORT]
    assert desk.auditor.tally.rejected["balance_short"] == 1


def test_a_key_sent_again_must_be_answered_as_repeated(desk: Desk) -> None:
    [asked] = desk.keyed(WITHDRAW)
    desk.check([asked, asked], desk.engine.submit([asked, asked]))
    assert desk.auditor.tally.repeated == 1
    with pytest.raises(Disagreement, match="answer at"):
        desk.check([asked], [Accepted(9)])


# --- free -----------------------------------------------------------------------------------------


def test_what_is_said_to_be_free_is_tried(desk: Desk) -> None:
    # A short of 0.1 BTC against 10,000 USDC: some 1,100 of 6,000 are needed, the rest is free.
    desk.send(c.AcceptPrices(stamped_ns=desk.clock, marks=desk.arena.prints(desk.clock).marks))
    side, out = c.Side("ann"), c.Side("@outside")
    desk.send(
        c.Fill(instrument="BTC-PERP", contracts=10**18, price="60000", buyer=out, seller=side)
    )
    [reply] = desk.send(c.Withdraw(account="ann", asset="USDC", amount=9_990 * USDC))
    assert isinstance(reply, Rejected)
    assert reply.reason == Rejection.MARGIN_SHORT
    where = ("ann", "shared", "USDC")
    assert desk.auditor.short_of_margin() == [where]
    assert desk.auditor.short_of_margin() == []
    free = desk.engine.free_of(*where)
    assert free is not None
    desk.auditor.check_free(where, free, desk.clock)
    for told, words in (
        (free - USDC, "more than free may leave"), (free + USDC, "free may not leave"),
        (10_001 * USDC, "free of a withdrawal"), (-1, "free of a withdrawal"),
        (None, "free of a pool"),
    ):  # fmt: skip
        with pytest.raises(Disagreement, match=words):
            desk.auditor.check_free(where, told, desk.clock)
    assert desk.auditor.tally.free == 6


def test_of_a_pool_without_a_price_nothing_is_known_to_be_free(desk: Desk) -> None:
    where = ("ann", "shared", "USDC")
    desk.send(c.Borrow(account="ann", asset="BTC", amount=BTC // 100))
    halted = desk.arena.prints(desk.clock).prints["BTC/USD"]
    prints = {"BTC/USD": msgspec.structs.replace(halted, status="halted")}
    desk.send(c.AcceptPrices(stamped_ns=desk.clock, prints=prints))
    assert desk.engine.free_of(*where) is None
    desk.auditor.check_free(where, None, desk.clock)
    with pytest.raises(Disagreement, match="free of a pool"):
        desk.auditor.check_free(where, 0, desk.clock)


@pytest.mark.parametrize(
    ("x", "scale", "want"),
    [
        (1.0, 1.0, True), (-1.0, 1.0, False), (0.0, 1.0, None), (0.0, 0.0, True),
        (NEAR, 2.0, None), (-NEAR, 2.0, None), (3 * NEAR, 2.0, True), (-1e-30, 0.0, False),
    ],
)  # fmt: skip
def test_a_sign_too_near_to_tell_is_none(x: float, scale: float, want: bool | None) -> None:
    assert sign(x, scale) is want


# --- books ----------------------------------------------------------------------------------------


def spoil_balance(desk: Desk) -> None:
    desk.engine.book.accounts["ann"].pools["shared"].balances["USDC"] += 1


def spoil_outside(desk: Desk) -> None:
    # Nobody's account is touched: only the sum over all holders tells.
    desk.engine.book.accounts["@outside"].pools["shared"].balances["BTC"] += 1


def spoil_position(desk: Desk) -> None:
    desk.engine.book.accounts["ann"].pools["side"].positions["BTC-PERP"] = PositionState(1, 0)


def spoil_status(desk: Desk) -> None:
    desk.engine.book.accounts["len"].status = 1


def spoil_totals(desk: Desk) -> None:
    desk.engine.book.lent("BTC").supplied -= 1


def spoil_index(desk: Desk) -> None:
    desk.engine.book.lent("ETH").index += 1


def spoil_drawn(desk: Desk) -> None:
    desk.engine.book.accounts["ann"].pools["side"].drawn = 1_000


def spoil_time(desk: Desk) -> None:
    desk.engine.book.head.at_ns += 1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_balance, "balances of ann/shared"), (spoil_outside, "L5 in the engine's book"),
        (spoil_position, "positions of ann/side"), (spoil_status, "status of len"),
        (spoil_totals, "lending of BTC"), (spoil_index, "lending of ETH"),
        (spoil_drawn, "drawn of ann/side"), (spoil_time, "time of the last record"),
    ],
)  # fmt: skip
def test_a_book_that_is_another_is_a_disagreement(desk: Desk, spoil: object, words: str) -> None:
    spoil(desk)  # type: ignore[operator]
    with pytest.raises(Disagreement, match=words):
        desk.auditor.compare(desk.engine.book, ["ann", "len"])


def test_the_last_unit_of_a_reservation_is_the_engine_s_to_choose(desk: Desk) -> None:
    # Both books floor a floating-point number: 2 x 10^-6 is no difference, 3 is.
    pool = desk.engine.book.accounts["ann"].pools["side"]
    pool.last_draw = 2
    desk.auditor.compare(desk.engine.book, ["ann"])
    pool.last_draw = 5
    with pytest.raises(Disagreement, match="last draw of ann/side"):
        desk.auditor.compare(desk.engine.book, ["ann"])


# --- laws without a prediction --------------------------------------------------------------------


def test_nothing_is_owed_or_held_over_a_price_that_is_old_or_bad(desk: Desk) -> None:
    desk.send(c.Borrow(account="ann", asset="BTC", amount=BTC // 100))
    bad = desk.auditor.bad_items
    assert list(bad("ann", "shared", desk.clock)) == []
    assert list(bad("ann", "shared", desk.clock + 60 * SECOND_NS)) == []
    assert list(bad("ann", "shared", desk.clock + 61 * SECOND_NS)) == ["BTC"]
    halted = desk.arena.prints(desk.clock).prints["BTC/USD"]
    prints = {"BTC/USD": msgspec.structs.replace(halted, status="halted")}
    desk.send(c.AcceptPrices(stamped_ns=desk.clock, prints=prints))
    assert list(bad("ann", "shared", desk.clock)) == ["BTC"]


def test_a_sound_command_without_a_record_was_lost(desk: Desk) -> None:
    asked = desk.keyed(WITHDRAW)
    with pytest.raises(Disagreement, match="sound, but no record"):
        desk.auditor.learn(asked, {}, desk.clock, desk.engine.book)


def test_what_happened_unheard_is_taken_in(desk: Desk) -> None:
    asked = desk.keyed(WITHDRAW, TOO_MUCH)
    desk.engine.submit(asked)
    desk.auditor.learn(asked, {asked[0].key: 8}, desk.clock, desk.engine.book)
    # Both again: one is a repeat, the other is refused for a second time.
    desk.check(asked, desk.engine.submit(asked))


def test_what_if_is_each_alone_and_nothing_happens(desk: Desk) -> None:
    most = c.Withdraw(account="ann", asset="USDC", amount=9_000 * USDC)
    asked = desk.keyed(most, most)
    replies = desk.engine.what_if(asked)
    assert replies == [Accepted(8), Accepted(8)]
    desk.auditor.check_alone(asked, replies, desk.clock)
    with pytest.raises(Disagreement, match="answer at"):
        desk.auditor.check_alone(asked, [Accepted(8), Accepted(9)], desk.clock)
    desk.check(asked, desk.engine.submit(asked))
