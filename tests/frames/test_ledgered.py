"""The door from the ledger's integers to the margin's floats."""

from __future__ import annotations

import numpy as np
import pytest

from crossmargin.adapters.files import load_rulebook
from crossmargin.base.arrays import F64
from crossmargin.domain.book import (
    AccountState,
    Book,
    Head,
    LendingState,
    OrderState,
    PoolState,
    PositionState,
    Status,
)
from crossmargin.domain.rulebook import Rulebook
from crossmargin.engine import opening
from crossmargin.engine.commands import AdoptRulebook, AdoptScenarios
from crossmargin.engine.market import scenarios_of
from crossmargin.engine.replies import Accepted
from crossmargin.frames.book import BookFrame
from crossmargin.frames.compile import BookTables, compile_book
from crossmargin.frames.ledgered import Items, book_frame
from crossmargin.frames.listing import compile_market
from crossmargin.frames.market import MarketFrame, asset_prices
from crossmargin.margin.joint import JointRows, joint_rows
from crossmargin.margin.prepared import prepare
from crossmargin.methods.registry import DEFAULT_METHOD, METHODS, assess
from crossmargin.simulation.books import book
from crossmargin.simulation.worlds import World, world
from engine.small import BTC, CT, ETH, MONEY, SECOND, T0, USDC, Venue, venue

AT_NS = 1_767_614_400 * SECOND  # 2026-01-05T12:00Z: the shipped rules are in force
ONE = 10**18


@pytest.fixture(scope="module")
def items() -> Items:
    made = venue().engine
    found = made.setting(T0).items
    assert found is not None
    return found


def held(
    items: Items, pools: dict[str, PoolState], head: Head | None = None, status: int = Status.OPEN
) -> list[tuple[str, str, float, float]]:
    """(pool, item, quantity, entry price) of every row that `book_frame` makes of one account."""
    frame = book_frame([("ann", AccountState(status, pools))], Book(head), items)
    names = {row: name for name, (row, _) in items.assets.items()}
    names |= {contract.row: name for name, contract in items.contracts.items()}
    pool = np.repeat(np.arange(frame.n_pools), np.diff(frame.pool_starts))
    return [
        (frame.pool_names[p], names[i], float(q), float(e))
        for p, i, q, e in zip(pool, frame.item, frame.quantity, frame.entry_price, strict=True)
    ]


NAN = float("nan")
ENTRIES = [
    # id, instrument, contracts, cost, quantity, entry price
    # 2 ct for 400,000 cents: 2,000 each
    ("linear", "ETH-PERP", 2 * CT, -400_000, 2.0, 2_000.0),
    ("short", "ETH-PERP", -2 * CT, 400_000, -2.0, 2_000.0),
    # a contract of 0.001 for 50 USDC
    ("sized", "BTC-PERP", CT, -50 * USDC, 1.0, 50_000.0),
    # 1 ct x 100 / 40,000 = 250,000 units
    ("inverse", "BTC-INV", CT, 250_000, 1.0, 40_000.0),
    ("short_inverse", "BTC-INV", -CT, -250_000, -1.0, 40_000.0),
    # 1 ct x 10^-5 x 2,000 = 0.02 BTC
    ("quanto", "ETH-QUANTO", CT, -2_000_000, 1.0, 2_000.0),
    ("futures_style", "ETH-CALL-F", CT, -10 * USDC, 1.0, 10.0),
    ("premium", "ETH-CALL", -CT, 0, -1.0, NAN),
    # worth nothing at entry after rounding: an inverse has 1 / entry = 0, a linear entry 0
    ("inverse_dust", "BTC-INV", 1, 0, 1e-18, np.inf),
    ("linear_dust", "ETH-PERP", -1, 0, -1e-18, 0.0),
    # realised more than it cost: an entry below nothing is a number like another
    ("below_nothing", "ETH-PERP", CT, 100, 1.0, -1.0),
]


@pytest.mark.parametrize(
    ("name", "contracts", "cost", "quantity", "entry"),
    [row[1:] for row in ENTRIES],
    ids=[row[0] for row in ENTRIES],
)
def test_a_cost_reads_as_the_entry_at_which_nothing_was_made(
    items: Items, name: str, contracts: int, cost: int, quantity: float, entry: float
) -> None:
    pool = PoolState("cross_sum", positions={name: PositionState(contracts, cost)})
    [(_, item, q, e)] = held(items, {"shared": pool})
    assert (item, q) == (name, quantity)
    np.testing.assert_allclose(e, entry, rtol=1e-15)  # a division and two products, each rounded


