"""Laws of the liquidation loop over books of every kind of trouble, at prices that jump."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crossmargin.engine import commands as c
from crossmargin.engine.liquidator import Liquidator, Turn
from crossmargin.kernels.watch import BANKRUPT, SAFE, UNDER
from engine.small import (
    BTC,
    CT,
    ETH,
    USD,
    USDC,
    OrderState,
    Venue,
    account,
    bucket,
    holding,
)
from engine.sold import selling, turned, verdicts

METHODS = ("cross_sum", "cross_correlated", "isolated", "portfolio")
CONTRACTS = {"ETH-PERP": (2_000 * USD, 1.0), "ETH-FUT": (2_000 * USDC, 1.0),
             "BTC-PERP": (50 * USDC, 20.0)}  # fmt: skip


def holdings(rng: random.Random) -> dict[str, Any]:
    """Coins, debts and positions of some thousand dollars, entered somewhere near the mark."""
    balances = {"USD": rng.randint(-2_500, 4_000) * USD}
    if rng.random() < 0.5:
        balances["ETH"] = rng.randint(1, 2_000) * ETH // 1_000
    if rng.random() < 0.3:
        balances["USDC"] = rng.randint(-1_000, 2_000) * USDC
    if rng.random() < 0.2:
        balances["BTC"] = rng.randint(1, 50) * BTC // 1_000
    positions = {}
    for name, (each, size) in CONTRACTS.items():
        if rng.random() < 0.4:
            n = rng.choice((-1, 1)) * rng.randint(1, 12_000)
            entry = rng.uniform(0.8, 1.2) * each
            positions[name] = (round(n * size) * CT // 1_000, -round(n * size * entry / 1_000))
    kept = {asset: amount for asset, amount in balances.items() if amount}
    orders = {}
    if "ETH-PERP" in positions and rng.random() < 0.3:
        orders = {"o": OrderState("ETH-PERP", CT, "1500")}
    return {"balances": kept, "positions": positions, "orders": orders}


def arranged(seed: int) -> Venue:
    """Eight accounts, some with buckets, funds that may be too small, markets that may be thin."""
    rng = random.Random(seed)
    made = selling(
        {"taker_fee": rng.choice((0.0, 0.001)), "penalty": rng.choice((0.0, 0.005)),
         "hedged_fraction": rng.choice((0.0, 0.3))},
        {"adv": rng.choice((1e15, 1e6)), "half_spread": rng.choice((0.0, 0.001, 0.15)),
         "sigma_daily": 0.04},
    )  # fmt: skip
    for n in range(8):
        name = f"a{n}"
        limits = [rng.choice((None, 0, 500))] if rng.random() < 0.3 else []
        made.do(account(name, *(bucket("b", limit) for limit in limits), method=METHODS[n % 4]))
        for pool in ("shared", *("b" for _ in limits)):
            if (held := holdings(rng))["balances"] or held["positions"]:
                made.do(holding(name, pool=pool, **held))
    for tier, dollars in (("A", rng.choice((0, 300, 50_000))), ("B", rng.choice((0, 100)))):
        if dollars:
            made.do(c.FundInsurance(tier=tier, asset="USD", amount=dollars * USD))
    return made


def concerned(turn: Turn) -> set[tuple[str, str]]:
    """Pools that a turn's commands name beside the one they liquidate."""
    found: set[tuple[str, str]] = set()
    for deed in turn.deeds:
        for one in deed.proposal.batch.commands if deed.is_done else ():
            if isinstance(one, c.Deleverage):
                found.add(one.counterparty)
            elif isinstance(one, c.Socialise):
                found.update(one.holders)
            elif isinstance(one, c.Draw):
                found.add((one.account, "shared"))
    return found


def pools(made: Venue) -> dict[tuple[str, str], Any]:
    return {
        (name, pool): state.copy()
        for name, held in made.book.accounts.items()
        if name[0] != "@"
        for pool, state in held.pools.items()
    }


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(seed=5176, ether=1.0, coin=1.0)  # what is sold lies in two pools that merge
@given(seed=st.integers(0, 10**6), ether=st.floats(0.6, 1.5), coin=st.floats(0.7, 1.3))
def test_a_turn_leaves_nobody_under_water_without_a_word_and_touches_nobody_safe(seed, ether, coin):
    made, liquidator = arranged(seed), Liquidator()
    for step in range(2):
        made.wait(1)
        made.price(ETH=2_000.0 * (1.0 if step else ether), BTC=50_000.0 * coin)
        before, was = pools(made), verdicts(made)
        turn = turned(made, liquidator)
        after = verdicts(made)
        for place, code in after.items():
            name, pool = place.split("/")
            if code in (UNDER, BANKRUPT):
                deed = turn.of(name, pool)
                assert deed is not None and deed.whys, (place, code, deed)
        # What merges is margined together: who pays from one part may fall with all of them.
        others = {name for name, _ in concerned(turn)}
        for (name, pool), state in pools(made).items():
            code = was.get(f"{name}/{pool}", was[f"{name}/shared"])
            if code == SAFE and name not in others:
                own = turn.of(name, pool if f"{name}/{pool}" in was else "shared")
                assert own is None, "who was safe and nobody's other side is no business of ours"
                assert state == before[name, pool]


def test_books_of_the_law_have_every_kind_of_end():
    seen: set[str] = set()
    for seed in range(12):
        made = arranged(seed)
        made.wait(1)
        made.price(ETH=1_500.0 if seed % 2 else 2_600.0)
        for deed in Liquidator().turn(made.engine).deeds:
            for one in deed.proposal.batch.commands if deed.is_done else ():
                seen.add(type(one).__name__)
            seen.add(deed.proposal.outcome)
    assert {"Liquidate", "CancelOrder", "Deleverage", "PayInsurance", "Socialise"} <= seen
    assert {"restored", "takeover"} <= seen
