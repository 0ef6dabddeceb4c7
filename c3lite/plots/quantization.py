"""How fits converge with one stand-in for rounding or another, over seeds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import ArrayLike, Float, Shaped
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from c3lite.plots.styles import new_axes

COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C6D31", "#595959")
"""Okabe and Ito's, for lines that are no methods with a color of their own."""

Curve = tuple[Shaped[ArrayLike, "..."], Float[ArrayLike, "..."]]
"""Steps and losses, as many of each."""


def loss_bands(
    runs: Mapping[str, Sequence[Curve]],
    ax: Axes | None = None,
    *,
    stage2: int | None = None,
    smooth: int = 5,
) -> Axes:
    """Loss over the steps: the mean over seeds as a line, all seeds within a band.

    runs: for each name the curves of its seeds; those that stop early end the line there. Each
    curve is the running mean over `smooth` of its points, not across the step `stage2`, which is
    marked. Colors go by the order of the names. Raises `ValueError` for a name without a curve.
    """
    ax = new_axes(ax, figsize=(7, 3.8))
    for (name, curves), color in zip(runs.items(), COLORS * len(runs), strict=False):
        if not len(curves):
            raise ValueError(f"{name} has no curve to draw")
        n = min(len(steps) for steps, _ in curves)
        steps = np.asarray(curves[0][0])[:n]
        losses = np.array([_smoothed(steps, np.asarray(loss, float)[:n], smooth, stage2)
                           for _, loss in curves])
        ax.fill_between(steps, losses.min(0), losses.max(0), color=color, alpha=0.25, linewidth=0)
        ax.plot(steps, losses.mean(0), color=color, linewidth=1.4, label=name)
    if stage2 is not None:
        ax.axvline(stage2, color="gray", linestyle=":", linewidth=1)
    ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_ylabel("loss (values in [0, 1], squared)")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    ax.grid(alpha=0.3, which="both")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=8)
    return ax


def _smoothed(steps, loss, window, stage2):
    """Running mean over up to `window` points before and at each, within its stage."""
    ends = [0, len(loss)] if stage2 is None else [0, np.searchsorted(steps, stage2), len(loss)]
    parts = []
    for first, last in itertools.pairwise(ends):
        total = np.cumsum(np.concatenate([[0], loss[first:last]]))
        at = np.arange(1, len(total))
        since = np.maximum(at - window, 0)
        parts.append((total[at] - total[since]) / (at - since))
    return np.concatenate(parts)


def loss_rises(
    rises_percent: Mapping[str, Float[ArrayLike, "..."]],
    ax: Axes | None = None,
    *,
    beside: Mapping[str, float] | None = None,
    linear_percent: float = 10.0,
) -> Axes:
    """Rises of a loss in percent: a dot a fit, a black bar at their mean, a row a name.

    The axis is linear to `linear_percent` and logarithmic beyond, because failures are orders of
    magnitude larger than effects. `beside` marks other figures, such as the paper's, with a cross.
    Values that are not finite are left out. Raises `ValueError` without a row.
    """
    if not rises_percent:
        raise ValueError("loss_rises needs at least one row")
    ax = new_axes(ax, figsize=(7, 0.9 + 0.34 * len(rises_percent)))
    for row, values in enumerate(rises_percent.values()):
        values = np.asarray(values, float)
        values = values[np.isfinite(values)]
        offsets = np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else [0.0] * len(values)
        ax.plot(values, row + np.asarray(offsets), "o", color=COLORS[0], alpha=0.6, markersize=4)
        if len(values):
            ax.vlines(values.mean(), row - 0.36, row + 0.36, color="black", linewidth=2)
    crosses = [(value, row) for row, name in enumerate(rises_percent)
               if (value := (beside or {}).get(name)) is not None]
    if crosses:
        ax.plot(*zip(*crosses, strict=True), "x", color="#D55E00", markersize=7,
                label="the paper's")
        ax.legend()
    ax.set_xscale("symlog", linthresh=linear_percent)
    ax.xaxis.set_major_formatter(FuncFormatter(
        lambda value, _: f"{value:+g}".replace("-", "−") if value else "0"))
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(range(len(rises_percent)), rises_percent)
    ax.invert_yaxis()
    ax.set_xlabel("RD loss against the base (%)")
    ax.grid(alpha=0.3, axis="x")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax
