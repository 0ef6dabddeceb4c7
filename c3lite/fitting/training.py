"""One step of fitting and the compiled loop around it: stages 1 and 2 (App. A.2.2-A.2.3).

Both stages run the same compiled step. It differs only in the quantizer handed to
`rate_distortion` and in where the learning rate comes from, and a predicate chooses; so there is
one compilation, not one a stage.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from c3lite.ingredients.noise import NOISES
from c3lite.ingredients.optimizers import OPTIMIZERS
from c3lite.model.codec import Codec, distortion, rate, rate_distortion
from c3lite.model.quantize import hard_round, noisy_round

CHUNK = 100
"""Most steps of one compiled call: the grain of progress, checkpoints and interruption."""


class Best(NamedTuple):
    """Stage 2's best so far: a loss with the very parameters it was measured at.

    The release stores the parameters *after* the update with the loss *before* it.
    """

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


def _optimizer(config):
    return OPTIMIZERS[config.optimizer](config)


def start(
    config,
    shape: tuple[int, ...],
    key: PRNGKeyArray,
    mean_rgb: Float[Array, "3"] | None = None,
) -> State:
    """The state before the first step."""
    init_key, noise_key = jr.split(key)
    codec = Codec(config, shape, key=init_key, mean_rgb=mean_rgb)
    optimizer = _optimizer(config).init(codec)
    # of a definite type, here and below: a weakly typed state would compile the loop twice
    best = Best(jnp.array(jnp.inf, jnp.float32), codec, optimizer)
    learning_rate = jnp.asarray(config.stage2_learning_rate, jnp.float32)
    return State(codec, optimizer, jnp.int32(0), noise_key, learning_rate, jnp.int32(0), best)


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

    return lambda x: jax.lax.cond(step < config.steps, noisy, hard, x)


def stage1_progress(config, step: Int[Array, ""]) -> Float[Array, ""]:
    """Position in stage 1's schedules, in [0, 1]."""
    return jnp.clip(step / jnp.maximum(config.steps, 1), 0, 1)


def loss_and_gradient(codec: Codec, config, x: Float[Array, "3 *shape"], quantize, split: bool):
    """((loss, cost), gradient) of the objective.

    Rate and distortion meet only in the latents. With `split`, inside a `shard_map` over the axis
    "half", one device takes each, and the sum of both is exchanged.
    """
    if not split:
        return jax.value_and_grad(rate_distortion, has_aux=True)(codec, config, x, quantize)
    mine = jax.lax.cond(
        jax.lax.axis_index("half") == 0,
        jax.value_and_grad(lambda c: rate(c, config, quantize), has_aux=True),
        jax.value_and_grad(lambda c: distortion(c, config, x, quantize), has_aux=True),
        codec)
    flat, unravel = ravel_pytree(mine)  # one exchange, not one an array
    return unravel(jax.lax.psum(flat, "half"))


def update(
    state: State, config, x: Float[Array, "3 *shape"], *, split: bool = False
) -> tuple[State, History]:
    """One step of gradient descent, in whichever stage the state is."""
    in_stage1 = state.step < config.steps
    quantize = quantizer(config, state.step, state.key)
    (loss, cost), gradient = loss_and_gradient(state.codec, config, x, quantize, split)
    factor = jnp.where(in_stage1, config.latent_gradient_scale,
                       config.stage2_latent_gradient_scale)
    gradient = eqx.tree_at(lambda c: c.grids, gradient, tuple(factor * g for g in gradient.grids))

    cosine = config.learning_rate.cosine(stage1_progress(config, state.step))
    learning_rate = jnp.where(in_stage1, cosine, state.learning_rate)
    record = History(loss, cost.bits, cost.mse, learning_rate)
    state = jax.lax.cond(in_stage1, lambda s: s, lambda s: _keep_best(s, config, loss), state)
    # A rate that stage 2 has just decayed comes with restored parameters, whose gradient this is
    # not: that step restores and does not update.
    restored = (state.waited == 0) & (state.best.loss < loss) & ~in_stage1
    steps, optimizer = _optimizer(config).update(gradient, state.optimizer)
    moved = jax.tree.map(lambda p, s: p - learning_rate * s, state.codec, steps)
    codec, optimizer = jax.tree.map(
        lambda old, new: jnp.where(restored, old, new),
        (state.codec, state.optimizer), (moved, optimizer))
    return state._replace(codec=codec, optimizer=optimizer, step=state.step + 1), record


