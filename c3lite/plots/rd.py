"""Rate-distortion points and curves, measured and published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from c3lite.evaluation import reference
from c3lite.evaluation.anchors import Coded
from c3lite.fitting.fit import Fit
from c3lite.plots.styles import label, new_axes, style

_PUBLISHED = {
    "kodak": ("C3 (paper)", "C3 adaptive (paper)", "COOL-CHIC", "COOL-CHICv2", "JPEG", "BPG",
              "VTM", "MLIC+"),
    "clic2020-professional-valid": ("C3 (paper)", "C3 adaptive (paper)", "COOL-CHICv2", "BPG",
                                    "VTM", "MLIC+"),
    "uvg": ("C3 adaptive (authors, public results file)", "HEVC (medium, no bframes)", "VCT",
            "VTM (17.0, Random Access)", "HiNeRV"),
}


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
    ax = new_axes(ax)
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
    rd_curve({name: reference.rd_points(dataset, name) for name in codecs}, ax := new_axes(ax))
    ax.set_title(f"Published results, {dataset}")
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
    ax = new_axes(ax, figsize=(5, 4.6))
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
