"""One fit: its picture, its errors, its latents, and where its bits went."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm

from c3lite.evaluation.report import PART_COLORS
from c3lite.fitting.fit import Fit
from c3lite.model import entropy, latents
from c3lite.plots.styles import OTHER, bare, color_bar, new_axes, picture, signed_picture

PART_NAMES = {
    "latents": "latents", "synthesis": "synthesis network", "entropy": "entropy network",
    "upsampling": "upsampling kernel",
}


def image(x: Float[ArrayLike, "3 height width"], ax: Axes | None = None) -> Axes:
    """A picture, values in [0, 1], each pixel of the data a square.

    Raises `ValueError` for anything but (3, height, width); of a video, pass one frame.
    """
    ax = new_axes(ax, x)
    ax.imshow(np.clip(picture(x), 0, 1).transpose(1, 2, 0), interpolation="nearest")
    return bare(ax)


def error(
    x: Float[ArrayLike, "3 height width"], reconstruction: Float[ArrayLike, "3 height width"],
    ax: Axes | None = None,
) -> Axes:
    """Where a reconstruction is wrong, in 8-bit levels, with a color bar: bright is wrong.

    Mean over the three channels of |reconstruction - x|, both with values in [0, 1]. Raises
    `ValueError` for different shapes.
    """
    x, reconstruction = picture(x), picture(reconstruction)
    if x.shape != reconstruction.shape:
        raise ValueError(f"cannot compare shape {x.shape} with shape {reconstruction.shape}")
    levels = 255 * np.abs(reconstruction.astype(np.float64) - x).mean(0)
    ax = new_axes(ax, x)
    color_bar(ax.imshow(levels, cmap="inferno", vmin=0, vmax=max(levels.max(), 1e-9),
                        interpolation="nearest"), ax, "error (8-bit levels)")
    return bare(ax)


def where_bits_went(fit: Fit, ax: Axes | None = None) -> Axes:
    """The estimated bits of each part of the file (`Fit.bits`), as bars, with their shares."""
    ax = new_axes(ax, figsize=(7, 0.6 + 0.55 * len(fit.bits)))
    names, bits = list(fit.bits), np.array(list(fit.bits.values()))
    bars = ax.barh([PART_NAMES.get(n, n) for n in names], bits,
                   color=[PART_COLORS.get(n, OTHER["color"]) for n in names])
    total = bits.sum()
    ax.bar_label(bars, padding=4, labels=[
        f"{b:,.0f} bits, {b / fit.pixels:.3f} bpp, {b / max(total, 1e-9):.0%}" for b in bits])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.5 * max(bits.max(), 1e-9))  # room for the labels
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("size (bits)")
    ax.set_title(f"{total:,.0f} bits in all, {fit.bpp_estimate:.3f} bits per pixel")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def latent_bits(fit: Fit) -> list[Float[np.ndarray, "..."]]:
    """Estimated bits of every latent, an array for each grid, finest first.

    Measured with the networks that the file holds; in all, `fit.bits["latents"]`.
    """
    bits = _bits(fit.networks.entropy, fit.config,
                 jnp.asarray(fit.coded.symbols, jnp.float32), fit.shape)
    return _split(bits, fit)


_bits = functools.partial(jax.jit, static_argnums=3)(entropy.latent_bits)
_predict = jax.jit(entropy.EntropyModel.__call__)


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
    """Estimated latent bits of every pixel: each latent's, shared out evenly over its pixels.

    All grids added up; over all pixels this sums to `fit.bits["latents"]`.
    """
    exponents = latents.exponents(fit.config)
    return sum(_spread(bits, e, fit.shape)
               for bits, e in zip(latent_bits(fit), exponents, strict=True))


def latent_grids(fit: Fit, ax: Axes | None = None, *, frame: int = 0) -> Axes:
    """The quantized latent grids, finest first, each blown up to the same size.

    Values are in steps: white is 0, red positive, blue negative, each grid with a scale of its
    own, given in its title beside its size and its bits. Of a video, the slice that holds `frame`.
    """
    grids, bits = fit.grids, latent_bits(fit)
    columns = min(4, len(grids))
    rows = -(-len(grids) // columns)
    height, width = fit.shape[-2:]
    aspect = float(np.clip(height / width, 0.2, 3))
    ax = new_axes(ax, figsize=(10, rows * (2.3 * aspect + 0.65)))
    ax.axis("off")
    for n, (grid, grid_bits, e) in enumerate(
            zip(grids, bits, latents.exponents(fit.config), strict=True)):
        row, column = divmod(n, columns)
        # leaves a seventh of each cell's height for its two lines of title
        panel = ax.inset_axes((column / columns, 1 - (row + 1) / rows, 0.94 / columns, 0.8 / rows))
        limit = max(int(np.abs(grid).max()), 1)
        shown = grid if grid.ndim == 2 else grid[min(frame >> e, len(grid) - 1)]
        # the extent is that of the image, so that all panels line up with it
        signed_picture(panel, shown, limit, extent=(0, width, height, 0),
                       aspect="auto" if aspect != height / width else 1)
        size = "×".join(map(str, grid.shape))
        panel.set_title(f"{size}, −{limit} to {limit}\n{grid_bits.sum():,.0f} bits", fontsize=9)
        bare(panel)
    return ax


def bit_map(fit: Fit, ax: Axes | None = None, *, grid: int | None = None, frame: int = 0) -> Axes:
    """Where in the picture the latents' bits are.

    Without `grid`, `pixel_bits`; with it (0 is the finest), that grid's bits per latent. Of a
    video, the slice that holds `frame`. Colors are on a square-root scale.

    Raises `ValueError` for a grid that is not there.
    """
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
    ax = new_axes(ax, shown[None])
    # a few latents cost ten times the rest, which a linear scale would leave black
    norm = PowerNorm(0.5, vmin=0, vmax=max(float(shown.max()), 1e-9))
    drawn = ax.imshow(shown, cmap="viridis", norm=norm, interpolation="nearest")
    color_bar(drawn, ax, unit)
    return bare(ax)


def _spread(bits: np.ndarray, exponent: int, shape: tuple[int, ...]) -> np.ndarray:
    """Each latent's bits shared out among the pixels of its block of 2**exponent a side."""
    for axis, side in enumerate(shape):
        owner = np.arange(side) >> exponent
        share = 1 / np.bincount(owner)  # the last block may be cut off by the edge
        bits = np.take(bits, owner, axis) * np.expand_dims(
            share[owner], [a for a in range(len(shape)) if a != axis])
    return bits
