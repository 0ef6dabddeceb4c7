"""Quantizing the networks after the fit, and what they cost (Eqs. 3, 24; App. A.2.6).

Every network array is coded as integers times a step; one step serves all weights and another all
biases, of both networks, or of each. All pairs of `config.parameter_steps` are tried.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from c3lite.coding.header import ARRAY_STEPS, Quantized, array_steps
from c3lite.model.codec import Codec
from c3lite.model.entropy import latent_bits, total_bits
from c3lite.model.quantize import hard_round

MAX_PARAMETER_BITS = 32.0
MIN_SCALE = 1e-3
"""Smallest Laplace scale of a parameter array, in steps: an array of equal values has std 0."""
SMALL_WEIGHT = 3e-3
"""Of `smooth_network_bits`: weights about this size and below cost next to nothing."""
MOVES = (0, -1, 1, -2, 2, -4, 4)
"""Of `steps_of_arrays`: so many places of `ARRAY_STEPS` further, tried for each array, twice."""
SWEEPS, PROBES, GROUPS = 2, 8, 12
"""Of `towards_zero`: gradients and forward passes of some fifty steps of a fit."""


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
    return eqx.tree_at(lambda c: (c.upsampling, c.synthesis, c.entropy), codec, tuple(networks),
                       is_leaf=lambda leaf: leaf is None)


def to_integers(networks: Networks, *steps) -> Networks:
    """Each array divided by its step and rounded; still floats, whole numbers. `steps` are those of
    weights and biases, and maybe two more of the entropy model's; or one for each array."""
    return jax.tree.map(lambda array, step: jnp.round(array / step), networks,
                        array_steps(networks, steps))


def from_integers(integers: Networks, *steps) -> Networks:
    """The networks that the decoder sees: integers times steps (as for `to_integers`)."""
    return jax.tree.map(lambda k, step: k * jnp.float32(step), integers,
                        array_steps(integers, steps))


def laplace_array_scale(integers: Float[Array, "*shape"]) -> Float[Array, ""]:
    """Scale of the zero-mean Laplace of one array, std / sqrt(2), at least 1e-3, in steps."""
    return jnp.maximum(jnp.std(integers) / math.sqrt(2), MIN_SCALE)


def laplace_integer_bits(integers: Float[Array, "*shape"], scale) -> Float[Array, "*shape"]:
    """Bits of whole numbers under a zero-mean Laplace, at most 32 each (Eq. 3)."""
    size = jnp.abs(integers)
    # in logarithms: 32 bits are far down the tail
    zero = jnp.log1p(-jnp.exp(-0.5 / scale))
    other = -(size - 0.5) / scale + jnp.log(-jnp.expm1(-1 / scale)) - math.log(2)
    bits = -jnp.where(size == 0, zero, other) / math.log(2)
    return jnp.minimum(bits, MAX_PARAMETER_BITS)


def laplace_array_bits(integers: Float[Array, "*shape"]) -> Float[Array, ""]:
    """Bits of one array of whole numbers under its own zero-mean Laplace (Eq. 3)."""
    return laplace_integer_bits(integers, laplace_array_scale(integers)).sum()


def network_bits(integers: Networks) -> Networks:
    """Bits of the upsampling kernel, of synthesis and of the entropy model."""
    return Networks(*(sum(map(laplace_array_bits, jax.tree.leaves(part)), jnp.zeros(()))
                      for part in integers))


def smooth_network_bits(networks: Networks) -> Float[Array, ""]:
    """`network_bits` but for a constant, from weights instead of integers, with a gradient. Each
    array has a Laplace of its own, whatever its step: n log2(scale) bits, |w| / scale nats each."""
    def bits(array):
        scale = jnp.sqrt((jnp.mean(array**2) + SMALL_WEIGHT**2) / 2)
        return array.size * jnp.log2(scale) + jnp.abs(array).sum() / (scale * math.log(2))

    return sum(map(bits, jax.tree.leaves(networks)))


