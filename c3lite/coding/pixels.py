"""The decoder's floating-point half, in NumPy: from integers to pixels (App. A.1.2, A.1.3).

The same formulas as latents.py and synthesis.py, without compilation: what a file decodes to, and
what `Fit.reconstruction` is. On one machine the pixels are always the same; between machines, whose
matrix products sum in other orders, an 8-bit value may differ by one step.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer

from c3lite.coding.header import Arrays
from c3lite.config import Config
from c3lite.ingredients.activations import ACTIVATIONS
from c3lite.ingredients.upsampling import UPSAMPLINGS, raise_separably
from c3lite.model import latents

BLOCK = 2**11
"""Pixels that pass through all layers together: they fit into a core's cache."""


def synthesize(config: Config, shape: tuple[int, ...], symbols: Integer[np.ndarray, " latents"],
               arrays: Arrays) -> Float[np.ndarray, "3 *shape"]:
    """Pixels, multiples of 1/255 in [0, 1], float32, from latents in step units (grids one after
    another, finest first) and the networks (`header.real_arrays`, float32)."""
    return to_pixels(config, upsampled(config, shape, symbols, arrays.upsampling), arrays)


def upsampled(config: Config, shape: tuple[int, ...], symbols: Integer[np.ndarray, " latents"],
              kernel: Float[np.ndarray, "*taps"] | None) -> Float[np.ndarray, "grids *shape"]:
    """All grids at full resolution (App. A.1.2), from latents in step units."""
    grids = latents.split(symbols, latents.grid_shapes(config, shape))[: config.num_grids]
    step = np.float32(config.quantization_step)
    return upsample(config, [grid.astype(np.float32) * step for grid in grids], shape, kernel)


def to_pixels(config: Config, up: Float[np.ndarray, "grids *shape"],
              parts: Arrays) -> Float[np.ndarray, "3 *shape"]:
    """The synthesis network (App. A.1.3), and rounding to 8 bits."""
    act = ACTIVATIONS[config.activation].decode
    x = _pixelwise(config, up, parts.layers)
    if config.rgb_activation:
        x = act(x)
    for i, (weight, bias) in enumerate(parts.convs):
        x = residual_conv(x, weight, bias)
        if i < len(parts.convs) - 1:
            x = act(x)
    if parts.branch:
        x = x + _pixelwise(config, up, parts.branch)
    return np.rint(np.clip(x, 0, 1) * np.float32(255)) / np.float32(255)


def _resized(grid, paths, method):
    """A grid along all of its axes, last axis first."""
    for axis in reversed(range(grid.ndim)):
        if len(set(paths[axis])) == 1:
            continue
        matrix = latents.path_matrix(paths[axis], method)
        if axis == 0 and grid.ndim == 3:  # frames are mixed whole
            grid = np.stack([sum(row[k] * grid[k] for k in np.flatnonzero(row)) for row in matrix])
        else:
            grid = along(matrix, grid, axis)
    return grid


def _pixelwise(config, x, layers):
    """1x1 layers, of a video frame by frame."""
    if x.ndim == 4:
        return np.stack([_pixelwise(config, frame, layers) for frame in x.swapaxes(0, 1)], 1)
    act = ACTIVATIONS[config.activation].decode
    flat = x.reshape(len(x), -1)
    out = np.empty((3, flat.shape[1]), np.float32)
    for first in range(0, flat.shape[1], BLOCK):
        y = flat[:, first : first + BLOCK]
        for weight, bias in layers[:-1]:
            z = product(weight, y) + bias[:, None]
            y = act(y + z if config.residual_layers and z.shape == y.shape else z)
        weight, bias = layers[-1]
        out[:, first : first + BLOCK] = product(weight, y) + bias[:, None]
    return out.reshape(3, *x.shape[1:])


