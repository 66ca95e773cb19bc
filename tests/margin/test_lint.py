"""The linter finds what was planted, by its key, and nothing in what ships."""

from __future__ import annotations

import math
import re
import tomllib

import numpy as np
import pytest

from crossmargin.adapters.codec import rulebook_from_toml
from crossmargin.adapters.files import load_rulebook, shipped_rulebooks
from crossmargin.margin.lint import Severity, lint

PRIME = shipped_rulebooks()["prime-24h"].decode()
BTC_LIQUIDITY = "{ up_to = 180e6, mm = 0.005, im = 0.01 }"
BTC_SURCHARGE = "surcharge_liquidity_mm = 0.005\nsurcharge_liquidity_im = 0.01"


@pytest.mark.parametrize("name", ["prime-24h", "exchange-4h"])
def test_what_ships_is_clean(name: str):
    assert lint(load_rulebook(name)) == []


@pytest.mark.parametrize(("old", "new", "key", "problem"), [
    # The larger holding counted better than the smaller.
    ("mm = 0.065, im = 0.08", "mm = 0.001, im = 0.08", "classes.BTC.liquidity[1].mm", "below"),
    ("mm = 0.065, im = 0.08", "mm = 0.005, im = 0.008", "classes.BTC.liquidity[1].im", "below"),
    ("multiplier = 1.25", "multiplier = 0.75", "tiers[1].multiplier", "below"),
    # Maintenance above initial.
    ("mm = 0.065, im = 0.08", "mm = 0.085, im = 0.08", "classes.BTC.liquidity[1].im", "below mm"),
    (BTC_SURCHARGE, "surcharge_liquidity_mm = 0.02\nsurcharge_liquidity_im = 0.01",
     "classes.BTC.surcharge_liquidity_im", "below mm"),
    # Long and short swapped: the debt gets what belonged to the holding.
    (BTC_LIQUIDITY, "{ up_to = 180e6, mm = 0.02, im = 0.03 }",
     "classes.BTC.surcharge_liquidity_mm", "charged less"),
    ("vol_up = 0.45\nvol_down = 0.25", "vol_up = 0.25\nvol_down = 0.45", "grid.vol_up", "vol_down"),
    ("vol_fall = 1.5\nvol_rise = 0.5", "vol_fall = 0.5\nvol_rise = 1.5", "joint.vol_fall",
     "vol_rise"),
    ("term_short = 0.30\nterm_long = 0.13", "term_short = 0.13\nterm_long = 0.30",
     "grid.term_short", "term_long"),
    ("tails = [-0.66, -0.33, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0]", "tails = [-0.66, -0.33]", "grid.tails",
     "no rises"),
    ("tails = [-0.66, -0.33, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0]", "tails = [-0.66, -0.33, 0.5]",
     "grid.tails", "less far"),
    # The grid stops short of the range.
    ("0.5, 0.75, 1.0]    # x", "0.5, 0.75]    # x", "grid.steps", "+1 range"),
    # A tail inside the range weighs less than the others: 0.10 < 0.9 x 0.25.
    ("tails = [-0.66, -0.33,", "tails = [-0.66, -0.10,", "grid.tails[1]", "weight x move"),
    ("tail_weight = 0.9", "tail_weight = 1.5", "grid.tail_weight", "whole range"),
    # BTC moves with ETH and with majors, but those two against each other.
    ('"ETH:major" = 0.70', '"ETH:major" = -0.70', "correlation.pairs", "semi-definite"),
    ('"BTC:ETH" = 0.80', '"BTC:ETTH" = 0.80', 'correlation.pairs."BTC:ETTH"', "neither a class"),
    # Spec 9.5: 2 % x 1.0 does not pay 3 % penalty + 0.05 % fee + 0.01 % half spread.
    ("penalty = 0.005", "penalty = 0.03", "classes.stablecoin.range", "penalty + fee"),
    ("bonus = 0.005", "bonus = 0.05", "liquidation.bonus", "total haircut"),
    # Law L4: 1 - 0.80 < 1.25 (1 - 0.17) x 0.75.
    ("mm = 0.17, im = 0.21", "mm = 0.17, im = 0.53", "classes.altcoin.liquidity[1].im", "hurt"),
    ("[[stress.shocks]]\nname = \"ETH squeeze\"\nmoves = { ETH", "[[stress.shocks]]\nname = \"E\"\n"
     "moves = { ETHH", "stress.shocks[2].moves", "neither a class"),
    ("rows = 1000", "rows = 100", "joint.rows", "1.0 rows"),
])  # fmt: skip
def test_what_was_planted_is_found_by_its_key(old: str, new: str, key: str, problem: str):
    assert PRIME.count(old) >= 1, old
    found = lint(rulebook_from_toml(PRIME.replace(old, new, 1).encode()))
    hits = [f for f in found if f.key == key and problem in f.problem]
    assert hits, [str(f) for f in found]
    assert hits[0].remedy
    assert hits[0].key in str(hits[0])


