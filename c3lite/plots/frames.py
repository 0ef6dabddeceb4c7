"""Clips: frames side by side, contexts drawn on them, and maps over the displacement (dx, dy)."""

from collections.abc import Sequence
from typing import Any, SupportsFloat

import numpy as np
from jaxtyping import ArrayLike, Float, Int
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from c3lite.config import Config
from c3lite.model import context as ctx
from c3lite.plots.fits import image
from c3lite.plots.styles import COLORS, KNOWN, TARGET, bare, color_bar, new_axes
from c3lite.video.masks import LearnedOffsets

GAP = 4


def film_strip(video: Float[ArrayLike, "3 frames height width"], ax: Axes | None = None, *,
               displacements: Int[ArrayLike, "steps 2"] | None = None, at_most: int = 5) -> Axes:
    """The first frames of a clip side by side, `at_most` so many. By `displacements`, (dx, dy) of
    each frame from the one before, a circle stays on one thing in the picture while it moves, and
    a cross on one place. Raises `ValueError` for anything but (3, frames, height, width)."""
    x = np.clip(np.asarray(video), 0, 1)
    if x.ndim != 4 or x.shape[0] != 3 or x.size == 0:
        raise ValueError(f"a clip is (3, frames, height, width), not {x.shape}")
    x = x[:, :at_most]
    count, height, width = x.shape[1:]
    padded = np.pad(x, ((0, 0), (0, 0), (0, 0), (0, GAP)), constant_values=1)  # white between
    strip = padded.transpose(2, 1, 3, 0).reshape(height, -1, 3)[:, :-GAP]
    ax = new_axes(ax, strip.transpose(2, 0, 1))
    ax.imshow(strip, interpolation="nearest")
    bare(ax)
    left = np.arange(count) * (width + GAP)
    ax.set_xticks(left + (width - 1) / 2, [f"frame {t}" for t in range(count)])
    ax.tick_params(length=0)
    if displacements is not None:
        moved = np.asarray(displacements)[: count - 1]
        # a thing was (dx, dy) further in the frame before
        thing = -np.concatenate([np.zeros((1, 2)), np.cumsum(moved, axis=0)])
        thing += np.array([width - 1, height - 1]) / 2 - (thing.max(0) + thing.min(0)) / 2
        ax.plot(left + thing[0, 0], np.full(count, thing[0, 1]), "+", color="white", markersize=9)
        ax.plot(left + thing[:, 0], thing[:, 1], "o", markersize=12, markerfacecolor="none",
                markeredgecolor=TARGET, markeredgewidth=2)
    return ax


def correlation_map(surface: Float[ArrayLike, "rows columns"], ax: Axes | None = None) -> Axes:
    """The surface of `motion.correlation`, its peak circled; gray lines meet at (0, 0)."""
    surface = np.asarray(surface)
    y, x = np.unravel_index(surface.argmax(), surface.shape)
    dx, dy = x - surface.shape[1] // 2, y - surface.shape[0] // 2
    return _map(surface, ax, "phase correlation", "pixels", (dx, dy),
                f"peak at ({dx}, {dy})", vmin=0)


def mask_heat_map(learned: LearnedOffsets, grid: int = 0, ax: Axes | None = None, *,
                  motion: Sequence[SupportsFloat] | None = None) -> Axes:
    """Mean |weight| of each offset in the previous frame, and the mask's box in blue (Fig. 15).
    Gray lines meet at (0, 0); `motion` = (dx, dy) is circled. `ValueError` for an unmasked grid."""
    if not 0 <= grid < len(learned.heat_maps):
        raise ValueError(f"grids 0 to {len(learned.heat_maps) - 1} have masks, not {grid}")
    box = learned.boxes[grid]
    ax = _map(learned.heat_maps[grid], ax, "mean |weight|", "latents", motion,
              f"grid {grid}: the box sees dx {box.dx} to {box.dx + box.width - 1}, "
              f"dy {box.dy} to {box.dy + box.height - 1}")
    ax.add_patch(Rectangle((box.dx - 0.5, box.dy - 0.5), box.width, box.height, fill=False,
                           edgecolor=COLORS[3], linewidth=1.2))
    return ax


def _map(values, ax, label, unit, circled, title, **how: Any) -> Axes:
    """Values over (dx, dy), with lines that lead to (0, 0) in the middle."""
    y, x = (side / 2 for side in np.shape(values))
    ax = new_axes(ax, figsize=(5.5, 4.5))
    color_bar(ax.imshow(values, cmap="magma", interpolation="nearest", extent=(-x, x, y, -y),
                        **how), ax, label)
    how_cross = {"color": "#D9D9D9", "linewidth": 0.6}  # open in the middle, to hide nothing
    ax.hlines([0, 0], [-x, 3], [-3, x], **how_cross)
    ax.vlines([0, 0], [-y, 3], [-3, y], **how_cross)
    if circled is not None:
        ax.plot(*circled, "o", markersize=20, markerfacecolor="none", markeredgecolor="white")
    ax.set(xlabel=f"dx ({unit})", ylabel=f"dy ({unit})")
    ax.set_title(title, fontsize=10)
    return ax


def context_on_frame(video: Float[ArrayLike, "3 frames height width"], config: Config,
                     position: Sequence[int], ax: Axes | None = None, *, lag: int = 0,
                     grid: int = 0) -> Axes:
    """The latents of frame `position[0] - lag` that the one at `position` has as its context, as
    blue squares on the frame; the latent itself is outlined in orange. `position` is (frame, row,
    column) in latents of the grid. Raises `ValueError` for a position or a lag outside of it."""
    x = np.asarray(video)
    scale = 2 ** (grid + (not config.finest_grid))
    shape = tuple(-(-n // scale) for n in x.shape[1:])
    frame, row, column = position
    inside = all(0 <= p < n for p, n in zip(position, shape, strict=True))
    if not inside or not 0 <= frame - lag < shape[0]:
        raise ValueError(f"grid {grid} of this clip is {shape}; there is no latent {position} with "
                         f"a frame {lag} before it")
    ax = image(x[:, min((frame - lag) * scale, x.shape[1] - 1)], ax)

    def square(y, x, **how):
        ax.add_patch(Rectangle((x * scale - 0.5, y * scale - 0.5), scale, scale, **how))

    for t, dy, dx in ctx.grid_offsets(config, 3, grid):
        y, x_ = row + dy, column + dx
        if t == -lag and 0 <= y < shape[1] and 0 <= x_ < shape[2]:
            square(y, x_, facecolor=KNOWN, alpha=0.6, linewidth=0)
    square(row, column, fill=False, edgecolor=TARGET, linewidth=2)
    when = {0: "this frame", 1: "the frame before"}.get(lag, f"{lag} frames before")
    ax.set_title(f"context in {when}", fontsize=10)
    return ax
