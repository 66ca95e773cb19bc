"""Each check of the linter: the whole finding it makes, and the last value it lets pass."""

from __future__ import annotations

import math

import msgspec
import pytest

from crossmargin.adapters.codec import rulebook_from_toml
from crossmargin.adapters.files import shipped_rulebooks
from crossmargin.domain.rulebook import AssetRules, Bracket, Rulebook
from crossmargin.margin import lint
from crossmargin.margin.lint import LintFinding, Severity

PRIME = shipped_rulebooks()["prime-24h"].decode()
put = msgspec.structs.replace


def edited(*pairs: tuple[str, str]) -> Rulebook:
    """The shipped rulebook with some of its text replaced."""
    text = PRIME
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    return rulebook_from_toml(text.encode())


BTC = "{ up_to = 540e6, mm = 0.065, im = 0.08 }"
TAILS = "tails = [-0.66, -0.33, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0]"
RISE, LEVELS = "let haircuts rise with size", "raise im, or lower mm"
SWAP = "swap the two, or raise the surcharge"


@pytest.mark.parametrize(("check", "old", "new", "want"), [
    # The bracket below has 0.005 and 0.01, the one above 0.22 and 0.27.
    ("haircuts_rise_with_size", BTC, BTC.replace("0.065", "0.004"),
     ("classes.BTC.liquidity[1].mm", 0.004, "falls below the smaller size's 0.005", RISE)),
    ("haircuts_rise_with_size", BTC, BTC.replace("0.065", "0.005"), None),
    ("haircuts_rise_with_size", BTC, BTC.replace("im = 0.08", "im = 0.009"),
     ("classes.BTC.liquidity[1].im", 0.009, "falls below the smaller size's 0.01", RISE)),
    ("haircuts_rise_with_size", "multiplier = 1.25", "multiplier = 0.75",
     ("tiers[1].multiplier", 0.75, "falls below the smaller size's 1.0",
      "let tiers rise with size")),
    ("haircuts_rise_with_size", "multiplier = 1.25", "multiplier = 1.0", None),
    ("mm_is_at_most_im", BTC, BTC.replace("0.065", "0.085"),
     ("classes.BTC.liquidity[1].im", 0.08, "is below mm 0.085", LEVELS)),
    ("mm_is_at_most_im", BTC, BTC.replace("0.065", "0.08"), None),
    ("mm_is_at_most_im", "surcharge_liquidity_mm = 0.015", "surcharge_liquidity_mm = 0.03",
     ("classes.major.surcharge_liquidity_im", 0.025, "is below mm 0.03", LEVELS)),
    ("mm_is_at_most_im", "surcharge_liquidity_mm = 0.015", "surcharge_liquidity_mm = 0.025", None),
    # A holding of a major loses 0.015 at MM and 0.025 at IM in its first bracket.
    ("sides_are_not_swapped", "surcharge_liquidity_mm = 0.015", "surcharge_liquidity_mm = 0.01",
     ("classes.major.surcharge_liquidity_mm", 0.01,
      "a debt is charged less than the 0.015 a holding loses", SWAP)),
    ("sides_are_not_swapped", "surcharge_liquidity_im = 0.025", "surcharge_liquidity_im = 0.024",
     ("classes.major.surcharge_liquidity_im", 0.024,
      "a debt is charged less than the 0.025 a holding loses", SWAP)),
    ("sides_are_not_swapped", "vol_up = 0.45", "vol_up = 0.24",
     ("grid.vol_up", 0.24, "is below grid.vol_down 0.25", "swap the two")),
    ("sides_are_not_swapped", "vol_up = 0.45", "vol_up = 0.25", None),
    ("sides_are_not_swapped", "term_short = 0.30", "term_short = 0.12",
     ("grid.term_short", 0.12, "is below grid.term_long 0.13", "swap the two")),
    ("sides_are_not_swapped", "vol_fall = 1.5", "vol_fall = 0.4",
     ("joint.vol_fall", 0.4, "is below joint.vol_rise 0.5", "swap the two")),
    ("sides_are_not_swapped", TAILS, "tails = [0.5, 1.0]",
     ("grid.tails", (0.5, 1.0), "holds no falls", "add the missing side")),
    ("sides_are_not_swapped", TAILS, "tails = [-0.66, 0.5]",
     ("grid.tails", (-0.66, 0.5), "rises reach less far than falls, but a short has no floor",
      "add rises")),
    ("sides_are_not_swapped", TAILS, "tails = [-0.66, 0.66]", None),
    ("steps_reach_the_range", "0.5, 0.75, 1.0]    # x", "0.5, 0.75]    # x",
     ("grid.steps", (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75), "does not hold +1 range",
      "add it")),
    ("steps_reach_the_range", "[-1.0, -0.75,", "[-0.75,",
     ("grid.steps", (-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0), "does not hold -1 range",
      "add it")),
    ("liquidation_pays_for_itself", "penalty = 0.005", "penalty = 0.02",
     ("classes.stablecoin.range", 0.02,
      # 0.02 + 0.0005 + 0.0001
      "first MM fraction 0.0200 is below penalty + fee + half spread 0.0206",
      "raise the range, or lower the penalty")),
    # 0.0194 + 0.0005 + 0.0001 = 0.02: paid for exactly.
    ("liquidation_pays_for_itself", "penalty = 0.005", "penalty = 0.0194", None),
    # 1 - (1 - 0.02) (1 - 0.0025) = 0.02245: not above it.
    ("liquidation_pays_for_itself", "bonus = 0.005", "bonus = 0.02245", None),
    # Worst loss of an altcoin: 2.5 x 0.30 = 0.75. 1.25 x (1 - 0.17) x 0.75 = 0.778 > 1 - 0.53.
    ("more_assets_never_hurt", "mm = 0.17, im = 0.21", "mm = 0.17, im = 0.53",
     ("classes.altcoin.liquidity[1].im", 0.53,
      "counts 0.470 but may cost 0.778 of IM: adding it would hurt",
      "lower im to 0.222, or raise mm")),
    # 1 - 0.778125 = 0.221875 is counted exactly.
    ("more_assets_never_hurt", "mm = 0.17, im = 0.21", "mm = 0.17, im = 0.221875", None),
    ("names_are_known", '"BTC:ETH" = 0.80', '"BTC:ETTH" = 0.80',
     ('correlation.pairs."BTC:ETTH"', "ETTH", "is neither a class nor a factor such as BTC/USD",
      "correct the name")),
    ("names_are_known", "moves = { ETH = 0.40 }", "moves = { ETHH = 0.40 }",
     ("stress.shocks[2].moves", "ETHH", "is neither a class nor a factor such as BTC/USD",
      "correct the name")),
    ("names_are_known", "ranges = { BTC = -1.0", "ranges = { BTCC = -1.0",
     ("stress.shocks[4].ranges", "BTCC", "is neither a class nor a factor such as BTC/USD",
      "correct the name")),
    ("tails_weigh_the_same", "tail_weight = 0.9", "tail_weight = 1.0", None),
    # alpha 0.99: a tail of 5 rows needs 500.
    ("tails_have_rows", "rows = 1000", "rows = 499",
     ("joint.rows", 499, "the tail beyond alpha 0.99 has 5.0 rows", "take at least 500 rows",
      Severity.WARNING)),
    ("tails_have_rows", "rows = 1000", "rows = 500", None),
    # 1.25 x 0.80 = 1 is more than the cap of 0.95; 1.25 x 0.76 = 0.95 is not.
    ("tails_have_rows", "range = 0.30", "range = 0.80",
     ("classes.altcoin.range", 0.80, "IM market part is cut at market_haircut_max",
      "raise the cap, or accept IM below f x MM", Severity.WARNING)),
    ("tails_have_rows", "range = 0.30", "range = 0.76", None),
])  # fmt: skip
def test_a_check_makes_this_one_finding(check: str, old: str, new: str, want: tuple | None):
    found = list(getattr(lint, check)(edited((old, new))))
    assert found == ([] if want is None else [LintFinding(*want)])


