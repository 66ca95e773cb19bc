"""A market and two books for guests, and their answers as bytes: any bit that differs shows."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np

import crossmargin as cm
from bad_input.cases import BOOK, MARKET
from crossmargin.margin.joint import JointRows

METHODS = ("isolated", "cross_sum", "cross_correlated", "portfolio")


def market() -> cm.Market:
    """The market of the bad-input table, without its faults, with 80 joint rows from a seed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.json"
        path.write_text(json.dumps(MARKET))
        prepared = cm.prepare(path)
    shape = (80, len(prepared.frame.factors))
    moves = np.expm1(np.random.default_rng(7).normal(0.0, 0.03, shape))
    joint = JointRows(
        tuple(f"day {i}" for i in range(80)), moves, np.zeros(shape), np.full(80, 1 / 80),
        np.zeros(shape, np.bool_), (), 80,
    )  # fmt: skip
    return cm.Market(prepared.frame, prepared.rulebook, joint)


def book(market: cm.Market, times: float = 1.0) -> cm.BookFrame:
    """The book of the bad-input table as columns, every holding `times` as large."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "book.json"
        path.write_text(json.dumps(BOOK))
        frame, _ = cm.compile_account(path, market)
    frame.quantity[:] *= times
    return frame


def digest(frame: cm.BookFrame, market: cm.Market, threads: int | None = None) -> str:
    """Every number of every pool under every method, and a question on each."""
    answer = hashlib.sha256()
    for method in METHODS:
        report = cm.assess(frame, market, method=method, threads=threads)
        rows = report.frame
        for column in (rows.equity, rows.buffer_mm, rows.buffer_im, rows.health, rows.verdict):
            answer.update(np.ascontiguousarray(column).tobytes())
    report = cm.assess(frame, market, method="cross_sum", threads=threads)
    free = report.free_to_withdraw("bob", "USD")
    below, above = report.liquidation_prices("carol", "ETH")
    answer.update(repr((free, below, above)).encode())
    return answer.hexdigest()
