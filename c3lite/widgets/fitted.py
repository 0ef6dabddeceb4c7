"""A fit as what codec.js decodes: latents, networks, and how far each grid is from the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from c3lite import plots
from c3lite.fitting.fit import Fit
from c3lite.ingredients.upsampling import UPSAMPLINGS
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
    config, networks = fit.config, fit.networks
    learned = UPSAMPLINGS[config.upsampling].is_learned
    if learned and len(fit.shape) == 3:
        raise ValueError("a video with a learned upsampling kernel cannot be explored; "
                         "fit it with upsampling='bicubic'")
    one_each = config.entropy_per_grid or config.entropy_film
    return {
        "shape": _three(fit.shape, 1),
        "grids": _grids(fit, one_each, learned), "bits_unit": BITS_UNIT,
        "q": float(config.quantization_step),
        "log_scale_shift": float(config.log_scale_shift),
        "scale_min": float(config.scale_min), "scale_max": float(config.scale_max),
        "activation": config.activation, "residual": config.residual_layers,
        "rgb_activation": config.rgb_activation,
        "kernel": pack(networks.upsampling) if learned else None,
        "layers": _layers(networks.synthesis.layers),
        "convs": [{"weight": pack(np.reshape(c.weight, (3, 3, *_three(c.weight.shape[2:], 1)))),
                   "bias": pack(c.bias)} for c in networks.synthesis.convs],
        "networks": [_layers(networks.entropy.network(n))
                     for n in range(config.num_grids if one_each else 1)],
    }


def _grids(fit, one_each, learned):
    config, ndim = fit.config, len(fit.shape)
    return [{
        "shape": _three(grid.shape, 1), "exponent": exponent, "symbols": pack(grid),
        "bits": pack(np.rint(BITS_UNIT * bits).astype(int)), "total_bits": float(bits.sum()),
        "offsets": [_three(o, 0) for o in ctx.grid_offsets(config, ndim, n)],
        "previous": [_three(o, 0) for o in ctx.previous_offsets(config, ndim)],
        "network": n if one_each else 0,
        # along each axis, time first
        "up": None if learned else [
            band(latents.path_matrix(path, config.upsampling)) for path in
            ((1,),) * (3 - ndim) + latents.resize_paths(config, fit.shape, n)],
    } for n, (grid, bits, exponent) in enumerate(zip(
        fit.grids, plots.latent_bits(fit), latents.exponents(config), strict=True))]


def _three(values, filled):
    return [filled] * (3 - len(values)) + [int(v) for v in values]


def _layers(layers):
    return [{"weight": pack(layer.weight), "bias": pack(layer.bias)} for layer in layers]


def band(matrix: Float[np.ndarray, "n_out n_in"]) -> dict[str, Any]:
    """A matrix of few entries a row: the first column of each row's taps, and the taps."""
    used = matrix != 0
    first = used.argmax(1)
    end = matrix.shape[1] - used[:, ::-1].argmax(1)
    width = int((end - first).max())
    first = np.minimum(first, matrix.shape[1] - width)
    taps = np.take_along_axis(matrix, first[:, None] + np.arange(width), 1)
    return {"first": pack(first), "taps": pack(taps)}
