"""The best of several configs for one image or clip (App. A.4)."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import ArrayLike, Float, PRNGKeyArray

from c3lite.config import Config
from c3lite.fitting.checkpoint import Checkpoint, beside, history_like
from c3lite.fitting.fit import Fit, check_image, finish, fit
from c3lite.fitting.training import History, plain_jax
from c3lite.model.codec import Codec


@plain_jax()
def fit_best(
    x: Float[ArrayLike, "3 *shape"],
    configs: Sequence[Config],
    *,
    key: PRNGKeyArray | None = None,
    progress: bool = True,
    checkpoint: str | os.PathLike | None = None,
    on_collapse: str = "warn",
) -> Fit:
    """The fit of least RD loss over a list of configs, one fit after another.

    With `checkpoint`, a path, the best so far is kept there, and the fit under way beside it. At
    the end the file stays, for the caller to remove: from it the result is had again at once.
    Ctrl-C ends it early with the best so far, `interrupted=True`.
    """
    x = check_image(x)
    if not configs:
        raise ValueError("there is nothing to choose from: give at least one config")
    key = jax.random.key(0) if key is None else key
    tried, best, store = 0, None, None

    def like(notes):
        config = Config.from_json(notes["config"])
        codec = jax.eval_shape(lambda: Codec(config, x.shape[1:], key=jax.random.key(0)))
        return codec, history_like(notes["steps"])

    if checkpoint is not None:
        store = Checkpoint(checkpoint, [x] * len(configs), configs, [key] * len(configs))
        if found := store.load(like):
            (codec, history), notes = found
            tried = notes["tried"]
            best = finish(x, Config.from_json(notes["config"]), codec, History(*history),
                          time.perf_counter() - notes["seconds"])
    for n, config in enumerate(configs[tried:], start=tried + 1):
        candidate = fit(x, config, key=key, progress=progress, on_collapse=on_collapse,
                        checkpoint=beside(checkpoint, f"fit{n}"))
        if best is None or candidate.loss < best.loss:
            best = candidate
        if candidate.interrupted:
            return dataclasses.replace(best, interrupted=True)
        if store is not None:
            store.save((best.codec, np.stack(best.history)), tried=n, seconds=best.seconds,
                       config=best.config.to_json(), steps=len(best.history.loss))
    return best
