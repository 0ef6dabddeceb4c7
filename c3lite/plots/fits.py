"""Fits: pictures, errors, latents, where the bits went, and the loss over the steps."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float, Shaped
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm

from c3lite.evaluation.report import PART_COLORS
from c3lite.fitting import fit as fitting
from c3lite.fitting.fit import Fit
from c3lite.model import entropy, latents
from c3lite.plots import styles

PART_NAMES = {"latents": "latents", "synthesis": "synthesis network", "entropy": "entropy network",
              "upsampling": "upsampling kernel"}

_LOSS = "loss (values in [0, 1], squared)"
_predict = jax.jit(entropy.EntropyModel.__call__)
LossCurve = tuple[Shaped[ArrayLike, "..."], Float[ArrayLike, "..."]]
"""Steps and losses, as many of each."""


def image(x: Float[ArrayLike, "3 height width"], ax: Axes | None = None) -> Axes:
    """A picture, values in [0, 1]. Raises `ValueError` for anything but (3, height, width)."""
    ax = styles.new_axes(ax, x)
    ax.imshow(np.clip(styles.picture(x), 0, 1).transpose(1, 2, 0), interpolation="nearest")
    return styles.bare(ax)


def error(x: Float[ArrayLike, "3 height width"], reconstruction: Float[ArrayLike, "3 height width"],
          ax: Axes | None = None) -> Axes:
    """The mean over the channels of |reconstruction - x|, values in [0, 1], in 8-bit levels: bright
    is wrong. Raises `ValueError` for different shapes."""
    x, reconstruction = styles.picture(x), styles.picture(reconstruction)
    if x.shape != reconstruction.shape:
        raise ValueError(f"cannot compare shape {x.shape} with shape {reconstruction.shape}")
    levels = 255 * np.abs(reconstruction.astype(np.float64) - x).mean(0)
    ax = styles.new_axes(ax, x)
    styles.color_bar(ax.imshow(levels, cmap="inferno", vmin=0, vmax=max(levels.max(), 1e-9),
                               interpolation="nearest"), ax, "error (8-bit levels)")
    return styles.bare(ax)


def where_bits_went(fit: Fit, ax: Axes | None = None) -> Axes:
    """The estimated bits of each part of the file (`Fit.bits`), as bars, with their shares."""
    ax = styles.new_axes(ax, figsize=(7, 0.6 + 0.55 * len(fit.bits)))
    names, bits = list(fit.bits), np.array(list(fit.bits.values()))
    bars = ax.barh(range(len(bits)), bits,
                   color=[PART_COLORS.get(n, styles.OTHER["color"]) for n in names])
    total = bits.sum()
    ax.bar_label(bars, padding=4, labels=[
        f"{b:,.0f} bits, {b / fit.pixels:.3f} bpp, {b / max(total, 1e-9):.0%}" for b in bits])
    ax.set_xlim(0, 1.5 * max(bits.max(), 1e-9))  # room for the labels
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_title(f"{total:,.0f} bits in all, {fit.bpp_estimate:.3f} bits per pixel")
    return styles.name_rows(ax, [PART_NAMES.get(n, n) for n in names], "size (bits)")


def latent_bits(fit: Fit) -> list[Float[np.ndarray, "..."]]:
    """Estimated bits of every latent, an array for each grid, finest first. Measured with the
    networks that the file holds; in all, `fit.bits["latents"]`."""
    symbols = jnp.asarray(fit.coded.symbols, jnp.float32)
    return _split(fitting.latent_bits(fit.networks.entropy, fit.config, symbols, fit.shape), fit)


def predicted(fit: Fit) -> tuple[list[Float[np.ndarray, "..."]], list[Float[np.ndarray, "..."]]]:
    """mu and scale of every latent in steps, as the decoder has them, an array for each grid."""
    q = float(fit.config.quantization_step)
    grids = tuple(grid * q for grid in symbol_grids(fit))
    mu, scale = _predict(fit.networks.entropy, fit.config, grids)
    return _split(mu / q, fit), _split(scale / q, fit)


def symbol_grids(fit: Fit) -> list[Float[np.ndarray, "..."]]:
    """The quantized latents of a fit in steps (`Fit.grids`) as floats, to calculate with."""
    return [grid.astype(np.float32) for grid in fit.grids]


def _split(flat, fit: Fit) -> list[np.ndarray]:
    return list(latents.split(np.asarray(flat), latents.grid_shapes(fit.config, fit.shape)))


def pixel_bits(fit: Fit) -> Float[np.ndarray, "*shape"]:
    """Estimated latent bits of every pixel: each latent's, shared out evenly over its pixels. All
    grids added up; over all pixels this sums to `fit.bits["latents"]`."""
    return sum(_spread(bits, e, fit.shape) for bits, e in zip(
        latent_bits(fit), latents.exponents(fit.config), strict=True))


def latent_grids(fit: Fit, ax: Axes | None = None, *, frame: int = 0) -> Axes:
    """The quantized latent grids, finest first, each blown up to the same size, in steps: white is
    0, red positive, blue negative, by a scale in its title; of a video, the slice of `frame`."""
    grids, bits = fit.grids, latent_bits(fit)
    columns = min(4, len(grids))
    rows = -(-len(grids) // columns)
    height, width = fit.shape[-2:]
    aspect = float(np.clip(height / width, 0.2, 3))
    ax = styles.new_axes(ax, figsize=(10, rows * (2.3 * aspect + 0.65)))
    ax.axis("off")
    for n, (grid, grid_bits, e) in enumerate(
            zip(grids, bits, latents.exponents(fit.config), strict=True)):
        row, column = divmod(n, columns)
        # leaves a seventh of each cell's height for its two lines of title
        panel = ax.inset_axes((column / columns, 1 - (row + 1) / rows, 0.94 / columns, 0.8 / rows))
        limit = max(int(np.abs(grid).max()), 1)
        shown = grid if grid.ndim == 2 else grid[min(frame >> e, len(grid) - 1)]
        # the extent is that of the image, so that all panels line up with it
        styles.signed_picture(panel, shown, limit, extent=(0, width, height, 0),
                              aspect="auto" if aspect != height / width else 1)
        size = "×".join(map(str, grid.shape))
        panel.set_title(f"{size}, −{limit} to {limit}\n{grid_bits.sum():,.0f} bits", fontsize=9)
        styles.bare(panel)
    return ax


def bit_map(fit: Fit, ax: Axes | None = None, *, grid: int | None = None, frame: int = 0) -> Axes:
    """Where in the picture the latents' bits are: `pixel_bits`, or of `grid` (0 is the finest) the
    bits per latent; of a video, the slice that holds `frame`. Colors are on a square-root scale.
    Raises `ValueError` for a grid that is not there."""
    exponents = latents.exponents(fit.config)
    if grid is None:
        shown, unit, scale = pixel_bits(fit), "latent bits per pixel", 0
    elif 0 <= grid < len(exponents):
        shown, unit = latent_bits(fit)[grid], f"bits per latent of grid {grid}"
        scale = exponents[grid]
    else:
        raise ValueError(f"this fit has grids 0 to {len(exponents) - 1}, not {grid}")
    if shown.ndim == 3:
        shown = shown[min(frame >> scale, len(shown) - 1)]
    ax = styles.new_axes(ax, shown[None])
    # a few latents cost ten times the rest, which a linear scale would leave black
    norm = PowerNorm(0.5, vmin=0, vmax=max(float(shown.max()), 1e-9))
    drawn = ax.imshow(shown, cmap="viridis", norm=norm, interpolation="nearest")
    styles.color_bar(drawn, ax, unit)
    return styles.bare(ax)


def _spread(bits: np.ndarray, exponent: int, shape: tuple[int, ...]) -> np.ndarray:
    """Each latent's bits shared out among the pixels of its block of 2**exponent a side."""
    for axis, side in enumerate(shape):
        owner = np.arange(side) >> exponent
        share = 1 / np.bincount(owner)  # the last block may be cut off by the edge
        bits = np.take(bits, owner, axis) * np.expand_dims(
            share[owner], [a for a in range(len(shape)) if a != axis])
    return bits


