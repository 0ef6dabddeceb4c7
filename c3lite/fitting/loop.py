"""Many steps: the compiled loop, and the loop around it that reports, saves and can be stopped."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int
from tqdm import tqdm

from c3lite.config import Config
from c3lite.data.progress import progress_output
from c3lite.fitting import training
from c3lite.fitting.checkpoint import Checkpoint
from c3lite.fitting.training import History, State, joined

CHUNK = 100
"""Most steps of one compiled call: the grain of progress, checkpoints and interruption."""

SECONDS_A_CHUNK = 1.0
"""Chunks are sized to take about this long, so that progress moves and Ctrl-C is answered."""

FIRST_CHUNK = 10
"""Steps of the first chunk, which is timed to size the others, and of each in a warm-up."""


class FitError(RuntimeError):
    """A fit that cannot go on."""


@functools.partial(jax.jit, static_argnames="step")
def run_chunk(
    state: State, config, x: Float[Array, "*batch 3 *shape"], n: Int[ArrayLike, ""],
    step: Callable = training.step,
) -> tuple[State, History, Int[Array, ""]]:
    """Up to `n` <= CHUNK steps, fewer where the fit ends: the state, its history, steps done."""
    # NaN where a step was not taken
    empty = jnp.full((CHUNK, *state.learning_rate.shape), jnp.nan)  # of one fit or of a batch

    def body(carry):
        i, state, history = carry
        state, record = step(state, config, x)
        return i + 1, state, jax.tree.map(lambda h, r: h.at[i].set(r), history, record)

    def going(carry):
        i, state, _ = carry
        return (i < n) & ~jnp.all(training.finished(state, config))

    history = History(*[empty] * len(History._fields))
    done, state, history = jax.lax.while_loop(going, body, (jnp.array(0), state, history))
    return state, history, done


def chunks(
    x: Float[ArrayLike, "*batch 3 *shape"], config: Config, state: State,
    past: list[History] | None = None, *, progress: bool = False,
    store: Checkpoint | None = None, advance: Callable = run_chunk,
) -> Iterator[tuple[State, History]]:
    """The fit as a generator: the state after each chunk of steps, and what the steps measured.

    Everything that fits (`fit`, batches, the live widget) is a loop over this. Chunks grow to about
    `SECONDS_A_CHUNK`; their size does not change the result. `past` grows by each history, `store`
    is kept up to date, and `progress` prints a bar. `advance` is `run_chunk`, or that of a batch.
    Raises `FitError` when the loss of a single fit stops being finite.
    """
    past = [] if past is None else past
    x, n = jnp.asarray(x), FIRST_CHUNK
    total = int(config.steps) + int(config.stage2_steps)
    with progress_bar(progress, total, int(state.step)) as bar:
        while int(state.step) < total:
            began = time.perf_counter()
            state, history, done = advance(state, config, x, np.int32(n))
            if not int(done):
                return
            history = _measured(history, done)
            n = _chunk_size(time.perf_counter() - began, int(done))
            past.append(history)
            if history.loss.ndim == 1 and (error := diverged(past)):
                raise error
            show_progress(bar, state, history)
            if store is not None:
                store.save_sometimes(state, past)
            yield state, history


def warm_up(
    x: Float[ArrayLike, "*batch 3 *shape"], config: Config, state: State, past: list[History], *,
    progress: bool = False, others: Iterator[State] | None = None, advance: Callable = run_chunk,
) -> State:
    """COOL-CHIC's warm-up: all random starts take the first steps, and the best one goes on.

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
                tried.append(_measured(part, done))
                show_progress(bar, start, tried[-1])
                bar.set_description_str(f"start {number} of {config.warmup_starts}")
            measured = joined(tried)
            loss = measured.loss[-10:].mean(0)
            if best is None:
                best, history, least = start, measured, loss
                continue
            better = (loss < least) | np.isnan(least)
            best = training.where(better, start, best)._replace(step=start.step)
            history = History(*(  # of a batch: steps, then fits
                np.where(better, new, old) for new, old in zip(measured, history, strict=True)))
            least = np.where(better, loss, least)
    past.append(history)
    return best


def diverged(past: Sequence[History]) -> FitError | None:
    """The error of a single fit whose loss is not finite, or None."""
    history = joined(past)
    bad = np.flatnonzero(~np.isfinite(history.loss))
    if not bad.size:
        return None
    i = bad[0]
    last_good = history.loss[i - 1] if i else np.nan
    return FitError(
        f"the loss is {history.loss[i]} at step {i} (learning rate "
        f"{history.learning_rate[i]:.3g}); the last good loss was {last_good:.4g}. "
        "A smaller learning_rate or gradient_clip may help.")


def _chunk_size(seconds: float, steps: int) -> int:
    return int(np.clip(SECONDS_A_CHUNK * steps / max(seconds, 1e-9), 1, CHUNK))


def _measured(history: History, done: Int[Array, ""]) -> History:
    """A chunk's history as NumPy arrays, without the entries of steps not done."""
    return History(*(np.asarray(h)[: int(done)] for h in history))


def progress_bar(progress: bool, total: int, done: int) -> tqdm:
    """One bar for all steps: plain text, readable in a notebook, under papermill and in a log."""
    return tqdm(total=total, initial=done, disable=not progress, file=progress_output(),
                unit="step", mininterval=0.5, dynamic_ncols=False, ncols=100,
                bar_format="{desc} |{bar:16}| {n_fmt}/{total_fmt} {remaining} left{postfix}")


def show_progress(bar: tqdm, state: State, history: History) -> None:
    """Move the bar by a chunk's steps, with its last loss, rate and quality."""
    if bar.disable:
        return
    # means over a batch
    loss, bits, mse = (np.nanmean(h[-1]) for h in (history.loss, history.bits, history.mse))
    bar.set_postfix_str(f"loss {loss:.3g}, {bits / np.prod(state.codec.shape):.3f} bpp, "
                        f"{-10 * np.log10(max(mse, 1e-12)):.2f} dB", refresh=False)
    bar.set_description_str("stage 2" if np.isfinite(state.best.loss).all() else "stage 1",
                            refresh=False)
    bar.update(len(history.loss))
