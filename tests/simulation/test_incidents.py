"""Attacks that happened, played twice: the same commands, two rulebooks, and what they cost.

Every expected figure is worked out in the comment beside it from the figures that were reported.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec
import pytest

from crossmargin.adapters.files import load_rulebook
from crossmargin.base.errors import RulebookInvalid
from crossmargin.engine import commands as c
from crossmargin.simulation.attacks import ATTACKS, BARE, BOOK, UNCAPPED, lent
from crossmargin.simulation.incidents import (
    Incident,
    Step,
    borrows,
    changed,
    differences,
    listed,
    opened,
    pays_in,
    play,
    price,
)

HELD = "not_liquidatable"


@cache
def base():
    return load_rulebook("prime-24h")


@cache
def incident(name):
    return ATTACKS[name](base())


@cache
def without(name):
    return play(incident(name), incident(name).rules_unprotected)


@cache
def protected(name):
    return play(incident(name), incident(name).rules_protected)


@pytest.mark.parametrize(
    ("name", "bad_debt"),
    [
        # The winner's side: 5 paid in, 115 taken out, and 483 M x (0.0382 - 0.03) lost when sold.
        ("mango-2022", 115e6 - 5e6 + 483e6 * 0.0082),
        # 63.6 in; 4.6 M CRV bought back at 0.60; the rest of 92 M owed at 0.709.
        ("crv-2022", 87.4e6 * 0.709 + 4.6e6 * 0.60 - 63.6e6),
        # Ten loans of 1.5 M on 1,700 INV, worth 400 each once nobody pushes.
        ("inverse-2022", 15e6 - 1_700 * 400.0),
        # 16 M on 92,000 coins of 2.
        ("helio-2022", 16e6 - 92_000 * 2.0),
        # A loan of 85 % on 346 M, sold out at 0.66. Of the refunds no part is for one loan.
        ("usde-2025", 0.85 * 346e6 - 346e6 * 0.66),
    ],
)
def test_without_the_protection_it_costs_about_what_was_reported(name, bad_debt):
    assert without(name).bad_debt == pytest.approx(bad_debt, abs=1.0)
    assert without(name).refused == ()
    if name != "usde-2025":
        assert bad_debt == pytest.approx(incident(name).told, rel=0.35)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "jelly-2025"])
def test_with_one_entry_of_the_rulebook_changed_there_is_no_bad_debt(name):
    assert protected(name).bad_debt == 0.0
    assert protected(name).refused != ()
    honest = set(protected(name).equity) - set(incident(name).attackers)
    for account in honest:
        assert protected(name).equity[account] >= without(name).equity[account]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("mango-2022", ["gain_tiers.C.im: 1.0 -> 0.0", "gain_tiers.C.mm: 1.0 -> 0.5"]),
        ("crv-2022", ["lending.CRV.cap: 1000000000000.0 -> 20000000.0"]),
        ("inverse-2022", ["oracle.price_uncertainty: False -> True"]),
        ("helio-2022", ["oracle.stale_s: 86400.0 -> 60.0"]),
        (
            "usde-2025",
            [
                f"oracle.sources.groups.one_book[{n}]: nothing -> {source}"
                for n, source in enumerate(BOOK)
            ],
        ),
    ],
)
def test_the_rulebooks_differ_in_nothing_else(name, lines):
    told = differences(incident(name).rules_unprotected, incident(name).rules_protected)
    print(name, *told, sep="\n  ")
    assert told == lines


def test_which_command_is_refused_and_why():
    assert protected("mango-2022").refused == (("long borrows 115,000,000 USD", "margin_short"),)
    # Under the cap of 20 M: one of eight loans of 11.5 M, and a pool that need not be sold out.
    reasons = [reason for _, reason in protected("crv-2022").refused]
    assert reasons == ["borrow_cap"] * 7 + ["not_liquidatable"]
    assert [r for _, r in protected("inverse-2022").refused] == ["margin_short"] * 10
    assert [r for _, r in protected("helio-2022").refused] == ["margin_short"]


def test_the_vault_of_jelly_loses_what_was_reported_unless_size_costs_margin():
    """430 M short taken over at 0.0115, open loss at 0.041: 430 M x 0.0295 = 12.685 M. With tiers
    the short needs 20 % of (10k + 1.25 x 40k + 1.5 x 150k + 2 x 3.885M) = 1.611 M and fees; it has
    1.5 M. Nobody is bankrupt in either: the loss is the vault's."""
    name = "jelly-2025"
    assert without(name).equity["vault"] == pytest.approx(20e6 - 430e6 * 0.0295, abs=1.0)
    assert 20e6 - without(name).equity["vault"] == pytest.approx(incident(name).told, rel=0.01)
    assert without(name).bad_debt == protected(name).bad_debt == 0.0
    assert protected(name).equity["vault"] == 20e6
    assert protected(name).refused[0][1] == "margin_short"
    told = differences(incident(name).rules_unprotected, incident(name).rules_protected)
    assert {line.split("[")[0] for line in told} == {"tiers"}


