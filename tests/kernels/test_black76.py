"""Black-76: refusals, limits, the slow twin, QuantLib, parity and finite differences."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy import special

from crossmargin.kernels.black76 import (
    Options,
    black76,
    black76_greeks,
    black76_prices,
    erfcx,
    exp_minus,
    greeks,
    revalue,
    value_row,
)
from crossmargin.kernels.compiled import compiled
from crossmargin.reference import black as reference

TINY = 1e-12  # of the forward: prices below are not compared (issue: must show 1)


@compiled
def _map(function_is_erfcx, x, out):
    for i in range(len(x)):
        out[i] = erfcx(x[i]) if function_is_erfcx else exp_minus(x[i])


@compiled
def one_price(forward, strike, sigma, t_years, discount, is_call):
    return black76(forward, strike, sigma, t_years, discount, is_call)


@compiled
def one_greeks(forward, strike, sigma, t_years, discount, is_call):
    return greeks(forward, strike, sigma, t_years, discount, is_call)


def true_price(forward, strike, v, is_call):
    """Undiscounted Black-76 in 60 decimal digits: no cancellation is left to argue about."""
    with localcontext() as context:
        context.prec = 60
        f, k, v = Decimal(forward), Decimal(strike), Decimal(v)
        d1 = (f / k).ln() / v + v / 2
        side = 1 if is_call else -1
        return float(side * (f * cdf(side * d1) - k * cdf(side * (d1 - v))))


def cdf(x):
    """N(x) = 1/2 + phi(x) (x + x^3/3 + x^5/15 + ...): all terms of one sign, so no digit is lost.

    60 digits leave 40 in N(-9), which is 1e-19.
    """
    term = total = x
    n = 1
    while abs(term) > Decimal("1e-62") * abs(total):
        n += 2
        term *= x * x / n
        total += term
    two_pi = 2 * Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
    return Decimal("0.5") + total * (-x * x / 2).exp() / two_pi.sqrt()


# --- missing numbers and limits --------------------------------------------------------------


@pytest.mark.parametrize("missing", range(5))
def test_a_missing_input_is_a_missing_price_and_missing_greeks(missing):
    inputs = [100.0, 110.0, 0.5, 0.25, 0.99]
    inputs[missing] = math.nan
    assert math.isnan(one_price(*inputs, True))
    assert math.isnan(one_greeks(*inputs, True)[0])
    assert math.isnan(one_greeks(*inputs, True)[3])


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_missing_stays_missing_at_expiry_where_the_formula_has_its_limits(missing):
    inputs = [100.0, 110.0, 0.5, 0.0, 1.0]
    inputs[missing] = math.nan
    assert math.isnan(one_price(*inputs, True))
    assert np.isnan(one_greeks(*inputs, True)).all()


@pytest.mark.parametrize("field", ["forward", "strike", "t_years", "discount"])
def test_one_missing_row_leaves_the_others_priced(field):
    terms = {name: np.array([100.0, 100.0]) for name in ("forward", "strike")}
    terms |= {"t_years": np.ones(2), "discount": np.ones(2), "is_call": np.array([True, False])}
    terms[field][0] = math.nan
    prices = black76_prices(Options(**terms), np.full(2, 0.5))
    assert math.isnan(prices[0])
    assert prices[1] == pytest.approx(reference.price("put", 100, 100, 0.5, 1), rel=1e-12)


@pytest.mark.parametrize(
    ("field", "bad"),
    [("forward", 0.0), ("strike", -1.0), ("t_years", -1e-9), ("discount", 0.0), ("sigma", -0.1)],
)
def test_an_impossible_input_is_a_bug_of_ours(field, bad):
    terms = {name: np.array([1.0]) for name in ("forward", "strike", "t_years", "discount")}
    sigma = np.array([0.5])
    if field == "sigma":
        sigma[0] = bad
    else:
        terms[field][0] = bad
    with pytest.raises(AssertionError):
        black76_prices(Options(**terms, is_call=np.array([True])), sigma)


@pytest.mark.parametrize(("sigma", "t_years"), [(0.0, 1.0), (0.7, 0.0), (0.0, 0.0)])
@pytest.mark.parametrize(
    ("forward", "strike", "is_call", "price", "delta"),
    [
        (120.0, 100.0, True, 18.0, 0.9),  # 0.9 * (120 - 100)
        (120.0, 100.0, False, 0.0, 0.0),
        (80.0, 100.0, True, 0.0, 0.0),
        (80.0, 100.0, False, 18.0, -0.9),  # 0.9 * (100 - 80)
        (100.0, 100.0, True, 0.0, 0.45),  # 0.9 / 2, the limit from either way
        (100.0, 100.0, False, 0.0, -0.45),
    ],
)
def test_at_expiry_or_without_vol_an_option_is_worth_its_intrinsic_value(
    forward, strike, is_call, price, delta, sigma, t_years
):
    inputs = (forward, strike, sigma, t_years, 0.9, is_call)
    assert one_price(*inputs) == pytest.approx(price, rel=1e-15)
    got = one_greeks(*inputs)
    assert got[0] == pytest.approx(delta, rel=1e-15)
    assert got[1] == 0.0
    # At the strike vega is D F sqrt(T) / sqrt(2 pi); away from it 0.
    at_strike = 0.9 * 100.0 * math.sqrt(t_years / (2.0 * math.pi))
    assert got[2] == pytest.approx(at_strike if forward == strike else 0.0, rel=1e-12)
    # Theta is what the discount gives back, r V, where there is time at all.
    assert got[3] == pytest.approx(-math.log(0.9) * price if t_years else 0.0, rel=1e-12)


@pytest.mark.parametrize("is_call", [True, False])
def test_the_limits_are_limits(is_call):
    for forward in (80.0, 100.0, 120.0):
        for sigma, t_years in ((1e-9, 1.0), (0.5, 1e-18)):
            near = one_price(forward, 100.0, sigma, t_years, 1.0, is_call)
            at = one_price(forward, 100.0, 0.0, t_years, 1.0, is_call)
            # At the money sigma sqrt(T) = 1e-9: 0.4 * 100 * 1e-9 = 4e-8.
            assert near == pytest.approx(at, abs=5e-8)


def test_a_vol_without_bound_makes_a_call_the_forward_and_a_put_the_strike():
    assert one_price(90.0, 100.0, 200.0, 4.0, 1.0, True) == pytest.approx(90.0, rel=1e-15)
    assert one_price(90.0, 100.0, 200.0, 4.0, 1.0, False) == pytest.approx(100.0, rel=1e-15)


# --- the two functions underneath --------------------------------------------------------------


def test_erfcx_is_scipys():
    x = np.concatenate([np.linspace(0.0, 28.0, 20_001), np.logspace(-12, 1, 1_000)])
    got = np.empty_like(x)
    _map(True, x, got)
    np.testing.assert_allclose(got, special.erfcx(x), rtol=2e-15)
    # Beyond 28 the polynomial is used outside its interval; exp(-28^2) makes that harmless.
    far = np.linspace(28.0, 300.0, 1_000)
    got = np.empty_like(far)
    _map(True, far, got)
    np.testing.assert_allclose(got, special.erfcx(far), rtol=1e-10)


def test_exp_minus_is_numpys_and_ends_at_zero():
    y = np.concatenate([np.linspace(0.0, 707.9, 20_001), np.logspace(-16, 1, 1_000)])
    got = np.empty_like(y)
    _map(False, y, got)
    np.testing.assert_allclose(got, np.exp(-y), rtol=4e-16)
    _map(False, np.array([708.0, 1e9, math.inf, math.nan, 0.0]), got)
    assert got[:3].tolist() == [0.0, 0.0, 0.0]
    assert math.isnan(got[3])
    assert got[4] == 1.0


# --- second opinions ---------------------------------------------------------------------------

forwards = st.floats(0.01, 1e6)
spreads = st.floats(1e-3, 3.0)  # sigma sqrt(T): half an hour at 13 % to nine years at 100 %
steps = st.floats(-7.0, 7.0)  # ln(K / F) in spreads
options = st.tuples(forwards, spreads, steps, st.booleans())


def strike_at(forward, spread, step):
    return forward * math.exp(step * spread)


@given(options, st.floats(0.5, 1.0), st.floats(0.001, 5.0))
def test_prices_and_greeks_match_the_reference(option, discount, t_years):
    forward, spread, step, is_call = option
    strike, sigma, kind = (
        strike_at(forward, spread, step),
        spread / math.sqrt(t_years),
        "call" if is_call else "put",
    )
    price = one_price(forward, strike, sigma, t_years, discount, is_call)
    want = discount * reference.price(kind, forward, strike, sigma, t_years)
    # The twin subtracts two numbers of the size of the forward; so it is right to 1e-16 of it.
    assert price == pytest.approx(want, rel=1e-12, abs=1e-15 * (forward + strike))
    got = one_greeks(forward, strike, sigma, t_years, discount, is_call)
    assert got[0] == pytest.approx(
        discount * reference.delta(kind, forward, strike, sigma, t_years), rel=1e-9, abs=1e-15
    )
    for number, function in ((got[1], reference.gamma), (got[2], reference.vega)):
        assert number == pytest.approx(
            discount * function(forward, strike, sigma, t_years), rel=1e-9, abs=1e-15
        )
    decay = discount * reference.theta(forward, strike, sigma, t_years)
    carry = -math.log(discount) / t_years * price
    assert got[3] == pytest.approx(carry + decay, rel=1e-9, abs=1e-9 * (abs(carry) + abs(decay)))


@given(options)
@example((100.0, 0.0044, 5.611, True))  # QuantLib 1.44 is wrong by 1.8e-4 here
@example((100.0, 0.0032, -5.55, False))
def test_prices_match_60_digits_wherever_they_exceed_a_trillionth_of_the_forward(option):
    forward, spread, step, is_call = option
    strike = strike_at(forward, spread, step)
    want = true_price(forward, strike, spread, is_call)
    assume(want > TINY * forward)
    assert one_price(forward, strike, spread, 1.0, 1.0, is_call) == pytest.approx(want, rel=1e-10)


def test_it_is_quantlib_that_loses_digits_in_the_tail():
    # Why the test above is the strict one: between 1e-8 and 1e-7 QuantLib's normal distribution
    # has lost half its digits. When this fails QuantLib has been mended: tighten the next test.
    forward, strike = 100.0, strike_at(100.0, 0.0044, 5.611)
    want = true_price(forward, strike, 0.0044, True)
    theirs = ql.blackFormula(ql.Option.Call, strike, forward, 0.0044)
    ours = one_price(forward, strike, 0.0044, 1.0, 1.0, True)
    assert want > TINY * forward
    assert ours == pytest.approx(want, rel=1e-10)
    assert abs(theirs / want - 1.0) > 1e-5


def quantlib_error(d, forward, price):
    """Return how far off blackFormula can be, relative to the price.

    Its normal distribution is (1 + erf) / 2 with an absolute error of about 2e-16 near 0, and a
    series cut at its smallest term below 1e-8, from |d| = 5.6 on. It multiplies forward or strike.
    """
    return 1.0 if abs(d) > 5.4 else 6e-16 * forward / price


@given(options, st.floats(0.5, 1.0))
def test_prices_are_quantlibs_wherever_quantlib_can_tell(option, discount):
    forward, spread, step, is_call = option
    strike = strike_at(forward, spread, step)
    price = one_price(forward, strike, spread, 1.0, discount, is_call)
    assume(price > TINY * forward)
    side = ql.Option.Call if is_call else ql.Option.Put
    want = ql.blackFormula(side, strike, forward, spread, discount)
    largest_d = abs(step) + 0.5 * spread
    error = quantlib_error(largest_d, max(forward, strike), price)
    assert price == pytest.approx(want, rel=1e-10 + error)


@given(st.tuples(forwards, st.floats(0.02, 3.0), st.floats(-3.0, 3.0), st.booleans()))
def test_prices_and_greeks_are_quantlibs_to_1e_10_near_the_money(option):
    forward, spread, step, is_call = option
    strike, discount, t_years = strike_at(forward, spread, step), 0.97, 0.5
    sigma = spread / math.sqrt(t_years)
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if is_call else ql.Option.Put, strike)
    oracle = ql.BlackCalculator(payoff, forward, sigma * math.sqrt(t_years), discount)
    price = one_price(forward, strike, sigma, t_years, discount, is_call)
    assert price == pytest.approx(oracle.value(), rel=1e-10)
    delta, gamma, vega, theta = one_greeks(forward, strike, sigma, t_years, discount, is_call)
    assert delta == pytest.approx(oracle.deltaForward(), rel=1e-10)
    assert gamma == pytest.approx(oracle.gammaForward(), rel=1e-10)
    assert vega == pytest.approx(oracle.vega(t_years), rel=1e-10)
    # With spot = forward QuantLib's theta holds the forward, as ours does.
    want = oracle.theta(forward, t_years)
    assert theta == pytest.approx(want, rel=1e-9, abs=1e-10 * price / t_years)


@given(options, st.floats(0.5, 1.0))
def test_a_call_less_a_put_is_the_discounted_forward_less_the_strike(option, discount):
    forward, spread, step, _ = option
    strike = strike_at(forward, spread, step)
    call = one_price(forward, strike, spread, 1.0, discount, True)
    put = one_price(forward, strike, spread, 1.0, discount, False)
    want = discount * (forward - strike)
    assert call - put == pytest.approx(want, rel=1e-12, abs=4e-16 * (forward + strike))


@given(st.tuples(forwards, st.floats(0.05, 1.5), st.floats(-2.5, 2.5), st.booleans()))
def test_greeks_are_differences_of_prices(option):
    forward, spread, step, is_call = option
    strike, t_years, rate = strike_at(forward, spread, step), 0.7, 0.04
    sigma = spread / math.sqrt(t_years)

    def price(forward=forward, sigma=sigma, t_years=t_years):
        discount = math.exp(-rate * t_years)
        return one_price(forward, strike, sigma, t_years, discount, is_call)

    discount = math.exp(-rate * t_years)
    delta, gamma, vega, theta = one_greeks(forward, strike, sigma, t_years, discount, is_call)
    # Central differences with relative step h are off by h^2 and by 1e-16 / h (second: / h^2),
    # both scaled by the forward over the spread.
    h = 1e-4 * spread
    up, here, down = price(forward * (1 + h)), price(), price(forward * (1 - h))
    assert delta == pytest.approx((up - down) / (2 * h * forward), rel=1e-5, abs=1e-6)
    assert gamma * forward == pytest.approx(
        (up - 2 * here + down) / (h * h * forward), rel=1e-4, abs=1e-4 / spread
    )
    h = 1e-4 * sigma
    by_vol = (price(sigma=sigma + h) - price(sigma=sigma - h)) / (2 * h)
    assert vega == pytest.approx(by_vol, rel=1e-5, abs=1e-6 * forward)
    h = 1e-4 * t_years
    by_time = (price(t_years=t_years - h) - price(t_years=t_years + h)) / (2 * h)
    assert theta == pytest.approx(by_time, rel=1e-5, abs=1e-6 * forward)


# --- arrays ------------------------------------------------------------------------------------


def chain(n, seed=3):
    rng = np.random.default_rng(seed)
    forward = rng.uniform(10.0, 1000.0, n)
    t_years = rng.choice([0.0, 0.01, 0.3, 2.0], n)
    return Options(
        forward, forward * np.exp(rng.normal(0.0, 0.4, n)), t_years, np.exp(-0.03 * t_years),
        rng.random(n) < 0.5,
    )  # fmt: skip


def test_arrays_are_the_scalars_row_by_row():
    terms, sigma = chain(50), np.linspace(0.0, 2.0, 50)
    prices, rows = black76_prices(terms, sigma), black76_greeks(terms, sigma)
    for i in range(50):
        f, k, t, d, call = (column[i] for column in terms)
        assert prices[i] == one_price(f, k, sigma[i], t, d, call)
        assert tuple(column[i] for column in rows) == one_greeks(f, k, sigma[i], t, d, call)


def test_revaluation_is_the_price_at_the_moved_forward_and_vol():
    rng = np.random.default_rng(5)
    terms, underlying = chain(60), rng.integers(0, 4, 60)
    log_mult = rng.normal(0.0, 0.3, (4, 37))
    log_mult[:, 0] = 0.0
    sigma = rng.uniform(0.0, 2.0, (60, 37)) * rng.choice([0.0, 1.0], (60, 37), p=[0.1, 0.9])
    got = revalue(terms, underlying, log_mult, sigma)
    for s in range(37):
        moved = terms._replace(forward=terms.forward * np.exp(log_mult[underlying, s]))
        want = black76_prices(moved, sigma[:, s])
        # The two take ln(F' / K) in a different order: 1e-16 / sigma sqrt(T) far from the money.
        np.testing.assert_allclose(got[:, s], want, rtol=1e-11, atol=1e-13)


def test_a_missing_cell_stays_missing_and_alone():
    terms, sigma = chain(2), np.full((2, 20), 0.5)
    sigma[1, 7] = math.nan
    got = revalue(terms, np.zeros(2, np.int64), np.zeros((1, 20)), sigma)
    assert np.argwhere(np.isnan(got)).tolist() == [[1, 7]]
    log_mult = np.zeros((1, 20))
    log_mult[0, 3] = math.nan
    got = revalue(terms, np.zeros(2, np.int64), log_mult, np.full((2, 20), 0.5))
    assert np.argwhere(np.isnan(got)).tolist() == [[0, 3], [1, 3]]


@pytest.mark.parametrize("n_scenarios", [1, 3, 4, 5, 64, 65])
def test_a_row_is_the_same_at_any_length(n_scenarios):
    long, short = np.empty(65), np.empty(n_scenarios)
    moves = np.linspace(-0.5, 0.5, 65)
    for out in (long, short):
        n = len(out)
        value_row(100.0, 105.0, 0.2, 0.99, True, moves[:n], np.exp(moves[:n]), np.full(n, 0.6), out)
    # A vector and its scalar remainder fuse the same operations: equal bits.
    np.testing.assert_array_equal(short, long[:n_scenarios])


def test_one_and_two_threads_give_the_same_bits():
    terms = chain(9_000)
    sigma = np.full(9_000, 0.6)
    one, two = (black76_prices(terms, sigma, threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
    one, two = (black76_greeks(terms, sigma, threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
    moves = np.random.default_rng(1).normal(0.0, 0.2, (1, 40))
    cells = np.broadcast_to(sigma[:, None], (9_000, 40)).copy()
    one, two = (revalue(terms, np.zeros(9_000, np.int64), moves, cells, threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
