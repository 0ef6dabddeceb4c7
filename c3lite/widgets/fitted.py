"""A fit as what codec.js decodes: latents, networks, and how far each grid is from the picture."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from c3lite import plots
from c3lite.fitting import parameters
from c3lite.fitting.fit import Fit
from c3lite.model import context as ctx
from c3lite.model import latents
from c3lite.widgets.base import pack

BITS_UNIT = 15
"""A latent costs at most 16 bits: this many parts of a bit fit into a byte."""


def fitted(fit: Fit) -> dict[str, Any]:
    """Everything that the decoder and the entropy model are, for `FittedCodec` in codec.js.

    Images become videos of one frame: all shapes and offsets have three axes. Raises `ValueError`
    for a video with a learned upsampling kernel.
    """
    config, ndim, coded = fit.config, len(fit.shape), fit.coded
    learned = config.upsampling == "learned"
    if learned and ndim == 3:
        raise ValueError("a video with a learned upsampling kernel cannot be explored; "
                         "fit it with upsampling='bicubic'")
    networks = parameters.from_integers(coded.networks, coded.weight_step, coded.bias_step)
    one_each = config.entropy_per_grid or config.entropy_film
    entropy = [networks.entropy.network(n) for n in range(config.num_grids if one_each else 1)]
    return {
        "shape": _three(fit.shape, 1),
        "grids": _grids(fit, one_each),
        "q": float(config.quantization_step),
        "log_scale_shift": float(config.log_scale_shift),
        "scale_min": float(config.scale_min), "scale_max": float(config.scale_max),
        "activation": config.activation, "residual": config.residual_layers,
        "rgb_activation": config.rgb_activation,
        "kernel": pack(networks.upsampling) if learned else None,
        "layers": [_layer(layer) for layer in networks.synthesis.layers],
        "convs": [{"weight": pack(np.reshape(c.weight, (3, 3, *_three(c.weight.shape[2:], 1)))),
                   "bias": pack(c.bias)} for c in networks.synthesis.convs],
        "networks": [[_layer(layer) for layer in network] for network in entropy],
    }


def _grids(fit, one_each):
    config, ndim = fit.config, len(fit.shape)
    shapes = latents.grid_shapes(config, fit.shape)
    bits = plots.latent_bits(fit)
    ends = itertools.accumulate(map(math.prod, shapes))
    return [{
        "shape": _three(shape, 1), "exponent": exponent,
        "symbols": pack(fit.coded.symbols[end - math.prod(shape) : end]),
        "bits": pack(np.rint(BITS_UNIT * bits[n]).astype(int)), "total_bits": float(bits[n].sum()),
        "offsets": [_three(o, 0) for o in ctx.grid_offsets(config, ndim, n)],
        "previous": [_three(o, 0) for o in ctx.previous_offsets(config, ndim)],
        "network": n if one_each else 0,
        "up": None if config.upsampling == "learned" else _bands(config, shapes, n, fit.shape),
    } for n, (shape, exponent, end) in enumerate(
        zip(shapes, latents.exponents(config), ends, strict=True))]


def _three(values, filled):
    return [filled] * (3 - len(values)) + [int(v) for v in values]


def _layer(layer):
    return {"weight": pack(layer.weight), "bias": pack(layer.bias)}


def _bands(config, shapes, n, shape):
    """Along each axis, time first, the few inputs that make each output of upsampling grid n."""
    sides = (shape, *shapes)
    stops = sides[n + 1 :: -1] if config.upsampling_recursive else (sides[n + 1], shape)
    paths = [tuple(side[axis] for side in stops) for axis in range(len(shape))]
    paths = [(1,)] * (3 - len(shape)) + paths
    return [band(latents.path_matrix(path, config.upsampling)) for path in paths]


def band(matrix: Float[np.ndarray, "n_out n_in"]) -> dict[str, Any]:
    """A matrix of few entries a row: the first column of each row's taps, and the taps."""
    used = matrix != 0
    first = used.argmax(1)
    end = matrix.shape[1] - used[:, ::-1].argmax(1)
    width = int((end - first).max())
    first = np.minimum(first, matrix.shape[1] - width)
    taps = np.take_along_axis(matrix, first[:, None] + np.arange(width), 1)
    return {"first": pack(first), "taps": pack(taps)}
