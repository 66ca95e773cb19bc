"""The demo's market and book, under the shipped rulebooks: the twin reads the engine's own columns.

The other twin tests draw worlds of their own; here markets, surfaces, joint rows, brackets and
shapes of books are those a user meets, one account of every shape.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossmargin import api
from crossmargin.frames.book import with_method
from crossmargin.margin.prepared import Market
from crossmargin.methods.registry import assess, select_accounts
from strategies import METHODS
from twins.bridge import plain_accounts, plain_market
from twins.rows import frame_rows, twin_rows
from twins.test_margin_equals_its_twin import differences


@pytest.fixture(scope="module", params=["prime-24h", "exchange-4h"])
def market(request: pytest.FixtureRequest) -> Market:
    _, source = api.demo(seed=7, n_accounts=1)
    ready = api.prepare(source, request.param, threads=1)
    assert ready.joint is not None
    # A tenth of the past is enough to compare sums, and the twin walks it row by row.
    few = np.arange(0, len(ready.joint), 10)
    joint = replace(
        ready.joint,
        names=tuple(ready.joint.names[i] for i in few),
        factor_moves=ready.joint.factor_moves[few],
        vol_moves=ready.joint.vol_moves[few],
        probability=np.full(len(few), 1.0 / len(few)),
        flagged=ready.joint.flagged[few],
    )
    return replace(ready, joint=joint)


@pytest.mark.parametrize("method", [None, *METHODS])
def test_the_demo_book_is_judged_alike_by_engine_and_twin(
    market: Market, method: str | None
) -> None:
    tables, _ = api.demo(seed=7, n_accounts=26)
    book, _ = api.compile_account(tables, market)
    if method is not None:
        book = with_method(book, method)
    book = select_accounts(book, np.arange(book.n_accounts))
    rows = frame_rows(assess(book, market, threads=1, parts=True))
    plain = plain_market(market.frame, market.rulebook, market.joint)
    twins = twin_rows(plain, plain_accounts(market.frame, book))
    wrong = []
    for i, (row, twin) in enumerate(zip(rows, twins, strict=True)):
        name = book.account_names[int(book.account_of_pool()[i])]
        if row["verdict"] != twin["verdict"]:
            wrong.append(f"{name}: verdict {row['verdict']}, twin {twin['verdict']}")
        elif twin["verdict"] > 0:
            wrong += [f"{name}: {found}" for found in differences(row, twin)]
    assert not wrong
    assert sum(twin["verdict"] > 0 for twin in twins) >= 20  # that many were compared
