"""Pictures of fits and of rate-distortion points: `f(data, ax=None) -> Axes`.

Nothing here fits anything. Each function draws on `ax`, or on a new figure without one, and gives
the axes back to add to. A method has the same color everywhere (`METHOD_STYLE`).

Units: rates in bits per pixel (bpp), PSNR in dB, errors in 8-bit levels (1/255 of the range),
latents in steps (multiples of the bin width q).
"""

from __future__ import annotations

import functools
import html
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import ArrayLike, Float
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from c3lite import context as ctx
from c3lite import entropy, latents, parameters, reference
from c3lite.codecs import Coded
from c3lite.fit import Fit
from c3lite.report import PART_COLORS
from c3lite.wavefront import Plan

# Okabe and Ito's eight colors, which stay apart in the common kinds of color blindness, and grays.
# Ours is blue, COOL-CHIC orange, classic codecs the rest; markers tell apart what color does not.
METHOD_STYLE: dict[str, dict[str, Any]] = {
    "C3": {"color": "#0072B2", "marker": "o", "linewidth": 2.2, "zorder": 4},
    "C3 adaptive": {"color": "#0072B2", "marker": "*", "linestyle": "--", "zorder": 4},
    "COOL-CHIC": {"color": "#E69F00", "marker": "v", "linestyle": "--"},
    "COOL-CHICv2": {"color": "#E69F00", "marker": "^"},
    "Cool-Chic v3.0": {"color": "#D55E00", "marker": "^", "linestyle": ":"},
    "Cool-Chic v5.0": {"color": "#D55E00", "marker": "<"},
    "JPEG": {"color": "#595959", "marker": "s"},
    "JPEG2000": {"color": "#595959", "marker": "s", "linestyle": "--"},
    "WebP": {"color": "#009E73", "marker": "D"},
    "AVIF": {"color": "#CC79A7", "marker": "P"},
    "HEVC": {"color": "#56B4E9", "marker": "X"},
    "BPG": {"color": "#56B4E9", "marker": "X", "linestyle": "--"},
    "VTM": {"color": "#000000", "marker": "d"},
    "MLIC+": {"color": "#8C6D31", "marker": "h"},
    "HiNeRV": {"color": "#8C6D31", "marker": "p"},
    "VCT": {"color": "#D55E00", "marker": ">"},
}
"""Line and marker of each method, the same in the whole series."""

PART_NAMES = {
    "latents": "latents", "synthesis": "synthesis network", "entropy": "entropy network",
    "upsampling": "upsampling kernel",
}

_ALIASES = {"Cool-Chic v1.0": "COOL-CHIC", "Cool-Chic v2.0": "COOL-CHICv2"}
_OTHER = {"color": "#A6A6A6", "marker": ".", "linewidth": 1.0, "zorder": 1}

_PUBLISHED = {
    "kodak": ("C3 (paper)", "C3 adaptive (paper)", "COOL-CHIC", "COOL-CHICv2", "JPEG", "BPG",
              "VTM", "MLIC+"),
    "clic2020-professional-valid": ("C3 (paper)", "C3 adaptive (paper)", "COOL-CHICv2", "BPG",
                                    "VTM", "MLIC+"),
    "uvg": ("C3 adaptive (authors, public results file)", "HEVC (medium, no bframes)", "VCT",
            "VTM (17.0, Random Access)", "HiNeRV"),
}


def style(name: str) -> dict[str, Any]:
    """Keyword arguments for `Axes.plot` of a method; thin and gray for one without a style.

    "jpeg", "JPEG" and "C3 (paper)" find theirs: case and what is in parentheses do not matter.
    """
    plain = name.partition("(")[0].strip()
    plain = _ALIASES.get(plain, plain).casefold()
    found = [s for known, s in METHOD_STYLE.items() if known.casefold() == plain]
    return {"linewidth": 1.6, "markersize": 5, **(found[0] if found else _OTHER)}


def label(name: str) -> str:
    """A method's usual spelling: "JPEG" for `codecs`' "jpeg"; what is unknown stays."""
    return next((known for known in METHOD_STYLE if known.casefold() == name.casefold()), name)


def image(x: Float[ArrayLike, "3 height width"], ax: Axes | None = None) -> Axes:
    """A picture, values in [0, 1], each pixel of the data a square.

    Raises `ValueError` for anything but (3, height, width); of a video, pass one frame.
    """
    ax = _axes(ax, x)
    ax.imshow(np.clip(_picture(x), 0, 1).transpose(1, 2, 0), interpolation="nearest")
    return _bare(ax)


