"""Latent grids, their gains, and their way up to full resolution (Eq. 6; App. A.1.1-A.1.2)."""

from __future__ import annotations

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

BICUBIC_TAPS = (-0.03515625, -0.10546875, 0.26171875, 0.87890625)
"""The first half of bicubic interpolation by 2 as 8 taps a side (COOL-CHICv2)."""


def exponents(config) -> tuple[int, ...]:
    """log2 of each grid's reduction, finest first."""
    first = 0 if config.finest_grid else 1
    return tuple(range(first, first + config.num_grids))


def grid_shapes(config, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Shape of each latent grid for data of `shape`, finest first (Eq. 6, rounded up)."""
    return tuple(tuple(-(-side // 2**e) for side in shape) for e in exponents(config))


def initial_gains(config) -> Float[np.ndarray, " grids"]:
    """2**exponent for each grid.

    Not in the text: the release multiplies what it trains by these before quantization, which
    under Adam is a larger effective learning rate for coarse grids.
    """
    return 2.0 ** np.array(exponents(config), np.float32)


def _triangle(d):
    return np.maximum(0, 1 - d)


def _keys_cubic(d):
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d >= 2, 0, np.where(d >= 1, far, near))


def _lanczos3(d):
    return np.where(d > 3, 0, np.sinc(d) * np.sinc(d / 3))


KERNELS = {"bilinear": _triangle, "bicubic": _keys_cubic, "lanczos": _lanczos3}
"""Weight of a sample at distance d >= 0, in input samples."""


@functools.cache
def resize_matrix(n_in: int, n_out: int, method: str) -> Float[np.ndarray, "n_out n_in"]:
    """One axis of upsampling as a matrix: half-pixel centers, weights renormalized at the edges.

    What `jax.image.resize` does (a test holds the two together), in NumPy, because running that
    eagerly compiles a program for every pair of sizes: 11 s for a first fit.
    """
    centers = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    weights = KERNELS[method](np.abs(centers[:, None] - np.arange(n_in)))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


@functools.cache
def path_matrix(sides: tuple[int, ...], method: str) -> Float[np.ndarray, "n_out n_in"]:
    """Resizes through all of `sides` in turn, as one matrix."""
    steps = [resize_matrix(a, b, method) for a, b in itertools.pairwise(sides)]
    start = np.eye(sides[0], dtype=np.float32)
    return functools.reduce(lambda done, step: step @ done, steps, start)


def _apply_along(matrix, grid, axis):
    # the interpolation weights are exact in float32 only if the product is, also on a GPU
    moved = jnp.tensordot(matrix, grid, axes=((1,), (axis,)), precision="highest")
    return jnp.moveaxis(moved, 0, axis)


def _interpolate_rows(grid, ratio):
    """Bilinear upsampling of the first axis by a whole ratio: each output row mixes two rows.

    The matrix of `path_matrix` has as many columns as rows come in, so its product costs more a
    pixel the larger the image is; this costs the same. At the edges, replicating a row is what
    renormalizing the weights does.
    """
    position = (np.arange(ratio) + 0.5) / ratio - 0.5  # relative to the input row
    before, after = np.maximum(-position, 0), np.maximum(position, 0)
    padded = jnp.concatenate([grid[:1], grid, grid[-1:]])[:, None]
    n = grid.shape[0]
    mixed = sum(
        padded[k : k + n] * weight.astype(np.float32).reshape((ratio,) + (1,) * (grid.ndim - 1))
        for k, weight in enumerate((before, 1 - before - after, after)))
    return mixed.reshape(n * ratio, *grid.shape[1:])


def _resize(grid, paths, method):
    # last axis first: the other axes are still small
    for axis in reversed(range(grid.ndim)):
        path = paths[axis]
        if len(set(path)) == 1:
            continue
        whole = len(path) == 2 and path[1] % path[0] == 0
        if axis == 0 and whole and method == "bilinear":
            grid = _interpolate_rows(grid, path[1] // path[0])
        else:
            grid = _apply_along(path_matrix(path, method), grid, axis)
    return grid


def initial_kernel(ndim: int) -> Float[Array, "*taps"]:
    """The kernel of the learned upsampling at the start: bicubic, 8 taps along every axis."""
    taps = np.array(BICUBIC_TAPS + BICUBIC_TAPS[::-1], np.float32)
    kernel = taps
    for _ in range(ndim - 1):
        kernel = np.multiply.outer(kernel, taps)
    return jnp.asarray(kernel)


def double(
    grid: Float[Array, "*shape"], kernel: Float[Array, "*taps"], shape: tuple[int, ...]
) -> Float[Array, "..."]:
    """A transposed convolution of stride 2, edges replicated, cropped to `shape` (COOL-CHICv2).

    `kernel` has 8 taps along every axis.
    """
    padded = jnp.pad(grid, 4, mode="edge")
    spatial = "DHW"[-grid.ndim :]
    up = jax.lax.conv_general_dilated(
        padded[None, None], kernel[None, None], window_strides=(1,) * grid.ndim,
        padding=[(7, 7)] * grid.ndim, lhs_dilation=(2,) * grid.ndim,
        dimension_numbers=("NC" + spatial, "OI" + spatial, "NC" + spatial),
    )[0, 0]
    # Output 2i + 11 of the full transposed convolution is where sample i, 4 further in, is centered
    return up[tuple(slice(11, 11 + n) for n in shape)]


def upsample(
    config,
    grids: tuple[Float[Array, "..."], ...],
    shape: tuple[int, ...],
    kernel: Float[Array, "*taps"] | None = None,
) -> Float[Array, "grids *shape"]:
    """Every grid at full resolution, finest first."""
    sides = (shape, *(tuple(grid.shape) for grid in grids))
    if config.upsampling == "learned":
        raised: list = []
        for n in reversed(range(len(grids))):  # coarsest first, all coarser ones in one batch
            raised = [grids[n][None], *raised]
            if sides[n] != sides[n + 1]:
                raised = [jax.vmap(lambda g, to=sides[n]: double(g, kernel, to))(
                    jnp.concatenate(raised))]
        return jnp.concatenate(raised)
    up = []
    for n, grid in enumerate(grids):
        # a recursive path visits the sizes of all finer grids; a direct one only the first and last
        stops = sides[n + 1 :: -1] if config.upsampling_recursive else (sides[n + 1], shape)
        paths = tuple(tuple(stop[axis] for stop in stops) for axis in range(grid.ndim))
        up.append(_resize(grid, paths, config.upsampling))
    return jnp.stack(up)


def count(config, shape: tuple[int, ...]) -> int:
    """Number of latents of all grids (Eq. 25)."""
    return sum(math.prod(s) for s in grid_shapes(config, shape))
