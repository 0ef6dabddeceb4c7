"""COOL-CHIC's warm-up: several random starts, of which the best goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float

from c3lite.config import Config
from c3lite.fitting import training
from c3lite.fitting.loop import FIRST_CHUNK, measured, run_chunk
from c3lite.fitting.progress import progress_bar, show_progress
from c3lite.fitting.training import History, State, joined


def warm_up(
    x: Float[ArrayLike, "*batch 3 *shape"], config: Config, state: State, past: list[History], *,
    progress: bool = False, others: Iterator[State] | None = None, advance: Callable = run_chunk,
) -> State:
    """All random starts take the first steps, and the best one goes on.

    `state` is the first start; without a warm-up in the config, or later, it is what is returned.
    Of one fit, or of a batch (`others` are its other starts), each of which has its own best. The
    best has the least mean loss over the last ten steps, as that of one step has the noise's luck
    in it. What its steps measured is added to `past`.
    """
    steps = min(int(config.warmup_steps), int(config.steps) // 10)
    if config.warmup_starts == 1 or steps == 0 or int(state.step):
        return state
    if others is None:
        keys = jax.random.split(state.key, config.warmup_starts - 1)
        others = (training.begin(x, config, key) for key in keys)
    there, best, history, least = jnp.asarray(x), None, None, np.inf
    with progress_bar(progress, config.warmup_starts * steps, 0) as bar:
        for number, start in enumerate((state, *others), start=1):
            tried = []
            for first in range(0, steps, FIRST_CHUNK):
                n = min(FIRST_CHUNK, steps - first)
                start, part, done = advance(start, config, there, np.int32(n))
                tried.append(measured(part, done))
                show_progress(bar, start, tried[-1])
                bar.set_description_str(f"start {number} of {config.warmup_starts}")
            whole = joined(tried)
            loss = whole.loss[-10:].mean(0)
            if best is None:
                best, history, least = start, whole, loss
                continue
            better = (loss < least) | np.isnan(least)
            best = training.where(better, start, best)._replace(step=start.step)
            history = History(*(  # of a batch: steps, then fits
                np.where(better, new, old) for new, old in zip(whole, history, strict=True)))
            least = np.where(better, loss, least)
    past.append(history)
    return best
