"""The laws of margin (docs/spec/15-laws.md), over generated books with every kind of instrument.

Each law is a sentence; where it holds for some methods only, the sentence says which.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace

import msgspec
from hypothesis import given
from hypothesis import strategies as st

import strategies as s
from crossmargin.domain.rulebook import Bracket, Rulebook, Shock, SizeTier
from crossmargin.reference import orders
from crossmargin.reference.plain import (
    HEALTHY,
    UNPRICED,
    Holding,
    PlainAccount,
    PlainMarket,
    PlainPool,
)
from crossmargin.reference.valuation import (
    forward,
    mtm_in_settle,
    option_price,
    price,
    valued,
    years,
)
from strategies import World, good_worlds, worlds
from twins.rows import Row, engine_rows, pools_of, scale_of

# Rounding of sums of some hundred terms, against the largest amount of money in the row.
TOL = 1e-9
fractions = st.floats(0.0, 1.0, exclude_min=True)


def room(row: Row) -> float:
    """What rounding may be in a row."""
    return TOL * scale_of(row)


def alone(pool: PlainPool) -> PlainAccount:
    """A pool as the shared pool of an account of its own, without orders."""
    limits = {"draw_limit": math.inf, "drawn": 0.0, "last_draw": 0.0, "set_aside": False}
    return PlainAccount("alone", (replace(pool, pool="shared", orders=(), **limits),))


def with_rules(market: PlainMarket, rulebook: Rulebook) -> PlainMarket:
    return replace(market, rulebook=rulebook)


def flat_rules(rules: Rulebook) -> Rulebook:
    """No liquidity haircut and no tiers: what is left is linear in size."""
    flat = (Bracket(math.inf, 0.0, 0.0),)
    put = msgspec.structs.replace
    classes = {
        name: put(c, liquidity=flat, surcharge_liquidity_mm=0.0, surcharge_liquidity_im=0.0)
        for name, c in rules.classes.items()
    }
    return put(rules, classes=classes, tiers=(SizeTier(math.inf, 1.0),), assets={})


def all_under(world: World, method: str) -> list[PlainAccount]:
    return [alone(replace(p, method=method)) for p in pools_of(world.accounts)]


def one_row_an_account(market: PlainMarket, accounts: list[PlainAccount]) -> list[Row]:
    return engine_rows(market, accounts)


# --- L1, L2 ---------------------------------------------------------------------------------------


@given(worlds())
def test_l1_maintenance_never_bites_before_initial(world: World) -> None:
    for row in engine_rows(world.market, world.accounts):
        if row["verdict"] == UNPRICED:
            continue
        own_mm, own_im = row["mm"] - row["draws_mm"], row["im"] - row["draws_im"]
        assert own_mm <= own_im + room(row)
        assert row["margin_balance_im"] <= row["margin_balance_mm"] + room(row)
        assert row["buffer_im"] <= row["buffer_mm"] + room(row)
        assert min(own_mm, own_im) >= 0.0


@given(worlds(), st.floats(-5.0, 3.0), fractions, st.sampled_from(s.METHODS))
def test_l2_a_pool_that_owes_nothing_is_healthy_at_any_price_and_all_of_it_is_free(
    world: World, log_move: float, kept: float, method: str
) -> None:
    rng = random.Random(world.seed)
    moved = moved_market(world.market, {f: math.exp(log_move * rng.random()) for f in s.FACTORS})
    pools = [s.merged(world.market, s.savings(rng, world.market, 1e6)) for _ in range(4)]
    # A long option by itself: its delta is many times its value.
    premium = [n for n in s.OPTIONS if s.INSTRUMENTS[n][2] == "premium"]
    pools += [(Holding(rng.choice(premium), rng.uniform(0.1, 1e5)),) for _ in range(3)]
    # Free means: any part of anything may leave, and what stays is judged as before.
    left = [tuple(replace(r, quantity=r.quantity * kept * rng.random()) for r in p) for p in pools]
    accounts = [alone(PlainPool("shared", method, p)) for p in (*pools, *left)]
    for market in (world.market, moved):
        for row in engine_rows(market, accounts):
            if row["verdict"] != UNPRICED:
                assert row["verdict"] == HEALTHY
                assert row["mm"] == row["im"] == 0.0


def moved_market(market: PlainMarket, by: dict[str, float]) -> PlainMarket:
    """Factors times a number, forwards with their underlying."""
    factors = {
        n: replace(f, level=f.level * by[n], stable_price=f.stable_price * by[n])
        for n, f in market.factors.items()
    }
    after = replace(market, factors=factors)
    instruments = {}
    for name, terms in market.instruments.items():
        ratio = price(after, terms.underlying) / price(market, terms.underlying)
        grown = terms.forward * ratio if math.isfinite(ratio) else terms.forward
        instruments[name] = replace(terms, forward=grown)
    return replace(after, instruments=instruments)


# --- L3, L4 ---------------------------------------------------------------------------------------


def merged_pool(market: PlainMarket, pools: list[PlainPool]) -> PlainPool:
    rows = [r for p in pools for r in p.holdings]
    return replace(pools[0], holdings=join(market, rows))


def join(market: PlainMarket, rows: list[Holding]) -> tuple[Holding, ...]:
    """Quantities added, entries averaged so that unsettled P&L is the sum (harmonic if inverse)."""
    found: dict[str, list[Holding]] = {}
    for row in rows:
        found.setdefault(row.item, []).append(row)
    out = []
    for item, same in found.items():
        quantity = math.fsum(r.quantity for r in same)
        entry = same[0].entry_price
        if item in market.instruments and len(same) > 1 and quantity != 0.0:
            inverse = market.instruments[item].payoff == "inverse"
            each = [r.quantity * (1.0 / r.entry_price if inverse else r.entry_price) for r in same]
            entry = math.fsum(each) / quantity
            entry = 1.0 / entry if inverse and entry else entry
        out.append(Holding(item, quantity, entry))
    return tuple(r for r in out if r.quantity != 0.0)


@given(good_worlds())
def test_l3_merging_portfolio_pools_never_raises_the_sum_of_core_r(world: World) -> None:
    market = with_rules(world.market, flat_rules(world.market.rulebook))
    apart = all_under(world, "portfolio")
    together = alone(merged_pool(market, [a.pools[0] for a in apart]))
    rows = engine_rows(market, [*apart, together])
    assert rows[-1]["core_mm"] <= math.fsum(r["core_mm"] for r in rows[:-1]) + sum(map(room, rows))


@given(good_worlds(), st.sampled_from(("cross_sum", "cross_correlated")))
def test_l3_merging_cross_pools_never_raises_k_nor_the_floor_with_flat_fractions(
    world: World, method: str
) -> None:
    # Long options are left out: they shrink an exposure that may be the hedge of another one, so
    # K itself may rise with them. The floor, sum |N|, holds with them (the test after this).
    market = with_rules(world.market, flat_rules(world.market.rulebook))
    apart = [alone(without_long_options(market, a.pools[0])) for a in all_under(world, method)]
    together = alone(merged_pool(market, [a.pools[0] for a in apart]))
    rows = engine_rows(market, [*apart, together])
    assert rows[-1]["core_mm"] <= math.fsum(r["core_mm"] for r in rows[:-1]) + sum(map(room, rows))


@given(good_worlds())
def test_l3_merging_never_raises_the_sum_of_net_charges_even_with_long_options(
    world: World,
) -> None:
    # Unless an option is long in one pool and short in another: merged they are gone, and what the
    # short one had been hedged with stands alone, while the long one was free to stand.
    market = with_rules(world.market, flat_rules(world.market.rulebook))
    apart = [without(a, two_sided(world)) for a in all_under(world, "cross_sum")]
    together = alone(merged_pool(market, [a.pools[0] for a in apart]))
    rows = engine_rows(market, [*apart, together])
    assert rows[-1]["core_mm"] <= math.fsum(r["core_mm"] for r in rows[:-1]) + sum(map(room, rows))


def two_sided(world: World) -> set[str]:
    held = [(r.item, r.quantity > 0.0) for p in pools_of(world.accounts) for r in p.holdings]
    return {name for name in s.OPTIONS if (name, True) in held and (name, False) in held}


def without(account: PlainAccount, names: set[str]) -> PlainAccount:
    pool = account.pools[0]
    return alone(replace(pool, holdings=tuple(r for r in pool.holdings if r.item not in names)))


def without_long_options(market: PlainMarket, pool: PlainPool) -> PlainPool:
    kept = tuple(
        r
        for r in pool.holdings
        if r.item in market.assets
        or r.quantity < 0.0
        or not market.instruments[r.item].pays_premium
    )
    return replace(pool, holdings=kept)


@given(good_worlds(), st.sampled_from(s.HELD), st.floats(1.0, 1e8), st.sampled_from(s.METHODS))
def test_l4_adding_a_priced_asset_never_lowers_what_a_pool_may_count_on(
    world: World, asset: str, value: float, method: str
) -> None:
    # At IM before price uncertainty: Pi is charged in full on what a cap may not count at all.
    extra = Holding(asset, value / price(world.market, asset))
    before = all_under(world, method)
    after = [alone(s_with(world.market, a.pools[0], extra)) for a in before]
    n = len(before)
    rows = engine_rows(world.market, [*before, *after])
    for old, new in zip(rows[:n], rows[n:], strict=True):
        slack = room(old) + room(new)
        assert new["margin_balance_mm"] >= old["margin_balance_mm"] - slack
        im_old = old["margin_balance_im"] + old["price_uncertainty_im"]
        im_new = new["margin_balance_im"] + new["price_uncertainty_im"]
        assert im_new >= im_old - slack
        if method == "portfolio":
            spare = old["margin_balance_mm"] - old["core_mm"]
            assert new["margin_balance_mm"] - new["core_mm"] >= spare - slack


def s_with(market: PlainMarket, pool: PlainPool, extra: Holding) -> PlainPool:
    return replace(pool, holdings=s.merged(market, [*pool.holdings, extra]))


# --- L9 to L12 ------------------------------------------------------------------------------------


@given(worlds(bad=0.1), st.integers(0, 2**31))
def test_l9_no_nan_is_healthy(world: World, seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice(tuple(s.FACTORS))
    factors = dict(world.market.factors)
    factors[name] = replace(factors[name], level=math.nan)
    instrument = rng.choice(tuple(world.market.instruments))
    field = rng.choice(("forward", "iv", "averaged_share"))
    instruments = dict(world.market.instruments)
    instruments[instrument] = replace(instruments[instrument], **{field: math.nan})
    poisoned = replace(world.market, factors=factors, instruments=instruments)
    rows = engine_rows(poisoned, world.accounts)
    for pool, row in zip(pools_of(world.accounts), rows, strict=True):
        if row["verdict"] == UNPRICED:
            continue
        money = {k: v for k, v in row.items() if k != "worst_loss"}
        assert not any(math.isnan(v) for v in money.values()), row
        for asset in valued(world.market, pool.holdings).balance:
            loads = [f for f, _ in world.market.assets[asset].loads]
            assert name not in loads, "a pool holds what has no price"


@given(worlds(bad=0.1), st.integers(0, 2**31))
def test_l9_a_quantity_that_is_not_a_number_unprices_its_pool(world: World, seed: int) -> None:
    rng = random.Random(seed)
    hurt = []
    for a in world.accounts:
        pool = a.pools[0]
        if pool.holdings:
            rows = list(pool.holdings)
            i = rng.randrange(len(rows))
            rows[i] = replace(rows[i], quantity=math.nan)
            hurt.append(alone(replace(pool, holdings=tuple(rows))))
    for row in engine_rows(world.market, hurt):
        assert row["verdict"] == UNPRICED


@given(worlds(), st.integers(0, 2**31))
def test_l10_the_order_of_accounts_factors_assets_instruments_and_scenarios_changes_nothing(
    world: World, seed: int
) -> None:
    rng = random.Random(seed)
    market = world.market
    shuffled = replace(
        market,
        factors=shuffle(rng, market.factors),
        assets=shuffle(rng, market.assets),
        instruments=shuffle(rng, market.instruments),
        joint=tuple(rng.sample(market.joint, len(market.joint))),
    )
    order = rng.sample(range(len(world.accounts)), len(world.accounts))
    here = [engine_rows(market, [a]) for a in world.accounts]
    there = engine_rows(shuffled, [world.accounts[i] for i in order])
    want = [row for i in order for row in here[i]]
    for row, again in zip(want, there, strict=True):
        assert row["verdict"] == again["verdict"]
        if row["verdict"] != UNPRICED:
            for key in ("equity", "margin_balance_mm", "margin_balance_im", "mm", "im"):
                assert abs(row[key] - again[key]) <= room(row), key


def shuffle(rng: random.Random, table: object) -> dict[str, object]:
    items = list(table.items())  # type: ignore[attr-defined]
    rng.shuffle(items)
    return dict(items)


@given(worlds())
def test_l11_the_parts_of_a_requirement_and_of_a_balance_sum(world: World) -> None:
    from crossmargin.margin.requirement import PARTS

    for row in engine_rows(world.market, world.accounts):
        if row["verdict"] == UNPRICED:
            continue
        for level in ("mm", "im"):
            parts = math.fsum(row[f"{part}_{level}"] for part in PARTS)
            assert abs(parts - row[level]) <= room(row)
            taken = math.fsum(
                row[f"{part}_{level}"]
                for part in (
                    "haircut", "surcharge", "long_options", "unsettled_gains", "price_uncertainty",
                )
            )  # fmt: skip
            assert abs(row["equity"] - taken - row[f"margin_balance_{level}"]) <= room(row)


@given(good_worlds(), st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=4, unique=True))
def test_l12_more_grid_steps_never_lower_core_r(world: World, steps: list[float]) -> None:
    put = msgspec.structs.replace
    rules = world.market.rulebook
    more = put(rules, grid=put(rules.grid, steps=tuple({*rules.grid.steps, *steps})))
    check_core_grows(world, with_rules(world.market, more))


@given(good_worlds(), st.dictionaries(st.sampled_from(("btc", "eth", "major", "altcoin",
       "stablecoin", "staking_basis")), st.floats(-0.9, 3.0), min_size=1))  # fmt: skip
def test_l12_more_stress_never_lowers_core_r(world: World, moves: dict[str, float]) -> None:
    put = msgspec.structs.replace
    rules = world.market.rulebook
    shocks = (*rules.stress.shocks, Shock("one more", moves))
    more = put(rules, stress=put(rules.stress, shocks=shocks))
    check_core_grows(world, with_rules(world.market, more))


def check_core_grows(world: World, more: PlainMarket) -> None:
    accounts = all_under(world, "portfolio")
    before = engine_rows(world.market, accounts)
    after = engine_rows(more, accounts)
    for old, new in zip(before, after, strict=True):
        assert new["core_mm"] >= old["core_mm"] - room(old)


# --- L15 to L17 -----------------------------------------------------------------------------------


@given(good_worlds(), st.sampled_from(s.METHODS))
def test_l15_settling_unsettled_profit_changes_nothing(world: World, method: str) -> None:
    rules = world.market.rulebook
    put = msgspec.structs.replace
    tiers = {name: put(t, mm=1.0, im=1.0) for name, t in rules.gain_tiers.items()}
    market = with_rules(world.market, put(rules, gain_tiers=tiers))
    before = all_under(world, method)
    after = [alone(settled(market, a.pools[0])) for a in before]
    n = len(before)
    rows = engine_rows(market, [*before, *after])
    for old, new in zip(rows[:n], rows[n:], strict=True):
        assert old["verdict"] == new["verdict"] or abs(old["buffer_mm"]) < room(old)
        for key in ("equity", "margin_balance_mm", "margin_balance_im", "mm", "im"):
            assert abs(old[key] - new[key]) <= room(old) + room(new), key


def settled(market: PlainMarket, pool: PlainPool) -> PlainPool:
    """P&L paid into the settlement asset, entries at the mark."""
    rows: list[Holding] = []
    for row in pool.holdings:
        terms = market.instruments.get(row.item)
        if terms is None or terms.pays_premium:
            rows.append(row)
            continue
        mark = forward(terms)
        if terms.is_option:
            mark = option_price(terms, mark, terms.iv, years(market, terms))
        paid = mtm_in_settle(market, terms, row.quantity, row.entry_price)
        rows += [replace(row, entry_price=mark), Holding(terms.settle, paid)]
    return replace(pool, holdings=s.merged(market, rows))


@given(good_worlds(), st.floats(0.01, 100.0))
def test_l16_core_r_grows_with_the_book(world: World, times: float) -> None:
    market = with_rules(world.market, flat_rules(world.market.rulebook))
    once = all_under(world, "portfolio")
    scaled = [alone(times_pool(a.pools[0], times)) for a in once]
    n = len(once)
    rows = engine_rows(market, [*once, *scaled])
    for one, many in zip(rows[:n], rows[n:], strict=True):
        assert abs(many["core_mm"] - times * one["core_mm"]) <= times * room(one) + room(many)


def times_pool(pool: PlainPool, times: float) -> PlainPool:
    return replace(
        pool, holdings=tuple(replace(r, quantity=r.quantity * times) for r in pool.holdings)
    )


@given(good_worlds(), st.integers(0, 2**31))
def test_l17_what_the_quote_says_of_an_order_the_deed_says_of_the_filled_book(
    world: World, seed: int
) -> None:
    rng = random.Random(seed)
    market = world.market
    for account in world.accounts:
        at = rng.randrange(len(account.pools))
        order = replace(s.order(rng, market, 1e5), reduce_only=False)
        quoted = with_pool(account, at, replace(account.pools[at], orders=(order,)))
        none = with_pool(account, at, replace(account.pools[at], orders=()))
        filled = (*account.pools[at].holdings, *orders.fill(market, order))
        done = replace(account.pools[at], orders=(), holdings=join(market, list(filled)))
        quote = own_buffer(engine_rows(market, [quoted])[at])
        still = own_buffer(engine_rows(market, [none])[at])
        deed_row = engine_rows(market, [with_pool(account, at, done)])[at]
        deed = own_buffer(deed_row)
        if not math.isnan(quote):
            assert abs(quote - min(still, deed)) <= room(deed_row) * 10


def own_buffer(row: Row) -> float:
    """Before draws, granted or taken: those depend on the other pools."""
    return row["margin_balance_im"] - (row["im"] - row["draws_im"])


def with_pool(account: PlainAccount, at: int, pool: PlainPool) -> PlainAccount:
    pools = list(account.pools)
    pools[at] = pool
    return replace(account, pools=tuple(pools))
