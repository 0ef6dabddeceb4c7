"""Where a video's latent looks in the previous frame (App. A.3): (dy, dx) in its grid's latents."""

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import ArrayLike, Float, PRNGKeyArray

from c3lite.config import ADAPTIVE_UVG, Config, edit
from c3lite.fitting.checkpoint import Checkpoint, path_beside, remove, resumed
from c3lite.fitting.fit import check_image
from c3lite.fitting.loop import chunks
from c3lite.fitting.training import History, begin, joined, plain_jax
from c3lite.fitting.warm_up import best_start
from c3lite.model import context as ctx

WINDOW = 65  # side of the window in which masks are looked for: C of App. A.3


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
    def boxes(self) -> tuple[Box, ...]:
        """The mask of each masked grid, finest first."""
        config = self.config
        return tuple(Box(*map(int, origin), *config.mask_shape)
                     for origin in config.mask_origins[: ctx.masked_count(config)])

    def at(self, position: str) -> Config:
        """The config with its masks elsewhere, to compare with (Fig. 24).

        "opposite" is the learned box mirrored at (0, 0), "center" the one around (0, 0), "top-left"
        the corner of the window; "learned" changes nothing. Raises `ValueError` for any other.
        """
        height, width = self.config.mask_shape
        corner = -(len(self.heat_maps[0]) // 2)
        moved = {"learned": [(box.dy, box.dx) for box in self.boxes],
                 "center": [(-(height // 2), -(width // 2))] * len(self.boxes),
                 "opposite": [(1 - height - box.dy, 1 - width - box.dx) for box in self.boxes],
                 "top-left": [(corner, corner)] * len(self.boxes)}
        if position not in moved:
            raise ValueError(f"no position {position!r}; there are {', '.join(moved)}")
        return edit(self.config, mask_origins=tuple(moved[position]))

    def __repr__(self) -> str:
        boxes = ", ".join(
            f"grid {n}: dy {b.dy}..{b.dy + b.height - 1}, dx {b.dx}..{b.dx + b.width - 1}"
            for n, b in enumerate(self.boxes))
        return f"LearnedOffsets({boxes}; {len(self.history.loss)} steps, {self.seconds:.1f} s)"


@plain_jax()
def learn_offsets(video: Float[ArrayLike, "3 *shape"], config: Config = ADAPTIVE_UVG[6], *,
                  key: PRNGKeyArray | None = None, steps: int = 1000, window: int = WINDOW,
                  progress: bool = True, callback: Callable[[LearnedOffsets], None] | None = None,
                  checkpoint: str | os.PathLike | None = None) -> LearnedOffsets:
    """Where each masked grid of a clip should look in the previous frame: App. A.3's three steps.

    1. A throw-away fit of `steps` steps, some 250 for a motion that all of the clip shares, in
       which the masked grids see a whole `window` x `window` of the previous frame.
    2. For each offset the mean |weight| of the first layer over its outputs: the heat maps.
    3. The box of `config.mask_shape` with the largest sum.

    `callback` is called after each chunk of steps with what has been found so far. `config` is by
    default E3 with S1. `checkpoint` is as for `fit`. Raises `ValueError` for a config without a
    mask, a window that is even or smaller than it, a clip of one frame; and what `fit` raises.
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
    origins = ((-(window // 2),) * 2,) * ctx.masked_count(config)
    wide = edit(config, mask_shape=(window, window), mask_origins=origins, steps=steps,
                stage2_steps=0)
    began = time.perf_counter()
    store, state, past = resumed(checkpoint, [x], [wide], [key], begin(x, wide, key))

    def learned(state):
        first = (state.codec.entropy.network(n)[0].weight for n in range(ctx.masked_count(config)))
        maps = tuple(np.abs(np.asarray(w)[:, : window**2]).mean(0).reshape(window, window)
                     for w in first)
        origins = tuple(_best_box(heat, config.mask_shape) for heat in maps)
        return LearnedOffsets(edit(config, mask_origins=origins), maps, joined(past),
                              time.perf_counter() - began)

    state = best_start(x, wide, state, past, progress=progress)
    for state, _ in chunks(x, wide, state, past, progress=progress, store=store):  # noqa: B020
        if callback is not None:
            callback(learned(state))
    if store is not None:
        remove(store.path)
    return learned(state)


def _best_box(heat: Float[np.ndarray, "window window"], size) -> tuple[int, int]:
    """(dy, dx) of the first entry of the box of the largest sum."""
    sums = np.lib.stride_tricks.sliding_window_view(heat, size).sum((2, 3))
    row, column = np.unravel_index(np.argmax(sums), sums.shape)
    center = len(heat) // 2
    return int(row) - center, int(column) - center


def with_masks(x: Float[ArrayLike, "3 *shape"], configs: Sequence[Config], *, key=None,
               steps: int = 1000, progress: bool = True,
               checkpoint: str | os.PathLike | None = None) -> list[Config]:
    """`configs`, those of a video that have masks without positions with learned ones, which
    configs of the same masks and number of grids share. With `checkpoint`, a path, learned
    positions are kept there (for the caller to remove), and the fit under way beside it."""
    ndim, learned, result, store = np.ndim(x) - 1, {}, [], None
    key = jax.random.key(0) if key is None else key
    if checkpoint is not None:
        store = Checkpoint(checkpoint, [np.asarray(x)] * len(configs), configs,
                           [key] * len(configs))
        _, notes = store.load() or ((), {"learned": []})
        learned = {(tuple(shape), *counts): origins
                   for (shape, *counts), origins in notes["learned"]}
    for config in configs:
        if ctx.masked(config, ndim, 0) and not config.mask_origins:
            masks = config.mask_shape, config.masked_grids, config.num_grids
            if masks not in learned:
                learned[masks] = learn_offsets(
                    x, config, key=key, steps=steps, progress=progress,
                    checkpoint=path_beside(checkpoint, "fit")).config.mask_origins
                if store is not None:
                    store.save(learned=list(learned.items()))
            config = edit(config, mask_origins=learned[masks])
        result.append(config)
    return result
