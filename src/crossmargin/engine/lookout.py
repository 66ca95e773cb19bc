"""The lookout: which pools are liquidatable, kept up to date tick by tick.

In     BookFrame, Market; then levels, or markets, one after another.
Out    the verdict of MM of every pool; the pools whose verdict a tick changed.
Owns   the trigger index and what is known of every pool (derived state: it may be dropped).
Never  answers otherwise than `methods.assess` of every pool would (law L8); decides what is sold.
Signs  as RequirementFrame.
Spec   docs/spec/09-zones.md

Pools of one account alone, margined by netting and without options, are watched by triggers. The
others are assessed on every tick: correct before fast.
"""

from __future__ import annotations

import numpy as np

from crossmargin.base.arrays import B1, F64, I8, I64
from crossmargin.frames.book import BookFrame
from crossmargin.kernels import watch as kernels
from crossmargin.kernels.reach import count_entries, fill_entries
from crossmargin.kernels.slopes import ALONE, CORRELATED, SUM, Terms, Work, work_of
from crossmargin.kernels.watch import BANKRUPT, SAFE, UNDER, UNPRICED
from crossmargin.kernels.zones import Zones, zones
from crossmargin.margin.levels import levels, ties
from crossmargin.margin.prepared import Market, holdings_of, no_owners, with_owners
from crossmargin.margin.requirement import verdicts
from crossmargin.methods.registry import assess, select_accounts

# By `Verdict`, worst first: at MM a pool that may only reduce is as safe as a healthy one.
CODES = np.array([UNPRICED, BANKRUPT, UNDER, SAFE, SAFE], np.int8)
HOW = {"cross_sum": SUM, "cross_correlated": CORRELATED, "isolated": ALONE}


class Lookout:
    """Pools of one book under one rulebook; `moved` and `ticks` take new prices in."""

    def __init__(self, book: BookFrame, market: Market) -> None:
        """Look at every pool once, and give each the box it can have."""
        self.book, self.market = book, market
        self._netted = _netted(book, market)
        self._others = np.flatnonzero(~self._netted)
        self._terms = _terms(book, market)
        self._zones = self._index()
        how = np.array([HOW.get(name, SUM) for name in book.method_names], np.int8)[book.method]
        self._watch = kernels.watch(how, self._zones)
        self._work = _work(market)
        self._changed = np.zeros(book.n_pools, np.int64)
        self.looked_again(np.arange(book.n_pools))

    def _index(self) -> Zones:
        terms, n = self._terms, self.book.n_pools
        counts = np.zeros(n + 1, np.int64)
        count_entries(0, n, terms.holdings, terms.items, terms.ties, counts)
        counts[1:][~self._netted] = 0
        starts = np.cumsum(counts)
        item = np.zeros(starts[-1], np.int32)
        for lo, hi in _runs(self._netted):
            fill_entries(lo, hi, terms.holdings, terms.items, terms.ties, starts, item)
        return zones(starts, item, self.market.frame.n_items)

    @property
    def verdict(self) -> I8:
        """(A,) SAFE, UNDER (liquidatable), BANKRUPT or UNPRICED."""
        return self._watch.verdict

    @property
    def n_looked(self) -> int:
        """Pools looked at by triggers since the start."""
        return int(self._watch.counts[kernels.N_LOOKED])

    @property
    def n_bytes(self) -> int:
        """Memory of the index and of what is known of every pool."""
        return sum(int(column.nbytes) for column in (*self._zones, *self._watch))

    def looked_again(self, pools: I64) -> I64:
        """Judge pools whose holdings changed, or all at first; return those with a new verdict.

        The holdings themselves were edited in the book's columns.
        """
        netted = pools[self._netted[pools]]
        n = kernels.look_at(
            netted, levels(self.market), self._terms, self._work, self._zones, self._watch,
            self._changed,
        )  # fmt: skip
        others = pools[~self._netted[pools]]
        return np.concatenate([self._changed[:n], self._assessed(others)])

    def moved(self, market: Market) -> I64:
        """Take a new market in; return the pools whose verdict changed.

        Where more than levels changed (a price went bad, rules, terms, an average began), every
        pool is looked at again.
        """
        old, self.market = self.market, market
        self._terms = _terms(self.book, market)
        if not _same_terms(old, market):
            self._netted_again()
            return self.looked_again(np.arange(self.book.n_pools))
        n = kernels.tick(
            levels(market), self._terms, self._work, self._zones, self._watch, self._changed
        )
        return np.concatenate([self._changed[:n], self._assessed(self._others)])

    def ticks(self, table: F64, hand_over: bool = False) -> I64:
        """Take many ticks in at once, of a book that triggers watch whole.

        table      (T, n_items) levels: prices of assets, then bases of instruments
        hand_over  a pool that goes under is no longer watched: whoever liquidates it looks at it
        returns    (T, 2) verdicts changed and pools looked at
        """
        assert not len(self._others), "some pools need the whole market on every tick"
        out = np.zeros((len(table), 2), np.int64)
        kernels.ticks(
            table, hand_over, self._terms, self._work, self._zones, self._watch, self._changed, out
        )
        return out

    def _netted_again(self) -> None:
        self._netted = _netted(self.book, self.market)
        self._others = np.flatnonzero(~self._netted)
        self._zones = self._index()
        self._watch = kernels.watch(self._watch.how, self._zones)._replace(
            verdict=self._watch.verdict
        )
        self._work = _work(self.market)

    def _assessed(self, pools: I64) -> I64:
        """Assess pools by their methods, whole accounts of them; return those that changed."""
        if not len(pools):
            return pools
        account = np.unique(self.book.account_of_pool()[pools])
        starts = self.book.account_starts
        rows = np.concatenate([np.arange(starts[c], starts[c + 1]) for c in account])
        frame = assess(select_accounts(self.book, account), self.market, threads=1)
        found = mm_verdicts(frame.bankrupt_short, frame.buffer_mm)
        new: I64 = rows[found != self.verdict[rows]]
        self.verdict[rows] = found
        return new