def error(
    x: Float[ArrayLike, "3 height width"],
    reconstruction: Float[ArrayLike, "3 height width"],
    ax: Axes | None = None,
    *,
    signed: bool = False,
) -> Axes:
    """Where a reconstruction is wrong, in 8-bit levels, with a color bar.

    Mean over the three channels of |reconstruction - x| (bright is wrong), or of the difference
    itself (`signed`: red is too bright, blue too dark). Both values in [0, 1]; raises `ValueError`
    for different shapes.
    """
    x, reconstruction = _picture(x), _picture(reconstruction)
    if x.shape != reconstruction.shape:
        raise ValueError(f"cannot compare shape {x.shape} with shape {reconstruction.shape}")
    difference = 255 * (reconstruction.astype(np.float64) - x)
    shown = (difference if signed else np.abs(difference)).mean(0)
    limit = max(float(np.abs(shown).max()), 1e-9)
    ax = _axes(ax, x)
    drawn = ax.imshow(shown, cmap="RdBu_r" if signed else "inferno",
                      vmin=-limit if signed else 0, vmax=limit, interpolation="nearest")
    _color_bar(drawn, ax, "error (8-bit levels)")
    return _bare(ax)


def rd_curve(
    curves: Mapping[str, Any] | Sequence[Any] | Fit, ax: Axes | None = None
) -> Axes:
    """Rate-distortion points: PSNR in dB over bits per pixel, a line a method, marked points.

    `curves` maps a method's name to its points; each may be

    - a `Fit` or several (the size of the real file, `Fit.bpp`),
    - what `codecs.rd_curve` gives: a list of `codecs.Coded`,
    - a pair (rates in bpp, PSNRs in dB), as `reference.rd_points` gives.

    Points of `codecs.Coded` or fits may stand alone. Raises `ValueError` for points of other kinds.
    """
    if not isinstance(curves, Mapping):
        first = curves[0] if isinstance(curves, Sequence) and len(curves) else curves
        curves = {first.codec if isinstance(first, Coded) else "C3": curves}
    ax = _axes(ax)
    for name, points in curves.items():
        rate, quality = _rate_and_quality(points)
        order = np.argsort(rate)
        ax.plot(rate[order], quality[order], label=label(name), **style(name))
    _rd_axes(ax)
    return ax


def published_curves(
    dataset: str, ax: Axes | None = None, codecs: Iterable[str] | None = None
) -> Axes:
    """Published rate-distortion curves on a data set (averages over it), from `c3lite.reference`.

    dataset: "kodak", "clic2020-professional-valid", "uvg" or "uvg/<video>". codecs: names from
    `reference.codecs(dataset)`; without, a selection. Raises `ValueError` for an unknown name.
    """
    known = reference.codecs(dataset)
    if codecs is None:
        chosen = _PUBLISHED.get(dataset.partition("/")[0], known)
        codecs = [name for name in chosen if name in known]
    rd_curve({name: reference.rd_points(dataset, name) for name in codecs}, ax := _axes(ax))
    ax.set_title(f"Published results, {dataset}")
    return ax


