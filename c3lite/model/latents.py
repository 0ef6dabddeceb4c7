"""Latent grids, their gains, and their way up to full resolution (Eq. 6; App. A.1.1-A.1.2)."""

import functools
import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from c3lite.arrays.blocks import on_cpu
from c3lite.arrays.kernels import small_conv
from c3lite.ingredients.upsampling import UPSAMPLINGS, raise_separably


def exponents(config) -> tuple[int, ...]:
    """log2 of each grid's reduction, finest first, then those of the hyperlatents."""
    first = 0 if config.finest_grid else 1
    end = first + config.num_grids
    return (*range(first, end), *range(end - config.hyper_grids, end))


def grid_shapes(config, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Shape of each latent grid for data of `shape`, finest first (Eq. 6, rounded up)."""
    return tuple(tuple(-(-side // 2**e) for side in shape) for e in exponents(config))


def initial_gains(config) -> Float[Array | np.ndarray, " grids"]:
    """The factor of each grid at the start: 2**exponent, or by `config.latent_gains` others.

    Not in the text: the release multiplies what it trains by these before quantization. Under Adam
    that is a learning rate of gain / q bins: 2.5 for the finest grid, 160 for the coarsest.
    """
    doubling = 2.0 ** np.array(exponents(config), np.float32)
    if config.latent_gains == "doubling":
        return doubling
    gain = config.latent_gain_bins * config.quantization_step
    if config.latent_gains == "at least":
        return jnp.maximum(doubling, gain)
    return jnp.full(len(doubling), gain)


@functools.cache
def resize_matrix(n_in: int, n_out: int, method: str) -> Float[np.ndarray, "n_out n_in"]:
    """One axis of upsampling as a matrix: half-pixel centers, weights renormalized at the edges.
    What `jax.image.resize` does (a test holds the two together), without a program to compile."""
    centers = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    weights = UPSAMPLINGS[method].weight(np.abs(centers[:, None] - np.arange(n_in)))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


@functools.cache
def path_matrix(sides: tuple[int, ...], method: str) -> Float[np.ndarray, "n_out n_in"]:
    """Resizes through all of `sides` in turn, as one matrix."""
    steps = [resize_matrix(a, b, method) for a, b in itertools.pairwise(sides)]
    start = np.eye(sides[0], dtype=np.float32)
    return functools.reduce(lambda done, step: step @ done, steps, start)


def split(flat: Num[Array | np.ndarray, " latents"],
          shapes: Sequence[tuple[int, ...]]) -> tuple[Num[Array | np.ndarray, "..."], ...]:
    """A flat vector of all latents as grids; views of it in NumPy."""
    ends = list(itertools.accumulate(map(math.prod, shapes), initial=0))
    return tuple(flat[a:b].reshape(shape)
                 for (a, b), shape in zip(itertools.pairwise(ends), shapes, strict=True))


def resize_paths(config, shape: tuple[int, ...], n: int) -> tuple[tuple[int, ...], ...]:
    """Along each axis the sizes through which grid n is resized to `shape`."""
    sides = (shape, *grid_shapes(config, shape))
    # a recursive path visits the sizes of all finer grids; a direct one only the first and last
    stops = sides[n + 1 :: -1] if config.upsampling_recursive else (sides[n + 1], shape)
    return tuple(zip(*stops, strict=True))


def _resize(grid, paths, method):
    # last axis first: the other axes are still small
    for axis in reversed(range(grid.ndim)):
        path, shortcut = paths[axis], UPSAMPLINGS[method].whole_ratio
        if len(set(path)) == 1:
            continue
        whole = shortcut and len(path) == 2 and path[1] % path[0] == 0
        if whole and (axis == 0 or not on_cpu()):
            moved = shortcut(jnp.moveaxis(grid, axis, 0), path[1] // path[0])
        else:  # the weights are exact in float32 only if the product is, also on a GPU
            moved = jnp.tensordot(path_matrix(path, method), grid, axes=((1,), (axis,)),
                                  precision="highest")
        grid = jnp.moveaxis(moved, 0, axis)
    return grid


def initial_kernel(config, ndim: int) -> Float[Array, "*taps"] | None:
    """The kernel of a learned upsampling at the start; None: a fixed one."""
    kernel = UPSAMPLINGS[config.upsampling]
    return kernel.initial_kernel(config.num_grids, ndim) if kernel.is_learned else None


def double(grid: Float[Array, "*shape"], kernel: Float[Array, "*taps"],
           shape: tuple[int, ...]) -> Float[Array, "..."]:
    """A transposed convolution of stride 2, edges replicated, cropped to `shape` (COOL-CHICv2).
    `kernel` has 8 taps along every axis."""
    padded = jnp.pad(grid, 4, mode="edge")
    if not on_cpu():
        return _double_by_phases(padded, kernel, shape)
    spatial = "DHW"[-grid.ndim :]
    up = jax.lax.conv_general_dilated(
        padded[None, None], kernel[None, None], window_strides=(1,) * grid.ndim,
        padding=[(7, 7)] * grid.ndim, lhs_dilation=(2,) * grid.ndim,
        dimension_numbers=("NC" + spatial, "OI" + spatial, "NC" + spatial))[0, 0]
    # Output 2i + 11 of the full transposed convolution is where sample i, 4 further in, is centered
    return up[tuple(slice(11, 11 + n) for n in shape)]


def _double_by_phases(padded, kernel, shape):
    """The same as small convolutions, one for the even and one for the odd outputs of each axis."""
    halves = [-(-n // 2) for n in shape]
    up = jnp.zeros([side for n in halves for side in (n, 2)])
    for phase in itertools.product((0, 1), repeat=padded.ndim):
        taps = kernel[tuple(slice(p, None, 2) for p in phase)]
        # output 2i + p is centered between samples i + 3 and i + 4 of the padded grid
        window = padded[tuple(slice(2 + p, 2 + p + n + 3)
                              for p, n in zip(phase, halves, strict=True))]
        part = small_conv(window[None], taps[None, None])[0]
        up = up.at[tuple(s for p in phase for s in (slice(None), p))].set(part)
    return up.reshape([2 * n for n in halves])[tuple(slice(n) for n in shape)]


def upsample(config, grids: tuple[Float[Array, "..."], ...], shape: tuple[int, ...],
             kernel: Float[Array, "*taps"] | None = None) -> Float[Array, "grids *shape"]:
    """Every grid at full resolution, finest first."""
    if UPSAMPLINGS[config.upsampling].is_separable:
        return raise_separably(jnp, grids, kernel)
    if UPSAMPLINGS[config.upsampling].is_learned:
        sides, raised = (shape, *(grid.shape for grid in grids)), []
        for n in reversed(range(len(grids))):  # coarsest first, all coarser ones in one batch
            raised = [grids[n][None], *raised]
            if sides[n] != sides[n + 1]:
                raised = [jax.vmap(lambda g, to=sides[n]: double(g, kernel, to))(
                    jnp.concatenate(raised))]
        return jnp.concatenate(raised)
    return jnp.stack([_resize(grid, resize_paths(config, shape, n), config.upsampling)
                      for n, grid in enumerate(grids)])


def count(config, shape: tuple[int, ...]) -> int:
    """Number of latents of all grids (Eq. 25)."""
    return sum(math.prod(s) for s in grid_shapes(config, shape))
