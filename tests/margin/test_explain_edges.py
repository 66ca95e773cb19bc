"""The trees of explain in full: every name and note, in order, for books done by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from crossmargin.margin.explain import Node, explain_pool
from crossmargin.margin.requirement import BINDING, PARTS
from crossmargin.reference.plain import STALE, Holding, PlainAccount, PlainMarket, PlainPool
from margin.small import held, judged, one, part, plain_market, two_days, with_factor


def trees(market: PlainMarket, method: str, rows, **more: object) -> dict[str, Node]:
    book, frame, there = judged(market, one(method, rows, **more))
    return explain_pool(book, frame, there, 0, method)


def outline(node: Node) -> list[tuple[str, str]]:
    """Names, indented by depth, and notes."""
    return [("." * depth + n.name, n.note) for depth, n in node.walk()]


def at_the_money() -> float:
    """A call or put with F = K = 2,000, 60 % for 30 of 365 days, rate 3 %."""
    years = 30.0 / 365.0
    half = 0.6 * math.sqrt(years) / 2.0
    return math.exp(-0.03 * years) * 2_000.0 * math.erf(half / math.sqrt(2.0))


LEAF = Node("leaf", 2.0)
TREE = Node("top", 5.0, "why", (Node("left", 3.0, "x", (Node("low", 3.0),)), LEAF))


def test_a_tree_of_nodes_is_walked_found_in_and_shown():
    assert [(d, n.name) for d, n in TREE.walk()] == [
        (0, "top"), (1, "left"), (2, "low"), (1, "leaf"),
    ]  # fmt: skip
    assert TREE.find("leaf") is LEAF
    assert TREE.to_dict() == {
        "name": "top", "value": 5.0, "note": "why",
        "children": [
            {"name": "left", "value": 3.0, "note": "x",
             "children": [{"name": "low", "value": 3.0}]},
            {"name": "leaf", "value": 2.0},
        ],
    }  # fmt: skip
    assert TREE.text().splitlines() == [
        "top      5.00  why",
        "  left   3.00  x",
        "    low  3.00",
        "  leaf   2.00",
    ]


def test_the_gap_is_the_widest_anywhere():
    assert TREE.gap() == 0.0
    assert Node("alone", 7.0).gap() == 0.0
    assert Node("top", 10.0, "", (Node("a", 4.0), LEAF)).gap() == 4.0  # 10 - 4 - 2
    assert Node("top", 2.0, "", (Node("a", 4.0), LEAF)).gap() == 4.0  # 2 - 4 - 2, without its sign
    below = Node("a", 8.0, "", (Node("b", 1.0), LEAF))  # 8 - 1 - 2 = 5
    assert Node("top", 10.0, "", (below, LEAF)).gap() == 5.0


def test_a_missing_name_is_a_key_error_that_says_it():
    with pytest.raises(KeyError, match="nowhere"):
        TREE.find("nowhere")


def test_the_whole_tree_of_a_netted_pool():
    # SOL-PERP: 10 x (100 - 90) = 100 of unsettled gains, half of which count at IM (tier B).
    rows = [
        *held(USD=1e5, BTC=-0.5, ETH=10.0, BTC_PERP=1.0, ETH_C=-5.0, ETH_P=2.0),
        Holding("SOL-PERP", 10.0, 90.0),
    ]
    market = with_factor(plain_market(), "SOL/USD", half_width=0.01)
    book, frame, there = judged(market, one("cross_sum", rows))
    tree = explain_pool(book, frame, there, 0, "cross_sum")
    unit = f"{at_the_money():,.6g}"
    for level in ("mm", "im"):
        unsure = level == "im"  # tier B gains count whole at MM
        parts = getattr(frame, f"parts_{level}")[:, 0]
        want = [
            (f"buffer_{level}", "margin balance - requirement"),
            (f".margin_balance_{level}", ""),
            ("..equity", "net balances with unsettled P&L, and options at value"),
            ("...USD", "100,100 x 1"),
            ("...BTC", "-0.5 x 50,000"),
            ("...ETH", "10 x 2,000"),
            ("...ETH-C", f"-5 x {unit}"),
            ("...ETH-P", f"2 x {unit}"),
            ("..haircut", "what held assets lose"),
            ("...ETH", ""),
            ("..surcharge", "what debts cost beyond their value"),
            ("...BTC", ""),
            ("..long_options", "long options do not count here"),
            *([("..unsettled_gains", "the part of unsettled gains held back")] * unsure),
            *([("..price_uncertainty", "on net exposures")] * unsure),
            (f".{level}", "requirement"),
        ]
        for name, value in zip(PARTS, parts, strict=True):
            if value != 0.0:
                want.append((f"..{name}", "sum" if name == "core" else ""))
            if name == "core":
                want += [("...BTC", ""), ("...ETH", ""), ("...SOL", "")]
        assert outline(tree[f"buffer_{level}"]) == want
    equity = tree["buffer_mm"].find("equity")
    assert [c.value for c in equity.children] == pytest.approx(
        [100_100.0, -25_000.0, 20_000.0, -5.0 * at_the_money(), 2.0 * at_the_money()]
    )
    deducted = tree["buffer_im"].find("margin_balance_im").children
    assert all(c.value < 0.0 for c in deducted[1:])
    assert frame.gains_im[0] > 0.0
    assert tree["buffer_im"].find("price_uncertainty").value == -frame.uncertainty[0]


def test_a_draw_stands_between_the_balance_and_the_requirement():
    shared = PlainPool("shared", "cross_sum", held(USD=1e5))
    bucket = PlainPool("b", "cross_sum", held(USD=100.0, BTC_PERP=0.1), draw_limit=5_000.0)
    book, frame, market = judged(plain_market(), PlainAccount("a", (shared, bucket)))
    tree = explain_pool(book, frame, market, 1, "cross_sum")["buffer_mm"]
    assert tree.note == "margin balance + draw - requirement"
    assert [(c.name, c.note) for c in tree.children] == [
        ("margin_balance_mm", ""), ("draw", "reserved on the shared pool"), ("mm", "requirement"),
    ]  # fmt: skip


def test_a_pool_without_a_price_says_what_it_lacks():
    market = with_factor(plain_market(), "ETH/USD", status=STALE)
    market = with_factor(market, "SOL/USD", status=STALE)
    nodes = trees(market, "cross_sum", held(USD=1.0, SOL=0.0, ETH=-1.0, ETH_PERP=1.0))
    for key in ("buffer_mm", "buffer_im"):  # SOL is bad too, but none of it is held
        assert (nodes[key].name, nodes[key].children) == (key, ())
        assert math.isnan(nodes[key].value)
        assert nodes[key].note == "unpriced: no good price of ETH, ETH-PERP"


def test_a_pool_is_judged_by_its_own_rows_when_it_lacks_a_price():
    market = with_factor(plain_market(), "ETH/USD", status=STALE)
    market = with_factor(market, "SOL/USD", status=STALE)
    pools = tuple(
        PlainPool(name, "cross_sum", held(USD=1.0, **{asset: -1.0}))
        for name, asset in (("shared", "ETH"), ("b", "SOL"), ("c", "ETH"))
    )
    book, frame, there = judged(market, PlainAccount("a", pools))
    said = [explain_pool(book, frame, there, p, "cross_sum")["buffer_mm"].note for p in range(3)]
    lacking = ("ETH", "SOL", "ETH")
    assert said == [f"unpriced: no good price of {name}" for name in lacking]


def test_a_pool_set_aside_and_a_market_without_history_say_so():
    aside = "a row of it was refused: see the findings"
    history = "no joint scenarios: the market has no history"
    market, rows = plain_market(), held(USD=1.0, BTC_PERP=1.0)
    said = {
        (method, set_aside): trees(market, method, rows, set_aside=set_aside)["buffer_im"].note
        for method, set_aside in (("cross_sum", True), ("portfolio", False), ("portfolio", True))
    }
    assert said == {
        ("cross_sum", True): f"unpriced: {aside}",
        ("portfolio", False): f"unpriced: {history}",
        ("portfolio", True): f"unpriced: {aside}; {history}",
    }


def test_a_number_that_is_not_finite_for_no_known_reason_is_still_no_number():
    book, frame, market = judged(plain_market(), one("cross_sum", held(USD=1.0)))
    broken = replace(frame, equity=np.array([math.inf]))
    node = explain_pool(book, broken, market, 0, "cross_sum")["buffer_mm"]
    assert node.note == "unpriced: a number it needs is not finite"


# --- the core of a portfolio ----------------------------------------------------------------------


def core(market: PlainMarket, rows) -> Node:
    return trees(market, "portfolio", rows)["buffer_mm"].find("core")


def parts_of(node: Node) -> dict[str, float]:
    return {c.name: -c.value for c in node.children}


def test_the_core_names_its_term_its_scenario_and_what_comes_next():
    # 10 ETH: the day of -10 % costs 2,000, the whole range of 18 % costs 3,600; half of the only
    # scan is 1,800.
    market = plain_market(joint=two_days(-0.10, 0.05), stress_weight=0.0, kappa=0.5)
    found = core(market, held(USD=1e5, ETH_PERP=10.0))
    assert found.note.startswith("worst_scan: ETH/USD -")
    assert found.note.endswith("; next joint_es 2,000.00")
    assert parts_of(found) == pytest.approx({"ETH-PERP": 3_600.0})


def test_a_core_with_nothing_behind_it_names_no_runner_up():
    # No stress, no scan sum, and both days are gains: only the scan is left.
    market = plain_market(joint=two_days(0.02, 0.01), stress_weight=0.0, kappa=0.0)
    assert "next" not in core(market, held(USD=1e5, ETH_PERP=10.0)).note


def test_a_minimum_of_short_options_is_what_the_scan_leaves_of_it():
    # 1 % of 2,000 for each of 100 calls and 50 more of another: 3,000; the perpetual's scan is
    # 0.18 x 2,000 = 360, and calls so far out of the money lose nothing in it.
    market = plain_market(joint=two_days(-1e-6, 1e-6), stress_weight=0.0)
    far = {n: replace(market.instruments[n], strike=2e5) for n in ("ETH-C", "ETH-C-USDT")}
    market = replace(market, instruments={**market.instruments, **far})
    rows = held(USD=1e6, ETH_PERP=1.0, ETH_C=-100.0, ETH_C_USDT=-50.0)
    found = parts_of(core(market, rows))
    assert found["short_option_minimum"] == pytest.approx(3_000.0 - 360.0, rel=1e-6)
    assert found["ETH-PERP"] == pytest.approx(360.0)
    # A long of one does not take from the minimum of the other.
    found = parts_of(core(market, held(USD=1e6, ETH_C=-100.0, ETH_C_USDT=50.0)))
    assert found["short_option_minimum"] == pytest.approx(2_000.0, rel=1e-6)


def test_half_the_sum_of_scans_holds_half_of_their_minimums():
    # kappa 1: SOL's scan is 0.25 x 100 x 40 = 1,000 beside 1 % x 2,000 x 100 = 2,000 for the calls.
    market = plain_market(joint=two_days(-1e-6, 1e-6), stress_weight=0.0, kappa=1.0)
    call = replace(market.instruments["ETH-C"], strike=2e5)
    market = replace(market, instruments={**market.instruments, "ETH-C": call})
    found = parts_of(core(market, held(USD=1e6, SOL_PERP=40.0, ETH_C=-100.0)))
    assert found["short_option_minimum"] == pytest.approx(2_000.0, rel=1e-6)
    assert found["SOL-PERP"] == pytest.approx(1_000.0, rel=1e-6)


@pytest.mark.parametrize("term", ["joint_es", "stress"])
def test_what_settles_within_the_period_is_left_out_where_that_is_worse(term: str):
    # Ten sold against ten that settle in half a day. Together they lose nothing; without the
    # future a rise of 30 % costs 10 x 2,000 x 0.3 = 6,000.
    weight = {"joint_es": 0.0, "stress": 1.0}[term]
    market = plain_market(joint=two_days(-0.3, 0.3), stress_weight=weight)
    rows = held(USD=1e6, ETH_PERP=-10.0, ETH_SOON=10.0)
    book, frame, there = judged(market, one("portfolio", rows))
    assert BINDING[frame.binding_term[0]] == term
    found = parts_of(explain_pool(book, frame, there, 0, "portfolio")["buffer_mm"].find("core"))
    assert set(found) == {"ETH-PERP"}
    assert found["ETH-PERP"] == pytest.approx(part(frame, "core", "mm"))
    if term == "joint_es":
        assert found["ETH-PERP"] == pytest.approx(6_000.0)


def test_a_stress_no_worse_than_nothing_is_no_stress():
    # A flat book of dollars loses nowhere: its core is none and it is explained without one.
    market = plain_market(joint=two_days(), stress_weight=1.0)
    tree = trees(market, "portfolio", held(USD=1e5))["buffer_mm"]
    assert tree.find("mm").children == ()


# --- the core of isolated and cross ---------------------------------------------------------------


def test_isolated_charges_stand_in_the_order_of_the_book_and_know_no_neighbour():
    # Two pools: the second's rows must not be the first's. 0.14 x 50,000 and 0.18 x 2,000 x 3;
    # a short premium option 7.5 % of 2,000; a long one what its delta costs; a futures-style short
    # by its delta too.
    rows = [PlainPool(name, "isolated", held(USD=1e5, **position)) for name, position in (
        ("shared", {"BTC_PERP": 1.0}), ("b", {"ETH_PERP": -3.0, "ETH_C": -2.0}),
    )]  # fmt: skip
    book, frame, there = judged(plain_market(), PlainAccount("a", tuple(rows)))
    found = [
        parts_of(explain_pool(book, frame, there, p, "isolated")["buffer_mm"].find("core"))
        for p in range(2)
    ]
    assert found[0] == pytest.approx({"BTC-PERP": 7_000.0})
    assert found[1] == pytest.approx({"ETH-PERP": 1_080.0, "ETH-C": 300.0})
    assert list(found[1]) == ["ETH-PERP", "ETH-C"]


def test_a_long_option_alone_is_charged_by_its_delta_not_as_a_short_one():
    book, frame, there = judged(plain_market(), one("isolated", held(USD=1e5, ETH_P_F=-4.0)))
    node = explain_pool(book, frame, there, 0, "isolated")["buffer_mm"].find("core")
    assert node.children[0].name == "ETH-P-F"
    # Futures-style: unsettled P&L, so its delta is charged: about half of 4 x 2,000 x 0.18 = 1,440.
    assert 0.4 * 1_440.0 < -node.value < 0.6 * 1_440.0
    assert -node.value == pytest.approx(part(frame, "core", "mm"))
