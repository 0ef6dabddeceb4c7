"""Clips: frames side by side with what moves marked, and the surface that measures the motion."""

from __future__ import annotations

import numpy as np
from jaxtyping import ArrayLike, Float, Int
from matplotlib.axes import Axes

from c3lite.plots.styles import bare, color_bar, new_axes, style

GAP = 4


def film_strip(
    video: Float[ArrayLike, "3 frames height width"],
    ax: Axes | None = None,
    *,
    displacements: Int[ArrayLike, "steps 2"] | None = None,
    at_most: int = 5,
) -> Axes:
    """The first frames of a clip side by side, `at_most` so many.

    With `displacements`, (dx, dy) of each frame from the one before (`motion.displacements`), a
    circle stays on one thing in the picture while it moves, and a cross on one place.

    Raises `ValueError` for anything but (3, frames, height, width).
    """
    x = np.clip(np.asarray(video), 0, 1)
    if x.ndim != 4 or x.shape[0] != 3 or x.size == 0:
        raise ValueError(f"a clip is (3, frames, height, width), not {x.shape}")
    x = x[:, :at_most]
    count, height, width = x.shape[1:]
    # white between the frames
    padded = np.pad(x, ((0, 0), (0, 0), (0, 0), (0, GAP)), constant_values=1)
    strip = padded.transpose(2, 1, 3, 0).reshape(height, -1, 3)[:, :-GAP]
    if ax is None:
        ax = new_axes(None, strip.transpose(2, 0, 1))
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
                markeredgecolor=style("COOL-CHIC")["color"], markeredgewidth=2)
    return ax


def correlation_map(
    surface: Float[ArrayLike, "rows columns"], ax: Axes | None = None
) -> Axes:
    """The surface of `motion.correlation`, its peak circled; the gray cross is (0, 0)."""
    surface = np.asarray(surface)
    ry, rx = (side // 2 for side in surface.shape)
    peak = np.unravel_index(surface.argmax(), surface.shape)
    dx, dy = peak[1] - rx, peak[0] - ry
    ax = new_axes(ax, figsize=(5.5, 4.5))
    drawn = ax.imshow(surface, cmap="magma", interpolation="nearest", vmin=0,
                      extent=(-rx - 0.5, rx + 0.5, ry + 0.5, -ry - 0.5))
    color_bar(drawn, ax, "phase correlation")
    ax.plot(0, 0, "+", color="#D9D9D9", markersize=9)
    ax.plot(dx, dy, "o", markersize=16, markerfacecolor="none", markeredgecolor="white")
    ax.set_xlabel("dx (pixels)")
    ax.set_ylabel("dy (pixels)")
    ax.set_title(f"peak at ({dx}, {dy})", fontsize=10)
    return ax
