"""What the entropy model sees of a latent's surroundings (Eqs. 2, 7, 8; Figs. 4 and 10; App. A.3).

A context is a static tuple of offsets, one row of the network's input each. The same tuple serves
training (shifted views of whole grids, here) and decoding (positions looked up one wavefront at a
time, in `coding/payload.py`), for images and videos. Outside the grid a latent counts as zero.
"""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import scipy.fft
from jaxtyping import Array, Float

from c3lite.arrays.kernels import Offset, gather
from c3lite.model import latents


def window_offsets(size: Sequence[int], origin: Sequence[int] | None = None) -> tuple[Offset, ...]:
    """All offsets of a window in raster order; centered on zero, or starting at `origin`."""
    origin = [-(side // 2) for side in size] if origin is None else origin
    return tuple(itertools.product(*(range(o, o + n) for o, n in zip(origin, size, strict=True))))


def causal_offsets(size: Sequence[int], ndim: int) -> tuple[Offset, ...]:
    """The offsets of a centered window that come before its center in raster order.

    A window of fewer axes than the grid reaches over the last axes only: (7, 7) on a video is
    the current frame. One of more axes keeps its last ones: (3, 9, 9) on an image is (9, 9).
    """
    size = ((1,) * ndim + tuple(size))[-ndim:]
    return tuple(o for o in window_offsets(size) if o < (0,) * ndim)


PRIORITY: tuple[Offset, ...] = (
    (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-3, 0), (0, -3), (-1, -2), (-2, 1),
    (-2, -1), (-1, 2), (-2, -2), (-1, -3))
"""The latents of a frame that tell most of the next one, in the order of Cool-Chic 5."""


def own_offsets(config, ndim: int) -> tuple[Offset, ...]:
    """The offsets within a grid: the causal half of the window, or of the frame its first taps."""
    offsets = causal_offsets(config.context_size, ndim)
    if config.context_taps:
        before = (0,) * (ndim - 2)
        taps = {before + tap for tap in PRIORITY[: config.context_taps]}
        offsets = tuple(o for o in offsets if any(o[: ndim - 2])) + tuple(sorted(taps))
    return offsets


def padded_for(
    grid: Float[Array, "*shape"], offsets: Sequence[Offset]
) -> tuple[Float[Array, "*padded"], list[Offset]]:
    """The grid with zeros around it for all offsets, and where the `views` of each start."""
    reach = [(max(0, -min(o)), max(0, max(o))) for o in zip(*offsets, strict=True)]
    starts = [tuple(before + step for (before, _), step in zip(reach, offset, strict=True))
              for offset in offsets]
    return jnp.pad(grid, reach), starts


def views(
    padded: Float[Array, "*padded"], starts: Sequence[Offset], shape: Sequence[int]
) -> list[Float[Array, " n"]]:
    """The parts of `padded` of this shape that start there, flattened."""
    return [
        jax.lax.slice(padded, start, [a + n for a, n in zip(start, shape, strict=True)]).reshape(-1)
        for start in starts]


def stack_contexts(
    grids: Sequence[Float[Array, "..."]], offsets: Sequence[Offset], spare: int = 0
) -> Float[Array, "context latents_and_spare"]:
    """Contexts of all latents of `grids`, one column a latent, grids one after another; and so many
    `spare` columns of zeros."""
    if not offsets:
        return jnp.zeros((0, sum(grid.size for grid in grids) + spare))
    sliced = 0 if len(offsets) == 1 else SMALL_GRID  # a single slice costs little to compile
    large = list(itertools.takewhile(lambda grid: grid.size > sliced, grids))
    small = grids[len(large):]
    # one concatenation of all rows and grids, instead of one a grid and one of the grids
    read = [views(*padded_for(grid, offsets), grid.shape) for grid in large]
    if small:
        flat = jnp.concatenate([grid.reshape(-1) for grid in small])
        read.append(list(gather(flat, tuple(grid.shape for grid in small), tuple(offsets))))
    if spare:
        read.append([jnp.zeros(spare)] * len(offsets))
    rows = [rows[i] for i in range(len(offsets)) for rows in read]
    return jnp.concatenate(rows).reshape(len(offsets), -1)


SMALL_GRID = 4096
"""Grids of at most this many latents are gathered in one operation instead of sliced offset by
offset: slices are faster, but many small ones cost more to compile than they save."""


def masked_count(config) -> int:
    """How many grids a mask is for (K)."""
    return min(config.masked_grids, config.num_grids)


def masked(config, ndim: int, grid: int) -> bool:
    """Whether grid number `grid` sees the previous frame through the custom mask (App. A.3)."""
    return config.mask_shape is not None and ndim == 3 and grid < config.masked_grids


def check_mask(config, ndim: int) -> None:
    """Raise `ValueError` where masked grids have no mask position."""
    count = sum(masked(config, ndim, n) for n in range(config.num_grids))
    if len(config.mask_origins) < count:
        raise ValueError(
            f"{count} grids see the previous frame through a mask, and mask_origins has "
            f"{len(config.mask_origins)} positions: c3lite.learn_offsets(video, config) finds them")


def previous_frame(
    grid: Float[Array, "frames height width"], origin, size: tuple[int, int]
) -> Float[Array, "frames rows columns"]:
    """The frame before each one, from `origin` = (dy, dx) on, zero outside of it.

    Entry (t, y, x) is grid[t - 1, y + dy, x + dx]. There are size - 1 more rows and columns than
    in the grid, so that the entries of a box of that size are its shifted views. `origin` may be
    traced: the position of a mask is a number, and all positions share one program.
    """
    moved = jnp.concatenate([jnp.zeros_like(grid[:1]), grid[:-1]])
    for axis, start, extra in zip((1, 2), origin, size, strict=True):
        n = grid.shape[axis]
        wide = n + extra - 1  # beyond this shift nothing is left to see
        padding = [(0, 0)] * 3
        padding[axis] = (wide, wide)
        first = jnp.clip(start, -wide, n) + wide
        moved = jax.lax.dynamic_slice_in_dim(jnp.pad(moved, padding), first, wide, axis)
    return moved


def box_starts(size: tuple[int, int]) -> list[Offset]:
    """For each entry of a box in raster order, where its view of `previous_frame` starts."""
    return [(0, *start) for start in itertools.product(*map(range, size))]


def correlate(
    moved: Float[Array, "frames rows columns"], kernel: Float[Array, "out *size"]
) -> Float[Array, "out latents"]:
    """kernel times the views of `moved` at `box_starts`, by the Fourier transform of every frame.
    For windows too wide to be gathered: the cost does not grow with their size."""
    size = kernel.shape[1:]
    fast = [scipy.fft.next_fast_len(n, real=True) for n in moved.shape[1:]]
    frames = jnp.fft.rfft2(moved, s=fast)
    taps = jnp.fft.rfft2(kernel, s=fast)
    # the valid part of a correlation does not wrap around
    product = jnp.fft.irfft2(jnp.conj(taps)[:, None] * frames, s=fast)
    height, width = (n - extra + 1 for n, extra in zip(moved.shape[1:], size, strict=True))
    return product[:, :, :height, :width].reshape(len(kernel), -1)


def halve(grid: Float[Array, "*shape"], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Half resolution by the taps 1/8, 3/8, 3/8, 1/8 along each axis, edges replicated.

    An axis of one entry stays what it is. On even sides this is the antialiased bilinear resize of
    the authors' release, edges aside. On odd sides that has other taps at every position; this is
    exact in integers (times 8 an axis), so that encoder and decoder cannot disagree.
    """
    for axis, n in enumerate(shape):
        if grid.shape[axis] == n == 1:
            continue
        rows = jnp.moveaxis(grid, axis, 0)
        rows = jnp.pad(rows, [(1, 2 * n + 1 - len(rows))] + [(0, 0)] * (rows.ndim - 1), "edge")
        rows = sum(tap * rows[i : i + 2 * n : 2] for i, tap in enumerate(HALVE_TAPS)) / 8
        grid = jnp.moveaxis(rows, 0, axis)
    return grid


HALVE_TAPS = (1, 3, 3, 1)


def grid_offsets(config, ndim: int, grid: int) -> tuple[Offset, ...]:
    """The offsets within grid number `grid`, in the order of the network's inputs. A masked grid
    sees the mask's box in the previous frame, then the current frame's causal half. For decoding,
    and where the mask's position is known; `EntropyModel` has it as a traced number."""
    offsets = own_offsets(config, ndim)
    if masked(config, ndim, grid):
        check_mask(config, ndim)
        origin = config.mask_origins[grid]
        offsets = window_offsets((1, *config.mask_shape), (-1, *origin)) + offsets
    return offsets


def previous_offsets(config, ndim: int) -> tuple[Offset, ...]:
    """The offsets into the halved finer grid (Eq. 10)."""
    if not config.previous_grid_size:
        return ()
    return window_offsets((config.previous_grid_size,) * ndim)


def ancestors(config, n: int) -> tuple[tuple[int, int], ...]:
    """What the features of grid n are made of: numbers of the coarser grids, and for each the
    log2 of how much coarser it is. Empty for a grid without features."""
    if not config.grid_features or n >= min(config.featured_grids, config.num_grids):
        return ()
    own = latents.exponents(config)[n]
    return tuple((m, e - own) for m, e in enumerate(latents.exponents(config)) if e > own)


def spread(
    grid: Float[Array, "*rows_and_shape"], log2_ratio: int, shape: Sequence[int]
) -> Float[Array, "..."]:
    """Each entry 2**log2_ratio times along each axis of `shape`, its last axes, and cut to it."""
    for axis, n in zip(range(-len(shape), 0), shape, strict=True):
        grid = jnp.repeat(grid, 2**log2_ratio, axis)
        grid = jax.lax.slice_in_dim(grid, 0, n, axis=axis)
    return grid


def context_count(config, ndim: int, grid: int) -> int:
    """Number of inputs of the entropy network of a grid."""
    return (
        len(own_offsets(config, ndim)) + config.grid_features
        + len(previous_offsets(config, ndim))
        + (math.prod(config.mask_shape) if masked(config, ndim, grid) else 0)
    )