def test_discounts_of_the_two_sides_swapped_as_a_venue_once_shipped_them():
    """Every class with its haircut and its surcharge exchanged: an error for each of them."""
    swapped = PRIME
    classes = tomllib.loads(PRIME)["classes"]
    for risk_class in classes.values():
        mm, im = (risk_class["liquidity"][0][level] for level in ("mm", "im"))
        old = f"surcharge_liquidity_mm = {mm}\nsurcharge_liquidity_im = {im}"
        new = f"surcharge_liquidity_mm = {mm / 2}\nsurcharge_liquidity_im = {im / 2}"
        swapped = swapped.replace(old, new)
    errors = [f for f in lint(rulebook_from_toml(swapped.encode())) if "charged less" in f.problem]
    charged = [name for name, c in classes.items() if c["liquidity"][0]["im"] > 0.0]
    assert {f.key.split(".")[1] for f in errors} == set(charged)
    assert all(f.severity is Severity.ERROR for f in errors)


def test_the_class_matrix_stays_psd_for_many_factors_a_class():
    """The claim of the check, tried on 20 factors a class: positive semi-definite throughout."""
    rules = load_rulebook("prime-24h")
    names = [name for name in sorted(rules.classes) for _ in range(20)]
    pairs, default = rules.correlation.pairs, rules.correlation.default
    matrix = np.array(
        [[pairs.get(":".join(sorted((a, b))), default) for b in names] for a in names]
    )
    np.fill_diagonal(matrix, 1.0)
    assert np.linalg.eigvalsh(matrix)[0] >= -1e-9


def test_prime_24h_holds_the_defaults_of_the_method():
    rules = load_rulebook("prime-24h")
    margin = rules.margin
    assert (margin.alpha, margin.mpor_hours, margin.kappa, margin.stress_weight) == (
        0.99,
        24,
        0.5,
        0.3,
    )
    assert (margin.initial_factor, margin.cross_floor, margin.hedged_fraction) == (1.25, 0.5, 0.1)
    assert (margin.short_option_minimum_mm, margin.short_option_minimum_im) == (0.01, 0.0125)
    assert (margin.taker_fee, margin.penalty, margin.market_haircut_max) == (0.0005, 0.005, 0.95)
    grid = rules.grid
    assert len(grid.steps) * 3 + len(grid.tails) + 1 == 36
    assert [(t.up_to_adv, t.multiplier) for t in rules.tiers] == [
        (0.01, 1.0), (0.05, 1.25), (0.20, 1.5), (math.inf, 2.0),
    ]  # fmt: skip
    table = {
        name: (c.range, c.liquidity[0].mm, c.liquidity[0].im) for name, c in rules.classes.items()
    }
    assert table == {
        "fiat": (0.0, 0.0, 0.0), "stablecoin": (0.02, 0.0025, 0.005), "BTC": (0.14, 0.005, 0.01),
        "ETH": (0.18, 0.005, 0.01), "major": (0.25, 0.015, 0.025), "altcoin": (0.30, 0.04, 0.07),
        "lst_basis": (0.05, 0.01, 0.02), "synthetic": (0.06, 0.02, 0.04),
        "bridge_basis": (0.05, 0.02, 0.04),
    }  # fmt: skip
    weights = {name: (tier.mm, tier.im) for name, tier in rules.gain_tiers.items()}
    assert weights == {"A": (1.0, 1.0), "B": (1.0, 0.5), "C": (0.5, 0.0)}


SCALED = {
    "range", "stress_weight", "short_option_minimum_mm", "short_option_minimum_im",
    "isolated_short_option_mm", "isolated_short_option_im", "isolated_short_option_im_floor",
    "basis_perpetual",
}  # fmt: skip
OWN = {"name", "source", "mpor_hours", "decay_hours"}
BY_TIME = {"round_s", "adv_share"}


def differences(a: object, b: object, path: str = "") -> list[tuple[str, object, object]]:
    if isinstance(a, dict) and isinstance(b, dict):
        assert a.keys() == b.keys(), path
        return [d for k in a for d in differences(a[k], b[k], f"{path}.{k}")]
    if isinstance(a, list) and isinstance(b, list):
        assert len(a) == len(b), path
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True))
                for d in differences(x, y, f"{path}[{i}]")]  # fmt: skip
    return [] if a == b else [(path.lstrip("."), a, b)]


def test_exchange_4h_is_prime_24h_scaled_by_time_or_its_root_and_nothing_else():
    exchange = shipped_rulebooks()["exchange-4h"].decode()
    factor = math.sqrt(4 / 24)
    changed = differences(tomllib.loads(PRIME), tomllib.loads(exchange))
    for path, prime, scaled in changed:
        key = re.sub(r".*\.", "", path)
        assert key in SCALED | OWN | BY_TIME, path
        if key in BY_TIME:  # what trades in a round, and how long one is; written with two digits
            assert scaled == pytest.approx(prime * 4 / 24, rel=0.03), path
        if key in SCALED:
            assert isinstance(prime, float)
            assert scaled == pytest.approx(prime * factor, abs=5e-7), (
                path
            )  # written with 6 decimals
    assert {re.sub(r".*\.", "", path) for path, _, _ in changed} == SCALED | OWN | BY_TIME
