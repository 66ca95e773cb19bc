"""The second witness's book: what is taken back was never there, what is believed is."""

from __future__ import annotations

import copy

from crossmargin.adapters.files import load_rulebook
from crossmargin.reference.ledger_book import MIRROR, Account, Book, Lent, Pool
from crossmargin.simulation.simulator import Life, Options


def lent_book() -> Book:
    pool = Pool("isolated", cash={"USD": 50})
    ann, eye = Account("open", {"shared": pool}), Account(MIRROR, {"shared": pool.copy()})
    return Book(accounts={"ann": ann, "eye": eye}, lent={"USD": Lent()})


def test_a_debt_begins_and_ends_with_its_balance() -> None:
    book = lent_book()
    book.lent["USD"].index = 7
    book.post("ann", "shared", "USD", -60)
    assert book.accounts["ann"].pools["shared"].debts == {"USD": 7}
    assert book.lending("USD") == (10, 0)  # what a mirror holds lies elsewhere
    assert book.lending("USD", before=True) == (0, 50)
    book.post("ann", "shared", "USD", 10)
    assert book.accounts["ann"].pools["shared"].debts == {}
    assert book.cash("ann", "shared", "USD") == 0


def test_a_mirror_owes_without_an_index() -> None:
    book = lent_book()
    book.post("eye", "shared", "USD", -60)
    assert book.accounts["eye"].pools["shared"].debts == {}
    assert book.lending("USD") == (0, 50)


def test_a_change_can_be_taken_back_or_kept() -> None:
    book = lent_book()
    before = copy.deepcopy(book)
    book.post("ann", "shared", "USD", -60)
    book.post("@outside", "shared", "USD", 60)
    book.assign(book.funding, "BTC-PERP", 5)
    book.take_back()
    assert book.accounts == before.accounts
    assert book.funding == {}
    book.post("ann", "shared", "USD", -60)
    assert book.forget_changes() == {"ann"}
    book.take_back()
    assert book.cash("ann", "shared", "USD") == -10


def test_a_refused_command_leaves_no_trace_in_the_witness() -> None:
    life = Life(5, Options(250, load_rulebook("prime-24h"), faults=0.0))
    witness = life.auditor.witness
    hear, deny = witness.hear, witness.deny
    before: dict[str, Account] = {}
    refused = 0

    def heard(command: object, clock_ns: int) -> object:
        before.clear()
        before.update(copy.deepcopy(witness.book.accounts))
        return hear(command, clock_ns)

    def denied() -> None:
        nonlocal refused
        deny()
        assert witness.book.accounts == before
        refused += 1

    witness.hear, witness.deny = heard, denied  # type: ignore[method-assign,assignment]
    life.begin()
    while life.auditor.tally.commands < 250:
        life.group()
    assert refused > 50
