"""A fit as what codec.js decodes: latents, networks, and how far each grid is from the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from c3lite import plots
from c3lite.coding import integer_entropy
from c3lite.fitting.fit import Fit
from c3lite.ingredients.upsampling import UPSAMPLINGS
from c3lite.model import context as ctx
from c3lite.model import latents
from c3lite.model.networks import is_residual
from c3lite.widgets.base import pack

BITS_UNIT = 15
"""A latent costs at most 16 bits: this many parts of a bit fit into a byte."""


def fitted(fit: Fit) -> dict[str, Any]:
    """Everything that the decoder and the entropy model are, for `FittedCodec` in codec.js.

    Images become videos of one frame: all shapes and offsets have three axes. Raises `ValueError`
    for a video with a learned upsampling kernel.
    """
    config, networks = fit.config, fit.networks
    kernel = UPSAMPLINGS[config.upsampling]
    learned = kernel.is_learned
    if learned and len(fit.shape) == 3:
        raise ValueError("a video with a learned upsampling kernel cannot be explored; "
                         "fit it with upsampling='bicubic'")
    one_each = config.entropy_per_grid or config.entropy_film or config.grid_features > 0
    branch = networks.synthesis.branch
    return {
        "shape": _three(fit.shape, 1),
        "grids": _grids(fit, one_each, learned), "bits_unit": BITS_UNIT,
        "q": float(config.quantization_step),
        "log_scale_shift": float(config.log_scale_shift),
        "scale_min": float(config.scale_min), "scale_max": float(config.scale_max),
        "activation": config.activation, "rgb_activation": config.rgb_activation,
        "kernel": pack(networks.upsampling) if learned else None,
        "separable": kernel.is_separable,
        "layers": _layers(config, networks.synthesis.layers),
        "branch": None if branch is None else _layer(*_arrays(branch)),
        "convs": [{"weight": pack(np.reshape(c.weight, (3, 3, *_three(c.weight.shape[2:], 1)))),
                   "bias": pack(c.bias)} for c in networks.synthesis.convs],
        "networks": [_network(config, networks.entropy, n)
                     for n in range(len(fit.grids) if one_each else 1)],
    }


def _grids(fit, one_each, learned):
    config, ndim = fit.config, len(fit.shape)
    return [{
        "shape": _three(grid.shape, 1), "exponent": exponent, "symbols": pack(grid),
        "bits": pack(np.rint(BITS_UNIT * bits).astype(int)), "total_bits": float(bits.sum()),
        "offsets": [_three(o, 0) for o in ctx.grid_offsets(config, ndim, n)],
        "previous": [_three(o, 0) for o in ctx.previous_offsets(config, ndim)],
        "network": n if one_each else 0, "above": ctx.ancestors(config, n),
        # along each axis, time first
        "up": None if learned else [
            band(latents.path_matrix(path, config.upsampling)) for path in
            ((1,),) * (3 - ndim) + latents.resize_paths(config, fit.shape, n)],
    } for n, (grid, bits, exponent) in enumerate(zip(
        fit.grids, plots.latent_bits(fit), latents.exponents(config), strict=True))]


def _three(values, filled):
    return [filled] * (3 - len(values)) + [int(v) for v in values]


def _arrays(layer):
    return np.asarray(layer.weight), np.asarray(layer.bias)


def _layer(weight, bias, residual=False):
    return {"weight": pack(weight), "bias": pack(bias), "residual": residual}


def _layers(config, layers):
    return [_layer(*_arrays(layer), i < len(layers) - 1
                   and is_residual(config, *layer.weight.shape[::-1]))
            for i, layer in enumerate(layers)]


def _network(config, entropy, n):
    """The layers and the branch of a grid, its features as inputs of their own."""
    layers, branch = entropy.network(n), entropy.branch(n)
    packed = _layers(config, layers)
    features = _arrays(entropy.features[n]) if n < len(entropy.features) else None

    def seen(layer, added=0.0):
        weight, bias = _arrays(layer)
        return _layer(*integer_entropy.seen(config, weight + added, bias, features))

    if config.grid_features:
        # what a residual layer adds are features, too
        packed[0] = seen(layers[0], np.eye(len(layers[0].weight)) if packed[0]["residual"] else 0.0)
    return {"layers": packed, "branch": None if branch is None else seen(branch)}


def band(matrix: Float[np.ndarray, "n_out n_in"]) -> dict[str, Any]:
    """A matrix of few entries a row: the first column of each row's taps, and the taps."""
    used = matrix != 0
    first = used.argmax(1)
    end = matrix.shape[1] - used[:, ::-1].argmax(1)
    width = int((end - first).max())
    first = np.minimum(first, matrix.shape[1] - width)
    taps = np.take_along_axis(matrix, first[:, None] + np.arange(width), 1)
    return {"first": pack(first), "taps": pack(taps)}