def _keep_best(state: State, config, loss) -> State:
    """Stage 2's bookkeeping: remember the best, and go back to it after too long without one."""
    # in a batch, a fit that has ended waits for the others and must not change
    better = (loss < state.best.loss) & (state.learning_rate >= config.stage2_min_learning_rate)
    now = Best(loss, state.codec, state.optimizer)
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), now, state.best)
    waited = jnp.where(better, 0, state.waited + 1)
    decay = waited >= config.stage2_patience
    codec, optimizer = jax.tree.map(
        lambda old, new: jnp.where(decay, old, new),
        (best.codec, best.optimizer), (state.codec, state.optimizer))
    return state._replace(
        codec=codec, optimizer=optimizer, best=best,
        waited=jnp.where(decay, 0, waited),
        learning_rate=jnp.where(decay, state.learning_rate * config.stage2_decay,
                                state.learning_rate))


def finished(state: State, config):
    """Whether the fit is over: all steps done, or stage 2's rate below its floor."""
    exhausted = state.learning_rate < config.stage2_min_learning_rate
    in_stage2 = state.step >= config.steps
    return (state.step >= config.steps + config.stage2_steps) | (in_stage2 & exhausted)


def run_chunk(state: State, config, x: Float[Array, "3 *shape"], n: Int[Array, ""]):
    """Up to `n` <= CHUNK steps, fewer where the fit ends: (state, history, steps done)."""
    return _run(None, state, config, x, n)


STATE_AXES = State(codec=0, optimizer=0, step=None, key=0, learning_rate=0, waited=0, best=0)
"""Of a batch of fits; the step is common to all, so that stages are chosen once, not per fit."""


COMMON = ("steps", "stage2_steps", "warmup_steps")
"""Numbers that are equal in all configs of a batch, whose stages are the same."""


def config_axes(configs):
    """For `vmap`, which leaves of equally structured configs differ (0) and which do not (None).

    Raises `ValueError` when structures differ, or the numbers of steps (`COMMON`) do.
    """
    first = configs[0]
    for other in configs[1:]:
        if jax.tree.structure(first) != jax.tree.structure(other):
            names = [f.name for f in dataclasses.fields(first) if f.metadata.get("static")
                     and getattr(first, f.name) != getattr(other, f.name)]
            raise ValueError("fits in one batch need configs of one structure, these differ in "
                             + ", ".join(names or ["mask_origins"]))
        for name in COMMON:
            if getattr(first, name) != getattr(other, name):
                raise ValueError(f"fits in one batch need equal {name}")
    return jax.tree.map(lambda *values: None if len(set(values)) == 1 else 0, *configs)


def run_chunk_many(state: State, config, x: Float[Array, "batch 3 *shape"], n, *, axes):
    """`run_chunk` for a batch of fits; `axes` from `config_axes`, the config stacked likewise."""
    return _run(axes, state, config, x, n)


def _run(axes, state, config, x, n):
    mesh = split_over()
    if axes is not None and jax.default_backend() == "cpu":
        halves = mesh is not None and len(x) % 2 == 0
        return compiled_in_turn(axes, mesh, halves)(*_placed(mesh, state, config, x, n))
    return compiled(axes, mesh)(*_placed(mesh, state, config, x, n))


def _placed(mesh, state, config, x, n):
    if mesh is not None:
        # A state that comes from one device would be another program than one that comes from two
        state, x, n = jax.device_put((state, x, n), NamedSharding(mesh, PartitionSpec()))
    return state, config, x, n


