"""Statements say in words what each kind of event did to the one who reads it."""

from __future__ import annotations

import pytest

from crossmargin.domain.book import Terms
from crossmargin.engine.statements import PLAIN, TRADES, Line, lines_of
from crossmargin.ledger import events as e
from crossmargin.ledger.events import Entry, Move, Posting

TERMS = {
    "P": Terms("perpetual", "linear", "premium", "BTC", "USD", "USD", "1.0", "0", 0, "0"),
    "S": Terms("spot", "linear", "premium", "BTC", "USD", "USD", "1.0", "0", 0, "0"),
    "C": Terms("call", "linear", "premium", "BTC", "USD", "USD", "1.0", "0", 9, "5.0"),
}
ANN, BEN = ("ann", "shared"), ("ben", "shared")
FEES, FUND = ("@fees", "shared"), ("@insurance/A", "shared")


def pays(payer: tuple[str, str], payee: tuple[str, str], amount: int) -> tuple[Posting, ...]:
    return Posting(*payer, "USD", -amount), Posting(*payee, "USD", amount)


def trades(name: str, n: int = 10**18) -> tuple[Move, ...]:
    return Move(*ANN, name, -n, 5), Move(*BEN, name, n, -5)


FORCED = e.LiquidationFilled(
    *ANN, "P", "7", (Posting(*ANN, "USD", 3), *pays(BEN, FEES, 2), *pays(ANN, FUND, 4)), trades("P")
)
CASES: list[tuple[e.Event, list[tuple[str, str]]]] = [
    (e.Deposited("", pays(("@outside", "shared"), ANN, 1)), [("deposit", "deposit")]),
    (e.Withdrawn("to bank", pays(ANN, BEN, 1)), [("withdrawal", "withdrawal, to bank")]),
    (e.Borrowed(pays(ANN, BEN, 1)), [("loan", "borrowed")]),
    (e.Repaid(pays(BEN, ANN, 1)), [("repayment", "debt paid back")]),
    (e.Transferred(pays(ANN, BEN, 1)), [("transfer", "transfer to ben")]),
    (e.Transferred(pays(("ben", "gamble"), ANN, 1), 5),
     [("transfer", "transfer from ben/gamble, pays a draw back")]),
    (e.YieldAccrued("USD", "day 3", pays(BEN, ANN, 1)), [("yield", "yield, day 3")]),
    (e.Filled("P", "7", (Posting(*ANN, "USD", 3), *pays(ANN, FEES, 2)), trades("P")),
     [("realised", "realised on P at 7"), ("fee", "fee on P at 7"), ("trade", "sold 1 P at 7")]),
    # A gain that happens to be as large as another's fee is no fee.
    (e.Filled("P", "7", (Posting(*ANN, "USD", -2), *pays(BEN, FEES, 2)), trades("P")),
     [("realised", "realised on P at 7"), ("trade", "sold 1 P at 7")]),
    (e.Filled("P", "7", pays(FEES, ANN, 2)[::-1], trades("P", 5 * 10**17)),
     [("fee", "rebate on P at 7"), ("trade", "sold 0.5 P at 7")]),
    (e.Filled("S", "7", pays(BEN, ANN, 7), ()), [("spot", "received from S at 7")]),
    (e.Filled("C", "7", pays(ANN, BEN, 7), ()), [("premium", "premium paid for C at 7")]),
    (e.Settled("C", "9", pays(BEN, ANN, 4), trades("C")),
     [("expiry", "expiry of C at 9"), ("expiry", "expiry of C at 9")]),
    (e.FundingPaid("P", (ANN,), pays(ANN, ("@clearing", "shared"), 1)),
     [("funding", "funding of P")]),
    (e.InterestCharged("USD", (ANN,), pays(ANN, ("@interest", "shared"), 1)),
     [("interest", "interest on the debt in USD")]),
    (FORCED, [("realised", "liquidation: realised on P at 7"),
              ("penalty", "liquidation penalty on P at 7"),
              ("trade", "liquidation: sold 1 P at 7")]),
    (e.Drawn("ann", "gamble", 5, pays(ANN, ("ann", "gamble"), 1)),
     [("draw", "draw of gamble on the shared pool")]),
    (e.InsurancePaid("A", pays(FUND, ANN, 1)), [("insurance", "debt paid by insurance fund A")]),
    (e.Deleveraged("P", "7", (), trades("P")), [("trade", "deleveraging: sold 1 P at 7")]),
    (e.LossSocialised("USD", pays(ANN, BEN, 1)), [("loss_share", "share of another's loss")]),
    (e.LossSocialised("USD", pays(BEN, ANN, 1)), [("loss_share", "loss taken over by others")]),
    (e.Imported(*ANN, pays(BEN, ANN, 1), trades("P"), {}, 0, 0),
     [("opening", "opening"), ("opening", "opening")]),
    (e.Observed(*ANN, "venue x", pays(BEN, ANN, 1), ()), [("observed", "seen at venue x")]),
]  # fmt: skip


def lines(event: e.Event, whose: tuple[str, str]) -> list[Line]:
    entry = Entry(1, 5, "k", "f", (event,))  # type: ignore[arg-type]
    return list(lines_of(entry, 3, TERMS, lambda *pool: pool == whose))


@pytest.mark.parametrize(("event", "want"), CASES, ids=lambda x: type(x).__name__)
def test_ann_reads_what_happened(event: e.Event, want: list[tuple[str, str]]) -> None:
    assert [(str(line.role), line.what) for line in lines(event, ANN)] == want


def test_the_other_side_reads_the_same_from_its_own() -> None:
    assert [line.what for line in lines(FORCED, BEN)] == [
        "another's liquidation: fee on P at 7", "another's liquidation: bought 1 P at 7",
    ]  # fmt: skip
    assert [line.what for line in lines(FORCED, FUND)] == ["liquidation penalty on P at 7"]
    assert [line.what for line in lines(FORCED, FEES)] == ["liquidation: fee on P at 7"]
    funded = e.InsuranceFunded("A", pays(("@outside", "shared"), FUND, 1))
    assert [line.what for line in lines(funded, FUND)] == ["paid into insurance fund A"]


def test_every_event_that_moves_money_has_a_role() -> None:
    kinds = e.Event.__subclasses__()
    assert {*PLAIN, *TRADES} == {one for one in kinds if "postings" in one.__struct_fields__}
    assert not set(PLAIN) & set(TRADES)


@pytest.mark.parametrize("event", [event for event, _ in CASES], ids=lambda x: type(x).__name__)
def test_a_fraction_that_was_rounded_is_rounding(event: e.Event) -> None:
    from msgspec.structs import replace

    more = (*e.postings_of(event), Posting("@rounding", "shared", "USD", 1))
    (line,) = lines(replace(event, postings=more), ("@rounding", "shared"))
    assert (line.role, "rounding" in line.what) == ("rounding", True)
