"""Matrix products of the NumPy decoder, in parts too small for BLAS to start threads.

A second thread brings little to products of this size, and on a busy machine it costs much: BLAS's
threads wait for each other in a loop, at full load.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

LARGEST = 2**18
"""Multiplications of one product: OpenBLAS uses threads beyond it."""

TILE = 64
"""A multiple of the rows, and columns, that BLAS's kernels work on together."""

BAND = 32
"""Rows of a banded matrix that are multiplied together."""


def product(
    a: Float[np.ndarray, "m k"], b: Float[np.ndarray, "k n"]
) -> Float[np.ndarray, "m n"]:
    """a @ b, the longer of m and n split."""
    (m, k), n = a.shape, b.shape[1]
    if m * k * n <= LARGEST:
        return a @ b
    out = np.empty((m, n), np.result_type(a, b))
    step = LARGEST // (k * min(m, n))
    # whole tiles of BLAS's kernels, so that floats are rounded as in the undivided product
    step = max(1, step // TILE * TILE or step)
    for first in range(0, max(m, n), step):
        some = slice(first, first + step)
        if m < n:
            np.matmul(a, b[:, some], out=out[:, some])
        else:
            np.matmul(a[some], b, out=out[some])
    return out


def along(
    matrix: Float[np.ndarray, "m k"], grid: Float[np.ndarray, "..."], axis: int
) -> Float[np.ndarray, "..."]:
    """A banded matrix, such as an interpolation's, applied along an axis of length k."""
    first_axis = np.moveaxis(grid, axis, 0)
    rows = first_axis.reshape(len(first_axis), -1)
    out = np.empty((len(matrix), rows.shape[1]), np.result_type(matrix, grid))
    for first in range(0, len(matrix), BAND):
        band = matrix[first : first + BAND]
        used = np.flatnonzero(band.any(0))
        here = slice(used[0], used[-1] + 1)
        out[first : first + BAND] = product(band[:, here], rows[here])
    return np.moveaxis(out.reshape(len(matrix), *first_axis.shape[1:]), 0, axis)