def where_bits_went(fit: Fit, ax: Axes | None = None) -> Axes:
    """The estimated bits of each part of the file (`Fit.bits`), as bars, with their shares."""
    ax = _axes(ax, figsize=(7, 0.6 + 0.55 * len(fit.bits)))
    names, bits = list(fit.bits), np.array(list(fit.bits.values()))
    bars = ax.barh([PART_NAMES.get(n, n) for n in names], bits,
                   color=[PART_COLORS.get(n, _OTHER["color"]) for n in names])
    total = bits.sum()
    ax.bar_label(bars, padding=4, labels=[
        f"{b:,.0f} bits, {b / fit.pixels:.3f} bpp, {b / max(total, 1e-9):.0%}" for b in bits])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.5 * max(bits.max(), 1e-9))  # room for the labels
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.set_xlabel("size (bits)")
    ax.set_title(f"{total:,.0f} bits in all, {fit.bpp_estimate:.3f} bits per pixel")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def estimate_against_file(fits: Iterable[Fit], ax: Axes | None = None) -> Axes:
    """The rate of each fit's file over its estimate, both in bpp (Fig. 16), on logarithmic axes.

    One point a fit, of any images and rate weights; a fit's file is written when it has none yet.
    On the dashed line they are equal. The title gives the mean and the largest excess of the files
    in percent. Raises `ValueError` without a fit.
    """
    fits = list(fits)
    if not fits:
        raise ValueError("estimate_against_file needs at least one fit")
    estimates = np.array([fit.bpp_estimate for fit in fits])
    files = np.array([fit.bpp for fit in fits])
    excess = 100 * (files / estimates - 1)
    ax = _axes(ax, figsize=(5, 4.6))
    ends = [0.9 * min(estimates.min(), files.min()), 1.1 * max(estimates.max(), files.max())]
    ax.plot(ends, ends, color="gray", linestyle="--", linewidth=1, label="equal", zorder=1)
    ax.scatter(estimates, files, color=style("C3")["color"], zorder=2, label="one fit")
    ax.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
    for axis in (ax.xaxis, ax.yaxis):  # plain numbers, and few of them
        wide = ends[1] > 10 * ends[0]
        axis.set_major_locator(
            LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(5, steps=[1, 2, 5]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("estimate from log-probabilities (bpp)")
    ax.set_ylabel("file, every byte counted (bpp)")
    ax.set_title(f"file over estimate: mean {excess.mean():+.2f} %, "
                 f"largest {excess[np.argmax(np.abs(excess))]:+.2f} %")
    ax.grid(alpha=0.3, which="both")
    ax.legend()
    return ax


def show(drawn: Axes | Figure, alt: str) -> None:
    """Put a figure into a notebook now, with a text for those who cannot see it, and close it.

    The text is in the output's metadata. JupyterLab 4 and nbconvert 7 do not make an `alt` of that,
    so it also stands, folded up, under the picture.
    """
    from IPython.display import HTML, display  # only a notebook has a use for it

    figure = drawn.figure if isinstance(drawn, Axes) else drawn
    display(figure, metadata={kind: {"alt": alt} for kind in ("image/png", "image/jpeg")})
    display(HTML(f"<details><summary><small>The picture in words</small></summary>"
                 f"{html.escape(alt)}</details>"))
    plt.close(figure)


def coding_intervals(
    cumulative: Sequence[int],
    symbols: Sequence[int],
    ax: Axes | None = None,
    names: Sequence[str] | None = None,
) -> Axes:
    """How an entropy coder narrows its interval: a row a symbol, each blown up to full width.

    Every row is the interval left by the row above, parted as the cumulative frequencies say; the
    chosen part is blue, and gray lines lead to where it is enlarged. `names` are the symbols'
    labels. Raises `ValueError` for a symbol that the table does not have.
    """
    edges = np.asarray(cumulative) / cumulative[-1]
    if not all(0 <= s < len(edges) - 1 for s in symbols):
        raise ValueError(f"symbols of this table are 0 to {len(edges) - 2}")
    names = [str(s) for s in range(len(edges) - 1)] if names is None else names
    ax = _axes(ax, figsize=(8, 0.5 + 0.75 * len(symbols)))
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


def wavefront(
    config, shape: tuple[int, int], ax: Axes | None = None, *, step: int | None = None
) -> Axes:
    """In which step of the decoder each latent of an image's finest grid is decoded.

    With `step`, the state before it: what is known (gray), what the step decodes (orange, all at
    once), the context of the one in the middle of these (blue), and what is still unknown (white).

    Raises `ValueError` for a video, and for a step in which no latent of this grid is decoded.
    """
    if len(shape) != 2:
        raise ValueError(f"the wavefront of an image has (height, width), not {shape}")
    plan = Plan(config, shape)
    height, width = plan.shapes[0]
    steps = np.empty(len(plan.order), np.int64)
    for n, (places, _) in enumerate(plan.steps()):
        steps[plan.order[places]] = n
    steps = steps[: height * width].reshape(height, width)
    ax = _axes(ax, steps[None])
    if step is None:
        _color_bar(ax.imshow(steps, cmap="viridis", interpolation="nearest"), ax, "step")
        return _bare(ax)
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
    return _bare(ax)


def latent_bits(fit: Fit) -> list[Float[np.ndarray, "..."]]:
    """Estimated bits of every latent, an array for each grid, finest first.

    Measured with the networks that the file holds; in all, `fit.bits["latents"]`.
    """
    coded = fit.coded
    networks = parameters.from_integers(coded.networks, coded.weight_step, coded.bias_step)
    bits = np.asarray(_bits(networks.entropy, fit.config,
                            jnp.asarray(coded.symbols, jnp.float32), fit.shape))
    return _split(bits, fit)


_bits = functools.partial(jax.jit, static_argnums=3)(entropy.latent_bits)


def _split(flat: np.ndarray, fit: Fit) -> list[np.ndarray]:
    shapes = latents.grid_shapes(fit.config, fit.shape)
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]


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
    grids, bits = _split(np.asarray(fit.coded.symbols), fit), latent_bits(fit)
    columns = min(4, len(grids))
    rows = -(-len(grids) // columns)
    height, width = fit.shape[-2:]
    aspect = float(np.clip(height / width, 0.2, 3))
    ax = _axes(ax, figsize=(10, rows * (2.3 * aspect + 0.65)))
    ax.axis("off")
    for n, (grid, grid_bits, e) in enumerate(
            zip(grids, bits, latents.exponents(fit.config), strict=True)):
        row, column = divmod(n, columns)
        # leaves a seventh of each cell's height for its two lines of title
        panel = ax.inset_axes((column / columns, 1 - (row + 1) / rows, 0.94 / columns, 0.8 / rows))
        limit = max(int(np.abs(grid).max()), 1)
        shown = grid if grid.ndim == 2 else grid[min(frame >> e, len(grid) - 1)]
        # the extent is that of the image, so that all panels line up with it
        panel.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest",
                     extent=(0, width, height, 0), aspect="auto" if aspect != height / width else 1)
        size = "×".join(map(str, grid.shape))
        panel.set_title(f"{size}, −{limit} to {limit}\n{grid_bits.sum():,.0f} bits", fontsize=9)
        _bare(panel)
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
    ax = _axes(ax, shown[None])
    # a few latents cost ten times the rest, which a linear scale would leave black
    norm = PowerNorm(0.5, vmin=0, vmax=max(float(shown.max()), 1e-9))
    drawn = ax.imshow(shown, cmap="viridis", norm=norm, interpolation="nearest")
    _color_bar(drawn, ax, unit)
    return _bare(ax)


def _spread(bits: np.ndarray, exponent: int, shape: tuple[int, ...]) -> np.ndarray:
    """Each latent's bits shared out among the pixels of its block of 2**exponent a side."""
    for axis, side in enumerate(shape):
        owner = np.arange(side) >> exponent
        share = 1 / np.bincount(owner)  # the last block may be cut off by the edge
        bits = np.take(bits, owner, axis) * np.expand_dims(
            share[owner], [a for a in range(len(shape)) if a != axis])
    return bits


def history(fit: Fit, ax: Axes | None = None) -> Axes:
    """The objective over the steps and its two sides, MSE and λ · bits per pixel (Eq. 4).

    The dotted line is where stage 2 starts: hard rounding instead of noise.
    """
    ax = _axes(ax, figsize=(7, 3.5))
    past = fit.history
    steps = np.arange(len(past.loss))
    rate = float(fit.config.rd_weight) * np.asarray(past.bits) / fit.pixels
    ax.plot(steps, past.loss, color="black", label="loss")
    ax.plot(steps, past.mse, color="#D55E00", label="distortion: MSE")
    ax.plot(steps, rate, color="#0072B2", label="rate: λ · latent bits / pixels")
    if 0 < int(fit.config.steps) < len(steps):
        ax.axvline(int(fit.config.steps), color="gray", linestyle=":", label="stage 2")
    ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_ylabel("loss (values in [0, 1], squared)")
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def _axes(ax, picture=None, figsize=(7, 4.5)) -> Axes:
    if ax is not None:
        return ax
    if picture is not None:
        height, width = np.shape(picture)[-2:]
        figsize = (7, float(np.clip(7 * height / width, 1.5, 10)))
    return plt.subplots(figsize=figsize, layout="constrained")[1]


def _picture(x) -> np.ndarray:
    x = np.asarray(x)
    if x.ndim != 3 or x.shape[0] != 3 or x.size == 0:
        raise ValueError(f"a picture is (3, height, width), not {x.shape}; of a video, one frame")
    return x


def _bare(ax: Axes) -> Axes:
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def _color_bar(drawn, ax: Axes, text: str) -> None:
    # beside the picture, as high as it, whatever the layout of the figure is
    ax.figure.colorbar(drawn, cax=ax.inset_axes((1.02, 0, 0.03, 1)), label=text)


def _rate_and_quality(points) -> tuple[np.ndarray, np.ndarray]:
    if hasattr(points, "psnr") and hasattr(points, "bpp"):  # a Fit or a codecs.Coded
        points = [points]
    points = list(points)
    if points and all(hasattr(p, "psnr") and hasattr(p, "bpp") for p in points):
        points = [[p.bpp for p in points], [p.psnr for p in points]]
    try:
        rate, quality = (np.asarray(side, float).reshape(-1) for side in points)
    except (TypeError, ValueError) as bad:
        raise ValueError("points are fits, codecs.Coded, or a pair (rates in bpp, PSNRs in dB), "
                         f"not {points!r:.200}") from bad
    if rate.size != quality.size or not rate.size or np.isnan([rate, quality]).any():
        raise ValueError(f"rates {rate} and PSNRs {quality} are no curve")
    return rate, quality


def _rd_axes(ax: Axes) -> None:
    ax.set_xlabel("rate (bits per pixel)")
    ax.set_ylabel("PSNR (dB)")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend()
