"""Spec 1.1: draws on the shared pool, through the whole path, bucket by bucket."""

from __future__ import annotations

import math

import pytest

from crossmargin.margin.requirement import Verdict
from crossmargin.reference.plain import STALE, Holding, PlainAccount, PlainPool
from margin.small import answer, held, part, plain_market, with_factor
from margin.table import table

# A short of q ETH-PERP at 2,000 costs q x 2,000 x (0.18 + 0.0055) = 371 q at MM.
PER_ETH = 371.0


def pool(name: str, cash: float, mm: float, **more: float) -> PlainPool:
    """A pool of that much cash whose MM is `mm`."""
    return PlainPool(name, "cross_sum", held(USD=cash, ETH_PERP=-mm / PER_ETH), **more)


def account(*pools: PlainPool) -> PlainAccount:
    return PlainAccount("a", pools)


# The shared pool: MB 100, own MM 30. The bucket: MM 50, d = 40.
@pytest.mark.parametrize(
    ("cash", "drawn", "granted", "shown", "verdict"),
    table("""
    id                    cash  drawn  granted  shown  verdict
    ends_at_minus_52       -52      0       40     70  BANKRUPT      # S would pay 40, 12 are left
    ends_at_minus_5         -5      0       40     70  LIQUIDATABLE  # S would pay 5
    short_by_a_cent       9.99      0       40     70  LIQUIDATABLE
    example_three            9      0       40     70  LIQUIDATABLE  # S shows 70 and is untouched
    exactly_the_limit       10      0       40     70  REDUCE_ONLY
    example_one             20      0       30     60  REDUCE_ONLY   # S shows 60 of 100
    needs_nothing           50      0        0     30  HEALTHY       # D_IM = 12.5, served too
    five_already_drawn      10      5       35     65  LIQUIDATABLE  # dr = 35
    exactly_what_is_left    15      5       35     65  REDUCE_ONLY
    limit_was_lowered       49     60        0     30  LIQUIDATABLE  # dr = 0, not -20
    """),
)
def test_the_examples_of_the_specification(cash, drawn, granted, shown, verdict):
    shared = pool("shared", 100.0, 30.0)
    bucket = pool("b", float(cash), 50.0, draw_limit=40.0, drawn=float(drawn))
    frame = answer(plain_market(), account(shared, bucket))
    assert frame.draw_mm.tolist() == pytest.approx([0.0, float(granted)])
    assert frame.mm[0] == pytest.approx(float(shown))
    assert part(frame, "draws", "mm") == pytest.approx(float(granted))
    assert Verdict(frame.verdict[1]).name == verdict
    assert frame.verdict[0] >= Verdict.REDUCE_ONLY  # a reservation liquidates nobody
    # Its health uses E + y: (cash + y) / 50.
    if float(cash) + float(granted) > 0.0:
        assert frame.health[1] == pytest.approx((float(cash) + float(granted)) / 50.0)


def test_several_buckets_are_served_in_their_order_until_the_free_buffer_is_gone():
    shared = pool("shared", 100.0, 30.0)  # B = 70
    buckets = [pool(n, 10.0, 50.0, draw_limit=1e6) for n in ("first", "second", "third")]
    frame = answer(plain_market(), account(shared, *buckets))
    assert frame.draw_mm.tolist() == pytest.approx([0.0, 40.0, 30.0, 0.0])
    assert frame.mm[0] == pytest.approx(100.0)
    # At IM the first wants 62.5 - 10 = 52.5 of B_IM = 62.5 and has it; 10 are left for the second.
    assert frame.draw_im.tolist() == pytest.approx([0.0, 52.5, 10.0, 0.0])
    assert [Verdict(v).name for v in frame.verdict] == [
        "HEALTHY", "HEALTHY", "LIQUIDATABLE", "LIQUIDATABLE",
    ]  # fmt: skip


def test_the_shared_pools_own_requirement_comes_first():
    shared = pool("shared", 25.0, 30.0)  # B = max(0, 25 - 30) = 0
    frame = answer(plain_market(), account(shared, pool("b", 49.0, 50.0, draw_limit=40.0)))
    assert frame.draw_mm.tolist() == [0.0, 0.0]
    assert [Verdict(v).name for v in frame.verdict] == ["LIQUIDATABLE", "LIQUIDATABLE"]


