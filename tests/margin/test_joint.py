"""Joint scenarios against a slow twin, and the one thing they must never do: look ahead."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from crossmargin.domain.rulebook import Joint
from crossmargin.frames.history import HOUR_NS, HistoryFrame
from crossmargin.frames.market import (
    AssetTable,
    FactorTable,
    InstrumentTable,
    MarketFrame,
)
from crossmargin.margin.joint import SEED_RETURNS, joint_rows

RULES = Joint(
    rows=100, ewma=0.97, clip_low=0.5, clip_high=2.5, sigma_floor=0.75, outlier=0.20,
    neighbours=0.10, vol_fall=1.5, vol_rise=0.5,
)  # fmt: skip
FACTORS = (
    ("BTC/USD", "spot", "BTC"),
    ("AAA/USD", "spot", "altcoin"),
    ("BBB/USD", "spot", "altcoin"),
    ("NEW/USD", "spot", "altcoin"),
    ("USDX/USD", "peg", "stablecoin"),
)
DAYS = 160
AT = (DAYS * 24 + 5) * HOUR_NS + 17  # a little after the hour


def market(at_ns=AT, factors=FACTORS):
    k = len(factors)
    names, kinds, classes = zip(*factors, strict=True)
    ones, none = np.ones(k), np.zeros(0)
    i8, i32, i64 = (np.zeros(0, t) for t in (np.int8, np.int32, np.int64))
    return MarketFrame(
        at_ns, "USD", "made by a test",
        FactorTable(names, kinds, classes, ones, np.full(k, 4, np.int8), 0 * ones, ones, 0 * ones,
                    np.nan * ones),
        AssetTable((), (), i64, none, np.zeros(1, np.int64), i32, none, none, none, none),
        InstrumentTable((), i8, i8, i8, i32, i32, i32, none, none, i64, none, none, none, none, i8,
                        none, none, none, none, none, none),
    )  # fmt: skip


def walk(seed=7, hours=(DAYS + 20) * 24):
    """Prices of the first four factors that are listed at all, hourly, with a few holes."""
    rng = np.random.default_rng(seed)
    vol = 0.006 * np.exp(np.cumsum(rng.normal(0, 0.01, hours)))[:, None]
    steps = rng.standard_t(4, (hours, 5)) * vol * [0.6, 1.0, 1.2, 1.4, 0.02]
    close = 100.0 * np.exp(np.cumsum(steps, axis=0))
    close[: 90 * 24, 3] = np.nan  # NEW lists late
    close[rng.integers(0, hours, 200), rng.integers(0, 5, 200)] = np.nan
    ts = HOUR_NS * np.arange(1, hours + 1)
    return HistoryFrame(ts, tuple(f[0] for f in FACTORS), close, close, close)


def test_joint_rows_match_the_slow_twin():
    history = walk()
    got = joint_rows(history, market(), RULES, 24.0)
    want_moves, want_flags = slow_rows(history, RULES, 24)
    np.testing.assert_allclose(got.factor_moves, want_moves, rtol=1e-9, atol=1e-12)
    assert (got.flagged == np.array(want_flags)).all()
    assert got.flagged.any()
    assert len(got) == RULES.rows


def test_nothing_after_the_stamp_is_read():
    history = walk()
    row = int(np.searchsorted(history.ts_ns, AT, side="right"))
    shifted = {f: getattr(history, f).copy() for f in ("close", "low", "high")}
    for values in shifted.values():
        values[row:] *= np.linspace(0.01, 30.0, len(values) - row)[:, None]
    before = joint_rows(history, market(), RULES, 24.0)
    after = joint_rows(replace(history, **shifted), market(), RULES, 24.0)
    assert (before.factor_moves == after.factor_moves).all()
    assert before.refused == after.refused


def test_windows_end_at_the_hour_of_the_stamp_one_a_date():
    got = joint_rows(walk(), market(), RULES, 24.0)
    # Hour 5 of day 160 since 1970: 1970-06-10; the window ends then, and 100 dates count back.
    assert got.names[-1] == "1970-06-10"
    assert got.names[0] == "1970-03-03"
    assert len(set(got.names)) == len(got.names)
    assert math.isclose(got.probability.sum(), 1.0)


def test_fewer_dates_than_asked_are_used_and_counted():
    got = joint_rows(walk(), market(at_ns=60 * 24 * HOUR_NS), RULES, 24.0)
    assert len(got) == 59  # closes at the end of days 1 to 60: 60 ends, 59 pairs
    assert got.asked == 100


def test_no_history_is_no_scenarios():
    assert joint_rows(walk(), market(at_ns=HOUR_NS // 2), RULES, 24.0) is None
    assert joint_rows(walk(), market(at_ns=3 * HOUR_NS), RULES, 24.0) is None


def test_pegs_keep_their_own_returns():
    history = walk()
    got = joint_rows(history, market(), RULES, 24.0)
    end = int(np.searchsorted(history.ts_ns, AT, side="right")) - 1
    peg = history.close[:, 4]
    assert got.factor_moves[-1, 4] == pytest.approx(peg[end] / peg[end - 24] - 1, rel=1e-12)


def test_volatility_rises_more_in_a_fall_than_in_a_rise():
    got = joint_rows(walk(), market(), RULES, 24.0)
    r = np.log1p(got.factor_moves)
    np.testing.assert_allclose(got.vol_moves, np.where(r < 0, -1.5 * r, 0.5 * r), atol=1e-15)


def test_a_surface_with_its_own_history_moves_by_it():
    history = walk()
    vol = np.full_like(history.close, np.nan)
    end = int(np.searchsorted(history.ts_ns, AT, side="right")) - 1
    vol[end, 0], vol[end - 24, 0] = 0.80, 0.50
    got = joint_rows(replace(history, vol=vol), market(), RULES, 24.0)
    assert got.vol_moves[-1, 0] == pytest.approx(0.60)  # 0.80 / 0.50 - 1


def test_an_outlier_print_changes_nothing_and_is_named():
    history = walk()
    clean_close = history.close.copy()
    row = DAYS * 24 + 4 - 24 * 30  # a window's end
    clean_close[row - 1 : row + 2, 1] = clean_close[row - 1, 1]
    spoiled = clean_close.copy()
    spoiled[row, 1] *= 5.0
    base = joint_rows(replace(history, close=clean_close), market(), RULES, 24.0)
    got = joint_rows(replace(history, close=spoiled), market(), RULES, 24.0)
    named = {(p.factor, p.field) for p in got.refused} - {(p.factor, p.field) for p in base.refused}
    assert ("AAA/USD", "close") in named
    # Two windows touch the print; they take the class's return, so the tail cannot jump.
    assert abs(got.factor_moves[:, 1].min() / base.factor_moves[:, 1].min() - 1) < 0.10


def slow_rows(history, rules, mpor):
    """Spec 4.2 in plain Python: lists and loops, nothing shared with the code under test."""
    at_hour = AT // HOUR_NS
    price = {
        (int(t) // HOUR_NS, k): float(history.close[n, k])
        for n, t in enumerate(history.ts_ns)
        for k in range(5)
        if t <= AT and history.close[n, k] == history.close[n, k]
    }
    hours = sorted(h for h in range(at_hour % 24, at_hour + 1, 24))
    table = []
    for h in hours:
        row = [
            math.log(price[h, k] / price[h - mpor, k])
            if (h, k) in price and (h - mpor, k) in price
            else None
            for k in range(5)
        ]
        if any(r is not None for r in row):
            table.append(row)
    sigma = [[None] * 5 for _ in table]
    now = [None] * 5
    for k in range(5):
        variance, seed = None, []
        for d, row in enumerate(table):
            sigma[d][k] = None if variance is None else math.sqrt(variance)
            r = row[k]
            if r is None:
                continue
            if variance is not None:
                variance = rules.ewma * variance + (1 - rules.ewma) * r * r
            else:
                seed.append(r * r)
                if len(seed) == SEED_RETURNS:
                    variance = sum(seed) / SEED_RETURNS
        seen = [s[k] for s in sigma if s[k] is not None]
        if variance is not None:
            mean = sum(seen) / len(seen) if seen else math.sqrt(variance)
            now[k] = max(math.sqrt(variance), rules.sigma_floor * mean)

    def median(values):
        known = sorted(v for v in values if v is not None)
        if not known:
            return None
        half = len(known) // 2
        return known[half] if len(known) % 2 else (known[half - 1] + known[half]) / 2

    def ratio(a, b):
        if a is None or b is None:
            return None
        return min(max(a / b, rules.clip_low), rules.clip_high)

    moves, flags = [], []
    for d, row in enumerate(table):
        out, flag = [], []
        for k, (_, kind, cls) in enumerate(FACTORS):
            peers = [j for j in range(5) if FACTORS[j][2] == cls]
            scale = 1.0 if kind == "peg" else ratio(now[k], sigma[d][k])
            if row[k] is not None and scale is not None:
                out.append(math.exp(row[k] * scale) - 1)
                flag.append(False)
                continue
            stand_in = median([row[j] for j in peers])
            if stand_in is None and kind == "spot":
                stand_in = median([row[j] for j in range(4)])
            my_now = now[k] if now[k] is not None else median([now[j] for j in peers])
            scale = ratio(my_now, median([sigma[d][j] for j in peers]))
            scale = 1.0 if kind == "peg" or scale is None else scale
            out.append(math.exp((stand_in or 0.0) * scale) - 1)
            flag.append(True)
        moves.append(out)
        flags.append(flag)
    return moves[-rules.rows :], flags[-rules.rows :]
