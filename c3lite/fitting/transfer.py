"""Fits that start from the networks of another fit: held still, or as a warm start.

With the networks held still only the latents are fitted, and a decoder that has the networks
already needs nothing else: the overfitted codec becomes one that generalizes, or fails to.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
from jaxtyping import ArrayLike, Float, PRNGKeyArray

from c3lite.config import Config, edit
from c3lite.fitting.fit import Fit, check_image, fit
from c3lite.fitting.parameters import networks_of
from c3lite.fitting.training import State, plain_jax
from c3lite.model.codec import Codec


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
    networks' shapes, or else a `ValueError` says so. Other errors, and Ctrl-C, are as for `fit`.
    """
    x, config = check_image(x), edit(config or source.config, frozen_networks=frozen)
    like = jax.eval_shape(lambda: networks_of(Codec(config, x.shape[1:], key=jax.random.key(0))))
    wanted, given = ([a.shape for a in jax.tree.leaves(n)] for n in (like, source.networks))
    if jax.tree.structure(like) != jax.tree.structure(source.networks) or wanted != given:
        raise ValueError("the given networks do not fit the config: it asks for arrays of "
                         f"{wanted}, they are {given}")
    return fit(x, config, start=source, key=key, progress=progress, callback=callback)