def history(fit: Fit, ax: Axes | None = None) -> Axes:
    """The objective over the steps and its two sides, MSE and λ · bits per pixel (Eq. 4). The
    dotted line is where stage 2 starts: hard rounding instead of noise."""
    ax = styles.new_axes(ax, figsize=(7, 3.5))
    past = fit.history
    rate = float(fit.config.rd_weight) * np.asarray(past.bits) / fit.pixels
    ax.plot(past.loss, color="black", label="loss")
    ax.plot(past.mse, color=styles.ERROR, label="distortion (MSE)")
    ax.plot(rate, color=styles.RATE, label="rate (λ · bpp)")
    if 0 < int(fit.config.steps) < len(rate):
        ax.axvline(int(fit.config.steps), color="gray", linestyle=":", label="stage 2")
    return styles.finished(ax, yscale="log", xlabel="step", ylabel=_LOSS)


def losses(runs: Mapping[str, Fit | Float[ArrayLike, " steps"]], ax: Axes | None = None) -> Axes:
    """The objective of several fits over the steps, each the running mean of 20 steps."""
    past = ((name, run.history.loss if isinstance(run, Fit) else run) for name, run in runs.items())
    return loss_bands({name: [(np.arange(len(loss)), loss)] for name, loss in past}, ax, smooth=20)


def loss_bands(runs: Mapping[str, Sequence[LossCurve]], ax: Axes | None = None, *,
               stage2: int | None = None, smooth: int = 5) -> Axes:
    """Loss over the steps: by name the mean over the curves of seeds as a line, all of them within
    a band, as far as the shortest goes. A curve is the running mean over `smooth` of its points,
    not across the step `stage2`, which is marked. Raises `ValueError` for a name without one."""
    ax = styles.new_axes(ax, figsize=(7, 3.8))
    for name, curves, color in styles.colored(runs):
        if not len(curves):
            raise ValueError(f"{name} has no curve to draw")
        n = min(len(steps) for steps, _ in curves)
        steps = np.asarray(curves[0][0])[:n]
        losses = np.array([_smoothed(steps, np.asarray(loss, float)[:n], smooth, stage2)
                           for _, loss in curves])
        ax.fill_between(steps, losses.min(0), losses.max(0), color=color, alpha=0.25, linewidth=0)
        ax.plot(steps, losses.mean(0), color=color, linewidth=1.4, label=name)
    if stage2 is not None:
        ax.axvline(stage2, color="gray", linestyle=":", linewidth=1, label="stage 2")
    styles.finished(ax, {"which": "both"}, yscale="log", xlabel="step", ylabel=_LOSS)
    styles.plain_numbers(ax.yaxis)
    return ax


def _smoothed(steps, loss, window, stage2):
    """Running mean over up to `window` points before and at each, within its stage."""
    stage = 0 if stage2 is None else np.searchsorted(steps, stage2)
    return np.array([loss[max(i + 1 - window, stage if i >= stage else 0):i + 1].mean()
                     for i in range(len(loss))])
