"""One step of fitting: stages 1 and 2 (App. A.2.2-A.2.3).

Both stages run the same step. It differs only in the quantizer handed to `rate_distortion` and in
where the learning rate comes from, and a predicate chooses: one compilation, not one a stage.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray, PyTree

from c3lite.arrays.blocks import on_cpu
from c3lite.coding.header import check_reach
from c3lite.config import C3
from c3lite.fitting.parameters import networks_of, smooth_network_bits, with_networks
from c3lite.ingredients.noise import NOISES
from c3lite.ingredients.optimizers import NETWORK_OPTIMIZERS
from c3lite.model.codec import Codec, rate_distortion
from c3lite.model.quantize import hard_round, noisy_round


class Best(NamedTuple):
    """Stage 2's best so far: a loss with the very parameters it was measured at. The release stores
    the parameters *after* the update with the loss *before* it."""

    loss: Float[Array, ""]
    codec: Codec
    optimizer: PyTree


class State(NamedTuple):
    """All that changes during a fit."""

    codec: Codec
    optimizer: PyTree
    step: Int[Array, ""]
    """Steps done, counting through both stages."""
    key: PRNGKeyArray
    learning_rate: Float[Array, ""]
    """Of stage 2."""
    waited: Int[Array, ""]
    """Stage-2 steps since the loss last improved."""
    best: Best


class History(NamedTuple):
    """One entry a step, measured before the step's update."""

    loss: Float[Array, " steps"]
    bits: Float[Array, " steps"]
    mse: Float[Array, " steps"]
    learning_rate: Float[Array, " steps"]


def begin(x: Float[np.ndarray, "3 *shape"], config, key: PRNGKeyArray) -> State:
    """The state before the first step. Raises `ValueError` for masks that cannot be."""
    check_reach(config)
    return start(config, x.shape[1:], key, x.reshape(3, -1).mean(1))


def with_codec(state: State, codec: Codec) -> State:
    """`state`, which is before the first step, with another codec."""
    return state._replace(codec=codec, best=state.best._replace(codec=codec))


@functools.partial(jax.jit, static_argnums=1)
def start(
    config, shape: tuple[int, ...], key: PRNGKeyArray, mean_rgb: Float[ArrayLike, "3"]
) -> State:
    """`begin` of data of a shape and a mean color."""
    init_key, noise_key = jr.split(key)
    codec = Codec(config, shape, key=init_key, mean_rgb=mean_rgb)
    optimizer = _optimizer(config).init(codec)
    # of a definite type, here and below: a weakly typed state would compile the loop twice
    best = Best(jnp.array(jnp.inf, jnp.float32), codec, optimizer)
    learning_rate = jnp.asarray(config.stage2_learning_rate, jnp.float32)
    return State(codec, optimizer, jnp.int32(0), noise_key, learning_rate, jnp.int32(0), best)


def step(state: State, config, x: Float[Array, "3 *shape"]) -> tuple[State, History]:
    """One step, of either stage: rate and distortion, gradient, clip, keep the best, update."""
    in_stage1 = state.step < config.steps
    quantize = quantizer(config, state.step, state.key)
    priced = eqx.tree_at(lambda c: c.rd_weight, config, rd_weight(config, state.step))
    (loss, cost), gradient = jax.value_and_grad(rate_distortion, has_aux=True)(
        state.codec, priced, x, quantize)
    scale = jnp.where(in_stage1, config.latent_gradient_scale, config.stage2_latent_gradient_scale)
    gradient = eqx.tree_at(lambda c: c.grids, gradient, tuple(scale * g for g in gradient.grids))
    if config.network_rate:
        rate = jax.grad(smooth_network_bits)(networks_of(state.codec))
        pixels = jnp.maximum(config.network_pixels, math.prod(state.codec.shape))
        share = config.network_rate * priced.rd_weight / pixels
        gradient = with_networks(gradient, jax.tree.map(
            lambda g, r: g + share * r, networks_of(gradient), rate))

    cosine = config.learning_rate.cosine(stage1_progress(config, state.step))
    learning_rate = jnp.where(in_stage1, cosine, state.learning_rate)
    record = History(loss, cost.bits, cost.mse, learning_rate)
    state = choose(in_stage1, lambda s: s, lambda s: keep_best(s, config, loss), state)
    # A rate that stage 2 has just decayed comes with restored parameters, whose gradient this is
    # not: that step restores and does not update.
    restored = (state.waited == 0) & (state.best.loss < loss) & ~in_stage1

    steps, optimizer = _optimizer(config).update(
        gradient, state.optimizer, state.codec, step=state.step)
    speed = network_speed(config, state.step)
    steps = with_networks(steps, jax.tree.map(lambda s: speed * s, networks_of(steps)))
    codec = jax.tree.map(lambda p, s: p - learning_rate * s, state.codec, steps)
    if config.frozen_networks:
        codec = with_networks(codec, networks_of(state.codec))
    codec, optimizer = where(restored, (state.codec, state.optimizer), (codec, optimizer))
    return state._replace(codec=codec, optimizer=optimizer, step=state.step + 1), record


def keep_best(state: State, config, loss: Float[Array, ""]) -> State:
    """Stage 2's bookkeeping: remember the best, and go back to it after too long without one."""
    # in a batch, a fit that has ended waits for the others and must not change
    better = (loss < state.best.loss) & (state.learning_rate >= config.stage2_min_learning_rate)
    best = where(better, Best(loss, state.codec, state.optimizer), state.best)
    waited = jnp.where(better, 0, state.waited + 1)
    decay = waited >= config.stage2_patience
    codec, optimizer = where(decay, (best.codec, best.optimizer), (state.codec, state.optimizer))
    return state._replace(
        codec=codec, optimizer=optimizer, best=best,
        waited=jnp.where(decay, 0, waited),
        learning_rate=jnp.where(decay, state.learning_rate * config.stage2_decay,
                                state.learning_rate))


