"""Fits that start from the networks of another fit: held still, or as a warm start.

With the networks held still only the latents are fitted, and a decoder that has the networks
already needs nothing else: the overfitted codec becomes one that generalizes, or fails to.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import ArrayLike, Float, PRNGKeyArray

from c3lite.coding import pixels as decoder
from c3lite.config import Config, edit
from c3lite.evaluation import metrics
from c3lite.fitting import parameters
from c3lite.fitting.fit import (
    Fit,
    best_codec,
    check_image,
    finish,
    joined,
    run,
)
from c3lite.fitting.fit import begin as start_afresh
from c3lite.fitting.parameters import Networks
from c3lite.fitting.training import Best, History, State
from c3lite.model import entropy
from c3lite.model.codec import Codec


def begin(
    x: Float[np.ndarray, "3 *shape"],
    config: Config,
    key: PRNGKeyArray,
    networks: Networks,
    *,
    frozen: bool,
) -> State:
    """The state before the first step, with given networks and latents of zero.

    It goes through `fit.chunks` like any other, by the same compiled program. Frozen networks stay
    bit by bit what they are: Adam divides by the root of its second moment, which is infinite for
    them. Their gradient still counts in the norm that is clipped.

    Raises `ValueError` when the config's networks have other shapes than the given ones.
    """
    state = start_afresh(x, config, key)
    ours, theirs = parameters.networks_of(state.codec), jax.tree.map(jnp.asarray, networks)
    if _shapes(ours) != _shapes(theirs):
        raise ValueError("the given networks do not fit the config: it asks for arrays of "
                         f"{_sizes(ours)}, they are {_sizes(theirs)}")
    codec, optimizer = parameters.with_networks(state.codec, theirs), state.optimizer
    if frozen:
        still = parameters.with_networks(
            jax.tree.map(jnp.zeros_like, codec),
            jax.tree.map(lambda a: jnp.full_like(a, jnp.inf), theirs))
        optimizer = optax.tree.set(optimizer, nu=ravel_pytree(still)[0])
    best = Best(state.best.loss, codec, optimizer)
    return state._replace(codec=codec, optimizer=optimizer, best=best)


def _shapes(networks):
    return jax.tree.structure(networks), _sizes(networks)


def _sizes(networks) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in jax.tree.leaves(networks)]


def networks_of(source: Fit) -> Networks:
    """The networks that the decoder of a fit's file has."""
    coded = source.coded
    return parameters.from_integers(coded.networks, coded.weight_step, coded.bias_step)


def refit(
    x: Float[ArrayLike, "3 *shape"],
    source: Fit,
    config: Config | None = None,
    *,
    frozen: bool,
    key: PRNGKeyArray | None = None,
    progress: bool = True,
    callback: Callable[[State], None] | None = None,
) -> Fit:
    """Fit another image, of any size, from the networks of `source` (as its file has them).

    With `frozen` only the latents are fitted, and the result's networks are those of `source`, to
    the bit. Its file holds them all the same; what is sent to a decoder that has them already is
    `bits["latents"]`. Otherwise the networks are where the fit starts from.

    `config` is that of `source` unless given; it may differ in numbers and steps, not in the
    networks' shapes. Ctrl-C ends the fit early. Errors as for `fit`, and of `begin`.
    """
    x = check_image(x)
    # a warm-up would choose among random networks
    config = edit(source.config if config is None else config, warmup_starts=1)
    key = jax.random.key(0) if key is None else key
    began, past = time.perf_counter(), []
    state = begin(x, config, key, networks_of(source), frozen=frozen)
    state, interrupted = run(x, config, state, past, progress, callback)
    codec, history = best_codec(state), joined(past)
    if not frozen:
        return finish(x, config, codec, history, began, interrupted)
    return _with_networks_of(source, x, config, codec, history, began, interrupted)


def _with_networks_of(
    source: Fit, x, config: Config, codec: Codec, history: History, began: float, interrupted: bool
) -> Fit:
    """The result of a frozen fit: `finish` without a search of the networks' steps."""
    symbols = np.rint(np.asarray(codec.scaled_latents(config)))
    coded = source.coded._replace(symbols=symbols.astype(np.int32))
    reconstruction = decoder.synthesize(config, codec.shape, coded.symbols, jax.tree.leaves(
        coded.networks), coded.weight_step, coded.bias_step)
    latents = _latent_bits(networks_of(source).entropy, config, symbols, codec.shape).sum()
    quality = metrics.mean_frame_psnr if x.ndim == 4 else metrics.psnr
    return Fit(x, config, codec, coded, reconstruction, source.bits | {"latents": float(latents)},
               quality(reconstruction, x), history, time.perf_counter() - began, interrupted)


_latent_bits = jax.jit(entropy.latent_bits, static_argnums=3)
