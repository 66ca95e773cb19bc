"""Spec 6: what a pool may do, and the two ratios, at each boundary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.margin.requirement import RequirementFrame, Verdict, empty_frame, verdicts
from margin.table import table


@pytest.mark.parametrize(
    ("equity", "buffer_im", "buffer_mm", "want"),
    table("""
    id              equity  buffer_im  buffer_mm  want
    no_price           nan        200        300  UNPRICED
    no_requirement     500        nan        300  UNPRICED      # NaN must never read as healthy
    no_maintenance     500        200        nan  UNPRICED
    infinite           inf        200        300  UNPRICED      # nobody is worth that
    owes                -1       -301       -201  BANKRUPT
    owes_and_covered    -1          5          5  BANKRUPT      # equity is asked first
    under_mm           199       -101         -1  LIQUIDATABLE
    haircut_bites      500       -105        -10  LIQUIDATABLE  # equity alone would say HEALTHY
    nothing_left         0       -301       -201  LIQUIDATABLE  # 0 is not negative
    exactly_mm         200       -100          0  REDUCE_ONLY
    one_cent_short     300      -0.01         99  REDUCE_ONLY
    exactly_im         300          0        100  HEALTHY       # a boundary belongs to the pool
    comfortable        500        200        300  HEALTHY
    minus_zero          -0         -0         -0  HEALTHY
    wrong_way_round    500         10         -1  LIQUIDATABLE  # a breach of L1 is not hidden
    """),
)
def test_a_verdict_at_each_boundary(equity, buffer_im, buffer_mm, want):
    got = verdicts(*(np.array([float(x)]) for x in (equity, buffer_im, buffer_mm)))
    assert Verdict(got[0]).name == want


def test_verdicts_are_numbered_worst_first():
    assert [v.name for v in sorted(Verdict)] == [
        "UNPRICED", "BANKRUPT", "LIQUIDATABLE", "REDUCE_ONLY", "HEALTHY",
    ]  # fmt: skip


def frame_of(equity: float, haircut: float, mm: float, draw: float) -> RequirementFrame:
    """One pool whose only charges are a haircut and a requirement, the same at both levels."""
    frame = empty_frame(1, False)
    zeros = {
        name: np.zeros(1)
        for name in ("surcharge_mm", "surcharge_im", "long_options", "gains_mm", "gains_im",
                     "uncertainty", "draw_im")
    }  # fmt: skip
    return replace(
        frame, **zeros, equity=np.array([equity]), haircut_mm=np.array([haircut]),
        haircut_im=np.array([haircut]), mm=np.array([mm]), im=np.array([mm]),
        draw_mm=np.array([draw]), bankrupt_short=np.array([equity]),
        margin_balance_mm=np.array([equity - haircut]),
        margin_balance_im=np.array([equity - haircut]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("equity", "haircut", "mm", "draw", "health", "ratio"),
    table("""
    id                equity  haircut   mm  draw  health  ratio
    unpriced             nan        0  100     0     nan    nan
    owes_no_charge       -50        0    0     0    -inf    inf   # C54: never a healthy number
    owes                 -50        0   50     0      -1    inf
    nothing_left           0        0   50     0       0    inf
    nothing_at_all         0        0    0     0     inf      0   # Q = 0
    nothing_charged      500        0    0     0     inf      0
    under_water          100       25  100     0     0.8   1.25   # Q = 25 + 100
    exactly_one          250       50  200     0       1      1   # Q = 50 + 200
    comfortable          500       50  200     0       2    0.5
    no_haircut           500        0  250     0       2    0.5   # the venues' MB / MM
    all_haircut          100      100    0     0       1      1   # wherever it is booked
    draw_counts          100        0  150    50       1      1   # (100 + 50) / 150
    draw_fills_a_hole    -10        0   30    40       1      1   # (-10 + 40) / 30
    """),
)
def test_health_and_margin_ratio_at_each_boundary(equity, haircut, mm, draw, health, ratio):
    frame = frame_of(float(equity), float(haircut), float(mm), float(draw))
    np.testing.assert_array_equal(frame.health, [float(health)])
    np.testing.assert_array_equal(frame.margin_ratio, [float(ratio)])


MONEY = st.floats(0.0, 1e9)


@given(MONEY, MONEY, MONEY)
def test_liquidatable_is_exactly_health_below_one(equity, haircut, mm):
    frame = frame_of(equity, haircut, mm, 0.0)
    charge = haircut + mm
    if abs(equity - charge) <= 1e-9 * (equity + charge):
        return  # a quotient rounds: decisions are taken on buffers (spec 6)
    liquidatable = Verdict(frame.verdict[0]) is Verdict.LIQUIDATABLE
    assert liquidatable == (frame.health[0] < 1.0)
    assert liquidatable == (frame.margin_ratio[0] > 1.0)
