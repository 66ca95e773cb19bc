"""What must hold afterwards: balances, cash, loans, and margin of every touched pool at once.

In     workspaces whose events have happened in their forks; the book before; a setting.
Out    for each workspace None, or why it is refused.
Owns   spec 10.15 and 10.16: the rules of the final state, margin of many commands in one batch.
Never  changes a book; lets one command's answer touch another's.
Signs  buffers signed, numeraire; facts in the asset's unit or 10^-6 numeraire.
Spec   docs/spec/10-ledger.md
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from crossmargin.base.arrays import F64
from crossmargin.base.fixed import scale_down
from crossmargin.domain.book import MONEY_DECIMALS, AccountState, Book, LendingState
from crossmargin.engine.market import Setting
from crossmargin.engine.replies import Rejected, Rejection, first_of
from crossmargin.engine.workspace import Workspace
from crossmargin.frames.book import BookFrame
from crossmargin.frames.compile import to_smallest_units
from crossmargin.frames.ledgered import book_frame
from crossmargin.inquiry.amounts import new_risk_buffer
from crossmargin.ledger import exactly


class Pressure:
    """What earlier commands of a wave may do to an asset's totals, at worst: for those after."""

    def __init__(self) -> None:
        """Start with none."""
        self.debt: dict[str, int] = {}
        self.supplied: dict[str, int] = {}

    def add(self, work: Workspace, base: Book) -> None:
        """Count a workspace's rise of debt and fall of supply."""
        for asset, after in work.book.lending.items():
            before = base.lent(asset)
            if after.debt > before.debt:
                self.debt[asset] = self.debt.get(asset, 0) + after.debt - before.debt
            if after.supplied < before.supplied:
                fall = before.supplied - after.supplied
                self.supplied[asset] = self.supplied.get(asset, 0) + fall

    def on(self, asset: str) -> tuple[int, int]:
        """Return (more debt, less supply) that earlier commands may have made."""
        return self.debt.get(asset, 0), self.supplied.get(asset, 0)


def refuse_balances(work: Workspace) -> Rejected | None:
    """Return the first balance that ends below zero where it must not."""
    for (account, pool, asset), (asked, free) in work.balances.items():
        if work.book.balance(account, pool, asset) < 0:
            return Rejected(Rejection.BALANCE_SHORT, asked, free, f"{account}/{pool}/{asset}")
    return None


def refuse_totals(work: Workspace, base: Book, pressure: Pressure) -> Rejected | None:
    """Return the first rule of cash or lending that the totals afterwards break."""
    for asset, asked in work.cash.items():
        more, less = pressure.on(asset)
        after, before = work.book.lent(asset), base.lent(asset)
        if after.supplied - less < after.debt + more:
            free = max(0, before.supplied - before.debt)
            return Rejected(Rejection.CASH_SHORT, asked, free, asset)
    return _refuse_loans(work, base, pressure) if work.borrows else None


def _refuse_loans(work: Workspace, base: Book, pressure: Pressure) -> Rejected | None:
    """Return the refusal of the first reason, of all assets whose debt rises."""
    found: Rejected | None = None
    for asset, asked in work.borrows.items():
        more, less = pressure.on(asset)
        after, before = work.book.lent(asset), base.lent(asset)
        if after.debt <= before.debt:
            continue
        whole = LendingState(after.debt + more, after.supplied - less)
        reason = _refuse_loan(whole, asset, work.setting)
        if reason is not None:
            free = _cap_units(asset, work.setting) - before.debt
            is_cap = reason == Rejection.BORROW_CAP
            refused = Rejected(reason, asked, max(0, free) if is_cap else None, asset)
            found = first_of(found, refused)
    return found


def _cap_units(asset: str, setting: Setting) -> int:
    terms = setting.rules.lending.get(asset) if setting.rules is not None else None
    cap = exactly.ratio(repr(terms.cap)) if terms is not None else (0, 1)
    assert cap is not None
    return scale_down(cap[0], 10 ** setting.decimals[asset], cap[1])


