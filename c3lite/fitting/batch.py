"""Many fits at once, as one compiled program: `fit_many`."""

import concurrent.futures
import dataclasses
import functools
import os
import time
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray

from c3lite.arrays.blocks import on_cpu
from c3lite.config import Config
from c3lite.fitting import training
from c3lite.fitting.checkpoint import remove, resumed
from c3lite.fitting.fit import Fit, check_image, finish
from c3lite.fitting.loop import FitError, chunks, diverged, run_chunk
from c3lite.fitting.training import History, State, begin, best_codec, joined, plain_jax
from c3lite.fitting.warm_up import best_start, on_window, with_networks_from

STATE_AXES = State(codec=0, optimizer=0, step=None, key=0, learning_rate=0, waited=0, best=0)
"""Of a batch of fits; the step is common to all, so that stages are chosen once, not per fit."""

COMMON = ("steps", "stage2_steps", "warmup_steps")
"""Numbers that are equal in all configs of a batch, whose stages are the same."""


@plain_jax()
def fit_many(images: Sequence[Float[ArrayLike, "3 *shape"]], configs: Config | Sequence[Config], *,
             keys: PRNGKeyArray | Sequence[PRNGKeyArray] | None = None, progress: bool = True,
             callback: Callable[[State], None] | None = None,
             checkpoint: str | os.PathLike | None = None) -> list[Fit | FitError]:
    """Many fits at once, as one compiled program over a batch.

    Images of one shape, and configs that differ in numbers only (rate weights, temperatures, ...);
    a single config or key serves all. Memory is that of one fit times the batch. A fit whose loss
    stops being finite is a `FitError` in the list; the others go on. `seconds` of each is that of
    the whole batch. `checkpoint` is as for `fit`. Raises `ValueError` for bad input, also when
    structures or steps differ.
    """
    images = [check_image(x) for x in images]
    if not images:
        return []
    configs = [configs] * len(images) if isinstance(configs, Config) else list(configs)
    keys = jax.random.key(0) if keys is None else keys
    keys = [keys] * len(images) if getattr(keys, "ndim", 1) == 0 else list(keys)
    if not len(images) == len(configs) == len(keys):
        raise ValueError(f"{len(images)} images, {len(configs)} configs and {len(keys)} keys")
    if len(shapes := {x.shape for x in images}) > 1:
        raise ValueError(f"fits in one batch need one shape, got {sorted(shapes)}")
    began, (axes, config) = time.perf_counter(), stacked_configs(configs)

    def start(images, _, keys):
        return _stacked([begin(x, c, k) for x, c, k in zip(images, configs, keys, strict=True)])

    store, state, past = resumed(checkpoint, images, configs, keys, start(images, None, keys))
    how = {"progress": progress, "advance": functools.partial(run_chunk_many, axes=axes)}
    x = np.stack(images)
    state = best_start(x, config, state, past, start=start, **how)
    if first := on_window(x, config, state, start):
        for small, _ in chunks(*first, label="a window", **how):  # noqa: B007
            pass
        state = with_networks_from(state, small)
    for state, _ in chunks(x, config, state, past, store=store, **how):  # noqa: B020
        if callback is not None:
            callback(state)
    best = jax.device_get(best_codec(state))

    @plain_jax()  # which is a thread's own
    def result(i: int, image, config: Config, history: History) -> Fit | FitError:
        codec = jax.tree.map(lambda leaf: leaf[i], best)
        return diverged([history]) or finish(image, config, codec, history, began)

    # beside a GPU's searches, the CPU's cores decode the pictures
    with concurrent.futures.ThreadPoolExecutor(1 if on_cpu() else None) as threads:
        fits = list(threads.map(result, range(len(images)), images, configs,
                                _histories(past, len(images))))
    if store is not None:
        remove(store.path)
    return fits


def config_axes(configs: Sequence[Config]) -> Config:
    """For `vmap`, which leaves of equally structured configs differ (0) and which do not (None).

    On a GPU all but `COMMON` count as different: there a program takes long to compile, and which
    numbers vary would make it another. Raises `ValueError` when structures or `COMMON` differ.
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

    def axis(path, *values):
        same = len(set(values)) == 1 and (on_cpu() or path[0].name in COMMON)
        return None if same else 0

    return jax.tree_util.tree_map_with_path(axis, *configs)


def stacked_configs(configs: Sequence[Config]) -> tuple[Config, Config]:
    """`config_axes`, and one config with the values of all where they differ."""
    axes = config_axes(configs)
    return axes, jax.tree.map(
        lambda axis, *values: values[0] if axis is None else jnp.array(values),
        axes, *configs, is_leaf=lambda leaf: leaf is None)


@functools.partial(jax.jit, static_argnames="axes")
def run_chunk_many(state: State, config: Config, x: Float[Array, "batch 3 *shape"],
                   n: Int[ArrayLike, ""], *, axes: Config) -> tuple[State, History, Int[Array, ""]]:
    """`run_chunk` of a batch of fits; `axes` from `config_axes`, the config stacked likewise."""
    if not on_cpu():
        step = jax.vmap(training.step, in_axes=(STATE_AXES, axes, 0), out_axes=(STATE_AXES, 0))
        return run_chunk(state, config, x, n, step)

    # On a CPU one fit's steps, then the next fit's: one fit's arrays nearly fill the caches, and
    # products over a batch are slower there than one after the other
    def one(each):
        mine, varying, x = each
        return run_chunk(mine._replace(step=state.step), eqx.combine(varying, common), x, n)

    varies = jax.tree.map(lambda axis: axis is not None, axes, is_leaf=lambda axis: axis is None)
    varying, common = eqx.partition(config, varies)
    after, history, done = jax.lax.map(one, (state._replace(step=None), varying, x))
    history = jax.tree.map(lambda h: jnp.moveaxis(h, 0, 1), history)  # steps, then fits
    return after._replace(step=state.step + done.max()), history, done.max()


@jax.jit
def _stacked(states: Sequence[State]) -> State:
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    return stacked._replace(step=states[0].step)


def _histories(past: Sequence[History], fits: int) -> list[History]:
    """The history of each fit of a batch, without the steps that it no longer took."""
    whole = joined(past)
    if not past:
        return [whole] * fits
    each = [History(*(h[:, i] for h in whole)) for i in range(fits)]
    return [History(*(h[~np.isnan(one.learning_rate)] for h in one)) for one in each]
