"""Methods as values: which there are, what they hold, and books whose pools use several."""

from __future__ import annotations

import numpy as np
import pytest

from crossmargin.base.errors import InputInvalid
from crossmargin.frames.book import with_method
from crossmargin.methods.registry import METHODS, assess, method_named
from crossmargin.reference.plain import PlainAccount, PlainPool
from margin.small import answer, held, judged, one, plain_market, two_days

ROWS = held(USD=2e5, ETH=5.0, BTC_PERP=1.0, ETH_PERP=-20.0)
MARKET = plain_market(joint=two_days())


def test_there_are_four_and_an_unknown_name_is_refused_with_them():
    assert set(METHODS) == {"isolated", "cross_sum", "cross_correlated", "portfolio"}
    assert all(method_named(name).name == name for name in METHODS)
    with pytest.raises(InputInvalid, match="cross_correlated"):
        method_named("span")


def test_pools_of_several_methods_are_each_judged_by_their_own():
    accounts = [
        PlainAccount(f"{m} {i}", (PlainPool("shared", m, ROWS),))
        for i in range(2)
        for m in sorted(METHODS)
    ]
    mixed = answer(MARKET, *accounts)
    for row, account in enumerate(accounts):
        alone = answer(MARKET, account)
        for name in ("equity", "mm", "im", "binding_term", "worst_scenario"):
            assert getattr(mixed, name)[row] == getattr(alone, name)[0], (account.account, name)
        assert mixed.parts_im[:, row].tolist() == alone.parts_im[:, 0].tolist()


def test_a_hedge_is_cheapest_where_it_nets_most():
    cost = {m: float(answer(MARKET, one(m, ROWS)).mm[0]) for m in METHODS}
    assert cost["cross_correlated"] <= cost["cross_sum"]
    # Stand-alone: 50,000 x 0.14 + 40,000 x 0.18 and fees; nothing nets.
    assert cost["isolated"] == pytest.approx(7_000.0 + 7_200.0 + 90_000.0 * 0.0055)


@pytest.mark.parametrize(
    ("rows", "fits"),
    [
        ((), True),
        (held(USD=1.0), True),
        (held(USD=1.0, BTC_PERP=1.0), True),
        (held(ETH=1.0, USD=-5.0), True),
        (held(USD=1.0, BTC_PERP=1.0, ETH_PERP=1.0), False),
        (held(ETH=1.0, BTC=1.0, USD=-5.0), False),
        (held(ETH=1.0, USD=-5.0, USDT=-5.0), False),
        (held(USD=-1.0, BTC_PERP=1.0), False),
    ],
)
def test_an_isolated_pool_has_one_instrument_or_one_collateral_and_one_debt(rows, fits: bool):
    book, _, market = judged(MARKET, one("isolated", rows))
    (reason,) = METHODS["isolated"].holds(book, market)
    assert (reason is None) == fits
    assert fits or "one collateral and one debt" in reason
    assert METHODS["cross_sum"].holds(book, market) == [None]


def test_portfolio_without_joint_rows_is_unpriced_and_not_unhedged():
    frame = answer(plain_market(), one("portfolio", ROWS))
    assert np.isnan(frame.mm[0])
    assert frame.verdict[0] == 0


def test_with_method_answers_like_a_book_written_that_way():
    book, _, market = judged(MARKET, one("portfolio", ROWS))
    for method in METHODS:
        got = assess(with_method(book, method), market, threads=1)
        assert got.mm[0] == answer(MARKET, one(method, ROWS)).mm[0]
