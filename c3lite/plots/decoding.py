"""What decoding costs: seconds and MACs by component, and other codecs' MACs beside ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FuncFormatter, NullFormatter

from c3lite.evaluation import reference
from c3lite.evaluation.report import PART_COLORS
from c3lite.plots.fits import PART_NAMES
from c3lite.plots.styles import OTHER, label, new_axes, style


def cost_by_size(
    costs: Mapping[tuple[int, ...], Sequence[float]],
    ax: Axes | None = None,
    *,
    parts: Sequence[str] = ("entropy", "upsampling", "synthesis"),
    unit: str = "s",
) -> Axes:
    """A cost of decoding over the number of pixels, a line a component, on logarithmic axes.

    costs: for each shape of the data one figure a component, such as `MACs` or a `DecodeTime`.
    The dashed line is in proportion to the pixels, from the first total on. Raises `ValueError`
    without a shape.
    """
    if not costs:
        raise ValueError("cost_by_size needs at least one shape")
    shapes = sorted(costs, key=math.prod)
    pixels = np.array([math.prod(shape) for shape in shapes])
    values = np.array([tuple(costs[shape]) for shape in shapes], float)
    ax = new_axes(ax, figsize=(6, 4))
    for part, column in zip(parts, values.T, strict=True):
        ax.plot(pixels, column, "o-", color=PART_COLORS[part], label=PART_NAMES.get(part, part)
                if part != "upsampling" else "upsampling")
    total = values.sum(1)
    ax.plot(pixels, total, "o-", color="black", label="in all")
    ax.plot(pixels, total[0] * pixels / pixels[0], color="gray", linestyle="--", linewidth=1,
            label="in proportion to pixels")
    ax.set(xscale="log", yscale="log", ylabel=f"decoding ({unit})")
    ax.set_xticks(pixels, ["×".join(map(str, shape)) for shape in shapes], rotation=25, ha="right",
                  fontsize=8)
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.grid(alpha=0.3, axis="y", which="both")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=8)
    return ax


def published_macs(
    dataset: str, ours: Mapping[str, float] | None = None, ax: Axes | None = None
) -> Axes:
    """MACs per pixel of decoding of all published codecs of a data set, least first; a log axis.

    A codec with several settings is a line from its least to its most. `ours` adds figures of our
    own, in black. Codecs whose MACs are not known are left out. Raises `ValueError` for an unknown
    data set.
    """
    rows: list[tuple[str, Float[np.ndarray, "2"], bool]] = []
    for name, info in reference.codecs(dataset).items():
        ends = [m for m in (info.macs_per_pixel_min, info.macs_per_pixel_max) if m is not None]
        if ends:
            rows.append((name, np.array([min(ends), max(ends)]), False))
    rows += [(name, np.array([macs, macs]), True) for name, macs in (ours or {}).items()]
    rows.sort(key=lambda row: row[1][1])
    ax = new_axes(ax, figsize=(7, 0.9 + 0.26 * len(rows)))
    for y, (name, ends, own) in enumerate(rows):
        color = "black" if own else style(name)["color"]
        ax.plot(ends, [y, y], color=color, linewidth=3, solid_capstyle="round")
        ax.plot(ends[1], y, "D" if own else "o", color=color, markersize=6 if own else 5)
        text = EngFormatter(places=1, sep=" ")(ends[1])
        ax.annotate(text, (ends[1], y), xytext=(8, 0), textcoords="offset points", va="center",
                    fontsize=8, color="black" if color != OTHER["color"] else "#595959")
    ax.set_xscale("log")
    ax.set_xlim(right=4 * max(ends[1] for _, ends, _ in rows))  # room for the last figure
    ax.set_yticks(range(len(rows)), [f"{name} (ours)" if own else label(name)
                                     for name, _, own in rows], fontsize=8)
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set_xlabel("decoding cost (MACs per pixel)")
    ax.grid(alpha=0.3, axis="x")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax
