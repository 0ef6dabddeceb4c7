"""Upsampling: the kernels that interpolate the latent grids (App. A.1.2), and the learned one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Upsampling(NamedTuple):
    """A separable kernel: fixed by a formula, or learned from given taps on."""

    taps: int
    """Samples along one axis that an interpolated value is made of."""
    weight: Callable[[Float[np.ndarray, "..."]], Float[np.ndarray, "..."]] | None = None
    """Weight of a sample at distance d >= 0, in input samples; None: learned."""
    start: tuple[float, ...] = ()
    """Of a learned kernel: its 8 taps at the start, along each axis."""
    whole_ratio: Callable[[Float[Array, "n ..."], int], Float[Array, "m ..."]] | None = None
    """A cheaper way along the first axis in training, for whole ratios."""

    @property
    def is_learned(self) -> bool:
        """Whether the kernel is fitted, and sent with the networks."""
        return self.weight is None

    def initial_kernel(self, ndim: int) -> Float[Array, "*taps"]:
        """The learned kernel at the start: an outer product of its taps."""
        taps = np.array(self.start, np.float32)
        kernel = taps
        for _ in range(ndim - 1):
            kernel = np.multiply.outer(kernel, taps)
        return jnp.asarray(kernel)


def _triangle(d):
    return np.maximum(0, 1 - d)


def interpolate_rows(grid: Float[Array, "n ..."], ratio: int) -> Float[Array, "m ..."]:
    """Bilinear upsampling of the first axis by a whole ratio: each output row mixes two rows.

    The product with a whole matrix costs more a pixel the larger the image is; this costs the
    same. At the edges, replicating a row is what renormalizing the weights does.
    """
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


def _lanczos3(d):
    return np.where(d > 3, 0, np.sinc(d) * np.sinc(d / 3))


BICUBIC_TAPS = (-0.03515625, -0.10546875, 0.26171875, 0.87890625)
"""The first half of bicubic interpolation by 2 as 8 taps a side (COOL-CHICv2)."""

UPSAMPLINGS: dict[str, Upsampling] = {
    "bilinear": Upsampling(2, _triangle, whole_ratio=interpolate_rows),
    "bicubic": Upsampling(4, _keys_cubic),
    "lanczos": Upsampling(6, _lanczos3),
    # a transposed convolution of stride 2 meets every other of its 8 taps at any output
    "learned": Upsampling(4, start=BICUBIC_TAPS + BICUBIC_TAPS[::-1]),
}
"""By name. Append only: the place is the number in files."""
