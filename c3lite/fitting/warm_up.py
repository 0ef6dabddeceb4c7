"""What goes before the first step: how many there are time for, networks from a window, or random
starts that compete."""

import functools
import math
import time
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from c3lite.config import Config, edit
from c3lite.fitting import loop, parameters, training
from c3lite.fitting.loop import CHUNK, FIRST_CHUNK, measured, run_chunk
from c3lite.fitting.parameters import networks_of, with_networks
from c3lite.fitting.training import History, State, joined, with_codec

LARGE = 8
"""A window is for pictures of at least so many times its pixels: elsewhere its steps cost more than
they save."""
TILE = 64
"""Side of the tiles of a window, in pixels."""
FEWEST_TIMED = 100
"""A time for fewer is refused: nothing would be seen in the picture."""
ENCODING_S_A_PIXEL = 1e-5
"""Of synthesis and the file in NumPy, measured on two cores."""


def window_of(config: Config, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """(height, width) of the window on which a fit of data of `shape` begins; None: on none."""
    if config.window is None or len(shape) != 2:
        return None
    return config.window if math.prod(shape) >= LARGE * math.prod(config.window) else None


def window(
    x: Float[np.ndarray, "*batch 3 height width"], size: tuple[int, int]
) -> Float[np.ndarray, "*batch 3 rows columns"]:
    """A small picture made of tiles from all over a large one, evenly spaced."""
    axes = []
    for n, side in zip(x.shape[-2:], size, strict=True):
        tile = min(TILE, side, n)
        tiles = -(-side // tile)
        centers = (np.arange(tiles) + 0.5) * n / tiles
        firsts = np.clip(centers.astype(int) - tile // 2, 0, n - tile)
        axes.append((firsts[:, None] + np.arange(tile)).reshape(-1)[:side])
    rows, columns = axes
    return np.ascontiguousarray(x[..., rows[:, None], columns])


def on_window(
    x: Float[np.ndarray, "..."], config: Config, state: State, start: Callable | None = None,
) -> tuple[Float[np.ndarray, "..."], Config, State] | None:
    """The fit that comes first, as arguments of `chunks`: of a window, as many steps as stage 1.

    On a large picture it is the networks that need steps, and here a step costs a small part;
    `with_networks_from` takes them over. Of one fit, or of a batch with its `start`. None where
    there is no window, or later.
    """
    size = window_of(config, x.shape[state.key.ndim + 1 :])
    if size is None or int(state.step) or not int(config.steps):
        return None
    tiles = window(x, size)
    small = (start or training.begin)(tiles, config, state.key)
    asked = config.network_pixels
    pixels = (asked > 0) * jnp.maximum(asked, math.prod(state.codec.shape))
    return tiles, eqx.tree_at(  # arrays where a batch has them
        lambda c: (c.stage2_steps, c.network_pixels, c.network_speed, c.network_warmup), config,
        (0, pixels, 1 + 0 * config.network_speed, 0 * config.network_warmup)), small


def with_networks_from(state: State, other: State) -> State:
    """`state`, which is before the first step, with the networks of another fit."""
    return with_codec(state, with_networks(state.codec, networks_of(other.codec)))


def best_start(
    x: Float[np.ndarray, "..."], config: Config, state: State, past: list[History], *,
    progress: bool = False, start: Callable | None = None, advance: Callable = run_chunk,
) -> State:
    """COOL-CHIC's warm-up: all random starts take the first steps, and the best one goes on.

    `state` is the first start; without a warm-up in the config, or later, it is what is returned.
    Of one fit, or of a batch with its `start` and `advance`, each of which has its own best. The
    best has the least mean loss over the last ten steps, as that of one step has the noise's luck
    in it. What its steps measured is added to `past`.
    """
    steps = min(int(config.warmup_steps), int(config.steps) // 10)
    if config.warmup_starts == 1 or steps == 0 or int(state.step):
        return state
    start, there = start or training.begin, jnp.asarray(x)
    best, history, least = None, None, np.inf
    split = functools.partial(jax.random.split, num=config.warmup_starts - 1)
    keys = jax.vmap(split, out_axes=1)(state.key) if state.key.ndim else split(state.key)
    with loop.progress_bar(progress, config.warmup_starts * steps, 0) as bar:
        for number in range(config.warmup_starts):
            attempt, tried = start(x, config, keys[number - 1]) if number else state, []
            for first in range(0, steps, FIRST_CHUNK):
                n = min(FIRST_CHUNK, steps - first)
                attempt, part, done = advance(attempt, config, there, np.int32(n))
                tried.append(measured(part, done))
                loop.show_progress(bar, attempt, tried[-1],
                                   f"start {number + 1} of {config.warmup_starts}")
            whole = joined(tried)
            loss = whole.loss[-10:].mean(0)
            if best is None:
                best, history, least = attempt, whole, loss
                continue
            better = (loss < least) | np.isnan(least)
            best = training.where(better, attempt, best)._replace(step=attempt.step)
            history = History(*(  # of a batch: steps, then fits
                np.where(better, new, old) for new, old in zip(whole, history, strict=True)))
            least = np.where(better, loss, least)
    past.append(history)
    return best


def scheduled(x: Float[np.ndarray, "3 *shape"], config: Config, key: PRNGKeyArray,
              seconds: float | int, began: float) -> Config:
    """`config` with as many steps as fit into `seconds` from `began` (of `time.perf_counter`).

    The schedule is the same, both stages in proportion, only its length is new: it follows from the
    time that some steps and the search of the networks' steps take here, compilation apart. Raises
    `ValueError` for a time in which there is no fit.
    """
    there, state = jnp.asarray(x), training.begin(x, config, key)

    def search():
        return parameters.search(state.codec, config, there)

    step_s = _step_s(x, state, config, seconds)
    _seconds(search)
    search_s = _seconds(search)
    encoding_s = ENCODING_S_A_PIXEL * x[0].size
    # every start of a warm-up but the first one costs a tenth of stage 1, at most
    step_s *= 1 + (config.warmup_starts - 1) / 10
    if size := window_of(config, x.shape[1:]):
        tiles = window(x, size)
        step_s += _step_s(tiles, training.begin(tiles, config, key), config, seconds)
    spent_s = time.perf_counter() - began
    total = int((seconds - spent_s - search_s - encoding_s) / step_s)
    if total < FEWEST_TIMED:
        needed_s = spent_s + search_s + encoding_s + FEWEST_TIMED * step_s
        raise ValueError(f"{seconds:g} s are too few here: compilation and {FEWEST_TIMED} steps "
                         f"take {math.ceil(needed_s)} s")
    share = config.stage2_steps / max(config.steps + config.stage2_steps, 1)
    stage2_steps = round(share * total)
    return edit(config, steps=total - stage2_steps, stage2_steps=stage2_steps)


def _step_s(x, state: State, config: Config, seconds: float | int) -> float:
    """Seconds of a step, compilation apart, timed for a small share of what there is."""
    x, endless = jnp.asarray(x), edit(config, steps=10**6)

    def steps_s(n: int) -> float:
        return _seconds(lambda: run_chunk(state, endless, x, np.int32(n))) / n

    steps_s(1)
    return steps_s(int(np.clip(max(1, seconds / 30) / steps_s(FIRST_CHUNK), FIRST_CHUNK, CHUNK)))


def _seconds(f: Callable) -> float:
    began = time.perf_counter()
    jax.block_until_ready(f())
    return time.perf_counter() - began