def test_amounts_keep_their_sign_and_their_unit(items: Items) -> None:
    balances = {"USD": -5, "BTC": 3 * BTC, "TOK": 7, "WEI": 10**30}
    rows = held(items, {"shared": PoolState("cross_sum", balances=balances)})
    assert [row[1:3] for row in rows] == [("USD", -0.05), ("BTC", 3.0), ("TOK", 7.0), ("WEI", 1e12)]


def test_limits_and_draws_are_dollars_and_none_merges(items: Items) -> None:
    pools = {
        "shared": PoolState("cross_sum", balances={"USD": 100, "ETH": ETH}),
        "merged": PoolState("portfolio", balances={"USD": 50},
                            positions={"ETH-PERP": PositionState(CT, -200_000)},
                            orders={"o": OrderState("ETH-PERP", CT, "1")}),
        "fenced": PoolState("isolated", 40 * MONEY, 15 * MONEY, 5 * MONEY, {"USD": 25}),
    }  # fmt: skip
    rows = held(items, pools)
    assert [row[:3] for row in rows] == [
        ("shared", "USD", 1.5), ("shared", "ETH", 1.0), ("shared", "ETH-PERP", 1.0),
        ("fenced", "USD", 0.25),
    ]  # fmt: skip
    frame = book_frame([("ann", AccountState(0, pools))], Book(), items)
    assert [frame.method_names[m] for m in frame.method] == ["cross_sum", "isolated"]
    np.testing.assert_array_equal(frame.draw_limit, [np.inf, 40.0])
    np.testing.assert_array_equal(frame.drawn, [0.0, 15.0])
    np.testing.assert_array_equal(frame.last_draw, [0.0, 5.0])
    np.testing.assert_array_equal(frame.order_starts, [0, 1, 1])


