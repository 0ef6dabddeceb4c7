"""Videos: learned masks as heat maps with boxes, and contexts drawn on the frames they read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsFloat

import numpy as np
from jaxtyping import ArrayLike, Float
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from c3lite.config import Config
from c3lite.model import context as ctx
from c3lite.plots.styles import bare, color_bar, new_axes, picture, style
from c3lite.video.masks import LearnedOffsets


def mask_heat_map(
    learned: LearnedOffsets, grid: int = 0, ax: Axes | None = None,
    *, motion: Sequence[SupportsFloat] | None = None,
) -> Axes:
    """Mean |weight| of each offset in the previous frame, and the mask's box in blue (Fig. 15).

    The gray cross is (0, 0): the same place. `motion` = (dx, dy), where it is known, is circled.
    Raises `ValueError` for a grid without a mask.
    """
    if not 0 <= grid < len(learned.heat_maps):
        raise ValueError(f"grids 0 to {len(learned.heat_maps) - 1} have masks, not {grid}")
    heat, box = learned.heat_maps[grid], learned.boxes[grid]
    reach = learned.window / 2
    ax = new_axes(ax, figsize=(5.5, 4.5))
    drawn = ax.imshow(heat, cmap="magma", interpolation="nearest",
                      extent=(-reach, reach, reach, -reach))
    color_bar(drawn, ax, "mean |weight|")
    ax.plot(0, 0, "+", color="#D9D9D9", markersize=9)
    ax.add_patch(Rectangle((box.dx - 0.5, box.dy - 0.5), box.width, box.height, fill=False,
                           edgecolor=style("HEVC")["color"], linewidth=1.8))
    if motion is not None:
        ax.plot(*motion, "o", markersize=16, markerfacecolor="none", markeredgecolor="white")
    ax.set_xlabel("dx (latents)")
    ax.set_ylabel("dy (latents)")
    ax.set_title(f"grid {grid}: the box sees dx {box.dx} to {box.dx + box.width - 1}, "
                 f"dy {box.dy} to {box.dy + box.height - 1}", fontsize=10)
    return ax


def context_on_frame(
    video: Float[ArrayLike, "3 frames height width"],
    config: Config,
    position: Sequence[int],
    ax: Axes | None = None,
    *,
    lag: int = 0,
    grid: int = 0,
) -> Axes:
    """The latents of frame `position[0] - lag` that the one at `position` has as its context.

    Orange squares on the frame, each as large as what a latent of this grid stands for; the latent
    itself is outlined in blue. `position` is (frame, row, column) in latents of the grid.

    Raises `ValueError` for a position or a lag outside the grid.
    """
    x = np.asarray(video)
    scale = 2 ** (grid + (not config.finest_grid))
    shape = tuple(-(-n // scale) for n in x.shape[1:])
    frame, row, column = position
    inside = all(0 <= p < n for p, n in zip(position, shape, strict=True))
    if not inside or not 0 <= frame - lag < shape[0]:
        raise ValueError(f"grid {grid} of this clip is {shape}; there is no latent {position} with "
                         f"a frame {lag} before it")
    shown = x[:, min((frame - lag) * scale, x.shape[1] - 1)]
    ax = new_axes(ax, shown)
    ax.imshow(np.clip(picture(shown), 0, 1).transpose(1, 2, 0), interpolation="nearest")

    def square(y, x, **how):
        ax.add_patch(Rectangle((x * scale - 0.5, y * scale - 0.5), scale, scale, **how))

    for t, dy, dx in ctx.grid_offsets(config, 3, grid):
        y, x_ = row + dy, column + dx
        if t == -lag and 0 <= y < shape[1] and 0 <= x_ < shape[2]:
            square(y, x_, facecolor=style("COOL-CHIC")["color"], alpha=0.6, linewidth=0)
    square(row, column, fill=False, edgecolor=style("C3")["color"], linewidth=1.5)
    when = {0: "this frame", 1: "the frame before"}.get(lag, f"{lag} frames before")
    ax.set_title(f"context in {when}", fontsize=10)
    return bare(ax)
