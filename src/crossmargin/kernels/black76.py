"""Black-76: prices and greeks of European options on a forward, and their revaluation.

In     forwards, strikes, vols, times, discount factors; moves of price and vol per scenario.
Out    prices and greeks per option; values per option and scenario.
Owns   the formula, its limits at T = 0 and vol = 0, and its own erfc and exp.
Never  guesses a vol, knows a quote currency, or sees a position.
Signs  values are of one long option of size 1. Vols and times are >= 0.
Spec   docs/spec/02-valuation.md (2.2), docs/spec/05-requirement.md (5.8)

One formula for every case. With h = min(F, K), l = max(F, K), v = sigma sqrt(T) and
m = |ln(F / K)| / v, the out-of-the-money option, call or put, is worth, before discount,

    h N(v/2 - m) - l N(-v/2 - m),        and h phi(v/2 - m) = l phi(v/2 + m),

so both terms share one exponential and differ in the scaled function erfcx(x) = exp(x^2) erfc(x)
alone: nothing is lost far from the money. The in-the-money option adds its intrinsic value.
erfcx is one polynomial and exp another, without calls or branches, so that loops vectorise.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import B1, F64, I64, guard
from crossmargin.kernels.compiled import compiled, inlined, run_blocks
from crossmargin.kernels.lanes import fma

SQRT_HALF = math.sqrt(0.5)
INV_SQRT_TWO_PI = 1.0 / math.sqrt(2.0 * math.pi)
BLOCK = 4096  # options per call of the array versions
CELLS = 1 << 17  # options x scenarios per call of `revalue`: below this a thread costs more


class Greeks(NamedTuple):
    """Sensitivities of one long option; arrays (N,), or numbers. NaN where an input is NaN."""

    delta: F64  # dV/dF, units of premium per unit of forward
    gamma: F64  # d2V/dF2; 0 where v = 0
    vega: F64  # dV/dsigma, per 1.00 of vol (divide by 100 for a vol point)
    theta: F64  # change of V as one year of calendar time passes, F and sigma held


@inlined
def black76(
    forward: float, strike: float, sigma: float, t_years: float, discount: float, is_call: bool
) -> float:
    """Return the price of one option, in the unit of forward and strike.

    forward, strike > 0; sigma >= 0 per root year; t_years >= 0; discount > 0, at pay date.
    v = 0 (expiry, or no vol): discounted intrinsic value. NaN in: NaN out. Spec 2.2.
    """
    log_moneyness = math.log(forward / strike)
    v = sigma * math.sqrt(t_years)
    return value(forward, strike, log_moneyness, v, discount, is_call)


@inlined
def greeks(
    forward: float, strike: float, sigma: float, t_years: float, discount: float, is_call: bool
) -> tuple[float, float, float, float]:
    """Return (delta, gamma, vega, theta) as in `Greeks`; arguments as in `black76`. Spec 5.8.

    The rate is what the discount says, r = -ln(discount) / T, and 0 at T = 0.
    Limits at v = 0: delta is discount x (1, 1/2, 0) above, at and below the strike (mirrored for
    puts); gamma and the decay part of theta are 0, also at the strike, where they have no finite
    limit; vega is 0 away from the strike.
    """
    v = sigma * math.sqrt(t_years)
    gap = math.log(forward / strike)
    if v == 0.0 and gap == gap:
        d1 = math.inf * gap if gap != 0.0 else 0.0
    else:
        d1 = gap / v + 0.5 * v
    density = math.exp(-0.5 * d1 * d1) * INV_SQRT_TWO_PI
    side = 1.0 if is_call else -1.0
    delta = discount * side * 0.5 * math.erfc(-side * d1 * SQRT_HALF)
    gamma = discount * density / (forward * v) if v != 0.0 else 0.0 * gap
    vega = discount * forward * density * math.sqrt(t_years)
    rate = -math.log(discount) / t_years if t_years != 0.0 else 0.0
    # vega x sigma / (2 T), written so that it is 0, not 0 / 0, at T = 0.
    decay = 0.5 * gamma * forward * forward * sigma * sigma
    theta = rate * black76(forward, strike, sigma, t_years, discount, is_call) - decay
    return delta, gamma, vega, theta


@inlined
def value(
    forward: float, strike: float, log_moneyness: float, v: float, discount: float, is_call: bool
) -> float:
    """Return the price of one option given ln(forward / strike) and v = sigma sqrt(T) >= 0.

    The log is an argument so that a loop over scenarios adds to it instead of taking it.
    """
    low = min(forward, strike)
    # At v = 0 any number will do here: the time value is then set below.
    m = abs(log_moneyness) / (v if v != 0.0 else 1.0)
    a, b = (m - 0.5 * v) * SQRT_HALF, (m + 0.5 * v) * SQRT_HALF
    near, far = erfcx(abs(a)), erfcx(b)
    # erfc(a) for a < 0 is 2 - erfc(-a): `near` changes sign and `low` is added once.
    scale = 0.5 * low * exp_minus(a * a)
    time_value = scale * (near - far) if a >= 0.0 else low - scale * (near + far)
    # A v that is NaN takes the first branch and stays NaN.
    time_value = time_value if v != 0.0 else 0.0 * log_moneyness
    gain = forward - strike if is_call else strike - forward
    return discount * (time_value + (gain if gain > 0.0 else 0.0))


@inlined
def erfcx(x: float) -> float:
    """Return exp(x^2) erfc(x) for x >= 0, to 1e-15 relative for x < 28, 1e-10 beyond.

    r = 1 / (x + 3.5) maps [0, 28] to u in [-1, 1]; (x + 3.5) erfcx(x) is there a Chebyshev sum of
    22 terms, truncated at 2e-17 and written out in powers of u. 3.5 was the best of eight tried.
    """
    r = 1.0 / (x + 3.5)
    u = fma(-7.875, r, 1.25)
    p = fma(2.6875697558213376e-10, u, 1.267009500192778e-10)
    p = fma(p, u, -3.5066717036938044e-09)
    p = fma(p, u, -2.678035117218643e-09)
    p = fma(p, u, 3.0427032435680365e-08)
    p = fma(p, u, 3.1551889169266853e-08)
    p = fma(p, u, -2.564598532234144e-07)
    p = fma(p, u, -2.674952535196016e-07)
    p = fma(p, u, 2.404587367079323e-06)
    p = fma(p, u, 1.2183964083633699e-06)
    p = fma(p, u, -2.4956902864983324e-05)
    p = fma(p, u, 1.885085819416966e-05)
    p = fma(p, u, 0.0002445034679139121)
    p = fma(p, u, -0.0007892706337679432)
    p = fma(p, u, -0.0007437317811969125)
    p = fma(p, u, 0.014036181067494517)
    p = fma(p, u, -0.06143471892311349)
    p = fma(p, u, 0.17609785772635483)
    p = fma(p, u, -0.3846846365949249)
    p = fma(p, u, 0.6773320899694405)
    p = fma(p, u, -0.9862040036460703)
    p = fma(p, u, 1.200457942046949)
    return p * r


@inlined
def exp_minus(y: float) -> float:
    """Return exp(-y) for y >= 0, to 1e-15 relative; 0 from y = 708 on.

    -y = n ln 2 + r with |r| <= ln 2 / 2; the bits of n are moved into the exponent. Adding
    1.5 x 2^52 rounds to an integer and leaves it in the low bits.
    """
    z = y if y < 708.0 or y != y else 708.0
    shifted = fma(z, -1.4426950408889634, 6755399441055744.0)
    n = shifted - 6755399441055744.0
    r = fma(n, -1.90821492927058770002e-10, fma(n, -0.693147180369123816490, -z))
    p = fma(1.6059043836821613e-10, r, 2.08767569878681e-09)
    p = fma(p, r, 2.505210838544172e-08)
    p = fma(p, r, 2.755731922398589e-07)
    p = fma(p, r, 2.7557319223985893e-06)
    p = fma(p, r, 2.48015873015873e-05)
    p = fma(p, r, 0.0001984126984126984)
    p = fma(p, r, 0.001388888888888889)
    p = fma(p, r, 0.008333333333333333)
    p = fma(p, r, 0.041666666666666664)
    p = fma(p, r, 0.16666666666666666)
    p = fma(p, r, 0.5)
    p = fma(fma(p, r, 1.0), r, 1.0)
    bits = np.int64(np.float64(shifted).view(np.int64) + 1023) << 52
    power = np.int64(bits).view(np.float64)
    return p * power if z < 708.0 or y != y else 0.0


@compiled
def value_row(
    forward: float,
    strike: float,
    t_years: float,
    discount: float,
    is_call: bool,
    log_mult: F64,
    price_mult: F64,
    sigma: F64,
    out: F64,
) -> None:
    """Fill out (S,) with the price of one option in every scenario.

    log_mult    (S,)  ln of the price multiplier of its underlying
    price_mult  (S,)  the multiplier itself, exp(log_mult): forward' = forward x price_mult
    sigma       (S,)  its vol after the shock, >= 0
    out         (S,)  price, in the unit of forward and strike

    The rest are numbers, as in `black76`; t_years is the time left in the scenario.
    NaN in a scenario: NaN there. No log or square root is taken per scenario. Spec 4.1.
    """
    log_moneyness, root_t = math.log(forward / strike), math.sqrt(t_years)
    for s in range(len(out)):
        out[s] = value(
            forward * price_mult[s],
            strike,
            log_moneyness + log_mult[s],
            sigma[s] * root_t,
            discount,
            is_call,
        )


class Options(NamedTuple):
    """Terms and market of N options, one row each; arrays (N,).

    forward, strike > 0, in one unit; t_years >= 0, ACT/365; discount > 0; is_call bool.
    """

    forward: F64
    strike: F64
    t_years: F64
    discount: F64
    is_call: B1


def black76_prices(options: Options, sigma: F64, threads: int | None = None) -> F64:
    """Return the price of each option (N,), in the unit of its forward; sigma (N,) >= 0.

    Rows with a NaN are NaN; the others are priced. Spec 2.2.
    """
    n_options = _guard(options, sigma)
    price = np.empty(n_options)
    run_blocks(_price_block, n_options, BLOCK, threads, options, sigma, price)
    return price


def black76_greeks(options: Options, sigma: F64, threads: int | None = None) -> Greeks:
    """Return the greeks of each option, arrays (N,); sigma (N,) >= 0. Spec 5.8."""
    n_options = _guard(options, sigma)
    result = Greeks(*(np.empty(n_options) for _ in Greeks._fields))
    run_blocks(_greeks_block, n_options, BLOCK, threads, options, sigma, result)
    return result


def revalue(
    options: Options, underlying: I64, log_mult: F64, sigma: F64, threads: int | None = None
) -> F64:
    """Return the price of each option in every scenario, (N, S), in the unit of its forward.

    N options, U underlyings, S scenarios.

    options     terms (N,); t_years and discount are those left in the scenarios
    underlying  (N,)    row of `log_mult`
    log_mult    (U, S)  ln of the price multiplier of each underlying
    sigma       (N, S)  vols after the shock, >= 0

    NaN in a cell: NaN there. Spec 4.1: full revaluation, never delta.
    """
    n_options, n_scenarios = sigma.shape
    _guard(options, sigma)
    guard((n_options,), underlying=underlying)
    guard((None, n_scenarios), log_mult=log_mult)
    assert n_options == 0 or 0 <= underlying.min() <= underlying.max() < len(log_mult)

    price = np.empty((n_options, n_scenarios))
    run_blocks(
        _revalue_block, n_options, max(1, CELLS // max(1, n_scenarios)), threads,
        options, underlying, log_mult, np.exp(log_mult), sigma, price,
    )  # fmt: skip
    return price


def _guard(options: Options, sigma: F64) -> int:
    n_options = len(options.forward)
    guard((n_options,), sigma=sigma[:, 0] if sigma.ndim == 2 else sigma, **options._asdict())
    # Written so that NaN, which is a row set aside, passes.
    assert not (options.forward <= 0.0).any()
    assert not (options.strike <= 0.0).any()
    assert not (options.t_years < 0.0).any()
    assert not (options.discount <= 0.0).any()
    assert not (sigma < 0.0).any()
    return n_options


@compiled
def _price_block(lo: int, hi: int, options: Options, sigma: F64, price: F64) -> None:
    for i in range(lo, hi):
        price[i] = black76(
            options.forward[i],
            options.strike[i],
            sigma[i],
            options.t_years[i],
            options.discount[i],
            options.is_call[i],
        )


@compiled
def _greeks_block(lo: int, hi: int, options: Options, sigma: F64, out: Greeks) -> None:
    for i in range(lo, hi):
        out.delta[i], out.gamma[i], out.vega[i], out.theta[i] = greeks(
            options.forward[i],
            options.strike[i],
            sigma[i],
            options.t_years[i],
            options.discount[i],
            options.is_call[i],
        )


@compiled
def _revalue_block(
    lo: int, hi: int, options: Options, underlying: I64,
    log_mult: F64, price_mult: F64, sigma: F64, price: F64,
) -> None:  # fmt: skip
    for i in range(lo, hi):
        value_row(
            options.forward[i],
            options.strike[i],
            options.t_years[i],
            options.discount[i],
            options.is_call[i],
            log_mult[underlying[i]],
            price_mult[underlying[i]],
            sigma[i],
            price[i],
        )
