"""What of an opening book is here already, and what is in its way."""

from __future__ import annotations

from crossmargin.engine.arrivals import plan
from engine.small import USD, account, bucket, holding, venue

BOOK = [
    account("ann", bucket("b", 40)), holding("ann", {"USD": 100 * USD}),
    holding("ann", {"USD": 7 * USD}, pool="b"),
]  # fmt: skip


def test_an_account_that_is_not_here_is_sent_whole() -> None:
    assert plan(venue().book, BOOK).todo == [BOOK]


def test_what_is_here_in_part_is_sent_in_part_and_then_no_more() -> None:
    made = venue()
    made.do(*BOOK[:2])
    assert plan(made.book, BOOK).todo == [BOOK[2:]]
    made.do(BOOK[2])
    assert plan(made.book, BOOK).here == ["ann"]


def test_an_account_without_the_bucket_or_on_other_terms_is_told_and_left() -> None:
    for there in (account("ann"), account("ann", bucket("b", 41))):
        made = venue()
        made.do(there)
        found = plan(made.book, BOOK)
        assert found.differ == [("ann", "pool b is open on other terms")]
        assert not found.todo
        assert not found.here
