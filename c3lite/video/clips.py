"""Clips in patches (Sec. 3.3), and the best of several configs for a picture, a clip or a patch,
for which the masks of a clip's configs have to be learned first."""

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import ArrayLike, Float, PRNGKeyArray

from c3lite.config import UVG, Config
from c3lite.data.patches import by, join_patches, patch_size, split_patches
from c3lite.data.progress import progress_output
from c3lite.evaluation.metrics import quality
from c3lite.fitting.checkpoint import Checkpoint, history_like, path_beside
from c3lite.fitting.fit import Fit, check_image, finish, fit
from c3lite.fitting.training import History, plain_jax
from c3lite.model.codec import Codec
from c3lite.video import masks


@dataclasses.dataclass(frozen=True, eq=False)
class VideoFit:
    """A clip fitted patch by patch (Sec. 3.3)."""

    fits: tuple[Fit, ...]
    """One a patch, in the order of `split_patches`."""
    shape: tuple[int, int, int]
    """(frames, height, width) of the clip."""
    patch: tuple[int, int, int]
    """(frames, height, width) of its patches; those at the ends may be smaller."""

    @functools.cached_property
    def video(self) -> Float[np.ndarray, "3 frames height width"]:
        """What was fitted."""
        return join_patches([fit.image for fit in self.fits], self.shape)

    @functools.cached_property
    def reconstruction(self) -> Float[np.ndarray, "3 frames height width"]:
        """What the decoder gives back: multiples of 1/255 in [0, 1]."""
        return join_patches([fit.reconstruction for fit in self.fits], self.shape)

    @functools.cached_property
    def psnr(self) -> float:
        """Of the reconstruction, dB: the mean over whole frames."""
        return quality(self.reconstruction, self.video)

    pixels, bpp = Fit.pixels, Fit.bpp  # of all patches and of the real file, as of one fit's

    def _mean(self, name):
        return sum(getattr(fit, name) * fit.pixels for fit in self.fits) / self.pixels

    @property
    def bpp_estimate(self) -> float:
        """Bits per pixel from log-probabilities, networks included."""
        return self._mean("bpp_estimate")

    @property
    def loss(self) -> float:
        """MSE + lambda bpp_estimate, the pixels' mean over all patches."""
        return self._mean("loss")

    @property
    def collapsed(self) -> tuple[int, ...]:
        """The places in `fits` of the patches that have collapsed (`Fit.collapsed`)."""
        return tuple(n for n, fit in enumerate(self.fits) if fit.collapsed)

    @property
    def seconds(self) -> float:
        """Of all fits together."""
        return sum(fit.seconds for fit in self.fits)

    def __repr__(self) -> str:
        size, patch = ("x".join(map(str, s)) for s in (self.shape, self.patch))
        return (f"VideoFit of {size} in {len(self.fits)} patches of {patch}: "
                f"{self.bpp_estimate:.4f} bpp estimated, {self.psnr:.2f} dB, "
                f"RD loss {self.loss:.4g}, {self.seconds:.1f} s")


def adaptive(x: Float[ArrayLike, "3 *shape"], configs: Sequence[Config], *,
             key: PRNGKeyArray | None = None, progress: bool = True, mask_steps: int = 1000,
             checkpoint: str | os.PathLike | None = None, on_collapse: str | None = None) -> Fit:
    """C3 adaptive: the fit of least RD loss over a list of configs (App. A.4).

    The lists of the paper are `ADAPTIVE_KODAK`, `ADAPTIVE_CLIC` and, for videos, `ADAPTIVE_UVG`.
    Masks without a position get one from `learn_offsets`, `mask_steps` steps, once for all configs
    of the same masks. With `checkpoint`, a path, killed, it goes on with the same result. Ctrl-C
    ends it early with the best so far, `interrupted=True`, and while a mask is learned with
    `KeyboardInterrupt`. `on_collapse` is as for `fit`.
    """
    best = fit_best(x, configs, key, progress, mask_steps, checkpoint, on_collapse)
    if not best.interrupted:
        _remove(checkpoint)
    return best


