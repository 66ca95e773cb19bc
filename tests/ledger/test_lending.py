"""Terms of lending: what cannot be built, and what the shipped rulebooks say."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from crossmargin.adapters.files import load_rulebook
from crossmargin.base.errors import RulebookInvalid
from crossmargin.domain.lending import LendingTerms

GOOD = {"cap": 1e6, "base": 0.0, "slope_low": 0.05, "kink": 0.8, "slope_high": 0.6}
BOUNDS = [
    # key, least, most
    ("cap", 0.0, 1e18),
    ("base", 0.0, 10.0),
    ("slope_low", 0.0, 10.0),
    ("kink", 0.01, 0.99),  # a curve that bends at an end has a slope over nothing
    ("slope_high", 0.0, 100.0),
    ("utilisation_max", 0.0, 1.0),
]


def built(**changed: Any) -> LendingTerms:
    return LendingTerms(**{**GOOD, **changed})


@pytest.mark.parametrize(("key", "least", "most"), BOUNDS)
def test_a_number_lies_within_its_bounds_and_on_them(key: str, least: float, most: float) -> None:
    for value in (least, most):
        assert getattr(built(**{key: value}), key) == value
    for value in (math.nextafter(least, -1.0), math.nextafter(most, math.inf), math.nan, math.inf):
        with pytest.raises(RulebookInvalid, match=f"lending.{key}") as found:
            built(**{key: value})
        assert found.value.found is value


def test_unknown_numbers_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="limit"):
        msgspec.convert({**GOOD, "limit": 1.0}, LendingTerms)


# The first edge of each class's liquidity, USD, and prices of the end of 2025.
EDGE = {"stablecoin": 20e6, "BTC": 180e6, "ETH": 120e6, "major": 4e6}
COINS = {
    "USDT": ("stablecoin", 1), "USDC": ("stablecoin", 1), "DAI": ("stablecoin", 1),
    "BTC": ("BTC", 90_000), "ETH": ("ETH", 3_000), "SOL": ("major", 130), "XRP": ("major", 2),
    "BNB": ("major", 850), "ADA": ("major", 0.40), "LTC": ("major", 80), "BCH": ("major", 550),
    "LINK": ("major", 13), "AVAX": ("major", 13), "DOT": ("major", 2), "DOGE": ("major", 0.13),
}  # fmt: skip


def test_what_may_be_owed_of_a_coin_is_what_a_day_can_buy_back() -> None:
    rules = load_rulebook("prime-24h")
    assert set(rules.lending) == {"USD", "EUR", *COINS}
    for name, (risk_class, price) in COINS.items():
        assert rules.classes[risk_class].liquidity[0].up_to == EDGE[risk_class]
        coins = EDGE[risk_class] / price
        digit = 10.0 ** math.floor(math.log10(coins))
        assert rules.lending[name].cap == coins // digit * digit, name


def test_both_shipped_rulebooks_lend_on_the_same_terms() -> None:
    prime, exchange = load_rulebook("prime-24h"), load_rulebook("exchange-4h")
    assert prime.lending == exchange.lending
    for terms in prime.lending.values():
        assert terms.utilisation_max == 0.95  # METHOD section 10
        assert terms.slope_high > terms.slope_low, "steeper behind the kink"
