"""What decoding costs: seconds and MACs by component, and other codecs' MACs beside ours."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from c3lite.evaluation import reference
from c3lite.evaluation.complexity import MACs
from c3lite.evaluation.report import PART_COLORS
from c3lite.plots.fits import PART_NAMES
from c3lite.plots.styles import OTHER, finished, label, name_rows, new_axes, plain_numbers, style

_COST_NAMES = PART_NAMES | {"upsampling": "upsampling"}


def cost_by_size(costs: Mapping[tuple[int, ...], Sequence[float]], ax: Axes | None = None, *,
                 unit: str = "s") -> Axes:
    """A cost of decoding over the number of pixels, a line a component (`MACs` or a `DecodeTime` by
    shape), log axes; dashed: in proportion to the pixels. Raises `ValueError` without a shape."""
    if not costs:
        raise ValueError("cost_by_size needs at least one shape")
    shapes = sorted(costs, key=math.prod)
    pixels = np.array([math.prod(shape) for shape in shapes])
    values = np.array([tuple(costs[shape]) for shape in shapes], float)
    ax = new_axes(ax, figsize=(6, 4))
    for part, column in zip(MACs._fields, values.T, strict=True):
        ax.plot(pixels, column, "o-", color=PART_COLORS[part], label=_COST_NAMES[part])
    total = values.sum(1)
    ax.plot(pixels, total, "o-", color="black", label="in all")
    ax.plot(pixels, total[0] * pixels / pixels[0], color="gray", linestyle="--", linewidth=1,
            label="in proportion to pixels")
    finished(ax, {"axis": "y", "which": "both"}, xscale="log", yscale="log",
             xlabel="picture (rows × columns)", ylabel=f"decoding ({unit})")
    plain_numbers(ax.xaxis)
    ax.set_xticks(pixels, ["×".join(map(str, shape)) for shape in shapes], rotation=25, ha="right",
                  fontsize=8)
    plain_numbers(ax.yaxis)
    return ax


def macs_by_part(costs: Mapping[str, MACs], ax: Axes | None = None) -> Axes:
    """What decoding costs, in MACs per pixel, a bar a codec, parted by component (Table 7)."""
    ax = new_axes(ax, figsize=(8, 0.9 + 0.42 * len(costs)))
    left, totals = np.zeros(len(costs)), np.array([cost.total for cost in costs.values()])
    for part in MACs._fields:
        widths = np.array([getattr(cost, part) for cost in costs.values()])
        bars = ax.barh(range(len(costs)), widths, 0.7, left, color=PART_COLORS[part],
                       label=_COST_NAMES[part], edgecolor="white")
        texts = np.where(widths > 0.08 * totals, [f"{width:,.0f}" for width in widths], "")
        ax.bar_label(bars, texts, label_type="center", fontsize=9,
                     color="black" if part == "synthesis" else "white")
        left += widths
    ax.bar_label(bars, [f"{total:,.0f}" for total in totals], padding=4, fontsize=9)
    ax.set_xlim(0, 1.12 * left.max())
    return name_rows(ax, costs, "MACs per pixel")


def published_macs(dataset: str, ours: Mapping[str, float] | None = None,
                   ax: Axes | None = None) -> Axes:
    """MACs per pixel of decoding of the published codecs of a data set, and in black of `ours`,
    least first; a log axis. A codec with several settings is a line from its least to its most.
    Raises `ValueError` for an unknown data set."""
    rows = []  # least, most, name, whether ours
    for name, info in reference.codecs(dataset).items():
        known = [m for m in (info.macs_per_pixel_min, info.macs_per_pixel_max) if m is not None]
        if known:
            rows.append((min(known), max(known), name, False))
    rows += [(macs, macs, name, True) for name, macs in (ours or {}).items()]
    rows.sort(key=lambda row: row[1])
    ax = new_axes(ax, figsize=(7, 0.9 + 0.26 * len(rows)))
    for y, (least, most, name, own) in enumerate(rows):
        color = "black" if own else style(name)["color"]
        ax.plot([least, most], [y, y], color=color, linewidth=3, solid_capstyle="round")
        ax.plot(most, y, "D" if own else "o", color=color, markersize=6 if own else 5)
        ax.annotate(EngFormatter(places=1, sep=" ")(most), (most, y), xytext=(8, 0),
                    textcoords="offset points", va="center", fontsize=8,
                    color="black" if color != OTHER["color"] else "#595959")
    ax.set_xscale("log")
    ax.set_xlim(right=4 * max(most for _, most, *_ in rows))  # room for the last figure
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.grid(alpha=0.3, axis="x")
    names = [f"{name} (ours)" if own else label(name) for *_, name, own in rows]
    return name_rows(ax, names, "decoding cost (MACs per pixel)", fontsize=8)


def bd_rate_against_macs(rates_percent: Mapping[str, float | int], macs: Mapping[str, float | int],
                         ax: Axes | None = None) -> Axes:
    """BD-rate over the cost of decoding in MACs per pixel (Figs. 1, 9, 17); down left is better.
    One named point for every name in both mappings. Raises `ValueError` when there is none."""
    names = sorted((name for name in rates_percent if name in macs), key=lambda name: macs[name])
    if not names:
        raise ValueError("no name has both a BD-rate and MACs per pixel")
    ax = new_axes(ax)
    for name in names:
        ax.plot(macs[name], rates_percent[name], label=label(name),
                **style(name) | {"linestyle": "", "markersize": 8})
    ax.axhline(0, color="gray", linewidth=0.8, linestyle="--")
    ax.margins(x=0.1, y=0.12)
    finished(ax, xscale="log", xlabel="decoding cost (MACs per pixel)", ylabel="BD-rate (%)")
    ax.xaxis.set_minor_formatter("")
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    return ax