@plain_jax()
def fit_best(x, configs, key, progress, mask_steps, checkpoint, on_collapse) -> Fit:
    """`adaptive`, whose files stay, so that the result is had from them again at once: the best so
    far in the checkpoint, and beside it the masks and the fit under way."""
    x = check_image(x)
    if not configs:
        raise ValueError("there is nothing to choose from: give at least one config")
    key = jax.random.key(0) if key is None else key
    configs = masks.with_masks(x, configs, key=key, steps=mask_steps, progress=progress,
                               checkpoint=path_beside(checkpoint, "masks"))
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
                        checkpoint=path_beside(checkpoint, f"fit{n}"))
        if best is None or candidate.loss < best.loss:
            best = candidate
        if candidate.interrupted:
            return dataclasses.replace(best, interrupted=True)
        if store is not None:
            store.save((best.codec, np.stack(best.history)), tried=n, seconds=best.seconds,
                       config=best.config.to_json(), steps=len(best.history.loss))
    return best


def _remove(checkpoint) -> None:
    if checkpoint is not None:
        for file in (Path(checkpoint), path_beside(checkpoint, "masks")):
            file.unlink(missing_ok=True)


def fit_video(video: Float[ArrayLike, "3 *shape"], config: Config | Sequence[Config] = UVG, *,
              patch: Sequence[int] | None = None, key: PRNGKeyArray | None = None,
              progress: bool = True, mask_steps: int = 1000,
              checkpoint: str | os.PathLike | None = None,
              on_collapse: str | None = None) -> VideoFit:
    """Fit a clip (3, frames, height, width) patch by patch, each with its own networks and masks.

    Args:
        config: one for all patches, or several, of which each patch takes the best (`adaptive`).
            Masks without positions are learned.
        patch: (frames, height, width); by default the paper's, `patch_size`.
        mask_steps: of `learn_offsets`.
        checkpoint: a folder, made if it is not there, in which finished patches are kept, and the
            state of the one under way at least every half minute: killed or stopped, the same call
            goes on from there with the same result. What it holds is removed at the end.
        on_collapse: of a patch, as for `fit`; `VideoFit.collapsed` says which have.

    Ctrl-C (the stop button) ends it with `KeyboardInterrupt`: a clip without all of its patches is
    none. Raises `ValueError` for a clip, a config or a patch that cannot be, as `fit`.
    """
    x = check_image(video)
    if x.ndim != 4:
        raise ValueError(f"a clip is (3, frames, height, width), got {x.shape}; fit is for images")
    configs = [config] if isinstance(config, Config) else list(config)
    if not configs:
        raise ValueError("fit_video needs at least one config")
    if patch is None:
        patch = patch_size(configs[0].rd_weight, x.shape[1:])
    key = jax.random.key(0) if key is None else key
    parts, fits = split_patches(x, patch), []
    files = [None if checkpoint is None else Path(checkpoint, f"patch{n + 1}")
             for n in range(len(parts))]
    if checkpoint is not None:
        Path(checkpoint).mkdir(parents=True, exist_ok=True)
    for n, (part, file) in enumerate(zip(parts, files, strict=True)):
        if progress and len(parts) > 1:
            print(f"patch {n + 1} of {len(parts)}: {by(part.shape[1:])}", file=progress_output())
        fits.append(fit_best(part, configs, jax.random.fold_in(key, n), progress, mask_steps, file,
                             on_collapse))
        if fits[-1].interrupted:
            raise KeyboardInterrupt(f"interrupted in patch {n + 1} of {len(parts)}")
    for file in files:
        _remove(file)
    if checkpoint is not None:
        with contextlib.suppress(OSError):  # something else is in it
            Path(checkpoint).rmdir()
    return VideoFit(tuple(fits), x.shape[1:], tuple(map(int, patch)))
