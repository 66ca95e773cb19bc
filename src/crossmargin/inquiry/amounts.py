"""How much: free to withdraw, and the largest order, for any method.

In     an account, a market, what is asked.
Out    the largest amount such that it and every smaller one is allowed.
Owns   the search; what "allowed" means is the methods' answer on edited copies.
Never  knows which method answers; rounds in the asker's favour.
Signs  amounts >= 0, smallest units or contracts.
Spec   docs/spec/07-inquiry.md
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from crossmargin.base.arrays import B1, F64
from crossmargin.frames.book import BookFrame
from crossmargin.frames.compile import from_smallest_units, to_smallest_units, written_units
from crossmargin.frames.edits import copies, with_changes
from crossmargin.inquiry.desk import Desk, item_row
from crossmargin.margin.prepared import Market
from crossmargin.methods.registry import assess

POINTS = 129  # copies in a round; a round narrows the answer by POINTS - 1
ROUNDS = 7
DOUBLINGS = 60
TICK_MIN = 1e-12  # contracts


def new_risk_buffer(book: BookFrame, market: Market) -> F64:
    """(A,) the buffer new risk and withdrawals are judged by (spec 1.12); NaN where unpriced.

    The shared pool must carry what its buckets want, not only what they are granted.
    """
    frame = assess(book, market, threads=1)
    buffer = frame.buffer_im
    if book.n_accounts < book.n_pools:
        shared = book.account_starts[:-1]
        # A shared pool's own draw is 0, so the sum over its account is what its buckets got.
        buffer[shared] += np.add.reduceat(frame.draw_im, shared) - frame.draw_wanted_im[shared]
    return buffer


def allowed_im(book: BookFrame, desk: Desk) -> F64:
    """Return the buffer of the asked pool, a number a copy."""
    return new_risk_buffer(book, desk.market)[desk.pool :: desk.book.n_pools]


def largest(limit: float, allowed: Callable[[F64], B1]) -> float:
    """Return the largest x in [0, limit] such that every point of [0, x] looked at is allowed.

    The first round looks at POINTS amounts across the whole span; later rounds only between the
    last allowed one and the first refused one.
    """
    low, high = 0.0, limit
    for turn in range(ROUNDS):
        amounts = np.linspace(low, high, POINTS)
        good = allowed(amounts)
        if good.all():
            return high if turn == 0 else float(amounts[-1])
        first = int(np.argmin(good))
        if first == 0:
            return low if turn else 0.0
        low, high = float(amounts[first - 1]), float(amounts[first])
        if high - low <= 1e-15 * high:
            break
    return low


def free_to_withdraw(desk: Desk, asset: str, held: int | None = None) -> int:
    """Return how many smallest units may leave the pool now (spec 7); 0 where unpriced.

    At most the settled balance: unsettled P&L cannot be withdrawn. `held` is that balance where it
    is known exactly, or where a part of a merged pool is asked about; None: as the book has it.
    """
    row = item_row(desk.market, asset)
    decimals = int(desk.market.frame.assets.decimals[row])
    lo, hi = desk.book.pool_starts[desk.pool], desk.book.pool_starts[desk.pool + 1]
    mine = desk.book.item[lo:hi] == row
    settled = float(desk.book.quantity[lo:hi][mine].sum())
    if held is not None:
        settled = from_smallest_units(held, decimals)
    if not settled > 0.0:
        return 0

    def allowed(amounts: F64) -> B1:
        many = copies(desk.book, len(amounts))
        pool = np.arange(len(amounts)) * desk.book.n_pools + desk.pool
        edited = with_changes(many, pool, np.full(len(amounts), row), -amounts)
        return allowed_im(edited, desk) >= 0.0

    all_units = written_units(settled, decimals) if held is None else held
    coins = largest(settled, allowed)
    if coins == settled:
        return all_units
    # The search ends within a float or two of the boundary; which unit that is, is asked.
    found = to_smallest_units(coins, decimals, True)
    near = range(max(0, found - 2), min(all_units, found + 2) + 1)
    good = allowed(np.array([from_smallest_units(units, decimals) for units in near]))
    refused = np.flatnonzero(~good)
    return max(0, near[0] - 1 + (int(refused[0]) if len(refused) else len(near)))


def largest_order(desk: Desk, instrument: str, side: int, limit_price: float) -> float:
    """Return the largest order (contracts, >= 0) that would be accepted (spec 5.6, 7).

    side  +1 buy, -1 sell. An order that never raises the charge is bounded by 2^DOUBLINGS.
    An order that does not lower a buffer that is short already is accepted: what reduces risk is
    never blocked.
    """
    row = item_row(desk.market, instrument)
    least = min(0.0, float(allowed_im(desk.book, desk)[0]))

    def allowed(amounts: F64) -> B1:
        many = copies(desk.book, len(amounts))
        edited = with_orders(many, desk, row, side * amounts, limit_price)
        return allowed_im(edited, desk) >= least

    if not allowed(np.zeros(1))[0]:
        return 0.0
    ladder = np.concatenate([[0.0], 2.0 ** np.arange(-20, DOUBLINGS - 20)])
    good = allowed(ladder)
    if good.all():
        return float(ladder[-1])
    found = largest(float(ladder[int(np.argmin(good))]), allowed)
    return found if found > TICK_MIN else 0.0  # less than any tick is the rounding of a buffer


def with_orders(
    book: BookFrame, desk: Desk, item: int, quantity: F64, limit_price: float
) -> BookFrame:
    """Return copies with one more order each, in the asked pool."""
    n, pools = len(quantity), desk.book.n_pools
    target = np.arange(n) * pools + desk.pool
    at = book.order_starts[target + 1]
    counts = np.diff(book.order_starts)
    counts[target] += 1
    return replace(
        book,
        order_starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        order_item=np.insert(book.order_item, at, item),
        order_quantity=np.insert(book.order_quantity, at, quantity),
        order_limit=np.insert(book.order_limit, at, limit_price),
        order_reduce_only=np.insert(book.order_reduce_only, at, False),
    )