def test_at_im_what_was_wanted_is_kept_beside_what_was_granted():
    shared = pool("shared", 100.0, 30.0)  # B_IM = 100 - 1.25 x 30 = 62.5
    buckets = [pool(n, 20.0, 50.0, draw_limit=40.0) for n in ("one", "two")]
    frame = answer(plain_market(), account(shared, *buckets))
    # D_IM = 62.5 - 20 = 42.5, x = min(42.5, 40) each; B_IM serves 40 and then 22.5.
    assert frame.draw_wanted_im.tolist() == pytest.approx([80.0, 40.0, 40.0])
    assert frame.draw_im.tolist() == pytest.approx([0.0, 40.0, 22.5])


def unpriced_bucket(**more: float) -> PlainPool:
    """A bucket that owes ETH; its price is made bad by the test."""
    return PlainPool("b", "cross_sum", (Holding("USD", 100.0), Holding("ETH", -0.01)), **more)


@pytest.mark.parametrize(
    ("last", "limit", "mm", "im"),
    table("""
    id               last  limit   mm    im
    never_drew          0     40    0    40   # IM reserves all that remains
    keeps_its_last     25     40   25    40
    more_than_there   500    600   70    62.5 # at most B: 70 at MM, 62.5 at IM
    limit_is_lower     25     20   20    20
    """),
)
def test_an_unpriced_bucket_keeps_its_last_draw_at_mm_and_its_limit_at_im(last, limit, mm, im):
    market = with_factor(plain_market(), "ETH/USD", status=STALE)
    shared = PlainPool("shared", "cross_sum", held(USD=100.0, BTC_PERP=-30.0 / 7_275.0))
    bucket = unpriced_bucket(last_draw=float(last), draw_limit=float(limit))
    frame = answer(market, account(shared, bucket))
    # The short costs 50,000 x (0.14 + 0.0055) = 7,275 a BTC: MM 30, IM 37.5.
    assert Verdict(frame.verdict[1]) is Verdict.UNPRICED
    assert frame.draw_mm[1] == pytest.approx(float(mm))
    assert frame.draw_im[1] == pytest.approx(float(im))
    assert math.isnan(frame.equity[1])
    assert frame.verdict[0] >= Verdict.REDUCE_ONLY


@pytest.mark.parametrize("aside", [False, True], ids=["bad price", "set aside"])
def test_an_unpriced_shared_pool_lends_at_most_what_it_lent_last(aside: bool):
    market = plain_market() if aside else with_factor(plain_market(), "ETH/USD", status=STALE)
    owed = (Holding("USD", 1.0), Holding("ETH", -0.01))
    shared = PlainPool("shared", "cross_sum", owed, set_aside=aside)
    short = -50.0 / 7_275.0
    buckets = [
        PlainPool(n, "cross_sum", held(USD=cash, BTC_PERP=short), draw_limit=40.0, last_draw=last)
        for n, cash, last in (("kept", 25.0, 30.0), ("less", 25.0, 10.0), ("hole", -30.0, 0.0))
    ]
    frame = answer(market, account(shared, *buckets))
    assert frame.draw_mm.tolist() == pytest.approx([0.0, 25.0, 10.0, 0.0])
    assert frame.draw_im.tolist() == [0.0, 0.0, 0.0, 0.0]
    # E_S is not known: it is taken as covering dr = 40, so the hole of 30 is no bankruptcy.
    assert [Verdict(v).name for v in frame.verdict] == [
        "UNPRICED", "REDUCE_ONLY", "LIQUIDATABLE", "LIQUIDATABLE",
    ]  # fmt: skip


def test_a_bucket_of_no_limit_gets_nothing_and_nothing_of_its_surplus_helps():
    shared = pool("shared", 29.0, 30.0)
    rich, poor = pool("rich", 1e6, 50.0, draw_limit=0.0), pool("poor", 49.0, 50.0, draw_limit=0.0)
    frame = answer(plain_market(), account(shared, rich, poor))
    assert frame.draw_mm.tolist() == [0.0, 0.0, 0.0]
    assert [Verdict(v).name for v in frame.verdict] == ["LIQUIDATABLE", "HEALTHY", "LIQUIDATABLE"]


def test_draws_of_one_account_do_not_reach_another():
    poor = account(pool("shared", 30.0, 30.0), pool("b", 10.0, 50.0, draw_limit=40.0))
    rich = account(pool("shared", 1e6, 30.0), pool("b", 10.0, 50.0, draw_limit=40.0))
    frame = answer(plain_market(), poor, rich, poor)
    assert frame.draw_mm.tolist() == pytest.approx([0.0, 0.0, 0.0, 40.0, 0.0, 0.0])
