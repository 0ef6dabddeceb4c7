"""Many steps: the compiled loop, and the loop around it that reports, saves and can be stopped."""

import functools
import math
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
"""About what a chunk takes, so that progress moves and Ctrl-C is answered."""
FIRST_CHUNK = 10
"""Steps of the first chunk, which is timed to size the others, and of each in a warm-up."""


class FitError(RuntimeError):
    """A fit that cannot go on."""


@functools.partial(jax.jit, static_argnames="step")
def run_chunk(state: State, config, x: Float[Array, "..."], n: Int[ArrayLike, ""],
              step: Callable = training.step) -> tuple[State, History, Int[Array, ""]]:
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


def chunks(x: Float[ArrayLike, "..."], config: Config, state: State,
           past: list[History] | None = None, *, progress: bool = False,
           store: Checkpoint | None = None, advance: Callable = run_chunk,
           most: Callable[[], float] = lambda: math.inf,
           label: str | None = None) -> Iterator[tuple[State, History]]:
    """The fit as a generator: the state after each chunk of steps, and what the steps measured.

    Everything that fits (`fit`, batches, windows, the live widget) is a loop over this. Chunks grow
    to about `SECONDS_A_CHUNK`; their size does not change the result. `past` grows by each history,
    `store` is kept up to date, and `progress` prints a bar with the `label`. `advance` is
    `run_chunk`, or that of a batch. `most()` is asked before each chunk how many steps it may have.
    Raises `FitError` when the loss of a single fit stops being finite.
    """
    past = [] if past is None else past
    x, n = jnp.asarray(x), FIRST_CHUNK
    total = int(config.steps) + int(config.stage2_steps)
    with progress_bar(progress, total, int(state.step)) as bar:
        while int(state.step) < total:
            began = time.perf_counter()
            state, history, done = advance(state, config, x, np.int32(min(n, most())))
            if not int(done):
                return
            history = measured(history, done)
            n = _chunk_size(time.perf_counter() - began, int(done))
            past.append(history)
            if history.loss.ndim == 1 and (error := diverged(past)):
                raise error
            show_progress(bar, state, history, label)
            if store is not None:
                store.save_sometimes(state, past)
            yield state, history


def diverged(past: Sequence[History]) -> FitError | None:
    """The error of a single fit whose loss is not finite, or None."""
    history = joined(past)
    if np.isfinite(history.loss).all():
        return None
    i = np.argmin(np.isfinite(history.loss))
    last_good = history.loss[i - 1] if i else np.nan
    return FitError(
        f"the loss is {history.loss[i]} at step {i} (learning rate "
        f"{history.learning_rate[i]:.3g}); the last good loss was {last_good:.4g}. "
        "A smaller learning_rate or gradient_clip may help.")


def _chunk_size(seconds: float, steps: int) -> int:
    return int(np.clip(SECONDS_A_CHUNK * steps / max(seconds, 1e-9), 1, CHUNK))


def measured(history: History, done: Int[Array, ""]) -> History:
    """A chunk's history as NumPy arrays, without the entries of steps not done."""
    return History(*(np.asarray(h)[: int(done)] for h in history))


def progress_bar(progress: bool, total: int, done: int) -> tqdm:
    """One bar for all steps: plain text, readable in a notebook, under papermill and in a log."""
    return tqdm(
        total=total, initial=done, disable=not progress, file=progress_output(), unit="step",
        mininterval=0.5, dynamic_ncols=False, ncols=110, desc="compiling",
        bar_format="{desc} |{bar:10}| {n_fmt}/{total_fmt} {elapsed}, {remaining} left{postfix}")


def show_progress(bar: tqdm, state: State, history: History, label: str | None = None) -> None:
    """Move the bar by a chunk's steps, with its last loss, rate, quality, `label` or else stage."""
    if bar.disable:
        return
    compiled = bar.desc.startswith("compiling")
    # means over a batch
    loss, bits, mse = (np.nanmean(h[-1]) for h in (history.loss, history.bits, history.mse))
    bar.set_postfix_str(f"loss {loss:.3g}, latents {bits / np.prod(state.codec.shape):.3f} bpp, "
                        f"{-10 * np.log10(max(mse, 1e-12)):.2f} dB", refresh=False)
    stage = "stage 2" if np.isfinite(state.best.loss).all() else "stage 1"
    bar.set_description_str(label or stage, refresh=False)
    if compiled:  # its time says nothing of the steps to come
        bar.n = bar.initial = bar.last_print_n = bar.n + len(history.loss)
        bar.last_print_t = bar._time()
        bar.refresh()
    else:
        bar.update(len(history.loss))