def test_a_bonus_above_the_total_haircut_eats_what_is_left():
    # 1 - (1 - 0.02) (1 - 0.003) = 0.02294
    rules = edited(
        ("mm = 0.0025, im = 0.005", "mm = 0.003, im = 0.005"), ("bonus = 0.005", "bonus = 0.03")
    )
    assert list(lint.liquidation_pays_for_itself(rules)) == [
        LintFinding("liquidation.bonus", 0.03, "is above the total haircut 0.0229 of stablecoin",
                    "lower the bonus")
    ]  # fmt: skip


def test_an_error_reads_as_key_value_problem_and_remedy():
    finding = LintFinding("grid.steps", 3, "is odd", "even it out")
    assert str(finding) == "error grid.steps: 3: is odd; even it out"
    assert finding.severity is Severity.ERROR


def test_a_heavy_tail_weight_is_named_and_so_is_every_tail_it_cuts():
    # Weight 1.1: a move of -0.33 reaches min(0.33, 1.1 range), which for a range of 0.30 is all of
    # it; for a weight of 1.5 x 0.30 = 0.45 it is 0.33 < 0.75 x 0.45.
    first, *others = lint.tails_weigh_the_same(edited(("tail_weight = 0.9", "tail_weight = 1.5")))
    said = "a tail costs more than the whole range"
    assert first == LintFinding("grid.tail_weight", 1.5, said, "at most 1")
    problem = "weight x move is 0.330 for altcoin, 0.450 for the others"
    want = LintFinding("grid.tails[1]", -0.33, problem, "take tails beyond the range")
    assert want in others


