"""What if: the book after trades and transfers, by the rows a deed would write.

In     a BookFrame of one account, a Market, trades and transfers.
Out    the book afterwards; nothing is assessed here.
Owns   how a trade and a transfer become rows.
Never  knows which method answers; decides whether the deed is allowed.
Signs  trade quantity signed (+ buy); transfer amount > 0 moves from source to target.
Spec   docs/spec/07-inquiry.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossmargin.base.errors import InputInvalid
from crossmargin.domain.instruments import KindCode, PayoffCode
from crossmargin.frames.book import BookFrame
from crossmargin.frames.edits import Fills, with_changes, with_fills, with_orders_of
from crossmargin.inquiry.desk import Desk, item_row
from crossmargin.margin.prepared import Market

OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class Trade:
    """Buy (+) or sell (-) `quantity` contracts at `price` in quote units; None: at the mark."""

    instrument: str
    quantity: float
    price: float | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move `amount` coins between pools; "outside" deposits into or withdraws from one."""

    asset: str
    amount: float
    source: str
    target: str


def mark_of(market: Market, instrument: int) -> float:
    """Return the mark of an instrument row, quote units (premium options: discounted)."""
    p, table = market.priced, market.frame.instruments
    if not p.options.is_option[instrument]:
        return float(p.forward[instrument])
    discount = p.options.discount[instrument] if table.style[instrument] == 0 else 1.0
    return float(p.options.price[instrument] * discount)


def after(desk: Desk, trades: Sequence[Trade], transfers: Sequence[Transfer]) -> BookFrame:
    """Return the account's book after the trades (in the asked pool) and transfers."""
    book = desk.book
    for trade in trades:
        book = _traded(book, desk, trade)
    for transfer in transfers:
        book = _transferred(book, desk, transfer)
    return book


def _traded(book: BookFrame, desk: Desk, trade: Trade) -> BookFrame:
    market = desk.market
    item = item_row(market, trade.instrument)
    row = item - market.frame.n_assets
    if row < 0:
        raise InputInvalid(
            "trade", trade.instrument, "must be an instrument", "transfer assets, trade instruments"
        )
    table, q = market.frame.instruments, trade.quantity
    price = mark_of(market, row) if trade.price is None else trade.price
    if not (np.isfinite(price) and price > 0.0 and np.isfinite(q)):
        raise InputInvalid(
            f"trade.{trade.instrument}", (q, price), "quantity and price must be finite, price > 0",
            "state a price: the instrument may have no mark",
        )  # fmt: skip
    settle, size = int(table.settle[row]), float(table.contract_size[row])
    is_spot = table.kind[row] == KindCode.SPOT
    premium = bool(market.priced.options.is_option[row]) and table.style[row] == 0
    coin = market.priced.forward[row] if table.payoff[row] == PayoffCode.INVERSE else 1.0
    notional = (
        size * market.priced.price[table.underlying[row]]
        if is_spot
        else abs(float(market.items.delta[item]))
    )
    cash = -market.rulebook.margin.taker_fee * abs(q) * notional / market.priced.price[settle]
    if premium or is_spot:
        cash -= q * size * price / float(coin)
    first = (int(table.underlying[row]), q * size) if is_spot else (item, q)
    rows = [(first[0], first[1], np.nan if premium or is_spot else price), (settle, cash, np.nan)]
    item_column, quantity, entry = (np.array(c) for c in zip(*rows, strict=True))
    pool = np.full(2, desk.pool, np.int64)
    filled = with_fills(
        book, Fills(pool, item_column.astype(np.int32), quantity, entry.astype(np.float64))
    )
    return with_orders_of(filled, book)


def _transferred(book: BookFrame, desk: Desk, transfer: Transfer) -> BookFrame:
    if not (np.isfinite(transfer.amount) and transfer.amount > 0.0):
        raise InputInvalid("transfer.amount", transfer.amount, "must be > 0", "state how much")
    item = item_row(desk.market, transfer.asset)
    names = list(desk.book.pool_names)
    for name in (transfer.source, transfer.target):
        if name != OUTSIDE and name not in names:
            raise InputInvalid(
                "transfer", name, f"must be one of {', '.join([*names, OUTSIDE])}", "name a pool"
            )
    ends = [(transfer.source, -transfer.amount), (transfer.target, transfer.amount)]
    inside = [(names.index(name), change) for name, change in ends if name != OUTSIDE]
    if not inside:
        raise InputInvalid("transfer", "outside to outside", "must touch a pool", "name a pool")
    pool, change = (np.array(c) for c in zip(*inside, strict=True))
    return with_changes(book, pool, np.full(len(inside), item), change.astype(np.float64))
