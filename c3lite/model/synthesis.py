"""The synthesis network f_theta: upsampled latents to pixels (App. A.1.3)."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from c3lite.arrays.blocks import map_columns
from c3lite.arrays.kernels import edge_pad, small_conv
from c3lite.ingredients.activations import ACTIVATIONS
from c3lite.model.networks import Dense, dense_layers, linear, run_layers


class ResidualConv(eqx.Module):
    """x + conv(x), 3 entries a side, 3 channels, edges replicated; zero at the start."""

    weight: Float[Array, "3 3 *size"]
    bias: Float[Array, "3"]

    def __init__(self, size: tuple[int, ...]):
        self.weight = jnp.zeros((3, 3, *size))
        self.bias = jnp.zeros(3)

    def __call__(self, x: Float[Array, "3 *shape"]) -> Float[Array, "3 *shape"]:
        size = self.weight.shape[2:]
        padded = edge_pad(x, (0, *(k // 2 for k in size)))
        bias = self.bias.reshape((3,) + (1,) * len(size))
        return x + small_conv(padded, self.weight) + bias


class Synthesis(eqx.Module):
    """1x1 layers, then residual convolutions; the output is clipped to [0, 1] also in training."""

    layers: tuple[Dense, ...]
    convs: tuple[ResidualConv, ...]
    branch: Dense | None
    """A linear map of the upsampled latents, added after the convolutions."""

    def __init__(self, config, ndim: int, *, key: PRNGKeyArray,
                 mean_rgb: Float[Array, "3"] | None = None):
        self.layers = dense_layers(config, key, (config.num_grids, *config.synthesis_widths, 3))
        if config.mean_rgb_bias and mean_rgb is not None:
            last = self.layers[-1]
            self.layers = (*self.layers[:-1], Dense(last.weight, jnp.asarray(mean_rgb)))
        size = (1, 3, 3) if config.synthesis_per_frame and ndim == 3 else (3,) * ndim
        self.convs = tuple(ResidualConv(size) for _ in range(config.synthesis_residual_convs))
        self.branch = None
        if config.linear_branches:
            n, key = config.num_grids, jr.fold_in(key, 2**16)
            start = jr.uniform(key, (3, n), minval=-1, maxval=1) / (9 * math.sqrt(n))
            self.branch = linear(start)

    def __call__(self, config, up: Float[Array, "grids *shape"]) -> Float[Array, "3 *shape"]:
        act = ACTIVATIONS[config.activation].train

        def colors(columns):
            x = run_layers(config, self.layers, columns)
            return x if self.branch is None else jnp.concatenate([x, self.branch(columns)])

        y = map_columns(colors, up.reshape(up.shape[0], -1)).reshape(-1, *up.shape[1:])
        x, branch = y[:3], y[3:]
        if config.rgb_activation:
            x = act(x)
        for i, conv in enumerate(self.convs):
            x = conv(x)
            if i < len(self.convs) - 1:
                x = act(x)
        if self.branch is not None:
            x = x + branch
        clipped = jnp.clip(x, 0, 1)
        if config.clip_gradient == "straight_through":
            return jax.lax.stop_gradient(clipped) + (x - jax.lax.stop_gradient(x))
        return clipped
