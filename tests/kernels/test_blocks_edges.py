"""What every kernel over many rows promises: it refuses columns that do not fit, and a call for
rows [lo, hi) writes these rows and no others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from crossmargin.kernels import black76, brackets, lanes, scan, surface, tails

N = 4
FLOATS = np.array([0.9, 1.0, 1.1, 1.2])
OPTIONS = black76.Options(FLOATS, FLOATS[::-1].copy(), FLOATS / 4, np.ones(N), np.ones(N, np.bool_))
ROW = np.arange(N, dtype=np.int64) % 2
STARTS = np.array([0, 1, 2, 3, 4])
ITEM = ROW.astype(np.int32)
ROWS = np.array([[-1.0, 2.0], [3.0, -4.0]])
ONES = np.ones(2)
HALVES = np.full(2, 0.5)
SCHEDULES = brackets.Schedules(
    np.array([0, 2, 3]), np.array([1.0, np.inf, np.inf]), np.array([0.5, 0.25, 1.0])
)
SURFACES = surface.Surfaces(
    np.array([0, 1, 2]), np.array([0.5, 0.5]), np.array([0, 1, 2]), np.zeros(2),
    np.array([0.4, 0.8]),
)  # fmt: skip
MOVES = np.zeros((N, 3))


def short(values: np.ndarray) -> np.ndarray:
    return values[:-1].copy()


PRICES = {
    **{
        f"options.{name}": lambda name=name: black76.black76_prices(
            OPTIONS._replace(**{name: short(getattr(OPTIONS, name))}), FLOATS
        )
        for name in OPTIONS._fields
        if name != "forward"  # it says how many there are
    },
    "prices.sigma": lambda: black76.black76_prices(OPTIONS, short(FLOATS)),
    "greeks.sigma": lambda: black76.black76_greeks(OPTIONS, short(FLOATS)),
    "revalue.underlying": lambda: black76.revalue(OPTIONS, short(ROW), np.zeros((2, 3)), MOVES),
    "revalue.log_mult": lambda: black76.revalue(OPTIONS, ROW, np.zeros((2, 2)), MOVES),
    "revalue.sigma": lambda: black76.revalue(OPTIONS, ROW, np.zeros((2, 3)), short(MOVES)),
    "counted.schedule": lambda: brackets.counted_values(FLOATS, short(ROW), SCHEDULES),
    "charges.schedule": lambda: brackets.charges(FLOATS, short(ROW), SCHEDULES),
    "schedules.fracs": lambda: brackets.counted_values(
        FLOATS, ROW, SCHEDULES._replace(fracs=short(SCHEDULES.fracs))
    ),
    "vols.t_years": lambda: surface.surface_vols(SURFACES, ROW, short(FLOATS), FLOATS),
    "vols.log_strike": lambda: surface.surface_vols(SURFACES, ROW, FLOATS, short(FLOATS)),
    "shocked.scale": lambda: surface.shocked_vols(FLOATS, short(FLOATS), MOVES, FLOATS),
    "shocked.floor": lambda: surface.shocked_vols(FLOATS, FLOATS, MOVES, short(FLOATS)),
    "scan.item": lambda: scan.scan(ROWS, ONES, STARTS, short(ITEM), FLOATS),
    "scan.quantity": lambda: scan.scan(ROWS, ONES, STARTS, ITEM, short(FLOATS)),
    "scan.weight": lambda: scan.scan(ROWS, ONES[:1].copy(), STARTS, ITEM, FLOATS),
    "scan.pool_starts": lambda: scan.scan(ROWS, ONES, STARTS + 1, ITEM, FLOATS),
    "scan.prepared.item": lambda: scan.scan_prepared(
        scan.loss_rows(ROWS, ONES), STARTS, short(ITEM), FLOATS
    ),
    "es.item": lambda: tails.pools_expected_shortfall(
        ROWS, STARTS, short(ITEM), FLOATS, HALVES, 0.5
    ),
    "es.quantity": lambda: tails.pools_expected_shortfall(
        ROWS, STARTS, ITEM, short(FLOATS), HALVES, 0.5
    ),
    "es.probability": lambda: tails.pools_expected_shortfall(
        ROWS, STARTS, ITEM, FLOATS, np.ones(1), 0.5
    ),
}


@pytest.mark.parametrize("call", PRICES.values(), ids=PRICES)
def test_a_column_one_row_short_is_refused(call: Callable[[], object]):
    with pytest.raises(AssertionError):
        call()


@pytest.mark.parametrize("weight", [-1e-9, 1.0 + 1e-9])
def test_a_weight_outside_nothing_and_all_is_refused(weight: float):
    with pytest.raises(AssertionError):
        scan.loss_rows(ROWS, np.array([weight, 1.0]))
    scan.loss_rows(ROWS, np.array([0.0, 1.0]))


@pytest.mark.parametrize(("schedules", "said"), [
    (SCHEDULES._replace(starts=np.array([0, 0, 3])), "every schedule has a bracket$"),
    (SCHEDULES._replace(starts=np.array([1, 2, 3])), "must be 0"),
    (SCHEDULES._replace(edges_usd=np.array([1.0, 2.0, np.inf])), None),  # the first one is not open
])  # fmt: skip
def test_a_schedule_without_a_bracket_or_an_end_is_refused(schedules, said: str | None):
    with pytest.raises(AssertionError, match=said):
        brackets.counted_values(FLOATS, ROW, schedules)


def test_rows_below_and_above_a_block_stay_as_they_are():
    # Every kernel is asked for rows 1 and 2 of four; 0 and 3 keep what they held.
    price, vol, counted = (np.full(N, -7.0) for _ in range(3))
    loss, index, es = np.full(N, -7.0), np.full(N, -7), np.full(N, -7.0)
    result = black76.Greeks(*(np.full(N, -7.0) for _ in black76.Greeks._fields))
    cells = np.full((N, 3), -7.0)
    moves = np.zeros((2, 3))
    black76._price_block(1, 3, OPTIONS, FLOATS, price)
    black76._greeks_block(1, 3, OPTIONS, FLOATS, result)
    black76._revalue_block(1, 3, OPTIONS, ROW, moves, np.exp(moves), np.full((N, 3), 0.5), cells)
    brackets._counted_block(1, 3, FLOATS, ROW, SCHEDULES, counted)
    surface._vols_block(1, 3, SURFACES, ROW, FLOATS, FLOATS, vol)
    scan._scan_block(1, 3, scan.loss_rows(ROWS, ONES), STARTS, ITEM, FLOATS, loss, index)
    tails._es_block(1, 3, ROWS, STARTS, ITEM, FLOATS, HALVES, 0.5, 2, es)
    for out in (price, *result, cells[:, 0], counted, vol, loss, index, es):
        assert (out[[0, 3]] == -7).all()
        assert (out[[1, 2]] != -7).all()


def test_only_the_rows_of_a_block_must_lie_in_the_table():
    item = np.array([9, 1, 0, -1], np.int32)
    assert not lanes.items_within(item, 0, 2, 2)  # 9
    assert lanes.items_within(item, 1, 3, 2)
    assert not lanes.items_within(item, 1, 3, 1)  # 1 is one too many
    assert not lanes.items_within(item, 2, 4, 2)  # -1
    assert lanes.items_within(item, 2, 2, 0)  # none


@pytest.mark.parametrize("n_columns", [0, 3, 8, 65])
def test_aligned_rows_begin_on_a_cache_line_and_hold_zeros(n_columns: int):
    for n_rows in range(4):
        rows = lanes.aligned_zeros(n_rows, n_columns)
        assert rows.shape == (n_rows, n_columns)
        assert not rows.any()
        if rows.size:
            assert rows.ctypes.data % 64 == 0
    # Whatever the allocator hands out: several arrays alive at once lie at different offsets.
    kept = [lanes.aligned_zeros(1, n) for n in range(1, 40)]
    assert all(rows.ctypes.data % 64 == 0 for rows in kept)


def test_scans_and_tails_of_pools_by_hand():
    # Item 0 loses 1 in the first scenario, item 1 loses 4 in the second; 0.9, 1.0, 1.1, 1.2 held.
    loss, index = scan.scan(ROWS, ONES, STARTS, ITEM, FLOATS, threads=1)
    assert loss == pytest.approx([0.9, 4.0, 1.1, 4.8])
    assert index.tolist() == [0, 1, 0, 1]
    assert index.dtype == np.int64
    es = tails.pools_expected_shortfall(ROWS, STARTS, ITEM, FLOATS, HALVES, 0.5)
    assert es == pytest.approx([0.9, 4.0, 1.1, 4.8])  # the worse half is the worse scenario


@pytest.mark.parametrize("n_columns", [1, 7, 8, 20, 63, 64, 65, 130, 192])
def test_a_pools_row_is_summed_over_all_its_columns(n_columns: int):
    # Blocks of 64, of 8 and single columns; the last block steps back to end at the edge.
    rows = np.arange(3.0 * n_columns).reshape(3, n_columns)
    item, quantity = np.array([2, 0, 1, 2], np.int32), np.array([9.0, 2.0, -1.0, 0.5])
    out = np.full(n_columns, np.nan)
    tails.pool_row(out, rows, item, quantity, 1, 4)  # the first holding is another pool's
    assert out == pytest.approx(2.0 * rows[0] - rows[1] + 0.5 * rows[2])
