"""Bugs an engine of money must not have, planted one at a time: the simulator finds each.

Each puts one function of `engine`, `ledger` or a store in place of another for the length of a
test. The first eight of the list are the ones the ledger was built against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from crossmargin.domain.book import Book, Key
from crossmargin.engine import checks, market, money, runtime, trading, workspace, world
from crossmargin.engine.ports import Record
from crossmargin.frames import prints
from crossmargin.frames.book import BookFrame
from crossmargin.ledger import apply as folding
from crossmargin.ledger import events as e
from crossmargin.ledger import journal
from crossmargin.ledger.events import Entry, Posting
from crossmargin.methods.registry import assess
from crossmargin.simulation import faults
from crossmargin.simulation.faults import Crash

Patch = pytest.MonkeyPatch
Pool = tuple[str, str]


class Planted(NamedTuple):
    """A bug: its name, and how it is put in place."""

    name: str
    plant: Callable[[Patch], None]


def posting_off_by_one_unit(patch: Patch) -> None:
    def pair(payer: Pool, payee: Pool, asset: str, amount: int) -> tuple[Posting, Posting]:
        # On both sides: one that does not sum to zero the engine itself refuses to write.
        off = amount + 1 if asset == "BTC" else amount
        return Posting(*payer, asset, -off), Posting(*payee, asset, off)

    patch.setattr(money, "_pair", pair)


def lost_idempotency_key(patch: Patch) -> None:
    keep = Book.remember

    def remember(self: Book, key: str, use: Key) -> None:
        keep(self, "" if use.seq % 10 == 0 else key, use)

    patch.setattr(Book, "remember", remember)


def replay_folds_differently(patch: Patch) -> None:
    fold = journal.apply_entry

    def apply_entry(entry: Entry, seq: int, book: Book) -> None:
        fold(entry, seq, book)
        for event in entry.events:
            if isinstance(event, e.DrawReserved):
                book.own(event.account).pools[event.pool].last_draw = 0

    patch.setattr(journal, "apply_entry", apply_entry)


def rounding_the_wrong_way(patch: Patch) -> None:
    def split(ends: tuple[Pool, Pool], asset: str, exact: tuple[int, int]) -> tuple[Posting, ...]:
        paid = exact[0] // exact[1]  # the bug: whoever is charged pays down
        if not paid:
            return ()
        return (Posting(*ends[0], asset, -paid), Posting(*ends[1], asset, paid))

    patch.setattr(workspace, "split", split)


def acknowledged_before_it_was_durable(patch: Patch) -> None:
    append = faults.FaultyStore.append

    def lying(self: Any, records: Sequence[Record]) -> None:
        try:
            append(self, records)
        except Crash:
            # What was answered last was in a cache of the disk, and went with the process.
            kept = self.inner.records
            del kept[getattr(self, "synced", len(kept)) :]
            raise
        self.synced = self.inner.last()[0] - len(records)

    patch.setattr(faults.FaultyStore, "append", lying)


def stale_price_taken(patch: Patch) -> None:
    def status(word: str, stamp: int, oldest: int) -> int:
        return prints.STATUS[word]

    patch.setattr(prints, "_status", status)


def draw_limit_ignored(patch: Patch) -> None:
    book_frame = checks.book_frame

    def unlimited(*asked: Any) -> BookFrame:
        frame = book_frame(*asked)
        some = np.where(frame.draw_limit > 0.0, 1e15, 0.0)
        return replace(frame, draw_limit=np.where(np.isinf(frame.draw_limit), np.inf, some))

    patch.setattr(checks, "book_frame", unlimited)


def margin_tested_at_maintenance(patch: Patch) -> None:
    def buffer(book: BookFrame, prepared: Any) -> Any:
        return assess(book, prepared, threads=1).buffer_mm

    patch.setattr(checks, "new_risk_buffer", buffer)


def old_print_accepted(patch: Patch) -> None:
    def newest(command: Any, head: Any) -> int:
        return 0  # the bug: a print may be older than the last one

    patch.setattr(world, "_newest", newest)


def marks_out_of_order(patch: Patch) -> None:
    def newest(command: Any, head: Any) -> int:
        return max((head.prints[n][1] for n in command.prints if n in head.prints), default=0)

    patch.setattr(world, "_newest", newest)


def totals_are_added_to(patch: Patch) -> None:
    def totals(event: e.VenueTotalsAdopted, book: Book) -> None:
        book.head.venue_totals.update(event.totals)
        book.head.version += 1

    moneyed, moving, _ = folding.EFFECTS[e.VenueTotalsAdopted]
    patch.setitem(folding.EFFECTS, e.VenueTotalsAdopted, (moneyed, moving, totals))


def derived_state_outlives_the_clock(patch: Patch) -> None:
    def stale_from(stamps: list[int], now_ns: int, stale_s: float) -> int:
        return 2**62  # the bug: a market once made is used until the next print

    patch.setattr(market, "stale_from", stale_from)


def an_opened_bucket_stood_where_the_shared_pool_did(patch: Patch) -> None:
    buffers = checks._buffers

    def found(asked: Sequence[Any], base: Book, setting: Any) -> Any:
        def there(account: str, pool: str, book: Book) -> str:
            state = book.find(account)
            return pool if state is None or pool in state.pools else "shared"

        return buffers([(name, there(name, pool, b), b) for name, pool, b in asked], base, setting)

    patch.setattr(checks, "_buffers", found)


def a_bucket_is_empty_whatever_merges_with_it(patch: Patch) -> None:
    def alone(self: workspace.Workspace, account: str, pool: str) -> list[tuple[str, Any]]:
        return [(pool, self.held(account, pool))]

    patch.setattr(workspace.Workspace, "margined_with", alone)


def cash_leaves_by_a_fill(patch: Patch) -> None:
    patch.setattr(trading, "ask_cash", lambda *_: None)


def a_hair_more_is_free(patch: Patch) -> None:
    free_of = runtime.free_of

    def more(*asked: Any) -> int | None:
        found = free_of(*asked)
        return found and found + found // 1_000 + 1

    patch.setattr(runtime, "free_of", more)


def a_question_that_takes_a_unit(patch: Patch) -> None:
    free_of = runtime.free_of

    def takes(book: Book, account: str, pool: str, asset: str, setting: Any) -> int | None:
        found = free_of(book, account, pool, asset, setting)
        balances = book.accounts[account].pools[pool].balances
        balances[asset] = balances.get(asset, 0) - 1
        return found

    patch.setattr(runtime, "free_of", takes)


PLANTED = (
    Planted("posting_off_by_one_unit", posting_off_by_one_unit),
    Planted("lost_idempotency_key", lost_idempotency_key),
    Planted("replay_folds_differently", replay_folds_differently),
    Planted("rounding_the_wrong_way", rounding_the_wrong_way),
    Planted("acknowledged_before_it_was_durable", acknowledged_before_it_was_durable),
    Planted("stale_price_taken", stale_price_taken),
    Planted("draw_limit_ignored", draw_limit_ignored),
    Planted("margin_tested_at_maintenance", margin_tested_at_maintenance),
    Planted("old_print_accepted", old_print_accepted),
    Planted("marks_out_of_order", marks_out_of_order),
    Planted("totals_are_added_to", totals_are_added_to),
    Planted("derived_state_outlives_the_clock", derived_state_outlives_the_clock),
    Planted("bucket_stood_in_shared", an_opened_bucket_stood_where_the_shared_pool_did),
    Planted("empty_whatever_merges", a_bucket_is_empty_whatever_merges_with_it),
    Planted("cash_leaves_by_a_fill", cash_leaves_by_a_fill),
    Planted("a_hair_more_is_free", a_hair_more_is_free),
    Planted("a_question_that_takes_a_unit", a_question_that_takes_a_unit),
)
