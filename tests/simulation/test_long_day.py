"""A day with lying sources and a dying store, judged from its journal; what judges it can see."""

from __future__ import annotations

import random
from functools import cache

import msgspec
import numpy as np

from crossmargin.adapters.files import load_rulebook
from crossmargin.engine.ports import Record
from crossmargin.engine.runtime import Engine
from crossmargin.ledger import journal
from crossmargin.ledger.events import Deleveraged, LiquidationFilled, PricesAccepted
from crossmargin.simulation.explained import explained
from crossmargin.simulation.faults import FaultyStore, MemoryStore
from crossmargin.simulation.long_day import FAULTS, long_day, spoil
from crossmargin.simulation.paths import Clock, Order, stamp_table, tick_table
from crossmargin.simulation.replay import Day, Setup
from engine.memory import HandClock
from engine.tally import assert_sound

START = 1_775_001_600 * 10**9
HOURS, TICKS = 2, 4
RULES = load_rulebook("prime-24h")
HALTED = {"status": "halted"}


@cache
def lived(rate=0.0):
    inner = MemoryStore()
    store = FaultyStore(inner, random.Random(5), 0.0)

    def spoiled(price, stamp):
        return spoil(price, stamp, 3, 500.0, 1_440 * TICKS)[:2]

    setup = Setup(RULES, 24, 1, Clock(START, 60 * HOURS, TICKS), store=store, spoiled=spoiled)
    day = Day(long_day(1, START, HOURS), setup)
    store.rate = rate
    for tick in range(day.setup.clock.n_ticks):
        day.tick(tick)
    return day, inner


def test_every_forced_sale_is_explained_by_the_journal_and_no_bad_price_sold_anybody():
    day, store = lived()
    assert {"live", "degraded", "halted"} <= {word for row in day.out.status for word in row}
    verdicts = explained(store)
    assert verdicts.sales > 20
    assert verdicts.wrong == []
    assert_sound(day.engine.book)


def test_a_day_ends_alike_whatever_dies():
    (whole, kept), (broken, again) = lived(), lived(0.1)
    assert broken.out.deaths > 10
    assert again.last() == kept.last()
    assert_sound(broken.engine.book)
    for day in (whole, broken):
        assert Engine.open(day.store.inner, HandClock(0)).state_hash() == day.engine.state_hash()


def first_sale(store):
    """Return the place in the journal of the first forced sale, and of the prices before it."""
    entries = [journal.decode(record.body, record.seq) for record in store.records]
    sale = next(
        n for n, entry in enumerate(entries)
        if any(isinstance(event, LiquidationFilled | Deleveraged) for event in entry.events)
    )  # fmt: skip
    prices = max(
        n for n in range(sale)
        if any(isinstance(event, PricesAccepted) for event in entries[n].events)
    )  # fmt: skip
    return sale, prices, entries


def test_a_sale_without_the_prices_that_made_it_due_is_found():
    _, store = lived()
    sale, prices, _ = first_sale(store)
    kept = [r for n, r in enumerate(store.records[: sale + 1]) if n != prices]
    wrong = explained(Told(kept)).wrong
    assert any(word in line for line in wrong for word in ("was HEALTHY", "was REDUCE_ONLY"))


def test_a_sale_at_a_halted_price_is_found():
    _, store = lived()
    sale, prices, entries = first_sale(store)
    entry = entries[prices]
    events = tuple(
        msgspec.structs.replace(
            event,
            prints={k: msgspec.structs.replace(x, **HALTED) for k, x in event.prints.items()},
        )
        if isinstance(event, PricesAccepted) else event
        for event in entry.events
    )  # fmt: skip
    body = journal.encode(msgspec.structs.replace(entry, events=events))
    records = list(store.records[: sale + 1])
    records[prices] = Record(records[prices].seq, records[prices].hash, body)
    wrong = explained(Told(records)).wrong
    assert any(word in line for line in wrong for word in ("while HALTED", "was UNPRICED"))


def test_every_fault_of_a_source_happens_and_is_a_number_with_a_stamp():
    bars = long_day(1, START, 24)
    clock = Clock(START, 1_440, TICKS)
    price = tick_table(bars, clock, np.random.default_rng(1), Order.LOW_FIRST)
    said, stamp, counts = spoil(price, stamp_table(bars, clock), 3, 300.0, 1_440 * TICKS)
    assert set(counts) == set(FAULTS)
    assert min(counts.values()) > 0
    assert (said > 0.0).all()
    assert (stamp <= clock.at_ns[:, None]).all(), "nobody speaks from the future"
    assert (said != price).any()


class Told:
    """Records as somebody tells them: in batches, unchecked."""

    def __init__(self, records):
        self.records = records

    def read(self, after=0, upto=None):
        yield self.records