def mm_verdicts(bankrupt_short: F64, buffer_mm: F64) -> I8:
    """(A,) verdicts of MM from columns of a RequirementFrame; what is not known is UNPRICED."""
    return CODES[verdicts(bankrupt_short, buffer_mm, buffer_mm)]


def _netted(book: BookFrame, market: Market) -> B1:
    """(A,) pools that triggers can watch: alone in their account, netted, of watched items."""
    by_method = np.array([name in HOW for name in book.method_names], np.bool_)[book.method]
    alone = np.repeat(np.diff(book.account_starts) == 1, np.diff(book.account_starts))
    unwatched = ~(ties(market).restless > 0.0)
    pool = np.repeat(np.arange(book.n_pools), np.diff(book.pool_starts))
    odd = np.bincount(pool, weights=unwatched[book.item], minlength=book.n_pools) > 0
    sound = not market.rulebook.margin.wrong_way
    found: B1 = by_method & alone & ~odd & ~book.set_aside & sound
    return found


def _terms(book: BookFrame, market: Market) -> Terms:
    # Prices and marks are written into in place by `ticks`: the market keeps its own.
    items, assets = market.items, with_owners(market.collateral, no_owners(book.n_accounts))
    items = items._replace(mark=items.mark.copy(), delta=items.delta.copy())
    # Price uncertainty is charged at IM alone.
    assets = assets._replace(price=assets.price.copy(), uncertain=np.zeros(1, np.bool_))
    return Terms(holdings_of(book), items, assets, market.slots, ties(market))


def _work(market: Market) -> Work:
    frame = market.frame
    return work_of(frame.n_assets, len(frame.factors), len(market.slots.hedged_rate), frame.n_items)


# What a box was proven with, besides levels: columns of three tables.
FIXED = {
    "items": ("kind", "bad", "inverse", "scale", "settle", "slot", "tier"),
    "slots": ("tier_edge", "tier_rate", "hedged_rate", "rho", "group", "rates"),
    "collateral": ("edge_starts", "edge", "keep_mm", "market_mm", "surcharge_mm", "gain_mm"),
}


def _same_terms(old: Market, new: Market) -> bool:
    """Is everything but levels as it was: which prices are bad or averaged, rules, terms?"""
    same = old.frame.item_names == new.frame.item_names
    same = same and np.array_equal(ties(old).restless > 0.0, ties(new).restless > 0.0)
    return same and all(
        np.array_equal(getattr(getattr(old, table), name), getattr(getattr(new, table), name))
        for table, names in FIXED.items()
        for name in names
    )


def _runs(flags: B1) -> list[tuple[int, int]]:
    """Return the [lo, hi) of consecutive True rows."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(lo), int(hi)) for lo, hi in zip(edges[::2], edges[1::2], strict=True)]
