"""Rate-distortion points and curves, measured and published."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from c3lite.evaluation import reference
from c3lite.evaluation.reference import RDCurve
from c3lite.plots.styles import finished, label, new_axes, style

_PUBLISHED = {
    "kodak": ("C3 (paper)", "C3 adaptive (paper)", "COOL-CHIC", "COOL-CHICv2", "JPEG", "BPG",
              "VTM", "MLIC+"),
    "clic2020-professional-valid": ("C3 (paper)", "C3 adaptive (paper)", "COOL-CHICv2", "BPG",
                                    "VTM", "MLIC+"),
    "uvg": ("C3 adaptive (authors, public results file)", "HEVC (medium, no bframes)", "VCT",
            "VTM (17.0, Random Access)", "HiNeRV")}


def rd_curve(curves: Mapping[str, Any], ax: Axes | None = None) -> Axes:
    """Rate-distortion points: PSNR in dB over bits per pixel, a line a method, marked points.

    `curves` maps a method's name to its points: a `Fit` or several (whose rate is of the real
    file), a list of `codecs.Coded`, or a pair (rates in bpp, PSNRs in dB), as `reference.rd_points`
    gives. Raises `ValueError` for points of other kinds.
    """
    ax = new_axes(ax)
    for name, points in curves.items():
        rate, quality = _rate_and_quality(points)
        order = np.argsort(rate)
        ax.plot(rate[order], quality[order], label=label(name), **style(name))
    return finished(ax, xlabel="rate (bits per pixel)", ylabel="PSNR (dB)")


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


def published_curves(dataset: str, ax: Axes | None = None,
                     codecs: Iterable[str] | None = None) -> Axes:
    """Published means over "kodak", "clic2020-professional-valid", "uvg" or "uvg/<video>": of some
    `codecs` (of `reference.codecs(dataset)`), or a selection. `ValueError` for an unknown name."""
    if codecs is None:
        known = reference.codecs(dataset)
        codecs = [name for name in _PUBLISHED[dataset.partition("/")[0]] if name in known]
    ax = rd_curve({name: reference.rd_points(dataset, name) for name in codecs}, ax)
    ax.set_title(f"Published results, {dataset.replace('kodak', 'Kodak')}")
    return ax


def rate_difference(curves: Mapping[str, RDCurve], anchor: RDCurve, ax: Axes | None = None) -> Axes:
    """How much more rate than the anchor a codec needs at equal PSNR, in percent, over the PSNR: by
    piecewise cubics of ln(bpp), where both curves have points. BD-rate is the mean of such a line
    (of its logarithm). Raises `ValueError` for curves that share no PSNR with the anchor."""
    ax, log_anchor = new_axes(ax), _log_rate(anchor)
    for name, curve in curves.items():
        log_rate = _log_rate(curve)
        low, high = max(log_rate.x[0], log_anchor.x[0]), min(log_rate.x[-1], log_anchor.x[-1])
        if not low < high:
            raise ValueError(f"{name} and the anchor share no range of PSNR")
        quality = np.linspace(low, high, 200)
        percent = 100 * np.expm1(log_rate(quality) - log_anchor(quality))
        ax.plot(quality, percent, label=label(name), **style(name) | {"marker": ""})
    ax.axhline(0, color="black", linewidth=0.8)
    ax.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    return finished(ax, xlabel="PSNR (dB)", ylabel="rate against the anchor")


def _log_rate(curve: RDCurve):
    """ln(bpp) as a function of PSNR, through all points."""
    from scipy.interpolate import PchipInterpolator  # slow to import, and only needed here

    quality, first = np.unique(curve.psnr_db, return_index=True)
    return PchipInterpolator(quality, np.log(curve.bpp[first]))
