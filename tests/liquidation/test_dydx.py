"""Bankruptcy prices, insurance and deleveraging in exact integers, against the venue's vectors."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from crossmargin.base.errors import InputInvalid
from crossmargin.kernels.auctions import bankruptcy_pnl
from crossmargin.liquidation.venues import dydx

# Quote has 1e6 per USD, BTC 1e8 and ETH 1e9 quantums: 50,000 USD = 500 quote quantums a base one.
MARKETS = {
    "BTC": dydx.Terms(Fraction(50_000 * 10**6, 10**8), 200_000, 500_000),
    "ETH": dydx.Terms(Fraction(3_000 * 10**6, 10**9), 200_000, 500_000),
}


def account(given) -> dydx.Account:
    positions = (dydx.Position(p["market"], int(p["quantums"])) for p in given["positions"])
    return dydx.Account(int(given["usdc"]), tuple(positions))


def each(vectors, kind: str):
    cases = vectors(f"dydx_v4/{kind}.json")
    assert cases
    return [(c["id"], c["inputs"], c["expected"]) for c in cases]


def test_margin_requirements(vectors) -> None:
    for name, given, want in each(vectors, "margin_requirement"):
        power = given["exponent"] + given["atomic_resolution"] + 6
        terms = dydx.Terms(
            int(given["price"]) * Fraction(10) ** power,
            given["initial_margin_ppm"], given["maintenance_fraction_ppm"],
        )  # fmt: skip
        caps = dydx.Caps(int(given["oi_lower_cap"]), int(given["oi_upper_cap"]))
        interest = abs(dydx.notional_of(int(given["open_interest_quantums"]), terms))
        scaled = dydx.initial_ppm(terms.initial_ppm, interest, caps)
        notional = dydx.notional_of(int(given["quantums"]), terms)
        got = dydx.requirements(notional, terms, scaled)
        assert got == (int(want["initial_margin"]), int(want["maintenance_margin"])), name


def test_open_interest_scales_the_initial_fraction(vectors) -> None:
    for name, given, want in each(vectors, "open_interest_imf"):
        base = given["initial_margin_ppm"]
        if "mmf_ppm" in want:
            got = dydx.maintenance_ppm(base, given["maintenance_fraction_ppm"])
            assert got == want["mmf_ppm"], name
            continue
        caps = dydx.Caps(int(given["oi_lower_cap"]), int(given["oi_upper_cap"]))
        scaled = dydx.initial_ppm(base, int(given["open_interest_notional"]), caps)
        if "imf_ppm" in want:
            assert scaled == want["imf_ppm"], name
        else:
            terms = dydx.Terms(Fraction(1), base, 0)
            got = dydx.requirements(int(given["notional"]), terms, scaled)[0]
            assert got == want["initial_margin"], name


def test_account_risk(vectors) -> None:
    for name, given, want in each(vectors, "account_risk"):
        if "custom_positions" in given:
            markets, positions = {}, []
            for row, p in enumerate(given["custom_positions"]):
                markets[str(row)] = dydx.Terms(Fraction(p["unit_quote"]), p["imf_ppm"], p["mf_ppm"])
                positions.append(dydx.Position(str(row), p["quantums"]))
            risk = dydx.risk_of(dydx.Account(given["usdc"], tuple(positions)), markets)
            assert (risk.net, risk.initial, risk.maintenance) == (
                want["nc"], want["imr"], want["mmr"],
            ), name  # fmt: skip
        else:
            risk = dydx.risk_of(account(given), MARKETS)
            assert risk.liquidatable == want["liquidatable"], name


def test_transitions_of_undercollateralised_accounts(vectors) -> None:
    for name, given, _ in each(vectors, "undercollateralised_transition"):
        old = dydx.Risk(given["old_nc"], given["old_imr"], given["old_mmr"])
        # Every transcribed case is refused.
        assert not dydx.is_allowed(old, dydx.Risk(given["new_nc"], 0, given["new_mmr"])), name
    assert dydx.is_allowed(dydx.Risk(10, 200, 100), dydx.Risk(9, 180, 90))  # 9 x 100 >= 10 x 90
    assert not dydx.is_allowed(dydx.Risk(10, 200, 100), dydx.Risk(8, 180, 90))


def test_bankruptcy_prices(vectors) -> None:
    for name, given, want in each(vectors, "bankruptcy_price"):
        call = (account(given), given["market"], int(given["delta_quantums"]), MARKETS)
        if want.get("error"):
            with pytest.raises(InputInvalid):
                dydx.bankruptcy_quote(*call)
            continue
        assert dydx.bankruptcy_quote(*call) == want["bankruptcy_quote_quantums"], name


def test_fillable_prices(vectors) -> None:
    for name, given, want in each(vectors, "fillable_price"):
        got = dydx.fillable_price(
            account(given), given["market"], int(given["delta_quantums"]), MARKETS,
            int(given["bankruptcy_adjustment_ppm"]), int(given["spread_to_mmr_ppm"]),
        )  # fmt: skip
        assert got == Fraction(want["price_num"], want["price_den"]), name


def test_insurance_deltas(vectors) -> None:
    for name, given, want in each(vectors, "insurance_fund_delta"):
        size = int(given["fill_amount"])
        delta = size if given["is_buy"] else -size
        exact = size * int(given["subticks"]) * Fraction(10) ** given["quantum_conversion_exponent"]
        quote = int(exact)  # towards zero
        quote = -quote if given["is_buy"] else quote

        def paid(given=given, delta=delta, quote=quote) -> int:
            due = dydx.bankruptcy_quote(account(given), given["market"], delta, MARKETS)
            return dydx.insurance_delta(quote, due, given["max_liquidation_fee_ppm"])

        if want.get("error"):
            with pytest.raises(InputInvalid):
                paid()
        else:
            assert paid() == want["insurance_fund_delta"], name


def test_deleveraging(vectors) -> None:
    for name, given, want in each(vectors, "deleveraging"):
        sides = (account(given["liquidated"]), account(given["offsetting"]))
        call = (sides, given["market"], int(given["delta_quantums"]), MARKETS)
        if want.get("error"):
            with pytest.raises(InputInvalid):
                dydx.deleveraged(*call)
            continue
        one, two = dydx.deleveraged(*call)
        assert (one.quote, two.quote) == (want["liquidated_usdc"], want["offsetting_usdc"]), name
        assert one.quote + two.quote == sides[0].quote + sides[1].quote


def test_the_float_kernel_agrees_with_the_exact_price() -> None:
    # Equity 510 - 200 - 300 = 10 USD; MM 20 of BTC and 30 of ETH: ETH is bought back 6 above 300.
    held = dydx.Account(
        510_000_000, (dydx.Position("BTC", -400_000), dydx.Position("ETH", -100_000_000))
    )
    exact = dydx.bankruptcy_quote(held, "ETH", 100_000_000, MARKETS)
    pnl = bankruptcy_pnl(np.array([10.0]), np.array([20.0, 30.0]), np.array([0, 2]))
    assert exact == -306_000_000
    assert pnl[1] == pytest.approx(-6.0)
    assert -300.0 + pnl[1] == pytest.approx(exact / 1e6)
