"""Split a computation by rows over all cores."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

ROWS_PER_THREAD = 10_000


def map_row_chunks(
    function: Callable[[Matrix], NDArray[Any]], x: Matrix, *, at_least: int = ROWS_PER_THREAD
) -> NDArray[Any]:
    """Return `function(x)`, computed in chunks of rows on all cores if `x` is large.

    The result is bit-equal to that of a single call.

    Args:
        function: maps rows (n, n_features) to an array of n rows; a row of the result depends only
            on the same row of the input. Threads help only if it releases the interpreter's lock.
        x: float32 (n, n_features).
        at_least: rows of a chunk. A matrix with fewer than two chunks is computed in one call.

    >>> map_row_chunks(lambda rows: rows.sum(axis=1), np.ones((5, 3), np.float32), at_least=2)
    array([3., 3., 3., 3., 3.], dtype=float32)
    """
    if len(x) < 2 * at_least:
        return function(x)
    chunks = [x[start : start + at_least] for start in range(0, len(x), at_least)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(function, chunks)))
