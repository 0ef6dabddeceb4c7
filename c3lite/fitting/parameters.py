"""Quantizing the networks after the fit, and what they cost (Eqs. 3, 24; App. A.2.6).

Every network array is coded as integers times a step; one step serves all weights and another all
biases, of both networks. The pair is chosen by trying all combinations of `config.parameter_steps`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from c3lite.coding.header import Coded
from c3lite.model.codec import Codec
from c3lite.model.entropy import latent_bits
from c3lite.model.quantize import hard_round

MAX_PARAMETER_BITS = 32.0
MIN_SCALE = 1e-3
"""Smallest Laplace scale of a parameter array, in steps: an array of equal values has std 0."""


class Networks(NamedTuple):
    """What is sent besides latents: all arrays in the order they are coded."""

    upsampling: Float[Array, "*taps"] | None
    synthesis: PyTree
    entropy: PyTree


def networks_of(codec: Codec) -> Networks:
    """The coded arrays of a codec. Learned gains are not needed to decode."""
    return Networks(codec.upsampling, codec.synthesis, codec.entropy)


def with_networks(codec: Codec, networks: Networks) -> Codec:
    """`codec` with its coded arrays replaced."""
    return eqx.tree_at(
        lambda c: (c.upsampling, c.synthesis, c.entropy), codec, tuple(networks),
        is_leaf=lambda leaf: leaf is None)


def is_bias(path) -> bool:
    """Whether an array (a path from `jax.tree_util.tree_flatten_with_path`) takes the bias step.

    Biases of layers, and the shift of FiLM (the second of each pair).
    """
    last = path[-1]
    in_film = any(getattr(key, "name", None) == "film" for key in path)
    return last.idx == 1 if in_film else getattr(last, "name", None) == "bias"


def to_integers(networks: Networks, weight_step, bias_step) -> Networks:
    """Each array divided by its step and rounded; still floats, whole numbers."""
    return jax.tree_util.tree_map_with_path(
        lambda path, array: jnp.round(array / (bias_step if is_bias(path) else weight_step)),
        networks)


def from_integers(integers: Networks, weight_step, bias_step) -> Networks:
    """The networks that the decoder sees: integers times steps."""
    return jax.tree_util.tree_map_with_path(
        lambda path, k: k * jnp.float32(bias_step if is_bias(path) else weight_step), integers)


def laplace_array_bits(integers: Float[Array, "*shape"]) -> Float[Array, ""]:
    """Bits of one array of whole numbers under its own zero-mean Laplace (Eq. 3).

    scale = std / sqrt(2), at least 1e-3, in steps; at most 32 bits a parameter.
    """
    scale = jnp.maximum(jnp.std(integers) / math.sqrt(2), MIN_SCALE)
    size = jnp.abs(integers)
    # in logarithms: 32 bits are far down the tail
    zero = jnp.log1p(-jnp.exp(-0.5 / scale))
    other = -(size - 0.5) / scale + jnp.log(-jnp.expm1(-1 / scale)) - math.log(2)
    bits = -jnp.where(size == 0, zero, other) / math.log(2)
    return jnp.minimum(bits, MAX_PARAMETER_BITS).sum()


def network_bits(integers: Networks) -> Networks:
    """Bits of the upsampling kernel, of synthesis and of the entropy model."""
    return Networks(*(
        sum((laplace_array_bits(a) for a in jax.tree.leaves(part)), jnp.zeros(()))
        for part in integers))


class Search(NamedTuple):
    """The outcome of trying all pairs of steps; entry [i, j]: weight step i, bias step j."""

    loss: Float[Array, "weights biases"]
    """MSE of the 8-bit output + lambda (all bits) / pixels (Eq. 24)."""
    best: Coded
    """At the least loss."""
    latent_bits: Float[Array, ""]
    """At the least loss."""
    network_bits: Networks
    """At the least loss: bits of the upsampling kernel, of synthesis and of the entropy model."""


@jax.jit
def search(codec: Codec, config, x: Float[Array, "3 *shape"]) -> Search:
    """Quantize latents and networks, by the pair of steps of least loss; one compiled program."""
    symbols = hard_round(codec.scaled_latents(config))
    networks = networks_of(codec)
    pixels = x.size // 3

    def loss(steps):
        integers = to_integers(networks, *steps)
        coded = with_networks(codec, from_integers(integers, *steps))
        bits = latent_bits(coded.entropy, config, symbols, codec.shape).sum()
        mse = jnp.mean((to_8_bits(coded.decode(config, symbols)) - x) ** 2)
        all_bits = bits + sum(network_bits(integers))
        return mse + config.rd_weight * all_bits / pixels, bits

    candidates = jnp.array(config.parameter_steps)
    n = len(config.parameter_steps)
    pairs = jnp.repeat(candidates, n), jnp.tile(candidates, n)
    losses, bits = jax.lax.map(loss, pairs)
    k = jnp.argmin(losses)
    steps = pairs[0][k], pairs[1][k]
    integers = to_integers(networks, *steps)
    best = Coded(symbols.astype(jnp.int32), integers, *steps)
    return Search(losses.reshape(n, n), best, bits[k], network_bits(integers))


def to_8_bits(image: Float[Array, "3 *shape"]) -> Float[Array, "3 *shape"]:
    """Values in [0, 1] rounded to multiples of 1/255: the decoder's output format."""
    return jnp.round(image * 255) / 255
