"""Entropy coding: an interval that narrows, and the order in which latents are decoded."""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from c3lite.coding.payload import Plan
from c3lite.model import context as ctx
from c3lite.model import latents
from c3lite.plots.styles import bare, color_bar, new_axes, style


def coding_intervals(cumulative: Sequence[int], symbols: Sequence[int], ax: Axes | None = None,
                     names: Sequence[str] | None = None) -> Axes:
    """How an entropy coder narrows its interval: each row is what the row above has left, blown up
    to full width and parted as the cumulative frequencies say, the chosen part in blue. `names` are
    the symbols' labels. Raises `ValueError` for a symbol that the table does not have."""
    edges = np.asarray(cumulative) / cumulative[-1]
    if not all(0 <= s < len(edges) - 1 for s in symbols):
        raise ValueError(f"symbols of this table are 0 to {len(edges) - 2}")
    names = [str(s) for s in range(len(edges) - 1)] if names is None else names
    ax = new_axes(ax, figsize=(8, 0.5 + 0.75 * len(symbols)))
    low, width = 0.0, 1.0
    for row, chosen in enumerate(symbols):
        for s, (left, right) in enumerate(itertools.pairwise(edges)):
            mine = s == chosen
            ax.barh(row, right - left, 0.5, left, edgecolor="white",
                    color=style("C3")["color"] if mine else "#D9D9D9")
            if right - left > 0.03:
                ax.text((left + right) / 2, row, names[s], ha="center", va="center",
                        color="white" if mine else "black")
        ax.text(-0.01, row, f"from {low:.6f}\nwidth {width:.6f}", ha="right", va="center",
                fontsize=8)
        if row < len(symbols) - 1:
            for near, far in ((edges[chosen], 0), (edges[chosen + 1], 1)):
                ax.plot([near, far], [row + 0.25, row + 0.75], color="gray", linewidth=0.8)
        low, width = low + width * edges[chosen], width * (edges[chosen + 1] - edges[chosen])
    ax.set_xlim(-0.16, 1)
    ax.invert_yaxis()
    ax.axis("off")
    return ax


def decoding_steps(config, shape: tuple[int, ...]) -> tuple[Int[np.ndarray, "..."], ...]:
    """In which step of the wavefront each latent is decoded, an array for each grid."""
    plan = Plan(config, shape)
    steps = np.empty(len(plan.order), np.int32)
    for n, (places, _) in enumerate(plan.steps()):
        steps[plan.order[places]] = n
    return latents.split(steps, plan.shapes)


def wavefront(config, shape: tuple[int, int], ax: Axes | None = None, *,
              step: int | None = None) -> Axes:
    """In which step of the decoder each latent of an image's finest grid is decoded.

    With `step`, the state before it: what is known, what the step decodes at once, the context of
    the one in the middle of these, and what is unknown. Raises `ValueError` for a video, and for a
    step in which no latent of this grid is decoded.
    """
    if len(shape) != 2:
        raise ValueError(f"the wavefront of an image has (height, width), not {shape}")
    steps = decoding_steps(config, shape)[0]
    height, width = steps.shape
    ax = new_axes(ax, steps[None])
    if step is None:
        color_bar(ax.imshow(steps, cmap="viridis", interpolation="nearest"), ax, "step")
        return bare(ax)
    front = np.argwhere(steps == step)
    if not len(front):
        raise ValueError(f"no latent of the finest grid is decoded in step {step}")
    kinds = np.where(steps < step, 1, 0)
    kinds[steps == step] = 2
    middle = front[len(front) // 2]
    offsets = np.array(ctx.grid_offsets(config, 2, 0)).reshape(-1, 2)
    for y, x in middle + offsets:
        if 0 <= y < height and 0 <= x < width:
            kinds[y, x] = 3
    names = {"unknown": "#FFFFFF", "known": "#BFBFBF", "this step": "#E69F00",
             "a context": "#0072B2"}
    ax.pcolormesh(kinds, cmap=ListedColormap(list(names.values())), vmin=-0.5, vmax=3.5,
                  edgecolors="#8C8C8C", linewidth=0.2)
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    for name, color in names.items():
        ax.plot([], [], "s", markersize=9, color=color, markeredgecolor="#8C8C8C", label=name)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return bare(ax)
