"""The rulebook's linter: what no single value shows, because it takes two of them to be wrong.

In     a `Rulebook`, whose values were each checked alone when it was built.
Out    findings, each with its key, what stands there, why that is wrong, and what to do.
Owns   cross-checks: monotony, MM <= IM, sides the right way round, PSD, laws L1 and L4, spec 9.5.
Never  changes a rulebook, reads a market, or refuses: who adopts a rulebook decides.
Signs  fractions are of 1; haircuts, ranges and weights are >= 0.
Spec   docs/spec/16-defaults.md, docs/spec/16-defaults.md, docs/spec/15-laws.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np

from crossmargin.base.arrays import F64
from crossmargin.domain.rulebook import AssetRules, Bracket, RiskClass, Rulebook

# Rounding of a rulebook written with six decimals, as the scaled presets are.
ROUNDING = 1e-6
# A tail whose weight x move is further than this from the others measures something else.
TAIL_TOLERANCE = 0.25
# Expected shortfall over fewer rows is one bad day, not a tail.
TAIL_ROWS_MIN = 5.0


class Severity(StrEnum):
    ERROR = "error"  # a law of the method breaks
    WARNING = "warning"  # legal, but probably not what was meant


@dataclass(frozen=True, slots=True)
class LintFinding:
    """`key` is dotted as in the TOML; `value` is what stands there."""

    key: str
    value: object
    problem: str
    remedy: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        """Return "error key: value: problem; remedy"."""
        return f"{self.severity} {self.key}: {self.value}: {self.problem}; {self.remedy}"


def lint(rulebook: Rulebook) -> list[LintFinding]:
    """Return everything suspicious, in the order of the checks."""
    return [found for check in CHECKS for found in check(rulebook)]


def _schedules(rules: Rulebook) -> Iterator[tuple[str, tuple[Bracket, ...]]]:
    for name, risk_class in rules.classes.items():
        yield f"classes.{name}.liquidity", risk_class.liquidity
    for name, asset in rules.assets.items():
        for part in ("liquidity", "venue_liquidity"):
            schedule = getattr(asset, part)
            if schedule is not None:
                yield f"assets.{name}.{part}", schedule


def haircuts_rise_with_size(rules: Rulebook) -> Iterator[LintFinding]:
    """A larger holding is never counted better, and a larger position never charged less."""
    for key, schedule in _schedules(rules):
        for row, (below, above) in enumerate(pairwise(schedule)):
            for level in ("mm", "im"):
                low, high = getattr(below, level), getattr(above, level)
                if high < low:
                    yield LintFinding(
                        f"{key}[{row + 1}].{level}", high, f"falls below the smaller size's {low}",
                        "let haircuts rise with size",
                    )  # fmt: skip
    for row, (tier, wider) in enumerate(pairwise(rules.tiers)):
        if wider.multiplier < tier.multiplier:
            yield LintFinding(
                f"tiers[{row + 1}].multiplier", wider.multiplier,
                f"falls below the smaller size's {tier.multiplier}", "let tiers rise with size",
            )  # fmt: skip


def mm_is_at_most_im(rules: Rulebook) -> Iterator[LintFinding]:
    """Law L1: maintenance never bites before initial."""
    remedy = "raise im, or lower mm"
    for key, schedule in _schedules(rules):
        for row, bracket in enumerate(schedule):
            if bracket.im < bracket.mm:
                yield LintFinding(
                    f"{key}[{row}].im", bracket.im, f"is below mm {bracket.mm}", remedy
                )
    parts: dict[str, RiskClass | AssetRules] = {f"classes.{n}": p for n, p in rules.classes.items()}
    parts |= {f"assets.{n}": p for n, p in rules.assets.items()}
    for key, part in parts.items():
        mm, im = part.surcharge_liquidity_mm, part.surcharge_liquidity_im
        if mm is not None and im is not None and im < mm:
            yield LintFinding(f"{key}.surcharge_liquidity_im", im, f"is below mm {mm}", remedy)


def sides_are_not_swapped(rules: Rulebook) -> Iterator[LintFinding]:
    """What protects against a short is not smaller than what protects against a long.

    A debt can grow without bound and a holding cannot fall below zero; volatility rises more than
    it falls, and rises when prices fall. Numbers the other way round were entered swapped.
    """
    for name, part in rules.classes.items():
        first = part.liquidity[0]
        for level in ("mm", "im"):
            owed, held = getattr(part, f"surcharge_liquidity_{level}"), getattr(first, level)
            if owed < held:
                yield LintFinding(
                    f"classes.{name}.surcharge_liquidity_{level}", owed,
                    f"a debt is charged less than the {held} a holding loses",
                    "swap the two, or raise the surcharge",
                )  # fmt: skip
    grid, joint = rules.grid, rules.joint
    pairs = [
        ("grid.vol_up", grid.vol_up, "grid.vol_down", grid.vol_down),
        ("grid.term_short", grid.term_short, "grid.term_long", grid.term_long),
        ("joint.vol_fall", joint.vol_fall, "joint.vol_rise", joint.vol_rise),
    ]
    for key, value, other, less in pairs:
        if value < less:
            yield LintFinding(key, value, f"is below {other} {less}", "swap the two")
    for sign, word in ((1.0, "rises"), (-1.0, "falls")):
        if not any(sign * move > 0.0 for move in grid.tails):
            yield LintFinding("grid.tails", grid.tails, f"holds no {word}", "add the missing side")
    if max(grid.tails, default=0.0) < -min(grid.tails, default=0.0):
        yield LintFinding(
            "grid.tails", grid.tails, "rises reach less far than falls, but a short has no floor",
            "add rises",
        )  # fmt: skip


def steps_reach_the_range(rules: Rulebook) -> Iterator[LintFinding]:
    """The grid reaches the whole range on both sides (spec 4.3)."""
    for end in (-1.0, 1.0):
        if end not in rules.grid.steps:
            yield LintFinding(
                "grid.steps", rules.grid.steps, f"does not hold {end:+.0f} range", "add it"
            )


def tails_weigh_the_same(rules: Rulebook) -> Iterator[LintFinding]:
    """Weight x move is roughly constant: min(1, tail_weight x range / |m|) x |m| (spec 4.3)."""
    weight = rules.grid.tail_weight
    if weight > 1.0:
        yield LintFinding(
            "grid.tail_weight", weight, "a tail costs more than the whole range", "at most 1"
        )
    for name, part in rules.classes.items():
        target = weight * part.range
        for row, move in enumerate(rules.grid.tails):
            reached = min(1.0, target / abs(move)) * abs(move) if move else 0.0
            if reached < (1.0 - TAIL_TOLERANCE) * target:
                yield LintFinding(
                    f"grid.tails[{row}]", move,
                    f"weight x move is {reached:.3f} for {name}, {target:.3f} for the others",
                    "take tails beyond the range",
                )  # fmt: skip


def correlations_are_psd(rules: Rulebook) -> Iterator[LintFinding]:
    """No portfolio has a negative variance, however many factors a class has.

    For ever more factors of each class the matrix of factors is PSD exactly where that of the
    classes is, with the correlation inside a class (not 1) on its diagonal.
    """
    names = sorted(rules.classes)
    matrix = _matrix(rules, names, own=None)
    listed = sorted({n for key in rules.correlation.pairs for n in key.split(":")} - set(names))
    for key, size, smallest in (
        ("correlation.pairs", names, _smallest_eigenvalue(matrix)),
        ("correlation.pairs", listed, _smallest_eigenvalue(_matrix(rules, listed, own=1.0))),
    ):
        if size and smallest < -1e-9:
            yield LintFinding(
                key, f"smallest eigenvalue {smallest:.4f}",
                f"the matrix over {', '.join(size)} is not positive semi-definite",
                "move the pairs towards the default, or raise the correlation inside a class",
            )  # fmt: skip


def _matrix(rules: Rulebook, names: list[str], own: float | None) -> F64:
    pairs, default = rules.correlation.pairs, rules.correlation.default
    matrix = np.array(
        [[pairs.get(":".join(sorted((a, b))), default) for b in names] for a in names]
    ).reshape(len(names), len(names))
    if own is not None:
        np.fill_diagonal(matrix, own)
    return matrix


def _smallest_eigenvalue(matrix: F64) -> float:
    return float(np.linalg.eigvalsh(matrix)[0]) if len(matrix) else 0.0


def liquidation_pays_for_itself(rules: Rulebook) -> Iterator[LintFinding]:
    """Spec 9.5: first MM fraction >= penalty + fee + half spread; bonus <= total haircut.

    A class without a range (a currency) is never the reason to close a pool and is left out.
    """
    margin = rules.margin
    for name, part in rules.classes.items():
        if part.range == 0.0:
            continue
        first = part.range * rules.tiers[0].multiplier
        cost = margin.penalty + margin.taker_fee + part.half_spread
        if first < cost - ROUNDING:
            yield LintFinding(
                f"classes.{name}.range", part.range,
                f"first MM fraction {first:.4f} is below penalty + fee + half spread {cost:.4f}",
                "raise the range, or lower the penalty",
            )  # fmt: skip
        total = 1.0 - (1.0 - part.range) * (1.0 - part.liquidity[0].mm)
        if rules.liquidation.bonus > total + ROUNDING:
            yield LintFinding(
                "liquidation.bonus", rules.liquidation.bonus,
                f"is above the total haircut {total:.4f} of {name}", "lower the bonus",
            )  # fmt: skip


def worst_loss(rules: Rulebook, part: RiskClass) -> float:
    """The largest share of its counted value an asset of the class can add to core R (L4).

    Filtered returns move by at most clip_high times the range, which is the class's own tail;
    a stress event by all of it, at its weight.
    """
    return min(1.0, max(rules.joint.clip_high * part.range, rules.margin.stress_weight))


def more_assets_never_hurt(rules: Rulebook) -> Iterator[LintFinding]:
    """Law L4 at IM, per bracket: 1 - h_IM >= f (1 - h_MM) x worst loss."""
    for name, part in rules.classes.items():
        worst = worst_loss(rules, part)
        for row, bracket in enumerate(part.liquidity):
            gained = 1.0 - bracket.im
            charged = rules.margin.initial_factor * (1.0 - bracket.mm) * worst
            if part.range > 0.0 and gained < charged - ROUNDING:
                yield LintFinding(
                    f"classes.{name}.liquidity[{row}].im", bracket.im,
                    f"counts {gained:.3f} but may cost {charged:.3f} of IM: adding it would hurt",
                    f"lower im to {1.0 - charged:.3f}, or raise mm",
                )  # fmt: skip


def names_are_known(rules: Rulebook) -> Iterator[LintFinding]:
    """A name of a pair or a shock is a class, or a factor (which has a slash)."""
    used = [(f'correlation.pairs."{key}"', name) for key in rules.correlation.pairs
            for name in key.split(":")]  # fmt: skip
    for row, shock in enumerate(rules.stress.shocks):
        used += [(f"stress.shocks[{row}].moves", name) for name in shock.moves]
        used += [(f"stress.shocks[{row}].ranges", name) for name in shock.ranges]
    for key, name in used:
        if name not in rules.classes and "/" not in name:
            yield LintFinding(
                key, name, "is neither a class nor a factor such as BTC/USD", "correct the name"
            )


def tails_have_rows(rules: Rulebook) -> Iterator[LintFinding]:
    """Numbers that are legal but measure too little or too much."""
    margin, rows = rules.margin, rules.joint.rows
    tail = rows * (1.0 - margin.alpha)
    warn = Severity.WARNING
    if tail < TAIL_ROWS_MIN - ROUNDING:
        yield LintFinding(
            "joint.rows", rows, f"the tail beyond alpha {margin.alpha} has {tail:.1f} rows",
            f"take at least {TAIL_ROWS_MIN / (1.0 - margin.alpha):.0f} rows", warn,
        )  # fmt: skip
    if not rules.stress.events:
        yield LintFinding("stress.events", 0, "no named stress", "list the days", warn)
    for name, part in rules.classes.items():
        if margin.initial_factor * part.range > margin.market_haircut_max:
            yield LintFinding(
                f"classes.{name}.range", part.range, "IM market part is cut at market_haircut_max",
                "raise the cap, or accept IM below f x MM", warn,
            )  # fmt: skip


CHECKS: tuple[Callable[[Rulebook], Iterator[LintFinding]], ...] = (
    haircuts_rise_with_size,
    mm_is_at_most_im,
    sides_are_not_swapped,
    steps_reach_the_range,
    tails_weigh_the_same,
    correlations_are_psd,
    liquidation_pays_for_itself,
    more_assets_never_hurt,
    names_are_known,
    tails_have_rows,
)
