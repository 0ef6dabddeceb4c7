"""How fits went: loss, its two sides and the learning rate over the steps."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import ArrayLike, Float, Shaped
from matplotlib.axes import Axes

from c3lite.fitting.fit import Fit
from c3lite.plots.styles import COLORS, colored, finished, new_axes, plain_numbers

Curve = tuple[Shaped[ArrayLike, "..."], Float[ArrayLike, "..."]]
"""Steps and losses, as many of each."""


def history(fit: Fit, ax: Axes | None = None) -> Axes:
    """The objective over the steps and its two sides, MSE and λ · bits per pixel (Eq. 4).

    The dotted line is where stage 2 starts: hard rounding instead of noise.
    """
    ax = new_axes(ax, figsize=(7, 3.5))
    past = fit.history
    steps = np.arange(len(past.loss))
    rate = float(fit.config.rd_weight) * np.asarray(past.bits) / fit.pixels
    ax.plot(steps, past.loss, color="black", label="loss")
    ax.plot(steps, past.mse, color=COLORS[3], label="distortion: MSE")
    ax.plot(steps, rate, color=COLORS[0], label="rate: λ · latent bits / pixels")
    if 0 < int(fit.config.steps) < len(steps):
        ax.axvline(int(fit.config.steps), color="gray", linestyle=":", label="stage 2")
    return _finished(ax)


def losses(
    runs: Mapping[str, Fit | Float[ArrayLike, " steps"]], ax: Axes | None = None
) -> Axes:
    """The objective of several fits over the steps, each the running mean of 20 steps."""
    past = {name: np.asarray(run.history.loss if isinstance(run, Fit) else run)
            for name, run in runs.items()}
    return loss_bands({name: [(np.arange(len(loss)), loss)] for name, loss in past.items()},
                      ax, smooth=20)


def loss_bands(
    runs: Mapping[str, Sequence[Curve]], ax: Axes | None = None, *, stage2: int | None = None,
    smooth: int = 5,
) -> Axes:
    """Loss over the steps: the mean over seeds as a line, all seeds within a band.

    runs: for each name the curves of its seeds; those that stop early end the line there. Each
    curve is the running mean over `smooth` of its points, not across the step `stage2`, which is
    marked. Colors go by the order of the names. Raises `ValueError` for a name without a curve.
    """
    ax = new_axes(ax, figsize=(7, 3.8))
    for name, curves, color in colored(runs):
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
    _finished(ax, which="both")
    plain_numbers(ax.yaxis)
    return ax


def _finished(ax, **grid):
    return finished(ax, grid, yscale="log", xlabel="step",
                    ylabel="loss (values in [0, 1], squared)")


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


def learning_rates(fits: Mapping[str, Fit], ax: Axes | None = None) -> Axes:
    """The learning rate over the steps, as fits recorded it (Fig. 11), on a logarithmic axis.

    The dotted line is where stage 2 of the first fit starts.
    """
    ax = new_axes(ax, figsize=(7, 3.2))
    for name, fit, color in colored(fits):
        ax.plot(fit.history.learning_rate, color=color, label=name)
    steps = int(next(iter(fits.values())).config.steps)
    ax.axvline(steps, color="gray", linestyle=":", label="stage 2")
    return finished(ax, xlabel="step", ylabel="learning rate", yscale="log")
