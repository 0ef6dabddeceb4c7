"""From an image or a video to a fitted, quantized codec: `fit`, and many at once: `fit_many`."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray
from tqdm import tqdm

from c3lite.coding import pixels as decoder
from c3lite.config import C3, Config
from c3lite.evaluation.metrics import mean_frame_psnr, psnr
from c3lite.fitting import parameters, training
from c3lite.fitting.checkpoint import Checkpoint, Kept
from c3lite.fitting.parameters import Coded
from c3lite.fitting.training import CHUNK, History, State
from c3lite.model.codec import Codec
from c3lite.model.context import check_reach

SECONDS_A_CHUNK = 1.0
"""Chunks are sized to take about this long, so that progress moves and Ctrl-C is answered."""


FIRST_CHUNK = 10
"""Steps of the first chunk, which is timed to size the others."""


class FitError(RuntimeError):
    """A fit that cannot go on."""


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """A codec fitted to one image or video, quantized as a file would hold it."""

    image: Float[np.ndarray, "3 *shape"]
    config: Config
    codec: Codec
    """Before the networks were quantized."""
    coded: Coded
    """What the file holds."""
    reconstruction: Float[np.ndarray, "3 *shape"]
    """What the decoder gives back: multiples of 1/255 in [0, 1]."""
    bits: dict[str, float]
    """Estimates from log-probabilities: latents, synthesis, entropy (and upsampling if learned)."""
    psnr: float
    """Of the reconstruction, dB; the mean over frames for a video."""
    history: History
    """Loss, bits, MSE and learning rate before every step."""
    seconds: float
    interrupted: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width) or (frames, height, width)."""
        return self.codec.shape

    @property
    def pixels(self) -> int:
        """Number of pixels, all frames together."""
        return math.prod(self.shape)

    @property
    def bpp_estimate(self) -> float:
        """Bits per pixel from log-probabilities, networks included, as in the paper's tables."""
        return sum(self.bits.values()) / self.pixels

    @functools.cached_property
    def bpp(self) -> float:
        """Bits per pixel of the real file, every byte counted; written when first asked for."""
        from c3lite.coding.one import encode  # which imports this module

        return 8 * len(encode(self)) / self.pixels

    @property
    def loss(self) -> float:
        """MSE + lambda bpp_estimate, of what the decoder gives back (Eq. 24)."""
        mse = float(np.mean((self.reconstruction.astype(np.float64) - self.image) ** 2))
        return mse + float(self.config.rd_weight) * self.bpp_estimate

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {bits / self.pixels:.4f}" for name, bits in self.bits.items())
        size = "x".join(map(str, self.shape))
        note = " (interrupted)" if self.interrupted else ""
        return (f"Fit of {size}: {self.bpp_estimate:.4f} bpp estimated ({parts}), "
                f"{self.psnr:.2f} dB, RD loss {self.loss:.4g}, {len(self.history.loss)} steps "
                f"in {self.seconds:.1f} s{note}")

    def _repr_html_(self) -> str:
        from c3lite.evaluation import report  # Pillow and base64 only where a notebook shows a fit

        return report.html(self)


