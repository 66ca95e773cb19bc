"""The engine and the slow twin, written apart from the same pages, give the same numbers."""

from __future__ import annotations

import math

from hypothesis import given

from strategies import World, worlds
from twins.rows import Row, engine_rows, pools_of, scale_of, twin_rows

# Two orders of summation over at most some fifty terms of one size differ by less than this.
RTOL = 1e-9
QUOTIENTS = ("health", "margin_ratio")


def differences(ours: Row, twin: Row) -> list[str]:
    """Every number of the twin that the engine does not give."""
    found = []
    scale = scale_of(twin)
    for name, want in twin.items():
        got = ours[name]
        if name == "binding" and not twin["core_mm"] > 0.0:
            continue  # a core of nothing is made of nothing
        if name in QUOTIENTS and abs(twin["equity"]) <= 1e-6 * scale:
            continue  # a quotient of rounding
        tolerance = RTOL * abs(want) if name in QUOTIENTS else RTOL * scale
        same = got == want or (math.isnan(got) and math.isnan(want))
        if not same and not abs(got - want) <= tolerance:
            found.append(f"{name}: engine {got!r}, twin {want!r}")
    return found


@given(worlds())
def test_every_number_of_every_pool_is_the_twins(world: World) -> None:
    ours = engine_rows(world.market, world.accounts)
    twin = twin_rows(world.market, world.accounts)
    for pool, row, want in zip(pools_of(world.accounts), ours, twin, strict=True):
        assert row["verdict"] == want["verdict"], (pool, row, want)
        if want["verdict"] > 0:
            found = differences(row, want)
            assert not found, (pool, found)


@given(worlds(bad=0.15))
def test_bad_prices_are_judged_as_the_twin_judges_them(world: World) -> None:
    ours = engine_rows(world.market, world.accounts)
    twin = twin_rows(world.market, world.accounts)
    for pool, row, want in zip(pools_of(world.accounts), ours, twin, strict=True):
        assert row["verdict"] == want["verdict"], (pool, row, want)
        if want["verdict"] > 0:
            assert not differences(row, want), pool
