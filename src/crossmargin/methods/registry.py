"""Which methods there are, and one answer for a book whose pools use several.

In     BookFrame, Market.
Out    RequirementFrame, one row a pool, with open orders and draws settled.
Owns   the table of methods; the order: own requirement, open orders, draws.
Never  holds a rule of a method; lets one pool's failure touch another row.
Signs  as RequirementFrame.
Spec   docs/spec/01-what-exists.md 1.1, docs/spec/05-requirement.md 5.6; choices C34, C36, C46
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crossmargin.base.arrays import F64, I64
from crossmargin.base.errors import InputInvalid
from crossmargin.frames.book import BookFrame, select_pools
from crossmargin.kernels.draws import grant_draws
from crossmargin.margin.collateral import owners_if
from crossmargin.margin.prepared import Market, holdings_of, owners_of
from crossmargin.margin.requirement import PARTS, RequirementFrame, empty_frame, put, take
from crossmargin.methods.cross import CROSS_CORRELATED, CROSS_SUM
from crossmargin.methods.isolated import ISOLATED
from crossmargin.methods.method import Ask, Method
from crossmargin.methods.orders import order_books
from crossmargin.methods.portfolio import PORTFOLIO

METHODS: dict[str, Method] = {m.name: m for m in (ISOLATED, CROSS_SUM, CROSS_CORRELATED, PORTFOLIO)}
DEFAULT_METHOD = CROSS_CORRELATED.name


def method_named(name: str) -> Method:
    """Return a method, or refuse with the names there are."""
    if name not in METHODS:
        raise InputInvalid("method", name, f"must be one of {', '.join(METHODS)}", "name a method")
    return METHODS[name]


def assess(
    book: BookFrame, market: Market, threads: int | None = None, parts: bool = False
) -> RequirementFrame:
    """Return the requirement, balances and verdict of every pool, each by its own method.

    threads  at most so many at once, None: as many as there are CPUs; the bits do not depend on it
    parts    also fill parts_mm and parts_im: twice len(PARTS) columns more
    """
    ask = Ask(threads, parts, book.account_of_pool(), owners_of(book, market))
    frame = _by_method(book, market, ask)
    if len(book.order_item):
        _settle_orders(frame, book, market, ask)
    if book.n_accounts < book.n_pools:
        _settle_draws(frame, book)
    aside = np.flatnonzero(book.set_aside)
    if len(aside):
        put(frame, aside, empty_frame(len(aside), parts))
    return frame


def _by_method(book: BookFrame, market: Market, ask: Ask) -> RequirementFrame:
    # A million pools of one method are the common case: no need to sort their codes.
    one = book.n_pools > 0 and bool(book.method.min() == book.method.max())
    used = book.method[:1] if one else np.unique(book.method)
    if len(used) == 1:
        return method_named(book.method_names[used[0]]).assess(book, market, ask)
    frame = empty_frame(book.n_pools, ask.parts)
    for code in used:
        picked = np.flatnonzero(book.method == code)
        part = method_named(book.method_names[code]).assess(
            select_pools(book, picked), market, replace(ask, account=ask.account[picked])
        )
        put(frame, picked, part)
    return frame


def _settle_orders(frame: RequirementFrame, book: BookFrame, market: Market, ask: Ask) -> None:
    """Charge at IM what the worst of the three order books takes off the buffer (spec 5.6)."""
    picked = np.flatnonzero(np.diff(book.order_starts))
    part = select_pools(book, picked)
    there = replace(ask, account=ask.account[picked], parts=False)
    own = frame.buffer_im[picked]
    lowest = own
    for filled in order_books(part, market):
        if len(ask.owners.asset):
            there = _owning(part, filled, market, ask, picked)
        lowest = np.minimum(lowest, _by_method(filled, market, there).buffer_im)
    reserve = own - lowest
    frame.im[picked] += reserve
    if ask.parts:
        frame.parts_im[PARTS.index("open_orders"), picked] = reserve


def _owning(part: BookFrame, filled: BookFrame, market: Market, ask: Ask, picked: I64) -> Ask:
    """Return the ask with owners' totals as they would be with these orders filled (C57)."""
    account = ask.account[picked]
    pools = (holdings_of(part, account), holdings_of(filled, account))
    owners = owners_if(market.collateral, market.items, pools, account, ask.owners)
    return replace(ask, account=np.arange(len(picked)), owners=owners, parts=False)


def _settle_draws(frame: RequirementFrame, book: BookFrame) -> None:
    """Grant draws at both levels and lay them over the frame (spec 1.1, choice C34)."""
    remaining = np.maximum(0.0, book.draw_limit - book.drawn)  # a limit may be lowered
    aside = np.where(book.set_aside, np.nan, 0.0)
    shared = book.account_starts[:-1]
    draws = PARTS.index("draws")
    for level in ("mm", "im"):
        balance = getattr(frame, f"margin_balance_{level}") + aside
        wanted, granted = np.zeros(book.n_pools), np.zeros(book.n_pools)
        grant_draws(
            book.account_starts, balance, getattr(frame, level), remaining, book.last_draw,
            level == "mm", wanted, granted,
        )  # fmt: skip
        own = getattr(frame, f"draw_{level}")
        own[:] = granted
        own[shared] = 0.0
        requirement, room = getattr(frame, level), balance[shared]
        before = requirement[shared]
        after = before + granted[shared]
        # Reserving the whole free buffer leaves 0, not the rounding of a sum (C58).
        after = np.where(before <= room, np.minimum(after, room), after)
        requirement[shared] = after
        if len(getattr(frame, f"parts_{level}")):
            getattr(frame, f"parts_{level}")[draws, shared] = after - before
        if level == "im":
            frame.draw_wanted_im[:] = wanted
    _bankrupt_with_draws(frame, book, remaining, shared)


def _bankrupt_with_draws(
    frame: RequirementFrame, book: BookFrame, remaining: F64, shared: I64
) -> None:
    """A bucket is bankrupt when the shared pool cannot fill its hole (spec 1.1, choice C46)."""
    known = np.isfinite(frame.equity[shared]) & ~book.set_aside[shared]
    cover = np.where(known, np.maximum(0.0, frame.equity[shared]), np.inf)
    reach = np.minimum(remaining, np.repeat(cover, np.diff(book.account_starts)))
    reach[shared] = 0.0
    frame.bankrupt_short[:] = frame.equity + reach


def assess_pools(
    book: BookFrame, market: Market, picked: I64, threads: int | None = 1
) -> RequirementFrame:
    """Return rows with parts for a few pools, whole accounts assessed so that draws are right."""
    account = np.unique(book.account_of_pool()[picked])
    rows = np.concatenate(
        [np.arange(book.account_starts[c], book.account_starts[c + 1]) for c in account]
    )
    part = select_accounts(book, account)
    return take(assess(part, market, threads, parts=True), np.searchsorted(rows, picked))


def select_accounts(book: BookFrame, account: I64) -> BookFrame:
    """Return a book of these whole accounts, pools and draw order kept."""
    rows = np.concatenate(
        [np.arange(book.account_starts[c], book.account_starts[c + 1]) for c in account]
        or [np.zeros(0, np.int64)]
    ).astype(np.int64)
    sizes = book.account_starts[account + 1] - book.account_starts[account]
    return replace(
        select_pools(book, rows),
        account_names=[book.account_names[int(c)] for c in account],
        account_starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
    )
