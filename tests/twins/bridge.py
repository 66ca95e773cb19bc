"""Between the engine's columns and the twin's plain values, both ways.

`frames_of` gives the engine what `strategies` drew; `plain_market` and `plain_accounts` give the
twin what stands in frames, so that any market and book can be put before both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossmargin.domain.instruments import KindCode, PayoffCode
from crossmargin.domain.rulebook import Rulebook
from crossmargin.frames.book import BookFrame
from crossmargin.frames.market import AssetTable, FactorTable, InstrumentTable, MarketFrame
from crossmargin.margin.joint import JointRows
from crossmargin.reference.plain import (
    Holding,
    JointRow,
    PlainAccount,
    PlainAsset,
    PlainFactor,
    PlainInstrument,
    PlainMarket,
    PlainOrder,
    PlainPool,
)

STYLES = ("premium", "futures")


# --- plain -> frames ------------------------------------------------------------------------------


def market_frame(plain: PlainMarket) -> MarketFrame:
    """The market as columns, in the order of the plain mappings."""
    factors, assets = list(plain.factors.values()), list(plain.assets.values())
    row_of = {name: i for i, name in enumerate(plain.factors)}
    sizes = [len(a.loads) for a in assets]
    table = FactorTable(
        names=tuple(plain.factors),
        kinds=tuple(f.kind for f in factors),
        classes=tuple(f.risk_class for f in factors),
        level=floats(f.level for f in factors),
        status=np.array([f.status for f in factors], np.int8),
        half_width=floats(f.half_width for f in factors),
        stable_price=floats(f.stable_price for f in factors),
        age_s=floats(f.age_s for f in factors),
        sigma_daily=floats(f.sigma_daily for f in factors),
    )
    asset_table = AssetTable(
        names=tuple(plain.assets),
        asset_classes=tuple(a.asset_class for a in assets),
        decimals=np.full(len(assets), 8, np.int64),
        scale=floats(a.scale for a in assets),
        load_starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        load_factor=np.array([row_of[f] for a in assets for f, _ in a.loads], np.int32),
        load_exponent=floats(e for a in assets for _, e in a.loads),
        adv=floats(a.adv for a in assets),
        half_spread=floats(a.half_spread for a in assets),
        venue_total=floats(a.venue_total for a in assets),
    )
    return MarketFrame(
        at_ns=plain.at_ns,
        numeraire=plain.numeraire,
        source="generated for tests",
        factors=table,
        assets=asset_table,
        instruments=instrument_table(plain),
    )


def instrument_table(plain: PlainMarket) -> InstrumentTable:
    rows = list(plain.instruments.values())
    asset_row = {name: i for i, name in enumerate(plain.assets)}
    return InstrumentTable(
        names=tuple(plain.instruments),
        kind=np.array([KindCode[r.kind.upper()] for r in rows], np.int8),
        payoff=np.array([PayoffCode[r.payoff.upper()] for r in rows], np.int8),
        style=np.array([STYLES.index(r.style) for r in rows], np.int8),
        underlying=np.array([asset_row[r.underlying] for r in rows], np.int32),
        quote=np.array([asset_row[r.quote] for r in rows], np.int32),
        settle=np.array([asset_row[r.settle] for r in rows], np.int32),
        contract_size=floats(r.contract_size for r in rows),
        quanto_rate=floats(r.quanto_rate for r in rows),
        expiry_ns=np.array([r.expiry_ns for r in rows], np.int64),
        strike=floats(r.strike for r in rows),
        forward=floats(r.forward for r in rows),
        iv=floats(r.iv for r in rows),
        rate=floats(r.rate for r in rows),
        status=np.array([r.status for r in rows], np.int8),
        averaged=floats(r.averaged for r in rows),
        averaged_share=floats(r.averaged_share for r in rows),
        funding_rate=floats(r.funding_rate for r in rows),
        funding_cap=floats(r.funding_cap for r in rows),
        adv=floats(r.adv for r in rows),
        half_spread=floats(r.half_spread for r in rows),
    )


def joint_frame(plain: PlainMarket) -> JointRows | None:
    """The joint rows as columns; None where the market has none."""
    rows = plain.joint
    if not rows:
        return None
    names = tuple(plain.factors)
    return JointRows(
        names=tuple(r.name for r in rows),
        factor_moves=np.array([[r.moves.get(f, 0.0) for f in names] for r in rows]),
        vol_moves=np.array([[r.vol.get(f, 0.0) for f in names] for r in rows]),
        probability=floats(r.probability for r in rows),
        flagged=np.zeros((len(rows), len(names)), np.bool_),
        refused=(),
        asked=len(rows),
    )


def book_frame(plain: PlainMarket, accounts: Sequence[PlainAccount]) -> BookFrame:
    """Every pool of every account, the shared pool first."""
    item_row = {name: i for i, name in enumerate((*plain.assets, *plain.instruments))}
    pools = [p for a in accounts for p in a.pools]
    methods = tuple(sorted({p.method for p in pools}))
    held = [r for p in pools for r in sorted(p.holdings, key=lambda r: item_row[r.item])]
    orders = [o for p in pools for o in p.orders]
    return BookFrame(
        account_names=[a.account for a in accounts],
        pool_names=[p.pool for p in pools],
        account_starts=starts(len(a.pools) for a in accounts),
        method=np.array([methods.index(p.method) for p in pools], np.int8),
        method_names=methods,
        draw_limit=floats(p.draw_limit for p in pools),
        drawn=floats(p.drawn for p in pools),
        last_draw=floats(p.last_draw for p in pools),
        set_aside=np.array([p.set_aside for p in pools], np.bool_),
        pool_starts=starts(len(p.holdings) for p in pools),
        item=np.array([item_row[r.item] for r in held], np.int32),
        quantity=floats(r.quantity for r in held),
        entry_price=floats(r.entry_price for r in held),
        order_starts=starts(len(p.orders) for p in pools),
        order_item=np.array([item_row[o.instrument] for o in orders], np.int32),
        order_quantity=floats(o.quantity for o in orders),
        order_limit=floats(o.limit_price for o in orders),
        order_reduce_only=np.array([o.reduce_only for o in orders], np.bool_),
        exact=False,
    )


def floats(values: object) -> np.ndarray:
    return np.array(list(values), np.float64)  # type: ignore[call-overload]


def starts(sizes: object) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(list(sizes))]).astype(np.int64)  # type: ignore[call-overload]


# --- frames -> plain ------------------------------------------------------------------------------


def plain_market(
    frame: MarketFrame, rulebook: Rulebook, joint: JointRows | None = None
) -> PlainMarket:
    """The twin's market from the engine's columns."""
    f, a, t = frame.factors, frame.assets, frame.instruments
    factors = {
        name: PlainFactor(
            name, f.kinds[i], f.classes[i], float(f.level[i]), int(f.status[i]),
            float(f.half_width[i]), float(f.stable_price[i]), float(f.age_s[i]),
            float(f.sigma_daily[i]),
        )
        for i, name in enumerate(f.names)
    }  # fmt: skip
    assets = {}
    for i, name in enumerate(a.names):
        rows = range(int(a.load_starts[i]), int(a.load_starts[i + 1]))
        loads = tuple((f.names[a.load_factor[r]], float(a.load_exponent[r])) for r in rows)
        assets[name] = PlainAsset(
            name, a.asset_classes[i], loads, float(a.scale[i]), float(a.adv[i]),
            float(a.half_spread[i]), float(a.venue_total[i]),
        )  # fmt: skip
    instruments = {}
    for j, name in enumerate(t.names):
        instruments[name] = PlainInstrument(
            name, KindCode(int(t.kind[j])).name.lower(), PayoffCode(int(t.payoff[j])).name.lower(),
            STYLES[int(t.style[j])], a.names[t.underlying[j]], a.names[t.quote[j]],
            a.names[t.settle[j]], float(t.contract_size[j]), float(t.forward[j]),
            float(t.quanto_rate[j]), int(t.expiry_ns[j]), float(t.strike[j]), float(t.iv[j]),
            float(t.rate[j]), int(t.status[j]), float(t.averaged[j]), float(t.averaged_share[j]),
            float(t.funding_rate[j]), float(t.funding_cap[j]), float(t.adv[j]),
            float(t.half_spread[j]),
        )  # fmt: skip
    rows_of_joint = tuple(
        JointRow(
            name,
            float(joint.probability[s]),
            dict(zip(f.names, map(float, joint.factor_moves[s]), strict=True)),
            dict(zip(f.names, map(float, joint.vol_moves[s]), strict=True)),
        )
        for s, name in enumerate(joint.names if joint is not None else ())
    )
    return PlainMarket(
        frame.at_ns, frame.numeraire, factors, assets, instruments, rulebook, rows_of_joint
    )


def plain_accounts(frame: MarketFrame, book: BookFrame) -> list[PlainAccount]:
    """The twin's accounts from the engine's book."""
    names = frame.item_names
    accounts = []
    for c in range(book.n_accounts):
        pools = []
        for p in range(int(book.account_starts[c]), int(book.account_starts[c + 1])):
            held = range(int(book.pool_starts[p]), int(book.pool_starts[p + 1]))
            orders = range(int(book.order_starts[p]), int(book.order_starts[p + 1]))
            pools.append(
                PlainPool(
                    book.pool_names[p],
                    book.method_names[int(book.method[p])],
                    tuple(
                        Holding(
                            names[book.item[r]], float(book.quantity[r]), float(book.entry_price[r])
                        )
                        for r in held
                    ),
                    tuple(
                        PlainOrder(
                            names[book.order_item[r]],
                            float(book.order_quantity[r]),
                            float(book.order_limit[r]),
                            bool(book.order_reduce_only[r]),
                        )
                        for r in orders
                    ),
                    float(book.draw_limit[p]),
                    float(book.drawn[p]),
                    float(book.last_draw[p]),
                    bool(book.set_aside[p]),
                )
            )
        accounts.append(PlainAccount(book.account_names[c], tuple(pools)))
    return accounts