def residual_conv(x: Float[np.ndarray, "3 *shape"], weight: Float[np.ndarray, "3 3 *size"],
                  bias: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 *shape"]:
    """x + conv(x), edges replicated (synthesis.ResidualConv). Of a video frame by frame: the frames
    around one are its channels."""
    if x.ndim == 3:
        return x + conv(x, weight, bias)
    taps = weight.shape[2]
    flat = weight.swapaxes(1, 2).reshape(3, 3 * taps, *weight.shape[3:])
    padded = np.pad(x, [(0, 0), (taps // 2, taps // 2), (0, 0), (0, 0)], mode="edge")
    return np.stack([
        x[:, t] + conv(np.concatenate(padded[:, t : t + taps].swapaxes(0, 1)), flat, bias)
        for t in range(x.shape[1])], 1)


def conv(x: Float[np.ndarray, "c_in height width"], weight: Float[np.ndarray, "c_out c_in k k"],
         bias: Float[np.ndarray, " c_out"]) -> Float[np.ndarray, "c_out height width"]:
    """A convolution of few channels, edges replicated."""
    size, (height, width) = weight.shape[2:], x.shape[1:]
    padded = np.pad(x, [(0, 0)] + [(k // 2, k // 2) for k in size], mode="edge")
    # one row of the product's right side a tap and channel, a block of rows at a time
    by_tap = np.lib.stride_tricks.sliding_window_view(padded, size, (1, 2)).transpose(3, 4, 0, 1, 2)
    kernel = np.moveaxis(weight, 1, -1).reshape(len(weight), -1)
    out = np.empty((len(weight), height, width), np.float32)
    block = max(1, BLOCK // width)
    for first in range(0, height, block):
        rows = by_tap[..., first : first + block, :].reshape(kernel.shape[1], -1)
        y = product(kernel, rows) + bias[:, None]
        out[:, first : first + block] = y.reshape(len(weight), -1, width)
    return out


def upsample(config, grids: Sequence[Float[np.ndarray, "..."]], shape: tuple[int, ...],
             kernel: Float[np.ndarray, "*taps"] | None = None) -> Float[np.ndarray, "grids *shape"]:
    """Every grid at full resolution, finest first (latents.upsample)."""
    if UPSAMPLINGS[config.upsampling].is_separable:
        return raise_separably(np, grids, kernel)
    if UPSAMPLINGS[config.upsampling].is_learned:
        sides = (shape, *(grid.shape for grid in grids))
        raised = np.empty((0, *sides[-1]), np.float32)
        for n in reversed(range(len(grids))):
            raised = np.concatenate([grids[n][None], raised])
            if sides[n] != sides[n + 1]:
                raised = double(raised, kernel, sides[n])
        return raised
    return np.stack([_resized(grid, latents.resize_paths(config, shape, n), config.upsampling)
                     for n, grid in enumerate(grids)])


def double(grids: Float[np.ndarray, "n *shape"], kernel: Float[np.ndarray, "*taps"],
           shape: tuple[int, ...]) -> Float[np.ndarray, "n ..."]:
    """Several grids by a transposed convolution of stride 2, cropped to `shape` (latents.double).

    Entry 2i + r of an axis reads the entries i + r - 2 .. i + r + 1 by the taps r, r + 2, r + 4,
    r + 6: one sum of 4^d shifted grids for each of the 2^d choices of r.
    """
    ndim = len(shape)
    padded = np.pad(grids, [(0, 0)] + [(2, 2)] * ndim, mode="edge")
    out = np.empty((len(grids), *(2 * n for n in grids.shape[1:])), np.float32)
    for r in itertools.product((0, 1), repeat=ndim):
        total = np.zeros(grids.shape, np.float32)
        for tap in itertools.product(range(4), repeat=ndim):
            part = (slice(s + t, s + t + n)
                    for s, t, n in zip(r, tap, grids.shape[1:], strict=True))
            total += kernel[tuple(2 * t + s for s, t in zip(r, tap, strict=True))] * padded[
                (slice(None), *part)]
        out[(slice(None), *(slice(s, None, 2) for s in r))] = total
    return out[(slice(None), *(slice(n) for n in shape))]


# Matrix products, in parts too small for BLAS to start threads: a second one brings little here,
# and on a busy machine it costs much, as they wait for each other in a loop, at full load.

LARGEST = 2**18
"""Multiplications of one product: OpenBLAS uses threads beyond it."""

TILE = 64
"""A multiple of the rows, and columns, that BLAS's kernels work on together."""

BAND = 32
"""Rows of a banded matrix that are multiplied together."""


def product(a: Float[np.ndarray, "m k"], b: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "m n"]:
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


def along(matrix: Float[np.ndarray, "m k"], grid: Float[np.ndarray, "..."],
          axis: int) -> Float[np.ndarray, "..."]:
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
