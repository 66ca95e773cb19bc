"""Impact by hand: the formula, a ladder of orders, a constant product; and the laws they keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.kernels.impact import (
    Depth,
    cost_fracs,
    impact_fracs,
    ladder_proceeds,
    swap_out,
)


def depth(n: int = 1, half_spread=0.001, scale=1.0, exponent=0.5, sigma=0.04, adv=1e8) -> Depth:
    return Depth(*(np.full(n, float(x)) for x in (half_spread, scale, exponent, sigma, adv)))


def of(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def test_the_square_root_by_hand() -> None:
    # 1 % of a day: sqrt(0.01) = 0.1, of 4 % a day: 0.4 %; with half spread 0.5 %.
    assert impact_fracs(of(1e6), depth())[0] == pytest.approx(0.004)
    assert cost_fracs(of(1e6), depth())[0] == pytest.approx(0.005)
    # A cascade's exponent: 0.01^0.9 = 0.015849, of 4 %: 0.0634 %.
    assert impact_fracs(of(1e6), depth(exponent=0.9))[0] == pytest.approx(0.04 * 0.01**0.9)
    assert cost_fracs(of(0.0), depth())[0] == 0.001


def test_a_ladder_is_walked_level_by_level_and_has_no_price_beyond_its_end() -> None:
    price, size = of(100.0, 99.0, 90.0), of(1.0, 2.0, 5.0)
    got = ladder_proceeds(of(0.0, 0.5, 1.0, 2.0, 3.0, 8.0, 8.5), price, size)
    # 2: 100 + 99; 3: 100 + 198; 8: 100 + 198 + 450.
    assert got[:6].tolist() == [0.0, 50.0, 100.0, 199.0, 298.0, 748.0]
    assert np.isnan(got[6])
    assert np.isnan(ladder_proceeds(of(1.0), of(), of())[0])


def test_a_constant_product_pays_less_for_more() -> None:
    # 10 into 1,000 : 2,000 without fee: 2000 x 10 / 1010 = 19.80.
    assert swap_out(of(10.0), of(1000.0), of(2000.0), of(0.0))[0] == pytest.approx(2e4 / 1010)
    # A fee of 0.3 % leaves 9.97 to count.
    got = swap_out(of(10.0), of(1000.0), of(2000.0), of(0.003))[0]
    assert got == pytest.approx(2000 * 9.97 / 1009.97)


@given(st.floats(0.0, 1e9), st.floats(1.0, 1e9), st.floats(1.0, 1e9), st.floats(0.0, 0.5))
def test_the_product_never_falls(amount: float, x: float, y: float, fee: float) -> None:
    out = swap_out(of(amount), of(x), of(y), of(fee))[0]
    assert 0.0 <= out <= y
    assert (x + amount) * (y - out) >= x * y * (1.0 - 1e-12) - 1e-6 * y


@given(
    st.lists(st.tuples(st.floats(0.1, 1e3), st.floats(0.01, 1e3)), min_size=1, max_size=10),
    st.floats(0.0, 1.0), st.floats(0.0, 1.0),
)  # fmt: skip
def test_selling_more_never_pays_less_and_never_a_better_average(levels, a, b) -> None:
    levels = sorted(levels, reverse=True)
    price, size = of(*(p for p, _ in levels)), of(*(s for _, s in levels))
    low, high = sorted((a, b))
    small, large = (q * size.sum() * (1.0 - 1e-9) for q in (low, high))
    paid = ladder_proceeds(of(small, large), price, size)
    assert paid[0] <= paid[1] + 1e-9
    if small > 1e-6:
        assert paid[1] / large <= paid[0] / small * (1.0 + 1e-6)


@given(st.floats(0.0, 1e10), st.floats(0.0, 1e10), st.floats(0.1, 2.0))
def test_more_costs_more(a: float, b: float, exponent: float) -> None:
    low, high = sorted((a, b))
    got = cost_fracs(of(low, high), depth(2, exponent=exponent))
    assert got[0] <= got[1]


def test_an_unknown_depth_is_no_cheap_one() -> None:
    assert np.isnan(cost_fracs(of(1e6), depth(adv=np.nan))[0])
    assert np.isnan(cost_fracs(of(1e6), depth(sigma=np.nan))[0])
