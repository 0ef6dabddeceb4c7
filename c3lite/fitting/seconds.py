"""How many steps fit into a time."""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from c3lite.config import Config, edit
from c3lite.fitting import parameters
from c3lite.fitting.loop import CHUNK, FIRST_CHUNK, run_chunk
from c3lite.fitting.training import State, begin
from c3lite.fitting.warm_up import window, window_of

FEWEST_STEPS = 100
"""A time for fewer is refused: nothing would be seen in the picture."""
ENCODING_S_A_PIXEL = 4e-6
"""Of synthesis and the file in NumPy, measured on two cores."""


def scheduled(
    x: Float[np.ndarray, "3 *shape"], config: Config, key: PRNGKeyArray, seconds: float | int,
    began: float,
) -> Config:
    """`config` with as many steps as fit into `seconds` from `began` (of `time.perf_counter`).

    The schedule is the same, both stages in proportion, only its length is new: it follows from the
    time that some steps and the search of the networks' steps take here, compilation apart. Both
    are compiled on the way, and have to be for the fit as well. Raises `ValueError` for a time in
    which there is no fit.
    """
    there, state = jnp.asarray(x), begin(x, config, key)

    def search():
        return parameters.search(state.codec, config, there)

    step_s = _step_s(x, state, config)
    _seconds(search)
    search_s = _seconds(search)
    encoding_s = ENCODING_S_A_PIXEL * x[0].size
    # every start of a warm-up but the first one costs a tenth of stage 1, at most
    step_s *= 1 + (config.warmup_starts - 1) / 10
    if size := window_of(config, x.shape[1:]):
        tiles = window(x, size)
        step_s += _step_s(tiles, begin(tiles, config, key), config)
    spent_s = time.perf_counter() - began
    total = int((seconds - spent_s - search_s - encoding_s) / step_s)
    if total < FEWEST_STEPS:
        needed_s = spent_s + search_s + encoding_s + FEWEST_STEPS * step_s
        raise ValueError(f"{seconds:g} s are too few here: compilation and {FEWEST_STEPS} steps "
                         f"take {needed_s:.0f} s")
    share = config.stage2_steps / max(config.steps + config.stage2_steps, 1)
    stage2_steps = round(share * total)
    return edit(config, steps=total - stage2_steps, stage2_steps=stage2_steps)


def _step_s(x, state: State, config: Config) -> float:
    """Seconds of a step, compilation apart."""
    x, endless = jnp.asarray(x), edit(config, steps=10**6)

    def steps_s(n: int) -> float:
        return _seconds(lambda: run_chunk(state, endless, x, np.int32(n))) / n

    steps_s(1)
    return steps_s(int(np.clip(1 / steps_s(FIRST_CHUNK), FIRST_CHUNK, CHUNK)))  # a second of it


def _seconds(f: Callable) -> float:
    began = time.perf_counter()
    jax.block_until_ready(f())
    return time.perf_counter() - began