def split_over() -> Mesh | None:
    """The two CPU devices over which a step is split, or None.

    XLA's threads gain little on operations as small as ours: on 2 cores, two devices of one thread
    each take 0.7 of the time of one device of two threads. Machines of more than 4 cores, where
    this was not measured, keep XLA's threads.
    """
    devices = jax.devices()
    if jax.default_backend() != "cpu" or len(devices) != 2 or (os.cpu_count() or 1) > 4:
        return None
    return jax.make_mesh((2,), ("half",), axis_types=(AxisType.Auto,))


@functools.cache
def compiled(axes, mesh: Mesh | None):
    """The jitted loop of one fit (`axes` None) or of a batch, on one device or split over two."""
    step = functools.partial(update, split=mesh is not None)
    over = finished
    if axes is not None:
        step = jax.vmap(step, in_axes=(STATE_AXES, axes, 0), out_axes=(STATE_AXES, 0))
        over = jax.vmap(finished, in_axes=(STATE_AXES, axes))
    loop = functools.partial(_loop, step, over)
    if mesh is None:
        return jax.jit(loop)
    everything = PartitionSpec()  # both devices hold all arrays; each computes its half of a step
    loop = jax.shard_map(loop, mesh=mesh, in_specs=everything, out_specs=everything,
                         check_vma=False)
    return jax.jit(loop, compiler_options={"xla_cpu_multi_thread_eigen": False})


@functools.cache
def compiled_in_turn(axes, mesh: Mesh | None, halves: bool):
    """The jitted loop of a batch on the CPU: one fit's steps, then the next fit's.

    One fit's arrays nearly fill the caches, and products over a batch are slower there than one
    after the other. With `halves`, each of two devices takes half of the fits, all to itself;
    without, every step is split over them.
    """
    one = functools.partial(
        _loop, functools.partial(update, split=mesh is not None and not halves), finished)
    varies = jax.tree.map(lambda axis: axis is not None, axes, is_leaf=lambda axis: axis is None)

    def in_turn(state, config, x, n):
        varying, common = eqx.partition(config, varies)

        def fit(each):
            state_, varying_, x_ = each
            return one(state_._replace(step=state.step), eqx.combine(varying_, common), x_, n)

        after, history, done = jax.lax.map(fit, (state._replace(step=None), varying, x))
        done = jax.lax.pmax(done.max(), "half") if halves else done.max()
        history = jax.tree.map(lambda h: jnp.moveaxis(h, 0, 1), history)
        return after._replace(step=state.step + done), history, done

    if mesh is None:
        return jax.jit(in_turn)
    common = PartitionSpec()
    each = PartitionSpec("half") if halves else common
    states = State(*(common if axis is None else each for axis in STATE_AXES))
    configs = jax.tree.map(lambda v: each if v else common, varies)
    steps = PartitionSpec(None, "half") if halves else common  # then fits
    loop = jax.shard_map(in_turn, mesh=mesh, in_specs=(states, configs, each, common),
                         out_specs=(states, steps, common), check_vma=False)
    return jax.jit(loop, compiler_options={"xla_cpu_multi_thread_eigen": False})


def _loop(step, over, state, config, x, n):
    # NaN where a step was not taken
    empty = jax.tree.map(lambda leaf: jnp.full((CHUNK, *leaf.shape), jnp.nan), History(
        *[state.learning_rate] * len(History._fields)))  # of one fit or of a batch

    def body(carry):
        i, state, history = carry
        state, record = step(state, config, x)
        history = jax.tree.map(lambda h, r: h.at[i].set(r), history, record)
        return i + 1, state, history

    def going(carry):
        i, state, _ = carry
        return (i < n) & ~jnp.all(over(state, config))

    done, state, history = jax.lax.while_loop(going, body, (jnp.array(0), state, empty))
    return state, history, done