def check_image(x) -> Float[np.ndarray, "3 *shape"]:
    """`x` as float32 (3, *shape), or `ValueError` with what is wrong with it."""
    try:
        x = np.asarray(x)
    except ValueError as error:
        raise ValueError("the image is not an array of numbers") from error
    if x.dtype.kind not in "f":
        raise ValueError(f"the image must hold floats in [0, 1], got {x.dtype} "
                         "(8-bit values: divide by 255)")
    if x.ndim not in (3, 4) or x.shape[0] != 3:
        raise ValueError("the image must be (3, height, width) or (3, frames, height, width), "
                         f"got {x.shape}")
    if x.size == 0:
        raise ValueError(f"the image is empty: {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("the image holds NaN or infinite values")
    if x.min() < 0 or x.max() > 1:
        raise ValueError(f"image values must lie in [0, 1], got {x.min():.4g} to {x.max():.4g}")
    return np.ascontiguousarray(x, np.float32)


_start = jax.jit(training.start, static_argnums=1)


def begin(x: Float[np.ndarray, "3 *shape"], config: Config, key: PRNGKeyArray) -> State:
    """The state before the first step. Raises `ValueError` for masks that cannot be."""
    check_reach(config)
    return _start(config, x.shape[1:], key, x.reshape(3, -1).mean(1))


def chunks(
    x: Float[np.ndarray, "3 *shape"], config: Config, state: State, bar: tqdm | None = None,
    most: Callable[[], int | float] = lambda: math.inf,
) -> Iterator[tuple[State, History]]:
    """The fit as a generator: the state after each chunk of steps, and what the steps measured.

    Chunks grow to about `SECONDS_A_CHUNK`; their size does not change the result. Everything that
    fits (`fit`, the live widget, checkpoints) is a loop over this. The first chunk is the warm-up,
    where the config has one; `bar` says how far it is. After it, `most()` is asked before each
    chunk how many steps it may have. Raises `FitError` when the loss stops being finite.
    """
    there, last_good = jnp.asarray(x), math.nan
    if bool(training.finished(state, config)):
        return

    def advance(state, n):
        return training.run_chunk(state, config, there, n)

    starts = _starts(x, config, state)
    for state, history in _warmed_up(config, state, starts, advance, bar, most):  # noqa: B020
        if error := _error(history, int(state.step) - len(history.loss), last_good):
            raise error
        last_good = float(history.loss[-1])
        yield state, history


Advance = Callable[[State, Int[Array, ""]], tuple[State, History, Int[Array, ""]]]
"""Takes up to so many steps of one fit or of a batch: the state, what they measured, how many."""


def _warmed_up(
    config: Config, state: State, starts: Iterator[State], advance: Advance, bar: tqdm | None,
    most: Callable[[], int | float] = lambda: math.inf,
) -> Iterator[tuple[State, History]]:
    """`chunks` of one fit or of a batch; at its beginning the best of `starts` after the warm-up.
    """
    if config.warmup_starts > 1 and _warmup_steps(config) > 0 and not int(state.step):
        state, history = _warm_up(config, starts, advance, bar)
        yield state, history
    yield from _advanced(advance, state, most=most)


def _advanced(
    advance: Advance, state: State, limit: int | float = math.inf,
    most: Callable[[], int | float] = lambda: math.inf,
) -> Iterator[tuple[State, History]]:
    """Chunks of steps, to the end or to `limit` steps."""
    n = FIRST_CHUNK
    while limit > 0:
        began = time.perf_counter()
        state, history, done = advance(state, jnp.array(min(n, limit, most())))
        if not int(done):
            return
        history = _measured(history, done)
        n, limit = _chunk_size(time.perf_counter() - began, int(done)), limit - int(done)
        yield state, history


def _warmup_steps(config: Config) -> int:
    return min(int(config.warmup_steps), int(config.steps) // 10)


def _starts(
    x: Float[np.ndarray, "3 *shape"], config: Config, state: State
) -> Iterator[State]:
    """The random starts of a warm-up, of which `state` is the first."""
    yield state
    for key in jax.random.split(state.key, int(config.warmup_starts) - 1):
        yield begin(x, config, key)


def _warm_up(
    config: Config, starts: Iterator[State], advance: Advance, bar: tqdm | None
) -> tuple[State, History]:
    """COOL-CHIC's warm-up: all starts take the first steps, and the one of least loss goes on.

    Of one fit, or of a batch, each of which has its own best start. The loss is the mean over the
    last ten steps, as that of one step has the noise's luck in it.
    """
    best, history, least = None, None, np.inf
    for number, state in enumerate(starts, start=1):
        past = []
        for state, part in _advanced(  # noqa: B007, B020 - goes on from it
                advance, state, _warmup_steps(config)):
            past.append(part)
            if bar is not None:
                bar.set_description_str(f"start {number} of {config.warmup_starts}")
        tried = joined(past)
        loss = tried.loss[-10:].mean(0)
        if best is None:
            best, history, least = state, tried, loss
            continue
        better = (loss < least) | np.isnan(least)
        best = _where(better, state, best)._replace(step=state.step)
        history = History(*(  # of a batch: steps, then fits
            np.where(better, new, old) for new, old in zip(tried, history, strict=True)))
        least = np.where(better, loss, least)
    return best, history


def _where(mask: Bool[ArrayLike, "*fits"], new, old):
    """Of one fit, or each of a batch, all arrays of `new` or all of `old`."""
    mask = jnp.asarray(mask)

    def choose(new, old):
        return jnp.where(mask.reshape(mask.shape + (1,) * (new.ndim - mask.ndim)), new, old)

    return jax.tree.map(choose, new, old)


def best_codec(state: State) -> Codec:
    """The codec to keep: stage 2's best measured, or the newest where stage 2 has measured none."""
    state = jax.device_put(state, jax.devices()[0])  # from two, where a step is split
    return _where(jnp.isfinite(state.best.loss), state.best.codec, state.codec)


def fit(
    x: Float[ArrayLike, "3 *shape"],
    config: Config = C3,
    *,
    key: PRNGKeyArray | None = None,
    progress: bool = True,
    callback: Callable[[State], None] | None = None,
    checkpoint: str | os.PathLike | None = None,
) -> Fit:
    """Fit a codec to one image (3, height, width) or video (3, frames, height, width) in [0, 1].

    Stage 1, stage 2, then the search of the networks' quantization steps. `callback(state)` is
    called after each chunk of steps. With `checkpoint`, a path, the state is kept there at least
    every half minute, and a fit that was killed goes on from it with the same result. Ctrl-C (the
    stop button) ends the fit early with the best so far, `interrupted=True`.

    The same key gives the same result on the same machine. Raises `ValueError` for bad input and
    `FitError` when the loss stops being finite.
    """
    result, store = _fit(check_image(x), config, key, progress, callback, checkpoint)
    if store is not None and not result.interrupted:
        store.remove()
    return result


def _fit(x, config, key, progress, callback, checkpoint) -> tuple[Fit, Checkpoint | None]:
    """The fit, and its checkpoint, which is still there."""
    key = jax.random.key(0) if key is None else key
    began = time.perf_counter()
    store, state, past = resumed(checkpoint, [x], [config], [key], begin(x, config, key))
    state, interrupted = run(x, config, state, past, progress, callback, store)
    return finish(x, config, best_codec(state), joined(past), began, interrupted), store


def resumed(
    checkpoint: str | os.PathLike | None, images: Sequence, configs: Sequence[Config],
    keys: Sequence[PRNGKeyArray], state: State,
) -> tuple[Checkpoint | None, State, list[History]]:
    """The checkpoint at a path, if one is wanted, and the state and history to go on from."""
    if checkpoint is None:
        return None, state, []
    store = Checkpoint(checkpoint, images, configs, keys, like=state)
    kept, past = store.load()
    return store, kept or state, past


def run(
    x: Float[np.ndarray, "3 *shape"], config: Config, state: State, past: list[History],
    progress: bool, callback: Callable[[State], None] | None = None,
    store: Checkpoint | None = None,
) -> tuple[State, bool]:
    """Go on to the end, with a bar; `past` grows. Returns the state, and whether Ctrl-C ended it.
    """
    bar = progress_bar(progress, int(config.steps) + int(config.stage2_steps), int(state.step))
    try:
        with bar:
            for state, history in chunks(x, config, state, bar):  # noqa: B020 - goes on from it
                past.append(history)
                show_progress(bar, state, history, x[0].size)
                if store is not None:
                    store.save_sometimes(state, past)
                if callback is not None:
                    callback(state)
    except KeyboardInterrupt:
        return state, True
    return state, False


def finish(
    x: Float[np.ndarray, "3 *shape"], config: Config, codec: Codec, history: History,
    began: float, interrupted: bool = False,
) -> Fit:
    """Quantize the networks of a fitted codec and measure the result."""
    found = parameters.search(codec, config, jnp.asarray(x))
    coded = jax.tree.map(np.asarray, found.best)
    coded = coded._replace(
        weight_step=float(coded.weight_step), bias_step=float(coded.bias_step))
    reconstruction = _reconstruct(config, codec, coded)
    bits = {"latents": float(found.latent_bits)}
    bits |= {name: float(part) for name, part in found.network_bits._asdict().items()
             if getattr(coded.networks, name) is not None}
    quality = mean_frame_psnr if x.ndim == 4 else psnr
    return Fit(x, config, codec, coded, reconstruction, bits, quality(reconstruction, x), history,
               time.perf_counter() - began, interrupted)


def _reconstruct(config, codec, coded):
    # what a file decodes to, so that decode(encode(fit)) is this exactly
    return decoder.synthesize(config, codec.shape, coded.symbols, jax.tree.leaves(coded.networks),
                              coded.weight_step, coded.bias_step)


def fit_many(
    images: Sequence[Float[ArrayLike, "3 *shape"]],
    configs: Config | Sequence[Config],
    *,
    keys: PRNGKeyArray | Sequence[PRNGKeyArray] | None = None,
    progress: bool = True,
    callback: Callable[[State], None] | None = None,
    checkpoint: str | os.PathLike | None = None,
) -> list[Fit | FitError]:
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
    if len({x.shape for x in images}) > 1:
        shapes = sorted({x.shape for x in images})
        raise ValueError(f"fits in one batch need one shape, got {shapes}")
    axes = training.config_axes(configs)
    began = time.perf_counter()
    config = jax.tree.map(lambda axis, *values: values[0] if axis is None else jnp.array(values),
                          axes, *configs, is_leaf=lambda leaf: leaf is None)
    begun = [begin(x, c, k) for x, c, k in zip(images, configs, keys, strict=True)]
    store, state, past = resumed(checkpoint, images, configs, keys, _batch(begun))
    there = jnp.stack(images)

    def advance(state, n):
        return training.run_chunk_many(state, config, there, n, axes=axes)

    starts = map(_batch, zip(*map(_starts, images, configs, begun), strict=True))
    total = int(configs[0].steps) + int(configs[0].stage2_steps)
    with progress_bar(progress, total, int(state.step)) as bar:
        for state, history in _warmed_up(  # noqa: B020 - goes on from it
                configs[0], state, starts, advance, bar):
            past.append(history)
            show_progress(bar, state, history, math.prod(images[0].shape[1:]))
            if store is not None:
                store.save_sometimes(state, past)
            if callback is not None:
                callback(state)
    best = best_codec(state)
    fits = [
        _error(history) or finish(image, config, jax.tree.map(lambda leaf, i=i: leaf[i], best),
                                  history, began)
        for i, (image, config, history) in enumerate(
            zip(images, configs, _histories(past, len(images)), strict=True))]
    if store is not None:
        store.remove()
    return fits


def _histories(past: Sequence[History], fits: int) -> list[History]:
    """The history of each fit of a batch, without the steps that it no longer took."""
    whole = joined(past)
    if not past:
        return [whole] * fits
    each = [History(*(h[:, i] for h in whole)) for i in range(fits)]
    return [History(*(h[~np.isnan(one.learning_rate)] for h in one)) for one in each]


def _batch(states: Sequence[State]) -> State:
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    return stacked._replace(step=states[0].step)


def adaptive(
    x: Float[ArrayLike, "3 *shape"],
    configs: Sequence[Config],
    *,
    key: PRNGKeyArray | None = None,
    progress: bool = True,
    mask_steps: int = 1000,
    checkpoint: str | os.PathLike | None = None,
) -> Fit:
    """C3 adaptive: the fit of least RD loss over a list of configs (App. A.4).

    The lists of the paper are `ADAPTIVE_KODAK`, `ADAPTIVE_CLIC` and, for videos, `ADAPTIVE_UVG`.
    Masks without a position get one from `learn_offsets`, `mask_steps` steps, once for all configs
    of the same masks. With `checkpoint`, a path, the best so far is kept there, and what is under
    way beside it: killed, it goes on with the same result. Ctrl-C ends it early with the best so
    far, `interrupted=True`.
    """
    x = check_image(x)
    if not configs:
        raise ValueError("adaptive needs at least one config")
    key = jax.random.key(0) if key is None else key
    kept = None if checkpoint is None else Kept(checkpoint, x, configs, key)
    best = best_of(x, configs, key, progress, mask_steps, kept)
    if kept is not None and not best.interrupted:
        kept.remove()
    return best


def best_of(
    x: Float[np.ndarray, "3 *shape"], configs: Sequence[Config], key: PRNGKeyArray, progress: bool,
    mask_steps: int, kept: Kept | None,
) -> Fit:
    """`adaptive`, whose result stays in the file `kept`, from where it is had again at once."""
    from c3lite.video.masks import with_masks  # which imports this module

    tried, best, masks = 0, None, None
    if kept is not None:
        tried, best = kept.load((0, None))
        masks = kept.beside("masks")
        kept.beside(f"fit{tried}").unlink(missing_ok=True)  # a kill may have left it
    if tried < len(configs):
        configs = with_masks(x, configs, key=key, steps=mask_steps, progress=progress,
                             checkpoint=masks)
    for n, config in enumerate(configs[tried:], start=tried + 1):
        candidate, store = _fit(x, config, key, progress, None,
                                None if kept is None else kept.beside(f"fit{n}"))
        if best is None or candidate.loss < best.loss:
            best = candidate
        if candidate.interrupted:
            return dataclasses.replace(best, interrupted=True)
        if kept is not None:
            kept.save((n, best))
            store.remove()  # not before: a kill in between must not lose it
    if masks is not None:
        masks.unlink(missing_ok=True)
    return best


def _error(history: History, first_step: int = 0, last_good: float = math.nan) -> FitError | None:
    """The error of a loss that is not finite, or None."""
    bad = np.flatnonzero(~np.isfinite(history.loss))
    if not bad.size:
        return None
    i = bad[0]
    last_good = history.loss[i - 1] if i else last_good
    return FitError(
        f"the loss is {history.loss[i]} at step {first_step + i} (learning rate "
        f"{history.learning_rate[i]:.3g}); the last good loss was {last_good:.4g}. "
        "A smaller learning_rate or gradient_clip may help.")


def _chunk_size(seconds: float, steps: int) -> int:
    return int(np.clip(SECONDS_A_CHUNK * steps / max(seconds, 1e-9), 1, CHUNK))


def _measured(history: History, done) -> History:
    """A chunk's history as NumPy arrays, without the entries of steps not done."""
    return History(*(np.asarray(h)[: int(done)] for h in history))


def joined(past: Sequence[History]) -> History:
    """The history of all chunks."""
    if not past:
        return History(*(np.zeros(0, np.float32) for _ in History._fields))
    return History(*map(np.concatenate, zip(*past, strict=True)))


def progress_bar(progress: bool, total: int, done: int) -> tqdm:
    """One bar for all steps: plain text on standard output."""
    # readable in a notebook, under papermill and in a log
    return tqdm(total=total, initial=done, disable=not progress, file=sys.stdout, unit="step",
                mininterval=0.5, dynamic_ncols=False, ncols=100,
                bar_format="{desc} |{bar:16}| {n_fmt}/{total_fmt} {remaining} left{postfix}")


def show_progress(bar: tqdm, state: State, history: History, pixels: int):
    """Move the bar by a chunk's steps, with its last loss, rate and quality."""
    if bar.disable:
        return
    # means over a batch
    loss, bits, mse = (np.nanmean(h[-1]) for h in (history.loss, history.bits, history.mse))
    bar.set_postfix_str(f"loss {loss:.3g}, {bits / pixels:.3f} bpp, "
                        f"{-10 * np.log10(max(mse, 1e-12)):.2f} dB",
                        refresh=False)
    bar.set_description_str("stage 2" if np.isfinite(state.best.loss).all() else "stage 1",
                            refresh=False)
    bar.update(len(history.loss))
