"""The end of a plan: everything is taken over at bankruptcy prices, by the fund, then by ADL.

In     a pool, what is left of its equity, the rules of the backstop.
Out    takeover and ADL steps, and the account after them.
Owns   the split of a pool's equity over what it holds; what the fund takes and what it does not.
Never  picks who is deleveraged; pays from insurance: that is the waterfall's.
Signs  shares >= 0; cash + received by the pool; discount + where the pool gives value away.
Spec   docs/spec/09-liquidation.md, 9.14 to 9.16
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crossmargin.base.arrays import F64, I64
from crossmargin.frames.book import BookFrame, plain_book
from crossmargin.frames.edits import with_changes
from crossmargin.kernels.auctions import bankruptcy_pnl, price_of_pnl
from crossmargin.liquidation.deals import Pool, compacted, numeraire_row, paid_in
from crossmargin.liquidation.mechanisms import Terms
from crossmargin.liquidation.steps import Expected, Fill
from crossmargin.margin.prepared import Market
from crossmargin.margin.requirement import PARTS
from crossmargin.methods.registry import assess


@dataclass(frozen=True, slots=True)
class Taken:
    """What leaves a pool: rows (R,), signed quantities, value at the mark and P&L from it."""

    item: I64
    quantity: F64
    value: F64
    pnl: F64

    @property
    def cash(self) -> F64:
        return self.value + self.pnl


def everything(pool: Pool, market: Market, terms: Terms, shared_pays: float) -> Taken:
    """Return what leaves the pool at bankruptcy prices; bad-priced assets stay where they are.

    shared_pays  what a bucket's shared pool fills of a hole (spec 1.1), numeraire >= 0

    Cash of every row is paid in the numeraire, so the numeraire's own row is what is left: nothing.
    """
    n, money = market.frame.n_assets, numeraire_row(market)
    item = np.flatnonzero((pool.quantity != 0.0) & ~terms.bad)
    item = item[item != money]
    quantity, price = pool.quantity[item], market.priced.price
    settle = market.items.settle[item]
    value = np.where(
        item < n,
        quantity * price[np.minimum(item, n - 1)],
        pool.mtm[item] * price[settle] + quantity * market.items.unit_value[item],
    )
    equity = float(pool.quantity[money] + value.sum())
    owned = equity if equity >= 0.0 else min(0.0, equity + shared_pays)
    pnl = bankruptcy_pnl(
        np.array([owned]), weights(item, quantity, market), np.array([0, len(item)])
    )
    if len(item) == 0 or not np.isfinite(pnl).all():
        # Nothing held has a risk of its own: whoever takes the pool pays its hole in money.
        item, quantity = np.append(item, money), np.append(quantity, owned)
        value, pnl = np.append(value, owned), np.append(0.0 * value, -owned)
    return Taken(item.astype(np.int64), quantity, value, pnl)


def weights(item: I64, quantity: F64, market: Market) -> F64:
    """(R,) stand-alone isolated MM of every row; of assets only where no position has any."""
    n = market.frame.n_assets
    if len(item) == 0:
        return np.zeros(0)
    alone = _alone(item, quantity)
    frame = assess(alone, market, threads=1, parts=True)
    position = np.where(item >= n, frame.parts_mm[PARTS.index("core")], 0.0)
    if position.sum() > 0.0:
        return position
    return np.where(item < n, frame.haircut_mm + frame.surcharge_mm, 0.0)


def _alone(item: I64, quantity: F64) -> BookFrame:
    return plain_book(
        np.arange(len(item) + 1), item.astype(np.int32), quantity, np.ones(len(item)), "isolated"
    )


def fills_of(taken: Taken, share: float, pool: Pool, market: Market) -> tuple[Fill, ...]:
    """Return a share of what leaves the pool as fills, prices at bankruptcy."""
    money = numeraire_row(market)
    prices = bankruptcy_prices(taken, market)
    return tuple(
        Fill(int(i), -share * float(q), float(p), money, share * float(c))
        for i, q, p, c in zip(taken.item, taken.quantity, prices, taken.cash, strict=True)
    )


def bankruptcy_prices(taken: Taken, market: Market) -> F64:
    """Return the price of every row: numeraire for assets, quote units for instruments (9.14)."""
    n, items = market.frame.n_assets, market.items
    item, q = taken.item, taken.quantity
    price = market.priced.price
    settle = np.array([paid_in(int(i), market) for i in item], np.int64)
    mark = np.where(item < n, price[np.minimum(item, n - 1)], items.mark[item])
    future = items.futures_like[item]
    each = np.where(future, items.scale[item] * price[settle], 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        option = np.where(items.unit_value[item] > 0.0, items.unit_value[item] / mark, 1.0)
        each = np.where((item >= n) & ~future, option, each)
        return price_of_pnl(mark, taken.pnl / (q * each), items.inverse[item].astype(np.float64))


def book_after(taken: Taken, pool: Pool, market: Market) -> BookFrame:
    """Return the account once all of it has left the pool."""
    book, row, money = pool.book, pool.row, numeraire_row(market)
    lo, hi = int(book.pool_starts[row]), int(book.pool_starts[row + 1])
    quantity = book.quantity.copy()
    gone = np.isin(book.item[lo:hi], taken.item[taken.item != money])
    quantity[lo:hi][gone] = 0.0
    paid = float(taken.cash[taken.item != money].sum() - taken.quantity[taken.item == money].sum())
    after = with_changes(
        replace(book, quantity=quantity), np.array([row]), np.array([money]), np.array([paid])
    )
    return compacted(after, row)


def fund_share(taken: Taken, market: Market, terms: Terms) -> float:
    """Return the share of the pool the fund takes, in [0, 1]; the rest is ADL's (spec 9.15)."""
    rules = terms.execution.backstop
    n = market.frame.n_assets
    positions = taken.item >= n
    notional = float(np.abs(taken.quantity * terms.unit[taken.item])[positions].sum())
    loss = max(0.0, float(taken.pnl.sum()))
    if loss > rules.loss_max:
        return 0.0
    return 1.0 if notional <= rules.notional_max else rules.notional_max / notional


def discount_of(taken: Taken, share: float) -> Expected:
    """Return what a share of the takeover costs the pool."""
    return Expected(discount=-share * float(taken.pnl.sum()))
