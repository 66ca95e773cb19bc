"""What a margin method is: three functions, the same for house rules and venues.

In     BookFrame, Market.
Out    `Method`: assess -> RequirementFrame, reach -> ReachFrame, holds -> reasons.
Owns   the signatures, the options of a call, and the safe default of `reach`.
Never  holds a rule of any method.
Signs  reach prices are numeraire levels of a factor, low <= level <= high.
Spec   docs/architecture.md, "One engine, many methods"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crossmargin.base.arrays import F64, I64
from crossmargin.frames.book import BookFrame
from crossmargin.margin.collateral import Owners
from crossmargin.margin.prepared import Market
from crossmargin.margin.requirement import RequirementFrame

BLOCK = 16_384  # pools a thread takes at once: scratch rows stay in the cache of one core


@dataclass(frozen=True, slots=True)
class Ask:
    """How to answer: which thread count, whether parts are wanted, whose pools these are.

    account  (A,) owner row of each pool, into `owners`
    """

    threads: int | None
    parts: bool
    account: I64
    owners: Owners


@dataclass(frozen=True, slots=True)
class ReachFrame:
    """Per pool and factor the interval of levels inside which the verdict cannot change.

    starts (A + 1,); factor, low, high (R,); valid_until_ns (A,)
    A pool without rows and with valid_until_ns = market stamp must be looked at on every tick;
    a pool without rows and with a later stamp depends on no factor.
    """

    starts: I64
    factor: I64
    low: F64
    high: F64
    valid_until_ns: I64


Assess = Callable[[BookFrame, Market, Ask], RequirementFrame]
Reach = Callable[[BookFrame, Market], ReachFrame]
Holds = Callable[[BookFrame, Market], list[str | None]]


@dataclass(frozen=True, slots=True)
class Method:
    """A method by name; `holds` says per pool why it cannot hold it, None where it can."""

    name: str
    assess: Assess
    reach: Reach
    holds: Holds


FOREVER_NS = np.iinfo(np.int64).max


def reach_of_the_debt_free(book: BookFrame, market: Market) -> ReachFrame:
    """Return what is provable for any method: a pool that owes nothing is HEALTHY at any price.

    Law L2, while its prices are good: a price that goes bad is not a move but an event. Orders and
    ring-fenced buckets can charge such a pool, so neither counts. Every other pool gets the empty
    interval: correct before it is fast.
    """
    none = np.zeros(0)
    n, items = book.n_pools, market.items
    pool = np.repeat(np.arange(n), np.diff(book.pool_starts))
    owed = (book.quantity < 0.0) | items.futures_like[book.item] | items.bad[book.item]
    free = np.bincount(pool[owed & (book.quantity != 0.0)], minlength=n) == 0
    free &= (np.diff(book.order_starts) == 0) & ~book.set_aside
    free &= np.repeat(np.diff(book.account_starts) == 1, np.diff(book.account_starts))
    return ReachFrame(
        np.zeros(n + 1, np.int64), np.zeros(0, np.int64), none, none,
        np.where(free, FOREVER_NS, market.frame.at_ns),
    )  # fmt: skip


def holds_all(book: BookFrame, market: Market) -> list[str | None]:
    """Return no reason for any pool."""
    return [None] * book.n_pools
