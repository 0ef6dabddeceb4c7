"""Videos: where a latent looks in the previous frame (App. A.3), and clips in patches (Sec. 3.3).

Offsets are (dy, dx) in latents of a grid. A window that moves over a picture by (dy, dx) a frame
has x_t(p) = x_(t-1)(p + (dy, dx)): that offset is where the same content was, on every grid, since
time is halved with space.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import ArrayLike, Float, PRNGKeyArray

from c3lite.config import ADAPTIVE_UVG, UVG, Config, edit
from c3lite.data.patches import join_patches, patch_size, split_patches
from c3lite.evaluation.metrics import mean_frame_psnr
from c3lite.fitting.checkpoint import Kept
from c3lite.fitting.fit import (
    Fit,
    History,
    State,
    begin,
    best_of,
    check_image,
    joined,
    resumed,
    run,
)
from c3lite.model import context as ctx

WINDOW = 65
"""Side of the window in which masks are looked for: C of App. A.3."""


class Box(NamedTuple):
    """A mask in the previous frame: offsets from (dy, dx) on, `height` x `width` of them."""

    dy: int
    dx: int
    height: int
    width: int

    def covers(self, dy: int, dx: int) -> bool:
        """Whether the offset (dy, dx) is inside."""
        return 0 <= dy - self.dy < self.height and 0 <= dx - self.dx < self.width


@dataclasses.dataclass(frozen=True, eq=False)
class LearnedOffsets:
    """What `learn_offsets` found."""

    config: Config
    """The config it was given, with `mask_origins` filled in."""
    heat_maps: tuple[Float[np.ndarray, "window window"], ...]
    """For each masked grid, finest first: the mean |weight| that the first layer gives to each
    offset. Entry [i, j] is (dy, dx) = (i - window // 2, j - window // 2)."""
    history: History
    """Of the throw-away fit."""
    seconds: float

    @property
    def window(self) -> int:
        """Side of the heat maps."""
        return len(self.heat_maps[0])

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The mask of each masked grid."""
        return mask_boxes(self.config)

    def at(self, position: str) -> Config:
        """The config with its masks elsewhere, to compare with (Fig. 24).

        "opposite" is the learned box mirrored at (0, 0), "center" the one around (0, 0) and
        "top-left" the corner of the window; "learned" changes nothing. Raises `ValueError` for any
        other.
        """
        height, width = self.config.mask_shape
        corner = -(self.window // 2)
        moved = {
            "learned": lambda box: (box.dy, box.dx),
            "center": lambda box: (-(height // 2), -(width // 2)),
            "opposite": lambda box: (1 - height - box.dy, 1 - width - box.dx),
            "top-left": lambda box: (corner, corner),
        }
        if position not in moved:
            raise ValueError(f"no position {position!r}; there are {', '.join(moved)}")
        return edit(self.config, mask_origins=tuple(map(moved[position], self.boxes)))

    def __repr__(self) -> str:
        boxes = ", ".join(
            f"grid {n}: dy {b.dy}..{b.dy + b.height - 1}, dx {b.dx}..{b.dx + b.width - 1}"
            for n, b in enumerate(self.boxes))
        return f"LearnedOffsets({boxes}; {len(self.history.loss)} steps, {self.seconds:.1f} s)"


def mask_boxes(config: Config) -> tuple[Box, ...]:
    """The mask of each masked grid of a config, finest first; empty without a mask."""
    if config.mask_shape is None:
        return ()
    count = min(config.masked_grids, config.num_grids)
    return tuple(Box(*map(int, origin), *config.mask_shape)
                 for origin in config.mask_origins[:count])


def learn_offsets(
    video: Float[ArrayLike, "3 *shape"],
    config: Config = ADAPTIVE_UVG[6],
    *,
    key: PRNGKeyArray | None = None,
    steps: int = 1000,
    window: int = WINDOW,
    progress: bool = True,
    callback: Callable[[LearnedOffsets], None] | None = None,
    checkpoint: str | os.PathLike | None = None,
) -> LearnedOffsets:
    """Where each masked grid of a clip should look in the previous frame: App. A.3's three steps.

    1. A throw-away fit of `steps` steps, in which the masked grids see a whole `window` x `window`
       of the previous frame. The current frame already has its small causal window.
    2. For each offset the mean |weight| of the first layer over its outputs: the heat maps.
    3. The box of `config.mask_shape` with the largest sum.

    Some 250 steps are enough for a motion that all of the clip shares. `callback` is called after
    each chunk of steps with what has been found so far. `config` is by default E3 with S1.
    `checkpoint` is as for `fit`.

    Raises `ValueError` for a config without a mask, an even window, one smaller than the mask, and
    a clip of one frame; and what `fit` raises.
    """
    x = check_image(video)
    if x.ndim != 4 or x.shape[1] < 2:
        raise ValueError("a mask in the previous frame needs (3, frames, height, width) with at "
                         f"least 2 frames, got {x.shape}")
    if config.mask_shape is None or not config.masked_grids:
        raise ValueError("the config has no mask to place: set mask_shape, masked_grids and "
                         "entropy_per_grid=True, as UVG_SETTINGS['E3'] does")
    if window % 2 == 0 or window < max(config.mask_shape) or steps < 0:
        raise ValueError(f"window must be odd and at least as large as the mask "
                         f"{config.mask_shape}, and steps 0 or more; got {window} and {steps}")
    key = jax.random.key(0) if key is None else key
    wide = _wide(config, window, steps)
    began = time.perf_counter()
    store, state, past = resumed(checkpoint, [x], [wide], [key], begin(x, wide, key))

    def found(state):
        maps = tuple(_heat_maps(state, config, window))
        origins = tuple(_best_box(heat, config.mask_shape) for heat in maps)
        return LearnedOffsets(edit(config, mask_origins=origins), maps, joined(past),
                              time.perf_counter() - began)

    each = None if callback is None else lambda state: callback(found(state))
    state, interrupted = run(x, wide, state, past, progress, each, store)
    if interrupted:
        raise KeyboardInterrupt("interrupted while learning a mask")
    if store is not None:
        store.remove()
    return found(state)


def _wide(config, window, steps):
    """The throw-away config: a mask as wide as the window."""
    origin = -(window // 2)
    count = min(config.masked_grids, config.num_grids)
    return edit(config, mask_shape=(window, window), mask_origins=((origin, origin),) * count,
                steps=steps, stage2_steps=0)


def _heat_maps(state: State, config, window) -> Iterator[Float[np.ndarray, "window window"]]:
    for n in range(min(config.masked_grids, config.num_grids)):
        first = state.codec.entropy.network(n)[0]
        weight = np.asarray(first.weight)[:, : window * window]
        yield np.abs(weight).mean(0).reshape(window, window)


def _best_box(heat: Float[np.ndarray, "window window"], size) -> tuple[int, int]:
    """(dy, dx) of the first entry of the box of the largest sum."""
    sums = np.lib.stride_tricks.sliding_window_view(heat, size).sum((2, 3))
    row, column = np.unravel_index(np.argmax(sums), sums.shape)
    center = len(heat) // 2
    return int(row) - center, int(column) - center


def with_masks(
    x: Float[ArrayLike, "3 *shape"], configs: Sequence[Config], *, key=None, steps: int = 1000,
    progress: bool = True, checkpoint: str | os.PathLike | None = None,
) -> list[Config]:
    """`configs`, those of a video that have masks without positions with learned ones.

    Configs of the same masks and number of grids share the positions that the first one learned.
    With `checkpoint`, a path, learned positions are kept there (for the caller to remove), and the
    fit under way beside it.
    """
    ndim, learned, result, kept = np.ndim(x) - 1, {}, [], None
    if checkpoint is not None:
        key = jax.random.key(0) if key is None else key
        kept = Kept(checkpoint, np.asarray(x), configs, key)
        learned = kept.load({})
    for config in configs:
        if ctx.masked(config, ndim, 0) and not config.mask_origins:
            masks = config.mask_shape, config.masked_grids, config.num_grids
            if masks not in learned:
                learned[masks] = learn_offsets(
                    x, config, key=key, steps=steps, progress=progress,
                    checkpoint=None if kept is None else kept.beside("fit")).config.mask_origins
                if kept is not None:
                    kept.save(learned)
            config = edit(config, mask_origins=learned[masks])
        result.append(config)
    return result


# A clip in patches -------------------------------------------------------------------------------


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
        return mean_frame_psnr(self.reconstruction, self.video)

    @property
    def pixels(self) -> int:
        """Number of pixels, all frames together."""
        return math.prod(self.shape)

    @property
    def bpp_estimate(self) -> float:
        """Bits per pixel from log-probabilities, networks included."""
        return sum(fit.bpp_estimate * fit.pixels for fit in self.fits) / self.pixels

    @functools.cached_property
    def bpp(self) -> float:
        """Bits per pixel of the real file, every byte counted; written when first asked for."""
        from c3lite.coding.patches import encode  # which imports this module

        return 8 * len(encode(self)) / self.pixels

    @property
    def loss(self) -> float:
        """MSE + lambda bpp_estimate, the pixels' mean over all patches."""
        return sum(fit.loss * fit.pixels for fit in self.fits) / self.pixels

    @property
    def seconds(self) -> float:
        """Of all fits together."""
        return sum(fit.seconds for fit in self.fits)

    def __repr__(self) -> str:
        size, patch = ("x".join(map(str, s)) for s in (self.shape, self.patch))
        return (f"VideoFit of {size} in {len(self.fits)} patches of {patch}: "
                f"{self.bpp_estimate:.4f} bpp estimated, {self.psnr:.2f} dB, "
                f"RD loss {self.loss:.4g}, {self.seconds:.1f} s")


def fit_video(
    video: Float[ArrayLike, "3 *shape"],
    config: Config | Sequence[Config] = UVG,
    *,
    patch: Sequence[int] | None = None,
    key: PRNGKeyArray | None = None,
    progress: bool = True,
    mask_steps: int = 1000,
    checkpoint: str | os.PathLike | None = None,
) -> VideoFit:
    """Fit a clip (3, frames, height, width) patch by patch, each with its own networks and masks.

    Args:
        config: one for all patches, or several, of which each patch takes the best (`adaptive`):
            `ADAPTIVE_UVG` is the paper's list. Masks without positions are learned.
        patch: (frames, height, width); by default the paper's size for this rate weight
            (`patch_size`), or the clip's where that is smaller.
        mask_steps: of `learn_offsets`.
        checkpoint: a folder, made if it is not there, in which finished patches are kept, and the
            state of the one under way at least every half minute: killed or stopped, the same call
            goes on from there with the same result. What it holds is removed at the end.

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
    if checkpoint is not None:
        Path(checkpoint).mkdir(parents=True, exist_ok=True)
    parts, fits, files = split_patches(x, patch), [], []
    for n, part in enumerate(parts):
        if progress and len(parts) > 1:
            print(f"patch {n + 1} of {len(parts)}: {' x '.join(map(str, part.shape[1:]))}")
        part, own = np.ascontiguousarray(part), jax.random.fold_in(key, n)
        kept = None if checkpoint is None else Kept(
            Path(checkpoint) / f"patch{n + 1}", part, configs, own)
        fits.append(best_of(part, configs, own, progress, mask_steps, kept))
        if fits[-1].interrupted:
            raise KeyboardInterrupt(f"interrupted in patch {n + 1} of {len(parts)}")
        files.append(kept)
    if checkpoint is not None:
        for kept in files:
            kept.remove()
        with contextlib.suppress(OSError):  # something else is in it
            Path(checkpoint).rmdir()
    return VideoFit(tuple(fits), x.shape[1:], tuple(map(int, patch)))
