"""Cross margin in NumPy, as a competent user would write it: no loop over pools, chunk by chunk.

It is handed the same prepared tables of the market and the same columns of the book. It knows
what the book of bench (a) is: one pool an account, linear contracts, no orders; items of a pool
ascend. Rows of one pool and asset (or underlying, or factor) are brought together by one argsort
of integer keys, which NumPy does in vector registers, and np.add.reduceat.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks.harness import in_chunks
from crossmargin.frames.book import BookFrame
from crossmargin.margin.prepared import Market


class Answer(NamedTuple):
    """One number a pool each, numeraire."""

    equity: np.ndarray
    collateral_value: np.ndarray
    margin_balance_mm: np.ndarray
    margin_balance_im: np.ndarray
    mm: np.ndarray
    im: np.ndarray
    buffer_mm: np.ndarray
    buffer_im: np.ndarray


class Groups(NamedTuple):
    """Rows of equal key brought together: order of rows, first row of each group, its key."""

    order: np.ndarray
    first: np.ndarray
    key: np.ndarray

    def sum(self, values: np.ndarray) -> np.ndarray:
        return (
            np.add.reduceat(values[self.order], self.first) if len(self.key) else self.first * 0.0
        )


class Tables(NamedTuple):
    """What is the same for every chunk: brackets and tiers padded to (rows, steps)."""

    market: Market
    edge: np.ndarray
    keep_mm: np.ndarray
    keep_im: np.ndarray
    factor: np.ndarray
    exponent: np.ndarray


def assess(book: BookFrame, market: Market) -> Answer:
    """Return the answer of every pool."""
    given = tables(market)
    parts = in_chunks(lambda lo, hi: chunk(book, given, lo, hi), book.n_pools)
    return Answer(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def tables(market: Market) -> Tables:
    """Pad brackets to one width; every asset of this market has at most one factor."""
    a = market.collateral
    sizes = np.diff(a.edge_starts)
    place = a.edge_starts[:-1, None] + np.minimum(np.arange(sizes.max()), sizes[:, None] - 1)
    has = np.diff(a.load_starts) == 1
    factor = np.full(len(a.price), -1)
    factor[has] = a.load_factor[a.load_starts[:-1][has]]
    exponent = np.zeros(len(a.price))
    exponent[has] = a.load_exponent[a.load_starts[:-1][has]]
    return Tables(market, a.edge[place], a.keep_mm[place], a.keep_im[place], factor, exponent)


def chunk(book: BookFrame, given: Tables, lo: int, hi: int) -> Answer:
    """Return the answer of pools [lo, hi)."""
    items, assets, slots = given.market.items, given.market.collateral, given.market.slots
    n = hi - lo
    rows = slice(book.pool_starts[lo], book.pool_starts[hi])
    sizes = np.diff(book.pool_starts[lo : hi + 1])
    pool, item, quantity = np.repeat(np.arange(n), sizes), book.item[rows], book.quantity[rows]
    is_asset = item < len(assets.price)
    p, i, q = pool[~is_asset], item[~is_asset], quantity[~is_asset]
    entry = book.entry_price[rows][~is_asset]
    future = items.futures_like[i]

    # Unsettled P&L, option values, gains by tier, funding.
    fp, fi = p[future], i[future]
    pnl = q[future] * items.scale[fi] * (items.mark[fi] - entry[future])
    settle = items.settle[fi]
    value = q * items.unit_value[i]
    gains = np.bincount(
        fp * 3 + items.tier[fi], pnl * assets.price[settle], minlength=3 * n
    ).reshape(n, 3)
    gains = np.maximum(gains, 0.0)
    delta = q * items.delta[i]
    funding = np.where(q * items.funding[i] > 0.0, np.abs(items.funding[i] * delta), 0.0)
    long_options = np.bincount(p, np.where(q > 0.0, value, 0.0), n)
    owes = np.bincount(p, future | (q < 0.0), n) > 0.0

    # Net balances: what is held, and P&L in the asset it settles in.
    width = len(assets.price)
    key = np.concatenate([pool[is_asset] * width + item[is_asset], fp * width + settle])
    groups = grouped(key)
    net = groups.sum(np.concatenate([quantity[is_asset], pnl]))
    bp, a = np.divmod(groups.key, width)
    worth = net * assets.price[a]
    equity = np.bincount(bp, worth, n) + np.bincount(p, value, n)
    held, debt = np.maximum(worth, 0.0), np.maximum(-worth, 0.0)
    owes |= np.bincount(bp, debt, n) > 0.0
    counted = stepped(held, given.edge[a], given.keep_mm[a]) * (1.0 - assets.market_mm[a])
    counted_im = stepped(held, given.edge[a], given.keep_im[a]) * (1.0 - assets.market_im[a])
    lost = np.bincount(bp, held - counted + debt * assets.surcharge_mm[a], n)
    lost_im = np.bincount(bp, held - counted_im + debt * assets.surcharge_im[a], n)
    balance_mm = equity - lost - long_options - gains @ (1.0 - assets.gain_mm)
    balance_im = equity - lost_im - long_options - gains @ (1.0 - assets.gain_im)

    # Price uncertainty on the net exposure to each factor.
    quote = items.quote_exposed[i]
    ep = np.concatenate([bp, p, p[quote]])
    ea = np.concatenate([a, slots.underlying[i], items.settle[i[quote]]])
    exposure = np.concatenate([worth, delta, value[quote]]) * given.exponent[ea]
    exposed = given.factor[ea] >= 0
    n_factors = len(assets.down)
    groups = grouped((ep * n_factors + given.factor[ea])[exposed])
    ep, k = np.divmod(groups.key, n_factors)
    x = groups.sum(exposure[exposed])
    uncertain = np.bincount(ep, np.maximum(x * assets.down[k], -x * assets.up[k]), n)
    balance_im -= np.where(owes, uncertain, 0.0)

    mm, im = requirement(given.market, n, p, i, q, delta)
    im += np.bincount(p, funding, n)
    mm[~owes] = im[~owes] = 0.0
    im = np.maximum(mm, im)
    return Answer(
        equity, np.bincount(bp, counted, n), balance_mm, balance_im, mm, im, balance_mm - mm,
        balance_im - im,
    )  # fmt: skip


def requirement(
    market: Market, n: int, p: np.ndarray, i: np.ndarray, q: np.ndarray, delta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return requirements at MM and IM of n pools, from their positions."""
    items, slots = market.items, market.slots
    floor, minimum_mm, minimum_im, fee, initial = slots.rates
    width = len(slots.hedged_rate)
    groups = grouped(p * width + items.slot[i])
    up, u = np.divmod(groups.key, width)
    option = ~items.futures_like[i]
    spare = option & (q > 0.0)  # long options only ever reduce
    net = groups.sum(np.where(spare, 0.0, delta))
    gross = groups.sum(np.where(spare, 0.0, np.abs(delta)))
    low = net + groups.sum(np.where(spare, np.minimum(delta, 0.0), 0.0))
    high = net + groups.sum(np.where(spare, np.maximum(delta, 0.0), 0.0))
    short = groups.sum(np.where(option & (q < 0.0), -q * items.short_unit[i], 0.0))
    used = np.where(low > 0.0, low, np.where(high < 0.0, high, 0.0))
    gross += np.abs(used - net)
    charge = stepped(np.abs(used), slots.tier_edge[u], slots.tier_rate[u])
    margin = np.where(used >= 0.0, charge, -charge)

    square = np.bincount(up, margin * margin, n)
    total = np.bincount(up, margin, n)
    pairs = np.zeros(n)
    lag = 1
    while lag < len(up) and (same := np.flatnonzero(up[lag:] == up[:-lag])).size:
        other = same + lag
        rho = slots.rho[slots.group[u[same]], slots.group[u[other]]]
        pairs += np.bincount(up[same], margin[same] * rho * margin[other], n)
        lag += 1
    form = square + 2.0 * pairs
    worst = np.maximum(form, np.maximum(0.5 * (form + total * total), 0.5 * (form + square)))
    core = np.maximum(np.sqrt(np.maximum(worst, 0.0)), floor * np.bincount(up, charge, n))

    hedged = np.bincount(up, 0.5 * (gross - np.abs(used)) * slots.hedged_rate[u], n)
    least_mm = np.bincount(up, np.maximum(0.0, short * minimum_mm - charge), n)
    least_im = np.bincount(up, np.maximum(0.0, short * minimum_im - initial * charge), n)
    fees = np.bincount(p, np.abs(delta) * fee, n)
    return core + hedged + least_mm + fees, initial * (core + hedged + fees) + least_im


def grouped(key: np.ndarray) -> Groups:
    """Bring rows of equal key together."""
    order = np.argsort(key)
    ordered = key[order]
    new = np.ones(len(key), np.bool_)
    new[1:] = ordered[1:] != ordered[:-1]
    first = np.flatnonzero(new)
    return Groups(order, first, ordered[first])


def stepped(size: np.ndarray, edge: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Return the sum over marginal steps of rate x the part of size in it; edge, rate (n, T)."""
    total = size * rate[:, 0]
    for j in range(1, edge.shape[1]):
        total += np.maximum(size - edge[:, j - 1], 0.0) * (rate[:, j] - rate[:, j - 1])
    return total
