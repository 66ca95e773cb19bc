"""Losses on real data: the deleveraging of 10 October 2025, and Percolator's published cases."""

from __future__ import annotations

import json
from fractions import Fraction

import polars as pl
import pytest

from crossmargin.adapters.real_losses import (
    BY_USER,
    DEFICIT,
    NEEDED,
    ROUNDS,
    SHORTFALL,
    adl_report,
    percolator_cases,
)
from crossmargin.apps.cli.adl import adl
from crossmargin.apps.cli.outcome import Exit
from crossmargin.domain.accounts import SHARED
from crossmargin.domain.waterfall_rules import PenaltySplit
from crossmargin.liquidation.venues.percolator import (
    Totals,
    User,
    as_coded,
    conserving,
    materialise,
)
from crossmargin.liquidation.waterfall import Bearer, Shortfall, socialise, waterfall

real = pytest.mark.real


@pytest.fixture(scope="module")
def report(shared):
    return adl_report(shared)


@pytest.fixture(scope="module")
def lines(report):
    return {(line.loss_usd, line.rounds, line.policy): line for line in report.lines}


@real
def test_the_file_is_the_event_that_was_published(report):
    # arXiv 2602.15182, table 1: 2,103,111,431; the repository's README: 834.3 million realised.
    assert round(report.measured["closed_usd"]) == 2_103_111_431
    assert report.measured["gains_usd"] == pytest.approx(834.3e6, abs=0.05e6)


@real
def test_a_policy_that_cuts_positions_overshoots_by_less_than_a_cent(lines):
    for (usd, _, policy), line in lines.items():
        assert line.missing_usd == 0
        if policy != "queue_whole":
            assert (line.overshoot_usd, line.taken_usd) == (0, usd)


@real
def test_pro_rata_by_hand(report, lines):
    # 15.1M of 828.96M of gains: 1.8215 % of every account, and of the 2,080.6M they had open.
    share = NEEDED / report.measured["candidates_gains_usd"]
    line = lines[NEEDED, 1, "pro_rata"]
    assert line.closed_usd == pytest.approx(
        share * report.measured["candidates_closed_usd"], rel=1e-4
    )
    # To a cent of an account that gained a hundred dollars.
    assert share <= line.worst_frac <= share + 1e-4


@real
def test_whole_positions_by_the_queue_as_a_running_sum(shared, lines):
    gain, value, lev = (pl.col(c) for c in ("closed_pnl", "adl_notional", "leverage_realtime"))
    rows = (
        pl.read_parquet(shared / "data" / "liquidations" / BY_USER)
        .filter((gain >= 0.01) & (lev <= 50.0) & (pl.col("account_value_realtime") >= 0.0))
        .with_columns(score=gain / (value + gain) * lev)
        .sort("score", descending=True)
        .with_columns(taken=gain.cum_sum(), closed=value.cum_sum())
    )
    for loss in (NEEDED, SHORTFALL, DEFICIT):
        first = rows.filter(pl.col("taken") >= loss).row(0, named=True)
        line = lines[loss, 1, "queue_whole"]
        # Cents of thousands of accounts are dropped on our side.
        assert line.taken_usd == pytest.approx(first["taken"], abs=100)
        assert line.overshoot_usd == pytest.approx(first["taken"] - loss, abs=100)
        assert line.closed_usd == pytest.approx(first["closed"], rel=1e-4)


@real
def test_repeated_whole_positions_overshoot_by_what_was_published_or_more(report, lines):
    # Of the same kind as production's 45.0 to 51.7 million, and no smaller: rounds here are equal.
    line = lines[NEEDED, ROUNDS, "queue_whole"]
    assert line.overshoot_usd > report.published["overshoot, production"]
    # Losses of rounds are what was taken less what was too much.
    assert line.taken_usd - line.overshoot_usd == pytest.approx(NEEDED, abs=1)


@real
def test_the_command_shows_it_and_says_what_cannot_be_compared(shared, report, capsys, monkeypatch):
    monkeypatch.setattr("crossmargin.adapters.real_losses.adl_report", lambda folder: report)
    assert adl(shared=shared, json=True) == Exit.OK
    answer = json.loads(capsys.readouterr().out)
    assert {line["policy"] for line in answer["lines"]} >= {"queue", "pro_rata"}
    assert any("not in the file" in note for note in answer["notes"])
    assert adl(shared=shared) == Exit.OK
    out = capsys.readouterr().out
    assert "queue_whole" in out
    assert "45,028,666" in out


def test_a_folder_without_data_is_refused(tmp_path, capsys):
    assert adl(shared=tmp_path) == Exit.BAD_INPUT
    assert "data/" in capsys.readouterr().err


# --- Percolator -----------------------------------------------------------------------------------


def totals(case) -> Totals:
    return Totals(**{name: case["inputs"][name] for name in Totals.__slots__})


@real
def test_percolators_waterfall_as_published_and_conserving_beside_it(shared):
    cases = percolator_cases(shared, "waterfall")
    assert cases
    for case in cases:
        start, want = totals(case), case["expected"]
        peer, fair = as_coded(start), conserving(start)
        published = {
            "burned_warming": peer.burned, "insurance_draw": peer.drawn,
            "equity_haircut_ratio": peer.cut_frac, "solvent": peer.solvent,
            "warming_after": peer.after.warming, "insurance_after": peer.after.insurance,
            "deficit_after": 0 if peer.solvent else peer.after.deficit,
            "equity_haircut_percent": round(100 * float(peer.cut_frac), 2),
        }  # fmt: skip
        for name in want.keys() - {"epoch"}:  # a counter of resolutions, not an amount
            assert published[name] == want[name], (case["id"], name)
        # The same steps without the loss: what was missing is what users lose, to the unit.
        assert fair.burned + fair.cut_frac * start.equity == start.deficit
        assert (fair.burned, fair.drawn) == (peer.burned, peer.drawn)
        # And ours: insurance, then gains, then equity.
        short = start.equity + start.warming - start.collateral
        ours = waterfall(
            Shortfall(("venue", "all"), 0, max(0, short), 0, ("k", SHARED), 0, "A",
                      start.insurance),
            PenaltySplit(0, 0), (), (Bearer(("gains", SHARED), start.warming),),
        )  # fmt: skip
        then = socialise(("venue", "all"), ours.left, (Bearer(("users", SHARED), start.equity),))
        assert ours.step("socialised").paid == fair.burned
        assert then.paid == fair.cut_frac * start.equity
        assert then.left == 0


@real
def test_percolators_users_are_settled_as_published(shared):
    cases = percolator_cases(shared, "user_materialise")
    assert cases
    for case in cases:
        given = case["inputs"]
        got = materialise(
            User(given["principal"], given["realized"], given["warming"]),
            Fraction(given["equity_scale"]), Fraction(given["warming_scale"]),
            (given["slots"], given["tau_slots"]), given["burn_principal_first"],
        )  # fmt: skip
        for name, want in case["expected"].items():
            assert getattr(got, name) == want, (case["id"], name)
