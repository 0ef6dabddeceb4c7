"""What decoding costs, in multiply-accumulates (MACs) per pixel (Eqs. 25, 26; App. B.4; Table 7).

Only matrix products and interpolation are counted, as in the literature: activations, additions,
and the arithmetic of the range decoder are not. One MAC is two floating-point operations.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from c3lite.config import Config
from c3lite.ingredients.upsampling import UPSAMPLINGS
from c3lite.model import latents
from c3lite.model.context import ancestors, context_count, previous_offsets


class DecodingCost(NamedTuple):
    """What decoding costs, by part of the decoder."""

    entropy: float
    upsampling: float
    synthesis: float

    @property
    def total(self) -> float:
        """Of all parts together."""
        return sum(self)


class MACs(DecodingCost):
    """MACs per pixel of the data."""


def macs_per_pixel(config: Config, shape: Sequence[int]) -> MACs:
    """MACs per pixel to decode data of `shape`, (height, width) or (frames, height, width).

    - Entropy model: its dense layers once a latent, and an interpolation for context from the
      previous grid. Images: the true number of latents (Eq. 25). Videos, as the paper counts them:
      grid n of 8**-n latents a pixel, each grid's share truncated to an integer.
    - Upsampling: straight to full size, 2 x 2**d MACs (8 for images, 16 for videos) a pixel and
      grid that is not at full size already: half for the average, half for computing its weights.
      From grid to grid by 2 (COOL-CHIC) the weights are constants, so each new sample costs the
      average alone: 16 in two dimensions, 121 a pixel for 7 grids.
    - Synthesis: dense layers, then 9 x k**d for each residual convolution, once a pixel (Eq. 26).
    - Linear branches: inputs x outputs. Features: A r + b once for each parent, that is for each
      latent of half the resolution.
    - Separable upsampling: 7 a latent and axis for smoothing, and of what is doubled 4 an entry and
      axis, after one axis half as many.

    FiLM and residual layers cost nothing: they are folded into weights, or are additions.

    Raises `ValueError` for another number of axes, or an empty one.
    """
    shape = tuple(shape)
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError("shape is (height, width) or (frames, height, width), all at least 1, "
                         f"not {shape}")
    kernel = 9 if config.synthesis_per_frame or len(shape) == 2 else 27
    synthesis = _dense((config.num_grids, *config.synthesis_widths, 3)) + (
        3 * config.num_grids * config.linear_branches
        + config.synthesis_residual_convs * 3 * 3 * kernel)
    return MACs(_entropy(config, shape), _upsampling(config, shape), float(synthesis))


def _dense(widths: Sequence[int]) -> int:
    return sum(a * b for a, b in itertools.pairwise(widths))


def _entropy(config, shape):
    ndim = len(shape)
    # an upper bound, as the paper's: the finest grid has no previous one, but is counted as if
    resize = _direct_macs("bilinear", ndim) if previous_offsets(config, ndim) else 0
    costs = []
    for n in range(len(latents.exponents(config))):
        context = context_count(config, ndim, n)
        features = config.grid_features * len(ancestors(config, n)) / 2**ndim
        branch = 2 * context if config.linear_branches else 0
        costs.append(_dense((context, *config.entropy_widths, 2)) + branch + features + resize)
    if ndim == 3:
        return float(sum(math.floor(cost / 8**e)
                         for cost, e in zip(costs, latents.exponents(config), strict=True)))
    sizes = map(math.prod, latents.grid_shapes(config, shape))
    return sum(cost * size for cost, size in zip(costs, sizes, strict=True)) / math.prod(shape)


def _direct_macs(method, ndim):
    return 2 * UPSAMPLINGS[method].taps ** ndim


def _upsampling(config, shape):
    ndim, kernel = len(shape), UPSAMPLINGS[config.upsampling]
    if not config.upsampling_recursive and not kernel.is_learned:
        to_resize = config.num_grids - config.finest_grid
        return float(_direct_macs(config.upsampling, ndim) * to_resize)
    if kernel.is_separable:
        sizes = list(map(math.prod, latents.grid_shapes(config, shape)))
        share = kernel.taps * (2 - 2.0 ** (1 - ndim))  # of each axis, what the ones before left
        costs = (7 * ndim + (config.num_grids - 1 - n) * share for n in range(config.num_grids - 1))
        return sum(cost * size for cost, size in zip(costs, sizes, strict=False)) / sizes[0]
    # towards the size before grid n, all grids from n on are doubled together
    sizes = list(map(math.prod, (shape, *latents.grid_shapes(config, shape))))
    samples = sum((config.num_grids - n) * sizes[n]
                  for n in range(config.num_grids) if n or not config.finest_grid)
    return kernel.taps ** ndim * samples / sizes[0]