class Search(NamedTuple):
    """The outcome of trying all pairs of steps, at the least loss but for the losses themselves."""

    loss: Float[Array, "weights biases"]
    """MSE of the 8-bit output + lambda (all bits) / pixels (Eq. 24)."""
    best: Quantized
    total_latent_bits: Float[Array, ""]
    network_bits: Networks
    """Of the upsampling kernel, of synthesis and of the entropy model."""


@jax.jit
def search(codec: Codec, config, x: Float[Array, "3 *shape"]) -> Search:
    """Quantize latents and networks, by the pair of steps of least loss; one compiled program."""
    symbols = hard_round(codec.scaled_latents(config))
    networks = networks_of(codec)
    pixels = x.size // 3

    def parts(steps):
        """MSE, bits of the latents, and of the networks."""
        integers = to_integers(networks, *steps)
        coded = with_networks(codec, from_integers(integers, *steps))
        bits = latent_bits(coded.entropy, config, symbols, codec.shape).sum()
        mse = jnp.mean((to_8_bits(coded.decode(config, symbols)) - x) ** 2)
        return mse, bits, network_bits(integers)

    candidates = jnp.array(config.parameter_steps)
    n = len(config.parameter_steps)
    pairs = jnp.repeat(candidates, n), jnp.tile(candidates, n)
    mse, bits, own = jax.lax.map(parts, pairs)
    losses = mse + config.rd_weight * (bits + sum(own)) / pixels
    k = jnp.argmin(losses)
    steps = pairs[0][k], pairs[1][k]
    if config.steps_per_network or config.steps_per_array:
        # the entropy model changes the rate alone, the others the rest
        rest = mse + config.rd_weight * (own.synthesis + own.upsampling) / pixels
        first, k = jnp.argmin(rest), jnp.argmin(bits + own.entropy)
        steps = pairs[0][first], pairs[1][first], pairs[0][k], pairs[1][k]
    latents = bits[k]
    if config.steps_per_array:
        steps, latents = steps_of_arrays(codec, config, x, symbols, steps)
    integers = to_integers(networks, *steps)
    if config.network_rdoq:
        integers, latents = towards_zero(codec, config, x, symbols, integers, steps)
    best = Quantized(symbols.astype(jnp.int32), integers, steps)
    return Search(losses.reshape(n, n), best, latents, network_bits(integers))


def steps_of_arrays(codec: Codec, config, x: Float[Array, "3 *shape"],
                    symbols: Float[Array, " latents"],
                    steps: Sequence) -> tuple[tuple, Float[Array, ""]]:
    """A step for every array, and the latents' bits with them; `steps` is where to begin. One array
    after another takes the step of least loss. The entropy model changes the rate alone, the others
    the distortion alone, so only that half of the codec is evaluated."""
    networks, pixels = networks_of(codec), x.size // 3
    table = jnp.array(ARRAY_STEPS)
    start = jnp.stack(jax.tree.leaves(array_steps(networks, steps)))
    numbers = jnp.argmin(jnp.abs(jnp.log(table) - jnp.log(start)[:, None]), axis=1)
    of_entropy = [path[0].name == "entropy" for path, _ in
                  jax.tree_util.tree_flatten_with_path(networks)[0]]

    def coded(numbers):
        integers = to_integers(networks, *table[numbers])
        return (with_networks(codec, from_integers(integers, *table[numbers])),
                sum(network_bits(integers)))

    def rate(numbers):
        decoder, own = coded(numbers)
        return latent_bits(decoder.entropy, config, symbols, codec.shape).sum() + own

    def distortion(numbers):
        decoder, own = coded(numbers)
        mse = jnp.mean((to_8_bits(decoder.decode(config, symbols)) - x) ** 2)
        return mse + config.rd_weight * own / pixels

    def improved(cost, numbers, which):
        def of_one(numbers, i):
            moved = jnp.clip(numbers[i] + jnp.array(MOVES), 0, len(ARRAY_STEPS) - 1)
            tried = jax.vmap(lambda number: numbers.at[i].set(number))(moved)
            return tried[jnp.argmin(jax.lax.map(cost, tried))], None

        order = jnp.array([i for i, own in enumerate(of_entropy) if own == which] * 2)
        return jax.lax.scan(of_one, numbers, order)[0]

    numbers = improved(rate, improved(distortion, numbers, False), True)
    own = sum(network_bits(to_integers(networks, *table[numbers])))
    return tuple(table[numbers]), rate(numbers) - own


