"""Fits that start from the networks of another fit: held still, or as a warm start.

With the networks held still only the latents are fitted, and a decoder that has the networks
already needs nothing else: the overfitted codec becomes one that generalizes, or fails to.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import ArrayLike, Float, PRNGKeyArray

from c3lite.config import Config, edit
from c3lite.fitting import parameters, training
from c3lite.fitting.fit import Fit, check_image, finish, measure
from c3lite.fitting.loop import chunks
from c3lite.fitting.parameters import Networks
from c3lite.fitting.training import State, best_codec, finished, joined, plain_jax
from c3lite.model import entropy


def begin(
    x: Float[np.ndarray, "3 *shape"], config: Config, key: PRNGKeyArray, networks: Networks
) -> State:
    """The state before the first step, with given networks and latents of zero.

    It goes through `loop.chunks` like any other; `config.frozen_networks` keeps the networks what
    they are. Raises `ValueError` when the config's networks have other shapes than the given ones.
    """
    state = training.begin(x, config, key)
    ours, theirs = parameters.networks_of(state.codec), jax.tree.map(jax.numpy.asarray, networks)
    wanted, given = ([leaf.shape for leaf in jax.tree.leaves(n)] for n in (ours, theirs))
    if jax.tree.structure(ours) != jax.tree.structure(theirs) or wanted != given:
        raise ValueError("the given networks do not fit the config: it asks for arrays of "
                         f"{wanted}, they are {given}")
    return training.with_codec(state, parameters.with_networks(state.codec, theirs))


@plain_jax()
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
    x, began, past = check_image(x), time.perf_counter(), []
    # a warm-up would replace the networks
    config = edit(config or source.config, warmup_starts=1, window=None, frozen_networks=frozen)
    key = jax.random.key(0) if key is None else key
    state = begin(x, config, key, source.networks)
    with contextlib.suppress(KeyboardInterrupt):
        for state, _ in chunks(x, config, state, past, progress=progress):  # noqa: B020
            if callback is not None:
                callback(state)
    codec, history, interrupted = best_codec(state), joined(past), not finished(state, config)
    if not frozen:
        return finish(x, config, codec, history, began, interrupted)
    # without a search of the networks' steps: they are those of the source
    symbols = np.rint(np.asarray(codec.scaled_latents(config)))
    coded = source.coded._replace(symbols=symbols.astype(np.int32))
    bits = _latent_bits(source.networks.entropy, config, symbols, codec.shape).sum()
    return measure(x, config, codec, coded, source.bits | {"latents": float(bits)}, history,
                   began, interrupted)


_latent_bits = jax.jit(entropy.latent_bits, static_argnums=3)