def test_three_feeds_of_one_book_are_one_vote():
    """As three of five votes they are the median and the pools are far from it; as one of three
    votes the book is far (0.34 > 5 %) and the pools' 0.996 holds: 346 M at 0.998 after it, less
    294.1 M owed. The breaker lets 0.66 pass after its minute, for the quorum stands by it."""
    assert protected("usde-2025").refused == (
        ("the holder is sold out at 0.66", "not_liquidatable"),
    )
    worth = protected("usde-2025").equity["holder"]
    assert worth == pytest.approx(346e6 * 0.998 - 294.1e6, abs=1.0)


def test_the_breaker_gives_a_minute_and_no_more():
    """The sale is sent 30, 60, 90, 120 s after the first 0.66: halted, and judged at the last
    good price, which is 1; halted; then at 0.66."""
    case = incident("usde-2025")
    at = [step.words for step in case.steps].index("the holder is sold out at 0.66")
    for kept, reason in ((1, HELD), (2, HELD), (3, None), (4, None)):
        steps = (*case.steps[: at - 4 + kept], case.steps[at])
        refused = dict(play(replace(case, steps=steps), case.rules_unprotected).refused)
        assert refused.get("the holder is sold out at 0.66") == reason


@pytest.mark.parametrize(
    ("name", "entries", "most"),
    [
        # The slow price: at IM the winner's gain is taken at 0.0911, a tenth of the pushed price.
        ("mango-2022", {"oracle.price_uncertainty": True}, 0.0),
        # Size: 18.45 M of notional against a day of 20 M needs nearly twice the margin, 7 M.
        ("mango-2022", {"tiers": "shipped"}, 0.0),
        # A cap on what may be owed in dollars: 110 M in one loan is more than 20 M.
        ("mango-2022", {"lending.USD": lent(20e6)}, 0.0),
        # What buying back costs, 100 % on top: at IM debt x 1.375 x 2 <= 63.6 M, 56 M CRV at 0.41.
        ("crv-2022", {"assets": {"CRV": {"surcharge_liquidity_mm": 1.0,
                                         "surcharge_liquidity_im": 1.0}}}, 0.0),
        # Marginal brackets: 34 M counts (0.93 + 2 x 0.79 + 7 x 0.46) x 0.625 = 3.58 M: two loans
        # of 1.5 M pass. 3 M - 0.68 M stay unpaid.
        ("inverse-2022", {"classes.altcoin.liquidity": "shipped"}, 2.32e6),
        # Of 27.6 M as much counts, 3.58 M: one loan of 16 M does not pass.
        ("helio-2022", {"classes.altcoin.liquidity": "shipped"}, 0.0),
    ],
)  # fmt: skip
def test_other_entries_that_would_have_acted(name, entries, most):
    bare, shipped = incident(name).rules_unprotected, base()
    whole = {
        "tiers": [{"up_to_adv": t.up_to_adv, "multiplier": t.multiplier} for t in shipped.tiers],
        "classes.altcoin.liquidity": [
            {"up_to": b.up_to, "mm": b.mm, "im": b.im} for b in shipped.classes["altcoin"].liquidity
        ],
    }
    entries = {key: whole[key] if value == "shipped" else value for key, value in entries.items()}
    rules = changed(bare, entries)
    assert differences(bare, rules) != []
    assert play(incident(name), rules).bad_debt == pytest.approx(most, abs=1.0)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_the_shipped_rulebook_as_it_is_loses_nothing(name):
    """USDe's loan is over its cap; the price itself it would believe, for it names no groups."""
    outcome = play(incident(name), base())
    assert outcome.bad_debt == 0.0
    assert outcome.equity.get("vault", 20e6) == 20e6