def towards_zero(codec: Codec, config, x: Float[Array, "3 *shape"],
                 symbols: Float[Array, " latents"], integers: Networks,
                 steps: Sequence) -> tuple[Networks, Float[Array, ""]]:
    """RDOQ: integers of the networks that cost less, and the latents' bits with them.

    Each integer's best move by one or two is predicted from the loss's gradient and curvature (by
    differences of gradients along random signs) and from its own bits. In the order of what they
    promise, the moves are made in groups, and each group stays if the loss itself falls.
    """
    start, unravel = ravel_pytree(integers)
    pixels = x.size // 3

    def parts(k):
        coded = with_networks(codec, from_integers(unravel(k), *steps))
        return coded.decode(config, symbols), total_bits(
            coded.entropy, config, symbols, codec.shape)

    def smooth_loss(k):
        image, bits = parts(k)
        return jnp.mean((image - x) ** 2) + config.rd_weight * bits / pixels

    def loss(k):
        image, bits = parts(k)
        all_bits = bits + sum(network_bits(unravel(k)))
        return jnp.mean((to_8_bits(image) - x) ** 2) + config.rd_weight * all_bits / pixels, bits

    def sweep(carry, key):
        k, *_ = carry
        signs = jr.rademacher(key, (PROBES, *k.shape), jnp.float32)
        around = jnp.concatenate([k[None], k + signs / 2, k - signs / 2])
        slope, *gradients = jax.lax.map(jax.grad(smooth_loss), around)
        ahead, behind = jnp.stack(gradients).reshape(2, *signs.shape)
        bend = jnp.maximum((signs * (ahead - behind)).mean(0), 0)
        scale, _ = ravel_pytree(jax.tree.map(
            lambda a: jnp.broadcast_to(laplace_array_scale(a), a.shape), unravel(k)))

        def promise(move):
            saved = laplace_integer_bits(k + move, scale) - laplace_integer_bits(k, scale)
            return slope * move + bend * move**2 / 2 + config.rd_weight * saved / pixels

        moves = jnp.stack([-jnp.sign(k), -jnp.clip(k, -2, 2), jnp.sign(k)])
        promises = jax.vmap(promise)(moves)
        which = jnp.argmin(promises, axis=0)[None]
        move, gain = (jnp.take_along_axis(a, which, 0)[0] for a in (moves, promises))
        count = jnp.maximum((gain < 0).sum(), 1)
        group = jnp.argsort(jnp.argsort(gain)) * GROUPS // count  # the first promise most

        def try_group(carry, number):
            tried = jnp.where((group == number) & (gain < 0), carry[0] + move, carry[0])
            reached, bits = loss(tried)
            new = tried, reached, bits
            return jax.tree.map(lambda a, b: jnp.where(reached < carry[1], a, b), new, carry), None

        return jax.lax.scan(try_group, carry, jnp.arange(-1, GROUPS))[0], None  # -1: no move

    # the gradient and the loss stand here once each, in loops: compiling them is most of the time
    nothing = start, jnp.array(jnp.inf), jnp.zeros(())
    (k, _, bits), _ = jax.lax.scan(sweep, nothing, jr.split(jr.key(0), SWEEPS))
    return unravel(k), bits


def to_8_bits(image: Float[Array, "3 *shape"]) -> Float[Array, "3 *shape"]:
    """Values in [0, 1] rounded to multiples of 1/255: the decoder's output format."""
    return jnp.round(image * 255) / 255
