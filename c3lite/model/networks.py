"""The layers both networks are made of: dense layers on columns.

Data are channels-first matrices, one column a latent or pixel: products with a small weight matrix
on the left run over long contiguous rows.
"""

import itertools
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from c3lite.arrays import fused
from c3lite.arrays.kernels import affine
from c3lite.ingredients.activations import ACTIVATIONS
from c3lite.ingredients.initialization import INITIALIZATIONS


def initial_weight(
    config, key: PRNGKeyArray, n_out: int, n_in: int, fan_in: int | None = None
) -> Float[Array, "n_out n_in"]:
    """A random weight matrix, by the recipe `config.init`, times `config.init_scale`."""
    weight = INITIALIZATIONS[config.init](key, n_out, n_in, fan_in or n_in)
    return config.init_scale * weight


class Dense(eqx.Module):
    """A layer weight @ x + bias on the columns of x."""

    weight: Float[Array, "n_out n_in"]
    bias: Float[Array, " n_out"]

    def __call__(self, x: Float[Array, "n_in n"]) -> Float[Array, "n_out n"]:
        return affine(self.weight, self.bias, x)


def dense_layers(
    config, key: PRNGKeyArray, widths: Sequence[int], fan_in: int | None = None
) -> tuple[Dense, ...]:
    """Layers of the given widths, input first. `fan_in` replaces the first layer's in its init.
    Residual layers (`is_residual`) start at zero."""
    layers = []
    for i, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        weight = initial_weight(config, jr.fold_in(key, i), n_out, n_in, None if i else fan_in)
        if i < len(widths) - 2 and is_residual(config, n_in, n_out):
            weight = jnp.zeros_like(weight)
        layers.append(linear(weight))
    return tuple(layers)


def is_residual(config, n_in: int, n_out: int) -> bool:
    """Whether a hidden layer adds its input to its output before the activation (COOL-CHIC)."""
    return config.residual_layers and n_in == n_out


def run_layers(
    config, layers: Sequence[Dense], x: Float[Array, "n_in n"], branch: Dense | None = None
) -> Float[Array, "n_out n"]:
    """All layers in turn, an activation after each but the last; and beside them the branch."""
    act = ACTIVATIONS[config.activation].train
    residual = [is_residual(config, *layer.weight.shape[::-1]) for layer in layers[:-1]]

    def network(own, x):
        (*hidden, last), branch = own
        y = x
        for layer, adds in zip(hidden, residual, strict=True):
            z = layer(y)
            y = act(y + z if adds else z)
        y = last(y)
        return y if branch is None else y + branch(x)

    return fused.run(network, (layers, branch), x)


def linear(weight: Float[Array, "n_out n_in"]) -> Dense:
    """A layer, or a linear map beside a network, its bias zero at the start."""
    return Dense(weight, jnp.zeros(len(weight)))