def _optimizer(config) -> optax.GradientTransformationExtraArgs:
    """From the gradient of a codec to its step, to be multiplied by the learning rate."""
    clip = optax.clip_by_global_norm(config.gradient_clip)
    fields = ("network_optimizer", "network_decay", "clipped_gradients", "latent_beta2",
              "latent_epsilon")
    if all(getattr(config, name) == getattr(C3, name) for name in fields):
        # One Adam for everything, flattened to one vector: a third of the operations of an array
        # at a time, and of the compilation
        return optax.flatten(optax.chain(clip, optax.scale_by_adam()))
    networks = optax.chain(
        NETWORK_OPTIMIZERS[config.network_optimizer](),
        optax.add_decayed_weights(config.network_decay))
    latents = optax.scale_by_adam(b2=config.latent_beta2, eps=config.latent_epsilon)
    together = config.clipped_gradients == "all"
    apart = optax.partition({
        "networks": networks if together else optax.chain(clip, networks),
        "latents": optax.flatten(latents)}, _kinds)
    return optax.chain(clip, apart) if together else apart


def _kinds(codec: Codec) -> PyTree:
    """For each array of a codec, whether it is of the "latents" or the "networks"."""
    kinds = jax.tree.map(lambda _: "networks", codec)
    return eqx.tree_at(lambda c: c.grids, kinds, ("latents",) * len(codec.grids))


def rd_weight(config, step: Int[Array, ""]) -> Float[Array, ""]:
    """lambda at a step: its own value, but for a `rate_warmup`."""
    share = 0.03 + 0.97 * stage1_progress(config, step) / jnp.maximum(config.rate_warmup, 1e-9)
    growing = (config.rate_warmup > 0) & (step < config.steps)
    return config.rd_weight * jnp.where(growing, jnp.minimum(share, 1), 1)


def network_speed(config, step: Int[Array, ""]) -> Float[Array, ""]:
    """The networks' learning rate at a step, as a multiple of that of the latents."""
    share = stage1_progress(config, step) / jnp.maximum(config.network_warmup, 1e-9)
    grown = jnp.where(config.network_warmup > 0, jnp.minimum(share, 1), 1)
    return jnp.where(step < config.steps, grown * config.network_speed, 1)


def quantizer(config, step: Int[Array, ""], key: PRNGKeyArray):
    """Stage 1's noisy soft-rounding before step `config.steps`, stage 2's hard rounding after."""
    progress = stage1_progress(config, step)
    temperature = config.temperature.linear(progress)
    noise = NOISES[config.noise]
    parameter = getattr(config, noise.parameter).linear(progress)

    def noisy(x):
        noise_key = jr.fold_in(key, step)  # by step number: chunks and restarts change nothing
        return noisy_round(x, temperature, parameter, noise_key, config.second_rounding_is_s,
                           noise.sample)

    def hard(x):
        return hard_round(x, config.stage2_temperature)

    return lambda x: choose(step < config.steps, noisy, hard, x)


def stage1_progress(config, step: Int[Array, ""]) -> Float[Array, ""]:
    """Position in stage 1's schedules, in [0, 1]."""
    return jnp.clip(step / jnp.maximum(config.steps, 1), 0, 1)


def finished(state: State, config) -> Bool[Array, "*fits"]:
    """Whether a fit, or each of a batch, is over: all steps done, or stage 2's rate too low."""
    exhausted = state.learning_rate < config.stage2_min_learning_rate
    in_stage2 = state.step >= config.steps
    return (state.step >= config.steps + config.stage2_steps) | (in_stage2 & exhausted)


def best_codec(state: State) -> Codec:
    """The codec to keep: stage 2's best measured, or the newest where stage 2 has measured none."""
    return where(jnp.isfinite(state.best.loss), state.best.codec, state.codec)


def choose(predicate: Bool[Array, ""], f: Callable, g: Callable, x: PyTree) -> PyTree:
    """f(x), or else g(x). A GPU takes both, as it would wait for its host to choose."""
    if on_cpu():
        return jax.lax.cond(predicate, f, g, x)
    return where(predicate, f(x), g(x))


def where(mask: Bool[ArrayLike, "*fits"], new: PyTree, old: PyTree) -> PyTree:
    """All arrays of `new`, or all of `old`; of a batch, for each fit by itself."""
    mask = jnp.asarray(mask)
    return jax.tree.map(lambda a, b: jnp.where(
        mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim)), a, b), new, old)


def joined(past: Sequence[History]) -> History:
    """The history of all chunks."""
    if not past:
        return History(*(np.zeros(0, np.float32) for _ in History._fields))
    return History(*map(np.concatenate, zip(*past, strict=True)))


@contextlib.contextmanager
def plain_jax() -> Iterator[None]:
    """JAX as fits need it, for a while, whatever the program around them has set.

    All is float32, so that a fit and its file do not depend on `jax_enable_x64`; types and ranks
    are promoted as usual; and a NaN raises nothing, since histories have some on purpose (a loss
    that is not finite is a `FitError`). On a GPU products are of float32 too, unless
    `jax_default_matmul_precision` says otherwise: JAX rounds their factors to 10 bits there (TF32).
    """
    precision = jax.config.jax_default_matmul_precision or (None if on_cpu() else "highest")
    with (jax.enable_x64(False), jax.numpy_dtype_promotion("standard"),
          jax.numpy_rank_promotion("allow"), jax.debug_nans(False),
          jax.default_matmul_precision(precision)):
        yield
