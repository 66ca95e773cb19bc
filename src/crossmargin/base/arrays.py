"""Names for arrays, and the one check of their shapes.

In     arrays of ours.
Out    nothing; a wrong shape is a bug of ours and ends as an AssertionError.
Owns   the aliases every kernel and frame is annotated with.
Never  checks a user's input: that was done at the edge, with a message that names the row.
Signs  none.
Spec   docs/spec/00-words.md
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int8]
B1 = npt.NDArray[np.bool_]


def guard(shape: tuple[int | None, ...], **arrays: npt.NDArray[Any]) -> None:
    """Assert that every array has `shape`; None in a place means any length there.

    guard((n_pools,), equity_usd=equity_usd, im_usd=im_usd)
    """
    for name, array in arrays.items():
        fits = len(array.shape) == len(shape) and all(
            want is None or want == have for want, have in zip(shape, array.shape, strict=True)
        )
        assert fits, f"{name}: shape {array.shape}, must be {shape}"


def guard_starts(starts: I64, n_rows: int) -> None:
    """Assert that `starts` (A + 1,) cuts `n_rows` sorted rows into A runs, some maybe empty."""
    assert starts.ndim == 1
    assert len(starts) >= 1, "starts: one entry more than there are pools"
    assert starts[0] == 0, "starts[0] must be 0"
    assert starts[-1] == n_rows, f"starts[-1] is {starts[-1]}, must be {n_rows}"
    assert (np.diff(starts) >= 0).all(), "starts must not fall"
