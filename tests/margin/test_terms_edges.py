"""Terms at their edges: two loads on one asset, two underlyings with a minimum, small positions,
the class of an asset, scenarios that say nothing of a factor, contracts partly averaged."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from crossmargin.base.errors import RulebookInvalid
from crossmargin.domain.rulebook import AssetRules, Bracket, Shock
from crossmargin.frames.history import HOUR_NS
from crossmargin.margin import collateral, joint, scenarios
from crossmargin.margin.classes import class_of, class_view
from crossmargin.margin.joint import SEED_RETURNS
from crossmargin.margin.requirement import BINDING, PARTS, blank_frame, empty_frame
from crossmargin.reference.plain import STALE, Holding, PlainAsset, PlainInstrument, PlainMarket
from margin.small import (
    FEE,
    INITIAL,
    MONTH,
    answer,
    held,
    one,
    part,
    plain_market,
    two_days,
    with_factor,
    with_instrument,
)
from margin.test_joint import RULES, walk
from margin.test_joint import market as joint_market
from strategies import AT_NS, DAY_NS, rulebook
from twins.bridge import market_frame
from twins.rows import prepare

put = msgspec.structs.replace


def with_asset(market: PlainMarket, name: str, *loads: tuple[str, float], **more) -> PlainMarket:
    """The small market with one more asset."""
    asset = PlainAsset(name, "yield_bearing", loads, **more)
    return replace(market, assets={**market.assets, name: asset})


# --- classes --------------------------------------------------------------------------------------


def test_an_asset_is_of_the_class_of_its_first_factor_and_the_numeraire_of_its_own():
    market = with_asset(plain_market(), "LST", ("ETH/USD", 1.0), ("SOL/USD", 0.5))
    market = replace(market, assets={n: replace(a, adv=math.nan) for n, a in market.assets.items()})
    view = class_view(market_frame(market), market.rulebook)
    # Factors in order: BTC/USD, ETH/USD, SOL/USD, USDT/USD; the dollar has none.
    want = {"USD": (-1, "fiat"), "BTC": (0, "btc"), "ETH": (1, "eth"), "SOL": (2, "major"),
            "USDT": (3, "stablecoin"), "LST": (1, "eth")}  # fmt: skip
    assert dict(zip(market.assets, zip(view.first_factor, view.asset_class, strict=True),
                    strict=True)) == want  # fmt: skip
    classes = market.rulebook.classes
    assert view.adv.tolist() == [classes[name].adv for _, name in want.values()]
    # 1 - (1 - 0.18)(1 - 0.25)^0.5, and (1 + 0.18)(1 + 0.25)^0.5 - 1
    assert view.market_mm[-1] == pytest.approx(1.0 - 0.82 * 0.75**0.5)
    assert view.debt_mm[-1] == pytest.approx(1.18 * 1.25**0.5 - 1.0)


def test_a_class_the_rules_do_not_know_is_refused_by_its_key():
    with pytest.raises(RulebookInvalid) as caught:
        class_of(rulebook(), "meme")
    finding = caught.value.findings[0]
    assert caught.value.key == "classes.meme"
    assert (finding.found, finding.allowed) == ("absent", "the market uses this class; add it")


# --- collateral -----------------------------------------------------------------------------------


def test_the_surcharge_of_a_debt_multiplies_over_all_its_factors():
    # Price 2,000 x 100 = 200,000. Market part (1.18)(1.25) - 1, f times that at IM; liquidity
    # 0.005 and 0.015 at MM, 0.01 and 0.025 at IM.
    market = with_asset(plain_market(), "TWO", ("ETH/USD", 1.0), ("SOL/USD", 1.0), adv=5e7)
    frame = answer(market, one("cross_sum", held(USD=1e6, TWO=-1.0)))
    debt = 1.18 * 1.25 - 1.0
    assert frame.surcharge_mm[0] == pytest.approx(2e5 * ((1.0 + debt) * 1.005 * 1.015 - 1.0))
    im = 2e5 * ((1.0 + INITIAL * debt) * 1.01 * 1.025 - 1.0)
    assert frame.surcharge_im[0] == pytest.approx(im)


def test_an_assets_own_surcharge_replaces_its_classes_and_im_is_never_less():
    market = plain_market()
    own = {
        "ETH": AssetRules(surcharge_liquidity_mm=0.03),
        "BTC": AssetRules(surcharge_liquidity_im=0.05),
    }
    market = replace(market, rulebook=put(market.rulebook, assets=own))
    frame = answer(market, one("cross_sum", held(USD=1e6, ETH=-1.0)),
                   one("cross_sum", held(USD=1e6, BTC=-1.0)))  # fmt: skip
    # ETH: 0.03 at MM; its class's 0.01 at IM is less and gives way. BTC: its class's 0.005 at MM.
    assert frame.surcharge_mm == pytest.approx(
        [2_000.0 * (1.18 * 1.03 - 1.0), 50_000.0 * (1.14 * 1.005 - 1.0)]
    )
    assert frame.surcharge_im == pytest.approx(
        [
            2_000.0 * ((1 + INITIAL * 0.18) * 1.03 - 1.0),
            50_000.0 * ((1 + INITIAL * 0.14) * 1.05 - 1.0),
        ]
    )


def test_an_assets_own_brackets_replace_its_classes():
    market = plain_market()
    flat = (Bracket(1e5, 0.1, 0.2), Bracket(math.inf, 0.5, 0.6))
    market = replace(
        market, rulebook=put(market.rulebook, assets={"ETH": AssetRules(liquidity=flat)})
    )
    frame = answer(market, one("cross_sum", held(USD=-1.0, ETH=100.0)))
    # 200,000: the first half keeps 0.9, the second 0.5; then the market part of 0.18.
    assert frame.haircut_mm[0] == pytest.approx(2e5 - (0.9 * 1e5 + 0.5 * 1e5) * 0.82)
    im = 2e5 - (0.8 * 1e5 + 0.4 * 1e5) * (1.0 - INITIAL * 0.18)
    assert frame.haircut_im[0] == pytest.approx(im)


def test_uncertainty_is_off_on_request_and_the_widest_known_where_nothing_is_known():
    market = with_factor(plain_market(), "ETH/USD", half_width=0.02)
    market = with_factor(market, "SOL/USD", half_width=math.nan)
    rules, frame = market.rulebook, market_frame(market)
    view = class_view(frame, rules)
    down, up = collateral.uncertainty(frame, rules, view)
    widest = rules.oracle.half_width_max
    assert down.tolist() == pytest.approx([0.0, 0.02, widest, 0.0])
    assert up.tolist() == pytest.approx([0.0, 0.02, widest, 0.0])
    off = put(rules, oracle=put(rules.oracle, price_uncertainty=False))
    for side in collateral.uncertainty(frame, off, view):
        assert side.tolist() == [0.0] * 4


def test_a_price_off_its_stable_price_and_an_old_one_are_uncertain_on_the_right_side():
    market = with_factor(plain_market(), "BTC/USD", stable_price=40_000.0)  # level 50,000
    market = with_factor(market, "ETH/USD", stable_price=2_500.0)  # level 2,000
    market = with_factor(market, "SOL/USD", age_s=21_600.0)  # a quarter of a day, sigma 0.03
    frame = market_frame(market)
    down, up = collateral.uncertainty(frame, market.rulebook, class_view(frame, market.rulebook))
    # 1 - 40/50, and nothing above; 2,500/2,000 - 1, and nothing below; 2 x 0.03 x sqrt(1/4).
    assert down.tolist() == pytest.approx([0.2, 0.0, 0.03, 0.0])
    assert up.tolist() == pytest.approx([0.0, 0.25, 0.03, 0.0])


# --- positions smaller than one -------------------------------------------------------------------


def test_half_a_long_option_only_reduces():
    # Alone it charges nothing, and it cannot add to a long perpetual: 0.18 x 2,000 x 1.
    market = plain_market()
    frame = answer(market, one("cross_sum", held(USD=1e5, ETH_C=0.5)),
                   one("cross_sum", held(USD=1e5, ETH_PERP=1.0, ETH_C=0.5)),
                   one("isolated", held(USD=1e5, ETH_C=0.5)))  # fmt: skip
    assert [part(frame, "core", "mm", p) for p in range(3)] == pytest.approx([0.0, 360.0, 0.0])


def test_basis_of_less_than_a_dollar_is_still_basis():
    # A ten-thousandth of an ETH in two tenors, opposite: 0.2 USD each way. Gross 0.4, net 0: all of
    # it is basis. m_T = a T beside the perpetual's fixed rate; both scale with size.
    market = plain_market(joint=two_days())
    both = [
        part(answer(market, one("portfolio", held(USD=1e5, ETH_PERP=-q, ETH_FUT=q))), "basis", "mm")
        for q in (1e-4, 1.0)
    ]
    assert both[1] > 0.0
    assert both[0] == pytest.approx(1e-4 * both[1], rel=1e-9)


def test_spot_of_two_assets_on_one_factor_offsets_a_future_together():
    # 10 ETH and 10 more as LST (the same factor) against 20 sold futures: no net exposure left
    # beside what haircuts take; with one of them only, half.
    market = with_asset(plain_market(joint=two_days()), "LST", ("ETH/USD", 1.0), adv=5e7)
    fut = -20.0
    two, one_asset = (
        part(answer(market, one("portfolio", rows)), "basis", "mm")
        for rows in (
            (*held(USD=1e6, ETH=10.0, ETH_FUT=fut), Holding("LST", 10.0)),
            held(USD=1e6, ETH=20.0, ETH_FUT=fut),
        )
    )
    assert two == pytest.approx(one_asset, rel=1e-9)
    assert two > 0.0


def test_minimums_of_short_options_add_up_over_underlyings():
    # 100 calls on ETH, 1 % of 2,000, and 500 on SOL, 1 % of 100: 2,000 + 500, none lost in a scan.
    sol = PlainInstrument("SOL-C", "call", "linear", "premium", "SOL", "USD", "USD", 1.0, 100.0,
                          expiry_ns=MONTH, strike=1e4, iv=0.6, rate=0.03)  # fmt: skip
    market = plain_market(sol, joint=two_days(-1e-6, 1e-6), stress_weight=0.0, kappa=1.0)
    market = with_instrument(market, "ETH-C", strike=2e5)
    rows = (*held(USD=1e6, ETH_C=-100.0), Holding("SOL-C", -500.0))
    frame = answer(market, one("portfolio", rows))
    both = part(frame, "core", "mm") + part(frame, "short_option_minimum", "mm")
    assert both == pytest.approx(2_500.0, rel=1e-6)


def test_collateral_is_in_the_risk_array_with_and_without_what_settles_soon():
    # One ETH held is the first leg, sold forward to half a day from now. Together nothing moves;
    # without the future a fall of 50 % costs what counts of the ETH (0.995 at MM) x 1,000.
    market = plain_market(joint=two_days(-0.5, 0.1), stress_weight=0.0, kappa=0.0)
    frame = answer(market, one("portfolio", held(ETH=1.0, ETH_SOON=-1.0)))
    assert BINDING[frame.binding_term[0]] == "joint_es"
    assert part(frame, "core", "mm") == pytest.approx(995.0)


def test_a_scan_without_a_loss_has_no_scenario():
    market = plain_market(joint=two_days(), stress_weight=0.0)
    frame = answer(market, one("portfolio", held(USD=1e5)))
    assert frame.worst_scenario[0] == -1
    assert BINDING[frame.binding_term[0]] == "none"


# --- instruments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "forward"),
    [(name, f) for name in ("ETH-PERP", "ETH-FUT") for f in (0.0, -1.0, math.nan, math.inf)]
    + [("ETH-C", f) for f in (0.0, -1.0, math.nan)],
)
def test_an_instrument_without_a_forward_has_no_price(name: str, forward: float):
    market = with_instrument(plain_market(), name, forward=forward)
    there = prepare(market)
    row = len(market.assets) + list(market.instruments).index(name)
    assert bool(there.items.bad[row])
    assert int(there.items.bad.sum()) == 1


def test_contracts_keep_what_is_averaged_and_move_the_rest():
    market = with_instrument(plain_market(), "ETH-FUT", averaged=1_900.0, averaged_share=0.25)
    there = prepare(market)
    terms = scenarios.contracts_of(there.frame, there.priced)
    row = len(market.assets) + list(market.instruments).index("ETH-FUT")
    assert terms.fixed[row] == pytest.approx(475.0)  # 0.25 x 1,900
    assert terms.forward[row] == pytest.approx(1_500.0)  # 0.75 x 2,000
    assert not np.delete(terms.fixed, row).any()


def test_what_expires_at_the_end_of_the_margin_period_settles_within_it():
    rows = []
    for late in (-1, 0, 1):  # nanoseconds past 24 h
        market = with_instrument(plain_market(), "ETH-FUT", expiry_ns=AT_NS + DAY_NS + late)
        row = len(market.assets) + list(market.instruments).index("ETH-FUT")
        rows.append(bool(prepare(market).rows.expires[row]))
    assert rows == [True, True, False]


# --- scenarios ------------------------------------------------------------------------------------


def stress_of(market: PlainMarket) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    frame = market_frame(market)
    names, rows, vols = scenarios.stress_rows(
        frame, market.rulebook, class_view(frame, market.rulebook)
    )
    return dict(zip(names, zip(rows, vols, strict=True), strict=True))


def with_stress(market: PlainMarket, **changes: object) -> PlainMarket:
    rules = market.rulebook
    return replace(market, rulebook=put(rules, stress=put(rules.stress, **changes)))


def test_an_unnamed_coin_falls_at_least_as_far_as_bitcoin_and_a_peg_does_not():
    event = put(rulebook().stress.events[0], name="day", moves={"BTC/USD": -0.4},
                class_moves={"eth": -0.1, "stablecoin": -0.02})  # fmt: skip
    moves, vol = stress_of(with_stress(plain_market(), events=(event,), shocks=()))["day"]
    # BTC named; ETH's class says -0.1 but BTC fell 0.4; SOL's class says nothing; USDT is a peg.
    assert moves.tolist() == [-0.4, -0.4, -0.4, -0.02]
    # The surface rises 1.5 for each log point of a fall.
    assert vol == pytest.approx([-1.5 * math.log1p(m) for m in moves])


def test_a_mirrored_day_undoes_the_day_up_to_the_cap():
    moves = {"BTC/USD": -0.5, "ETH/USD": -0.9, "SOL/USD": -0.2}
    event = put(rulebook().stress.events[0], name="day", moves=moves, class_moves={})
    found = stress_of(with_stress(plain_market(), events=(event,), shocks=(), mirror_cap=2.0))
    # 1 / 0.5 - 1 = 1; 1 / 0.1 - 1 = 9, cut at 2; 1 / 0.8 - 1 = 0.25; 0
    assert found["day mirrored"][0].tolist() == pytest.approx([1.0, 2.0, 0.25, 0.0])
    assert found["USDT/USD at 0.80"][0].tolist() == pytest.approx([0.0, 0.0, 0.0, -0.2])


def test_a_made_shock_moves_by_factor_then_class_then_range_and_sets_its_own_vols():
    shocks = (
        Shock(name="made", moves={"BTC/USD": 0.1, "btc": 0.2, "eth": 0.3}, ranges={"major": -1.0},
              vol=1.0),
        Shock(name="deep", ranges={"major": -5.0}),  # 5 x 0.25 is more than all: -0.99
    )  # fmt: skip
    found = stress_of(with_stress(plain_market(), events=(), shocks=shocks))
    assert found["made"][0].tolist() == pytest.approx([0.1, 0.3, -0.25, 0.0])
    assert found["made"][1].tolist() == [1.0] * 4
    assert found["deep"][0].tolist() == [0.0, 0.0, -0.99, 0.0]


@pytest.mark.parametrize(("late_s", "known"), [(-1, True), (0, True), (1, False)])
def test_a_scenario_is_used_from_the_moment_it_is_known(late_s: int, known: bool):
    stamp = datetime.fromtimestamp(AT_NS // 1_000_000_000 + late_s, UTC)
    event = put(rulebook().stress.events[0], name="day", known_from=stamp)
    shock = Shock(name="made", moves={"btc": 0.1}, known_from=stamp)
    found = stress_of(with_stress(plain_market(), events=(event,), shocks=(shock,)))
    assert ("day" in found, "day mirrored" in found, "made" in found) == (known,) * 3


def test_scenarios_are_named_by_factor_move_and_what_vol_does():
    there = prepare(plain_market(joint=two_days()))
    found = there.scenarios
    n, g = len(found.names), found.grid_moves.shape[1]
    assert found.name(-1) is None
    assert found.name(0) == "day 0"
    assert found.name(n - 1) == found.names[-1]
    # Steps -1, -0.75 .. 1 of the range, three vols each; then eight tails; then a day.
    assert [found.name(n + at) for at in (0, 1, 2)] == [
        "BTC/USD -14.0% vol down", "BTC/USD -14.0% vol same", "BTC/USD -14.0% vol up",
    ]  # fmt: skip
    assert found.name(n + g + 26) == "ETH/USD +18.0% vol up"
    assert found.name(n + g + 27) == "ETH/USD -66.0% tail vol up"
    assert found.name(n + g + 35) == "ETH/USD +0.0% after 24 h"
    # weight x |move| = 0.9 x 0.18 for every tail of ETH
    tails = slice(27, 35)
    assert found.grid_weight[1, tails] * np.abs(found.grid_moves[1, tails]) == pytest.approx(0.162)


# --- joint rows -----------------------------------------------------------------------------------


def test_sigma_now_does_not_sink_below_three_quarters_of_its_mean():
    rules = rulebook().joint  # ewma 0.97, floor 0.75
    quiet = 100
    returns = np.zeros((SEED_RETURNS + quiet, 2))
    returns[:SEED_RETURNS] = 0.1
    returns[SEED_RETURNS:, 1] = np.nan  # silent after its start: nothing changes, nothing decays
    sigma, now = joint._volatilities(returns, rules)
    # sigma 0.1 after the seed, then x sqrt(0.97) a day: before day j it is 0.1 x 0.97^(j/2).
    path = [0.1 * 0.97 ** (j / 2) for j in range(quiet)]
    assert np.isnan(sigma[:SEED_RETURNS]).all()
    assert sigma[SEED_RETURNS:, 0] == pytest.approx(path)
    assert sigma[SEED_RETURNS:, 1] == pytest.approx(0.1)
    assert 0.1 * 0.97 ** (quiet / 2) < 0.75 * np.mean(path)  # so the floor is what counts
    assert now == pytest.approx([0.75 * np.mean(path), 0.1])


def test_a_factor_with_too_few_returns_has_no_sigma():
    returns = np.full((SEED_RETURNS - 1, 1), 0.1)
    sigma, now = joint._volatilities(returns, rulebook().joint)
    assert np.isnan(sigma).all()
    assert np.isnan(now).all()


def test_rescaling_is_clipped_on_both_sides():
    rules = rulebook().joint  # 0.5 .. 2.5
    found = joint._ratio(np.array([0.1, 0.1, 0.1]), np.array([1.0, 0.1, 0.01]), rules)
    assert found.tolist() == pytest.approx([0.5, 1.0, 2.5])


def test_a_factor_the_history_does_not_know_is_its_class_on_every_day():
    known = (("BTC/USD", "spot", "BTC"), ("AAA/USD", "spot", "altcoin"))
    got = joint.joint_rows(
        walk(), joint_market(factors=(*known, ("ZZZ/USD", "spot", "altcoin"))), RULES, 24.0
    )
    assert got.flagged[:, 2].all()
    assert not got.flagged[:, 1].all()
    # The class has one return a day and one volatility, AAA's: where that is known they move alike.
    alike = ~got.flagged[:, 1]
    assert got.factor_moves[alike, 2] == pytest.approx(got.factor_moves[alike, 1], rel=1e-9)


def test_a_short_window_counts_the_first_date_too():
    # Closes from 01:00 of day 1; windows of 4 h end at midnight of days 1 to 60: all 60 are told.
    got = joint.joint_rows(walk(), joint_market(), RULES, 4.0)
    assert len(got) == RULES.rows
    early = joint_market(at_ns=60 * 24 * HOUR_NS)
    assert len(joint.joint_rows(walk(), early, RULES, 4.0)) == 60


# --- frames ---------------------------------------------------------------------------------------


def test_an_empty_frame_is_unpriced_throughout():
    frame = empty_frame(3, with_parts=True)
    assert frame.parts_mm.shape == frame.parts_im.shape == (len(PARTS), 3)
    assert (frame.verdict == 0).all()
    assert np.isnan(frame.equity).all()
    assert np.isnan(frame.parts_mm).all()
    assert frame.worst_scenario.tolist() == [-1] * 3
    assert frame.binding_term.tolist() == [0] * 3
    assert not frame.free.any()
    assert (frame.draw_mm.tolist(), frame.draw_im.tolist()) == ([0.0] * 3, [0.0] * 3)
    assert empty_frame(3, with_parts=False).parts_mm.shape == (0, 3)


def test_a_frame_holds_small_codes_small():
    frame = blank_frame(2, with_parts=False)
    types = (frame.binding_term.dtype, frame.worst_scenario.dtype, frame.free.dtype)
    assert types == (np.int8, np.int64, np.bool_)


def test_a_pool_that_owes_nothing_keeps_a_buffer_of_nothing_at_worst():
    # All of its value lies in a last bracket that counts nothing; nothing is owed.
    market = plain_market()
    none = (Bracket(math.inf, 1.0, 1.0),)
    market = replace(
        market, rulebook=put(market.rulebook, assets={"ETH": AssetRules(liquidity=none)})
    )
    frame = answer(market, one("cross_sum", held(ETH=1.0)),
                   one("cross_sum", held(ETH=1.0, BTC_PERP=0.01)))  # fmt: skip
    assert frame.buffer_mm[0] == 0.0
    assert frame.buffer_im[0] == 0.0
    # A perpetual owes: 0.01 x 50,000 x (0.14 + fee) with nothing against it.
    assert frame.buffer_mm[1] == pytest.approx(-500.0 * (0.14 + FEE))


def test_a_row_of_nothing_is_nothing_even_where_its_price_is_bad():
    # Zero perpetuals of a stale coin: neither unpriced, nor a debt, nor a requirement.
    market = with_factor(plain_market(), "ETH/USD", status=STALE)
    rows = held(USD=100.0, ETH=0.0, ETH_PERP=0.0, ETH_C=0.0)
    for method in ("isolated", "cross_sum", "cross_correlated"):
        frame = answer(market, one(method, rows))
        assert (frame.equity[0], frame.mm[0], frame.im[0]) == (100.0, 0.0, 0.0)
        assert bool(frame.free[0])


# --- terms of items -------------------------------------------------------------------------------


def test_assets_and_futures_carry_no_term_of_an_option():
    market = plain_market()
    items = prepare(market).items
    n, names = len(market.assets), list(market.instruments)
    for column in (items.delta, items.short_unit, items.isolated_mm, items.isolated_im):
        assert not column[:n].any()
    assert (items.slot[:n] == -1).all()
    assert (items.kind[:n] == 0).all()
    premium = {"ETH-C", "ETH-P", "ETH-C-USDT", "ETH-C-INV"}  # ETH-P-F is futures-style
    assert {names[i] for i in np.flatnonzero(items.unit_value[n:])} == premium
    assert not items.unit_value[:n].any()


def test_a_quanto_contract_is_its_size_times_its_rate():
    quanto = PlainInstrument("ETH-QUANTO", "perpetual", "quanto", "premium", "ETH", "USD", "BTC",
                             3.0, 2_000.0, 0.5)  # fmt: skip
    market = plain_market(quanto)
    there = prepare(market)
    row = len(market.assets) + list(market.instruments).index("ETH-QUANTO")
    assert scenarios.contracts_of(there.frame, there.priced).size[row] == 1.5  # BTC a dollar
    # One contract, up 100 from entry: 1.5 x 100 BTC at 50,000.
    frame = answer(market, one("cross_sum", [*held(USD=1.0), Holding("ETH-QUANTO", 1.0, 1_900.0)]))
    assert frame.equity[0] == pytest.approx(1.0 + 150.0 * 50_000.0)


def test_the_grid_of_the_settlement_coin_leaves_the_surface_alone():
    # A call quoted in USDT has rows in the grids of ETH and of USDT. Where nothing moves and vols
    # stay ("vol same" of step 0) both lose nothing; the peg's grid never touches the vol.
    market = plain_market()
    there = prepare(market)
    item = len(market.assets) + list(market.instruments).index("ETH-C-USDT")
    rows, eth, usdt = there.rows, 1, 3
    lines = {
        int(rows.grid_factor[d]): rows.grid_rows[d]
        for d in range(rows.grid_starts[item], rows.grid_starts[item + 1])
    }
    assert set(lines) == {eth, usdt}
    still = 4 * 3  # step 0 is the fifth of nine; down, same, up
    assert lines[usdt][still : still + 3] == pytest.approx([0.0] * 3, abs=1e-9)
    down, same, up = lines[eth][still : still + 3]
    assert same == pytest.approx(0.0, abs=1e-9)
    assert down < -10.0 < 10.0 < up


def test_a_day_on_which_bitcoin_rose_lifts_what_it_does_not_name():
    event = put(rulebook().stress.events[0], name="day", moves={"BTC/USD": 0.2}, class_moves={})
    moves, _ = stress_of(with_stress(plain_market(), events=(event,), shocks=()))["day"]
    assert moves.tolist() == [0.2, 0.2, 0.2, 0.0]


def test_a_day_takes_value_off_an_option_held():
    # The last scenario of a grid: nothing moves and a day has passed. At the money, F = K = 2,000,
    # discount over 29 days less value over 30 days, each as the closed form of `at the money`.
    market = plain_market()
    rows = prepare(market).rows
    item = len(market.assets) + list(market.instruments).index("ETH-C")

    def value(days: float) -> float:
        years = days / 365.0
        half = 0.6 * math.sqrt(years) / 2.0
        return math.exp(-0.03 * years) * 2_000.0 * math.erf(half / math.sqrt(2.0))

    day = rows.grid_rows[rows.grid_starts[item], -1]
    assert day == pytest.approx(value(29.0) - value(30.0), rel=1e-9)
    assert day < 0.0


def test_minimums_of_two_underlyings_add_up_under_cross_too():
    # Deltas are next to nothing so far out of the money: 1 % and 1.25 % of 100 x 2,000 + 500 x 100.
    sol = PlainInstrument("SOL-C", "call", "linear", "premium", "SOL", "USD", "USD", 1.0, 100.0,
                          expiry_ns=MONTH, strike=1e4, iv=0.6, rate=0.03)  # fmt: skip
    market = with_instrument(plain_market(sol), "ETH-C", strike=2e5)
    rows = (*held(USD=1e6, ETH_C=-100.0), Holding("SOL-C", -500.0))
    frame = answer(market, one("cross_sum", rows))
    assert part(frame, "short_option_minimum", "mm") == pytest.approx(2_500.0, rel=1e-6)
    assert part(frame, "short_option_minimum", "im") == pytest.approx(3_125.0, rel=1e-6)
