"""Net one pool: balances with unsettled P&L, equity, haircuts, gains, price uncertainty.

In     holdings of a pool as rows of item, quantity, entry price; terms of items and assets.
Out    a tally (fixed places, `T_*`) and the list of touched assets with their net balances.
Owns   the netting of spec 2.1 to 3.6: what settles where, what counts, at both levels.
Never  nets across pools; decides what a pool may do; prices an option.
Signs  balances and P&L signed (+ owned, + gain); haircut losses and charges >= 0, numeraire.
Spec   docs/spec/02-valuation.md, docs/spec/03-collateral.md

Everything here is scalar work on one pool, called by the pool kernels of `cross` and `scans`.
A tally whose `T_UNPRICED` is 1 carries no other number that may be used.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crossmargin.base.arrays import B1, F64, I8, I32, I64
from crossmargin.kernels.brackets import counted_between
from crossmargin.kernels.compiled import borrowing, compiled, index

# Places of a pool's tally.
T_UNPRICED, T_EQUITY, T_COUNTED, T_HAIRCUT_MM, T_HAIRCUT_IM = 0, 1, 2, 3, 4
T_SURCHARGE_MM, T_SURCHARGE_IM, T_LONG_OPTIONS, T_GAINS_MM, T_GAINS_IM = 5, 6, 7, 8, 9
T_UNCERTAINTY, T_OWES, T_FEE, T_FUNDING, T_MARKET_MM = 10, 11, 12, 13, 14
N_TALLY = 15
N_TIERS = 3  # gain tiers A, B, C in rulebook order

ASSET, SPOT, PERPETUAL, FUTURE, CALL, PUT = 0, 1, 2, 3, 4, 5


class Holdings(NamedTuple):
    """Rows of A pools: pool_starts (A + 1,); item, quantity, entry (H,); account (A,) row."""

    pool_starts: I64
    item: I32
    quantity: F64
    entry: F64
    account: I64


class Items(NamedTuple):
    """Terms of every item, (n_items,): assets first.

    kind        ASSET .. PUT; futures_like: unsettled P&L goes to `settle` (asset row)
    scale, mark, inverse   P&L per contract = scale (mark - entry), or scale (1/entry - 1/mark)
    unit_value  numeraire value of one premium-style option, 0 elsewhere
    delta       delta notional of one contract, numeraire, signed (choice C13)
    slot        underlying slot; tier the gain tier of the market; -1 on assets
    short_unit  S x contract size: what option minimums are fractions of
    isolated_mm, isolated_im   stand-alone charge of one short option contract
    quote_exposed  a premium-style option whose value also moves with its quote asset (C51)
    funding     funding cap if longs (+) or shorts (-) pay; both_pay: the rate is not known
    """

    kind: I8
    bad: B1
    futures_like: B1
    inverse: B1
    scale: F64
    mark: F64
    settle: I32
    unit_value: F64
    delta: F64
    slot: I32
    tier: I8
    short_unit: F64
    isolated_mm: F64
    isolated_im: F64
    funding: F64
    both_pay: B1
    quote_exposed: B1


class Assets(NamedTuple):
    """Terms of every asset, (N,), and what uncertainty its factors carry.

    edge_starts (N + 1,); edge, keep_mm, keep_im (E,)   marginal liquidity brackets: fraction kept
    market_mm, market_im       market part of the haircut (zeros for `portfolio`)
    surcharge_mm, surcharge_im whole charge on a debt, fraction; debt_market its market part at MM
    venue_total                what the venue holds in all; venue_starts (N + 1,), no rows where no
                               limit; venue_edge, venue_kept (V,) the venue's own brackets at IM
    owner_starts (C + 1,); owner_asset, owner_value   totals of owners with several pools (C8)
    load_starts (N + 1,); load_factor, load_exponent  factors of an asset
    down, up (K,)              fractions of price uncertainty; uncertain (1,) any of them > 0
    gain_mm, gain_im (N_TIERS,) weights of unsettled gains
    """

    price: F64
    bad: B1
    edge_starts: I64
    edge: F64
    keep_mm: F64
    keep_im: F64
    market_mm: F64
    market_im: F64
    surcharge_mm: F64
    surcharge_im: F64
    debt_market: F64
    venue_total: F64
    venue_starts: I64
    venue_edge: F64
    venue_kept: F64
    owner_starts: I64
    owner_asset: I32
    owner_value: F64
    load_starts: I64
    load_factor: I32
    load_exponent: F64
    down: F64
    up: F64
    uncertain: B1
    gain_mm: F64
    gain_im: F64


class Desk(NamedTuple):
    """Scratch of one thread: sized by the market, wiped by the lists of what was touched.

    place (N,) 1 + row of a touched asset in the lists, 0 untouched: the lists stay short and near
    touched, balance, counted (N,) lists: asset, net balance, counted quantity, in order of touch
    mtm (N_TIERS,); factor_place (K,), factors, exposure (K,) the same for factors
    counts (2,) how many assets and factors
    """

    place: I32
    touched: I32
    balance: F64
    counted: F64
    counts: I64
    mtm: F64
    factor_place: I32
    factors: I32
    exposure: F64
    tally: F64


@compiled
def desk(n_assets: int, n_factors: int) -> Desk:
    """Return fresh scratch for one thread."""
    return Desk(
        np.zeros(n_assets, np.int32), np.zeros(n_assets, np.int32), np.zeros(n_assets),
        np.zeros(n_assets), np.zeros(2, np.int64), np.zeros(N_TIERS),
        np.zeros(n_factors, np.int32), np.zeros(n_factors, np.int32), np.zeros(n_factors),
        np.zeros(N_TALLY),
    )  # fmt: skip


@compiled
def with_tally(desk: Desk, tally: F64) -> Desk:
    """Return the scratch with its tally elsewhere: at the front of a longer row."""
    return Desk(
        desk.place, desk.touched, desk.balance, desk.counted, desk.counts, desk.mtm,
        desk.factor_place, desk.factors, desk.exposure, tally,
    )  # fmt: skip


@borrowing
def unsettled(items: Items, i: int, quantity: float, entry: float) -> float:
    """Return the P&L of a position in coins of its settlement asset (spec 2.1)."""
    if items.inverse[i]:
        return quantity * items.scale[i] * (1.0 / entry - 1.0 / items.mark[i])
    return quantity * items.scale[i] * (items.mark[i] - entry)


@borrowing
def _touch(desk: Desk, asset: int, amount: float) -> None:
    if desk.place[asset] == 0:
        n = index(desk.counts[0])
        desk.touched[n] = asset
        desk.balance[n] = amount
        desk.counts[0] += 1
        desk.place[asset] = desk.counts[0]
        return
    desk.balance[index(desk.place[asset] - 1)] += amount


@borrowing
def _take_option(i: int, q: float, items: Items, desk: Desk) -> None:
    value = q * items.unit_value[i]
    desk.tally[T_EQUITY] += value
    desk.tally[T_LONG_OPTIONS] += value if q > 0.0 else 0.0
    desk.tally[T_OWES] = 1.0 if q < 0.0 else desk.tally[T_OWES]


@borrowing
def take_holdings(
    lo: int, hi: int, holdings: Holdings, items: Items, assets: Assets, desk: Desk
) -> None:
    """Sum rows [lo, hi) of one pool into net balances, option values and gains (spec 2.1-2.3).

    Rows of one instrument stand together; they are one position at several entry prices.
    """
    tally = desk.tally
    tally[:] = 0.0
    desk.mtm[:] = 0.0
    desk.counts[0] = 0
    funding = 0.0
    h = lo
    while h < hi:
        item = holdings.item[index(h)]
        i = index(item)
        q = pnl = 0.0
        held = False
        while h < hi and holdings.item[index(h)] == item:
            piece = holdings.quantity[index(h)]
            q += piece
            if piece != 0.0:
                held = True
                if items.futures_like[i]:
                    pnl += unsettled(items, i, piece, holdings.entry[index(h)])
            h += 1
        if not held:
            continue
        if items.kind[i] == ASSET:
            _touch(desk, i, q)
            continue
        if items.bad[i]:
            tally[T_UNPRICED] = 1.0
            continue
        if items.futures_like[i]:
            settle = index(items.settle[i])
            _touch(desk, settle, pnl)
            desk.mtm[index(items.tier[i])] += pnl * assets.price[settle]
            # Rows that cancel leave a settled gain or loss, not a position that could lose more.
            tally[T_OWES] = 1.0 if q != 0.0 else tally[T_OWES]
        else:
            _take_option(i, q, items, desk)
        paid = q * items.funding[i]
        pays = items.both_pay[i] | (paid > 0.0)
        cost = abs(paid * items.delta[i])
        funding += cost if pays else 0.0
    tally[T_FUNDING] = funding


@borrowing
def _owner_value(assets: Assets, account: int, asset: int, own: float) -> float:
    for at in range(assets.owner_starts[index(account)], assets.owner_starts[index(account + 1)]):
        j = index(at)
        if assets.owner_asset[j] == asset:
            return max(own, assets.owner_value[j])
    return own


@borrowing
def _take_held(value: float, j: int, account: int, assets: Assets, desk: Desk) -> None:
    tally = desk.tally
    a = index(desk.touched[j])
    first, last = assets.edge_starts[a], assets.edge_starts[index(desk.touched[j] + 1)]
    kept_mm = counted_between(value, first, last, assets.edge, assets.keep_mm)
    counted_mm = kept_mm * (1.0 - assets.market_mm[a])
    tally[T_COUNTED] += counted_mm
    tally[T_HAIRCUT_MM] += value - counted_mm
    tally[T_MARKET_MM] += value * assets.market_mm[a]
    desk.counted[j] = desk.balance[j] * (kept_mm / value)
    if assets.bad[a]:
        tally[T_HAIRCUT_IM] += value  # spec 2.5: counts zero at IM, last good price at MM
        return
    kept = counted_between(value, first, last, assets.edge, assets.keep_im) / value
    whole = _owner_value(assets, account, a, value)
    if whole > value:
        kept = min(kept, counted_between(whole, first, last, assets.edge, assets.keep_im) / whole)
    first, last = assets.venue_starts[a], assets.venue_starts[index(desk.touched[j] + 1)]
    if last > first:
        whole = max(value, assets.venue_total[a])  # spec 3.11: a total below v is taken as v
        kept = min(
            kept, counted_between(whole, first, last, assets.venue_edge, assets.venue_kept) / whole
        )
    tally[T_HAIRCUT_IM] += value - value * kept * (1.0 - assets.market_im[a])


@borrowing
def take_balance(j: int, account: int, assets: Assets, desk: Desk) -> None:
    """Value one net balance: equity, haircut loss or debt surcharge (spec 2.3, 3.1-3.6)."""
    tally = desk.tally
    a = index(desk.touched[j])
    balance = desk.balance[j]
    desk.place[a] = 0
    desk.counted[j] = balance
    if balance == 0.0:
        return
    value = balance * assets.price[a]
    if not np.isfinite(value) or (balance < 0.0 and assets.bad[a]):
        tally[T_UNPRICED] = 1.0
        return
    tally[T_EQUITY] += value
    if balance > 0.0:
        _take_held(value, j, account, assets, desk)
        return
    tally[T_OWES] = 1.0
    tally[T_SURCHARGE_MM] -= value * assets.surcharge_mm[a]
    tally[T_SURCHARGE_IM] -= value * assets.surcharge_im[a]
    tally[T_MARKET_MM] -= value * assets.debt_market[a]


@borrowing
def take_balances(account: int, assets: Assets, desk: Desk) -> None:
    """Value the net balances of a pool, then hold back part of unsettled gains (spec 3.4)."""
    tally = desk.tally
    for j in range(desk.counts[0]):
        take_balance(index(j), account, assets, desk)
    for t in range(N_TIERS):
        gain = max(0.0, desk.mtm[t])
        tally[T_GAINS_MM] += (1.0 - assets.gain_mm[t]) * gain
        tally[T_GAINS_IM] += (1.0 - assets.gain_im[t]) * gain


@compiled
def itemise(
    pool: int, holdings: Holdings, items: Items, assets: Assets, asset: I32, balance: F64,
    counted: F64, detail: F64,
) -> int:  # fmt: skip
    """List one pool's net balances for explain; return how many there are.

    asset, balance, counted (N,) and detail (N, N_TALLY) are filled from the front: asset row, net
    balance, counted quantity, and the tally of that balance alone.
    """
    own = desk(len(assets.price), len(assets.down))
    lo, hi = holdings.pool_starts[pool], holdings.pool_starts[pool + 1]
    take_holdings(lo, hi, holdings, items, assets, own)
    for j in range(own.counts[0]):
        own.tally[:] = 0.0
        take_balance(index(j), holdings.account[pool], assets, own)
        asset[j], balance[j], counted[j] = own.touched[j], own.balance[j], own.counted[j]
        detail[j] = own.tally
    return own.counts[0]


@borrowing
def _expose(desk: Desk, assets: Assets, a: int, value: float) -> None:
    for at in range(assets.load_starts[index(a)], assets.load_starts[index(a + 1)]):
        k = index(assets.load_factor[index(at)])
        if desk.factor_place[k] == 0:
            n = index(desk.counts[1])
            desk.factors[n] = k
            desk.exposure[n] = 0.0
            desk.counts[1] += 1
            desk.factor_place[k] = desk.counts[1]
        change = value * assets.load_exponent[index(at)]
        desk.exposure[index(desk.factor_place[k] - 1)] += change


@borrowing
def take_uncertainty(
    lo: int, hi: int, holdings: Holdings, items: Items, assets: Assets, desk: Desk,
    underlying: I32,
) -> None:  # fmt: skip
    """Charge price uncertainty at IM on the pool's net exposure to each factor (spec 8, C12).

    underlying  (n_items,) asset row of each instrument's underlying
    """
    desk.counts[1] = 0
    for at in range(desk.counts[0]):
        j = index(at)
        a = desk.touched[j]
        if desk.balance[j] < 0.0 or not assets.bad[index(a)]:
            _expose(desk, assets, a, desk.balance[j] * assets.price[index(a)])
    for h in range(lo, hi):
        i = index(holdings.item[index(h)])
        if items.kind[i] != ASSET:
            q = holdings.quantity[index(h)]
            _expose(desk, assets, underlying[i], q * items.delta[i])
            if items.quote_exposed[i]:
                _expose(desk, assets, items.settle[i], q * items.unit_value[i])
    total = 0.0
    for at in range(desk.counts[1]):
        j = index(at)
        k = index(desk.factors[j])
        x = desk.exposure[j]
        desk.factor_place[k] = 0
        total += max(0.0, max(x * assets.down[k], -x * assets.up[k]))
    desk.tally[T_UNCERTAINTY] = total
