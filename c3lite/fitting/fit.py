"""From an image or a video to a fitted, quantized codec: `fit`; `refit` has another's networks."""

import dataclasses
import functools
import math
import os
import time
import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float, Integer, PRNGKeyArray

from c3lite.coding import encode, header
from c3lite.coding.pixels import synthesize
from c3lite.config import C3_FAST, Config, edit
from c3lite.evaluation import report
from c3lite.evaluation.metrics import ms_ssim, mse, quality
from c3lite.fitting import collapse, parameters, training
from c3lite.fitting.checkpoint import path_beside, remove, resumed, settle
from c3lite.fitting.loop import chunks
from c3lite.fitting.parameters import Networks, Quantized
from c3lite.fitting.training import History, State, begin, best_codec, joined, plain_jax, with_codec
from c3lite.fitting.warm_up import best_start, on_window, scheduled, with_networks_from
from c3lite.model import entropy, latents
from c3lite.model.codec import Codec

latent_bits = jax.jit(entropy.latent_bits, static_argnums=3)


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """A codec fitted to one image or video, quantized as a file would hold it."""

    image: Float[np.ndarray, "3 *shape"]
    config: Config
    codec: Codec
    """Before the networks were quantized."""
    coded: Quantized
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
    def grids(self) -> tuple[Integer[np.ndarray, "..."], ...]:
        """The quantized latents in step units, grid by grid, finest first."""
        return latents.split(self.coded.symbols, latents.grid_shapes(self.config, self.shape))

    @functools.cached_property
    def networks(self) -> Networks:
        """The networks that the decoder of the file has."""
        return parameters.from_integers(self.coded.networks, *self.coded.steps)

    @property
    def bpp_estimate(self) -> float:
        """Bits per pixel from log-probabilities, networks included, as in the paper's tables."""
        return sum(self.bits.values()) / self.pixels

    @functools.cached_property
    def bpp(self) -> float:
        """Bits per pixel of the real file, every byte counted; written when first asked for."""
        return 8 * len(encode(self)) / self.pixels

    @functools.cached_property
    def mse(self) -> float:
        """Of the reconstruction, all frames together, values in [0, 1]."""
        return mse(self.reconstruction, self.image)

    @functools.cached_property
    def ms_ssim(self) -> float | None:
        """Of the reconstruction (`metrics.ms_ssim`); None below 161 pixels on a side."""
        return ms_ssim(self.reconstruction, self.image)

    @property
    def loss(self) -> float:
        """MSE + lambda bpp_estimate, of what the decoder gives back (Eq. 24)."""
        return self.mse + float(self.config.rd_weight) * self.bpp_estimate

    @functools.cached_property
    def collapsed(self) -> bool | None:
        """Whether the reconstruction is less than 5 dB above the best constant color. None: not
        judged, of pictures that are nearly of one color and fits of fewer than 300 steps."""
        return collapse.judge(self.image, self.mse, len(self.history.loss))

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {bits / self.pixels:.4f}" for name, bits in self.bits.items())
        size = "x".join(map(str, self.shape))
        note = " (interrupted)" if self.interrupted else ""
        note += " (collapsed: hardly better than one color)" if self.collapsed else ""
        return (f"Fit of {size}: {self.bpp_estimate:.4f} bpp estimated ({parts}), "
                f"{self.psnr:.2f} dB, RD loss {self.loss:.4g}, {len(self.history.loss)} steps "
                f"in {self.seconds:.1f} s{note}")

    def _repr_html_(self) -> str:
        return report.html(self)


