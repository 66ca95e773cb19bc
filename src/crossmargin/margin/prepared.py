"""A market prepared once: every table the methods need, made when first asked for.

In     MarketFrame, Rulebook, joint rows where there are some.
Out    `Market`; `Holdings` of a book; owners' totals.
Owns   when a table is made and that it is made once.
Never  changes after it is made; knows a pool.
Signs  as its parts.
Spec   docs/architecture.md, "One data flow"
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crossmargin.base.arrays import I64
from crossmargin.domain.rulebook import Rulebook
from crossmargin.frames.book import BookFrame
from crossmargin.frames.market import MarketFrame
from crossmargin.kernels.cross import Slots
from crossmargin.kernels.netting import Assets, Holdings, Items
from crossmargin.kernels.portfolio import Extras, Rows
from crossmargin.margin import addons, collateral, scenarios, valuation
from crossmargin.margin.classes import ClassView, class_view
from crossmargin.margin.joint import JointRows


@dataclass(frozen=True)
class Market:
    """MarketFrame + rulebook + scenario rows. Two threads may ask at once: same answer, made twice.

    threads   used while the rows are made; the answer does not depend on it
    """

    frame: MarketFrame
    rulebook: Rulebook
    joint: JointRows | None = None
    threads: int | None = 1

    @cached_property
    def view(self) -> ClassView:
        return class_view(self.frame, self.rulebook)

    @cached_property
    def priced(self) -> valuation.Priced:
        return valuation.priced(self.frame)

    @cached_property
    def items(self) -> Items:
        return valuation.item_terms(self.frame, self.rulebook, self.view, self.priced)

    @cached_property
    def collateral(self) -> Assets:
        """Both parts of every haircut: what isolated and cross charge (spec 3.2)."""
        return collateral.asset_terms(
            self.frame, self.rulebook, self.view, self.priced, market_part=True
        )

    @cached_property
    def counted(self) -> Assets:
        """The liquidity part alone: what portfolio charges (spec 3.2)."""
        return collateral.asset_terms(
            self.frame, self.rulebook, self.view, self.priced, market_part=False
        )

    @cached_property
    def slots(self) -> Slots:
        return addons.slots(self.frame, self.rulebook, self.view)

    @cached_property
    def extras(self) -> Extras:
        return addons.extras(self.frame, self.rulebook, self.view, self.priced)

    @cached_property
    def scenarios(self) -> scenarios.ScenarioSet:
        return scenarios.scenario_set(self.frame, self.rulebook, self.view, self.joint)

    @cached_property
    def rows(self) -> Rows:
        return scenarios.unit_rows(
            self.frame, self.rulebook, self.view, self.priced, self.scenarios, self.threads
        )


def prepare(
    frame: MarketFrame, rulebook: Rulebook, joint: JointRows | None = None,
    threads: int | None = None,
) -> Market:  # fmt: skip
    """Return the market prepared under a rulebook; tables are made when first used."""
    return Market(frame, rulebook, joint, threads)


def holdings_of(book: BookFrame, account: I64 | None = None) -> Holdings:
    """Return the rows the pool kernels walk; `account` says whose owner totals a pool shares."""
    return Holdings(
        book.pool_starts,
        book.item,
        book.quantity,
        book.entry_price,
        book.account_of_pool() if account is None else account,
    )


def no_owners(n_accounts: int) -> collateral.Owners:
    """Return totals for a book in which every owner has one pool: there are none."""
    return collateral.Owners(np.zeros(n_accounts + 1, np.int64), np.zeros(0, np.int32), np.zeros(0))


def owners_of(book: BookFrame, market: Market) -> collateral.Owners:
    """Return owners' totals of a whole book (spec 3.6)."""
    if book.n_accounts == book.n_pools:
        return no_owners(book.n_accounts)
    return collateral.owners_of(market.collateral, book, holdings_of(book), market.items)


def with_owners(assets: Assets, owners: collateral.Owners) -> Assets:
    """Return asset terms that know the owners' totals."""
    return assets._replace(
        owner_starts=owners.starts, owner_asset=owners.asset, owner_value=owners.value
    )
