"""Quotes of the past through the oracle, tick by tick.

In     blocks of quotes with the moment each was heard, in order.
Out    for every tick that heard something, the state and the prices at its last moment.
Owns   what a tick is: all that was heard within one stretch of `every_ns`.
Never  invents a moment: a tick is fused at the last moment something was heard in it.
Signs  moments UTC ns, never falling.
Spec   docs/spec/08-oracle.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import pairwise

import numpy as np

from crossmargin.base.arrays import I64
from crossmargin.oracle.fuse import FusedFrame, fuse
from crossmargin.oracle.quotes import QuoteFrame, no_quotes
from crossmargin.oracle.state import OracleState


def replay(
    state: OracleState, blocks: Iterable[tuple[QuoteFrame, I64]], every_ns: int
) -> Iterator[tuple[OracleState, FusedFrame, QuoteFrame]]:  # fmt: skip
    """Yield the oracle after every tick, its prices and the quotes it heard; blocks do not show."""
    rest, rest_ns = no_quotes(), np.zeros(0, np.int64)
    for quotes, heard_ns in blocks:
        rest, rest_ns = joined(rest, quotes), np.append(rest_ns, heard_ns)
        if not len(rest):
            continue
        assert (np.diff(rest_ns) >= 0).all(), "what is heard is heard in order"
        tick = rest_ns // every_ns
        edges = [0, *(np.flatnonzero(np.diff(tick)) + 1).tolist()]
        # The last tick may go on in the next block.
        for first, end in pairwise(edges):
            heard = rest[first:end]
            state, fused = fuse(state, heard, int(rest_ns[end - 1]))
            yield state, fused, heard
        rest, rest_ns = rest[edges[-1] :], rest_ns[edges[-1] :]
    if len(rest):
        state, fused = fuse(state, rest, int(rest_ns[-1]))
        yield state, fused, rest


def joined(first: QuoteFrame, second: QuoteFrame) -> QuoteFrame:
    """Return the rows of both."""
    return QuoteFrame(*(
        np.append(getattr(first, f.name), getattr(second, f.name)) for f in fields(QuoteFrame)
    ))  # fmt: skip
