"""The layers both networks are made of: dense layers on columns, activations, initialization.

Data are channels-first matrices, one column a latent or pixel: products with a small weight matrix
on the left run over long contiguous rows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

_GELU_SLOPE = math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715


@jax.custom_vjp
def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The tanh approximation of GELU: x times the logistic function of 2u(x).

    u(x) = sqrt(2/pi) (x + 0.044715 x^3). The derivative is taken from the output, which saves the
    second tanh: a tenth of the time of a fitting step.
    """
    return jax.nn.gelu(x, approximate=True)


def _gelu_forward(x):
    y = gelu(x)
    return y, (x, y)


def _gelu_backward(residuals, g):
    x, y = residuals
    small = jnp.abs(x) < 1e-3  # there y / x is 0/0, or loses digits
    logistic = jnp.where(small, 0.5 + _GELU_SLOPE * x / 2, y / jnp.where(small, 1.0, x))
    du = 2 * _GELU_SLOPE * (1 + 3 * _GELU_CUBIC * x * x)
    return (g * logistic * (1 + x * (1 - logistic) * du),)


gelu.defvjp(_gelu_forward, _gelu_backward)

ACTIVATIONS = {"gelu": gelu, "relu": jax.nn.relu}


def initial_weight(
    config, key: PRNGKeyArray, n_out: int, n_in: int, fan_in: int | None = None
) -> Float[Array, "n_out n_in"]:
    """A random weight matrix, by the recipe `config.init`.

    truncated_normal: sigma = 1/sqrt(fan_in), cut at 2 sigma before scaling (the release; the text
    says He). cool_chic: N(0, 1)/n_out^2. cool_chic_v2: uniform in +-1/sqrt(fan_in), over n_out^2.
    """
    fan_in = fan_in or n_in
    if config.init == "cool_chic":
        weight = jr.normal(key, (n_out, n_in)) / n_out**2
    elif config.init == "cool_chic_v2":
        weight = jr.uniform(key, (n_out, n_in), minval=-1, maxval=1) / math.sqrt(fan_in) / n_out**2
    else:
        weight = jr.truncated_normal(key, -2, 2, (n_out, n_in)) / math.sqrt(fan_in)
    return config.init_scale * weight


@jax.custom_vjp
def affine(
    weight: Float[Array, "n_out n_in"], bias: Float[Array, " n_out"], x: Float[Array, "n_in n"]
) -> Float[Array, "n_out n"]:
    """weight @ x + bias for long rows x, with derivatives that are matrix products."""
    return weight @ x + bias[:, None]


def outer_sum(g: Float[Array, "n_out n"], x: Float[Array, "n_in n"]) -> Float[Array, "n_out n_in"]:
    """g @ x.T for long rows. Of few rows of g each is a matrix-vector product, which XLA on a CPU
    does in half the time."""
    if g.shape[0] > 4:
        return g @ x.T
    g = jax.lax.optimization_barrier(g)  # or what makes g is computed again for each row
    return jnp.stack([x @ row for row in g])


def _affine_backward(residuals, g):
    weight, x = residuals
    ones = jnp.ones(g.shape[1])  # a product with ones takes half the time of XLA's sum of rows
    return outer_sum(g, x), g @ ones, weight.T @ g


affine.defvjp(lambda weight, bias, x: (affine(weight, bias, x), (weight, x)), _affine_backward)


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

    Residual layers (`is_residual`) start at zero.
    """
    layers = []
    for i, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        weight = initial_weight(config, jr.fold_in(key, i), n_out, n_in,
                                fan_in if i == 0 else None)
        hidden = i < len(widths) - 2
        if hidden and is_residual(config, n_in, n_out):
            weight = jnp.zeros_like(weight)
        layers.append(Dense(weight, jnp.zeros(n_out)))
    return tuple(layers)


def is_residual(config, n_in: int, n_out: int) -> bool:
    """Whether a hidden layer adds its input to its output before the activation (COOL-CHIC)."""
    return config.residual_layers and n_in == n_out


def run_layers(
    config, layers: Sequence[Dense], x: Float[Array, "n_in n"]
) -> Float[Array, "n_out n"]:
    """All layers in turn, an activation after each but the last."""
    act = ACTIVATIONS[config.activation]
    for layer in layers[:-1]:
        y = layer(x)
        x = act(x + y if is_residual(config, *layer.weight.shape[::-1]) else y)
    return layers[-1](x)
