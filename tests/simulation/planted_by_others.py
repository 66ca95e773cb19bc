"""Bugs planted by someone who had not read the auditor: does the second witness see them?

Each is a mistake an engineer could make in `engine`, `ledger` or `frames.ledgered`: one function
put in place of another for the length of a test. They were chosen and written down before a line
of `simulation` or of the second witness was read. None creates or loses a unit: sums stay zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from crossmargin.domain.book import (
    INDEX_ONE,
    INSURANCE,
    SYSTEM,
    Book,
    Fork,
    LendingState,
    OrderState,
    PoolState,
)
from crossmargin.engine import checks, decide, fills, losses, trading, workspace
from crossmargin.engine import commands as c
from crossmargin.engine.fills import Rows, Trade
from crossmargin.engine.workspace import Workspace
from crossmargin.frames import ledgered
from crossmargin.ledger import apply as folding
from crossmargin.ledger import events as e
from crossmargin.ledger import exactly, journal
from crossmargin.ledger.events import Event, Move, Posting

Pool = tuple[str, str]
Patch = pytest.MonkeyPatch


class Planted(NamedTuple):
    """A bug: what it breaks, whom it would hurt, and how it is put in place."""

    name: str
    breaks: str
    hurts: str
    plant: Callable[[Patch], None]


def flip_keeps_the_old_price(patch: Patch) -> None:
    def leg(
        trade: Trade, pool: Pool, contracts: int, cost: int, work: Workspace, rows: Rows
    ) -> None:
        held = None if pool[0][0] == SYSTEM else work.held(*pool).positions.get(trade.instrument)
        if held is not None:
            keep = exactly.keep_of(held.contracts, held.cost, contracts, cost)
            past = abs(contracts) - abs(held.contracts)
            against = (held.contracts > 0) != (contracts > 0)
            if trade.terms.payoff == "inverse" and against and past > 0:
                # The bug: what is left beyond zero is carried at the price of what was closed.
                keep = -(held.cost * past) // abs(held.contracts)
            realised = held.cost + cost - keep
            if realised:
                rows[0].append(Posting(*pool, trade.terms.settle, realised))
                cost -= realised
        rows[1].append(Move(*pool, trade.instrument, contracts, cost))

    patch.setattr(fills, "_leg", leg)


def pressure_of_the_last_only(patch: Patch) -> None:
    def add(self: checks.Pressure, work: Workspace, base: Book) -> None:
        for asset, after in work.book.lending.items():
            before = base.lent(asset)
            if after.debt > before.debt:
                self.debt[asset] = after.debt - before.debt  # the bug: not added to what was there
            if after.supplied < before.supplied:
                self.supplied[asset] = before.supplied - after.supplied

    patch.setattr(checks.Pressure, "add", add)


def the_last_ask_decides(patch: Patch) -> None:
    ask = Workspace.ask_margin

    def ask_margin(self: Workspace, account: str, pool: str, strict: bool = False) -> None:
        asked, self.margins = self.margins, {}
        ask(self, account, pool, strict)
        self.margins = asked | self.margins  # the bug: a later ask of the batch takes it back

    patch.setattr(workspace.Workspace, "ask_margin", ask_margin)


def deleveraged_with_funding_unpaid(patch: Patch) -> None:
    settle, left_out = Workspace.accrue, set[Pool]()

    def accrue(self: Workspace, account: str, pool: str) -> None:
        if (account, pool) not in left_out:
            settle(self, account, pool)

    def deleverage(command: c.Deleverage, work: Workspace) -> None:
        left_out.add(tuple(command.counterparty))  # the bug: only the bankrupt one is settled
        try:
            losses.deleverage(command, work)
        finally:
            left_out.clear()

    patch.setattr(Workspace, "accrue", accrue)
    patch.setitem(decide.DRAFTS, c.Deleverage, deleverage)


def interest_of_a_merged_bucket_not_seen(patch: Patch) -> None:
    def balances(
        self: ledgered._Rows, pool: PoolState, merged: Sequence[PoolState], due: dict[str, float]
    ) -> Mapping[str, float]:
        if not (merged or due or pool.debt_index):
            return pool.balances
        together: dict[str, float] = {}
        for part in (pool, *merged):
            for asset, amount in part.balances.items():
                grown: float = amount
                if amount < 0:
                    index = self.book.lent(asset).index
                    own = pool.debt_index.get(asset, index)  # the bug: `pool` for `part`
                    if own != index:
                        grown = amount * index / own
                together[asset] = together.get(asset, 0) + grown
        for asset, owed in due.items():
            together[asset] = together.get(asset, 0) - owed
        return together

    patch.setattr(ledgered._Rows, "_balances", balances)


def remainder_may_open(patch: Patch) -> None:
    def filled(event: e.Filled | e.LiquidationFilled, book: Book) -> None:
        for fill in event.orders:
            orders = book.own(fill.account).pools[fill.pool].orders
            order = orders[fill.order]
            left = order.contracts - fill.contracts
            if left:  # the bug: what is left of a reduce-only order is any order
                orders[fill.order] = OrderState(order.instrument, left, order.limit_price)
            else:
                del orders[fill.order]

    for kind in (e.Filled, e.LiquidationFilled):
        _also(patch, kind, filled)


def draws_by_name(patch: Patch) -> None:
    add = ledgered._Rows.add

    def by_name(self: ledgered._Rows, name: str, account: Any) -> None:
        first, *rest = account.pools.items()
        # The bug: the shared pool serves buckets in the order of their names, not of opening.
        add(self, name, type(account)(account.status, dict([first, *sorted(rest)])))

    patch.setattr(ledgered._Rows, "add", by_name)


def listing_restarts_the_clock(patch: Patch) -> None:
    def listed(event: e.MarketListed, book: Book) -> None:
        head = book.head
        head.listing = event.listing
        for asset in event.listing.decimals:
            lent = head.lending.setdefault(asset, LendingState(0, 0, INDEX_ONE, head.at_ns))
            lent.stamped_ns = head.at_ns  # the bug: for assets that were listed before, too
        head.version += 1

    _also(patch, e.MarketListed, listed)


def reservations_never_fall(patch: Patch) -> None:
    def reserve_draws(command: c.ReserveDraws, work: Workspace) -> None:
        found = work.book.find(command.account)
        emit = work.emit

        class Rising:
            """The workspace, but for reservations that fall: the bug."""

            def __getattr__(self, name: str) -> Any:
                return getattr(work, name)

            def emit(self, event: Event) -> None:
                assert isinstance(event, e.DrawReserved)
                assert found is not None
                if event.amount > found.pools[event.pool].last_draw:
                    emit(event)

        trading.reserve_draws(command, Rising())  # type: ignore[arg-type]

    patch.setitem(decide.DRAFTS, c.ReserveDraws, reserve_draws)


def _also(patch: Patch, kind: type, more: Callable[[Any, Book], None]) -> None:
    moneyed, moving, _ = folding.EFFECTS[kind]
    patch.setitem(folding.EFFECTS, kind, (moneyed, moving, more))


def the_fund_before_the_batch(patch: Patch) -> None:
    sound = Fork.balance

    def balance(self: Fork, account: str, pool: str, asset: str) -> int:
        if account.startswith(INSURANCE):
            # The bug: what earlier commands of the batch took from a fund is not seen.
            return self.base.balance(account, pool, asset)
        return sound(self, account, pool, asset)

    patch.setattr(Fork, "balance", balance)


def states_without_the_older_keys(patch: Patch) -> None:
    sound = journal.snapshot_parts

    def parts(book: Book) -> Iterator[bytes]:
        kept, book.keys_before = book.keys_before, {}
        try:
            yield from list(sound(book))
        finally:
            book.keys_before = kept

    patch.setattr(journal, "snapshot_parts", parts)


def order_survives_a_liquidation(patch: Patch) -> None:
    kind = e.LiquidationFilled
    moneyed, moving, _ = folding.EFFECTS[kind]
    patch.setitem(folding.EFFECTS, kind, (moneyed, moving, lambda event, book: None))


def receiver_of_a_transfer_not_named(patch: Patch) -> None:
    sound = decide.named

    def named(command: Any) -> Any:
        return (command.account,) if type(command) is c.Transfer else sound(command)

    patch.setattr(decide, "named", named)


def what_was_drawn_is_forgotten(patch: Patch) -> None:
    sound = losses.may_draw

    def may_draw(account: str, pool: str, work: Workspace) -> int | None:
        held = work.held(account, pool)
        kept, held.drawn = held.drawn, 0
        try:
            return sound(account, pool, work)
        finally:
            held.drawn = kept

    patch.setattr(losses, "may_draw", may_draw)


def two_prices_in_one_batch(patch: Patch) -> None:
    sound = decide.DRAFTS[c.SettleExpiry]

    def settle(command: c.SettleExpiry, work: Workspace) -> None:
        # The bug: a price that the batch itself has fixed is not seen.
        if command.instrument not in work.book.base.head.settled:
            work.book.head.settled.pop(command.instrument, None)
        sound(command, work)

    patch.setitem(decide.DRAFTS, c.SettleExpiry, settle)


PLANTED = (
    Planted(
        "flip_keeps_the_old_price",
        "an inverse position that is turned over carries its old entry price past zero",
        "the trader: cash is realised that was not earned, entry prices in statements are wrong",
        flip_keeps_the_old_price,
    ),
    Planted(
        "pressure_of_the_last_only",
        "a command of a wave is judged as if only the one just before it had used up cash or cap",
        "lenders: several loans or withdrawals sent together take more of an asset than is there",
        pressure_of_the_last_only,
    ),
    Planted(
        "the_last_ask_decides",
        "a withdrawal in a batch is no longer judged strictly once an order follows it",
        "the venue: a pool under water pays out what counts nothing beside a trade that helps it",
        the_last_ask_decides,
    ),
    Planted(
        "deleveraged_with_funding_unpaid",
        "the counterparty of a deleveraging loses contracts before funding on them was settled",
        "whoever is owed that funding: it is never paid, and stays in @clearing",
        deleveraged_with_funding_unpaid,
    ),
    Planted(
        "interest_of_a_merged_bucket_not_seen",
        "margin does not count the interest due on the debts of a bucket that merges",
        "the venue: such an account may withdraw what it already owes",
        interest_of_a_merged_bucket_not_seen,
    ),
    Planted(
        "remainder_may_open",
        "what is left of a reduce-only order after a partial fill may open or turn a position",
        "the trader: an order meant to close a position builds one on the other side",
        remainder_may_open,
    ),
    Planted(
        "draws_by_name",
        "the shared pool serves its buckets by name, not in the order they were opened",
        "the trader: the bucket meant to be protected first is the one that is liquidated",
        draws_by_name,
    ),
    Planted(
        "listing_restarts_the_clock",
        "listing one more instrument restarts the interest clock of every asset",
        "lenders: interest from the last advance to the listing is never charged",
        listing_restarts_the_clock,
    ),
    Planted(
        "reservations_never_fall",
        "a bucket's kept reservation only ever rises",
        "the trader: while a price is missing, more of the shared pool is held back than is due",
        reservations_never_fall,
    ),
    Planted(
        "the_fund_before_the_batch",
        "a fund is asked what it held before the batch, not what is left of it",
        "the venue: two payouts of one batch overdraw the fund",
        the_fund_before_the_batch,
    ),
    Planted(
        "states_without_the_older_keys",
        "a kept state leaves out the keys of the window before",
        "whoever sends a command again after a restart: it happens twice",
        states_without_the_older_keys,
    ),
    Planted(
        "order_survives_a_liquidation",
        "the order that a forced sale has filled stays open",
        "its owner: it is filled a second time",
        order_survives_a_liquidation,
    ),
    Planted(
        "receiver_of_a_transfer_not_named",
        "a transfer and a command of its receiver are decided side by side",
        "the receiver: what was due is charged twice",
        receiver_of_a_transfer_not_named,
    ),
    Planted(
        "what_was_drawn_is_forgotten",
        "a bucket may draw its whole limit again and again",
        "the owner: more of the shared pool is at risk than was agreed",
        what_was_drawn_is_forgotten,
    ),
    Planted(
        "two_prices_in_one_batch",
        "two settlements of one instrument in a batch may name two prices",
        "whoever holds the side that was settled at the worse one",
        two_prices_in_one_batch,
    ),
)