def _refuse_loan(after: LendingState, asset: str, setting: Setting) -> Rejection | None:
    rules = setting.rules
    terms = rules.lending.get(asset) if rules is not None else None
    if terms is None:
        return Rejection.BORROW_NOT_OFFERED
    most = exactly.ratio(repr(terms.utilisation_max))
    assert most is not None
    if after.debt > _cap_units(asset, setting):
        return Rejection.BORROW_CAP
    if after.debt * most[1] > most[0] * after.supplied:
        return Rejection.UTILISATION
    return None


# --- margin ---------------------------------------------------------------------------------------


Judged = tuple[int, str, str, bool]
"""One pool to judge: which workspace asked, account, pool, whether strictly."""


def refuse_margins(works: Sequence[Workspace], base: Book) -> list[Rejected | None]:
    """Return for each workspace why its pools are short, all of them margined in one batch."""
    answers: list[Rejected | None] = [None] * len(works)
    rows: list[Judged] = [
        (w, account, pool, strict)
        for w, work in enumerate(works)
        for (account, pool), strict in work.margins.items()
    ]
    if not rows:
        return answers
    setting = works[0].setting
    after = _buffers(
        [(account, pool, works[w].book) for w, account, pool, _ in rows], base, setting
    )
    short = np.flatnonzero(~(after >= 0.0)).tolist()
    if not short:
        return answers
    before = _buffers([(*rows[n][1:3], base) for n in short], base, setting)
    told: dict[int, tuple[Judged, float, float]] = {}
    for was, n in zip(before.tolist(), short, strict=True):
        row, now = rows[n], float(after[n])
        w, _, _, strict = row
        if not strict and now >= was:
            continue
        # Of a workspace's pools the first that is unpriced is told, else the first that is short.
        if w not in told or (math.isfinite(told[w][2]) and not math.isfinite(now)):
            told[w] = (row, was, now)
    for w, (row, was, now) in told.items():
        answers[w] = _refusal(row, was, now)
    return answers


Asked = tuple[str, str, Book]


def _buffers(asked: Sequence[Asked], base: Book, setting: Setting) -> F64:
    """Return the new-risk buffer of each asked pool; NaN where it cannot be known.

    Asks of one book stand together: each of its accounts is margined once.
    """
    if setting.market is None or setting.items is None:
        return np.full(len(asked), np.nan)
    accounts: list[tuple[str, AccountState]] = []
    places: list[int] = []
    owner: Book | None = None
    seen: dict[str, int] = {}
    for account, pool, book in asked:
        if book is not owner:
            owner, seen = book, {}
        place = seen.get(account, -1)
        if place < 0:
            found = book.find(account)
            if found is None:
                places.append(-1)
                continue
            place = seen[account] = len(accounts)
            accounts.append((account, found))
        # A pool that was opened since stood nowhere before: not where the shared pool stood.
        places.append(place if pool in accounts[place][1].pools else -1)
    if not accounts:
        return np.full(len(asked), np.nan)
    frame = book_frame(accounts, base, setting.items)
    buffers = new_risk_buffer(frame, setting.market)
    if frame.n_pools > frame.n_accounts:
        pools = [pool for _, pool, _ in asked]
        places = [
            place if place < 0 else margin_row(frame, place, pool)
            for place, pool in zip(places, pools, strict=True)
        ]
    rows = np.array(places)
    return np.where(rows >= 0, buffers[rows], np.nan)


def margin_row(frame: BookFrame, account: int, pool: str) -> int:
    """Return a pool's row; a bucket that merges is its shared pool."""
    first = int(frame.account_starts[account])
    for row in range(first, int(frame.account_starts[account + 1])):
        if frame.pool_names[row] == pool:
            return row
    return first


def _refusal(row: Judged, was: float, now: float) -> Rejected:
    _, account, pool, _ = row
    where = f"{account}/{pool}"
    if not math.isfinite(now):
        return Rejected(Rejection.POOL_UNPRICED, None, None, where)
    if not math.isfinite(was):
        return Rejected(Rejection.MARGIN_SHORT, None, None, where)
    asked = to_smallest_units(was - now, MONEY_DECIMALS, round_down=False)
    free = to_smallest_units(was, MONEY_DECIMALS, round_down=True)
    return Rejected(Rejection.MARGIN_SHORT, asked, free, where)
