"""Quote and deed: an edited book is the account assessed as if it stood so; a small market too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

import crossmargin as cm
from crossmargin.api.report import Report
from crossmargin.base.errors import InputInvalid
from crossmargin.inquiry.desk import desk_for
from crossmargin.margin.requirement import RequirementFrame
from crossmargin.methods.registry import assess
from crossmargin.reference.plain import Holding, PlainAccount, PlainOrder, PlainPool
from margin.small import BTC, answer, held, judged, one, plain_market, two_days
from strategies import METHODS, World, worlds
from twins.bridge import book_frame
from twins.rows import prepare

MARKET = plain_market(joint=two_days())
START = held(USD=50_000.0, ETH=10.0, BTC_PERP=0.5)
NUMBERS = (
    "equity", "collateral_value", "margin_balance_mm", "margin_balance_im", "mm", "im",
    "draw_mm", "draw_im", "buffer_mm", "buffer_im",
)  # fmt: skip
TAKER = 0.0005


def asked(account: PlainAccount) -> Report:
    book, frame, market = judged(MARKET, account)
    return Report(book, market, frame)


def same(got: RequirementFrame, want: RequirementFrame, rows: slice = slice(None)) -> None:
    for name in NUMBERS:
        np.testing.assert_allclose(
            getattr(got, name)[rows], getattr(want, name), rtol=1e-9, atol=1e-6, err_msg=name
        )
    assert got.verdict[rows].tolist() == want.verdict.tolist()


def direct(method: str, rows, **usd: float) -> RequirementFrame:
    """The account assessed as it would be written down afterwards."""
    changed = [replace(r, quantity=r.quantity + usd.get(r.item, 0.0)) for r in rows]
    return answer(MARKET, one(method, changed))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("price", [None, 2_050.0])
def test_a_traded_future_is_the_position_and_its_fee(method: str, price: float | None):
    before, after = asked(one(method, START)).what_if("a", [cm.Trade("ETH-PERP", -4.0, price)])
    same(before.frame, answer(MARKET, one(method, START)))
    position = (Holding("ETH-PERP", -4.0, price or 2_000.0),)
    same(after.frame, direct(method, START + position, USD=-TAKER * 4.0 * 2_000.0))


@pytest.mark.parametrize("method", METHODS)
def test_a_traded_option_pays_its_premium(method: str):
    _, after = asked(one(method, START)).what_if("a", [cm.Trade("ETH-P", 3.0, 150.0)])
    book, _, market = judged(MARKET, one(method, START))
    delta = abs(float(market.items.delta[market.frame.item_names.index("ETH-P")]))
    rows = (*START, Holding("ETH-P", 3.0))
    same(after.frame, direct(method, rows, USD=-3.0 * 150.0 - TAKER * 3.0 * delta))
    assert book.n_pools == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_spot_trade_swaps_two_balances(method: str):
    _, after = asked(one(method, START)).what_if("a", [cm.Trade("ETH/USD-SPOT", -4.0, 1_990.0)])
    usd = 4.0 * 1_990.0 - TAKER * 4.0 * 2_000.0
    same(after.frame, direct(method, START, ETH=-4.0, USD=usd))


def test_what_the_order_reserves_is_what_the_trade_takes():
    # Quote: an order at the limit. Deed: the same trade. Both leave one buffer_IM.
    order = PlainOrder("ETH-PERP", 12.0, 2_010.0)
    quote = answer(MARKET, one("cross_sum", START, [order]))
    _, after = asked(one("cross_sum", START)).what_if("a", [cm.Trade("ETH-PERP", 12.0, 2_010.0)])
    assert after.frame.buffer_im[0] == pytest.approx(quote.buffer_im[0], rel=1e-12)


def test_transfers_move_balances_between_pools_and_out():
    shared = PlainPool("shared", "cross_sum", START)
    bucket = PlainPool("b", "cross_sum", held(USD=100.0), draw_limit=10.0)
    report = asked(PlainAccount("a", (shared, bucket)))
    moves = [
        cm.Transfer("USD", 1_000.0, "shared", "b"),
        cm.Transfer("ETH", 1.0, "shared", "outside"),
        cm.Transfer("BTC", 0.1, "outside", "b"),
    ]
    _, after = report.what_if("a", transfers=moves)
    want = PlainAccount(
        "a",
        (
            replace(shared, holdings=held(USD=49_000.0, ETH=9.0, BTC_PERP=0.5)),
            replace(bucket, holdings=held(USD=1_100.0, BTC=0.1)),
        ),
    )
    same(after.frame, answer(MARKET, want))


def test_open_orders_stay_open_and_the_book_asked_about_is_untouched():
    account = one("cross_sum", START, [PlainOrder("BTC-PERP", 1.0, BTC)])
    report = asked(account)
    held_before = report.book.quantity.copy()
    _, after = report.what_if("a", [cm.Trade("ETH-PERP", 1.0)])
    assert len(after.book.order_item) == 1
    np.testing.assert_array_equal(report.book.quantity, held_before)


@pytest.mark.parametrize(
    ("trades", "transfers", "says"),
    [
        ([cm.Trade("ETH", 1.0)], [], "must be an instrument"),
        ([cm.Trade("DOGE-PERP", 1.0)], [], "DOGE-PERP"),
        ([cm.Trade("ETH-PERP", float("nan"))], [], "finite"),
        ([cm.Trade("ETH-PERP", 1.0, -5.0)], [], "price > 0"),
        ([], [cm.Transfer("USD", -1.0, "shared", "outside")], "must be > 0"),
        ([], [cm.Transfer("USD", float("inf"), "shared", "outside")], "must be > 0"),
        ([], [cm.Transfer("USD", 1.0, "shared", "nowhere")], "nowhere"),
        ([], [cm.Transfer("USD", 1.0, "outside", "outside")], "must touch a pool"),
        ([], [cm.Transfer("DOGE", 1.0, "shared", "outside")], "DOGE"),
    ],
)
def test_a_deed_that_cannot_be_understood_is_refused(trades, transfers, says: str):
    with pytest.raises(InputInvalid, match=says):
        asked(one("cross_sum", START)).what_if("a", trades, transfers)


@given(worlds())
def test_cutting_the_market_down_to_an_account_changes_no_number(world: World):
    market = prepare(world.market)
    book = book_frame(world.market, world.accounts)
    whole = assess(book, market, threads=1)
    for c in range(book.n_accounts):
        desk = desk_for(book, market, c, "shared")
        alone = assess(desk.book, desk.market, threads=1)
        rows = slice(int(book.account_starts[c]), int(book.account_starts[c + 1]))
        assert alone.verdict.tolist() == whole.verdict[rows].tolist()
        for name in NUMBERS:
            want = getattr(whole, name)[rows]
            # The same sums over fewer zeros: scenarios and factors keep their order.
            size = 1.0 + np.abs(np.nan_to_num(whole.equity[rows])).max()
            np.testing.assert_allclose(
                getattr(alone, name), want, rtol=1e-9, atol=1e-9 * size, err_msg=name
            )
        names = [
            [m.scenarios.name(int(code)) for code in codes]
            for m, codes in (
                (desk.market, alone.worst_scenario),
                (market, whole.worst_scenario[rows]),
            )
        ]
        assert names[0] == names[1]
