"""One account alone in a small market: where questions are asked.

In     a BookFrame of one account; a Market.
Out    the account alone; a market that holds only what it needs.
Owns   names of items, factors and pools as users type them; how a market is cut down.
Never  knows which method answers; changes the book it was given.
Signs  as BookFrame.
Spec   docs/spec/07-inquiry.md
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crossmargin.base.errors import InputInvalid
from crossmargin.frames.book import BookFrame
from crossmargin.frames.market import restrict
from crossmargin.margin.prepared import Market
from crossmargin.methods.registry import select_accounts


@dataclass(frozen=True, slots=True)
class Desk:
    """One account and the small market it lives in; `pool` is the row asked about.

    whole  the market it was cut from: betas to BTC need BTC, held or not
    """

    book: BookFrame
    market: Market
    pool: int
    whole: Market


def desk_for(book: BookFrame, market: Market, account: int, pool: str, *extra: str) -> Desk:
    """Return an account alone, with the market cut down to what it holds and `extra` items."""
    own = select_accounts(book, np.array([account]))
    names = list(own.pool_names)
    if pool not in names:
        raise InputInvalid(
            "pool", pool, f"must be one of {', '.join(names)}", "name a pool of the account"
        )
    small, lean = cut_down(own, market, *extra)
    return Desk(small, lean, names.index(pool), market)


def item_row(market: Market, name: str) -> int:
    """Return the row of an asset or instrument by name, or refuse."""
    names = market.frame.item_names
    if name not in names:
        raise InputInvalid("item", name, "must be an asset or instrument of the market", "check it")
    return names.index(name)


def factor_row(market: Market, name: str) -> int:
    """Return the row of a factor; "BTC" means "BTC/USD" where that is one."""
    names = market.frame.factors.names
    for guess in (name, f"{name}/{market.frame.numeraire}"):
        if guess in names:
            return names.index(guess)
    raise InputInvalid("factor", name, f"must be one of {', '.join(names)}", "name a factor")


def cut_down(book: BookFrame, market: Market, *extra: str) -> tuple[BookFrame, Market]:
    """Return the book over a market of only the items it needs: small, so quick to move."""
    frame = market.frame
    n, table = frame.n_assets, frame.instruments
    more = np.array([item_row(market, name) for name in extra], dtype=np.int64)
    used = np.unique(np.concatenate([book.item, book.order_item, more]).astype(np.int64))
    instruments = used[used >= n] - n
    needed = [used[used < n]]
    needed += [column[instruments].astype(np.int64) for column in
               (table.underlying, table.quote, table.settle)]  # fmt: skip
    assets = np.unique(np.concatenate(needed))
    small = restrict(frame, assets, instruments)
    place = np.full(frame.n_items, -1, np.int32)
    place[assets] = np.arange(len(assets))
    place[instruments + n] = len(assets) + np.arange(len(instruments))
    joint = market.joint
    if joint is not None:
        columns = [frame.factors.names.index(name) for name in small.factors.names]
        joint = replace(
            joint,
            factor_moves=np.ascontiguousarray(joint.factor_moves[:, columns]),
            vol_moves=np.ascontiguousarray(joint.vol_moves[:, columns]),
            flagged=joint.flagged[:, columns],
        )
    edited = replace(book, item=place[book.item], order_item=place[book.order_item])
    return edited, Market(small, market.rulebook, joint, 1)
