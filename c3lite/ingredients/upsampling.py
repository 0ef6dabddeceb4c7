"""Upsampling: the kernels that interpolate the latent grids (App. A.1.2), and the learned ones."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Upsampling(NamedTuple):
    """A kernel: fixed by a formula, or learned from given taps on."""

    taps: int
    """Samples along one axis that an interpolated value is made of."""
    weight: Callable[[Float[np.ndarray, "..."]], Float[np.ndarray, "..."]] | None = None
    """Weight of a sample at distance d >= 0, in input samples; None: learned."""
    start: tuple[float, ...] = ()
    """Of a learned kernel: its 8 taps at the start, along each axis."""
    is_separable: bool = False
    """Of a learned kernel: one of each finer grid, along each axis apart (`raise_separably`)."""
    whole_ratio: Callable[[Float[Array, "n ..."], int], Float[Array, "m ..."]] | None = None
    """A cheaper way along the first axis in training, for whole ratios."""

    @property
    def is_learned(self) -> bool:
        """Whether the kernel is fitted, and sent with the networks."""
        return self.weight is None

    def kernel_shape(self, num_grids: int, ndim: int) -> tuple[int, ...]:
        """Of the learned kernel."""
        return (num_grids - 1, 2, 4) if self.is_separable else (8,) * ndim

    def initial_kernel(self, num_grids: int, ndim: int) -> Float[Array, "*taps"]:
        """The learned kernel at the start: an outer product of its taps; or no smoothing, and for
        each grid the first half of these taps."""
        taps = np.array(self.start, np.float32)
        if self.is_separable:
            start = np.stack([np.eye(4, dtype=np.float32)[0], taps[:4]])
            return jnp.tile(start, (num_grids - 1, 1, 1))
        return jnp.asarray(functools.reduce(np.multiply.outer, [taps] * ndim))


def raise_separably(
    xp: Any, grids: Sequence[Float[Array | np.ndarray, "..."]],
    kernel: Float[Array | np.ndarray, "finer 2 4"],
) -> Float[Array | np.ndarray, "grids *shape"]:
    """Every grid at the finest one's size by small symmetric kernels (Cool-Chic 5).

    From the coarsest grid on, all coarser ones are doubled together by 8 taps, and joined by the
    next finer one, smoothed by 7. A row of `kernel` belongs to a grid but the coarsest: half of the
    taps of smoothing (center first) and doubling. `xp` is `jax.numpy`, or `numpy` in a decoder.
    """
    axes = range(-1, -1 - grids[0].ndim, -1)  # last axis first: the others are still small
    raised = grids[-1][None]
    for n in reversed(range(len(grids) - 1)):
        smooth, double = kernel[n]
        for axis in axes:
            raised = doubled(xp, raised, double, axis, grids[n].shape[axis])
        own = grids[n][None]
        for axis in axes:
            size, pad = own.shape[axis], [(0, 0)] * own.ndim
            pad[axis] = (3, 3)
            padded = xp.pad(own, pad)
            own = sum(smooth[abs(k)] * _part(padded, axis, 3 + k, size) for k in range(-3, 4))
        raised = xp.concatenate([own, raised])
    return raised


def _part(x, axis, first, n):
    """`n` entries along an axis, counted from the last one, from number `first` on."""
    return x[(..., slice(first, first + n)) + (slice(None),) * (-1 - axis)]


def doubled(xp: Any, x, half, axis: int, size: int):
    """Twice as many entries along an axis, cut to `size`, edges replicated: entry 2i + r is made
    of the entries i + r - 2 to i + r + 1 by every other of 8 symmetric taps."""
    n, pad = x.shape[axis], [(0, 0)] * x.ndim
    pad[axis] = (2, 2)
    padded = xp.pad(x, pad, mode="edge")
    taps = (0, 1, 2, 3, 3, 2, 1, 0)
    even, odd = (sum(half[taps[r + 2 * k]] * _part(padded, axis, r + k, n) for k in range(4))
                 for r in (0, 1))
    shape = (*x.shape[: x.ndim + axis], 2 * n, *x.shape[x.ndim + axis + 1 :])
    return _part(xp.stack([even, odd], axis).reshape(shape), axis, 0, size)


def interpolate_rows(grid: Float[Array, "n ..."], ratio: int) -> Float[Array, "m ..."]:
    """Bilinear upsampling of the first axis by a whole ratio: each output row mixes two rows. The
    product with a whole matrix costs more a pixel the larger the image is; this costs the same. At
    the edges, replicating a row is what renormalizing the weights does."""
    position = (np.arange(ratio) + 0.5) / ratio - 0.5  # relative to the input row
    before, after = np.maximum(-position, 0), np.maximum(position, 0)
    padded = jnp.concatenate([grid[:1], grid, grid[-1:]])[:, None]
    n = grid.shape[0]
    mixed = sum(
        padded[k : k + n] * weight.astype(np.float32).reshape((ratio,) + (1,) * (grid.ndim - 1))
        for k, weight in enumerate((before, 1 - before - after, after)))
    return mixed.reshape(n * ratio, *grid.shape[1:])


def _keys_cubic(d):
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d >= 2, 0, np.where(d >= 1, far, near))


BICUBIC_TAPS = (-0.03515625, -0.10546875, 0.26171875, 0.87890625)
"""The first half of bicubic interpolation by 2 as 8 taps a side (COOL-CHICv2)."""

UPSAMPLINGS: dict[str, Upsampling] = {
    "bilinear": Upsampling(2, lambda d: np.maximum(0, 1 - d), whole_ratio=interpolate_rows),
    "bicubic": Upsampling(4, _keys_cubic),
    "lanczos": Upsampling(6, lambda d: np.where(d > 3, 0, np.sinc(d) * np.sinc(d / 3))),
    # a transposed convolution of stride 2 meets every other of its 8 taps at any output
    "learned": Upsampling(4, start=BICUBIC_TAPS + BICUBIC_TAPS[::-1]),
    "separable": Upsampling(4, start=BICUBIC_TAPS + BICUBIC_TAPS[::-1], is_separable=True),
}
"""By name. Append only: the place is the number in files."""
