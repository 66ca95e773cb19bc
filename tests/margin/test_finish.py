"""Spec 5.5 and choice C25: parts sum; IM is at least MM; who owes nothing is charged nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.margin.requirement import PARTS, finish, stack, total
from margin.table import table


@pytest.mark.parametrize(
    ("core_mm", "core_im", "owes", "mm", "im", "owes_nothing", "im_floor"),
    table("""
    id             core_mm  core_im  owes   mm   im  owes_nothing  im_floor
    unpriced           nan      nan   nan  nan  nan             0       nan
    not_known_owes      80      100   nan   80  100             0         0  # a NaN is not free
    owes_nothing        80      100     0    0    0           -80         0
    nothing_at_all       0        0     0    0    0             0         0
    im_above            80      100     1   80  100             0         0
    im_equal           100      100     1  100  100             0         0
    im_below           100       90     1  100  100             0        10
    """),
)
def test_a_requirement_is_levelled(core_mm, core_im, owes, mm, im, owes_nothing, im_floor):
    parts_mm, parts_im = {"core": np.array([float(core_mm)])}, {"core": np.array([float(core_im)])}
    got_mm, got_im = finish(parts_mm, parts_im, np.array([float(owes)]), 1)
    np.testing.assert_array_equal(got_mm, [float(mm)])
    np.testing.assert_array_equal(got_im, [float(im)])
    np.testing.assert_array_equal(parts_mm["owes_nothing"], [float(owes_nothing)])
    np.testing.assert_array_equal(parts_im["im_floor"], [float(im_floor)])
    if float(im) == float(im):
        assert total(parts_im, 1)[0] == pytest.approx(float(im), abs=1e-9)


@given(st.dictionaries(st.sampled_from(PARTS[:9]), st.floats(0.0, 1e9)), st.booleans())
def test_the_parts_of_both_levels_sum_to_them(parts, owes):
    mm = {name: np.array([value]) for name, value in parts.items()}
    im = {name: np.array([1.25 * value]) for name, value in parts.items()}
    got_mm, got_im = finish(mm, im, np.array([float(owes)]), 1)
    # Nine parts of at most 1.25e9 round by less than 1e-6 together.
    assert stack(mm, 1).sum() == pytest.approx(got_mm[0], abs=1e-6)
    assert stack(im, 1).sum() == pytest.approx(got_im[0], abs=1e-6)
    assert got_mm[0] <= got_im[0]
    if not owes:
        assert got_mm[0] == got_im[0] == 0.0