@plain_jax()
def fit(x: Float[ArrayLike, "3 *shape"], config: Config = C3_FAST, *,
        seconds: float | int | None = None, start: Codec | Fit | None = None,
        key: PRNGKeyArray | None = None, progress: bool = True,
        callback: Callable[[State], None] | None = None,
        checkpoint: str | os.PathLike | None = None, on_collapse: str | None = None) -> Fit:
    """Fit a codec to one image (3, height, width) or video (3, frames, height, width) in [0, 1].

    Stage 1, stage 2, then the search of the networks' quantization steps. `callback(state)` is
    called after each chunk of steps. With `checkpoint`, a path, the state is kept there at least
    every half minute, and a fit that was killed goes on from it with the same result. Ctrl-C (the
    stop button) ends the fit early with the best so far, `interrupted=True`.

    With `seconds`, the config's schedule is as long as fits into that time, compilation, search and
    file included; `fit.config` has the numbers of steps, and repeats it (a collapse aside). With
    `start`, a codec for data of this shape, or a fit whose networks (as its file has them) fit the
    config, it begins there, without a warm-up or a window. A checkpoint excludes both.

    A fit that has collapsed (`Fit.collapsed`) is a warning (`on_collapse="warn"`) or begins again
    ("restart"): with `clip_gradient="straight_through"` as soon as that is seen, or, where that is
    on and no `seconds` are, with a `rate_warmup` at its end; the better of two that have ended
    comes back. By default (None) it is as the clip is: the release's, a warning; else a restart.

    The same key gives the same result on the same machine. Raises `ValueError` for bad input and
    `FitError` when the loss stops being finite.
    """
    x, began = check_image(x), time.perf_counter()
    key = jax.random.key(0) if key is None else key
    if start is not None and checkpoint is not None:
        raise ValueError("start and checkpoint exclude each other: it does not know its codec")
    if seconds is not None and checkpoint is not None:
        raise ValueError("seconds and checkpoint exclude each other: how many steps fit into a "
                         "time is measured at every start; give steps instead")
    if seconds is not None:
        config = scheduled(x, config, key, seconds, began)
    watch = collapse.Watch(x, config, on_collapse)
    state, interrupted = begin(x, config, key), False
    if start is not None:
        config = edit(config, warmup_starts=1, window=None)  # which would replace the networks
        state = with_codec(state, start if isinstance(start, Codec) else
                           parameters.with_networks(state.codec, start.networks))
    store, state, past = resumed(checkpoint, [x], [config], [key], state)
    try:
        state = best_start(x, config, state, past, progress=progress)
        if first := on_window(x, config, state):
            for small, _ in chunks(*first, progress=progress, label="a window"):  # noqa: B007
                pass
            state = with_networks_from(state, small)
        for state, _ in chunks(x, config, state, past, progress=progress, store=store):  # noqa: B020
            if callback is not None:
                callback(state)
            if watch.sees_collapse(past):
                break
    except KeyboardInterrupt:
        interrupted = True
    early = not interrupted and not training.finished(state, config)  # dead: nothing is kept
    source = start if config.frozen_networks and isinstance(start, Fit) else None
    result = None if early else finish(
        x, config, best_codec(state), joined(past), began, interrupted, source)
    # what has taken all its `seconds` has none for another
    if early or (seconds is None and not interrupted and watch.sees_collapse(past, ended=True)):
        left = None if seconds is None else seconds - (time.perf_counter() - began)
        again = fit(x, collapse.restarted(config), seconds=left, start=start, key=key,
                    progress=progress, callback=callback, on_collapse=on_collapse,
                    checkpoint=path_beside(checkpoint, "restarted"))
        result = again if result is None or again.loss < result.loss else result
        result = dataclasses.replace(
            result, seconds=time.perf_counter() - began, interrupted=again.interrupted)
    if store is not None:
        settle(store.path) if result.interrupted else remove(store.path)
    return result


@plain_jax()
def refit(x: Float[ArrayLike, "3 *shape"], source: Fit, config: Config | None = None, *,
          frozen: bool, key: PRNGKeyArray | None = None, progress: bool = True) -> Fit:
    """Fit another image, of any size, from the networks of `source` (as its file has them).

    With `frozen` only the latents are fitted, and the result's networks are those of `source`, to
    the bit: the overfitted codec becomes one that generalizes, or fails to. Its file holds them all
    the same; what is sent to a decoder that has them already is `bits["latents"]`. Otherwise the
    networks are where the fit starts from.

    `config`, by default that of `source`, may differ in numbers and steps, not in the networks'
    shapes (`ValueError`). A collapse is a warning; other errors, and Ctrl-C, are as for `fit`.
    """
    x, config = check_image(x), edit(config or source.config, frozen_networks=frozen)
    like = jax.eval_shape(lambda: parameters.networks_of(
        Codec(config, x.shape[1:], key=jax.random.key(0))))
    wanted, given = ([a.shape for a in jax.tree.leaves(n)] for n in (like, source.networks))
    if jax.tree.structure(like) != jax.tree.structure(source.networks) or wanted != given:
        raise ValueError("the given networks do not fit the config: it asks for arrays of "
                         f"{wanted}, they are {given}")
    return fit(x, config, start=source, key=key, progress=progress, on_collapse="warn")


def finish(x: Float[np.ndarray, "3 *shape"], config: Config, codec: Codec, history: History,
           began: float, interrupted: bool = False, source: Fit | None = None) -> Fit:
    """Quantize a fitted codec and measure the result. Warns when it has collapsed. With `source`,
    the networks are those of another fit, whose integers and steps they keep."""
    if source is not None:
        symbols = np.rint(np.asarray(codec.scaled_latents(config)))
        coded = source.coded._replace(symbols=symbols.astype(np.int32))
        each = latent_bits(source.networks.entropy, config, symbols, codec.shape)
        bits = source.bits | {"latents": float(each.sum())}
    else:
        found = parameters.search(codec, config, jnp.asarray(x))
        coded = jax.tree.map(np.asarray, found.best)
        coded = coded._replace(steps=tuple(map(float, coded.steps)))
        bits = {"latents": float(found.total_latent_bits)}
        bits |= {name: float(part) for name, part in found.network_bits._asdict().items()
                 if getattr(coded.networks, name) is not None}
    # what a file decodes to, so that decode(encode(fit)) is this exactly
    arrays = header.take_apart(config, jax.tree.leaves(coded.networks))
    reconstruction = synthesize(
        config, codec.shape, coded.symbols, header.real_arrays(arrays, coded.steps, np.float32))
    result = Fit(x, config, codec, coded, reconstruction, bits, quality(reconstruction, x),
                 history, time.perf_counter() - began, interrupted)
    if result.collapsed:
        warnings.warn(collapse.message(x, result.mse, config), stacklevel=2)
    return result


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