def test_orders_keep_their_terms(items: Items) -> None:
    orders = {"a": OrderState("ETH-PERP", -3 * CT, "2000.5", True),
              "b": OrderState("ETH/USD", CT // 2, "1e3")}  # fmt: skip
    frame = book_frame(
        [("ann", AccountState(0, {"shared": PoolState("cross_sum", orders=orders)}))], Book(), items
    )
    np.testing.assert_array_equal(frame.order_quantity, [-3.0, 0.5])
    np.testing.assert_array_equal(frame.order_limit, [2_000.5, 1_000.0])
    np.testing.assert_array_equal(frame.order_reduce_only, [True, False])


def test_funding_that_is_due_is_part_of_the_balance(items: Items) -> None:
    # 1.5 ct x (25 - 5) cents = 30 cents owed by the long
    head = Head(funding={"ETH-PERP": 25 * ONE})
    pool = PoolState("cross_sum", balances={"USD": 100}, positions={
        "ETH-PERP": PositionState(15 * CT // 10, -300_000, 5 * ONE)})  # fmt: skip
    assert held(items, {"shared": pool}, head)[0][1:3] == ("USD", 0.7)
    pool.positions["ETH-PERP"].contracts *= -1
    assert held(items, {"shared": pool}, head)[0][1:3] == ("USD", 1.3)
    pool.balances.clear()
    assert held(items, {"shared": pool}, head)[0][1:3] == ("USD", 0.3), "even where none stands"


def test_interest_that_is_due_is_part_of_the_debt(items: Items) -> None:
    # a debt of 500 since index 1.1; now 1.32: 500 x 1.32 / 1.1 = 600
    head = Head(lending={"USDC": LendingState(index=132 * 10**16)})
    pool = PoolState("cross_sum", balances={"USDC": -500 * USDC, "USD": 100},
                     debt_index={"USDC": 11 * 10**17})  # fmt: skip
    assert held(items, {"shared": pool}, head) == [
        ("shared", "USD", 1.0, pytest.approx(NAN, nan_ok=True)),
        ("shared", "USDC", -600.0, pytest.approx(NAN, nan_ok=True)),
    ]


def test_a_merged_bucket_s_debts_bring_their_interest_too(items: Items) -> None:
    head = Head(lending={"USD": LendingState(index=2 * ONE)})
    pools = {
        "shared": PoolState("cross_sum", balances={"USD": 1_000}),
        "merged": PoolState("cross_sum", balances={"USD": -300}, debt_index={"USD": ONE}),
    }
    assert held(items, pools, head)[0][1:3] == ("USD", 4.0)  # 10 - 3 x 2


def test_a_mirror_has_no_accruals(items: Items) -> None:
    head = Head(funding={"ETH-PERP": 25 * ONE}, lending={"USD": LendingState(index=2 * ONE)})
    pool = PoolState("cross_sum", balances={"USD": -100},
                     positions={"ETH-PERP": PositionState(CT, -200_000)})  # fmt: skip
    rows = held(items, {"shared": pool}, head, Status.MIRROR)
    assert rows[0][1:3] == ("USD", -1.0)


def test_rows_stand_in_the_market_s_order(items: Items) -> None:
    pool = PoolState("cross_sum", balances={"WEI": 1, "USD": 1, "BTC": 1}, positions={
        "TOK-WEI": PositionState(CT, -1), "ETH-PERP": PositionState(CT, -1)})  # fmt: skip
    assert [row[1] for row in held(items, {"shared": pool})] == [
        "USD", "BTC", "WEI", "ETH-PERP", "TOK-WEI",
    ]  # fmt: skip


def test_no_account_is_no_rows(items: Items) -> None:
    empty = AccountState(0, {"shared": PoolState("cross_sum")})
    frame = book_frame([("ann", empty), ("bob", empty)], Book(), items)
    assert (frame.n_accounts, frame.n_pools, len(frame.item)) == (2, 2, 0)


# --- the same book by two doors -------------------------------------------------------------------


@pytest.fixture(scope="module")
def generated() -> World:
    return world(7, AT_NS, days=420)


def moved_in(generated: World, tables: BookTables) -> Venue:
    """A venue that lists a generated market and took over a book by its opening commands."""
    rules = load_rulebook("prime-24h")
    made, at = Venue(now_ns=AT_NS), AT_NS
    market, joint = priced(generated, rules)
    made.do(
        opening.listing_command(generated.tables, "list", at),
        AdoptRulebook(rules=rules.packed()),
        AdoptScenarios(scenarios=scenarios_of(joint, market)),
        *opening.prices_commands(market, "price", at),
    )
    commands = opening.account_commands(tables, market, DEFAULT_METHOD, "import", at)
    assert all(isinstance(reply, Accepted) for reply in made.engine.submit(list(commands)))
    return made


def priced(generated: World, rules: Rulebook) -> tuple[MarketFrame, JointRows]:
    market, _ = compile_market(generated.tables, rules.oracle.stale_s)
    joint = joint_rows(generated.history, market, rules.joint, rules.margin.mpor_hours)
    assert joint is not None
    return market, joint


@pytest.mark.parametrize(("seed", "n_accounts"), [(7, 200), (20_260_101, 300)])
def test_an_imported_book_has_the_margin_of_its_tables(
    generated: World, seed: int, n_accounts: int
) -> None:
    tables = book(seed, generated, n_accounts)
    rules = load_rulebook("prime-24h")
    market, joint = priced(generated, rules)
    frame, findings = compile_book(tables, market, DEFAULT_METHOD, tuple(METHODS))
    assert findings == []
    want = assess(frame, prepare(market, rules, joint))

    made = moved_in(generated, tables)
    setting = made.engine.setting(made.engine.now())
    assert setting.market is not None
    assert setting.items is not None
    users = [(name, held) for name, held in made.book.accounts.items() if name[0] != "@"]
    ledgered = book_frame(users, made.book, setting.items)
    got = assess(ledgered, setting.market)

    assert list(ledgered.account_names) == list(frame.account_names)
    assert list(ledgered.pool_names) == list(frame.pool_names)
    np.testing.assert_array_equal(got.verdict, want.verdict)
    unit = units_of(frame, market)
    for name in ("equity", "buffer_mm", "buffer_im", "draw_mm"):
        one, other = getattr(got, name), getattr(want, name)
        np.testing.assert_array_equal(np.isfinite(one), np.isfinite(other))
        known = np.isfinite(other)
        gross = np.abs(want.equity) + np.abs(want.equity - want.buffer_im)
        near = 1e-9 * np.nan_to_num(gross)
        near += 2e-6  # limits and reservations are whole 10^-6 of a dollar
        assert (np.abs(one - other) <= near + 2.0 * unit)[known].all(), name
    whole = np.isfinite(want.equity)
    most = want.equity + 1e-9 * (1.0 + np.abs(want.equity))
    assert (got.equity <= most)[whole].all(), "what is rounded is never in its favour"


def units_of(frame: BookFrame, market: MarketFrame) -> F64:
    """What costs may be rounded by: a unit of the settlement asset for each position, summed over
    an account because its pools draw on each other."""
    n, price = market.n_assets, asset_prices(market)
    settle = np.concatenate([np.arange(n), market.instruments.settle])[frame.item]
    one = np.where(frame.item >= n, price[settle] / 10.0 ** market.assets.decimals[settle], 0.0)
    rows = np.repeat(np.arange(frame.n_pools), np.diff(frame.pool_starts))
    owner = frame.account_of_pool()
    whole = np.bincount(owner[rows], one, minlength=frame.n_accounts)
    return whole[owner]
