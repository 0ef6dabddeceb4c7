"""What a file holds: latents, and the arrays of the networks in the order in which they are sent.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Integer, PyTree

from c3lite.config import Config
from c3lite.ingredients.upsampling import UPSAMPLINGS
from c3lite.model.context import context_count


class Coded(NamedTuple):
    """Everything that goes into a file, as integers."""

    symbols: Integer[Array | np.ndarray, " latents"]
    """Quantized latents in step units, grids one after another, finest first."""
    networks: PyTree
    """Whole numbers, leaves in the order of `array_infos`; times the steps they are the networks
    that the decoder has. Of a fit: `parameters.Networks`. Read from a file: a list."""
    weight_step: float
    bias_step: float


class Contents(NamedTuple):
    """What a file says. As a fit has these fields too, both can be encoded."""

    config: Config
    """What a decoder needs; other fields have their defaults."""
    shape: tuple[int, ...]
    """(height, width) or (frames, height, width)."""
    coded: Coded


class ArrayInfo(NamedTuple):
    """One array of the networks, in the order of the file."""

    part: str
    """"upsampling", "synthesis" or "entropy"."""
    shape: tuple[int, ...]
    is_bias: bool


def array_infos(config: Config, ndim: int) -> Iterator[ArrayInfo]:
    """All coded arrays, in the order of `jax.tree.leaves` of `parameters.Networks`."""
    if UPSAMPLINGS[config.upsampling].is_learned:
        yield ArrayInfo("upsampling", (8,) * ndim, False)
    yield from _dense("synthesis", config.num_grids, *config.synthesis_widths, 3)
    size = (1, 3, 3) if config.synthesis_per_frame and ndim == 3 else (3,) * ndim
    for _ in range(config.synthesis_residual_convs):
        yield ArrayInfo("synthesis", (3, 3, *size), False)
        yield ArrayInfo("synthesis", (3,), True)
    for n in range(config.num_grids if config.entropy_per_grid else 1):
        yield from _dense("entropy", context_count(config, ndim, n), *config.entropy_widths, 2)
    for width in config.entropy_widths if config.entropy_film else ():
        yield ArrayInfo("entropy", (config.num_grids, width), False)
        yield ArrayInfo("entropy", (config.num_grids, width), True)


def _dense(part, *widths):
    for n_in, n_out in itertools.pairwise(widths):
        yield ArrayInfo(part, (n_out, n_in), False)
        yield ArrayInfo(part, (n_out,), True)


Pair = tuple[np.ndarray, np.ndarray]


class Arrays(NamedTuple):
    """A flat list of the coded arrays, taken apart."""

    upsampling: np.ndarray | None
    layers: list[Pair]
    """(weight, bias) of synthesis' 1x1 layers."""
    convs: list[Pair]
    """(weight, bias) of its residual convolutions."""
    networks: list[list[Pair]]
    """(weight, bias) of the layers of each entropy network."""
    film: list[Pair]
    """(scale - 1, shift) of each hidden layer, a row a grid."""


def take_apart(config: Config, arrays: Sequence[np.ndarray]) -> Arrays:
    """Arrays in the order of `array_infos`, by their roles."""
    left = iter(arrays)

    def pairs(n):
        return [(next(left), next(left)) for _ in range(n)]

    kernel = next(left) if UPSAMPLINGS[config.upsampling].is_learned else None
    layers = pairs(len(config.synthesis_widths) + 1)
    convs = pairs(config.synthesis_residual_convs)
    networks = [pairs(len(config.entropy_widths) + 1)
                for _ in range(config.num_grids if config.entropy_per_grid else 1)]
    return Arrays(kernel, layers, convs, networks,
                  pairs(len(config.entropy_widths)) if config.entropy_film else [])