def test_on_the_debt_side_the_cap_is_all_there_is():
    """prime-24h charges a debt the same part whatever its size, so a coin it lends without a cap
    is lent to 92 M as it was: the shipped rulebook lends CRV to nobody."""
    reasons = {reason for _, reason in play(incident("crv-2022"), base()).refused}
    assert reasons == {"borrow_not_offered", "not_reducing"}
    uncapped = changed(base(), {"lending.CRV": UNCAPPED})
    assert play(incident("crv-2022"), uncapped).bad_debt == without("crv-2022").bad_debt


@pytest.mark.parametrize(
    ("bid", "reason"), [("0", "price_invalid"), ("0.000001", "not_raising"), ("120", "accepted")]
)
@pytest.mark.parametrize("protected", [False, True])
def test_a_zero_bid_settles_under_no_rulebook(bid, reason, protected):
    """12 Mar 2020, Maker: 8.32 M of ETH auctioned for nothing. Here a forced sale must raise the
    buffer: it is a law of the engine, and no entry of a rulebook can take it off.

    100 coins of 200 against 10,000 of debt; at 125 a coin 12,500 count 12,500 x 0.7 x 0.96 = 8,400.
    Sold at 120, ten coins bring 1,200 and take off 840."""
    rules = changed(base(), {**BARE, "lending.USD": UNCAPPED}) if not protected else base()
    sale = c.Liquidate(
        account="vault", instrument="ETHER/USD", contracts=10 * 10**18, price=bid, buys=False,
        counterparty=c.Side("@outside"), tier="C",
    )  # fmt: skip
    steps = (
        price("ETHER", 200.0), *opened("lenders", "vault"), pays_in("lenders", "USD", 1e6),
        pays_in("vault", "ETHER", 100.0), borrows("vault", "USD", 10_000.0),
        price("ETHER", 125.0, after_s=1.0), Step("a bid", sale),
    )  # fmt: skip
    case = Incident("maker-2020", 8.32e6, rules, rules, listed({"ETHER": 200.0}), steps, ("vault",))
    refused = dict(play(case, rules).refused)
    assert refused.get("a bid", "accepted") == reason


def test_a_changed_rulebook_is_checked_and_leaves_the_first_alone():
    before = base().digest
    assert differences(base(), base()) == []
    assert differences(base(), changed(base(), {})) == []
    more = changed(base(), {"margin.alpha": 0.95, "lending.CRV": lent(5.0)})
    told = differences(base(), more)
    assert told[-1] == "margin.alpha: 0.99 -> 0.95"
    assert "lending.CRV.cap: nothing -> 5.0" in told
    assert base().digest == before
    with pytest.raises(RulebookInvalid):
        changed(base(), {"margin.alpha": math.nan})
    with pytest.raises(KeyError):
        changed(base(), {"margins.alpha": 0.5})


def test_two_plays_end_the_same():
    again = play(incident("crv-2022"), incident("crv-2022").rules_protected)
    assert again == protected("crv-2022")


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "incidents.md").read_text()


def entries(value, path):
    """Every entry of the shipped rulebook a dotted path with `*` names."""
    if not path:
        return [value]
    name, *rest = path
    found = value if isinstance(value, dict) else dict(enumerate(value))
    picked = found.values() if name == "*" else [found[name]] if name in found else []
    return [entry for part in picked for entry in entries(part, rest)]


def test_every_entry_the_page_names_is_in_the_shipped_rulebook():
    rules = msgspec.to_builtins(base())
    top = {*rules}
    named = [key for key in re.findall(r"`([a-z_.*A-Z]+)`", PAGE) if key.split(".")[0] in top]
    assert len(set(named)) > 15
    assert [key for key in set(named) if not entries(rules, key.split("."))] == []


def test_the_page_has_every_incident_and_names_those_that_are_played():
    table = PAGE.split("## The table")[1]
    rows = [line for line in table.splitlines() if line.startswith("| 20")]
    assert len(rows) == 32
    assert {line.count("|") for line in rows} == {6}
    played = set(re.findall(r"^\| `([a-z-]+\d{4})`", PAGE, re.MULTILINE))
    assert played == set(ATTACKS)
    assert sum("played" in line for line in rows) == len(ATTACKS) + 1  # Maker's, as a law
