"""A function of rows, spread over all cores."""

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
    """Return `function(x)`, computed on all cores where `x` is large; bit-equal to one call.

    Args:
        function: of rows (n, n_features) to an array of n rows, each independent of the others. It
            has to release the interpreter's lock, or threads gain nothing.
        x: float32 (n, n_features).
        at_least: rows of a chunk; a matrix of fewer than two chunks is not cut.

    >>> map_row_chunks(lambda rows: rows.sum(axis=1), np.ones((5, 3), np.float32), at_least=2)
    array([3., 3., 3., 3., 3.], dtype=float32)
    """
    if len(x) < 2 * at_least:
        return function(x)
    chunks = [x[start : start + at_least] for start in range(0, len(x), at_least)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(function, chunks)))