def test_a_tail_is_off_by_a_quarter_at_most():
    # Range 0.30 x 0.9 = 0.27: three quarters are 0.2025, which -0.2025 reaches and -0.2 does not.
    for move, n in ((-0.2026, 0), (-0.2024, 1), (0.0, 9)):
        rules = edited((TAILS, f"tails = [-0.66, {move}, 5.0]"))
        risky = [f for f in lint.tails_weigh_the_same(rules) if f.key == "grid.tails[1]"]
        # No move at all falls short for every class with a range: eight, fiat having none.
        assert len(risky) == (8 if n == 9 else n)


def test_an_asset_with_schedules_of_its_own_is_checked_by_its_own_keys():
    falling = (Bracket(1e6, 0.02, 0.03), Bracket(math.inf, 0.01, 0.02))
    crossed = (Bracket(math.inf, 0.03, 0.02),)
    rules = edited()
    rules = put(rules, assets={
        "AAA": AssetRules(liquidity=falling),
        "BBB": AssetRules(venue_liquidity=crossed),
        "CCC": AssetRules(surcharge_liquidity_mm=0.02, surcharge_liquidity_im=0.01),
        "DDD": AssetRules(surcharge_liquidity_mm=0.02),  # half a pair is no pair
        "EEE": AssetRules(surcharge_liquidity_im=0.02),
    })  # fmt: skip
    assert list(lint.haircuts_rise_with_size(rules)) == [
        LintFinding(f"assets.AAA.liquidity[1].{level}", high,
                    f"falls below the smaller size's {low}", RISE)
        for level, low, high in (("mm", 0.02, 0.01), ("im", 0.03, 0.02))
    ]  # fmt: skip
    assert list(lint.mm_is_at_most_im(rules)) == [
        LintFinding("assets.BBB.venue_liquidity[0].im", 0.02, "is below mm 0.03", LEVELS),
        LintFinding("assets.CCC.surcharge_liquidity_im", 0.01, "is below mm 0.02", LEVELS),
    ]


def test_no_tails_at_all_miss_both_sides():
    rules = edited((TAILS, "tails = []"))
    assert [f.problem for f in lint.sides_are_not_swapped(rules)] == [
        "holds no rises", "holds no falls",
    ]  # fmt: skip


def test_a_rulebook_without_a_named_day_is_warned_of():
    rules = edited()
    rules = put(rules, stress=put(rules.stress, events=()))
    assert list(lint.tails_have_rows(rules)) == [
        LintFinding("stress.events", 0, "no named stress", "list the days", Severity.WARNING)
    ]


def test_worst_loss_is_the_clipped_range_or_the_stress_weight_and_never_more_than_all():
    rules = edited()
    part = rules.classes["altcoin"]
    assert lint.worst_loss(rules, part) == 0.75  # 2.5 x 0.30
    assert lint.worst_loss(rules, rules.classes["stablecoin"]) == 0.30  # 2.5 x 0.02 < 0.30
    assert lint.worst_loss(rules, put(part, range=0.5)) == 1.0  # 2.5 x 0.5 = 1.25


def test_a_matrix_that_is_not_psd_is_named_with_its_classes():
    # Three classes, pairwise 0.9, 0.9 and -0.9: the determinant is 1 - 3 x 0.81 - 2 x 0.729 < 0,
    # and the smallest eigenvalue of [[1, a, a], [a, 1, -a], [a, -a, 1]] is 1 - 2 a = -0.8.
    rules = edited()
    pairs = {"BTC:ETH": 0.9, "BTC:major": 0.9, "ETH:major": -0.9}
    rules = put(rules, correlation=put(rules.correlation, pairs=pairs))
    found = {f.value: f for f in lint.correlations_are_psd(rules)}
    remedy = "move the pairs towards the default, or raise the correlation inside a class"
    # Over all classes the diagonal is the default, 0: eigenvalues are those above less 1.
    every = ", ".join(sorted(rules.classes))
    assert found["smallest eigenvalue -1.8000"] == LintFinding(
        "correlation.pairs", "smallest eigenvalue -1.8000",
        f"the matrix over {every} is not positive semi-definite", remedy,
    )  # fmt: skip
    # The names a pair lists beyond the classes are factors: there are none.
    assert len(found) == 1


def test_listed_factors_stand_with_one_on_the_diagonal():
    rules = edited()
    pairs = {**rules.correlation.pairs, "A/USD:B/USD": 0.9, "A/USD:C/USD": 0.9, "B/USD:C/USD": -0.9}
    rules = put(rules, correlation=put(rules.correlation, pairs=pairs))
    found = list(lint.correlations_are_psd(rules))
    assert [f.value for f in found] == ["smallest eigenvalue -0.8000"]
    assert "over A/USD, B/USD, C/USD is" in found[0].problem
